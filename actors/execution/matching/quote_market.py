"""Best prices alone as a market's depth: one level a side, and nothing known of what stands behind it."""

from __future__ import annotations

from typing import Final

from actors.market.book_sides import Side, SortedSide
from protocols.market import STALE, Quote
from protocols.market import Side as Leg

UNKNOWN_SIZE: Final = 1 << 60
"""The size of a best price whose source gives none: as much as anybody wants. Fills say so."""


class TopOfBook:
    """The newest quote as a book of one level a side."""

    fill_model: Final = "quote"
    complete: Final = False

    def __init__(self) -> None:
        self.quote: Quote | None = None
        """The newest one. Whoever is in a hurry only writes it: it is looked at when somebody asks."""
        self._looked_at: Quote | None = None
        self._stale = "no_quote"
        self._bids: Side = SortedSide(1)
        self._asks: Side = SortedSide(-1)

    @property
    def stale(self) -> str:
        """Why nobody trades with it, or empty. A quote that is marked stale is one to look at."""
        self._look()
        return self._stale

    def mark_stale(self, reason: str) -> None:
        """Not to be trusted until the next quote."""
        self._look()
        self._stale = reason

    def side(self, leg: Leg) -> Side:
        """One side's level."""
        self._look()
        return self._bids if leg == "bid" else self._asks

    def _look(self) -> None:
        quote = self.quote
        if quote is None or quote is self._looked_at:
            return
        self._looked_at = quote
        self._stale = "stale_quote" if STALE in quote.marks else ""
        self._bids.load({} if quote.bid is None else {quote.bid: quote.bid_size or UNKNOWN_SIZE})
        self._asks.load({} if quote.ask is None else {quote.ask: quote.ask_size or UNKNOWN_SIZE})

    def now(self, leg: Leg, price: int) -> int | None:
        """The displayed size of a level: 0 in front of the best price, None (not known) behind it."""
        side = self.side(leg)
        best = side.best
        if best == price:
            return side.sizes[price]
        return 0 if best is None or price * side.sign > best * side.sign else None

    def rest_size(self, leg: Leg, price: int) -> int | None:
        """What an order that comes to rest there has ahead."""
        return self.now(leg, price)

    @property
    def session(self) -> str:
        """Of the newest quote."""
        return "" if self.quote is None else self.quote.session

    @property
    def seq(self) -> int:
        """Of the newest quote."""
        return 0 if self.quote is None else self.quote.seq

    @property
    def ts_event(self) -> int:
        """Of the newest quote."""
        return 0 if self.quote is None else self.quote.ts_event
