"""One node: a trio event loop, one tree of actors, and what they share.

    async with open_node(NodeSettings(name="desk"), children=(feed, books, strategies)) as node:
        await node.ref("/books/KXBTC").ask(GetBook(depth=5))

Leaving the block stops the tree in reverse order within `stop_s` seconds.
"""

from __future__ import annotations

import math
from collections import deque
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator, Sequence
from contextlib import asynccontextmanager, contextmanager
from random import Random
from typing import TYPE_CHECKING, Any, TypeVar

import msgspec
import structlog
import trio

from protocols.control import (
    ActorEvent,
    DeadLetter,
    ExitReason,
    Incarnation,
    Message,
    Quarantined,
    Shutdown,
    Terminated,
)
from runtime.breaker import CircuitBreaker, Transition
from runtime.cell import Cell, State
from runtime.clock import Clock, SystemClock
from runtime.exits import describe
from runtime.figures import NodeFigures
from runtime.guard import Guard
from runtime.mailbox import Mailbox, OnCrash
from runtime.metrics import Metrics
from runtime.ref import ActorRef
from runtime.router import Router
from runtime.settings import LocalPath
from runtime.spec import Backoff, ChildSpec, RestartLimit, Strategy, supervisor
from runtime.supervisor import SupervisorCell
from runtime.timers import Timers
from runtime.topics import Tap, Topics
from runtime.tree import ActorView, Rates

if TYPE_CHECKING:
    from runtime.cluster.hosts import Hosts
    from runtime.cluster.placed import PlacedCell
    from runtime.cluster.settings import ClusterSettings
    from runtime.log import NodeLog

T = TypeVar("T")
REMEMBERED_PATHS = 100_000
HISTORY = 512


class NodeSettings(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """A node's own settings (`[node]`)."""

    name: str = "troupe"
    data_dir: LocalPath = "data"
    """Where the log, the embedded database, the token and `node.json` live."""
    stop_s: float = 4.0
    """The budget of a whole stop, in seconds."""
    threads: int = 16
    """How many blocking calls (`Actor.offload`) may run at once."""
    restart_count: int = 3
    restart_s: float = 5.0
    """More restarts of top-level branches than this within so many seconds, and the node gives up."""

    def __post_init__(self) -> None:
        if self.restart_count < 0 or self.restart_s <= 0 or self.stop_s < 0 or self.threads < 1:
            raise ValueError("expected restart_count >= 0, restart_s > 0, stop_s >= 0 and threads >= 1")
        shortest = Backoff().shortest(self.restart_count)
        if shortest >= self.restart_s:
            raise ValueError(
                f"{self.restart_count} restarts take at least {shortest:g} s, so a limit of restart_count = "
                f"{self.restart_count} in restart_s = {self.restart_s:g} s can never be reached"
            )


class NodeFailed(Exception):
    """The tree could not start, or its root supervisor gave up."""

    def __init__(self, reason: ExitReason) -> None:
        super().__init__(describe(reason))
        self.reason = reason


class Kind:
    """What all actors of one class have in common, and their figures summed since the node started."""

    __slots__ = ("busy_ns", "clears", "dropped", "errors", "fences", "handled", "mailbox", "name", "restarts", "starts")

    def __init__(self, name: str, mailbox: Mailbox, *, fences: bool, clears: bool) -> None:
        self.name = name
        self.mailbox = mailbox
        self.fences = fences
        self.clears = clears
        """Whether the mailbox is cleared at a crash."""
        self.starts = self.handled = self.errors = self.restarts = self.dropped = self.busy_ns = 0


class Node:
    """What the actors of one event loop share. Made by `open_node`."""

    def __init__(
        self, settings: NodeSettings, clock: Clock, log: NodeLog | None, metrics: Metrics, seed: int | None
    ) -> None:
        self.settings = settings
        self.clock = clock
        self.log = log
        self.epoch = 1 if log is None else log.epoch
        self.started_at = clock.now()
        self.metrics = metrics
        self.timers = Timers()
        self.topics = Topics()
        self.cells: dict[str, Cell] = {}
        self.kinds: dict[str, Kind] = {}
        self.worker = ""
        """The process that this is, in words; empty: the node's own."""
        self.branches: dict[str, PlacedCell] = {}
        """Supervisors that run elsewhere with all that is below them, by path."""
        self.awake = 1
        """How many actors have something to do; what the slices of the loop are shared by. Never 0."""
        self.running: Cell | None = None
        """The actor that was given the loop last."""
        self.random = Random(seed)  # noqa: S311 - jitter
        self.logger: Any = structlog.get_logger("troupe")
        self.history: deque[ActorEvent] = deque(maxlen=HISTORY)
        self.dead_letters = 0
        self.rates = Rates()
        self.failed: ExitReason | None = None
        self.nursery: trio.Nursery
        self.root: SupervisorCell
        self._counts: dict[str, int] = {}
        self._count_floor = 0
        self._watchers: dict[str, set[Cell]] = {}
        self._watched: dict[Cell, set[str]] = {}
        self._limiter = trio.CapacityLimiter(settings.threads)
        self._stop_deadline = math.inf
        self._background: trio.Nursery
        self._kept: trio.Nursery
        self._ended = trio.Event()
        self.up = trio.Event()
        """Set when the whole tree has started, or could not."""
        self.cluster: ClusterSettings | None = None
        self._hosts: Hosts | None = None
        self._nobody = Cell(self, None, ChildSpec(name="nobody", actor="runtime.actor:Actor"), "")
        self._nobody.gone = True

    # For actors and for code beside them.

    def ref(self, path: str) -> ActorRef:
        """Return the address of `path`, whether or not somebody lives there yet."""
        cell = self.find(path)
        return ActorRef(path, self._nobody) if cell is None else cell.ref

    def resolve(self, path: str) -> Cell:
        """Return the cell at `path`, or one that refuses everything."""
        return self.find(path) or self._nobody

    def find(self, path: str) -> Cell | None:
        """Return the cell at `path`; for what lives below a placed supervisor, the way to it."""
        cell = self.cells.get(path)
        if cell is None and self.branches:
            above = path
            while above := above.rpartition("/")[0]:
                if above in self.branches:
                    return self.branches[above].below(path)
        return cell

    def publish(self, message: Message) -> int:
        """See `Actor.publish`."""
        return self.topics.publish(message)

    @contextmanager
    def open_tap(
        self, *subscriptions: tuple[type[Message], str | None], path: str = "tap", capacity: int = 1024
    ) -> Iterator[Tap]:
        """Subscribe a task that is no actor to topics, for the duration of the block."""
        tap = Tap(path, capacity)
        for message_type, key in subscriptions:
            self.topics.subscribe(tap, message_type, key, lossless=False)
        try:
            yield tap
        finally:
            self.topics.drop(tap)

    def tree(self, path: str = "/", depth: int | None = None) -> ActorView | None:
        """A snapshot of the tree from `path` down, `depth` levels of it; None if nobody lives there."""
        cell = self.find(path)
        return None if cell is None else cell.look(depth)

    def require_log(self) -> NodeLog:
        """Return the node's log. Raises RuntimeError if this node was opened without one."""
        if self.log is None:
            raise RuntimeError("this node was opened without a log")
        return self.log

    async def offload(self, function: Callable[..., T], args: tuple[Any, ...], timeout: float) -> T:
        """See `Actor.offload`."""
        with trio.fail_after(timeout):
            return await trio.to_thread.run_sync(function, *args, abandon_on_cancel=True, limiter=self._limiter)

    def encode(self, message: Message) -> bytes:
        """Encode a message as msgpack; a ref in it becomes (node, path)."""
        return msgspec.msgpack.encode(message, enc_hook=self._encode_ref)

    def _encode_ref(self, value: object) -> object:
        if isinstance(value, ActorRef):
            return (self.settings.name, value.path)
        raise NotImplementedError(f"cannot encode a {type(value).__name__}")

    def background(self, function: Callable[..., Awaitable[object]], *args: Any) -> None:
        """Run a task that nobody waits for and that ends with the node; it must not raise."""
        self._background.start_soon(function, *args)

    @property
    def hosts(self) -> Hosts:
        """The workers of this node. The first one that asks makes them possible."""
        if self._hosts is None:
            from runtime.cluster.hosts import Hosts

            self._hosts = Hosts(self, self.cluster)
        return self._hosts

    def keep(self, function: Callable[..., Awaitable[object]], *args: Any) -> None:
        """Run a task that ends when the whole tree has stopped, and not before; it must not raise."""
        self._kept.start_soon(function, *args)

    # What cells tell the node.

    def kind_of(self, spec: ChildSpec) -> Kind:
        """Return the figures of the spec's class."""
        name = spec.actor_path()
        kind = self.kinds.get(name)
        if kind is None:
            try:
                actor = spec.actor_class() if spec.supervisor is None else None
            except ValueError:
                actor = None  # a class that cannot be imported is a failed start, reported there
            mailbox = Mailbox() if actor is None else actor.mailbox
            kind = self.kinds[name] = Kind(
                name,
                mailbox,
                fences=actor is not None and actor.fences,
                clears=actor is not None and actor.on_crash is OnCrash.CLEAR,
            )
        return kind

    def guard_of(self, cell: Cell) -> Guard | None:
        """Return the guard that the child's spec declares."""
        spec = cell.spec
        if spec.breaker is None and spec.router is None:
            return None
        breaker = None
        if spec.breaker is not None:
            breaker = CircuitBreaker(cell.path, spec.breaker, self.clock.monotonic(), self._breaker_moved)
        return Guard(cell, breaker, None if spec.router is None else Router(spec.router))

    def _breaker_moved(self, transition: Transition) -> None:
        self.logger.warning(
            "breaker",
            actor=transition.name,
            old=transition.old.value,
            new=transition.new.value,
            event_name=transition.event.value,
            failure_rate=transition.failure_rate,
            slow_call_rate=transition.slow_call_rate,
        )

    def next_count(self, path: str, count: int) -> int:
        """Return the number of the next start of `path`: never one used before, though the path was forgotten."""
        known = max(count, self._counts.pop(path, self._count_floor))
        return known + 1

    def forget(self, cell: Cell) -> None:
        """A path is no more; only how often it was started is remembered, so that fences hold."""
        self.cells.pop(cell.path, None)
        self.rates.forget(cell.path)
        self._counts[cell.path] = cell.count
        if len(self._counts) > REMEMBERED_PATHS:
            oldest = next(iter(self._counts))
            self._count_floor = max(self._count_floor, self._counts.pop(oldest))

    def dead_letter(self, path: str, message: Message, reason: str) -> None:
        """Make a loss seen."""
        self.dead_letters += 1
        kind = type(message)
        if kind is not DeadLetter and self.topics.has_subscribers(DeadLetter):
            self.topics.publish(DeadLetter(path, kind.__name__, reason, preview(message)))
        self.logger.debug("dead letter", actor=path, message_type=kind.__name__, reason=reason)

    def quarantined(self, path: str, message: Message) -> None:
        """A message has crashed its actor twice."""
        self.topics.publish(Quarantined(path, type(message).__name__, preview(message)))
        self.logger.error("quarantined", actor=path, message_type=type(message).__name__, preview=preview(message))

    def crash(self, cell: Cell, reason: ExitReason, culprit: Message | None, last: Sequence[str] | None = None) -> None:
        """An incarnation has crashed: the log gets its traceback and its last messages (those of its recorder)."""
        if culprit is not None:
            self.dead_letter(cell.path, culprit, "crashed")
        self.logger.error(
            "crashed",
            actor=cell.path,
            incarnation=str(Incarnation(self.epoch, cell.count)),
            error=describe(reason),
            traceback=getattr(reason, "traceback", ""),
            last_messages=[preview(message) for message in cell.recorder or ()] if last is None else last,
        )

    def started(self, cell: Cell) -> None:
        """A child is up."""
        self._event(cell, "started")

    def unplaced(self, cell: Cell, reason: ExitReason) -> None:
        """A child waits for a cluster."""
        self.logger.warning("unplaced", actor=cell.path, reason=describe(reason))
        self._event(cell, "start_failed", describe(reason))

    def start_failed(self, cell: Cell, reason: ExitReason) -> None:
        """A start failed."""
        self.logger.error(
            "start failed", actor=cell.path, error=describe(reason), traceback=getattr(reason, "traceback", "")
        )
        self._event(cell, "start_failed", describe(reason))

    def restarting(self, cell: Cell, delay: float) -> None:
        """A restart is decided."""
        self.logger.warning("restarting", actor=cell.path, delay_s=delay, restarts=cell.restarts)
        self._event(cell, "restarting", describe(cell.last_exit or Shutdown()), delay)

    def ended(self, cell: Cell, reason: ExitReason, *, final: bool) -> None:
        """An incarnation has ended, and the supervisor has decided whether there will be another."""
        self._event(cell, "stopped" if final else "ended", describe(reason))
        watchers = self._watchers.get(cell.path)
        if not watchers:
            return
        message = Terminated(cell.path, Incarnation(self.epoch, cell.count), reason, final)
        for watcher in tuple(watchers):
            watcher.post_control(message)

    def _event(self, cell: Cell, event: Any, reason: str = "", delay_s: float = 0.0) -> None:
        dynamic = cell.parent is not None and cell.parent.options.dynamic
        if dynamic and event == "started" and not self.topics.has_subscribers(ActorEvent):
            return  # a hundred thousand of them are started at once
        happened = ActorEvent(cell.path, event, Incarnation(self.epoch, cell.count), self.clock.now(), reason, delay_s)
        self.history.append(happened)
        self.topics.publish(happened)

    def watch(self, watcher: Cell, path: str) -> None:
        """Let `watcher` be told of every end of `path`; of one where nobody lives, at once."""
        self._watchers.setdefault(path, set()).add(watcher)
        self._watched.setdefault(watcher, set()).add(path)
        cell = self.find(path)
        if cell is not None and cell.watch_elsewhere(watcher, True):
            return
        if cell is None or cell.state is State.STOPPED:
            count = 0 if cell is None else cell.count
            reason = Shutdown("not running") if cell is None else cell.last_exit or Shutdown()
            watcher.post_control(Terminated(path, Incarnation(self.epoch, count), reason, True))

    def unwatch(self, watcher: Cell, path: str) -> None:
        """Undo `watch`."""
        self._watchers.get(path, set()).discard(watcher)
        if not self._watchers.get(path, True):
            del self._watchers[path]
        self._watched.get(watcher, set()).discard(path)
        cell = self.find(path)
        if cell is not None:
            cell.watch_elsewhere(watcher, False)

    def watchers_below(self, path: str) -> list[tuple[str, tuple[Cell, ...]]]:
        """Return what is watched below `path`, with its watchers."""
        prefix = f"{path}/"
        return [(each, tuple(found)) for each, found in self._watchers.items() if each.startswith(prefix)]

    def unwatch_all(self, watcher: Cell) -> None:
        """A watcher has ended."""
        for path in tuple(self._watched.pop(watcher, ())):
            self.unwatch(watcher, path)

    # The end.

    def stop_left(self) -> float:
        """How many seconds of the stop budget are left; infinite while the node is not stopping."""
        return max(0.0, self._stop_deadline - trio.current_time())

    async def stop(self) -> None:
        """Stop the tree in reverse order; returns when every actor has ended."""
        if self._stop_deadline == math.inf:
            self._stop_deadline = trio.current_time() + self.settings.stop_s
            self.root.request_stop(Shutdown("the node stops"))
        await self._ended.wait()

    def root_ended(self, reason: ExitReason) -> None:
        """The root supervisor has ended: asked to, or because it gave up."""
        self._ended.set()
        self.up.set()
        if self._stop_deadline == math.inf:
            self.failed = reason
            self.nursery.cancel_scope.cancel()


def preview(message: Message, most: int = 200) -> str:
    """The message as text, shortened."""
    text = repr(message)
    return text if len(text) <= most else text[: most - 1] + "…"


@asynccontextmanager
async def open_node(
    settings: NodeSettings = NodeSettings(),  # noqa: B008 - frozen
    children: tuple[ChildSpec, ...] = (),
    *,
    strategy: Strategy = Strategy.ONE_FOR_ONE,
    clock: Clock | None = None,
    log: NodeLog | None = None,
    metrics: Metrics | None = None,
    seed: int | None = None,
    cluster: ClusterSettings | None = None,
) -> AsyncIterator[Node]:
    """Start a tree of `children` and yield the node once all of it is up; stop it at the end of the block.

    Raises NodeFailed if the tree does not start, or if its root supervisor gives up during the block (which is then
    cancelled).
    """
    node = Node(settings, clock or SystemClock(), log, metrics or Metrics(), seed)
    node.cluster = cluster
    limit = RestartLimit(settings.restart_count, settings.restart_s)
    spec = supervisor("root", *children, strategy=strategy, limit=limit)
    # Deadlines must pass while a cancelled tree stops: the timers end last, and by hand.
    ticking = trio.CancelScope(shield=True)
    async with trio.open_nursery() as service:
        service.start_soon(_tick, node.timers, ticking)
        kept = await service.start(_keep, node)
        async with trio.open_nursery() as node.nursery:
            node._background = service
            node.root = SupervisorCell(node, None, spec, "/")
            node.cells["/"] = node.root
            node.metrics.source = NodeFigures(node)
            node.root.begin()
            try:
                await node.up.wait()
                if node.failed is not None:
                    await trio.lowlevel.checkpoint()  # cancelled: the block must not begin
                yield node
            finally:
                with trio.CancelScope(shield=True):
                    await node.stop()
                kept.cancel()
                ticking.cancel()
        service.cancel_scope.cancel()
    if node.failed is not None:
        raise NodeFailed(node.failed)


async def _keep(node: Node, task_status: trio.TaskStatus[trio.CancelScope]) -> None:
    with trio.CancelScope(shield=True) as scope:
        async with trio.open_nursery() as node._kept:
            task_status.started(scope)
            await trio.sleep_forever()


async def _tick(timers: Timers, scope: trio.CancelScope) -> None:
    with scope:
        await timers.run()
