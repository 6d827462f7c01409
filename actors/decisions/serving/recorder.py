"""The recorder: every decision becomes a row, and figures of models, arms and users are kept.

It listens without loss; what it could not take all the same (its mailbox or the log was full) is counted and shown.
What came of decisions is read from the database now and then; without one nothing is claimed about it.
"""

from __future__ import annotations

from typing import ClassVar, Final

from actors.decisions.serving.figures import Figures
from actors.decisions.serving.messages import DecisionFigures, GetFigures, ModelAccuracy
from protocols.control import Lagged, Message, Probe, ProbeReport, Refused, Unknown
from protocols.decisions import FALLBACK, DecisionMade, PerformanceRow, PredictionRow
from protocols.paths import QUERIES
from protocols.storage import RunQuery
from runtime import Actor, Mailbox, receive
from runtime.log import LogFull

PREDICTIONS: Final = "predictions"
PERFORMANCE: Final = "model_performance"
RECORDER: Final = "/decisions/recorder"
LOOK_S: Final = 60.0
QUERY_S: Final = 10.0
ACCURACY: Final = """
    SELECT p.served_by, p.model_version, p.arm, count(*) AS outcomes,
           avg(CASE WHEN o.success THEN 1.0 ELSE 0.0 END)::float8 AS accuracy, avg(o.outcome)::float8 AS mean_return
    FROM decision_outcomes o JOIN prediction_history p ON p.decision_id = o.decision_id
    GROUP BY p.served_by, p.model_version, p.arm ORDER BY 1, 2, 3
"""


class Look(Message, frozen=True, gc=False, tag="look_at_outcomes"):
    """To itself: read what came of decisions."""


class Accuracies(Message, frozen=True, gc=False, tag="decision_accuracies"):
    """To itself: what was read; None with the reason why it could not be."""

    found: tuple[ModelAccuracy, ...] | None
    remark: str


class DecisionRecorder(Actor):
    """Writes `PredictionRow` and `PerformanceRow`; answers `GetFigures`."""

    mailbox: ClassVar[Mailbox] = Mailbox(capacity=65_536)

    def __init__(self, look_s: float = LOOK_S) -> None:
        self.look_s = look_s
        self.figures = Figures()
        self.recorded = self.lost = 0
        self.accuracies: tuple[ModelAccuracy, ...] | None = None
        self.remark = "outcomes have not been read yet"
        self.looking = False

    def on_start(self) -> None:
        """Listen to all decisions."""
        self.since = self.clock.now()
        self.seq = self.log.last_seq(PREDICTIONS)
        self.subscribe(DecisionMade, lossless=True)
        self.every(self.look_s, Look())

    @receive
    def decided(self, message: DecisionMade) -> None:
        """Record one decision."""
        decision = message.decision
        self.figures.add(decision)
        row = PredictionRow(
            stream=PREDICTIONS,
            seq=self.seq + 1,
            ts=decision.ts,
            decision_id=decision.decision_id,
            user_id=decision.user_id,
            symbol=decision.symbol,
            action=decision.action,
            should_trade=decision.should_trade,
            confidence=decision.confidence,
            confidence_kind=decision.confidence_kind,
            served_by=decision.served_by,
            reason=decision.reason,
            experiment=decision.experiment,
            version=decision.version,
            arm=decision.arm,
            model=decision.model,
            model_version=decision.model_version,
            priority=decision.priority,
            fallback_used=decision.served_by == FALLBACK,
            cached=decision.cached,
            processing_ns=decision.took_ns,
            signal_id=decision.signal_id,
            agent_id=decision.agent_id,
            missing=decision.missing,
            marks=decision.marks,
            threshold_verdict=None if decision.verdict is None else decision.verdict.approved,
            threshold_reasoning="" if decision.verdict is None else decision.verdict.reasoning,
        )
        try:
            self.log.append(row)
        except LogFull as full:
            if not self.lost:
                self.logger.exception("decisions are not recorded", why=str(full))
            self.lost += 1
            return
        self.seq += 1
        self.recorded += 1

    @receive
    def lagged(self, message: Lagged) -> None:
        """Decisions were given that this actor was too slow for."""
        self.lost += max(1, message.count)
        self.logger.error("decisions were lost to the recorder", count=message.count)

    # What came of decisions.

    @receive
    def look(self, _: Look) -> None:
        """Read outcomes, unless that is under way."""
        if not self.looking:
            self.looking = True
            self.spawn(self._read, name="outcomes")

    async def _read(self) -> None:
        found: tuple[ModelAccuracy, ...] | None = None
        remark = ""
        try:
            page = await self.lookup(QUERIES).ask(RunQuery(ACCURACY, timeout_s=QUERY_S), QUERY_S + 1)
            found = page.into(ModelAccuracy)
        except (Refused, Unknown) as error:
            remark = f"outcomes cannot be read: {error}"
        await self.ref.send(Accuracies(found, remark), LOOK_S)

    @receive
    def read(self, message: Accuracies) -> None:
        """Keep what was read; a model whose number of outcomes has grown gets rows."""
        self.looking = False
        self.remark = message.remark
        known = {(one.served_by, one.model_version, one.arm): one.outcomes for one in self.accuracies or ()}
        if message.found is None:
            return  # what was known stays, with the remark that it is old
        self.accuracies = message.found
        for one in message.found:
            if known.get((one.served_by, one.model_version, one.arm)) != one.outcomes:
                self._note(one, "accuracy", one.accuracy)
                self._note(one, "mean_return", one.mean_return)

    def _note(self, of: ModelAccuracy, metric: str, value: float) -> None:
        row = PerformanceRow(
            stream=PERFORMANCE,
            seq=self.log.last_seq(PERFORMANCE) + 1,
            ts=self.clock.now(),
            model=of.served_by,
            model_version=of.model_version,
            metric=f"{metric}:{of.arm}" if of.arm else metric,
            value=value,
            count=of.outcomes,
        )
        try:
            self.log.append(row)
        except LogFull as full:  # it is measured again when there are more outcomes
            self.logger.exception("a figure of a model is not recorded", model=of.served_by, why=str(full))

    # How it is.

    @receive
    def tell(self, request: GetFigures) -> DecisionFigures:
        """Say what was recorded."""
        users = self.figures.users(self.clock.now())[: request.users] if request.users else ()
        return DecisionFigures(
            since=self.since,
            decisions=self.figures.decisions,
            recorded=self.recorded,
            lost=self.lost,
            reasons=tuple(sorted(self.figures.reasons.items())),
            served=self.figures.served(),
            users=users,
            accuracies=self.accuracies,
            remark=self.remark,
        )

    @receive
    def probe(self, _: Probe) -> ProbeReport:
        """Degraded once a decision was not recorded."""
        return ProbeReport(
            "degraded" if self.lost else "ok",
            f"{self.lost} decisions were not recorded" if self.lost else "",
            figures=(("recorded", self.recorded), ("lost", self.lost)),
        )
