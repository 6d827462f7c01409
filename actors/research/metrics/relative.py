"""Figures beside a benchmark. `returns`, `benchmark`: float64 of one length, of the same periods."""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray

from actors.research.metrics.metric import Unknown
from actors.research.metrics.returns import spread

Floats = NDArray[np.float64]


def beta(returns: Floats, benchmark: Floats) -> float:
    """cov(r, b) / var(b)."""
    variance = spread(benchmark) ** 2
    return float(np.cov(returns, benchmark, ddof=1)[0, 1]) / variance


def alpha(returns: Floats, benchmark: Floats, periods: int, risk_free: float = 0.0) -> float:
    """N (mean(r) - rf / N - beta (mean(b) - rf / N)). Jensen, J. Finance 23(2), 1968; not compounded."""
    own = float(returns.mean()) * periods - risk_free
    return own - beta(returns, benchmark) * (float(benchmark.mean()) * periods - risk_free)


def correlation(returns: Floats, benchmark: Floats) -> float:
    """Pearson's."""
    spread(returns)
    spread(benchmark)
    return float(np.corrcoef(returns, benchmark)[0, 1])


def tracking_error(returns: Floats, benchmark: Floats, periods: int) -> float:
    """std(r - b, n - 1) sqrt(N)."""
    return spread(returns - benchmark) * math.sqrt(periods)


def information_ratio(returns: Floats, benchmark: Floats, periods: int) -> float:
    """mean(r - b) / std(r - b, n - 1) sqrt(N). Goodwin, Financial Analysts Journal 54(4), 1998."""
    difference = returns - benchmark
    return float(difference.mean()) / spread(difference) * math.sqrt(periods)


def capture(returns: Floats, benchmark: Floats, *, up: bool) -> float:
    """Geometric mean return over that of the benchmark, on the days on which the benchmark rose (or fell)."""
    chosen = benchmark > 0 if up else benchmark < 0
    if not chosen.any():
        raise Unknown(f"the benchmark never {'rose' if up else 'fell'}")
    if np.any(returns[chosen] <= -1) or np.any(benchmark[chosen] <= -1):
        raise Unknown("a return of -100 % has no geometric mean")
    own, other = (math.expm1(float(np.log1p(each[chosen]).mean())) for each in (returns, benchmark))
    return own / other
