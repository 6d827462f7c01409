"""What the storage tests share: rows, a log, servers, and a way to talk to a database from a plain function."""

from __future__ import annotations

import asyncio
import subprocess
import threading
from collections.abc import Awaitable, Callable
from datetime import datetime
from decimal import Decimal
from pathlib import Path
from typing import Any, TypeVar

import asyncpg
import msgspec
import trio

from actors.storage import capability, schema
from actors.storage.embedded import EmbeddedServer
from protocols.control import Message, Row
from runtime import ChildSpec, NodeSettings
from runtime.capability import Whole
from runtime.log import NodeLog, open_log
from runtime.settings import Configuration

T = TypeVar("T")
TABLES = Path(__file__).parent / "tables"
FOLDERS = [schema.OWN, TABLES]


class Tick(Row, frozen=True, gc=False, tag="tick"):
    table = "ticks"
    n: int
    market: str = "A"
    price: int | None = 1
    ratio: float | None = None
    raw: bytes | None = None


class Part(Message, frozen=True, gc=False):
    x: int


class Document(Row, frozen=True, gc=False, tag="document"):
    table = "documents"
    n: int
    body: msgspec.Raw | None = None
    parts: tuple[Part, ...] = ()
    tags: tuple[str, ...] = ()
    amount: Decimal | None = None
    at: datetime | None = None


class Late(Row, frozen=True, gc=False, tag="late"):
    table = "late"
    n: int


class Lost(Row, frozen=True, gc=False, tag="lost"):
    table = "no_such_table"
    n: int


def small_log(directory: Path, **options: Any) -> NodeLog:
    return open_log(directory, **({"segment_bytes": 64 << 10, "max_bytes": 64 << 20, "reserve_bytes": 0} | options))


def call(url: str, work: Callable[[asyncpg.Connection], Awaitable[T]]) -> T:
    """Run `work` with a connection, from a plain function."""

    async def run() -> T:
        connection = await asyncpg.connect(url)
        try:
            return await work(connection)
        finally:
            await connection.close()

    return asyncio.run(run())


def fetch(url: str, sql: str, *arguments: object) -> list[tuple[Any, ...]]:
    return call(url, lambda connection: _fetch(connection, sql, arguments))


async def _fetch(connection: asyncpg.Connection, sql: str, arguments: tuple[object, ...]) -> list[tuple[Any, ...]]:
    return [tuple(row) for row in await connection.fetch(sql, *arguments)]


async def afetch(url: str, sql: str, *arguments: object) -> list[tuple[Any, ...]]:
    return await trio.to_thread.run_sync(lambda: fetch(url, sql, *arguments))


class ServerThread:
    """An embedded server for the whole session, beside the tests' own event loops."""

    def __init__(self, folder: Path) -> None:
        self.url = ""
        self._folder = folder
        self._up = threading.Event()
        self._token: trio.lowlevel.TrioToken | None = None
        self._stop: trio.Event
        self._error: BaseException | None = None
        self._thread = threading.Thread(target=self._run)
        self._thread.start()
        self._up.wait()
        if self._error is not None:
            raise self._error

    def stop(self) -> None:
        if self._token is not None:
            self._token.run_sync_soon(self._stop.set)
        self._thread.join()

    def _run(self) -> None:
        try:
            trio.run(self._serve)
        except BaseException as error:
            self._error = error
            self._up.set()

    async def _serve(self) -> None:
        server = EmbeddedServer(self._folder)
        async with server.running():
            self._stop = trio.Event()
            self._token = trio.lowlevel.current_trio_token()
            self.url = server.url
            self._up.set()
            await self._stop.wait()


def copy_cluster(template: Path, folder: Path) -> Path:
    """Copy a stopped cluster with its owner; returns `folder`, for an EmbeddedServer."""
    folder.mkdir(parents=True, mode=0o700)
    subprocess.run(["cp", "-a", str(template), str(folder / "cluster")], check=True)
    return folder


def storage_children(data: Path, **settings: Any) -> list[ChildSpec]:
    """The storage branch of a node whose data folder is `data`."""
    configuration = Configuration(
        {"node": NodeSettings(data_dir=str(data)), "database": capability.Settings(**settings)}, {}
    )
    return capability.children(configuration, Whole(migrations=tuple(map(str, FOLDERS))))
