from __future__ import annotations

import random

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from actors.monitor.drift.page_hinkley import (
    PageHinkley,
    PageHinkleySettings,
    PageHinkleyState,
    TwoSided,
)


def river_stream() -> list[int]:
    """The example in river's documentation of `drift.PageHinkley`."""
    rng = random.Random(12345)
    return rng.choices([0, 1], k=1000) + rng.choices(range(4, 8), k=1000)


def alarms(detector: PageHinkley, stream: list[float] | list[int]) -> list[tuple[int, float]]:
    return [(index, value) for index, value in enumerate(stream) if detector.update(value)]


def test_it_alarms_where_river_does() -> None:
    assert alarms(PageHinkley(), river_stream()) == [(1006, 5)]


def test_upside_down_it_finds_a_fall_and_not_a_rise() -> None:
    stream = river_stream()
    assert alarms(PageHinkley(direction="down"), stream) == []
    assert alarms(PageHinkley(direction="down"), [-value for value in stream]) == [(1006, -5)]


def test_two_of_them_find_a_change_of_either_sign_and_begin_anew() -> None:
    both = TwoSided()
    stream = [*river_stream(), *[0] * 100]
    found = [(index, way) for index, value in enumerate(stream) if (way := both.update(value))]
    assert found[0] == (1006, "up")
    assert found[1][1] == "down"
    assert 2000 <= found[1][0] < 2030
    assert len(found) == 2


def test_no_alarm_comes_before_the_least_number_of_observations() -> None:
    settings = PageHinkleySettings(min_instances=30, threshold=1.0)
    # river counts from one, and so alarms with the 29th observation at the earliest.
    assert alarms(PageHinkley(settings), [0.0] * 5 + [100.0] * 60)[0][0] == 28


@given(st.lists(st.floats(-5, 5), min_size=1, max_size=200), st.integers(0, 200))
def test_a_detector_that_was_saved_and_restored_goes_on_as_if_nothing_had_been(values: list[float], cut: int) -> None:
    settings = PageHinkleySettings(min_instances=5, threshold=3.0)
    whole = PageHinkley(settings)
    expected = [whole.update(value) for value in values]
    first = PageHinkley(settings)
    found = [first.update(value) for value in values[:cut]]
    saved = msgspec.json.decode(msgspec.json.encode(first.state), type=PageHinkleyState)
    second = PageHinkley(settings, state=saved)
    found += [second.update(value) for value in values[cut:]]
    assert found == expected
    assert second.state == whole.state


@pytest.mark.parametrize("value", [float("nan"), float("inf")])
def test_what_is_no_number_is_refused_and_changes_nothing(value: float) -> None:
    detector = PageHinkley()
    detector.update(1.0)
    before = detector.state
    with pytest.raises(ValueError, match="expected a finite number"):
        detector.update(value)
    assert detector.state == before


@pytest.mark.parametrize(
    "wrong", [{"min_instances": 0}, {"delta": -1.0}, {"threshold": 0.0}, {"alpha": 0.0}, {"alpha": 1.1}]
)
def test_settings_that_cannot_be_are_refused_by_name(wrong: dict[str, float]) -> None:
    with pytest.raises(ValueError, match=f"{next(iter(wrong))}: expected"):
        PageHinkleySettings(**wrong)  # type: ignore[arg-type]


def test_an_alarm_of_one_side_begins_both_anew() -> None:
    both = TwoSided(PageHinkleySettings(min_instances=2, delta=0.0, threshold=5.0))
    # What falls a little before it rises a lot has left evidence of a fall, too.
    found = [both.update(value) for value in (0.0, -2.0, 20.0)]
    assert found == [None, None, "up"]
    assert both.states == (PageHinkleyState(), PageHinkleyState())
    assert [both.update(value) for value in (20.0, 14.0, 12.0)] == [None, None, "down"]
