"""Rewards of several objectives at once. A core.

Every objective is a number of which more is better, and of about the size of 1 in a good or bad step:

    profit         100 r
    risk_adjusted  S of the last 30 steps
    drawdown       -100 · what the step added to the largest drawdown
    consistency    share of steps that won, of those of the last 30 that moved the equity, less its target
    cost           -100 c
    exploration    1 where the agent traded and the episode has fewer than 10 trades, else 0

with weights 0.25, 0.30, 0.20, 0.15, 0.05, 0.05 (system 0's). Targets: 4 % a week of profit is not looked at (a step is
no week); a Sharpe ratio of 1.5 a year, a drawdown of at most 15 %, 60 % of steps won.

    weighted_sum      Σ w_i o_i
    pareto            that, plus how many of the last 50 steps it dominates less by how many it is dominated, as a share
    lexicographic     drawdown first, then the Sharpe ratio, then steps won: the first that misses its target is all
                      that counts, by how much but at most 1: -9 - missed, -8 - missed, -7 - missed; where none does,
                      the profit, -7 or more: whoever keeps more of the targets is always better off
    constraint_based  the profit, less ten times by how much each target is missed
    adaptive          Σ w_i o_i with weights that grow with what is missed: w_i (1 + shortfall_i), added up to 1
"""

from __future__ import annotations

import math
from collections import deque
from collections.abc import Callable
from typing import Final

import msgspec

from actors.agents.environment.rewards import SCALE, WINDOW, Outcome, Record, Reward

NAMES: Final = ("profit", "risk_adjusted", "drawdown", "consistency", "cost", "exploration")
WEIGHTS: Final = (0.25, 0.30, 0.20, 0.15, 0.05, 0.05)
MOST_DRAWDOWN: Final = 0.15
SHARPE: Final = 1.5 / math.sqrt(365 * 24)
"""1.5 a year, for steps of an hour: the ratio grows with the root of time."""
WON: Final = 0.60
EXPLORING: Final = 10
REMEMBERED: Final = 50
PENALTY: Final = 10.0
KEPT: Final = 7.0
"""Rewards are clipped at ±10; the three targets have the places from there to -7."""


class Objectives(msgspec.Struct, frozen=True):
    """The six of one step, and by how much the three targets are missed (0: kept), as shares of the target."""

    values: tuple[float, ...]
    drawdown_missed: float
    sharpe_missed: float
    won_missed: float


class Measured:
    """Measures the objectives step by step."""

    def __init__(self) -> None:
        self.record = Record()
        self._won: deque[bool] = deque(maxlen=WINDOW)
        self._trades = 0

    def __call__(self, outcome: Outcome) -> Objectives:
        """One more step."""
        before = self.record.drawdown
        self.record.add(outcome)
        if outcome.change:
            self._won.append(outcome.change > 0)
        won = sum(self._won) / len(self._won) if self._won else WON
        explores = outcome.traded and self._trades < EXPLORING
        self._trades += outcome.traded
        sharpe = self.record.sharpe()
        return Objectives(
            (
                SCALE * outcome.change,
                sharpe,
                -SCALE * (self.record.drawdown - before),
                won - WON,
                -SCALE * outcome.cost,
                float(explores),
            ),
            max(0.0, self.record.drawdown / MOST_DRAWDOWN - 1.0),
            min(1.0, max(0.0, 1.0 - sharpe / SHARPE)) if self.record.changes else 0.0,
            max(0.0, 1.0 - won / WON),
        )


def weighted(values: tuple[float, ...], weights: tuple[float, ...] = WEIGHTS) -> float:
    """Σ w_i o_i."""
    return math.fsum(weight * value for weight, value in zip(weights, values, strict=True))


class WeightedSum:
    """See the top."""

    def __init__(self) -> None:
        self._measure = Measured()

    def __call__(self, outcome: Outcome) -> float:
        """See Reward."""
        return weighted(self._measure(outcome).values)


class Pareto:
    """See the top."""

    def __init__(self) -> None:
        self._measure = Measured()
        self._seen: deque[tuple[float, ...]] = deque(maxlen=REMEMBERED)

    def __call__(self, outcome: Outcome) -> float:
        """See Reward."""
        values = self._measure(outcome).values
        better = sum(dominates(values, other) for other in self._seen)
        worse = sum(dominates(other, values) for other in self._seen)
        share = (better - worse) / len(self._seen) if self._seen else 0.0
        self._seen.append(values)
        return weighted(values) + share


class Lexicographic:
    """See the top."""

    def __init__(self) -> None:
        self._measure = Measured()

    def __call__(self, outcome: Outcome) -> float:
        """See Reward."""
        found = self._measure(outcome)
        for floor, missed in ((9.0, found.drawdown_missed), (8.0, found.sharpe_missed), (KEPT, found.won_missed)):
            if missed:
                return -floor - min(1.0, missed)
        return max(-KEPT, found.values[0])


class ConstraintBased:
    """See the top."""

    def __init__(self) -> None:
        self._measure = Measured()

    def __call__(self, outcome: Outcome) -> float:
        """See Reward."""
        found = self._measure(outcome)
        return found.values[0] - PENALTY * (found.drawdown_missed + found.sharpe_missed + found.won_missed)


class Adaptive:
    """See the top."""

    def __init__(self) -> None:
        self._measure = Measured()

    def __call__(self, outcome: Outcome) -> float:
        """See Reward."""
        found = self._measure(outcome)
        missed = {
            "drawdown": found.drawdown_missed,
            "risk_adjusted": found.sharpe_missed,
            "consistency": found.won_missed,
        }
        raised = [weight * (1.0 + missed.get(name, 0.0)) for name, weight in zip(NAMES, WEIGHTS, strict=True)]
        total = math.fsum(raised)
        return weighted(found.values, tuple(weight / total for weight in raised))


def dominates(one: tuple[float, ...], other: tuple[float, ...]) -> bool:
    """At least as good in every objective, and better in one."""
    return one != other and all(mine >= theirs for mine, theirs in zip(one, other, strict=True))


MULTI_OBJECTIVE: Final[dict[str, Callable[[], Reward]]] = {
    "weighted_sum": WeightedSum,
    "pareto": Pareto,
    "lexicographic": Lexicographic,
    "constraint_based": ConstraintBased,
    "adaptive": Adaptive,
}
