"""The keeper of experiments: plans, exposures and outcomes, in the log before anybody relies on them.

Decisions come as a topic; what a gap in it lost, or what was given while the keeper was down, it finds among the rows
of decisions in the node's log. Serving never waits for the keeper, nor the keeper for a database: what only the
database knows comes when it is there, and until then the status says so (`provisional`, `incomplete`).
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import ClassVar, Final

import msgspec
import trio
from msgspec.structs import replace

from actors.decisions.experiments import history
from actors.decisions.experiments.facts import Facts
from actors.decisions.experiments.history import Logged
from actors.decisions.experiments.ledger import Experiment, Ledger, Told
from actors.decisions.experiments.messages import (
    HistoryEnded,
    HistoryFound,
    PlansFound,
    ReadTrades,
    Refresh,
    TakeFound,
    TradesFound,
)
from actors.decisions.experiments.phase import Phase, Seen
from actors.decisions.experiments.plans import ExperimentSettings, configured, staged
from actors.decisions.experiments.questions import Gauges, look_at, report_of
from actors.decisions.experiments.searching import search
from actors.decisions.serving.recorder import RECORDER
from protocols.control import Lagged, Probe, ProbeReport, Refused, Unknown
from protocols.decisions import DecisionMade, OutcomeSeen, PredictionRow, ShadowDecided
from protocols.execution import OUTCOMES, OutcomeStored
from protocols.experiment_reports import AbTestReport, GetReport
from protocols.experiments import (
    AbTestRow,
    AbTestStatus,
    ConfigureTest,
    DecisionOutcomeRow,
    Feedback,
    FeedbackTaken,
    GetPlans,
    GetTest,
    UsePlans,
)
from protocols.paths import DECISIONS, QUERIES
from protocols.rollouts import LookAtTest, RolloutLook, StageTest
from protocols.storage import DatabaseReady
from runtime import Actor, Mailbox, receive
from runtime.segments import LogDamaged

READ_LOG_S: Final = 60.0
RECORDED_S: Final = 5.0
TELL_SERVER_S: Final = 5.0
TRIES: Final = 3
BEHIND_S: Final = 0.05
"""An outcome that was told of is in the database within this, or twice this …"""
TRADE_TRIES: Final = 11
REFRESH_S: Final = 60.0


class ExperimentKeeper(Actor):
    """Keeps the tests of a configuration; what was stored of them wins over it."""

    mailbox: ClassVar[Mailbox] = Mailbox(capacity=16_384)
    later_capacity: ClassVar[int] = 256

    def __init__(self, experiments: tuple[ExperimentSettings, ...]) -> None:
        self.experiments = experiments
        self.searching = False
        self.wanted = 0
        self.reading = False
        self.tries = 0

    def on_start(self) -> None:
        """Listen before the log is read: what comes meanwhile is found twice, and counted once."""
        metrics = self.node.metrics
        exposures = metrics.counter("ab_exposures", "Units that were exposed to an arm", ("experiment", "arm"))
        self.gauges = Gauges(metrics)
        self.facts = Facts(self.log, self.clock, lambda test, arm: exposures.labels(test, arm).inc(), self._ended)
        for topic in (DecisionMade, ShadowDecided, OutcomeStored, DatabaseReady):
            self.subscribe(topic)
        self.every(REFRESH_S, Refresh())

    async def on_continue(self) -> None:
        """Take up what the log still has; messages wait meanwhile."""
        await self._begin(())
        self._announce()
        self._search()

    @property
    def ledger(self) -> Ledger:
        """What is known."""
        return self.facts.ledger

    # Recovery.

    async def _begin(self, stored: tuple[AbTestRow, ...]) -> None:
        try:
            logged = await self._logged(history.KEEPERS)
        except (OSError, LogDamaged, msgspec.MsgspecError, trio.TooSlowError) as error:
            self.logger.warning("the log cannot be read; tests come from the database", error=str(error))
            logged = Logged([], {})
        for warning in await self.facts.begin(self.experiments, logged, stored):
            self.logger.warning(warning)

    async def _logged(self, kinds: Mapping[str, type[msgspec.Struct]]) -> Logged:
        """Rows of the log. The recorder is asked before: what it had been told until then is there when it answers."""
        try:
            await self.lookup(RECORDER).ask(Probe(), RECORDED_S)
        except (Refused, Unknown) as error:
            self.logger.info("the recorder of decisions does not answer; the log is read as it is", why=str(error))
        return await self.offload(history.read_log, self.log.directory, kinds, timeout=READ_LOG_S)

    def _search(self) -> None:
        """Ask the database for what the log has not."""
        if not self.searching:
            self.searching = True
            self.spawn(self._find, name="history")

    async def _find(self) -> None:
        provisional = any(test.provisional for test in self.ledger.tests.values())
        wanted = (self.lookup(QUERIES), self.ledger.plans(), self.facts.older())
        async for found in search(*wanted, provisional=provisional):
            self.after(0.0, found)

    @receive
    async def plans_found(self, message: PlansFound) -> None:
        """Begin anew with the plans that are stored; the server is told if they are not what it has."""
        known = self.ledger.plans()
        await self._begin(message.rows)
        for row in message.rows:
            if row.seq + 1 >= self.facts.begins[row.stream]:  # else the log has become shorter meanwhile
                self.facts.begins[row.stream] = 1
        if self.ledger.plans() != known:
            self._announce()
        self.searching = False
        self._search()

    @receive
    async def history_found(self, message: HistoryFound) -> None:
        """Take in what only the database had."""
        await self.facts.take_in(message)

    @receive
    def history_ended(self, message: HistoryEnded) -> None:
        """All is known, or the database is away: then it is tried again when that is back."""
        self.searching = False
        if message.trades is None:
            self.logger.info("tests wait for the database", why=message.why)
            return
        self.facts.trades = max(self.facts.trades, message.trades)
        if self.facts.complete():
            self._announce()
        # What was stored before this life began nobody tells it of.
        self.wanted = max(self.wanted, self.log.last_seq(OUTCOMES))
        self.read_trades(ReadTrades())

    @receive
    def database_ready(self, message: DatabaseReady) -> None:
        """Ask it for what is lacking."""
        if self.facts.incomplete:
            self._search()
        else:
            self.read_trades(ReadTrades())

    # Decisions.

    @receive
    def decided(self, message: DecisionMade) -> None:
        """Count a decision, and store whom it exposed to what."""
        self.facts.decided(Seen.of(message.decision))

    @receive
    async def lagged(self, message: Lagged) -> None:
        """Something was lost on the way here: decisions are in the log, trades in the database, shadows nowhere."""
        self.logger.warning("the keeper of experiments was too slow", topic=message.topic, count=message.count)
        self.read_trades(ReadTrades())
        await self.facts.fold((await self._logged({PredictionRow.table: Seen})).rows)

    @receive
    def shadow(self, message: ShadowDecided) -> None:
        """Store what a shadow would have said."""
        self.facts.shadowed(message)

    # Outcomes.

    @receive
    def feedback(self, message: Feedback) -> FeedbackTaken | None:
        """Store what somebody outside says of a decision. One that is not remembered is looked for in the database."""
        seen = self.ledger.recent.get(message.decision_id)
        if seen is not None:
            return self.facts.feedback(message, seen, self.ledger.told.get(message.decision_id))
        if self.facts.all_decisions_known():
            raise _unknown(message)
        self.answer_later(self._look_up, message)
        return None

    @receive
    def found(self, message: TakeFound) -> FeedbackTaken:
        """The decision was in the database; what was told meanwhile is newer than what was found there."""
        told = self.ledger.told.get(message.seen.decision_id, message.told)
        return self.facts.feedback(message.feedback, message.seen, told)

    async def _look_up(self, message: Feedback) -> FeedbackTaken:
        queries = self.lookup(QUERIES)
        found = await history.ask(queries, history.FIND_DECISION, (message.decision_id,))
        if not found.rows:
            raise _unknown(message)
        told = await history.ask(queries, history.FIND_OUTCOMES, (message.decision_id,))
        known = Told(*told.rows[0]) if told.rows else None
        return await self.ref.ask(TakeFound(message, found.into(Seen)[0], known))

    def _ended(self, row: DecisionOutcomeRow) -> None:
        """Drift is looked for in what came of decisions."""
        self.publish(
            OutcomeSeen(
                decision_id=row.decision_id,
                success=row.success,
                outcome=row.outcome,
                model=row.served_by,
                ts_decision=row.ts_decision,
                ts=row.ts,
            )
        )

    @receive
    def outcome_stored(self, message: OutcomeStored) -> None:
        """Trades have ended; the database will have them in a moment."""
        self.wanted, self.tries = max(self.wanted, message.seq), 0
        self.read_trades(ReadTrades())

    @receive
    def read_trades(self, message: ReadTrades) -> None:
        """Read on, unless that is being done, or what was taken before is not known yet."""
        if not self.reading and not self.facts.incomplete and not self.searching:
            self.reading = True
            self.spawn(self._read_trades, self.facts.trades, name="trades")

    async def _read_trades(self, after: int) -> None:
        try:
            trades, upto = await history.read_trades(self.lookup(QUERIES), OUTCOMES, after)
        except Refused as refused:
            self.after(0.0, TradesFound((), after, refused.message))
        else:
            self.after(0.0, TradesFound(trades, upto))

    @receive
    def trades_found(self, message: TradesFound) -> None:
        """Store the outcomes of the decisions behind them, each once."""
        self.reading = False
        for trade in message.trades:
            self.facts.traded(trade)
        self.facts.trades = max(self.facts.trades, message.upto)
        if message.trades:
            self.read_trades(ReadTrades())
        elif self.facts.trades < self.wanted and not message.failed and self.tries < TRADE_TRIES:
            self.after(BEHIND_S * 2**self.tries, ReadTrades())
            self.tries += 1

    # Plans.

    @receive
    def get_plans(self, request: GetPlans) -> UsePlans:
        """The plans, for a server that has just begun."""
        return UsePlans(self.ledger.plans(), self.ledger.sticky())

    @receive
    def configure(self, request: ConfigureTest) -> AbTestStatus:
        """Change a test."""
        test = self._certain(request.name)
        plan, why = configured(test.plan, request, test.staged, test.configured.coverage)
        if why:
            self.facts.use(test, plan, why, staged=test.staged)
            self._announce()
        return self.ledger.status(request.name, self.facts.incomplete)

    @receive
    def stage(self, request: StageTest) -> AbTestStatus:
        """A step of a rollout. One that is done already is done."""
        test = self._certain(request.name)
        plan = staged(test.plan, request)
        if plan != test.plan or test.staged == request.over:
            self.facts.use(test, plan, request.why, staged=not request.over)
            self._announce()
        return self.ledger.status(request.name, self.facts.incomplete)

    def _certain(self, name: str) -> Experiment:
        test = self.ledger.test(name)
        if test.provisional:
            raise Refused("unavailable", test.provisional)
        return test

    def _announce(self) -> None:
        """Tell the server, unless that could take a stored plan away from it: if it has none, it asks (`GetPlans`).

        It is told before whoever asked for a change is answered: the next request is assigned by it.
        """
        if any(test.provisional for test in self.ledger.tests.values()):
            return
        plans = UsePlans(self.ledger.plans(), self.ledger.sticky())
        if not self.lookup(DECISIONS).tell(plans):
            self.spawn(self._tell_server, plans, name="plans")

    async def _tell_server(self, plans: UsePlans) -> None:
        why = "its mailbox is full, or it is not there"
        for attempt in range(TRIES):
            await trio.sleep(0.1 * 4**attempt)
            if plans.plans != self.ledger.plans():
                return  # newer ones are on their way
            try:
                await self.lookup(DECISIONS).ask(plans, TELL_SERVER_S)
            except (Refused, Unknown) as error:
                why = str(error)
            else:
                return
        self.logger.info("the decision server did not take the plans; it asks for them when it starts", why=why)

    # Questions.

    @receive
    def get_test(self, request: GetTest) -> AbTestStatus:
        """How a test stands."""
        return self.ledger.status(request.name, self.facts.incomplete)

    @receive
    def get_report(self, request: GetReport) -> None:
        """What a test says so far."""
        test = self.ledger.test(request.name)
        phase = test.phase if request.version in (0, test.plan.version) else test.old.get(request.version)
        if phase is None:
            raise Refused("not_found", f"{request.name} has no phase {request.version} in memory", "version")
        self.answer_later(self._report, test, phase)

    async def _report(self, test: Experiment, phase: Phase) -> AbTestReport:
        try:
            found = await report_of(self, test, phase)
        except trio.TooSlowError:
            raise Refused("overloaded", f"the report of {test.plan.name} takes too long") from None
        if phase is test.phase:
            self.gauges.show(found)
        if self.facts.incomplete:
            found = replace(found, blocked=True, reasons=(*found.reasons, f"incomplete: {self.facts.incomplete}"))
        return found

    @receive
    def look(self, request: LookAtTest) -> None:
        """How a test does by guardrails."""
        test = self._certain(request.name)
        if self.facts.incomplete:
            raise Refused("unavailable", self.facts.incomplete)
        self.answer_later(self._look, test, request)

    async def _look(self, test: Experiment, request: LookAtTest) -> RolloutLook:
        try:
            return await look_at(self, test, request.guards)
        except trio.TooSlowError:
            raise Refused("overloaded", f"the guardrails of {test.plan.name} take too long") from None

    @receive
    def refresh(self, message: Refresh) -> None:
        """Keep the metrics of tests as they are."""
        for test in self.ledger.tests.values():
            if test.phase.units:
                self.spawn(self._measure, test, name="refresh")

    async def _measure(self, test: Experiment) -> None:
        try:
            await self._report(test, test.phase)
        except Refused as refused:
            self.logger.warning("a test could not be measured", test=test.plan.name, why=refused.message)

    @receive
    def probe(self, request: Probe) -> ProbeReport:
        """How it is: without what only the database has it serves all the same."""
        tests = self.ledger.tests.values()
        return ProbeReport(
            "degraded" if self.facts.incomplete else "ok",
            self.facts.incomplete,
            figures=(
                ("tests", len(tests)),
                ("units", sum(len(test.phase.units) for test in tests)),
                ("decisions", len(self.ledger.recent)),
                ("outcomes", len(self.ledger.told)),
                ("late", self.ledger.late),
            ),
        )


def _unknown(message: Feedback) -> Refused:
    return Refused("not_found", f"there is no decision {message.decision_id!r}", "predictionId")
