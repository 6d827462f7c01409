"""Writes files of recordings, block by block, where it is called."""

from __future__ import annotations

import os
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Final

import msgspec

from actors.market.recordings.entries import Begin, Entry, RecordingHeader
from actors.market.recordings.format import BEGINS, ENTRIES, HEADER, LEVEL, FileHeader, encode_block, parts
from actors.market.recordings.index import BlockPlace, encode_index

BLOCK_BYTES: Final = 1 << 20
"""A block is written when it has so many bytes, before compression."""


class RecordingFile:
    """One file that is written block by block. It is readable at any time, and complete after `close`.

    The file must not exist yet; it appears with its header in it. Raises OSError.
    """

    def __init__(self, path: Path, header: FileHeader, *, level: int = LEVEL) -> None:
        self.path = path
        self.level = level
        self.blocks: list[BlockPlace] = []
        self.bytes = 0
        nameless = path.with_name(f".{path.name}.{os.getpid()}")
        self._file = nameless.open("wb", buffering=0)
        try:
            self._write(encode_block(HEADER, [msgspec.json.encode(header)]))
            os.link(nameless, path)
        except OSError:
            self._file.close()
            raise
        finally:
            nameless.unlink()

    def write(self, pieces: Iterable[bytes], *, entries: int, first: int, last: int, flags: int = 0) -> None:
        """Append a block. Raises OSError, with the file as it was before."""
        block = encode_block(ENTRIES, pieces, entries=entries, first=first, last=last, flags=flags, level=self.level)
        place = BlockPlace(self.bytes, first, last, entries, flags)
        self._write(block)
        self.blocks.append(place)

    @property
    def closed(self) -> bool:
        """Whether nothing more can be written."""
        return self._file.closed

    def close(self, *, continued: bool = False) -> None:
        """Write the index, and wait until the disk has everything. `continued`: another file follows this one.

        Closing twice is harmless.
        """
        if self._file.closed:
            return
        try:
            self._write(encode_index(self.blocks, self.bytes, continued=continued))
            os.fsync(self._file.fileno())
        finally:
            self._file.close()

    def _write(self, block: bytes) -> None:
        view = memoryview(block)
        try:
            while view:
                view = view[self._file.write(view) :]
        except OSError:
            self._file.truncate(self.bytes)
            self._file.seek(self.bytes)
            raise
        self.bytes += len(block)


def write_recording(path: Path, header: RecordingHeader, entries: Iterable[Entry], *, level: int = LEVEL) -> int:
    """Write all entries into one file; the same entries make the same bytes. Returns how many they were.

    `level`: how hard zstd tries, 1 to 22.

    Raises OSError (the file exists), and what `entries` raises; the file then holds what came before.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    file = RecordingFile(path, FileHeader(number=1, recording=header), level=level)
    block = Block()
    count = 0
    try:
        for entry in entries:
            block.add(parts(entry), entry.ts, BEGINS if isinstance(entry, Begin) else 0)
            count += 1
            if block.bytes >= BLOCK_BYTES:
                block.write_to(file)
                block = Block()
    finally:
        block.write_to(file)
        file.close()
    return count


class Block:
    """Pieces of entries on their way to a block."""

    __slots__ = ("bytes", "entries", "first", "flags", "last", "missing", "notes", "pieces")

    def __init__(self) -> None:
        self.pieces: list[bytes] = []
        self.bytes = 0
        self.entries = 0
        self.first = 0
        self.last = 0
        self.flags = 0
        # Notes that are in it, and the entries that they tell to be missing.
        self.notes = 0
        self.missing = 0

    def add(self, pieces: Sequence[bytes], ts: int, flags: int) -> None:
        """Append an entry, given by its pieces."""
        self.pieces.extend(pieces)
        self.bytes += sum(map(len, pieces))
        self._count(ts, flags)

    def _count(self, ts: int, flags: int) -> None:
        if not self.entries:
            self.first = self.last = ts
        elif ts > self.last:
            self.last = ts
        self.entries += 1
        self.flags |= flags

    def put_first(self, note: Sequence[bytes], ts: int) -> None:
        """Put a note before everything else."""
        self.pieces[:0] = note
        self.bytes += sum(map(len, note))
        if not self.entries:
            self.first = self.last = ts
        self.entries += 1
        self.notes += 1

    def write_to(self, file: RecordingFile) -> None:
        """Write it, if anything is in it. Raises OSError."""
        if self.entries:
            file.write(self.pieces, entries=self.entries, first=self.first, last=self.last, flags=self.flags)
