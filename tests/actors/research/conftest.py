"""A database with the tables of storage, strategies and research."""

from __future__ import annotations

import pytest

from tests.actors.databases import Databases
from tests.actors.research.backtest.desk import MIGRATIONS


@pytest.fixture
def database(databases: Databases) -> str:
    """The URL of an empty database with the tables."""
    return databases.new(MIGRATIONS)
