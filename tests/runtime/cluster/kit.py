"""A gateway as its node has it, and ways to wait for what happens to processes."""

from __future__ import annotations

import os
import socket
import sys
from collections import deque
from pathlib import Path
from typing import TypeVar

import trio

from runtime.cluster.gateway_messages import (
    Command,
    Event,
    GatewaySettings,
    Lines,
    Place,
    decode_event,
    encode,
)
from runtime.cluster.local_state import ClusterProcess, read_state
from runtime.process import DEVNULL, ChildProcess
from runtime.spec import HostOptions

ENTRIES = "tests.runtime.cluster.entries"
LONG_S = 60.0
"""Longer than anything here takes; the tests await events."""

Wanted = TypeVar("Wanted", bound=Event)


class GatewayProcess:
    """A gateway and the node's end of its socket."""

    def __init__(self, child: ChildProcess, stream: trio.SocketStream) -> None:
        self.child = child
        self.stream = stream
        self._lines = Lines()
        self._events: deque[Event] = deque()

    async def send(self, *commands: Command) -> None:
        for command in commands:
            await self.stream.send_all(encode(command))

    async def event(self) -> Event:
        """The next event. Raises EOFError when the gateway has ended."""
        with trio.fail_after(LONG_S):
            while not self._events:
                piece = await self.stream.receive_some(65536)
                if not piece:
                    raise EOFError
                self._events.extend(decode_event(line) for line in self._lines.feed(piece))
        return self._events.popleft()

    async def next(self, kind: type[Wanted], host: str | None = None) -> Wanted:
        """The next event of this kind, of this host; what else comes stays for later."""
        passed: list[Event] = []
        while True:
            event = await self.event()
            if isinstance(event, kind) and host in (None, getattr(event, "host", None)):
                self._events.extendleft(reversed(passed))
                return event
            passed.append(event)


class Gateways:
    """Starts gateways as a node does."""

    def __init__(self) -> None:
        self._started: list[GatewayProcess] = []

    async def start(self, settings: GatewaySettings) -> GatewayProcess:
        ours, theirs = socket.socketpair()
        argv = [sys.executable, "-m", "runtime.cluster.gateway"]
        child = await ChildProcess.start(argv, stdin=theirs.fileno(), stdout=DEVNULL, stderr=DEVNULL)
        theirs.close()
        gateway = GatewayProcess(child, trio.SocketStream(trio.socket.from_stdlib_socket(ours)))
        self._started.append(gateway)
        await gateway.stream.send_all(encode(settings))
        return gateway

    async def end(self) -> None:
        for gateway in self._started:
            await gateway.stream.aclose()
            await gateway.child.stop(grace_s=0)


def place(
    host: str, entry: str = "stays", settings: bytes = b"", *, avoid: tuple[str, ...] = (), **options: object
) -> Place:
    """A worker with one of the entries of these tests."""
    return Place(
        host=host,
        settings=settings,
        options=HostOptions(**options),  # type: ignore[arg-type]
        avoid=avoid,
        entry=f"{ENTRIES}:{entry}",
    )


def process_of(data_dir: Path, node: str, name: str) -> ClusterProcess:
    """A process of the local cluster."""
    state = read_state(data_dir)
    assert state is not None
    (found,) = (each for one in state.nodes if one.name == node for each in one.processes if each.name == name)
    return found


async def gone(pid: int) -> None:
    """Wait until a process has ended, whosesoever child it is."""
    try:
        descriptor = os.pidfd_open(pid)
    except ProcessLookupError:
        return
    try:
        with trio.fail_after(LONG_S):
            await trio.lowlevel.wait_readable(descriptor)
    finally:
        os.close(descriptor)
