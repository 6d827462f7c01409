"""What each book was like over buckets of 10 seconds: the rows of `orderbook_signals`.

A bucket is [start, end) in receive time, its start a multiple of its length. It has a row if anything changed in it.
Volumes are averaged over time: a size that rests for nine of ten seconds counts nine tenths.
"""

from __future__ import annotations

from typing import Final

from actors.market.rows import OrderbookSignalRow
from protocols.market import Quote

BUCKET_NS: Final = 10_000_000_000


class SignalBucket:
    """The open bucket of one market. Made at its first change; `row` closes it."""

    __slots__ = (
        "_area",
        "_at",
        "_began",
        "_volume",
        "closed_spread",
        "end",
        "high",
        "low",
        "market",
        "marks",
        "opened_spread",
        "quotes",
        "session_id",
        "start",
        "top",
        "top_most",
        "touched",
        "updates",
        "yes_no",
    )

    def __init__(self, market: str, session_id: str, yes_no: bool, marks: tuple[str, ...], ts: int) -> None:
        self.market = market
        self.session_id = session_id
        self.yes_no = yes_no
        self.marks = marks
        self.start = ts - ts % BUCKET_NS
        self.end = self.start + BUCKET_NS
        self.opened_spread: int | None = None
        self.closed_spread: int | None = None
        self.high: int | None = None
        self.low: int | None = None
        self.top = (0, 0)
        self.top_most = (0, 0)
        self.updates = 0
        self.quotes = 0
        self.touched = True
        """Whether anything came since somebody looked; who looks clears it."""
        self._began: int | None = None
        self._at = 0
        self._volume = (0, 0)
        self._area = [0, 0]

    def carry_on(self, before: SignalBucket) -> None:
        """Begin with the spread, the top sizes and the volumes with which the bucket before has ended."""
        self.opened_spread = self.closed_spread = self.high = self.low = before.closed_spread
        self.top = self.top_most = before.top
        if before._began is not None:
            self._volume = before._volume
            self._began = self._at = self.start

    def update(self, bid_volume: int, ask_volume: int, ts: int) -> None:
        """A message was applied; these are the sizes of both whole sides after it. `ts` is when it was received."""
        self.updates += 1
        self.touched = True
        self._pass_time(ts)
        self._volume = (bid_volume, ask_volume)

    def quote(self, quote: Quote) -> None:
        """The best prices or their sizes have changed."""
        self.quotes += 1
        self.touched = True
        self.top = (quote.bid_size, quote.ask_size)
        self.top_most = (max(self.top_most[0], quote.bid_size), max(self.top_most[1], quote.ask_size))
        if quote.bid is None or quote.ask is None:
            self.closed_spread = None
            return
        spread = self.closed_spread = quote.ask - quote.bid
        if self.opened_spread is None or self.high is None or self.low is None:
            self.opened_spread = self.high = self.low = spread
        self.high = max(self.high, spread)
        self.low = min(self.low, spread)

    def row(self) -> OrderbookSignalRow:
        """What the bucket came to. It takes no more after this."""
        self._pass_time(self.end)
        return OrderbookSignalRow(
            market_ticker=self.market,
            session_id=self.session_id,
            bucket_start=self.start,
            bucket_end=self.end,
            yes_no=self.yes_no,
            yes_spread_open=self.opened_spread,
            yes_spread_high=self.high,
            yes_spread_low=self.low,
            yes_spread_close=self.closed_spread,
            bid_volume_mean=self._mean(0),
            ask_volume_mean=self._mean(1),
            bid_top_size=self.top[0],
            ask_top_size=self.top[1],
            bid_top_size_max=self.top_most[0],
            ask_top_size_max=self.top_most[1],
            updates=self.updates,
            quotes=self.quotes,
            marks=self.marks,
        )

    def _pass_time(self, ts: int) -> None:
        ts = min(ts, self.end)
        if self._began is None:
            self._began = self._at = ts
            return
        spent = ts - self._at
        if spent > 0:
            self._area[0] += self._volume[0] * spent
            self._area[1] += self._volume[1] * spent
            self._at = ts

    def _mean(self, side: int) -> str | None:
        if self._began is None:
            return None
        spent = self._at - self._began
        return str(self._area[side] // spent if spent else self._volume[side])
