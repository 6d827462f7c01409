"""Search for parameters: every combination of a grid, or so many of them drawn by chance.

Whoever searches finds something. So every combination that ran is a trial in the ledger of its family, and a search
says how probable it is that its winner is one by luck (PBO, over the daily returns of all that ran).
"""

from __future__ import annotations

import itertools
import math
import random
from collections.abc import Callable, Sequence
from typing import Any, Final

import msgspec
import numpy as np

from actors.research.backtest.family_ledger import FamilyLedger, Purpose
from actors.research.backtest.spec import BacktestSpec, MethodSpec, SpecError
from actors.research.backtest.trying import Fleet, Span, Task, Tried, direction
from actors.research.metrics.metric import Unknown
from actors.research.metrics.sample import daily, simple_returns
from actors.research.results import Series
from actors.research.statistics.selection import Overfitting, pbo

MOST_TRIALS: Final = 100_000
MOST_IN_PBO: Final = 2_000
"""Of more trials the best ones by their objective are compared; a table of all would not fit."""

AT_ONCE: Final = 50
"""Trials that are written to the ledger together; those before an interruption are written, too."""

Tell = Callable[[float, str], None]
"""Progress: a share from 0 to 1, and what is done."""


class Search(msgspec.Struct, frozen=True, kw_only=True):
    """What a search found. `best`: its parameters; `overfitting` None with the reason. `rows`: all, in their order."""

    objective: str
    best: dict[str, Any]
    value: float
    trials: int
    rows: tuple[tuple[dict[str, Any], float | None, str], ...]
    overfitting: Overfitting | None = None
    overfitting_reason: str = ""


class NothingFound(Exception):
    """No combination has a value of the objective."""


def combinations(method: MethodSpec, seed: int) -> list[dict[str, Any]]:
    """The combinations of a grid, in the order of its names and values; `random_trials` of them, drawn by `seed`.

    Raises SpecError.
    """
    names = list(method.grid)
    for name in names:
        if not method.grid[name]:
            raise SpecError(f"method.grid.{name}", "expected at least one value")
    count = math.prod(len(method.grid[name]) for name in names)
    if method.random_trials and method.random_trials < count:
        chosen: Sequence[int] = sorted(random.Random(seed).sample(range(count), method.random_trials))  # noqa: S311
        return [_combination(method.grid, names, place) for place in chosen]
    if count > MOST_TRIALS:
        raise SpecError("method.grid", f"expected at most {MOST_TRIALS} combinations, got {count}: draw some of them")
    return [
        dict(zip(names, values, strict=True)) for values in itertools.product(*(method.grid[name] for name in names))
    ]


def search(
    spec: BacktestSpec,
    spans: Sequence[Span],
    fleet: Fleet,
    ledger: FamilyLedger,
    *,
    purpose: Purpose,
    ts: int,
    tell: Tell | None = None,
) -> Search:
    """Try all combinations over the spans and choose the best. Raises NothingFound, SpecError, and what runs raise."""
    method = spec.method
    sign = direction(method.objective)
    warm_up = int(method.warm_up_s * 1e9)
    tasks = [
        Task(spec=spec, spans=tuple(spans), parameters=each, purpose=purpose, ts=ts, warm_up=warm_up)
        for each in combinations(method, spec.seed)
    ]
    tried: list[Tried] = []
    kept = 0
    try:
        for found in fleet.attempts(tasks):
            tried.append(found)
            if len(tried) - kept >= AT_ONCE:
                ledger.add([each.trial for each in tried[kept:] if each.trial is not None])
                kept = len(tried)
            if tell is not None:
                tell(len(tried) / len(tasks), f"{len(tried)} of {len(tasks)} combinations")
    finally:
        ledger.add([each.trial for each in tried[kept:] if each.trial is not None])
    valued = [each for each in tried if each.value is not None]
    if not valued:
        reasons = ", ".join(sorted({each.reason for each in tried}))[:300]
        raise NothingFound(f"no combination has a {method.objective}: {reasons}")
    best = max(valued, key=lambda each: sign * (each.value or 0.0))  # the first of equal ones
    overfitting, reason = _overfitting(valued, sign)
    assert best.value is not None
    return Search(
        objective=method.objective,
        best=best.parameters,
        value=best.value,
        trials=sum(1 for each in tried if each.trial is not None),
        rows=tuple((each.parameters, each.value, each.reason) for each in tried),
        overfitting=overfitting,
        overfitting_reason=reason,
    )


def _combination(grid: dict[str, tuple[Any, ...]], names: Sequence[str], place: int) -> dict[str, Any]:
    """The `place`-th of the product, the last name turning fastest."""
    found: dict[str, Any] = {}
    for name in reversed(names):
        place, at = divmod(place, len(grid[name]))
        found[name] = grid[name][at]
    return {name: found[name] for name in names}


def _overfitting(tried: Sequence[Tried], sign: int) -> tuple[Overfitting | None, str]:
    chosen = sorted(tried, key=lambda each: -sign * (each.value or 0.0))[:MOST_IN_PBO]
    columns = [_daily(each.equity) for each in chosen if each.equity is not None]
    kept = [column for column in columns if column is not None]
    if len(kept) < 2:
        return None, f"needs two trials with returns, got {len(kept)}"
    days = kept[0][0]
    for own, _ in kept[1:]:
        days = np.intersect1d(days, own)
    table = np.column_stack([values[np.isin(own, days)] for own, values in kept])
    try:
        return pbo(table, blocks=_blocks(len(days))), ""
    except ValueError as error:
        return None, str(error)


def _blocks(days: int) -> int:
    """16 where each has ten days or more, else as many (even) as have."""
    return max(2, min(16, days // 10 // 2 * 2))


def _daily(series: Series | None) -> tuple[Any, Any] | None:
    """Days and the simple return of each; None where there are none."""
    if series is None:
        return None
    try:
        days, values = daily(series.times(), series.array())
        returns = simple_returns(values)
    except Unknown:
        return None
    return (days[1:], returns) if len(returns) else None
