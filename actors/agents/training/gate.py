"""The gate before a deployment: is the new policy enough better than what it would replace? A core.

System 0's rule with the right sign: the mean of three improvements, each relative to the baseline, is at least 15 %.

    return, Sharpe ratio    (candidate - baseline) / |baseline|
    drawdown                (baseline - candidate) / |baseline|       a smaller drawdown is the better one

Each counts from -100 % to +100 %, so that a baseline of next to nothing decides nothing alone; against a baseline of
exactly 0 an improvement counts whole, and none counts 0.
"""

from __future__ import annotations

from typing import Final

import msgspec

NEEDED: Final = 0.15


class Standing(msgspec.Struct, frozen=True):
    """How one did. `drawdown`: 0 or more; 0.2 is a fall of 20 %."""

    return_: float = msgspec.field(name="return")
    sharpe: float
    drawdown: float

    def __post_init__(self) -> None:
        if self.drawdown < 0:
            raise ValueError(f"drawdown: expected 0 or more, got {self.drawdown}")


class Gate(msgspec.Struct, frozen=True):
    """What the gate found. The improvements are shares."""

    passed: bool
    improvement: float
    return_: float = msgspec.field(name="return")
    sharpe: float
    drawdown: float

    def text(self) -> str:
        """For people."""
        parts = f"return {self.return_:+.0%}, Sharpe {self.sharpe:+.0%}, drawdown {self.drawdown:+.0%}"
        verdict = "passed" if self.passed else "failed"
        return f"deploy gate {verdict}: {self.improvement:+.1%} on average ({parts}; needed {NEEDED:.0%})"


def gate(candidate: Standing, baseline: Standing) -> Gate:
    """Judge a candidate against what it would replace."""
    gained = _relative(candidate.return_ - baseline.return_, baseline.return_)
    surer = _relative(candidate.sharpe - baseline.sharpe, baseline.sharpe)
    safer = _relative(baseline.drawdown - candidate.drawdown, baseline.drawdown)
    mean = (gained + surer + safer) / 3
    return Gate(mean >= NEEDED, mean, gained, surer, safer)


def _relative(difference: float, baseline: float) -> float:
    if baseline == 0:
        return float(difference > 0) - float(difference < 0)
    return max(-1.0, min(1.0, difference / abs(baseline)))
