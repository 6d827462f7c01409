"""Daily returns of several runs on the days that all of them have."""

from __future__ import annotations

from collections.abc import Sequence
from functools import reduce

import numpy as np
from numpy.typing import NDArray

from actors.research.metrics.metric import Unknown
from actors.research.metrics.sample import daily, simple_returns
from actors.research.results import RunResult


def aligned_returns(results: Sequence[RunResult]) -> tuple[NDArray[np.int64], NDArray[np.float64]]:
    """Days since the epoch (T) and returns (T x K, one column per run) between neighbouring common days.

    What `selection.pbo` takes. Raises Unknown where the runs have fewer than two common days, or an equity that was
    not positive.
    """
    curves = [daily(result.equity.times(), result.equity.array()) for result in results]
    if not curves:
        raise Unknown("no runs")
    common = reduce(np.intersect1d, (days for days, _ in curves))
    if common.size < 2:
        raise Unknown(f"{common.size} days in common, needs 2")
    columns = [simple_returns(equity[np.searchsorted(days, common)]) for days, equity in curves]
    return common[1:], np.column_stack(columns)
