"""What every importer gives: a recording like any other, out of somebody else's file."""

from __future__ import annotations

import gzip
import io
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import cast

import zstandard

from actors.market.recordings.entries import Batches, Entry, Loss, Recording, RecordingHeader


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
    if path.suffix != ".zst":
        return file
    reader = zstandard.ZstdDecompressor().stream_reader(file, closefd=True, read_across_frames=True)
    return io.BufferedReader(cast(io.RawIOBase, reader), 1 << 20)


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
