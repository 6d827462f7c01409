"""A run as text for a terminal."""

from __future__ import annotations

from collections.abc import Sequence

from actors.research.metrics.metric import Metric
from actors.research.results import RunResult


def render(result: RunResult, metrics: Sequence[Metric]) -> str:
    """The run, its warnings, and its metrics by group beside the benchmark's."""
    raise NotImplementedError
