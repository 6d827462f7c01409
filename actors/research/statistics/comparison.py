"""Comparison of runs: Sharpe differences with an interval and a p-value, corrected for their number; and ranks.

The difference of two Sharpe ratios is tested as Ledoit and Wolf do, "Robust Performance Hypothesis Testing with the
Sharpe Ratio", J. Empirical Finance 15(5), 2008: days of both runs are drawn together in circular blocks, so that what
both share and what follows on what is kept, and the difference is measured in its own standard error.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from itertools import combinations
from typing import Final

import msgspec
import numpy as np
from numpy.typing import NDArray

from actors.research.metrics.metric import Metric, Unknown
from actors.research.metrics.registry import by_key, evaluate
from actors.research.metrics.sample import Sample
from actors.research.results import RunResult
from actors.research.statistics import resampling
from actors.research.statistics.alignment import aligned_returns

Floats = NDArray[np.float64]

FEWEST: Final = 2
MOST: Final = 10
LEAST_DAYS: Final = 60
"""Two blocks of a month and some: fewer days say nothing of a difference."""
RANKED: Final = ("cagr", "sharpe", "sortino", "max_drawdown", "calmar", "profit_factor", "ulcer")


class Pair(msgspec.Struct, frozen=True, kw_only=True):
    """Two runs on their common days. `difference`: annualised Sharpe ratio of `first` minus that of `second`.

    None with a `reason` where it cannot be told. [low, high]: the interval of the comparison's confidence. `p`: chance
    of a difference this large if there were none; `p_holm`: corrected for the number of pairs.
    """

    first: str
    second: str
    days: int
    block: int = 0
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
    metrics: tuple[Metric, ...]
    ranks: dict[str, int]
    mean_rank: float | None


class Comparison(msgspec.Struct, frozen=True, kw_only=True):
    """2 to 10 runs compared."""

    runs: tuple[Standing, ...]
    pairs: tuple[Pair, ...]
    simulations: int
    seed: int
    confidence: float
    periods: int
    warnings: tuple[str, ...] = ()


def compare(
    results: Sequence[RunResult],
    *,
    simulations: int = 1000,
    seed: int = 0,
    periods: int | None = None,
    risk_free: float = 0.0,
    confidence: float = 0.95,
) -> Comparison:
    """Every pair tested, every run ranked. Raises ValueError unless there are 2 to 10 runs with different ids."""
    names = [result.run_id for result in results]
    if not FEWEST <= len(names) <= MOST:
        raise ValueError(f"runs: expected {FEWEST} to {MOST}, got {len(names)}")
    if len(set(names)) < len(names):
        raise ValueError(f"runs: expected different ids, got {', '.join(names)}")
    if simulations < 1 or not 0 < confidence < 1:
        raise ValueError(f"expected simulations and a confidence below 1, got {simulations} and {confidence:g}")
    year = periods if periods is not None else max(Sample.of(each, None, 0.0, None).periods for each in results)
    pairs = [
        _pair(first, second, simulations=simulations, seed=seed, periods=year, confidence=confidence)
        for first, second in combinations(results, 2)
    ]
    return Comparison(
        runs=_standings(results, year, risk_free),
        pairs=_corrected(pairs, 1 - confidence),
        simulations=simulations,
        seed=seed,
        confidence=confidence,
        periods=year,
        warnings=_warnings(results),
    )


def holm(values: Sequence[float]) -> tuple[float, ...]:
    """p-values corrected for their number, in the order given. Holm, Scandinavian J. Statistics 6(2), 1979."""
    order = np.argsort(values, kind="stable")
    found = np.empty(len(values))
    highest = 0.0
    for place, index in enumerate(order.tolist()):
        highest = max(highest, min(1.0, (len(values) - place) * values[index]))
        found[index] = highest
    return tuple(found.tolist())


def sharpe_difference(
    returns: Floats, *, simulations: int, seed: int, block: int, confidence: float = 0.95
) -> tuple[float, float, float, float]:
    """Difference of the per-period Sharpe ratios of two columns (T x 2), its interval, and p. Raises Unknown."""
    if float(np.ptp(returns[:, 0] - returns[:, 1])) <= 1e-15:
        raise Unknown("the runs have equal returns on every day")
    if any(float(np.ptp(column)) <= 1e-15 for column in returns.T):
        raise Unknown("a run has no variance")
    moments = np.column_stack((returns, returns**2))
    difference, gradient = _difference(moments.mean(axis=0)[None, :])
    error = math.sqrt(_long_run_variance((moments - moments.mean(axis=0)) @ gradient[0], block) / returns.shape[0])
    rng = resampling.generator(seed, "sharpe_difference")
    distances = [
        _distances(moments, resampling.circular_blocks(rng, returns.shape[0], block, rows), block, difference[0])
        for rows in resampling.parts(simulations, 4 * returns.shape[0])
    ]
    drawn = np.concatenate(distances)
    actual = float(difference[0])
    reach = float(np.quantile(drawn, confidence)) * error
    p = (1 + int(np.sum(drawn >= abs(actual) / error))) / (1 + simulations)
    return actual, actual - reach, actual + reach, p


def _difference(means: Floats) -> tuple[Floats, Floats]:
    """Of rows of (mean a, mean b, mean a^2, mean b^2): the difference of Sharpe ratios and its gradient."""
    first, second, squared_first, squared_second = means.T
    spread_first = np.maximum(squared_first - first**2, 1e-300)
    spread_second = np.maximum(squared_second - second**2, 1e-300)
    gradient = np.column_stack(
        (
            squared_first / spread_first**1.5,
            -squared_second / spread_second**1.5,
            -0.5 * first / spread_first**1.5,
            0.5 * second / spread_second**1.5,
        )
    )
    return first / np.sqrt(spread_first) - second / np.sqrt(spread_second), gradient


def _long_run_variance(values: Floats, block: int) -> float:
    """With Bartlett's weights up to the block's length. Newey and West, Econometrica 55(3), 1987."""
    n = values.size
    variance = float(values @ values) / n
    for lag in range(1, min(block, n - 1)):
        variance += 2 * (1 - lag / block) * float(values[lag:] @ values[:-lag]) / n
    return variance


def _distances(moments: Floats, picked: resampling.Indices, block: int, actual: float) -> Floats:
    """|difference drawn - actual| in the standard error of each draw, from the sums over its blocks."""
    drawn = moments[picked]
    means = drawn.mean(axis=1)
    difference, gradient = _difference(means)
    scores = np.einsum("rtk,rk->rt", drawn - means[:, None, :], gradient)
    sums = scores.reshape(scores.shape[0], -1, block).sum(axis=2) / math.sqrt(block)
    errors = np.sqrt((sums**2).mean(axis=1) / scores.shape[1])
    with np.errstate(divide="ignore", invalid="ignore"):
        return np.where(errors > 0, np.abs(difference - actual) / errors, np.inf)


def _pair(first: RunResult, second: RunResult, *, simulations: int, seed: int, periods: int, confidence: float) -> Pair:
    try:
        matrix = aligned_returns((first, second))[1]
    except Unknown as unknown:
        return Pair(first=first.run_id, second=second.run_id, days=0, reason=str(unknown))
    days = matrix.shape[0]
    if days < LEAST_DAYS:
        reason = f"{days} common days, needs {LEAST_DAYS}"
        return Pair(first=first.run_id, second=second.run_id, days=days, reason=reason)
    longest = max(resampling.blocks_of_returns(column)[1] for column in matrix.T)
    block = max(1, min(round(longest), days // 10))
    try:
        found = sharpe_difference(matrix, simulations=simulations, seed=seed, block=block, confidence=confidence)
    except Unknown as unknown:
        return Pair(first=first.run_id, second=second.run_id, days=days, reason=str(unknown))
    difference, low, high = (value * math.sqrt(periods) for value in found[:3])
    return Pair(
        first=first.run_id,
        second=second.run_id,
        days=days,
        block=block,
        difference=difference,
        low=low,
        high=high,
        p=found[3],
    )


def _corrected(pairs: Sequence[Pair], level: float) -> tuple[Pair, ...]:
    told = [pair.p for pair in pairs if pair.p is not None]
    corrected = iter(holm(told))
    found = []
    for pair in pairs:
        if pair.p is None or pair.difference is None:
            found.append(pair)
            continue
        p_holm = next(corrected)
        better = pair.first if pair.difference > 0 else pair.second
        verdict = f"{better} has the higher Sharpe ratio" if p_holm <= level else "neither is shown to be better"
        found.append(msgspec.structs.replace(pair, p_holm=p_holm, verdict=verdict))
    return tuple(found)


def _standings(results: Sequence[RunResult], periods: int, risk_free: float) -> tuple[Standing, ...]:
    evaluated = [evaluate(result, periods=periods, risk_free=risk_free) for result in results]
    ranks: list[dict[str, int]] = [{} for _ in results]
    for key in RANKED:
        metrics = [by_key(each)[key] for each in evaluated]
        sign = 1 if metrics[0].better == "higher" else -1
        values = [None if metric.value is None else sign * metric.value for metric in metrics]
        for place, value in enumerate(values):
            if value is not None:
                ranks[place][key] = 1 + sum(other is not None and other > value for other in values)
    return tuple(
        Standing(
            run_id=result.run_id,
            strategy=result.strategy,
            metrics=metrics,
            ranks=own,
            mean_rank=sum(own.values()) / len(own) if own else None,
        )
        for result, metrics, own in zip(results, evaluated, ranks, strict=True)
    )


def _warnings(results: Sequence[RunResult]) -> tuple[str, ...]:
    found = []
    if len({result.data_hashes for result in results}) > 1:
        found.append("the runs did not see the same data")
    if len({result.currency for result in results}) > 1:
        found.append("the runs are in different currencies")
    if len({frozenset(result.marks) for result in results}) > 1:
        found.append("the data of the runs bear different marks")
    return tuple(found)
