"""The process of one backtest, from the side of the node."""

from __future__ import annotations

import os
import sys
from collections.abc import Awaitable, Callable
from contextlib import suppress
from pathlib import Path
from typing import Final

import msgspec
import trio

from actors.research.backtest.job_main import Line, Order
from runtime.process import BACKGROUND, PIPE, ChildProcess, describe_status

ROOT: Final = Path(__file__).parents[3]
PROGRAM: Final = (sys.executable, "-m", "actors.research.backtest.job_main")
GRACE_S: Final = 0.0
_LINE: Final = msgspec.json.Decoder(Line)


class Ended(Exception):
    """The process has ended before it was done."""


async def run_job(order: Order, say: Callable[[Line], Awaitable[object]]) -> None:
    """Run a backtest in a process of its own, which ends with this call, cancelled or not. Raises Ended."""
    paths = [str(ROOT), os.environ.get("PYTHONPATH", "")]
    environment = {"PYTHONPATH": os.pathsep.join(path for path in paths if path)}
    child = await ChildProcess.start(
        PROGRAM, name="backtest", env=os.environ | environment, stdin=PIPE, stdout=PIPE, nice=BACKGROUND
    )
    try:
        assert child.stdin is not None
        with suppress(trio.BrokenResourceError):  # it has ended; its status tells
            await child.stdin.send_all(msgspec.json.encode(order) + b"\n")
        while text := await child.read_line():
            line = _LINE.decode(text)
            await say(line)
            if line.outcome:
                return
        status = await child.wait()
        raise Ended(f"its process {describe_status(status)}")
    finally:
        with trio.CancelScope(shield=True):
            await child.stop(GRACE_S)
            assert child.stdout is not None
            await child.stdout.aclose()
