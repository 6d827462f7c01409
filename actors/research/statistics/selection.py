"""How much of a Sharpe ratio is selection: PSR, minimum track record, deflated Sharpe, backtest overfitting (PBO)."""

from __future__ import annotations

import msgspec
from numpy.typing import ArrayLike


class Overfitting(msgspec.Struct, frozen=True, kw_only=True):
    """Outcome of CSCV. `probability`: share of the splits whose winner in sample is not above the median out of it."""

    probability: float
    splits: int
    blocks: int
    trials: int
    logits: tuple[float, ...]
    loss_probability: float
    """Share of the splits in which the winner's Sharpe ratio out of sample is negative."""


def probabilistic_sharpe(sharpe: float, n: int, skew: float, kurtosis: float, benchmark: float = 0.0) -> float:
    """P(true Sharpe > benchmark), both per period; `kurtosis` is raw, 3 for a normal."""
    raise NotImplementedError


def minimum_track_record(
    sharpe: float, skew: float, kurtosis: float, benchmark: float = 0.0, confidence: float = 0.95
) -> float:
    """Periods that a record needs for PSR >= confidence. Raises ValueError unless sharpe > benchmark."""
    raise NotImplementedError


def expected_maximum(trials: int) -> float:
    """Expected largest of `trials` standard normals."""
    raise NotImplementedError


def deflated_sharpe(sharpe: float, n: int, skew: float, kurtosis: float, *, trials: int, variance: float) -> float:
    """PSR against what the best of `trials` would have by luck; `variance`: of the trials' per-period Sharpe ratios."""
    raise NotImplementedError


def pbo(matrix: ArrayLike, blocks: int = 16) -> Overfitting:
    """Probability of backtest overfitting of a T x K matrix of periodic returns, one column per trial."""
    raise NotImplementedError
