"""Every figure that a run can be given, each with its unit, formula, source and smallest sample."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Final

import numpy as np

from actors.research.metrics import definitions, trade_definitions
from actors.research.metrics.definition import FEW_TRADES, Definition, evaluated
from actors.research.metrics.metric import Metric, Unknown
from actors.research.metrics.sample import Sample
from actors.research.results import RunResult

REGISTRY: Final[tuple[Definition, ...]] = (
    *definitions.RETURN,
    *definitions.RISK,
    *definitions.DRAWDOWN,
    *definitions.TAILS,
    *definitions.RELATIVE,
    *trade_definitions.TRADES,
    *trade_definitions.ACTIVITY,
)


def evaluate(
    result: RunResult,
    *,
    periods: int | None = None,
    risk_free: float = 0.0,
    trial_sharpes: Sequence[float] | None = None,
) -> tuple[Metric, ...]:
    """All metrics of a run, in the order of the registry, from its equity at the end of each UTC day.

    `periods`: returns per year; None: 365 where there is equity on every day of the week, else 252 (52, 12, 1 where it
    is known that seldom). `risk_free`: a rate per year, 0.02 is 2 %. `trial_sharpes`: the Sharpe ratios per day
    of every run of the family, brought to the number of this run's returns (`family_ledger.sharpes`), for the deflated
    Sharpe ratio. Raises ValueError for `periods` below 1.
    """
    found = None if trial_sharpes is None else np.asarray(trial_sharpes, dtype=np.float64)
    sample = Sample.of(result, periods, risk_free, found)
    return tuple(evaluated(definition, sample) for definition in REGISTRY)


def daily_sharpe(result: RunResult, *, risk_free: float = 0.0) -> tuple[float, int]:
    """The Sharpe ratio per day and of how many returns it is: what the ledger of a family keeps. Raises Unknown."""
    sample = Sample.of(result, None, risk_free, None)
    count = int(sample.returns.size)
    if count < definitions.MONTH:
        raise Unknown(f"{count} daily returns, needs {definitions.MONTH}")
    return definitions.per_period_sharpe(sample), count


def return_count(result: RunResult) -> int:
    """How many daily returns a run has; 0 where that cannot be told."""
    try:
        return int(Sample.of(result, None, 0.0, None).returns.size)
    except Unknown:
        return 0


def by_key(metrics: Iterable[Metric]) -> dict[str, Metric]:
    """The metrics by their key."""
    return {metric.key: metric for metric in metrics}


def warnings(result: RunResult, metrics: Iterable[Metric]) -> tuple[str, ...]:
    """What is to be read before the figures: the run's own warnings, few trades, refused figures, much tried."""
    found = [f"data are {mark}" for mark in result.marks]
    found += result.warnings
    if len(result.round_trips) < FEW_TRADES:
        found.append(f"{len(result.round_trips)} trades, fewer than {FEW_TRADES}: chance has the larger part in them")
    if result.ambiguous:
        found.append(f"{result.ambiguous} ambiguous bars were taken at their worst")
    if result.trials > 1:
        found.append(f"the best of {result.trials} runs of this family: see the deflated Sharpe ratio")
    found += [f"{metric.name}: {metric.reason}" for metric in metrics if metric.state == "refused"]
    return tuple(dict.fromkeys(found))
