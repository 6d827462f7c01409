"""Pooling: a user with few decisions leans on what all users of the symbol have shown.

    theta_user = default + w_s (theta_symbol - default) + w_u (own - (default + w_s (theta_symbol - default)))
    w = trust n / (n + k)          trust: how far the meta-gate lets the evidence serve, 0 while it is closed

k is the number of decisions at which the own evidence weighs as much as the others': k = c / tau^2, where a user's
candidate lies tau^2 + c / n around the common one (tau^2: how much users truly differ, c / n: how little n decisions
tell). Both are estimated from all users by weighted least squares with neither below zero (empirical Bayes by the
method of moments; Morris, JASA 78(381), 1983).
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final, NamedTuple

DEFAULT_K: Final = 1_000.0
"""Where there are too few users to tell."""
MOST_K: Final = 1e6
LEAST_USERS: Final = 8
ROUNDS: Final = 20


class Estimate(NamedTuple):
    """One user's candidate on the gate axis, in standard deviations of the score from the default; n decisions."""

    value: float
    n: int


class Pool(NamedTuple):
    """What others have shown: the symbol's candidate (gate axis), its decisions, the trust of its own meta-gate."""

    theta: float
    n: int
    trust: float
    k_symbol: float = DEFAULT_K
    k_user: float = DEFAULT_K


class Pooled(NamedTuple):
    """A target on the gate axis, and the parts that the symbol and the user have in it."""

    theta: float
    symbol_weight: float
    user_weight: float


def weight(n: int, k: float) -> float:
    """n / (n + k); 0 for nobody."""
    return n / (n + k) if n > 0 else 0.0


def pooled(default: float, own: float, n: int, trust: float, pool: Pool | None) -> Pooled:
    """The target of a user. Without a pool nothing but the trust takes anything off the own evidence (k = 0)."""
    if pool is None:
        return Pooled(own if trust == 1 else default + trust * (own - default), 0.0, trust)
    symbol_weight = pool.trust * weight(pool.n, pool.k_symbol)
    centre = default + symbol_weight * (pool.theta - default)
    user_weight = trust * weight(n, pool.k_user)
    return Pooled(centre + user_weight * (own - centre), symbol_weight * (1 - user_weight), user_weight)


def empirical_k(users: Sequence[Estimate]) -> float:
    """k from all users of a symbol. `DEFAULT_K` with fewer than eight users, or where all have equally many decisions
    (what is between users and what is within cannot be told apart then)."""
    known = [user for user in users if user.n > 0]
    if len(known) < LEAST_USERS or len({user.n for user in known}) < 2:
        return DEFAULT_K
    between, within = 1.0, float(sum(user.n for user in known)) / len(known)
    for _ in range(ROUNDS):
        spreads = [between + within / user.n for user in known]
        total = sum(1 / spread for spread in spreads)
        centre = sum(user.value / spread for user, spread in zip(known, spreads, strict=True)) / total
        between, within = _fit(known, centre, spreads)
        if between <= 0 or within <= 0:
            break
    if within <= 0:
        return 0.0
    return MOST_K if between <= within / MOST_K else within / between


def _fit(users: list[Estimate], centre: float, spreads: list[float]) -> tuple[float, float]:
    """(value - centre)^2 = between + within / n, by least squares with the weights 1 / spread^2, neither below zero."""
    s0 = s1 = s2 = t0 = t1 = 0.0
    for user, spread in zip(users, spreads, strict=True):
        w, x, y = 1 / spread**2, 1 / user.n, (user.value - centre) ** 2
        s0, s1, s2 = s0 + w, s1 + w * x, s2 + w * x * x
        t0, t1 = t0 + w * y, t1 + w * x * y
    determinant = s0 * s2 - s1 * s1
    if determinant <= 1e-12 * s0 * s2:
        return t0 / s0, 0.0
    between, within = (s2 * t0 - s1 * t1) / determinant, (s0 * t1 - s1 * t0) / determinant
    if within < 0:
        return t0 / s0, 0.0
    if between < 0:
        return 0.0, t1 / s2
    return between, within
