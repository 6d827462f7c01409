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

from actors.research.backtest.family_ledger import Trial
from actors.research.backtest.job_lines import Line, Order
from runtime.process import BACKGROUND, PIPE, ChildProcess, describe_status

ROOT: Final = Path(__file__).parents[3]
PROGRAM: Final = (sys.executable, "-m", "actors.research.backtest.job_main")
GRACE_S: Final = 0.0
_LINE: Final = msgspec.json.Decoder(Line)


class Ended(Exception):
    """The process has ended before it was done."""


async def run_job(
    order: Order, say: Callable[[Line], Awaitable[object]], trials: Callable[[], Awaitable[tuple[Trial, ...]]]
) -> None:
    """Run a backtest in a process of its own, which ends with this call, cancelled or not. Raises Ended.

    `trials`: those of its family, as they are when it asks for them.
    """
    paths = [str(ROOT), os.environ.get("PYTHONPATH", "")]
    environment = {"PYTHONPATH": os.pathsep.join(path for path in paths if path)}
    child = await ChildProcess.start(
        PROGRAM, name="backtest", env=os.environ | environment, stdin=PIPE, stdout=PIPE, nice=BACKGROUND
    )
    try:
        await _tell(child, order)
        while text := await child.read_line():
            line = _LINE.decode(text)
            if line.asks_trials:
                await _tell(child, await trials())
                continue
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


async def _tell(child: ChildProcess, said: Order | tuple[Trial, ...]) -> None:
    assert child.stdin is not None
    with suppress(trio.BrokenResourceError):  # it has ended; its status tells
        await child.stdin.send_all(msgspec.json.encode(said) + b"\n")
