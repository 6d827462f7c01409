from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from actors.thresholds.gate import (
    Evidence,
    GateSettings,
    Moments,
    bandwidth_of,
    slope,
    smoothed_gain,
    step_of,
)
from actors.thresholds.meta_gate import MetaGate, MetaGateSettings, advantage


@settings(max_examples=200, deadline=None)
@given(st.floats(-3, 3), st.floats(-3, 3), st.floats(0.05, 2), st.floats(-5, 5).filter(lambda y: abs(y) > 1e-3))
def test_the_slope_is_the_central_difference_of_the_smoothed_gain(
    score: float, theta: float, bandwidth: float, outcome: float
) -> None:
    found = slope(score, outcome, theta, bandwidth)
    if abs(found) < 1e-6:
        return  # the difference of two numbers near 1 has no digits left there
    width = 1e-4 * bandwidth
    above, below = (smoothed_gain(score, outcome, theta + each, bandwidth) for each in (width, -width))
    assert (above - below) / (2 * width) == pytest.approx(found, rel=1e-3)


def test_the_slope_of_a_sample_is_the_central_difference_of_its_smoothed_gain() -> None:
    rng = np.random.default_rng(5)
    scores = rng.standard_normal(4_000)
    outcomes = scores - 0.8 + rng.standard_t(4, 4_000)
    for theta in (-1.0, 0.0, 0.5, 1.5):
        pairs = list(zip(scores.tolist(), outcomes.tolist(), strict=True))
        found = math.fsum(slope(s, y, theta, 0.2) for s, y in pairs)
        above = math.fsum(smoothed_gain(s, y, theta + 1e-5, 0.2) for s, y in pairs)
        below = math.fsum(smoothed_gain(s, y, theta - 1e-5, 0.2) for s, y in pairs)
        assert (above - below) / 2e-5 == pytest.approx(found, rel=1e-3)


@pytest.mark.parametrize("far", [1e3, 1e300, -1e300])
def test_a_score_far_from_the_gate_has_no_slope_and_overflows_nothing(far: float) -> None:
    assert slope(far, 1.0, 0.0, 0.01) == 0.0
    assert smoothed_gain(far, 1.0, 0.0, 0.01) == (1.0 if far > 0 else 0.0)


@given(st.lists(st.floats(-1e3, 1e3), min_size=2, max_size=60))
def test_moments_are_those_of_numpy(values: list[float]) -> None:
    moments = Moments()
    for value in values:
        moments.add(value)
    assert moments.mean == pytest.approx(float(np.mean(values)), rel=1e-9, abs=1e-9)
    assert moments.variance == pytest.approx(float(np.var(values, ddof=1)), rel=1e-6, abs=1e-6)


def test_one_block_gives_the_t_statistic_of_its_mean() -> None:
    values = np.random.default_rng(2).normal(0.3, 1.0, 100)
    evidence = Evidence()
    evidence.add(float(values.mean()), float(values.var(ddof=1)) / 100, 0.9)
    assert evidence.t == pytest.approx(float(values.mean() / (values.std(ddof=1) / 10)))


def test_evidence_of_noise_has_a_t_statistic_of_unit_spread() -> None:
    rng = np.random.default_rng(8)
    ts = []
    for _ in range(2_000):
        evidence = Evidence()
        for mean in rng.normal(0, 0.1, 30).tolist():
            evidence.add(mean, 0.01, 0.9)
        assert evidence.t is not None
        ts.append(evidence.t)
    assert np.std(ts) == pytest.approx(1.0, abs=0.06)


def test_where_nothing_varies_there_is_no_evidence_and_no_step() -> None:
    evidence = Evidence()
    evidence.add(0.0, 0.0, 0.9)
    assert evidence.t is None
    assert step_of(None, GateSettings()) == 0.0


def test_a_step_needs_evidence_and_is_never_longer_than_the_longest() -> None:
    gate = GateSettings()
    assert step_of(2.0, gate) == 0.0
    assert step_of(2.1, gate) == pytest.approx(0.042)
    assert step_of(-2.1, gate) == pytest.approx(-0.042)
    assert step_of(1e9, gate) == 0.05
    assert step_of(-1e9, gate) == -0.05
    assert step_of(2.1, GateSettings(rate=0.002)) == 0.0  # the deadband


def test_the_bandwidth_shrinks_as_the_fifth_root_down_to_its_floor() -> None:
    gate = GateSettings()
    assert bandwidth_of(20_000, gate) == 0.2
    assert bandwidth_of(20_000 * 32, gate) == pytest.approx(0.1)
    assert bandwidth_of(20_000 * 16, gate) == pytest.approx(0.2 * 16**-0.2)
    assert bandwidth_of(10**12, gate) == 0.1


def block(mean: float, n: int = 100) -> Moments:
    return Moments(n, mean, (n - 1) * 1.0)


def test_the_meta_gate_opens_on_evidence_and_closes_on_the_opposite() -> None:
    gate, rules = MetaGate(), MetaGateSettings()
    assert not gate.judge(block(0.16), None, rules)
    assert not gate.open  # t = 1.6
    gate.judge(block(0.16), None, rules)
    assert gate.open
    assert 0.9 < gate.trust(rules) < 1
    closed = False
    while not closed:
        before = gate.candidate.t
        closed = gate.judge(block(-0.2), None, rules)
    assert not gate.open
    assert gate.candidate.t is not None
    assert gate.candidate.t < -1 < (before or 0)
    assert gate.trust(rules) == 0


def test_what_was_served_closes_the_gate_before_the_evidence_that_let_it_in_has_faded() -> None:
    gate, rules = MetaGate(), MetaGateSettings()
    for _ in range(60):
        gate.judge(block(0.2), None, rules)
    told = [gate.judge(block(-0.06), block(-0.06), rules) for _ in range(5)]
    assert told == [False] * 4 + [True]
    assert not gate.open
    assert (gate.candidate.t or 0) > 1.64


def test_coming_back_to_the_default_forgets_what_was_served() -> None:
    gate, rules = MetaGate(), MetaGateSettings()
    gate.judge(block(0.5), block(-0.06), rules)
    gate.judge(block(0.5), None, rules)
    assert gate.served.t is None


def test_an_advantage_counts_only_where_the_two_decide_differently() -> None:
    assert advantage(1.0, 5.0, 0.5, 0.0) == 0
    assert advantage(0.2, 5.0, 0.5, 0.0) == -5.0
    assert advantage(0.2, 5.0, 0.0, 0.5) == 5.0
    assert advantage(0.5, 5.0, 0.5, 0.0) == 0  # on the threshold both act


@pytest.mark.parametrize(
    "wrong",
    [{"block": 1}, {"warmup": 5}, {"bandwidth_floor": 0.3}, {"memory": 1.0}, {"rate": 0.0}, {"evidence": -1.0}],
)
def test_settings_of_the_gate_that_cannot_be_are_refused(wrong: dict[str, float]) -> None:
    with pytest.raises(ValueError, match=next(iter(wrong))):
        GateSettings(**wrong)  # type: ignore[arg-type]
