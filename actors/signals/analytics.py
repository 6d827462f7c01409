"""Figures of many signals at once, from the database: what `analytics/summary` and a strategy's metrics are made of.

A signal counts with its newest update. What waited beyond its expiry is expired, whether or not that is stored already.

The database gets what the hub has accepted a moment later. So whoever asks waits (`settle`) until it has all that had
been accepted when the question came, for a second at most, and is told how many rows were missing then.
"""

from __future__ import annotations

import re
from typing import Final, Protocol, get_args

import msgspec
import trio

from actors.signals import archive
from protocols.signals import SIGNAL_UPDATES, SIGNALS, Action, SignalStatus
from runtime import ActorRef

ACTIONS: Final[tuple[Action, ...]] = get_args(Action)
STATUSES: Final[tuple[SignalStatus, ...]] = get_args(SignalStatus)
SETTLE_S: Final = 1.0
POLL_S: Final = 0.02
LONGEST_NS: Final = 366 * 86_400 * 1_000_000_000
_PERIOD: Final = re.compile(r"([1-9][0-9]{0,5})(m|h|d|w)")
_SECONDS: Final = {"m": 60, "h": 3600, "d": 86_400, "w": 604_800}

TALLIES: Final = f"""
    SELECT action, status, coalesce(currency, '') AS currency, count(*) AS signals,
           sum(confidence) AS confidence, sum(risk_score) AS risk,
           count(pnl) AS outcomes, count(*) FILTER (WHERE pnl > 0) AS won, coalesce(sum(pnl), 0)::text AS pnl
    FROM (
        SELECT s.action, s.confidence, s.risk_score, {archive.status_of("$6")} AS status,
               CASE WHEN u.status = 'executed' THEN u.pnl END AS pnl,
               CASE WHEN u.status = 'executed' AND u.pnl IS NOT NULL THEN u.currency END AS currency
        FROM signals s
        LEFT JOIN LATERAL (
            SELECT status, pnl, currency FROM signal_updates WHERE signal_id = s.signal_id ORDER BY seq DESC LIMIT 1
        ) u ON true
        WHERE s.stream = $1
          AND ($2::text[] IS NULL OR s.symbol = ANY($2))
          AND ($3::text[] IS NULL OR s.strategy_id = ANY($3))
          AND s.ts_created >= $4 AND s.ts_created <= $5
    ) found
    GROUP BY action, status, currency
"""  # noqa: S608 - no input of anybody's


class Tally(msgspec.Struct, frozen=True, gc=False):
    """Signals of one action, status and currency (empty: no outcome). `confidence` and `risk` are sums.

    `outcomes`: how many of them were executed and have a profit or loss, `won`: how many of those made a profit;
    `pnl`: their sum, in nanos, as text since it may outgrow 64 bits.
    """

    action: str
    status: str
    currency: str
    signals: int
    confidence: float
    risk: float
    outcomes: int
    won: int
    pnl: str


class Totals(msgspec.Struct, frozen=True, kw_only=True):
    """What tallies come to. Averages and the rate are None where there is nothing to take them of."""

    signals: int
    by_action: dict[Action, int]
    by_status: dict[SignalStatus, int]
    average_confidence: float | None
    average_risk_score: float | None
    outcomes: int
    won: int
    success_rate: float | None
    pnl: dict[str, int]
    """By currency, in nanos."""


class Places(Protocol):
    """Knows the ends of streams: the node's log."""

    def last_seq(self, stream: str) -> int:
        """The place of the newest row of a stream."""


def period_ns(text: str) -> int:
    """How long "90m", "24h", "7d" or "4w" is. Raises ValueError, also beyond 366 days."""
    found = _PERIOD.fullmatch(text)
    length = int(found[1]) * _SECONDS[found[2]] * 1_000_000_000 if found else 0
    if not 0 < length <= LONGEST_NS:
        raise ValueError(f'expected a period such as "1h", "24h", "7d" or "30d", at most 366 days, got {text[:50]!r}')
    return length


async def settle(log: Places, queries: ActorRef, patience_s: float = SETTLE_S) -> int:
    """Wait until the database has what the log has now; returns how many rows it still lacks after `patience_s`.

    Raises Refused `unavailable`.
    """
    wanted = {stream: log.last_seq(stream) for stream in (SIGNALS, SIGNAL_UPDATES)}
    deadline = trio.current_time() + patience_s
    while True:
        behind = 0
        for stream, last in wanted.items():
            behind += max(0, last - await archive.end_of_stream(queries, stream)) if last else 0
        if not behind or trio.current_time() >= deadline:
            return behind
        await trio.sleep(POLL_S)


async def tallies(
    queries: ActorRef,
    symbols: tuple[str, ...] | None,
    strategy_ids: tuple[str, ...] | None,
    from_ts: int,
    now: int,
) -> tuple[Tally, ...]:
    """The signals that were created from `from_ts` to `now`. Raises Refused `unavailable`."""
    found = await archive.ask(queries, TALLIES, (SIGNALS, symbols, strategy_ids, from_ts, now, now))
    return found.into(Tally)


def totals(found: tuple[Tally, ...]) -> Totals:
    """What tallies come to."""
    by_action = dict.fromkeys(ACTIONS, 0)
    by_status = dict.fromkeys(STATUSES, 0)
    pnl: dict[str, int] = {}
    for each in found:
        by_action[each.action] += each.signals  # type: ignore[index]
        by_status[each.status] += each.signals  # type: ignore[index]
        if each.outcomes:
            pnl[each.currency] = pnl.get(each.currency, 0) + int(each.pnl)
    signals = sum(each.signals for each in found)
    outcomes = sum(each.outcomes for each in found)
    won = sum(each.won for each in found)
    return Totals(
        signals=signals,
        by_action=by_action,
        by_status=by_status,
        average_confidence=sum(each.confidence for each in found) / signals if signals else None,
        average_risk_score=sum(each.risk for each in found) / signals if signals else None,
        outcomes=outcomes,
        won=won,
        success_rate=won / outcomes if outcomes else None,
        pnl=pnl,
    )
