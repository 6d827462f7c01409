"""The signal hub: the one place where signals get their numbers.

A signal is accepted when its row is in the node's log; the number is the next one of the log's own stream, so it goes
on after every restart, whatever the database does. Accepting is one synchronous step (check, number, append, remember,
wake the readers), and nothing in it waits.

What is asked for and no longer remembered comes from the database. Such a question is answered by a task of its own, so
that it never holds up a signal.
"""

from __future__ import annotations

from typing import ClassVar

import msgspec
import trio

from actors.signals import archive
from actors.signals.history import History, UpdateHistory, with_status
from actors.signals.tail import read_tail
from actors.signals.validation import check_signal, check_update
from protocols.control import Probe, ProbeReport, Refused, Request, Unknown
from protocols.paths import QUERIES
from protocols.signals import (
    MOST_PER_PAGE,
    SIGNAL_UPDATES,
    SIGNALS,
    GetLatestSignals,
    GetSignal,
    LatestSignals,
    ReadSignals,
    ReadSignalUpdates,
    Signal,
    SignalAccepted,
    SignalPage,
    SignalRow,
    SignalStored,
    SignalUpdated,
    SignalUpdatePage,
    SignalUpdateRow,
    StoredSignal,
    StoredUpdate,
    SubmitSignal,
    UpdateSignal,
)
from protocols.storage import DatabaseReady
from runtime import Actor, Mailbox, receive
from runtime.segments import LogDamaged

TAIL_S = 20.0
"""How long reading the log's end may take before the hub goes on without it."""


class ApplyUpdate(Request[SignalUpdated], frozen=True, gc=False, tag="apply_update"):
    """An update of a signal that was found in the database, with the last update there."""

    update: UpdateSignal
    known: StoredSignal
    last: StoredUpdate | None


class SignalHub(Actor):
    """Numbers, stores and remembers signals; answers who asks for them.

    `history`: how many of the newest signals are remembered; a repeated signal is recognised among them.
    `validity_s`: when a signal expires that does not say so itself.
    """

    mailbox: ClassVar[Mailbox] = Mailbox(capacity=8192)
    later_capacity: ClassVar[int] = 256

    def __init__(self, history: int = 20_000, validity_s: float = 300.0) -> None:
        self.capacity = history
        self.validity_ns = int(validity_s * 1e9)
        self.accepted = self.repeated = self.refused = self.updates = 0
        self.foreign = ""
        """Why the database is not this node's, if it is not."""

    def on_start(self) -> None:
        """Take up the stream where the log has it."""
        self.subscribe(DatabaseReady)
        self.history = History(self.capacity, self.log.last_seq(SIGNALS))
        self.outcomes = UpdateHistory(self.capacity, self.log.last_seq(SIGNAL_UPDATES))

    async def on_continue(self) -> None:
        """Remember what the log still holds; signals wait meanwhile."""
        if not self.history.last:
            return
        try:
            tail = await self.offload(read_tail, self.log.directory, self.capacity, timeout=TAIL_S)
        except (OSError, LogDamaged, msgspec.MsgspecError, trio.TooSlowError) as error:
            self.logger.warning("the log's end cannot be read; older signals come from the database", error=str(error))
        else:
            self.history.restore(tail.signals, tail.updates)
            self.outcomes.restore(tail.updates)

    @receive
    def database_ready(self, message: DatabaseReady) -> None:
        """See whether the database and the log are of the same node."""
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
    def update(self, request: UpdateSignal) -> SignalUpdated | None:
        """Store what became of a signal, or say where that already is."""
        known = self.history.find(request.signal_id)
        if known is None:
            self.answer_later(self._update_archived, request)
            return None
        return self._update(request, known, self.history.last_update(request.signal_id))

    @receive
    def apply_update(self, request: ApplyUpdate) -> SignalUpdated:
        """Go on with an update whose signal had to be looked up."""
        return self._update(request.update, request.known, request.last)

    def _update(self, request: UpdateSignal, known: StoredSignal, last: StoredUpdate | None) -> SignalUpdated:
        if last is not None and last.update == request:
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
        self.updates += 1
        self.publish(SignalStored(SIGNAL_UPDATES, stored.seq))
        return stored.seq

    @receive
    def read(self, request: ReadSignals) -> SignalPage | None:
        """Answer with a page of the stream, from memory if it reaches back that far."""
        if request.stream != SIGNALS:
            raise Refused("not_found", f"there is no stream {request.stream!r} to read here", "stream")
        if request.limit < 1:
            raise Refused("invalid", f"a page holds at least 1 signal, not {request.limit}", "limit")
        history = self.history
        from_seq = max(1, request.from_seq)
        signals = history.read(from_seq, min(request.limit, MOST_PER_PAGE))
        if signals is not None:
            next_seq = max(from_seq, signals[-1].seq + 1) if signals else from_seq
            return SignalPage(SIGNALS, signals, next_seq, history.last)
        self.answer_later(self._read_archive, request)
        return None

    @receive
    def read_updates(self, request: ReadSignalUpdates) -> SignalUpdatePage | None:
        """Answer with a page of the updates, from memory if it reaches back that far."""
        if request.limit < 1:
            raise Refused("invalid", f"a page holds at least 1 update, not {request.limit}", "limit")
        from_seq = max(1, request.from_seq)
        updates = self.outcomes.read(from_seq, min(request.limit, MOST_PER_PAGE))
        if updates is not None:
            next_seq = max(from_seq, updates[-1].seq + 1) if updates else from_seq
            return SignalUpdatePage(updates, next_seq, self.outcomes.last)
        self.answer_later(self._read_archived_updates, request)
        return None

    @receive
    def get(self, request: GetSignal) -> StoredSignal | None:
        """Answer with one signal."""
        known = self.history.find(request.signal_id)
        if known is None:
            self.answer_later(self._find, request)
        return known

    @receive
    def latest(self, request: GetLatestSignals) -> LatestSignals | None:
        """Answer with the newest signals of a symbol."""
        if not 1 <= request.limit <= MOST_PER_PAGE:
            raise Refused("invalid", f"limit is from 1 to {MOST_PER_PAGE}, not {request.limit}", "limit")
        remembered = self.history.latest(request.symbol, request.limit)
        if len(remembered) == request.limit or self.history.first == 1:
            return LatestSignals(remembered)
        self.answer_later(self._latest_archived, request)
        return None

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
        self.history.add(StoredSignal(seq, now, signal))
        self.accepted += 1
        self.publish(SignalStored(SIGNALS, seq))
        return seq

    def _expiry(self, signal: Signal) -> int:
        return signal.ts_created + self.validity_ns

    def _same(self, stored: Signal, given: Signal) -> bool:
        if stored == given:
            return True
        return given.ts_expires is None and stored == msgspec.structs.replace(given, ts_expires=self._expiry(given))

    # The database.

    async def _read_archive(self, request: ReadSignals) -> SignalPage:
        limit = min(request.limit, MOST_PER_PAGE)
        page = await archive.read_page(self.lookup(QUERIES), max(1, request.from_seq), self.history.first, limit)
        return msgspec.structs.replace(page, last_seq=self.history.last)

    async def _read_archived_updates(self, request: ReadSignalUpdates) -> SignalUpdatePage:
        limit = min(request.limit, MOST_PER_PAGE)
        from_seq = max(1, request.from_seq)
        page = await archive.read_updates(self.lookup(QUERIES), from_seq, self.outcomes.first, limit)
        return msgspec.structs.replace(page, last_seq=self.outcomes.last)

    async def _find(self, request: GetSignal) -> StoredSignal:
        return await archive.find_signal(self.lookup(QUERIES), request.signal_id)

    async def _update_archived(self, request: UpdateSignal) -> SignalUpdated:
        queries = self.lookup(QUERIES)
        known = await archive.find_signal(queries, request.signal_id)
        last = await archive.last_update(queries, request.signal_id)
        # The database may not have got the newest one yet; what it lacks is remembered.
        newest = self.outcomes.newest_of(request.signal_id)
        if newest is not None and (last is None or last.seq < newest.seq):
            last = newest
        if last is not None:
            known = with_status(known, last.update.status)
        return await self.ref.ask(ApplyUpdate(request, known, last))

    async def _latest_archived(self, request: GetLatestSignals) -> LatestSignals:
        older = await archive.latest(self.lookup(QUERIES), request.symbol, self.history.first, request.limit)
        # Meanwhile more may have come, and the oldest may have been forgotten; the query began before what is
        # remembered now, so the two meet.
        remembered = self.history.latest(request.symbol, request.limit)
        by_place = {each.seq: each for each in (*older, *remembered)}
        return LatestSignals(tuple(by_place[seq] for seq in sorted(by_place, reverse=True))[: request.limit])
