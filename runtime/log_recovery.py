"""Opening a log that another life of the node left: nobody else may have it, and its end may be half a row."""

from __future__ import annotations

import fcntl
import os
from pathlib import Path
from typing import Any

import msgspec

from runtime.segments import (
    LOCK_FILE,
    SEGMENT_HEADER,
    STREAMS,
    TABLES_FILE,
    LogDamaged,
    SegmentHeader,
    decode_streams,
    list_segments,
    read_header,
    read_tables,
    records,
    segment_path,
)


class LogLocked(Exception):
    """Another process has the log open."""


def lock_folder(directory: Path) -> int:
    """Lock the folder for this process; returns the descriptor that holds the lock. Raises LogLocked."""
    lock = os.open(directory / LOCK_FILE, os.O_RDWR | os.O_CREAT, 0o600)
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        owner = os.pread(lock, 20, 0).decode().strip()
        os.close(lock)
        raise LogLocked(f"{directory} is in use by another node (process {owner})") from None
    os.ftruncate(lock, 0)
    os.pwrite(lock, f"{os.getpid()}\n".encode(), 0)
    return lock


def recover(directory: Path) -> tuple[SegmentHeader | None, dict[str, int], int, int]:
    """Return the newest sound header, the streams, the end of the log, and how many bytes were cut off
    there.
    """
    for base in reversed(list_segments(directory)):
        path = segment_path(directory, base)
        content = path.read_bytes()
        if content[: SEGMENT_HEADER.size].strip(b"\0") == b"":
            # Begun just before a power failure, its content never reached the disk.
            path.rename(path.with_suffix(".lost"))
            continue
        header = read_header(directory, base)
        streams, end = _replay(directory, content)
        torn = len(content[end:].rstrip(b"\0"))
        os.truncate(path, end)
        return header, streams, base + end, torn
    return None, {}, 0, 0


def _replay(directory: Path, content: bytes) -> tuple[dict[str, int], int]:
    """Return the streams at the end of a segment, and the offset of that end."""
    tables, _ = read_tables(directory)
    streams: dict[str, int] = {}
    end = SEGMENT_HEADER.size
    for kind, payload, end in records(content, SEGMENT_HEADER.size):  # noqa: B007 - used behind the loop
        if kind == STREAMS:
            streams.update(decode_streams(payload))
            continue
        table = tables.get(kind)
        if table is None:
            raise LogDamaged(f"a row of kind {kind} is of no table that {directory / TABLES_FILE} knows")
        if table.seq >= 0:
            fields: list[Any] = msgspec.msgpack.decode(payload)
            streams[fields[table.stream]] = fields[table.seq]
    return streams, end
