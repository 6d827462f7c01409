"""Trends: of a value over a number of bars, and of the bars themselves."""

# What `step` and `judge` return is in the docstring of their class.
# ruff: noqa: D102

from __future__ import annotations

from itertools import pairwise
from math import fsum
from typing import Any, ClassVar, Final

from actors.market.indicators import make
from actors.strategies.workflows.fields import Field, Value, integer, number
from actors.strategies.workflows.operators.base import Operator, Verdict, Windowed, figures

STEPS: Final = integer("bars", 3, 1, 1000, "how many bars in a row", "period", "lookback")
BACK: Final = integer("bars", 10, 1, 5000, "how many bars ago", "period", "lookback")
FIT: Final = integer("bars", 20, 2, 5000, "how many bars the line is fitted to", "period", "lookback")
PERIOD: Final = integer("period", 20, 1, 5000, "bars of the average", "bars", "lookback")
RECENT: Final = integer("bars", 20, 1, 5000, "how many bars before this one", "period", "lookback")


class _Values(Windowed):
    FAMILY = "trend"

    @classmethod
    def warm_up(cls, built: dict[str, Value]) -> int:
        return int(built["bars"]) + 1


class Rising(_Values):
    """Each of the last `bars` values is above the one before it."""

    CODE, FIELDS, ALIASES = "rising", (STEPS,), ("increasing", "trending_up", "is_rising")

    def judge(self, value: float) -> Verdict:
        return all(later > earlier for earlier, later in pairwise(self.window))


class Falling(_Values):
    """Each of the last `bars` values is below the one before it."""

    CODE, FIELDS, ALIASES = "falling", (STEPS,), ("decreasing", "trending_down", "is_falling")

    def judge(self, value: float) -> Verdict:
        return all(later < earlier for earlier, later in pairwise(self.window))


class HigherThanBefore(_Values):
    """The value is above that of `bars` bars ago."""

    CODE, FIELDS, ALIASES = "higher_than_before", (BACK,), ("higher_than",)

    def judge(self, value: float) -> Verdict:
        return bool(value > self.window[0])


class LowerThanBefore(_Values):
    """The value is below that of `bars` bars ago."""

    CODE, FIELDS, ALIASES = "lower_than_before", (BACK,), ("lower_than",)

    def judge(self, value: float) -> Verdict:
        return bool(value < self.window[0])


class _Change(_Values):
    FIELDS = (BACK, number("percent", 1.0, -1e6, 1e6, "percent", "threshold", "value", live=True))

    def change(self, value: float) -> float | None:
        """The change since the window's first value, in percent of that value's size."""
        first: float = self.window[0]
        return (value - first) / abs(first) * 100.0 if first else None


class ChangeAbove(_Change):
    """The change since `bars` bars ago is above `percent` percent of the size it had. Unknown where that was 0."""

    CODE, ALIASES = "change_above", ("percent_change_above", "increases_by_percent")

    def judge(self, value: float, percent: float) -> Verdict:
        change = self.change(value)
        return None if change is None else change > percent


class ChangeBelow(_Change):
    """The change since `bars` bars ago is below `percent` percent of the size it had. Unknown where that was 0."""

    CODE, ALIASES = "change_below", ("percent_change_below", "decreases_by_percent")

    def judge(self, value: float, percent: float) -> Verdict:
        change = self.change(value)
        return None if change is None else change < percent


class _Slope(Windowed):
    FAMILY = "trend"
    FIELDS = (FIT, number("slope", 0.0, None, None, "per bar", "threshold", "value", live=True))

    @classmethod
    def warm_up(cls, built: dict[str, Value]) -> int:
        return int(built["bars"])

    def slope(self) -> float:
        """The slope, per bar, of the straight line that fits the window best (least squares)."""
        middle = (len(self.window) - 1) / 2.0
        places = [place - middle for place in range(len(self.window))]
        return fsum(x * y for x, y in zip(places, self.window, strict=True)) / fsum(x * x for x in places)


class SlopeAbove(_Slope):
    """The line fitted to the last `bars` values (least squares) rises by more than `slope` a bar."""

    CODE, ALIASES = "slope_above", ("slope_greater_than", "positive_slope")

    def judge(self, value: float, slope: float) -> Verdict:
        return self.slope() > slope


class SlopeBelow(_Slope):
    """The line fitted to the last `bars` values (least squares) rises by less than `slope` a bar."""

    CODE, ALIASES = "slope_below", ("slope_less_than", "negative_slope")

    def judge(self, value: float, slope: float) -> Verdict:
        return self.slope() < slope


class _Second(Windowed):
    FAMILY = "trend"

    @classmethod
    def warm_up(cls, built: dict[str, Value]) -> int:
        return 3


class Accelerating(_Second):
    """The last change of the value is above the change before it."""

    CODE, ALIASES = "accelerating", ("acceleration",)

    def judge(self, value: float) -> Verdict:
        before, last, now = self.window
        return bool(now - last > last - before)


class Decelerating(_Second):
    """The last change of the value is below the change before it."""

    CODE, ALIASES = "decelerating", ("deceleration",)

    def judge(self, value: float) -> Verdict:
        before, last, now = self.window
        return bool(now - last < last - before)


class _Bars(Windowed):
    """Keeps open, high, low and close of the last `bars` and the bar before them."""

    FAMILY, PORTS = "trend", ("bars",)
    FIELDS: ClassVar[tuple[Field, ...]] = (STEPS,)

    @classmethod
    def warm_up(cls, built: dict[str, Value]) -> int:
        return int(built["bars"]) + 1

    def step(self, *inputs: Any) -> Verdict:
        found = figures(inputs[0], "open", "high", "low", "close")
        if found is None:
            self.window.clear()
            return None
        self.window.append(found)
        return self.judge() if len(self.window) == self.window.maxlen else None

    def row(self, place: int) -> list[float]:
        """One figure of all bars of the window: 0 open, 1 high, 2 low, 3 close."""
        return [bar[place] for bar in self.window]


class HigherHighs(_Bars):
    """Each of the last `bars` highs is above the high before it."""

    CODE, ALIASES = "higher_highs", ("higher_high",)

    def judge(self, *inputs: Any) -> Verdict:
        return all(later > earlier for earlier, later in pairwise(self.row(1)))


class LowerHighs(_Bars):
    """Each of the last `bars` highs is below the high before it."""

    CODE, ALIASES = "lower_highs", ("lower_high",)

    def judge(self, *inputs: Any) -> Verdict:
        return all(later < earlier for earlier, later in pairwise(self.row(1)))


class HigherLows(_Bars):
    """Each of the last `bars` lows is above the low before it."""

    CODE, ALIASES = "higher_lows", ("higher_low",)

    def judge(self, *inputs: Any) -> Verdict:
        return all(later > earlier for earlier, later in pairwise(self.row(2)))


class LowerLows(_Bars):
    """Each of the last `bars` lows is below the low before it."""

    CODE, ALIASES = "lower_lows", ("lower_low",)

    def judge(self, *inputs: Any) -> Verdict:
        return all(later < earlier for earlier, later in pairwise(self.row(2)))


class _Recent(_Bars):
    FIELDS = (RECENT,)


class NewHigh(_Recent):
    """The bar's high is above the highs of the `bars` bars before it."""

    CODE, ALIASES = "new_high", ("new_highs",)

    def judge(self, *inputs: Any) -> Verdict:
        *before, now = self.row(1)
        return now > max(before)


class NewLow(_Recent):
    """The bar's low is below the lows of the `bars` bars before it."""

    CODE, ALIASES = "new_low", ("new_lows",)

    def judge(self, *inputs: Any) -> Verdict:
        *before, now = self.row(2)
        return now < min(before)


class BreakoutUp(_Recent):
    """The close is above the highs of the `bars` bars before it."""

    CODE, ALIASES = "breakout_up", ("breakout", "breakout_above", "breaks_above")

    def judge(self, *inputs: Any) -> Verdict:
        return self.row(3)[-1] > max(self.row(1)[:-1])


class BreakoutDown(_Recent):
    """The close is below the lows of the `bars` bars before it."""

    CODE, ALIASES = "breakout_down", ("breakdown", "breakout_below", "breaks_below")

    def judge(self, *inputs: Any) -> Verdict:
        return self.row(3)[-1] < min(self.row(2)[:-1])


class _InARow(_Bars):
    @classmethod
    def warm_up(cls, built: dict[str, Value]) -> int:
        return int(built["bars"])


class UpBars(_InARow):
    """Each of the last `bars` bars closed above its open."""

    CODE, ALIASES = "up_bars", ("consecutive_up", "consecutive_up_bars", "green_bars")

    def judge(self, *inputs: Any) -> Verdict:
        return all(bar[3] > bar[0] for bar in self.window)


class DownBars(_InARow):
    """Each of the last `bars` bars closed below its open."""

    CODE, ALIASES = "down_bars", ("consecutive_down", "consecutive_down_bars", "red_bars")

    def judge(self, *inputs: Any) -> Verdict:
        return all(bar[3] < bar[0] for bar in self.window)


class _Gap(_Bars):
    FIELDS = ()

    @classmethod
    def warm_up(cls, built: dict[str, Value]) -> int:
        return 2


class GapUp(_Gap):
    """The bar opened above the high of the bar before."""

    CODE, ALIASES = "gap_up", ("gaps_up",)

    def judge(self, *inputs: Any) -> Verdict:
        return bool(self.window[1][0] > self.window[0][1])


class GapDown(_Gap):
    """The bar opened below the low of the bar before."""

    CODE, ALIASES = "gap_down", ("gaps_down",)

    def judge(self, *inputs: Any) -> Verdict:
        return bool(self.window[1][0] < self.window[0][2])


class _Average(Operator):
    FAMILY, PORTS, FIELDS = "trend", ("bars",), (PERIOD,)

    def __init__(self, **built: Any) -> None:
        super().__init__(**built)
        self.average = make("sma", period=int(built["period"]))
        self.last: float | None = None

    @classmethod
    def warm_up(cls, built: dict[str, Value]) -> int:
        return int(built["period"]) + 1

    def moved(self, bar: Any) -> tuple[float, float, float] | None:
        """The close, its average, and the average before, once there are both."""
        found = figures(bar, "close")
        if found is None:
            return None
        last, self.last = self.last, self.average.update(found[0])
        return None if last is None or self.last is None else (found[0], self.last, last)


class Uptrend(_Average):
    """The close is above its simple average over `period` bars, and that is above its own value one bar before."""

    CODE, ALIASES = "uptrend", ("bullish_trend", "in_uptrend")

    def step(self, bar: Any) -> Verdict:
        found = self.moved(bar)
        return None if found is None else found[0] > found[1] > found[2]


class Downtrend(_Average):
    """The close is below its simple average over `period` bars, and that is below its own value one bar before."""

    CODE, ALIASES = "downtrend", ("bearish_trend", "in_downtrend")

    def step(self, bar: Any) -> Verdict:
        found = self.moved(bar)
        return None if found is None else found[0] < found[1] < found[2]


class _Strength(Operator):
    FAMILY, PORTS = "trend", ("bars",)
    FIELDS = (
        integer("period", 14, 2, 1000, "period of the ADX", "bars"),
        number("strength", 25.0, 0, 100, "the ADX", "threshold", "value", live=True),
    )

    def __init__(self, **built: Any) -> None:
        super().__init__(**built)
        self.index = make("adx", period=int(built["period"]))

    @classmethod
    def warm_up(cls, built: dict[str, Value]) -> int:
        return 2 * int(built["period"])

    @classmethod
    def memory(cls, built: dict[str, Value]) -> int:
        return 42 * int(built["period"])

    def adx(self, bar: Any) -> float | None:
        """The average directional index at this bar."""
        found = figures(bar, "high", "low", "close")
        value = None if found is None else self.index.update(*found)
        return None if value is None else float(value[0])


class StrongTrend(_Strength):
    """The ADX of `period` bars is above `strength`."""

    CODE, ALIASES = "strong_trend", ("trend_strong", "trending", "adx_above")

    def step(self, bar: Any, strength: float) -> Verdict:
        value = self.adx(bar)
        return None if value is None else value > strength


class WeakTrend(_Strength):
    """The ADX of `period` bars is below `strength`."""

    CODE, ALIASES = "weak_trend", ("trend_weak", "ranging", "sideways", "adx_below")

    def step(self, bar: Any, strength: float) -> Verdict:
        value = self.adx(bar)
        return None if value is None else value < strength


OPERATORS: Final[tuple[type[Operator], ...]] = (
    Rising, Falling, HigherThanBefore, LowerThanBefore, ChangeAbove, ChangeBelow, SlopeAbove, SlopeBelow, Accelerating,
    Decelerating, HigherHighs, LowerHighs, HigherLows, LowerLows, NewHigh, NewLow, BreakoutUp, BreakoutDown, UpBars,
    DownBars, GapUp, GapDown, Uptrend, Downtrend, StrongTrend, WeakTrend,
)  # fmt: skip
