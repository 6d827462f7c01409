"""The keeper of outcomes: what signals came to, whether they were traded or not, in the log before a learner is told.

    a signal of the hub, or one that was evaluated ──> followed until it expires ──> marked to the market
    a trade of the runtime, or one that is told over HTTP ─────────────────────────> its return

A learner is told again until it answers, in the order of the places, by which it knows what it knows already. What the
database has of lives before is waited for; meanwhile trades are taken (they are in the log), and nothing is told.
"""

from __future__ import annotations

from typing import ClassVar, Final

import msgspec
import trio
from msgspec.structs import replace

from actors.storage.streams import read_settled
from actors.thresholds.intake import history
from actors.thresholds.intake.errands import NS, Errands, gated
from actors.thresholds.intake.history import Executed
from actors.thresholds.intake.ledger import Ledger, teaches
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
from actors.thresholds.intake.settings import OutcomeSettings
from actors.thresholds.intake.telling import after, check, columns, id_of, why_not
from actors.thresholds.outcomes import usable
from actors.thresholds.performance import is_poor, score
from protocols.alerts import RaiseAlert
from protocols.control import Lagged, Probe, ProbeReport, Refused, Unknown
from protocols.execution import OUTCOMES, OutcomeStored
from protocols.paths import ALERTS, QUERIES
from protocols.signals import SIGNALS, SignalStored
from protocols.storage import DatabaseReady
from protocols.threshold_outcomes import (
    THRESHOLD_INTAKE,
    THRESHOLD_PROGRESS,
    FollowSignal,
    GetOutcomeFigures,
    IntakeKind,
    IntakeRow,
    OutcomeFigures,
    ProgressRow,
    ReportTrade,
    SignalFollowed,
    TradeTaken,
)
from protocols.thresholds import SignalEvaluated, Verdict
from runtime import Actor, Mailbox, receive
from runtime.log import LogFull

LOOK_S: Final = 0.5
PATIENCE_S: Final = 30.0
RETRY_S: Final = 5.0
NOTE_S: Final = 10.0
"""How far everything is, is noted no more often: what is told or read again is recognised by its place."""
AT_ONCE: Final = 200
TOLD_AT_ONCE: Final = 64
TELL_FIRST_S: Final = 0.25
TELL_MOST_S: Final = 15.0
VERDICTS: Final = 100_000
SOURCE: Final = "thresholds"


class OutcomeKeeper(Actor):
    """Follows signals, takes trades, tells learners."""

    mailbox: ClassVar[Mailbox] = Mailbox(capacity=16_384)

    def __init__(self, settings: OutcomeSettings = OutcomeSettings()) -> None:  # noqa: B008 - frozen
        self.settings = settings
        self.ledger = Ledger()
        self.recovering = "what lives before have left is being read"
        self.early: list[IntakeRow] = []
        self.verdicts: dict[tuple[str, str], Verdict] = {}
        self.outcomes = self.signals = 0
        self.noted = (0, 0, 0)
        self.note_after = 0.0
        self.busy: set[str] = set()
        self.dirty: dict[tuple[str, str], int] = {}
        self.backoff_s = TELL_FIRST_S
        self.not_before = self.due_not_before = 0.0
        self.counts = dict.fromkeys(("told", "resolved", "unknown", "trades"), 0)

    def on_start(self) -> None:
        """Listen, and read what there was."""
        metrics = self.node.metrics
        self._resolved = metrics.counter("threshold_outcomes", "Outcomes that learners are told", ("source", "known"))
        self._open = metrics.gauge("threshold_signals_followed", "Signals whose outcome is awaited")
        self.errands = Errands(self.lookup, self.settings, self.clock.now)
        for topic in (OutcomeStored, SignalStored, SignalEvaluated, DatabaseReady):
            self.subscribe(topic)
        self.every(LOOK_S, Look())
        self.spawn(self._recover, name="recovery")

    # Recovery.

    async def _recover(self) -> None:
        log = self.log
        last, fresh = log.last_seq(THRESHOLD_INTAKE), not log.last_seq(THRESHOLD_PROGRESS)
        if not last and fresh:
            # Nothing was ever learned here: what came before is no evidence that thresholds have let through.
            places = history.Recalled(0, log.last_seq(OUTCOMES), log.last_seq(SIGNALS), 0, True, (), (), (), ())
            await self.ref.send(Recovered(places))
            return
        queries = self.lookup(QUERIES)

        async def read() -> history.Recalled:
            while True:
                try:
                    return await history.recall(queries)
                except Refused as refused:
                    self.logger.info("outcomes wait for the database", why=refused.message)
                    await trio.sleep(LOOK_S)

        recalled, remark = await read_settled(queries, IntakeRow, THRESHOLD_INTAKE, last, read, PATIENCE_S)
        await self.ref.send(Recovered(recalled, remark))

    @receive
    def recovered(self, message: Recovered) -> None:
        """Go on from there, with what was taken meanwhile."""
        recalled, ledger = message.recalled, Ledger()
        ledger.told, ledger.last = recalled.told, recalled.last
        ledger.done.all = ledger.trades.all = recalled.whole
        ledger.poor = {(user, symbol): poor for user, symbol, poor in recalled.poor}
        for seq, kind, user, signal, trade in recalled.done:
            if kind == "trade":
                ledger.trades.add((user, trade), seq)
            if signal:
                ledger.done.add((user, signal), seq)
        for row in sorted((*recalled.open, *recalled.untold), key=lambda each: each.seq):
            ledger.take(row)
        early, self.early, self.ledger = self.early, [], ledger
        for row in early:
            if row.seq > recalled.last:
                ledger.take(row)
        self.outcomes, self.signals = recalled.outcomes, recalled.signals
        self.recovering = ""
        if message.remark:
            self.logger.warning("outcomes are missing", why=message.remark)
        self._progress()
        self.look(Look())

    # Rows.

    def _store(self, row: IntakeRow) -> IntakeRow:
        """Into the log, then into the ledger."""
        stored = replace(row, stream=THRESHOLD_INTAKE, seq=self.log.last_seq(THRESHOLD_INTAKE) + 1, ts=self.clock.now())
        self.log.append(stored)
        self.ledger.take(stored)
        if self.recovering:
            self.early.append(stored)
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

    def _stored(self, row: IntakeRow) -> bool:
        """Whether the log has room for it."""
        try:
            self._store(row)
        except LogFull as full:
            self.logger.warning("an outcome waits for room in the log", why=full.message)
            self.due_not_before = trio.current_time() + RETRY_S
            return False
        return True

    def _progress(self) -> int:
        """Note how far everything is, if that is news; returns the place of the newest note."""
        places = (self.ledger.told_up_to, self.outcomes, self.signals)
        seq = self.log.last_seq(THRESHOLD_PROGRESS)
        now = trio.current_time()
        if seq and (places == self.noted or now < self.note_after):
            return seq
        self.note_after = now + NOTE_S
        told, outcomes, signals = self.noted = places
        return self._note(seq + 1, told, outcomes, signals)

    def _note(self, seq: int, told: int, outcomes: int, signals: int) -> int:
        now = self.clock.now()
        self.log.append(
            ProgressRow(stream=THRESHOLD_PROGRESS, seq=seq, ts=now, told=told, outcomes=outcomes, signals=signals)
        )
        return seq

    # Trades of others.

    @receive
    def report(self, request: ReportTrade) -> TradeTaken:
        """Take a trade that was made elsewhere."""
        check(request)
        now = self.clock.now()
        closed = request.closed_at or now
        trade_id = request.trade_id or id_of(request)
        known = self.ledger.trades.get((request.user_id, trade_id))
        if known is not None:
            return TradeTaken(trade_id=trade_id, seq=known, repeated=True)
        key = (request.user_id, request.signal_id)
        followed = self.ledger.open.get(key) if request.signal_id else None
        done = bool(request.signal_id) and key in self.ledger.done
        row = IntakeRow(
            stream="",
            seq=0,
            ts=0,
            kind="trade",
            source="http",
            user_id=request.user_id,
            symbol=request.symbol,
            signal_id=request.signal_id,
            trade_id=trade_id,
            session_id=request.session_id,
            **({} if done else columns(request.signal, followed)),
            acted=True,
            outcome=request.outcome,
            ts_signal=request.opened_at or (0 if followed is None else followed.ts_signal),
            ts_resolved=closed,
            entry_price=request.entry_price,
            exit_price=request.exit_price,
            quantity=request.quantity,
            pnl=request.pnl,
            fees=request.fees,
        )
        stored = self._store(row)
        why = "" if teaches(stored) else why_not(request, stored, done)
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
        self._check_room()
        self.answer_later(self._price, request)
        return None

    async def _price(self, request: FollowSignal) -> SignalFollowed:
        price = await self.errands.prices.at(request.symbol, request.ts, self.clock.now())
        return await self.ref.ask(FollowPriced(request, price))

    def _known(self, request: FollowSignal) -> SignalFollowed | None:
        key = (request.user_id, request.signal_id)
        if not self.ledger.knows(key):
            return None
        row = self.ledger.open.get(key)
        seq, due = (self.ledger.done.get(key) or 0, 0) if row is None else (row.seq, row.ts_due)
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
        stored = self._store(
            IntakeRow(
                stream="",
                seq=0,
                ts=0,
                kind="watched",
                source="evaluation",
                user_id=request.user_id,
                symbol=request.symbol,
                signal_id=request.signal_id,
                **columns(request.signal, None),
                verdict=msgspec.Raw(msgspec.json.encode(request.verdict)),
                ts_signal=request.ts,
                ts_due=due,
                bid=price.quoted.bid,
                ask=price.quoted.ask,
                marks=price.marks,
            )
        )
        return SignalFollowed(signal_id=request.signal_id, seq=stored.seq, due=due)

    def _check_room(self) -> None:
        if len(self.ledger.open) >= self.settings.most_open:
            raise Refused("overloaded", f"{len(self.ledger.open)} signals are followed already")

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
        for row in message.rows:
            key = (row.user_id, row.signal_id)
            if not self.ledger.knows(key) and len(self.ledger.open) < self.settings.most_open:
                verdict = self.verdicts.pop(key, None)
                self._store(replace(row, verdict=msgspec.Raw(msgspec.json.encode(verdict))))
        self.signals = max(self.signals, message.upto)
        if message.more:
            self._begin("signals")

    async def _read_signals(self, after: int) -> None:
        rows: tuple[IntakeRow, ...] = ()
        upto: int | None = None
        more = False
        try:
            page, deployments = await self.errands.read_signals(after)
            rows = await self.errands.followed(page, deployments)
            upto, more = page.next_seq - 1, page.next_seq <= page.last_seq
        except (Refused, Unknown) as error:
            self.logger.info("signals cannot be read", why=str(error))
        await self.ref.send(SignalsFound(rows, upto, more))

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

    async def _read_trades(self, after: int) -> None:
        try:
            found = await history.executed(self.lookup(QUERIES), OUTCOMES, after)
        except Refused as refused:
            self.logger.info("executed trades cannot be read", why=refused.message)
            await self.ref.send(TradesFound(None))
        else:
            await self.ref.send(TradesFound(found))

    @receive
    def trades_found(self, message: TradesFound) -> None:
        """Each is the outcome of its signal; one whose signal has taught already counts in the performance alone."""
        self.busy.discard("trades")
        for trade in message.trades or ():
            if trade.seq > self.outcomes:
                self._executed(trade)
                self.outcomes = trade.seq
        if message.trades:
            self._begin("trades")

    def _executed(self, trade: Executed) -> None:
        if trade.user_id is None:
            self.logger.warning("a trade of nobody's deployment", outcome_id=trade.outcome_id)
            return
        symbol = trade.symbol or trade.market
        self.dirty.setdefault((trade.user_id, symbol), 0)
        key = (trade.user_id, trade.signal_id)
        if trade.action not in ("BUY", "SELL") or key in self.ledger.done:
            return
        followed = self.ledger.open.get(key)
        verdict = self.verdicts.pop(key, None) if followed is None else None
        columns = gated(trade.action, trade.confidence, trade.metadata)
        self._store(
            IntakeRow(
                stream="",
                seq=0,
                ts=0,
                kind="resolved",
                source="execution",
                user_id=trade.user_id,
                symbol=symbol,
                signal_id=trade.signal_id,
                trade_id=trade.outcome_id,
                deployment_id=trade.deployment_id,
                **columns,
                verdict=msgspec.Raw(msgspec.json.encode(verdict)) if followed is None else followed.verdict,
                acted=True,
                outcome=trade.return_share if usable(trade.return_share) else None,
                ts_signal=trade.ts_created or 0,
                ts_resolved=trade.exit_ts,
                outcome_seq=trade.seq,
                marks=trade.marks,
            )
        )

    # What is due.

    @receive
    def look(self, message: Look) -> None:
        """Go on with everything that can go on."""
        if self.recovering:
            return
        self._open.set(len(self.ledger.open))
        self._progress()
        for errand in ("signals", "trades", "due", "tell", "judge"):
            self._begin(errand)

    def _begin(self, errand: str) -> None:
        if self.recovering or errand in self.busy:
            return
        if errand == "signals":
            if not self.settings.follow_deployments or self.log.last_seq(SIGNALS) <= self.signals:
                return
            self.spawn(self._read_signals, self.signals, name=errand)
        elif errand == "trades":
            if self.log.last_seq(OUTCOMES) <= self.outcomes:
                return
            self.spawn(self._read_trades, self.outcomes, name=errand)
        elif errand == "due":
            if trio.current_time() < self.due_not_before:
                return
            rows = self.ledger.due(self.clock.now() - int(self.settings.grace_s * NS), AT_ONCE)
            if not rows:
                return
            # What was logged before this note is in the database when the note is.
            told, outcomes, signals = self.noted
            try:
                place = self._note(self.log.last_seq(THRESHOLD_PROGRESS) + 1, told, outcomes, signals)
            except LogFull:
                for row in rows:
                    self.ledger.put_back(row)
                raise
            self.spawn(self._find_out, tuple(rows), place, name=errand)
        elif errand == "tell":
            if not self.ledger.untold or trio.current_time() < self.not_before:
                return
            heads = tuple(waiting[0] for waiting in list(self.ledger.untold.values())[:TOLD_AT_ONCE])
            check = not (self.ledger.trades.all and self.ledger.done.all)
            self.spawn(self._tell, heads, check, name=errand)
        else:
            if not self.dirty:
                return
            users = tuple((*key, place) for key, place in list(self.dirty.items())[:AT_ONCE])
            self.spawn(self._judge, users, name=errand)
        self.busy.add(errand)

    async def _find_out(self, rows: tuple[IntakeRow, ...], place: int) -> None:
        await self.ref.send(OutcomesFound(await self.errands.find_out(rows, lambda: place)))

    @receive
    def outcomes_found(self, message: OutcomesFound) -> None:
        """Store what they came to; what nobody can say yet is asked again."""
        self.busy.discard("due")
        for found in message.found:
            row = found.row
            if (row.user_id, row.signal_id) not in self.ledger.open:
                continue  # a trade was told meanwhile
            if found.retry or not self._stored(after(found)):
                self.ledger.put_back(row)
        if any(found.retry for found in message.found):
            self.due_not_before = trio.current_time() + RETRY_S
        else:
            self._begin("due")
        self._begin("tell")

    # Learners.

    async def _tell(self, rows: tuple[IntakeRow, ...], check: bool) -> None:
        told: list[IntakeRow] = []
        failures: list[str] = []

        async def tell(row: IntakeRow) -> None:
            failed = await self.errands.tell(row, check)
            if failed:
                failures.append(failed)
            else:
                told.append(row)

        async with trio.open_nursery() as nursery:
            for row in rows:
                nursery.start_soon(tell, row)
        await self.ref.send(Told(tuple(told), failures[0] if failures else ""))

    @receive
    def told(self, message: Told) -> None:
        """Go on with the next ones; those who could not be told are told again later, the others do not wait."""
        self.busy.discard("tell")
        for row in message.rows:
            self.ledger.has_told(row)
            self.counts["told"] += 1
        if message.failed:
            self.logger.info("a learner cannot be told", why=message.failed)
            for user in [row.user_id for row in self._heads() if row not in message.rows]:
                self.ledger.untold[user] = self.ledger.untold.pop(user)  # behind the others
        if message.failed and not message.rows:
            self.backoff_s = min(TELL_MOST_S, 2 * self.backoff_s)
            self.not_before = trio.current_time() + self.backoff_s
        else:
            self.backoff_s = TELL_FIRST_S
            self._begin("tell")

    def _heads(self) -> list[IntakeRow]:
        return [waiting[0] for waiting in list(self.ledger.untold.values())[:TOLD_AT_ONCE]]

    # Performance.

    async def _judge(self, users: tuple[tuple[str, str, int], ...]) -> None:
        await self.ref.send(Judged(await self.errands.judge(users)))

    @receive
    def judged(self, message: Judged) -> None:
        """A performance that has become poor is told once, and once that it is poor no more. Unknown is not poor."""
        self.busy.discard("judge")
        for user, symbol, place, figures in message.found:
            found = score(figures, self.settings.weights)
            poor = is_poor(figures, self.settings.poor_below, self.settings.weights)
            if found is not None and poor != self.ledger.poor.get((user, symbol), False):
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
            source=SOURCE,
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
        return OutcomeFigures(
            open=len(self.ledger.open),
            untold=self.ledger.waiting,
            poor=sum(self.ledger.poor.values()),
            recovering=self.recovering,
            **self.counts,
        )

    @receive
    def probe(self, request: Probe) -> ProbeReport:
        """It serves always; it is degraded while it waits for what was before."""
        figures = (("followed", len(self.ledger.open)), ("untold", self.ledger.waiting))
        return ProbeReport("degraded" if self.recovering else "ok", self.recovering, ready=True, figures=figures)
