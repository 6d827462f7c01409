"""The workers of a node: processes in which placed actors live, each at the other end of a link.

    hosts = node.hosts
    host = await hosts.acquire(cell)      # by the cell's placement: a worker of its own, or one that is shared
    host.start(cell)

A worker of this machine is a child process, and its link a pair of sockets. A worker of the cluster is made by the
gateway and dials the node. Both say who they are first: a worker that the node has given up, or never asked for, is
refused. A link that breaks is the end of its worker: to go on, both sides would have to agree on what was under way,
and a restart by the supervisor settles the same with one rule.
"""

from __future__ import annotations

import hmac
import math
import os
import secrets
import socket
import sys
from collections.abc import Sequence
from contextlib import suppress
from itertools import count
from typing import TYPE_CHECKING, Any

import msgspec
import trio

from protocols.control import Crashed, Message
from runtime.cell import Cell, State
from runtime.cluster import wire
from runtime.cluster.codec import class_at, main_name, path_of
from runtime.cluster.link import Link, LinkBroken, first_record
from runtime.cluster.peer import Peer
from runtime.cluster.placed import ClusterLost, HostLost, PlacedCell
from runtime.cluster.settings import ClusterSettings, WorkerSettings
from runtime.log import LogFull
from runtime.mailbox import Sender
from runtime.metrics import Family
from runtime.process import ChildProcess, describe_status

if TYPE_CHECKING:
    from runtime.cluster.gateway_client import Gateway
    from runtime.node import Node
    from runtime.supervisor import SupervisorCell

END_S = 2.0
"""How long a worker that is needed no more may take to end."""
CAUSE_S = 0.2
"""How long the end of a link waits for the cause of the end of its process."""


class Host(Peer):
    """One worker."""

    def __init__(self, hosts: Hosts, name: str, kind: str, share: str) -> None:
        super().__init__(hosts.node)
        self.hosts = hosts
        self.name = name
        self.kind = kind
        self.share = share
        self.token = secrets.token_hex(16)
        self.node_name = hosts.node.settings.name
        self.node_id = ""
        """The node of the cluster that it runs on."""
        self.worker = name
        self.cells: dict[str, PlacedCell] = {}
        """What lives there."""
        self.users: set[PlacedCell] = set()
        """Whose worker it is, between two lives too."""
        self.ready = trio.Event()
        """It is there, or will never be (`failure`)."""
        self.failure: Exception | None = None
        self.over = trio.Event()
        self.leaving = False
        self.killed = ""
        self.rss = 0
        self.families: tuple[Family, ...] = ()
        self._offered: set[type[Message]] = set()
        self._handlers |= {
            wire.StateIs: self._state_is,
            wire.Ended: self._ended,
            wire.Begun: self._begun,
            wire.Handled: self._handled,
            wire.Publish: self._publish,
            wire.Missed: self._missed,
            wire.Subscribe: self._subscribe,
            wire.Unsubscribe: self._unsubscribe,
            wire.Offer: self._offer,
            wire.Watch: self._watch,
            wire.Gone: self._gone,
            wire.Row: self._row,
            wire.LogLine: self._log_line,
            wire.Views: self._views,
            wire.Figures: self._figures,
        }

    # What cells ask for.

    def start(self, cell: PlacedCell) -> None:
        """Start a life of a cell. Raises HostLost, NotTransferable."""
        if not self.up:
            raise HostLost(f"worker {self.worker} is gone")
        spec = cell.spec
        log = self.node.log
        last = log.last_seq(f"journal:{cell.path}") if spec.journal and log is not None else 0
        self.link.put(wire.Start(cell.path, self.codec.pack(spec), cell.count, last))
        self.cells[cell.path] = cell

    def forget(self, cell: PlacedCell) -> None:
        """A life of a cell is over."""
        if self.cells.get(cell.path) is cell:
            del self.cells[cell.path]

    def release(self, cell: PlacedCell) -> None:
        """A cell needs its worker no more; the last one lets it go."""
        self.users.discard(cell)
        if not self.users and not self.leaving:
            self.leaving = True
            if self.up:
                self.link.put(wire.Bye())
            self.hosts.release(self)

    def kill(self, why: str) -> None:
        """End the process."""
        self.killed = why
        self.hosts.kill(self)

    def changed(self) -> None:
        """A cell has changed its state."""

    # See Peer.

    def way(self, path: str) -> Cell:
        """See `Peer.way`."""
        return self.node.resolve(path)

    def sender_cell(self, mark: wire.Mark) -> Cell:
        """See `Peer.sender_cell`: the placed cell itself, as long as it is that life's."""
        cell = self.cells.get(mark.path)
        if cell is not None and cell.count == mark.count:
            return cell
        return super().sender_cell(mark)

    # The worker tells.

    def _state_is(self, record: wire.StateIs) -> None:
        if (cell := self.cells.get(record.path)) is not None:
            cell.state_is(State(record.state))

    def _ended(self, record: wire.Ended) -> None:
        if (cell := self.cells.pop(record.path, None)) is not None:
            cell.ended(record)

    def _begun(self, record: wire.Begun) -> None:
        if (cell := self.cells.get(record.path)) is not None:
            cell.begun_is(record.count)

    def _handled(self, record: wire.Handled) -> None:
        if (cell := self.cells.get(record.path)) is not None:
            cell.handled_is(record.count)

    def _publish(self, record: wire.Publish) -> None:
        publish = self.node.topics.publish_from
        messages = self.decoded("", record.cls, record.items)
        with self.on_behalf_of(record.sender):
            for message in messages:
                publish(message, self)

    def _missed(self, record: wire.Missed) -> None:
        self.node.topics.missed(self._class(record.cls), record.key, record.count, self)

    def _subscribe(self, record: wire.Subscribe) -> None:
        self.node.topics.subscribe(self.way(record.path), self._class(record.cls), record.key, record.lossless)

    def _unsubscribe(self, record: wire.Unsubscribe) -> None:
        self.node.topics.unsubscribe(self.way(record.path), self._class(record.cls), record.key)

    def _offer(self, record: wire.Offer) -> None:
        kind = self._class(record.cls)
        self._offered.add(kind)
        self.hosts.watch_topics()
        self.interest(kind)

    def interest(self, kind: type[Message]) -> None:
        """Tell the worker who wants messages of a class that it publishes."""
        if kind in self._offered and self.up:
            every, keys = self.node.topics.wanted(kind, self)
            self.link.put(wire.Interest(path_of(kind), every, keys))

    def _watch(self, record: wire.Watch) -> None:
        watcher = self.way(record.path)
        (self.node.watch if record.on else self.node.unwatch)(watcher, record.target)

    def _gone(self, record: wire.Gone) -> None:
        cell = self.way(record.path)
        self.node.topics.drop(cell)
        self.node.unwatch_all(cell)

    def _row(self, record: wire.Row) -> None:
        try:
            for row in self.decoded("", record.cls, record.items):
                self.node.require_log().append(row)  # type: ignore[arg-type]
        except (LogFull, RuntimeError) as error:
            # It counts the row as kept, and must not go on as if it were.
            self.kill(f"its row was not kept: {error}")

    def _log_line(self, record: wire.LogLine) -> None:
        line = msgspec.json.decode(record.line, type=dict[str, Any])
        line.pop("ts", None)
        level, event = line.pop("level", "info"), line.pop("event", "")
        getattr(self.node.logger, level)(event, **line, node=self.node_name, worker=self.worker)

    def _views(self, record: wire.Views) -> None:
        for found in record.views:
            if (cell := self.cells.get(found.path)) is not None:
                cell.last_view = found

    def _figures(self, record: wire.Figures) -> None:
        self.rss, self.families = record.rss, record.families

    def _class(self, path: str) -> type[Message]:
        return class_at(path)

    def deliver(self, path: str, messages: Sequence[Message], sender: Sender | None) -> None:
        """See `Peer.deliver`."""
        tell = self.way(path).ref.tell
        for message in messages:
            tell(message)

    def cut(self, reason: Crashed) -> None:
        """Give it up, whatever it still does: it will be refused."""
        if not self.over.is_set():
            self.lost(reason, exact=False)
            self.link.cut()

    def lost(self, reason: Crashed, *, exact: bool) -> None:
        """The process is gone, and everything in it."""
        if self.over.is_set():
            return
        self.up = False
        self.over.set()
        for cell in tuple(self.cells.values()):
            cell.lost(reason, exact=exact)
        self.cells.clear()
        self.end(reason.text)


class Hosts:
    """All workers of one node."""

    def __init__(self, node: Node, settings: ClusterSettings | None) -> None:
        self.node = node
        self.settings = settings or ClusterSettings()
        self.all: dict[str, Host] = {}
        """By name, those that are not over."""
        self._shared: dict[tuple[str, str], Host] = {}
        self._numbers = count(1)
        self._children: dict[Host, ChildProcess] = {}
        self._gateway: Gateway | None = None
        self._unplaced: set[SupervisorCell] = set()

    # Finding a worker.

    async def acquire(self, cell: PlacedCell) -> Host:
        """A worker for a cell, by its placement. Raises ClusterLost or HostLost."""
        places = cell.spec.placements()
        for number, kind in enumerate(places):
            try:
                return await self._of_kind(kind, cell)
            except ClusterLost:
                if number == len(places) - 1:
                    raise
        raise AssertionError(places)

    async def _of_kind(self, kind: str, cell: PlacedCell) -> Host:
        share = cell.spec.host.share
        host = self._shared.get((kind, share)) if share else cell.home
        if host is None or host.kind != kind or host.leaving or host.over.is_set():
            avoid = () if host is None or not host.node_id else (host.node_id,)
            if cell.home is not None:
                cell.home.release(cell)
                cell.home = None
            host = Host(self, f"{self.node.epoch}-{next(self._numbers)}", kind, share)
            self.all[host.name] = host
            if share:
                self._shared[kind, share] = host
            self.node.keep(self._keep, host, cell, avoid)
        cell.home = host
        host.users.add(cell)
        await host.ready.wait()
        if host.failure is not None:
            raise host.failure
        return host

    async def _keep(self, host: Host, cell: PlacedCell, avoid: tuple[str, ...]) -> None:
        """Let a worker live, from its start to its end."""
        try:
            if host.kind == "process":
                await self._keep_process(host)
            else:
                await self.gateway.keep(host, cell.spec.host, avoid)
        except (ClusterLost, HostLost) as error:
            host.failure = error
        except trio.TooSlowError:
            host.failure = HostLost(f"worker {host.worker} said nothing for {self.settings.place_s:g} s")
        except (OSError, LinkBroken) as error:
            host.failure = HostLost(str(error))
        finally:
            host.lost(Crashed("HostLost", f"worker {host.worker} has ended"), exact=False)
            if host.failure is None and not host.ready.is_set():
                host.failure = HostLost(f"worker {host.worker} ended before it was ready")
            host.ready.set()
            self.all.pop(host.name, None)
            if self._shared.get((host.kind, host.share)) is host:
                del self._shared[host.kind, host.share]

    # Workers of this machine.

    async def _keep_process(self, host: Host) -> None:
        ours, theirs = socket.socketpair()
        with ours:
            ours.setblocking(False)
            with theirs:
                child = await ChildProcess.start(
                    [sys.executable, "-m", "runtime.cluster.host"],
                    name=f"worker {host.name}",
                    stdin=theirs.fileno(),
                    env={**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, sys.path))},
                )
            host.worker = f"{host.name} (process {child.pid})"
            self._children[host] = child
            try:
                first = msgspec.msgpack.encode(self.worker_settings(host, ""))
                ours.send(len(first).to_bytes(4, "big") + first)
                with trio.fail_after(self.settings.place_s):
                    hello = await first_record(ours)
                broken = await self.speak(host, ours, hello, same_machine=True)
                host.up = False
                host.lost(await self._process_reason(host, child, broken), exact=broken.exact)
            finally:
                with trio.CancelScope(shield=True):
                    await child.stop(END_S if host.leaving else 0)
                del self._children[host]

    async def _process_reason(self, host: Host, child: ChildProcess, broken: LinkBroken) -> Crashed:
        with trio.move_on_after(CAUSE_S):
            status = await child.wait()
            if not host.killed:
                return Crashed("HostLost", f"worker {host.worker} {describe_status(status)}")
        return Crashed("HostLost", f"worker {host.worker}: {host.killed or broken.reason}")

    def worker_settings(self, host: Host, address: str) -> WorkerSettings:
        """What a worker has to know."""
        debug = bool(self.node.logger.is_enabled_for(10)) if hasattr(self.node.logger, "is_enabled_for") else False
        return WorkerSettings(
            host=host.name,
            token=host.token,
            address=address,
            node=self.node.settings.name,
            node_name=host.node_name,
            worker=host.worker,
            epoch=self.node.epoch,
            data_dir=self.node.settings.data_dir,
            threads=self.node.settings.threads,
            heartbeat_s=self.settings.heartbeat_s,
            lost_s=self.settings.lost_s,
            debug=debug,
            main=main_name(),
        )

    async def speak(self, host: Host, connection: socket.socket, hello: Any, *, same_machine: bool) -> LinkBroken:
        """Let a worker in and speak with it until the link breaks; returns how. Raises LinkBroken if it is not ours."""
        if refusal := self.refusal(host, hello):
            connection.setblocking(True)
            with suppress(OSError):
                connection.send(wire.frame([wire.Unwelcome(refusal)]))
            raise LinkBroken(refusal, exact=False)
        host.link = Link(connection, host.receive, host.turn, host.seal, same_machine=same_machine)
        host.link.put(wire.Welcome())
        host.up = True
        host.ready.set()
        try:
            return await host.link.run(self.settings.heartbeat_s, self.settings.lost_s)
        finally:
            host.link.close()

    def refusal(self, host: Host | None, hello: Any) -> str:
        """Why a worker is not let in; empty: it is."""
        if not isinstance(hello, wire.Hello):
            return f"expected a hello, got {type(hello).__name__}"
        if hello.version != wire.VERSION:
            return f"it speaks version {hello.version} of the link, and this node {wire.VERSION}"
        if host is None or host.over.is_set() or host.up or hello.host != host.name:
            return f"worker {hello.host} is not awaited here: it was given up, or is none of this node"
        if not hmac.compare_digest(hello.token, host.token):
            return f"the token of worker {hello.host} is wrong"
        return ""

    # Workers of the cluster.

    @property
    def gateway(self) -> Gateway:
        """The way to the cluster; it is opened by whoever needs it first."""
        if self._gateway is None:
            from runtime.cluster.gateway_client import Gateway

            self._gateway = Gateway(self)
        return self._gateway

    def wait_for_cluster(self, supervisor: SupervisorCell) -> None:
        """Let a supervisor try to place its children again when a cluster answers."""
        self._unplaced.add(supervisor)

    def cluster_up(self) -> None:
        """There is a cluster, or it has other nodes than before."""
        waiting, self._unplaced = self._unplaced, set()
        for supervisor in waiting:
            supervisor.place_again()

    # The end of a worker.

    def kill(self, host: Host) -> None:
        """End the process of a worker."""
        child = self._children.get(host)
        if child is not None:
            child.kill()
        elif self._gateway is not None:
            self._gateway.kill(host)

    def release(self, host: Host) -> None:
        """A worker is needed no more; it has been told."""
        if self._shared.get((host.kind, host.share)) is host:
            del self._shared[host.kind, host.share]
        self.node.timers.call_at(trio.current_time() + END_S, lambda: self._end(host))

    def _end(self, host: Host) -> None:
        if not host.over.is_set():
            self.kill(host)

    # Topics.

    def watch_topics(self) -> None:
        """Follow the subscriptions of this node from now on: workers publish only what somebody wants."""
        self.node.topics.changed = self._topic_changed

    def _topic_changed(self, kind: type[Message]) -> None:
        for host in self.all.values():
            if host.up and kind in host._offered:
                # Behind the change itself, and once for all changes of this turn.
                self.node.timers.call_at(-math.inf, lambda host=host: host.interest(kind))  # type: ignore[misc]
