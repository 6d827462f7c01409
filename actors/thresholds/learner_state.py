"""All that a learner knows: from its state alone another life goes on."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final, Literal

import msgspec

from actors.monitor.drift.page_hinkley import PageHinkleyState
from actors.thresholds.gate import Evidence, Moments
from actors.thresholds.meta_gate import MetaGate
from actors.thresholds.safeguards import HOUR_NS, SafeguardSettings, Travelled
from actors.thresholds.spsa import Switchback

STALE: Final = "stale_outcomes"
"""The reason under which it freezes itself."""


class LearnerState(msgspec.Struct):
    """Everything that survives. `value`, `candidate` in the parameter's unit; scores on the gate axis.

    No decision is lost: `received` = `left_out` (unknown or impossible outcomes) + `n_total`, and `n_total` = `learned`
    (in blocks that are complete) + those in `warming` + those in the block that is open + `set_aside` (what was thrown
    away when the evidence was: another value or another market; and what told nothing).
    """

    value: float
    candidate: float
    initial: float
    version: int = 0
    serial: int = 0
    received: int = 0
    left_out: int = 0
    n_total: int = 0
    learned: int = 0
    set_aside: int = 0
    blocks: int = 0
    warming: list[tuple[float, float]] = []
    score_sd: float = 0.0
    outcome_sd: float = 0.0
    clip_low: float = 0.0
    clip_high: float = 0.0
    slopes: Moments = msgspec.field(default_factory=Moments)
    won: Moments = msgspec.field(default_factory=Moments)
    won_served: Moments = msgspec.field(default_factory=Moments)
    evidence: Evidence = msgspec.field(default_factory=Evidence)
    meta: MetaGate = msgspec.field(default_factory=MetaGate)
    switchback: Switchback = msgspec.field(default_factory=Switchback)
    drift_up: PageHinkleyState = PageHinkleyState()
    drift_down: PageHinkleyState = PageHinkleyState()
    going_home: Literal["", "REVERT_HARM", "REVERT_DRIFT"] = ""
    """Why it goes back to the default; until its own meta-gate opens again, others' evidence does not count."""
    clock: int = 0
    last_outcome: int = 0
    last_move: int | None = None
    cooldown_until: int = 0
    travelled: list[Travelled] = []
    frozen_by: tuple[str, ...] = ()
    window_from: int = 0
    window_to: int = 0

    def come_to(self, now: int) -> None:
        """It is `now`; an earlier time than was seen is taken for the latest one."""
        self.clock = max(self.clock, now)

    def frozen(self, safeguards: SafeguardSettings) -> tuple[str, ...]:
        """Why nothing moves now, if anything freezes it."""
        stale = self.last_outcome and self.clock - self.last_outcome > safeguards.stale_h * HOUR_NS
        return (*self.frozen_by, STALE) if stale else self.frozen_by

    def forget(self) -> None:
        """Drop the evidence: all that was said about another value or another market."""
        self.set_aside += self.slopes.n
        self.end_block()
        self.evidence, self.meta = Evidence(), MetaGate()
        self.drop_pair()

    def end_block(self) -> None:
        """What the open block has shown was used, or does not count."""
        self.slopes, self.won, self.won_served = Moments(), Moments(), Moments()

    def drop_pair(self) -> None:
        """What it was centred on has moved, or nothing may be probed: half a pair tells nothing."""
        pair = self.switchback
        self.set_aside += pair.above.n + pair.below.n
        pair.begin_anew(pair.pair)


def encode(states: Mapping[str, LearnerState]) -> bytes:
    """States by parameter, for storage, exactly: msgpack holds every bit of a float."""
    return msgspec.msgpack.encode(states)


def decode(stored: bytes) -> dict[str, LearnerState]:
    """The states from storage. Raises msgspec.ValidationError for what is none."""
    return msgspec.msgpack.decode(stored, type=dict[str, LearnerState])
