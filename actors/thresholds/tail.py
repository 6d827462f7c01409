"""What the database may not have yet: of each user and symbol the newest state, and the lessons since. A core.

Everything that was accepted is in the node's log, and everything that the log has no more is in the database for
certain. So after a start the log is read once; from then on what is written is noted here, until the database says that
it has it. PostgreSQL may take back the last commits when it is killed; so it is remembered how far it has to be for
what was let go of (`needed`), and what it says from an earlier place does not count.
"""

from __future__ import annotations

from pathlib import Path
from typing import Final, NamedTuple

import msgspec

from actors.thresholds.messages import Loaded
from protocols.thresholds import AdaptationRecord, ThresholdLessonRow, ThresholdStateRow
from runtime.log_reader import LogReader

Key = tuple[str, str]
STATES: Final = ThresholdStateRow.table
LESSONS: Final = ThresholdLessonRow.table
PIECE_ROWS: Final = 2_000
PIECE_BYTES: Final = 1 << 20
_records = msgspec.json.Decoder(tuple[AdaptationRecord, ...]).decode


class _Lesson(NamedTuple):
    seq: int
    outcome_seq: int
    lesson: bytes


class _Known:
    """Of one user and symbol. `end`: the log's position behind its last row."""

    __slots__ = ("due", "end", "has_state", "lessons", "outcome_seq", "seq", "state")

    def __init__(self) -> None:
        self.due = True
        self.end = 0
        self.has_state = False
        self.state = b""
        self.seq = 0
        self.outcome_seq = 0
        self.lessons: list[_Lesson] = []


class Stored(NamedTuple):
    """What the database has of a user and symbol."""

    seq: int
    state: bytes
    outcome_seq: int
    lessons: tuple[tuple[int, int, bytes], ...]
    """(seq, outcome_seq, lesson), in order."""


NOTHING: Final = Stored(0, b"", 0, ())


class Tail:
    """`whole`: it has all that was ever written, so that nothing need be asked of the database."""

    def __init__(self) -> None:
        self.known: dict[Key, _Known] = {}
        self.records: dict[str, tuple[int, AdaptationRecord]] = {}
        """By user, symbol and id: with the position behind its row."""
        self.needed = 0
        self.whole = True

    def state(self, key: Key, seq: int, outcome_seq: int, state: bytes, due: bool, end: int) -> None:
        """A state was written."""
        known = self._of(key)
        known.due = due
        known.end, known.seq, known.state, known.has_state = end, seq, state, True
        known.outcome_seq = outcome_seq
        known.lessons = []

    def lesson(self, key: Key, seq: int, outcome_seq: int, lesson: bytes, end: int) -> None:
        """A lesson was written."""
        known = self._of(key)
        known.end = end
        known.lessons.append(_Lesson(seq, outcome_seq, lesson))

    def event(self, record: AdaptationRecord, end: int) -> None:
        """A record was written."""
        self.records[f"{record.user}\0{record.symbol}\0{record.id}"] = (end, record)

    @property
    def due(self) -> frozenset[Key]:
        """Those where a cycle may move something."""
        return frozenset(key for key, known in self.known.items() if known.due)

    def _of(self, key: Key) -> _Known:
        found = self.known.get(key)
        if found is None:
            found = self.known[key] = _Known()
        return found

    def find(self, key: Key) -> Loaded | None:
        """What is known without the database; None: it has to be asked."""
        known = self.known.get(key)
        if known is not None and (known.has_state or self.whole):
            return _loaded(known, NOTHING)
        return Loaded() if known is None and self.whole else None

    def completed(self, key: Key, stored: Stored) -> Loaded:
        """What is known together with what the database has."""
        known = self.known.get(key)
        return _loaded(_Known() if known is None else known, stored)

    def let_go(self, position: int) -> None:
        """The database has everything up to this position of the log."""
        gone = [key for key, known in self.known.items() if known.end <= position]
        for key in gone:
            self.needed = max(self.needed, self.known.pop(key).end)
            self.whole = False
        for name in [name for name, (end, _) in self.records.items() if end <= position]:
            self.needed = max(self.needed, self.records.pop(name)[0])
            self.whole = False


def _loaded(known: _Known, stored: Stored) -> Loaded:
    """The newer state, and all lessons behind it, each once."""
    if known.seq >= stored.seq:
        state, seq, outcome_seq = known.state, known.seq, known.outcome_seq
    else:
        state, seq, outcome_seq = stored.state, stored.seq, stored.outcome_seq
    lessons = {each[0]: each for each in stored.lessons if each[0] > seq}
    lessons |= {each.seq: (each.seq, each.outcome_seq, each.lesson) for each in known.lessons if each.seq > seq}
    ordered = [lessons[place] for place in sorted(lessons)]
    last = max((each[1] for each in ordered), default=0)
    return Loaded(state, tuple(each[2] for each in ordered), max(outcome_seq, last))


def read_tail(directory: Path, end: int, stream: str, last_seq: int) -> Tail:
    """What the log has, up to its position `end`, of a stream that is at `last_seq`.

    Blocking: for a thread. Raises OSError, LogDamaged.
    """
    reader = LogReader(directory)
    try:
        tail, first = Tail(), 0
        while reader.position < end:
            rows = reader.read(PIECE_ROWS, PIECE_BYTES)
            if reader.gaps:
                # A segment was deleted while it was read: its rows are in the database, what was read is older.
                reader.gaps.clear()
                tail.whole = False
            if not rows:
                break
            for row in rows:
                if row.table.name not in (STATES, LESSONS):
                    continue
                fields = dict(zip(row.table.columns, row.fields, strict=True))
                if fields["stream"] != stream:
                    continue
                first = first or fields["seq"]
                key = (fields["user_id"], fields["symbol"])
                if row.table.name == STATES:
                    tail.state(key, fields["seq"], fields["outcome_seq"], fields["state"], True, row.end)
                    for record in _records(fields["records"]):
                        tail.event(record, row.end)
                else:
                    tail.lesson(key, fields["seq"], fields["outcome_seq"], fields["lesson"], row.end)
        tail.whole = tail.whole and (first == 1 or last_seq == 0)
        return tail
    finally:
        reader.close()
