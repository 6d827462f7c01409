from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from actors.research.metrics import drawdowns
from actors.research.metrics.metric import Unknown

CURVES = st.lists(st.floats(0.01, 1e6), min_size=1, max_size=40)


def slow(equity: list[float]) -> list[tuple[int, int, float]]:
    """(peak, end or -1, depth) of each drawdown, a sample at a time."""
    found = []
    peak, first, deepest = equity[0], -1, 0.0
    for place, value in enumerate(equity):
        if value >= peak:
            if first >= 0:
                found.append((first - 1, place, deepest))
            peak, first, deepest = value, -1, 0.0
        else:
            first = place if first < 0 else first
            deepest = min(deepest, value / peak - 1)
    return [*found, (first - 1, -1, deepest)] if first >= 0 else found


@settings(max_examples=100, deadline=None)
@given(CURVES)
def test_drawdowns_are_those_of_a_slow_walk(equity: list[float]) -> None:
    expected = slow(equity)
    found = drawdowns.episodes(np.array(equity))
    # A fall that is lost in rounding is none.
    expected = [each for each in expected if each[2] < 0]
    assert list(zip(found.peaks.tolist(), found.ends.tolist(), strict=True)) == [each[:2] for each in expected]
    assert found.depths == pytest.approx([each[2] for each in expected])
    assert drawdowns.maximum(np.array(equity)) == pytest.approx(min((each[2] for each in expected), default=0.0))


def test_recovery_is_counted_from_the_bottom_of_the_deepest() -> None:
    times = drawdowns.DAY_NS * np.arange(8)
    equity = np.array([100.0, 90, 100, 50, 60, 110, 100, 105])
    assert drawdowns.recovery_days(equity, times) == 2
    assert drawdowns.longest_days(equity, times) == 3
    assert drawdowns.durations(equity, times).tolist() == [2, 3, 2]
    assert drawdowns.mean_depth(equity) == pytest.approx((-0.1 - 0.5 - 10 / 110) / 3)
    with pytest.raises(Unknown, match="has not recovered"):
        drawdowns.recovery_days(equity[:5], times[:5])


def test_the_starting_capital_is_the_first_peak() -> None:
    assert drawdowns.maximum(np.array([100.0, 80.0, 90.0])) == pytest.approx(-0.2)
    assert drawdowns.time_under_water(np.array([100.0, 80.0, 90.0, 100.0])) == 0.5
    assert drawdowns.ulcer(np.array([100.0, 80.0, 100.0, 100.0])) == pytest.approx(0.1)
