"""A PostgreSQL server for the session: the node's own tables in a template, and databases of other services."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterator
from pathlib import Path

import asyncpg
import pytest

from actors.storage import schema
from tests.actors.storage.kit import ServerThread, call
from tests.actors.strategies.library.stage import AI_ML, MIGRATIONS, NO_CODE

numbers = itertools.count()


@pytest.fixture(scope="session")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """The URL of the server."""
    server = ServerThread(tmp_path_factory.mktemp("library_postgres"))
    try:
        call(server.url, lambda connection: schema.upgrade(connection, [Path(folder) for folder in MIGRATIONS]))
        call(server.url, lambda connection: connection.execute("CREATE DATABASE tables TEMPLATE postgres"))
        yield server.url
    finally:
        server.stop()


@pytest.fixture(scope="session")
def make_database(server: str) -> Callable[[str], str]:
    """Makes a database from a template and returns its URL."""

    def make(template: str) -> str:
        name = f"library_{next(numbers)}"

        async def create(connection: asyncpg.Connection) -> None:
            await connection.execute(f"CREATE DATABASE {name} TEMPLATE {template} STRATEGY file_copy")

        call(server, create)
        return server.replace("/postgres?", f"/{name}?")

    return make


@pytest.fixture
def database(make_database: Callable[[str], str]) -> str:
    """The URL of an empty database with the node's own tables."""
    return make_database("tables")


@pytest.fixture(scope="session")
def ai_ml(make_database: Callable[[str], str]) -> str:
    """The URL of a database of the code strategies' service, with its tables and rows; nobody changes it."""
    url = make_database("template0")
    call(url, lambda connection: connection.execute(AI_ML))
    return url


@pytest.fixture(scope="session")
def no_code(make_database: Callable[[str], str]) -> str:
    """The URL of a database of the drawn strategies' service, with its table and rows; nobody changes it."""
    url = make_database("template0")
    call(url, lambda connection: connection.execute(NO_CODE))
    return url


@pytest.fixture
def changing(make_database: Callable[[str], str]) -> str:
    """The URL of a database like `ai_ml`, for this test alone."""
    url = make_database("template0")
    call(url, lambda connection: connection.execute(AI_ML))
    return url
