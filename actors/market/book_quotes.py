"""What every book shares: its state, its quotes, and the rules that say when it cannot be right.

A book of levels (`book`) and a book of orders (`l3`) differ in what changes them. What they publish is the same.
"""

from __future__ import annotations

from typing import Final

from actors.market.book_reading import BookReading
from actors.market.book_sides import Side, SortedSide
from protocols.market import STALE, BookView, MarketPhase, Quote
from protocols.market import Side as Leg

NO_SNAPSHOT: Final = "no_snapshot"

_Quoted = tuple[int | None, int, int | None, int]


class Gap(Exception):
    """The book cannot be right: something was lost. `reason` is one of the words below.

    `negative_size`: more was taken from a level than it had. `crossed`: best bid above best ask after a whole
    message. `session`: an update of another session came before a snapshot. `out_of_order`: `seq` did not
    rise. `unknown_order`: a change of an order that is not there.
    `known_order`: a new order that was there already. `no_side`: an order of neither side.
    """

    def __init__(self, market: str, reason: str, detail: str = "") -> None:
        super().__init__(market, reason, detail)
        self.market = market
        self.reason = reason
        self.detail = detail

    def __str__(self) -> str:
        return f"{self.market}: {self.reason}{': ' if self.detail else ''}{self.detail}"


class QuotedBook(BookReading):
    """One market's book. It begins stale and becomes current with a snapshot.

    `stale` is empty or the reason. A stale book keeps its last levels, for a view that says so.
    """

    __slots__ = (
        "_asks",
        "_bids",
        "_last",
        "applied",
        "dropped",
        "market",
        "marks",
        "phase",
        "seq",
        "session",
        "stale",
        "ts_event",
        "ts_recv",
    )

    def __init__(self, market: str) -> None:
        self.market = market
        self.stale = NO_SNAPSHOT
        self.phase: MarketPhase = "active"
        self.session = ""
        self.seq = 0
        self.ts_event = 0
        self.ts_recv = 0
        self.marks: tuple[str, ...] = ()
        self.applied = 0
        self.dropped = 0
        self._bids: Side = SortedSide(1)
        self._asks: Side = SortedSide(-1)
        # What the last quote said; None while no current quote is out.
        self._last: _Quoted | None = None

    def _side(self, leg: Leg) -> Side:
        return self._bids if leg == "bid" else self._asks

    def _moved(self) -> Quote | None:
        if self.phase != "active":
            return None
        bids, asks = self._bids, self._asks
        bid, ask = bids.best, asks.best
        if bid is not None and ask is not None and bid > ask:
            raise self._gap("crossed", f"{bid} over {ask}")
        best = (bid, bids.best_size(), ask, asks.best_size())
        if best == self._last:
            return None
        self._last = best
        return self._quote(best, self.marks)

    def _quote(self, best: _Quoted, marks: tuple[str, ...]) -> Quote:
        return Quote(self.market, *best, self.session, self.seq, self.ts_event, self.ts_recv, marks)

    def _gap(self, reason: str, detail: str = "") -> Gap:
        self.stale = reason
        return Gap(self.market, reason, detail)

    def mark_stale(self, reason: str) -> Quote | None:
        """Stop trusting the book until the next snapshot.

        Returns the last quote marked `stale`, so that whoever acts on it knows, or None if none was out.
        """
        self.stale = reason
        if self._last is None:
            return None
        last, self._last = self._last, None
        return self._quote(last, (*self.marks, STALE))

    def set_phase(self, phase: MarketPhase) -> Quote | None:
        """Enter or leave a pause. Returns the quote to publish where trading goes on and the best has moved.

        Raises Gap where trading goes on with a crossed book.
        """
        self.phase = phase
        if phase != "active":
            self._last = None
            return None
        return None if self.stale else self._moved()

    def view(self, depth: int = 0) -> BookView:
        """The best `depth` levels a side (0: all), best first."""
        return BookView(
            market=self.market,
            bids=self._bids.levels(depth),
            asks=self._asks.levels(depth),
            session=self.session,
            seq=self.seq,
            ts_event=self.ts_event,
            ts_recv=self.ts_recv,
            stale=self.stale,
            marks=(*self.marks, STALE) if self.stale and self.session else self.marks,
        )
