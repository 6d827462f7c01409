"""Who the replicas of a set are, told to each of them: for actors that divide something among themselves."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING, Final

import trio

from protocols.control import Refused, Unknown
from runtime.cell import RUNNING, Cell, State
from runtime.replicas import ReplicaMembers
from runtime.variables import running_cell

if TYPE_CHECKING:
    from runtime.replica_set import ReplicaSet

ASK_S: Final = 5.0
AGAIN_S: Final = 0.01


class Membership:
    """Asks each replica to take note of the members, again after each of its starts, until it has.

    A replica of a class without a handler for `ReplicaMembers` is told nothing. One that was given no names yet is told
    that there are none, so that it begins nothing that another still does.
    """

    __slots__ = ("_asking", "_names", "_set")

    def __init__(self, replicas: ReplicaSet) -> None:
        self._set = replicas
        self._names: dict[str, tuple[str, ...]] = {}
        self._asking: dict[Cell, tuple[str, ...]] = {}
        """Who has not answered yet, with the names that it was asked with last."""

    def begin(self, names: Iterable[str]) -> None:
        """Another life of the set, with these."""
        names = tuple(names)
        self._names = dict.fromkeys(names, names)
        self._asking.clear()

    def give(self, cells: Iterable[Cell], names: Iterable[str]) -> None:
        """Tell some replicas that these are the members from now on."""
        names = tuple(names)
        for cell in cells:
            self._names[cell.name] = names
            self.tell(cell)

    def forget(self, cell: Cell) -> None:
        """A replica has left."""
        self._names.pop(cell.name, None)

    def tell(self, cell: Cell) -> None:
        """Tell one replica; one that does not run is told when it has started."""
        if cell.state not in RUNNING or cell in self._asking or not _handles(cell):
            return
        self._asking[cell] = self._of(cell)
        self._set.nursery.start_soon(self._ask, cell, name=f"members for {cell.path}")

    def is_told(self, cell: Cell) -> bool:
        """Whether a replica acts by the names it was given last, or does nothing at all."""
        asked = self._asking.get(cell)
        return asked is None or (cell.state not in RUNNING and asked == self._of(cell))

    def _of(self, cell: Cell) -> tuple[str, ...]:
        return self._names.get(cell.name, ())

    async def _ask(self, cell: Cell) -> None:
        running_cell.set(None)  # it may take longer than the request, say a resize, in which it began
        try:
            while not cell.gone and cell.state is not State.STOPPED and self._set.stop_reason is None:
                names = self._asking[cell] = self._of(cell)
                count = cell.count
                try:
                    await cell.ref.ask(ReplicaMembers(cell.name, names), ASK_S)
                except (Refused, Unknown):
                    await trio.sleep(AGAIN_S)
                    continue
                if (names, count) == (self._of(cell), cell.count):
                    return
        finally:
            self._asking.pop(cell, None)


def _handles(cell: Cell) -> bool:
    try:
        kind = cell.spec.actor_class()
    except ValueError:
        return False
    return kind is not None and (ReplicaMembers in kind._sync_handlers or ReplicaMembers in kind._async_handlers)
