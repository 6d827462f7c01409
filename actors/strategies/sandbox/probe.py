"""What the sandbox really holds on this machine: everything a worker must not do is tried in throw-away workers.

    result = await probe()
    result.level      # "full" | "standard" | "degraded"

The level is made of what failed as it should, not of what a kernel claims to have. Degraded: something got through,
and text of strangers should not run here. Standard: nothing got through, but a layer behind the others is missing, so
that one mistake in the first would be enough. Full: nothing got through, and all layers are there.
"""

from __future__ import annotations

import os
import socket
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final, Literal

import msgspec

from actors.strategies.sandbox import attempts, wire
from actors.strategies.sandbox.control import MEBIBYTE, Layers, Limits
from actors.strategies.sandbox.worker import Worker, WorkerEnded
from actors.strategies.sandbox.zygote import ALL_LAYERS, Zygote

__all__ = ["Attempt", "Level", "ProbeResult", "probe"]

Level = Literal["full", "standard", "degraded"]

_LIMITS: Final = Limits(memory_mb=32)
_DEADLINE_S: Final = 5.0
_SPIN_S: Final = 0.05
_HOLDERS: Final = ("seccomp", "landlock", "rlimits", "user", "namespaces")
"""The layers of the operating system. Rules of language are not probed: they are not the wall."""


class Attempt(msgspec.Struct, frozen=True):
    """One thing that was tried."""

    name: str
    held: bool
    how: str
    """What stopped it, or that nothing did."""


class ProbeResult(msgspec.Struct, frozen=True):
    """What was found."""

    level: Level
    attempts: tuple[Attempt, ...]
    missing: tuple[str, ...]
    """Layers that hold no worker here, each with the reason."""
    namespaces: tuple[str, ...]
    landlock_abi: int

    @property
    def breaches(self) -> tuple[Attempt, ...]:
        """What got through."""
        return tuple(attempt for attempt in self.attempts if not attempt.held)


async def probe(*, layers: Layers = ALL_LAYERS) -> ProbeResult:
    """Try everything in `attempts` and return what held. Takes about a fifth of a second.

    Raises ZygoteFailed where no worker can be made at all.
    """
    zygote = await Zygote.start(layers=layers, inside=attempts.__name__)
    try:
        with _targets() as wishes:
            found = [await _attempt(zygote, name, wish) for name, wish in wishes.items()]
        missing = tuple(f"{layer}: {zygote.missing[layer]}" for layer in _HOLDERS if layer in zygote.missing)
        return ProbeResult(_level(found, missing), tuple(found), missing, zygote.namespaces, zygote.landlock_abi)
    finally:
        await zygote.close()


def _level(found: list[Attempt], missing: tuple[str, ...]) -> Level:
    if not all(attempt.held for attempt in found):
        return "degraded"
    return "standard" if missing else "full"


async def _attempt(zygote: Zygote, name: str, wish: dict[str, str | int]) -> Attempt:
    # Each in a worker of its own: what one leaves behind must not stop the next.
    worker = await zygote.create(f"probe {name}", _LIMITS)
    try:
        return await _try(worker, name, wish)
    finally:
        worker.kill()


async def _try(worker: Worker, name: str, wish: dict[str, str | int]) -> Attempt:
    parameters = msgspec.Raw(msgspec.msgpack.encode({"attempt": name, **wish}))
    try:
        reply = await worker.call(wire.Configure(1, parameters), _SPIN_S if name == "spin" else _DEADLINE_S)
    except WorkerEnded as end:
        # An exec that succeeds ends the worker too, and in order.
        held = end.cause == ("timeout" if name == "spin" else "forbidden_syscall")
        return Attempt(name, held, str(end))
    if isinstance(reply, wire.Failed):
        return Attempt(name, True, f"{reply.error}: {reply.message}")
    return Attempt(name, False, "nothing stopped it")


@contextmanager
def _targets() -> Iterator[dict[str, dict[str, str | int]]]:
    """Give each attempt something that it could really reach."""
    with (
        tempfile.NamedTemporaryFile() as readable,
        socket.create_server(("127.0.0.1", 0)) as listener,
        socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as receiver,
    ):
        readable.write(b"x")
        readable.flush()
        os.chmod(readable.name, 0o644)
        receiver.bind(("127.0.0.1", 0))
        too_much = 2 * _LIMITS.memory_mb * MEBIBYTE
        wishes: dict[str, dict[str, str | int]] = {name: {} for name in attempts.ATTEMPTS}
        wishes["read_file"] = {"path": readable.name}
        left = Path(tempfile.gettempdir()) / f"probe-{os.getpid()}"
        wishes["write_file"] = {"path": str(left)}
        wishes["connect_tcp"] = {"port": listener.getsockname()[1]}
        wishes["send_udp"] = {"port": receiver.getsockname()[1]}
        wishes["signal_node"] = {"pid": os.getpid()}
        wishes["take_memory"] = wishes["take_shared_memory"] = {"size": too_much}
        wishes["execute"] = {"path": sys.executable}
        try:
            yield wishes
        finally:
            left.unlink(missing_ok=True)
