"""What lives before have written: from the node's log, and what is no longer there from the database.

A segment of the log is deleted only when the database holds it for certain. So of each stream the log has an end, and
the database all that is before it: nothing is read twice, and nothing is missed. The log is always there; the database
may come later.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping
from pathlib import Path
from typing import Any, Final, TypeVar

import msgspec

from actors.decisions.experiments.phase import DAY_NS, Seen
from protocols.control import Refused, Unknown
from protocols.decisions import PredictionRow
from protocols.experiments import (
    AbTestRow,
    AssignmentRow,
    DecisionOutcomeRow,
    ExperimentPlan,
    ExposureRow,
    ShadowPairRow,
)
from protocols.rollouts import RolloutRow
from protocols.storage import PAGE, QueryResult, RunQuery
from runtime import ActorRef
from runtime.segments import SEGMENT_HEADER, list_segments, read_tables, records, segment_path

QUERY_S: Final = 10.0
S = TypeVar("S", bound=msgspec.Struct)

KEEPERS: Final[Mapping[str, type[msgspec.Struct]]] = {
    AbTestRow.table: AbTestRow,
    AssignmentRow.table: AssignmentRow,
    ExposureRow.table: ExposureRow,
    DecisionOutcomeRow.table: DecisionOutcomeRow,
    ShadowPairRow.table: ShadowPairRow,
    PredictionRow.table: Seen,
}
ROLLOUTS: Final[Mapping[str, type[msgspec.Struct]]] = {RolloutRow.table: RolloutRow}


class Logged(msgspec.Struct):
    """Rows in their order, and where each stream begins in the log."""

    rows: list[msgspec.Struct]
    begins: dict[str, int]


def read_log(directory: Path, wanted: Mapping[str, type[msgspec.Struct]]) -> Logged:
    """All rows of these tables that the log still has. Blocking: for a thread. Raises OSError, LogDamaged."""
    tables, _ = read_tables(directory)
    kinds = {kind: table for kind, table in tables.items() if table.name in wanted}
    found = Logged([], {})
    for base in list_segments(directory):
        try:
            content = segment_path(directory, base).read_bytes()
        except FileNotFoundError:  # the writer has just deleted it: the database has it
            found = Logged([], {})
            continue
        for kind, payload, _ in records(content, SEGMENT_HEADER.size):
            table = kinds.get(kind)
            if table is None:
                continue
            fields = dict(zip(table.columns, msgspec.msgpack.decode(payload), strict=True))
            found.begins.setdefault(fields["stream"], fields["seq"])
            found.rows.append(_row(fields, wanted[table.name]))
    return found


def _row(fields: dict[str, Any], kind: type[S]) -> S:
    for name in ("plan", "configured", "view"):
        if isinstance(fields.get(name), str):
            fields[name] = msgspec.Raw(fields[name].encode())
    return msgspec.convert(fields, kind)


async def ask(queries: ActorRef, sql: str, arguments: tuple[Any, ...]) -> QueryResult:
    """Run a query. Raises Refused `unavailable`, whatever the reason."""
    try:
        return await queries.ask(RunQuery(sql, arguments), QUERY_S)
    except Refused as refused:
        raise Refused("unavailable", f"the database does not answer: {refused.message}") from refused
    except Unknown as unknown:
        raise Refused("unavailable", "the database does not answer") from unknown


async def stored_rows(queries: ActorRef, kind: type[S], table: str, stream: str, before: int) -> list[S]:
    """All rows of a stream before a place. Raises Refused `unavailable`, also where they are not all there."""
    columns = ", ".join(kind.__struct_fields__)
    sql = f"SELECT {columns} FROM {table} WHERE stream = $1 AND seq > $2 AND seq < $3 ORDER BY seq"  # noqa: S608
    found: list[S] = []
    place = 0
    while True:
        result = await ask(queries, sql, (stream, place, before))
        found += [_row(dict(zip(result.columns, fields, strict=True)), kind) for fields in result.rows]
        if not result.more:
            return found
        place = result.rows[-1][result.columns.index("seq")]


EXPOSURES = """
    SELECT unit, arm, min(ts) AS ts FROM ab_exposures
    WHERE experiment = $1 AND version = $2 AND stream = $3 AND seq < $4
    GROUP BY unit, arm ORDER BY min(ts), unit, arm LIMIT 500 OFFSET $5
"""
ASSIGNMENTS = """
    SELECT DISTINCT user_id, assignment FROM ab_test_assignments
    WHERE test_name = $1 AND version = $2 AND stream = $3 AND seq < $4
    ORDER BY user_id, assignment LIMIT 500 OFFSET $5
"""
REQUESTS = f"""
    SELECT user_id, CASE WHEN $6 > 0 THEN symbol ELSE '' END AS symbol, arm, served_by, reason, should_trade,
           floor(ln(greatest(processing_ns, 1)::float8) / ln(2.0::float8) * 8)::bigint AS bucket,
           processing_ns > $7 AS slow, max(ts) AS ts, count(*) AS times
    FROM prediction_history
    WHERE experiment = $1 AND version = $2 AND stream = $3 AND seq < $4
    GROUP BY 1, 2, 3, 4, 5, 6, 7, 8, ts / {DAY_NS}, CASE WHEN $6 > 0 THEN ts / $6 ELSE 0 END
    ORDER BY max(ts), 1, 2, 3, 4, 5, 6, 7, 8 LIMIT 500 OFFSET $5
"""  # noqa: S608 - a number of our own
BEFORE = f"""
    SELECT unit, ts_decision / {DAY_NS} AS day, sum(outcome) AS total FROM decision_outcomes
    WHERE experiment = $1 AND version <> $2 AND stream = $3 AND seq < $4 AND counted
    GROUP BY 1, 2 ORDER BY 1, 2 LIMIT 500 OFFSET $5
"""  # noqa: S608
OUTCOMES = f"""
    SELECT {", ".join(DecisionOutcomeRow.__struct_fields__)} FROM decision_outcomes
    WHERE experiment = $1 AND version = $2 AND stream = $3 AND seq < $4 ORDER BY seq LIMIT 500 OFFSET $5
"""  # noqa: S608
PAIRS = f"""
    SELECT {", ".join(ShadowPairRow.__struct_fields__)} FROM ab_shadow_pairs
    WHERE experiment = $1 AND version = $2 AND stream = $3 AND seq < $4 ORDER BY seq LIMIT 500 OFFSET $5
"""  # noqa: S608


async def pages(queries: ActorRef, sql: str, *arguments: Any, more: tuple[Any, ...] = ()) -> AsyncIterator[Any]:
    """Rows of one of the queries above, with the plan's name, version, stream and end; nothing of it changes."""
    offset = 0
    while True:
        result = await ask(queries, sql, (*arguments, offset, *more))
        for row in result.rows:
            yield row
        if len(result.rows) < PAGE:
            return
        offset += len(result.rows)


def requests_of(plan: ExperimentPlan, row: tuple[Any, ...]) -> tuple[Seen, int]:
    """A row of REQUESTS: decisions alike in all that is counted."""
    user, symbol, arm, served_by, reason, trades, bucket, slow, ts, times = row
    took = int(2.0 ** ((bucket + 0.5) / 8))
    limit = plan.analysis.slow_ns
    seen = Seen(
        decision_id="",
        ts=ts,
        user_id=user,
        symbol=symbol,
        experiment=plan.name,
        version=plan.version,
        arm=arm,
        served_by=served_by,
        reason=reason,
        should_trade=trades,
        processing_ns=max(took, limit + 1) if slow else min(took, limit),
    )
    return seen, times


FIND_DECISION = f"""
    SELECT {", ".join(Seen.__struct_fields__)} FROM prediction_history WHERE decision_id = $1 ORDER BY seq LIMIT 1
"""  # noqa: S608
FIND_OUTCOMES = """
    SELECT source, sum(outcome), bool_or(success) FROM decision_outcomes
    WHERE decision_id = $1 AND counted GROUP BY source LIMIT 1
"""
TRADES = """
    SELECT o.seq, o.outcome_id, o.return_share, o.exit_ts, array_to_string(o.marks, ' '), p.decision_id, p.ts,
           p.user_id, p.symbol, p.experiment, p.version, p.arm, p.served_by, p.reason, p.should_trade, p.processing_ns
    FROM outcomes o
    JOIN LATERAL (
        SELECT * FROM prediction_history WHERE decision_id = o.decision_id ORDER BY seq LIMIT 1
    ) p ON true
    WHERE o.stream = $1 AND o.seq > $2 AND o.seq <= $3 AND o.decision_id <> ''
    ORDER BY o.seq LIMIT 500
"""
TRADES_END = "SELECT coalesce(max(seq), 0) FROM outcomes WHERE stream = $1"
TRADES_TAKEN = "SELECT coalesce(max(outcome_seq), 0) FROM decision_outcomes WHERE stream = $1"


class Trade(msgspec.Struct, frozen=True):
    """An executed trade of a decision. `value`: the return after costs, a share."""

    seq: int
    outcome_id: str
    value: float
    ts: int
    marks: str
    seen: Seen


async def read_trades(queries: ActorRef, stream: str, after: int) -> tuple[tuple[Trade, ...], int]:
    """Trades behind a place whose decisions are known, and how far that was read. Raises Refused `unavailable`."""
    end = (await ask(queries, TRADES_END, (stream,))).rows[0][0]
    if end <= after:
        return (), after
    result = await ask(queries, TRADES, (stream, after, end))
    trades = tuple(
        Trade(
            row[0],
            row[1],
            row[2],
            row[3],
            row[4],
            Seen(
                decision_id=row[5],
                ts=row[6],
                user_id=row[7],
                symbol=row[8],
                experiment=row[9],
                version=row[10],
                arm=row[11],
                served_by=row[12],
                reason=row[13],
                should_trade=row[14],
                processing_ns=row[15],
            ),
        )
        for row in result.rows
    )
    return trades, (trades[-1].seq if len(trades) == PAGE else end)


EQUITY = f"""
    SELECT DISTINCT ON (account, ts / {DAY_NS})
        account, ts / {DAY_NS} AS day, equity::float8, day_start::float8
    FROM execution_equity WHERE account = ANY($1) AND ts >= $2
    ORDER BY account, ts / {DAY_NS}, seq DESC LIMIT 500 OFFSET $3
"""  # noqa: S608


async def equity_days(
    queries: ActorRef, accounts: Mapping[str, str], since: int, now: int
) -> dict[str, dict[int, float]]:
    """By user and day: the change of equity as a share of the day's beginning, over all accounts of the user.

    `accounts`: the user of each. Deposits are no change (an account's day moves with them). Days that are not over are
    left out. Raises Refused `unavailable`.
    """
    ends: dict[tuple[str, int], list[float]] = {}
    offset, names = 0, tuple(sorted(accounts))
    while names:
        result = await ask(queries, EQUITY, (names, since, offset))
        for account, day, equity, start in result.rows:
            if day < now // DAY_NS:
                sums = ends.setdefault((accounts[account], day), [0.0, 0.0])
                sums[0] += equity
                sums[1] += start
        if len(result.rows) < PAGE:
            break
        offset += len(result.rows)
    found: dict[str, dict[int, float]] = {}
    for (user, day), (equity, start) in ends.items():
        if start > 0:
            found.setdefault(user, {})[day] = equity / start - 1
    return found
