"""The keeper of states: accepts what becomes of thresholds, and knows what was stored.

A row is in the node's log before its user's actor hears that it is kept. After a start the log's tail is read once;
what is not there is asked of the database, many users in one query. Without a database those whose state the log has go
on, the others are refused `unavailable`: nobody learns on top of what is not known.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import ClassVar, Final

import msgspec

from actors.thresholds.messages import (
    GetPools,
    GetStatesFigures,
    KeepLesson,
    KeepState,
    KnownKeys,
    ListKeys,
    Load,
    Loaded,
    StatesFigures,
)
from actors.thresholds.settings import Settings, registry_of
from actors.thresholds.stored_states import (
    StoredStates,
    newest,
    read_keys,
    read_pools,
    read_position,
    read_records,
    read_states,
)
from actors.thresholds.tail import NOTHING, Key, Tail, read_tail
from protocols.control import Message, Probe, ProbeReport, Refused
from protocols.paths import QUERIES
from protocols.storage import DatabaseReady
from protocols.thresholds import (
    CHANGES,
    GetRecords,
    Records,
    ThresholdLessonRow,
    ThresholdStateRow,
)
from runtime import Actor, Mailbox, receive
from runtime.promise import Promise

TRIM_S: Final = 2.0
READ_LOG_S: Final = 300.0
BATCH: Final = 100
"""Users and symbols that are read by one query."""
MOST_RECORDS: Final = 1_000


class _Known(Message, frozen=True, gc=False, tag="threshold_tail_known"):
    """To itself: the log has been read."""

    tail: Tail


class _Read(Message, frozen=True, gc=False, tag="threshold_states_read"):
    """To itself: what a query has found; None: it has not, and why."""

    keys: tuple[Key, ...]
    found: StoredStates | None
    why: str = ""


class _Trim(Message, frozen=True, gc=False, tag="trim_threshold_tail"):
    """To itself: ask how far the database is."""


class _At(Message, frozen=True, gc=False, tag="threshold_database_at"):
    """To itself: how far it is; -1: it did not say."""

    position: int


class ThresholdStates(Actor):
    """Keeps states, lessons and records."""

    mailbox: ClassVar[Mailbox] = Mailbox(capacity=16_384)
    stash_capacity: ClassVar[int] = 16_384

    def __init__(self, settings: Settings = Settings()) -> None:  # noqa: B008 - frozen
        self.settings = settings
        self.registry = registry_of(settings)
        self.tail: Tail | None = None
        self.waiting: dict[Key, list[Promise]] = {}
        self.reading: set[Key] = set()
        self.trimming = False
        self.away_until = 0
        self.trouble = "the log has not been read yet"
        self.states = self.lessons = self.loads = self.failures = 0

    def on_start(self) -> None:
        """Read the log, on a thread."""
        log = self.log
        self.subscribe(DatabaseReady)
        self.spawn(self._read_log, log.position, log.last_seq(CHANGES), name="log")

    async def _read_log(self, end: int, last_seq: int) -> None:
        tail = await self.offload(read_tail, self.log.directory, end, CHANGES, last_seq, timeout=READ_LOG_S)
        self.after(0.0, _Known(tail))  # a timer ends with this life: a tail of before would hide what was kept since

    @receive
    def known(self, message: _Known) -> None:
        """From now on what was stored is known."""
        self.tail = message.tail
        self.trouble = ""
        self.unstash()
        self.every(TRIM_S, _Trim())

    def _tail(self) -> Tail | None:
        """The tail; None: this message is stashed until there is one."""
        if self.tail is None:
            self.stash()
        return self.tail

    # What is kept.

    @receive
    def keep_state(self, request: KeepState) -> int | None:
        """Accept a state, with its records."""
        if (tail := self._tail()) is None:
            return None
        seq = self.log.last_seq(CHANGES) + 1
        row = ThresholdStateRow(
            stream=CHANGES,
            seq=seq,
            ts=self.clock.now(),
            user_id=request.user_id,
            symbol=request.symbol,
            outcome_seq=request.outcome_seq,
            why=request.why,
            state=request.state,
            thresholds=request.thresholds,
            records=msgspec.Raw(msgspec.json.encode(request.records)),
        )
        end = self.log.append(row)
        self.states += 1
        tail.state((request.user_id, request.symbol), seq, request.outcome_seq, request.state, request.due, end)
        for record in request.records:
            tail.event(record, end)
        return seq

    @receive
    def keep_lesson(self, request: KeepLesson) -> int | None:
        """Accept a lesson."""
        if (tail := self._tail()) is None:
            return None
        seq = self.log.last_seq(CHANGES) + 1
        row = ThresholdLessonRow(
            stream=CHANGES,
            seq=seq,
            ts=self.clock.now(),
            user_id=request.user_id,
            symbol=request.symbol,
            outcome_seq=request.outcome_seq,
            signal_id=request.signal_id,
            lesson=request.lesson,
        )
        end = self.log.append(row)
        self.lessons += 1
        tail.lesson((request.user_id, request.symbol), seq, request.outcome_seq, request.lesson, end)
        return seq

    # What is known.

    @receive
    def load(self, request: Load) -> Loaded | None:
        """Tell what is known of a user and symbol, now or once the database has said."""
        if (tail := self._tail()) is None:
            return None
        self.loads += 1
        key = (request.user_id, request.symbol)
        found = tail.find(key)
        if found is not None:
            return found
        if self.clock.monotonic() < self.away_until:
            raise Refused("unavailable", self.trouble)
        self.waiting.setdefault(key, []).append(self.promise())
        self._ask()
        return None

    def _ask(self) -> None:
        """Read those who wait, unless that is under way: who comes meanwhile is in the next query."""
        if self.reading or not self.waiting:
            return
        keys = tuple(list(self.waiting)[:BATCH])
        self.reading = set(keys)
        self.spawn(self._read, keys, name="load")

    async def _read(self, keys: tuple[Key, ...]) -> None:
        try:
            read = _Read(keys, await read_states(self.lookup(QUERIES), self.log.log_id, keys))
        except Refused as refused:
            read = _Read(keys, None, refused.message)
        self.after(0.0, read)

    @receive
    def read(self, message: _Read) -> None:
        """Answer those who waited for a query."""
        self.reading = set()
        tail, found, why = self.tail, message.found, message.why
        assert tail is not None
        if found is not None and found.position < tail.needed:
            why = f"the database is at {found.position} of the log and has to come to {tail.needed} again"
            found = None
        if found is None:
            self.failures += 1
            self.trouble = f"what was stored cannot be read: {why}"
            self.away_until = self.clock.monotonic() + round(self.settings.retry_s * 0.5e9)
            self._answer(message.keys, tail.find)
        else:
            self.trouble = ""
            states = dict(found.states)
            self._answer(message.keys, lambda key: tail.completed(key, states.get(key, NOTHING)))
        self._ask()

    def _answer(self, keys: tuple[Key, ...], known: Callable[[Key], Loaded | None]) -> None:
        for key in keys:
            answer = known(key)
            for promise in self.waiting.pop(key, ()):
                if answer is None:
                    promise.refuse(Refused("unavailable", self.trouble))
                else:
                    promise.answer(answer)

    @receive
    def database_ready(self, _: DatabaseReady) -> None:
        """It is there again: ask at once."""
        self.away_until = 0

    # What has reached the database.

    @receive
    def trim(self, _: _Trim) -> None:
        """Let go of what the database has."""
        assert self.tail is not None
        if not self.trimming and (self.tail.known or self.tail.records):
            self.trimming = True
            self.spawn(self._look, name="position")

    async def _look(self) -> None:
        try:
            position = await read_position(self.lookup(QUERIES), self.log.log_id)
        except Refused:
            position = -1  # nothing is let go of; the probe of storage says that there is no database
        self.after(0.0, _At(position))

    @receive
    def at(self, message: _At) -> None:
        """The database has come so far."""
        self.trimming = False
        assert self.tail is not None
        self.tail.let_go(message.position)

    # Lists.

    @receive
    def keys(self, _: ListKeys) -> KnownKeys | None:
        """Name everybody who is known."""
        if (tail := self._tail()) is None:
            return None
        if tail.whole:
            return KnownKeys(tuple(sorted(tail.known)), tail.due)
        self.answer_later(read_keys, self.lookup(QUERIES), frozenset(tail.known), tail.due)
        return None

    @receive
    def records(self, request: GetRecords) -> Records | None:
        """What moved, newest first."""
        if not 1 <= request.limit <= MOST_RECORDS:
            raise Refused("invalid", f"limit: expected 1 to {MOST_RECORDS}, got {request.limit}", "limit")
        if (tail := self._tail()) is None:
            return None
        own = [
            each
            for _, each in tail.records.values()
            if request.user_id in ("", each.user) and request.symbol in (None, each.symbol) and each.ts >= request.since
        ]
        if tail.whole:
            return newest(own, request.limit)
        self.answer_later(read_records, self.lookup(QUERIES), request, own)
        return None

    @receive
    def pools(self, _: GetPools) -> None:
        """What all users together have shown, as the database has it."""
        self.answer_later(read_pools, self.lookup(QUERIES), self.registry, self.settings.learning.meta_gate)

    # How it is.

    @receive
    def figures(self, _: GetStatesFigures) -> StatesFigures:
        """Say what was done."""
        return StatesFigures(
            states=self.states,
            lessons=self.lessons,
            waiting=0 if self.tail is None else len(self.tail.known),
            loads=self.loads,
            failures=self.failures,
            trouble=self.trouble,
        )

    @receive
    def probe(self, _: Probe) -> ProbeReport:
        """Degraded while what was stored cannot be read."""
        waiting = 0 if self.tail is None else len(self.tail.known)
        figures = (("states", self.states), ("lessons", self.lessons), ("waiting", waiting))
        return ProbeReport("degraded" if self.trouble else "ok", self.trouble, figures=figures)
