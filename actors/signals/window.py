"""A bounded window on the end of a stream whose places have no holes: what is in it is found by arithmetic."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator, Sequence
from itertools import islice
from typing import Generic, Protocol, TypeVar


class Placed(Protocol):
    """Something with a place in a stream."""

    @property
    def seq(self) -> int:
        """The place."""


P = TypeVar("P", bound=Placed)


class Window(Generic[P]):
    """The newest `capacity` entries of a stream that ends at `last` (0: it is empty)."""

    def __init__(self, capacity: int, last: int = 0) -> None:
        if capacity < 1:
            raise ValueError(f"a history holds at least 1 entry, not {capacity}")
        self.capacity = capacity
        self.last = last
        self._entries: deque[P] = deque()

    def __len__(self) -> int:
        return len(self._entries)

    def __iter__(self) -> Iterator[P]:
        return iter(self._entries)

    def __reversed__(self) -> Iterator[P]:
        return reversed(self._entries)

    @property
    def first(self) -> int:
        """The place of the oldest entry; `last + 1` if there is none."""
        return self.last - len(self._entries) + 1

    def add(self, entry: P) -> P | None:
        """Take the next entry; returns the one that made room. Raises ValueError if the place is not the next one."""
        if entry.seq != self.last + 1:
            raise ValueError(f"after place {self.last} comes {self.last + 1}, not {entry.seq}")
        gone = self._entries.popleft() if len(self._entries) == self.capacity else None
        self._entries.append(entry)
        self.last = entry.seq
        return gone

    def restore(self, entries: Sequence[P]) -> None:
        """Take over what an earlier life left, in order: the part that reaches up to `last` without a hole."""
        kept: deque[P] = deque()
        wanted = self.last
        for entry in reversed(entries):
            if entry.seq != wanted or len(kept) == self.capacity:
                break
            kept.appendleft(entry)
            wanted -= 1
        self._entries = kept

    def at(self, seq: int) -> P | None:
        """The entry at a place, if it is in the window."""
        index = seq - self.first
        return self._entries[index] if 0 <= index < len(self._entries) else None

    def replace(self, entry: P) -> None:
        """Put another entry at a place that is in the window. Raises IndexError."""
        index = entry.seq - self.first
        if index < 0:
            raise IndexError(f"place {entry.seq} is before the window, which begins at {self.first}")
        self._entries[index] = entry

    def read(self, from_seq: int, limit: int) -> tuple[P, ...] | None:
        """At most `limit` entries from a place on; None if that place is before the window."""
        start = from_seq - self.first
        if start < 0:
            return None
        # Walking a deque to its middle is slow; most readers are near its end.
        size = len(self._entries)
        if start > size // 2:
            tail = tuple(islice(reversed(self._entries), max(0, size - start)))[::-1]
            return tail[:limit]
        return tuple(islice(self._entries, start, start + limit))
