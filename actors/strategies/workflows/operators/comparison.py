"""Comparisons: where a value is beside another, a range, or its own past."""

# What `step` and `judge` return is in the docstring of their class.
# ruff: noqa: D102

from __future__ import annotations

from typing import Any, ClassVar, Final

from actors.market.indicators import make
from actors.strategies.workflows.fields import Field, Value, integer, number
from actors.strategies.workflows.operators.base import Operator, Verdict, Windowed

PAIR: Final = ("value", "reference")
TOLERANCE: Final = number("tolerance", 0.0, 0, None, "how far apart equal values may be", live=True)
PERCENT: Final = number("percent", 1.0, 0, 1e6, "percent of the reference", "tolerance", "threshold", live=True)
RANGE: Final = (
    number("lower", None, None, None, "the lower end", "min", "lower_bound", "value", live=True, required=True),
    number("upper", None, None, None, "the upper end", "max", "upper_bound", "value2", live=True, required=True),
)
BARS: Final = integer("bars", 20, 2, 5000, "how many bars are looked at", "period", "lookback")


class GreaterThan(Operator):
    """The value is above the reference."""

    CODE, FAMILY, PORTS, ALIASES = "greater_than", "comparison", PAIR, (">", "gt", "above")

    def step(self, value: float, reference: float) -> Verdict:
        return value > reference


class LessThan(Operator):
    """The value is below the reference."""

    CODE, FAMILY, PORTS, ALIASES = "less_than", "comparison", PAIR, ("<", "lt", "below")

    def step(self, value: float, reference: float) -> Verdict:
        return value < reference


class GreaterThanEqual(Operator):
    """The value is at or above the reference."""

    CODE, FAMILY, PORTS = "greater_than_equal", "comparison", PAIR
    ALIASES = (">=", "gte", "greater_equal", "greater_or_equal", "greater_than_or_equal")

    def step(self, value: float, reference: float) -> Verdict:
        return value >= reference


class LessThanEqual(Operator):
    """The value is at or below the reference."""

    CODE, FAMILY, PORTS = "less_than_equal", "comparison", PAIR
    ALIASES = ("<=", "lte", "less_equal", "less_or_equal", "less_than_or_equal")

    def step(self, value: float, reference: float) -> Verdict:
        return value <= reference


class Equal(Operator):
    """The value and the reference are at most `tolerance` apart."""

    CODE, FAMILY, PORTS, FIELDS = "equal", "comparison", PAIR, (TOLERANCE,)
    ALIASES = ("==", "=", "eq", "equals")

    def step(self, value: float, reference: float, tolerance: float) -> Verdict:
        return abs(value - reference) <= tolerance


class NotEqual(Operator):
    """The value and the reference are more than `tolerance` apart."""

    CODE, FAMILY, PORTS, FIELDS = "not_equal", "comparison", PAIR, (TOLERANCE,)
    ALIASES = ("!=", "ne", "neq", "not_equals")

    def step(self, value: float, reference: float, tolerance: float) -> Verdict:
        return abs(value - reference) > tolerance


class Between(Operator):
    """The value is in the range from `lower` to `upper`, the ends included."""

    CODE, FAMILY, FIELDS, ALIASES = "between", "comparison", RANGE, ("in_range", "range")

    def step(self, value: float, lower: float, upper: float) -> Verdict:
        return lower <= value <= upper


class Outside(Operator):
    """The value is below `lower` or above `upper`."""

    CODE, FAMILY, FIELDS, ALIASES = "outside", "comparison", RANGE, ("not_between", "outside_range", "out_of_range")

    def step(self, value: float, lower: float, upper: float) -> Verdict:
        return value < lower or value > upper


class WithinPercent(Operator):
    """The value is at most `percent` percent of the reference's size away from it."""

    CODE, FAMILY, PORTS, FIELDS, ALIASES = "within_percent", "comparison", PAIR, (PERCENT,), ("near", "close_to")

    def step(self, value: float, reference: float, percent: float) -> Verdict:
        return abs(value - reference) <= percent / 100.0 * abs(reference)


class AbovePercent(Operator):
    """The value is above the reference by more than `percent` percent of the reference's size."""

    CODE, FAMILY, PORTS, FIELDS = "above_percent", "comparison", PAIR, (PERCENT,)
    ALIASES = ("above_by_percent", "percent_above")

    def step(self, value: float, reference: float, percent: float) -> Verdict:
        return value - reference > percent / 100.0 * abs(reference)


class BelowPercent(Operator):
    """The value is below the reference by more than `percent` percent of the reference's size."""

    CODE, FAMILY, PORTS, FIELDS = "below_percent", "comparison", PAIR, (PERCENT,)
    ALIASES = ("below_by_percent", "percent_below")

    def step(self, value: float, reference: float, percent: float) -> Verdict:
        return reference - value > percent / 100.0 * abs(reference)


class Positive(Operator):
    """The value is above 0."""

    CODE, FAMILY, ALIASES = "positive", "comparison", ("above_zero", "is_positive")

    def step(self, value: float) -> Verdict:
        return value > 0


class Negative(Operator):
    """The value is below 0."""

    CODE, FAMILY, ALIASES = "negative", "comparison", ("below_zero", "is_negative")

    def step(self, value: float) -> Verdict:
        return value < 0


class _OfBars(Windowed):
    FAMILY = "comparison"
    FIELDS: ClassVar[tuple[Field, ...]] = (BARS,)

    @classmethod
    def warm_up(cls, built: dict[str, Value]) -> int:
        return int(built["bars"])


class HighestOf(_OfBars):
    """No value of the last `bars` is above this one; this one is among them."""

    CODE, ALIASES = "highest_of", ("highest", "is_highest")

    def judge(self, value: float) -> Verdict:
        return bool(value >= max(self.window))


class LowestOf(_OfBars):
    """No value of the last `bars` is below this one; this one is among them."""

    CODE, ALIASES = "lowest_of", ("lowest", "is_lowest")

    def judge(self, value: float) -> Verdict:
        return bool(value <= min(self.window))


class _Ranked(Windowed):
    FAMILY = "comparison"
    FIELDS = (BARS, number("percent", 80.0, 0, 100, "the rank in percent", "percentile", "threshold", live=True))

    @classmethod
    def warm_up(cls, built: dict[str, Value]) -> int:
        return int(built["bars"]) + 1

    def _rank(self, value: float) -> float:
        before: list[float] = list(self.window)[:-1]
        return 100.0 * sum(each < value for each in before) / len(before)


class PercentileAbove(_Ranked):
    """Of the `bars` values before this one, more than `percent` percent are below it."""

    CODE, ALIASES = "percentile_above", ("percentile_rank_above",)

    def judge(self, value: float, percent: float) -> Verdict:
        return self._rank(value) > percent


class PercentileBelow(_Ranked):
    """Of the `bars` values before this one, fewer than `percent` percent are below it."""

    CODE, ALIASES = "percentile_below", ("percentile_rank_below",)

    def judge(self, value: float, percent: float) -> Verdict:
        return self._rank(value) < percent


class _Scored(Operator):
    FAMILY = "comparison"
    FIELDS = (BARS, number("deviations", 2.0, -100, 100, "standard deviations", "zscore", "value", live=True))

    def __init__(self, **built: Any) -> None:
        super().__init__(**built)
        self.score = make("zscore", period=int(built["bars"]))

    @classmethod
    def warm_up(cls, built: dict[str, Value]) -> int:
        return int(built["bars"])


class ZscoreAbove(_Scored):
    """The value is more than `deviations` standard deviations (of the population) above the mean of the last `bars`.

    Unknown where all of them are equal.
    """

    CODE, ALIASES = "zscore_above", ("z_score_above",)

    def step(self, value: float, deviations: float) -> Verdict:
        score = self.score.update(value)
        return None if score is None else bool(score > deviations)


class ZscoreBelow(_Scored):
    """The value's distance from the mean of the last `bars`, in standard deviations, is below `deviations`.

    Below its mean that is a negative number. Unknown where all of them are equal.
    """

    CODE, ALIASES = "zscore_below", ("z_score_below",)

    def step(self, value: float, deviations: float) -> Verdict:
        score = self.score.update(value)
        return None if score is None else bool(score < deviations)


OPERATORS: Final[tuple[type[Operator], ...]] = (
    GreaterThan, LessThan, GreaterThanEqual, LessThanEqual, Equal, NotEqual, Between, Outside, WithinPercent,
    AbovePercent, BelowPercent, Positive, Negative, HighestOf, LowestOf, PercentileAbove, PercentileBelow, ZscoreAbove,
    ZscoreBelow,
)  # fmt: skip
