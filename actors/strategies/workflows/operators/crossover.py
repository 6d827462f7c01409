"""Crossings: what changes from one bar to the next. All of them need the bar before."""

# What `step` and `judge` return is in the docstring of their class.
# ruff: noqa: D102

from __future__ import annotations

from typing import Any, ClassVar, Final

from actors.strategies.workflows.fields import Value, integer
from actors.strategies.workflows.operators.base import Operator, Verdict, Windowed, figures
from actors.strategies.workflows.operators.comparison import PAIR, RANGE

WITHIN: Final = (integer("bars", 3, 1, 1000, "how many bars back it may have been, this one included", "period"),)


class _Crossing(Windowed):
    """Keeps the values and references of this bar and the one before."""

    FAMILY, PORTS = "crossover", PAIR

    @classmethod
    def warm_up(cls, built: dict[str, Value]) -> int:
        return 2

    def kept(self, value: float, reference: float) -> Any:
        return (value, reference)

    def up(self) -> bool:
        """Whether the value has come from at or below the reference to above it."""
        (value, reference), (now, now_reference) = self.window
        return bool(value <= reference and now > now_reference)

    def down(self) -> bool:
        """Whether the value has come from at or above the reference to below it."""
        (value, reference), (now, now_reference) = self.window
        return bool(value >= reference and now < now_reference)


class CrossAbove(_Crossing):
    """The value is above the reference, and was at or below it at the bar before."""

    CODE = "cross_above"
    ALIASES: ClassVar[tuple[str, ...]] = ("crosses_above", "crossover", "cross_over", "crossabove", "golden_cross")

    def judge(self, value: float, reference: float) -> Verdict:
        return self.up()


class CrossBelow(_Crossing):
    """The value is below the reference, and was at or above it at the bar before."""

    CODE = "cross_below"
    ALIASES: ClassVar[tuple[str, ...]] = ("crosses_below", "crossunder", "cross_under", "crossbelow", "death_cross")

    def judge(self, value: float, reference: float) -> Verdict:
        return self.down()


class Cross(_Crossing):
    """The value has crossed the reference in either direction since the bar before."""

    CODE, ALIASES = "cross", ("crosses", "cross_any", "any_cross")

    def judge(self, value: float, reference: float) -> Verdict:
        return self.up() or self.down()


class _Lately(_Crossing):
    FIELDS = WITHIN

    def __init__(self, **built: Any) -> None:
        super().__init__(**built)
        self.since = int(built["bars"])

    @classmethod
    def memory(cls, built: dict[str, Value]) -> int:
        return int(built["bars"])

    def lately(self, crossed: bool) -> bool:
        """Note whether it has crossed at this bar; say whether it has at one of the last `bars`."""
        self.since = 0 if crossed else self.since + 1
        return self.since < int(self.built["bars"])


class CrossAboveWithin(_Lately):
    """The value has crossed above the reference at one of the last `bars` bars, this one included."""

    CODE, ALIASES = "cross_above_within", ("crossed_above_recently",)

    def judge(self, value: float, reference: float) -> Verdict:
        return self.lately(self.up())


class CrossBelowWithin(_Lately):
    """The value has crossed below the reference at one of the last `bars` bars, this one included."""

    CODE, ALIASES = "cross_below_within", ("crossed_below_recently",)

    def judge(self, value: float, reference: float) -> Verdict:
        return self.lately(self.down())


class _Turning(Windowed):
    FAMILY = "crossover"

    @classmethod
    def warm_up(cls, built: dict[str, Value]) -> int:
        return 3


class TurnsUp(_Turning):
    """The value is above that of the bar before, which was at or below the one before it."""

    CODE, ALIASES = "turns_up", ("turn_up", "reversal_up", "bottoms")

    def judge(self, value: float) -> Verdict:
        before, last, now = self.window
        return bool(last <= before and now > last)


class TurnsDown(_Turning):
    """The value is below that of the bar before, which was at or above the one before it."""

    CODE, ALIASES = "turns_down", ("turn_down", "reversal_down", "tops")

    def judge(self, value: float) -> Verdict:
        before, last, now = self.window
        return bool(last >= before and now < last)


class _Ranging(Windowed):
    FAMILY, FIELDS = "crossover", RANGE

    @classmethod
    def warm_up(cls, built: dict[str, Value]) -> int:
        return 2


class EntersRange(_Ranging):
    """The value is in the range from `lower` to `upper`, and was not at the bar before."""

    CODE, ALIASES = "enters_range", ("enter_range", "crosses_into_range")

    def judge(self, value: float, lower: float, upper: float) -> Verdict:
        return lower <= value <= upper and not lower <= self.window[0] <= upper


class LeavesRange(_Ranging):
    """The value is outside the range from `lower` to `upper`, and was inside at the bar before."""

    CODE, ALIASES = "leaves_range", ("exit_range", "leave_range", "crosses_out_of_range")

    def judge(self, value: float, lower: float, upper: float) -> Verdict:
        return lower <= self.window[0] <= upper and not lower <= value <= upper


class Touches(Operator):
    """The reference lies between the bar's low and its high, both included."""

    CODE, FAMILY, PORTS, ALIASES = "touches", "crossover", ("bars", "reference"), ("touch", "touches_level")

    def step(self, bar: Any, reference: float) -> Verdict:
        found = figures(bar, "low", "high")
        return None if found is None else found[0] <= reference <= found[1]


class _Rejected(Operator):
    FAMILY, PORTS = "crossover", ("bars", "reference")

    def __init__(self, **built: Any) -> None:
        super().__init__(**built)
        self.last: tuple[float, float] | None = None

    @classmethod
    def warm_up(cls, built: dict[str, Value]) -> int:
        return 2


class RejectedAbove(_Rejected):
    """The bar's high is at or above the reference, its close below it, and so was the close before, below its own."""

    CODE, ALIASES = "rejected_above", ("rejects_resistance", "bounces_down", "resistance_rejection")

    def step(self, bar: Any, reference: float) -> Verdict:
        found = figures(bar, "high", "close")
        last = self.last
        self.last = None if found is None else (found[1], reference)
        if found is None or last is None:
            return None
        return found[0] >= reference > found[1] and last[0] < last[1]


class RejectedBelow(_Rejected):
    """The bar's low is at or below the reference, its close above it, and so was the close before, above its own."""

    CODE, ALIASES = "rejected_below", ("bounces_up", "support_bounce", "rejects_support")

    def step(self, bar: Any, reference: float) -> Verdict:
        found = figures(bar, "low", "close")
        last = self.last
        self.last = None if found is None else (found[1], reference)
        if found is None or last is None:
            return None
        return found[0] <= reference < found[1] and last[0] > last[1]


OPERATORS: Final[tuple[type[Operator], ...]] = (
    CrossAbove, CrossBelow, Cross, CrossAboveWithin, CrossBelowWithin, TurnsUp, TurnsDown, EntersRange, LeavesRange,
    Touches, RejectedAbove, RejectedBelow,
)  # fmt: skip
