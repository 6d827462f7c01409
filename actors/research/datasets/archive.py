"""Data sets in the database: the newest row of each, read back after a start."""

from __future__ import annotations

from typing import Final

from actors.research.datasets.rows import STREAM, DatasetRow
from actors.storage.streams import read_settled
from protocols.storage import PAGE, RunQuery
from runtime import ActorRef

QUERY_S: Final = 10.0
_COLUMNS: Final = ", ".join(DatasetRow.__struct_fields__)
_NEWEST: Final = f"""
    SELECT DISTINCT ON (dataset_id) {_COLUMNS} FROM datasets
    WHERE stream = $1 AND dataset_id > $2 ORDER BY dataset_id, seq DESC
"""  # noqa: S608 - names of columns from our own struct


async def read_newest(queries: ActorRef, last_seq: int, patience_s: float) -> tuple[tuple[DatasetRow, ...], str]:
    """The newest row of every data set, once the database has all rows up to `last_seq`; and what is missing, if any.

    As `read_settled`. Raises Refused `query_failed` if there is no such table.
    """
    if last_seq == 0:
        return (), ""
    return await read_settled(queries, DatasetRow, STREAM, last_seq, lambda: _all(queries), patience_s)


async def _all(queries: ActorRef) -> tuple[DatasetRow, ...]:
    found: list[DatasetRow] = []
    while True:
        behind = found[-1].dataset_id if found else ""
        page = (await queries.ask(RunQuery(_NEWEST, (STREAM, behind), PAGE), QUERY_S)).into(DatasetRow)
        found += page
        if len(page) < PAGE:
            return tuple(found)
