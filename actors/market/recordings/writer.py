"""Records a running feed: into memory on the loop, to the disk on a thread beside it.

The loop only puts the frame's reference into a list, under a lock that is otherwise held for a few list operations.
The thread compresses, writes and rotates. What does not fit into its bounded backlog is left out and counted, and a
note in the recording says how much and when.
"""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Final

import msgspec

from actors.market.recordings.entries import RecordingError, RecordingHeader
from actors.market.recordings.format import (
    BEGINS,
    ENTRY_HEADER,
    RECEIVED,
    SENT,
    SUFFIX,
    FileHeader,
    answer_parts,
    begin_parts,
    note_parts,
)
from actors.market.recordings.index import losses, read_index, recording_files
from actors.market.recordings.recording_file import BLOCK_BYTES, Block, RecordingFile
from protocols.nanos import NANO
from protocols.venues.rest import RestCall

FILE_BYTES: Final = 256 << 20
FILE_S: Final = 6 * 3600.0
# The thread looks so often, and what it finds is on its way to the disk within the second.
FLUSH_S: Final = 0.75
BACKLOG_BYTES: Final = 64 << 20
_CLOSE_S: Final = 30.0


_running: dict[Path, Recorder] = {}
"""The recorder of each folder that is written to in this process."""


class Recorder:
    """Records a feed into a folder of numbered files, or into a single one (a path that ends in `.trec`).

    A folder that has files already is continued in a new one, which begins with a note of how the last one ended. A
    single file that exists is kept: the new one is `NAME-2.trec`, `NAME-3.trec`, …  A folder has one recorder: one that
    an owner has left behind without closing it (it crashed) ends when the next one of this process begins.

    Call it from one thread. The methods named as in a session put an entry into memory and return; `fault` tells what
    the disk said last, `lost` how many entries were left out because it was too slow or refused. The constructor
    raises OSError.
    """

    def __init__(
        self,
        target: Path,
        header: RecordingHeader,
        *,
        file_bytes: int = FILE_BYTES,
        file_s: float = FILE_S,
        block_bytes: int = BLOCK_BYTES,
        backlog_bytes: int = BACKLOG_BYTES,
    ) -> None:
        self.header = header
        self.lost = 0
        self.entries = 0
        self.written = 0
        self.bytes_written = 0
        self.fault = ""
        self._single = target.suffix == SUFFIX
        self._folder = target.parent if self._single else target
        self._file_bytes = file_bytes
        self._file_ns = round(file_s * NANO)
        self._block_bytes = block_bytes
        self._most = backlog_bytes
        self._lock = threading.Lock()
        self._wake = threading.Event()
        self._open = Block()
        self._sealed: deque[Block] = deque()
        self._backlog = 0
        self._missing = 0
        self._missing_since = 0
        self._missing_why = ""
        self._closing = False
        self._turn = False
        self._left = False
        self._folder.mkdir(parents=True, exist_ok=True)
        self._previous: Path | None = None
        self._before: Recorder | None = None
        if self._single:
            self._file = _first_free(target, header)
        else:
            self._before = _running.get(self._folder.resolve())
            if self._before is not None:
                # It numbers no more files: those are the new one's.
                self._before._left = True
                self._before.end()
            _running[self._folder.resolve()] = self
            files = recording_files(self._folder)
            self._previous = files[-1] if files else None
            number, follows = (int(files[-1].stem) + 1, files[-1].name) if files else (1, "")
            self._file = self._numbered(number, follows, resumed=bool(files))
        self.bytes_written = self._file.bytes
        self._thread = threading.Thread(target=self._run, name=f"recorder {header.feed}", daemon=True)
        self._thread.start()

    @property
    def path(self) -> Path:
        """The file that is written now."""
        return self._file.path

    # -- on the loop ---------------------------------------------------------------------------------------

    def session(self, ts: int, session: str, marks: Sequence[str] = (), connection: int = 0) -> None:
        """A connection begins."""
        self._add(begin_parts(ts, session, marks, connection), ts, BEGINS)

    def frame(self, ts: int, raw: bytes, connection: int = 0) -> None:
        """One frame as it came."""
        # Written out, as it runs for every frame: what `_add` does.
        length = len(raw)
        size = length + 15
        with self._lock:
            if self._backlog + size > self._most or self._missing:
                self._leave_out(ts, size)
                return
            block = self._open
            block.pieces += (ENTRY_HEADER.pack(RECEIVED, connection, ts, length), raw)
            block.bytes += size
            self._backlog += size
            if not block.entries:
                block.first = block.last = ts
            elif ts > block.last:
                block.last = ts
            block.entries += 1
            self.entries += 1
            if block.bytes < self._block_bytes:
                return
            self._sealed.append(block)
            self._open = Block()
        self._wake.set()

    def sent(self, ts: int, raw: bytes, connection: int = 0) -> None:
        """One command as it went out."""
        self._add((ENTRY_HEADER.pack(SENT, connection, ts, len(raw)), raw), ts, 0)

    def answer(self, ts: int, call: RestCall, status: int, body: bytes, connection: int = 0) -> None:
        """The answer to a REST call."""
        self._add(answer_parts(ts, call, status, body, connection), ts, 0)

    def note(self, ts: int, count: int, reason: str, connection: int = 0) -> None:
        """A word of the recorder's owner: `count` entries are missing here, and why."""
        self._add(note_parts(ts, count, reason, connection), ts, 0)

    def follow(self, markets: Iterable[str]) -> None:
        """These markets are recorded, too: a new file begins, whose header names them.

        Without effect where the header names none (then the frames tell), and in a single file.
        """
        known = self.header.markets
        added = set(markets) - set(known)
        if known and added:
            self.header = msgspec.structs.replace(self.header, markets=tuple(sorted({*known, *added})))
            self._turn = True

    def close(self) -> None:
        """Write what there is, finish the file and end the thread: as long as the disk takes, so not on a loop.

        Closing twice is harmless. What was not written by then counts as `lost`.
        """
        self.end()
        self._thread.join(_CLOSE_S)
        if _running.get(self._folder.resolve()) is self:
            del _running[self._folder.resolve()]

    def end(self) -> None:
        """Have the thread write what there is, finish the file and end; without waiting for it."""
        self._closing = True
        self._wake.set()

    def _add(self, pieces: Sequence[bytes], ts: int, flags: int) -> None:
        size = sum(map(len, pieces))
        with self._lock:
            if self._backlog + size > self._most or self._missing:
                self._leave_out(ts, size)
                return
            self._open.add(pieces, ts, flags)
            self._backlog += size
            self.entries += 1
            if self._open.bytes < self._block_bytes:
                return
            self._sealed.append(self._open)
            self._open = Block()
        self._wake.set()

    def _leave_out(self, ts: int, size: int) -> None:
        # Once something is missing everything is until the backlog is half empty: one hole, not a thousand.
        if not self._missing:
            self._missing_since = ts
            self._missing_why = self._missing_why or "the disk is too slow"
        self._missing += 1
        self.lost += 1
        self._wake.set()

    # -- on the thread -------------------------------------------------------------------------------------

    def _run(self) -> None:
        self._note_cut()
        while True:
            self._wake.wait(FLUSH_S)
            self._wake.clear()
            closing = self._closing
            self._write_all()
            if closing:
                break
        try:
            self._file.close()
        except OSError as error:
            self.fault = str(error)

    def _note_cut(self) -> None:
        if self._before is not None:
            self._before.close()
            self._before = None
        if self._previous is None:
            return
        try:
            index = read_index(self._previous)
            lost = losses(index, None)
            how = "; ".join(map(str, lost)) or f"{self._previous.name}: closed"
            ts = index.blocks[-1].last if index.blocks else 0
            count = sum(loss.entries or 0 for loss in lost)
        except (OSError, RecordingError) as error:
            how, ts, count = f"{self._previous.name}: {error}", 0, 0
        with self._lock:
            block = self._sealed[0] if self._sealed else self._open
            before = block.bytes
            block.put_first(note_parts(ts or block.first, count, f"continued; {how}"), ts or block.first)
            self._backlog += block.bytes - before

    def _write_all(self) -> None:
        self._write_blocks(self._taken())
        with self._lock:
            self._resume()
            closing = self._closing
        if closing:
            self._write_blocks(self._taken())

    def _taken(self) -> list[Block]:
        """What waits, in its order."""
        with self._lock:
            blocks = list(self._sealed)
            self._sealed.clear()
            if self._open.entries:
                blocks.append(self._open)
                self._open = Block()
        return blocks

    def _write_blocks(self, blocks: Iterable[Block]) -> None:
        for block in blocks:
            self._write(block)
            with self._lock:
                self._backlog -= block.bytes

    def _resume(self) -> None:
        """Record again, beginning with a note of what is missing."""
        # At the end nothing comes behind it, and what is missing is told however full the backlog is.
        if self._missing and (self._closing or self._backlog <= self._most // 2):
            block = self._open
            ts = max(self._missing_since, block.last)
            pieces = note_parts(ts, self._missing, f"lost: {self._missing_why}")
            block.add(pieces, ts, 0)
            block.notes += 1
            block.missing += self._missing
            self._backlog += sum(map(len, pieces))
            self._missing = 0
            self._missing_why = ""

    def _write(self, block: Block) -> None:
        try:
            self._rotate(block.first)
            before = self._file.bytes
            block.write_to(self._file)
        except OSError as error:
            self.fault = str(error)
            with self._lock:
                if not self._missing:
                    self._missing_since = block.first
                lost = block.entries - block.notes
                self._missing += lost + block.missing
                self._missing_why = f"not written: {error}"
                self.lost += lost
            return
        self.fault = ""
        self.written += block.entries
        self.bytes_written += self._file.bytes - before

    def _rotate(self, ts: int) -> None:
        file = self._file
        if self._single or self._left:
            return
        full = file.blocks and (file.bytes >= self._file_bytes or ts - file.blocks[0].first >= self._file_ns)
        if full or self._turn:
            file.close(continued=True)
            # Where it cannot be made now, the next block will try again.
            self._file = self._numbered(int(file.path.stem) + 1, file.path.name)
            self.bytes_written += self._file.bytes
            self._turn = False

    def _numbered(self, number: int, follows: str, *, resumed: bool = False) -> RecordingFile:
        while True:
            header = FileHeader(number=number, follows=follows, resumed=resumed, recording=self.header)
            try:
                return RecordingFile(self._folder / f"{number:06d}{SUFFIX}", header)
            except FileExistsError:
                number += 1


def _first_free(path: Path, header: RecordingHeader) -> RecordingFile:
    candidate, number = path, 1
    while True:
        try:
            return RecordingFile(candidate, FileHeader(number=1, recording=header))
        except FileExistsError:
            number += 1
            candidate = path.with_name(f"{path.stem}-{number}{path.suffix}")
