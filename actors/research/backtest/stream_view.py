"""Which messages of a stream go to the engine, and which to the strategy.

One market has one authority for matching: its book where there is one, else its quotes, else its bars (the shortest
that the data has). Trades go to the engine always. Quotes that a book makes are the strategy's alone.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence

from actors.market.bars_intervals import parse_interval
from actors.research.backtest.sources import Source
from protocols.market import Bar, Quote


class StreamView:
    """What is known of the data of a run; that a market has a book may turn out only on the way (recordings)."""

    def __init__(self, sources: Sequence[Source], markets: Iterable[str] = ()) -> None:
        self.wanted = frozenset(markets)
        self.books: set[str] = set()
        quoted: set[str] = set()
        traded: set[str] = set()
        self.intervals: dict[str, frozenset[str]] = {}
        """Intervals of the bars that the data has, by market."""
        known: list[str] = []
        for source in sources:
            for market, feeds in source.feeds.items():
                known.append(market)
                self.books |= {market} if "book" in feeds else set()
                quoted |= {market} if "quotes" in feeds else set()
                traded |= {market} if "trades" in feeds else set()
                if "bars" in feeds:
                    self.intervals[market] = self.intervals.get(market, frozenset()) | source.intervals
        self.markets = tuple(dict.fromkeys(market for market in known if not self.wanted or market in self.wanted))
        self.quotes_only = frozenset(quoted - traded)
        self._matched = {
            market: min(names, key=lambda name: parse_interval(name).length)
            for market, names in self.intervals.items()
            if market not in quoted and market not in self.books
        }

    @property
    def of_bars_alone(self) -> bool:
        """Whether every market is matched against bars."""
        return bool(self.markets) and all(market in self._matched for market in self.markets)

    def takes(self, market: str) -> bool:
        """Whether the market takes part."""
        return not self.wanted or market in self.wanted

    def matches_quote(self, quote: Quote) -> bool:
        """Whether the engine matches against this quote."""
        return quote.market not in self.books

    def matches_bar(self, bar: Bar) -> bool:
        """Whether the engine matches against this bar."""
        return self._matched.get(bar.market) == bar.interval and bar.market not in self.books


def benchmark_of(markets: Sequence[str], wanted: str, known: Mapping[str, object]) -> str:
    """The market whose price is compared with: the one that was named, else the first."""
    if wanted and (wanted in known or wanted in markets):
        return wanted
    return markets[0] if markets else ""
