"""A built strategy as the loop sees it, whatever its author has written, and how the contract is found.

Three contracts: a module function `generate_signals` or `generate_signal` (`function`), a class with such a method
(`class`), a subclass of the SDK's `BaseStrategy` (`sdk`).
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from types import FunctionType
from typing import Any, ClassVar, Final, Literal

import msgspec

from actors.strategies.sandbox.inside.clock import CLOCK
from actors.strategies.sandbox.inside.windows import Windows
from actors.strategies.sandbox.wire import MOST_STATE, Handles, Input, Load, ParameterInfo, WireSignal
from actors.strategies.sandbox.wire_orders import WireCommand
from actors.strategies.sdk.base import BaseStrategy, plain
from actors.strategies.sdk.parameters import Parameter, settle

FUNCTIONS: Final = ("generate_signals", "generate_signal")
CLASSES: Final = ("Strategy", "TradingStrategy", "MyStrategy")
MOST_LOOKBACK: Final = 10_000
MOST_VALUES: Final = 32_768
NONE: Final[Sequence[WireSignal]] = ()
NO_COMMANDS: Final[tuple[Sequence[WireCommand], int]] = ((), 0)

Kind = Literal["function", "class", "sdk"]


class ContractError(Exception):
    """The source holds no strategy, or one that cannot be built. `field`: which of its declarations."""

    def __init__(self, message: str, field: str = "") -> None:
        super().__init__(message)
        self.field = field


class StateError(Exception):
    """What `on_save` returned cannot be kept."""


class Contract:
    """A strategy that was built. Raises from its methods what user code raises."""

    kind: ClassVar[Kind]

    def __init__(self, load: Load, name: str, declared: Mapping[str, Parameter[Any]]) -> None:
        self.name = name
        self.declared = declared
        self.windows = Windows(load.markets, load.lookback)
        self.symbols = self.windows.symbols()
        self.values: dict[str, Any] = {}
        """The parameters in force. It stays the same object."""
        self.handles: tuple[Handles, ...] = ("bar",)
        self.settled(msgspec.msgpack.decode(load.parameters))
        CLOCK.now = load.now

    def settled(self, given: Mapping[str, Any]) -> None:
        """Put parameters in force, all or none. Raises ParametersError."""
        if not isinstance(given, dict):
            raise ContractError(f"parameters: expected an object, got {type(given).__name__}", "parameters")
        # A module that declares none takes what it is given.
        values = settle(self.declared, given, self.values) if self.declared else {**self.values, **given}
        if len(json.dumps(values)) > MOST_VALUES:
            raise ContractError(f"parameters: expected at most {MOST_VALUES} characters of JSON", "parameters")
        self.values.clear()
        self.values.update(values)

    def handle(self, given: Input, index: int) -> Sequence[WireSignal]:
        """Hand an input to the strategy; returns its signals."""
        raise NotImplementedError

    def changed(self) -> None:
        """Tell the strategy that its parameters are other ones."""

    def commands(self, index: int) -> tuple[Sequence[WireCommand], int]:
        """The commands that the input at `index` has led to, and how many were too many."""
        return NO_COMMANDS

    def discard(self) -> None:
        """Forget what the input at hand has led to: its handling failed."""

    def unsent(self, commands: Sequence[WireCommand]) -> None:
        """These commands cannot be sent."""

    def metrics(self) -> Mapping[str, float]:
        """The figures recorded since the last time."""
        return {}

    @property
    def keeps_state(self) -> bool:
        """Whether there is anything to save."""
        return False

    def state(self) -> object:
        """What the strategy wants to keep."""
        return None

    def save(self) -> bytes | None:
        """The packed state; None: it keeps none. Raises StateError, and TypeError for what is no plain data."""
        if not self.keeps_state:
            return None
        packed = msgspec.msgpack.encode(plain(self.state()))
        if len(packed) > MOST_STATE:
            raise StateError(f"state: expected at most {MOST_STATE} bytes, packed, got {len(packed)}")
        return packed

    def finalize(self) -> None:
        """The run ends in order."""


def find(names: Mapping[str, Any], module: str) -> tuple[Kind, Any]:
    """What a module's names hold: the contract and the function or class. Raises ContractError."""
    classes = [each for each in names.values() if isinstance(each, type) and each.__module__ == module]
    if own := _leaves([each for each in classes if issubclass(each, BaseStrategy)]):
        return "sdk", _only(own, "a subclass of BaseStrategy")
    for name in FUNCTIONS:
        if isinstance(names.get(name), FunctionType):
            return "function", names[name]
    for name in CLASSES:
        if isinstance(names.get(name), type) and method_of(names[name]) is not None:
            return "class", names[name]
    if able := _leaves([each for each in classes if method_of(each) is not None]):
        return "class", _only(able, "a class with generate_signals or generate_signal")
    for name in FUNCTIONS:
        if callable(names.get(name)):
            return "function", names[name]
    raise ContractError(
        "no strategy: expected a function generate_signals(data, parameters) or generate_signal(data, parameters), a "
        "class that has one of them as a method, or a subclass of BaseStrategy"
    )


def method_of(strategy: type) -> str | None:
    """The name of the method that a class answers with, if it has one."""
    for name in FUNCTIONS:
        if callable(getattr(strategy, name, None)):
            return name
    return None


def lookback_of(value: object, name: str) -> int | None:
    """A declared number of bars. Raises ContractError."""
    if value is None:
        return None
    if isinstance(value, bool) or not isinstance(value, int) or not 1 <= value <= MOST_LOOKBACK:
        raise ContractError(f"{name}: expected a whole number from 1 to {MOST_LOOKBACK}, got {value!r}", name)
    return value


def infos(declared: Mapping[str, Parameter[Any]]) -> tuple[ParameterInfo, ...]:
    """The declared parameters for the wire."""
    return tuple(
        ParameterInfo(
            name[:200],
            each.kind,
            json.dumps(each.default)[:1024],
            "" if each.least is None else json.dumps(each.least),
            "" if each.most is None else json.dumps(each.most),
            tuple(json.dumps(choice)[:1024] for choice in each.choices),
            each.description,
        )
        for name, each in declared.items()
    )


def arguments_of(function: Callable[..., Any], bound: int) -> int | None:
    """How many positional arguments a Python function takes behind the first `bound`; None: any number."""
    code = getattr(function, "__code__", None)
    if code is None or code.co_flags & 0x04:
        return None
    return int(code.co_argcount) - bound


def _leaves(classes: Sequence[type]) -> list[type]:
    unique = list(dict.fromkeys(classes))
    return [each for each in unique if not any(other is not each and issubclass(other, each) for other in unique)]


def _only(found: Sequence[type], what: str) -> type:
    if len(found) > 1:
        named = ", ".join(each.__name__ for each in found)
        raise ContractError(f"{what}: expected one in a file, got {len(found)} ({named})")
    return found[0]
