"""The signal hub: the one place where signals get their numbers.

A signal is accepted when its row is in the node's log; the number is the next one of the log's own stream, so it goes
on after every restart, whatever the database does. Accepting is one synchronous step (check, number, append, remember,
wake the readers), and nothing in it waits.

A signal that nobody has acted on expires: when its time has passed, the hub itself stores that as an update, each once.
It knows what is open from the log's end and, further back, from the database; what expired long before the log's end
begins is not gone through again.

What is asked for and no longer remembered comes from the database. Such a question is answered by a task of its own, so
that it never holds up a signal.
"""

from __future__ import annotations

from typing import ClassVar, Final

import msgspec
import trio

from actors.signals import archive
from actors.signals.expiry import OPEN, Expiry, OpenSignal, open_signal
from actors.signals.history import with_status
from actors.signals.ids import signal_id
from actors.signals.memory import SignalMemory
from actors.signals.requests import (
    ApplyUpdate,
    ExpireDue,
    SubmitTestSignal,
    TakeOpen,
)
from actors.signals.tail import Tail, read_tail
from actors.signals.validation import check_signal, check_update
from protocols.control import Probe, ProbeReport, Refused, Unknown
from protocols.market import SYNTHETIC
from protocols.paths import QUERIES
from protocols.signals import (
    SIGNAL_UPDATES,
    SIGNALS,
    Signal,
    SignalAccepted,
    SignalRow,
    SignalStored,
    SignalUpdated,
    SignalUpdateRow,
    StoredSignal,
    StoredUpdate,
    SubmitSignal,
    UpdateSignal,
)
from protocols.storage import DatabaseReady
from runtime import Mailbox, receive
from runtime.segments import LogDamaged

TAIL_S: Final = 20.0
"""How long reading the log's end may take before the hub goes on without it."""
MOST_OPEN: Final = 200_000
"""How many open signals are watched: more than are open at 500 a second, each valid for five minutes."""
EXPIRE_AT_ONCE: Final = 50
"""An update takes about 10 µs; in between signals are taken."""
LONGEST_WAIT_S: Final = 30.0
"""The wall clock may be set; so it is looked at again at least this often while signals are open."""
LOG_FULL_S: Final = 1.0
BEHIND_S: Final = 0.2
EARLIER_NS: Final = 3_600_000_000_000
"""The hub was there when the oldest signal in the log's end was stored, and had seen to what expired so long before."""
UNREAD_NS: Final = 86_400_000_000_000
"""How far back open signals are looked for where the log's end could not be read."""
TEST_SOURCE: Final = "test"


class SignalHub(SignalMemory):
    """Numbers, stores and remembers signals; answers who asks for them.

    `history`: how many of the newest signals are remembered; a repeated signal is recognised among them.
    `validity_s`: when a signal expires that does not say so itself. `test_endpoints`: whether it makes test signals.
    """

    mailbox: ClassVar[Mailbox] = Mailbox(capacity=8192)
    later_capacity: ClassVar[int] = 256

    def __init__(self, history: int = 20_000, validity_s: float = 300.0, test_endpoints: bool = False) -> None:
        super().__init__(history)
        self.validity_ns = int(validity_s * 1e9)
        self.test_endpoints = test_endpoints
        self.accepted = self.repeated = self.refused = self.updates = self.expired = 0
        self.open = Expiry(MOST_OPEN)
        self.watched_at = 0
        """The wall time at which it is looked for what has expired, ns; 0: nothing can."""
        self.before = 0
        """Open signals from before this place are not known yet; 0: all are."""
        self.foreign = ""
        """Why the database is not this node's, if it is not."""

    def on_start(self) -> None:
        """Take up the stream where the log has it."""
        metrics = self.node.metrics
        self._by_action = metrics.counter("troupe_signals", "Signals that were accepted", ("action",))
        self._confidence = metrics.histogram(
            "troupe_signal_confidence", "Confidence of accepted signals", buckets=[each / 10 for each in range(1, 11)]
        )
        self.subscribe(DatabaseReady)
        self.remember()

    async def on_continue(self) -> None:
        """Remember what the log still holds; signals wait meanwhile."""
        if not self.history.last:
            return
        self.before, self.expires_after = self.history.last + 1, self.clock.now() - UNREAD_NS
        try:
            tail = await self.offload(read_tail, self.log.directory, self.capacity, timeout=TAIL_S)
        except (OSError, LogDamaged, msgspec.MsgspecError, trio.TooSlowError) as error:
            self.logger.warning("the log's end cannot be read; older signals come from the database", error=str(error))
        else:
            self.history.restore(tail.signals, tail.updates)
            self.outcomes.restore(tail.updates)
            self._take_open(tail)
        self.spawn(self._compare, name="compare")

    @receive
    def database_ready(self, message: DatabaseReady) -> None:
        """See whether the database and the log are of the same node, and what is still open there."""
        self.spawn(self._compare, name="compare")

    async def _compare(self) -> None:
        try:
            end = await archive.end_of_stream(self.lookup(QUERIES))
        except (Refused, Unknown):
            return  # it is gone again, and will say when it is back
        last = self.log.last_seq(SIGNALS)
        self.foreign = ""
        if end > last:
            self.foreign = (
                f"the database has signals up to {end}, the log of this node ends at {last}: they do not belong "
                "together, and the database will reject rows with the same places"
            )
            self.logger.error(self.foreign)
        else:
            await self._find_open()

    @receive
    def submit(self, request: SubmitSignal) -> SignalAccepted:
        """Store a signal, or say where it already is."""
        signal = request.signal
        known = self.history.find(signal.signal_id)
        if known is not None and self._same(known.signal, signal):
            self.repeated += 1
            return SignalAccepted(signal.signal_id, SIGNALS, known.seq, True)
        try:
            seq = self._store(signal, known)
        except Refused:
            self.refused += 1
            raise
        return SignalAccepted(signal.signal_id, SIGNALS, seq)

    @receive
    def submit_test(self, request: SubmitTestSignal) -> StoredSignal:
        """Make a signal and store it, where that is allowed."""
        if not self.test_endpoints:
            raise Refused("not_found", "test signals are off: signals.test_endpoints is false")
        now = self.clock.now()
        seq = self.log.last_seq(SIGNALS) + 1
        signal = Signal(
            signal_id=signal_id(TEST_SOURCE, seq, now),
            ts_created=now,
            ts_expires=None if request.validity_s is None else now + int(request.validity_s * 1e9),
            strategy_id=request.strategy_id,
            strategy_source=TEST_SOURCE,
            symbol=request.symbol,
            exchange=request.exchange,
            action=request.action,
            confidence=request.confidence,
            metadata=request.metadata,
            marks=(SYNTHETIC,),
        )
        stored = self.history.at(self._store(signal, self.history.find(signal.signal_id)))
        assert stored is not None
        return stored

    @receive
    def update(self, request: UpdateSignal) -> SignalUpdated | None:
        """Store what became of a signal, or say where that already is."""
        known = self.history.find(request.signal_id)
        if known is None:
            self.answer_later(self.update_archived, request)
            return None
        return self._update(request, known, self.history.last_update(request.signal_id))

    @receive
    def apply_update(self, request: ApplyUpdate) -> SignalUpdated:
        """Go on with an update whose signal had to be looked up."""
        return self._update(request.update, request.known, request.last)

    def _update(self, request: UpdateSignal, known: StoredSignal, last: StoredUpdate | None) -> SignalUpdated:
        known, last = self.newest(known, last)
        if last is not None and (last.update == request or request.status == last.update.status == "expired"):
            return SignalUpdated(request.signal_id, last.seq, True)
        now = self.clock.now()
        check_update(known, request, now)
        return SignalUpdated(request.signal_id, self._note(request, known.signal.symbol, known.signal.strategy_id, now))

    def _note(self, update: UpdateSignal, symbol: str, strategy_id: str, now: int) -> int:
        """Store an update. Raises Refused `log_full`."""
        stored = StoredUpdate(self.log.last_seq(SIGNAL_UPDATES) + 1, now, update, symbol, strategy_id)
        self.log.append(SignalUpdateRow.of(stored))
        self.history.update(stored)
        self.outcomes.add(stored)
        if update.status not in OPEN:
            self.open.close(update.signal_id)
        self.updates += 1
        self.publish(SignalStored(SIGNAL_UPDATES, stored.seq))
        return stored.seq

    # Expiry.

    @receive
    def expire(self, message: ExpireDue) -> None:
        """Store of each signal whose time has passed that it has expired."""
        now = self.clock.now()
        self.watched_at = 0
        try:
            for each in self.open.due(now, EXPIRE_AT_ONCE):
                self._note(_expired(each), each.symbol, each.strategy_id, now)
                self.expired += 1
        except Refused as refused:
            self.logger.warning("expired signals cannot be stored yet", error=str(refused))
            self._look_at(now + int(LOG_FULL_S * 1e9))
        else:
            self._watch(now)

    def _watch(self, now: int) -> None:
        """Have the clock looked at when the next signal expires."""
        moment = self.open.next_at
        if moment is None:
            return
        moment = min(max(moment, now), now + int(LONGEST_WAIT_S * 1e9))
        if not self.watched_at or moment < self.watched_at:
            self._look_at(moment)

    def _look_at(self, moment: int) -> None:
        self.watched_at = moment
        self.spawn(self._ring, moment, name="expiry")

    async def _ring(self, moment: int) -> None:
        # The node's clock, not a timer: in a replay signals expire in the replay's time.
        await self.clock.sleep_until(moment)
        if self.watched_at == moment:
            self.after(0.0, ExpireDue())

    def _take_open(self, tail: Tail) -> None:
        """Watch what is open of the log's end."""
        statuses = {each.update.signal_id: each.update.status for each in tail.updates}
        for stored in tail.signals:
            status = statuses.get(stored.signal.signal_id)
            found = open_signal(stored if status is None else with_status(stored, status))
            if found is not None:
                self.open.add(found)
        if tail.signals:
            oldest = tail.signals[0]
            self.before, self.expires_after = oldest.seq if oldest.seq > 1 else 0, oldest.ts_stored - EARLIER_NS
        self._watch(self.clock.now())

    async def _find_open(self) -> None:
        """Ask the database what was open before that, once it has all that is not remembered."""
        queries = self.lookup(QUERIES)
        try:
            while self.before:
                signals_upto = await archive.end_of_stream(queries)
                updates_upto = await archive.end_of_stream(queries, SIGNAL_UPDATES)
                if signals_upto >= self.before - 1 and updates_upto >= self.outcomes.first - 1:
                    found = await archive.open_signals(queries, self.before, self.expires_after, MOST_OPEN)
                    self.after(0.0, TakeOpen(updates_upto, found))
                    return
                await trio.sleep(BEHIND_S)
        except (Refused, Unknown):
            return  # the database says when it is back

    @receive
    def take_open(self, message: TakeOpen) -> None:
        """Watch what the database knows as open, unless an update that it has not got says otherwise."""
        if not self.before:
            return
        if message.updates_upto < self.outcomes.first - 1:  # what it lacked has been forgotten meanwhile
            self.spawn(self._find_open, name="open")
            return
        self.before = 0
        for each in message.signals:
            newest = self.outcomes.newest_of(each.signal_id)
            if newest is None or newest.update.status in OPEN:
                self.open.add(each)
        self._watch(self.clock.now())

    @receive
    def probe(self, request: Probe) -> ProbeReport:
        """Say how the stream is."""
        history = self.history
        return ProbeReport(
            "degraded" if self.foreign else "ok",
            self.foreign,
            figures=(
                ("last_seq", history.last),
                ("remembered", len(history)),
                ("accepted", self.accepted),
                ("repeated", self.repeated),
                ("refused", self.refused),
                ("updates", self.updates),
                ("open", len(self.open)),
                ("expired", self.expired),
                ("unwatched", self.open.untracked),
                ("waiting_for_database", self.answering),
            ),
        )

    # Storing.

    def _store(self, signal: Signal, known: StoredSignal | None) -> int:
        if known is not None:
            message = f"another signal, at place {known.seq}, has this id"
            raise Refused("id_taken", message, "signal_id")
        now = self.clock.now()
        if signal.ts_expires is None:
            signal = msgspec.structs.replace(signal, ts_expires=self._expiry(signal))
        check_signal(signal, now)
        seq = self.log.last_seq(SIGNALS) + 1
        self.log.append(SignalRow.of(seq, now, signal))
        # Nothing waits between these lines: what is in the log is remembered, and the readers are woken.
        stored = StoredSignal(seq, now, signal)
        self.history.add(stored)
        watched = open_signal(stored)
        if watched is not None and self.open.add(watched):
            self._watch(now)
        self.accepted += 1
        self._by_action.labels(signal.action).inc()
        self._confidence.observe(signal.confidence)
        self.publish(SignalStored(SIGNALS, seq))
        return seq

    def _expiry(self, signal: Signal) -> int:
        return signal.ts_created + self.validity_ns

    def _same(self, stored: Signal, given: Signal) -> bool:
        if stored == given:
            return True
        return given.ts_expires is None and stored == msgspec.structs.replace(given, ts_expires=self._expiry(given))


def _expired(signal: OpenSignal) -> UpdateSignal:
    return UpdateSignal(
        signal_id=signal.signal_id,
        status="expired",
        deployment_id=signal.deployment_id,
        decision_id=signal.decision_id,
    )
