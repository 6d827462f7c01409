"""A report as one HTML page that needs no network."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import msgspec

from actors.research.metrics.metric import Metric
from actors.research.results import RunResult
from actors.research.statistics.comparison import Comparison
from actors.research.statistics.monte_carlo import MonteCarlo
from actors.research.statistics.walk_forward import WalkForward


class Section(msgspec.Struct, frozen=True, kw_only=True):
    """A run with all that is shown of it."""

    result: RunResult
    metrics: tuple[Metric, ...] = ()
    monte_carlo: MonteCarlo | None = None
    walk_forward: WalkForward | None = None


def write_html(
    path: Path, results: Sequence[RunResult | Section], *, comparison: Comparison | None = None, title: str = ""
) -> None:
    """Write the page. Metrics that are not given are evaluated."""
    raise NotImplementedError


def html(results: Sequence[RunResult | Section], *, comparison: Comparison | None = None, title: str = "") -> str:
    """The page as text."""
    raise NotImplementedError
