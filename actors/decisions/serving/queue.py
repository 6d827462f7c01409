"""What waits for a model: four classes of urgency, bounded, and the deadlines of all of it. A core.

* The classes are served strictly in their order (RISK_EXIT, HIGH, NORMAL, LOW), each first in, first out; so two
  requests of one user, symbol and class leave in the order in which they came.
* So that nobody starves: after `quantum` requests that were served past somebody of a lower class, one goes to the
  lower request that has waited longest. A request behind n older ones of lower classes therefore waits for at most
  (n + 1) * (quantum + 1) others, and a risk exit is held up by at most one in quantum + 1.
* A class holds at most its own bound, all of them together `capacity`; the last `reserve` places are for risk exits.

Times are monotonic nanoseconds. A request that is answered while it waits (its deadline has passed) is discarded: it
leaves its place at once, and its husk when it comes to the front, or when there are more husks than requests.
"""

from __future__ import annotations

import heapq
from collections import deque
from typing import Final, Generic, TypeVar

from protocols.decisions import PRIORITIES, RISK_EXIT

QUANTUM: Final = 16
HUSKS: Final = 64
"""So many dead entries are never worth a sweep."""


class Waiting:
    """Something that waits. `open`: nobody has answered it yet; `queued`: it has a place in a queue."""

    __slots__ = ("deadline", "number", "open", "priority", "queued")

    def __init__(self, priority: int, deadline: int) -> None:
        self.priority = priority
        self.deadline = deadline
        self.number = 0
        self.open = True
        self.queued = False


W = TypeVar("W", bound=Waiting)


class RequestQueue(Generic[W]):
    """One queue of four classes. `per_class` bounds each one (None: by `capacity` alone).

    Raises ValueError for bounds that leave a class without a place.
    """

    def __init__(
        self,
        capacity: int = 1024,
        reserve: int = 64,
        per_class: tuple[int, int, int, int] | None = None,
        quantum: int = QUANTUM,
    ) -> None:
        bounds = per_class or (capacity,) * len(PRIORITIES)
        if not 0 <= reserve < capacity or quantum < 1 or min(bounds) < 1:
            raise ValueError(
                f"expected 0 <= reserve < capacity, quantum and every class at least 1, "
                f"got capacity {capacity}, reserve {reserve}, per_class {bounds}, quantum {quantum}"
            )
        self.capacity = capacity
        self.reserve = reserve
        self.quantum = quantum
        self._bounds = bounds
        self._lanes: tuple[deque[W], ...] = tuple(deque() for _ in PRIORITIES)
        self._counts = [0] * len(PRIORITIES)
        self._total = 0
        self._number = 0
        self._past = 0
        """How many were served past somebody of a lower class since one of those was."""

    def __len__(self) -> int:
        return self._total

    def depths(self) -> tuple[int, ...]:
        """How many wait, by class."""
        return tuple(self._counts)

    def push(self, entry: W) -> bool:
        """Give it a place behind those of its class; False: there is none."""
        priority = entry.priority
        places = self.capacity if priority == RISK_EXIT else self.capacity - self.reserve
        if self._total >= places or self._counts[priority] >= self._bounds[priority]:
            return False
        self._number += 1
        entry.number = self._number
        entry.queued = True
        self._counts[priority] += 1
        self._total += 1
        self._lanes[priority].append(entry)
        return True

    def pop(self) -> W | None:
        """Take out who is next; None: nobody waits."""
        if not self._total:
            return None
        counts = self._counts
        priority = 0
        while not counts[priority]:
            priority += 1
        if counts[priority] < self._total:
            if self._past >= self.quantum:
                priority = min(
                    (p for p in range(priority + 1, len(counts)) if counts[p]), key=lambda p: self._head(p).number
                )
                self._past = 0
            else:
                self._past += 1
        else:
            self._past = 0
        entry = self._head(priority)
        self._lanes[priority].popleft()
        entry.queued = False
        counts[priority] -= 1
        self._total -= 1
        return entry

    def discard(self, entry: W) -> None:
        """Take it out from where it is; nothing happens if it has no place."""
        if entry.queued:
            entry.queued = False
            self._counts[entry.priority] -= 1
            self._total -= 1
            lane = self._lanes[entry.priority]
            if len(lane) > HUSKS and len(lane) > 2 * self._counts[entry.priority]:
                kept = [each for each in lane if each.queued]
                lane.clear()
                lane.extend(kept)

    def _head(self, priority: int) -> W:
        lane = self._lanes[priority]
        while not lane[0].queued:
            lane.popleft()
        return lane[0]


class Deadlines(Generic[W]):
    """The deadlines of everything that is open, the earliest first."""

    def __init__(self) -> None:
        self._heap: list[tuple[int, int, W]] = []
        self._number = 0

    def __len__(self) -> int:
        return len(self._heap)

    def add(self, entry: W) -> None:
        """Remember it until it is answered or due."""
        self._number += 1
        heapq.heappush(self._heap, (entry.deadline, self._number, entry))

    def earliest(self) -> int | None:
        """The earliest deadline of what is open; None: nothing is."""
        heap = self._heap
        while heap and not heap[0][2].open:
            heapq.heappop(heap)
        return heap[0][0] if heap else None

    def due(self, now: int) -> list[W]:
        """Take out what is open and whose deadline has come, the earliest first."""
        found = []
        while (earliest := self.earliest()) is not None and earliest <= now:
            found.append(heapq.heappop(self._heap)[2])
        return found

    def sweep(self, still_open: int) -> None:
        """Forget what was answered, if that is most of it; `still_open`: how many are not."""
        if len(self._heap) > HUSKS + 2 * still_open:
            self._heap = [each for each in self._heap if each[2].open]
            heapq.heapify(self._heap)
