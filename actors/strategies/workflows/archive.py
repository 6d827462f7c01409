"""Workflows in the database: the newest row of each after a start, and older versions when somebody asks.

A row that was accepted is in the node's log, and the writer moves it to the database a moment later: who reads there
what was just written waits for it.
"""

from __future__ import annotations

from typing import Any, Final

import trio

from actors.storage.streams import read_settled
from actors.strategies.workflows.rows import (
    DRAWN,
    VERSIONS,
    ListWorkflowVersions,
    WorkflowVersion,
    WorkflowVersionRow,
    WorkflowVersions,
)
from protocols.control import Refused
from protocols.storage import QueryResult, RunQuery
from runtime import ActorRef

RETRY_S: Final = 0.1
LAG_S: Final = 5.0
QUERY_S: Final = 10.0
PAGE: Final = 50
"""Of rows with up to half a MiB each."""

_COLUMNS: Final = ", ".join(WorkflowVersionRow.__struct_fields__)
_DRAWN: Final = ", ".join(f"'{each}'" for each in DRAWN)
_END: Final = "SELECT coalesce(max(seq), 0) FROM workflow_versions WHERE stream = $1"
_NEWEST: Final = f"""
    SELECT DISTINCT ON (workflow_id) {_COLUMNS} FROM workflow_versions
    WHERE stream = $1 AND workflow_id > $2 ORDER BY workflow_id, seq DESC
"""  # noqa: S608 - names of columns from our own struct
_VERSION: Final = f"""
    SELECT {_COLUMNS} FROM workflow_versions
    WHERE stream = $1 AND workflow_id = $2 AND version = $3 ORDER BY seq DESC
"""  # noqa: S608
_LIST: Final = f"""
    SELECT version, change, restored_from, name, ts FROM workflow_versions
    WHERE stream = $1 AND workflow_id = $2 AND change IN ({_DRAWN}) ORDER BY version DESC OFFSET $3
"""  # noqa: S608


async def read_newest(
    queries: ActorRef, last_seq: int, patience_s: float
) -> tuple[tuple[WorkflowVersionRow, ...], str]:
    """The newest row of every workflow, once the database has all rows up to `last_seq`; and what is missing, if any.

    Waits for as long as there is no database. Where it answers, but does not get the last rows within `patience_s`
    seconds, they have been rejected: then the answer is without them. Raises Refused `query_failed` if there is no such
    table by then.
    """
    if last_seq == 0:
        return (), ""
    return await read_settled(queries, WorkflowVersionRow, VERSIONS, last_seq, lambda: _all_newest(queries), patience_s)


async def read_version(queries: ActorRef, newest: WorkflowVersionRow, version: int) -> WorkflowVersionRow:
    """A version of a workflow as it was last. Raises Refused `not_found`, `unavailable`."""
    if version == newest.version:
        return newest
    if 1 <= version < newest.version:
        await _reached(queries, newest.seq)
        found = (await _ask(queries, _VERSION, (VERSIONS, newest.workflow_id, version), 1)).into(WorkflowVersionRow)
        if found and found[0].change != "deleted":
            return found[0]
    message = f"{newest.workflow_id} has versions 1 to {newest.version}, not {version}"
    raise Refused("not_found", message, "version")


async def read_versions(
    queries: ActorRef, newest: WorkflowVersionRow, request: ListWorkflowVersions
) -> WorkflowVersions:
    """The versions of a workflow. Raises Refused `unavailable`."""
    await _reached(queries, newest.seq)
    arguments = (VERSIONS, newest.workflow_id, request.offset)
    found = await _ask(queries, _LIST, arguments, request.limit)
    return WorkflowVersions(newest.workflow_id, found.into(WorkflowVersion), newest.version)


async def _all_newest(queries: ActorRef) -> tuple[WorkflowVersionRow, ...]:
    found: list[WorkflowVersionRow] = []
    while True:
        behind = found[-1].workflow_id if found else ""
        page = (await queries.ask(RunQuery(_NEWEST, (VERSIONS, behind), PAGE), QUERY_S)).into(WorkflowVersionRow)
        found += page
        if len(page) < PAGE:
            return tuple(found)


async def _reached(queries: ActorRef, seq: int) -> None:
    with trio.move_on_after(LAG_S):
        while True:
            if (await _ask(queries, _END, (VERSIONS,), 1)).rows[0][0] >= seq:
                return
            await trio.sleep(RETRY_S)
    raise Refused("unavailable", "the database has not got the newest versions yet")


async def _ask(queries: ActorRef, sql: str, arguments: tuple[Any, ...], limit: int) -> QueryResult:
    try:
        return await queries.ask(RunQuery(sql, arguments, limit), QUERY_S)
    except Refused as refused:
        raise Refused("unavailable", f"the database does not answer: {refused.message}") from refused
