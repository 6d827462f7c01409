"""What a contender makes of a track, after costs, over the execution core. A core."""

from __future__ import annotations

import math
from collections.abc import Sequence
from itertools import pairwise
from typing import Final

import msgspec

from actors.agents.environment.account import EpisodeAccount, TradingSettings
from actors.agents.environment.observation import Prepared
from actors.decisions.policy import ActionMeaning
from protocols.nanos import NANO

YEAR: Final = 365 * 86_400 * NANO


class Played(msgspec.Struct, frozen=True):
    """One track played to its end. Shares of the capital: 0.01 is 1 %.

    `sharpe`: mean over deviation of the returns by bar, times the root of the bars in a year; 0 where nothing moved.
    `drawdown`: the largest fall from a peak, 0 or more. `fees`: of all fills (the spread is in the return besides).
    """

    track: str
    return_: float = msgspec.field(name="return")
    sharpe: float = 0.0
    drawdown: float = 0.0
    fees: float = 0.0
    orders: int = 0
    fills: int = 0


def play(
    prepared: Prepared,
    actions: Sequence[ActionMeaning],
    trading: TradingSettings,
    *,
    start: int,
    stop: int | None = None,
    seed: int = 0,
) -> Played:
    """Do what `actions` say at the end of each bar from `start` on; nobody is sent home for a loss.

    What is held at the end is marked at the exit side. Raises ValueError for a start that leaves no bar to play.
    """
    track = prepared.track
    last = len(track) - 1 if stop is None else min(stop, len(track)) - 1
    if not 0 <= start < last:
        raise ValueError(f"start: expected a bar before the last, {last}, got {start}")
    account = EpisodeAccount(trading, track, start, seed)
    curve = [account.equity]
    for place in range(start, last):
        account.act(actions[place])
        account.advance()
        curve.append(account.equity)
    bar = track.bars[0]
    return Played(
        track=track.name,
        return_=curve[-1] / curve[0] - 1.0,
        sharpe=sharpe(curve, YEAR / (bar.end - bar.start)),
        drawdown=drawdown(curve),
        fees=account.fees / curve[0],
        orders=account.orders,
        fills=account.fills,
    )


def sharpe(curve: Sequence[float], periods: float) -> float:
    """Annualised, of simple returns, with no rate of interest; 0 where the curve does not move."""
    changes = [after / before - 1.0 for before, after in pairwise(curve) if before > 0]
    if len(changes) < 2:
        return 0.0
    mean = math.fsum(changes) / len(changes)
    variance = math.fsum((change - mean) ** 2 for change in changes) / (len(changes) - 1)
    return mean / math.sqrt(variance) * math.sqrt(periods) if variance > 0 else 0.0


def drawdown(curve: Sequence[float]) -> float:
    """The largest fall from a peak as a share of it."""
    peak, worst = curve[0], 0.0
    for value in curve:
        peak = max(peak, value)
        worst = max(worst, 1.0 - value / peak if peak > 0 else 0.0)
    return worst
