"""The end of the stream as the node's log still has it.

A hub that was restarted reads it before its first message: what was accepted a moment ago may not be in the database
yet, and there may be no database at all. Segments are read from the newest backwards; each begins with the last place
of every stream, so those that hold no signal are passed over unread. Blocking: for a thread.
"""

from __future__ import annotations

from pathlib import Path

import msgspec

from protocols.signals import (
    SIGNAL_UPDATES,
    SIGNALS,
    SignalRow,
    SignalUpdateRow,
    StoredSignal,
    StoredUpdate,
    row_from_log,
)
from runtime.segments import (
    SEGMENT_HEADER,
    STREAMS,
    Table,
    decode_streams,
    list_segments,
    read_tables,
    records,
    segment_path,
)

MOST_BYTES = 128 << 20
"""How much of the log is read at most; the rest is left to the database."""
_FIRST_RECORD_BYTES = 1 << 20


class Tail(msgspec.Struct):
    """The last signals and updates, each in order."""

    signals: list[StoredSignal]
    updates: list[StoredUpdate]


def read_tail(directory: Path, capacity: int) -> Tail:
    """Return at least the last `capacity` signals, as far as the log has them. Raises OSError, LogDamaged."""
    tables, _ = read_tables(directory)
    wanted = {kind: table for kind, table in tables.items() if table.name in (SignalRow.table, SignalUpdateRow.table)}
    parts: list[Tail] = []
    found = size = 0
    after: dict[str, int] = {}
    for base in reversed(list_segments(directory)):
        path = segment_path(directory, base)
        try:
            before = _streams(path)
            if after and all(after.get(stream, 0) == before.get(stream, 0) for stream in (SIGNALS, SIGNAL_UPDATES)):
                continue
            content = path.read_bytes()
        except FileNotFoundError:  # the writer has just deleted it: the database has it, and all before it
            break
        part = _read_segment(content, wanted)
        parts.append(part)
        found += len(part.signals)
        size += len(content)
        after = before
        if found >= capacity or size >= MOST_BYTES or not before.get(SIGNALS):
            break
    parts.reverse()
    return Tail([each for part in parts for each in part.signals], [each for part in parts for each in part.updates])


def _streams(path: Path) -> dict[str, int]:
    """The last place of every stream when the segment was begun."""
    with path.open("rb") as file:
        content = file.read(_FIRST_RECORD_BYTES)
    for record in records(content, SEGMENT_HEADER.size):
        return decode_streams(record.payload) if record.kind == STREAMS else {}
    return {}


def _read_segment(content: bytes, wanted: dict[int, Table]) -> Tail:
    tail = Tail([], [])
    for kind, payload, _ in records(content, SEGMENT_HEADER.size):
        table = wanted.get(kind)
        if table is None:
            continue
        row = row_from_log(table.columns, msgspec.msgpack.decode(payload))
        if table.name == SignalRow.table:
            tail.signals.append(msgspec.convert(row, SignalRow).stored())
        else:
            tail.updates.append(msgspec.convert(row, SignalUpdateRow).stored())
    return tail
