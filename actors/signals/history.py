"""The signals that the hub remembers: their places, the newest ones whole, and which ids they have.

A bounded window on the end of the stream. Places are numbered without holes, so what is in the window is found by
arithmetic; what is before it is in the database.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable, Sequence
from itertools import islice

import msgspec

from protocols.signals import SignalStatus, StoredSignal, UpdateSignal


class LastUpdate(msgspec.Struct, frozen=True):
    """The newest update of a signal and its place in its own stream."""

    seq: int
    update: UpdateSignal


class History:
    """The newest `capacity` signals of a stream that ends at `last`."""

    def __init__(self, capacity: int, last: int = 0) -> None:
        if capacity < 1:
            raise ValueError(f"a history holds at least 1 signal, not {capacity}")
        self.capacity = capacity
        self.last = last
        """The place of the newest signal, 0 if there is none."""
        self._signals: deque[StoredSignal] = deque()
        self._places: dict[str, int] = {}
        self._updates: dict[str, LastUpdate] = {}

    def __len__(self) -> int:
        return len(self._signals)

    @property
    def first(self) -> int:
        """The place of the oldest signal that is remembered; `last + 1` if none is."""
        return self.last - len(self._signals) + 1

    def add(self, stored: StoredSignal) -> None:
        """Remember the next signal. Raises ValueError if its place is not the next one."""
        if stored.seq != self.last + 1:
            raise ValueError(f"after place {self.last} comes {self.last + 1}, not {stored.seq}")
        if len(self._signals) == self.capacity:
            oldest = self._signals.popleft().signal.signal_id
            # An id may have come again after its first signal had been forgotten.
            if self._places.get(oldest) == self.last - self.capacity + 1:
                del self._places[oldest]
                self._updates.pop(oldest, None)
        self._signals.append(stored)
        self._places[stored.signal.signal_id] = stored.seq
        self.last = stored.seq

    def restore(self, signals: Sequence[StoredSignal], updates: Iterable[LastUpdate]) -> None:
        """Take over what an earlier life left; `signals` are in order, and nothing was added yet.

        Only the part that reaches up to `last` without a hole is used. `updates` come in their order.
        """
        kept: deque[StoredSignal] = deque()
        wanted = self.last
        for stored in reversed(signals):
            if stored.seq != wanted or len(kept) == self.capacity:
                break
            kept.appendleft(stored)
            wanted -= 1
        self._signals = kept
        self._places = {stored.signal.signal_id: stored.seq for stored in kept}
        for update in updates:
            if update.update.signal_id in self._places:
                self.update(update)

    def at(self, seq: int) -> StoredSignal | None:
        """The signal at a place, if it is remembered."""
        index = seq - self.first
        return self._signals[index] if 0 <= index < len(self._signals) else None

    def find(self, signal_id: str) -> StoredSignal | None:
        """The signal with an id, if it is remembered."""
        seq = self._places.get(signal_id)
        return None if seq is None else self.at(seq)

    def last_update(self, signal_id: str) -> LastUpdate | None:
        """The newest update of a remembered signal."""
        return self._updates.get(signal_id)

    def update(self, update: LastUpdate) -> None:
        """Note what became of a remembered signal; of another one, nothing."""
        signal_id = update.update.signal_id
        seq = self._places.get(signal_id)
        if seq is None:
            return
        self._updates[signal_id] = update
        index = seq - self.first
        self._signals[index] = with_status(self._signals[index], update.update.status)

    def read(self, from_seq: int, limit: int) -> tuple[StoredSignal, ...] | None:
        """At most `limit` signals from a place on; None if that place is before the window."""
        start = from_seq - self.first
        if start < 0:
            return None
        # Walking a deque to its middle is slow; most readers are near its end.
        size = len(self._signals)
        if start > size // 2:
            tail = tuple(islice(reversed(self._signals), max(0, size - start)))[::-1]
            return tail[:limit]
        return tuple(islice(self._signals, start, start + limit))

    def latest(self, symbol: str, limit: int) -> tuple[StoredSignal, ...]:
        """The newest signals of a symbol that are remembered, the newest first."""
        return tuple(islice((each for each in reversed(self._signals) if each.signal.symbol == symbol), limit))


def with_status(stored: StoredSignal, status: SignalStatus) -> StoredSignal:
    """The same signal with another status."""
    return StoredSignal(stored.seq, stored.ts_stored, stored.signal, status)
