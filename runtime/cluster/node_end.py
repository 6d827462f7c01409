"""The worker's end of the link to its node: it starts and ends what is placed here, and passes on what is said."""

from __future__ import annotations

import inspect
import os
import resource
import socket
import sys
import typing
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any, cast

import msgspec
import trio

from protocols.control import ExitReason, Message
from runtime.actor import Actor
from runtime.cell import Cell, State
from runtime.cluster import wire
from runtime.cluster.codec import Codec, NotTransferable, class_at, path_of
from runtime.cluster.far import FarCell
from runtime.cluster.host_node import HostNode
from runtime.cluster.hosted import Gap, HostedActor, HostedSupervisor, Root, Services
from runtime.cluster.link import Link, LinkBroken
from runtime.cluster.peer import Peer, mark_of
from runtime.cluster.settings import WorkerSettings
from runtime.exit_timer import ExitTimer
from runtime.exits import crashed
from runtime.mailbox import Ask, Posted, Sender
from runtime.metrics import Family, Sample
from runtime.spec import ChildSpec, RestartLimit, dynamic_supervisor
from runtime.tree import ActorView, view
from runtime.variables import running_cell

STARTS_OF_A_LIFE = 1_000_000
"""How many starts of an actor below a placed branch fit into one life of the branch."""
VIEW_S = 0.5
"""How often the node is told how the placed actors are."""
FIGURES_TURNS = 4
"""Every so many looks at the actors the node gets the worker's memory and metrics."""
END_S = 3.0
"""How long what lives here may take to end when the node is gone; then the process ends all the same."""
LOST = 75
"""The exit status of a worker that lost its node."""


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
            return [wire.Leftover(0, path_of(type(message)), packed, mark_of(sender))]
        except NotTransferable:
            return []

    # The lives of placed actors.

    def _start(self, record: wire.Start) -> None:
        try:
            spec = self._spec(record)
            kind = HostedActor if spec.supervisor is None else HostedSupervisor
            cell = kind(self.node, cast("Root", self.node.root), spec, record.path)
        except (NotTransferable, ValueError, TypeError) as error:
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
            self.link.put(wire.Offer(path_of(kind)))
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
            self.link.put(wire.Missed(path_of(kind), key, number))

    def _interested(self, record: wire.Interest) -> None:
        self._interest[class_at(record.cls)] = record.every, frozenset(record.keys)

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


def arguments_of(codec: Codec, cls: type[Actor], arguments: dict[str, Any]) -> dict[str, Any]:
    """Decoded arguments as a constructor's annotations have them."""
    found = {name: _with_refs(codec, value) for name, value in arguments.items()}
    try:
        hints = typing.get_type_hints(cls.__init__)
        parameters = inspect.signature(cls.__init__).parameters
    except (NameError, TypeError, ValueError):
        return found  # annotations that only a type checker can read
    for name, value in found.items():
        if name in hints and name in parameters:
            with suppress(NotTransferable):
                found[name] = codec.convert(value, hints[name])
    return found


def _with_refs(codec: Codec, value: Any) -> Any:
    if isinstance(value, dict):
        if set(value) == {"$ref"}:
            return codec.ref(value["$ref"])
        return {key: _with_refs(codec, each) for key, each in value.items()}
    if isinstance(value, list):
        return [_with_refs(codec, each) for each in value]
    return value
