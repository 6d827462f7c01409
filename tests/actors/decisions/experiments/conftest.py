"""A database with the tables of storage, decisions and execution."""

from __future__ import annotations

import pytest

from actors.decisions import capability as decisions
from actors.execution import capability as execution
from actors.storage import schema
from tests.actors.databases import Databases


@pytest.fixture
def database(databases: Databases) -> str:
    """The URL of an empty database with the tables."""
    return databases.new((schema.OWN, decisions.migrations, execution.migrations))
