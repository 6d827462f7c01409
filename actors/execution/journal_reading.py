"""Reading an account's journal back at a start: from the database, and from the node's log where that is behind."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path
from typing import Final

import trio

from actors.execution.accounts.rows import ExecutionJournalRow, ExecutionSnapshotRow
from actors.execution.journal import journal_stream, snapshot_stream
from protocols.control import Refused, Unknown
from protocols.execution import OUTCOMES, OutcomeRow
from protocols.storage import PAGE, QueryResult, RunQuery
from runtime import ActorRef
from runtime.log_reader import LogReader

QUERY_S: Final = 10.0
RETRY_S: Final = 0.05
PATIENCE_S: Final = 60.0
"""How long a hole between the database and the log is waited for: the writer may be between the two."""


class JournalIncomplete(Exception):
    """Inputs that were accepted are neither in the database nor in the node's log."""


async def last_snapshot(queries: ActorRef, account: str) -> ExecutionSnapshotRow | None:
    """The newest snapshot that the database has; an older one costs time, nothing else. Waits for a database."""
    columns = ", ".join(ExecutionSnapshotRow.__struct_fields__)
    sql = f"SELECT {columns} FROM {ExecutionSnapshotRow.table} WHERE stream = $1 ORDER BY seq DESC LIMIT 1"  # noqa: S608
    while True:
        try:
            result = await _ask(queries, RunQuery(sql, (snapshot_stream(account),), 1))
        except Refused as refused:
            if refused.code != "query_failed":
                raise
            result = None  # the table is being made
        if result is not None:
            return ExecutionSnapshotRow(*result.rows[0]) if result.rows else None
        await trio.sleep(RETRY_S)


async def journal_rows(
    queries: ActorRef, directory: Path, account: str, after: int, last: int
) -> AsyncIterator[list[ExecutionJournalRow]]:
    """The rows of a journal behind `after` up to `last`, in order, in pages.

    Raises JournalIncomplete where one of them is nowhere.
    """
    stream = journal_stream(account)
    columns = ", ".join(ExecutionJournalRow.__struct_fields__)
    sql = f"SELECT {columns} FROM {ExecutionJournalRow.table} WHERE stream = $1 AND seq > $2 ORDER BY seq"  # noqa: S608
    place = after
    deadline = trio.current_time() + PATIENCE_S
    while place < last:
        result = await _ask(queries, RunQuery(sql, (stream, place), PAGE))
        rows = [] if result is None else [ExecutionJournalRow(*row) for row in result.rows]
        if not rows and result is not None:
            rows = await trio.to_thread.run_sync(rows_in_log, directory, stream, place)
        rows = _connected(rows, place)
        if rows:
            place = rows[-1].seq
            yield rows
            continue
        if trio.current_time() > deadline:
            raise JournalIncomplete(f"{stream}: row {place + 1} of {last} is neither in the database nor in the log")
        await trio.sleep(RETRY_S)


async def outcome_is_there(queries: ActorRef, directory: Path, outcome_id: str) -> bool:
    """Whether an outcome was written: a kill may come between it and the round trip that it belongs to."""
    if await trio.to_thread.run_sync(_outcome_in_log, directory, outcome_id):
        return True
    sql = f"SELECT count(*) FROM {OutcomeRow.table} WHERE stream = $1 AND outcome_id = $2"  # noqa: S608
    while True:
        result = await _ask(queries, RunQuery(sql, (OUTCOMES, outcome_id), 1))
        if result is not None:
            return bool(result.rows[0][0])
        await trio.sleep(RETRY_S)


def _outcome_in_log(directory: Path, outcome_id: str) -> bool:
    reader = LogReader(directory)
    try:
        while rows := reader.read(4096, 8 << 20):
            for row in rows:
                if row.table.name == OutcomeRow.table:
                    fields = dict(zip(row.table.columns, row.fields, strict=True))
                    if fields["outcome_id"] == outcome_id:
                        return True
    finally:
        reader.close()
    return False


def rows_in_log(directory: Path, stream: str, after: int) -> list[ExecutionJournalRow]:
    """Rows of a stream of inputs that are in the node's log, behind `after`. Blocking."""
    found: list[ExecutionJournalRow] = []
    reader = LogReader(directory)
    try:
        while rows := reader.read(4096, 8 << 20):
            for row in rows:
                if row.table.name == ExecutionJournalRow.table and row.fields[0] == stream and row.fields[1] > after:
                    found.append(ExecutionJournalRow(**dict(zip(row.table.columns, row.fields, strict=True))))
    finally:
        reader.close()
    return found


def _connected(rows: list[ExecutionJournalRow], place: int) -> list[ExecutionJournalRow]:
    """The rows that follow `place` without a hole."""
    for index, row in enumerate(rows):
        if row.seq != place + 1 + index:
            return rows[:index]
    return rows


async def _ask(queries: ActorRef, query: RunQuery) -> QueryResult | None:
    """The answer; None: there is no database now."""
    try:
        return await queries.ask(query, QUERY_S)
    except Unknown:
        return None
    except Refused as refused:
        if refused.code == "query_failed" and "does not exist" not in refused.message:
            raise
        return None
