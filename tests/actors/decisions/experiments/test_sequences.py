"""Sequences are for looking all the time. Each claim is checked by simulation with a fixed seed."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from actors.decisions.experiments.sequences import (
    always_valid_p,
    half_width,
    half_width_one_sided,
    log_e_value,
    msprt,
    one_sided_p,
    rho,
)

RUNS = 2000
MOST = 5000
LOOKS = np.arange(50, MOST + 1, 50)
"""Units per arm at each look."""
TWO_ERRORS = 2 * math.sqrt(0.05 * 0.95 / RUNS)


def looks(effect: float, seed: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """(units of both arms, difference, standard error) at each look of each run."""
    random = np.random.default_rng(seed)
    differences, errors = np.empty((RUNS, len(LOOKS))), np.empty((RUNS, len(LOOKS)))
    for run in range(RUNS):
        control = random.standard_normal(MOST)
        treatment = random.standard_normal(MOST) + effect
        moments = []
        for arm in (control, treatment):
            total, squares = np.cumsum(arm)[LOOKS - 1], np.cumsum(arm * arm)[LOOKS - 1]
            mean = total / LOOKS
            moments.append((mean, (squares - LOOKS * mean**2) / (LOOKS - 1) / LOOKS))
        differences[run] = moments[1][0] - moments[0][0]
        errors[run] = np.sqrt(moments[0][1] + moments[1][1])
    return np.broadcast_to(2.0 * LOOKS, differences.shape), differences, errors


@pytest.fixture(scope="module")
def equal_arms() -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    return looks(0.0, 11)


def test_who_looks_every_50_units_at_equal_arms_is_fooled_by_z_and_not_by_the_sequence(
    equal_arms: tuple[np.ndarray, np.ndarray, np.ndarray],
) -> None:
    n, difference, error = equal_arms
    by_sequence = (np.abs(difference) > half_width(n, error)).any(axis=1).mean()
    by_z = (np.abs(difference) > 1.959964 * error).any(axis=1).mean()
    assert by_sequence <= 0.05 + TWO_ERRORS
    assert by_z > 0.20


def test_the_one_sided_sequence_is_as_careful(equal_arms: tuple[np.ndarray, np.ndarray, np.ndarray]) -> None:
    n, difference, error = equal_arms
    assert (difference > half_width_one_sided(n, error)).any(axis=1).mean() <= 0.05 + TWO_ERRORS


def test_msprt_is_as_careful(equal_arms: tuple[np.ndarray, np.ndarray, np.ndarray]) -> None:
    n, difference, _ = equal_arms
    assert (1 / msprt(n / 2, difference, 1.0, 0.01) < 0.05).any(axis=1).mean() <= 0.05 + TWO_ERRORS


def test_an_effect_that_is_there_is_found_and_its_interval_holds_it() -> None:
    n, difference, error = looks(0.15, 12)
    half = half_width(n, error)
    assert (np.abs(difference) > half).any(axis=1).mean() > 0.99
    assert (np.abs(difference - 0.15) <= half).all(axis=1).mean() >= 0.95 - TWO_ERRORS


@given(st.floats(10, 1e6), st.floats(1e-3, 10), st.floats(0.001, 0.2))
def test_the_interval_leaves_zero_out_exactly_where_p_is_below_alpha(n: float, error: float, alpha: float) -> None:
    half = half_width(n, error, alpha)
    assert always_valid_p(n, half, error, alpha) == pytest.approx(alpha, rel=1e-6)
    assert log_e_value(n, half, error, alpha) == pytest.approx(-math.log(alpha), rel=1e-6)


def test_the_interval_is_wider_than_a_fixed_horizons_and_tightest_near_the_number_it_is_tuned_for() -> None:
    assert half_width(5000.0, 1.0) > 1.96
    ratios = {n: half_width(float(n), 1.0, tuned_for=5000) for n in (50, 500, 5000, 50_000, 5_000_000)}
    assert min(ratios, key=lambda n: ratios[n]) == 5000
    # r by hand: -2 ln 0.05 = 5.991465, ln 6.991465 = 1.944690, / 5000
    assert rho(0.05, 5000) == pytest.approx(math.sqrt(7.936155 / 5000), rel=1e-6)
    with pytest.raises(ValueError, match="expected alpha within 0 to 1"):
        rho(1.0)


@given(st.floats(20, 1e5), st.floats(0.01, 2), st.floats(0.001, 0.2))
def test_the_one_sided_p_is_the_alpha_whose_bound_just_touches(n: float, error: float, alpha: float) -> None:
    difference = half_width_one_sided(n, error, alpha)
    assert one_sided_p(n, difference, error, alpha) == pytest.approx(alpha, rel=1e-6)
    assert one_sided_p(n, -difference, error) == 1.0


def test_msprt_by_hand() -> None:
    # V = 2 * 4 / 100 = 0.08, V + t2 = 0.09: sqrt(8/9) exp(0.01 * 0.25 / (2 * 0.08 * 0.09))
    assert msprt(100.0, 0.5, 4.0, 0.01) == pytest.approx(math.sqrt(8 / 9) * math.exp(0.0025 / 0.0144))
