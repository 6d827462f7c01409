"""Recorded sessions: JSON lines, gzipped or plain, one frame of the venue on each.

Three forms are read. Ours begins with a header line (`{"troupe_recording":1,...}`) and then has
`{"recv":<ns>,"frame":<the venue's JSON, byte for byte>}`, and `{"recv":<ns>,"session":"<id>"}` where a
connection begins. The second has the same `frame` lines, `recv` as RFC 3339, and no header. The third is the
venue's bare JSON.

Time of an entry is when it was received; where a recording does not say, the running maximum of the venue's
own times. It never goes backwards.
"""

from __future__ import annotations

import gzip
import io
import zlib
from collections.abc import Iterator
from pathlib import Path
from typing import Final, cast

import msgspec

from protocols.venues.kalshi import event_time, rfc3339_nanos

VERSION: Final = 1


class RecordingHeader(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """The first line. `marks` are those of the recorded data; a replay cannot drop them."""

    troupe_recording: int
    venue: str = "kalshi"
    feed: str = ""
    use_yes_price: bool = False
    marks: tuple[str, ...] = ()
    markets: tuple[str, ...] = ()


class Entry(msgspec.Struct, frozen=True, gc=False):
    """One line: a frame, or (`frame` None) the begin of a connection. `ts` in nanoseconds."""

    ts: int
    frame: bytes | None


class RecordingError(Exception):
    """The file is no recording, or one of its lines is none. Says which."""


READ_FAULTS: Final = (OSError, EOFError, zlib.error, RecordingError)
"""What reading a recording raises."""


class _Times(msgspec.Struct, gc=False):
    ts_ms: int | None = None
    ts: int | str | None = None


class _Line(msgspec.Struct, gc=False):
    recv: int | str | None = None
    frame: msgspec.Raw = msgspec.Raw(b"")
    session: str = ""
    msg: msgspec.Raw = msgspec.Raw(b"")


_line = msgspec.json.Decoder(_Line)
_times = msgspec.json.Decoder(_Times)
_header = msgspec.json.Decoder(RecordingHeader)


def unused(path: Path) -> Path:
    """Return `path`, or with the first number before its suffixes that makes it a file that is not there yet.

    `a.jsonl.gz`, then `a-2.jsonl.gz`, `a-3.jsonl.gz`, …: what was recorded before a restart is kept.
    """
    name, dot, suffixes = path.name.partition(".")
    candidate, number = path, 1
    while candidate.exists():
        number += 1
        candidate = path.with_name(f"{name}-{number}{dot}{suffixes}")
    return candidate


class Recorder:
    """Writes a session in our own form. The file is complete after `close`; `flush` saves what there is."""

    def __init__(self, path: Path, header: RecordingHeader) -> None:
        path.parent.mkdir(parents=True, exist_ok=True)
        self._raw = path.open("wb")
        # No name and no time in the gzip header: the same session is the same file.
        self._file: io.BufferedIOBase = (
            gzip.GzipFile("", "wb", 9, self._raw, mtime=0) if path.suffix == ".gz" else self._raw
        )
        self._file.write(msgspec.json.encode(header) + b"\n")

    def session(self, ts: int, session: str) -> None:
        """A connection begins."""
        self._file.write(msgspec.json.encode({"recv": ts, "session": session}) + b"\n")

    def frame(self, ts: int, frame: bytes | str) -> None:
        """One frame as it came."""
        raw = frame.encode() if isinstance(frame, str) else frame
        self._file.write(b'{"recv":%d,"frame":%b}\n' % (ts, raw))

    def flush(self) -> None:
        """Hand everything to the file system."""
        self._file.flush()
        self._raw.flush()

    def close(self) -> None:
        """Finish the file. Closing twice is harmless."""
        self._file.close()
        self._raw.close()


class Recording:
    """A recording opened for reading. Iterating gives its entries in order; `close` when done.

    Raises OSError, EOFError or zlib.error where the file cannot be read (any further), RecordingError where it
    is no recording.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self._file = _open(path)
        self._number = 0
        self._latest = 0
        self._fault: Exception | None = None
        self._pushed_back = self._file.readline()
        try:
            self.header: RecordingHeader | None = _header.decode(self._pushed_back)
        except msgspec.DecodeError:
            self.header = None
        else:
            if self.header.troupe_recording != VERSION:
                raise RecordingError(f"{path}: a recording of version {self.header.troupe_recording}")
            self._number += 1
            self._pushed_back = b""
        self._entries = self._read()

    def __iter__(self) -> Iterator[Entry]:
        return self._entries

    def take(self, count: int) -> list[Entry]:
        """The next entries, at most `count`; fewer only at the end or before a fault.

        Raises what reading raises, once everything before the fault was given.
        """
        if self._fault is not None:
            raise self._fault
        taken: list[Entry] = []
        try:
            for entry in self._entries:
                taken.append(entry)
                if len(taken) == count:
                    break
        except READ_FAULTS as fault:
            self._fault = fault
            if not taken:
                raise
        return taken

    def close(self) -> None:
        """Close the file."""
        self._file.close()

    def _read(self) -> Iterator[Entry]:
        # Frames before the first dated one (acknowledgements, snapshots) get its time.
        undated: list[Entry] = []
        for line in self._lines():
            entry = self._entry(line)
            if self._latest == 0:
                undated.append(entry)
                continue
            if undated:
                for early in undated:
                    yield Entry(self._latest, early.frame)
                undated.clear()
            yield entry
        yield from undated

    def _lines(self) -> Iterator[bytes]:
        line = self._pushed_back or self._file.readline()
        while line:
            self._number += 1
            if line.strip():
                yield line
            line = self._file.readline()

    def _entry(self, line: bytes) -> Entry:
        try:
            parsed = _line.decode(line)
            ts = parsed.recv
            if ts is None:
                body = bytes(parsed.msg)
                ts = 0
                if body[:1] == b"{":
                    times = _times.decode(body)
                    ts = event_time(times.ts_ms, times.ts)
            elif isinstance(ts, str):
                ts = rfc3339_nanos(ts)
        except (msgspec.DecodeError, ValueError) as error:
            raise RecordingError(f"{self.path}, line {self._number}: {error}") from None
        self._latest = max(self._latest, ts)
        if parsed.session:
            return Entry(self._latest, None)
        frame = bytes(parsed.frame) or (line.strip() if parsed.recv is None else b"")
        if not frame:
            raise RecordingError(f"{self.path}, line {self._number}: neither a frame nor a session")
        return Entry(self._latest, frame)


def recorded_markets(path: Path) -> tuple[str, ...]:
    """The markets whose books a recording holds: those of its header, or of all its snapshots.

    Raises as Recording does.
    """
    recording = Recording(path)
    try:
        if recording.header is not None and recording.header.markets:
            return recording.header.markets
        found: set[str] = set()
        for entry in recording:
            if entry.frame is not None and b'"orderbook_snapshot"' in entry.frame:
                found.add(_snapshot_market(entry.frame))
        return tuple(sorted(found - {""}))
    finally:
        recording.close()


class _SnapshotMarket(msgspec.Struct, gc=False):
    market_ticker: str = ""


class _SnapshotLine(msgspec.Struct, gc=False):
    msg: _SnapshotMarket = msgspec.field(default_factory=_SnapshotMarket)


_snapshot = msgspec.json.Decoder(_SnapshotLine)


def _snapshot_market(frame: bytes) -> str:
    try:
        return _snapshot.decode(frame).msg.market_ticker
    except msgspec.DecodeError:
        return ""


def _open(path: Path) -> io.BufferedIOBase:
    if path.suffix == ".gz":
        return cast(io.BufferedIOBase, gzip.open(path, "rb"))
    return path.open("rb")
