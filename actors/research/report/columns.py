"""A run as parquet: equity, round trips and metrics, each a file with the run's identity in its schema."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from actors.research.metrics.metric import Metric
from actors.research.results import RunResult


def write_parquet(folder: Path, result: RunResult, metrics: Sequence[Metric]) -> tuple[Path, ...]:
    """Writes `equity.parquet`, `trades.parquet`, `metrics.parquet`; returns their paths."""
    raise NotImplementedError
