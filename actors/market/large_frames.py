"""Decodes frames of megabytes in a process of its own, so that the loop and every other market go on meanwhile.

A snapshot of 5 MB takes 80 ms to decode. A thread would hold the interpreter's lock for most of that; another process
does not. One process serves the whole node. It is started with the first large frame, started again if it dies, and
ends with this actor. A frame goes to it and comes back in pieces of a pipe's length, between which the loop does what
else there is to do.
"""

from __future__ import annotations

import importlib
import os
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Final, cast

import trio

from actors.market.large_frames_main import ANSWER, DECODED, FAULT, QUESTION
from protocols.control import ExitReason, Message, Probe, ProbeReport, Refused, Request
from protocols.paths import LARGE_FRAMES
from protocols.venues.errors import WireError
from runtime import Actor, ActorRef, ChildSpec, Mailbox, receive
from runtime.process import BACKGROUND, PIPE, ChildProcess

ROOT: Final = Path(__file__).parents[2]
DECODE_S: Final = 30.0
"""How long one frame may take. The longest that a venue may send (64 MiB) takes a second."""
LARGE_BYTES: Final = 256 * 1024
"""From this length on a frame takes longer to decode than a handler may hold the loop."""
_CHUNK: Final = 64 * 1024
_GONE: Final = (trio.BrokenResourceError, trio.ClosedResourceError, OSError)


class DecodedFrame(Message, frozen=True, gc=False, tag="decoded_frame"):
    """What the function made of the frame, or (`fault`) why it is no frame of the venue."""

    packed: bytes
    fault: str = ""


class DecodeFrame(Request[DecodedFrame], frozen=True, gc=False, tag="decode_frame"):
    """Asks for `target(frame)`. `target`: "protocols.some.module:function", bytes to bytes, pure."""

    target: str
    frame: bytes


async def decode(decoder: ActorRef, target: str, frame: bytes) -> bytes:
    """`target(frame)`, computed elsewhere.

    Raises WireError for what is no frame of the venue, Refused or Unknown where nobody could decode it.
    """
    answer = await decoder.ask(DecodeFrame(target, frame), timeout=2 * DECODE_S)
    if answer.fault:
        raise WireError(answer.fault)
    return answer.packed


def specs() -> list[ChildSpec]:
    """The actor as a child of the market's supervisor."""
    return [ChildSpec(name=LARGE_FRAMES.rpartition("/")[2], actor="actors.market.large_frames:LargeFrames")]


class _Died(Exception):
    """The process ended in the middle of a frame."""


class LargeFrames(Actor):
    """Owns the process. Frames are decoded one after the other, in the order in which they are asked for."""

    # Megabytes each; who has to wait stops reading, and TCP tells the venue.
    mailbox = Mailbox(capacity=64)

    def __init__(self, program: tuple[str, ...] = (sys.executable, "-m", "actors.market.large_frames_main")) -> None:
        self._program = program
        self._process: ChildProcess | None = None
        self._frames = 0
        self._bytes = 0
        self._starts = 0
        self._on_threads = 0
        self._why = ""

    async def on_stop(self, reason: ExitReason) -> None:
        """End the process; it has nothing to keep."""
        await self._end()

    @receive
    async def decode(self, request: DecodeFrame) -> DecodedFrame:
        """Decode one frame. Refused `invalid` for a function that is none, `timeout` for one that takes too long."""
        try:
            function = _function(request.target)
        except (ValueError, ImportError, AttributeError) as error:
            raise Refused("invalid", f"{request.target!r} is no function: {error}", "target") from None
        self._frames += 1
        self._bytes += len(request.frame)
        for _ in range(2):
            try:
                process = await self._running()
                with trio.fail_after(DECODE_S):
                    return await _exchange(process, request)
            except trio.TooSlowError:
                await self._end()
                raise Refused("timeout", f"no answer in {DECODE_S:g} s") from None
            except (_Died, *_GONE) as error:
                # Perhaps of old age, perhaps of this frame: it gets a second chance, and then a thread.
                await self._end()
                self._why = f"{type(error).__name__}: {error}"
                self.logger.warning("the process that decodes large frames is gone", why=self._why)
            except trio.Cancelled:
                # What is in its pipes now belongs to no question.
                if self._process is not None:
                    self._process.kill()
                raise
        self._on_threads += 1
        self.logger.warning("a large frame is decoded on a thread", why=self._why, bytes=len(request.frame))
        try:
            return DecodedFrame(await self.offload(function, request.frame, timeout=DECODE_S))
        except WireError as error:
            return DecodedFrame(b"", str(error) or "not a frame")
        except trio.TooSlowError:
            raise Refused("timeout", f"no result in {DECODE_S:g} s") from None

    @receive
    def probe(self, request: Probe) -> ProbeReport:
        """Degraded where frames had to be decoded on threads, beside the loop."""
        figures = (
            ("pid", None if self._process is None else self._process.pid),
            ("frames", self._frames),
            ("bytes", self._bytes),
            ("starts", self._starts),
            ("on threads", self._on_threads),
        )
        if self._on_threads:
            return ProbeReport("degraded", f"frames were decoded on threads: {self._why}", True, figures)
        return ProbeReport("ok", figures=figures)

    async def _running(self) -> ChildProcess:
        process = self._process
        if process is not None and process.status is None:
            return process
        paths = [str(ROOT), os.environ.get("PYTHONPATH", "")]
        environment = {"PYTHONPATH": os.pathsep.join(path for path in paths if path)}
        self._process = process = await ChildProcess.start(
            self._program,
            name="large_frames",
            env=os.environ | environment,
            stdin=PIPE,
            stdout=PIPE,
            nice=BACKGROUND,
        )
        self._starts += 1
        self.spawn(self._mind, process, name="process")
        return process

    async def _mind(self, process: ChildProcess) -> None:
        """Reap it when it dies, and end it when this actor does."""
        try:
            await process.wait()
        finally:
            with trio.CancelScope(shield=True):
                await process.stop(0)
                assert process.stdout is not None
                await process.stdout.aclose()
        # Its owner finds out with the next frame, and starts another one.

    async def _end(self) -> None:
        process, self._process = self._process, None
        if process is not None:
            await process.stop(0)


async def _exchange(process: ChildProcess, request: DecodeFrame) -> DecodedFrame:
    assert process.stdin is not None
    target = request.target.encode()
    await process.stdin.send_all(QUESTION.pack(len(target), len(request.frame)) + target)
    # As much at a time as the pipe takes: the loop runs on in between.
    await process.stdin.send_all(request.frame)
    kind, length = ANSWER.unpack(await _read(process, ANSWER.size))
    payload = await _read(process, length)
    if kind == DECODED:
        return DecodedFrame(payload)
    if kind == FAULT:
        return DecodedFrame(b"", payload.decode() or "not a frame")
    raise Refused("failed", f"{request.target} raised {payload.decode()}")


async def _read(process: ChildProcess, length: int) -> bytes:
    assert process.stdout is not None
    parts = []
    while length:
        part = await process.stdout.receive_some(min(length, _CHUNK))
        if not part:
            raise _Died("its output ended")
        parts.append(part)
        length -= len(part)
    return b"".join(parts)


def _function(target: str) -> Callable[[bytes], bytes]:
    module, _, name = target.partition(":")
    if not module.startswith("protocols."):
        raise ValueError("it is not in protocols/")
    return cast("Callable[[bytes], bytes]", getattr(importlib.import_module(module), name))
