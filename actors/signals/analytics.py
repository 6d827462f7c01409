"""Figures of many signals at once, from the database: what `analytics/summary` and a strategy's metrics are made of.

A signal counts with its newest update. What waited beyond its expiry is expired, whether or not that is stored already.

The database gets what the hub has accepted a moment later. So whoever asks waits (`settle`) until it has all that had
been accepted when the question came, for a second at most, and is told how many rows were missing then.
"""

from __future__ import annotations

from typing import Final, Protocol

import trio

from actors.signals import archive
from protocols.signals import SIGNAL_UPDATES, SIGNALS, SignalTally
from runtime import ActorRef

SETTLE_S: Final = 1.0
POLL_S: Final = 0.02
TALLY_S: Final = 20.0
"""How long counting may take: about 3 s for a million signals."""

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


class Places(Protocol):
    """Knows the ends of streams: the node's log."""

    def last_seq(self, stream: str) -> int:
        """The place of the newest row of a stream."""


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
) -> tuple[SignalTally, ...]:
    """The signals that were created from `from_ts` to `now`. Raises Refused `unavailable`."""
    found = await archive.ask(queries, TALLIES, (SIGNALS, symbols, strategy_ids, from_ts, now, now), TALLY_S)
    return found.into(SignalTally)
