from __future__ import annotations

from datetime import UTC, datetime
from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from actors.research.results import Series
from actors.research.statistics import walk_forward
from actors.research.statistics.walk_forward import Window, WindowOutcome, assess, parse, stitch, windows
from tests.actors.research.metrics.samples import DAY


def moment(text: str) -> int:
    return int(datetime.fromisoformat(text).replace(tzinfo=UTC).timestamp()) * 10**9


def day(ns: int) -> str:
    return datetime.fromtimestamp(ns / 1e9, UTC).strftime("%Y-%m-%d")


def test_twelve_three_three_over_two_years() -> None:
    found = windows(moment("2022-01-01"), moment("2024-01-01") - 1, *parse("12/3/3"))
    assert [(day(w.train_start), day(w.train_end), day(w.test_end), day(w.stitch_end)) for w in found] == [
        ("2022-01-01", "2023-01-01", "2023-04-01", "2023-04-01"),
        ("2022-04-01", "2023-04-01", "2023-07-01", "2023-07-01"),
        ("2022-07-01", "2023-07-01", "2023-10-01", "2023-10-01"),
        ("2022-10-01", "2023-10-01", "2024-01-01", "2024-01-01"),
    ]


def test_only_the_first_step_of_each_test_is_stitched() -> None:
    found = windows(moment("2022-01-01"), moment("2023-12-31"), 6, 6, 2)
    assert all(later.test_start == earlier.stitch_end for earlier, later in pairwise(found))
    assert all(each.stitch_end < each.test_end for each in found)


def test_purge_and_embargo_come_off_the_end_of_training() -> None:
    plain = windows(moment("2022-01-01"), moment("2023-12-31"), 6, 3, 3)
    cut = windows(moment("2022-01-01"), moment("2023-12-31"), 6, 3, 3, purge=2 * DAY, embargo=DAY)
    assert [each.test_start - each.train_end for each in cut] == [3 * DAY] * len(plain)
    assert [each.test_start for each in cut] == [each.test_start for each in plain]
    with pytest.raises(ValueError, match="nothing to train on"):
        windows(moment("2022-01-01"), moment("2023-12-31"), 1, 1, 1, purge=40 * DAY)


def test_the_end_of_a_month_does_not_drift_through_a_short_one() -> None:
    found = windows(moment("2022-01-31"), moment("2022-06-30"), 1, 1, 1)
    assert [day(each.train_start) for each in found] == ["2022-01-31", "2022-02-28", "2022-03-31", "2022-04-30"]


def test_data_that_are_too_short_are_an_error_that_says_how_much_is_needed() -> None:
    with pytest.raises(ValueError, match="expected data of 15 months or more, got 364 days"):
        windows(moment("2022-01-01"), moment("2022-12-31"), 12, 3, 3)


@pytest.mark.parametrize("text", ["", "12/3", "12/3/4", "0/3/3", "12/3/3/3", "a/b/c", "-1/3/3"])
def test_what_are_no_three_numbers_of_months_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match="walk_forward: expected"):
        parse(text)


@settings(max_examples=60, deadline=None)
@given(
    st.integers(moment("2000-01-01"), moment("2010-01-01")),
    st.integers(200, 2_000),
    st.integers(1, 12),
    st.integers(1, 6),
    st.integers(1, 6),
)
def test_windows_never_train_on_what_they_test_and_tile_the_curve(
    first: int, days: int, train: int, test: int, step: int
) -> None:
    last = first + days * DAY
    try:
        found = windows(first, last, train, test, min(step, test), purge=DAY)
    except ValueError:
        assert days < (train + test) * 31 + 1
        return
    for window in found:
        assert first <= window.train_start < window.train_end < window.test_start < window.stitch_end
        assert window.stitch_end <= window.test_end <= last + 1
    assert all(later.test_start == earlier.stitch_end for earlier, later in pairwise(found))


def outcome(number: int, growth: float, *, inside: float = 0.1, days: int = 30, beyond: int = 0) -> WindowOutcome:
    start = number * days * DAY
    window = Window(
        number=number,
        train_start=start - 60 * DAY,
        train_end=start,
        test_start=start,
        test_end=start + (days + beyond) * DAY,
        stitch_end=start + days * DAY,
    )
    rng = np.random.default_rng(number)
    wiggle = 1 + np.concatenate(([0.0], rng.normal(0, 0.001, days - 1), [0.0]))
    equity = 100 * np.linspace(1, 1 + growth, days + 1) * wiggle
    after = np.full(beyond, 1.0)
    return WindowOutcome(
        window=window,
        in_sample=Series.of(start + DAY * np.arange(-60, 1), np.linspace(100, 100 * (1 + inside), 61)),
        out_of_sample=Series.of(start + DAY * np.arange(days + 1 + beyond), np.concatenate((equity, after))),
        trials=5,
    )


def test_parts_are_stitched_one_on_the_other_and_end_with_their_step() -> None:
    curve = stitch((outcome(0, 0.1, beyond=10), outcome(1, 0.2)), 1_000.0)
    assert curve.array()[0] == 1_000
    assert curve.array()[-1] == pytest.approx(1_000 * 1.1 * 1.2)
    assert np.all(np.diff(curve.times()) == DAY)


def test_efficiency_is_profit_a_year_out_of_sample_over_in_sample() -> None:
    found = assess((outcome(0, 0.02), outcome(1, 0.03)), capital=1_000.0, periods=365)
    assert found.efficiency == pytest.approx((0.05 / 60) / (0.2 / 120))
    assert found.trials == 10
    assert found.t_statistic is not None
    assert found.sharpe is not None
    assert found.t_statistic == pytest.approx(found.sharpe * np.sqrt(60 / 365))
    assert [rule.passed for rule in found.rules] == [True, True, True, False, True]


@pytest.mark.parametrize("inside", [0.0, -0.1])
def test_without_profit_in_sample_there_is_no_efficiency(inside: float) -> None:
    found = assess((outcome(0, 0.02, inside=inside),), capital=1_000.0, periods=365)
    assert found.efficiency is None
    assert found.reason.startswith("n/a: no profit in sample")
    assert found.rules[1].passed is None


def test_the_rules_fail_where_they_should() -> None:
    lost = assess((outcome(0, -0.3), outcome(1, -0.3), outcome(2, 0.05)), capital=1_000.0, periods=365)
    assert [rule.passed for rule in lost.rules] == [False, False, False, None, False]


def test_windows_that_overlap_are_an_error() -> None:
    with pytest.raises(ValueError, match="overlap"):
        assess((outcome(1, 0.1), outcome(0, 0.1)), capital=1.0, periods=365)


def test_a_walk_forward_without_equity_has_reasons_instead_of_figures() -> None:
    empty = Series.of(np.empty(0), np.empty(0))
    window = outcome(0, 0.1).window
    found = assess((WindowOutcome(window=window, in_sample=empty, out_of_sample=empty),), capital=1.0, periods=365)
    assert (found.efficiency, found.t_statistic) == (None, None)
    assert all(rule.passed is None for rule in found.rules)
    assert walk_forward.stitch((), 1.0).array().size == 0
