"""A database with the tables of agents and signals."""

from __future__ import annotations

import pytest

from tests.actors.agents.stage import FOLDERS
from tests.actors.databases import Databases


@pytest.fixture
def database(databases: Databases) -> str:
    """The URL of an empty database with the tables."""
    return databases.new(FOLDERS)
