"""The worker's side: a process that hosts actors of a node.

A loop of its own, with a node of its own (`HostNode`) in which the placed actors and what they start live at the same
paths as in the node. What they look up, watch, publish and log is found here or goes over the link. A worker without
its node has no purpose and no right to act: when the link breaks, or is refused, the process ends.

    python -m runtime.cluster.host         # a child process: its standard input is the link
    run_in_thread(settings)                # inside a worker of the cluster
"""

from __future__ import annotations

import inspect
import os
import resource
import signal
import socket
import sys
import threading
import typing
import weakref
from collections import deque
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any, TextIO, cast

import msgspec
import trio

from protocols.control import ExitReason, Message, Refused, Row
from runtime.actor import Actor
from runtime.actor_cell import ActorCell
from runtime.cell import NOTHING, Cell, State
from runtime.clock import SystemClock
from runtime.cluster import wire
from runtime.cluster.far import FarCell
from runtime.cluster.link import Link, LinkBroken
from runtime.cluster.peer import Peer, mark_of
from runtime.cluster.settings import WorkerSettings
from runtime.exit_timer import ExitTimer
from runtime.exits import crashed, describe
from runtime.journal import JournalEntry
from runtime.mailbox import Ask, Lag, Posted, Sender, content
from runtime.metrics import Family, Metrics, Sample
from runtime.node import Node, NodeSettings, preview
from runtime.spec import ChildSpec, RestartLimit, dynamic_supervisor
from runtime.supervisor import SupervisorCell
from runtime.telemetry import TelemetrySettings, open_telemetry
from runtime.timers import Timer
from runtime.topics import Tap, Topics
from runtime.tree import ActorView, view
from runtime.variables import running_cell

CLAIM_NS = 1_000_000
"""How much work an actor takes over at once, in ns: what it has taken counts as begun if the worker dies."""
MOST_CLAIMED = 256
STARTS_OF_A_LIFE = 1_000_000
"""How many starts of an actor below a placed branch fit into one life of the branch."""
VIEW_S = 0.5
"""How often the node is told how the placed actors are."""
FIGURES_TURNS = 4
"""Every so many looks at the actors the node gets the worker's memory and metrics."""
SETTINGS_BYTES = 1 << 20
END_S = 3.0
"""How long what lives here may take to end when the node is gone; then the process ends all the same."""
LOST = 75
"""The exit status of a worker that lost its node."""


class ServicesEnded(Exception):
    """What placed actors need beside them cannot be had: the worker ends."""


class Gap(Lag):
    """The place of a loss that the node's mailbox had."""

    __slots__ = ()

    def __init__(self, topic: str, key: str, count: int) -> None:
        super().__init__(topic, key)
        self.count = count


class HostedActor(ActorCell):
    """A placed actor in its worker. What the node delivers waits in `inbox` until the node was told of its begin."""

    __slots__ = ("begun", "busy_mark", "claimed", "claiming", "handled_mark", "host_end", "inbox")

    def __init__(self, node: HostNode, parent: Root, spec: ChildSpec, path: str) -> None:
        super().__init__(node, parent, spec, path)
        self.host_end: NodeEnd = node.end
        self.inbox: deque[Any] = deque()
        self.begun = 0
        self.claimed = 1
        """How many were taken over last."""
        self.claiming = 0
        self.handled_mark = self.busy_mark = 0

    def set_state(self, state: State) -> None:
        """See `Cell.set_state`; the node is told."""
        super().set_state(state)
        if state in (State.UP, State.RECOVERING):
            self.host_end.link.put(wire.StateIs(self.path, state.value))

    def deliver(self, item: Any) -> None:
        """Take something from the node."""
        self.inbox.append(item)
        if self.asleep:
            self.host_end.claimants.add(self)

    def put_ask(self, ask: Ask) -> None:
        """See `Cell.put_ask`: one from the node waits with what else came from there."""
        if ask.done is not None:
            self.deliver(ask)
        else:
            super().put_ask(ask)

    def more(self) -> bool:
        """See `ActorCell.more`."""
        self.tell_handled()
        if not self.inbox or self.claiming:
            return False
        self.claiming = self._claim()
        if self.host_end.link.flush():
            self.take()
            return True
        self.host_end.link.when_sent(self.take)
        return False

    def claim(self) -> None:
        """As `more`, for an actor that sleeps; `take` follows when the node has been told."""
        if self.inbox and not self.claiming and self.asleep:
            self.claiming = self._claim()
            self.host_end.link.when_sent(self.take)

    def _claim(self) -> int:
        """Say how many of those that wait are begun now: about a millisecond of work, a coroutine always alone."""
        handled, busy = self.handled - self.handled_mark, self.busy_ns - self.busy_mark
        self.handled_mark, self.busy_mark = self.handled, self.busy_ns
        most = self.claimed * 2
        if handled and busy:
            most = min(most, max(1, CLAIM_NS * handled // busy))
        most = self.claimed = min(most, MOST_CLAIMED, len(self.inbox))
        sync = type(self.actor)._sync_handlers if self.actor is not None else {}
        number = 0
        for item in self.inbox:
            if number >= most:
                break
            if type(content(item)) not in sync:
                number = number or 1
                break
            number += 1
        self.begun += number
        self.host_end.link.put(wire.Begun(self.path, self.begun))
        return number

    def take(self) -> None:
        """The node knows: let the claimed ones be handled."""
        number, self.claiming = self.claiming, 0
        if self.exit is not None or self.stop_reason is not None or self.actor is None:
            # The life ended meanwhile: they were never begun, and go back with what else is left.
            number = min(number, len(self.inbox))
        if self.queue is NOTHING:
            self.queue = deque()
            self.open_fast_path()
        inbox, queue = self.inbox, self.queue
        for _ in range(number):
            queue.append(inbox.popleft())
        if self.asleep:
            self.wake()

    def tell_handled(self) -> None:
        """All that was begun is handled, unless something was stashed."""
        if not self.stashed and not self.claiming and self.begun > self.host_end.told.get(self.path, 0):
            self.host_end.told[self.path] = self.begun
            self.host_end.link.put(wire.Handled(self.path, self.begun))

    def leftovers(self) -> tuple[wire.Leftover, ...]:
        """What was taken and not begun."""
        made = []
        end = self.host_end
        for item in self.queue:
            if type(item) in (Lag, Timer):
                continue
            if type(item) is Ask:
                if item.done is None:
                    item.refuse("stopped", f"{self.path} has ended")
                elif (number := end.number_of(item)) is not None:
                    made.append(wire.Leftover(number, "", msgspec.Raw(b"\x90"), None))
                continue
            sender = item.sender if type(item) is Posted else None
            made += end.leftover(content(item), sender)
        self.queue = NOTHING
        for item in self.inbox:
            if type(item) is Ask:
                end.number_of(item)
        self.inbox.clear()
        return tuple(made)


class HostedSupervisor(SupervisorCell):
    """A placed branch in its worker."""

    __slots__ = ("host_end",)

    def __init__(self, node: HostNode, parent: Root, spec: ChildSpec, path: str) -> None:
        super().__init__(node, parent, spec, path)
        self.host_end: NodeEnd = node.end

    def set_state(self, state: State) -> None:
        """See `Cell.set_state`; the node is told."""
        super().set_state(state)
        if state is State.UP:
            self.host_end.link.put(wire.StateIs(self.path, state.value))

    def deliver(self, item: Any) -> None:
        """Take something from the node; a supervisor's requests wait here."""
        end = self.host_end
        end.told[self.path] = number = end.told.get(self.path, 0) + 1
        end.link.put(wire.Begun(self.path, number))
        end.link.put(wire.Handled(self.path, number))
        if type(item) is Ask:
            try:
                super().put_ask(item)
            except Refused as refusal:
                item.settle(refusal)
        elif (code := self.admit(item)) is not None:
            self.refuse_item(item, code)

    def put_ask(self, ask: Ask) -> None:
        """See `Cell.put_ask`."""
        if ask.done is not None:
            self.deliver(ask)
        else:
            super().put_ask(ask)

    def leftovers(self) -> tuple[wire.Leftover, ...]:
        """A supervisor that ends refuses what waits."""
        self.close()
        return ()


class Root(SupervisorCell):
    """What the placed actors live in: it starts and ends them as the node says, and decides nothing."""

    __slots__ = ()

    def signal(self) -> None:
        """See `Cell.signal`: nobody waits here."""

    def child_exited(self, cell: Cell, reason: ExitReason) -> None:
        """Tell the node; without its services a worker is of no use."""
        end = cast("HostNode", self.node).end
        if isinstance(cell, Services):
            if end.up:
                raise ServicesEnded(f"the worker's services gave up: {describe(reason)}")
            return
        end.tell_ended(cast("HostedActor | HostedSupervisor", cell), reason)


class Services(SupervisorCell):
    """What placed actors need beside them in their worker, at the top of its tree."""

    __slots__ = ()

    def add(self, spec: ChildSpec) -> Cell:
        """See `SupervisorCell.add`; the paths are those of the node's top."""
        cell = super().add(spec)
        del self.node.cells[cell.path]
        cell.path = f"/{spec.name}"
        cell._ref = None
        self.node.cells[cell.path] = cell
        return cell


class HostTopics(Topics):
    """Topics of a worker: its own subscribers are served here, all others by the node."""

    def __init__(self, end: NodeEnd) -> None:
        super().__init__()
        self._end = end

    def publish(self, message: Message) -> int:
        """See `Topics.publish`; the node counts as one subscriber if somebody there is interested."""
        return super().publish(message) + self._end.publish(message)

    def publish_here(self, message: Message) -> int:
        """Publish to this worker's subscribers alone."""
        return super().publish(message)

    def subscribe(self, cell: Cell | Tap, message_type: type[Message], key: str | None, lossless: bool) -> None:
        """See `Topics.subscribe`."""
        super().subscribe(cell, message_type, key, lossless)
        self._end.link.put(wire.Subscribe(cell.path, wire.path_of(message_type), key, lossless))

    def unsubscribe(self, cell: Cell | Tap, message_type: type[Message], key: str | None) -> None:
        """See `Topics.unsubscribe`."""
        super().unsubscribe(cell, message_type, key)
        self._end.link.put(wire.Unsubscribe(cell.path, wire.path_of(message_type), key))

    def drop(self, cell: Cell | Tap) -> None:
        """See `Topics.drop`."""
        super().drop(cell)
        if self._end.up:
            self._end.link.put(wire.Gone(cell.path))


class HostLog:
    """The node's log, from afar: a row travels in order with all that its actor sends, and before what depends on
    it."""

    def __init__(self, end: NodeEnd) -> None:
        self._end = end
        self.epoch = end.settings.epoch
        self.last: dict[str, int] = {}
        """The last number of each journal that is written here."""

    def append(self, row: Row) -> int:
        """Send a row; returns its number in the stream, if it has one."""
        number = getattr(row, "seq", 0)
        if isinstance(row, JournalEntry):
            self.last[row.stream] = number
        self._end.link.put(wire.Row(wire.path_of(type(row)), self._end.codec.pack([row], type(row))))
        return int(number)

    def last_seq(self, stream: str) -> int:
        """The last number of a journal of this worker. Raises RuntimeError for other streams: ask the node's actors."""
        if stream not in self.last:
            raise RuntimeError(f"the stream {stream} is not known to a worker: ask an actor of the node")
        return self.last[stream]


class HostNode(Node):
    """The node as the actors of a worker see it."""

    def __init__(self, end: NodeEnd) -> None:
        self.end = end
        settings = end.settings
        super().__init__(
            NodeSettings(name=settings.node, data_dir=settings.data_dir, threads=settings.threads),
            SystemClock(),
            cast("Any", HostLog(end)),
            Metrics(),
            None,
        )
        self.worker = settings.worker
        self.topics = HostTopics(end)
        self.far: weakref.WeakValueDictionary[str, FarCell] = weakref.WeakValueDictionary()
        self.culprits: dict[str, tuple[Message | None, tuple[str, ...]]] = {}
        self.floors: dict[str, int] = {}
        """By placed branch: what the starts below it are counted from in its present life."""

    def next_count(self, path: str, count: int) -> int:
        """See `Node.next_count`: an earlier life of a branch may have been in another worker, and had counts, too."""
        above = path
        while above := above.rpartition("/")[0]:
            if above in self.floors:
                count = max(count, self.floors[above])
                break
        return super().next_count(path, count)

    def find(self, path: str) -> Cell | None:
        """See `Node.find`: what does not live here lives, if anywhere, with the node."""
        cell = self.cells.get(path)
        if cell is None or cell is self.root:
            cell = self.far.get(path)
            if cell is None:
                cell = self.far[path] = FarCell(self, path, lambda: self.end)
        return cell

    def watch(self, watcher: Cell, path: str) -> None:
        """See `Node.watch`."""
        if isinstance(watcher, FarCell) or (path in self.cells and self._ends_here(path)):
            super().watch(watcher, path)
        else:
            self._watched.setdefault(watcher, set()).add(path)
            self.end.link.put(wire.Watch(watcher.path, path, True))

    def unwatch(self, watcher: Cell, path: str) -> None:
        """See `Node.unwatch`."""
        if watcher in self._watchers.get(path, ()):
            super().unwatch(watcher, path)
        elif path in self._watched.get(watcher, ()):
            self._watched[watcher].discard(path)
            if self.end.up:
                self.end.link.put(wire.Watch(watcher.path, path, False))

    def _ends_here(self, path: str) -> bool:
        """Whether the supervisor of a path is in this worker: it alone can say whether an end was the last."""
        return not isinstance(self.cells[path], HostedActor | HostedSupervisor)

    def dead_letter(self, path: str, message: Message, reason: str) -> None:
        """See `Node.dead_letter`."""
        super().dead_letter(path, message, reason)

    def crash(self, cell: Cell, reason: ExitReason, culprit: Message | None, last: Sequence[str] | None = None) -> None:
        """See `Node.crash`: of a placed actor the node itself says it."""
        if isinstance(cell, HostedActor | HostedSupervisor):
            self.culprits[cell.path] = culprit, tuple(preview(message) for message in cell.recorder or ())
        else:
            super().crash(cell, reason, culprit, last)

    def quarantined(self, path: str, message: Message) -> None:
        """See `Node.quarantined`; of a placed actor the node itself says it."""
        cell = self.cells.get(path)
        if not isinstance(cell, HostedActor | HostedSupervisor):
            super().quarantined(path, message)


class NodeEnd(Peer):
    """The node, as its worker sees it."""

    node: HostNode

    def __init__(self, settings: WorkerSettings) -> None:
        self.settings = settings
        self.claimants: set[HostedActor] = set()
        self.told: dict[str, int] = {}
        """How many of each placed actor's messages the node knows as handled in this life."""
        self._interest: dict[type[Message], tuple[bool, frozenset[str]] | None] = {}
        self._missed: dict[tuple[type[Message], str], int] = {}
        super().__init__(HostNode(self))
        self.services: Services
        self.broken = ""
        self.leaving = False
        self._handlers |= {
            wire.Welcome: self._welcome,
            wire.Unwelcome: self._unwelcome,
            wire.Bye: self._bye,
            wire.Start: self._start,
            wire.Stop: self._stop,
            wire.Kill: self._kill,
            wire.Pause: self._pause,
            wire.Gap: self._gap,
            wire.Interest: self._interested,
            wire.Watch: self._watch,
        }

    # Life.

    async def run(self, connection: socket.socket) -> int:
        """Host actors until the node lets this worker go (returns 0) or is gone (LOST)."""
        node = self.node
        self.link = Link(connection, self.receive, self.turn, self.seal, same_machine=False)
        self.link.put(wire.Hello(wire.VERSION, self.settings.host, self.settings.token, os.getpid()))
        async with trio.open_nursery() as nursery:
            node.nursery = node._background = node._kept = nursery
            node.root = Root(node, None, dynamic_supervisor("worker"), "/")
            node.cells["/"] = node.root
            nursery.start_soon(node.timers.run)
            node.root.nursery = nursery
            node.root.set_state(State.UP)
            await self._begin_services()
            nursery.start_soon(self._report)
            broken = await self.link.run(self.settings.heartbeat_s, self.settings.lost_s)
            self.up = False
            # Without its node it has no right to act, and nothing in it may keep it alive.
            last = ExitTimer(END_S, LOST)
            for cell in (self.services, *self._hosted_cells()):
                cell.kill("its node is gone")
            nursery.cancel_scope.cancel()
        last.cancel()
        self.link.close()
        if not self.leaving:
            print(f"worker {self.settings.worker}: {self.broken or broken.reason}", file=sys.stderr, flush=True)
        return 0 if self.leaving else LOST

    async def _begin_services(self) -> None:
        limit = RestartLimit(count=10, seconds=60.0)
        self.services = Services(self.node, self.node.root, dynamic_supervisor("services", limit=limit), "/services")
        self.services.begin()
        while not self.services.started:
            await trio.lowlevel.checkpoint()

    def _serve_beside(self, spec: ChildSpec) -> None:
        for service in spec.services:
            if service.name not in self.services.children:
                # The cell is there at once, so that what looks it up finds it; it starts in its supervisor's turn.
                cell = self.services.add(self._with_arguments(service))
                cell.set_state(State.BACKOFF)
                self.services.due[cell] = trio.current_time()
                self.services.signal()

    def _welcome(self, record: wire.Welcome) -> None:
        self.up = True

    def _unwelcome(self, record: wire.Unwelcome) -> None:
        self.broken = f"the node refused it: {record.reason}"
        raise LinkBroken(self.broken, exact=True)

    def _bye(self, record: wire.Bye) -> None:
        self.leaving = True
        raise LinkBroken("the node needs it no more", exact=True)

    # See Peer.

    def way(self, path: str) -> Cell:
        """See `Peer.way`: what the node sends here lives here, or nowhere."""
        return self.node.cells.get(path, self.node._nobody)

    def deliver(self, path: str, messages: Sequence[Message], sender: Sender | None) -> None:
        """See `Peer.deliver`."""
        cell = self.node.cells.get(path)
        if isinstance(cell, HostedActor | HostedSupervisor):
            fences = cell.kind.fences
            for message in messages:
                cell.deliver(Posted(message, sender) if fences else message)
            return
        super().deliver(path, messages, sender)

    def turn(self) -> None:
        """See `Peer.turn`: actors that slept take over what came."""
        if self.claimants:
            for cell in self.claimants:
                cell.claim()
            self.claimants.clear()
            self.link.flush()

    def number_of(self, ask: Ask) -> int | None:
        """Forget an ask of the node; returns its number, if somebody still waits for it."""
        for number, known in self.incoming.items():
            if known is ask:
                del self.incoming[number]
                ask.task = None
                if ask.bucket is not None:
                    ask.bucket.discard(ask)
                return number
        return None

    def leftover(self, message: Message, sender: Sender | None) -> list[wire.Leftover]:
        """A message on its way back; none if it cannot travel."""
        try:
            packed = self.codec.pack([message], type(message))
            return [wire.Leftover(0, wire.path_of(type(message)), packed, mark_of(sender))]
        except wire.NotTransferable:
            return []

    # The lives of placed actors.

    def _start(self, record: wire.Start) -> None:
        try:
            spec = self._spec(record)
            kind = HostedActor if spec.supervisor is None else HostedSupervisor
            cell = kind(self.node, cast("Root", self.node.root), spec, record.path)
        except (wire.NotTransferable, ValueError, TypeError) as error:
            self.link.put(wire.Ended(record.path, crashed(error), (), None, ()))
            return
        self._serve_beside(spec)
        if spec.journal:
            cast("Any", self.node.log).last[f"journal:{record.path}"] = record.journal
        self.told[record.path] = 0
        cell.count = record.count - 1
        self.node._counts.pop(record.path, None)
        if spec.supervisor is not None:
            self.node.floors[record.path] = (record.count - 1) * STARTS_OF_A_LIFE
        self.node.cells[record.path] = cell
        failure = cell.begin()
        if failure is not None:
            cell.last_exit = failure
            self.tell_ended(cell, failure)

    def _spec(self, record: wire.Start) -> ChildSpec:
        spec = self.codec.convert(msgspec.msgpack.decode(record.spec), ChildSpec)
        return self._with_arguments(spec)

    def _with_arguments(self, spec: ChildSpec) -> ChildSpec:
        """The arguments as the constructor's annotations have them; refs are refs again."""
        if spec.supervisor is not None:
            children = tuple(self._with_arguments(child) for child in spec.supervisor.children)
            options = msgspec.structs.replace(spec.supervisor, children=children)
            return msgspec.structs.replace(spec, supervisor=options)
        if not spec.arguments:
            return spec
        return msgspec.structs.replace(spec, arguments=arguments_of(self.codec, spec.actor_class(), spec.arguments))

    def _stop(self, record: wire.Stop) -> None:
        if (cell := self._hosted(record.path)) is not None:
            cell.request_stop(record.reason)

    def _kill(self, record: wire.Kill) -> None:
        if (cell := self._hosted(record.path)) is not None:
            cell.kill(record.detail)

    def _pause(self, record: wire.Pause) -> None:
        if (cell := self._hosted(record.path)) is not None:
            (cell.pause if record.paused else cell.resume)()

    def _hosted(self, path: str) -> Cell | None:
        cell = self.node.cells.get(path)
        return cell if isinstance(cell, HostedActor | HostedSupervisor) else None

    def tell_ended(self, cell: HostedActor | HostedSupervisor, reason: ExitReason) -> None:
        """A life is over."""
        self.node.cells.pop(cell.path, None)
        self.claimants.discard(cast("HostedActor", cell))
        culprit, last = self.node.culprits.pop(cell.path, (None, ()))
        packed = self.leftover(culprit, None) if culprit is not None else []
        cell.gone = True
        self.link.put(wire.Ended(cell.path, reason, cell.leftovers(), packed[0] if packed else None, last))

    def _gap(self, record: wire.Gap) -> None:
        cell = self.node.cells.get(record.path)
        gap = Gap(record.topic, record.key, record.count)
        if isinstance(cell, HostedActor):
            cell.deliver(gap.message())
        elif cell is not None:
            cell.put_lag(gap)

    # Topics and watches.

    def publish(self, message: Message) -> int:
        """Send a message to the node's topics, if somebody there wants it."""
        kind = type(message)
        try:
            wanted = self._interest[kind]
        except KeyError:
            # Until the node has answered, everything goes there.
            wanted = self._interest[kind] = None
            self.link.put(wire.Offer(wire.path_of(kind)))
        if wanted is not None:
            every, keys = wanted
            if not every and message.topic_key() not in keys:
                return 0
        if self.link.congested:
            key = kind, message.topic_key()
            if not self._missed:
                self.link.when_sent(self._tell_missed)
            self._missed[key] = self._missed.get(key, 0) + 1
            return 0
        cell = running_cell.get()
        self.link.say(wire.Publish, "", message, None if cell is None else cell.mark)
        return 1

    def _tell_missed(self) -> None:
        missed, self._missed = self._missed, {}
        for (kind, key), number in missed.items():
            self.link.put(wire.Missed(wire.path_of(kind), key, number))

    def _interested(self, record: wire.Interest) -> None:
        self._interest[wire.class_at(record.cls)] = record.every, frozenset(record.keys)

    def _watch(self, record: wire.Watch) -> None:
        watcher = self.node.far.get(record.path) or FarCell(self.node, record.path, lambda: self)
        self.node.far[record.path] = watcher
        (self.node.watch if record.on else self.node.unwatch)(watcher, record.target)

    # Reports.

    async def _report(self) -> None:
        told: tuple[ActorView, ...] = ()
        turn = 0
        while True:
            await trio.sleep(VIEW_S)
            if not self.up:
                continue
            views = self._views()
            if views != told:
                told = views
                self.link.put(wire.Views(views))
            if turn % FIGURES_TURNS == 0:
                self.link.put(wire.Figures(_resident(), self._families()))
            turn += 1

    def _views(self) -> tuple[ActorView, ...]:
        return tuple(view(self.node, cell) for cell in self._hosted_cells())

    def _hosted_cells(self) -> list[Cell]:
        return [cell for cell in self.node.cells.values() if isinstance(cell, HostedActor | HostedSupervisor)]

    def _families(self) -> tuple[Family, ...]:
        return tuple(
            Family(
                family.name, family.documentation, family.type,
                tuple(Sample(each.name, each.labels, each.value) for each in family.samples),
            )
            for family in self.node.metrics.registered()
        )  # fmt: skip


def _resident() -> int:
    """The memory of this process, in bytes; 0 where nobody says it (no /proc)."""
    try:
        pages = int(Path("/proc/self/statm").read_bytes().split()[1])
    except OSError:
        return 0
    return pages * resource.getpagesize()


def arguments_of(codec: wire.Codec, cls: type[Actor], arguments: dict[str, Any]) -> dict[str, Any]:
    """Decoded arguments as a constructor's annotations have them."""
    found = {name: _with_refs(codec, value) for name, value in arguments.items()}
    try:
        hints = typing.get_type_hints(cls.__init__)
        parameters = inspect.signature(cls.__init__).parameters
    except (NameError, TypeError, ValueError):
        return found  # annotations that only a type checker can read
    for name, value in found.items():
        if name in hints and name in parameters:
            with suppress(wire.NotTransferable):
                found[name] = codec.convert(value, hints[name])
    return found


def _with_refs(codec: wire.Codec, value: Any) -> Any:
    if isinstance(value, dict):
        if set(value) == {"$ref"}:
            return codec.ref(value["$ref"])
        return {key: _with_refs(codec, each) for key, each in value.items()}
    if isinstance(value, list):
        return [_with_refs(codec, each) for each in value]
    return value


class _Lines:
    """Standard error of the worker's log: each line goes to the node, or, without one, where it would have gone."""

    def __init__(self, end: NodeEnd) -> None:
        self._end = end
        self._loop = threading.get_ident()
        self._token = trio.lowlevel.current_trio_token()

    def write(self, text: str) -> int:
        if threading.get_ident() == self._loop:
            self._send(text)
        else:
            with suppress(trio.RunFinishedError):
                self._token.run_sync_soon(self._send, text)
        return len(text)

    def _send(self, text: str) -> None:
        if self._end.up and not self._end.link.closed:
            self._end.link.put(wire.LogLine(text))
        else:
            sys.stderr.write(text)

    def flush(self) -> None:
        """Lines leave with the next frame."""

    def isatty(self) -> bool:
        return False


def host(settings: WorkerSettings, connection: socket.socket) -> int:
    """Host actors over a connected socket until the link ends; returns the exit status."""

    async def run() -> int:
        end = NodeEnd(settings)
        level: Any = "debug" if settings.debug else "info"
        lines = cast("TextIO", _Lines(end))
        with open_telemetry(TelemetrySettings(level=level, format="json"), stream=lines, running_actor=_running):
            return await end.run(connection)

    wire.set_main(settings.main)
    return trio.run(run)


def _running() -> str | None:
    cell = running_cell.get()
    return None if cell is None else cell.path


def run_in_thread(settings: bytes) -> threading.Thread:
    """Host actors in a thread of this process, over a connection to the node that `settings` name."""
    known = msgspec.msgpack.decode(settings, type=WorkerSettings)
    address, _, port = known.address.rpartition(":")

    def run() -> None:
        with socket.create_connection((address, int(port)), timeout=known.lost_s) as connection:
            host(known, connection)

    thread = threading.Thread(target=run, name=f"worker {known.host}", daemon=True)
    thread.start()
    return thread


def main() -> int:
    """A child process of the node: its settings come first over its standard input, which is the link."""
    # Ctrl-C is the node's affair; a worker ends with its link.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    connection = socket.socket(fileno=os.dup(0))
    os.dup2(os.open(os.devnull, os.O_RDONLY), 0)
    connection.setblocking(True)
    length = int.from_bytes(_exactly(connection, 4), "big")
    if length > SETTINGS_BYTES:
        raise SystemExit("expected settings on standard input: a worker is started by its node")
    return host(msgspec.msgpack.decode(_exactly(connection, length), type=WorkerSettings), connection)


def _exactly(connection: socket.socket, length: int) -> bytes:
    found = b""
    while len(found) < length:
        chunk = connection.recv(length - len(found))
        if not chunk:
            raise SystemExit(LOST)
        found += chunk
    return found


if __name__ == "__main__":
    # The process is one of its module's: what it unpickles and imports must find this module once, by its name.
    from runtime.cluster.host import main as run_main

    status = run_main()
    sys.stderr.flush()
    os._exit(status)
