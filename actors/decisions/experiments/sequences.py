"""Inference that holds at every look: confidence sequences, e-values, always-valid p. A core.

The asymptotic confidence sequence of Waudby-Smith et al. (arXiv:2103.06476), as GrowthBook has it: an interval around
the estimate that holds the truth at all times at once with probability 1 - alpha. It is tightest near N* units, a
number that is fixed before the first look. All functions take arrays as well as numbers; `n` is the number of units of
both arms, `error` the standard error of the difference at that moment.
"""

from __future__ import annotations

from typing import Final, TypeVar

import numpy as np
from numpy.typing import NDArray

TUNED_FOR: Final = 5000
"""N*, both arms: where the interval is tightest, relative to a fixed horizon's."""

N = TypeVar("N", float, NDArray[np.float64])


def rho(alpha: float, tuned_for: float = TUNED_FOR) -> float:
    """The parameter r that makes the interval tightest at N*: sqrt((-2 ln a + ln(-2 ln a + 1)) / N*)."""
    if not 0 < alpha < 1 or tuned_for <= 0:
        raise ValueError(f"expected alpha within 0 to 1 and N* above 0, got {alpha} and {tuned_for}")
    twice = -2 * np.log(alpha)
    return float(np.sqrt((twice + np.log(twice + 1)) / tuned_for))


def half_width(n: N, error: N, alpha: float = 0.05, tuned_for: float = TUNED_FOR) -> N:
    """Half of the two-sided interval at 1 - alpha."""
    r2 = rho(alpha, tuned_for) ** 2
    inside = 2 * (n * r2 + 1) / (n**2 * r2) * np.log(np.sqrt(n * r2 + 1) / alpha)
    return _as(error * np.sqrt(n) * np.sqrt(inside), n)


def half_width_one_sided(n: N, error: N, alpha: float = 0.05, tuned_for: float = TUNED_FOR) -> N:
    """From the estimate to the one bound of a one-sided sequence (a guardrail's)."""
    r2 = rho(alpha, tuned_for) ** 2
    inside = 2 * (n * r2 + 1) / (n**2 * r2) * np.log(1 + np.sqrt(n * r2 + 1) / (2 * alpha))
    return _as(error * np.sqrt(n) * np.sqrt(inside), n)


def log_e_value(n: N, difference: N, error: N, alpha: float = 0.05, tuned_for: float = TUNED_FOR) -> N:
    """ln of the e-value against no difference: exp(r2 S / (2 (N r2 + 1))) / sqrt(N r2 + 1), S = N d2 / error2.

    The interval at 1 - alpha leaves 0 out exactly where the e-value is above 1 / alpha.
    """
    r2 = rho(alpha, tuned_for) ** 2
    s = n * difference**2 / error**2
    return _as(r2 * s / (2 * (n * r2 + 1)) - 0.5 * np.log(n * r2 + 1), n)


def always_valid_p(n: N, difference: N, error: N, alpha: float = 0.05, tuned_for: float = TUNED_FOR) -> N:
    """min(1, 1/e): a p that may be looked at all the time."""
    return _as(np.minimum(1.0, np.exp(-log_e_value(n, difference, error, alpha, tuned_for))), n)


def one_sided_p(n: N, difference: N, error: N, alpha: float = 0.05, tuned_for: float = TUNED_FOR) -> N:
    """An always-valid p that the difference is above 0: the alpha whose one-sided bound just touches 0, r as it is.

    The bound solved for alpha: with K = N r2 d2 / (2 error2 (N r2 + 1)), p = sqrt(N r2 + 1) / (2 (exp(K) - 1)).
    """
    r2 = rho(alpha, tuned_for) ** 2
    above = np.maximum(difference, 0.0)
    with np.errstate(divide="ignore"):
        k = np.minimum(n * r2 * above**2 / (2 * error**2 * (n * r2 + 1)), 700.0)
        return _as(np.minimum(1.0, np.sqrt(n * r2 + 1) / (2 * np.expm1(k))), n)


def msprt(n: N, difference: N, variance: float, mixing: float) -> N:
    """The likelihood ratio of the mixture SPRT of two arms with `n` units each, against no difference.

    L = sqrt(V / (V + t2)) exp(t2 d2 / (2 V (V + t2))), V = 2 s2 / n, t2 the mixing variance (Johari et al.,
    arXiv:1512.04922). The always-valid p is the smallest 1 / L so far.
    """
    v = 2 * variance / n
    return _as(np.sqrt(v / (v + mixing)) * np.exp(mixing * difference**2 / (2 * v * (v + mixing))), n)


def _as(value: object, like: N) -> N:
    return value if isinstance(like, np.ndarray) else float(value)  # type: ignore[return-value, arg-type]
