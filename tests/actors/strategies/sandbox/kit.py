"""A zygote whose workers do what they are told (`echo.py`), and words for what comes of it."""

from __future__ import annotations

import os
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import msgspec
import pytest
import trio

from actors.strategies.sandbox import linux, wire
from actors.strategies.sandbox.landlock import abi
from actors.strategies.sandbox.worker import Worker, WorkerEnded
from actors.strategies.sandbox.zygote import Layers, Limits, Zygote
from runtime.orphans import read_process

__all__ = ["Layers", "Limits"]

ECHO = "tests.actors.strategies.sandbox.echo"
REPOSITORY = Path(__file__).resolve().parents[4]
ONLY = {"language": False, "seccomp": False, "landlock": False, "rlimits": False, "user": False, "namespaces": False}
ROOT = os.geteuid() == 0
SMALL = Limits(memory_mb=64)


def only(*layers: str) -> Layers:
    """These layers, and no other one."""
    return Layers(**ONLY | dict.fromkeys(layers, True))


def without(*layers: str) -> Layers:
    return Layers(**dict.fromkeys(layers, False))


def _has_seccomp() -> bool:
    try:
        linux.prctl(21)  # PR_GET_SECCOMP
    except OSError:
        return False
    return True


def landlock_abi() -> int:
    """0: this kernel has none."""
    try:
        return abi()
    except OSError:
        return 0


needs_seccomp = pytest.mark.skipif(not _has_seccomp(), reason="this kernel has no seccomp")
needs_root = pytest.mark.skipif(not ROOT, reason="it is about what root has, or may look at")


def need_namespaces(zygote: Zygote) -> None:
    """Skip where the zygote was refused namespaces."""
    if "namespaces" in zygote.missing:
        pytest.skip(f"no namespaces here: {zygote.missing['namespaces']}")


@asynccontextmanager
async def zygote_of(layers: Layers = Layers(), inside: str = ECHO) -> AsyncIterator[Zygote]:  # noqa: B008
    zygote = await Zygote.start(layers=layers, inside=inside)
    try:
        yield zygote
    finally:
        await zygote.close()


@asynccontextmanager
async def worker_of(layers: Layers = Layers(), limits: Limits = SMALL) -> AsyncIterator[Worker]:  # noqa: B008
    async with zygote_of(layers) as zygote:
        yield await zygote.create("one", limits)


def wish(do: str, **arguments: Any) -> wire.Configure:
    return wire.Configure(7, msgspec.Raw(msgspec.msgpack.encode({"do": do, **arguments})))


async def tell(worker: Worker, do: str, *, within: float = 10.0, **arguments: Any) -> str:
    """What a deed returned, as text, or the error that it raised; "worker: …" if it cost the worker its life."""
    try:
        reply = await worker.call(wish(do, **arguments), within)
    except WorkerEnded as end:
        return f"worker: {end}"
    if isinstance(reply, wire.Failed):
        return f"{reply.error}: {reply.message}"
    assert isinstance(reply, wire.Done)
    return reply.logs[0].text


async def end_of(worker: Worker, do: str, *, within: float = 10.0, **arguments: Any) -> WorkerEnded:
    """How a deed ends the worker, which is dead and reaped then."""
    try:
        reply = await worker.call(wish(do, **arguments), within)
    except WorkerEnded as end:
        assert read_process(worker.pid) is None
        return end
    raise AssertionError(f"it lives: {reply}")


async def gone(pid: int) -> None:
    """Wait until a process that may not be ours has ended."""
    try:
        descriptor = os.pidfd_open(pid)
    except ProcessLookupError:
        return
    with trio.fail_after(10):
        await trio.lowlevel.wait_readable(descriptor)
    os.close(descriptor)


def bar(symbol: str = "BTC-USD") -> wire.BarInput:
    return wire.BarInput(symbol, "1m", 0, 60, 1.0, 1.0, 1.0, 1.0, 1.0, 1.0, 1.0, 60)
