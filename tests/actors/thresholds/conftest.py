"""Databases with the tables that thresholds need, and a stopped cluster with them to copy."""

from __future__ import annotations

from pathlib import Path

import pytest

from actors.execution import capability as execution
from actors.signals import capability as signals
from actors.storage import schema
from actors.thresholds import capability
from tests.actors.databases import Databases
from tests.actors.storage.kit import ServerThread, call

FOLDERS = [schema.OWN, *(Path(str(each.migrations)) for each in (signals, execution, capability))]
"""The views of thresholds are made of what signals and execution store."""


@pytest.fixture(scope="session")
def threshold_cluster(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A stopped cluster, whose `postgres` has the tables."""
    folder = tmp_path_factory.mktemp("thresholds_cluster")
    server = ServerThread(folder)
    try:
        call(server.url, lambda connection: schema.upgrade(connection, FOLDERS))
    finally:
        server.stop()
    return folder / "cluster"


@pytest.fixture
def database(databases: Databases) -> str:
    """The URL of an empty database with the tables."""
    return databases.new(FOLDERS)
