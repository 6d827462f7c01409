"""The contract of a strategy: a class that is told what the market does and answers with drafts of signals.

A strategy is a core: synchronous, without clock, randomness or I/O. Its time is that of what it is told (`event_time`),
so the same inputs give the same drafts, live, in a replay and in a backtest. It knows neither accounts nor the hub: the
runner makes a draft a signal by adding identity, times and marks.

    class Momentum(Strategy[Parameters]):
        Parameters = Parameters
        version = "1"

        def on_quote(self, quote: Quote) -> Sequence[Draft]: ...
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, ClassVar, Final, Generic, TypeVar

import msgspec

from protocols.market import Bar, Quote, Trade
from protocols.signals import NO_METADATA, Action, ExecutionParams, MarketConditions

P = TypeVar("P", bound=msgspec.Struct)
Figure = tuple[str, str | int | float | bool | None]
NO_DRAFTS: Final[tuple[Draft, ...]] = ()


class Draft(msgspec.Struct, frozen=True, gc=False, kw_only=True):
    """A signal without identity. The fields are those of `protocols.signals.Signal`.

    `validity_ns`: how long after it was made somebody may act on it.
    """

    market: str
    action: Action
    confidence: float
    validity_ns: int
    execution_params: ExecutionParams = ExecutionParams()
    risk_score: float = 0.0
    position_size: int | None = None
    max_drawdown: float | None = None
    current_price: int | None = None
    market_conditions: MarketConditions | None = None
    metadata: msgspec.Raw = NO_METADATA


class Strategy(Generic[P]):
    """The base of every strategy. What a subclass does not handle, it does not see.

    `markets` is empty for a strategy that takes every market of its node.
    """

    intervals: tuple[str, ...] = ()
    """Of the bars that `on_bar` wants, as "1m"; an instance may set its own, from its parameters. One that names no
    markets gets the bars that are built anyway; else they are built for it."""

    Parameters: ClassVar[type[msgspec.Struct]]
    """A struct that forbids unknown fields; its rules are checked when the configuration is read."""
    version: ClassVar[str]
    """What `strategy_version` of its signals says: to be raised whenever equal inputs may give other drafts."""

    def __init__(self, parameters: P, markets: tuple[str, ...]) -> None:
        self.parameters = parameters
        self.markets = markets

    def on_quote(self, quote: Quote) -> Sequence[Draft]:
        """The best prices of a market have changed."""
        return NO_DRAFTS

    def on_trade(self, trade: Trade) -> Sequence[Draft]:
        """A public trade."""
        return NO_DRAFTS

    def on_bar(self, bar: Bar) -> Sequence[Draft]:
        """A complete bar of one of `intervals`."""
        return NO_DRAFTS

    def on_gap(self, market: str) -> None:
        """Inputs of a market were lost: what was known of it does not lead up to what comes next."""

    def figures(self) -> tuple[Figure, ...]:
        """What an operator may want to see."""
        return ()


def event_time(event: Quote | Trade | Bar) -> int:
    """The venue's time of an event, or ours where it gave none; ns. It may go back from one event to the next.

    That of a bar is its end.
    """
    if isinstance(event, Bar):
        return event.end
    return event.ts_event or event.ts_recv


def handles(strategy: type[Strategy[Any]], handler: str) -> bool:
    """Whether a strategy's class has a handler of its own."""
    return getattr(strategy, handler) is not getattr(Strategy, handler)
