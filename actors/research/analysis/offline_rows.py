"""An account's rows while no node runs: out of the database itself, which is started for it, and the node's log.

Nothing is written: the transaction cannot.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any, Final

import asyncpg
import msgspec
import trio

from actors.execution.roster_rows import ExecutionRosterRow
from actors.research.analysis.stored_rows import (
    ROSTER,
    STREAMS,
    Kind,
    StoredAccount,
    connected,
    converted,
    logged,
    opened_with,
    select,
    streams_of,
)
from actors.storage.binaries import NoServer
from actors.storage.embedded import ClusterLocked, EmbeddedServer
from actors.storage.location import SECTION, database_url, server_folder
from protocols.control import Refused
from runtime.process import NotReady, ProcessExited
from runtime.settings import Configuration

CONNECT_S: Final = 5.0
LOG: Final = "log"
Found = dict[tuple[str, str], list[dict[str, Any]]]


def read_offline(configuration: Configuration, account: str, kinds: Iterable[Kind]) -> StoredAccount:
    """An account's rows. Raises Refused `not_found`, RowsMissing, ConnectionError where the database cannot be had."""
    kinds = tuple(kinds)
    wanted = streams_of(account, kinds)
    log = Path(configuration.section("node").data_dir) / LOG
    stored = _from_database(configuration, (ROSTER, *wanted.values()))
    behind = {key: rows[-1]["seq"] if rows else 0 for key, rows in stored.items()}
    newer = logged(log, behind)

    def rows(row: type[Any], key: tuple[str, str], *, whole: bool = True) -> list[Any]:
        return connected(converted(row, stored[key]), converted(row, newer[key]), whole=whole)

    opened = opened_with(rows(ExecutionRosterRow, ROSTER, whole=False), account)
    if opened is None:
        raise Refused("not_found", f"there is no account {account}", "account")
    found = {kind: rows(STREAMS[kind].row, key) for kind, key in wanted.items()}
    return StoredAccount(opened=opened, **found)  # type: ignore[arg-type]


def _from_database(configuration: Configuration, keys: tuple[tuple[str, str], ...]) -> Found:
    settings = configuration.section(SECTION)
    folder = server_folder(configuration)
    if settings.url is None and not folder.exists():
        return {key: [] for key in keys}
    tables = {STREAMS[kind].row.table: STREAMS[kind].row for kind in STREAMS} | {ROSTER[0]: ExecutionRosterRow}
    url = database_url(configuration)

    def query() -> Found:
        return asyncio.run(_queried(url, keys, tables))

    async def with_server() -> Found:
        async with EmbeddedServer(folder, settings.user).running():
            return await trio.to_thread.run_sync(query)

    try:
        try:
            return query()
        except (FileNotFoundError, ConnectionRefusedError):
            if settings.url is not None:
                raise
        return trio.run(with_server)
    except (NoServer, ClusterLocked, NotReady, ProcessExited) as error:
        raise ConnectionError(str(error)) from error
    except (asyncpg.PostgresError, asyncpg.InterfaceError) as error:
        raise Refused("database", str(error)) from error


async def _queried(url: str, keys: tuple[tuple[str, str], ...], tables: Mapping[str, type[Any]]) -> Found:
    connection = await asyncpg.connect(url, timeout=CONNECT_S)
    found: Found = {}
    try:
        for name in ("json", "jsonb"):
            await connection.set_type_codec(name, schema="pg_catalog", encoder=_text, decoder=_raw)
        async with connection.transaction(isolation="repeatable_read", readonly=True):
            for table, stream in keys:
                if await connection.fetchval("SELECT to_regclass($1)", table) is None:
                    found[table, stream] = []
                    continue
                rows = await connection.fetch(select(tables[table]), stream, 0)
                found[table, stream] = [dict(row) for row in rows]
        return found
    finally:
        connection.terminate()


def _raw(text: str) -> msgspec.Raw:
    return msgspec.Raw(text.encode())


def _text(value: msgspec.Raw) -> str:
    return bytes(value).decode()
