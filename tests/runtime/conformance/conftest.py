"""Where the conformance suite runs: on this loop, and (`--long`) in a child process and in a worker of Ray."""

from dataclasses import replace

import pytest
import trio
from trio.testing import MockClock

from runtime.cluster.settings import ClusterSettings
from tests.runtime.cluster.conftest import cluster as cluster
from tests.runtime.conformance.stage import LOCAL, PROCESS, RAY, Placement

PLACEMENTS = [LOCAL, pytest.param(PROCESS, marks=pytest.mark.long), pytest.param(RAY, marks=pytest.mark.long)]


@pytest.fixture(params=PLACEMENTS, ids=lambda placement: placement.name)
def placement(request: pytest.FixtureRequest) -> Placement:
    found: Placement = request.param
    if found.name != RAY.name:
        return found
    folder = request.getfixturevalue("cluster")
    return replace(found, cluster=ClusterSettings(address="local"), settings={"data_dir": str(folder)})


@pytest.fixture
def clock(placement: Placement) -> trio.abc.Clock:
    """Autojump where everything lives on this loop, real time elsewhere."""
    return MockClock(autojump_threshold=0) if placement.name == LOCAL.name else MockClock(rate=1.0)
