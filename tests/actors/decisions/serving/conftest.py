"""Time that moves where nobody has anything to do."""

from __future__ import annotations

import pytest
from trio.testing import MockClock


@pytest.fixture
def leaping(mock_clock: MockClock) -> MockClock:
    """Leaps to the next deadline where nothing has happened for a little: a thread may be at work."""
    mock_clock.autojump_threshold = 0.01
    return mock_clock
