"""Reading the node's log from a position on, in this or another process, while it is being written."""

from __future__ import annotations

import os
from itertools import pairwise
from pathlib import Path
from typing import Any, NamedTuple
from uuid import UUID
from zlib import crc32

import msgspec

from runtime.segments import (
    FIRST_ROW_KIND,
    RECORD,
    SEGMENT_HEADER,
    LogDamaged,
    SegmentHeader,
    Table,
    list_segments,
    read_header,
    read_tables,
    seed_of,
    segment_path,
)

CHUNK = 128 << 10
"""How much is read at a time: an idle reader reads one chunk of zeros per poll."""


class LoggedRow(NamedTuple):
    """A row as the log has it."""

    table: Table
    fields: list[Any]
    """One value per column: scalars, bytes, lists and dicts, as msgpack decodes them."""
    end: int
    """The position behind it."""


class Gap(NamedTuple):
    """A part of the log that cannot be read and was passed over."""

    start: int
    end: int
    reason: str


class LogReader:
    """A place in the log. Not a lock: any number of readers may follow one log.

    The reader uses `pread`, never a mapping: the node cuts segments to their length, and touching a mapped
    page behind the end of its file is a SIGBUS.
    """

    def __init__(self, directory: str | Path, position: int = 0) -> None:
        self.directory = Path(directory)
        self.gaps: list[Gap] = []
        """What had to be passed over; the owner reports and clears it."""
        self._tables: dict[int, Table] = {}
        self._seeds: dict[int, int] = {}
        self._decode = msgspec.msgpack.Decoder().decode
        self._file = -1
        self._header: SegmentHeader | None = None
        self._base = 0
        self._offset = 0
        self._buffer = b""
        self._buffer_offset = 0
        self.seek(position)

    @property
    def log_id(self) -> UUID | None:
        """Which log this is; None until its first segment is there."""
        if self._header is None:
            self._open_next()
        return None if self._header is None else self._header.log_id

    @property
    def epoch(self) -> int:
        """The epoch of the node that wrote what is being read; 0 until the first segment is there."""
        return 0 if self._header is None else self._header.epoch

    @property
    def position(self) -> int:
        """Where the next row will be looked for."""
        return self._base + self._offset

    def seek(self, position: int) -> None:
        """Continue at `position`, which is 0 or the `end` of a row."""
        self.close()
        self._base, self._offset = position, 0

    def read(self, max_rows: int, max_bytes: int) -> list[LoggedRow]:
        """Return the next rows: at most `max_rows`, and none more once `max_bytes` are reached; [] if there
        are none.

        Never waits. Raises LogDamaged for a segment of another version, or a row of a kind that nobody
        declared.
        """
        rows: list[LoggedRow] = []
        size = 0
        while len(rows) < max_rows and size < max_bytes:
            if self._file < 0 and not self._open_next():
                break
            before = self._offset
            self._take(rows, max_rows, max_bytes - size)
            size += self._offset - before
            if self._offset == before and not self._fill() and not self._leave_segment():
                break
        return rows

    def finished_segments(self, position: int) -> bool:
        """Return whether `drop_segments(position)` would delete something."""
        bases = list_segments(self.directory)
        return len(bases) > 1 and bases[1] <= position

    def drop_segments(self, position: int) -> int:
        """Delete the segments that end at or before `position`; returns how many. The newest one always
        stays.

        Only for the owner of the queue, after `position` is safe elsewhere.
        """
        bases = list_segments(self.directory)
        dropped = 0
        for base, following in pairwise(bases):
            if following > position:
                break
            segment_path(self.directory, base).unlink(missing_ok=True)
            dropped += 1
        return dropped

    def close(self) -> None:
        """Let go of the open segment; the next read opens it again."""
        if self._file >= 0:
            os.close(self._file)
            self._file = -1
        self._buffer = b""

    def _take(self, rows: list[LoggedRow], max_rows: int, max_bytes: int) -> None:
        """Move whole records from the buffer to `rows`."""
        buffer = self._buffer
        at = self._offset - self._buffer_offset
        limit = len(buffer)
        stop = at + max_bytes
        unpack, decode, tables, seeds = RECORD.unpack_from, self._decode, self._tables, self._seeds
        to_position = self._base + self._buffer_offset
        append = rows.append
        room = max_rows - len(rows)
        while room and at < stop and at + 10 <= limit:
            length, crc, kind = unpack(buffer, at)
            end = at + 10 + length
            if length == 0 or end > limit:
                break
            payload = buffer[at + 10 : end]
            seed = seeds.get(kind)
            if seed is None:
                seed = seeds[kind] = seed_of(kind)
            if crc32(payload, seed) != crc:
                break
            at = end
            if kind < FIRST_ROW_KIND:
                continue
            table = tables.get(kind)
            if table is None:
                table = self._table(kind)
            append(LoggedRow(table, decode(payload), to_position + end))
            room -= 1
        self._offset = self._buffer_offset + at

    def _fill(self) -> bool:
        """Read on from the current offset. Returns whether there is a whole record now."""
        wanted = CHUNK
        while True:
            self._buffer = os.pread(self._file, wanted, self._offset)
            self._buffer_offset = self._offset
            if len(self._buffer) < RECORD.size:
                return False
            length, crc, kind = RECORD.unpack_from(self._buffer)
            end = RECORD.size + length
            if length == 0:
                return False
            if end <= len(self._buffer):
                return bool(crc32(self._buffer[RECORD.size : end], seed_of(kind)) == crc)
            if wanted >= end or len(self._buffer) < wanted:
                return False
            wanted = end

    def _leave_segment(self) -> bool:
        """Go on to the next segment if this one is finished. Returns whether there may be more to read."""
        bases = [base for base in list_segments(self.directory) if base > self._base]
        if not bases:
            return False
        # The successor is there, so nothing is appended here any more; but something may have been between
        # our last look at this segment and our look at the folder.
        if self._fill():
            return True
        if self._buffer.strip(b"\0"):
            self.gaps.append(Gap(self.position, bases[0], "a record of a finished segment is damaged"))
        self.close()
        self._base, self._offset = bases[0], 0
        return self._open_next()

    def _open_next(self) -> bool:
        """Open the segment that holds the position, or the first one behind it."""
        position = self.position
        bases = list_segments(self.directory) if self.directory.exists() else []
        if not bases:
            return False
        held = [base for base in bases if base <= position]
        base = held[-1] if held else bases[0]
        if not held and position:
            self.gaps.append(Gap(position, base, "the segments that held it are gone"))
        self._header = read_header(self.directory, base)
        self._file = os.open(segment_path(self.directory, base), os.O_RDONLY)
        self._base = base
        self._offset = max(position - base, SEGMENT_HEADER.size)
        self._buffer_offset = self._offset
        self._buffer = b""
        return True

    def _table(self, kind: int) -> Table:
        # The node writes a table's shape before its first row.
        self._tables.update(read_tables(self.directory)[0])
        try:
            return self._tables[kind]
        except KeyError:
            raise LogDamaged(f"a row at {self.position} is of kind {kind}, which nobody declared") from None
