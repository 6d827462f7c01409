"""Oscillators: how fast, and where in its range, the price is. Exact to TA-Lib.

Where the range of a window is 0 the oscillators that divide by it are 0, as TA-Lib's are: that is their value and not
a missing one.
"""

from __future__ import annotations

from collections import deque
from math import fsum

from actors.market.indicators_averages import Sma
from actors.market.indicators_base import Indicator, checked_period


class Rsi(Indicator[float]):
    """Relative strength index: Wilder's average gain in percent of average gain and loss (Wilder, 1978).

    0 where nothing has moved at all, as in TA-Lib.
    """

    NAME = "rsi"

    def __init__(self, period: int = 14) -> None:
        self.period = checked_period(period, least=2)
        self.warm_up = period + 1
        self._last: float | None = None
        self._seen = 0
        self._gain = 0.0
        self._loss = 0.0

    def _next(self, close: float) -> float | None:
        last, self._last = self._last, close
        if last is None:
            return None
        change = close - last
        gain, loss = max(change, 0.0), max(-change, 0.0)
        period = self.period
        if self._seen < period:
            self._seen += 1
            self._gain += gain
            self._loss += loss
            if self._seen < period:
                return None
            self._gain /= period
            self._loss /= period
        else:
            self._gain = (self._gain * (period - 1) + gain) / period
            self._loss = (self._loss * (period - 1) + loss) / period
        total = self._gain + self._loss
        return 100.0 * self._gain / total if total else 0.0


class StochasticFast(Indicator[tuple[float, ...]]):
    """%K: where the close is in the range of the last `k` bars, in percent; %D: the mean of `d` of them."""

    NAME = "stoch_fast"
    INPUTS = ("high", "low", "close")
    OUTPUTS = ("k", "d")

    def __init__(self, k: int = 5, d: int = 3) -> None:
        self.k = checked_period(k, "k")
        self.d = checked_period(d, "d")
        self.warm_up = k + d - 1
        self._highs: deque[float] = deque(maxlen=k)
        self._lows: deque[float] = deque(maxlen=k)
        self._mean = Sma(d)

    def _next(self, high: float, low: float, close: float) -> tuple[float, ...] | None:
        self._highs.append(high)
        self._lows.append(low)
        if len(self._highs) < self.k:
            return None
        lowest = min(self._lows)
        span = max(self._highs) - lowest
        percent = 100.0 * (close - lowest) / span if span else 0.0
        mean = self._mean._next(percent)
        return None if mean is None else (percent, mean)


class Stochastic(Indicator[tuple[float, ...]]):
    """The slow stochastic: %K is the mean of `slow_k` fast ones, %D the mean of `d` of those."""

    NAME = "stoch"
    INPUTS = ("high", "low", "close")
    OUTPUTS = ("k", "d")

    def __init__(self, k: int = 5, slow_k: int = 3, d: int = 3) -> None:
        self.k = checked_period(k, "k")
        self.slow_k = checked_period(slow_k, "slow_k")
        self.d = checked_period(d, "d")
        self.warm_up = k + slow_k + d - 2
        self._fast = StochasticFast(k, slow_k)
        self._mean = Sma(d)

    def _next(self, high: float, low: float, close: float) -> tuple[float, ...] | None:
        fast = self._fast._next(high, low, close)
        if fast is None:
            return None
        mean = self._mean._next(fast[1])
        return None if mean is None else (fast[1], mean)


class StochasticRsi(Indicator[tuple[float, ...]]):
    """The fast stochastic of the RSI (Chande and Kroll, 1994)."""

    NAME = "stoch_rsi"
    OUTPUTS = ("k", "d")

    def __init__(self, period: int = 14, k: int = 5, d: int = 3) -> None:
        self.period = checked_period(period, least=2)
        self.k = checked_period(k, "k")
        self.d = checked_period(d, "d")
        self.warm_up = period + k + d - 1
        self._rsi = Rsi(period)
        self._stochastic = StochasticFast(k, d)

    def _next(self, close: float) -> tuple[float, ...] | None:
        rsi = self._rsi._next(close)
        return None if rsi is None else self._stochastic._next(rsi, rsi, rsi)


class Cci(Indicator[float]):
    """Commodity channel index: the typical price's distance from its mean, in 0.015 mean deviations (Lambert, 1980).

    0 where all typical prices of the window are equal.
    """

    NAME = "cci"
    INPUTS = ("high", "low", "close")

    def __init__(self, period: int = 14) -> None:
        self.period = self.warm_up = checked_period(period, least=2)
        self._window: deque[float] = deque(maxlen=period)

    def _next(self, high: float, low: float, close: float) -> float | None:
        window = self._window
        typical = (high + low + close) / 3.0
        window.append(typical)
        if len(window) < self.period:
            return None
        if max(window) == min(window):
            return 0.0
        mean = fsum(window) / self.period
        deviation = fsum(abs(value - mean) for value in window) / self.period
        return (typical - mean) / (0.015 * deviation)


class WilliamsR(Indicator[float]):
    """Williams %R: how far the close is below the highest high of `period` bars, from 0 to -100."""

    NAME = "williams_r"
    INPUTS = ("high", "low", "close")

    def __init__(self, period: int = 14) -> None:
        self.period = self.warm_up = checked_period(period, least=2)
        self._highs: deque[float] = deque(maxlen=period)
        self._lows: deque[float] = deque(maxlen=period)

    def _next(self, high: float, low: float, close: float) -> float | None:
        self._highs.append(high)
        self._lows.append(low)
        if len(self._highs) < self.period:
            return None
        highest = max(self._highs)
        span = highest - min(self._lows)
        return -100.0 * (highest - close) / span if span else 0.0


class Momentum(Indicator[float]):
    """The change since `period` bars ago."""

    NAME = "mom"

    def __init__(self, period: int = 10) -> None:
        self.period = checked_period(period)
        self.warm_up = period + 1
        self._window: deque[float] = deque(maxlen=period + 1)

    def _next(self, close: float) -> float | None:
        self._window.append(close)
        return close - self._window[0] if len(self._window) == self.warm_up else None


class RateOfChange(Indicator[float]):
    """The change since `period` bars ago in percent. None where that was 0 (TA-Lib says 0)."""

    NAME = "roc"

    def __init__(self, period: int = 10) -> None:
        self.period = checked_period(period)
        self.warm_up = period + 1
        self._window: deque[float] = deque(maxlen=period + 1)

    def _next(self, close: float) -> float | None:
        self._window.append(close)
        if len(self._window) < self.warm_up or not self._window[0]:
            return None
        return (close / self._window[0] - 1.0) * 100.0


class Aroon(Indicator[tuple[float, ...]]):
    """How recent the lowest low and the highest high of the last `period` + 1 bars are: 100 now, 0 `period` ago."""

    NAME = "aroon"
    INPUTS = ("high", "low")
    OUTPUTS = ("down", "up")

    def __init__(self, period: int = 14) -> None:
        self.period = checked_period(period, least=2)
        self.warm_up = period + 1
        self._highs: deque[float] = deque(maxlen=period + 1)
        self._lows: deque[float] = deque(maxlen=period + 1)

    def _next(self, high: float, low: float) -> tuple[float, ...] | None:
        # The newest comes first, so the most recent of equal extremes is found.
        self._highs.appendleft(high)
        self._lows.appendleft(low)
        if len(self._highs) < self.warm_up:
            return None
        down = self.period - self._lows.index(min(self._lows))
        up = self.period - self._highs.index(max(self._highs))
        return 100.0 * down / self.period, 100.0 * up / self.period
