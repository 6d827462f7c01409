"""What the hub remembers: the newest signals with their ids and states, and the newest updates.

Two windows on the ends of two streams; what is before them is in the database.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from itertools import islice

from actors.signals.window import Window
from protocols.signals import SignalStatus, StoredSignal, StoredUpdate


class History:
    """The newest `capacity` signals of a stream that ends at `last`."""

    def __init__(self, capacity: int, last: int = 0) -> None:
        self._window: Window[StoredSignal] = Window(capacity, last)
        self._places: dict[str, int] = {}
        self._updates: dict[str, StoredUpdate] = {}

    def __len__(self) -> int:
        return len(self._window)

    @property
    def capacity(self) -> int:
        """How many signals are remembered at most."""
        return self._window.capacity

    @property
    def last(self) -> int:
        """The place of the newest signal, 0 if there is none."""
        return self._window.last

    @property
    def first(self) -> int:
        """The place of the oldest signal that is remembered; `last + 1` if none is."""
        return self._window.first

    def add(self, stored: StoredSignal) -> None:
        """Remember the next signal. Raises ValueError if its place is not the next one."""
        gone = self._window.add(stored)
        if gone is not None:
            oldest = gone.signal.signal_id
            # An id may have come again after its first signal had been forgotten.
            if self._places.get(oldest) == gone.seq:
                del self._places[oldest]
                self._updates.pop(oldest, None)
        self._places[stored.signal.signal_id] = stored.seq

    def restore(self, signals: Sequence[StoredSignal], updates: Iterable[StoredUpdate]) -> None:
        """Take over what an earlier life left; `signals` are in order, and nothing was added yet.

        Only the part that reaches up to `last` without a hole is used. `updates` come in their order.
        """
        self._window.restore(signals)
        self._places = {stored.signal.signal_id: stored.seq for stored in self._window}
        for update in updates:
            self.update(update)

    def at(self, seq: int) -> StoredSignal | None:
        """The signal at a place, if it is remembered."""
        return self._window.at(seq)

    def find(self, signal_id: str) -> StoredSignal | None:
        """The signal with an id, if it is remembered."""
        seq = self._places.get(signal_id)
        return None if seq is None else self._window.at(seq)

    def last_update(self, signal_id: str) -> StoredUpdate | None:
        """The newest update of a remembered signal."""
        return self._updates.get(signal_id)

    def update(self, update: StoredUpdate) -> None:
        """Note what became of a remembered signal; of another one, nothing."""
        known = self.find(update.update.signal_id)
        if known is not None:
            self._updates[update.update.signal_id] = update
            self._window.replace(with_status(known, update.update.status))

    def read(self, from_seq: int, limit: int) -> tuple[StoredSignal, ...] | None:
        """At most `limit` signals from a place on; None if that place is before the window."""
        return self._window.read(from_seq, limit)

    def remembered(self) -> Iterable[StoredSignal]:
        """All that is remembered, in order."""
        return iter(self._window)

    def latest(self, symbol: str, limit: int) -> tuple[StoredSignal, ...]:
        """The newest signals of a symbol that are remembered, the newest first."""
        return tuple(islice((each for each in reversed(self._window) if each.signal.symbol == symbol), limit))


class UpdateHistory:
    """The newest `capacity` updates of their stream, and which of them is the newest of its signal."""

    def __init__(self, capacity: int, last: int = 0) -> None:
        self._window: Window[StoredUpdate] = Window(capacity, last)
        self._newest: dict[str, StoredUpdate] = {}

    @property
    def last(self) -> int:
        """The place of the newest update, 0 if there is none."""
        return self._window.last

    @property
    def first(self) -> int:
        """The place of the oldest update that is remembered; `last + 1` if none is."""
        return self._window.first

    def add(self, stored: StoredUpdate) -> None:
        """Remember the next update. Raises ValueError if its place is not the next one."""
        gone = self._window.add(stored)
        if gone is not None and self._newest.get(gone.update.signal_id) is gone:
            del self._newest[gone.update.signal_id]
        self._newest[stored.update.signal_id] = stored

    def restore(self, updates: Sequence[StoredUpdate]) -> None:
        """Take over what an earlier life left: the part that reaches up to `last` without a hole."""
        self._window.restore(updates)
        self._newest = {each.update.signal_id: each for each in self._window}

    def newest_of(self, signal_id: str) -> StoredUpdate | None:
        """The newest update of a signal, if that is remembered."""
        return self._newest.get(signal_id)

    def read(self, from_seq: int, limit: int) -> tuple[StoredUpdate, ...] | None:
        """At most `limit` updates from a place on; None if that place is before the window."""
        return self._window.read(from_seq, limit)

    def of_signal(self, signal_id: str) -> tuple[StoredUpdate, ...]:
        """The updates of a signal that are remembered, in order."""
        return tuple(each for each in self._window if each.update.signal_id == signal_id)


def with_status(stored: StoredSignal, status: SignalStatus) -> StoredSignal:
    """The same signal with another status."""
    return StoredSignal(stored.seq, stored.ts_stored, stored.signal, status)
