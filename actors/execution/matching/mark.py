"""Where a market stands now: one object for each market, changed in place by whoever follows it."""

from __future__ import annotations


class Mark:
    """The best prices and their sizes, and the last traded price (of bars: the close). Nanos; None: not known.

    `ts` is the moment of the last change. A market whose book is stale keeps the last prices that were known.
    """

    __slots__ = ("ask", "ask_size", "bid", "bid_size", "last", "ts")

    def __init__(self) -> None:
        self.bid: int | None = None
        self.bid_size = 0
        self.ask: int | None = None
        self.ask_size = 0
        self.last: int | None = None
        self.ts = 0

    def mid(self) -> int | None:
        """Half way between the best prices, rounded down; else the last price."""
        if self.bid is None or self.ask is None:
            return self.last
        return (self.bid + self.ask) // 2

    def exit(self, quantity: int) -> int | None:
        """What a position of this signed quantity would be closed at: the bid of a long, the ask of a short.

        The last price where that side is empty.
        """
        price = self.bid if quantity > 0 else self.ask
        return self.last if price is None else price
