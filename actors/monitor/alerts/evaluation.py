"""Whether a rule holds, by what is known: true, false, or not known, with the value that was compared and the reason.

`and` and `or` are Kleene's: what is known may decide although something else is unknown.
"""

from __future__ import annotations

import math
import operator
from collections.abc import Callable, Mapping
from typing import Final

import msgspec

from actors.monitor.alerts.expression import (
    Arithmetic,
    AverageOver,
    Comparison,
    Condition,
    Either,
    Latest,
    MeanOfLast,
    Number,
    Quantile,
    Rate,
    Ratio,
    Value,
)
from actors.monitor.alerts.series import SECOND, History, Unknown


class Finding(msgspec.Struct, frozen=True):
    """What was found. `holds` None: not known, and `why` says so. `value`: the left side of the comparison that
    decided, None where that is not known."""

    holds: bool | None
    value: float | None = None
    why: str = ""


_COMPARE: Final[dict[str, Callable[[float, float], bool]]] = {
    "<": operator.lt,
    "<=": operator.le,
    ">": operator.gt,
    ">=": operator.ge,
    "==": operator.eq,
    "!=": operator.ne,
}


def examine(condition: Condition, history: History, group: Mapping[str, str]) -> Finding:
    """Whether the condition holds at the last sampling, for the series that have the group's labels."""
    if isinstance(condition, Comparison):
        try:
            left = value_of(condition.left, history, group)
        except Unknown as unknown:
            return Finding(None, None, str(unknown))
        try:
            right = value_of(condition.right, history, group)
        except Unknown as unknown:
            return Finding(None, left, str(unknown))
        return Finding(_COMPARE[condition.operator](left, right), left)
    found = [examine(part, history, group) for part in condition.parts]
    decides = isinstance(condition, Either)
    for each in found:
        if each.holds is decides:
            return each
    for each in found:
        if each.holds is None:
            return each
    return found[0]


def value_of(node: Value, history: History, group: Mapping[str, str]) -> float:
    """The number that an expression is. Raises Unknown; a result that is no number is unknown, too."""
    found = _value_of(node, history, group)
    if not math.isfinite(found):
        raise Unknown("the result is no finite number")
    return found


def _value_of(node: Value, history: History, group: Mapping[str, str]) -> float:
    now = history.taken
    match node:
        case Number(value=value):
            return value
        case Latest(of=selector, aggregate=aggregate):
            return history.latest(selector, group, aggregate)
        case AverageOver(of=latest, window_s=window):
            return history.mean(latest.of, group, latest.aggregate, _begin(now, window))
        case MeanOfLast(of=latest, count=count):
            counts = history.is_histogram(latest.of.name)
            begin = history.begin_of_intervals(count) if counts else history.begin_of_last(count)
            return history.mean(latest.of, group, latest.aggregate, begin)
        case Rate(of=selector, window_s=window):
            grown = history.growth(selector, group, _begin(now, window))
            return grown / history.span_s(selector, group, _begin(now, window))
        case Ratio():
            return _ratio(node, history, group, _begin(now, node.window_s))
        case Quantile(q=q, of=selector, window_s=window):
            return interpolated(q, history.buckets(selector, group, _begin(now, window)))
        case Arithmetic(left=left, right=right):
            return _arithmetic(node, value_of(left, history, group), value_of(right, history, group))


def _begin(now: int, window_s: float) -> int:
    return now - int(window_s * SECOND)


def _ratio(node: Ratio, history: History, group: Mapping[str, str], begin: int) -> float:
    whole = history.growth(node.whole, group, begin)
    if not whole:
        raise Unknown(f"nothing was counted by {node.whole.name} in that time")
    try:
        part = history.growth(node.part, group, begin)
    except Unknown:
        # The same counter counts both: a part of it that nothing has fallen into is zero, and known to be.
        if node.part.name != node.whole.name:
            raise
        part = 0.0
    return part / whole


def _arithmetic(node: Arithmetic, left: float, right: float) -> float:
    match node.operator:
        case "+":
            return left + right
        case "-":
            return left - right
        case "*":
            return left * right
        case "/":
            if right == 0:
                raise Unknown("a division by zero")
            return left / right


def interpolated(q: float, buckets: list[tuple[float, float]]) -> float:
    """The quantile of cumulative buckets, as Prometheus' `histogram_quantile` has it: linear within a bucket.

    A quantile in the last bucket is the highest finite bound. Raises Unknown without an observation.
    """
    total = buckets[-1][1]
    if total <= 0 or not math.isinf(buckets[-1][0]):
        raise Unknown("nothing was observed in that time")
    rank = q * total
    below_bound, below = 0.0, 0.0
    for bound, count in buckets:
        if count >= rank and count > 0:
            if math.isinf(bound):
                return below_bound
            if count == below:
                return bound
            return below_bound + (bound - below_bound) * (rank - below) / (count - below)
        below_bound, below = bound, count
    raise Unknown("the buckets do not add up")
