"""What rooms share."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from actors.edge import clients
from tests.actors.authority import Authority
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


@pytest.fixture
def authority(tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch) -> Authority:
    """One that nobody knows, in a process whose clients have not read yet whom they trust."""
    monkeypatch.setattr(clients, "_made", {})
    return Authority(tmp_path_factory.mktemp("authority"))


@pytest.fixture
def trusted_authority(authority: Authority, monkeypatch: pytest.MonkeyPatch) -> Authority:
    """One that the user of this process trusts."""
    monkeypatch.setenv("SSL_CERT_FILE", str(authority.file))
    return authority
