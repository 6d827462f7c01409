"""The HTTP route of an account's journal, and of the rows that came of it, read forwards by place."""

from __future__ import annotations

from typing import Annotated, Any, Final

import msgspec
import trio

from actors.edge.call import Call
from actors.edge.routing import Route, get
from actors.execution.roster_rows import ExecutionRosterRow
from actors.research.analysis.stored_rows import (
    STREAMS,
    Kind,
    Opened,
    connected,
    converted,
    logged,
    opened_with,
    select,
    select_settings,
)
from protocols.control import Refused
from protocols.paths import QUERIES
from protocols.storage import PAGE, RunQuery

TAGS: Final = ("accounts",)
QUERY_S: Final = 10.0
READ_S: Final = 30.0
MOST_BYTES: Final = 8 << 20
"""Of inputs in one answer; the next page goes on behind them."""


class JournalQuery(msgspec.Struct, frozen=True):
    """Which rows: those behind `after`, in order. `kind`: inputs, or what came of them."""

    account_id: str
    kind: Kind = "inputs"
    after: Annotated[int, msgspec.Meta(ge=0)] = 0
    limit: Annotated[int, msgspec.Meta(ge=1, le=PAGE)] = 100


class JournalPage(msgspec.Struct, frozen=True):
    """A page of rows. `next`: what `after` is for the next one; None: these are the last so far.

    `last`: the place of the newest row. A row of inputs holds `count` of them in `payload`, as
    `execution.inputs.decode` reads them, base64. `opened` (with the first page alone): what the account was opened
    with.
    """

    account: str
    kind: Kind
    rows: tuple[msgspec.Raw, ...]
    next: int | None
    last: int
    opened: Opened | None = None


async def journal(request: JournalQuery, call: Call) -> JournalPage:
    """Answer what an account was given, numbered, as it was journaled; or the rows that it led to."""
    stream = STREAMS[request.kind]
    name = stream.of(request.account_id)
    log = call.node.require_log()
    last = log.last_seq(name)
    asked = RunQuery(select(stream.row), (name, request.after), request.limit)
    found = list((await call.ref(QUERIES).ask(asked, QUERY_S)).into(stream.row))
    place = found[-1].seq if found else request.after
    if len(found) < request.limit and place < last:  # the writer has not moved them yet
        key = (stream.row.table, name)
        newer = await trio.to_thread.run_sync(logged, log.directory, {key: place})
        found = connected(found, converted(stream.row, newer[key]), whole=False)[: request.limit]
    expected = request.after
    for row in found:
        expected += 1
        if row.seq != expected:
            raise Refused("unavailable", f"{name}: row {expected} is neither in the database nor in the log")
    shown = _bounded(found)
    more = bool(shown) and shown[-1].seq < last
    return JournalPage(
        account=request.account_id,
        kind=request.kind,
        rows=tuple(msgspec.Raw(msgspec.json.encode(row)) for row in shown),
        next=shown[-1].seq if more else None,
        last=last,
        opened=None if request.after else await _opened(request.account_id, call),
    )


def _bounded(rows: list[Any]) -> list[Any]:
    """The first rows, up to so many bytes of inputs; one at least."""
    size = 0
    for place, row in enumerate(rows):
        size += len(getattr(row, "payload", b""))
        if size > MOST_BYTES and place:
            return rows[:place]
    return rows


async def _opened(account: str, call: Call) -> Opened:
    answer = await call.ref(QUERIES).ask(RunQuery(select_settings(), (account,), PAGE), QUERY_S)
    opened = opened_with(answer.into(ExecutionRosterRow), account)
    if opened is None:
        raise Refused("not_found", f"there is no account {account}", "account_id")
    return opened


routes: list[Route] = [
    get(
        "/api/v1/accounts/{account_id}/journal",
        journal,
        summary="What an account was given, and what came of it",
        tags=TAGS,
        timeout_s=READ_S,
    ),
]
