"""The keeper of states: accepts what becomes of thresholds, and knows what was stored.

A row is in the node's log before its user's actor hears that it is kept. After a start the log's tail is read once;
what is not there is asked of the database, many users in one query. Without a database those whose state the log has go
on, the others are refused `unavailable`: nobody learns on top of what is not known.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, ClassVar, Final, TypeVar

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
    Pools,
    StatesFigures,
    SymbolPool,
)
from actors.thresholds.pools import Shown, pool_of
from actors.thresholds.settings import Settings, registry_of
from actors.thresholds.tail import NOTHING, Key, Stored, Tail, read_tail
from protocols.control import Message, Probe, ProbeReport, Refused, Unknown
from protocols.paths import QUERIES
from protocols.storage import PAGE, DatabaseReady, QueryResult, RunQuery
from protocols.thresholds import (
    CHANGES,
    AdaptationRecord,
    GetRecords,
    Records,
    ThresholdLessonRow,
    ThresholdStateRow,
)
from runtime import Actor, Mailbox, receive
from runtime.promise import Promise

TRIM_S: Final = 2.0
QUERY_S: Final = 5.0
READ_LOG_S: Final = 300.0
BATCH: Final = 100
"""Users and symbols that are read by one query."""
MOST_RECORDS: Final = 1_000
R = TypeVar("R")

POSITION: Final = "(SELECT coalesce(max(position), 0) FROM write_position WHERE log_id = $1)"
WHERE_IT_IS: Final = f"SELECT {POSITION}"
LOAD: Final = f"""
    SELECT {POSITION}, w.user_id, w.symbol, coalesce(s.seq, 0), s.state, coalesce(s.outcome_seq, 0), l.seqs,
           l.outcome_seqs, l.lessons
    FROM unnest($2::text[], $3::text[]) AS w(user_id, symbol)
    LEFT JOIN LATERAL (
        SELECT seq, state, outcome_seq FROM threshold_states
        WHERE user_id = w.user_id AND symbol = w.symbol ORDER BY seq DESC LIMIT 1
    ) s ON true
    LEFT JOIN LATERAL (
        SELECT array_agg(seq ORDER BY seq) AS seqs, array_agg(outcome_seq ORDER BY seq) AS outcome_seqs,
               array_agg(lesson ORDER BY seq) AS lessons
        FROM threshold_lessons
        WHERE user_id = w.user_id AND symbol = w.symbol AND seq > coalesce(s.seq, 0)
    ) l ON true
"""  # noqa: S608 - names of our own
KEYS: Final = """
    SELECT known.user_id, known.symbol, EXISTS (
        SELECT FROM adaptive_thresholds t WHERE t.user_id = known.user_id AND t.symbol = known.symbol
            AND (t.gate_open OR t.current_value <> t.default_value)
    ) FROM (
        SELECT user_id, symbol FROM threshold_states UNION SELECT user_id, symbol FROM threshold_lessons
    ) known WHERE (known.user_id, known.symbol) > ($1, $2) ORDER BY 1, 2 LIMIT $3
"""
RECORDS: Final = """
    SELECT user_id, symbol, id, record FROM adaptation_events
    WHERE ($1 = '' OR user_id = $1) AND ($2::text IS NULL OR symbol = $2) AND ts >= $3
    ORDER BY ts DESC, seq DESC LIMIT $4
"""
SHOWN: Final = """
    SELECT symbol, parameter_name, user_id, candidate_value, decisions, score_sd, advantage, advantage_variance
    FROM adaptive_thresholds
    WHERE decisions > 0 AND score_sd > 0 AND (symbol, parameter_name, user_id) > ($1, $2, $3)
    ORDER BY symbol, parameter_name, user_id LIMIT $4
"""


class _Known(Message, frozen=True, gc=False, tag="threshold_tail_known"):
    """To itself: the log has been read."""

    tail: Tail


class _Read(Message, frozen=True, gc=False, tag="threshold_states_read"):
    """To itself: what a query has found; None: it has not, and why."""

    keys: tuple[Key, ...]
    found: QueryResult | None
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
        await self.ref.send(_Known(tail))

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
        users, symbols = tuple(key[0] for key in keys), tuple(key[1] for key in keys)
        try:
            found: QueryResult | None = await self._query(LOAD, self.log.log_id, users, symbols)
            why = ""
        except Refused as refused:
            found, why = None, refused.message
        await self.ref.send(_Read(keys, found, why), READ_LOG_S)

    @receive
    def read(self, message: _Read) -> None:
        """Answer those who waited for a query."""
        self.reading = set()
        tail, found, why = self.tail, message.found, message.why
        assert tail is not None
        if found is not None and found.rows and found.rows[0][0] < tail.needed:
            why = f"the database is at {found.rows[0][0]} of the log and has to come to {tail.needed} again"
            found = None
        if found is None:
            self.failures += 1
            self.trouble = f"what was stored cannot be read: {why}"
            self.away_until = self.clock.monotonic() + round(self.settings.retry_s * 0.5e9)
            self._answer(message.keys, lambda key: tail.find(key))
        else:
            self.trouble = ""
            rows = {(row[1], row[2]): _stored(row) for row in found.rows}
            self._answer(message.keys, lambda key: tail.completed(key, rows.get(key, NOTHING)))
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
            position = (await self._query(WHERE_IT_IS, self.log.log_id)).rows[0][0]
        except Refused:
            position = -1  # nothing is let go of; the probe of storage says that there is no database
        await self.ref.send(_At(position), READ_LOG_S)

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
            return KnownKeys(tuple(sorted(tail.known)), frozenset(own_due(tail)))
        self.answer_later(self._keys, frozenset(tail.known), own_due(tail))
        return None

    async def _keys(self, own: frozenset[Key], own_due: set[Key]) -> KnownKeys:
        found, due, remark = set(own), own_due, ""
        last: Key = ("", "")
        try:
            while True:
                page = await self._query(KEYS, *last, PAGE)
                found |= {(row[0], row[1]) for row in page.rows}
                due |= {(row[0], row[1]) for row in page.rows if row[2]} - own
                if len(page.rows) < PAGE:
                    break
                last = (page.rows[-1][0], page.rows[-1][1])
        except Refused as refused:
            remark = f"those that only the database knows cannot be read: {refused.message}"
        return KnownKeys(tuple(sorted(found)), frozenset(due), remark)

    @receive
    def records(self, request: GetRecords) -> Records | None:
        """What moved, newest first."""
        if not 1 <= request.limit <= MOST_RECORDS:
            raise Refused("invalid", f"limit: expected 1 to {MOST_RECORDS}, got {request.limit}", "limit")
        if (tail := self._tail()) is None:
            return None
        own = {
            (each.user, each.symbol, each.id): each
            for _, each in tail.records.values()
            if request.user_id in ("", each.user) and request.symbol in (None, each.symbol) and each.ts >= request.since
        }
        if tail.whole:
            return _newest(own.values(), request.limit, "")
        self.answer_later(self._records, request, own)
        return None

    async def _records(self, request: GetRecords, own: dict[tuple[str, str, str], AdaptationRecord]) -> Records:
        remark = ""
        try:
            place, wanted = request.since, min(request.limit, PAGE)
            page = await self._query(RECORDS, request.user_id, request.symbol, place, wanted)
            if request.limit > PAGE and len(page.rows) == PAGE:
                remark = f"the database was asked for the newest {PAGE}"
            for user, symbol, name, record in page.rows:
                own.setdefault((user, symbol, name), msgspec.json.decode(record, type=AdaptationRecord))
        except Refused as refused:
            remark = f"those that only the database has cannot be read: {refused.message}"
        return _newest(own.values(), request.limit, remark)

    @receive
    def pools(self, _: GetPools) -> None:
        """What all users together have shown, as the database has it."""
        self.answer_later(self._pools)

    async def _pools(self) -> Pools:
        shown: dict[tuple[str, str], list[Shown]] = {}
        last = ("", "", "")
        try:
            while True:
                page = await self._query(SHOWN, *last, PAGE)
                for symbol, parameter, _, *figures in page.rows:
                    shown.setdefault((symbol, parameter), []).append(Shown(*figures))
                if len(page.rows) < PAGE:
                    break
                last = tuple(page.rows[-1][:3])
        except Refused as refused:
            return Pools((), f"what others have shown cannot be read: {refused.message}")
        gate = self.settings.learning.meta_gate
        found = [
            SymbolPool(symbol, parameter, pool)
            for (symbol, parameter), users in sorted(shown.items())
            if parameter in self.registry and (pool := pool_of(self.registry[parameter], users, gate)) is not None
        ]
        return Pools(tuple(found))

    async def _query(self, sql: str, *arguments: Any) -> QueryResult:
        """Ask the database. Raises Refused."""
        try:
            return await self.lookup(QUERIES).ask(RunQuery(sql, arguments, PAGE, QUERY_S), QUERY_S + 1)
        except Unknown as unknown:
            raise Refused("unavailable", f"no answer from the database: {unknown}") from unknown

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


def own_due(tail: Tail) -> set[Key]:
    """Those of the tail where a cycle may move something."""
    return {key for key, known in tail.known.items() if known.due}


def _stored(row: tuple[Any, ...]) -> Stored:
    """A row of LOAD."""
    _, _, _, seq, state, outcome_seq, seqs, outcome_seqs, lessons = row
    return Stored(
        seq, state or b"", outcome_seq, tuple(zip(seqs or (), outcome_seqs or (), lessons or (), strict=True))
    )


def _newest(records: Any, limit: int, remark: str) -> Records:
    ordered = sorted(records, key=lambda each: (each.ts, _serial(each)), reverse=True)
    return Records(tuple(ordered[:limit]), remark)


def _serial(record: AdaptationRecord) -> int:
    return int(record.id.rpartition("#")[2])
