"""Learners, and made-up streams of feedback: decisions with a known best threshold, and hostile ones."""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import NamedTuple

import msgspec
import numpy as np

from actors.thresholds.gate import GateSettings
from actors.thresholds.learner import Learner
from actors.thresholds.learner_state import LearnerState, decode, encode
from actors.thresholds.meta_gate import MetaGateSettings
from actors.thresholds.parameters import DEFAULTS, Parameter
from actors.thresholds.safeguards import HOUR_NS, Limits
from actors.thresholds.settings import LearningSettings
from protocols.thresholds import AdaptationRecord

START = 1_700_000_000 * 10**9
BY_NAME = {each.name: each for each in DEFAULTS}
SCORE = Parameter(name="score", field="confidence", default=0.0, lower=-1.5, upper=2.0)

RESTLESS = LearningSettings(
    gate=GateSettings(block=4, warmup=10, evidence=0.1, rate=0.5, max_step=1.0, deadband=0.0, shrink_after=50),
    meta_gate=MetaGateSettings(open_above=0.3, close_below=-0.3, served_blocks=1, memory=0.5, shrink=0.01),
)
"""Learns much too fast, with all safeguards: so that a few hundred decisions try them all."""
SWITCHBACK = msgspec.structs.replace(RESTLESS, mode="switchback")


def learner(parameter: Parameter = SCORE, how: LearningSettings | None = None) -> Learner:
    return Learner("u1", "BTC", parameter, how or LearningSettings(drift=None))


def limits(parameter: Parameter) -> Limits:
    return Limits(parameter.lower, parameter.upper, parameter.scale, 0.1, 0.005)


def accounted(state: LearnerState) -> int:
    """The decisions that the state says where they are."""
    pair = state.switchback
    in_block = state.slopes.n + pair.above.n + pair.below.n
    return state.learned + len(state.warming) + in_block + state.set_aside


def bytes_of(subject: Learner) -> bytes:
    return encode({"it": subject.state})


def read_again(state: LearnerState) -> LearnerState:
    """The state as another life reads it."""
    return decode(encode({"it": state}))["it"]


ODD = (None, math.nan, math.inf, -math.inf, 1e300, -1e300, 900.0, -900.0, 0.0)


class Event(NamedTuple):
    """One thing that happens to a learner. `wait_h` may be negative: a clock that goes back."""

    kind: str
    wait_h: float
    score: float = 0.0
    outcome: float | None = None
    acted: bool = True


def hostile(parameter: Parameter, seed: int, count: int) -> Iterator[Event]:
    """Heavy tails, sign flips, outliers, unknown and impossible outcomes, gaps, clocks that go back, cycles of several
    askers one upon the other, freezes, poor performance, resets."""
    rng = np.random.default_rng(seed)
    low, high = sorted((parameter.gate(parameter.lower), parameter.gate(parameter.upper)))
    width = high - low
    best = low + width * rng.random()
    tail = float(rng.choice([1.1, 2.0, 4.0, 30.0]))
    sign = 1.0
    for _ in range(count):
        wait = float(
            rng.choice([0.0, 0.5, 3.0, 13.0, 30.0, 400.0, -5.0, -300.0], p=[0.3, 0.3, 0.2, 0.1, 0.04, 0.01, 0.04, 0.01])
        )
        kind = str(
            rng.choice(
                ["observe", "adapt", "force", "poor", "freeze", "thaw", "reset"],
                p=[0.85, 0.06, 0.06, 0.01, 0.005, 0.01, 0.005],
            )
        )
        if rng.random() < 0.01:
            sign = -sign
        if rng.random() < 0.01:
            best = low + width * rng.random()
        score = low + width * float(rng.normal(0.5, 0.4))
        outcome: float | None = sign * (score - best) / width * 0.05 + 0.01 * float(rng.standard_t(tail))
        if rng.random() < 0.03:
            outcome = ODD[rng.integers(len(ODD))]
        if rng.random() < 0.01:
            score = float(rng.choice([np.nan, np.inf, -1e308, 1e308, 0.0]))
        yield Event(kind, wait, score, outcome, bool(rng.random() < 0.6))


def apply(subject: Learner, event: Event, now: int) -> list[AdaptationRecord]:
    """Let it happen; the records that it leaves."""
    match event.kind:
        case "observe":
            return list(subject.observe(event.score, event.outcome, now, now, acted=event.acted))
        case "adapt":
            return [subject.adapt(now)]
        case "force":
            return [subject.adapt(now, force=True)]
        case "poor":
            subject.poor(now)
        case "freeze":
            subject.freeze("kill_switch")
        case "thaw":
            subject.thaw("kill_switch")
        case "reset":
            return [subject.reset(now)]
    return []


def taught(
    subject: Learner,
    seed: int,
    count: int,
    *,
    best: float = 0.8,
    noise: float = 1.0,
    sign: float = 1.0,
    every_h: float = 0.5,
    cycle_every: int = 100,
    start: int = START,
    scale: float = 0.01,
    spread: float = 1.0,
    centre: float = 0.0,
) -> list[AdaptationRecord]:
    """Decisions with normal scores around `centre` on the gate axis, whose best threshold is `best`, and cycles."""
    rng = np.random.default_rng(seed)
    records: list[AdaptationRecord] = []
    for number in range(count):
        now = start + int(number * every_h * HOUR_NS)
        score = centre + spread * float(rng.standard_normal())
        outcome = scale * (sign * (score - best) / spread + noise * float(rng.standard_t(4)) / 2**0.5)
        records += subject.observe(score, outcome, now, now)
        if number % cycle_every == cycle_every - 1:
            records.append(subject.adapt(now))
    return records


def ready(how: LearningSettings | None = None) -> tuple[Learner, int]:
    """A learner that wants to go far, just after its first move, and its time."""
    subject = learner(how=how)
    taught(subject, 7, 2_000, best=0.8, cycle_every=10**9)
    now = START + 1_000 * HOUR_NS
    first = subject.adapt(now)
    assert first.reason_code == "APPLIED"
    assert first.clipped_by == ("max_change",)
    return subject, now
