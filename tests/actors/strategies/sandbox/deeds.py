"""Things that a worker of these tests tries. None of them is subtle: the question is what the kernel says."""

from __future__ import annotations

import _thread
import ctypes
import json
import mmap
import os
import signal
import socket
import sys
import time
from collections.abc import Callable

import msgspec

from actors.strategies.sandbox import wire

_libc = ctypes.CDLL(None, use_errno=True)
_kept: list[object] = []


def loaded(names: tuple[str, ...]) -> list[str]:
    """Which of these modules were ever imported."""
    return [name for name in names if name in sys.modules]


def environment() -> str:
    return json.dumps(dict(os.environ))


def nothing() -> str:
    return "nothing"


def system_call(number: int, arguments: tuple[int, ...] = ()) -> int:
    """Raises OSError with what the kernel says."""
    result: int = _libc.syscall(ctypes.c_long(number), *map(ctypes.c_long, arguments))
    if result == -1:
        error = ctypes.get_errno()
        raise OSError(error, os.strerror(error))
    return result


def read_file(path: str) -> int:
    descriptor = os.open(path, os.O_RDONLY)
    return len(os.read(descriptor, 10))


def write_file(path: str) -> None:
    os.write(os.open(path, os.O_WRONLY | os.O_CREAT, 0o600), b"x")


def look_at(path: str) -> None:
    os.stat(path)


def open_socket(kind: str) -> None:
    family = socket.AF_UNIX if kind == "unix" else socket.AF_INET
    socket.socket(family, socket.SOCK_DGRAM if kind == "udp" else socket.SOCK_STREAM).detach()


def connect(port: int) -> None:
    socket.socket(socket.AF_INET, socket.SOCK_STREAM).connect(("127.0.0.1", port))


def send_datagram(port: int) -> None:
    socket.socket(socket.AF_INET, socket.SOCK_DGRAM).sendto(b"x", ("127.0.0.1", port))


def fork() -> None:
    if os.fork() == 0:
        os._exit(0)


def start_thread() -> None:
    _thread.start_new_thread(time.sleep, (0,))


def execute() -> None:
    os.execv("/bin/true", ["true"])


def send_signal(pid: int, number: int = 0) -> None:
    os.kill(pid or os.getppid(), number)


def allocate(size: int) -> int:
    """Touches every page."""
    _kept.append(bytearray(size))
    return size


def release() -> None:
    _kept.clear()


def map_memory(size: int, protection: int, flags: int) -> None:
    """mmap past Python's own checks."""
    _libc.mmap.restype = ctypes.c_long
    if _libc.mmap(None, ctypes.c_size_t(size), protection, flags, -1, ctypes.c_long(0)) == -1:
        raise OSError(ctypes.get_errno(), "mmap")


def protect_memory(protection: int) -> None:
    area = mmap.mmap(-1, 4096, flags=mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS)
    _kept.append(area)
    address = ctypes.addressof(ctypes.c_char.from_buffer(area))
    if _libc.mprotect(ctypes.c_void_p(address), ctypes.c_size_t(4096), protection) == -1:
        raise OSError(ctypes.get_errno(), "mprotect")


def spin() -> None:
    while True:
        pass


def burn(seconds: float) -> int:
    end = time.process_time() + seconds
    while time.process_time() < end:
        pass
    return time.process_time_ns()


def ignore_and_spin() -> None:
    for number in (signal.SIGTERM, signal.SIGXCPU, signal.SIGINT, signal.SIGHUP):
        signal.signal(number, signal.SIG_IGN)
    spin()


def leave(status: int) -> None:
    os._exit(status)


def abort() -> None:
    os.abort()


def crash() -> None:
    ctypes.string_at(0)


def clock_of(pid: int) -> int:
    return time.clock_gettime_ns((~pid << 3) | 2)


def ids() -> tuple[object, ...]:
    """Answered without a system call that the filter refuses: read by the test before that layer is on."""
    return os.getresuid(), os.getresgid(), os.getgroups()


def forge(deed: Callable[..., object]) -> Callable[..., object]:
    deed.forges = True  # type: ignore[attr-defined]
    return deed


@forge
def raw(fd: int, request: wire.Configure, data: bytes, then: str = "reply") -> object:
    """Write these bytes, then reply, or be silent."""
    os.write(fd, data)
    if then == "silence":
        while True:
            time.sleep(1)
    return wire.Done(request.id, 0)


@forge
def other_reply(fd: int, request: wire.Configure, payload: bytes) -> object:
    return payload


@forge
def wrong_id(fd: int, request: wire.Configure) -> object:
    return wire.Done(request.id + 1, 0)


@forge
def trickle(fd: int, request: wire.Configure, size: int) -> object:
    os.write(fd, wire.HEADER.pack(size))
    for _ in range(size):
        os.write(fd, b"x")
        time.sleep(0)
    return wire.Done(request.id, 0)


@forge
def reply_and_flood(fd: int, request: wire.Configure, size: int) -> object:
    """A good reply, and at a signal what nobody asked for."""
    signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGUSR1})
    reply = msgspec.msgpack.encode(wire.Done(request.id, 0))
    os.write(fd, wire.HEADER.pack(len(reply)) + reply)
    signal.sigwait({signal.SIGUSR1})
    while True:
        os.write(fd, b"x" * size)


@forge
def close_socket(fd: int, request: wire.Configure) -> None:
    os.close(fd)
    spin()


@forge
def long_reply(fd: int, request: wire.Configure, size: int) -> object:
    return b"x" * size
