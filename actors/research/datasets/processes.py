"""Worker processes of data sets, from the side of the node."""

from __future__ import annotations

import os
import sys
from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path
from typing import Final

import msgspec
import trio

from actors.research.datasets.jobs import Answer, Job, Problem
from runtime.process import BACKGROUND, PIPE, ChildProcess, describe_status

ROOT: Final = Path(__file__).parents[3]
PROGRAM: Final = (sys.executable, "-m", "actors.research.datasets.worker")
_CHUNK: Final = 256 * 1024


class _Line(msgspec.Struct):
    rows: int | None = None


_line: Final = msgspec.json.Decoder(_Line)
_answer: Final = msgspec.json.Decoder(Answer)


async def run(job: Job, progress: Callable[[int], Awaitable[object]] | None = None) -> Answer:
    """Do a job in a process of its own, which ends with this call, cancelled or not."""
    child = await _started(job)
    try:
        while line := await child.read_line():
            if line.startswith(b'{"rows"'):
                rows = _line.decode(line).rows
                if progress is not None and rows is not None:
                    await progress(rows)
                continue
            return _answer.decode(line)
        status = await child.wait()
        message = f"the process that reads the file {describe_status(status)}"
        return Answer(problem=Problem(field="file", message=message, code="failed"))
    finally:
        await _ended(child)


async def output_of(job: Job) -> AsyncIterator[bytes]:
    """What a job writes, piece by piece. Raises RuntimeError where the process fails."""
    child = await _started(job)
    try:
        assert child.stdout is not None
        while piece := await child.stdout.receive_some(_CHUNK):
            yield piece
        status = await child.wait()
        if status:
            raise RuntimeError(f"the process that writes {job.folder} as CSV {describe_status(status)}")
    finally:
        await _ended(child)


async def _started(job: Job) -> ChildProcess:
    paths = [str(ROOT), os.environ.get("PYTHONPATH", "")]
    environment = {"PYTHONPATH": os.pathsep.join(path for path in paths if path)}
    child = await ChildProcess.start(
        PROGRAM, name="dataset", env=os.environ | environment, stdin=PIPE, stdout=PIPE, nice=BACKGROUND
    )
    assert child.stdin is not None
    try:
        await child.stdin.send_all(msgspec.json.encode(job) + b"\n")
    except trio.BrokenResourceError:
        pass  # it has ended; its status is told by who reads its output
    except BaseException:
        await _ended(child)
        raise
    return child


async def _ended(child: ChildProcess) -> None:
    with trio.CancelScope(shield=True):
        await child.stop(0)
        assert child.stdout is not None
        await child.stdout.aclose()
