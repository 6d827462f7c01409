from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats

from actors.monitor.drift.histogram import HOUR_NS, Histogram, Hourly, histogram, quantile_edges
from actors.monitor.drift.psi import (
    Compared,
    benjamini_hochberg,
    chi2_above,
    judge,
    p_value,
    psi,
    psi_of_counts,
    quantile,
)


def test_the_vector() -> None:
    q = (0.05, 0.05, *[0.1] * 6, 0.15, 0.15)
    assert psi([0.1] * 10, q) == pytest.approx(0.10986123, abs=5e-9)
    counts = [round(1000 * share) for share in q]
    assert psi_of_counts([100] * 10, counts) == (pytest.approx(0.10986123, abs=5e-9), 9)


def test_an_empty_bin_is_finite_and_one_that_neither_has_is_left_out() -> None:
    assert math.isfinite(psi([0.5, 0.5, 0.0], [1.0, 0.0, 0.0]))
    value, degrees = psi_of_counts([50, 50, 0], [100, 0, 0])
    assert degrees == 1
    assert value == pytest.approx((1 - 0.5) * math.log(2) + (0.005 - 0.5) * math.log(0.01))
    with pytest.raises(ValueError, match="expected observations in both, got 0 and 5"):
        psi_of_counts([0, 0], [2, 3])
    with pytest.raises(ValueError, match="expected as many"):
        psi([0.5, 0.5], [1.0])


@given(st.floats(0, 200), st.integers(1, 40))
def test_the_tail_of_chi_squared_is_scipys(x: float, degrees: int) -> None:
    assert chi2_above(x, degrees) == pytest.approx(stats.chi2.sf(x, degrees), rel=1e-9, abs=1e-300)


@pytest.mark.parametrize(("n", "limit"), [(100, 0.433), (500, 0.0867), (1000, 0.0433), (5000, 0.00867)])
def test_limits_at_one_percent_are_those_of_the_sample_sizes(n: int, limit: float) -> None:
    assert quantile(0.01, 9, n, n) == pytest.approx(limit, rel=2e-3)


@pytest.mark.parametrize("n", [100, 500, 1000, pytest.param(5000, marks=pytest.mark.long)])
def test_without_drift_false_alarms_are_at_most_as_stated_and_the_folk_limit_gives_most_at_a_hundred(n: int) -> None:
    rng = np.random.default_rng(7)
    runs, level, found, folk = 500, 0.05, 0, 0
    for _ in range(runs):
        reference, current = rng.standard_normal(n), rng.standard_normal(n)
        edges = np.array(quantile_edges(reference.tolist()))
        counts = [
            np.bincount(np.searchsorted(edges, sample, "left"), minlength=10).tolist()
            for sample in (reference, current)
        ]
        found += p_value(*counts) < level
        folk += psi_of_counts(*counts)[0] > 0.1
    # Three standard errors above the stated level.
    assert found / runs <= level + 3 * math.sqrt(level * (1 - level) / runs)
    assert (folk / runs > 0.5) is (n == 100)


def test_a_drift_of_half_a_standard_deviation_is_found() -> None:
    rng = np.random.default_rng(7)
    reference = rng.standard_normal(1000).tolist()
    edges = quantile_edges(reference)
    before = histogram(reference, edges)
    features = [
        Compared(str(k), before.counts, histogram((rng.standard_normal(1000) + shift).tolist(), edges).counts)
        for k, shift in enumerate([0.0] * 20 + [0.5] * 2)
    ]
    judged = judge(features)
    assert [each.name for each in judged if each.drifted] == ["20", "21"]
    assert all(each.psi > each.limit for each in judged if each.drifted)


def test_a_sure_difference_that_is_not_material_is_no_drift() -> None:
    counts = [10_000] * 10
    moved = [10_500, 9_500, *[10_000] * 8]
    [judged] = judge([Compared("x", tuple(counts), tuple(moved))])
    assert judged.p_value < 0.01
    assert not judged.drifted
    assert judged.limit == 0.1
    [strict] = judge([Compared("x", tuple(counts), tuple(moved))], floor=0.0)
    assert strict.drifted


def test_benjamini_hochberg_is_scipys() -> None:
    rng = np.random.default_rng(3)
    for _ in range(50):
        values = (rng.random(12) ** 3).tolist()
        adjusted = stats.false_discovery_control(values)
        assert benjamini_hochberg(values, 0.05) == [bool(value <= 0.05) for value in adjusted]
    assert benjamini_hochberg([], 0.05) == []


def test_edges_divide_the_reference_into_equal_parts_and_repeated_values_make_fewer() -> None:
    edges = quantile_edges([float(value) for value in range(1, 101)])
    assert edges == (10, 20, 30, 40, 50, 60, 70, 80, 90)
    assert histogram(range(1, 101), edges).counts == (*[10] * 10, 0)
    assert quantile_edges([1.0] * 50) == (1.0,)
    assert quantile_edges([0.0] * 80 + [1.0] * 20) == (0.0,)
    with pytest.raises(ValueError, match="at least one number"):
        quantile_edges([math.nan])


def test_missing_and_infinite_values_have_their_places() -> None:
    found = histogram([math.nan, -math.inf, math.inf, 0.5], (0.0, 1.0))
    assert found.counts == (1, 1, 1, 1)


@given(st.lists(st.tuples(st.floats(-3, 3), st.integers(0, 5)), max_size=60), st.integers(0, 60))
def test_hours_counted_apart_and_merged_are_those_counted_together(seen: list[tuple[float, int]], cut: int) -> None:
    edges = (-1.0, 0.0, 1.0)
    whole, one, other = Hourly(edges, 24), Hourly(edges, 24), Hourly(edges, 24)
    for index, (value, hour) in enumerate(seen):
        whole.add(value, hour * HOUR_NS)
        (one if index < cut else other).add(value, hour * HOUR_NS)
    for hour, counts in other.hours.items():
        one.merge(hour, Histogram(edges, tuple(counts)))
    assert one.last(24, 5 * HOUR_NS) == whole.last(24, 5 * HOUR_NS)
    assert one.last(24, 5 * HOUR_NS).size == len(seen)


def test_hours_are_forgotten_and_the_late_are_not_counted() -> None:
    hours = Hourly((0.0,), keep=2)
    for hour in (0, 1, 2):
        hours.add(1.0, hour * HOUR_NS)
    assert sorted(hours.hours) == [1, 2]
    hours.add(1.0, 0)
    assert hours.last(24, 2 * HOUR_NS).size == 2
    assert hours.last(1, 2 * HOUR_NS).size == 1


def test_histograms_of_other_bins_are_not_added_up() -> None:
    with pytest.raises(ValueError, match="same edges"):
        Histogram((0.0,), (1, 1, 0)).merged(Histogram((1.0,), (1, 1, 0)))
    with pytest.raises(ValueError, match="counts: expected 3"):
        Histogram((0.0,), (1, 1))
    with pytest.raises(ValueError, match="edges"):
        Histogram((1.0, 0.0), (1, 1, 1, 1))
