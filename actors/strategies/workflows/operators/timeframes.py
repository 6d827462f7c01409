"""Conditions on values of several timeframes.

A slower value keeps standing until its next bar; so its direction is that of its last change, and not the difference to
what it was a (fast) bar ago.
"""

# What `step` and `judge` return is in the docstring of their class.
# ruff: noqa: D102

from __future__ import annotations

from typing import Any, ClassVar, Final

from actors.strategies.workflows.fields import Value
from actors.strategies.workflows.operators import crossover
from actors.strategies.workflows.operators.base import Operator, Verdict
from actors.strategies.workflows.operators.comparison import PAIR

FAMILY: Final = "multi_timeframe"


class TimeframeAbove(Operator):
    """The value of one timeframe is above that of another."""

    CODE, PORTS, ALIASES = "timeframe_above", PAIR, ("mtf_above", "higher_timeframe_above")
    FAMILY = FAMILY

    def step(self, value: float, reference: float) -> Verdict:
        return value > reference


class TimeframeBelow(Operator):
    """The value of one timeframe is below that of another."""

    CODE, PORTS, ALIASES = "timeframe_below", PAIR, ("mtf_below", "higher_timeframe_below")
    FAMILY = FAMILY

    def step(self, value: float, reference: float) -> Verdict:
        return value < reference


class TimeframeCrossAbove(crossover.CrossAbove):
    """The value of one timeframe is above that of another, and was at or below it at the bar before."""

    CODE = "timeframe_cross_above"
    ALIASES: ClassVar[tuple[str, ...]] = ("mtf_cross_above",)
    FAMILY = FAMILY


class TimeframeCrossBelow(crossover.CrossBelow):
    """The value of one timeframe is below that of another, and was at or above it at the bar before."""

    CODE = "timeframe_cross_below"
    ALIASES: ClassVar[tuple[str, ...]] = ("mtf_cross_below",)
    FAMILY = FAMILY


class _Directions(Operator):
    FAMILY = FAMILY
    PORTS = ("values",)

    def __init__(self, **built: Any) -> None:
        super().__init__(**built)
        self.last: tuple[float, ...] = ()
        self.signs: list[int] = []

    @classmethod
    def warm_up(cls, built: dict[str, Value]) -> int:
        return 2

    @classmethod
    def memory(cls, built: dict[str, Value]) -> int:
        # Until each of the values has changed; a slow one needs as many bars as its timeframe is slower.
        return 100

    def directions(self, values: tuple[float, ...]) -> list[int] | None:
        """The sign of the last change of each value; None until all have changed."""
        if not self.last:
            self.signs = [0] * len(values)
        else:
            for place, (before, now) in enumerate(zip(self.last, values, strict=True)):
                if now != before:
                    self.signs[place] = 1 if now > before else -1
        self.last = values
        return self.signs if all(self.signs) else None


class TimeframesRising(_Directions):
    """The last change of every value was upward. Unknown until each of them has changed."""

    CODE, ALIASES = "timeframes_rising", ("mtf_rising", "timeframes_aligned_up", "mtf_bullish_alignment")

    def step(self, *inputs: Any) -> Verdict:
        signs = self.directions(inputs)
        return None if signs is None else min(signs) > 0


class TimeframesFalling(_Directions):
    """The last change of every value was downward. Unknown until each of them has changed."""

    CODE, ALIASES = "timeframes_falling", ("mtf_falling", "timeframes_aligned_down", "mtf_bearish_alignment")

    def step(self, *inputs: Any) -> Verdict:
        signs = self.directions(inputs)
        return None if signs is None else max(signs) < 0


class TimeframesOpposed(_Directions):
    """Of the last changes of the values one was upward and one downward. Unknown until each of them has changed."""

    CODE, ALIASES = "timeframes_opposed", ("mtf_divergence", "timeframes_diverge")

    def step(self, *inputs: Any) -> Verdict:
        signs = self.directions(inputs)
        return None if signs is None else min(signs) < 0 < max(signs)


class TimeframesPositive(Operator):
    """Every value is above 0."""

    CODE, PORTS, ALIASES = "timeframes_positive", ("values",), ("mtf_positive",)
    FAMILY = FAMILY

    def step(self, *inputs: Any) -> Verdict:
        return bool(min(inputs) > 0)


class TimeframesNegative(Operator):
    """Every value is below 0."""

    CODE, PORTS, ALIASES = "timeframes_negative", ("values",), ("mtf_negative",)
    FAMILY = FAMILY

    def step(self, *inputs: Any) -> Verdict:
        return bool(max(inputs) < 0)


OPERATORS: Final[tuple[type[Operator], ...]] = (
    TimeframeAbove, TimeframeBelow, TimeframeCrossAbove, TimeframeCrossBelow, TimeframesRising, TimeframesFalling,
    TimeframesOpposed, TimeframesPositive, TimeframesNegative,
)  # fmt: skip
