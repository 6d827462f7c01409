"""Databases: with the node's own tables, and of other services."""

from __future__ import annotations

import pytest

from tests.actors.databases import Databases
from tests.actors.storage.kit import call
from tests.actors.strategies.library.stage import AI_ML, MIGRATIONS, NO_CODE


@pytest.fixture
def database(databases: Databases) -> str:
    """The URL of an empty database with the node's own tables."""
    return databases.new(MIGRATIONS)


@pytest.fixture(scope="session")
def ai_ml(databases: Databases) -> str:
    """The URL of a database of the code strategies' service, with its tables and rows; nobody changes it."""
    url = databases.new()
    call(url, lambda connection: connection.execute(AI_ML))
    return url


@pytest.fixture(scope="session")
def no_code(databases: Databases) -> str:
    """The URL of a database of the drawn strategies' service, with its table and rows; nobody changes it."""
    url = databases.new()
    call(url, lambda connection: connection.execute(NO_CODE))
    return url


@pytest.fixture
def changing(databases: Databases) -> str:
    """The URL of a database like `ai_ml`, for this test alone."""
    url = databases.new()
    call(url, lambda connection: connection.execute(AI_ML))
    return url
