"""How much of a Sharpe ratio is selection: PSR, minimum track record, deflated Sharpe, backtest overfitting (PBO).

Sharpe ratios here are per period, not annualised, and kurtosis is raw (3 for a normal): both slips are common, and
with the second the figures come out too low or too high by as much as the tails are fat.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from itertools import combinations, islice
from statistics import NormalDist
from typing import Final

import msgspec
import numpy as np
from numpy.typing import ArrayLike, NDArray

NORMAL: Final = NormalDist()
EULER: Final = 0.5772156649015329
SPLITS_AT_ONCE: Final = 512
MOST_BLOCKS: Final = 20
"""184,756 splits; each two blocks more make about four times as many."""


class Overfitting(msgspec.Struct, frozen=True, kw_only=True):
    """Outcome of CSCV. `probability`: share of the splits whose winner in sample is not above the median out of it."""

    probability: float
    splits: int
    blocks: int
    trials: int
    dropped: int
    """Rows at the start that did not fill a block."""
    logits: tuple[float, ...]
    loss_probability: float
    """Share of the splits in which the winner's mean return out of sample is negative."""


def sharpe_variance(sharpe: float, skew: float, kurtosis: float) -> float:
    """Of an estimated Sharpe ratio, times n - 1: 1 - g3 SR + (g4 - 1) / 4 SR^2. Mertens 2002. ValueError if not > 0."""
    variance = 1 - skew * sharpe + (kurtosis - 1) / 4 * sharpe**2
    if not variance > 0:
        raise ValueError(
            f"skew {skew:g} and kurtosis {kurtosis:g}: no distribution has both with a Sharpe of {sharpe:g}"
        )
    return variance


def probabilistic_sharpe(sharpe: float, n: int, skew: float, kurtosis: float, benchmark: float = 0.0) -> float:
    """PSR: P(true Sharpe > benchmark) after `n` returns.

    Phi((SR - b) sqrt(n - 1) / sqrt(1 - g3 SR + (g4 - 1) / 4 SR^2)). Bailey and López de Prado, "The Sharpe Ratio
    Efficient Frontier", J. Risk 15(2), 2012. Raises ValueError for n < 2.
    """
    if n < 2:
        raise ValueError(f"n: expected 2 or more returns, got {n}")
    return NORMAL.cdf((sharpe - benchmark) * math.sqrt((n - 1) / sharpe_variance(sharpe, skew, kurtosis)))


def minimum_track_record(
    sharpe: float, skew: float, kurtosis: float, benchmark: float = 0.0, confidence: float = 0.95
) -> float:
    """Periods after which PSR reaches `confidence`: 1 + variance (z / (SR - b))^2, of the same paper.

    Raises ValueError unless sharpe > benchmark: no record is then long enough.
    """
    if not sharpe > benchmark:
        raise ValueError(f"sharpe: expected more than the benchmark's {benchmark:g}, got {sharpe:g}")
    return 1 + sharpe_variance(sharpe, skew, kurtosis) * (NORMAL.inv_cdf(confidence) / (sharpe - benchmark)) ** 2


def effective_trials(matrix: ArrayLike) -> float:
    """How many independent trials the columns of a T x K matrix of returns are worth: r + (1 - r) K.

    r is their mean correlation, taken as 0 where it is negative; a column without variance is a trial of its own. Of
    the same paper as `deflated_sharpe`, appendix 3. Raises ValueError on anything but a matrix with a column.
    """
    table = np.asarray(matrix, dtype=np.float64)
    if table.ndim != 2 or not table.shape[1]:
        raise ValueError(f"matrix: expected periods x trials, got the shape {table.shape}")
    trials = table.shape[1]
    moving = table[:, np.ptp(table, axis=0) > 0]
    if moving.shape[1] < 2:
        return float(trials)
    correlations = np.asarray(np.corrcoef(moving, rowvar=False))[np.triu_indices(moving.shape[1], 1)]
    mean = max(0.0, float(correlations.sum()) / (trials * (trials - 1) / 2))
    return float(mean + (1 - mean) * trials)


def expected_maximum(trials: float) -> float:
    """Expected largest of `trials` independent standard normals, about; 0 for one. Trials may be a fraction.

    (1 - g) Zinv(1 - 1/K) + g Zinv(1 - 1/(K e)), g = 0.5772…. Bailey and López de Prado, "The Deflated Sharpe Ratio",
    J. Portfolio Management 40(5), 2014. Raises ValueError for less than one trial.
    """
    if trials < 1:
        raise ValueError(f"trials: expected 1 or more, got {trials}")
    if trials == 1:
        return 0.0
    tail = NORMAL.inv_cdf(1 - 1 / trials), NORMAL.inv_cdf(1 - 1 / (trials * math.e))
    # Between one and two the approximation falls below what one alone is expected to be.
    return max(0.0, (1 - EULER) * tail[0] + EULER * tail[1])


def deflated_sharpe(sharpe: float, n: int, skew: float, kurtosis: float, *, trials: float, variance: float) -> float:
    """DSR: PSR against what the best of `trials` would have by luck, sqrt(variance) E[max]; of the same paper.

    `trials`: how many runs there really were (of independent ones, where they can be told apart). `variance`: of the
    trials' per-period Sharpe ratios.
    """
    if variance < 0:
        raise ValueError(f"variance: expected 0 or more, got {variance:g}")
    return probabilistic_sharpe(sharpe, n, skew, kurtosis, math.sqrt(variance) * expected_maximum(trials))


def pbo(matrix: ArrayLike, blocks: int = 16) -> Overfitting:
    """Probability of backtest overfitting, of a T x K matrix of periodic returns with one column per trial.

    CSCV: T is cut into `blocks` (even) of equal length; every half of them once is in sample, the other half out of it.
    The best Sharpe ratio in sample has rank w of K + 1 out of sample; logit = ln(w / (1 - w)); PBO is the share of
    logits <= 0. Bailey, Borwein, López de Prado, Zhu, "The Probability of Backtest Overfitting", J. Computational
    Finance 20(4), 2015. Ties in rank count half. Raises ValueError on a shape that cannot be cut so.
    """
    table = np.asarray(matrix, dtype=np.float64)
    if table.ndim != 2 or table.shape[1] < 2:
        raise ValueError(f"matrix: expected periods x 2 or more trials, got the shape {table.shape}")
    if blocks < 2 or blocks % 2 or blocks > MOST_BLOCKS:
        raise ValueError(f"blocks: expected an even number from 2 to {MOST_BLOCKS}, got {blocks}")
    if not np.all(np.isfinite(table)):
        raise ValueError("matrix: expected finite returns")
    length, dropped = divmod(table.shape[0], blocks)
    if length < 2:
        raise ValueError(f"matrix: expected 2 rows or more for each of {blocks} blocks, got {table.shape[0]} in all")
    cut = table[dropped:].reshape(blocks, length, table.shape[1])
    ranks, losses = _ranks(cut.sum(axis=1), (cut**2).sum(axis=1), length * blocks // 2)
    logits = np.log(ranks / (1 - ranks))
    return Overfitting(
        probability=float(np.mean(logits <= 1e-12)),
        splits=logits.size,
        blocks=blocks,
        trials=table.shape[1],
        dropped=dropped,
        logits=tuple(logits.tolist()),
        loss_probability=float(np.mean(losses)),
    )


def _ranks(
    sums: NDArray[np.float64], squares: NDArray[np.float64], n: int
) -> tuple[NDArray[np.float64], NDArray[np.bool_]]:
    """Of each split: the relative rank of its winner out of sample, and whether that one lost there."""
    ranks, losses = [], []
    for chosen in _splits(sums.shape[0]):
        best = np.argmax(_sharpes(chosen @ sums, chosen @ squares, n), axis=1)
        rest = 1.0 - chosen
        outside = _sharpes(rest @ sums, rest @ squares, n)
        own = np.take_along_axis(outside, best[:, None], axis=1)
        below = (outside < own).sum(axis=1) + ((outside == own).sum(axis=1) + 1) / 2
        ranks.append(below / (sums.shape[1] + 1))
        losses.append(own[:, 0] < 0)
    return np.concatenate(ranks), np.concatenate(losses)


def _splits(blocks: int) -> Iterator[NDArray[np.float64]]:
    """Every half of the blocks, as rows of zeros and ones, some at a time."""
    halves = combinations(range(blocks), blocks // 2)
    while several := list(islice(halves, SPLITS_AT_ONCE)):
        rows = np.zeros((len(several), blocks))
        np.put_along_axis(rows, np.array(several), 1.0, axis=1)
        yield rows


def _sharpes(sums: NDArray[np.float64], squares: NDArray[np.float64], n: int) -> NDArray[np.float64]:
    """Mean over deviation; without variance the sign of the mean times infinity, or 0: a trial that never traded."""
    means = sums / n
    deviations = np.sqrt(np.maximum(squares - n * means**2, 0.0) / (n - 1))
    with np.errstate(divide="ignore", invalid="ignore"):
        found = means / deviations
    return np.where((means == 0) & (deviations == 0), 0.0, found)
