"""What every importer gives: a recording like any other, out of somebody else's file."""

from __future__ import annotations

import gzip
import io
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Final, cast

import zstandard

from actors.market.recordings.entries import Batches, Entry, Loss, Recording, RecordingHeader

_READ_BYTES: Final = 256 * 1024


class Imported(Recording):
    """A recording of another format. `format` is its name; `close` closes what is read."""

    def __init__(
        self,
        path: Path,
        format: str,
        header: RecordingHeader,
        entries: Iterator[Entry],
        close: Callable[[], None] = lambda: None,
    ) -> None:
        self.path = path
        self.format = format
        self.header = header
        self.lost: list[Loss] = []
        self._batches = Batches(entries)
        self._close = close

    def __iter__(self) -> Iterator[Entry]:
        return self._batches.entries

    def take(self, count: int) -> list[Entry]:
        """As `Recording.take`."""
        return self._batches.take(count)

    def close(self) -> None:
        """Close the file."""
        self._close()


def open_text(path: Path) -> io.BufferedIOBase:
    """The bytes of a file, decompressed by its suffix (`.gz`, `.zst`). Raises OSError."""
    if path.suffix == ".gz":
        return cast(io.BufferedIOBase, gzip.open(path, "rb"))
    file = path.open("rb")
    return io.BufferedReader(_Zstd(file), 1 << 20) if path.suffix == ".zst" else file


class _Zstd(io.RawIOBase):
    """Frames of zstd decompressed, one behind the other. The library's own reader is silent where one is cut off."""

    def __init__(self, file: io.BufferedReader) -> None:
        self._file = file
        self._decompressor = zstandard.ZstdDecompressor().decompressobj()
        self._begun = False
        self._left = b""

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: bytearray | memoryview) -> int:  # type: ignore[override]
        view = memoryview(buffer).cast("B")
        while not self._left:
            packed = self._decompressor.unused_data if self._decompressor.eof else b""
            packed = packed or self._file.read(_READ_BYTES)
            if not packed:
                if self._begun and not self._decompressor.eof:
                    raise EOFError("the compressed file is cut off")
                return 0
            if self._decompressor.eof:
                self._decompressor = zstandard.ZstdDecompressor().decompressobj()
            self._begun = True
            self._left = self._decompressor.decompress(packed)
        count = min(len(view), len(self._left))
        view[:count] = self._left[:count]
        self._left = self._left[count:]
        return count

    def close(self) -> None:
        self._file.close()
        super().close()


def first_lines(path: Path, count: int) -> list[bytes]:
    """The first lines that are not blank, at most `count`. Raises what is in READ_FAULTS."""
    with open_text(path) as file:
        found: list[bytes] = []
        for line in file:
            if line.strip():
                found.append(line.strip())
                if len(found) == count:
                    break
        return found
