"""A learner: one threshold of one user and symbol, what it serves, what it has learned, how the one follows the other.

    observe()   a resolved decision: the candidate moves as the evidence says (candidate.py)
    adapt()     a cycle: what is served goes towards the candidate as far as the safeguards let it (served_value.py)

All state is in `LearnerState`; the same events give the same state and the same records. Times are event times, ns;
`now` never goes back here, whatever comes.
"""

from __future__ import annotations

import math

from actors.thresholds.candidate import Candidate
from actors.thresholds.learner_state import LearnerState
from actors.thresholds.outcomes import usable
from actors.thresholds.parameters import Parameter
from actors.thresholds.pooling import Pool
from actors.thresholds.served_value import ServedValue
from actors.thresholds.settings import LearningSettings
from actors.thresholds.threshold import Threshold
from protocols.thresholds import AdaptationRecord, ReasonCode


class Learner:
    """The threshold `parameter` of `user` on `symbol`. With a state it goes on from there."""

    __slots__ = ("_candidate", "_served", "_threshold", "settings", "state")

    def __init__(
        self,
        user: str,
        symbol: str,
        parameter: Parameter,
        settings: LearningSettings = LearningSettings(),  # noqa: B008 - frozen
        state: LearnerState | None = None,
    ) -> None:
        default = parameter.default
        self.settings = settings
        self.state = state if state is not None else LearnerState(default, default, default)
        self._threshold = Threshold(user, symbol, parameter, settings, self.state)
        self._served = ServedValue(self._threshold)
        self._candidate = Candidate(self._threshold, self._served)

    # What is served.

    @property
    def value(self) -> float:
        """The threshold that is served between probes."""
        return self.state.value

    def served(self) -> float:
        """The threshold by which the next signal is judged: in a switchback a little above or below the value."""
        return self._served.current()

    def adapt(self, now: int, *, force: bool = False, pool: Pool | None = None) -> AdaptationRecord:
        """A cycle: move what is served, if evidence and safeguards let it; the record says which, and why not."""
        self.state.come_to(now)
        record = self._served.cycle(force=force, pool=pool)
        if record.applied != record.old:
            self._candidate.place()
        return record

    def poor(self, now: int) -> int:
        """The performance is poor (known to be: unknown is not poor): the cooldown begins. Returns when it ends."""
        self.state.come_to(now)
        self._served.cool()
        return self.state.cooldown_until

    def freeze(self, reason: str) -> None:
        """Nothing is to move until `thaw` of the same reason: a kill switch, an open breaker, a broken experiment."""
        if reason not in self.state.frozen_by:
            self.state.frozen_by = (*self.state.frozen_by, reason)

    def thaw(self, reason: str) -> None:
        """That reason is gone."""
        self.state.frozen_by = tuple(each for each in self.state.frozen_by if each != reason)

    @property
    def frozen_by(self) -> tuple[str, ...]:
        """Why nothing moves now, if anything freezes it."""
        return self.state.frozen(self.settings.safeguards)

    # What is learned.

    def observe(
        self, score: float, outcome: float | None, ts: int, now: int, *, acted: bool = True
    ) -> tuple[AdaptationRecord, ...]:
        """Take in one resolved decision, a lesson of `evaluation.lessons`: its score on the gate axis, its return after
        costs (None: unknown, it is left out), when it was resolved. `acted`: whether it was traded; counts in a
        switchback, where the others' outcome is not known. Returns what it made happen.
        """
        state = self.state
        state.come_to(now)
        state.received += 1
        blind = self.settings.mode == "switchback" and not acted
        if not math.isfinite(score) or not (blind or usable(outcome)):
            state.left_out += 1
            return ()
        state.n_total += 1
        # A time from the future must not make stale data look fresh.
        state.last_outcome = max(state.last_outcome, min(ts, state.clock))
        if not state.window_from or ts < state.window_from:
            state.window_from = ts
        state.window_to = max(state.window_to, ts)
        return self._candidate.learn(score, 0.0 if blind or outcome is None else outcome, blind=blind)

    # Both at once.

    def opened(self, now: int) -> AdaptationRecord | None:
        """To be called after a start: a value outside of bounds that the configuration has changed comes within."""
        state, parameter = self.state, self._threshold.parameter
        state.come_to(now)
        inside = min(max(state.value, parameter.lower), parameter.upper)
        if inside == state.value and parameter.lower <= state.candidate <= parameter.upper:
            return None
        return self._begin_anew(inside, state.value, "BOUND", ("bound",))

    def reset(self, now: int) -> AdaptationRecord:
        """By hand: back to the default at once, all evidence forgotten. Cooldown, travel and freezes stay."""
        state, default = self.state, self._threshold.parameter.default
        state.come_to(now)
        state.last_move = state.clock
        state.going_home = ""
        return self._begin_anew(default, default, "RESET", ())

    def _begin_anew(
        self, value: float, proposed: float, code: ReasonCode, clipped: tuple[str, ...]
    ) -> AdaptationRecord:
        state, old = self.state, self.state.value
        state.value = state.candidate = value
        state.version += 1
        state.forget()
        self._candidate.place()
        return self._threshold.record("reset", old, proposed, value, code, clipped)
