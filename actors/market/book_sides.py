"""One side of a book: its sizes by price, and the order of its prices. Three forms behind one interface.

`SortedSide` keeps a sorted list with the best price at its end. `WideSide` keeps a `SortedList`; a book takes it for
a snapshot of more than `WIDE` levels. `ladder.LadderSide` keeps one byte for each price of a small grid.

A level that only changes its size (most changes of real books) costs one dict entry in all three. To insert and
delete a level costs, in nanoseconds, list against SortedList, CPython 3.11 (the best 2 % of the prices change most
on real books; p90 of the changed ranks was 1,600 of 27,000 on a recorded Coinbase book):

| levels | near the best price | anywhere | at the far end |
|-------:|--------------------:|---------:|---------------:|
|    100 |           111 / 355 | 116 / 407 |      116 / 345 |
|  1,000 |           158 / 394 | 247 / 495 |      281 / 525 |
|  5,000 |           172 / 416 | 606 / 541 |      927 / 671 |
| 10,000 |           175 / 410 | 1,046 / 552 |  1,773 / 550 |
| 50,000 |           196 / 425 | 4,526 / 637 |  8,253 / 552 |

So the list wins wherever books are small or change near their best price, and the tree bounds what a wide book can
cost. The list holds prices times `sign` (1 for bids, -1 for asks), so that the best one is always at its end.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from array import array
from bisect import bisect_left, insort
from collections.abc import Iterable, Iterator, Sequence
from itertools import islice
from operator import neg
from typing import Any, Final, Literal

from sortedcontainers import SortedList

from protocols.market import Level, unpack_levels

WIDE: Final = 10_000
"""Levels of one side beyond which a snapshot makes it a `WideSide`."""

Sign = Literal[1, -1]


class OffGrid(Exception):
    """The price is none of the grid's: the side needs another form."""


class Side(ABC):
    """`sizes` by price, never 0; `best` is the best price, None without levels.

    Whoever changes the size of a level that is there writes `sizes`; a level comes and goes by `insert`, `remove`.
    """

    __slots__ = ("best", "sign", "sizes")

    def __init__(self, sign: Sign) -> None:
        self.sign = sign
        self.sizes: dict[int, int] = {}
        self.best: int | None = None

    def __len__(self) -> int:
        return len(self.sizes)

    @abstractmethod
    def insert(self, price: int, size: int) -> None:
        """A level that was not there. Raises OffGrid, with nothing changed, where this form cannot hold it."""

    @abstractmethod
    def remove(self, price: int) -> None:
        """Take away a level that is there."""

    @abstractmethod
    def load(self, sizes: dict[int, int]) -> None:
        """Replace everything; the side keeps the dict. Raises OffGrid, with nothing changed."""

    @abstractmethod
    def prices(self) -> Iterator[int]:
        """All prices, best first. The side must not change meanwhile."""

    @property
    @abstractmethod
    def last(self) -> int | None:
        """The price furthest from the best; None without levels."""

    def best_size(self) -> int:
        """The size at the best price; 0 without levels."""
        return 0 if self.best is None else self.sizes[self.best]

    def levels(self, depth: int = 0) -> tuple[Level, ...]:
        """The best `depth` levels (0: all), best first."""
        sizes = self.sizes
        prices = islice(self.prices(), depth) if depth else self.prices()
        return tuple([Level(price, sizes[price]) for price in prices])


class SortedSide(Side):
    """Prices in a sorted list."""

    __slots__ = ("_keys",)

    def __init__(self, sign: Sign) -> None:
        super().__init__(sign)
        self._keys: list[int] = []

    def insert(self, price: int, size: int) -> None:
        """A level that was not there."""
        key = price * self.sign
        keys = self._keys
        if not keys or key > keys[-1]:
            keys.append(key)
            self.best = price
        else:
            insort(keys, key)
        self.sizes[price] = size

    def remove(self, price: int) -> None:
        """Take away a level that is there."""
        del self.sizes[price]
        keys = self._keys
        if price == self.best:
            keys.pop()
            self.best = keys[-1] * self.sign if keys else None
        else:
            del keys[bisect_left(keys, price * self.sign)]

    def load(self, sizes: dict[int, int]) -> None:
        """Replace everything. One sort is much cheaper than as many insertions as a snapshot has levels."""
        self.sizes = sizes
        self._keys = sorted(sizes if self.sign > 0 else map(neg, sizes))
        self.best = self._keys[-1] * self.sign if self._keys else None

    def prices(self) -> Iterator[int]:
        """All prices, best first."""
        return reversed(self._keys) if self.sign > 0 else map(neg, reversed(self._keys))

    @property
    def last(self) -> int | None:
        """The price furthest from the best."""
        return self._keys[0] * self.sign if self._keys else None


class WideSide(Side):
    """Prices in a `SortedList`: no change of a level costs more than another.

    Packed levels stay packed until somebody asks for more than the best one: to make 27,000 levels takes over 2 ms,
    and the two sides of a snapshot need not take it in one piece.
    """

    __slots__ = ("_keys", "_packed")

    sizes: dict[int, int]
    _keys: SortedList[int]
    _packed: tuple[array[int], array[int]]

    def __init__(self, sign: Sign) -> None:
        super().__init__(sign)
        self._keys = SortedList()

    @classmethod
    def packed(cls, sign: Sign, prices: array[int], sizes: array[int]) -> WideSide:
        """A side of these levels, in any order, none of size 0."""
        side = cls(sign)
        side.best = max(prices) if sign > 0 else min(prices)
        side._packed = (prices, sizes)
        # Whoever reads one of them finds it missing, and `__getattr__` makes both.
        del side.sizes, side._keys
        return side

    def __getattr__(self, name: str) -> Any:
        if name not in ("sizes", "_keys"):
            raise AttributeError(name)
        prices, sizes = self._packed
        del self._packed
        self.load(dict(zip(prices, sizes, strict=True)))
        return getattr(self, name)

    def best_size(self) -> int:
        """The size at the best price; 0 without levels."""
        if self.best is None:
            return 0
        packed = getattr(self, "_packed", None)
        return self.sizes[self.best] if packed is None else packed[1][packed[0].index(self.best)]

    def insert(self, price: int, size: int) -> None:
        """A level that was not there."""
        self._keys.add(price)
        self.sizes[price] = size
        self.best = self._keys[self._end]

    def remove(self, price: int) -> None:
        """Take away a level that is there."""
        del self.sizes[price]
        keys = self._keys
        if price == self.best:
            keys.pop(self._end)
            self.best = keys[self._end] if keys else None
        else:
            keys.remove(price)

    def load(self, sizes: dict[int, int]) -> None:
        """Replace everything."""
        self.sizes = sizes
        self._keys = SortedList(sizes)
        self.best = self._keys[self._end] if sizes else None

    def prices(self) -> Iterator[int]:
        """All prices, best first."""
        return reversed(self._keys) if self.sign > 0 else iter(self._keys)

    @property
    def last(self) -> int | None:
        """The price furthest from the best."""
        return self._keys[-1 - self._end] if self._keys else None

    @property
    def _end(self) -> int:
        return -1 if self.sign > 0 else 0


def side_for(sign: Sign, sizes: dict[int, int]) -> Side:
    """A side of the form that suits these levels, with them."""
    side: Side = SortedSide(sign) if len(sizes) <= WIDE else WideSide(sign)
    side.load(sizes)
    return side


def packed_side(sign: Sign, packed: bytes) -> tuple[Side, bool]:
    """(A side of packed levels, whether a size was negative). Raises ValueError for a torn level."""
    prices, sizes = unpack_levels(packed)
    if len(prices) > WIDE and min(sizes) > 0:
        return WideSide.packed(sign, prices, sizes), False
    levels, below = positive(prices, sizes)
    return side_for(sign, levels), below


def positive(prices: Iterable[int], sizes: Sequence[int]) -> tuple[dict[int, int], bool]:
    """(sizes by price without the zeros, whether one was negative)."""
    lowest = min(sizes, default=1)
    if lowest > 0:
        return dict(zip(prices, sizes, strict=True)), False
    levels = {price: size for price, size in zip(prices, sizes, strict=True) if size}
    return levels, lowest < 0
