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


class Drawdown(NamedTuple):
    """From a peak until it is reached again. `depth` is negative, a share; the rest are indices. `end` None: never."""

    peak: int
    trough: int
    end: int | None
    depth: float


def series(equity: Floats) -> Floats:
    """E / cummax(E) - 1 at every sample: zero or below. Raises Unknown where the peak is not positive."""
    if equity.size == 0:
        raise Unknown("no equity")
    peaks = np.maximum.accumulate(equity)
    if peaks[0] <= 0:
        raise Unknown("the first equity is not positive")
    return equity / peaks - 1


def episodes(equity: Floats) -> tuple[Drawdown, ...]:
    """All drawdowns in order of time."""
    below = series(equity)
    under = np.concatenate(([False], below < 0, [False]))
    edges = np.flatnonzero(under[1:] != under[:-1])
    found = []
    for first, after in zip(edges[::2].tolist(), edges[1::2].tolist(), strict=True):
        trough = first + int(np.argmin(below[first:after]))
        end = after if after < equity.size else None
        found.append(Drawdown(first - 1, trough, end, float(below[trough])))
    return tuple(found)


def maximum(equity: Floats) -> float:
    """The deepest: zero or below."""
    return float(np.min(series(equity)))


def deepest(equity: Floats) -> Drawdown:
    """Raises Unknown where the equity never fell."""
    found = episodes(equity)
    if not found:
        raise Unknown("the equity was never below its peak")
    return min(found, key=lambda each: each.depth)


def mean_depth(equity: Floats) -> float:
    """Mean of the depths of all drawdowns."""
    found = episodes(equity)
    if not found:
        raise Unknown("the equity was never below its peak")
    return sum(each.depth for each in found) / len(found)


def durations(equity: Floats, times: Times) -> tuple[float, ...]:
    """Days from each peak until it was reached again, or until the end."""
    ends = ((each.peak, -1 if each.end is None else each.end) for each in episodes(equity))
    return tuple((int(times[end]) - int(times[peak])) / DAY_NS for peak, end in ends)


def longest_days(equity: Floats, times: Times) -> float:
    """Days of the longest drawdown: 0 where there was none."""
    return max(durations(equity, times), default=0.0)


def recovery_days(equity: Floats, times: Times) -> float:
    """Days from the bottom of the deepest drawdown until its peak was reached again. Raises Unknown if it was not."""
    worst = deepest(equity)
    if worst.end is None:
        raise Unknown("the deepest drawdown has not recovered")
    return (int(times[worst.end]) - int(times[worst.trough])) / DAY_NS


def ulcer(equity: Floats) -> float:
    """sqrt(mean(drawdown^2)), a share. Martin and McCann, "The Investor's Guide to Fidelity Funds", 1989."""
    return math.sqrt(float(np.mean(series(equity) ** 2)))


def time_under_water(equity: Floats) -> float:
    """Share of the samples below an earlier peak."""
    return float(np.mean(series(equity) < 0))
