"""Which signals are open, and when each of them expires. Times in nanoseconds since the epoch, UTC."""

from __future__ import annotations

import heapq
from collections.abc import Iterator
from typing import Final

import msgspec

from protocols.signals import SignalStatus, StoredSignal

OPEN: Final[frozenset[SignalStatus]] = frozenset({"pending", "active"})


class OpenSignal(msgspec.Struct, frozen=True, gc=False):
    """What the update of an expired signal needs of it."""

    seq: int
    ts_expires: int
    signal_id: str
    symbol: str
    strategy_id: str
    deployment_id: str | None
    decision_id: str | None


def open_signal(stored: StoredSignal) -> OpenSignal | None:
    """What expires of a signal; None if it is not open or does not expire."""
    signal = stored.signal
    if stored.status not in OPEN or signal.ts_expires is None:
        return None
    return OpenSignal(
        stored.seq,
        signal.ts_expires,
        signal.signal_id,
        signal.symbol,
        signal.strategy_id,
        signal.deployment_id,
        signal.decision_id,
    )


class Expiry:
    """At most `capacity` open signals. One more is not taken: its status follows from its expiry all the same."""

    def __init__(self, capacity: int) -> None:
        self.capacity = capacity
        self.untracked = 0
        """How many were not taken."""
        self._open: dict[str, OpenSignal] = {}
        self._heap: list[tuple[int, int, str]] = []

    def __len__(self) -> int:
        return len(self._open)

    def __contains__(self, signal_id: str) -> bool:
        return signal_id in self._open

    def add(self, signal: OpenSignal) -> bool:
        """Take an open signal. An older one with the same id is forgotten. False: there was no room."""
        if signal.signal_id not in self._open and len(self._open) >= self.capacity:
            self.untracked += 1
            return False
        self._open[signal.signal_id] = signal
        heapq.heappush(self._heap, (signal.ts_expires, signal.seq, signal.signal_id))
        return True

    def close(self, signal_id: str) -> None:
        """The signal is not open any more; nothing happens if it is not known."""
        if self._open.pop(signal_id, None) is not None and len(self._heap) > 64 + 2 * len(self._open):
            # Most of the heap are signals that are closed: those that expire late would stay for ever.
            self._heap = [(each.ts_expires, each.seq, each.signal_id) for each in self._open.values()]
            heapq.heapify(self._heap)

    @property
    def next_at(self) -> int | None:
        """When the next signal expires; None if none is open."""
        while self._heap:
            ts_expires, seq, signal_id = self._heap[0]
            signal = self._open.get(signal_id)
            if signal is not None and signal.seq == seq:
                return ts_expires
            heapq.heappop(self._heap)
        return None

    def due(self, now: int, most: int) -> Iterator[OpenSignal]:
        """At most `most` signals that have expired, in the order of their expiry.

        The caller closes each before it asks for the next.
        """
        for _ in range(most):
            moment = self.next_at
            if moment is None or moment > now:
                return
            yield self._open[self._heap[0][2]]
