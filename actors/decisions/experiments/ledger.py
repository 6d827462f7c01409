"""All tests at once: their plans and phases, the decisions that are known, and what came of them. A core.

Facts go in (a decision, an outcome, a row that a life before has written), and out come the rows that they make: who
was assigned, who was exposed. The same facts in any order and any number of times make the same state.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Iterable
from typing import Final, NamedTuple

import msgspec

from actors.decisions.experiments.assignment import Assigner, in_burn_in, unit_of
from actors.decisions.experiments.phase import DAY_NS, Phase, Seen
from actors.decisions.experiments.plans import counts, treatment_share
from protocols.control import Refused
from protocols.experiments import (
    AbTestRow,
    AbTestStatus,
    AssignmentRow,
    DecisionOutcomeRow,
    ExperimentPlan,
    ExposureRow,
    Feedback,
    ShadowPairRow,
)

REMEMBERED: Final = 200_000
"""Decisions and outcomes that are found without the database."""
OLD_PHASES: Final = 4
FEEDBACK: Final = "feedback"
TRADE: Final = "trade"


class Taken(NamedTuple):
    """What a decision makes: the unit and arm of a new assignment, of a new exposure; None: none."""

    assigned: tuple[str, str] | None = None
    exposed: tuple[str, str] | None = None


class Told(NamedTuple):
    """The outcome of a decision that is known."""

    source: str
    outcome: float
    success: bool


class Experiment:
    """One test: its plan, its phases, its past."""

    def __init__(self, plan: ExperimentPlan, since: int) -> None:
        self.plan = plan
        self.configured = plan
        """The configuration's plan at the time of this one."""
        self.assigner = self._drawing(plan)
        self.phase = Phase(plan, since)
        self.old: dict[int, Phase] = {}
        self.staged = False
        self.provisional = ""
        self.before: dict[str, dict[int, float]] = {}
        """Outcomes by user and day from before this phase."""

    def use(self, plan: ExperimentPlan, now: int, staged: bool) -> None:
        """Go on with another plan; another version is another phase."""
        if plan.version != self.plan.version:
            for unit, known in self.phase.units.items():
                days = self.before.setdefault(unit, {})
                for day, each in known.days.items():
                    if each.known:
                        days[day] = days.get(day, 0.0) + each.total
            self.old[self.plan.version] = self.phase
            for version in sorted(self.old)[:-OLD_PHASES]:
                del self.old[version]
            if not self.phase.until:
                self.phase.until = now
            self.phase = Phase(plan, now)
        self.plan, self.staged = plan, staged
        self.assigner = self._drawing(plan)
        self.phase.plan = plan
        if counts(plan):
            self.phase.until = 0
        elif not self.phase.until:
            self.phase.until = now

    @staticmethod
    def _drawing(plan: ExperimentPlan) -> Assigner:
        """By the plan alone, also while it is switched off."""
        return Assigner((msgspec.structs.replace(plan, enabled=True),))

    def assigned(self, unit: str, arm: str) -> None:
        """A unit is in this arm. Where the plan alone would not have it there, it is remembered for the server."""
        self.phase.assigned[unit] = arm
        if self.plan.block_s > 0:
            return
        given = self.assigner.assign(unit, "", 0)
        if given is not None and (given.arm != arm or not given.enrolled):
            self.phase.sticky[unit] = arm

    def unit_of(self, seen: Seen) -> str:
        """The unit of a decision."""
        return unit_of(self.plan, seen.user_id, seen.symbol, seen.ts)


class Ledger:
    """What the keeper of experiments knows."""

    def __init__(self) -> None:
        self.tests: dict[str, Experiment] = {}
        self.recent: OrderedDict[str, Seen] = OrderedDict()
        self.told: OrderedDict[str, Told] = OrderedDict()
        self.late = 0
        """Decisions of a phase that was over."""
        self.forgot = False
        """Whether there were more decisions than are remembered."""

    def test(self, name: str) -> Experiment:
        """A test by its name. Refused `not_found`."""
        found = self.tests.get(name)
        if found is None:
            known = ", ".join(sorted(self.tests)) or "none"
            raise Refused("not_found", f"there is no test {name!r}; there are: {known}", "name")
        return found

    # Plans.

    def plans(self) -> tuple[ExperimentPlan, ...]:
        """The plans in their order."""
        return tuple(test.plan for test in self.tests.values())

    def restore_plans(self, rows: Iterable[AbTestRow]) -> None:
        """Take up plans as they were stored, in their order."""
        for row in rows:
            plan = msgspec.json.decode(row.plan, type=ExperimentPlan)
            known = self.tests.get(row.test_name)
            if known is None or known.provisional:
                known = self.tests[row.test_name] = Experiment(plan, row.ts)
            known.use(plan, row.ts, row.staged)
            known.configured = msgspec.json.decode(row.configured, type=ExperimentPlan)

    # Decisions.

    def take(self, seen: Seen) -> Taken:
        """A decision was given; a repeat makes nothing."""
        if seen.decision_id in self.recent:
            return Taken()
        self.recent[seen.decision_id] = seen
        if len(self.recent) > REMEMBERED:
            self.recent.popitem(last=False)
            self.forgot = True
        test = self.tests.get(seen.experiment)
        if test is None:
            return Taken()
        if seen.version != test.plan.version:
            self.late += 1
            return Taken()
        test.phase.count(seen)
        if in_burn_in(test.plan, seen.ts):
            return Taken()
        unit = test.unit_of(seen)
        if not self._takes_part(test, unit, seen):
            return Taken()
        phase = test.phase
        assigned = None
        if unit not in phase.assigned:
            test.assigned(unit, seen.arm)
            assigned = (unit, seen.arm)
        exposed = None
        if counts(test.plan) and not phase.over_at(seen.ts) and phase.expose(unit, seen.arm, seen.ts):
            exposed = (unit, seen.arm)
        phase.follow(unit, seen)
        return Taken(assigned, exposed)

    def _takes_part(self, test: Experiment, unit: str, seen: Seen) -> bool:
        """Whoever is enrolled by the plan; and whoever really got another arm than the default, for that counts."""
        if seen.arm not in test.phase.arms:
            return False
        if unit in test.phase.units or seen.arm != test.plan.default:
            return True
        assigned = test.assigner.assign(seen.user_id, seen.symbol, seen.ts)
        return assigned is not None and assigned.enrolled and assigned.arm == seen.arm

    def restore_assignment(self, name: str, version: int, unit: str, arm: str) -> None:
        """An assignment that is stored."""
        test = self.tests.get(name)
        if test is not None and test.plan.version == version and unit not in test.phase.assigned:
            test.assigned(unit, arm)

    def restore_exposure(self, name: str, version: int, unit: str, arm: str, ts: int) -> None:
        """An exposure that is stored."""
        test = self.tests.get(name)
        if test is not None and test.plan.version == version:
            test.phase.expose(unit, arm, ts)

    def restore_requests(self, seen: Seen, times: int) -> None:
        """So many decisions of one user and day, alike in all that is counted."""
        test = self.tests.get(seen.experiment)
        if test is not None and test.plan.version == seen.version:
            test.phase.count(seen, times)
            if not in_burn_in(test.plan, seen.ts):
                test.phase.follow(test.unit_of(seen), seen, times)

    # Outcomes.

    def feedback(self, message: Feedback, seen: Seen, told: Told | None) -> bool:
        """Whether an outcome from outside is a repeat. Refused `not_found` for another user's decision, `conflict`."""
        if seen.user_id != message.user_id:
            # Whose it is, is nobody else's business.
            raise Refused("not_found", f"{message.user_id!r} has no decision {message.decision_id!r}", "predictionId")
        if told is None:
            return False
        if told.source == FEEDBACK and told.outcome == message.outcome and told.success == success_of(message):
            return True
        whose = "executed trades" if told.source == TRADE else "feedback"
        raise Refused(
            "conflict",
            f"the outcome of {message.decision_id} is known from {whose}: {told.outcome:g}, not {message.outcome:g}",
            "outcome",
        )

    def outcome_counts(self, decision_id: str, source: str) -> bool:
        """Whether an outcome is counted: not a trade's after somebody outside has told how it ended."""
        told = self.told.get(decision_id)
        return told is None or told.source == source

    def outcome(self, row: DecisionOutcomeRow) -> None:
        """An outcome that is in the log."""
        before = self.told.get(row.decision_id)
        if not row.counted:
            return
        total = row.outcome + (before.outcome if before is not None else 0.0)
        self.told[row.decision_id] = Told(row.source, total if row.source == TRADE else row.outcome, row.success)
        if len(self.told) > REMEMBERED:
            self.told.popitem(last=False)
        test = self.tests.get(row.experiment)
        if test is None:
            return
        if row.version == test.plan.version:
            test.phase.outcome(row.unit, row.ts_decision, row.outcome, 0 if before is not None else 1)
            for shadow in test.phase.shadows.values():
                shadow.outcome(row.decision_id, row.outcome)
        else:
            self.restore_before(row.experiment, row.unit, row.ts_decision // DAY_NS, row.outcome)

    def restore_before(self, name: str, unit: str, day: int, total: float) -> None:
        """Outcomes of a user and day from before this phase."""
        test = self.tests.get(name)
        if test is not None:
            days = test.before.setdefault(unit, {})
            days[day] = days.get(day, 0.0) + total

    def pair(self, row: ShadowPairRow) -> None:
        """What a shadow would have said."""
        test = self.tests.get(row.experiment)
        if test is not None and row.version == test.plan.version and row.arm in test.phase.shadows:
            test.phase.shadows[row.arm].add(row)

    # What there is to show.

    def status(self, name: str, incomplete: str) -> AbTestStatus:
        """A test and what it has served. Refused `not_found`."""
        test = self.test(name)
        phase = test.phase
        return AbTestStatus(
            plan=test.plan,
            rl_traffic_percentage=treatment_share(test.plan),
            total_requests=phase.requests,
            rl_requests=phase.by_model,
            fallback_requests=phase.requests - phase.by_model,
            users=tuple(phase.users().items()),
            since=phase.since,
            until=phase.until,
            flagged=len(phase.flagged),
            staged=test.staged,
            provisional=test.provisional,
            incomplete=incomplete,
        )

    def sticky(self) -> tuple[tuple[str, int, str, str], ...]:
        """Those whose stored arm is not the one that the plan alone would give."""
        return tuple(
            (name, test.plan.version, unit, arm)
            for name, test in self.tests.items()
            for unit, arm in test.phase.sticky.items()
        )


def success_of(message: Feedback) -> bool:
    """Whether an outcome is a success; where it is not said, a gain is."""
    return message.outcome > 0 if message.success is None else message.success


def assignment_row(seq: int, ts: int, test: Experiment, unit: str, arm: str) -> AssignmentRow:
    """Who was assigned."""
    return AssignmentRow(
        stream=AssignmentRow.table,
        seq=seq,
        ts=ts,
        test_name=test.plan.name,
        version=test.plan.version,
        user_id=unit,
        assignment=arm,
    )


def exposure_row(seq: int, test: Experiment, unit: str, arm: str, ts: int, decision_id: str) -> ExposureRow:
    """Who could notice an arm, and when first."""
    return ExposureRow(
        stream=ExposureRow.table,
        seq=seq,
        ts=ts,
        experiment=test.plan.name,
        version=test.plan.version,
        unit=unit,
        arm=arm,
        decision_id=decision_id,
    )
