"""The server: listens, accepts, and looks after the deadlines of its connections. It knows no actor.

server = Server(Router(routes), Guard(token))
port = server.bind("127.0.0.1", 0)
async with trio.open_nursery() as nursery:
    nursery.start_soon(server.serve)
    ...
    await server.drain()
"""

from __future__ import annotations

import contextlib
import errno
import os
import socket
import time
from collections import deque
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import structlog
import trio

from actors.edge.auth import Guard
from actors.edge.connection import Connection
from actors.edge.errors import unavailable
from actors.edge.limits import UNSENT_BYTES, Limits, affordable_connections, raise_file_limit
from actors.edge.pulse import Figures, Pulse
from actors.edge.readiness import Readiness
from actors.edge.responses import JSON, Heads
from actors.edge.routing import Router

if TYPE_CHECKING:
    from runtime.node import Node

_LISTEN_BACKLOG = 4_096
_ACCEPT_AT_ONCE = 64
_REFUSED_AT_ONCE = 256
_SWEEPS_PER_DEADLINE = 4
_SWEEP_S = 0.25
_DISK_EVERY_S = 5.0
_OUT_OF_FILES_S = 0.05

_OUT_OF_FILES = frozenset({errno.EMFILE, errno.ENFILE, errno.ENOBUFS, errno.ENOMEM})
_CLIENT_LEFT = frozenset({errno.ECONNABORTED, errno.EPROTO, errno.EINTR, errno.EPERM, errno.ENETDOWN})


class Server:
    """One listening socket and its connections.

    `node` is handed to the calls; `disk` is a folder on whose file system `limits.disk_reserve_bytes` have to stay
    free, or what stores is refused. `wall` is the wall time in seconds since the epoch, for the `date` header.
    """

    def __init__(
        self,
        router: Router,
        guard: Guard,
        limits: Limits | None = None,
        *,
        node: Node | None = None,
        disk: Path | None = None,
        logger: Any = None,
        wall: Callable[[], float] = time.time,
    ) -> None:
        self.router = router
        self.guard = guard
        self.limits = limits or Limits()
        self.node = node
        self.logger = logger or structlog.get_logger()
        self.pulse = Pulse()
        self.figures = Figures()
        self.heads = Heads()
        self.readiness = Readiness()
        self.disk_full = False
        self.connections: set[Connection] = set()
        self._wall = wall
        self._disk = disk
        self._disk_looked_at = -_DISK_EVERY_S
        self._listener: socket.socket | None = None
        self._spare: int | None = None
        self.most_connections = self.limits.connections
        self._per_address: dict[str, int] = {}
        self._refused: deque[tuple[float, socket.socket]] = deque()
        self._nursery: trio.Nursery | None = None
        self._draining = False
        self._emptied = trio.Event()
        self.heads.tick(wall())

    def bind(self, host: str, port: int) -> int:
        """Bind and listen; return the port. Raises OSError that names host and port."""
        self.most_connections = affordable_connections(self.limits.connections, raise_file_limit())
        try:
            family, kind, protocol, _, address = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0]
            listener = socket.socket(family, kind, protocol)
        except OSError as error:
            raise OSError(error.errno, f"cannot listen on {host}: {error.strerror}") from None
        try:
            listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            listener.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)  # inherited by what it accepts
            listener.setsockopt(socket.IPPROTO_TCP, socket.TCP_NOTSENT_LOWAT, UNSENT_BYTES)  # inherited, too
            listener.setblocking(False)
            listener.bind(address)
            listener.listen(_LISTEN_BACKLOG)
        except OSError as error:
            listener.close()
            raise OSError(error.errno, f"cannot listen on {host} port {port}: {error.strerror}") from None
        self._listener = listener
        self._spare = os.open(os.devnull, os.O_RDONLY | os.O_CLOEXEC)
        return int(listener.getsockname()[1])

    async def serve(self) -> None:
        """Accept and serve until `drain`. Everything is closed when this returns or is cancelled."""
        if self._draining:  # the stop was faster than this task
            self.readiness.close()
            return
        if self._listener is None:
            raise RuntimeError("bind comes before serve")
        self.pulse.now = trio.current_time()
        try:
            async with trio.open_nursery() as nursery:
                self._nursery = nursery
                nursery.start_soon(self._accept, self._listener)
                nursery.start_soon(self._sweep)
                nursery.start_soon(self.readiness.serve)
        finally:
            self._nursery = None
            self._close_listener()
            self.readiness.close()
            while self._refused:
                self._refused.popleft()[1].close()

    async def drain(self) -> None:
        """Stop in order: no new connections, begun requests are answered, WebSockets closed with 1001; then end.

        Takes at most `limits.drain_s`; what is left then is cut.
        """
        self._draining = True
        self._close_listener()
        for connection in list(self.connections):
            connection.drain()
        if self.connections:
            with trio.move_on_after(self.limits.drain_s):
                await self._emptied.wait()
        if self._nursery is not None:
            self._nursery.cancel_scope.cancel()

    def spawn(self, function: Callable[[], Awaitable[None]]) -> None:
        """Run `function` as a task that ends with the server."""
        if self._nursery is not None:
            self._nursery.start_soon(function)

    def forget(self, connection: Connection) -> None:
        """A connection has ended."""
        self.connections.discard(connection)
        left = self._per_address.get(connection.client, 1) - 1
        if left:
            self._per_address[connection.client] = left
        else:
            self._per_address.pop(connection.client, None)
        if self._draining and not self.connections:
            self._emptied.set()

    # Accepting.

    async def _accept(self, listener: socket.socket) -> None:
        while not self._draining:  # a drain closes the listener, perhaps before this task's first turn
            try:
                await trio.lowlevel.wait_readable(listener)
                for _ in range(_ACCEPT_AT_ONCE):
                    sock, address = listener.accept()
                    self._take(sock, address[0])
            except BlockingIOError:
                continue
            except trio.ClosedResourceError:
                return  # draining
            except OSError as error:
                if error.errno in _OUT_OF_FILES:
                    await self._accept_without_files(listener, error)
                elif error.errno not in _CLIENT_LEFT:
                    if self._draining:
                        return
                    raise

    def _take(self, sock: socket.socket, client: str) -> None:
        assert self._nursery is not None
        already = self._per_address.get(client, 0)
        if len(self.connections) >= self.most_connections:
            self._refuse(sock, "the server has as many connections as it can hold")
        elif already >= self.limits.connections_per_address:
            self._refuse(sock, "this address has as many connections as it may have")
        else:
            sock.setblocking(False)
            self.figures.accepted += 1
            self._per_address[client] = already + 1
            connection = Connection(self, sock, client)
            self.connections.add(connection)
            self._nursery.start_soon(connection.run)

    def _refuse(self, sock: socket.socket, message: str) -> None:
        """Answer 503 without reading, and close a little later: at once would reset what was just sent."""
        sock.setblocking(False)
        self.figures.refused_connections += 1
        error = unavailable("full", message)
        body = error.body()
        head = self.heads.head(error.status, JSON, error.headers)
        with contextlib.suppress(OSError):
            sock.send(b"%bcontent-length: %d\r\nconnection: close\r\n\r\n%b" % (head, len(body), body))
            sock.shutdown(socket.SHUT_WR)
        self._refused.append((self.pulse.now, sock))
        if len(self._refused) > _REFUSED_AT_ONCE:
            self._close_refused(self._refused.popleft()[1])

    async def _accept_without_files(self, listener: socket.socket, error: OSError) -> None:
        """No descriptor is left: give up the spare one to answer one client, then let connections end."""
        self.figures.accept_failures += 1
        self.logger.warning("no descriptor is left for a connection", error=str(error))
        while self._refused:
            self._close_refused(self._refused.popleft()[1])
        if self._spare is not None:
            os.close(self._spare)
            self._spare = None
            with contextlib.suppress(OSError):
                sock, _ = listener.accept()
                self._refuse(sock, "the server has no descriptor left")
                self._close_refused(self._refused.pop()[1])
        with contextlib.suppress(OSError):
            self._spare = os.open(os.devnull, os.O_RDONLY | os.O_CLOEXEC)
        await trio.sleep(_OUT_OF_FILES_S)

    def _close_refused(self, sock: socket.socket) -> None:
        with contextlib.suppress(OSError):
            sock.recv(65_536)
        sock.close()

    def _close_listener(self) -> None:
        if self._listener is not None:
            trio.lowlevel.notify_closing(self._listener)
            self._listener.close()
            self._listener = None
        if self._spare is not None:
            os.close(self._spare)
            self._spare = None

    # Looking after.

    async def _sweep(self) -> None:
        every = min(_SWEEP_S, self.limits.shortest_s() / _SWEEPS_PER_DEADLINE)
        while True:
            self._look_at_disk()
            before = trio.current_time()
            await trio.sleep(every)
            now = self.pulse.now = trio.current_time()
            self.heads.tick(self._wall())
            while self._refused and self._refused[0][0] < now - every:
                self._close_refused(self._refused.popleft()[1])
            if now - before > 2 * every + _SWEEP_S:
                continue  # the loop was held up: what has arrived meanwhile comes first
            for connection in list(self.connections):
                if connection.websocket is not None:
                    if connection.websocket.tick(now):
                        connection.expire()
                elif now > connection.deadline:
                    connection.expire()

    def _look_at_disk(self) -> None:
        if self._disk is None or self.pulse.now < self._disk_looked_at + _DISK_EVERY_S:
            return
        self._disk_looked_at = self.pulse.now
        try:
            disk = os.statvfs(self._disk)
        except OSError:
            return
        full = disk.f_bavail * disk.f_frsize < self.limits.disk_reserve_bytes
        if full != self.disk_full:
            self.disk_full = full
            self.logger.warning(
                "the disk is nearly full" if full else "the disk has room again", folder=str(self._disk)
            )
