"""A PostgreSQL server for the session, with the tables of storage, strategies and research in a template."""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from pathlib import Path

import asyncpg
import pytest

from actors.storage import schema
from tests.actors.research.backtest.desk import MIGRATIONS
from tests.actors.storage.kit import ServerThread, call

numbers = itertools.count()


@pytest.fixture(scope="session")
def research_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """The URL of the server."""
    server = ServerThread(tmp_path_factory.mktemp("research_postgres"))
    try:
        call(server.url, lambda connection: schema.upgrade(connection, [Path(folder) for folder in MIGRATIONS]))
        call(server.url, lambda connection: connection.execute("CREATE DATABASE tables TEMPLATE postgres"))
        yield server.url
    finally:
        server.stop()


@pytest.fixture
def database(research_server: str) -> str:
    """The URL of an empty database with the tables."""
    name = f"research_{next(numbers)}"

    async def create(connection: asyncpg.Connection) -> None:
        await connection.execute(f"CREATE DATABASE {name} TEMPLATE tables STRATEGY file_copy")

    call(research_server, create)
    return research_server.replace("/postgres?", f"/{name}?")
