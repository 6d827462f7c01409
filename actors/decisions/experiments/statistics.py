"""Tests of a fixed horizon, effects and their intervals. A core: numbers in, numbers out.

Each of these is right for one look at a number of units that was fixed before. What may be looked at all the time is in
`sequences.py`. Nothing here answers a number that the figures do not give: too few units, or no variance, is None.
scipy is imported by the first call that needs it.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from statistics import NormalDist
from typing import Final

import msgspec
import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]

_NORMAL: Final = NormalDist()


class Comparison(msgspec.Struct, frozen=True, gc=False):
    """A test of a difference: the statistic, its two-sided p, the difference and its interval. `df`: of a t."""

    statistic: float
    p: float
    difference: float
    low: float
    high: float
    df: float | None = None


class Sample(msgspec.Struct, frozen=True, gc=False):
    """What a test needs of one arm: how many, their mean, their variance (n - 1)."""

    n: int
    mean: float
    variance: float

    @property
    def of_mean(self) -> float:
        """The variance of the mean."""
        return self.variance / self.n

    @classmethod
    def of(cls, values: Sequence[float] | Floats) -> Sample | None:
        """Of values; None for fewer than two."""
        array = np.asarray(values, dtype=np.float64)
        if len(array) < 2:
            return None
        return cls(len(array), float(array.mean()), float(array.var(ddof=1)))


def normal_p(z: float) -> float:
    """The two-sided p of a standard normal statistic; exact far out in the tail, too."""
    return math.erfc(abs(z) / math.sqrt(2.0))


def two_proportions(x1: int, n1: int, x2: int, n2: int, alpha: float = 0.05) -> Comparison | None:
    """Whether two shares differ (first minus second): z with the pooled variance, the interval with the unpooled.

    None where an arm is empty, or all successes or all failures in both leave no variance.
    """
    if n1 < 1 or n2 < 1:
        return None
    p1, p2 = x1 / n1, x2 / n2
    pooled = (x1 + x2) / (n1 + n2)
    variance = pooled * (1 - pooled) * (1 / n1 + 1 / n2)
    if variance <= 0:
        return None
    z = (p1 - p2) / math.sqrt(variance)
    half = _NORMAL.inv_cdf(1 - alpha / 2) * math.sqrt(p1 * (1 - p1) / n1 + p2 * (1 - p2) / n2)
    return Comparison(z, normal_p(z), p1 - p2, p1 - p2 - half, p1 - p2 + half)


def one_proportion(x: int, n: int, against: float, alpha: float = 0.05) -> Comparison | None:
    """Whether a share differs from a number, with the variance of the sample (statsmodels `proportions_ztest`)."""
    if n < 1 or not 0 < x < n:
        return None
    share = x / n
    error = math.sqrt(share * (1 - share) / n)
    z = (share - against) / error
    half = _NORMAL.inv_cdf(1 - alpha / 2) * error
    return Comparison(z, normal_p(z), share - against, share - against - half, share - against + half)


def welch(first: Sample, second: Sample, alpha: float = 0.05) -> Comparison | None:
    """Whether two means differ (second minus first), variances unequal; df by Welch and Satterthwaite."""
    from scipy.special import stdtr, stdtrit

    a, b = first.of_mean, second.of_mean
    if a + b <= 0:
        return None
    error = math.sqrt(a + b)
    df = (a + b) ** 2 / (a * a / (first.n - 1) + b * b / (second.n - 1))
    difference = second.mean - first.mean
    t = difference / error
    half = float(stdtrit(df, 1 - alpha / 2)) * error
    return Comparison(t, float(2 * stdtr(df, -abs(t))), difference, difference - half, difference + half, df)


def pooled_t(first: Sample, second: Sample, alpha: float = 0.05) -> Comparison | None:
    """Whether two means differ (second minus first), if their variances are the same."""
    from scipy.special import stdtr, stdtrit

    df = first.n + second.n - 2
    pooled = ((first.n - 1) * first.variance + (second.n - 1) * second.variance) / df
    if pooled <= 0:
        return None
    error = math.sqrt(pooled * (1 / first.n + 1 / second.n))
    difference = second.mean - first.mean
    t = difference / error
    half = float(stdtrit(df, 1 - alpha / 2)) * error
    return Comparison(t, float(2 * stdtr(df, -abs(t))), difference, difference - half, difference + half, float(df))


def chi_square(observed: Sequence[float], shares: Sequence[float] | None = None) -> tuple[float, float] | None:
    """X2 and p of counts against shares (their weights; None: equal). None where nothing is expected.

    A share of 0 with a count of its own is certainly wrong: X2 is infinite, p is 0.
    """
    from scipy.special import chdtrc

    weights = [1.0] * len(observed) if shares is None else list(shares)
    total, whole = sum(observed), sum(weights)
    if total <= 0 or whole <= 0:
        return None
    if any(weight <= 0 < count for count, weight in zip(observed, weights, strict=True)):
        return math.inf, 0.0
    counted = [(count, total * weight / whole) for count, weight in zip(observed, weights, strict=True) if weight > 0]
    if len(counted) < 2:
        return None
    x2 = sum((count - expected) ** 2 / expected for count, expected in counted)
    return x2, float(chdtrc(len(counted) - 1, x2))


def srm(observed: Sequence[int], shares: Sequence[float]) -> float | None:
    """The p that units were divided as assigned (sample ratio mismatch); below `srm.SRM_ALARM` nothing is claimed."""
    found = chi_square(observed, shares)
    return None if found is None else found[1]


def relative_lift(first: Sample, second: Sample, alpha: float = 0.05) -> tuple[float, float, float] | None:
    """(second - first) / |first| and its interval by the delta method.

    Divided by the size of the baseline, so that better stays better where the baseline is a loss. None for a baseline
    of 0. Source: GrowthBook's frequentist engine.
    """
    if first.mean == 0:
        return None
    scale = abs(first.mean)
    lift = (second.mean - first.mean) / scale
    variance = second.of_mean / first.mean**2 + first.of_mean * second.mean**2 / first.mean**4
    half = _NORMAL.inv_cdf(1 - alpha / 2) * math.sqrt(variance)
    return lift, lift - half, lift + half


def cuped(values: Floats, before: Floats, theta: float, mean: float) -> Floats:
    """Values without what their own time before explains: y - theta (x - mean x). `theta`, `mean`: of both arms."""
    adjusted: Floats = values - theta * (before - mean)
    return adjusted


def cuped_theta(values: Floats, before: Floats) -> tuple[float, float, float] | None:
    """(theta, the mean of x, the correlation) over all units; the variance falls by 1 - correlation squared.

    None for fewer than three units, or where x or y never vary.
    """
    if len(values) < 3:
        return None
    x, y = before - before.mean(), values - values.mean()
    xx, yy, xy = float(x @ x), float(y @ y), float(x @ y)
    if xx <= 0 or yy <= 0:
        return None
    return xy / xx, float(before.mean()), xy / math.sqrt(xx * yy)


def winsorised(values: Floats, low: float, high: float) -> Floats:
    """Values beyond the bounds are the bounds. The bounds are registered before, never taken from these values."""
    if not low < high:
        raise ValueError(f"winsor bounds: expected low below high, got {low} and {high}")
    clipped: Floats = np.clip(values, low, high)
    return clipped


def per_unit(sums: Floats, days: Floats) -> Floats | None:
    """Values whose mean is the mean user-day and whose variance is that of a ratio clustered by user (delta method).

    `sums`: each user's total over their user-days; `days`: how many. mean = sum(S) / sum(D), and a user's part in its
    error is (S - mean D) / (mean days). Source: Deng, Knoblich, Lu, KDD 2018, section 3. None without a day.
    """
    total = float(days.sum())
    if total <= 0:
        return None
    mean = float(sums.sum()) / total
    spread: Floats = mean + (sums - mean * days) / (total / len(days))
    return spread


def holm(ps: Sequence[float], alpha: float = 0.05) -> list[bool]:
    """Which hypotheses are rejected at a family-wise `alpha` (Holm 1979)."""
    rejected = [False] * len(ps)
    for rank, index in enumerate(sorted(range(len(ps)), key=lambda each: ps[each])):
        if ps[index] > alpha / (len(ps) - rank):
            break
        rejected[index] = True
    return rejected


def probability_of_better(wins_a: int, n_a: int, wins_b: int, n_b: int) -> float:
    """P(B > A) under uniform priors, the closed form over the posterior Betas.

    P = sum over i of B(a1 + i, b1 + b2) / ((b2 + i) B(1 + i, b2) B(a1, b1)), i below B's alpha (Miller 2015).
    """
    a1, b1 = 1 + wins_a, 1 + n_a - wins_a
    a2, b2 = 1 + wins_b, 1 + n_b - wins_b
    terms = (
        _log_beta(a1 + i, b1 + b2) - math.log(b2 + i) - _log_beta(1 + i, b2) - _log_beta(a1, b1) for i in range(a2)
    )
    return min(1.0, math.fsum(math.exp(each) for each in terms))


def _log_beta(a: float, b: float) -> float:
    return math.lgamma(a) + math.lgamma(b) - math.lgamma(a + b)
