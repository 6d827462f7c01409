"""A stream of rows read back from the database: how an actor that keeps its state as rows remembers it after a start.

    rows = await read_stream(self.lookup(QUERIES), RunRow, RUNS, self.log.last_seq(RUNS))

A row that was accepted is in the node's log, and the writer moves it to the database a moment later. So what is read
here is waited for until the database has it.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Final, TypeVar

import trio

from protocols.control import Refused, Row, Unknown
from protocols.storage import PAGE, RunQuery
from runtime import ActorRef

R = TypeVar("R", bound=Row)
T = TypeVar("T")

RETRY_S: Final = 0.1
QUERY_S: Final = 10.0


class StreamIncomplete(Exception):
    """The database answers but does not get the last rows of the stream: they may have been rejected."""


async def read_stream(
    queries: ActorRef, row: type[R], stream: str, last_seq: int, *, patience_s: float = 30.0
) -> tuple[R, ...]:
    """All rows of a stream, in order, up to the place that the log has reached (`log.last_seq(stream)`).

    Waits for as long as there is no database. Where the database answers, but has not got the last row after
    `patience_s` seconds, raises StreamIncomplete.
    """
    if last_seq == 0:
        return ()
    columns = ", ".join(row.__struct_fields__)
    sql = f"SELECT {columns} FROM {row.table} WHERE stream = $1 AND seq > $2 AND seq <= $3 ORDER BY seq"  # noqa: S608
    found: list[R] = []
    place = 0
    waited = 0.0
    while place < last_seq:
        try:
            page = (await queries.ask(RunQuery(sql, (stream, place, last_seq), PAGE), QUERY_S)).into(row)
        except Refused as refused:
            if refused.code == "query_failed" and waited >= patience_s:
                raise
            page = ()
            if refused.code == "query_failed":
                waited += RETRY_S
        except Unknown:
            page = ()
        else:
            waited += RETRY_S
        if page:
            found += page
            place = found[-1].seq  # type: ignore[attr-defined]
            waited = 0.0
        elif waited >= patience_s:
            raise StreamIncomplete(f"{row.table} has {stream} up to {place}, the log up to {last_seq}")
        if place < last_seq and not page:
            await trio.sleep(RETRY_S)
    return tuple(found)


async def read_settled(
    queries: ActorRef, row: type[Row], stream: str, last_seq: int, read: Callable[[], Awaitable[T]], patience_s: float
) -> tuple[T, str]:
    """What `read` finds, once the database has all rows of a stream up to `last_seq`; and what is missing, if any is.

    Waits for as long as there is no database. Where it answers, but does not get the last rows within `patience_s`
    seconds, they have been rejected: then the answer is without them. Raises Refused `query_failed` if there is no such
    table by then.
    """
    sql = f"SELECT coalesce(max(seq), 0) FROM {row.table} WHERE stream = $1"  # noqa: S608 - a name of our own
    waited = 0.0
    while True:
        try:
            end = (await queries.ask(RunQuery(sql, (stream,)), QUERY_S)).rows[0][0]
            if end >= last_seq:
                return await read(), ""
            if waited >= patience_s:
                return await read(), f"the database has {stream} up to {end}, the log up to {last_seq}"
            waited += RETRY_S
        except Refused as refused:
            if refused.code == "query_failed":
                # On a first start the table is not there yet.
                if waited >= patience_s:
                    raise
                waited += RETRY_S
        except Unknown:
            pass  # it is asked again
        await trio.sleep(RETRY_S)
