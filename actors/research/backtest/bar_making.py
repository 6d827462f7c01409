"""Bars that a strategy wants and the data does not have: out of shorter bars, of trades, or of quotes.

As on a node (`actors.market.bars_market`): a bar is closed by the first message whose event time is past its end and
the grace, and is told behind that message.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Final

from actors.market.bars import merged
from actors.market.bars_intervals import Interval, parse_interval
from actors.market.bars_market import MarketBars
from protocols.market import Bar, Quote, Trade

GRACE: Final = 1_000_000_000
"""What a node's bar builder waits for late trades, ns ([bars] grace_ms)."""


class BarMaker:
    """Bars of several intervals of several markets.

    `wanted`: the names of the intervals. `given`: those that the data has as they are, by market; a market that is not
    in it has none.
    """

    def __init__(
        self,
        wanted: Iterable[str],
        given: Mapping[str, frozenset[str]],
        *,
        quotes_only: Iterable[str] = (),
        grace: int = GRACE,
    ) -> None:
        """`quotes_only`: markets of which there are no trades: their bars are made of quotes. Raises ValueError."""
        self.wanted = tuple(parse_interval(name) for name in wanted)
        self.given = given
        self.quotes_only = frozenset(quotes_only)
        self._grace = grace
        self._markets: dict[str, MarketBars] = {}
        self._parts: dict[tuple[str, str], list[Bar]] = {}

    def takes_quotes(self, market: str) -> bool:
        """Whether bars are made of this market's quotes."""
        return bool(self.wanted) and market in self.quotes_only and market not in self.given

    def trade(self, trade: Trade) -> list[Bar]:
        """The bars that a trade closes."""
        return self._of(trade.market).trade(trade)

    def quote(self, quote: Quote) -> list[Bar]:
        """The bars that a quote closes."""
        return self._of(quote.market).quote(quote)

    def bar(self, bar: Bar) -> list[Bar]:
        """What a bar of the data makes complete: itself, if it is wanted, behind the longer ones that end with it."""
        found: list[Bar] = []
        given = self.given.get(bar.market, frozenset())
        for interval in self.wanted:
            if interval.name == bar.interval:
                continue
            if interval.name not in given and bar.interval == self._finest(given):
                found += self._join(bar, interval)
        if any(interval.name == bar.interval for interval in self.wanted):
            found.append(bar)
        return found

    def _of(self, market: str) -> MarketBars:
        bars = self._markets.get(market)
        if bars is None:
            source = "quotes" if market in self.quotes_only else "trades"
            bars = self._markets[market] = MarketBars(market, self.wanted, source, self._grace)  # type: ignore[arg-type]
        return bars

    def _finest(self, given: frozenset[str]) -> str:
        return min(given, key=lambda name: parse_interval(name).length, default="")

    def _join(self, bar: Bar, interval: Interval) -> list[Bar]:
        if interval.kind != "time" or interval.length % (bar.end - bar.start):
            return []
        start, end = interval.bounds(bar.start)
        parts = self._parts.get((bar.market, interval.name))
        found: list[Bar] = []
        if parts is None:
            if bar.start != start:
                return []  # nobody saw its beginning
            parts = self._parts[bar.market, interval.name] = []
        if parts and parts[0].start < start:
            found += merged([*parts, bar], interval)[:1]
            parts.clear()
        parts.append(bar)
        if bar.end == end:
            found += merged(parts, interval)
            parts.clear()
        return found
