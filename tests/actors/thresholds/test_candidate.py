"""What outcomes make of a candidate, and what they may not."""

from __future__ import annotations

import msgspec
import numpy as np
import pytest

from actors.thresholds import candidate as module
from actors.thresholds.gate import slope
from actors.thresholds.records import moved
from actors.thresholds.safeguards import HOUR_NS, SafeguardSettings, share
from actors.thresholds.settings import LearningSettings
from protocols.thresholds import AdaptationRecord
from tests.actors.thresholds.streams import SCORE, START, accounted, bytes_of, learner, limits, taught


def test_a_slope_of_the_wrong_sign_runs_away_with_the_candidate_and_is_stopped_by_the_meta_gate(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """The original raised its RSI cap where it should have lowered it. Ours would not serve that."""
    monkeypatch.setattr(module, "slope", lambda *about: -slope(*about))
    subject = learner()
    records = taught(subject, 5, 4_000, best=0.5)
    assert subject.state.candidate == -1.5
    assert subject.value == 0.0
    assert not any(moved(each) for each in records)
    assert (subject.state.meta.candidate.t or 0) < -1


def test_adversarial_outliers_cannot_make_a_step_longer_than_the_longest() -> None:
    subject = learner()
    rng = np.random.default_rng(9)
    records: list[AdaptationRecord] = []
    for number in range(3_000):
        now = START + number * HOUR_NS
        score = float(rng.standard_normal())
        outcome = 999.0 * (1 if score > 0.5 else -1) if number > 200 and number % 7 == 0 else 0.01 * score
        records += subject.observe(score, outcome, now, now)
        records.append(subject.adapt(now, force=True))
    steps = [abs(each.step) for each in records if each.kind == "block"]
    assert max(steps) == 0.05
    far = [abs(each.applied - each.old) for each in records if each.kind == "block"]
    assert max(far) <= 0.05 * subject.state.score_sd * (1 + 1e-12)
    assert all(share(each.old, each.applied, limits(SCORE)) <= 0.1 for each in records if moved(each))


def test_an_outlier_weighs_no_more_than_three_standard_deviations() -> None:
    one, other = learner(), learner()
    for subject in (one, other):
        taught(subject, 7, 1_000, best=0.8, scale=1.0)
    assert one.state.clip_high < 8.0
    now = START + 501 * HOUR_NS
    one.observe(0.1, one.state.clip_high, now, now)
    other.observe(0.1, 900.0, now, now)
    assert bytes_of(one) == bytes_of(other)


@pytest.mark.parametrize("seed", [7, 17, 27])
def test_after_a_jump_of_the_truth_the_candidate_is_half_way_in_twenty_blocks_and_there_in_sixty(seed: int) -> None:
    subject = learner()
    taught(subject, seed, 4_000, best=0.0)
    assert abs(subject.state.candidate) < 0.2
    taught(subject, seed + 1, 2_000, best=0.8, start=START + 2_000 * HOUR_NS)
    assert subject.state.candidate > 0.4
    taught(subject, seed + 2, 4_000, best=0.8, start=START + 3_000 * HOUR_NS)
    assert abs(subject.state.candidate - 0.8) < 0.2


def test_outcomes_that_never_differ_teach_nothing_and_crash_nothing() -> None:
    subject = learner()
    for number in range(1_000):
        assert subject.observe(number % 7, -0.001, START + number, START + number) == ()
    assert subject.state.n_total == accounted(subject.state) == 1_000


@pytest.mark.parametrize("best", [0.8, -0.8])
def test_a_switchback_learns_from_traded_signals_alone(best: float) -> None:
    free = SafeguardSettings(max_change=1.0, min_change=0.0, daily_travel=100.0, cycle_h=0.0, stale_h=1e9)
    how = LearningSettings(mode="switchback", safeguards=free, drift=None)
    how = msgspec.structs.replace(how, switchback=msgspec.structs.replace(how.switchback, most=0.3))
    subject = learner(how=how)
    rng = np.random.default_rng(12)
    for number in range(30_000):
        now = START + number * HOUR_NS
        score = float(rng.standard_normal())
        acted = score >= subject.served()
        outcome = 0.01 * (score - best + 0.5 * float(rng.standard_normal())) if acted else None
        subject.observe(score, outcome, now, now, acted=acted)
        if number % 200 == 0:
            subject.adapt(now)
    assert abs(subject.value - best) < abs(best) / 2
