"""What rooms share."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.actors.databases import Databases
from tests.actors.storage.kit import ServerThread


@pytest.fixture(scope="session")
def databases(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Databases]:
    """Databases on a server that runs as long as these tests."""
    server = ServerThread(tmp_path_factory.mktemp("databases"))
    try:
        yield Databases(server.url)
    finally:
        server.stop()
