"""Where the blocks of a recording's file are: from the index at its end, or by walking from header to header."""

from __future__ import annotations

import io
import os
from collections.abc import Iterable
from pathlib import Path
from typing import BinaryIO, Final

import msgspec

from actors.market.recordings.entries import Loss, RecordingError
from actors.market.recordings.format import (
    BEGINS,
    BLOCK_HEADER_BYTES,
    CONTINUED,
    ENTRIES,
    HEADER,
    INDEX,
    INDEX_RECORD,
    MAGIC,
    SUFFIX,
    TRAILER,
    TRAILER_MAGIC,
    BlockHeader,
    FileHeader,
    decode_block_header,
    decode_file_header,
    decode_payload,
    encode_block,
)

_SEARCH_BYTES: Final = 1 << 20


class BlockPlace(msgspec.Struct, frozen=True, gc=False):
    """One entry block of a file: where it begins, the times in it, how many entries, and whether a session begins."""

    offset: int
    first: int
    last: int
    entries: int
    flags: int

    @property
    def begins(self) -> bool:
        """Whether a connection begins in it."""
        return bool(self.flags & BEGINS)


class FileIndex(msgspec.Struct, frozen=True):
    """One file: its header, its blocks in order, whether it was closed, and what is unreadable in it.

    `continued`: it was closed because the next file was about to begin. `end`: behind the last whole block; a torn one
    begins there.
    """

    path: Path
    header: FileHeader
    blocks: tuple[BlockPlace, ...]
    closed: bool
    continued: bool
    lost: tuple[Loss, ...]
    end: int


def losses(index: FileIndex, following: FileIndex | None) -> list[Loss]:
    """What is lost in a file or behind it, if `following` is the next one of the recording."""
    ended = following is None or following.header.resumed
    if index.continued and ended:
        return [*index.lost, Loss(index.path.name, index.end, 0, None, "unclosed")]
    return list(index.lost)


def encode_index(blocks: Iterable[BlockPlace], offset: int, *, continued: bool = False) -> bytes:
    """The index block that begins at `offset`, and the trailer that points to it."""
    places = list(blocks)
    records = [INDEX_RECORD.pack(at.offset, at.first, at.last, at.entries, at.flags) for at in places]
    first = min((at.first for at in places), default=0)
    last = max((at.last for at in places), default=0)
    flags = CONTINUED if continued else 0
    block = encode_block(INDEX, records, entries=len(places), first=first, last=last, flags=flags)
    return block + TRAILER.pack(offset, TRAILER_MAGIC)


def recording_files(path: Path) -> list[Path]:
    """The files of a recording in their order: those of a folder by number, or the file itself."""
    if not path.is_dir():
        return [path]
    numbered = [(int(file.stem), file) for file in path.glob(f"*{SUFFIX}") if file.stem.isdecimal()]
    return [file for _, file in sorted(numbered)]


def read_index(path: Path) -> FileIndex:
    """The index of one file, from its end or rebuilt. Raises OSError, and RecordingError where it is no recording."""
    with path.open("rb") as file:
        header, after = _file_header(file, path)
        indexed = _trailing_index(file)
        if indexed is not None:
            blocks, continued = indexed
            return FileIndex(path, header, blocks, True, continued, (), file.seek(0, os.SEEK_END))
        return _walked(file, path, header, after)


def _file_header(file: BinaryIO, path: Path) -> tuple[FileHeader, int]:
    block = decode_block_header(file.read(BLOCK_HEADER_BYTES))
    content = None if block is None else decode_payload(block, file.read(block.stored))
    if block is None or block.kind != HEADER or content is None:
        raise RecordingError(f"{path}: not a recording")
    header = decode_file_header(content)
    return header, BLOCK_HEADER_BYTES + block.stored


def _trailing_index(file: BinaryIO) -> tuple[tuple[BlockPlace, ...], bool] | None:
    size = file.seek(0, os.SEEK_END)
    if size < TRAILER.size:
        return None
    file.seek(size - TRAILER.size)
    offset, magic = TRAILER.unpack(file.read(TRAILER.size))
    if magic != TRAILER_MAGIC or offset >= size:
        return None
    file.seek(offset)
    block = decode_block_header(file.read(BLOCK_HEADER_BYTES))
    if block is None or block.kind != INDEX:
        return None
    content = decode_payload(block, file.read(block.stored))
    if content is None:
        return None
    places = tuple(BlockPlace(*fields) for fields in INDEX_RECORD.iter_unpack(content))
    return places, bool(block.flags & CONTINUED)


def _walked(file: BinaryIO, path: Path, header: FileHeader, offset: int) -> FileIndex:
    size = file.seek(0, os.SEEK_END)
    blocks: list[BlockPlace] = []
    lost: list[Loss] = []
    end = offset
    while offset < size:
        file.seek(offset)
        block = decode_block_header(file.read(BLOCK_HEADER_BYTES))
        behind = offset + BLOCK_HEADER_BYTES + (block.stored if block is not None else 0)
        if block is not None and behind <= size:
            if block.kind == ENTRIES:
                blocks.append(BlockPlace(offset, block.first, block.last, block.entries, block.flags))
            offset = end = behind
            continue
        following = None if block is not None else _next_block(file, offset + 1)
        if following is None:
            entries = block.entries if block is not None else None
            lost.append(Loss(path.name, offset, size - offset, entries, "torn"))
            break
        lost.append(Loss(path.name, offset, following - offset, None, "damaged"))
        offset = following
    if not any(loss.reason == "torn" for loss in lost):
        lost.append(Loss(path.name, size, 0, None, "unclosed"))
    return FileIndex(path, header, tuple(blocks), False, False, tuple(lost), end)


def _next_block(file: BinaryIO, offset: int) -> int | None:
    """Where the next whole header is, from `offset` on."""
    file.seek(offset)
    window = b""
    while chunk := file.read(_SEARCH_BYTES):
        window += chunk
        at = window.find(MAGIC)
        while at >= 0:
            file.seek(offset + at)
            if decode_block_header(file.read(BLOCK_HEADER_BYTES)) is not None:
                return offset + at
            at = window.find(MAGIC, at + 1)
        keep = len(MAGIC) - 1
        offset += len(window) - keep
        window = window[-keep:]
        file.seek(offset + keep)
    return None


def read_block(file: io.BufferedReader | BinaryIO, place: BlockPlace) -> tuple[BlockHeader | None, bytes | None]:
    """The header and the content of one block; None for what is damaged."""
    file.seek(place.offset)
    block = decode_block_header(file.read(BLOCK_HEADER_BYTES))
    if block is None:
        return None, None
    return block, decode_payload(block, file.read(block.stored))
