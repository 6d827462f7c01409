"""Where the conformance suite runs."""

import pytest
import trio
from trio.testing import MockClock

from tests.runtime.conformance.stage import LOCAL, PROCESS, Placement


@pytest.fixture(params=[LOCAL, pytest.param(PROCESS, marks=pytest.mark.long)], ids=lambda placement: placement.name)
def placement(request: pytest.FixtureRequest) -> Placement:
    return request.param


@pytest.fixture
def clock(placement: Placement) -> trio.abc.Clock:
    """Autojump where everything lives on this loop, real time elsewhere."""
    return MockClock(autojump_threshold=0) if placement is LOCAL else MockClock(rate=1.0)
