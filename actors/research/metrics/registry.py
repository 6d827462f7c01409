"""Every figure that a run can be given, each with its unit, formula, source and smallest sample."""

from __future__ import annotations

from collections.abc import Sequence

from actors.research.metrics.metric import Metric
from actors.research.results import RunResult


def evaluate(
    result: RunResult,
    *,
    periods: int | None = None,
    risk_free: float = 0.0,
    trial_sharpes: Sequence[float] | None = None,
) -> tuple[Metric, ...]:
    """All metrics of a run, in the order of the registry, from its equity at the end of each UTC day.

    `periods`: returns per year; None: 365 where the equity moves on weekends, else 252. `risk_free`: a rate per year,
    0.02 is 2 %. `trial_sharpes`: the Sharpe ratios per day of every run of the family, for the deflated Sharpe ratio.
    """
    raise NotImplementedError


def by_key(metrics: Sequence[Metric]) -> dict[str, Metric]:
    """The metrics by their key."""
    return {metric.key: metric for metric in metrics}
