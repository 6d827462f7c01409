"""Figures of decisions that were given: of each model and arm, and of each user. A core.

Times are kept as the newest thousand of each kind, so that percentiles are exact over them. Users are bounded: who
asked least recently is forgotten first.
"""

from __future__ import annotations

import math
from collections import deque
from typing import Final

import msgspec

from protocols.decisions import Decision

NEWEST: Final = 1000
USERS: Final = 10_000
HOUR_NS: Final = 3_600_000_000_000
MINUTE_NS: Final = 60_000_000_000
FAILURES: Final = frozenset({"TIMEOUT", "REJECTED", "CIRCUIT_OPEN", "MODEL_ERROR"})
"""Reasons that are the server's or a model's fault; the others are the observation's."""


class ServedFigures(msgspec.Struct, frozen=True, gc=False, kw_only=True):
    """One server of decisions (a model's version, the rule, the fallback) for one arm. Times in milliseconds over the
    newest thousand; None: nothing is known."""

    served_by: str
    model_version: str
    arm: str
    decisions: int
    cached: int
    trades: int
    mean_confidence: float | None
    mean_ms: float | None
    p50_ms: float | None
    p95_ms: float | None
    p99_ms: float | None


class UserFigures(msgspec.Struct, frozen=True, gc=False, kw_only=True):
    """One user since the node started. `success_rate_1h`: the part of his last hour's that no failure answered."""

    user_id: str
    predictions: int
    errors: int
    predictions_1h: int
    success_rate_1h: float | None
    ts_first: int
    ts_last: int
    agents: tuple[str, ...]


class _Served:
    __slots__ = ("cached", "confidence", "count", "took", "trades")

    def __init__(self) -> None:
        self.count = self.cached = self.trades = 0
        self.confidence = 0.0
        self.took: deque[int] = deque(maxlen=NEWEST)


class _User:
    __slots__ = ("agents", "count", "errors", "first", "last", "minutes")

    def __init__(self, ts: int) -> None:
        self.count = self.errors = 0
        self.first = self.last = ts
        self.agents: dict[str, None] = {}
        self.minutes: deque[list[int]] = deque()
        """[minute, predictions, errors] of the last hour."""


class Figures:
    """All of them. `reasons`: how often each reason made the fallback answer."""

    def __init__(self, users: int = USERS) -> None:
        self.decisions = 0
        self.reasons: dict[str, int] = {}
        self._most_users = users
        self._served: dict[tuple[str, str, str], _Served] = {}
        self._users: dict[str, _User] = {}

    def add(self, decision: Decision) -> None:
        """Count one."""
        self.decisions += 1
        if decision.reason:
            self.reasons[decision.reason] = self.reasons.get(decision.reason, 0) + 1
        key = (decision.served_by, decision.model_version, decision.arm)
        served = self._served.get(key)
        if served is None:
            served = self._served[key] = _Served()
        served.count += 1
        served.cached += decision.cached
        served.trades += decision.should_trade
        served.confidence += decision.confidence
        served.took.append(decision.took_ns)
        self._add_user(decision)

    def _add_user(self, decision: Decision) -> None:
        user = self._users.pop(decision.user_id, None)
        if user is None:
            user = _User(decision.ts)
            if len(self._users) >= self._most_users:
                del self._users[next(iter(self._users))]
        self._users[decision.user_id] = user
        failed = decision.reason in FAILURES
        user.count += 1
        user.errors += failed
        user.last = max(user.last, decision.ts)
        if decision.agent_id and len(user.agents) < NEWEST:
            user.agents[decision.agent_id] = None
        minute = decision.ts // MINUTE_NS
        if not user.minutes or user.minutes[-1][0] < minute:
            user.minutes.append([minute, 0, 0])
        user.minutes[-1][1] += 1
        user.minutes[-1][2] += failed
        while user.minutes[0][0] <= minute - 60:
            user.minutes.popleft()

    def served(self) -> tuple[ServedFigures, ...]:
        """Figures by who served, its version, and the arm."""
        return tuple(_shown(key, served) for key, served in sorted(self._served.items()))

    def users(self, now: int) -> tuple[UserFigures, ...]:
        """Figures of users, the most recent first."""
        return tuple(_user(name, user, now) for name, user in reversed(self._users.items()))


def _shown(key: tuple[str, str, str], served: _Served) -> ServedFigures:
    took = sorted(served.took)

    def ms(part: float) -> float | None:
        """The nearest-rank percentile."""
        return took[max(0, math.ceil(part * len(took)) - 1)] / 1e6 if took else None

    return ServedFigures(
        served_by=key[0],
        model_version=key[1],
        arm=key[2],
        decisions=served.count,
        cached=served.cached,
        trades=served.trades,
        mean_confidence=served.confidence / served.count if served.count else None,
        mean_ms=sum(took) / len(took) / 1e6 if took else None,
        p50_ms=ms(0.5),
        p95_ms=ms(0.95),
        p99_ms=ms(0.99),
    )


def _user(name: str, user: _User, now: int) -> UserFigures:
    since = now // MINUTE_NS - 60
    recent = sum(count for minute, count, _ in user.minutes if minute > since)
    failed = sum(errors for minute, _, errors in user.minutes if minute > since)
    return UserFigures(
        user_id=name,
        predictions=user.count,
        errors=user.errors,
        predictions_1h=recent,
        success_rate_1h=(recent - failed) / recent if recent else None,
        ts_first=user.first,
        ts_last=user.last,
        agents=tuple(user.agents),
    )
