"""Facts as they come: into the log first, then into the ledger.

What a life before has stored is folded in the same way, so a restart ends where a life without one would be. While it
is not known what only the database has (`incomplete`), an exposure or assignment that may be stored already waits.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from typing import Final

import msgspec
import trio
from msgspec.structs import replace

from actors.decisions.experiments.history import Logged, Trade, requests_of
from actors.decisions.experiments.ledger import (
    FEEDBACK,
    TRADE,
    Experiment,
    Ledger,
    Told,
    assignment_row,
    exposure_row,
    success_of,
)
from actors.decisions.experiments.messages import HistoryFound
from actors.decisions.experiments.phase import Seen
from actors.decisions.experiments.plans import ExperimentSettings, first_plan, reconfigured, treatment_share
from protocols.decisions import ShadowDecided
from protocols.experiments import (
    AbTestRow,
    AssignmentRow,
    DecisionOutcomeRow,
    ExperimentPlan,
    ExposureRow,
    Feedback,
    FeedbackTaken,
    ShadowPairRow,
)
from runtime.clock import Clock
from runtime.log import NodeLog

AT_ONCE: Final = 500
PREDICTIONS: Final = "predictions"
"""The stream of decisions in the node's log."""
STREAMS: Final = (
    PREDICTIONS,
    ExposureRow.table,
    AssignmentRow.table,
    DecisionOutcomeRow.table,
    ShadowPairRow.table,
)
NOT_READ: Final = "what only the database has was not read yet"
NO_PLAN: Final = (
    "the stored plan is in the database, which does not answer; until it does nobody is assigned, and everybody gets "
    "the default"
)
"""Another plan would move users, and might serve what was rolled back."""


def plan_stream(name: str) -> str:
    """The stream of a test's plans."""
    return f"{AbTestRow.table}/{name}"


class Facts:
    """What is known of the tests. `exposed` is told the test and arm of each exposure that is stored, `ended` the first
    outcome of each decision."""

    def __init__(
        self,
        log: NodeLog,
        clock: Clock,
        exposed: Callable[[str, str], None],
        ended: Callable[[DecisionOutcomeRow], None],
    ) -> None:
        self.log = log
        self.clock = clock
        self.exposed = exposed
        self.ended = ended
        self.ledger = Ledger()
        self.incomplete = "the log has not been read"
        self.begins: dict[str, int] = {}
        """Of each stream the first place that the log has, or the next one: what is before it is in the database."""
        self.trades = 0
        """How far executed trades were taken."""
        self._exposures: dict[tuple[str, int, str, str], tuple[int, str]] = {}
        """That may be stored already: (test, version, unit, arm) to when, and the decision."""
        self._assignments: dict[tuple[str, int, str], tuple[str, int]] = {}
        self._taken_in: set[str] = set()
        """Tests whose past is known: a search that fails at another test, or at its end, begins anew."""

    def older(self) -> dict[str, int]:
        """The streams of which the database has what the log has not, and up to where."""
        return {name: place for name, place in self.begins.items() if place > 1}

    def all_decisions_known(self) -> bool:
        """Whether a decision that is not remembered is none: the log has all of them."""
        return self.begins.get(PREDICTIONS, 2) <= 1 and not self.ledger.forgot

    # A beginning.

    async def begin(
        self, experiments: Sequence[ExperimentSettings], logged: Logged, stored: Iterable[AbTestRow]
    ) -> list[str]:
        """Begin anew, with plans that the database had and with all that the log has. Answers what to warn of."""
        self.ledger = Ledger()
        self._exposures, self._assignments, self._taken_in = {}, {}, set()
        names = (*STREAMS, *(plan_stream(each.name) for each in experiments))
        self.begins = {name: logged.begins.get(name, self.log.last_seq(name) + 1) for name in names}
        self.incomplete = NOT_READ if any(self.begins[name] > 1 for name in STREAMS) else ""
        rows = [*stored, *(row for row in logged.rows if isinstance(row, AbTestRow))]
        warnings = [self._take_up(each, [row for row in rows if row.test_name == each.name]) for each in experiments]
        await self.fold(logged.rows)
        return list(filter(None, warnings))

    def _take_up(self, settings: ExperimentSettings, rows: list[AbTestRow]) -> str:
        plan = first_plan(settings)
        if rows:
            self.ledger.restore_plans(rows)
            return self._reconfigure(self.ledger.tests[settings.name], plan)
        if not self.log.last_seq(plan_stream(settings.name)):
            test = self.ledger.tests[plan.name] = Experiment(plan, self.clock.now())
            self._append_plan(test, plan, "configured", staged=False)
        else:
            test = self.ledger.tests[plan.name] = Experiment(replace(plan, enabled=False), self.clock.now())
            test.provisional = NO_PLAN
            self.incomplete = self.incomplete or NO_PLAN
        return ""

    def _reconfigure(self, test: Experiment, wanted: ExperimentPlan) -> str:
        """Where the configuration is not what it was when the plan was made: a change like one by a person."""
        plan, why = reconfigured(test.plan, test.configured, wanted)
        if not why:
            test.configured = wanted
            return ""
        if test.staged:
            return f"{wanted.name}: the configuration has changed ({why}); it waits for the end of the rollout"
        test.configured = wanted
        self.use(test, plan, f"configuration: {why}", staged=False)
        return ""

    async def fold(self, rows: list[msgspec.Struct]) -> None:
        """Rows of the log: what was stored first, so that decisions find it."""
        count = 0
        for kinds in ((AssignmentRow, ExposureRow), (Seen, ShadowPairRow), (DecisionOutcomeRow,)):
            for row in rows:
                if isinstance(row, kinds):
                    self._fold_one(row)
                    count += 1
                    if count % AT_ONCE == 0:
                        await trio.lowlevel.checkpoint()

    def _fold_one(self, row: msgspec.Struct) -> None:
        if isinstance(row, AssignmentRow):
            self.assignment_stored(row.test_name, row.version, row.user_id, row.assignment)
        elif isinstance(row, ExposureRow):
            self.exposure_stored(row.experiment, row.version, row.unit, row.arm, row.ts)
        elif isinstance(row, Seen):
            self.decided(row)
        elif isinstance(row, ShadowPairRow):
            self.ledger.pair(row)
        elif isinstance(row, DecisionOutcomeRow):
            self.ledger.outcome(row)
            self.trades = max(self.trades, row.outcome_seq)

    def assignment_stored(self, name: str, version: int, unit: str, arm: str) -> None:
        """An assignment that there is a row of."""
        self.ledger.restore_assignment(name, version, unit, arm)
        self._assignments.pop((name, version, unit), None)

    def exposure_stored(self, name: str, version: int, unit: str, arm: str, ts: int) -> None:
        """An exposure that there is a row of."""
        self.ledger.restore_exposure(name, version, unit, arm, ts)
        self._exposures.pop((name, version, unit, arm), None)

    async def take_in(self, found: HistoryFound) -> None:
        """What only the database had of a test. What is of another phase, or came twice, is left out."""
        name, version, ledger = found.name, found.version, self.ledger
        test = ledger.tests.get(name)
        if test is None or test.plan.version != version or name in self._taken_in:
            return
        self._taken_in.add(name)
        for unit, arm, ts in found.exposures:
            self.exposure_stored(name, version, unit, arm, ts)
        for unit, arm in found.assignments:
            self.assignment_stored(name, version, unit, arm)
        await trio.lowlevel.checkpoint()
        for place, row in enumerate(found.requests):
            ledger.restore_requests(*requests_of(test.plan, row))
            if place % AT_ONCE == 0:
                await trio.lowlevel.checkpoint()
        for unit, day, total in found.before:
            ledger.restore_before(name, unit, day, total)
        for pair in found.pairs:
            ledger.pair(ShadowPairRow(**dict(zip(ShadowPairRow.__struct_fields__, pair, strict=True))))
        for outcome in found.outcomes:
            fields = dict(zip(DecisionOutcomeRow.__struct_fields__, outcome, strict=True))
            ledger.outcome(DecisionOutcomeRow(**fields))

    def complete(self) -> bool:
        """Nothing is lacking any more: store what waited. Answers whether anything was lacking."""
        was, self.incomplete = self.incomplete, ""
        for (name, version, unit, arm), (ts, decision) in self._exposures.items():
            if self.ledger.tests[name].plan.version == version:
                self._append_exposure(self.ledger.tests[name], unit, arm, ts, decision)
        for (name, version, unit), (arm, ts) in self._assignments.items():
            if self.ledger.tests[name].plan.version == version:
                self._append_assignment(self.ledger.tests[name], unit, arm, ts)
        self._exposures, self._assignments = {}, {}
        return bool(was)

    # Plans.

    def use(self, test: Experiment, plan: ExperimentPlan, why: str, *, staged: bool) -> None:
        """Go on with another plan."""
        self._append_plan(test, plan, why, staged=staged)
        test.use(plan, self.clock.now(), staged)

    def _append_plan(self, test: Experiment, plan: ExperimentPlan, why: str, *, staged: bool) -> None:
        stream = plan_stream(plan.name)
        self.log.append(
            AbTestRow(
                stream=stream,
                seq=self.log.last_seq(stream) + 1,
                ts=self.clock.now(),
                test_name=plan.name,
                version=plan.version,
                enabled=plan.enabled,
                rl_traffic_percentage=treatment_share(plan),
                plan=msgspec.Raw(msgspec.json.encode(plan)),
                configured=msgspec.Raw(msgspec.json.encode(test.configured)),
                why=why,
                staged=staged,
            )
        )

    # Decisions.

    def decided(self, seen: Seen) -> None:
        """A decision: whom it assigned and exposed to what."""
        taken = self.ledger.take(seen)
        if taken.assigned is None and taken.exposed is None:
            return
        test = self.ledger.tests[seen.experiment]
        name, version = test.plan.name, test.plan.version
        if taken.assigned is not None:
            unit, arm = taken.assigned
            if self.incomplete:
                self._assignments[name, version, unit] = (arm, seen.ts)
            else:
                self._append_assignment(test, unit, arm, seen.ts)
        if taken.exposed is not None:
            unit, arm = taken.exposed
            if self.incomplete:
                self._exposures.setdefault((name, version, unit, arm), (seen.ts, seen.decision_id))
            else:
                self._append_exposure(test, unit, arm, seen.ts, seen.decision_id)

    def _append_assignment(self, test: Experiment, unit: str, arm: str, ts: int) -> None:
        self.log.append(assignment_row(self.log.last_seq(AssignmentRow.table) + 1, ts, test, unit, arm))

    def _append_exposure(self, test: Experiment, unit: str, arm: str, ts: int, decision_id: str) -> None:
        seq = self.log.last_seq(ExposureRow.table) + 1
        self.log.append(exposure_row(seq, test, unit, arm, ts, decision_id))
        self.exposed(test.plan.name, arm)

    def shadowed(self, message: ShadowDecided) -> None:
        """What a shadow would have said."""
        live, shadow = message.live, message.shadow
        row = ShadowPairRow(
            stream=ShadowPairRow.table,
            seq=self.log.last_seq(ShadowPairRow.table) + 1,
            ts=live.ts,
            experiment=message.experiment,
            version=message.version,
            arm=message.arm,
            decision_id=live.decision_id,
            user_id=live.user_id,
            live_action=live.action,
            live_trades=live.should_trade,
            shadow_action=shadow.action,
            shadow_trades=shadow.should_trade,
        )
        self.log.append(row)
        self.ledger.pair(row)

    # Outcomes.

    def feedback(self, message: Feedback, seen: Seen, told: Told | None) -> FeedbackTaken:
        """What somebody outside says of a decision. Refused `not_found`, `conflict`."""
        if self.ledger.feedback(message, seen, told):
            return FeedbackTaken(message.decision_id, repeated=True)
        ts = message.ts or self.clock.now()
        self._append_outcome(seen, FEEDBACK, message.outcome, success_of(message), ts, message.note)
        return FeedbackTaken(message.decision_id)

    def traded(self, trade: Trade) -> None:
        """An executed trade has ended; one that was taken is not taken again."""
        if trade.seq > self.trades:
            note = " ".join(filter(None, (trade.outcome_id, trade.marks)))
            self._append_outcome(trade.seen, TRADE, trade.value, trade.value > 0, trade.ts, note, trade.seq)
            self.trades = trade.seq

    def _append_outcome(
        self, seen: Seen, source: str, value: float, success: bool, ts: int, note: str, place: int = 0
    ) -> None:
        test = self.ledger.tests.get(seen.experiment)
        row = DecisionOutcomeRow(
            stream=DecisionOutcomeRow.table,
            seq=self.log.last_seq(DecisionOutcomeRow.table) + 1,
            ts=ts,
            decision_id=seen.decision_id,
            user_id=seen.user_id,
            experiment=seen.experiment,
            version=seen.version,
            arm=seen.arm,
            served_by=seen.served_by,
            source=source,
            outcome=value,
            success=success,
            note=note,
            unit="" if test is None else test.unit_of(seen),
            counted=self.ledger.outcome_counts(seen.decision_id, source),
            ts_decision=seen.ts,
            outcome_seq=place,
        )
        first = seen.decision_id not in self.ledger.told
        self.log.append(row)
        self.ledger.outcome(row)
        if first:
            self.ended(row)
