"""A process that has everything prepared, and forks one that serves whenever it is given a socket.

It is what a locked worker runs, without the lock. Instead, whatever would open a file, load a module or touch the
network after the preparation ends the process: a locked worker could not do it either.
"""

from __future__ import annotations

import os
import socket
import subprocess
import sys
from pathlib import Path
from typing import Any

import msgspec

from actors.strategies.sandbox import wire

REPOSITORY = Path(__file__).resolve().parents[4]
TOUCHED = 88
"""Exit status of a process that has reached for what it had not prepared."""
EVENTS = ("open", "import", "socket.", "subprocess.", "os.", "ctypes.", "shutil.", "tempfile.", "pty.", "mmap.")
NONE = msgspec.Raw(msgspec.msgpack.encode({}))


class Serving:
    """The prepared process."""

    def __init__(self, *, pandas: bool = False) -> None:
        ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        self.process = subprocess.Popen(
            [sys.executable, "-B", "-m", "tests.actors.strategies.sandbox.serving", str(theirs.fileno()), str(pandas)],
            cwd=REPOSITORY,
            pass_fds=[theirs.fileno()],
            env={"PATH": os.environ["PATH"], "OPENBLAS_NUM_THREADS": "1"},
        )
        theirs.close()
        self.control = ours

    def worker(self, *, language: bool = True) -> Client:
        ours, theirs = socket.socketpair()
        socket.send_fds(self.control, [b"+" if language else b"-"], [theirs.fileno()])
        theirs.close()
        return Client(ours)

    def close(self) -> None:
        self.control.close()
        self.process.wait(10)


class Client:
    """The node's end of a worker's socket."""

    def __init__(self, end: socket.socket) -> None:
        self.end = end
        self.end.settimeout(60)

    def call(self, request: wire.Request) -> wire.Reply:
        return wire.REPLY.decode(self.raw(msgspec.msgpack.encode(request)))

    def raw(self, packed: bytes) -> bytes:
        self.end.sendall(wire.HEADER.pack(len(packed)) + packed)
        return self.reply()

    def reply(self) -> bytes:
        (size,) = wire.HEADER.unpack(self._exactly(wire.HEADER.size))
        return self._exactly(size)

    def close(self) -> None:
        self.end.close()

    def __enter__(self) -> Client:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def _exactly(self, size: int) -> bytes:
        found = b""
        while len(found) < size:
            part = self.end.recv(size - len(found))
            if not part:
                raise EOFError("the worker has ended")
            found += part
        return found


def load(
    source: str,
    parameters: dict[str, Any] | None = None,
    markets: tuple[tuple[str, str], ...] = (("BTCUSDT", "1m"),),
    **options: Any,
) -> wire.Load:
    """A request to load a source."""
    given = NONE if parameters is None else msgspec.Raw(msgspec.msgpack.encode(parameters))
    settings: dict[str, Any] = {"lookback": 200, "every_bar": True} | options
    return wire.Load(1, "s", "1", "strategy.py", source, markets, given, **settings)


def bar(place: int, close: float, symbol: str = "BTCUSDT", timeframe: str = "1m", minutes: int = 1) -> wire.BarInput:
    """A bar around a close; `place` counts bars."""
    start, end = (60_000_000_000 * minutes * each for each in (place, place + 1))
    return wire.BarInput(
        symbol, timeframe, start, end, close - 0.1, close + 0.3, close - 0.4, close, 5.0 + place % 3, 3.0, close, end
    )


def main() -> None:
    from actors.strategies.sandbox.inside import loop

    control = socket.socket(fileno=int(sys.argv[1]))
    loop.prepare(pandas=sys.argv[2] == "True")
    assert len(os.listdir("/proc/self/task")) == 1
    while True:
        kind, descriptors, _, _ = socket.recv_fds(control, 1, 1)
        if not kind:
            os._exit(0)
        if os.fork() == 0:
            control.close()
            if kind == b"+":
                # Without the language layer a strategy may import; that it could not when locked is tested elsewhere.
                sys.addaudithook(_end)
            loop.serve(descriptors[0], language=kind == b"+")
        os.close(descriptors[0])
        while True:
            try:
                if os.waitpid(-1, os.WNOHANG) == (0, 0):
                    break
            except ChildProcessError:
                break


def _end(event: str, arguments: Any) -> None:
    if event == "import" and arguments[0].startswith("encodings."):
        # Of an encoding that does not exist. Where nothing can be read, neither can this.
        raise ImportError(arguments[0])
    if event.startswith(EVENTS):
        os.write(2, f"reached for {event} {arguments!r:.200}\n".encode())
        os._exit(TOUCHED)


if __name__ == "__main__":
    main()
