"""What a scrape reads from a node: figures by class, and by path of the static tree."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from itertools import islice
from typing import TYPE_CHECKING

from runtime.breaker import BreakerSnapshot
from runtime.cell import Cell, State
from runtime.metrics import ActorFigures, ClassFigures, WorkerFigures
from runtime.replica_set import ReplicaSet
from runtime.replicas import ReplicasSnapshot
from runtime.router import RouterSnapshot
from runtime.supervisor import SupervisorCell
from runtime.tree import MOST_CHILDREN

if TYPE_CHECKING:
    from runtime.node import Node

DOWN = (State.STOPPED, State.BACKOFF, State.UNPLACED)


class NodeFigures:
    """The source of a node's metrics. Dynamic children are not walked: their classes' sums are kept as they work."""

    def __init__(self, node: Node) -> None:
        self._node = node

    def classes(self) -> Iterable[ClassFigures]:
        """Return the figures of every class of actors."""
        return [
            ClassFigures(
                cls=kind.name,
                handled=kind.handled,
                errors=kind.errors,
                restarts=kind.restarts,
                dropped=kind.dropped,
                busy_ns=kind.busy_ns,
                starts=kind.starts,
            )
            for kind in self._node.kinds.values()
        ]

    def actors(self) -> Iterable[ActorFigures]:
        """Return the figures of every path of the static tree."""
        return [
            ActorFigures(
                path=cell.path,
                cls=cell.kind.name,
                up=cell.state not in DOWN,
                handled=cell.handled,
                errors=cell.errors,
                restarts=cell.restarts,
                depth=len(cell.queue),
                dropped=cell.dropped,
                busy_ns=cell.busy_ns,
            )
            for cell in self._static(self._node.root)
        ]

    def breakers(self) -> Iterable[BreakerSnapshot]:
        """Return every breaker of the static tree."""
        now = self._node.clock.monotonic()
        guards = (cell.guard for cell in self._static(self._node.root))
        return [guard.breaker.snapshot(now) for guard in guards if guard is not None and guard.breaker is not None]

    def routers(self) -> Iterable[tuple[str, RouterSnapshot]]:
        """Return every router of the static tree with its path."""
        return [
            (cell.path, cell.guard.router.snapshot())
            for cell in self._static(self._node.root)
            if cell.guard is not None and cell.guard.router is not None
        ]

    def replicas(self) -> Iterable[tuple[str, ReplicasSnapshot]]:
        """Return every set of replicas of the static tree with its path."""
        return [(cell.path, cell.snapshot()) for cell in self._static(self._node.root) if isinstance(cell, ReplicaSet)]

    def workers(self) -> Iterable[WorkerFigures]:
        """Return every worker."""
        hosts = self._node._hosts
        return [
            WorkerFigures(
                worker=host.name,
                node=host.node_name,
                kind=host.kind,
                rss=host.rss,
                actors=len(host.cells),
                families=host.families,
            )
            for host in (() if hosts is None else hosts.all.values())
            if host.up
        ]

    def sample_rates(self) -> None:
        """Look at the message rates of what a snapshot shows, so that whoever asks next gets current ones."""
        for cell in self._shown(self._node.root):
            self._node.rates.of(cell)

    def _shown(self, cell: Cell) -> Iterator[Cell]:
        yield cell
        if isinstance(cell, SupervisorCell):
            for child in islice(cell.children.values(), MOST_CHILDREN):
                yield from self._shown(child)

    def _static(self, cell: Cell) -> Iterator[Cell]:
        yield cell
        if isinstance(cell, SupervisorCell) and not cell.options.dynamic:
            for child in cell.children.values():
                yield from self._static(child)
