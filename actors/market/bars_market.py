"""All bars of one market, of every interval, out of its trades and quotes; and the clock that closes them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final, Literal

from actors.market.bars import CountBars, TimeBars
from actors.market.bars_intervals import SECOND, DayBounds, Interval
from protocols.market import STALE, Bar, Quote, Trade

MOST_AHEAD: Final = 60 * SECOND
"""A venue's time that is further ahead of ours than this is a mistake: our own is taken. Clocks that are wrong by
seconds are usual."""

Sources = Literal["trades", "quotes", "both"]


def event_time(ts_event: int, ts_recv: int) -> int:
    """The time that decides to which bar something belongs: the venue's, or ours where that is none."""
    if not ts_event or (ts_recv and ts_event > ts_recv + MOST_AHEAD):
        return ts_recv
    return ts_event


class EventClock:
    """Event time of one connection: the largest time heard, and on from there while nothing is heard.

    Data of long ago (a replay) makes its own time: it stands still between events, however slowly they are played.
    Wall and monotonic times in nanoseconds.
    """

    __slots__ = ("_heard", "_latest", "replayed")

    def __init__(self) -> None:
        self._latest = 0
        self._heard = 0
        self.replayed = False

    def hear(self, ts: int, ts_recv: int, wall: int, mono: int) -> None:
        """Something of event time `ts` was received at `ts_recv`; it is now `wall`."""
        if ts >= self._latest:
            self._latest = ts
            self._heard = mono
            self.replayed = abs(wall - (ts_recv or ts)) > MOST_AHEAD

    def now(self, mono: int) -> int:
        """Event time now."""
        return self._latest if self.replayed else self._latest + mono - self._heard


class MarketBars:
    """The bars of one market. All times are event times in nanoseconds, `ts_recv` apart."""

    def __init__(
        self,
        market: str,
        intervals: Sequence[Interval],
        source: Sources = "trades",
        grace: int = 0,
        day: DayBounds | None = None,
    ) -> None:
        self.market = market
        self.ended = False
        """No empty bars any more: the market is closed or not followed. The next trade begins again."""
        self._source = source
        self._grace = grace
        self._traded: list[TimeBars] = []
        self._quoted: list[TimeBars] = []
        self._counted: list[CountBars] = []
        self._timed: list[TimeBars] = []
        self._latest = 0
        self._down = False
        for each in intervals:
            self.build(each, day)

    def build(self, interval: Interval, day: DayBounds | None = None) -> None:
        """Build bars of one more interval, from the next trade or quote on."""
        trades, quotes = self._source != "quotes", self._source != "trades"
        if interval.kind == "time":
            if trades:
                self._traded.append(TimeBars(self.market, interval, "trades", self._grace, day))
            if quotes:
                self._quoted.append(TimeBars(self.market, interval, "quotes", self._grace, day))
            self._timed = [*self._traded, *self._quoted]
        elif trades:
            self._counted.append(CountBars(self.market, interval))

    @property
    def idle(self) -> bool:
        """Whether it is over and no bar is open."""
        return self.ended and not any(each.is_open for each in self._timed)

    @property
    def late(self) -> int:
        """How many trades and quotes came too late, the most of any interval."""
        return max((each.late for each in self._timed), default=0)

    def follow(self, day: DayBounds) -> None:
        """Keep to a calendar from now on."""
        for timed in self._timed:
            timed.follow(day)

    def trade(self, trade: Trade) -> list[Bar]:
        """The bars that a trade closes."""
        ts = event_time(trade.ts_event, trade.ts_recv)
        ts_recv = trade.ts_recv or ts
        self.ended = False
        for timed in self._traded:
            timed.take(trade.price, trade.size, ts, trade.marks)
        closed = self._heard(ts, ts_recv)
        for counted in self._counted:
            bar = counted.take(trade.price, trade.size, ts, ts_recv, trade.marks)
            if bar is not None:
                closed.append(bar)
        return closed

    def quote(self, quote: Quote) -> list[Bar]:
        """The bars that a quote closes; its middle is the price. One without a side says nothing."""
        if STALE in quote.marks:
            for timed in self._quoted:
                timed.doubt(self._latest)
            return []
        if quote.bid is None or quote.ask is None:
            return []
        ts = event_time(quote.ts_event, quote.ts_recv)
        self.ended = False
        for timed in self._quoted:
            timed.take((quote.bid + quote.ask) // 2, 0, ts, quote.marks)
        return self._heard(ts, quote.ts_recv or ts)

    def tick(self, now: int, ts_recv: int) -> list[Bar]:
        """The bars that are over at event time `now`."""
        if self._down:
            self.doubt(now)
        closed: list[Bar] = []
        for timed in self._timed:
            if timed.frontier is not None and now >= timed.due:
                closed += timed.advance(now, ts_recv, fill=not self.ended)
        return closed

    def doubt(self, now: int) -> None:
        """Something was lost: no bar that is open at `now` is complete."""
        now = max(now, self._latest)
        for timed in self._timed:
            timed.doubt(now)
        for counted in self._counted:
            counted.doubt()

    def down(self, now: int) -> None:
        """Nobody tells of this market any more: no bar is complete until `up`."""
        self._down = True
        self.doubt(now)

    def up(self, now: int) -> None:
        """Told of again; the bars that are open are those of the silence, too."""
        if self._down:
            self.doubt(now)
            self._down = False

    def _heard(self, ts: int, ts_recv: int) -> list[Bar]:
        self._latest = max(self._latest, ts)
        return self.tick(self._latest, ts_recv)
