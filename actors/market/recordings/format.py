"""The bytes of a recording's file: a row of blocks, each complete in itself. All numbers are little-endian.

    file     := header-block entry-block* [index-block trailer]
    block    := block-header (44 bytes) payload

    block-header
    offset  size
         0     4  magic "TRB1"
         4     1  kind: 1 header, 2 entries, 3 index
         5     1  compression of the payload: 0 none, 1 zstd (one frame)
         6     2  flags: bit 0, in an entry block: a connection begins in it; in an index block: another file follows
         8     4  length of the payload as stored
        12     4  length of the payload uncompressed
        16     4  number of entries (0 in a header block; number of blocks in an index block)
        20     8  time of the first entry, signed, nanoseconds since the Unix epoch
        28     8  latest time of an entry
        36     4  CRC-32 (zlib's) of the payload as stored
        40     4  CRC-32 of the 40 bytes before

    payload of a header block: JSON, `FileHeader`
    payload of an entry block: entries one behind the other
    payload of an index block: for each entry block its offset in the file (8), its first (8, signed) and latest time
                               (8, signed), its entries (4) and its flags (4)

    entry
         0     1  kind: 1 begin, 2 received, 3 sent, 4 answer, 5 note
         1     2  connection
         3     8  time, signed
        11     4  length of the body
        15        body

    body of begin: JSON {"session", "marks"}; received and sent: the frame's bytes; note: JSON {"count", "reason"};
    answer: length of the JSON (4), JSON {"call": RestCall, "status"}, then the answer's bytes

    trailer (16 bytes, only in a file that was closed): offset of the index block (8), "TRIX-END"

A block is written with one call and never touched again, so whatever kills the writer leaves whole blocks and at most
one torn one behind them.
"""

from __future__ import annotations

import struct
import zlib
from collections.abc import Iterable, Iterator, Sequence
from typing import Final

import msgspec
import zstandard

from actors.market.recordings.entries import (
    Answer,
    Begin,
    Entry,
    Note,
    Received,
    RecordingError,
    RecordingHeader,
    Sent,
)
from protocols.venues.rest import RestCall

MAGIC: Final = b"TRB1"
SUFFIX: Final = ".trec"
HEADER, ENTRIES, INDEX = 1, 2, 3
STORED, ZSTD = 0, 1
BEGINS: Final = 1
CONTINUED: Final = 1
BEGIN, RECEIVED, SENT, ANSWER, NOTE = 1, 2, 3, 4, 5
LEVEL: Final = 3

_BLOCK: Final = struct.Struct("<4sBBHIIIqqI")
_CRC: Final = struct.Struct("<I")
BLOCK_HEADER_BYTES: Final = _BLOCK.size + _CRC.size
ENTRY_HEADER: Final = struct.Struct("<BHqI")
_LENGTH: Final = struct.Struct("<I")
INDEX_RECORD: Final = struct.Struct("<QqqII")
TRAILER: Final = struct.Struct("<Q8s")
TRAILER_MAGIC: Final = b"TRIX-END"
# More than any block that is written has; what claims more is damaged.
_MOST_CONTENT_BYTES: Final = 1 << 30
# Larger pieces go into the compressor by themselves: to join them would copy megabytes with the interpreter held.
_JOIN_BYTES: Final = 256 * 1024
_JOIN_PIECES: Final = 1024


class FileHeader(msgspec.Struct, frozen=True, kw_only=True):
    """The first block of a file: its number in the recording, the file that it continues, and what is recorded.

    `resumed`: by another recorder than the one that wrote the file before.
    """

    number: int
    follows: str = ""
    resumed: bool = False
    recording: RecordingHeader


class BlockHeader(msgspec.Struct, frozen=True, gc=False):
    """The 44 bytes before a payload, without magic and checksums of themselves."""

    kind: int
    compression: int
    flags: int
    stored: int
    content: int
    entries: int
    first: int
    last: int
    crc: int


class _BeginBody(msgspec.Struct):
    session: str
    marks: tuple[str, ...] = ()


class _NoteBody(msgspec.Struct):
    count: int
    reason: str


class _AnswerBody(msgspec.Struct):
    call: RestCall
    status: int


_encode = msgspec.json.Encoder().encode
_begin = msgspec.json.Decoder(_BeginBody)
_note = msgspec.json.Decoder(_NoteBody)
_answer = msgspec.json.Decoder(_AnswerBody)
_file_header = msgspec.json.Decoder(FileHeader)


def begin_parts(ts: int, session: str, marks: Sequence[str], connection: int = 0) -> tuple[bytes, ...]:
    """The pieces of a `begin` entry."""
    body = _encode(_BeginBody(session, tuple(marks)))
    return ENTRY_HEADER.pack(BEGIN, connection, ts, len(body)), body


def note_parts(ts: int, count: int, reason: str, connection: int = 0) -> tuple[bytes, ...]:
    """The pieces of a `note` entry."""
    body = _encode(_NoteBody(count, reason))
    return ENTRY_HEADER.pack(NOTE, connection, ts, len(body)), body


def answer_parts(ts: int, call: RestCall, status: int, body: bytes, connection: int = 0) -> tuple[bytes, ...]:
    """The pieces of an `answer` entry; the body itself is not copied."""
    about = _encode(_AnswerBody(call, status))
    header = ENTRY_HEADER.pack(ANSWER, connection, ts, _LENGTH.size + len(about) + len(body))
    return header, _LENGTH.pack(len(about)) + about, body


def parts(entry: Entry) -> tuple[bytes, ...]:
    """The pieces of any entry."""
    match entry:
        case Received(ts, raw, connection):
            return ENTRY_HEADER.pack(RECEIVED, connection, ts, len(raw)), raw
        case Sent(ts, raw, connection):
            return ENTRY_HEADER.pack(SENT, connection, ts, len(raw)), raw
        case Begin():
            return begin_parts(entry.ts, entry.session, entry.marks, entry.connection)
        case Answer():
            return answer_parts(entry.ts, entry.call, entry.status, entry.body, entry.connection)
        case Note():
            return note_parts(entry.ts, entry.count, entry.reason, entry.connection)


def encode_block(
    kind: int,
    pieces: Iterable[bytes],
    *,
    entries: int = 0,
    first: int = 0,
    last: int = 0,
    flags: int = 0,
    level: int = LEVEL,
) -> bytes:
    """A whole block of the pieces' bytes. The compressor works without holding the interpreter."""
    runs = _runs(list(pieces))
    content = sum(map(len, runs))
    compressor = zstandard.ZstdCompressor(level=level, write_content_size=True).compressobj(size=content)
    packed = [compressor.compress(run) for run in runs]
    packed.append(compressor.flush())
    payload = b"".join(packed)
    fields = _BLOCK.pack(MAGIC, kind, ZSTD, flags, len(payload), content, entries, first, last, zlib.crc32(payload))
    return b"".join((fields, _CRC.pack(zlib.crc32(fields)), payload))


def _runs(pieces: list[bytes]) -> list[bytes]:
    """The pieces joined to runs of a fair size, in few steps: this holds the interpreter, and a loop waits for it."""
    if max(map(len, pieces), default=0) <= _JOIN_BYTES:
        return [b"".join(pieces[at : at + _JOIN_PIECES]) for at in range(0, len(pieces), _JOIN_PIECES)]
    runs: list[bytes] = []
    begin = 0
    for at, piece in enumerate(pieces):
        if len(piece) > _JOIN_BYTES:
            runs += (b"".join(pieces[begin:at]), piece)
            begin = at + 1
    return [*runs, b"".join(pieces[begin:])]


def decode_block_header(raw: bytes) -> BlockHeader | None:
    """The header in these 44 bytes; None where they are none, or damaged."""
    if len(raw) < BLOCK_HEADER_BYTES or not raw.startswith(MAGIC):
        return None
    if _CRC.unpack_from(raw, _BLOCK.size)[0] != zlib.crc32(raw[: _BLOCK.size]):
        return None
    _, *fields = _BLOCK.unpack_from(raw)
    header = BlockHeader(*fields)
    return header if header.content <= _MOST_CONTENT_BYTES else None


def decode_payload(header: BlockHeader, payload: bytes) -> bytes | None:
    """The payload uncompressed; None where it is incomplete or damaged."""
    if len(payload) != header.stored or zlib.crc32(payload) != header.crc:
        return None
    if header.compression == STORED:
        return payload
    if header.compression != ZSTD:
        return None
    try:
        content = zstandard.ZstdDecompressor().decompress(payload, max_output_size=header.content)
    except zstandard.ZstdError:
        return None
    return content if len(content) == header.content else None


def decode_file_header(content: bytes) -> FileHeader:
    """What a header block says. Raises RecordingError."""
    try:
        return _file_header.decode(content)
    except (msgspec.DecodeError, UnicodeError) as error:
        raise RecordingError(f"not the header of a recording: {error}") from None


def decode_entries(content: bytes) -> Iterator[Entry]:
    """The entries of an entry block's content. Raises RecordingError where it is none, or of a newer version."""
    unpack = ENTRY_HEADER.unpack_from
    offset, end, size = 0, len(content), ENTRY_HEADER.size
    try:
        while offset < end:
            kind, connection, ts, length = unpack(content, offset)
            offset += size
            body = content[offset : offset + length]
            offset += length
            if kind == RECEIVED:
                yield Received(ts, body, connection)
            elif kind == SENT:
                yield Sent(ts, body, connection)
            elif kind == BEGIN:
                begun = _begin.decode(body)
                yield Begin(ts, begun.session, begun.marks, connection)
            elif kind == ANSWER:
                (length,) = _LENGTH.unpack_from(body)
                about = _answer.decode(body[_LENGTH.size : _LENGTH.size + length])
                yield Answer(ts, about.call, about.status, body[_LENGTH.size + length :], connection)
            elif kind == NOTE:
                note = _note.decode(body)
                yield Note(ts, note.count, note.reason, connection)
            else:
                raise RecordingError(f"an entry of the unknown kind {kind}")
    except (struct.error, msgspec.DecodeError) as error:
        raise RecordingError(f"not an entry: {error}") from None
    if offset != end:
        raise RecordingError("the last entry of a block is cut off")
