"""Drawdowns of an equity curve: depth, length, recovery. `equity`: float64, the starting capital first."""

from __future__ import annotations

import math
from typing import Final, NamedTuple

import numpy as np
from numpy.typing import NDArray

from actors.research.metrics.metric import Unknown

Floats = NDArray[np.float64]
Times = NDArray[np.int64]

DAY_NS: Final = 86_400_000_000_000


class Drawdowns(NamedTuple):
    """All drawdowns in order of time, one place in each array. `depths` are negative, shares; the rest are indices.

    `peaks`: the sample before the fall. `ends`: the first sample that reached the peak again, or -1.
    """

    peaks: Times
    ends: Times
    depths: Floats


def series(equity: Floats) -> Floats:
    """E / cummax(E) - 1 at every sample: zero or below. Raises Unknown where the peak is not positive."""
    if equity.size == 0:
        raise Unknown("no equity")
    peaks = np.maximum.accumulate(equity)
    if peaks[0] <= 0:
        raise Unknown("the first equity is not positive")
    return equity / peaks - 1


def episodes(equity: Floats) -> Drawdowns:
    """All times below an earlier peak."""
    below = series(equity)
    under = np.concatenate(([False], below < 0, [False]))
    edges = np.flatnonzero(under[1:] != under[:-1])
    starts, ends = edges[::2], edges[1::2]
    # Of every other stretch; a last one of nothing lets the stretch before it end.
    depths = np.minimum.reduceat(np.append(below, 0.0), edges)[::2] if edges.size else np.empty(0)
    return Drawdowns(starts - 1, np.where(ends < equity.size, ends, -1), depths)


def maximum(equity: Floats) -> float:
    """The deepest: zero or below."""
    return float(np.min(series(equity)))


def mean_depth(equity: Floats) -> float:
    """Mean of the depths of all drawdowns. Raises Unknown where there was none."""
    depths = episodes(equity).depths
    if not depths.size:
        raise Unknown("the equity was never below its peak")
    return float(depths.mean())


def durations(equity: Floats, times: Times) -> Floats:
    """Days from each peak until it was reached again, or until the end."""
    found = episodes(equity)
    return np.asarray((times[found.ends] - times[found.peaks]) / DAY_NS)


def longest_days(equity: Floats, times: Times) -> float:
    """Days of the longest drawdown: 0 where there was none."""
    return float(durations(equity, times).max(initial=0.0))


def recovery_days(equity: Floats, times: Times) -> float:
    """Days from the bottom of the deepest drawdown until its peak was reached again. Raises Unknown if it was not."""
    found = episodes(equity)
    if not found.depths.size:
        raise Unknown("the equity was never below its peak")
    worst = int(np.argmin(found.depths))
    if found.ends[worst] < 0:
        raise Unknown("the deepest drawdown has not recovered")
    bottom = int(np.argmin(series(equity)))
    return float(times[found.ends[worst]] - times[bottom]) / DAY_NS


def ulcer(equity: Floats) -> float:
    """sqrt(mean(drawdown^2)), a share. Martin and McCann, "The Investor's Guide to Fidelity Funds", 1989."""
    return math.sqrt(float(np.mean(series(equity) ** 2)))


def time_under_water(equity: Floats) -> float:
    """Share of the samples below an earlier peak."""
    return float(np.mean(series(equity) < 0))
