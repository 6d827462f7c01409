"""Reads recordings of our own format: in order, from a time on, and past whatever is damaged."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Final

import msgspec

from actors.market.recordings.entries import Batches, Entry, Loss, Recording, RecordingError, RecordingHeader
from actors.market.recordings.format import MAGIC, decode_entries
from actors.market.recordings.index import BlockPlace, FileIndex, losses, read_block, read_index, recording_files

FORMAT: Final = "troupe"


class RecordingReader(Recording):
    """A recording (a folder of numbered files, or one file) opened for reading.

    `since` and `until` (nanoseconds): only entries received in [since, until]. `whole_sessions`: begin where the last
    connection before `since` begins, for what has to know how the books came about; what is before `since` comes then,
    too.

    Raises OSError, and RecordingError where it is no recording. A torn tail or a damaged block is left out and told in
    `lost`; the torn ones are there from the beginning, the damaged ones once they were reached.
    """

    def __init__(
        self, path: Path, *, since: int | None = None, until: int | None = None, whole_sessions: bool = False
    ) -> None:
        self.path = path
        self.format = FORMAT
        found = recording_files(path)
        if not found:
            raise RecordingError(f"{path}: no recording in this folder")
        self.lost: list[Loss] = []
        self.files: tuple[FileIndex, ...] = tuple(self._indexed(found))
        self.header: RecordingHeader = _together([file.header.recording for file in self.files])
        self._since = since
        self._until = until
        self._whole = whole_sessions
        self._closed = False
        self._batches = Batches(self._read())

    @property
    def closed(self) -> bool:
        """Whether the recorder was closed, as far as its last file tells."""
        return self.files[-1].closed and not self.files[-1].continued

    @property
    def first(self) -> int:
        """Time of the first entry; 0 if there is none."""
        return next((file.blocks[0].first for file in self.files if file.blocks), 0)

    @property
    def last(self) -> int:
        """Time of the last entry; 0 if there is none."""
        return max((block.last for file in self.files for block in file.blocks), default=0)

    @property
    def count(self) -> int:
        """Entries in all whole blocks."""
        return sum(block.entries for file in self.files for block in file.blocks)

    @property
    def bytes(self) -> int:
        """Bytes of all files, without torn tails."""
        return sum(file.end for file in self.files)

    def __iter__(self) -> Iterator[Entry]:
        return self._batches.entries

    def take(self, count: int) -> list[Entry]:
        """As `Recording.take`."""
        return self._batches.take(count)

    def close(self) -> None:
        """Stop reading."""
        self._closed = True

    def _indexed(self, files: Sequence[Path]) -> Iterator[FileIndex]:
        """The files that have a header. Raises RecordingError where none has."""
        last: FileIndex | None = None
        for path in files:
            try:
                index = read_index(path)
            except RecordingError:
                if path is files[-1] and last is None:
                    raise
                self.lost.append(Loss(path.name, 0, path.stat().st_size, None, "damaged"))
                continue
            if last is not None:
                self.lost += losses(last, index)
            last = index
            yield index
        if last is not None:
            self.lost += losses(last, None)

    def _read(self) -> Iterator[Entry]:
        since, until = self._since, self._until
        begin = self._begin()
        for number, file in enumerate(self.files):
            if number < begin[0]:
                continue
            with file.path.open("rb") as raw:
                for place_number, place in enumerate(file.blocks):
                    if (number, place_number) < begin:
                        continue
                    if until is not None and place.first > until:
                        return
                    _, content = read_block(raw, place)
                    if content is None:
                        self._damaged(file, place)
                        continue
                    for entry in decode_entries(content):
                        if self._closed:
                            return
                        if until is not None and entry.ts > until:
                            continue
                        if since is not None and entry.ts < since and not self._whole:
                            continue
                        yield entry

    def _begin(self) -> tuple[int, int]:
        """(file, block) to begin with."""
        if self._since is None:
            return 0, 0
        begin = (0, 0)
        for number, file in enumerate(self.files):
            for place_number, place in enumerate(file.blocks):
                if not self._whole and place.last >= self._since:
                    return number, place_number
                # The begin itself may be the last entry of its block.
                if place.begins and place.last <= self._since:
                    begin = number, place_number
        return begin if self._whole else (len(self.files), 0)

    def _damaged(self, file: FileIndex, place: BlockPlace) -> None:
        following = next((block.offset for block in file.blocks if block.offset > place.offset), file.end)
        loss = Loss(file.path.name, place.offset, following - place.offset, place.entries, "damaged")
        if loss not in self.lost:
            self.lost.append(loss)


def _together(headers: Sequence[RecordingHeader]) -> RecordingHeader:
    """The first one, with the markets and marks of all; no markets where one leaves that to its frames."""
    markets = {market for header in headers for market in header.markets}
    return msgspec.structs.replace(
        headers[0],
        markets=tuple(sorted(markets)) if all(header.markets for header in headers) else (),
        marks=tuple(sorted({mark for header in headers for mark in header.marks})),
    )


def is_recording(path: Path) -> bool:
    """Whether the path is a recording of this format, complete or not. Raises OSError where it cannot be read."""
    files = recording_files(path)
    if not files:
        return False
    with files[0].open("rb") as file:
        return file.read(len(MAGIC)) == MAGIC
