"""Databases with the tables that outcomes are made of."""

from __future__ import annotations

import pytest

from tests.actors.databases import Databases
from tests.actors.thresholds.intake.stage import FOLDERS


@pytest.fixture
def database(databases: Databases) -> str:
    """The URL of an empty database with the tables."""
    return databases.new(FOLDERS)
