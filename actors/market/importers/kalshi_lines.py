"""Kalshi's frames as JSON lines: bare, or as `{"recv": <RFC 3339 or nanoseconds>, "frame": {...}}`.

A bare frame does not say when it was received. Its time is the running maximum of the venue's own times; those at the
front that carry none (acknowledgements, snapshots) get the first one that comes.
"""

from __future__ import annotations

import io
from collections.abc import Iterator
from pathlib import Path
from typing import Final

import msgspec

from actors.market.importers.imported import Imported, open_text
from actors.market.recordings.entries import Begin, Entry, Received, RecordingError, RecordingHeader
from actors.market.session_core import SessionOptions
from protocols.venues.kalshi_messages import event_time
from protocols.venues.rfc3339 import rfc3339_nanos

FORMAT: Final = "kalshi-lines"
SESSION: Final = "recording"


class _Times(msgspec.Struct, gc=False):
    ts_ms: int | None = None
    ts: int | str | None = None


class _Line(msgspec.Struct, gc=False):
    recv: int | str | None = None
    frame: msgspec.Raw = msgspec.Raw(b"")
    type: str = ""
    msg: msgspec.Raw = msgspec.Raw(b"")


_line = msgspec.json.Decoder(_Line)
_times = msgspec.json.Decoder(_Times)


def matches(line: bytes) -> bool:
    """Whether a file that begins with this line is of this format."""
    try:
        parsed = _line.decode(line)
    except (msgspec.DecodeError, UnicodeError):
        return False
    return bool(parsed.type) if parsed.recv is None else bool(bytes(parsed.frame))


def open_kalshi_lines(path: Path, *, use_yes_price: bool = False) -> Imported:
    """Open such a file. Sizes of NO levels are on the NO scale unless `use_yes_price`. Raises OSError."""
    file = open_text(path)
    header = RecordingHeader(venue="kalshi", options=SessionOptions(use_yes_price=use_yes_price))
    return Imported(path, FORMAT, header, _entries(path, file), file.close)


def _entries(path: Path, file: io.BufferedIOBase) -> Iterator[Entry]:
    latest = 0
    undated: list[bytes] = []
    begun = False
    for number, line in enumerate(file, 1):
        raw = line.strip()
        if not raw:
            continue
        try:
            ts, frame = _dated(raw)
        except (msgspec.DecodeError, ValueError) as error:
            raise RecordingError(f"{path}, line {number}: {error}") from None
        latest = max(latest, ts)
        if not latest:
            undated.append(frame)
            continue
        if not begun:
            begun = True
            yield Begin(latest, SESSION)
            for early in undated:
                yield Received(latest, early)
            undated.clear()
        yield Received(latest, frame)
    if undated:
        yield Begin(0, SESSION)
        for early in undated:
            yield Received(0, early)


def _dated(raw: bytes) -> tuple[int, bytes]:
    """(time, or 0 where the line has none, the frame). Raises ValueError or DecodeError."""
    parsed = _line.decode(raw)
    if parsed.recv is None:
        body = bytes(parsed.msg)
        if body[:1] != b"{":
            return 0, raw
        times = _times.decode(body)
        return event_time(times.ts_ms, times.ts), raw
    frame = bytes(parsed.frame)
    if not frame:
        raise ValueError("no frame")
    return (rfc3339_nanos(parsed.recv) if isinstance(parsed.recv, str) else parsed.recv), frame
