"""The node's side of the gateway: a child process that is Ray's driver, and the door through which its workers come.

    closed ──▶ connecting ──▶ connected ──▶ lost ──▶ connecting …

The gateway is started by whoever first needs a worker of the cluster. When it ends, for whatever reason, so does the
cluster as far as this node is concerned: its workers are recalled, their actors end with `ClusterLost`, and the gateway
is started again until a cluster answers.
"""

from __future__ import annotations

import functools
import os
import socket
import sys
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING

import msgspec
import trio

import runtime.cluster.gateway_messages as said
from protocols.control import Crashed
from runtime.cluster import wire
from runtime.cluster.link import LinkBroken, first_record
from runtime.cluster.local import NoCluster, resolve_address
from runtime.cluster.placed import ClusterLost, HostLost
from runtime.process import ChildProcess, describe_status
from runtime.spec import HostOptions

if TYPE_CHECKING:
    from runtime.cluster.hosts import Host, Hosts

AGAIN_S = (0.5, 1.0, 2.0, 5.0, 10.0)
"""How long the gateway waits before it tries to reach a cluster again; the last one from then on."""
GREETING_S = 10.0
CAUSE_S = 0.1
"""How long the end of a link waits for Ray to say why."""
RECALL_S = 3.0
"""How long a worker of a lost cluster may take to end by itself."""


class Gateway:
    """The way to the cluster."""

    def __init__(self, hosts: Hosts) -> None:
        self.hosts = hosts
        self.settings = hosts.settings
        self.state = "closed"
        self.problem = ""
        self.pid = 0
        """The process."""
        self.members: tuple[said.ClusterMember, ...] = ()
        self._placing: dict[str, Placing] = {}
        self._pipe: trio.SocketStream | None = None
        self._saying = trio.Lock()
        self._news = trio.Event()
        self._begun = False
        self._listeners: list[trio.SocketListener] = []
        self._listening = trio.Event()

    # Workers.

    async def keep(self, host: Host, options: HostOptions, avoid: tuple[str, ...]) -> None:
        """Have a worker made, and speak with it until its end. Raises ClusterLost, HostLost, LinkBroken."""
        await self._reach()
        placing = self._placing[host.name] = Placing(host)
        try:
            settings = self.hosts.worker_settings(host, self._address())
            await self._say(said.Place(host.name, msgspec.msgpack.encode(settings), options, avoid))
            with trio.move_on_after(self.settings.place_s + GREETING_S):
                await placing.there.wait()
            if placing.failure is not None:
                raise placing.failure
            if placing.connection is None:
                raise HostLost(f"worker {host.name} did not come up within {self.settings.place_s:g} s")
            with placing.connection as connection:
                broken = await self.hosts.speak(host, connection, placing.hello, same_machine=_same_machine(connection))
            host.up = False
            if not placing.ended.is_set() and not placing.recalled:
                with trio.move_on_after(CAUSE_S):
                    await placing.ended.wait()
            host.lost(placing.reason(broken), exact=broken.exact)
        finally:
            del self._placing[host.name]
            with suppress(ClusterLost):
                self._say_soon(said.Kill(host=host.name))

    def kill(self, host: Host) -> None:
        """End a worker."""
        with suppress(ClusterLost):
            self._say_soon(said.Kill(host=host.name))

    def _say_soon(self, command: said.Kill) -> None:
        if self.state == "connected":
            self.hosts.node.keep(self._say_quietly, command)

    async def _say_quietly(self, command: said.Kill) -> None:
        with suppress(ClusterLost):
            await self._say(command)

    async def _say(self, command: said.Line) -> None:
        if self._pipe is None:
            raise ClusterLost(self.problem or "there is no gateway")
        try:
            async with self._saying:
                await self._pipe.send_all(said.encode(command))
        except (trio.BrokenResourceError, trio.ClosedResourceError) as error:
            raise ClusterLost("the gateway is gone") from error

    async def _reach(self) -> None:
        """Wait until the gateway is in the cluster. Raises ClusterLost."""
        if not self.settings.address:
            raise ClusterLost("the configuration names no cluster ([cluster] address)")
        if not self._begun:
            self._begun = True
            self.state = "connecting"
            self.hosts.node.keep(self._run)
        with trio.move_on_after(self.settings.connect_s):
            while self.state == "connecting":
                await self._news.wait()
        if self.state != "connected":
            raise ClusterLost(self.problem or f"no cluster answered within {self.settings.connect_s:g} s")

    def _is(self, state: str, problem: str = "") -> None:
        self.state, self.problem = state, problem
        self._news.set()
        self._news = trio.Event()

    # The gateway.

    async def _run(self) -> None:
        await self._listen()
        attempt = 0
        while True:
            before = self.state
            try:
                await self._serve()
                problem = "the gateway ended"
            except (NoCluster, ClusterLost, OSError) as error:
                problem = str(error)
            if self.state == "connected":
                attempt = 0
                before = "connected"
            self._pipe = None
            self.members = ()
            self._is("lost", problem)
            if before == "connected" or attempt == 0:
                self.hosts.node.logger.warning("cluster lost", reason=problem, address=self.settings.address)
            self._recall(problem)
            await trio.sleep(AGAIN_S[min(attempt, len(AGAIN_S) - 1)])
            attempt += 1
            # Who asks now is told at once that there is none: a wait is for a cluster that may be there.

    async def _serve(self) -> None:
        data_dir = Path(self.hosts.node.settings.data_dir)
        address, token = resolve_address(self.settings, data_dir)
        ours, theirs = socket.socketpair()
        # Ray writes to both whatever it likes.
        with theirs, (data_dir / "gateway.log").open("wb") as log:
            child = await ChildProcess.start(
                [sys.executable, "-m", "runtime.cluster.gateway"],
                name="gateway",
                stdin=theirs.fileno(),
                stdout=log.fileno(),
                stderr=log.fileno(),
                env={**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, sys.path))},
            )
        self.pid = child.pid
        try:
            self._pipe = trio.SocketStream(trio.socket.from_stdlib_socket(_not_blocking(ours)))
            async with self._pipe:
                first = said.GatewaySettings(
                    address=address, token=token, place_s=self.settings.place_s, lost_s=self.settings.lost_s
                )
                await self._pipe.send_all(said.encode(first))
                await self._follow(self._pipe)
            with trio.move_on_after(CAUSE_S):
                raise ClusterLost(f"the gateway (process {child.pid}) {describe_status(await child.wait())}")
        finally:
            with trio.CancelScope(shield=True):
                await child.stop(0)

    async def _follow(self, pipe: trio.SocketStream) -> None:
        lines = said.Lines()
        while True:
            try:
                chunk = await pipe.receive_some(65536)
            except trio.BrokenResourceError:
                return
            if not chunk:
                return
            for line in lines.feed(chunk):
                self._take(said.decode_event(line))

    def _take(self, event: said.Event) -> None:
        match event:
            case said.Connected(address, nodes):
                self.members = nodes
                self._is("connected")
                self.hosts.node.logger.info("cluster connected", address=address, nodes=len(nodes))
                self.hosts.cluster_up()
            case said.Nodes(nodes):
                self.members = nodes
                self.hosts.cluster_up()
            case said.Placed(name, node_id, node_name, node_address, pid):
                if (placing := self._placing.get(name)) is not None:
                    placing.placed(node_id, node_name or node_address, pid)
            case said.NotPlaced(name, reason, failed):
                if (placing := self._placing.get(name)) is not None:
                    placing.fails(HostLost(f"worker {name}: {reason}") if failed else ClusterLost(reason))
            case said.Ended(name, reason):
                if (placing := self._placing.get(name)) is not None:
                    placing.is_over(reason)
            case said.Lost(reason):
                raise ClusterLost(reason)

    def _recall(self, problem: str) -> None:
        """The cluster is lost: its workers end, whether they can still be reached or not."""
        for placing in tuple(self._placing.values()):
            placing.recalled = problem
            placing.fails(ClusterLost(problem))
            host = placing.host
            if host.up:
                # It ends by itself and says what it had begun; one that cannot be reached is given up.
                host.link.put(wire.Bye())
                cut = functools.partial(host.cut, Crashed("ClusterLost", problem))
                self.hosts.node.timers.call_at(trio.current_time() + RECALL_S, cut)

    # The door.

    def _address(self) -> str:
        """Where workers find this node."""
        host, port = self._listeners[0].socket.getsockname()[:2]
        if host in ("0.0.0.0", "::"):  # noqa: S104 - compared
            with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
                probe.connect((self.settings.address.rpartition(":")[0], 9))
                host = probe.getsockname()[0]
        return f"{host}:{port}"

    async def _listen(self) -> None:
        self._listeners = await trio.open_tcp_listeners(self.settings.port, host=self.settings.listen)
        for listener in self._listeners:
            self.hosts.node.keep(self._accept, listener)

    async def _accept(self, listener: trio.SocketListener) -> None:
        async with listener:
            while True:
                try:
                    stream = await listener.accept()
                except OSError as error:
                    self.hosts.node.logger.warning("a worker could not be let in", error=str(error))
                    await trio.sleep(1)
                    continue
                self.hosts.node.keep(self._greet, stream)

    async def _greet(self, stream: trio.SocketStream) -> None:
        connection = socket.socket(fileno=os.dup(stream.socket.fileno()))
        await stream.aclose()
        connection.setblocking(False)
        taken = False
        try:
            with trio.move_on_after(GREETING_S):
                hello = await first_record(connection)
                placing = self._placing.get(hello.host) if isinstance(hello, wire.Hello) else None
                refusal = self.hosts.refusal(placing.host if placing is not None else None, hello)
                if placing is None or refusal or placing.connection is not None:
                    self.hosts.node.logger.warning("a worker was refused", reason=refusal or "it is here already")
                    connection.send(wire.frame([wire.Unwelcome(refusal or "it is here already")]))
                    return
                placing.dialled(connection, hello)
                taken = True
        except (LinkBroken, OSError) as error:
            self.hosts.node.logger.warning("a worker could not be let in", error=str(error))
        finally:
            if not taken:
                connection.close()


class Placing:
    """A worker that is being made, and its end."""

    def __init__(self, host: Host) -> None:
        self.host = host
        self.there = trio.Event()
        self.ended = trio.Event()
        self.failure: Exception | None = None
        self.connection: socket.socket | None = None
        self.hello: wire.Hello | None = None
        self.recalled = ""
        self._cause = ""
        self._placed = False

    def placed(self, node_id: str, node_name: str, pid: int) -> None:
        """Ray has made it."""
        self.host.node_id, self.host.node_name = node_id, node_name
        self.host.worker = f"{self.host.name} (process {pid})"
        self._placed = True
        self._there()

    def dialled(self, connection: socket.socket, hello: wire.Hello) -> None:
        """It has found this node."""
        self.connection, self.hello = connection, hello
        self._there()

    def _there(self) -> None:
        if self._placed and self.connection is not None:
            self.there.set()

    def fails(self, failure: Exception) -> None:
        """It will not be there."""
        if not self.there.is_set():
            self.failure = failure
            self.there.set()

    def is_over(self, cause: str) -> None:
        """Ray says that it has ended."""
        self._cause = cause
        self.ended.set()
        self.fails(HostLost(f"worker {self.host.worker}: {cause}"))

    def reason(self, broken: LinkBroken) -> Crashed:
        """Why its actors end."""
        if self.recalled:
            return Crashed("ClusterLost", self.recalled)
        return Crashed("HostLost", f"worker {self.host.worker}: {self.host.killed or self._cause or broken.reason}")


def _same_machine(connection: socket.socket) -> bool:
    with suppress(OSError):
        return bool(connection.getpeername()[0] == connection.getsockname()[0])
    return False


def _not_blocking(connection: socket.socket) -> socket.socket:
    connection.setblocking(False)
    return connection
