"""One initdb for the session: tests copy its cluster, or get a database of their own on a shared server."""

from __future__ import annotations

import itertools
import shutil
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path

import asyncpg
import pytest

from actors.storage import schema
from tests.actors.storage.kit import FOLDERS, ServerThread, call, copy_cluster

numbers = itertools.count()
ROOM = 2 << 30


@pytest.fixture(scope="session")
def clusters(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    """A folder with a migrated cluster to run, and the path of a stopped copy of it."""
    base = tmp_path_factory.mktemp("postgres")
    server = ServerThread(base / "shared")
    try:
        call(server.url, lambda connection: schema.upgrade(connection, FOLDERS))
    finally:
        server.stop()
    return base / "shared", copy_cluster(base / "shared" / "cluster", base / "stopped") / "cluster"


@pytest.fixture(scope="session")
def shared_server(clusters: tuple[Path, Path]) -> Iterator[str]:
    """The URL of a server that nobody kills."""
    server = ServerThread(clusters[0])
    call(server.url, lambda connection: connection.execute("CREATE DATABASE migrated TEMPLATE postgres"))
    yield server.url
    server.stop()


@pytest.fixture
def new_database(shared_server: str) -> Callable[[bool], str]:
    """Make a database on the shared server, migrated or empty; returns its URL."""

    def make(migrated: bool = True) -> str:
        name = f"test_{next(numbers)}"
        template = "migrated" if migrated else "template0"

        async def create(connection: asyncpg.Connection) -> None:
            await connection.execute(f"CREATE DATABASE {name} TEMPLATE {template} STRATEGY file_copy")

        call(shared_server, create)
        return shared_server.replace("/postgres?", f"/{name}?")

    return make


@pytest.fixture
def database(new_database: Callable[[], str]) -> str:
    """The URL of a migrated, empty database."""
    return new_database()


@pytest.fixture
def data(clusters: tuple[Path, Path]) -> Iterator[Path]:
    """A node's data folder with a migrated, stopped server of its own."""
    # Each is 30 MB for seconds: in memory, where that is possible, a test takes half the time.
    memory = Path("/dev/shm")
    roomy = memory.is_dir() and shutil.disk_usage(memory).free > ROOM
    with tempfile.TemporaryDirectory(prefix="troupe-", dir=memory if roomy else None) as folder:
        copy_cluster(clusters[1], Path(folder) / "data" / "postgres")
        yield Path(folder) / "data"
