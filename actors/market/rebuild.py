"""The book as it was: at a message of a session, or at a time, from stored rows.

    book = await book_at(queries.ask, "KXBTC", session="kalshi-3.1-1/7", seq=2893)
    book = await book_at_time(queries.ask, "KXBTC", ts)

A book is the last whole one stored before, and the changes since; how many those are is bounded (`store.whole_after`).
At a time it is the state after the last message received by then.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable, Iterable
from typing import Any, Final

from actors.market.book import Book, Gap
from actors.market.stored_messages import (
    DELTA_COLUMNS,
    SNAPSHOT_COLUMNS,
    DeltaRecord,
    SnapshotRecord,
    delta_updates,
    snapshot_update,
)
from protocols.market import BookUpdate
from protocols.nanos import INT64_MAX
from protocols.storage import PAGE, QueryResult, RunQuery

Run = Callable[[RunQuery], Awaitable[QueryResult]]
"""Who answers queries: `ref.ask` of the actor at `protocols.paths.QUERIES`."""

QUERY_S: Final = 20.0

_STRETCHES: Final = """
    SELECT session_id, first_sequence, last_sequence, ended_ts, reason FROM rl_orderbook_session_markets
    WHERE market_ticker = $1 AND (session_id = $2 OR split_part(session_id, '+', 1) = $2) AND first_sequence <= $3
    ORDER BY last_sequence IS NULL OR last_sequence >= $3 DESC, first_ts_recv DESC, first_sequence DESC LIMIT 1
"""
_STRETCH: Final = """
    SELECT session_id, first_sequence, last_sequence, ended_ts, reason FROM rl_orderbook_session_markets
    WHERE market_ticker = $1 AND session_id = $2
"""
_AT_SEQUENCE: Final = f"""
    SELECT {SNAPSHOT_COLUMNS} FROM rl_orderbook_snapshots
    WHERE market_ticker = $1 AND session_id = $2 AND sequence_number <= $3
    ORDER BY sequence_number DESC LIMIT 1
"""  # noqa: S608 - names of columns
_AT_TIME: Final = f"""
    SELECT {SNAPSHOT_COLUMNS} FROM rl_orderbook_snapshots
    WHERE market_ticker = $1 AND ts_recv <= $2 ORDER BY ts_recv DESC, id DESC LIMIT 1
"""  # noqa: S608
_DELTAS: Final = f"""
    SELECT {DELTA_COLUMNS}, id FROM rl_orderbook_deltas
    WHERE market_ticker = $1 AND session_id = $2 AND (sequence_number, id) > ($3, $4) AND sequence_number <= $5
        AND ts_recv <= $6
    ORDER BY sequence_number, id
"""  # noqa: S608


class NotStored(LookupError):
    """There is no such book in the database; says why."""


def rebuilt(market: str, updates: Iterable[BookUpdate]) -> Book:
    """The book after these messages, the first of which is a snapshot. Raises Gap where they do not fit together."""
    book = Book(market)
    # What was stored had been received, crossed or not: in an auction that is how it was.
    book.set_phase("auction")
    for update in updates:
        book.apply(update)
    try:
        book.set_phase("active")
    except Gap:
        book.set_phase("auction")
        book.stale = ""
    return book


async def book_at(run: Run, market: str, session: str, seq: int) -> Book:
    """The book after the message `seq` of `session`; between two messages of the market, after the earlier.

    `session`: as updates and quotes name it (where nodes share a database and a name, the newest is meant), or the id
    of a stored session. Raises NotStored, Gap, BrokenChain, and what `run` raises.
    """
    found = await run(RunQuery(_STRETCHES, (market, session, seq), limit=1, timeout_s=QUERY_S))
    if not found.rows:
        raise NotStored(f"no book of {market} is stored at {seq} of {session!r}")
    name, _, last, _, reason = found.rows[0]
    if last is not None and seq > last:
        raise NotStored(f"what is stored of {market} in {name!r} ends at {last} ({reason}), before {seq}")
    return await _rebuild(run, await _snapshot(run, _AT_SEQUENCE, market, name, seq), seq, INT64_MAX)


async def book_at_time(run: Run, market: str, ts: int) -> Book:
    """The book after the last message received by `ts`, in nanoseconds since the Unix epoch, UTC.

    It is stale where its stored session had ended by then. Raises as `book_at`.
    """
    whole = await _snapshot(run, _AT_TIME, market, ts)
    book = await _rebuild(run, whole, INT64_MAX, ts)
    found = await run(RunQuery(_STRETCH, (market, whole.session_id), limit=1, timeout_s=QUERY_S))
    if found.rows:
        _, _, _, ended, reason = found.rows[0]
        if ended is not None and ended < ts:
            book.mark_stale(reason)
    return book


async def stored_updates(
    run: Run, whole: SnapshotRecord, seq: int = INT64_MAX, ts: int = INT64_MAX
) -> AsyncIterator[BookUpdate]:
    """A whole book and the messages after it in its session, up to the message `seq` and the receive time `ts`."""
    yield snapshot_update(whole)
    place = (whole.sequence_number, INT64_MAX)
    kept: list[DeltaRecord] = []
    more = True
    while more:
        arguments = (whole.market_ticker, whole.session_id, *place, seq, ts)
        page = await run(RunQuery(_DELTAS, arguments, limit=PAGE, timeout_s=QUERY_S))
        more = page.more
        rows = [(DeltaRecord(*row[:-1]), row[-1]) for row in page.rows]
        if rows:
            place = (rows[-1][0].sequence_number, rows[-1][1])
        # A message may go on over the page.
        kept += [row for row, _ in rows]
        ready = next((index + 1 for index in range(len(kept) - 1, -1, -1) if kept[index].remaining == 0), 0)
        for update in delta_updates(kept[:ready], tuple(whole.marks)):
            yield update
        del kept[:ready]


async def _snapshot(run: Run, sql: str, *arguments: Any) -> SnapshotRecord:
    found = await run(RunQuery(sql, arguments, limit=1, timeout_s=QUERY_S))
    if not found.rows:
        raise NotStored(f"no whole book of {arguments[0]} is stored there or before; it may have been archived")
    return SnapshotRecord(*found.rows[0])


async def _rebuild(run: Run, whole: SnapshotRecord, seq: int, ts: int) -> Book:
    return rebuilt(whole.market_ticker, [update async for update in stored_updates(run, whole, seq, ts)])
