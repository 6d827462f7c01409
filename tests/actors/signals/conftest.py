"""A PostgreSQL server for the session, with the tables of storage and signals in a template."""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from pathlib import Path

import asyncpg
import pytest

from actors.signals import capability
from actors.storage import schema
from tests.actors.storage.kit import ServerThread, call

numbers = itertools.count()


@pytest.fixture(scope="session")
def signal_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """The URL of the server."""
    server = ServerThread(tmp_path_factory.mktemp("signals_postgres"))
    assert capability.migrations is not None
    folders = [schema.OWN, Path(capability.migrations)]
    try:
        call(server.url, lambda connection: schema.upgrade(connection, folders))
        call(server.url, lambda connection: connection.execute("CREATE DATABASE tables TEMPLATE postgres"))
        yield server.url
    finally:
        server.stop()


@pytest.fixture
def database(signal_server: str) -> str:
    """The URL of an empty database with the tables."""
    name = f"signals_{next(numbers)}"

    async def create(connection: asyncpg.Connection) -> None:
        await connection.execute(f"CREATE DATABASE {name} TEMPLATE tables STRATEGY file_copy")

    call(signal_server, create)
    return signal_server.replace("/postgres?", f"/{name}?")
