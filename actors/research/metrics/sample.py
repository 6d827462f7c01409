"""What the formulas read of a run: its equity at every sample and at the end of each UTC day, and its closed trades.

A sample at midnight belongs to the day that ended then: a bar is known at its end. The first sample is the starting
capital, the base of the first return. Days without a sample make no return: markets are closed on some.
"""

from __future__ import annotations

from functools import cached_property
from typing import Final

import numpy as np
from numpy.typing import NDArray

from actors.research.metrics.drawdowns import DAY_NS
from actors.research.metrics.metric import Unknown
from actors.research.results import RoundTrip, RunResult

Floats = NDArray[np.float64]
Times = NDArray[np.int64]

RAREST: Final = 0.5 / 7
"""A market whose rarest day of the week has this share of the days is open every day."""
LABELS: Final = {52: "52 weeks", 12: "12 months", 1: "1 year"}


def daily(times: Times, values: Floats) -> tuple[Times, Floats]:
    """The last value of each day, after the base; days as numbers since the epoch (the base: a day before, or its own).

    Raises ValueError where times go backwards.
    """
    if times.size == 0:
        return times, values
    if np.any(np.diff(times) < 0):
        raise ValueError("series: expected times in order, got some that go backwards")
    if times.size > 1 and times[1] == times[0] and values[1] == values[0]:
        # The starting capital, said once more by the first look at the account: no time for a return has passed.
        times, values = times[1:], values[1:]
    days = (times - 1) // DAY_NS
    last = np.append(np.flatnonzero(np.diff(days)), times.size - 1)
    if last[0] == 0:
        return days[last], values[last]
    return np.concatenate(([days[0] - 1], days[last])), np.concatenate((values[:1], values[last]))


def periods_of(days: Times) -> int:
    """How many returns make a year, from the days that have one: 365, 252, 52, 12 or 1."""
    if days.size < 2:
        return 252
    gap = float(np.median(np.diff(days)))
    for least, periods in ((300, 1), (25, 12), (6, 52)):
        if gap >= least:
            return periods
    # Which day of the week is rare, and not which it is: samples of a daily bar may bear its start or its end.
    return 365 if float(np.bincount(days % 7, minlength=7).min()) >= RAREST * days.size else 252


class Sample:
    """A run (or a benchmark, which has no trades) as the formulas read it."""

    def __init__(
        self,
        times: Times,
        equity: Floats,
        *,
        periods: int | None = None,
        risk_free: float = 0.0,
        result: RunResult | None = None,
        trial_sharpes: Floats | None = None,
    ) -> None:
        if periods is not None and periods < 1:
            raise ValueError(f"periods: expected 1 or more returns per year, got {periods}")
        self.times = times
        self.equity = equity
        self.days, self.daily_equity = daily(times, equity)
        self.periods = periods if periods is not None else periods_of(self.days[1:])
        self.risk_free = risk_free
        self.result = result
        self.trial_sharpes = trial_sharpes

    @classmethod
    def of(cls, result: RunResult, periods: int | None, risk_free: float, trial_sharpes: Floats | None) -> Sample:
        """A run's own."""
        return cls(
            result.equity.times(),
            result.equity.array(),
            periods=periods,
            risk_free=risk_free,
            result=result,
            trial_sharpes=trial_sharpes,
        )

    @property
    def label(self) -> str:
        """What stands in a metric's name."""
        return LABELS.get(self.periods, f"{self.periods} days")

    @property
    def elapsed_days(self) -> float:
        """Days from the first sample to the last."""
        return float(self.times[-1] - self.times[0]) / DAY_NS if self.times.size else 0.0

    @cached_property
    def returns(self) -> Floats:
        """Simple returns from day to day. Raises Unknown where the equity was not positive."""
        return simple_returns(self.daily_equity)

    @cached_property
    def benchmark(self) -> Sample:
        """The benchmark as a sample of its own. Raises Unknown where the run has none."""
        if self.result is None or self.result.benchmark is None:
            raise Unknown("the run has no benchmark")
        series = self.result.benchmark
        return Sample(series.times(), series.array(), periods=self.periods, risk_free=self.risk_free)

    @cached_property
    def paired(self) -> tuple[Floats, Floats]:
        """Returns of the run and of the benchmark between the days that both have."""
        other = self.benchmark
        _, own, theirs = np.intersect1d(self.days, other.days, return_indices=True)
        return simple_returns(self.daily_equity[own]), simple_returns(other.daily_equity[theirs])

    @property
    def trips(self) -> tuple[RoundTrip, ...]:
        """Closed trades."""
        return () if self.result is None else self.result.round_trips

    @cached_property
    def pnl(self) -> Floats:
        """Profit of each trade after fees, in money."""
        return np.array([trip.pnl for trip in self.trips], dtype=np.float64)

    @cached_property
    def trade_returns(self) -> Floats:
        """Profit of each trade over what its entry cost."""
        return np.array([trip.return_ for trip in self.trips], dtype=np.float64)

    @property
    def run(self) -> RunResult:
        """The run itself. Raises Unknown for a benchmark."""
        if self.result is None:
            raise Unknown("a benchmark has none")
        return self.result


def simple_returns(values: Floats) -> Floats:
    """v[i] / v[i - 1] - 1. Raises Unknown where a value before a return is not positive, or one is not finite."""
    if not np.all(np.isfinite(values)):
        raise Unknown("a value is not finite")
    if values.size < 2:
        return np.empty(0)
    if np.any(values[:-1] <= 0):
        raise Unknown("the equity was not positive: what follows has no return")
    return values[1:] / values[:-1] - 1
