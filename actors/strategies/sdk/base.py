"""`BaseStrategy`: what a strategy is, for its author; `build`, `handled`, `plain`: for who runs it.

    from actors.strategies.sdk import Bar, BaseStrategy, Parameter

    class Reversion(BaseStrategy):
        period = Parameter.int(14, least=2, description="bars of the RSI")

        def on_bar(self, bar: Bar) -> None:
            rsi = self.data.rsi(bar.symbol, self.period)
            if rsi is not None and rsi < 30:
                self.buy(bar.symbol, confidence=0.6)

What a strategy says by `buy`, `sell`, `close_long`, `close_short`, `close_all`, `hold` and `signal` are SIGNALS: they
tell what it would do, and are recorded, filtered and distributed. They are no orders. Orders go through `self.orders`,
which an account answers; without one it raises NotDeployed. A command leaves behind the input that led to it, and what
becomes of the order is told by later ones (`on_order_filled`, `on_order_cancelled`).

A strategy reads the time from `self.context`, never from a clock, so it does the same live, in a replay and in a test.
"""

# Handlers that a strategy may leave out are empty, and not abstract.
# ruff: noqa: B027

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping
from typing import Any, Final, TypeVar, Unpack

import numpy as np

from actors.strategies.sdk.bars import Bar, Quote, Trade
from actors.strategies.sdk.data import Data
from actors.strategies.sdk.parameters import VALUES
from actors.strategies.sdk.session import Context, Level, Session
from actors.strategies.sdk.signal import Action, Signal, SignalFields
from actors.strategies.sdk.trading import Fill, Order, Orders, Portfolio, Position, Risk

S = TypeVar("S", bound="BaseStrategy")

_DEEPEST: Final = 50


class BaseStrategy(ABC):
    """The base of a strategy. Only `on_bar` has to be defined.

    A strategy is built once in a run: `__init__` (which takes no arguments, and usually is not defined at all),
    `validate_parameters`, `initialize`, `on_load` where there is a state to go on from, then the inputs in their
    order. Everything below can be used from `__init__` on.
    """

    _session: Session | None = None

    # -- what a strategy may define ------------------------------------------------------------------------

    def initialize(self) -> None:
        """Called once, before there is any input. Bars of before the start come behind it, into the windows alone."""

    @abstractmethod
    def on_bar(self, bar: Bar) -> None:
        """A bar is complete, of any symbol and timeframe of the run; it is the newest of its window."""

    def on_quote(self, quote: Quote) -> None:
        """The best prices of a symbol have changed."""

    def on_trade(self, trade: Trade) -> None:
        """A public trade."""

    def on_gap(self, symbol: str) -> None:
        """Inputs of a symbol were lost: what was known of it may not lead up to what comes next."""

    def on_timer(self) -> None:
        """The run's execution interval has passed."""

    def on_order_filled(self, fill: Fill) -> None:
        """An order of the strategy was filled, in part or whole."""

    def on_order_cancelled(self, order: Order) -> None:
        """An order was cancelled, rejected, or has expired; `order.state` and `order.reason` say which and why."""

    def on_position_opened(self, position: Position) -> None:
        """There is a position where there was none."""

    def on_position_closed(self, position: Position) -> None:
        """A position is gone; `position` is as it was last, with what it has realized."""

    def on_parameters_changed(self) -> None:
        """Parameters have other values than before. Not called for those of the start."""

    def finalize(self) -> None:
        """Called once after the last input of a run that ends in order. A worker that is killed does not call it."""

    def validate_parameters(self) -> list[str]:
        """What is wrong with the parameters as a whole, such as a fast average that is slower than the slow one.

        Called before `initialize`, and when they are to be changed; with any text in the list they are refused.
        """
        return []

    def get_required_data(self) -> dict[str, Any]:
        """What the strategy needs; all of it is optional.

        `history_bars`: how many bars of each window it sees (1 to 10000). `symbols`, `timeframe`: what it is made
        for. `indicators`: what it computes, for people.
        """
        return {}

    def on_save(self) -> Any:
        """What is to survive a restart: None, numbers, texts, lists and dictionaries, at most 1 MiB packed.

        By default the variables, those of `set_variable`. Whoever defines it defines `on_load`, too.
        """
        return plain(self.context.variables)

    def on_load(self, state: Any) -> None:
        """Take back what `on_save` has returned, perhaps of an earlier version; called behind `initialize`."""
        if not isinstance(state, dict):
            raise TypeError(f"state: expected a dictionary of variables, got {type(state).__name__}")
        self.context.variables.update(state)

    # -- what a strategy has -------------------------------------------------------------------------------

    @property
    def data(self) -> Data:
        """Bars, prices and indicators."""
        return self._running().data

    @property
    def context(self) -> Context:
        """The time, the bar, the run."""
        return self._running().context

    @property
    def orders(self) -> Orders:
        """Orders of the account. Raises NotDeployed when used without one."""
        return self._running().execution.orders

    @property
    def portfolio(self) -> Portfolio:
        """What the account holds. Raises NotDeployed when used without one."""
        return self._running().execution.portfolio

    @property
    def risk(self) -> Risk:
        """The account's limits. Raises NotDeployed when used without one."""
        return self._running().execution.risk

    def log(self, message: object, level: Level = "info") -> None:
        """Add a line to the strategy's log: debug, info, warning or error."""
        self._running().log(message, level)

    def record_metric(self, name: str, value: float) -> None:
        """Record a figure: it is shown with the strategy's metrics. The last value of each name counts."""
        self._running().record_metric(name, value)

    def get_parameter(self, name: str, default: Any = None) -> Any:
        """The value of a parameter, `default` where there is none of this name. `self.period` is the same."""
        return self._running().parameters.get(name, default)

    def set_variable(self, name: str, value: Any) -> None:
        """Keep a value under a name; what `on_save` can save, it survives a restart."""
        self._running().variables[name] = value

    def get_variable(self, name: str, default: Any = None) -> Any:
        """What was kept under a name, `default` where nothing was."""
        return self._running().variables.get(name, default)

    # -- signals; these are no orders ----------------------------------------------------------------------

    def signal(self, signal: Signal) -> None:
        """Give a signal. Raises SignalError where it names no symbol, and the run has several, or a strange one."""
        self._running().signal(signal)

    def buy(
        self, symbol: str | None = None, confidence: float | None = None, **optional: Unpack[SignalFields]
    ) -> Signal:
        """Signal BUY: the price is going to rise. `symbol` may be left out where the run has one.

        All fields of Signal can be given. Raises SignalError for a value that a field cannot have.
        """
        return self._give("BUY", symbol, confidence, optional)

    def sell(
        self, symbol: str | None = None, confidence: float | None = None, **optional: Unpack[SignalFields]
    ) -> Signal:
        """Signal SELL: the price is going to fall."""
        return self._give("SELL", symbol, confidence, optional)

    def hold(
        self, symbol: str | None = None, confidence: float | None = None, **optional: Unpack[SignalFields]
    ) -> Signal:
        """Signal HOLD: nothing is to be done."""
        return self._give("HOLD", symbol, confidence, optional)

    def close_long(
        self, symbol: str | None = None, confidence: float | None = None, **optional: Unpack[SignalFields]
    ) -> Signal:
        """Signal CLOSE_LONG: whoever is long had better not be."""
        return self._give("CLOSE_LONG", symbol, confidence, optional)

    def close_short(
        self, symbol: str | None = None, confidence: float | None = None, **optional: Unpack[SignalFields]
    ) -> Signal:
        """Signal CLOSE_SHORT: whoever is short had better not be."""
        return self._give("CLOSE_SHORT", symbol, confidence, optional)

    def close_all(
        self, symbol: str | None = None, confidence: float | None = None, **optional: Unpack[SignalFields]
    ) -> Signal:
        """Signal CLOSE_ALL: no position of the symbol."""
        return self._give("CLOSE_ALL", symbol, confidence, optional)

    def _give(self, action: Action, symbol: str | None, confidence: float | None, optional: Any) -> Signal:
        signal = Signal(action=action, symbol=symbol, confidence=confidence, **optional)
        self._running().signal(signal)
        return signal

    def _running(self) -> Session:
        if self._session is None:
            raise RuntimeError(f"{type(self).__name__} was not started: a run builds it; to try one, see build()")
        return self._session


def build(strategy: type[S], session: Session) -> S:
    """A strategy whose session is there in its `__init__` already; `session.parameters` are in force.

    Raises TypeError for a class that does not define `on_bar`, and whatever its `__init__` raises.
    """
    made = strategy.__new__(strategy)
    made._session = session
    setattr(made, VALUES, session.parameters)
    made.__init__()  # type: ignore[misc]
    return made


def handled(strategy: type[BaseStrategy]) -> tuple[str, ...]:
    """Which inputs a class has handlers of its own for: bar, quote, trade, order."""
    own = {
        "bar": ("on_bar",),
        "quote": ("on_quote",),
        "trade": ("on_trade",),
        "order": ("on_order_filled", "on_order_cancelled", "on_position_opened", "on_position_closed"),
    }
    return tuple(kind for kind, names in own.items() if any(overrides(strategy, name) for name in names))


def overrides(strategy: type[BaseStrategy], name: str) -> bool:
    """Whether a class defines a method of BaseStrategy anew."""
    return getattr(strategy, name) is not getattr(BaseStrategy, name)


def plain(value: Any, place: str = "state", depth: int = 0) -> Any:
    """`value` as data that can be kept: numbers of numpy become numbers, tuples lists.

    Raises TypeError that says where something is that cannot be kept.
    """
    if depth > _DEEPEST:
        raise TypeError(f"{place}: expected at most {_DEEPEST} levels")
    if isinstance(value, np.generic):
        value = value.item()
    if value is None or isinstance(value, bool | str | bytes):
        return value
    if isinstance(value, int):
        if not -(2**63) <= value < 2**64:
            raise TypeError(f"{place}: expected a whole number of 64 bits, got {value.bit_length()} bits")
        return value
    if isinstance(value, float):
        return float(value)
    if isinstance(value, np.ndarray):
        return plain(value.tolist(), place, depth + 1)
    if isinstance(value, Mapping):
        for key in value:
            if not isinstance(key, str):
                raise TypeError(f"{place}: expected names as keys, got {type(key).__name__}")
        return {key: plain(each, f"{place}[{key!r}]", depth + 1) for key, each in value.items()}
    if isinstance(value, list | tuple):
        return [plain(each, f"{place}[{index}]", depth + 1) for index, each in enumerate(value)]
    raise TypeError(f"{place}: expected numbers, texts, lists and dictionaries, got {type(value).__name__}")
