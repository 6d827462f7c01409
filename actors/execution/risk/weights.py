"""Shares of a portfolio by risk, and the shares of the capital that a record of trades supports. Floats: statistics.

Sources: S. Maillard, T. Roncalli, J. Teïletche, "The properties of equally weighted risk contribution portfolios",
Journal of Portfolio Management 36(4), 2010; T. Griveau-Billion, J.-C. Richard, T. Roncalli, "A fast algorithm for
computing high-dimensional risk parity portfolios", 2013; J. L. Kelly, "A new interpretation of information rate", 1956;
R. Vince, "Portfolio Management Formulas", 1990.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Final

MOST_SWEEPS: Final = 10_000
TOLERANCE: Final = 1e-12


def inverse_volatility(volatilities: Sequence[float]) -> list[float]:
    """w_i = (1/σ_i) / Σ (1/σ_j): equal risk where all pairs are correlated alike (Maillard et al., 2.2).

    Raises ValueError for a volatility that is not above 0 and finite.
    """
    for each in volatilities:
        if not (each > 0 and math.isfinite(each)):
            raise ValueError(f"volatility: expected above 0, got {each}")
    inverse = [1 / each for each in volatilities]
    total = sum(inverse)
    return [each / total for each in inverse]


def equal_risk(covariance: Sequence[Sequence[float]]) -> list[float]:
    """The long-only weights, sum 1, of which each contributes the same risk: w_i (Σw)_i equal for all i.

    Cyclical coordinate descent on ½ x'Σx - Σ ln x_i, whose minimum normalised is the answer:
    x_i = (-c_i + √(c_i² + 4 Σ_ii)) / (2 Σ_ii) with c_i = Σ_{j≠i} Σ_ij x_j (Griveau-Billion et al., 2013).

    `covariance`: n by n, symmetric, positive semidefinite. Raises ValueError where it is not, has a variance that is
    not above 0, or where the descent does not come to rest: some mixture has no risk at all.
    """
    _checked(covariance)
    size = range(len(covariance))
    found = [1 / math.sqrt(covariance[i][i]) for i in size]
    for _ in range(MOST_SWEEPS):
        moved = 0.0
        for i in size:
            variance = covariance[i][i]
            others = sum(covariance[i][j] * found[j] for j in size if j != i)
            new = (-others + math.sqrt(others * others + 4 * variance)) / (2 * variance)
            moved = max(moved, abs(new - found[i]) / new)
            found[i] = new
        if moved < TOLERANCE:
            total = sum(found)
            return [each / total for each in found]
    raise ValueError("covariance: expected every mixture to have a risk, the weights do not come to rest")


def risk_contributions(weights: Sequence[float], covariance: Sequence[Sequence[float]]) -> list[float]:
    """The share of the portfolio's variance that each asset contributes: w_i (Σw)_i / w'Σw; sum 1."""
    size = range(len(weights))
    parts = [weights[i] * sum(covariance[i][j] * weights[j] for j in size) for i in size]
    total = sum(parts)
    return [each / total for each in parts]


def kelly(win_rate: float, payoff: float) -> float:
    """f = w - (1 - w) / R, with R the average win over the average loss; negative: no edge."""
    return win_rate - (1 - win_rate) / payoff


def kelly_of(returns: Sequence[float]) -> float | None:
    """Kelly's fraction of a record of trades' returns; None: without a win, or without a loss, R is not known.

    A trade of return 0 counts as not won, with no loss.
    """
    wins = [each for each in returns if each > 0]
    losses = [-each for each in returns if each < 0]
    if not wins or not losses:
        return None
    return kelly(len(wins) / len(returns), (sum(wins) / len(wins)) / (sum(losses) / len(losses)))


def terminal_wealth(results: Sequence[float], share: float) -> float:
    """Vince's TWR(f) = Π (1 + f · result_i / |worst result|): what 1 becomes with `share` f of it at risk in each."""
    worst = -min(results)
    return math.prod(1 + share * each / worst for each in results)


def optimal_f(results: Sequence[float]) -> float | None:
    """The f in (0, 1] with the highest TWR(f), hence the highest geometric mean; 0: no f makes money.

    `results` of trades, in any unit: only their proportions count. ln TWR is concave, so that its slope
    Σ r_i / (1 + f r_i), with r_i = result_i / |worst|, has one root, found by bisection. None: without a loss (or one
    that is nothing beside the rest) there is no worst one to measure by.
    """
    if not results or min(results) >= 0:
        return None
    largest = max(abs(each) for each in results)
    parts = [each / largest for each in results]
    worst = -min(parts)
    if not worst:
        return None
    if sum(parts) <= 0:
        return 0.0
    # With f = 1 the worst trade takes everything: the slope there is minus infinity.
    low, high = 0.0, 1.0
    for _ in range(100):
        middle = (low + high) / 2
        if middle in (low, high):
            break
        if sum(each / (worst + middle * each) for each in parts) > 0:
            low = middle
        else:
            high = middle
    return low


def _checked(covariance: Sequence[Sequence[float]]) -> None:
    size = len(covariance)
    for i, row in enumerate(covariance):
        if len(row) != size:
            raise ValueError(f"covariance: expected {size} columns in row {i}, got {len(row)}")
        if not (row[i] > 0 and math.isfinite(row[i])):
            raise ValueError(f"covariance: expected a variance above 0 in row {i}, got {row[i]}")
        for j in range(i):
            if not math.isclose(row[j], covariance[j][i], rel_tol=1e-9, abs_tol=1e-15):
                raise ValueError(f"covariance: expected a symmetric matrix, got {row[j]} and {covariance[j][i]}")
    # Cholesky's factors: a variance that is left below zero is none.
    factors: list[list[float]] = []
    for i, row in enumerate(covariance):
        own: list[float] = []
        for j in range(i):
            left = row[j] - sum(a * b for a, b in zip(own, factors[j], strict=False))
            own.append(left / factors[j][j] if factors[j][j] else 0.0)
        variance = row[i] - sum(each * each for each in own)
        if variance < -1e-9 * row[i]:
            raise ValueError(f"covariance: expected a positive semidefinite matrix, row {i} leaves {variance:g}")
        factors.append([*own, math.sqrt(variance) if variance > 1e-12 * row[i] else 0.0])
