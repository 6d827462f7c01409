"""The worker's side: a process that hosts actors of a node.

A loop of its own, with a node of its own (`HostNode`) in which the placed actors and what they start live at the same
paths as in the node. What they look up, watch, publish and log is found here or goes over the link. A worker without
its node has no purpose and no right to act: when the link breaks, or is refused, the process ends.

    python -m runtime.cluster.host         # a child process: its standard input is the link
    run_in_thread(settings)                # inside a worker of the cluster
"""

from __future__ import annotations

import os
import signal
import socket
import sys
import threading
from contextlib import suppress
from typing import Any, TextIO, cast

import msgspec
import trio

from runtime.cluster import wire
from runtime.cluster.codec import set_main
from runtime.cluster.node_end import LOST, NodeEnd
from runtime.cluster.settings import WorkerSettings
from runtime.telemetry import TelemetrySettings, open_telemetry
from runtime.variables import running_cell

SETTINGS_BYTES = 1 << 20


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

    set_main(settings.main)
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
