"""Figures of closed trades. `pnl`: profit of each after fees, in money; a trade that made nothing is no win."""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray

from actors.research.metrics.metric import Unknown
from actors.research.metrics.returns import spread

Floats = NDArray[np.float64]


def win_rate(pnl: Floats) -> float:
    """Share of the trades with a profit; those of zero count as trades."""
    if pnl.size == 0:
        raise Unknown("no trades")
    return float(np.mean(pnl > 0))


def profit_factor(values: Floats) -> float:
    """sum(gains) / |sum(losses)|, of profits in money or of returns: say which."""
    losses = float(-values[values < 0].sum())
    if losses == 0:
        raise Unknown("no trade lost")
    return float(values[values > 0].sum()) / losses


def payoff(pnl: Floats) -> float:
    """Mean win over mean loss."""
    wins, losses = pnl[pnl > 0], pnl[pnl < 0]
    if wins.size == 0 or losses.size == 0:
        raise Unknown("needs a trade that won and one that lost")
    return float(wins.mean() / -losses.mean())


def expectancy(pnl: Floats) -> float:
    """p_win mean win - p_loss mean loss: the mean profit of a trade."""
    if pnl.size == 0:
        raise Unknown("no trades")
    return float(pnl.mean())


def expectancy_ratio(pnl: Floats) -> float:
    """(1 + payoff) p_win - 1: expected profit for one unit of mean loss, where no trade made exactly nothing."""
    return (1 + payoff(pnl)) * win_rate(pnl) - 1


def quality_number(pnl: Floats) -> float:
    """SQN: sqrt(n) mean / std(n - 1). Van Tharp, "Definitive Guide to Position Sizing", 2008."""
    return math.sqrt(pnl.size) * float(pnl.mean()) / spread(pnl)


def kelly(pnl: Floats) -> float:
    """w - (1 - w) / payoff: the share of the capital that Kelly's rule puts at risk. Kelly, BSTJ 35(4), 1956."""
    won = win_rate(pnl)
    return won - (1 - won) / payoff(pnl)


def longest_run_of_losses(pnl: Floats) -> int:
    """The most trades in a row that lost."""
    longest = current = 0
    for lost in (pnl < 0).tolist():
        current = current + 1 if lost else 0
        longest = max(longest, current)
    return longest
