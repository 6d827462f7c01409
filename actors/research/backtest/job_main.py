"""The process that runs one backtest: its order on standard input, progress and outcome as lines on standard output.

Run as `python -m actors.research.backtest.job_main`. The order is one line of JSON (`Order`); every line of the answer
is a JSON object (`Line`): progress, trials for the ledger, the question for those of the family (answered by a line of
JSON on standard input), at last the outcome. What a backtest came to is written to the folder of the order, complete or
not at all: `report.msgpack`, `orders.jsonl`.
"""

from __future__ import annotations

import hashlib
import os
import sys
import time
import traceback
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any, BinaryIO, Final

import msgspec

from actors.research.backtest.family_ledger import MemoryLedger, Trial, distinct
from actors.research.backtest.job_lines import ORDERS, REPORT, Line, Order
from actors.research.backtest.methodologies import Found, Study
from actors.research.backtest.opening import Opened
from actors.research.backtest.optimise import NothingFound
from actors.research.backtest.passes import LocalPasses
from actors.research.backtest.report import encode, figures
from actors.research.backtest.sources import SourceError
from actors.research.backtest.spec import BacktestSpec, SpecError, read_spec
from actors.strategies.sandbox.failures import SandboxFailed

EVERY_S: Final = 0.25


class _Voice:
    """Says lines. Progress at most a few times a second."""

    def __init__(self, out: BinaryIO) -> None:
        self._out = out
        self._next = 0.0

    def say(self, line: Line) -> None:
        self._out.write(msgspec.json.encode(line) + b"\n")
        self._out.flush()

    def progress(self, share: float, stage: str) -> None:
        now = time.monotonic()
        if now >= self._next or share >= 1.0:
            self._next = now + EVERY_S
            self.say(Line(progress=round(share, 4), stage=stage))


class _SpokenLedger(MemoryLedger):
    """The node's ledger: what is added is said, and what others have added meanwhile is asked for."""

    def __init__(self, voice: _Voice, answers: BinaryIO) -> None:
        super().__init__()
        self._voice = voice
        self._answers = answers

    def add(self, trials: Iterable[Trial]) -> None:
        """As FamilyLedger."""
        if added := tuple(trials):
            super().add(added)
            self._voice.say(Line(trials=added))

    def trials(self, family: str) -> Sequence[Trial]:
        """As FamilyLedger. Raises msgspec.DecodeError where nobody answers."""
        self._voice.say(Line(asks_trials=True))
        known = msgspec.json.decode(self._answers.readline(), type=tuple[Trial, ...])
        return distinct([*known, *super().trials(family)])


def serve(asked: BinaryIO, out: BinaryIO) -> int:
    """Run the order that is asked, and ask back; returns the exit status."""
    voice = _Voice(out)
    try:
        order = msgspec.json.decode(asked.readline(), type=Order)
        ledger = _SpokenLedger(voice, asked)
        spec = read_spec(bytes(order.spec))
        found = study(spec, ledger, Path(order.data_dir) if order.data_dir else None, voice.progress)
        if order.run_id:
            run = msgspec.structs.replace(found.report.run, run_id=order.run_id)
            found = Found(msgspec.structs.replace(found.report, run=run), found.log)
        voice.say(written(found, Path(order.folder)))
    except Exception as error:
        voice.say(failure(error))
        return 1
    return 0


def study(spec: BacktestSpec, ledger: Any, data_dir: Path | None, tell: Any) -> Found:
    """One backtest in this process."""
    tell(0.0, "opening the data")
    opened = Opened(spec, data_dir=data_dir)
    with LocalPasses(opened) as passes:
        return Study(spec, opened, passes, ledger, now=time.time_ns, tell=tell).run()


def written(found: Found, folder: Path) -> Line:
    """Write what came of it; says so."""
    folder.mkdir(parents=True, exist_ok=True)
    packed = encode(found.report)
    for name, content in ((ORDERS, found.log), (REPORT, packed)):
        aside = folder / f".{name}.{os.getpid()}"
        with aside.open("wb") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        aside.replace(folder / name)
    run = found.report.run
    return Line(
        progress=1.0,
        outcome="completed",
        summary=summary_of(found),
        result_hash=hashlib.sha256(packed).hexdigest(),
        order_hash=run.order_hash,
        family_trials=found.report.family.trials,
    )


def summary_of(found: Found) -> dict[str, Any]:
    """What a list of jobs shows: the metrics by their key, and counts."""
    run = found.report.run
    return {
        **figures(found.report),
        "initial_capital": run.initial_capital,
        "final_equity": run.final_equity,
        "currency": run.currency,
        "first": run.first,
        "last": run.last,
        "events": run.events,
        "orders": run.orders,
        "fills": run.fills,
        "round_trips": len(run.round_trips),
        "markets": list(run.markets),
        "parameters": run.parameters,
        "warnings": list(run.warnings),
        "elapsed_s": round(found.report.elapsed_s, 3),
    }


def failure(error: Exception) -> Line:
    """An exception as the line that ends a job."""
    if isinstance(error, SpecError):
        return Line(outcome="failed", code="invalid", message=error.message, field=error.field)
    if isinstance(error, SandboxFailed):
        places = [f"line {problem.line}: {problem.message}" for problem in error.problems[:5] if problem.line]
        return Line(outcome="failed", code=error.code, message="; ".join([error.message, *places]), field="strategy")
    if isinstance(error, NothingFound):
        return Line(outcome="failed", code="nothing_found", message=str(error))
    if isinstance(error, SourceError):
        return Line(outcome="failed", code="unreadable", message=str(error), field="data")
    at = traceback.extract_tb(error.__traceback__)[-1:]
    where = f" ({Path(at[0].filename).name}, line {at[0].lineno})" if at else ""
    return Line(outcome="failed", code="error", message=f"{type(error).__name__}: {error}{where}"[:2000])


def main(arguments: Sequence[str] = ()) -> int:
    """Read the order, run it."""
    # What a strategy prints is not an answer of ours.
    out = os.fdopen(os.dup(sys.stdout.fileno()), "wb")
    os.dup2(sys.stderr.fileno(), sys.stdout.fileno())
    return serve(sys.stdin.buffer, out)


if __name__ == "__main__":
    sys.exit(main())
