"""A run as one JSON document, for programs."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any, Final

import msgspec
import numpy as np

from actors.research.metrics.metric import Metric
from actors.research.metrics.registry import warnings
from actors.research.report.monthly import by_month
from actors.research.results import RunResult, Series
from actors.research.statistics.comparison import Comparison
from actors.research.statistics.monte_carlo import MonteCarlo
from actors.research.statistics.walk_forward import WalkForward

SCHEMA: Final = 1


def as_json(
    result: RunResult,
    metrics: Sequence[Metric],
    *,
    monte_carlo: MonteCarlo | None = None,
    walk_forward: WalkForward | None = None,
    comparison: Comparison | None = None,
) -> bytes:
    """Strict JSON: what is no number is null. Series are `{"ts": [ns], "values": [number]}`."""
    document = {
        "schema": SCHEMA,
        "run": plain(result),
        "metrics": plain(tuple(metrics)),
        "warnings": list(warnings(result, metrics)),
        "months": plain(by_month(result.equity)),
        "monte_carlo": plain(monte_carlo),
        "walk_forward": plain(walk_forward),
        "comparison": plain(comparison),
    }
    return msgspec.json.encode(document)


def plain(value: Any) -> Any:
    """What JSON knows, of what a report is made of. Raises TypeError on anything else."""
    match value:
        case None | bool() | int() | str():
            return value
        case float():
            return value if math.isfinite(value) else None
        case Series():
            return {"ts": value.times().tolist(), "values": plain(value.array().tolist())}
        case msgspec.Struct():
            return {name.rstrip("_"): plain(getattr(value, name)) for name in value.__struct_fields__}
        case dict():
            return {str(key): plain(each) for key, each in value.items()}
        case list() | tuple():
            return [plain(each) for each in value]
        case np.generic():
            return plain(value.item())
    raise TypeError(f"report: expected what JSON knows, got {type(value).__name__}")
