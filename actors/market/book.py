"""An order book of price levels, and the rules that say when it cannot be right.

A venue message is applied whole and judged afterwards: real venues send messages whose book crosses midway
and not at the end. After the whole message a negative size is a gap, and so is a crossed book in continuous
trading. A locked book (bid = ask) is legal, and so are negative prices. In an auction, in a pause and after the end
the book is kept and no quote is made.

The levels stand in `book_sides`; which form of it suits a market is chosen here.
"""

from __future__ import annotations

from typing import Final

from actors.market.book_reading import Best as Best
from actors.market.book_reading import BookReading
from actors.market.book_sides import OffGrid, Side, SortedSide, positive, side_for
from actors.market.ladder import Grid as Grid
from actors.market.ladder import LadderSide
from protocols.market import STALE, BookUpdate, BookView, MarketPhase, Quote, unpack_levels
from protocols.market import Side as Leg

NO_SNAPSHOT: Final = "no_snapshot"

_Quoted = tuple[int | None, int, int | None, int]


class Gap(Exception):
    """The book cannot be right: something was lost. `reason` is one of the words below.

    `negative_size`: more was taken from a level than it had. `crossed`: best bid above best ask after a whole
    message. `session`: an update of another session came before a snapshot. `out_of_order`: `seq` did not
    rise. `unknown_order`: of a book of orders, a change of an order that is not there.
    """

    def __init__(self, market: str, reason: str, detail: str = "") -> None:
        super().__init__(market, reason, detail)
        self.market = market
        self.reason = reason
        self.detail = detail

    def __str__(self) -> str:
        return f"{self.market}: {self.reason}{': ' if self.detail else ''}{self.detail}"


class Book(BookReading):
    """One market's book. It begins stale and becomes current with a snapshot.

    `stale` is empty or the reason. A stale book keeps its last levels, for a view that says so, and drops
    every update but a snapshot (`dropped` counts them). `grid`: the venue's prices, where they are few (`ladder`); the
    first price that is not on it, and the book goes on without.
    """

    __slots__ = (
        "_asks",
        "_bids",
        "_last",
        "applied",
        "dropped",
        "grid",
        "market",
        "marks",
        "phase",
        "seq",
        "session",
        "stale",
        "ts_event",
        "ts_recv",
    )

    def __init__(self, market: str, grid: Grid | None = None) -> None:
        self.market = market
        self.grid = grid
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

    def apply(self, update: BookUpdate) -> Quote | None:
        """The new best prices and sizes, if they moved or were not known; None in a pause.

        Raises Gap when the book cannot be right after the whole update. The book is then stale.
        """
        seq = update.seq
        if update.snapshot:
            return self._replace(update)
        if self.stale:
            self.dropped += 1
            return None
        if update.session != self.session:
            raise self._gap("session", update.session)
        if seq <= self.seq:
            raise self._gap("out_of_order", f"{seq} after {self.seq}")
        self.seq = seq
        if update.ts_event:
            self.ts_event = update.ts_event
        self.ts_recv = update.ts_recv
        self.marks = update.marks
        self.applied += 1

        signed = update.kind == "signed"
        negative = False
        # Whether a best price may have moved: only then it is worth looking.
        touched = self._last is None
        for change in update.changes:
            price, size = change.price, change.size
            side = self._bids if change.side == "bid" else self._asks
            sizes = side.sizes
            known = sizes.get(price)
            if known is None:
                if size > 0:
                    try:
                        side.insert(price, size)
                    except OffGrid:
                        side = self._widen(change.side)
                        side.insert(price, size)
                    if side.best == price:
                        touched = True
                elif size:
                    negative = True
                continue
            if signed:
                size += known
            if size > 0:
                sizes[price] = size
                if price == side.best:
                    touched = True
            elif size:
                negative = True
            else:
                if price == side.best:
                    touched = True
                side.remove(price)
        if negative:
            raise self._gap("negative_size")
        return self._moved() if touched else None

    def _replace(self, update: BookUpdate) -> Quote | None:
        """A snapshot: nothing of the old book stays."""
        self.stale = ""
        self._last = None
        self.session = update.session
        self.seq = update.seq
        if update.ts_event:
            self.ts_event = update.ts_event
        self.ts_recv = update.ts_recv
        self.marks = update.marks
        self.applied += 1
        negative = False
        sides: list[Side] = []
        legs: tuple[tuple[Leg, bytes], ...] = (("bid", update.packed_bids), ("ask", update.packed_asks))
        for leg, packed in legs:
            if packed:
                prices, numbers = unpack_levels(packed)
                sizes, below = positive(prices, numbers)
            else:
                changes = [change for change in update.changes if change.side == leg]
                sizes, below = positive([each.price for each in changes], [each.size for each in changes])
            negative = negative or below
            sides.append(self._loaded(leg, sizes))
        self._bids, self._asks = sides
        if negative:
            raise self._gap("negative_size")
        return self._moved()

    def _loaded(self, leg: Leg, sizes: dict[int, int]) -> Side:
        if self.grid is not None:
            ladder = LadderSide(1 if leg == "bid" else -1, self.grid)
            try:
                ladder.load(sizes)
            except OffGrid:
                self.grid = None
            else:
                return ladder
        return side_for(1 if leg == "bid" else -1, sizes)

    def _widen(self, leg: Leg) -> Side:
        """The side in a form that holds any price. The venue's grid is not what we were told."""
        self.grid = None
        wide = side_for(1 if leg == "bid" else -1, self._side(leg).sizes)
        if leg == "bid":
            self._bids = wide
        else:
            self._asks = wide
        return wide

    def _moved(self) -> Quote | None:
        if self.phase != "active":
            return None
        bids, asks = self._bids, self._asks
        bid, ask = bids.best, asks.best
        if bid is not None and ask is not None and bid > ask:
            raise self._gap("crossed", f"{bid} over {ask}")
        best = (
            bid,
            0 if bid is None else bids.sizes[bid],
            ask,
            0 if ask is None else asks.sizes[ask],
        )
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
