"""Volatility: how far prices move, beside a threshold or their own past."""

# What `step` and `judge` return is in the docstring of their class.
# ruff: noqa: D102

from __future__ import annotations

from math import fsum
from typing import Any, ClassVar, Final

from actors.market.indicators import make
from actors.market.indicators_range import true_range
from actors.strategies.workflows.fields import Field, Value, integer, number
from actors.strategies.workflows.operators.base import Operator, Verdict, Windowed, figures

PERIOD: Final = integer("period", 20, 2, 5000, "bars of the window", "bars", "lookback")
PERCENT: Final = number("percent", 2.0, 0, 1e6, "percent", "threshold", "value", live=True)
FACTOR: Final = number("factor", 2.0, 0, 1e6, "how many times the mean", "multiplier", "threshold", "value", live=True)
DEVIATIONS: Final = number("deviations", 2.0, 0, 100, "standard deviations of the Bollinger bands", "multiplier")


class _Measure(Operator):
    """Keeps one indicator of the bars."""

    FAMILY, PORTS = "volatility", ("bars",)
    INDICATOR: str
    EXTRA = 1
    """Bars that it takes beside the period."""

    def __init__(self, **built: Any) -> None:
        super().__init__(**built)
        self.measure = make(self.INDICATOR, period=int(built["period"]))
        self.last: float | None = None

    @classmethod
    def warm_up(cls, built: dict[str, Value]) -> int:
        return int(built["period"]) + cls.EXTRA

    def now(self, bar: Any) -> float | None:
        """The indicator at this bar."""
        found = figures(bar, *self.measure.INPUTS)
        value = None if found is None else self.measure.update(*found)
        return None if value is None else float(value)

    def moved(self, bar: Any) -> tuple[float, float] | None:
        """The indicator at this bar and at the one before, once there are both."""
        last, self.last = self.last, self.now(bar)
        return None if last is None or self.last is None else (self.last, last)


class _Volatility(_Measure):
    INDICATOR = "volatility"
    FIELDS: ClassVar[tuple[Field, ...]] = (PERIOD, PERCENT)


class VolatilityAbove(_Volatility):
    """The sample standard deviation of the last `period` log returns of the close is above `percent` percent."""

    CODE, ALIASES = "volatility_above", ("high_volatility", "volatility_high")

    def step(self, bar: Any, percent: float) -> Verdict:
        value = self.now(bar)
        return None if value is None else value * 100.0 > percent


class VolatilityBelow(_Volatility):
    """The sample standard deviation of the last `period` log returns of the close is below `percent` percent."""

    CODE, ALIASES = "volatility_below", ("low_volatility", "volatility_low")

    def step(self, bar: Any, percent: float) -> Verdict:
        value = self.now(bar)
        return None if value is None else value * 100.0 < percent


class _Moving(_Volatility):
    FIELDS = (PERIOD,)
    EXTRA = 2


class VolatilityRising(_Moving):
    """The sample standard deviation of the last `period` log returns is above what it was at the bar before."""

    CODE, ALIASES = "volatility_rising", ("volatility_increasing",)

    def step(self, bar: Any) -> Verdict:
        found = self.moved(bar)
        return None if found is None else found[0] > found[1]


class VolatilityFalling(_Moving):
    """The sample standard deviation of the last `period` log returns is below what it was at the bar before."""

    CODE, ALIASES = "volatility_falling", ("volatility_decreasing",)

    def step(self, bar: Any) -> Verdict:
        found = self.moved(bar)
        return None if found is None else found[0] < found[1]


class _Natr(_Measure):
    INDICATOR = "natr"
    FIELDS = (integer("period", 14, 1, 5000, "period of the ATR", "bars"), PERCENT)

    @classmethod
    def memory(cls, built: dict[str, Value]) -> int:
        return 21 * int(built["period"])


class AtrAbove(_Natr):
    """The average true range of `period` bars is above `percent` percent of the close."""

    CODE, ALIASES = "atr_above", ("atr_percent_above", "natr_above")

    def step(self, bar: Any, percent: float) -> Verdict:
        value = self.now(bar)
        return None if value is None else value > percent


class AtrBelow(_Natr):
    """The average true range of `period` bars is below `percent` percent of the close."""

    CODE, ALIASES = "atr_below", ("atr_percent_below", "natr_below")

    def step(self, bar: Any, percent: float) -> Verdict:
        value = self.now(bar)
        return None if value is None else value < percent


class _Ranges(Windowed):
    """Keeps the true ranges of the last `period` bars and this one."""

    FAMILY, PORTS, FIELDS = "volatility", ("bars",), (PERIOD, FACTOR)

    def __init__(self, **built: Any) -> None:
        super().__init__(**built)
        self.close: float | None = None

    @classmethod
    def warm_up(cls, built: dict[str, Value]) -> int:
        return int(built["period"]) + 1

    @classmethod
    def memory(cls, built: dict[str, Value]) -> int:
        return 1

    def step(self, *inputs: Any) -> Verdict:
        found = figures(inputs[0], "high", "low", "close")
        if found is None:
            return None
        last, self.close = self.close, found[2]
        if last is None:
            return None
        self.window.append(true_range(found[0], found[1], last))
        return self.judge(*inputs) if len(self.window) == self.window.maxlen else None

    def mean(self) -> float:
        """The mean of the true ranges before this one."""
        before = list(self.window)[:-1]
        return fsum(before) / len(before)


class RangeExpansion(_Ranges):
    """The bar's true range is above `factor` times the mean of those of the `period` bars before."""

    CODE, ALIASES = "range_expansion", ("volatility_expansion", "atr_expansion", "volatility_spike")

    def judge(self, bar: Any, factor: float) -> Verdict:
        return bool(self.window[-1] > factor * self.mean())


class RangeContraction(_Ranges):
    """The bar's true range is below `factor` times the mean of those of the `period` bars before."""

    CODE, ALIASES = "range_contraction", ("volatility_contraction", "atr_contraction")
    FIELDS = (PERIOD, number("factor", 0.5, 0, 1e6, "how many times the mean", "multiplier", "value", live=True))

    def judge(self, bar: Any, factor: float) -> Verdict:
        return bool(self.window[-1] < factor * self.mean())


class _Spans(Windowed):
    """Keeps high less low of the last `bars` bars."""

    FAMILY, PORTS = "volatility", ("bars",)
    FIELDS = (integer("bars", 7, 2, 5000, "how many bars, this one included", "period", "lookback"),)

    @classmethod
    def warm_up(cls, built: dict[str, Value]) -> int:
        return int(built["bars"])

    def step(self, *inputs: Any) -> Verdict:
        found = figures(inputs[0], "high", "low")
        if found is None:
            self.window.clear()
            return None
        self.window.append(found[0] - found[1])
        return self.judge() if len(self.window) == self.window.maxlen else None


class NarrowestRange(_Spans):
    """The bar's range from low to high is smaller than that of each of the `bars` - 1 bars before (7: "NR7")."""

    CODE, ALIASES = "narrowest_range", ("nr7", "narrow_range")

    def judge(self, *inputs: Any) -> Verdict:
        *before, now = self.window
        return bool(now < min(before))


class WidestRange(_Spans):
    """The bar's range from low to high is larger than that of each of the `bars` - 1 bars before (7: "WR7")."""

    CODE, ALIASES = "widest_range", ("wr7", "wide_range")

    def judge(self, *inputs: Any) -> Verdict:
        *before, now = self.window
        return bool(now > max(before))


class _Squeeze(Operator):
    FAMILY, PORTS = "volatility", ("bars",)
    FIELDS = (PERIOD, DEVIATIONS, number("multiple", 1.5, 0, 100, "average true ranges of the Keltner channel"))

    def __init__(self, **built: Any) -> None:
        super().__init__(**built)
        period, deviations = int(built["period"]), float(built["deviations"])
        self.bands = make("bollinger", period=period, up=deviations, down=deviations)
        self.channel = make("keltner", period=period, atr_period=period, multiple=float(built["multiple"]))
        self.last: bool | None = None

    @classmethod
    def warm_up(cls, built: dict[str, Value]) -> int:
        return int(built["period"]) + 1

    @classmethod
    def memory(cls, built: dict[str, Value]) -> int:
        return 21 * int(built["period"])

    def squeezed(self, bar: Any) -> bool | None:
        """Whether both Bollinger bands are inside the Keltner channel."""
        found = figures(bar, "high", "low", "close")
        if found is None:
            return None
        bands, channel = self.bands.update(found[2]), self.channel.update(*found)
        if bands is None or channel is None:
            return None
        return bool(bands[0] < channel[0] and bands[2] > channel[2])


class Squeeze(_Squeeze):
    """Both Bollinger bands (`period`, `deviations`) are inside the Keltner channel (`period`, `multiple` ATRs)."""

    CODE, ALIASES = "squeeze", ("bollinger_squeeze", "bb_squeeze", "ttm_squeeze")

    def step(self, bar: Any) -> Verdict:
        return self.squeezed(bar)


class SqueezeRelease(_Squeeze):
    """The Bollinger bands were inside the Keltner channel at the bar before, and no longer are."""

    CODE, ALIASES = "squeeze_release", ("squeeze_fired", "squeeze_breakout")

    @classmethod
    def warm_up(cls, built: dict[str, Value]) -> int:
        return int(built["period"]) + 2

    def step(self, bar: Any) -> Verdict:
        last, self.last = self.last, self.squeezed(bar)
        return None if last is None or self.last is None else last and not self.last


class _Bands(Operator):
    FAMILY, PORTS = "volatility", ("bars",)
    FIELDS: ClassVar[tuple[Field, ...]] = (PERIOD, DEVIATIONS)

    def __init__(self, **built: Any) -> None:
        super().__init__(**built)
        deviations = float(built["deviations"])
        self.bands = make("bollinger", period=int(built["period"]), up=deviations, down=deviations)

    @classmethod
    def warm_up(cls, built: dict[str, Value]) -> int:
        return int(built["period"])

    def at(self, bar: Any) -> tuple[float, float, float, float] | None:
        """The close and the upper, middle and lower band."""
        found = figures(bar, "close")
        bands = None if found is None else self.bands.update(found[0])
        return None if found is None or bands is None else (found[0], bands[0], bands[1], bands[2])


class AboveUpperBand(_Bands):
    """The close is above the upper Bollinger band (`period`, `deviations`)."""

    CODE, ALIASES = "above_upper_band", ("bollinger_breakout_up", "outside_upper_band")

    def step(self, bar: Any) -> Verdict:
        found = self.at(bar)
        return None if found is None else found[0] > found[1]


class BelowLowerBand(_Bands):
    """The close is below the lower Bollinger band (`period`, `deviations`)."""

    CODE, ALIASES = "below_lower_band", ("bollinger_breakout_down", "outside_lower_band")

    def step(self, bar: Any) -> Verdict:
        found = self.at(bar)
        return None if found is None else found[0] < found[3]


class _Width(_Bands):
    FIELDS = (PERIOD, DEVIATIONS, PERCENT)

    def width(self, bar: Any) -> float | None:
        """The distance of the bands in percent of the size of the middle one."""
        found = self.at(bar)
        return None if found is None or not found[2] else (found[1] - found[3]) / abs(found[2]) * 100.0


class BandwidthAbove(_Width):
    """The Bollinger bands (`period`, `deviations`) are more than `percent` percent of the middle one apart."""

    CODE, ALIASES = "bandwidth_above", ("bb_width_above", "band_width_above")

    def step(self, bar: Any, percent: float) -> Verdict:
        width = self.width(bar)
        return None if width is None else width > percent


class BandwidthBelow(_Width):
    """The Bollinger bands (`period`, `deviations`) are less than `percent` percent of the middle one apart."""

    CODE, ALIASES = "bandwidth_below", ("bb_width_below", "band_width_below")

    def step(self, bar: Any, percent: float) -> Verdict:
        width = self.width(bar)
        return None if width is None else width < percent


OPERATORS: Final[tuple[type[Operator], ...]] = (
    VolatilityAbove, VolatilityBelow, VolatilityRising, VolatilityFalling, AtrAbove, AtrBelow, RangeExpansion,
    RangeContraction, NarrowestRange, WidestRange, Squeeze, SqueezeRelease, AboveUpperBand, BelowLowerBand,
    BandwidthAbove, BandwidthBelow,
)  # fmt: skip
