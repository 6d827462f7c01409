"""The candidate of a threshold: the value that the outcomes speak for. Here steps add up, however small. A core.

    warm-up   the first decisions tell how far scores and outcomes spread: the unit of all that follows
    block     of resolved decisions: the meta-gate judges the candidate against the default (meta_gate.py), then the
              candidate moves as the slope says (gate.py; in a switchback of pairs, spsa.py)
    watch     over the outcomes of what was traded (Page-Hinkley): when they become worse, all evidence is dropped

When the meta-gate closes for harm, or the outcomes become worse, the served value is sent home (served_value.py).
"""

from __future__ import annotations

import math

from actors.thresholds.gate import Evidence, Moments, bandwidth_of, slope, step_of
from actors.thresholds.meta_gate import advantage
from actors.thresholds.records import stepped
from actors.thresholds.safeguards import limited
from actors.thresholds.served_value import ServedValue
from actors.thresholds.spsa import Slope
from actors.thresholds.threshold import Threshold
from protocols.thresholds import AdaptationRecord, ReasonCode


class Candidate:
    """What is learned of a threshold."""

    __slots__ = (
        "_bandwidth",
        "_farthest",
        "_gate",
        "_served",
        "_served_gate",
        "_settings",
        "_state",
        "_threshold",
    )

    def __init__(self, threshold: Threshold, served: ServedValue) -> None:
        self._threshold, self._served = threshold, served
        self._state, self._settings = threshold.state, threshold.settings
        parameter = threshold.parameter
        low, high = sorted((parameter.gate(parameter.lower), parameter.gate(parameter.upper)))
        # A score a whole range outside of the bounds is judged alike by every threshold within them: nearer or farther
        # makes no difference, but a few of 10^300 would make all others look alike.
        self._farthest = (low - (high - low), high + (high - low))
        self.place()

    def place(self) -> None:
        """Work out what every decision of the block needs: candidate or value have moved, or a block has ended."""
        state, parameter = self._state, self._threshold.parameter
        self._gate = parameter.gate(state.candidate)
        self._served_gate = parameter.gate(state.value)
        # By complete blocks: in the middle of one, after a restart or a cycle, it is as the block began.
        self._bandwidth = bandwidth_of(state.learned, self._settings.gate) * state.score_sd

    def learn(self, score: float, outcome: float, *, blind: bool) -> tuple[AdaptationRecord, ...]:
        """Take in one resolved decision (`blind`: its outcome cannot be known, and is 0); what it made happen."""
        score = min(max(score, self._farthest[0]), self._farthest[1])
        if self._state.score_sd:
            return self._learn(score, outcome, blind)
        if blind:
            self._state.set_aside += 1
            return ()
        return self._warm(score, outcome)

    def _warm(self, score: float, outcome: float) -> tuple[AdaptationRecord, ...]:
        """Collect until the spread of scores and outcomes is known, then learn from all that was collected."""
        state, gate = self._state, self._settings.gate
        state.warming.append((score, outcome))
        if len(state.warming) < gate.warmup:
            return ()
        scores, outcomes = Moments(), Moments()
        for each, came in state.warming:
            scores.add(each)
            outcomes.add(came)
        if not (scores.sd > 0 and outcomes.sd > 0):
            # Nothing varies yet, so there is nothing to measure with: go on with the newer half.
            state.set_aside += gate.warmup // 2
            state.warming = state.warming[gate.warmup // 2 :]
            return ()
        state.score_sd, state.outcome_sd = scores.sd, outcomes.sd
        state.clip_low = outcomes.mean - gate.winsor * outcomes.sd
        state.clip_high = outcomes.mean + gate.winsor * outcomes.sd
        collected, state.warming = state.warming, []
        self.place()
        if self._settings.mode == "switchback":
            # Nothing was probed while these came; they have told the spreads.
            state.set_aside += len(collected)
            return ()
        return tuple(record for each, came in collected for record in self._learn(each, came, False))

    def _learn(self, score: float, outcome: float, blind: bool) -> tuple[AdaptationRecord, ...]:
        state, switchback = self._state, self._settings.mode == "switchback"
        if not blind:
            outcome = min(max(outcome, state.clip_low), state.clip_high)
        done = self._in_pair(outcome) if switchback else self._in_block(score, outcome)
        if not blind and (switchback or score >= self._served_gate):
            done += self._watch(outcome)
        return done

    # Blocks.

    def _in_block(self, score: float, outcome: float) -> tuple[AdaptationRecord, ...]:
        state, default = self._state, self._threshold.default_gate
        slopes = state.slopes
        slopes.add(slope(score, outcome, self._gate, self._bandwidth))
        state.won.add(advantage(score, outcome, self._gate, default))
        state.won_served.add(advantage(score, outcome, self._served_gate, default))
        if slopes.n < self._settings.gate.block:
            return ()
        return self._end_block(Slope(slopes.mean, slopes.variance / slopes.n), slopes.n)

    def _in_pair(self, outcome: float) -> tuple[AdaptationRecord, ...]:
        state, block, pair = self._state, self._settings.gate.block, self._state.switchback
        if self._served.held:
            state.drop_pair()
            state.set_aside += 1
            return ()
        side = pair.side(self._threshold.key, block)
        above, below = (self._threshold.parameter.gate(self._served.probed(each)) for each in (1, -1))
        pair.probe = abs(above - below) / 2
        if not pair.probe:
            state.set_aside += 1
            return ()
        found = pair.add(outcome, side, block)
        return () if found is None else self._end_block(found, 2 * block)

    def _end_block(self, found: Slope, n: int) -> tuple[AdaptationRecord, ...]:
        """First the meta-gate, by what was fixed before the block; then the step."""
        threshold, state, settings = self._threshold, self._state, self._settings
        closed = self._judge(found)
        state.blocks += 1
        state.learned += n
        state.evidence.add(found.mean, found.variance, settings.gate.memory)
        step = step_of(state.evidence.t, settings.gate)
        old = state.candidate
        proposed, applied = stepped(old, step, state.score_sd, threshold.parameter)
        clipped: tuple[str, ...] = () if proposed == applied else ("bound",)
        if settings.mode == "switchback":
            # The slope is that of what is served: the candidate may not run away from where it was measured.
            near = limited(state.value, applied, threshold.limits, math.inf)
            if "max_change" in near.clipped_by:
                applied, clipped = near.applied, (*clipped, "lead")
        code: ReasonCode = "APPLIED" if applied != old else "BOUND" if clipped else "NO_EVIDENCE"
        state.candidate = applied
        records = [threshold.record("block", old, proposed, applied, code, clipped, step=step, n_block=n)]
        state.end_block()
        if closed and self._served.away and not state.going_home:
            records.append(self._served.go_home("REVERT_HARM"))
        elif state.meta.open:
            state.going_home = ""
        self.place()
        return tuple(records)

    def _judge(self, found: Slope) -> bool:
        """The meta-gate over the block that ends; whether it has closed for harm."""
        state, meta_gate, default = self._state, self._settings.meta_gate, self._threshold.default_gate
        away = self._served.away
        if self._settings.mode == "counterfactual":
            tried = state.won if self._gate != default else None
            return state.meta.judge(tried, state.won_served if away else None, meta_gate)
        # What the way from the default has won, to first order; none of it was seen on its own.
        way = (self._served_gate if away else self._gate) - default
        if not way:
            return state.meta.judge(None, None, meta_gate)
        moments = Moments(2, found.mean * way, 2 * found.variance * way * way)
        return state.meta.judge(moments, moments if away else None, meta_gate)

    # The watch.

    def _watch(self, outcome: float) -> tuple[AdaptationRecord, ...]:
        """Look for a change in the outcomes of what was traded."""
        threshold, state, drift = self._threshold, self._state, self._threshold.drift
        if drift is None:
            return ()
        went = drift.update(outcome / state.outcome_sd)
        state.drift_up, state.drift_down = drift.states
        if went is None:
            return ()
        if went == "up":
            # Better than before: the slope has to be measured anew, what is served does no harm.
            state.evidence = Evidence()
            return ()
        n, old = state.slopes.n, state.candidate
        state.forget()
        state.candidate = threshold.parameter.default
        block = threshold.record("block", old, state.candidate, state.candidate, "REVERT_DRIFT", (), n_block=n)
        home = self._served.go_home("REVERT_DRIFT")
        self.place()
        return block, home
