"""The tree as one can look at it: a snapshot of plain data, made on request.

What an actor is handling is shown as the type of the message, never its content: messages may hold secrets.
"""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

import msgspec

from protocols.control import Incarnation
from runtime.actor_cell import ActorCell
from runtime.breaker import BreakerSnapshot
from runtime.cell import Cell, State
from runtime.exits import describe
from runtime.replica_set import ReplicaSet
from runtime.replicas import ReplicasSnapshot
from runtime.router import RouterSnapshot
from runtime.supervisor import SupervisorCell

if TYPE_CHECKING:
    from runtime.node import Node

MOST_CHILDREN = 1000
"""How many children of one supervisor a snapshot holds; the rest is counted in `hidden`."""
RATE_S = 0.5
"""A message rate is measured over at least so many seconds."""


class MailboxView(msgspec.Struct, frozen=True):
    """A mailbox: messages waiting, its bound, and how many were dropped, refused as too many, or merged."""

    depth: int
    capacity: int
    overflow: str
    dropped: int
    merged: int


class ActorView(msgspec.Struct, frozen=True, kw_only=True):
    """One path of the tree.

    `since` is when `state` began (ns, UTC); `rate` is messages per second (None until it is known);
    `restart_reason` says why the last incarnation ended; `next_try_s` how long a backoff still lasts; `remark` is what
    the actor says of itself.
    """

    path: str
    name: str
    kind: str
    cls: str
    placement: str
    state: str
    since: int
    incarnation: str
    restarts: int
    restart: str
    restart_reason: str | None
    next_try_s: float | None
    mailbox: MailboxView
    handled: int
    errors: int
    rate: float | None
    handling: str | None
    awaiting: tuple[str, ...]
    owned_tasks: tuple[str, ...]
    breaker: BreakerSnapshot | None
    router: RouterSnapshot | None
    strategy: str | None
    children: tuple[ActorView, ...]
    hidden: int
    remark: str = ""
    replicas: ReplicasSnapshot | None = None
    node: str = ""
    """The machine or node of a cluster that it runs on."""
    worker: str = ""
    """The process that it runs in; empty: the node's own."""


class Rates:
    """Messages per second of the paths that are looked at: no cost for the others."""

    def __init__(self) -> None:
        self._marks: dict[str, tuple[int, float, float | None]] = {}

    def of(self, cell: Cell) -> float | None:
        """The rate since the last look that was at least RATE_S ago; None at the first."""
        now = time.monotonic()
        known = self._marks.get(cell.path)
        if known is None:
            self._marks[cell.path] = (cell.handled, now, None)
            return None
        handled, at, rate = known
        if now - at < RATE_S:
            return rate
        rate = max(0, cell.handled - handled) / (now - at)
        self._marks[cell.path] = (cell.handled, now, rate)
        return rate

    def forget(self, path: str) -> None:
        """The path is no more."""
        self._marks.pop(path, None)


def view(node: Node, cell: Cell, depth: int | None = None) -> ActorView:
    """A snapshot of `cell` and, up to `depth` levels, what is below it."""
    children: tuple[ActorView, ...] = ()
    hidden = 0
    supervises = cell.spec.supervisor is not None
    if isinstance(cell, SupervisorCell):
        below = list(cell.children.values())
        shown = below[:MOST_CHILDREN] if depth is None or depth > 0 else []
        hidden = len(below) - len(shown)
        deeper = None if depth is None else depth - 1
        children = tuple(view(node, child, deeper) for child in shown)
    guard = cell.guard
    now = node.clock.monotonic()
    at = cell.place()
    made = ActorView(
        path=cell.path,
        name=cell.name,
        kind="supervisor" if supervises else "actor",
        cls=cell.spec.actor_path(),
        placement=cell.placement,
        state=cell.state.value,
        since=cell.since,
        incarnation=str(Incarnation(node.epoch, cell.count)),
        restarts=cell.restarts,
        restart=cell.spec.restart.value,
        restart_reason=None if cell.last_exit is None else describe(cell.last_exit),
        next_try_s=_next_try(cell),
        mailbox=MailboxView(len(cell.queue), cell.capacity, cell.overflow.value, cell.dropped, cell.merged),
        handled=cell.handled,
        errors=cell.errors,
        rate=node.rates.of(cell),
        handling=None if cell.handling is None else type(cell.handling).__name__,
        awaiting=tuple(awaited.path for awaited in cell.awaiting),
        owned_tasks=tuple((cell.owned or {}).values())[:MOST_CHILDREN],
        breaker=None if guard is None or guard.breaker is None else guard.breaker.snapshot(now),
        router=None if guard is None or guard.router is None else guard.router.snapshot(),
        strategy=cell.options.strategy.value if isinstance(cell, SupervisorCell) else None,
        children=children,
        hidden=hidden,
        remark=_remark(cell),
        replicas=cell.snapshot() if isinstance(cell, ReplicaSet) else None,
        node=at[0],
        worker=at[1],
    )
    elsewhere = cell.seen()
    return made if elsewhere is None else _with(made, elsewhere, depth)


def _with(made: ActorView, elsewhere: ActorView, depth: int | None) -> ActorView:
    """What the node knows of a placed path, with what only its own process knows."""
    children = elsewhere.children if depth is None or depth > 0 else ()
    return msgspec.structs.replace(
        made,
        handling=elsewhere.handling,
        awaiting=elsewhere.awaiting,
        owned_tasks=elsewhere.owned_tasks,
        strategy=elsewhere.strategy,
        children=tuple(cut(child, None if depth is None else depth - 1) for child in children),
        hidden=elsewhere.hidden + len(elsewhere.children) - len(children),
        remark=elsewhere.remark,
    )


def cut(view: ActorView, depth: int | None) -> ActorView:
    """A view with so many levels below it."""
    if depth is None:
        return view
    kept = view.children if depth > 0 else ()
    return msgspec.structs.replace(
        view,
        children=tuple(cut(child, depth - 1) for child in kept),
        hidden=view.hidden + len(view.children) - len(kept),
    )


def _remark(cell: Cell) -> str:
    actor = cell.actor if isinstance(cell, ActorCell) else None
    return "" if actor is None else actor.remark


def _next_try(cell: Cell) -> float | None:
    if cell.state is not State.BACKOFF or cell.parent is None:
        return None
    return cell.parent.next_try(cell)


def dump(node: Node) -> str:
    """The tree as text with the stack of every task that is not simply waiting for its mailbox: for a hung node."""
    lines: list[str] = []
    for path, cell in sorted(node.cells.items()):
        if cell.spec.supervisor is None and cell.parked:
            continue
        lines.append(f"{path} {cell.state.value} depth={len(cell.queue)} handling={cell.handling!r}")
        if cell.task is not None:
            lines += [
                f"    {frame.f_code.co_filename}:{line} {frame.f_code.co_name}"
                for frame, line in cell.task.iter_await_frames()
            ]
    return "\n".join(lines)
