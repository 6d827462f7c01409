"""What no feedback may make a threshold do, and what good feedback makes it do."""

from __future__ import annotations

import math

import msgspec
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from actors.thresholds.learner import Learner
from actors.thresholds.parameters import DEFAULTS, Parameter
from actors.thresholds.records import changes, moved, replay, text_of
from actors.thresholds.safeguards import DAY_NS, HOUR_NS, share
from actors.thresholds.settings import LearningSettings
from protocols.thresholds import AdaptationRecord
from tests.actors.thresholds.streams import (
    BY_NAME,
    RESTLESS,
    SCORE,
    START,
    SWITCHBACK,
    accounted,
    apply,
    bytes_of,
    hostile,
    learner,
    limits,
    read_again,
    ready,
    taught,
)


@settings(max_examples=30, deadline=None)
@given(st.sampled_from(DEFAULTS), st.integers(0, 2**32), st.sampled_from([RESTLESS, SWITCHBACK]))
def test_no_feedback_leaves_the_bounds_moves_too_far_moves_in_a_cooldown_or_loses_an_event(
    parameter: Parameter, seed: int, how: LearningSettings
) -> None:
    subject, records, moves, asked = learner(parameter, how), [], [], 0
    now, latest = START, 0
    for event in hostile(parameter, seed, 300):
        now += int(event.wait_h * HOUR_NS)
        if event.kind not in ("freeze", "thaw"):  # these are told no time
            latest = max(latest, now)
        before, cooling = subject.value, subject.state.cooldown_until
        frozen, last = subject.state.frozen_by, subject.state.last_move
        made = apply(subject, event, now)
        records += made
        asked += event.kind == "observe"
        value = subject.value
        assert parameter.lower <= value <= parameter.upper
        assert parameter.lower <= subject.served() <= parameter.upper
        assert parameter.lower <= subject.state.candidate <= parameter.upper
        if event.kind == "reset":  # by hand, and no feedback
            assert value == parameter.default
        elif value != before:
            far = share(before, value, limits(parameter))
            assert 0.005 <= far <= 0.1
            assert latest >= cooling
            assert not frozen
            assert subject.frozen_by == ()
            if event.kind == "adapt":
                assert last is None or latest - last >= DAY_NS
            moves.append((latest, far))
            assert math.fsum(each for ts, each in moves if ts > latest - DAY_NS) <= 0.2 + 1e-12
            assert sum(moved(each) for each in made) == 1
        state = subject.state
        assert state.clock == latest
        assert state.received == asked == state.left_out + state.n_total
        assert state.n_total == accounted(state)
    assert [each.id for each in records] == [f"u1/BTC/{parameter.name}#{n + 1}" for n in range(len(records))]
    stored = msgspec.json.decode(msgspec.json.encode(records), type=list[AdaptationRecord])
    assert replay(stored, parameter.default, parameter.default) == (subject.value, subject.state.candidate)
    assert replay(filter(changes, stored), parameter.default, parameter.default).value == subject.value
    assert replay([each for each in stored if each.kind != "block"], parameter.default).value == subject.value
    assert [text_of(each) for each in stored] == [text_of(each) for each in records]


def test_hostile_feedback_does_make_it_move_go_back_cool_freeze_and_wait() -> None:
    seen = set()
    for parameter in DEFAULTS:
        for seed in range(6):
            subject, now = learner(parameter, RESTLESS), START
            for event in hostile(parameter, seed, 500):
                now += int(event.wait_h * HOUR_NS)
                seen |= {(each.kind, each.reason_code) for each in apply(subject, event, now)}
    cycles = {code for kind, code in seen if kind == "cycle"}
    assert cycles >= {"APPLIED", "REVERT_HARM", "COOLDOWN", "TOO_SOON", "FROZEN", "NO_EVIDENCE", "DEADBAND", "TRAVEL"}
    assert {code for kind, code in seen if kind == "block"} >= {"APPLIED", "NO_EVIDENCE", "BOUND"}


@settings(max_examples=15, deadline=None)
@given(st.sampled_from(DEFAULTS), st.integers(0, 2**32), st.integers(1, 200), st.sampled_from([RESTLESS, SWITCHBACK]))
def test_a_learner_that_was_stored_and_read_again_goes_on_as_if_nothing_had_been(
    parameter: Parameter, seed: int, at: int, how: LearningSettings
) -> None:
    one, other, now = learner(parameter, how), learner(parameter, how), START
    for number, event in enumerate(hostile(parameter, seed, 220)):
        now += int(event.wait_h * HOUR_NS)
        if number == at:
            other = Learner("u1", "BTC", parameter, how, read_again(other.state))
        assert apply(one, event, now) == apply(other, event, now)
        assert one.served() == other.served()
    assert bytes_of(one) == bytes_of(other)


# Small steps.


def test_small_steps_add_up_until_they_are_worth_a_move_instead_of_vanishing() -> None:
    """The original's: 0.1 % a cycle below a floor of 0.5 % never moved anything."""
    rsi = BY_NAME["rsi"]
    how = LearningSettings(drift=None)
    small = msgspec.structs.replace(
        how, gate=msgspec.structs.replace(how.gate, rate=0.002, max_step=0.007, deadband=0.0)
    )
    subject = learner(rsi, small)
    # Scores around an RSI of 55 +- 10; buys above 62 lose.
    records = taught(subject, 3, 12_000, best=-62.0, centre=-55.0, spread=10.0, noise=0.5, every_h=0.5)
    blocks = [each for each in records if each.kind == "block" and each.reason_code == "APPLIED"]
    cycles = [each for each in records if each.kind == "cycle"]
    assert max(share(each.old, each.applied, limits(rsi)) for each in blocks) < 0.005
    assert "DEADBAND" in {each.reason_code for each in cycles}
    assert sum(moved(each) for each in cycles) >= 5
    assert all(share(each.old, each.applied, limits(rsi)) >= 0.005 for each in cycles if moved(each))
    assert subject.value < 67


@pytest.mark.parametrize(
    ("name", "centre", "spread", "best"),
    [
        ("rsi", -60.0, 8.0, -62.0),
        ("confidence", 0.65, 0.12, 0.75),
        ("macd", 0.0, 0.03, 0.02),
        ("momentum", 2.5, 0.8, 3.2),
        ("volume", math.log(1e9), 0.8, math.log(2.5e9)),
    ],
)
def test_every_one_of_the_five_moves_towards_where_the_outcomes_are_best(
    name: str, centre: float, spread: float, best: float
) -> None:
    parameter = BY_NAME[name]
    subject = learner(parameter)
    records = taught(subject, 4, 8_000, best=best, centre=centre, spread=spread, every_h=0.5)
    goal = parameter.value(best)
    assert share(subject.value, goal, limits(parameter)) < share(parameter.default, goal, limits(parameter)) / 2
    steps = [each for each in records if each.kind == "cycle" and moved(each)]
    assert len(steps) >= 1
    assert all(share(each.old, each.applied, limits(parameter)) <= 0.1 for each in steps)
    assert replay(records, parameter.default, parameter.default).value == subject.value


# Doing no harm.


def test_feedback_that_flips_its_sign_is_found_and_nothing_moves_in_the_cooldown_that_follows() -> None:
    subject = learner(how=LearningSettings())
    records = taught(subject, 5, 5_000, best=0.8)
    assert subject.value > 0.5
    records += taught(subject, 6, 3_000, sign=-1.0, best=0.8, start=START + 2_500 * HOUR_NS)
    place = next(n for n, each in enumerate(records) if each.kind == "cycle" and each.reason_code.startswith("REVERT"))
    first = records[place]
    assert 5_000 < first.n_total < 5_500
    assert first.applied < first.old
    assert not first.gate_open
    cooldown = [each for each in records[place + 1 :] if each.ts < first.ts + 48 * HOUR_NS]
    assert not any(moved(each) for each in cooldown)
    assert subject.value < 0.6


def test_what_is_served_and_does_harm_is_found_by_the_meta_gate_and_goes_back() -> None:
    """Served above the default, while the candidate, and so the drift of what is traded, has not changed."""
    subject = learner()
    taught(subject, 7, 3_000, best=0.8, cycle_every=24)
    records: list[AdaptationRecord] = []
    rng = np.random.default_rng(3)
    for number in range(4_000):
        now = START + 1_500 * HOUR_NS + number * HOUR_NS // 2
        score = float(rng.standard_normal())
        # Only what lies between the default and what is served pays now.
        good = 0.0 <= score < subject.value
        records += subject.observe(score, (0.01 if good else -0.001) * (1 + rng.random()), now, now)
        if any(each.reason_code == "REVERT_HARM" for each in records):
            break
    cycle = records[-1]
    assert cycle.reason_code == "REVERT_HARM"
    assert cycle.applied < cycle.old
    assert "which does better" in text_of(cycle)
    assert subject.state.cooldown_until == cycle.ts + 48 * HOUR_NS


def test_where_there_is_nothing_to_learn_the_threshold_stays_near_its_default() -> None:
    settled = msgspec.structs.replace(SCORE, default=0.8)
    ends = []
    for seed in range(6):
        subject = learner(settled)
        taught(subject, 100 + seed, 3_000, best=0.8, noise=10.0, every_h=1.0)
        ends.append(abs(subject.value - 0.8))
    assert np.median(ends) < 0.1


def test_outcomes_that_become_worse_drop_the_evidence_go_back_and_start_the_cooldown() -> None:
    subject = learner(how=LearningSettings())
    taught(subject, 10, 6_000, best=0.8)
    served = subject.value
    assert served > 0.2
    rng = np.random.default_rng(1)
    start = START + 3_000 * HOUR_NS
    records: list[AdaptationRecord] = []
    number = 0
    while not any(each.reason_code == "REVERT_DRIFT" for each in records):
        now = start + number * HOUR_NS
        score = float(rng.standard_normal())
        records += subject.observe(score, -0.02 + 0.005 * float(rng.standard_normal()), now, now)
        number += 1
        assert number < 2_000
    block, cycle = records[-2:]
    assert (block.kind, cycle.kind) == ("block", "cycle")
    assert block.applied == 0.0
    assert served > cycle.applied > 0
    assert subject.state.cooldown_until == cycle.ts + 48 * HOUR_NS
    for hours in (1, 24, 47.9):
        assert subject.adapt(cycle.ts + int(hours * HOUR_NS), force=True).reason_code == "COOLDOWN"
    after = subject.adapt(cycle.ts + 48 * HOUR_NS)
    assert after.reason_code == "REVERT_DRIFT"
    assert after.applied < cycle.applied
    assert "become worse" in text_of(after)


# By hand, and from outside.


def test_a_reset_brings_back_the_default_and_forgets_the_evidence_but_no_safeguard() -> None:
    subject, now = ready()
    subject.poor(now)
    record = subject.reset(now + 1)
    assert (record.kind, record.reason_code, record.applied) == ("reset", "RESET", 0.0)
    assert subject.value == subject.state.candidate == 0.0
    assert subject.state.initial == 0.0
    assert subject.state.meta.candidate.t is None
    assert subject.adapt(now + 2, force=True).reason_code == "COOLDOWN"
    assert subject.state.travelled


def test_unknown_and_impossible_outcomes_are_left_out_and_counted_never_taken_for_zero() -> None:
    subject = learner()
    for outcome in (None, math.nan, math.inf, -math.inf, 1e9):
        assert subject.observe(0.3, outcome, START, START) == ()
    assert subject.observe(math.nan, 0.1, START, START) == ()
    assert (subject.state.received, subject.state.left_out, subject.state.n_total) == (6, 6, 0)
    assert subject.adapt(START).reason_code == "NO_EVIDENCE"


def test_new_bounds_bring_a_stored_value_within_them_and_leave_a_record() -> None:
    subject, now = ready()
    narrow = msgspec.structs.replace(SCORE, upper=0.02)
    again = Learner("u1", "BTC", narrow, subject.settings, read_again(subject.state))
    record = again.opened(now)
    assert record is not None
    assert (record.kind, record.reason_code, record.applied) == ("reset", "BOUND", 0.02)
    assert again.value == again.state.candidate == 0.02
    assert again.opened(now) is None
    assert replay([record], subject.value, subject.state.candidate) == (0.02, 0.02)
