"""The load generator: raw sockets and epoll, one process, the same for all servers.

It does as little as a client can, so that on a core of its own it is never what limits. Requests are bytes made
beforehand; an answer ends where its `content-length` says. Every answer's status is looked at.
"""

from __future__ import annotations

import resource
import select
import socket
import struct
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from benchmarks.harness import Sample, quantiles

HOST = "127.0.0.1"
READ = 65_536
SILENCE_S = 20.0
"""A server that says nothing for so long has failed."""


class LoadFailed(Exception):
    """The server did not answer, or not as it should."""


def request_of(path: str, body: str, port: int) -> bytes:
    """The bytes of a POST with a JSON body."""
    head = f"POST {path} HTTP/1.1\r\nhost: {HOST}:{port}\r\ncontent-type: application/json\r\n"
    return f"{head}content-length: {len(body.encode())}\r\n\r\n{body}".encode()


class Client:
    """One keep-alive connection with at most one request under way."""

    __slots__ = ("due", "received", "sock", "wanted")

    def __init__(self, port: int) -> None:
        self.sock = connect(port)
        self.received = b""
        self.wanted = 0
        self.due = 0.0

    def answered(self) -> bool:
        """Read what is there; True when the answer is complete. Raises LoadFailed."""
        data = self.sock.recv(READ)
        if not data:
            raise LoadFailed("the server closed a connection")
        received = self.received + data if self.received else data
        if not self.wanted:
            end = received.find(b"\r\n\r\n")
            if end < 0:
                self.received = received
                return False
            if not received.startswith(b"HTTP/1.1 200"):
                raise LoadFailed(f"unexpected answer: {received[:300]!r}")
            head = received[:end].lower()
            start = head.index(b"content-length:") + 15
            stop = head.find(b"\r", start)
            self.wanted = end + 4 + int(head[start:] if stop < 0 else head[start:stop])
        if len(received) < self.wanted:
            self.received = received
            return False
        if len(received) > self.wanted:
            raise LoadFailed("more than one answer to a request")
        self.received = b""
        self.wanted = 0
        return True


def connect(port: int) -> socket.socket:
    """A non-blocking connection."""
    sock = socket.create_connection((HOST, port), timeout=SILENCE_S)
    sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    sock.setblocking(False)
    return sock


class Connections:
    """Clients and the epoll that they are registered with."""

    def __init__(self, count: int, make: Callable[[], Any]) -> None:
        self.poll = select.epoll()
        self.by_fd: dict[int, Any] = {}
        for _ in range(count):
            client = make()
            self.by_fd[client.sock.fileno()] = client
            self.poll.register(client.sock.fileno(), select.EPOLLIN)

    def ready(self, timeout_s: float) -> list[Any]:
        """The clients that have something to read."""
        by_fd = self.by_fd
        return [by_fd[fd] for fd, _ in self.poll.poll(max(0.0, timeout_s))]

    def close(self) -> None:
        """Close all."""
        for client in self.by_fd.values():
            client.sock.close()
        self.poll.close()


def cpu_seconds(pid: int) -> float:
    """How long the main thread of a process has run on a core, to the nanosecond (`/proc/PID/schedstat`)."""
    return int(Path(f"/proc/{pid}/schedstat").read_text(encoding="ascii").split()[0]) / 1e9


def closed_loop(
    port: int, path: str, body: str, connections: int, seconds: float, server_pid: int, warm_s: float = 0.5
) -> Sample:
    """As many requests as `connections` clients get answered that each wait for their answer.

    Gives requests/s, the quantiles of the answer times in milliseconds, the microseconds of its core that the server
    spends on a request, and the client's own share of its core.
    """
    request = request_of(path, body, port)
    clients = Connections(connections, lambda: Client(port))
    now = time.perf_counter
    taken: list[float] = []
    for client in clients.by_fd.values():
        client.due = now()
        client.sock.send(request)
    counting_from = now() + warm_s
    end = counting_from + seconds
    counting = False
    began_cpu = server_cpu = 0.0
    while True:
        ready = clients.ready(SILENCE_S)
        if not ready:
            raise LoadFailed(f"no answer for {SILENCE_S:g} s")
        for client in ready:
            if client.answered():
                at = now()
                taken.append(at - client.due)
                client.due = at
                client.sock.send(request)
        at = now()
        if not counting and at >= counting_from:
            counting = True
            counting_from, end = at, at + seconds
            taken.clear()
            began_cpu, server_cpu = time.process_time(), cpu_seconds(server_pid)
        elif counting and at >= end:
            break
    elapsed = now() - counting_from
    server_us = (cpu_seconds(server_pid) - server_cpu) * 1e6 / len(taken)
    busy = (time.process_time() - began_cpu) / elapsed
    clients.close()
    p50, p99 = quantiles((each * 1e3 for each in taken), 0.5, 0.99)
    return {"requests/s": len(taken) / elapsed, "p50": p50, "p99": p99, "server µs": server_us, "client busy": busy}


def open_loop(port: int, path: str, body: str, connections: int, seconds: float, rate: float) -> Sample:
    """Quantiles of the answer times at a fixed rate, in milliseconds, from the moment a request was due.

    A request that is due while all connections wait is late from then on: a slow server cannot hide behind a client
    that waits for it (coordinated omission).
    """
    request = request_of(path, body, port)
    clients = Connections(connections, lambda: Client(port))
    idle = list(clients.by_fd.values())
    now = time.perf_counter
    taken: list[float] = []
    began = now() + 0.05
    warm = int(rate * 0.5)
    total = warm + int(rate * seconds)
    sent = answered = 0
    heard = began
    while answered < total:
        at = now()
        while idle and sent < total and began + sent / rate <= at:
            client = idle.pop()
            client.due = began + sent / rate
            client.sock.send(request)
            sent += 1
        if sent == total:
            wait = SILENCE_S
        elif idle:
            # The kernel's timers come up to a millisecond late: the last of it is spent looking.
            wait = max(0.0, began + sent / rate - at - 0.0012)
        else:
            wait = SILENCE_S
        ready = clients.ready(wait)
        if ready:
            heard = now()
        elif now() - heard > SILENCE_S:
            raise LoadFailed(f"no answer for {SILENCE_S:g} s")
        for client in ready:
            if client.answered():
                answered += 1
                if answered > warm:
                    taken.append(now() - client.due)
                idle.append(client)
    clients.close()
    p50, p99, p999 = quantiles((each * 1e3 for each in taken), 0.5, 0.99, 0.999)
    return {"p50": p50, "p99": p99, "p99.9": p999}


def both_loops(server_pid: int, connections: int, seconds: float, **about: Any) -> tuple[Sample, Sample]:
    """A closed loop, then an open one at 100 requests a second: for a look whether they work."""
    closed = closed_loop(connections=connections, seconds=seconds, server_pid=server_pid, warm_s=seconds, **about)
    return closed, open_loop(connections=connections, seconds=seconds, rate=100.0, **about)


# WebSocket subscribers.

_UPGRADE = (
    "GET {path} HTTP/1.1\r\nhost: {host}:{port}\r\nupgrade: websocket\r\nconnection: Upgrade\r\n"
    "sec-websocket-key: dGhlIHNhbXBsZSBub25jZQ==\r\nsec-websocket-version: 13\r\n\r\n"
)


def upgrade_request(path: str, port: int) -> bytes:
    """The bytes that ask for a WebSocket."""
    return _UPGRADE.format(path=path, host=HOST, port=port).encode()


def client_frame(text: bytes) -> bytes:
    """A masked text frame of at most 125 bytes (RFC 6455 5.2); the mask is zero, which leaves the text as it is."""
    return struct.pack("!BB", 0x81, 0x80 | len(text)) + b"\0\0\0\0" + text


class Subscriber:
    """One WebSocket that only listens. It counts the bytes 0x81 that text frames begin with.

    ASCII text has none, and no frame that is sent here is 129 bytes long, so the count is the number of frames.
    """

    __slots__ = ("frames", "sock", "tail")

    def __init__(self, port: int, path: str, greeting: bytes = b"", greetings: int = 0) -> None:
        self.sock = connect(port)
        self.sock.settimeout(SILENCE_S)
        self.sock.sendall(upgrade_request(path, port))
        received = b""
        while b"\r\n\r\n" not in received:
            received += self._more()
        head, _, rest = received.partition(b"\r\n\r\n")
        if b" 101 " not in head:
            raise LoadFailed(f"no WebSocket: {head[:300]!r}")
        if greeting:
            self.sock.sendall(client_frame(greeting))
        while rest.count(b"\x81") < greetings:
            rest += self._more()
        self.frames = 0
        self.tail = b""
        self.sock.setblocking(False)

    def _more(self) -> bytes:
        data = self.sock.recv(READ)
        if not data:
            raise LoadFailed("the server closed a connection")
        return data

    def count(self) -> int:
        """Read what is there; returns how many frames began in it. Raises LoadFailed."""
        data = self._more()
        found = data.count(b"\x81")
        self.frames += found
        return found


def subscribers(
    announce: Callable[[dict[str, Any]], None],
    port: int,
    path: str,
    connections: int,
    frames: int,
    server_pid: int,
    greeting: str = "",
    greetings: int = 0,
) -> Sample:
    """Frames a second that arrive at `connections` subscribers, from the first of them to the last of `frames` each.

    Also the microseconds of its core that the server spends on a frame, and the client's own share of its core.
    Announces `{"connected": n}` when all have subscribed. `greetings` frames answer the `greeting` before that.
    """
    resource.setrlimit(resource.RLIMIT_NOFILE, (resource.getrlimit(resource.RLIMIT_NOFILE)[1],) * 2)
    listening = Connections(connections, lambda: Subscriber(port, path, greeting.encode(), greetings))
    announce({"connected": connections})
    expected = frames * connections
    arrived = 0
    began = began_cpu = server_cpu = 0.0
    while arrived < expected:
        ready = listening.ready(SILENCE_S)
        if not ready:
            raise LoadFailed(f"{arrived} of {expected} frames, then nothing for {SILENCE_S:g} s")
        if not began:
            began = time.perf_counter()
            began_cpu, server_cpu = time.process_time(), cpu_seconds(server_pid)
        for subscriber in ready:
            arrived += subscriber.count()
    elapsed = time.perf_counter() - began
    busy = (time.process_time() - began_cpu) / elapsed
    server_us = (cpu_seconds(server_pid) - server_cpu) * 1e6 / arrived
    if arrived != expected or any(each.frames != frames for each in listening.by_fd.values()):
        raise LoadFailed(f"{arrived} frames instead of {expected}")
    listening.close()
    return {"frames/s": arrived / elapsed, "server µs": server_us, "client busy": busy}
