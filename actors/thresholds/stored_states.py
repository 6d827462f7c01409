"""What the database has of thresholds: states and lessons, records, what each user has shown.

What is newest may not be there yet; whoever asks for a list has that, as `own`. Where the database does not answer, a
list says in its remark that it is not whole; all else raises Refused.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, Final, NamedTuple
from uuid import UUID

import msgspec

from actors.thresholds.messages import KnownKeys, Pools, SymbolPool
from actors.thresholds.meta_gate import MetaGateSettings
from actors.thresholds.parameters import Registry
from actors.thresholds.pools import Shown, pool_of
from actors.thresholds.tail import Key, Stored
from protocols.control import Refused, Unknown
from protocols.storage import PAGE, QueryResult, RunQuery
from protocols.thresholds import AdaptationRecord, GetRecords, Records
from runtime import ActorRef

QUERY_S: Final = 5.0

_POSITION: Final = "(SELECT coalesce(max(position), 0) FROM write_position WHERE log_id = $1)"
_WHERE_IT_IS: Final = f"SELECT {_POSITION}"
_LOAD: Final = f"""
    SELECT {_POSITION}, w.user_id, w.symbol, coalesce(s.seq, 0), s.state, coalesce(s.outcome_seq, 0), l.seqs,
           l.outcome_seqs, l.lessons
    FROM unnest($2::text[], $3::text[]) AS w(user_id, symbol)
    LEFT JOIN LATERAL (
        SELECT seq, state, outcome_seq FROM threshold_states
        WHERE user_id = w.user_id AND symbol = w.symbol ORDER BY seq DESC LIMIT 1
    ) s ON true
    LEFT JOIN LATERAL (
        SELECT array_agg(seq ORDER BY seq) AS seqs, array_agg(outcome_seq ORDER BY seq) AS outcome_seqs,
               array_agg(lesson ORDER BY seq) AS lessons
        FROM threshold_lessons
        WHERE user_id = w.user_id AND symbol = w.symbol AND seq > coalesce(s.seq, 0)
    ) l ON true
"""  # noqa: S608 - names of our own
_KEYS: Final = """
    SELECT known.user_id, known.symbol, EXISTS (
        SELECT FROM adaptive_thresholds t WHERE t.user_id = known.user_id AND t.symbol = known.symbol
            AND (t.gate_open OR t.current_value <> t.default_value)
    ) FROM (
        SELECT user_id, symbol FROM threshold_states UNION SELECT user_id, symbol FROM threshold_lessons
    ) known WHERE (known.user_id, known.symbol) > ($1, $2) ORDER BY 1, 2 LIMIT $3
"""
_RECORDS: Final = """
    SELECT user_id, symbol, id, record FROM adaptation_events
    WHERE ($1 = '' OR user_id = $1) AND ($2::text IS NULL OR symbol = $2) AND ts >= $3
    ORDER BY ts DESC, seq DESC LIMIT $4
"""
_SHOWN: Final = """
    SELECT symbol, parameter_name, user_id, candidate_value, decisions, score_sd, advantage, advantage_variance
    FROM adaptive_thresholds
    WHERE decisions > 0 AND score_sd > 0 AND (symbol, parameter_name, user_id) > ($1, $2, $3)
    ORDER BY symbol, parameter_name, user_id LIMIT $4
"""


class StoredStates(NamedTuple):
    """What there is of some users and symbols, and up to where of the log the database was then."""

    position: int
    states: tuple[tuple[Key, Stored], ...]


async def read_position(queries: ActorRef, log_id: UUID) -> int:
    """Up to where the database has this log."""
    return int((await _ask(queries, _WHERE_IT_IS, log_id)).rows[0][0])


async def read_states(queries: ActorRef, log_id: UUID, keys: tuple[Key, ...]) -> StoredStates:
    """States of users and symbols, and the lessons since. `keys`: at least one."""
    users, symbols = tuple(key[0] for key in keys), tuple(key[1] for key in keys)
    rows = (await _ask(queries, _LOAD, log_id, users, symbols)).rows
    return StoredStates(rows[0][0], tuple(((row[1], row[2]), _stored(row)) for row in rows))


def _stored(row: tuple[Any, ...]) -> Stored:
    _, _, _, seq, state, outcome_seq, seqs, outcome_seqs, lessons = row
    return Stored(
        seq, state or b"", outcome_seq, tuple(zip(seqs or (), outcome_seqs or (), lessons or (), strict=True))
    )


# Lists.


async def read_keys(queries: ActorRef, own: frozenset[Key], own_due: frozenset[Key]) -> KnownKeys:
    """Everybody of whom something is stored. Of `own` those of `own_due` are due, whatever the database says."""
    found, due, remark = set(own), set(own_due), ""
    last: Key = ("", "")
    try:
        while True:
            page = await _ask(queries, _KEYS, *last, PAGE)
            found |= {(row[0], row[1]) for row in page.rows}
            due |= {(row[0], row[1]) for row in page.rows if row[2]} - own
            if len(page.rows) < PAGE:
                break
            last = (page.rows[-1][0], page.rows[-1][1])
    except Refused as refused:
        remark = f"those that only the database knows cannot be read: {refused.message}"
    return KnownKeys(tuple(sorted(found)), frozenset(due), remark)


async def read_records(queries: ActorRef, request: GetRecords, own: Iterable[AdaptationRecord]) -> Records:
    """What moved, newest first, together with `own`."""
    found = {(each.user, each.symbol, each.id): each for each in own}
    remark = ""
    try:
        page = await _ask(queries, _RECORDS, request.user_id, request.symbol, request.since, min(request.limit, PAGE))
        if request.limit > PAGE and len(page.rows) == PAGE:
            remark = f"the database was asked for the newest {PAGE}"
        for user, symbol, name, record in page.rows:
            found.setdefault((user, symbol, name), msgspec.json.decode(record, type=AdaptationRecord))
    except Refused as refused:
        remark = f"those that only the database has cannot be read: {refused.message}"
    return newest(found.values(), request.limit, remark)


def newest(found: Iterable[AdaptationRecord], limit: int, remark: str = "") -> Records:
    """The newest first, at most `limit`; those of one moment by their numbers."""
    ordered = sorted(found, key=lambda each: (each.ts, _serial(each)), reverse=True)
    return Records(tuple(ordered[:limit]), remark)


def _serial(record: AdaptationRecord) -> int:
    return int(record.id.rpartition("#")[2])


async def read_pools(queries: ActorRef, registry: Registry, gate: MetaGateSettings) -> Pools:
    """What all users together have shown."""
    shown: dict[tuple[str, str], list[Shown]] = {}
    last = ("", "", "")
    try:
        while True:
            page = await _ask(queries, _SHOWN, *last, PAGE)
            for symbol, parameter, _, *figures in page.rows:
                shown.setdefault((symbol, parameter), []).append(Shown(*figures))
            if len(page.rows) < PAGE:
                break
            last = tuple(page.rows[-1][:3])
    except Refused as refused:
        return Pools((), f"what others have shown cannot be read: {refused.message}")
    found = [
        SymbolPool(symbol, parameter, pool)
        for (symbol, parameter), users in sorted(shown.items())
        if parameter in registry and (pool := pool_of(registry[parameter], users, gate)) is not None
    ]
    return Pools(tuple(found))


async def _ask(queries: ActorRef, sql: str, *arguments: Any) -> QueryResult:
    try:
        return await queries.ask(RunQuery(sql, arguments, PAGE, QUERY_S), QUERY_S + 1)
    except Unknown as unknown:
        raise Refused("unavailable", f"no answer from the database: {unknown}") from unknown
