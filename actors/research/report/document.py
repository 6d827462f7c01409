"""A run as one JSON document, for programs."""

from __future__ import annotations

from collections.abc import Sequence

from actors.research.metrics.metric import Metric
from actors.research.results import RunResult
from actors.research.statistics.comparison import Comparison
from actors.research.statistics.monte_carlo import MonteCarlo
from actors.research.statistics.walk_forward import WalkForward


def as_json(
    result: RunResult,
    metrics: Sequence[Metric],
    *,
    monte_carlo: MonteCarlo | None = None,
    walk_forward: WalkForward | None = None,
    comparison: Comparison | None = None,
) -> bytes:
    """Strict JSON (no NaN): series as lists of [ns, value], unknown figures as null with their reason."""
    raise NotImplementedError
