"""What a resize has to know of keys that change hands: whose they were, what is held back, and when it may go on."""

from __future__ import annotations

from collections import deque

import trio

from runtime.cell import Cell, State
from runtime.hashing import Rendezvous
from runtime.mailbox import Ask, Lag, Posted, content
from runtime.timers import Timer

RUNS = (State.UP, State.RECOVERING, State.PAUSED)


class Move:
    """Keys that change hands, and what is held back for them meanwhile."""

    __slots__ = ("_gone", "_new", "_old", "held", "over")

    def __init__(self, old: Rendezvous, new: Rendezvous, gone: frozenset[str]) -> None:
        self._old = old
        self._new = new
        self._gone = gone
        """Who was stopped for good when it began: as long as it lasts, a key must not change its mind."""
        self.held: deque[Posted] = deque()
        self.over = trio.Event()

    def old_owner(self, key: str) -> str | None:
        """Who gives the key up; None if it does not move."""
        old, new = self._first(self._old, key), self._first(self._new, key)
        return None if old == new else old

    def _first(self, ring: Rendezvous, key: str) -> str | None:
        return next((name for name in ring.ranked(key) if name not in self._gone), None)


class Point:
    """The end of what a replica has just now: waiting, stashed, or in a handler."""

    __slots__ = ("_cell", "_count", "_handling", "_last")

    def __init__(self, cell: Cell) -> None:
        self._cell = cell
        self._take()

    def _take(self) -> None:
        cell = self._cell
        self._count = cell.count
        self._handling = cell.handling
        if cell.queue and not isinstance(cell.queue[-1], Ask | Posted | Lag | Timer):
            cell.queue[-1] = Posted(cell.queue[-1], None)  # messages can be shared, an envelope is found again
        self._last = [lane[-1] for lane in cell.lanes if lane]

    def is_passed(self) -> bool:
        """Whether all of it is handled, or will never be."""
        cell = self._cell
        if cell.gone or cell.state is State.STOPPED:
            return True
        if cell.state not in RUNS:
            return False
        if cell.count != self._count:
            self._take()  # another life: what waits may have come back from another process, as copies
        handling = cell.handling
        if handling is not None and (handling is self._handling or any(handling is content(x) for x in self._last)):
            return False
        self._handling = None
        return not any(item is last for lane in cell.lanes for item in lane for last in self._last)
