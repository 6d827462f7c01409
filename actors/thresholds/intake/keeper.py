"""The keeper of outcomes: what signals came to, whether they were traded or not, in the log before a learner is told.

    a signal of the hub, or one that was evaluated ──> followed until it expires ──> marked to the market
    a trade of the runtime, or one that is told over HTTP ─────────────────────────> its return

A learner is told again until it answers, in the order of the places, by which it knows what it knows already. What the
database has of lives before is waited for; meanwhile trades are taken (they are in the log), and nothing is told.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Any, ClassVar, Final

import trio
from msgspec.structs import replace

from actors.thresholds.intake import rows
from actors.thresholds.intake.errands import NS, Errands
from actors.thresholds.intake.history import Executed
from actors.thresholds.intake.intake_log import IntakeLog
from actors.thresholds.intake.ledger import teaches
from actors.thresholds.intake.marking import NOTHING
from actors.thresholds.intake.messages import (
    FollowPriced,
    Judged,
    Look,
    OutcomesFound,
    Recovered,
    SignalsFound,
    Told,
    TradesFound,
)
from actors.thresholds.intake.recovery import recover
from actors.thresholds.intake.settings import OutcomeSettings
from actors.thresholds.performance import is_poor, score
from protocols.alerts import RaiseAlert
from protocols.control import Lagged, Message, Probe, ProbeReport, Refused
from protocols.execution import OUTCOMES, OutcomeStored
from protocols.paths import ALERTS, QUERIES
from protocols.signals import SIGNALS, SignalStored
from protocols.storage import DatabaseReady
from protocols.threshold_outcomes import (
    FollowSignal,
    GetOutcomeFigures,
    IntakeKind,
    IntakeRow,
    OutcomeFigures,
    ReportTrade,
    SignalFollowed,
    TradeTaken,
)
from protocols.thresholds import SignalEvaluated, Verdict
from runtime import Actor, Mailbox, receive
from runtime.log import LogFull

LOOK_S: Final = 0.5
RETRY_S: Final = 5.0
AT_ONCE: Final = 200
TOLD_AT_ONCE: Final = 64
TELL_FIRST_S: Final = 0.25
TELL_MOST_S: Final = 15.0
VERDICTS: Final = 100_000


class OutcomeKeeper(Actor):
    """Follows signals, takes trades, tells learners."""

    mailbox: ClassVar[Mailbox] = Mailbox(capacity=16_384)

    def __init__(self, settings: OutcomeSettings = OutcomeSettings()) -> None:  # noqa: B008 - frozen
        self.settings = settings
        self.verdicts: dict[tuple[str, str], Verdict] = {}
        """Of signals that nobody follows yet, by user and signal."""
        self.busy: set[str] = set()
        """The errands that are under way."""
        self.dirty: dict[tuple[str, str], int] = {}
        """Users and symbols with trades that were not judged yet, and the place of the newest."""
        self.backoff_s = TELL_FIRST_S
        self.not_before = self.due_not_before = 0.0
        self.counts = dict.fromkeys(("told", "resolved", "unknown", "trades"), 0)

    def on_start(self) -> None:
        """Listen, and read what there was."""
        metrics = self.node.metrics
        self._resolved = metrics.counter("threshold_outcomes", "Outcomes that learners are told", ("source", "known"))
        self._open = metrics.gauge("threshold_signals_followed", "Signals whose outcome is awaited")
        self.intake = IntakeLog(self.log, self.clock.now)
        self.errands = Errands(self.lookup, self.settings, self.clock.now, self.logger)
        for topic in (OutcomeStored, SignalStored, SignalEvaluated, DatabaseReady):
            self.subscribe(topic)
        self.every(LOOK_S, Look())
        self.spawn(self._bring, recover, self.log, self.lookup(QUERIES), self.logger, name="recovery")

    async def _bring(self, errand: Callable[..., Awaitable[Message]], *about: Any) -> None:
        """What an errand has found comes by a timer, which ends with this life: the next one knows of no errand."""
        self.after(0.0, await errand(*about))

    @receive
    def recovered(self, message: Recovered) -> None:
        """Go on from what lives before have left."""
        self.intake.recovered(message.recalled)
        if message.remark:
            self.logger.warning("outcomes are missing", why=message.remark)
        self.intake.progress()
        self.look(Look())

    def _store(self, row: IntakeRow) -> IntakeRow:
        stored = self.intake.store(row)
        if stored.kind == "resolved":
            self.counts["resolved"] += 1
            self.counts["unknown"] += stored.outcome is None
            self._resolved.labels(stored.source, str(stored.outcome is not None).lower()).inc()
        elif stored.kind == "trade":
            self.counts["trades"] += 1
            self._resolved.labels("http", "true").inc()
        if stored.acted:
            self.dirty[stored.user_id, stored.symbol] = stored.seq
        return stored

    # Trades of others.

    @receive
    def report(self, request: ReportTrade) -> TradeTaken:
        """Take a trade that was made elsewhere."""
        rows.check(request)
        trade_id = request.trade_id or rows.id_of(request)
        ledger = self.intake.ledger
        known = ledger.trades.get((request.user_id, trade_id))
        if known is not None:
            return TradeTaken(trade_id=trade_id, seq=known, repeated=True)
        key = (request.user_id, request.signal_id)
        followed = ledger.open.get(key) if request.signal_id else None
        done = bool(request.signal_id) and key in ledger.done
        closed = request.closed_at or self.clock.now()
        stored = self._store(rows.of_report(request, trade_id, closed, followed, done))
        why = "" if teaches(stored) else rows.why_not(request, stored, done)
        return TradeTaken(trade_id=trade_id, seq=stored.seq, teaches=not why, why=why)

    # Signals.

    @receive
    def evaluated(self, message: SignalEvaluated) -> None:
        """Keep what was said of a signal, for when it is followed."""
        verdict = message.verdict
        if verdict.signal_id and not verdict.provisional:
            self.verdicts[verdict.user_id, verdict.signal_id] = verdict
            if len(self.verdicts) > VERDICTS:
                del self.verdicts[next(iter(self.verdicts))]

    @receive
    def follow(self, request: FollowSignal) -> SignalFollowed | None:
        """Follow a signal that was evaluated for somebody outside."""
        if not request.signal_id or request.signal.action not in ("BUY", "SELL"):
            why = "only a BUY or a SELL is followed, and only with an id"
            return SignalFollowed(signal_id=request.signal_id, seq=0, due=0, why=why)
        if (known := self._known(request)) is not None:
            return known
        if len(self.intake.ledger.open) >= self.settings.most_open:
            raise Refused("overloaded", f"{len(self.intake.ledger.open)} signals are followed already")
        self.answer_later(self._price, request)
        return None

    async def _price(self, request: FollowSignal) -> SignalFollowed:
        return await self.ref.ask(await self.errands.priced(request))

    def _known(self, request: FollowSignal) -> SignalFollowed | None:
        ledger, key = self.intake.ledger, (request.user_id, request.signal_id)
        if not ledger.knows(key):
            return None
        row = ledger.open.get(key)
        seq, due = (ledger.done.get(key) or 0, 0) if row is None else (row.seq, row.ts_due)
        return SignalFollowed(signal_id=request.signal_id, seq=seq, due=due, repeated=True)

    @receive
    def priced(self, message: FollowPriced) -> SignalFollowed:
        """Its market has a price, or it cannot be followed."""
        request, price = message.follow, message.price
        if (known := self._known(request)) is not None:
            return known
        if price.quoted == NOTHING:
            return SignalFollowed(signal_id=request.signal_id, seq=0, due=0, why=price.why)
        due = self.errands.due(request.ts, request.expires)
        stored = self._store(rows.of_evaluation(request, price, due))
        return SignalFollowed(signal_id=request.signal_id, seq=stored.seq, due=due)

    @receive
    def signal_stored(self, message: SignalStored) -> None:
        """There is something to read."""
        if message.stream == SIGNALS:
            self._begin("signals")

    @receive
    def signals_found(self, message: SignalsFound) -> None:
        """Follow those that nobody follows yet."""
        self.busy.discard("signals")
        if message.upto is None:
            return
        intake, ledger = self.intake, self.intake.ledger
        for row in message.rows:
            key = (row.user_id, row.signal_id)
            if not ledger.knows(key) and len(ledger.open) < self.settings.most_open:
                self._store(replace(row, verdict=rows.judged(self.verdicts.pop(key, None))))
        intake.signals = max(intake.signals, message.upto)
        if message.more:
            self._begin("signals")

    # Trades of the runtime.

    @receive
    def outcome_stored(self, message: OutcomeStored) -> None:
        """The database will have it in a moment."""
        self._begin("trades")

    @receive
    def database_ready(self, message: DatabaseReady) -> None:
        """What waited for it goes on."""
        self.not_before = self.due_not_before = 0.0
        self.look(Look())

    @receive
    def trades_found(self, message: TradesFound) -> None:
        """Each is the outcome of its signal; one whose signal has taught already counts in the performance alone."""
        self.busy.discard("trades")
        for trade in message.trades or ():
            if trade.seq > self.intake.outcomes:
                self._executed(trade)
                self.intake.outcomes = trade.seq
        if message.trades:
            self._begin("trades")

    def _executed(self, trade: Executed) -> None:
        if trade.user_id is None:
            self.logger.warning("a trade of nobody's deployment", outcome_id=trade.outcome_id)
            return
        ledger, key = self.intake.ledger, (trade.user_id, trade.signal_id)
        self.dirty.setdefault((trade.user_id, trade.symbol or trade.market), 0)
        if trade.action not in ("BUY", "SELL") or key in ledger.done:
            return
        followed = ledger.open.get(key)
        verdict = self.verdicts.pop(key, None) if followed is None else None
        self._store(rows.of_execution(trade, trade.user_id, followed, verdict))

    # What is due.

    @receive
    def look(self, message: Look) -> None:
        """Go on with everything that can go on."""
        if self.intake.recovering:
            return
        self._open.set(len(self.intake.ledger.open))
        self.intake.progress()
        for errand in ("signals", "trades", "due", "tell", "judge"):
            self._begin(errand)

    def _begin(self, errand: str) -> None:
        """Run an errand, unless it is under way already, or there is nothing to it."""
        if self.intake.recovering or errand in self.busy:
            return
        intake, now = self.intake, trio.current_time()
        if errand == "signals":
            if self.settings.follow_deployments and self.log.last_seq(SIGNALS) > intake.signals:
                self._run(errand, self.errands.signals, intake.signals)
        elif errand == "trades":
            if self.log.last_seq(OUTCOMES) > intake.outcomes:
                self._run(errand, self.errands.trades, intake.outcomes)
        elif errand == "due":
            if now >= self.due_not_before:
                self._find_out()
        elif errand == "tell":
            if intake.ledger.untold and now >= self.not_before:
                unsure = not (intake.ledger.trades.all and intake.ledger.done.all)
                self._run(errand, self.errands.tell, intake.ledger.heads(TOLD_AT_ONCE), unsure)
        elif self.dirty:
            self._run(errand, self.errands.judge, [(*key, place) for key, place in list(self.dirty.items())[:AT_ONCE]])

    def _run(self, errand: str, function: Callable[..., Awaitable[Message]], *about: Any) -> None:
        self.spawn(self._bring, function, *about, name=errand)
        self.busy.add(errand)

    def _find_out(self) -> None:
        ledger = self.intake.ledger
        over = ledger.due(self.clock.now() - int(self.settings.grace_s * NS), AT_ONCE)
        if not over:
            return
        try:
            # What was logged before this note is in the database when the note is.
            place = self.intake.note()
        except LogFull:
            for row in over:
                ledger.put_back(row)
            raise
        self._run("due", self.errands.find_out, over, place)

    @receive
    def outcomes_found(self, message: OutcomesFound) -> None:
        """Store what they came to; what nobody can say yet is asked again."""
        self.busy.discard("due")
        ledger = self.intake.ledger
        for found in message.found:
            row = found.row
            if (row.user_id, row.signal_id) not in ledger.open:
                continue  # a trade was told meanwhile
            if found.retry or not self._stored(rows.after(found)):
                ledger.put_back(row)
        if any(found.retry for found in message.found):
            self.due_not_before = trio.current_time() + RETRY_S
        else:
            self._begin("due")
        self._begin("tell")

    def _stored(self, row: IntakeRow) -> bool:
        """Whether the log has room for it."""
        try:
            self._store(row)
        except LogFull as full:
            self.logger.warning("an outcome waits for room in the log", why=full.message)
            self.due_not_before = trio.current_time() + RETRY_S
            return False
        return True

    # Learners.

    @receive
    def told(self, message: Told) -> None:
        """Go on with the next ones; those who could not be told are told again later, the others do not wait."""
        self.busy.discard("tell")
        ledger = self.intake.ledger
        for row in message.rows:
            ledger.has_told(row)
            self.counts["told"] += 1
        if message.failed:
            self.logger.info("a learner cannot be told", why=message.failed)
            for row in ledger.heads(TOLD_AT_ONCE):
                if row not in message.rows:
                    ledger.put_off(row.user_id)
        if message.failed and not message.rows:
            self.backoff_s = min(TELL_MOST_S, 2 * self.backoff_s)
            self.not_before = trio.current_time() + self.backoff_s
        else:
            self.backoff_s = TELL_FIRST_S
            self._begin("tell")

    # Performance.

    @receive
    def performed(self, message: Judged) -> None:
        """A performance that has become poor is told once, and once that it is poor no more. Unknown is not poor."""
        self.busy.discard("judge")
        for user, symbol, place, figures in message.found:
            found = score(figures, self.settings.weights)
            poor = is_poor(figures, self.settings.poor_below, self.settings.weights)
            if found is not None and poor != self.intake.ledger.poor.get((user, symbol), False):
                self._became(user, symbol, poor, found, figures.trades)
            if self.dirty.get((user, symbol)) == place:
                del self.dirty[user, symbol]
        self._begin("tell")

    def _became(self, user: str, symbol: str, poor: bool, found: float, trades: int) -> None:
        why = f"a score of {found:.3f} over {trades} trades, where {self.settings.poor_below:g} is poor"
        kind: IntakeKind = "poor" if poor else "recovered"
        self._store(IntakeRow(stream="", seq=0, ts=0, kind=kind, source="keeper", user_id=user, symbol=symbol, why=why))
        alert = RaiseAlert(
            key=f"poor_performance/{user}/{symbol}",
            source="thresholds",
            title="poor_performance",
            description=f"{user} on {symbol}: {why}",
            severity="warning",
            labels=(("user_id", user), ("symbol", symbol)),
            value=found,
            resolve=not poor,
        )
        self.lookup(ALERTS).tell(alert)

    # Questions.

    @receive
    def lagged(self, message: Lagged) -> None:
        """All that counts is read by place; a verdict that was lost is made again when its outcome is known."""
        self.look(Look())

    @receive
    def figures(self, request: GetOutcomeFigures) -> OutcomeFigures:
        """How it stands."""
        ledger = self.intake.ledger
        return OutcomeFigures(
            open=len(ledger.open),
            untold=ledger.waiting,
            poor=sum(ledger.poor.values()),
            recovering=self.intake.recovering,
            **self.counts,
        )

    @receive
    def probe(self, request: Probe) -> ProbeReport:
        """It serves always; it is degraded while it waits for what was before."""
        ledger, recovering = self.intake.ledger, self.intake.recovering
        figures = (("followed", len(ledger.open)), ("untold", ledger.waiting))
        return ProbeReport("degraded" if recovering else "ok", recovering, ready=True, figures=figures)
