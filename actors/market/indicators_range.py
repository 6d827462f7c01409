"""Ranges, channels and trends out of highs and lows. Exact to TA-Lib where it has them."""

from __future__ import annotations

from collections import deque

from actors.market.indicators_averages import Ema
from actors.market.indicators_base import Indicator, checked_factor, checked_period


def true_range(high: float, low: float, last_close: float) -> float:
    """The largest of high - low and the distances of both from the last close (Wilder, 1978)."""
    return max(high - low, abs(high - last_close), abs(low - last_close))


class TrueRange(Indicator[float]):
    """The true range of each bar but the first."""

    NAME = "true_range"
    INPUTS = ("high", "low", "close")

    def __init__(self) -> None:
        self.warm_up = 2
        self._close: float | None = None

    def _next(self, high: float, low: float, close: float) -> float | None:
        last, self._close = self._close, close
        return None if last is None else true_range(high, low, last)


class Atr(Indicator[float]):
    """Average true range with Wilder's smoothing; the first is the mean of `period` true ranges."""

    NAME = "atr"
    INPUTS = ("high", "low", "close")

    def __init__(self, period: int = 14) -> None:
        self.period = checked_period(period)
        self.warm_up = period + 1
        self._close: float | None = None
        self._seen = 0
        self._value = 0.0

    def _next(self, high: float, low: float, close: float) -> float | None:
        last, self._close = self._close, close
        if last is None:
            return None
        span = true_range(high, low, last)
        period = self.period
        if self._seen < period:
            self._seen += 1
            self._value += span
            if self._seen < period:
                return None
            self._value /= period
        else:
            self._value = (self._value * (period - 1) + span) / period
        return self._value


class Natr(Indicator[float]):
    """The average true range in percent of the close. None where that is 0."""

    NAME = "natr"
    INPUTS = ("high", "low", "close")

    def __init__(self, period: int = 14) -> None:
        self.period = checked_period(period)
        self.warm_up = period + 1
        self._atr = Atr(period)

    def _next(self, high: float, low: float, close: float) -> float | None:
        value = self._atr._next(high, low, close)
        return None if value is None or not close else value / close * 100.0


class DirectionalIndex(Indicator[tuple[float, ...]]):
    """+DI and -DI: Wilder's sums of upward and downward movement in percent of that of the true range."""

    NAME = "di"
    INPUTS = ("high", "low", "close")
    OUTPUTS = ("plus", "minus")

    def __init__(self, period: int = 14) -> None:
        self.period = checked_period(period, least=2)
        self.warm_up = period + 1
        self._bar: tuple[float, float, float] | None = None
        self._seen = 0
        self._plus = 0.0
        self._minus = 0.0
        self._span = 0.0

    def _next(self, high: float, low: float, close: float) -> tuple[float, ...] | None:
        last, self._bar = self._bar, (high, low, close)
        if last is None:
            return None
        up, down = high - last[0], last[1] - low
        period = self.period
        self._seen += 1
        if self._seen >= period:
            self._plus -= self._plus / period
            self._minus -= self._minus / period
            self._span -= self._span / period
        if down > 0 and up < down:
            self._minus += down
        elif up > 0 and up > down:
            self._plus += up
        self._span += true_range(high, low, last[2])
        if self._seen < period:
            return None
        if not self._span:
            return 0.0, 0.0
        return 100.0 * self._plus / self._span, 100.0 * self._minus / self._span


class Adx(Indicator[tuple[float, ...]]):
    """Average directional index, with +DI and -DI."""

    NAME = "adx"
    INPUTS = ("high", "low", "close")
    OUTPUTS = ("adx", "plus", "minus")

    def __init__(self, period: int = 14) -> None:
        self.period = checked_period(period, least=2)
        self.warm_up = 2 * period
        self._index = DirectionalIndex(period)
        self._seen = 0
        self._value = 0.0

    def _next(self, high: float, low: float, close: float) -> tuple[float, ...] | None:
        found = self._index._next(high, low, close)
        if found is None:
            return None
        plus, minus = found
        total = plus + minus
        period = self.period
        if self._seen < period:
            self._seen += 1
            self._value += 100.0 * abs(minus - plus) / total if total else 0.0
            if self._seen < period:
                return None
            self._value /= period
        elif total:
            self._value = (self._value * (period - 1) + 100.0 * abs(minus - plus) / total) / period
        return self._value, plus, minus


class Donchian(Indicator[tuple[float, ...]]):
    """The highest high and the lowest low of `period` bars, this one included, and their middle."""

    NAME = "donchian"
    INPUTS = ("high", "low")
    OUTPUTS = ("upper", "middle", "lower")

    def __init__(self, period: int = 20) -> None:
        self.period = self.warm_up = checked_period(period)
        self._highs: deque[float] = deque(maxlen=period)
        self._lows: deque[float] = deque(maxlen=period)

    def _next(self, high: float, low: float) -> tuple[float, ...] | None:
        self._highs.append(high)
        self._lows.append(low)
        if len(self._highs) < self.period:
            return None
        upper, lower = max(self._highs), min(self._lows)
        return upper, (upper + lower) / 2.0, lower


class Keltner(Indicator[tuple[float, ...]]):
    """EMA of the close and `multiple` average true ranges (Wilder's) beside it.

    Linda Raschke's form of Keltner's channel, as in StockCharts' ChartSchool ("Keltner Channels").
    """

    NAME = "keltner"
    INPUTS = ("high", "low", "close")
    OUTPUTS = ("upper", "middle", "lower")

    def __init__(self, period: int = 20, atr_period: int = 10, multiple: float = 2.0) -> None:
        self.period = checked_period(period)
        self.atr_period = checked_period(atr_period, "atr_period")
        self.multiple = checked_factor(multiple, "multiple")
        self.warm_up = max(period, atr_period + 1)
        self._middle = Ema(period)
        self._range = Atr(atr_period)

    def _next(self, high: float, low: float, close: float) -> tuple[float, ...] | None:
        middle = self._middle._next(close)
        span = self._range._next(high, low, close)
        if middle is None or span is None:
            return None
        return middle + self.multiple * span, middle, middle - self.multiple * span


class Ichimoku(Indicator[tuple[float, ...]]):
    """Conversion and base line, and the cloud that lies over this bar (Hosoda, 1969).

    The lines are the middles of the ranges of `conversion` and `base` bars. The cloud was computed `displacement` bars
    ago: span A is the mean of the two lines then, span B the middle of the range of `span` bars. `ahead_a` and
    `ahead_b` are computed now, and lie over the bar in `displacement` bars. The lagging span is the close itself.
    """

    NAME = "ichimoku"
    INPUTS = ("high", "low")
    OUTPUTS = ("conversion", "base", "span_a", "span_b", "ahead_a", "ahead_b")

    def __init__(self, conversion: int = 9, base: int = 26, span: int = 52, displacement: int = 26) -> None:
        self.conversion = checked_period(conversion, "conversion")
        self.base = checked_period(base, "base")
        self.span = checked_period(span, "span")
        self.displacement = checked_period(displacement, "displacement")
        self.warm_up = max(conversion, base, span) + displacement
        self._conversion = Donchian(conversion)
        self._base = Donchian(base)
        self._span = Donchian(span)
        self._cloud: deque[tuple[float, float]] = deque(maxlen=displacement + 1)

    def _next(self, high: float, low: float) -> tuple[float, ...] | None:
        conversion = self._conversion._next(high, low)
        base = self._base._next(high, low)
        span = self._span._next(high, low)
        if conversion is None or base is None or span is None:
            return None
        ahead = ((conversion[1] + base[1]) / 2.0, span[1])
        self._cloud.append(ahead)
        if len(self._cloud) <= self.displacement:
            return None
        return conversion[1], base[1], *self._cloud[0], *ahead


class ParabolicSar(Indicator[float]):
    """Wilder's parabolic stop and reverse. `step` is the acceleration factor and what it grows by, up to `most`.

    As in TA-Lib the first direction is short where the second bar's downward movement is the larger one.
    """

    NAME = "sar"
    INPUTS = ("high", "low")

    def __init__(self, step: float = 0.02, most: float = 0.2) -> None:
        self.step = checked_factor(step, "step")
        self.most = checked_factor(most, "most")
        self.warm_up = 2
        self._high: float | None = None
        self._low = 0.0
        self._begun = False
        self._long = True
        self._factor = 0.0
        self._extreme = 0.0
        self._stop = 0.0

    def _next(self, high: float, low: float) -> float | None:
        last_high, last_low = self._high, self._low
        self._high, self._low = high, low
        if last_high is None:
            return None
        if not self._begun:
            self._begun = True
            up, down = high - last_high, last_low - low
            self._long = not (down > 0 and up < down)
            self._extreme, self._stop = (high, last_low) if self._long else (low, last_high)
            self._factor = min(self.step, self.most)
            last_high, last_low = high, low
        return self._rise(high, low, last_high, last_low) if self._long else self._fall(high, low, last_high, last_low)

    def _rise(self, high: float, low: float, last_high: float, last_low: float) -> float:
        if low <= self._stop:
            stop = max(self._extreme, last_high, high)
            self._long, self._factor, self._extreme = False, min(self.step, self.most), low
            self._stop = max(stop + self._factor * (low - stop), last_high, high)
            return stop
        stop = self._stop
        if high > self._extreme:
            self._extreme = high
            self._factor = min(self._factor + min(self.step, self.most), self.most)
        self._stop = min(stop + self._factor * (self._extreme - stop), last_low, low)
        return stop

    def _fall(self, high: float, low: float, last_high: float, last_low: float) -> float:
        if high >= self._stop:
            stop = min(self._extreme, last_low, low)
            self._long, self._factor, self._extreme = True, min(self.step, self.most), high
            self._stop = min(stop + self._factor * (high - stop), last_low, low)
            return stop
        stop = self._stop
        if low < self._extreme:
            self._extreme = low
            self._factor = min(self._factor + min(self.step, self.most), self.most)
        self._stop = max(stop + self._factor * (self._extreme - stop), last_high, high)
        return stop
