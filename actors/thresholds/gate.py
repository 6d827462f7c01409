"""Counterfactual gate ascent: how a gate "act if score >= theta" learns from outcomes, those of declined signals too.

The gain of a gate, smoothed over the bandwidth h, and its slope (z = 1 / (1 + exp(-(s - theta) / h))):

    J_h(theta)       =  E[ y z ]
    dJ_h / dtheta    = -E[ y z (1 - z) / h ]

A block of B resolved decisions gives one estimate of the slope with its variance. Both are smoothed, and the gate moves
where the slope is certain:

    m <- b m + (1 - b) mean(g)        v <- b^2 v + (1 - b)^2 var(g) / B        t = m / sqrt(v)
    step = clip(eta t, +-most) if |t| > evidence else 0;  0 if |step| < deadband        in standard deviations of s

The bandwidth moves the optimum towards where scores are rare (for normal scores by a factor of about
1 + h^2 pi^2 / 3), so it shrinks as n^(-1/5) once there is enough, down to a floor: the usual rate of a kernel's width
(Silverman, "Density Estimation", 1986). Everything here is arithmetic: neither a loop nor a clock.
"""

from __future__ import annotations

import math

import msgspec


class GateSettings(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """How it learns. `bandwidth`, `max_step`, `deadband` in standard deviations of the score; `winsor` in those of the
    outcome; both measured over the first `warmup` decisions. Raises ValueError for what cannot be."""

    block: int = 100
    warmup: int = 200
    bandwidth: float = 0.2
    bandwidth_floor: float = 0.1
    shrink_after: int = 20_000
    """Up to so many decisions the bandwidth is the full one."""
    rate: float = 0.02
    max_step: float = 0.05
    deadband: float = 0.005
    memory: float = 0.9
    evidence: float = 2.0
    winsor: float = 3.0

    def __post_init__(self) -> None:
        if self.block < 2:
            raise ValueError(f"block: expected at least 2, got {self.block}")
        if self.warmup < 10:
            raise ValueError(f"warmup: expected at least 10, got {self.warmup}")
        if not 0 < self.bandwidth_floor <= self.bandwidth:
            raise ValueError(
                f"bandwidth_floor: expected above 0 and at most {self.bandwidth:g}, got {self.bandwidth_floor:g}"
            )
        if not 0 <= self.memory < 1:
            raise ValueError(f"memory: expected 0 to below 1, got {self.memory:g}")
        if min(self.rate, self.max_step, self.winsor, self.shrink_after) <= 0:
            raise ValueError("rate, max_step, winsor, shrink_after: expected above 0")
        if min(self.deadband, self.evidence) < 0:
            raise ValueError("deadband, evidence: expected 0 or more")


class Moments(msgspec.Struct, array_like=True):
    """Count, mean and sum of squared deviations of a stream. Welford, Technometrics 4(3), 1962."""

    n: int = 0
    mean: float = 0.0
    squares: float = 0.0

    def add(self, value: float) -> None:
        """Take one in."""
        self.n += 1
        off = value - self.mean
        self.mean += off / self.n
        self.squares += off * (value - self.mean)

    @property
    def variance(self) -> float:
        """Of a sample (n - 1); 0 for fewer than two."""
        return self.squares / (self.n - 1) if self.n > 1 else 0.0

    @property
    def sd(self) -> float:
        """The root of it."""
        return math.sqrt(self.variance)


class Evidence(msgspec.Struct, array_like=True):
    """An exponentially smoothed mean, and its variance had every block the mean zero."""

    mean: float = 0.0
    variance: float = 0.0
    blocks: int = 0

    def add(self, mean: float, variance_of_mean: float, memory: float) -> None:
        """Take in the estimate of one block."""
        self.mean = memory * self.mean + (1 - memory) * mean
        self.variance = memory * memory * self.variance + (1 - memory) ** 2 * variance_of_mean
        self.blocks += 1

    @property
    def se(self) -> float:
        """The standard error of the mean."""
        return math.sqrt(self.variance)

    @property
    def t(self) -> float | None:
        """Mean over standard error; None where nothing has varied yet: that is no evidence."""
        if not self.variance > 0:
            return None
        t = self.mean / math.sqrt(self.variance)
        return t if math.isfinite(t) else None


def smoothed_gain(score: float, outcome: float, theta: float, bandwidth: float) -> float:
    """y z: one decision's part of J_h."""
    off = (score - theta) / bandwidth
    small = math.exp(-abs(off))
    return outcome * (1.0 if off >= 0 else small) / (1.0 + small)


def slope(score: float, outcome: float, theta: float, bandwidth: float) -> float:
    """-y z (1 - z) / h: one decision's part of dJ_h / dtheta. Never overflows."""
    small = math.exp(-abs(score - theta) / bandwidth)
    return -outcome * small / ((1.0 + small) ** 2 * bandwidth)


def bandwidth_of(decisions: int, settings: GateSettings) -> float:
    """The bandwidth after so many decisions, in standard deviations of the score."""
    if decisions <= settings.shrink_after:
        return settings.bandwidth
    shrunk: float = settings.bandwidth * (decisions / settings.shrink_after) ** -0.2
    return max(settings.bandwidth_floor, shrunk)


def step_of(t: float | None, settings: GateSettings) -> float:
    """The step that the evidence asks for, in standard deviations of the score."""
    if t is None or abs(t) <= settings.evidence:
        return 0.0
    step = min(max(settings.rate * t, -settings.max_step), settings.max_step)
    return 0.0 if abs(step) < settings.deadband else step
