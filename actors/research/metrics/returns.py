"""Figures of periodic simple returns. `returns`: float64, one per period; `periods`: how many of them make a year.

A rate (`risk_free`, `target`) is per year and is taken off each period as rate / periods. Whoever compares with another
program has to compare the formula: three figures of that name that are not the usual one are here under names of
their own (`compounded_…`).
"""

from __future__ import annotations

import math
from typing import Final

import numpy as np
from numpy.typing import NDArray

from actors.research.metrics.metric import Unknown

Floats = NDArray[np.float64]

NOISE: Final = 1e-13
"""A spread below this part of the largest value is what floating point leaves of none."""


def spread(values: Floats) -> float:
    """Standard deviation of a sample (n - 1). Raises Unknown where there is none."""
    if values.size < 2:
        raise Unknown(f"a spread needs 2 values, got {values.size}")
    deviation = float(np.std(values, ddof=1))
    if deviation <= NOISE * float(np.max(np.abs(values))):
        raise Unknown("no variance: all values are equal")
    return deviation


def total_return(equity: Floats) -> float:
    """Last over first, less one."""
    if equity.size < 2 or equity[0] <= 0:
        raise Unknown("needs two values of equity, the first positive")
    return float(equity[-1] / equity[0] - 1)


def growth_rate(first: float, last: float, days: float, year: float = 365.25) -> float:
    """CAGR: (last / first)^(year / days) - 1. Raises Unknown where it has no meaning."""
    if days <= 0:
        raise Unknown("no time has passed")
    if first <= 0 or last <= 0:
        raise Unknown("growth is only known between positive values of equity")
    # A day that doubles is 10^109 a year: an exponent that overflows is refused as a value, not as a crash.
    exponent = math.log(last / first) * year / days
    return math.expm1(exponent) if exponent < 700 else math.inf


def annualised_return(returns: Floats, periods: int) -> float:
    """Geometric: prod(1 + r)^(N / n) - 1."""
    if returns.size == 0:
        raise Unknown("no returns")
    if np.any(returns <= -1):
        return -1.0
    exponent = float(np.log1p(returns).sum()) * periods / returns.size
    return math.expm1(exponent) if exponent < 700 else math.inf


def volatility(returns: Floats, periods: int) -> float:
    """std(r, n - 1) sqrt(N)."""
    if returns.size < 2:
        raise Unknown(f"a spread needs 2 values, got {returns.size}")
    return float(np.std(returns, ddof=1)) * math.sqrt(periods)


def compounded_volatility(returns: Floats, periods: int) -> float:
    """Of a product of N returns: sqrt((var + (1 + g)^2)^N - (1 + g)^2N), g the geometric mean; backtesting.py's."""
    mean = 1 + annualised_return(returns, 1)
    variance = spread(returns) ** 2
    return math.sqrt((variance + mean**2) ** periods - mean ** (2 * periods))


def sharpe(returns: Floats, periods: int, risk_free: float = 0.0) -> float:
    """(mean(r) - rf / N) / std(r, n - 1) sqrt(N). Sharpe, "The Sharpe Ratio", J. Portfolio Management 21(1), 1994."""
    return (float(np.mean(returns)) - risk_free / periods) / spread(returns) * math.sqrt(periods)


def compounded_sharpe(returns: Floats, periods: int, risk_free: float = 0.0) -> float:
    """Geometric annual return over the compounded volatility: what backtesting.py calls Sharpe Ratio."""
    return (annualised_return(returns, periods) - risk_free) / compounded_volatility(returns, periods)


def downside_deviation(returns: Floats, periods: int, target: float = 0.0) -> float:
    """sqrt(mean(min(r - target / N, 0)^2)) sqrt(N), over all returns, not only the losing ones."""
    if returns.size == 0:
        raise Unknown("no returns")
    short = np.minimum(returns - target / periods, 0.0)
    return math.sqrt(float(np.mean(short**2))) * math.sqrt(periods)


def sortino(returns: Floats, periods: int, target: float = 0.0) -> float:
    """Mean excess over downside deviation. Sortino and Price, J. Investing 3(3), 1994."""
    deviation = downside_deviation(returns, periods, target)
    if deviation == 0:
        raise Unknown("no return was below the target")
    return (float(np.mean(returns)) * periods - target) / deviation


def compounded_sortino(returns: Floats, periods: int, target: float = 0.0) -> float:
    """Geometric annual return over downside deviation from zero: what backtesting.py calls Sortino Ratio."""
    deviation = downside_deviation(returns, periods)
    if deviation == 0:
        raise Unknown("no return was below zero")
    return (annualised_return(returns, periods) - target) / deviation


def skewness(values: Floats, *, corrected: bool = False) -> float:
    """m3 / m2^1.5 of the population; `corrected` for the bias of a sample, as Excel's and MathNet's are."""
    spread(values)
    n = values.size
    centred = values - np.mean(values)
    plain = float(np.mean(centred**3) / np.mean(centred**2) ** 1.5)
    if not corrected:
        return plain
    if n < 3:
        raise Unknown(f"a corrected skewness needs 3 values, got {n}")
    return plain * math.sqrt(n * (n - 1)) / (n - 2)


def kurtosis(values: Floats, *, corrected: bool = False) -> float:
    """m4 / m2^2, raw: 3 for a normal. PSR and DSR take this one; with the excess (-3) they come out wrong."""
    spread(values)
    n = values.size
    centred = values - np.mean(values)
    plain = float(np.mean(centred**4) / np.mean(centred**2) ** 2)
    if not corrected:
        return plain
    if n < 4:
        raise Unknown(f"a corrected kurtosis needs 4 values, got {n}")
    return 3 + (n - 1) / ((n - 2) * (n - 3)) * ((n + 1) * (plain - 3) + 6)


def value_at_risk(returns: Floats, level: float = 0.95) -> float:
    """The return that 1 - level of all are below; historical, linear between the neighbours. A loss is negative."""
    if returns.size == 0:
        raise Unknown("no returns")
    return float(np.quantile(returns, 1 - level))


def expected_shortfall(returns: Floats, level: float = 0.95) -> float:
    """CVaR: mean of the returns at or below the value at risk. A loss is negative."""
    limit = value_at_risk(returns, level)
    return float(np.mean(returns[returns <= limit]))


def omega(returns: Floats, periods: int, target: float = 0.0) -> float:
    """sum(max(r - t, 0)) / sum(max(t - r, 0)). Keating and Shadwick, "A Universal Performance Measure", 2002."""
    excess = returns - target / periods
    losses = float(-excess[excess < 0].sum())
    if losses == 0:
        raise Unknown("no return was below the target")
    return float(excess[excess > 0].sum()) / losses


def tail_ratio(returns: Floats) -> float:
    """|95th percentile| / |5th percentile|."""
    high, low = np.quantile(returns, [0.95, 0.05])
    if low == 0:
        raise Unknown("the 5th percentile is zero")
    return abs(float(high)) / abs(float(low))
