"""What a metric is before there is a run, and how it becomes a figure of one."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Final, Literal, NamedTuple

import numpy as np

from actors.research.metrics.metric import Metric, Unit, Unknown
from actors.research.metrics.sample import Sample

Counted = Literal["daily returns", "trades", "samples", "days", "days with the benchmark"]

FEW_TRADES: Final = 30
FEW: Final = f"fewer than {FEW_TRADES} trades: chance has the larger part in it"


class Definition(NamedTuple):
    """`name` may hold `{N}`, the period. A value outside of [`low`, `high`] is refused: it is not possible."""

    key: str
    name: str
    group: str
    unit: Unit
    compute: Callable[[Sample], float]
    formula: str
    source: str
    counted: Counted
    minimum: int
    better: Literal["higher", "lower", ""] = ""
    low: float = -math.inf
    high: float = math.inf
    of_benchmark: bool = False
    """Whether the benchmark has this figure too."""
    warns: Callable[[Sample], str] | None = None
    """What is to be said beside the value, if anything."""


def evaluated(definition: Definition, sample: Sample) -> Metric:
    """The figure of a run, or why there is none."""
    value, reason, state = _value(definition, sample)
    warning = definition.warns(sample) if definition.warns is not None and value is not None else ""
    if not warning and value is not None and definition.counted == "trades" and len(sample.trips) < FEW_TRADES:
        warning = FEW
    return Metric(
        key=definition.key,
        name=definition.name.replace("{N}", sample.label),
        group=definition.group,
        unit=definition.unit,
        state=state,
        value=value,
        benchmark=_of_benchmark(definition, sample),
        reason=reason,
        warning=warning,
        better=definition.better,
        formula=definition.formula,
        source=definition.source,
        minimum=definition.minimum,
        samples=_count(definition, sample) or 0,
        counted=definition.counted,
    )


def _value(definition: Definition, sample: Sample) -> tuple[float | None, str, Literal["value", "unknown", "refused"]]:
    try:
        counted = _count(definition, sample)
        if counted is not None and counted < definition.minimum:
            return None, f"{counted} {definition.counted}, needs {definition.minimum}", "unknown"
        # What overflows comes out as infinite and is refused below.
        with np.errstate(all="ignore"):
            value = float(definition.compute(sample))
    except Unknown as unknown:
        return None, str(unknown), "unknown"
    except OverflowError:
        value = math.inf
    if not math.isfinite(value) or not definition.low <= value <= definition.high:
        limits = f"expected {definition.low:g} to {definition.high:g}"
        return None, f"refused: {value:.3g} is not possible, {limits}", "refused"
    return value, "", "value"


def _count(definition: Definition, sample: Sample) -> int | None:
    """How many observations there are. None: that itself cannot be told, the formula says why."""
    try:
        match definition.counted:
            case "daily returns":
                return int(sample.returns.size)
            case "trades":
                return len(sample.trips)
            case "samples":
                return int(sample.equity.size)
            case "days":
                return int(sample.elapsed_days)
            case "days with the benchmark":
                return int(sample.paired[0].size)
    except Unknown:
        return None


def _of_benchmark(definition: Definition, sample: Sample) -> float | None:
    if not definition.of_benchmark:
        return None
    try:
        return _value(definition, sample.benchmark)[0]
    except Unknown:
        return None
