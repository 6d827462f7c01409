"""What the hub remembers, and how it answers who asks: from memory and, further back, from the database.

A question to the database is answered by a task of its own, so that it never holds up a signal. What the database says
may be a moment old; whatever it has not got yet is remembered, so the two together are the truth.
"""

from __future__ import annotations

import msgspec

from actors.signals import analytics, archive
from actors.signals.history import History, UpdateHistory, with_status
from actors.signals.requests import ApplyUpdate, GetSignalOutcome, SignalOutcome
from protocols.control import Refused
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
    SignalPage,
    SignalTallies,
    SignalUpdated,
    SignalUpdatePage,
    StoredSignal,
    StoredUpdate,
    TallySignals,
    UpdateSignal,
)
from runtime import Actor, receive


class SignalMemory(Actor):
    """The reading half of the hub. It remembers `capacity` signals, and as many updates."""

    def __init__(self, capacity: int) -> None:
        self.capacity = capacity

    def remember(self) -> None:
        """Begin where the log is."""
        self.history = History(self.capacity, self.log.last_seq(SIGNALS))
        self.outcomes = UpdateHistory(self.capacity, self.log.last_seq(SIGNAL_UPDATES))

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
    def outcome(self, request: GetSignalOutcome) -> SignalOutcome | None:
        """Answer with a signal and its newest update."""
        known = self.history.find(request.signal_id)
        if known is None:
            self.answer_later(self._find_outcome, request)
            return None
        return SignalOutcome(known, self.history.last_update(request.signal_id))

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
    def tally(self, request: TallySignals) -> None:
        """Answer with how many signals there are of each kind."""
        self.answer_later(self._tally, request)

    async def _tally(self, request: TallySignals) -> SignalTallies:
        queries = self.lookup(QUERIES)
        behind = await analytics.settle(self.log, queries)
        now = self.clock.now()
        found = await analytics.tallies(queries, request.symbols, request.strategy_ids, request.from_ts, now)
        return SignalTallies(found, behind)

    def newest(self, known: StoredSignal, last: StoredUpdate | None) -> tuple[StoredSignal, StoredUpdate | None]:
        """A signal and its newest update, of what the database has said and what is remembered."""
        newest = self.outcomes.newest_of(known.signal.signal_id)
        if newest is not None and (last is None or last.seq < newest.seq):
            last = newest
        return (known if last is None else with_status(known, last.update.status)), last

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
        return self.newest(await self._archived(request.signal_id), None)[0]

    async def _find_outcome(self, request: GetSignalOutcome) -> SignalOutcome:
        return SignalOutcome(*self.newest(*await self._look_up(request.signal_id)))

    async def update_archived(self, request: UpdateSignal) -> SignalUpdated:
        """Have an update applied whose signal has to be looked up."""
        return await self.ref.ask(ApplyUpdate(request, *await self._look_up(request.signal_id)))

    async def _look_up(self, signal_id: str) -> tuple[StoredSignal, StoredUpdate | None]:
        queries = self.lookup(QUERIES)
        known = await self._archived(signal_id)
        end = await archive.end_of_stream(queries, SIGNAL_UPDATES)
        if end < self.outcomes.first - 1:
            raise Refused("unavailable", f"the database has updates up to {end}, the memory from {self.outcomes.first}")
        return known, await archive.last_update(queries, signal_id)

    async def _archived(self, signal_id: str) -> StoredSignal:
        queries = self.lookup(QUERIES)
        try:
            return await archive.find_signal(queries, signal_id)
        except Refused as refused:
            if refused.code != "not_found":
                raise
            end = await archive.end_of_stream(queries)
            known = self.history.find(signal_id)  # it may have come just now
            if known is not None:
                return known
            if end < self.history.first - 1:
                message = f"the database has signals up to {end}, the memory from {self.history.first}"
                raise Refused("unavailable", message) from None
            raise

    async def _latest_archived(self, request: GetLatestSignals) -> LatestSignals:
        older = await archive.latest(self.lookup(QUERIES), request.symbol, self.history.first, request.limit)
        # Meanwhile more may have come, and the oldest may have been forgotten; the query began before what is
        # remembered now, so the two meet.
        remembered = self.history.latest(request.symbol, request.limit)
        by_place = {each.seq: each for each in (*older, *remembered)}
        newest = tuple(by_place[seq] for seq in sorted(by_place, reverse=True))[: request.limit]
        return LatestSignals(tuple(self.newest(each, None)[0] for each in newest))
