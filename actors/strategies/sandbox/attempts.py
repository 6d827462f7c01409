"""What a worker must not be able to do, tried from inside one: the worker's half of the probe (`probe.py`).

Runs in the place of the strategy's loop, after the same lock-down. A Configure request names an attempt and its
arguments; Failed says what stopped it, Done that nothing did.
"""

from __future__ import annotations

import _thread
import mmap
import os
import socket
import time
from collections.abc import Callable
from contextlib import suppress
from typing import Final, NoReturn

import msgspec

from actors.strategies.sandbox import wire

_ENCODER: Final = msgspec.msgpack.Encoder()
_WISH: Final = msgspec.msgpack.Decoder(dict[str, str | int])
_kept: list[object] = []


def read_file(path: str) -> None:
    """Read a file of the host."""
    os.read(os.open(path, os.O_RDONLY), 1)


def write_file(path: str) -> None:
    """Leave something on the host."""
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    with suppress(OSError):
        os.write(descriptor, b"x")
    os.unlink(path)


def connect_tcp(port: int) -> None:
    """Reach a listener on this machine."""
    with socket.socket(socket.AF_INET, socket.SOCK_STREAM) as caller:
        caller.connect(("127.0.0.1", port))


def send_udp(port: int) -> None:
    """Send a datagram on this machine."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sender:
        sender.sendto(b"x", ("127.0.0.1", port))


def fork() -> None:
    """Make a process."""
    child = os.fork()
    if child == 0:
        os._exit(0)
    os.waitpid(child, 0)


def start_thread() -> None:
    """Make a thread, which would run on after the reply."""
    _thread.start_new_thread(time.sleep, (0,))


def signal_parent() -> None:
    """Ask whether the parent may be signalled; signal 0 is checked and not sent."""
    os.kill(os.getppid(), 0)


def signal_node(pid: int) -> None:
    """Ask whether the node may be signalled."""
    os.kill(pid, 0)


def ask_kernel() -> None:
    """Make a system call that is harmless and not on the list."""
    os.uname()


def take_memory(size: int) -> None:
    """Take more than the limit."""
    _kept.append(bytearray(size))


def take_shared_memory(size: int) -> None:
    """Take more than the limit of a kind that RLIMIT_DATA does not count."""
    _kept.append(mmap.mmap(-1, size, flags=mmap.MAP_SHARED | mmap.MAP_ANONYMOUS))


def execute(path: str) -> None:
    """Become another program."""
    os.execv(path, [path, "-c", ""])


def spin() -> None:
    """Never come back."""
    while True:
        pass


ATTEMPTS: Final[dict[str, Callable[..., None]]] = {
    attempt.__name__: attempt
    for attempt in (
        read_file, write_file, connect_tcp, send_udp, fork, start_thread, signal_parent, signal_node, ask_kernel,
        take_memory, take_shared_memory, execute, spin,
    )
}  # fmt: skip


def prepare() -> None:
    """Nothing more is needed than what is imported."""


def serve(fd: int, *, language: bool) -> NoReturn:
    """Try what is asked for, until the end of file. There is no text, so there are no rules of language."""
    while True:
        frame = os.read(fd, 65_536)
        if not frame:
            os._exit(0)
        request = wire.REQUEST.decode(memoryview(frame)[wire.HEADER.size :])
        assert isinstance(request, wire.Configure)
        payload = _ENCODER.encode(_try(request))
        os.write(fd, wire.HEADER.pack(len(payload)) + payload)


def _try(request: wire.Configure) -> wire.Reply:
    wish = _WISH.decode(request.parameters)
    try:
        ATTEMPTS[str(wish.pop("attempt"))](**wish)
    except (OSError, MemoryError, RuntimeError) as error:
        return wire.Failed(
            request.id, 0, type(error).__name__, str(error)[:1000], memory=isinstance(error, MemoryError)
        )
    return wire.Done(request.id, 0)
