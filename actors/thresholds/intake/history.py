"""What the database has: the intake of lives before, executed trades, and what became of signals."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final

import msgspec

from actors.thresholds.performance import ClosedTrade
from protocols.control import Refused, Unknown
from protocols.storage import PAGE, QueryResult, RunQuery
from protocols.threshold_outcomes import THRESHOLD_INTAKE, THRESHOLD_PROGRESS, IntakeRow
from runtime import ActorRef

QUERY_S: Final = 10.0
KEYS: Final = 20_000
"""How many of the newest places are looked through for what is done already."""
_COLUMNS: Final = ", ".join(f"i.{name}" for name in IntakeRow.__struct_fields__)
_OPEN: Final = f"""
    SELECT {_COLUMNS} FROM {THRESHOLD_INTAKE} i
    WHERE stream = $1 AND seq > $2 AND kind = 'watched' AND NOT EXISTS (
        SELECT FROM {THRESHOLD_INTAKE} n WHERE n.user_id = i.user_id AND n.signal_id = i.signal_id AND n.seq > i.seq
    ) ORDER BY seq
"""  # noqa: S608 - names of our own
_UNTOLD: Final = f"""
    SELECT {_COLUMNS} FROM {THRESHOLD_INTAKE} i
    WHERE stream = $1 AND seq > $2 AND kind IN ('resolved', 'trade', 'poor') ORDER BY seq
"""  # noqa: S608
_POOR: Final = f"""
    SELECT user_id, symbol, bool_or(kind = 'poor') FROM {THRESHOLD_INTAKE} i
    WHERE stream = $1 AND seq = (
        SELECT max(seq) FROM {THRESHOLD_INTAKE} n
        WHERE n.user_id = i.user_id AND n.symbol = i.symbol AND n.kind IN ('poor', 'recovered')
    ) GROUP BY user_id, symbol
"""  # noqa: S608
_KEYS: Final = f"""
    SELECT seq, kind, user_id, signal_id, trade_id FROM {THRESHOLD_INTAKE}
    WHERE stream = $1 AND seq > $2 AND kind IN ('resolved', 'trade') ORDER BY seq
"""  # noqa: S608
_PLACES: Final = f"""
    SELECT coalesce(p.told, 0), greatest(coalesce(p.outcomes, 0), coalesce(i.outcomes, 0)),
           greatest(coalesce(p.signals, 0), coalesce(i.signals, 0) - 1), coalesce(i.last, 0)
    FROM (SELECT max(outcome_seq) AS outcomes, max(signal_seq) AS signals, max(seq) AS last
          FROM {THRESHOLD_INTAKE} WHERE stream = $1) i
    LEFT JOIN (SELECT * FROM {THRESHOLD_PROGRESS} WHERE stream = $2 ORDER BY seq DESC LIMIT 1) p ON true
"""  # noqa: S608


class Recalled(msgspec.Struct, frozen=True):
    """What lives before have left. `done`: (place, kind, user, signal, trade); `whole`: of all that ever was."""

    told: int
    outcomes: int
    signals: int
    last: int
    whole: bool
    open: tuple[IntakeRow, ...]
    untold: tuple[IntakeRow, ...]
    done: tuple[tuple[int, str, str, str, str], ...]
    poor: tuple[tuple[str, str, bool], ...]


async def ask(queries: ActorRef, sql: str, arguments: tuple[Any, ...]) -> QueryResult:
    """Run a query. Raises Refused `unavailable`, whatever the reason."""
    try:
        return await queries.ask(RunQuery(sql, arguments), QUERY_S)
    except Refused as refused:
        raise Refused("unavailable", f"the database does not answer: {refused.message}") from refused
    except Unknown as unknown:
        raise Refused("unavailable", "the database does not answer") from unknown


def _row(columns: Sequence[str], fields: Sequence[Any]) -> IntakeRow:
    named = dict(zip(columns, fields, strict=True))
    return msgspec.convert(named, IntakeRow)


async def _rows(queries: ActorRef, sql: str, stream: str, after: int) -> tuple[IntakeRow, ...]:
    found: list[IntakeRow] = []
    while True:
        page = await ask(queries, sql, (stream, after))
        found += [_row(page.columns, fields) for fields in page.rows]
        if not page.more:
            return tuple(found)
        after = found[-1].seq


async def recall(queries: ActorRef) -> Recalled:
    """All of it, of a database that has caught up. Raises Refused `unavailable`."""
    told, outcomes, signals, last = (await ask(queries, _PLACES, (THRESHOLD_INTAKE, THRESHOLD_PROGRESS))).rows[0]
    done: list[tuple[int, str, str, str, str]] = []
    first = max(0, last - KEYS)
    after = first
    while True:
        page = await ask(queries, _KEYS, (THRESHOLD_INTAKE, after))
        done += [(row[0], row[1], row[2], row[3], row[4]) for row in page.rows]
        if not page.more:
            break
        after = page.rows[-1][0]
    poor = (await ask(queries, _POOR, (THRESHOLD_INTAKE,))).rows
    return Recalled(
        told=told,
        outcomes=outcomes,
        signals=max(0, signals),
        last=last,
        whole=first == 0,
        open=await _rows(queries, _OPEN, THRESHOLD_INTAKE, 0),
        untold=await _rows(queries, _UNTOLD, THRESHOLD_INTAKE, told),
        done=tuple(done),
        poor=tuple((user, symbol, is_poor) for user, symbol, is_poor in poor),
    )


_EXECUTED: Final = """
    SELECT o.seq, o.outcome_id, o.return_share, o.exit_ts, o.market, o.signal_id, o.deployment_id, o.marks, u.user_id,
           s.symbol, s.action, s.confidence, coalesce(s.metadata, '{}') AS metadata, s.ts_created
    FROM outcomes o
    LEFT JOIN deployment_users u USING (deployment_id)
    LEFT JOIN LATERAL (SELECT * FROM signals WHERE signal_id = o.signal_id ORDER BY seq LIMIT 1) s ON true
    WHERE o.stream = $1 AND o.seq > $2 ORDER BY o.seq
"""


class Executed(msgspec.Struct, frozen=True):
    """A trade of the runtime has ended. `user_id` None: its deployment is not known. `action` None: its signal."""

    seq: int
    outcome_id: str
    return_share: float
    exit_ts: int
    market: str
    signal_id: str
    deployment_id: str
    marks: tuple[str, ...]
    user_id: str | None
    symbol: str | None
    action: str | None
    confidence: float | None
    metadata: msgspec.Raw
    ts_created: int | None


async def executed(queries: ActorRef, stream: str, after: int) -> tuple[Executed, ...]:
    """The next executed trades behind a place, at most a page. Raises Refused `unavailable`."""
    return (await ask(queries, _EXECUTED, (stream, after))).into(Executed)


_TRADED: Final = """
    SELECT v.signal_id, v.deployment_id, bool_or(cardinality(v.orders) > 0),
           bool_or(EXISTS (SELECT FROM execution_fills f
                           WHERE f.signal_id = v.signal_id AND f.deployment_id = v.deployment_id))
    FROM execution_verdicts v WHERE v.signal_id = ANY($1) GROUP BY 1, 2
"""


async def traded(queries: ActorRef, signals: tuple[str, ...]) -> dict[tuple[str, str], bool]:
    """By signal and deployment, whether any of it was filled. Raises Refused `unavailable`."""
    found: dict[tuple[str, str], bool] = {}
    for first in range(0, len(signals), PAGE // 2):
        for signal, deployment, _, filled in (await ask(queries, _TRADED, (signals[first : first + PAGE // 2],))).rows:
            found[signal, deployment] = filled
    return found


_FIRST: Final = f"""
    SELECT coalesce(min(seq) FILTER (WHERE kind = 'trade' AND trade_id = $3), 0),
           coalesce(min(seq) FILTER (WHERE signal_id = $2 AND signal_id <> ''), 0)
    FROM {THRESHOLD_INTAKE}
    WHERE user_id = $1 AND kind IN ('resolved', 'trade') AND (signal_id = $2 OR trade_id = $3)
"""  # noqa: S608


async def is_first(queries: ActorRef, row: IntakeRow) -> bool:
    """Whether nothing before this row is about the same trade or the same signal. Raises Refused `unavailable`."""
    trade, signal = (await ask(queries, _FIRST, (row.user_id, row.signal_id, row.trade_id))).rows[0]
    return not (0 < trade < row.seq or 0 < signal < row.seq)


async def stored_up_to(queries: ActorRef, table: str, stream: str) -> int:
    """The newest place of a stream that the database has. Raises Refused `unavailable`."""
    sql = f"SELECT coalesce(max(seq), 0) FROM {table} WHERE stream = $1"  # noqa: S608 - a name of our own
    return int((await ask(queries, sql, (stream,))).rows[0][0])


_ACTIVE: Final = """
    SELECT user_id, symbol, max(ts_closed) FROM trades WHERE ts_closed >= $1
    GROUP BY user_id, symbol ORDER BY 3 DESC, 1, 2 LIMIT 200
"""


async def active_users(queries: ActorRef, since: int) -> list[tuple[str, str]]:
    """Users and symbols with trades that were closed since then, the newest first, at most 200. Raises Refused."""
    return [(user, symbol) for user, symbol, _ in (await ask(queries, _ACTIVE, (since,))).rows]


_CLOSED: Final = """
    SELECT ts_closed, return_share FROM trades
    WHERE user_id = $1 AND ($2 = '' OR symbol = $2) AND ts_closed >= $3 AND ts_closed < $4
    ORDER BY ts_closed DESC, id LIMIT 500 OFFSET $5
"""


async def closed_trades(
    queries: ActorRef, user: str, symbol: str, ts_from: int, ts_to: int, most: int = PAGE
) -> list[ClosedTrade]:
    """The newest trades of a user closed in [ts_from, ts_to), at most `most`. Raises Refused `unavailable`."""
    found: list[ClosedTrade] = []
    while len(found) < most:
        page = (await ask(queries, _CLOSED, (user, symbol, ts_from, ts_to, len(found)))).rows
        found += [ClosedTrade(ts, share) for ts, share in page]
        if len(page) < PAGE:
            break
    return found[:most]
