"""What an account has come to: out of its ledger, its round trips and its daily equity. A core.

* **Return**: equity over initial capital less 1, fees and open positions included.
* **Profit factor**: gross profit over gross loss of round trips; unknown without a loss.
* **Sharpe ratio**: mean over standard deviation (n - 1) of daily returns, times the root of 365: markets of this node
  trade every day. No interest is taken off. Unknown with fewer than 30 daily returns.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from itertools import pairwise
from typing import Final

from protocols.nanos import exact_nanos

DAYS: Final = 365
LEAST_DAYS: Final = 30


def returns_of(equity: Sequence[float]) -> list[float]:
    """Returns from each day to the next; days that begin with nothing are left out."""
    return [after / before - 1 for before, after in pairwise(equity) if before > 0]


def deviation(returns: Sequence[float]) -> float | None:
    """Standard deviation with n - 1; None with fewer than two."""
    count = len(returns)
    if count < 2:
        return None
    mean = math.fsum(returns) / count
    return math.sqrt(math.fsum((each - mean) ** 2 for each in returns) / (count - 1))


def sharpe(returns: Sequence[float]) -> float | None:
    """Annualised; None: too few returns, or none that differ."""
    spread = deviation(returns)
    if len(returns) < LEAST_DAYS or not spread:
        return None
    return math.fsum(returns) / len(returns) / spread * math.sqrt(DAYS)


def annual_volatility(returns: Sequence[float]) -> float | None:
    """Of daily returns, annualised; None: too few."""
    spread = deviation(returns)
    return None if len(returns) < LEAST_DAYS or spread is None else spread * math.sqrt(DAYS)


def deepest_fall(
    money: str | None, share: float | None, equity: str | None, peak: str | None
) -> tuple[int | None, float | None]:
    """The deepest fall below the peak, in nanos and as a share: that of the samples, or the one that goes on now."""
    sampled = None if money is None else exact_nanos(money)
    if equity is None or peak is None:
        return sampled, share
    top = exact_nanos(peak)
    fall = max(0, top - exact_nanos(equity))
    return max(fall, sampled or 0), max(fall / top if top > 0 else 0.0, share or 0.0)
