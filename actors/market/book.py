"""An order book of price levels, and the rules that say when it cannot be right.

A venue message is applied whole and judged afterwards: real venues send messages whose book crosses midway
and not at the end. After the whole message a negative size is a gap, and so is a crossed book in continuous
trading. A locked book (bid = ask) is legal, and so are negative prices. In an auction, in a pause and after the end
the book is kept and no quote is made.

The levels stand in `book_sides`; which form of it suits a market is chosen here.
"""

from __future__ import annotations

from actors.market.book_quotes import NO_SNAPSHOT as NO_SNAPSHOT
from actors.market.book_quotes import Gap as Gap
from actors.market.book_quotes import QuotedBook
from actors.market.book_reading import Best as Best
from actors.market.book_sides import OffGrid, Side, packed_side, positive, side_for
from actors.market.ladder import Grid as Grid
from actors.market.ladder import LadderSide
from protocols.market import BookUpdate, Quote
from protocols.market import Side as Leg


class Book(QuotedBook):
    """One market's book. It begins stale and becomes current with a snapshot.

    `stale` is empty or the reason. A stale book keeps its last levels, for a view that says so, and drops
    every update but a snapshot (`dropped` counts them). `grid`: the venue's prices, where they are few (`ladder`); the
    first price that is not on it, and the book goes on without. A packed snapshot makes no ladder.
    """

    __slots__ = ("grid",)

    def __init__(self, market: str, grid: Grid | None = None) -> None:
        super().__init__(market)
        self.grid = grid

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
                side, below = packed_side(1 if leg == "bid" else -1, packed)
            else:
                changes = [change for change in update.changes if change.side == leg]
                sizes, below = positive([each.price for each in changes], [each.size for each in changes])
                side = self._loaded(leg, sizes)
            negative = negative or below
            sides.append(side)
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
