"""What tallies of signals come to, and what a period of time is."""

from __future__ import annotations

import re
from collections.abc import Iterable
from typing import Final, get_args

import msgspec

from protocols.signals import Action, SignalStatus, SignalTally

ACTIONS: Final[tuple[Action, ...]] = get_args(Action)
STATUSES: Final[tuple[SignalStatus, ...]] = get_args(SignalStatus)
LONGEST_NS: Final = 366 * 86_400 * 1_000_000_000
_PERIOD: Final = re.compile(r"([1-9][0-9]{0,5})(m|h|d|w)")
_SECONDS: Final = {"m": 60, "h": 3600, "d": 86_400, "w": 604_800}


class Totals(msgspec.Struct, frozen=True, kw_only=True):
    """What tallies come to. Averages and the rate are None where there is nothing to take them of."""

    signals: int
    by_action: dict[Action, int]
    by_status: dict[SignalStatus, int]
    average_confidence: float | None
    average_risk_score: float | None
    outcomes: int
    """Executed signals with a known profit or loss."""
    won: int
    """Those of them that made a profit."""
    success_rate: float | None
    """`won` / `outcomes`."""
    pnl: dict[str, int]
    """By currency, in nanos."""


def totals(tallies: Iterable[SignalTally]) -> Totals:
    """What tallies come to."""
    by_action = dict.fromkeys(ACTIONS, 0)
    by_status = dict.fromkeys(STATUSES, 0)
    pnl: dict[str, int] = {}
    signals = outcomes = won = 0
    confidence = risk = 0.0
    for each in tallies:
        signals += each.signals
        outcomes += each.outcomes
        won += each.won
        confidence += each.confidence
        risk += each.risk
        by_action[each.action] += each.signals
        by_status[each.status] += each.signals
        if each.outcomes:
            pnl[each.currency] = pnl.get(each.currency, 0) + int(each.pnl)
    return Totals(
        signals=signals,
        by_action=by_action,
        by_status=by_status,
        average_confidence=confidence / signals if signals else None,
        average_risk_score=risk / signals if signals else None,
        outcomes=outcomes,
        won=won,
        success_rate=won / outcomes if outcomes else None,
        pnl=pnl,
    )


def period_ns(text: str) -> int:
    """How long "90m", "24h", "7d" or "4w" is. Raises ValueError, also beyond 366 days."""
    found = _PERIOD.fullmatch(text)
    length = int(found[1]) * _SECONDS[found[2]] * 1_000_000_000 if found else 0
    if not 0 < length <= LONGEST_NS:
        raise ValueError(f'expected a period such as "1h", "24h", "7d" or "30d", at most 366 days, got {text[:50]!r}')
    return length
