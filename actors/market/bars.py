"""Bars out of trades or quotes. A bar is [start, end), named by its start, and seen at its end.

A time bar is open until event time has passed its end by a grace, so trades that come out of order within it find
their bar. What comes later is counted in `late` of the bar that is open then, and changes nothing. A bar in which
nothing happened repeats the last close with volume 0 and says so (`empty`).

A bar that was open while something was lost, or whose beginning nobody saw, carries the mark `stale`.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise
from typing import Final, Literal

from actors.market.bars_intervals import DayBounds, Interval
from protocols.market import STALE, Bar
from protocols.nanos import decimal_text, scaled

MOST_EMPTY: Final = 1500
"""A longer silence than this many bars is a hole and not a row of empty bars."""

Source = Literal["trades", "quotes"]


class OpenBar:
    """What a bar has so far. Open and close are by event time, and by arrival where that is equal."""

    __slots__ = ("close", "first", "high", "last", "low", "marks", "notional", "open", "trades", "volume")

    def __init__(self, price: int, ts: int) -> None:
        self.open = self.high = self.low = self.close = price
        self.first = self.last = ts
        self.volume = 0
        self.notional = 0
        self.trades = 0
        self.marks: set[str] = set()

    def take(self, price: int, size: int, ts: int, marks: tuple[str, ...]) -> None:
        """One more trade or quote."""
        if price > self.high:
            self.high = price
        elif price < self.low:
            self.low = price
        if ts >= self.last:
            self.last, self.close = ts, price
        elif ts < self.first:
            self.first, self.open = ts, price
        self.volume += size
        self.notional += price * size
        self.trades += 1
        if marks:
            self.marks.update(marks)

    def bar(
        self, market: str, interval: str, start: int, end: int, source: Source, ts_recv: int, late: int, *, stale: bool
    ) -> Bar:
        """The bar as a message."""
        traded = source == "trades"
        marks = self.marks | {STALE} if stale else self.marks
        return Bar(
            market, interval, start, end, self.open, self.high, self.low, self.close,
            volume=decimal_text(self.volume) if traded else "",
            trades=self.trades if traded else None,
            vwap=_nearest(self.notional, self.volume) if traded and self.volume else None,
            source=source, ts_recv=ts_recv, late=late, marks=tuple(sorted(marks)),
        )  # fmt: skip


def _nearest(amount: int, divisor: int) -> int:
    return (2 * amount + divisor) // (2 * divisor)


class TimeBars:
    """Bars of one market and one interval of time. Event times in nanoseconds.

    `day`: the borders of trading days, for an instrument with a calendar: its daily bars are those, and no empty bar
    lies outside of them.
    """

    def __init__(
        self,
        market: str,
        interval: Interval,
        source: Source = "trades",
        grace: int = 0,
        day: DayBounds | None = None,
    ) -> None:
        self.market = market
        self.interval = interval
        self.source: Source = source
        self.grace = grace
        self.day = day
        self.late = 0
        """How many came too late, in all."""
        self.holes = 0
        """How often a silence was too long for empty bars."""
        self.frontier: int | None = None
        """Start of the oldest bar that is open."""
        self.due = 0
        """Event time at which that one closes."""
        self._end = 0
        self._bars: dict[int, OpenBar] = {}
        self._close: int | None = None
        self._marks: tuple[str, ...] = ()
        self._late = 0
        self._doubtful = -1
        self._latest = 0

    @property
    def is_open(self) -> bool:
        """Whether anything waits for its bar to close."""
        return bool(self._bars)

    def take(self, price: int, size: int, ts: int, marks: tuple[str, ...] = ()) -> None:
        """A trade (or a quote's middle, with size 0) at event time `ts`."""
        start, end = self.interval.bounds(ts, self.day)
        if self.frontier is None:
            self._doubtful = max(self._doubtful, ts)
            self._move(start)
        elif start < self.frontier:
            if self._close is not None or end + self.grace <= self._latest:
                self.late += 1
                self._late += 1
                return
            self._move(start)  # nothing is closed yet: the first trade to come need not be the first one
        if ts > self._latest:
            self._latest = ts
        bar = self._bars.get(start)
        if bar is None:
            bar = self._bars[start] = OpenBar(price, ts)
        bar.take(price, size, ts, marks)

    def advance(self, now: int, ts_recv: int, *, fill: bool = True) -> list[Bar]:
        """The bars that event time `now` closes, in order. `fill`: empty bars too."""
        closed: list[Bar] = []
        while self.frontier is not None and now >= self.due:
            start, end = self.frontier, self._end
            bar = self._bars.pop(start, None)
            if bar is not None:
                stale = start <= self._doubtful
                closed.append(
                    bar.bar(self.market, self.interval.name, start, end, self.source, ts_recv, self._late, stale=stale)
                )
                self._late = 0
                self._close = bar.close
                self._marks = tuple(sorted(bar.marks))
            elif not fill:
                # Nothing is open any more: the next trade begins anew.
                if not self._bars:
                    self._move(end)
                    break
                self._move(min(self._bars))
                continue
            elif self._steps_over(now):
                continue
            else:
                closed.append(self._empty(start, end, ts_recv))
            self._move(end)
        return closed

    def doubt(self, now: int) -> None:
        """Something was lost: no bar that is open at event time `now` is complete."""
        self._doubtful = max(self._doubtful, now)

    def follow(self, day: DayBounds) -> None:
        """Keep to a calendar from now on; a daily bar that is open begins anew."""
        self.day = day
        if self.interval.daily and self.frontier is not None:
            self.frontier = None
            self._bars.clear()

    def _move(self, ts: int) -> None:
        self.frontier, self._end = self.interval.bounds(ts, self.day)
        self.due = self._end + self.grace

    def _steps_over(self, now: int) -> bool:
        """Step over bars in which nobody could trade, and over a silence that is too long."""
        assert self.frontier is not None
        target = self.interval.bounds(now - self.grace, self.day)[0]
        if self._bars:
            target = min(target, *self._bars)
        if self.day is not None and (opens := self.day(self.frontier)[0]) >= self._end:
            self._move(min(target, opens))
            return True
        if target - self.frontier <= MOST_EMPTY * self.interval.length:
            return False
        self.holes += 1
        self._move(target)
        return True

    def _empty(self, start: int, end: int, ts_recv: int) -> Bar:
        close = self._close
        assert close is not None  # the first bar has a price
        traded = self.source == "trades"
        marks = {*self._marks, STALE} if start <= self._doubtful else self._marks
        late, self._late = self._late, 0
        return Bar(
            self.market, self.interval.name, start, end, close, close, close, close,
            volume="0" if traded else "", trades=0 if traded else None, vwap=None, source=self.source,
            ts_recv=ts_recv, empty=True, late=late, marks=tuple(sorted(marks)),
        )  # fmt: skip


class CountBars:
    """Bars of so many trades, or of at least so much volume, in the order in which trades come.

    A trade is never divided: the one that fills a bar belongs to it whole. A bar starts with its first trade's event
    time, or where the last bar ended if that is later, and ends just behind its last one's; so starts rise strictly.
    """

    def __init__(self, market: str, interval: Interval) -> None:
        if interval.kind == "time":
            raise ValueError(f"{interval.name} is an interval of time")
        self.market = market
        self.interval = interval
        self._bar: OpenBar | None = None
        self._start = 0
        self._end = 0
        self._stale = False

    def take(self, price: int, size: int, ts: int, ts_recv: int, marks: tuple[str, ...] = ()) -> Bar | None:
        """A trade; the bar that it fills."""
        bar = self._bar
        if bar is None:
            self._start = ts = max(ts, self._end)
            bar = self._bar = OpenBar(price, ts)
        bar.take(price, size, max(ts, bar.last), marks)
        if (bar.trades if self.interval.kind == "trades" else bar.volume) < self.interval.length:
            return None
        self._bar, self._end = None, bar.last + 1
        stale, self._stale = self._stale, False
        return bar.bar(
            self.market, self.interval.name, self._start, self._end, "trades", ts_recv, 0, stale=stale
        )  # fmt: skip

    def doubt(self) -> None:
        """Something was lost: the bar that is open is not complete."""
        self._stale = self._bar is not None


def merged(bars: Sequence[Bar], interval: Interval, day: DayBounds | None = None) -> list[Bar]:
    """Longer bars of time out of complete ones that follow one another; a last one that is not full is left out.

    What a part lacks the whole lacks: volume, count and VWAP are there if all parts have them.
    """
    groups: dict[tuple[int, int], list[Bar]] = {}
    for bar in bars:
        groups.setdefault(interval.bounds(bar.start, day), []).append(bar)
    found = [_merge(parts, interval.name, start, end) for (start, end), parts in sorted(groups.items())]
    if found and bars[-1].end < found[-1].end:
        found.pop()
    return found


def _merge(parts: list[Bar], name: str, start: int, end: int) -> Bar:
    first = parts[0]
    full = [part for part in parts if not part.empty] or parts
    volumes = [volume_nanos(part) for part in parts if part.volume]
    counts = [part.trades for part in parts if part.trades is not None]
    marks = {mark for part in parts for mark in part.marks}
    if first.start > start or any(later.start > earlier.end for earlier, later in pairwise(parts)):
        marks.add(STALE)  # there is a part that nobody saw
    return Bar(
        first.market, name, start, end,
        open=full[0].open,
        high=max(part.high for part in full),
        low=min(part.low for part in full),
        close=parts[-1].close,
        volume=decimal_text(sum(volumes)) if len(volumes) == len(parts) else "",
        trades=sum(counts) if len(counts) == len(parts) else None,
        vwap=_merged_vwap(parts),
        source=first.source, ts_recv=parts[-1].ts_recv, empty=all(part.empty for part in parts),
        late=sum(part.late for part in parts), marks=tuple(sorted(marks)),
    )  # fmt: skip


def volume_nanos(bar: Bar) -> int:
    """A bar's volume in nanos, 0 where it has none. Digits finer than 10⁻⁹ are cut off."""
    return scaled(bar.volume)[0] if bar.volume else 0


def _merged_vwap(parts: Sequence[Bar]) -> int | None:
    notional = volume = 0
    for part in parts:
        traded = volume_nanos(part)
        if not part.volume or (traded and part.vwap is None):
            return None
        volume += traded
        notional += traded * (part.vwap or 0)
    return _nearest(notional, volume) if volume else None
