"""All thresholds of one user on one symbol: what the actor holds. The five (or more) learn each for themselves.

A parameter has no learner until something happens to it: most users' thresholds are the defaults, and take no memory.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from actors.thresholds.evaluation import Lesson, evaluate, lessons
from actors.thresholds.learner import Learner
from actors.thresholds.learner_state import decode, encode
from actors.thresholds.parameters import Registry
from actors.thresholds.pooling import Pool
from actors.thresholds.settings import LearningSettings
from protocols.thresholds import AdaptationRecord, GatedSignal, Verdict

_NO_POOLS: Mapping[str, Pool] = {}


class ThresholdSet:
    """The thresholds of `user` on `symbol` (empty: of all that have none of their own)."""

    __slots__ = ("_frozen_by", "_learners", "_served", "_versions", "registry", "settings", "symbol", "user")

    def __init__(self, user: str, symbol: str, registry: Registry, settings: LearningSettings) -> None:
        self.user, self.symbol, self.registry, self.settings = user, symbol, registry, settings
        self._learners: dict[str, Learner] = {}
        self._frozen_by: tuple[str, ...] = ()
        self._place()

    @property
    def values(self) -> dict[str, float]:
        """The thresholds by parameter, between probes."""
        return {
            each.name: self._learners[each.name].value if each.name in self._learners else each.default
            for each in self.registry
        }

    @property
    def last_move(self) -> int | None:
        """When one of them moved last; None: never."""
        moves = [each.state.last_move for each in self._learners.values() if each.state.last_move is not None]
        return max(moves, default=None)

    @property
    def idle(self) -> bool:
        """Whether there is nothing to keep: all are the defaults and nothing has happened to any."""
        return not self._learners

    def learner(self, parameter: str) -> Learner:
        """The learner of a parameter, made on first use. Raises KeyError for an unknown one."""
        found = self._learners.get(parameter)
        if found is None:
            found = Learner(self.user, self.symbol, self.registry[parameter], self.settings)
            for reason in self._frozen_by:
                found.freeze(reason)
            self._learners[parameter] = found
        return found

    def evaluate(self, signal: GatedSignal, *, signal_id: str = "", ts: int = 0) -> tuple[Verdict, tuple[Lesson, ...]]:
        """The verdict, and what the signal can teach once its outcome is known: keep it beside the signal."""
        parameters = self.registry.parameters
        verdict = evaluate(
            parameters,
            self._served,
            signal,
            user_id=self.user,
            symbol=self.symbol,
            versions=self._versions,
            signal_id=signal_id,
            ts=ts,
        )
        return verdict, lessons(parameters, verdict)

    def resolve(
        self, taught: Iterable[Lesson], outcome: float | None, ts: int, now: int, *, acted: bool
    ) -> list[AdaptationRecord]:
        """The outcome of a signal is known (None: it never will be). Lessons of parameters that are gone are passed
        over. Returns what it made happen."""
        records: list[AdaptationRecord] = []
        for lesson in taught:
            if lesson.parameter in self.registry:
                learner = self.learner(lesson.parameter)
                records += learner.observe(lesson.score, outcome, ts, now, acted=acted)
        self._place()
        return records

    def adapt(self, now: int, *, force: bool = False, pools: Mapping[str, Pool] = _NO_POOLS) -> list[AdaptationRecord]:
        """A cycle of each. One that has learned nothing, and has no others to lean on, has nothing to say."""
        records = [
            self.learner(each.name).adapt(now, force=force, pool=pools.get(each.name))
            for each in self.registry
            if each.name in self._learners or each.name in pools
        ]
        self._place()
        return records

    def reset(self, now: int) -> list[AdaptationRecord]:
        """All back to their defaults, by hand."""
        records = [self._learners[each.name].reset(now) for each in self.registry if each.name in self._learners]
        self._place()
        return records

    def poor(self, now: int) -> int:
        """The performance is known to be poor: the cooldown of all begins. Returns when the last one ends."""
        return max(self.learner(each.name).poor(now) for each in self.registry)

    def freeze(self, reason: str) -> None:
        """Nothing is to move until `thaw`. After a start whoever froze it has to say so again."""
        if reason not in self._frozen_by:
            self._frozen_by = (*self._frozen_by, reason)
        for learner in self._learners.values():
            learner.freeze(reason)
        self._place()

    def thaw(self, reason: str) -> None:
        """That reason is gone."""
        self._frozen_by = tuple(each for each in self._frozen_by if each != reason)
        for learner in self._learners.values():
            learner.thaw(reason)
        self._place()

    def encode(self) -> bytes:
        """All states for storage, bit for bit."""
        return encode({name: learner.state for name, learner in self._learners.items()})

    def restore(self, stored: bytes, now: int) -> list[AdaptationRecord]:
        """Go on from what was stored. Parameters that are gone are left out; a value outside of bounds that have
        changed comes within them, which leaves a record. Raises msgspec.ValidationError for what is no state."""
        records = []
        for name, state in decode(stored).items():
            if name in self.registry:
                learner = Learner(self.user, self.symbol, self.registry[name], self.settings, state)
                self._learners[name] = learner
                if (record := learner.opened(now)) is not None:
                    records.append(record)
        self._place()
        return records

    def _place(self) -> None:
        """What every evaluation needs, worked out once after a change."""
        learners = self._learners
        self._served = tuple(
            learners[each.name].served() if each.name in learners else each.default for each in self.registry
        )
        self._versions = tuple(
            learners[each.name].state.version if each.name in learners else 0 for each in self.registry
        )
