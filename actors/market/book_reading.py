"""What can be read from any book, whether it was built of levels or of orders.

Prices and sizes in nanos. Means of prices are floats of nanos: they are figures to decide with, not prices that an
order could have. None where the book has not what the figure needs.
"""

from __future__ import annotations

from abc import abstractmethod
from itertools import islice
from typing import NamedTuple

from actors.market.book_sides import Side
from protocols.market import Level
from protocols.market import Side as Leg


class Best(NamedTuple):
    """The best prices and their sizes. A side without levels has price None and size 0."""

    bid: int | None
    bid_size: int
    ask: int | None
    ask_size: int


class BookReading:
    """The read interface. A stale book still answers, with what it was; ask `stale` first."""

    __slots__ = ()

    @abstractmethod
    def _side(self, leg: Leg) -> Side:
        """One side's levels."""

    def best(self) -> Best:
        """The best prices and their sizes."""
        bids, asks = self._side("bid"), self._side("ask")
        return Best(bids.best, bids.best_size(), asks.best, asks.best_size())

    def levels(self, leg: Leg, depth: int = 0) -> tuple[Level, ...]:
        """The best `depth` levels of one side (0: all), best first."""
        return self._side(leg).levels(depth)

    def mid(self) -> float | None:
        """Half way between the best prices."""
        bid, ask = self._side("bid").best, self._side("ask").best
        return None if bid is None or ask is None else (bid + ask) / 2

    def spread(self) -> int | None:
        """Best ask less best bid; 0 where the book is locked."""
        bid, ask = self._side("bid").best, self._side("ask").best
        return None if bid is None or ask is None else ask - bid

    def imbalance(self, depth: int = 1) -> float | None:
        """(bids - asks) / (bids + asks) of the sizes of the best `depth` levels (0: all): -1 to 1."""
        bids, asks = self._resting("bid", depth), self._resting("ask", depth)
        return None if bids + asks == 0 else (bids - asks) / (bids + asks)

    def microprice(self) -> float | None:
        """The best prices weighted with the sizes of the other side: nearer to the side that has less.

        (bid·ask size + ask·bid size) / (bid size + ask size); the first order of Stoikov's "The micro-price" (2018).
        """
        bid, bid_size, ask, ask_size = self.best()
        if bid is None or ask is None:
            return None
        return (bid * ask_size + ask * bid_size) / (bid_size + ask_size)

    def vwap(self, leg: Leg, size: int) -> float | None:
        """The mean price of `size` taken from the best levels of one side; None where it has less.

        A buyer takes from `ask`, a seller from `bid`. Raises ValueError for a size that is not positive.
        """
        if size <= 0:
            raise ValueError(f"a size of {size}")
        side = self._side(leg)
        missing, cost = size, 0
        for price in side.prices():
            taken = min(missing, side.sizes[price])
            cost += taken * price
            missing -= taken
            if not missing:
                return cost / size
        return None

    def _resting(self, leg: Leg, depth: int) -> int:
        side = self._side(leg)
        if depth == 1:
            return side.best_size()
        if not depth:
            return sum(side.sizes.values())
        return sum(side.sizes[price] for price in islice(side.prices(), depth))
