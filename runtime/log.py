"""The node's log: a row is accepted when it is appended here.

    log = open_log("data/log")
    position = log.append(SignalRow(stream="signals", seq=1, ...))

What `append` has returned survives `kill -9` of the process: a segment is a shared file mapping, so the copy
of a record into it is already a copy into the kernel's page cache. Measured on 2 cores, that is 0.7 µs a row
with encoding and checksum, where one `write` a row costs 1.5 µs. The blocks of a segment are allocated when
it is begun, so a full disk is found then, as a refusal, and not as a SIGBUS at some later row. A power
failure costs what the kernel had not written yet, unless `fsync` is on.

The log is also the queue to the database: the writer process tails it (`log_reader.py`) and deletes the
segments that the database holds for certain. The format is in `segments.py`.
"""

from __future__ import annotations

import mmap
import os
import time
import uuid
import zlib
from pathlib import Path
from typing import Any

import msgspec
from msgspec.structs import astuple

from protocols.control import Refused, Row
from runtime.log_recovery import LogLocked, lock_folder, recover
from runtime.segments import (
    FIRST_ROW_KIND,
    LAST_KIND,
    RECORD,
    SEGMENT_HEADER,
    STREAMS,
    TABLE,
    TABLES_FILE,
    SegmentHeader,
    Table,
    encode_record,
    list_segments,
    next_base,
    read_tables,
    seed_of,
    segment_path,
)

__all__ = ["LogFull", "LogLocked", "NodeLog", "RowTooLarge", "open_log"]

SEGMENT_BYTES = 16 << 20
MAX_BYTES = 1 << 30
RESERVE_BYTES = 256 << 20


class LogFull(Refused):
    """The row was not accepted: the log has its full size, or the disk is nearly full."""

    def __init__(self, message: str) -> None:
        super().__init__("log_full", message)


class RowTooLarge(ValueError):
    """The row does not fit into a segment."""


class _Kind:
    """How the rows of one class are appended."""

    __slots__ = ("json", "kind", "seed", "sequenced", "table")

    def __init__(self, table: Table, json: tuple[int, ...]) -> None:
        self.table = table
        self.kind = table.kind
        self.seed = seed_of(table.kind)
        self.sequenced = table.seq >= 0
        self.json = json
        """Which columns are `msgspec.Raw`: JSON text, which is not msgpack and so goes as a string."""


class NodeLog:
    """The open log. Made by `open_log`; for the thread of the event loop only."""

    def __init__(
        self,
        directory: Path,
        lock: int,
        header: SegmentHeader,
        streams: dict[str, int],
        *,
        segment_bytes: int,
        max_bytes: int,
        reserve_bytes: int,
        fsync: bool,
        torn_bytes: int,
    ) -> None:
        self.directory = directory
        self.log_id: uuid.UUID = header.log_id
        self.epoch: int = header.epoch
        """The counter of the node's starts."""
        self.torn_bytes = torn_bytes
        """How much of a half-written row was cut off when the log was opened."""
        self._started = header.started
        self._lock = lock
        self._streams = streams
        self._segment_bytes = segment_bytes
        self._max_bytes = max_bytes
        self._reserve_bytes = reserve_bytes
        self._fsync = fsync
        self._kinds: dict[type[Row], _Kind] = {}
        self._tables, sound = read_tables(directory)
        self._tables_fd = os.open(directory / TABLES_FILE, os.O_RDWR | os.O_CREAT | os.O_APPEND, 0o600)
        os.ftruncate(self._tables_fd, sound)
        self._encode = msgspec.msgpack.Encoder().encode
        self._base = header.base
        self._offset = 0
        self._size = 0
        self._file = -1
        self._map: mmap.mmap | None = None
        self._view = memoryview(bytearray())
        self._begin_segment(header.base)

    def append(self, row: Row) -> int:
        """Accept `row`. Returns the position behind it: the database holds it once the writer has come that
        far.

        Raises LogFull, RowTooLarge, TypeError for a row that cannot be encoded, and ValueError for a
        sequenced row whose `seq` is not above the last one of its stream. Nothing was appended then.
        """
        kind = self._kinds.get(type(row))
        if kind is None:
            kind = self._register(type(row))
        fields = astuple(row)
        if kind.json:
            fields = _with_text(fields, kind.json)
        payload = self._encode(fields)
        if kind.sequenced:
            stream, seq = fields[kind.table.stream], fields[kind.table.seq]
            if seq <= self._streams.get(stream, 0):
                raise ValueError(f"stream {stream!r} is at {self._streams.get(stream, 0)}, so seq {seq} is not new")
        length = len(payload)
        start = self._offset
        end = start + 10 + length
        if end > self._size:
            self._roll(10 + length)
            start = self._offset
            end = start + 10 + length
        # The payload first: a reader in another process then never sees a header without it on a machine
        # that keeps the order of stores; elsewhere the checksum tells.
        view = self._view
        view[start + 10 : end] = payload
        RECORD.pack_into(view, start, length, zlib.crc32(payload, kind.seed), kind.kind)
        self._offset = end
        if kind.sequenced:
            self._streams[stream] = seq
        if self._fsync:
            self._sync_range(start, end)
        return self._base + end

    @property
    def position(self) -> int:
        """The position behind the last accepted row."""
        return self._base + self._offset

    def last_seq(self, stream: str) -> int:
        """Return the highest `seq` accepted in a stream, 0 if there was none; known without the database."""
        return self._streams.get(stream, 0)

    def backlog(self, position: int) -> int:
        """Return how many bytes have been accepted behind `position`; headers of segments count a little."""
        waiting = 0
        for base in list_segments(self.directory):
            size = self._offset if base == self._base else _size(segment_path(self.directory, base))
            waiting += max(0, base + size - max(base + SEGMENT_HEADER.size, position))
        return waiting

    def sync(self) -> None:
        """Wait until everything accepted so far is on the disk. Blocks the thread for milliseconds."""
        self._sync_range(0, self._offset)

    def close(self) -> None:
        """Close the log and unlock its folder; closing twice does nothing."""
        if self._lock < 0:
            return
        self._end_segment()
        os.close(self._tables_fd)
        os.close(self._lock)
        self._lock = -1
        self._size = self._offset  # an append from now on comes to `_roll`, which says so

    def __enter__(self) -> NodeLog:
        return self

    def __exit__(self, *exception: object) -> None:
        self.close()

    def _register(self, row: type[Row]) -> _Kind:
        if self._lock < 0:
            raise RuntimeError("the node's log is closed")
        columns = row.__struct_fields__
        stream = seq = -1
        if row.sequenced:
            stream, seq = columns.index("stream"), columns.index("seq")
        for table in self._tables.values():
            if (table.name, table.columns, table.stream, table.seq) == (row.table, columns, stream, seq):
                break
        else:
            number = max(self._tables, default=FIRST_ROW_KIND - 1) + 1
            if number > LAST_KIND:
                raise RuntimeError("the log has no more numbers for new shapes of rows; begin a new one")
            table = Table(number, row.table, columns, stream, seq)
            os.write(self._tables_fd, encode_record(TABLE, msgspec.msgpack.encode(table)))
            os.fdatasync(self._tables_fd)  # without this file no row of the kind could be read
            self._tables[number] = table
        kind = self._kinds[row] = _Kind(table, _json_columns(row))
        return kind

    def _roll(self, needed: int) -> None:
        """Begin a new segment that has room for `needed` bytes."""
        if self._lock < 0:
            raise RuntimeError("the node's log is closed")
        room = self._segment_bytes - SEGMENT_HEADER.size - len(self._streams_record())
        if needed > room:
            raise RowTooLarge(f"the row takes {needed} bytes, a segment has room for {room}")
        kept = sum(_size(segment_path(self.directory, base)) for base in list_segments(self.directory))
        if kept - self._size + self._offset + self._segment_bytes > self._max_bytes:
            raise LogFull(f"the log holds {kept} of at most {self._max_bytes} bytes that are not in the database yet")
        self._begin_segment(self._base + self._offset)

    def _begin_segment(self, base: int) -> None:
        free = os.statvfs(self.directory)
        if free.f_bavail * free.f_frsize < self._segment_bytes + self._reserve_bytes:
            raise LogFull(
                f"the disk of {self.directory} is nearly full: less than {self._reserve_bytes} bytes are left"
            )
        path = segment_path(self.directory, base)
        scratch = path.with_suffix(".tmp")
        file = os.open(scratch, os.O_RDWR | os.O_CREAT | os.O_TRUNC, 0o600)
        try:
            os.posix_fallocate(file, 0, self._segment_bytes)
            header = SegmentHeader(self.log_id, base, self.epoch, self._started)
            content = header.encode() + self._streams_record()
            os.pwrite(file, content, 0)
            if self._fsync or self._file < 0:
                # Once a start, so that a power failure cannot take back an epoch.
                os.fsync(file)
            mapping = mmap.mmap(file, self._segment_bytes)
            os.rename(scratch, path)
        except OSError as error:
            os.close(file)
            scratch.unlink(missing_ok=True)
            raise LogFull(f"cannot begin a segment in {self.directory}: {error}") from error
        if self._fsync or self._file < 0:
            _sync_directory(self.directory)
        self._end_segment()
        self._base, self._offset, self._size = base, len(content), self._segment_bytes
        self._file, self._map, self._view = file, mapping, memoryview(mapping)

    def _end_segment(self) -> None:
        if self._map is None:
            return
        if self._fsync:
            self.sync()
        self._view.release()
        self._map.close()
        os.ftruncate(self._file, self._offset)
        os.close(self._file)
        self._map = None

    def _streams_record(self) -> bytes:
        return encode_record(STREAMS, msgspec.msgpack.encode(self._streams))

    def _sync_range(self, start: int, end: int) -> None:
        if self._map is not None:
            page = start - start % mmap.ALLOCATIONGRANULARITY
            self._map.flush(page, end - page)


def open_log(
    directory: str | Path,
    *,
    segment_bytes: int = SEGMENT_BYTES,
    max_bytes: int = MAX_BYTES,
    reserve_bytes: int = RESERVE_BYTES,
    fsync: bool = False,
) -> NodeLog:
    """Open or begin the log in `directory`, cut off a half-written row, and raise its epoch.

    `segment_bytes` is the size of a segment, `max_bytes` of all that the database does not hold yet,
    `reserve_bytes` what must stay free on the disk. With `fsync` every row is on the disk before `append`
    returns.

    Raises LogLocked if another process has it open, LogFull if there is no room to begin, LogDamaged if the
    newest segment is of another version.
    """
    if max_bytes < 2 * segment_bytes:
        raise ValueError(f"max_bytes must be at least two segments, got {max_bytes} and segments of {segment_bytes}")
    directory = Path(directory)
    directory.mkdir(parents=True, exist_ok=True, mode=0o700)
    lock = lock_folder(directory)
    try:
        for scratch in directory.glob("*.tmp"):
            scratch.unlink()
        last, streams, end, torn = recover(directory)
        header = SegmentHeader(
            log_id=uuid.uuid4() if last is None else last.log_id,
            base=0 if last is None else next_base(end),
            epoch=1 if last is None else last.epoch + 1,
            started=time.time_ns(),
        )
        return NodeLog(
            directory,
            lock,
            header,
            streams,
            segment_bytes=segment_bytes,
            max_bytes=max_bytes,
            reserve_bytes=reserve_bytes,
            fsync=fsync,
            torn_bytes=torn,
        )
    except BaseException:
        os.close(lock)
        raise


def _json_columns(row: type[Row]) -> tuple[int, ...]:
    # Imported here: it is needed once per class of rows, and the writer process never needs it.
    from msgspec import inspect

    found = []
    described = inspect.type_info(row)
    assert isinstance(described, inspect.StructType)
    for index, field in enumerate(described.fields):
        members = field.type.types if isinstance(field.type, inspect.UnionType) else (field.type,)
        if any(isinstance(member, inspect.RawType) for member in members):
            found.append(index)
    return tuple(found)


def _with_text(fields: tuple[Any, ...], columns: tuple[int, ...]) -> tuple[Any, ...]:
    changed = list(fields)
    for index in columns:
        if isinstance(changed[index], msgspec.Raw):
            changed[index] = bytes(changed[index]).decode()
    return tuple(changed)


def _size(path: Path) -> int:
    try:
        return path.stat().st_size
    except FileNotFoundError:  # the writer has just deleted it
        return 0


def _sync_directory(directory: Path) -> None:
    descriptor = os.open(directory, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
