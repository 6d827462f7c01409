"""What a user's actor holds of one symbol: the thresholds, how far they have learned, what is written. A core.

A lesson that moves nothing is written as it is; whatever leaves a record is written as a whole state, with its records
in the same row. So after a kill there is either all of a change or nothing of it, and what is read back and learned
again gives the state bit for bit.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final, NamedTuple

import msgspec

from actors.thresholds.evaluation import Lesson, evaluate, lessons
from actors.thresholds.learner_state import LearnerState, decode
from actors.thresholds.messages import Loaded, Served, StoredLesson
from actors.thresholds.parameters import Registry
from actors.thresholds.records import changes, moved
from actors.thresholds.settings import LearningSettings
from actors.thresholds.threshold_set import ThresholdSet
from protocols.thresholds import AdaptationRecord, GatedSignal, OutcomeResolved, ThresholdsView, ThresholdView

_NO_SIGNAL: Final = GatedSignal()
_lesson = msgspec.msgpack.Decoder(StoredLesson).decode


class Told(NamedTuple):
    """What an outcome has done. `lesson` None: nothing was to be learned from it."""

    new: bool
    records: tuple[AdaptationRecord, ...] = ()
    lesson: StoredLesson | None = None


class Holding:
    """The thresholds of a user on a symbol, with what was stored of them (`loaded`).

    `unwritten`: records that reading it back has made, because the configuration is another one now.
    """

    def __init__(
        self, user: str, symbol: str, registry: Registry, learning: LearningSettings, loaded: Loaded, now: int
    ) -> None:
        self.user, self.symbol, self.registry, self.learning = user, symbol, registry, learning
        self.thresholds = ThresholdSet(user, symbol, registry, learning)
        self.outcome_seq = loaded.outcome_seq
        stored = [_lesson(each) for each in loaded.lessons]
        records: list[AdaptationRecord] = []
        if loaded.state:
            # As of then: the lessons that follow are learned at the times at which they were.
            records += self.thresholds.restore(loaded.state, stored[0].now if stored else now)
        for each in stored:
            records += self._learn(each)
        self.since_state = len(stored)
        """Lessons since the state was written."""
        self.unwritten = tuple(record for record in records if changes(record))

    def _learn(self, lesson: StoredLesson) -> list[AdaptationRecord]:
        taught = [Lesson(parameter, score) for parameter, score in lesson.lessons]
        return self.thresholds.resolve(taught, lesson.outcome, lesson.ts, lesson.now, acted=lesson.acted)

    # What is served.

    def served(self) -> Served:
        """What evaluation needs."""
        verdict, _ = self.thresholds.evaluate(_NO_SIGNAL)
        values = tuple(rule.threshold for rule in verdict.rules)
        return Served(self.user, self.symbol, values, verdict.versions)

    # What becomes of it.

    def resolved(self, outcome: OutcomeResolved, now: int) -> Told:
        """Learn from an outcome, once: one that was learned from before changes nothing."""
        if outcome.seq <= self.outcome_seq:
            return Told(False)
        self.outcome_seq = outcome.seq
        parameters, verdict = self.registry.parameters, outcome.verdict
        if verdict is None or [rule.parameter for rule in verdict.rules] != [each.name for each in parameters]:
            # Nobody judged it, or by other rules than there are now.
            verdict = evaluate(parameters, self.served().values, outcome.signal)
        taught = tuple((each.parameter, each.score) for each in lessons(parameters, verdict))
        if not taught:
            return Told(True)
        lesson = StoredLesson(taught, outcome.outcome, outcome.ts, now, outcome.acted)
        self.since_state += 1
        return Told(True, tuple(self._learn(lesson)), lesson)

    def cooling_until(self) -> int:
        """When the last cooldown ends; 0: none was begun."""
        return max((state.cooldown_until for state in self.states().values()), default=0)

    def states(self) -> dict[str, LearnerState]:
        """A copy of what the learners know, by parameter; those that know nothing are not there."""
        return decode(self.thresholds.encode())

    @property
    def due(self) -> bool:
        """Whether a cycle may move anything without the help of others."""
        return any(
            state.meta.open or state.value != self.registry[name].default for name, state in self.states().items()
        )

    # What is written, and shown.

    def thresholds_json(self) -> msgspec.Raw:
        """One object per parameter that has learned anything, for `adaptive_thresholds`."""
        rows = []
        for name, state in self.states().items():
            won = state.meta.candidate
            rows.append(
                {
                    "parameter": name,
                    "value": state.value,
                    "initial": state.initial,
                    "default": self.registry[name].default,
                    "candidate": state.candidate,
                    "version": state.version,
                    "adaptation_count": state.version,
                    "last_adaptation": state.last_move,
                    "decisions": state.n_total,
                    "score_sd": state.score_sd,
                    "gate_open": state.meta.open,
                    "advantage": won.mean,
                    "advantage_variance": won.variance,
                }
            )
        return msgspec.Raw(msgspec.json.encode(rows))

    def view(self) -> ThresholdsView:
        """All thresholds, as people read them."""
        states = self.states()
        shown = []
        for each in self.registry:
            # A learner knows more than its state does (whether its data are stale); where there is none, all is new.
            state = states.get(each.name)
            value = each.default
            if state is None:
                state = LearnerState(value, value, value)
                frozen: tuple[str, ...] = ()
            else:
                frozen = self.thresholds.learner(each.name).frozen_by
            shown.append(
                ThresholdView(
                    name=each.name,
                    value=state.value,
                    default=each.default,
                    initial=state.initial,
                    candidate=state.candidate,
                    lower=each.lower,
                    upper=each.upper,
                    version=state.version,
                    adaptation_count=state.version,
                    last_adaptation=state.last_move,
                    frozen_by=frozen,
                    until=state.cooldown_until if state.cooldown_until > state.clock else 0,
                    received=state.received,
                    decisions=state.n_total,
                    gate_open=state.meta.open,
                    t_candidate=state.meta.candidate.t,
                )
            )
        return ThresholdsView(
            user_id=self.user,
            symbol=self.symbol,
            thresholds=tuple(shown),
            last_adaptation=self.thresholds.last_move,
        )


def moves(records: Sequence[AdaptationRecord]) -> list[AdaptationRecord]:
    """Those after which another value is served."""
    return [record for record in records if moved(record)]
