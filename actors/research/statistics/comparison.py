"""Comparison of runs: Sharpe differences with an interval and a p-value, corrected for their number."""

from __future__ import annotations

from collections.abc import Sequence

import msgspec

from actors.research.results import RunResult


class Pair(msgspec.Struct, frozen=True, kw_only=True):
    """Two runs on their common days. `difference`: annualised Sharpe of `first` minus that of `second`.

    None with a `reason` where it cannot be told. `p_holm`: corrected for the number of pairs.
    """

    first: str
    second: str
    days: int
    difference: float | None = None
    low: float | None = None
    high: float | None = None
    p: float | None = None
    p_holm: float | None = None
    verdict: str = ""
    reason: str = ""


class Standing(msgspec.Struct, frozen=True, kw_only=True):
    """A run in the comparison. Ranks by key of the metric, 1 is best; missing where the metric is unknown."""

    run_id: str
    strategy: str
    ranks: dict[str, int]
    mean_rank: float | None


class Comparison(msgspec.Struct, frozen=True, kw_only=True):
    """2 to 10 runs compared."""

    runs: tuple[Standing, ...]
    pairs: tuple[Pair, ...]
    simulations: int
    seed: int
    block: float
    confidence: float
    warnings: tuple[str, ...] = ()


def compare(
    results: Sequence[RunResult],
    *,
    simulations: int = 1000,
    seed: int = 0,
    periods: int | None = None,
    confidence: float = 0.95,
) -> Comparison:
    """Raises ValueError unless there are 2 to 10 runs with different ids."""
    raise NotImplementedError
