"""The contract of the SDK: a subclass of `BaseStrategy`, told of the markets, of the interval and of its account."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import Any, ClassVar, Final, cast

from actors.strategies.sandbox.inside.clock import CLOCK
from actors.strategies.sandbox.inside.contract import (
    NO_COMMANDS,
    NONE,
    Contract,
    ContractError,
    Kind,
    lookback_of,
)
from actors.strategies.sandbox.inside.journal import Journal
from actors.strategies.sandbox.inside.results import wire_signal
from actors.strategies.sandbox.inside.trading import Trading
from actors.strategies.sandbox.wire import (
    BarInput,
    GapInput,
    Handles,
    Input,
    Load,
    QuoteInput,
    TimerInput,
    TradeInput,
    WireSignal,
)
from actors.strategies.sandbox.wire_orders import WireCommand
from actors.strategies.sdk.bars import Bar, Quote, Trade
from actors.strategies.sdk.base import BaseStrategy, build, handled
from actors.strategies.sdk.parameters import ParameterProblem, ParametersError, declared
from actors.strategies.sdk.session import Session

_QUOTE: Final[Callable[[tuple[Any, ...]], Quote]] = partial(tuple.__new__, Quote)
_TRADE: Final[Callable[[tuple[Any, ...]], Trade]] = partial(tuple.__new__, Trade)
"""What a named tuple makes itself of, without its own function in Python: there may be millions."""


class SdkContract(Contract):
    """One life of an SDK strategy."""

    kind: ClassVar[Kind] = "sdk"

    def __init__(self, load: Load, strategy: type[BaseStrategy], journal: Journal) -> None:
        super().__init__(load, strategy.__name__, declared(strategy))
        self.session = Session(self.windows, journal.log, strategy_id=load.strategy_id, is_live=load.live, now=load.now)
        self.values = self.session.parameters = _same_object(self.values, self.session.parameters)
        self.trading = Trading(self.session, self.windows)
        if load.deployment is not None:
            self.trading.deploy(load.deployment)
        self.strategy = build(strategy, self.session)
        self.handles = cast("tuple[Handles, ...]", handled(strategy))
        required = self.strategy.get_required_data()
        if not isinstance(required, Mapping):
            raise ContractError(f"get_required_data: expected a dictionary, got {type(required).__name__}")
        lookback = lookback_of(required.get("history_bars"), "history_bars")
        if lookback is not None:
            self.windows.look_back(lookback)
        self._validate()

    def start(self, state: object, *, restored: bool) -> None:
        """Initialize, and give back a state, where there is one: over what `initialize` has set."""
        self.strategy.initialize()
        if restored:
            self.strategy.on_load(state)

    def handle(self, given: Input, index: int) -> Sequence[WireSignal]:
        """Hand an input to the strategy; returns its signals."""
        session = self.session
        CLOCK.now = session.now = now = given.now
        if (account := self.trading.account) is not None:
            account.at(now)
        kind = type(given)
        if kind is BarInput:
            self.windows.append(given)  # type: ignore[arg-type]
            bar = _bar(given)  # type: ignore[arg-type]
            session.at(now, bar)
            if account is not None:
                account.price_moved()
            self.strategy.on_bar(bar)
        elif isinstance(given, QuoteInput):
            mid = (given.bid + given.ask) / 2.0
            if mid == mid:
                self.windows.prices[given.symbol] = mid
            if account is not None:
                account.price_moved()
            quote = (given.symbol, given.bid, given.bid_size, given.ask, given.ask_size, given.ts)
            self.strategy.on_quote(_QUOTE(quote))
        elif isinstance(given, TradeInput):
            self.windows.prices[given.symbol] = given.price
            if account is not None:
                account.price_moved()
            self.strategy.on_trade(_TRADE((given.symbol, given.price, given.size, given.taker, given.ts)))
        elif isinstance(given, TimerInput):
            self.strategy.on_timer()
        elif isinstance(given, GapInput):
            self.windows.clear(given.symbol)
            self.strategy.on_gap(given.symbol)
        else:
            self.trading.handle(given, self.strategy)
        signals = session.take_signals()
        return [wire_signal(each, index, self.symbols) for each in signals] if signals else NONE

    def settled(self, given: Mapping[str, Any]) -> None:
        """Put parameters in force, all or none. Raises ParametersError, also for what `validate_parameters` says."""
        before = dict(self.values)
        super().settled(given)
        if hasattr(self, "strategy"):
            try:
                self._validate()
            except BaseException:
                self.values.clear()
                self.values.update(before)
                raise

    def changed(self) -> None:
        """Tell the strategy."""
        self.strategy.on_parameters_changed()

    def commands(self, index: int) -> tuple[Sequence[WireCommand], int]:
        """Those that the strategy has given since the last time."""
        account = self.trading.account
        return NO_COMMANDS if account is None or not account.orders.commanded else self.trading.take(index)

    def discard(self) -> None:
        """Forget the signals and the commands of the input at hand."""
        self.session.take_signals()
        self.trading.discard()

    def unsent(self, commands: Sequence[WireCommand]) -> None:
        """The strategy finds the orders rejected."""
        self.trading.unsent(commands)

    def metrics(self) -> Mapping[str, float]:
        """The figures recorded since the last time."""
        return self.session.take_metrics()

    @property
    def keeps_state(self) -> bool:
        """Always: the variables, or what its own `on_save` returns."""
        return True

    def state(self) -> object:
        """What `on_save` returns."""
        return self.strategy.on_save()

    def finalize(self) -> None:
        """Tell the strategy."""
        self.strategy.finalize()

    def _validate(self) -> None:
        wrong = self.strategy.validate_parameters()
        if wrong:
            problems = [ParameterProblem(message=str(each)[:1024]) for each in wrong]
            raise ParametersError(problems)


def _bar(given: BarInput) -> Bar:
    return Bar(
        given.symbol, given.timeframe, given.start, given.open, given.high, given.low, given.close, given.volume,
        given.trades, given.vwap, given.end,
    )  # fmt: skip


def _same_object(values: dict[str, Any], parameters: dict[str, Any]) -> dict[str, Any]:
    parameters.update(values)
    return parameters
