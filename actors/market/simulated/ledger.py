"""What a simulated market's book really was, at each of its versions: the truth that a client's book is held against.

It is kept from the changes that the public sees and shares no code with the books under test. A version is one change
of one level. Of the last versions it knows the best prices and can rebuild all levels, by undoing changes.
"""

from __future__ import annotations

from bisect import bisect_left, insort
from itertools import islice
from typing import NamedTuple

from protocols.market import Level, LevelChange, Side


class Best(NamedTuple):
    """Best prices and their sizes in nanos; a side without levels has price None and size 0."""

    bid: int | None
    bid_size: int
    ask: int | None
    ask_size: int


class Forgotten(LookupError):
    """The version is older than the ledger's memory, or has not been yet."""


class _Half:
    """Sizes of one side by price; `keys` rise toward the best price (asks negated), where books change most."""

    __slots__ = ("keys", "sign", "sizes")

    def __init__(self, sign: int) -> None:
        self.sign = sign
        self.keys: list[int] = []
        self.sizes: dict[int, int] = {}

    def add(self, price: int, change: int) -> int:
        """Change a level; its size before."""
        before = self.sizes.get(price, 0)
        size = before + change
        key = price * self.sign
        if before == 0:
            if not self.keys or key > self.keys[-1]:
                self.keys.append(key)
            else:
                insort(self.keys, key)
        if size:
            self.sizes[price] = size
        else:
            del self.sizes[price]
            if self.keys[-1] == key:
                self.keys.pop()
            else:
                del self.keys[bisect_left(self.keys, key)]
        return before

    def best(self) -> tuple[int | None, int]:
        if not self.keys:
            return None, 0
        price = self.keys[-1] * self.sign
        return price, self.sizes[price]


class Ledger:
    """One market's levels, and what they were in the last `memory` versions at least."""

    def __init__(self, market: str, memory: int = 20_000) -> None:
        self.market = market
        self.memory = memory
        self.version = 0
        self.best = Best(None, 0, None, 0)
        self._bids = _Half(1)
        self._asks = _Half(-1)
        # (side, price, size before, best after), the oldest first; the last one made the current version.
        self._past: list[tuple[Side, int, int, Best]] = []

    def apply(self, change: LevelChange) -> None:
        """Take a signed change. `change.size` must not take more than there is."""
        half = self._half(change.side)
        before = half.add(change.price, change.size)
        self.version += 1
        if change.side == "bid":
            self.best = Best(*half.best(), self.best.ask, self.best.ask_size)
        else:
            self.best = Best(self.best.bid, self.best.bid_size, *half.best())
        self._past.append((change.side, change.price, before, self.best))
        if len(self._past) > 2 * self.memory:
            del self._past[: -self.memory]

    def size(self, side: Side, price: int) -> int:
        """The size at a price now, 0 without a level."""
        return self._half(side).sizes.get(price, 0)

    def levels(self, side: Side, depth: int = 0) -> tuple[Level, ...]:
        """The levels of a side now, best first."""
        half = self._half(side)
        keys = half.keys[-depth:] if depth else half.keys
        return tuple(Level(key * half.sign, half.sizes[key * half.sign]) for key in reversed(keys))

    def prices(self, side: Side) -> list[int]:
        """The prices of a side now, best first."""
        half = self._half(side)
        return [key * half.sign for key in reversed(half.keys)]

    def best_at(self, version: int) -> Best:
        """The best prices that version left behind. Raises Forgotten."""
        return self._past[self._place(version)][3]

    def levels_at(self, version: int) -> tuple[tuple[Level, ...], tuple[Level, ...]]:
        """Bids and asks as they were after that version, best first. Raises Forgotten."""
        sizes: dict[Side, dict[int, int]] = {"bid": dict(self._bids.sizes), "ask": dict(self._asks.sizes)}
        if version != self.version:
            for side, price, before, _ in reversed(self._past[self._place(version) + 1 :]):
                sizes[side][price] = before
        return _ordered(sizes["bid"], -1), _ordered(sizes["ask"], 1)

    def _place(self, version: int) -> int:
        place = len(self._past) - 1 - (self.version - version)
        if not 0 <= place < len(self._past):
            raise Forgotten(f"version {version} of {self.market} is not known; it is at {self.version}")
        return place

    def _half(self, side: Side) -> _Half:
        return self._bids if side == "bid" else self._asks


class Told:
    """Which version of which book a frame has told: by its scope (a subscription, or the connection) and number."""

    def __init__(self, memory: int = 50_000) -> None:
        self.memory = memory
        self._told: dict[tuple[str, int], tuple[str, int]] = {}

    def add(self, scope: str, seq: int, market: str, version: int) -> None:
        """Frame `seq` of `scope` leads to this version of the market's book."""
        told = self._told
        told[(scope, seq)] = (market, version)
        if len(told) > 2 * self.memory:
            for old in list(islice(told, self.memory)):
                del told[old]

    def get(self, scope: str, seq: int) -> tuple[str, int] | None:
        """(market, version), or None: no book frame, or forgotten."""
        return self._told.get((scope, seq))


def _ordered(sizes: dict[int, int], sign: int) -> tuple[Level, ...]:
    return tuple(Level(price, sizes[price]) for price in sorted(sizes, key=lambda price: price * sign) if sizes[price])
