"""The source `own`: strategies that are written over HTTP. Their newest versions are in memory, the others in the
database.

A version that was accepted is in the node's log, and the writer moves it to the database a moment later: who reads
there what was just written waits for it.
"""

from __future__ import annotations

import re
from typing import Any, Final

import trio

from actors.storage.streams import read_settled
from actors.strategies.library_listing import summary
from actors.strategies.library_requests import (
    VERSIONS,
    Change,
    ListVersions,
    StrategyVersionRow,
    VersionList,
    VersionSummary,
    fields_of,
)
from actors.strategies.package import PackageState, PackageSummary
from protocols.control import Refused
from protocols.storage import QueryResult, RunQuery
from runtime import ActorRef

MOST_STRATEGIES: Final = 10_000
RETRY_S: Final = 0.1
LAG_S: Final = 5.0
"""How long a reader waits for the writer to move what was just accepted."""
NEWEST_PAGE: Final = 100
"""Of up to 64 KiB of code each."""
QUERY_S: Final = 10.0

_COLUMNS: Final = ", ".join(StrategyVersionRow.__struct_fields__)
_END: Final = "SELECT coalesce(max(seq), 0) FROM strategy_versions WHERE stream = $1"
_NEWEST: Final = f"""
    SELECT DISTINCT ON (strategy_id) {_COLUMNS} FROM strategy_versions
    WHERE stream = $1 AND strategy_id > $2 ORDER BY strategy_id, version DESC
"""  # noqa: S608 - names of columns from our own struct
_VERSION: Final = f"""
    SELECT {_COLUMNS} FROM strategy_versions WHERE stream = $1 AND strategy_id = $2 AND version = $3
"""  # noqa: S608
_LIST: Final = """
    SELECT version, change, restored_from, state, name, ts, author, octet_length(code) AS code_bytes,
           left(encode(sha256(convert_to(code, 'UTF8')), 'hex'), 12) AS code_sha
    FROM strategy_versions WHERE stream = $1 AND strategy_id = $2 ORDER BY version DESC OFFSET $3
"""
_NOT_SLUG: Final = re.compile(r"[^a-z0-9]+")


class OwnStrategies:
    """The newest version of every strategy, and the rows that follow from a change. No I/O."""

    def __init__(self) -> None:
        self.newest: dict[str, StrategyVersionRow] = {}
        self.summaries: dict[str, PackageSummary] = {}
        self.last_seq = 0

    def add(self, row: StrategyVersionRow) -> None:
        """Remember a row; an older version than the known one changes nothing."""
        known = self.newest.get(row.strategy_id)
        if known is None or known.version < row.version:
            self.newest[row.strategy_id] = row
            self.summaries[row.strategy_id] = summary(row.package())
        self.last_seq = max(self.last_seq, row.seq)

    def get(self, strategy_id: str) -> StrategyVersionRow:
        """The newest version. Raises Refused `not_found`."""
        found = self.newest.get(strategy_id)
        if found is None:
            raise Refused("not_found", f"there is no strategy {strategy_id[:100]!r} of ours", "strategy_id")
        return found

    def created(self, seq: int, now: int, state: PackageState, fields: dict[str, Any]) -> StrategyVersionRow:
        """The first version of a new strategy; its id is made of its name and `seq`. Raises Refused `too_many`."""
        if len(self.newest) >= MOST_STRATEGIES:
            raise Refused("too_many", f"there are {MOST_STRATEGIES} strategies, the most that the library holds")
        slug = _NOT_SLUG.sub("-", fields["name"].lower())[:40].strip("-") or "strategy"
        return StrategyVersionRow(
            seq=seq, ts=now, ts_created=now, strategy_id=f"{slug}-{seq}", version=1, change="created", state=state,
            **fields,
        )  # fmt: skip

    def changed(
        self,
        seq: int,
        now: int,
        strategy_id: str,
        change: Change,
        state: PackageState,
        fields: dict[str, Any],
        restored_from: int = 0,
    ) -> StrategyVersionRow:
        """The next version: the newest one with other fields. Raises Refused `not_found`."""
        known = self.get(strategy_id)
        return StrategyVersionRow(
            seq=seq, ts=now, ts_created=known.ts_created, strategy_id=strategy_id, version=known.version + 1,
            change=change, restored_from=restored_from, state=state, **{**fields_of(known), **fields},
        )  # fmt: skip


async def read_newest(
    queries: ActorRef, last_seq: int, patience_s: float
) -> tuple[tuple[StrategyVersionRow, ...], str]:
    """The newest version of every strategy, once the database has all rows up to `last_seq`; and what is missing, if
    anything is.

    Waits for as long as there is no database. Where it answers, but does not get the last rows within `patience_s`
    seconds, they have been rejected: then the answer is without them. Raises Refused `query_failed` if there is no such
    table by then.
    """
    return await read_settled(queries, StrategyVersionRow, VERSIONS, last_seq, lambda: _all_newest(queries), patience_s)


async def read_version(queries: ActorRef, newest: StrategyVersionRow, version: int) -> StrategyVersionRow:
    """A version of a strategy. Raises Refused `not_found`, `unavailable`."""
    if version == newest.version:
        return newest
    if 1 <= version < newest.version:
        await _reached(queries, newest.seq)
        found = (await _ask(queries, _VERSION, (VERSIONS, newest.strategy_id, version))).into(StrategyVersionRow)
        if found:
            return found[0]
    raise Refused("not_found", f"{newest.strategy_id} has versions 1 to {newest.version}, not {version}", "version")


async def read_versions(queries: ActorRef, newest: StrategyVersionRow, request: ListVersions) -> VersionList:
    """The versions of a strategy. Raises Refused `unavailable`."""
    await _reached(queries, newest.seq)
    arguments = (VERSIONS, newest.strategy_id, request.offset)
    found = await _ask(queries, _LIST, arguments, request.limit)
    return VersionList(newest.strategy_id, found.into(VersionSummary), newest.version)


async def _all_newest(queries: ActorRef) -> tuple[StrategyVersionRow, ...]:
    found: list[StrategyVersionRow] = []
    while True:
        behind = found[-1].strategy_id if found else ""
        page = (await queries.ask(RunQuery(_NEWEST, (VERSIONS, behind), NEWEST_PAGE), QUERY_S)).into(StrategyVersionRow)
        found += page
        if len(page) < NEWEST_PAGE:
            return tuple(found)


async def _reached(queries: ActorRef, seq: int) -> None:
    with trio.move_on_after(LAG_S):
        while True:
            if await _end(queries) >= seq:
                return
            await trio.sleep(RETRY_S)
    raise Refused("unavailable", "the database has not got the newest versions yet")


async def _end(queries: ActorRef) -> int:
    end: int = (await _ask(queries, _END, (VERSIONS,))).rows[0][0]
    return end


async def _ask(queries: ActorRef, sql: str, arguments: tuple[Any, ...], limit: int = 500) -> QueryResult:
    try:
        return await queries.ask(RunQuery(sql, arguments, limit))
    except Refused as refused:
        raise Refused("unavailable", f"the database does not answer: {refused.message}") from refused
