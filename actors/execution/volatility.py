"""How much markets move: the annualised volatility that sizings ask for, from closes of bars or samples of prices.

Standard deviation (n - 1) of the logarithms of successive prices, times the root of how many such steps a year has.
"""

from __future__ import annotations

import math
from collections import deque
from itertools import pairwise
from typing import Any, Final

YEAR_NS: Final = 365 * 86_400 * 1_000_000_000
LEAST: Final = 20
MOST: Final = 250


class Volatility:
    """One market. Prices in nanos, times in nanoseconds."""

    __slots__ = ("_prices", "_times")

    def __init__(self) -> None:
        self._prices: deque[int] = deque(maxlen=MOST + 1)
        self._times: deque[int] = deque(maxlen=MOST + 1)

    def add(self, price: int, ts: int) -> None:
        """The next price; only prices above 0 have a logarithm."""
        if price > 0:
            self._prices.append(price)
            self._times.append(ts)

    def annual(self) -> float | None:
        """As a share; None: fewer than 20 steps, or no time between them."""
        count = len(self._prices) - 1
        if count < LEAST:
            return None
        prices = list(self._prices)
        steps = [math.log(after / before) for before, after in pairwise(prices)]
        mean = math.fsum(steps) / count
        variance = math.fsum((step - mean) ** 2 for step in steps) / (count - 1)
        span = (self._times[-1] - self._times[0]) / count
        return None if span <= 0 else math.sqrt(variance * YEAR_NS / span)

    def state(self) -> Any:
        """For a snapshot."""
        return [list(self._prices), list(self._times)]

    def load(self, state: Any) -> None:
        """Become what `state` gave."""
        prices, times = state
        self._prices = deque(prices, MOST + 1)
        self._times = deque(times, MOST + 1)
