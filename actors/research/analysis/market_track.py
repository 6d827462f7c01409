"""Prices of markets over time, to hold fills against: the best bid and ask, or the last price where there are none.

Out of data (`from_sources`) or out of what an account itself was given (`Watcher`). At one moment the last word counts.
"""

from __future__ import annotations

from array import array
from bisect import bisect_left, bisect_right
from collections.abc import Callable, Iterable, Mapping
from typing import Final

import msgspec

from actors.execution.engine import Engine
from actors.execution.inputs import Numbered, Restarted
from actors.market.book import Book
from actors.research.backtest.merging import merged
from actors.research.backtest.sources import Source, expanded
from protocols.market import Bar, BookStale, BookUpdate, Quote, Trade

_NONE: Final = -(2**63)


class Gap(msgspec.Struct, frozen=True):
    """Nothing is known of a market in [start, end), ns; `end` None: until the end of what is known."""

    market: str
    start: int
    end: int | None
    reason: str


class Track:
    """One market's prices. Times in ns, prices in nanos."""

    __slots__ = ("_ask", "_bid", "_mid", "_ts")

    def __init__(self) -> None:
        self._ts = array("q")
        self._bid = array("q")
        self._ask = array("q")
        self._mid = array("q")

    def __len__(self) -> int:
        return len(self._ts)

    def add(self, ts: int, bid: int | None, ask: int | None, last: int | None) -> None:
        """The next word; times do not go backwards. Without both sides `last` is its price, if there is one."""
        if bid is not None and ask is not None:
            middle = (bid + ask) // 2
        elif last is not None:
            middle = last
        else:
            return
        one, other = _NONE if bid is None else bid, _NONE if ask is None else ask
        if self._ts and (self._mid[-1], self._bid[-1], self._ask[-1]) == (middle, one, other):
            return
        if self._ts and ts <= self._ts[-1]:
            self._bid[-1], self._ask[-1], self._mid[-1] = one, other, middle
            return
        self._ts.append(ts)
        self._bid.append(one)
        self._ask.append(other)
        self._mid.append(middle)

    def mid(self, ts: int) -> int | None:
        """The price at `ts`: the last word at or before it; None: there was none yet."""
        place = bisect_right(self._ts, ts) - 1
        return None if place < 0 else self._mid[place]

    def before(self, ts: int) -> int | None:
        """The price just before `ts`."""
        place = bisect_left(self._ts, ts) - 1
        return None if place < 0 else self._mid[place]


class Prices:
    """The tracks of markets, and up to when they are known. A price behind `end` is unknown, not the last one."""

    def __init__(self) -> None:
        self.tracks: dict[str, Track] = {}
        self.ends: dict[str, int] = {}
        self.gaps: list[Gap] = []
        self._open: dict[str, tuple[int, str]] = {}

    def add(self, market: str, ts: int, bid: int | None, ask: int | None, last: int | None) -> None:
        """The next word of a market."""
        track = self.tracks.get(market)
        if track is None:
            track = self.tracks[market] = Track()
        track.add(ts, bid, ask, last)
        self.ends[market] = ts

    def stale(self, market: str, ts: int, reason: str) -> None:
        """From `ts` on what was said of a market is not current."""
        self._open.setdefault(market, (ts, reason))

    def fresh(self, market: str, ts: int) -> None:
        """It is current again."""
        if market in self._open:
            start, reason = self._open.pop(market)
            self.gaps.append(Gap(market, start, ts, reason))

    def mid(self, market: str, ts: int) -> int | None:
        """The price of a market at a moment; None: not known."""
        track = self.tracks.get(market)
        if track is None or ts > self.ends[market] or self.gap(market, ts, ts) is not None:
            return None
        return track.mid(ts)

    def before(self, market: str, ts: int) -> int | None:
        """The price just before a moment; None: not known. What a fill changes itself is not in it."""
        track = self.tracks.get(market)
        if track is None or ts > self.ends[market] + 1 or self.gap(market, ts - 1, ts - 1) is not None:
            return None
        return track.before(ts)

    def gap(self, market: str, first: int, last: int) -> Gap | None:
        """A gap of the market that meets [first, last]; None: there is none."""
        for gap in self.gaps:
            if gap.market == market and gap.start <= last and (gap.end is None or gap.end > first):
                return gap
        found = self._open.get(market)
        return None if found is None or found[0] > last else Gap(market, found[0], None, found[1])

    def moved(self, move: Callable[[Iterable[Gap]], list[Gap]]) -> Prices:
        """Its gaps by another clock, without the tracks."""
        found = Prices()
        found.gaps = move([*self.gaps, *(Gap(market, at[0], None, at[1]) for market, at in self._open.items())])
        return found


class Watcher:
    """Notes the prices that an account was given, while its journal is replayed, and where it was given none."""

    def __init__(self) -> None:
        self.prices = Prices()

    def __call__(self, item: Numbered, engine: Engine) -> None:
        """See `journal_replay.Observer`."""
        message, ts = item.item, item.ts
        if isinstance(message, BookStale):
            self.prices.stale(message.market, ts, message.reason)
        elif isinstance(message, Restarted):
            for market in engine.instruments:
                self.prices.stale(market, ts, "restarted")
        elif isinstance(message, Quote | Trade | BookUpdate | Bar):
            if isinstance(message, Quote | Bar) or (isinstance(message, BookUpdate) and message.snapshot):
                self.prices.fresh(message.market, ts)
            mark = engine.marks.get(message.market)
            if mark is not None:
                self.prices.add(message.market, ts, mark.bid, mark.ask, mark.last)


def from_sources(sources: Iterable[Source], names: Mapping[str, str] | None = None) -> Prices:
    """The prices in data: of quotes and books the best ones, of bars the close at their end, else trades.

    `names`: what the data's markets are called in the order log. A market with quotes is priced by them alone.
    Raises SourceError.
    """
    prices = Prices()
    quoted: set[str] = set()
    names = names or {}
    books: dict[str, Book] = {}
    for packed in merged(list(sources)):
        batch = expanded(packed, books)
        for ts, message in zip(batch.ts, batch.messages, strict=True):
            market = names.get(message.market, message.market)
            if isinstance(message, Quote):
                quoted.add(market)
                prices.fresh(market, ts)
                prices.add(market, ts, message.bid, message.ask, None)
            elif isinstance(message, Trade | Bar):
                if market not in quoted:
                    prices.add(market, ts, None, None, message.close if isinstance(message, Bar) else message.price)
            elif isinstance(message, BookStale):
                prices.stale(market, ts, message.reason)
    return prices
