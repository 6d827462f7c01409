"""What a node's metrics are read from: the sums of its classes and the cells of its static tree."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

from runtime.breaker import BreakerSnapshot
from runtime.cell import Cell, State
from runtime.metrics import ActorFigures, ClassFigures
from runtime.router import RouterSnapshot
from runtime.supervisor import SupervisorCell

if TYPE_CHECKING:
    from runtime.node import Node

_UP = frozenset({State.UP, State.RECOVERING, State.PAUSED})


class NodeFigures:
    """The `Source` of one node. Every method takes as long as the static tree is large, whatever dynamic children
    there are."""

    def __init__(self, node: Node) -> None:
        self.node = node

    def classes(self) -> Iterator[ClassFigures]:
        """Every class that has had an actor."""
        for kind in tuple(self.node.kinds.values()):
            yield ClassFigures(
                cls=kind.name,
                handled=kind.handled,
                errors=kind.errors,
                restarts=kind.restarts,
                dropped=kind.dropped,
                busy_ns=kind.busy_ns,
                starts=kind.starts,
            )

    def actors(self) -> Iterator[ActorFigures]:
        """Every path of the static tree."""
        for cell in self._static(self.node.root):
            yield ActorFigures(
                path=cell.path,
                cls=cell.kind.name,
                up=cell.state in _UP,
                handled=cell.handled,
                errors=cell.errors,
                restarts=cell.restarts,
                depth=len(cell.queue),
                dropped=cell.dropped,
            )

    def breakers(self) -> Iterator[BreakerSnapshot]:
        """Every breaker of the static tree."""
        now = self.node.clock.monotonic()
        for cell in self._static(self.node.root):
            if cell.guard is not None and cell.guard.breaker is not None:
                yield cell.guard.breaker.snapshot(now)

    def routers(self) -> Iterator[tuple[str, RouterSnapshot]]:
        """Every router of the static tree."""
        for cell in self._static(self.node.root):
            if cell.guard is not None and cell.guard.router is not None:
                yield cell.path, cell.guard.router.snapshot()

    def _static(self, cell: Cell) -> Iterator[Cell]:
        yield cell
        if isinstance(cell, SupervisorCell) and not cell.options.dynamic:
            for child in tuple(cell.children.values()):
                yield from self._static(child)
