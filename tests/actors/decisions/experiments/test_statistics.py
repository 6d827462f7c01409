from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from actors.decisions.experiments.statistics import (
    Sample,
    chi_square,
    cuped,
    cuped_theta,
    holm,
    one_proportion,
    per_unit,
    pooled_t,
    probability_of_better,
    relative_lift,
    srm,
    two_proportions,
    welch,
    winsorised,
)


def test_two_proportions_are_those_of_statsmodels() -> None:
    found = two_proportions(5, 83, 12, 99)
    assert found is not None
    assert found.statistic == pytest.approx(-1.40783042, abs=5e-9)
    assert found.p == pytest.approx(0.15918129, abs=5e-9)
    # The interval is with the unpooled variance: 0.0602 - 0.1212 +- 1.96 sqrt(0.000682 + 0.001076)
    assert (found.low, found.high) == pytest.approx((-0.14314, 0.02121), abs=1e-4)


def test_one_proportion_is_that_of_statsmodels() -> None:
    found = one_proportion(5, 83, 0.05)
    assert found is not None
    assert (round(found.statistic, 3), round(found.p, 3)) == (0.392, 0.695)


def test_chi_square_is_that_of_scipys_documentation() -> None:
    found = chi_square([16, 18, 16, 14, 12, 12])
    assert found is not None
    assert found == pytest.approx((2.0, 0.849145), abs=5e-7)


def test_t_from_statistics_is_that_of_scipys_documentation() -> None:
    first, second = Sample(11, 12.0, 39.0), Sample(13, 15.0, 87.5)
    pooled, unequal = pooled_t(first, second), welch(first, second)
    assert pooled is not None
    assert unequal is not None
    assert (pooled.statistic, pooled.p) == pytest.approx((0.9051358, 0.3751997), abs=5e-7)
    assert (unequal.statistic, unequal.p) == pytest.approx((0.9358462, 0.3599982), abs=5e-7)


def test_the_probability_of_better_is_the_closed_form() -> None:
    assert probability_of_better(40, 100, 50, 100) == pytest.approx(0.921426, abs=5e-7)
    assert probability_of_better(7, 20, 7, 20) == pytest.approx(0.5)


@given(st.integers(0, 60), st.integers(0, 60), st.integers(0, 60), st.integers(0, 60))
def test_one_of_two_arms_is_better(wins_a: int, losses_a: int, wins_b: int, losses_b: int) -> None:
    forth = probability_of_better(wins_a, wins_a + losses_a, wins_b, wins_b + losses_b)
    back = probability_of_better(wins_b, wins_b + losses_b, wins_a, wins_a + losses_a)
    assert forth + back == pytest.approx(1.0, abs=1e-9)


def test_a_sample_ratio_that_is_not_as_assigned_is_an_alarm_and_a_usual_one_is_none() -> None:
    usual, strange = srm([5030, 4970], [1, 1]), srm([5300, 4700], [1, 1])
    assert usual is not None
    assert strange is not None
    assert usual > 0.5
    assert strange < 1e-8
    assert srm([900, 100], [0.9, 0.1]) == 1.0


def test_somebody_in_an_arm_of_weight_zero_is_an_alarm() -> None:
    assert srm([10, 1], [1, 0]) == 0.0
    assert srm([10, 0], [1, 0]) is None
    assert srm([0, 0], [1, 1]) is None


def test_a_better_treatment_has_a_positive_lift_over_a_losing_baseline() -> None:
    found = relative_lift(Sample(100, -2.0, 1.0), Sample(100, -1.0, 1.0))
    assert found is not None
    assert found[0] == 0.5
    # sd: sqrt(0.01 / 4 + 0.01 * 1 / 16)
    assert found[2] - found[0] == pytest.approx(1.959964 * math.sqrt(0.003125), rel=1e-6)
    assert relative_lift(Sample(100, 0.0, 1.0), Sample(100, 1.0, 1.0)) is None


@given(st.floats(-5, 5).filter(lambda mean: abs(mean) > 0.01), st.floats(-5, 5))
def test_the_direction_of_a_lift_is_that_of_the_difference(baseline: float, treatment: float) -> None:
    found = relative_lift(Sample(50, baseline, 1.0), Sample(50, treatment, 1.0))
    assert found is not None
    assert math.copysign(1, found[0]) == math.copysign(1, treatment - baseline) or found[0] == 0


def test_holm_rejects_step_by_step_and_stops_at_the_first_that_it_cannot() -> None:
    assert holm([0.01, 0.04, 0.03, 0.005]) == [True, False, False, True]
    assert holm([0.04, 0.01]) == [True, True]
    assert holm([]) == []


def test_values_beyond_registered_bounds_are_the_bounds() -> None:
    assert winsorised(np.array([-9.0, 0.5, 9.0]), -1, 1).tolist() == [-1, 0.5, 1]
    with pytest.raises(ValueError, match="expected low below high, got 1 and 1"):
        winsorised(np.array([0.0]), 1, 1)


def test_too_little_is_no_number() -> None:
    assert Sample.of([1.0]) is None
    assert welch(Sample(5, 1.0, 0.0), Sample(5, 1.0, 0.0)) is None
    assert two_proportions(0, 0, 1, 2) is None
    assert two_proportions(0, 5, 0, 5) is None
    assert cuped_theta(np.ones(9), np.ones(9)) is None


def test_cuped_takes_out_what_the_time_before_explains_and_leaves_the_mean() -> None:
    random = np.random.default_rng(5)
    before = random.normal(size=4000)
    values = 0.8 * before + 0.6 * random.normal(size=4000) + 1
    found = cuped_theta(values, before)
    assert found is not None
    theta, mean, correlation = found
    adjusted = cuped(values, before, theta, mean)
    assert adjusted.mean() == pytest.approx(values.mean())
    assert adjusted.var() / values.var() == pytest.approx(1 - correlation**2)
    assert correlation == pytest.approx(0.8, abs=0.02)


@given(st.lists(st.tuples(st.floats(-3, 3), st.integers(1, 9)), min_size=2, max_size=20))
def test_values_per_unit_have_the_mean_of_the_user_days(units: list[tuple[float, int]]) -> None:
    sums, days = np.array([each[0] for each in units]), np.array([float(each[1]) for each in units])
    spread = per_unit(sums, days)
    assert spread is not None
    assert spread.mean() == pytest.approx(sums.sum() / days.sum(), abs=1e-9)


# By simulation. The seeds are fixed: the rates are exact numbers, the bounds are two standard errors.

RUNS = 2000
TWO_ERRORS = 2 * math.sqrt(0.05 * 0.95 / RUNS)


def test_the_interval_of_welch_holds_the_truth_as_often_as_it_says() -> None:
    random = np.random.default_rng(1)
    first = random.normal(0.0, 1.0, (RUNS, 40))
    second = random.normal(0.3, 2.0, (RUNS, 25))
    held = 0
    for a, b in zip(first, second, strict=True):
        one, other = Sample.of(a), Sample.of(b)
        assert one is not None
        assert other is not None
        found = welch(one, other)
        assert found is not None
        held += found.low <= 0.3 <= found.high
    assert abs(held / RUNS - 0.95) <= TWO_ERRORS


def test_the_interval_after_cuped_holds_the_truth_as_often_and_is_shorter() -> None:
    random = np.random.default_rng(2)
    held, plain_length, length = 0, 0.0, 0.0
    for _ in range(RUNS):
        before = random.normal(size=200)
        treated = np.arange(200) < 100
        values = 0.9 * before + random.normal(0, 0.5, 200) + 0.2 * treated
        found = cuped_theta(values, before)
        assert found is not None
        adjusted = cuped(values, before, found[0], found[1])
        plain, better = _difference(values, treated), _difference(adjusted, treated)
        held += better[0] <= 0.2 <= better[1]
        plain_length += plain[1] - plain[0]
        length += better[1] - better[0]
    assert abs(held / RUNS - 0.95) <= TWO_ERRORS
    assert length < 0.6 * plain_length  # sqrt(1 - 0.81 / 1.06) = 0.49


def test_user_days_of_one_user_are_not_taken_for_independent() -> None:
    """Users differ, their days hardly: per user-day the interval would be far too short; clustered it holds."""
    random = np.random.default_rng(3)
    held = naive_held = 0
    for _ in range(RUNS):
        days = random.integers(1, 20, 80).astype(np.float64)
        level = random.normal(0, 1, 80)
        sums = level * days + random.normal(0, 0.1, 80) * np.sqrt(days)
        spread = np.empty(80)
        for arm in (slice(0, 40), slice(40, 80)):
            spread_of_arm = per_unit(sums[arm], days[arm])
            assert spread_of_arm is not None
            spread[arm] = spread_of_arm
        low, high = _difference(spread, np.arange(80) < 40)
        held += low <= 0 <= high
        every = np.repeat(sums / days, days.astype(int))
        treated = np.repeat(np.arange(80) < 40, days.astype(int))
        low, high = _difference(every, treated)
        naive_held += low <= 0 <= high
    assert held / RUNS > 0.93  # the delta method is a little optimistic with 40 users
    assert naive_held / RUNS < 0.6


def _difference(values: np.ndarray, treated: np.ndarray) -> tuple[float, float]:
    one, other = Sample.of(values[~treated]), Sample.of(values[treated])
    assert one is not None
    assert other is not None
    found = welch(one, other)
    assert found is not None
    return found.low, found.high
