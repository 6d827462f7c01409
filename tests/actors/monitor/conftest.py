"""A database with the tables of storage and the monitor."""

from __future__ import annotations

import pytest

from actors.monitor import capability
from actors.storage import schema
from tests.actors.databases import Databases


@pytest.fixture
def database(databases: Databases) -> str:
    """The URL of an empty database with the tables."""
    return databases.new((schema.OWN, capability.migrations))
