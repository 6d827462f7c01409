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
    """The open bucket of one market. Made at its first change, at `ts`; `row` closes it.

    The volumes are the sizes of both whole sides, in nanos.
    """

    __slots__ = (
        "_ask_area",
        "_ask_volume",
        "_at",
        "_began",
        "_bid_area",
        "_bid_volume",
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

    def __init__(
        self,
        market: str,
        session_id: str,
        yes_no: bool,
        marks: tuple[str, ...],
        ts: int,
        bid_volume: int = 0,
        ask_volume: int = 0,
    ) -> None:
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
        self._began = self._at = ts
        self._bid_volume = bid_volume
        self._ask_volume = ask_volume
        self._bid_area = 0
        self._ask_area = 0

    def carry_on(self, before: SignalBucket) -> None:
        """Begin with the spread, the top sizes and the volumes with which the bucket before has ended."""
        self.opened_spread = self.closed_spread = self.high = self.low = before.closed_spread
        self.top = self.top_most = before.top
        self._bid_volume = before._bid_volume
        self._ask_volume = before._ask_volume
        self._began = self._at = self.start

    def update(self, bid_volume: int, ask_volume: int, ts: int) -> None:
        """A message was applied that was received at `ts`, before the end; these are the volumes after it."""
        self.updates += 1
        self.touched = True
        # Once for every stored message: no calls in here.
        spent = ts - self._at
        if spent > 0:
            self._bid_area += self._bid_volume * spent
            self._ask_area += self._ask_volume * spent
            self._at = ts
        self._bid_volume = bid_volume
        self._ask_volume = ask_volume

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
        rest = self.end - self._at
        whole = self.end - self._began
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
            bid_volume_mean=str((self._bid_area + self._bid_volume * rest) // whole),
            ask_volume_mean=str((self._ask_area + self._ask_volume * rest) // whole),
            bid_top_size=self.top[0],
            ask_top_size=self.top[1],
            bid_top_size_max=self.top_most[0],
            ask_top_size_max=self.top_most[1],
            updates=self.updates,
            quotes=self.quotes,
            marks=self.marks,
        )
