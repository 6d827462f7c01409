"""When a served value may move, and when not: cycles, cooldowns, freezes, what others have shown."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from actors.thresholds.learner_state import STALE
from actors.thresholds.pooling import Pool
from actors.thresholds.records import text_of
from actors.thresholds.safeguards import HOUR_NS, share
from tests.actors.thresholds.streams import BY_NAME, SCORE, START, SWITCHBACK, apply, hostile, learner, limits, ready


def test_a_day_lies_between_two_cycles_unless_forced() -> None:
    subject, now = ready()
    early = subject.adapt(now + 23 * HOUR_NS)
    assert (early.reason_code, early.until) == ("TOO_SOON", now + 24 * HOUR_NS)
    forced = subject.adapt(now + 23 * HOUR_NS, force=True)
    assert forced.reason_code == "APPLIED"
    assert forced.forced
    assert subject.adapt(now + 46 * HOUR_NS).reason_code == "TOO_SOON"
    assert subject.adapt(now + 47 * HOUR_NS).reason_code == "APPLIED"


def test_force_does_not_go_beyond_the_travel_of_a_day() -> None:
    subject, now = ready()
    records = [subject.adapt(now + minute * 60 * 10**9, force=True) for minute in range(10)]
    assert [each.reason_code for each in records] == ["APPLIED"] + ["TRAVEL"] * 9
    assert subject.adapt(now + 24 * HOUR_NS, force=True).reason_code == "APPLIED"


def test_poor_performance_starts_a_cooldown_that_force_does_not_end_and_that_is_not_made_longer() -> None:
    subject, now = ready()
    until = subject.poor(now)
    assert until == now + 48 * HOUR_NS
    assert subject.poor(now + 40 * HOUR_NS) == until
    assert subject.adapt(now + 47 * HOUR_NS, force=True).reason_code == "COOLDOWN"
    assert subject.adapt(until).reason_code == "APPLIED"


def test_time_that_goes_back_opens_nothing() -> None:
    subject, now = ready()
    assert subject.adapt(now - 1_000 * HOUR_NS).reason_code == "TOO_SOON"
    subject.poor(now)
    assert subject.adapt(now - 1_000 * HOUR_NS, force=True).reason_code == "COOLDOWN"
    subject.observe(0.1, 0.01, now - 9_000 * HOUR_NS, now - 9_000 * HOUR_NS)
    assert subject.state.clock == now


def test_without_outcomes_for_a_week_it_is_frozen_and_a_time_from_the_future_does_not_hide_that() -> None:
    subject, now = ready()
    subject.observe(0.1, 0.01, now + 10_000 * HOUR_NS, now)
    late = subject.adapt(now + 169 * HOUR_NS, force=True)
    assert late.reason_code == "FROZEN"
    assert late.frozen_by == (STALE,)
    assert "stale_outcomes" in text_of(late)
    then = now + 170 * HOUR_NS
    subject.observe(0.1, 0.01, then, then)
    assert subject.adapt(then).reason_code == "APPLIED"


def test_what_froze_it_has_to_go_before_it_moves_and_other_reasons_stay() -> None:
    subject, now = ready()
    subject.freeze("kill_switch")
    subject.freeze("srm")
    subject.thaw("srm")
    assert subject.adapt(now + 30 * HOUR_NS, force=True).frozen_by == ("kill_switch",)
    subject.thaw("kill_switch")
    assert subject.adapt(now + 30 * HOUR_NS).reason_code == "APPLIED"


def test_a_user_without_decisions_leans_on_the_symbol_as_far_as_it_is_trusted() -> None:
    subject = learner()
    record = subject.adapt(START, pool=Pool(theta=0.8, n=4_000, trust=0.9, k_symbol=1_000.0))
    assert record.reason_code == "APPLIED"
    assert record.proposed == pytest.approx(0.8 * 0.9 * 0.8)
    assert record.pooled_weight == pytest.approx(0.72)
    assert "from other users" in text_of(record)
    other = learner()
    assert other.adapt(START, pool=Pool(theta=0.8, n=4_000, trust=0.0)).reason_code == "NO_EVIDENCE"


def test_whoever_is_harmed_by_what_others_showed_goes_back_and_does_not_lean_on_them_again() -> None:
    subject = learner()
    pool = Pool(theta=1.5, n=10**6, trust=1.0)
    rng = np.random.default_rng(4)
    codes = []
    for number in range(6_000):
        now = START + number * HOUR_NS
        score = float(rng.standard_normal())
        codes += [
            each.reason_code
            for each in subject.observe(score, 0.01 * (score - 0.0 + 0.3 * float(rng.standard_normal())), now, now)
            if each.kind == "cycle"
        ]
        if number % 24 == 0:
            codes.append(subject.adapt(now, pool=pool).reason_code)
    assert codes.count("REVERT_HARM") >= 1
    assert codes.index("APPLIED") < codes.index("REVERT_HARM")
    assert share(0.0, subject.value, limits(SCORE)) < 0.5


@settings(max_examples=25, deadline=None)
@given(st.integers(0, 2**32))
def test_a_probe_of_a_switchback_never_takes_what_is_served_further_than_a_cycle_may(seed: int) -> None:
    parameter = BY_NAME["momentum"]
    subject, now = learner(parameter, SWITCHBACK), START
    before = subject.served()
    for event in hostile(parameter, seed, 250):
        if event.kind == "reset":
            continue
        now += int(event.wait_h * HOUR_NS)
        apply(subject, event, now)
        served = subject.served()
        assert share(before, served, limits(parameter)) <= 0.1
        assert share(subject.value, served, limits(parameter)) <= 0.02 + 1e-12
        before = served
