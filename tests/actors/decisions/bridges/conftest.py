"""Time that moves where nobody has anything to do."""

from __future__ import annotations

import pytest
from trio.testing import MockClock


@pytest.fixture
def leaping(mock_clock: MockClock) -> MockClock:
    """Leaps to the next deadline where nothing has happened for a little: bytes are on their way in a real socket."""
    mock_clock.autojump_threshold = 0.02
    return mock_clock
