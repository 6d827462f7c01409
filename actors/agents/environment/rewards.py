"""Rewards: what a step of an episode was worth. A core.

r is the change of the equity in the step as a share, costs paid and open positions marked at the exit side. D is the
largest drawdown of the episode so far as a share, c what fees took in the step as a share, S = mean / (deviation +
0.0001) of the last 30 r. More drawdown and more cost always lower a reward; both count in percent, as r does.

    simple_return   100 r
    sharpe_ratio    S
    risk_adjusted   100 (r - 0.1 D - c)
    combined        0.4 · 100 r + 0.3 S - 0.2 · 100 D - 0.1 · 100 c

All are clipped to ±10. c is in r already, as it lowers the equity; where it stands besides, trading costs twice.
"""

from __future__ import annotations

import math
from collections import deque
from collections.abc import Callable, Iterable
from typing import Final, Literal, Protocol, get_args

import msgspec

RewardName = Literal[
    "simple_return",
    "sharpe_ratio",
    "risk_adjusted",
    "combined",
    "weighted_sum",
    "pareto",
    "lexicographic",
    "constraint_based",
    "adaptive",
]
REWARDS: Final[tuple[RewardName, ...]] = get_args(RewardName)
SCALE: Final = 100.0
CLIP: Final = 10.0
WINDOW: Final = 30
FLOOR: Final = 1e-4


class Outcome(msgspec.Struct, frozen=True, gc=False):
    """A step: equity before and after it, what fees took, whether the agent traded; money in units."""

    before: float
    after: float
    fees: float = 0.0
    traded: bool = False

    @property
    def change(self) -> float:
        """Of the equity, as a share; 0 where there was none."""
        return self.after / self.before - 1.0 if self.before > 0 else 0.0

    @property
    def cost(self) -> float:
        """What fees took, as a share."""
        return self.fees / self.before if self.before > 0 else 0.0


class Reward(Protocol):
    """One episode's reward. A new one for every episode."""

    def __call__(self, outcome: Outcome) -> float:
        """What the step was worth, not clipped."""
        ...


class Record:
    """What rewards know of an episode so far."""

    def __init__(self) -> None:
        self.changes: deque[float] = deque(maxlen=WINDOW)
        self.peak = self.drawdown = 0.0

    def add(self, outcome: Outcome) -> None:
        """One more step."""
        self.changes.append(outcome.change)
        self.peak = max(self.peak, outcome.before, outcome.after)
        if self.peak > 0:
            self.drawdown = max(self.drawdown, 1.0 - outcome.after / self.peak)

    def sharpe(self) -> float:
        """S of the steps in the window, not annualised."""
        return sharpe(self.changes)


def sharpe(changes: Iterable[float]) -> float:
    """mean / (deviation + 0.0001); 0 for none."""
    values = list(changes)
    if not values:
        return 0.0
    mean = math.fsum(values) / len(values)
    variance = math.fsum((value - mean) ** 2 for value in values) / len(values)
    return mean / (math.sqrt(variance) + FLOOR)


class SimpleReturn:
    """100 r."""

    def __call__(self, outcome: Outcome) -> float:
        """See Reward."""
        return SCALE * outcome.change


class SharpeRatio:
    """S."""

    def __init__(self) -> None:
        self._record = Record()

    def __call__(self, outcome: Outcome) -> float:
        """See Reward."""
        self._record.add(outcome)
        return self._record.sharpe()


class RiskAdjusted:
    """100 (r - 0.1 D - c)."""

    def __init__(self) -> None:
        self._record = Record()

    def __call__(self, outcome: Outcome) -> float:
        """See Reward."""
        self._record.add(outcome)
        return SCALE * (outcome.change - 0.1 * self._record.drawdown - outcome.cost)


class Combined:
    """0.4 · 100 r + 0.3 S - 0.2 · 100 D - 0.1 · 100 c."""

    def __init__(self) -> None:
        self._record = Record()

    def __call__(self, outcome: Outcome) -> float:
        """See Reward."""
        record = self._record
        record.add(outcome)
        money = 0.4 * outcome.change - 0.2 * record.drawdown - 0.1 * outcome.cost
        return SCALE * money + 0.3 * record.sharpe()


def reward_of(name: RewardName) -> Reward:
    """A new reward for one episode. Raises ValueError for an unknown name."""
    from actors.agents.environment.objectives import MULTI_OBJECTIVE

    plain: dict[str, Callable[[], Reward]] = {
        "simple_return": SimpleReturn,
        "sharpe_ratio": SharpeRatio,
        "risk_adjusted": RiskAdjusted,
        "combined": Combined,
    }
    known = plain | MULTI_OBJECTIVE
    if name not in known:
        raise ValueError(f"reward: expected one of {', '.join(known)}, got {name!r}")
    return known[name]()


def clipped(reward: float) -> float:
    """Within ±10."""
    return max(-CLIP, min(CLIP, reward))
