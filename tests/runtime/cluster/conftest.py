"""Real Ray clusters on this machine: one for all tests that leave it whole, and one of its own for each other."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest

from runtime.cluster import local
from runtime.cluster.gateway_messages import GatewaySettings
from runtime.cluster.settings import ClusterSettings
from tests.runtime.cluster.kit import Gateways


@pytest.fixture(scope="session")
def cluster(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """The data folder of a cluster of two nodes that all tests share; a test leaves it as it was."""
    data_dir = tmp_path_factory.mktemp("data")
    local.up(data_dir, local.ClusterSize(nodes=2), print)
    yield data_dir
    local.down(data_dir)


@pytest.fixture
def own_cluster(tmp_path: Path) -> Iterator[Path]:
    """The data folder of a cluster of two nodes that a test may break."""
    local.up(tmp_path, local.ClusterSize(nodes=2), print)
    yield tmp_path
    local.down(tmp_path)


def gateway_settings(data_dir: Path, place_s: float = 60.0, lost_s: float = 10.0) -> GatewaySettings:
    """What a node would tell its gateway."""
    address, token = local.resolve_address(ClusterSettings(address="local"), data_dir)
    return GatewaySettings(address=address, token=token, place_s=place_s, lost_s=lost_s)


@pytest.fixture
async def gateways() -> AsyncIterator[Gateways]:
    """Starts gateways, and ends them after the test."""
    started = Gateways()
    yield started
    await started.end()
