"""The contract of a function: `generate_signal(data, parameters)`, called at each bar or at each interval."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any, ClassVar

from actors.strategies.sandbox.inside.clock import CLOCK
from actors.strategies.sandbox.inside.contract import (
    NONE,
    Contract,
    ContractError,
    Kind,
    arguments_of,
    lookback_of,
)
from actors.strategies.sandbox.inside.results import signals_of
from actors.strategies.sandbox.wire import BarInput, GapInput, Input, Load, TimerInput, TradeInput, WireSignal
from actors.strategies.sdk.parameters import Parameter, declared


class FunctionContract(Contract):
    """Calls one function with `data` (Frames) and a copy of the parameters.

    It is not called while no symbol has a bar; a symbol without bars is not in `data`.
    """

    kind: ClassVar[Kind] = "function"
    generate: Callable[..., Any]
    takes_parameters: bool

    def __init__(self, load: Load, name: str, declared: Mapping[str, Parameter[Any]], lookback: int | None) -> None:
        super().__init__(load, name, declared)
        self.every_bar = load.every_bar
        if lookback is not None:
            self.windows.look_back(lookback)

    @classmethod
    def built(cls, load: Load, function: Callable[..., Any], names: Mapping[str, Any]) -> FunctionContract:
        """The contract of a module with this function. Raises ContractError, ParametersError."""
        lookback = lookback_of(names.get("LOOKBACK"), "LOOKBACK")
        made = cls(load, getattr(function, "__name__", "generate_signal"), declared(names), lookback)
        made.calls(function, 0)
        return made

    def calls(self, function: Callable[..., Any], bound: int) -> None:
        """Call this function from now on; the first `bound` of its arguments are bound. Raises ContractError."""
        count = arguments_of(function, bound)
        if count not in (1, 2, None):
            required = count if count is None else max(count, 0)
            defaults = len(getattr(function, "__defaults__", None) or ())
            if required is None or required < 2 or required - defaults > 2:
                raise ContractError(f"{self.name}: expected the arguments (data, parameters), got {required} of them")
        self.generate = function
        self.takes_parameters = count != 1

    def handle(self, given: Input, index: int) -> Sequence[WireSignal]:
        """Hand an input to the strategy; returns its signals."""
        CLOCK.now = given.now
        kind = type(given)
        if kind is BarInput:
            self.windows.append(given)  # type: ignore[arg-type]
            return self._call(index) if self.every_bar else NONE
        if kind is TimerInput:
            return NONE if self.every_bar else self._call(index)
        if isinstance(given, GapInput):
            self.windows.clear(given.symbol)
            self.gap(given.symbol)
        elif isinstance(given, TradeInput):
            self.windows.prices[given.symbol] = given.price
        return NONE

    def gap(self, symbol: str) -> None:
        """Inputs of a symbol were lost."""

    def _call(self, index: int) -> Sequence[WireSignal]:
        data = self.windows.frames()
        if data is None:
            return NONE
        result = self.generate(data, dict(self.values)) if self.takes_parameters else self.generate(data)
        return NONE if result is None else signals_of(result, index, self.symbols)
