"""Trials: one specification over one or several spans, judged by an objective; many of them over several processes.

Child processes are forked from one that has the data opened, so nothing is read twice; what comes back is a figure, the
equity and what the ledger keeps. The order of the answers is that of the questions, whoever was faster.
"""

from __future__ import annotations

import ctypes
import hashlib
import multiprocessing
import signal
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from decimal import Decimal
from typing import Any, Final

import msgspec
import numpy as np

from actors.research.backtest.family_ledger import Purpose, Trial, trial_of
from actors.research.backtest.opening import Opened
from actors.research.backtest.passes import LocalPasses
from actors.research.backtest.spec import BacktestSpec, SpecError
from actors.research.metrics.registry import REGISTRY, by_key, evaluate
from actors.research.results import RunResult, Series

_PDEATHSIG: Final = 1
Span = tuple[int | None, int | None]
"""[since, until), ns."""


class Task(msgspec.Struct, frozen=True, kw_only=True):
    """What is to be tried. `warm_up`: ns before each span that only warm up. `ts`: wall time, for the ledger."""

    spec: BacktestSpec
    spans: tuple[Span, ...]
    parameters: dict[str, Any]
    purpose: Purpose
    ts: int
    warm_up: int = 0


class Tried(msgspec.Struct, frozen=True, kw_only=True):
    """What came of it. `value` of the objective, None with the `reason`. `trial` None: it was never run."""

    parameters: dict[str, Any]
    value: float | None
    reason: str = ""
    equity: Series | None = None
    trial: Trial | None = None


def direction(objective: str) -> int:
    """1 where more of a metric is better, -1 where less is. Raises SpecError for one that is no objective."""
    for definition in REGISTRY:
        if definition.key == objective and definition.better:
            return 1 if definition.better == "higher" else -1
    known = ", ".join(definition.key for definition in REGISTRY if definition.better)
    raise SpecError("method.objective", f"expected one of {known}, got {objective!r}")


def attempt(passes: LocalPasses, task: Task) -> Tried:
    """Run one task here. Parameters that the strategy does not take are no trial; other failures are raised."""
    try:
        result = over_spans(passes, task.spec.with_parameters(task.parameters), task.spans, task.warm_up)
    except SpecError as error:
        if not error.field.startswith("strategy.parameters"):
            raise
        return Tried(parameters=task.parameters, value=None, reason=str(error))
    objective = task.spec.method.objective
    metric = by_key(evaluate(result, periods=task.spec.periods))[objective]
    trial = trial_of(result, task.ts, purpose=task.purpose, objective=objective, value=metric.value)
    return Tried(
        parameters=task.parameters, value=metric.value, reason=metric.reason, equity=result.equity, trial=trial
    )


def over_spans(passes: LocalPasses, spec: BacktestSpec, spans: Sequence[Span], warm_up: int) -> RunResult:
    """One result over several spans; each begins with the whole capital, and the curves are put together."""
    found = []
    for since, until in spans:
        before = None if since is None else since - warm_up
        own = msgspec.structs.replace(spec, since=since, until=until)
        found.append(passes.run(own, before, until, trade_from=since).result)
    return found[0] if len(found) == 1 else joined(found)


def joined(results: Sequence[RunResult]) -> RunResult:
    """Results of spans that follow one another as one: each grows what the one before has left.

    `parameters`: those that all have in common.
    """
    first, last = results[0], results[-1]
    times, values = [first.equity.times()], [first.equity.array()]
    for result in results[1:]:
        own = result.equity.array()
        times.append(result.equity.times()[1:])
        values.append(own[1:] / own[0] * values[-1][-1])
    equity = Series.of(np.concatenate(times), np.concatenate(values))
    return msgspec.structs.replace(
        first,
        run_id=hashlib.sha256("-".join(result.run_id for result in results).encode()).hexdigest()[:16],
        parameters={
            name: value
            for name, value in first.parameters.items()
            if all(result.parameters.get(name) == value for result in results)
        },
        equity=equity,
        benchmark=_together([result.benchmark for result in results]),
        price=_together([result.price for result in results]),
        last=last.last,
        final_equity=f"{float(equity.array()[-1]):.9f}",
        events=sum(result.events for result in results),
        bars=sum(result.bars for result in results),
        signals=sum(result.signals for result in results),
        orders=sum(result.orders for result in results),
        fills=sum(result.fills for result in results),
        denied=sum(result.denied for result in results),
        rejected=sum(result.rejected for result in results),
        ambiguous=sum(result.ambiguous for result in results),
        fees=_sum(result.fees for result in results),
        funding=_sum(result.funding for result in results),
        exposure=_mean_exposure(results),
        round_trips=tuple(trade for result in results for trade in result.round_trips),
        warnings=tuple(dict.fromkeys(warning for result in results for warning in result.warnings)),
        elapsed_s=sum(result.elapsed_s for result in results),
    )


def _together(series: Sequence[Series | None]) -> Series | None:
    known = [each for each in series if each is not None]
    if not known:
        return None
    times = np.concatenate([each.times() for each in known])
    values = np.concatenate([each.array() for each in known])
    order = np.argsort(times, kind="stable")
    return Series.of(times[order], values[order])


def _sum(texts: Iterable[str]) -> str:
    return f"{sum((Decimal(text) for text in texts), Decimal(0)):f}"


def _mean_exposure(results: Sequence[RunResult]) -> float | None:
    known = [(result.exposure, len(result.equity.times())) for result in results if result.exposure is not None]
    weight = sum(count for _, count in known)
    return sum(exposure * count for exposure, count in known) / weight if weight else None


class Fleet:
    """Tries tasks, here or in child processes."""

    def __init__(self, passes: LocalPasses, pool: Any = None) -> None:
        self._passes = passes
        self._pool = pool

    def attempts(self, tasks: Sequence[Task]) -> Iterator[Tried]:
        """What came of each, in their order."""
        if self._pool is None:
            return (attempt(self._passes, task) for task in tasks)
        packed = [msgspec.msgpack.encode(task) for task in tasks]
        share = max(1, min(16, len(packed) // 8))
        found = self._pool.imap(_attempt_there, packed, share)
        return (msgspec.msgpack.decode(each, type=Tried) for each in found)


@contextmanager
def fleet(opened: Opened, passes: LocalPasses, processes: int, spans: Sequence[Span]) -> Iterator[Fleet]:
    """A fleet of so many processes. `spans`: what will be read, made ready before the fork."""
    if processes <= 1:
        yield Fleet(passes)
        return
    for since, until in spans[:2]:
        opened.sources(since, until)
    global _OPENED
    _OPENED = opened
    context = multiprocessing.get_context("fork")
    pool = context.Pool(processes, initializer=_begin)
    try:
        yield Fleet(passes, pool)
    finally:
        pool.terminate()
        pool.join()
        _OPENED = None


_OPENED: Opened | None = None
"""What child processes find when they are forked."""
_THERE: LocalPasses | None = None


def _begin() -> None:
    """A child: Ctrl-C is its parent's, and it dies with him."""
    global _THERE
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    ctypes.CDLL(None, use_errno=True).prctl(_PDEATHSIG, signal.SIGKILL)
    assert _OPENED is not None
    _THERE = LocalPasses(_OPENED).__enter__()


def _attempt_there(packed: bytes) -> bytes:
    assert _THERE is not None
    return msgspec.msgpack.encode(attempt(_THERE, msgspec.msgpack.decode(packed, type=Task)))
