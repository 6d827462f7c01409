"""The format of the node's log: segments of checksummed records, decodable without the classes of the rows.

The log is a folder:

    lock            held by the node that writes
    tables          which columns the rows of each kind have
    <base>.log      segments; the name is the position of the first byte, 20 digits

A **position** is a byte in the whole log: a segment's base plus the offset in its file. Positions only grow.
A segment is written by one life of the node; the next life begins with a segment of its own whose base is
the next multiple of 2^40, so that no position is ever used twice, not even when a power failure took the end
of an unsynced segment that a database had already stored.

A segment is a header of 64 bytes followed by records. A record is ten bytes (little endian: u32 length of
the payload, u32 CRC-32 of kind and payload, u16 kind) and a payload in msgpack. Ten zero bytes, or the end
of the file, end the segment. The first record holds the last `seq` of every stream at the time the segment
was begun. This module depends on the standard library and msgspec alone, because the writer process imports
it.
"""

from __future__ import annotations

import os
import struct
import uuid
import zlib
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import msgspec

VERSION = 1
"""Schema version of a segment; a reader refuses any other."""
MAGIC = b"TROUPLOG"
SEGMENT_HEADER = struct.Struct("<8sHHI16sQQQQ")
"""Magic, version, 0, CRC-32 of what follows, log id, base, epoch, start of the node (ns, UTC), 0."""
RECORD = struct.Struct("<IIH")
LIFE_BITS = 40
"""Lives of the node begin at multiples of 2^40: 1 TiB is more than one life writes between two commits."""

STREAMS = 1
TABLE = 2
FIRST_ROW_KIND = 16
LAST_KIND = 0xFFFF
MAX_PAYLOAD = 1 << 30

TABLES_FILE = "tables"
LOCK_FILE = "lock"
SUFFIX = ".log"


class LogDamaged(Exception):
    """A file of the log is not what was written: another version, a failed checksum, or an unknown kind of
    row.
    """


class SegmentHeader(NamedTuple):
    """What the first bytes of a segment say."""

    log_id: uuid.UUID
    base: int
    epoch: int
    started: int
    """When the node that wrote it started, ns since the Unix epoch, UTC."""

    def encode(self) -> bytes:
        """Return the 64 bytes."""
        rest = SEGMENT_HEADER.pack(MAGIC, VERSION, 0, 0, self.log_id.bytes, self.base, self.epoch, self.started, 0)
        crc = zlib.crc32(rest[16:])
        return rest[:12] + struct.pack("<I", crc) + rest[16:]


def decode_header(header: bytes) -> SegmentHeader:
    """Return the header of a segment. Raises LogDamaged if it is none, or of another version."""
    if len(header) < SEGMENT_HEADER.size:
        raise LogDamaged(f"a segment begins with {SEGMENT_HEADER.size} bytes, found {len(header)}")
    magic, version, _, crc, log_id, base, epoch, started, _ = SEGMENT_HEADER.unpack_from(header)
    if magic != MAGIC or crc != zlib.crc32(header[16 : SEGMENT_HEADER.size]):
        raise LogDamaged("this is not the header of a segment")
    if version != VERSION:
        raise LogDamaged(f"expected a segment of version {VERSION}, found version {version}")
    return SegmentHeader(uuid.UUID(bytes=log_id), base, epoch, started)


class Table(msgspec.Struct, frozen=True, array_like=True):
    """The rows of one kind: the database table they go to and its columns, in the order of the fields."""

    kind: int
    name: str
    columns: tuple[str, ...]
    stream: int = -1
    """Which column names the stream of a sequenced row; -1 if the rows are not sequenced."""
    seq: int = -1


class Record(NamedTuple):
    """One record found in a buffer; `end` is the offset behind it."""

    kind: int
    payload: bytes
    end: int


def seed_of(kind: int) -> int:
    """Return the CRC-32 with which a checksum of this kind of record begins."""
    return zlib.crc32(struct.pack("<H", kind))


def encode_record(kind: int, payload: bytes) -> bytes:
    """Return the bytes of one record."""
    return RECORD.pack(len(payload), zlib.crc32(payload, seed_of(kind)), kind) + payload


def records(buffer: bytes, offset: int = 0) -> Iterator[Record]:
    """Yield the records from `offset` on, up to the first that is not whole and sound."""
    unpack = RECORD.unpack_from
    crc32 = zlib.crc32
    limit = len(buffer)
    seeds: dict[int, int] = {}
    while offset + RECORD.size <= limit:
        length, crc, kind = unpack(buffer, offset)
        start = offset + RECORD.size
        end = start + length
        if length == 0 or end > limit:
            return
        seed = seeds.get(kind)
        if seed is None:
            seed = seeds[kind] = seed_of(kind)
        payload = buffer[start:end]
        if crc32(payload, seed) != crc:
            return
        yield Record(kind, payload, end)
        offset = end


def next_base(end: int) -> int:
    """Return where the next life of the node begins if the last one wrote up to `end`."""
    return ((end >> LIFE_BITS) + 1) << LIFE_BITS


def segment_path(directory: Path, base: int) -> Path:
    """Return the file of the segment that begins at `base`."""
    return directory / f"{base:020d}{SUFFIX}"


def list_segments(directory: Path) -> list[int]:
    """Return the bases of the segments in the folder, ascending."""
    names = (name.removesuffix(SUFFIX) for name in os.listdir(directory) if name.endswith(SUFFIX))
    return sorted(int(name) for name in names if name.isdecimal())


def read_header(directory: Path, base: int) -> SegmentHeader:
    """Read a segment's header. Raises LogDamaged, also if it is a header of another place."""
    with segment_path(directory, base).open("rb") as file:
        header = decode_header(file.read(SEGMENT_HEADER.size))
    if header.base != base:
        raise LogDamaged(f"the segment of {base} says that it begins at {header.base}")
    return header


def read_tables(directory: Path) -> tuple[dict[int, Table], int]:
    """Return the known tables by kind, and the length of the sound part of their file."""
    try:
        content = (directory / TABLES_FILE).read_bytes()
    except FileNotFoundError:
        return {}, 0
    tables: dict[int, Table] = {}
    end = 0
    for record in records(content):
        if record.kind == TABLE:
            table = msgspec.msgpack.decode(record.payload, type=Table)
            tables[table.kind] = table
        end = record.end
    return tables, end


def decode_streams(payload: bytes) -> dict[str, int]:
    """Return the last `seq` of every stream from a record of kind STREAMS."""
    return msgspec.msgpack.decode(payload, type=dict[str, int])
