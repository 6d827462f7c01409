"""A book as deep as it was subscribed, in the venue's own digits, for venues that send a checksum of them.

A venue that cuts its book to the subscribed depth says nothing of the levels that fall out. Whoever wants to check the
sum has to cut in the same way, and has to tell those who keep the book by nanos what is gone.

The sum is made of prices and sizes with all their decimals. Where a number came without its last zeros (the example on
the vendor's page of the channel "book" has such), they are put back: as many as the market's other numbers have.
"""

from __future__ import annotations

from bisect import bisect_left, insort
from collections.abc import Iterable
from typing import Final

from protocols.market import LevelChange, Side
from protocols.nanos import INT64_MAX, NANO, NumberFaults, size_nanos
from protocols.venues.kraken import CHECKED_LEVELS, checked, checksum

# Keys are finer than nanos: two levels of a venue must stay two.
_PLACES: Final = 18
_FINER: Final = 10**_PLACES // NANO
# Decimals of sizes: `lot_decimals` is 8 in every pair.
_SIZE_PLACES: Final = 8


class _Checked:
    """Levels of one side. Keys rise toward the best price: `sign` is 1 for bids and -1 for asks."""

    __slots__ = ("keys", "levels", "side", "sign")

    def __init__(self, side: Side) -> None:
        self.side: Side = side
        self.sign = 1 if side == "bid" else -1
        self.keys: list[int] = []
        # To the venue's digits of price and size, and the size in nanos.
        self.levels: dict[int, tuple[str, str, int]] = {}

    def change(self, key: int, price: str, size: str, nanos: int) -> None:
        if nanos == 0:
            if self.levels.pop(key, None) is not None:
                del self.keys[bisect_left(self.keys, key)]
            return
        if key not in self.levels:
            insort(self.keys, key)
        self.levels[key] = (price, size, nanos)

    def best(self) -> list[tuple[str, str, int]]:
        return [self.levels[key] for key in self.keys[: -CHECKED_LEVELS - 1 : -1]]


class CheckedBook:
    """One market's book, `depth` levels a side."""

    def __init__(self, depth: int) -> None:
        self.depth = depth
        self._price_places = 0
        self._size_places = _SIZE_PLACES
        self._bids = _Checked("bid")
        self._asks = _Checked("ask")

    def change(self, side: Side, price: str, size: str, faults: NumberFaults) -> LevelChange | None:
        """The new size of a level, 0 removes; None (and counted) where its price is out of range.

        Raises ValueError for what is no number.
        """
        here = self._bids if side == "bid" else self._asks
        fine = fine_price(price)
        nanos = size_nanos(size, faults)
        if nanos < 0:
            raise ValueError(f"a size of {size}")
        self._price_places = max(self._price_places, _places(price))
        self._size_places = max(self._size_places, _places(size))
        here.change(fine * here.sign, price, size, nanos)
        return _level(side, fine, nanos, faults)

    def load(
        self, bids: Iterable[tuple[str, str]], asks: Iterable[tuple[str, str]], faults: NumberFaults
    ) -> list[LevelChange]:
        """The whole book anew, cut to its depth. Raises ValueError for what is no number."""
        self._bids, self._asks = _Checked("bid"), _Checked("ask")
        changes = []
        for side, levels in ((self._bids, bids), (self._asks, asks)):
            for price, size in levels:
                self.change(side.side, price, size, faults)
        self.cut()
        for side in (self._bids, self._asks):
            for key in reversed(side.keys):
                level = _level(side.side, key * side.sign, side.levels[key][2], None)
                if level is not None:
                    changes.append(level)
        return changes

    def cut(self) -> list[LevelChange]:
        """Remove what is deeper than the book; returns the levels that are gone, with size 0."""
        gone = []
        for side in (self._bids, self._asks):
            beyond = len(side.keys) - self.depth
            if beyond > 0:
                for key in side.keys[:beyond]:
                    del side.levels[key]
                    level = _level(side.side, key * side.sign, 0, None)
                    if level is not None:
                        gone.append(level)
                del side.keys[:beyond]
        return gone

    def checksum(self) -> int:
        """As the venue computes it, from the digits as they came."""
        return checksum(
            [checked(price, size) for price, size, _ in self._asks.best()],
            [checked(price, size) for price, size, _ in self._bids.best()],
        )

    def matches(self, expected: int) -> bool:
        """Whether the venue's checksum is right for this book."""
        return self.checksum() == expected or self._padded_checksum() == expected

    def _padded_checksum(self) -> int:
        asks, bids = (
            [
                checked(_padded(price, self._price_places), _padded(size, self._size_places))
                for price, size, _ in side.best()
            ]
            for side in (self._asks, self._bids)
        )
        return checksum(asks, bids)


def fine_price(digits: str) -> int:
    """The price in units of 10⁻¹⁸, exactly. Raises ValueError for what is no number, or finer."""
    whole, _, fraction = digits.partition(".")
    number = whole + fraction
    if len(fraction) > _PLACES or not (number.isdecimal() and number.isascii() and whole):
        raise ValueError(f"not a price: {digits[:60]!r}")
    return int(whole + fraction.ljust(_PLACES, "0"))


def _places(digits: str) -> int:
    at = digits.find(".")
    return len(digits) - at - 1 if at >= 0 else 0


def _padded(digits: str, places: int) -> str:
    whole, _, fraction = digits.partition(".")
    return f"{whole}.{fraction.ljust(places, '0')}"


def _level(side: Side, fine: int, size: int, faults: NumberFaults | None) -> LevelChange | None:
    price, cut = divmod(fine, _FINER)
    if price > INT64_MAX:
        if faults is not None:
            faults.dropped += 1
        return None
    if cut and faults is not None:
        faults.truncated += 1
    return LevelChange(side, price, size)
