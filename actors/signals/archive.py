"""Signals that are in the database: what the hub no longer remembers.

The writer moves rows in order, so a row in the table means that all earlier ones have been moved: a hole before it
will never be filled (its row was refused by the database, see `rejected_rows`), while what lies behind the last row may
still be on its way.
"""

from __future__ import annotations

from typing import Any

import msgspec

from actors.signals.expiry import OpenSignal
from protocols.control import Refused
from protocols.signals import (
    MOST_PER_PAGE,
    SIGNAL_UPDATES,
    SIGNALS,
    SignalPage,
    SignalRow,
    SignalUpdatePage,
    SignalUpdateRow,
    Span,
    StoredSignal,
    StoredUpdate,
)
from protocols.storage import QueryResult, RunQuery
from runtime import ActorRef


def status_of(now: str) -> str:
    """SQL for the status of signal `s` with newest update `u` at a time: what waits beyond its expiry is expired."""
    status = "coalesce(u.status, 'pending')"
    return f"CASE WHEN {status} IN ('pending', 'active') AND s.ts_expires <= {now} THEN 'expired' ELSE {status} END"


_COLUMNS = ", ".join(f"s.{name}" for name in SignalRow.__struct_fields__)
_UPDATE_COLUMNS = ", ".join(SignalUpdateRow.__struct_fields__)
_FROM = f"""
    SELECT {_COLUMNS}, coalesce(u.status, 'pending') AS status
    FROM signals s
    LEFT JOIN LATERAL (
        SELECT status FROM signal_updates WHERE signal_id = s.signal_id ORDER BY seq DESC LIMIT 1
    ) u ON true
"""  # noqa: S608 - names of columns from our own struct
PAGE = f"{_FROM} WHERE s.stream = $1 AND s.seq >= $2 AND s.seq < $3 ORDER BY s.seq LIMIT $4"
BY_ID = f"{_FROM} WHERE s.signal_id = $1 ORDER BY s.seq LIMIT 1"
LATEST = f"{_FROM} WHERE s.symbol = $1 AND s.stream = $2 AND s.seq < $3 ORDER BY s.seq DESC LIMIT $4"
END = "SELECT coalesce(max(seq), 0) FROM signals WHERE stream = $1"
UPDATES_END = "SELECT coalesce(max(seq), 0) FROM signal_updates WHERE stream = $1"
UPDATE_PAGE = f"""
    SELECT {_UPDATE_COLUMNS} FROM signal_updates WHERE stream = $1 AND seq >= $2 AND seq < $3 ORDER BY seq LIMIT $4
"""  # noqa: S608
OPEN_SIGNALS = """
    SELECT s.seq, s.ts_expires, s.signal_id, s.symbol, s.strategy_id, s.deployment_id, s.decision_id
    FROM signals s
    WHERE s.stream = $1 AND s.seq > $2 AND s.seq < $3 AND s.ts_expires > $4
      AND NOT EXISTS (
          SELECT 1 FROM signal_updates u
          WHERE u.signal_id = s.signal_id AND u.status IN ('executed', 'cancelled', 'expired')
      )
    ORDER BY s.seq LIMIT $5
"""
LAST_UPDATE = f"""
    SELECT {_UPDATE_COLUMNS} FROM signal_updates WHERE stream = $1 AND signal_id = $2 ORDER BY seq DESC LIMIT 1
"""  # noqa: S608
_CHOICE = """
    WHERE s.stream = $1
      AND ($2::text[] IS NULL OR s.symbol = ANY($2))
      AND ($3::text[] IS NULL OR s.strategy_id = ANY($3))
      AND ($4::text[] IS NULL OR s.action = ANY($4))
      AND s.confidence >= $5
      AND s.ts_created >= $6 AND s.ts_created <= $7
"""
_WITH_STATUS = f"{_CHOICE} AND ($8::text[] IS NULL OR {status_of('$9')} = ANY($8))"
LIST = f"{_FROM} {_WITH_STATUS} ORDER BY s.seq DESC LIMIT $10 OFFSET $11"
COUNT = f"SELECT count(*) FROM signals s {_CHOICE}"  # noqa: S608
COUNT_WITH_STATUS = f"SELECT count(*) FROM ({_FROM} {_WITH_STATUS}) found"  # noqa: S608


class Filter(msgspec.Struct, frozen=True):
    """Which signals a list holds; None: any. Times in nanoseconds, `now` decides what has expired."""

    symbols: tuple[str, ...] | None
    strategy_ids: tuple[str, ...] | None
    actions: tuple[str, ...] | None
    min_confidence: float
    statuses: tuple[str, ...] | None
    now: int
    from_ts: int
    to_ts: int


async def read_page(queries: ActorRef, from_seq: int, before_seq: int, limit: int) -> SignalPage:
    """The stored signals from `from_seq` on and before `before_seq`, at most `limit`; `last_seq` is not filled in.

    Raises Refused `unavailable`: there is no database, or it has not got the first of them yet.
    """
    signals = stored(await ask(queries, PAGE, (SIGNALS, from_seq, before_seq, limit)))
    places = tuple(each.seq for each in signals)
    next_seq, missing = await _holes(queries, SIGNALS, places, from_seq, before_seq)
    return SignalPage(SIGNALS, signals, next_seq, 0, missing)


async def read_updates(queries: ActorRef, from_seq: int, before_seq: int, limit: int) -> SignalUpdatePage:
    """The stored updates from `from_seq` on and before `before_seq`, as `read_page` has signals."""
    found = await ask(queries, UPDATE_PAGE, (SIGNAL_UPDATES, from_seq, before_seq, limit))
    updates = tuple(row.stored() for row in found.into(SignalUpdateRow))
    places = tuple(each.seq for each in updates)
    next_seq, missing = await _holes(queries, SIGNAL_UPDATES, places, from_seq, before_seq)
    return SignalUpdatePage(updates, next_seq, 0, missing)


async def _holes(
    queries: ActorRef, stream: str, places: tuple[int, ...], from_seq: int, before_seq: int
) -> tuple[int, tuple[Span, ...]]:
    """Where a page that has these places ends, and what it lacks."""
    missing: list[Span] = []
    expected = from_seq
    for place in places:
        if place > expected:
            missing.append(Span(expected, place - 1))
        expected = place + 1
    if not places:
        end = await end_of_stream(queries, stream)
        if end < before_seq - 1:
            raise Refused("unavailable", f"the database has {stream} up to {end}, not {from_seq} yet")
        missing.append(Span(from_seq, before_seq - 1))
        expected = before_seq
    return expected, tuple(missing)


async def end_of_stream(queries: ActorRef, stream: str = SIGNALS) -> int:
    """The place of the newest signal or update in the database, 0 if there is none. Raises Refused `unavailable`."""
    end: int = (await ask(queries, END if stream == SIGNALS else UPDATES_END, (stream,))).rows[0][0]
    return end


async def find_signal(queries: ActorRef, signal_id: str) -> StoredSignal:
    """The signal with an id. Raises Refused `not_found`, `unavailable`."""
    found = stored(await ask(queries, BY_ID, (signal_id,)))
    if not found:
        raise Refused("not_found", f"there is no signal {signal_id}", "signal_id")
    return found[0]


async def last_update(queries: ActorRef, signal_id: str) -> StoredUpdate | None:
    """The newest update of a signal. Raises Refused `unavailable`."""
    result = await ask(queries, LAST_UPDATE, (SIGNAL_UPDATES, signal_id))
    found = result.into(SignalUpdateRow)
    return found[0].stored() if found else None


async def open_signals(queries: ActorRef, before_seq: int, expires_after: int, most: int) -> tuple[OpenSignal, ...]:
    """At most `most` signals before a place that expire after a time and are neither done nor known as expired.

    Raises Refused `unavailable`.
    """
    found: list[OpenSignal] = []
    while len(found) < most:
        size = min(MOST_PER_PAGE, most - len(found))
        after = found[-1].seq if found else 0
        page = await ask(queries, OPEN_SIGNALS, (SIGNALS, after, before_seq, expires_after, size))
        found += page.into(OpenSignal)
        if len(page.rows) < size:
            break
    return tuple(found)


async def latest(queries: ActorRef, symbol: str, before_seq: int, limit: int) -> tuple[StoredSignal, ...]:
    """The newest signals of a symbol before a place, the newest first. Raises Refused `unavailable`."""
    return stored(await ask(queries, LATEST, (symbol, SIGNALS, before_seq, limit)))


async def list_signals(
    queries: ActorRef, which: Filter, limit: int, offset: int
) -> tuple[tuple[StoredSignal, ...], int]:
    """A page of a filtered list, the newest first, and how many signals the filter lets through in all.

    Raises Refused `unavailable`.
    """
    choice: tuple[Any, ...] = (
        SIGNALS, which.symbols, which.strategy_ids, which.actions, which.min_confidence, which.from_ts, which.to_ts,
    )  # fmt: skip
    arguments = (*choice, which.statuses, which.now)
    # Without a filter of the status nobody's updates have to be looked at.
    counted = (COUNT, choice) if which.statuses is None else (COUNT_WITH_STATUS, arguments)
    total = (await ask(queries, *counted)).rows[0][0]
    found: list[StoredSignal] = []
    while len(found) < limit:
        size = min(MOST_PER_PAGE, limit - len(found))
        page = stored(await ask(queries, LIST, (*arguments, size, offset + len(found))))
        found += page
        if len(page) < size:
            break
    return tuple(found), total


def stored(result: QueryResult) -> tuple[StoredSignal, ...]:
    """The signals in the answer to one of the queries above."""
    at = result.columns.index("status")
    return tuple(row.stored(fields[at]) for row, fields in zip(result.into(SignalRow), result.rows, strict=True))


async def ask(queries: ActorRef, sql: str, arguments: tuple[Any, ...], timeout_s: float = 5.0) -> QueryResult:
    """Run a query. Raises Refused `unavailable`, whatever the reason."""
    try:
        return await queries.ask(RunQuery(sql, arguments, timeout_s=timeout_s), timeout_s)
    except Refused as refused:
        raise Refused("unavailable", f"the database does not answer: {refused.message}") from refused
