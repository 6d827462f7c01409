from __future__ import annotations

import math

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from actors.thresholds.parameters import DEFAULTS, Parameter
from actors.thresholds.safeguards import (
    DAY_NS,
    Limits,
    SafeguardSettings,
    Travelled,
    limited,
    remembered,
    share,
    travel_left,
)
from actors.thresholds.settings import LearningSettings
from actors.thresholds.spsa import SwitchbackSettings
from tests.actors.thresholds.streams import BY_NAME


def limits(parameter: Parameter) -> Limits:
    return Limits(parameter.lower, parameter.upper, parameter.scale, 0.1, 0.005)


@pytest.mark.parametrize(
    ("name", "old", "proposed", "applied"),
    [
        ("rsi", 70.0, 90.0, 77.0),
        ("rsi", 70.0, 50.0, 63.0),
        ("confidence", 0.65, 0.2, 0.585),
        ("macd", 0.0, 0.1, 0.002),  # 10 % of 10 % of the range: 0 is not stuck at 0
        ("macd", 0.05, -0.1, 0.045),
        ("volume", 1e9, 1e10, 1.1e9),
        ("volume", 1e9, 1e8, 1e9 / 1.1),
        ("momentum", 4.9, 9.0, 5.0),
    ],
)
def test_a_cycle_goes_ten_per_cent_at_most(name: str, old: float, proposed: float, applied: float) -> None:
    found = limited(old, proposed, limits(BY_NAME[name]), 1.0)
    assert found.applied == pytest.approx(applied)
    assert set(found.clipped_by) == ({"bound"} if name == "momentum" else {"max_change"})
    assert found.held == ""


@pytest.mark.parametrize(("name", "old", "near"), [("rsi", 70.0, 70.3), ("macd", 0.0, 5e-5), ("volume", 1e9, 1.004e9)])
def test_less_than_half_a_per_cent_waits(name: str, old: float, near: float) -> None:
    assert limited(old, near, limits(BY_NAME[name]), 1.0) == (old, (), "DEADBAND")


def test_what_is_left_for_the_day_holds_a_move_back_or_stops_it() -> None:
    rsi = limits(BY_NAME["rsi"])
    assert limited(70.0, 80.0, rsi, 0.05) == (73.5, ("max_change", "travel"), "")
    assert limited(70.0, 80.0, rsi, 0.004).held == "TRAVEL"
    assert limited(90.0, 99.0, rsi, 1.0) == (90.0, ("bound",), "BOUND")


def test_what_is_no_number_is_refused() -> None:
    for wrong in (math.nan, math.inf):
        with pytest.raises(ValueError, match="proposed: expected a finite number"):
            limited(70.0, wrong, limits(BY_NAME["rsi"]), 1.0)


@settings(max_examples=300, deadline=None)
@given(st.sampled_from(DEFAULTS), st.floats(0, 1), st.floats(-1e12, 1e12), st.floats(0, 0.3))
def test_no_move_is_beyond_a_limit_not_by_a_single_bit(
    parameter: Parameter, part: float, proposed: float, left: float
) -> None:
    old = parameter.lower + part * (parameter.upper - parameter.lower)
    if parameter.scale == "log":
        proposed = abs(proposed) + 1.0
    bound = limits(parameter)
    found = limited(old, proposed, bound, left)
    far = share(old, found.applied, bound)
    assert parameter.lower <= found.applied <= parameter.upper
    assert far <= min(0.1, left)
    assert found.applied == old or (far >= 0.005 and not found.held)
    assert (found.applied - old) * (proposed - old) >= 0


def test_travel_counts_for_a_day() -> None:
    how = SafeguardSettings()
    moves = [Travelled(0, 0.1), Travelled(DAY_NS // 2, 0.04)]
    assert travel_left(moves, DAY_NS - 1, how) == pytest.approx(0.06)
    assert travel_left(moves, DAY_NS, how) == pytest.approx(0.16)
    assert remembered(moves, DAY_NS) == moves[1:]


@pytest.mark.parametrize(
    ("wrong", "says"),
    [({"min_change": 0.2}, "min_change"), ({"daily_travel": 0.05}, "daily_travel"), ({"stale_h": 0.0}, "stale_h")],
)
def test_limits_that_contradict_one_another_are_refused(wrong: dict[str, float], says: str) -> None:
    with pytest.raises(ValueError, match=says):
        SafeguardSettings(**wrong)


def test_probes_that_leave_a_cycle_nothing_are_refused() -> None:
    with pytest.raises(ValueError, match=r"switchback\.most"):
        LearningSettings(mode="switchback", switchback=SwitchbackSettings(most=0.04))
