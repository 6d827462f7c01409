"""Moving averages and the statistics of a window. Exact to TA-Lib: the same seeds, the same first bar."""

from __future__ import annotations

from collections import deque
from itertools import pairwise
from math import fsum, log, sqrt

from actors.market.indicators_base import Indicator, checked_factor, checked_period


class Sma(Indicator[float]):
    """Simple moving average: the mean of the last `period` values."""

    NAME = "sma"

    def __init__(self, period: int = 20) -> None:
        self.period = self.warm_up = checked_period(period)
        self._window: deque[float] = deque(maxlen=period)

    def _next(self, close: float) -> float | None:
        self._window.append(close)
        return fsum(self._window) / self.period if len(self._window) == self.period else None


class Ema(Indicator[float]):
    """Exponential moving average with factor 2 / (period + 1), seeded with the mean of the first `period` values."""

    NAME = "ema"

    def __init__(self, period: int = 20) -> None:
        self.period = self.warm_up = checked_period(period)
        self._seed: deque[float] = deque()
        self._value: float | None = None

    def _next(self, close: float) -> float | None:
        if self._value is not None:
            self._value += (close - self._value) * (2.0 / (self.period + 1))
            return self._value
        self._seed.append(close)
        if len(self._seed) == self.period:
            self._value = fsum(self._seed) / self.period
            self._seed.clear()
        return self._value


class Wma(Indicator[float]):
    """Weighted moving average: the newest value weighs `period`, the oldest 1."""

    NAME = "wma"

    def __init__(self, period: int = 20) -> None:
        self.period = self.warm_up = checked_period(period)
        self._window: deque[float] = deque(maxlen=period)

    def _next(self, close: float) -> float | None:
        self._window.append(close)
        if len(self._window) < self.period:
            return None
        weighted = fsum(weight * value for weight, value in enumerate(self._window, 1))
        return weighted / (self.period * (self.period + 1) / 2)


class Dema(Indicator[float]):
    """Double exponential moving average: 2·EMA - EMA of EMA (Mulloy, 1994)."""

    NAME = "dema"

    def __init__(self, period: int = 20) -> None:
        self.period = checked_period(period)
        self.warm_up = 2 * (period - 1) + 1
        self._first = Ema(period)
        self._second = Ema(period)

    def _next(self, close: float) -> float | None:
        first = self._first._next(close)
        second = None if first is None else self._second._next(first)
        return None if first is None or second is None else 2.0 * first - second


class Tema(Indicator[float]):
    """Triple exponential moving average: 3·EMA - 3·EMA of EMA + EMA of that (Mulloy, 1994)."""

    NAME = "tema"

    def __init__(self, period: int = 20) -> None:
        self.period = checked_period(period)
        self.warm_up = 3 * (period - 1) + 1
        self._first = Ema(period)
        self._second = Ema(period)
        self._third = Ema(period)

    def _next(self, close: float) -> float | None:
        first = self._first._next(close)
        second = None if first is None else self._second._next(first)
        third = None if second is None else self._third._next(second)
        if first is None or second is None or third is None:
            return None
        return 3.0 * first - 3.0 * second + third


class Kama(Indicator[float]):
    """Kaufman's adaptive moving average, between EMAs of `fast` and `slow` by the efficiency of the last `period`.

    A window without any movement counts as efficient, as in TA-Lib.
    """

    NAME = "kama"

    def __init__(self, period: int = 30, fast: int = 2, slow: int = 30) -> None:
        self.period = checked_period(period, least=2)
        self.fast = checked_period(fast, "fast")
        self.slow = checked_period(slow, "slow")
        self.warm_up = period + 1
        self._window: deque[float] = deque(maxlen=period + 1)
        self._value: float | None = None

    def _next(self, close: float) -> float | None:
        window = self._window
        before = window[-1] if window else close
        window.append(close)
        if len(window) < self.warm_up:
            return None
        values = list(window)
        path = fsum(abs(later - earlier) for earlier, later in pairwise(values))
        efficiency = min(abs(close - values[0]) / path, 1.0) if path else 1.0
        slowest, fastest = 2.0 / (self.slow + 1), 2.0 / (self.fast + 1)
        factor = (efficiency * (fastest - slowest) + slowest) ** 2
        value = before if self._value is None else self._value
        self._value = value + (close - value) * factor
        return self._value


class Macd(Indicator[tuple[float, ...]]):
    """EMA(`fast`) - EMA(`slow`), its EMA(`signal`), and their difference.

    As in TA-Lib the fast average is seeded with the `fast` values before the slow one's first, so that both begin
    together.
    """

    NAME = "macd"
    OUTPUTS = ("macd", "signal", "histogram")

    def __init__(self, fast: int = 12, slow: int = 26, signal: int = 9) -> None:
        self.fast = checked_period(fast, "fast", 2)
        self.slow = checked_period(slow, "slow", 2)
        self.signal = checked_period(signal, "signal")
        if fast >= slow:
            raise ValueError(f"fast: expected less than slow ({slow}), got {fast}")
        self.warm_up = slow + signal - 1
        self._skip = slow - fast
        self._fast = Ema(fast)
        self._slow = Ema(slow)
        self._signal = Ema(signal)

    def _next(self, close: float) -> tuple[float, ...] | None:
        slow = self._slow._next(close)
        if self._skip:
            self._skip -= 1
            return None
        fast = self._fast._next(close)
        if fast is None or slow is None:
            return None
        macd = fast - slow
        signal = self._signal._next(macd)
        return None if signal is None else (macd, signal, macd - signal)


class Trix(Indicator[float]):
    """The change in percent of a triple EMA from one bar to the next. None where the average was 0."""

    NAME = "trix"

    def __init__(self, period: int = 30) -> None:
        self.period = checked_period(period)
        self.warm_up = 3 * (period - 1) + 2
        self._first = Ema(period)
        self._second = Ema(period)
        self._third = Ema(period)
        self._last: float | None = None

    def _next(self, close: float) -> float | None:
        first = self._first._next(close)
        second = None if first is None else self._second._next(first)
        third = None if second is None else self._third._next(second)
        if third is None:
            return None
        last, self._last = self._last, third
        return (third / last - 1.0) * 100.0 if last else None


def _deviation(window: deque[float], mean: float, freedom: int) -> float:
    # A constant window deviates by exactly 0, whatever its mean is rounded to.
    if max(window) == min(window):
        return 0.0
    return sqrt(fsum((value - mean) ** 2 for value in window) / freedom)


class Stddev(Indicator[float]):
    """Standard deviation of the last `period` values: of the population, or (`sample`) with n - 1."""

    NAME = "stddev"

    def __init__(self, period: int = 20, sample: bool = False) -> None:
        self.period = self.warm_up = checked_period(period, least=2)
        self.sample = sample
        self._window: deque[float] = deque(maxlen=period)

    def _next(self, close: float) -> float | None:
        window = self._window
        window.append(close)
        if len(window) < self.period:
            return None
        return _deviation(window, fsum(window) / self.period, self.period - self.sample)


class BollingerBands(Indicator[tuple[float, ...]]):
    """The mean of the last `period` values and `up`, `down` standard deviations (population) beside it."""

    NAME = "bollinger"
    OUTPUTS = ("upper", "middle", "lower")

    def __init__(self, period: int = 20, up: float = 2.0, down: float = 2.0) -> None:
        self.period = self.warm_up = checked_period(period, least=2)
        self.up = checked_factor(up, "up")
        self.down = checked_factor(down, "down")
        self._window: deque[float] = deque(maxlen=period)

    def _next(self, close: float) -> tuple[float, ...] | None:
        window = self._window
        window.append(close)
        if len(window) < self.period:
            return None
        mean = fsum(window) / self.period
        deviation = _deviation(window, mean, self.period)
        return mean + self.up * deviation, mean, mean - self.down * deviation


class Zscore(Indicator[float]):
    """How many standard deviations (population) the value is above the mean of the last `period`.

    None where all of them are equal. The formula of `scipy.stats.zscore` for the last element.
    """

    NAME = "zscore"

    def __init__(self, period: int = 20) -> None:
        self.period = self.warm_up = checked_period(period, least=2)
        self._window: deque[float] = deque(maxlen=period)

    def _next(self, close: float) -> float | None:
        window = self._window
        window.append(close)
        if len(window) < self.period:
            return None
        mean = fsum(window) / self.period
        deviation = _deviation(window, mean, self.period)
        return (close - mean) / deviation if deviation else None


class Returns(Indicator[float]):
    """The change since `period` bars ago as a fraction, or (`logarithmic`) as the logarithm of the ratio.

    None where it is not defined: since 0, or the logarithm of a ratio that is not positive.
    """

    NAME = "returns"

    def __init__(self, period: int = 1, logarithmic: bool = False) -> None:
        self.period = checked_period(period)
        self.logarithmic = logarithmic
        self.warm_up = period + 1
        self._window: deque[float] = deque(maxlen=period + 1)

    def _next(self, close: float) -> float | None:
        self._window.append(close)
        if len(self._window) < self.warm_up or not self._window[0]:
            return None
        ratio = close / self._window[0]
        if self.logarithmic:
            return log(ratio) if ratio > 0 else None
        return ratio - 1.0


class Volatility(Indicator[float]):
    """Sample standard deviation of the last `period` log returns, times the root of `periods_per_year`.

    1 leaves it per bar. (Hull, Options, Futures, and Other Derivatives, "Estimating volatility from historical data".)
    A return that is not defined is left out with everything before it.
    """

    NAME = "volatility"

    def __init__(self, period: int = 20, periods_per_year: float = 1.0) -> None:
        self.period = checked_period(period, least=2)
        self.periods_per_year = checked_factor(periods_per_year, "periods_per_year")
        self.warm_up = period + 1
        self._return = Returns(1, logarithmic=True)
        self._window: deque[float] = deque(maxlen=period)

    def _next(self, close: float) -> float | None:
        window = self._window
        change = self._return._next(close)
        if change is None:
            window.clear()
            return None
        window.append(change)
        if len(window) < self.period:
            return None
        deviation = _deviation(window, fsum(window) / self.period, self.period - 1)
        return deviation * sqrt(self.periods_per_year)
