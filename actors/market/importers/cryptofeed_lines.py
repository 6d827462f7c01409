"""cryptofeed's raw data collection: JSON lines, one record each.

The first is the header (`"t":"header"`: exchange, configuration). Then `http` (url, data), `connect` and `send` (addr,
data) and `recv` (data, or `b64` for binary frames), each with its connection `conn` and its time `ts` in seconds. The
records of one connection stand together, so the times go back where the next one begins. They are merged by time here,
which takes the file into memory; connections are numbered in the order of their appearance.
"""

from __future__ import annotations

import base64
import io
from collections.abc import Iterator
from pathlib import Path
from typing import Final
from urllib.parse import parse_qsl, urlsplit

import msgspec

from actors.market.importers.hftbacktest_text import DEPTH_PATHS, depth_call
from actors.market.importers.imported import Imported, open_text
from actors.market.recordings.entries import (
    Answer,
    Begin,
    Entry,
    Received,
    RecordingError,
    RecordingHeader,
    Sent,
)
from protocols.nanos import scaled
from protocols.venues.rest import RestCall

FORMAT: Final = "cryptofeed"
# Kraken's frames here are of its first protocol; an exchange that is not named is a venue of its own name.
VENUES: Final = {
    "BINANCE_FUTURES": "binance-usdm",
    "BINANCE_DELIVERY": "binance-coinm",
    "KRAKEN": "kraken-v1",
}


class _Header(msgspec.Struct, gc=False):
    t: str
    exchange: str = ""


class _Record(msgspec.Struct, gc=False):
    t: str
    conn: str = ""
    ts: msgspec.Raw = msgspec.Raw(b"0")
    url: str = ""
    addr: str = ""
    data: str = ""
    b64: str | None = None


_header = msgspec.json.Decoder(_Header)
_record = msgspec.json.Decoder(_Record)


def matches(line: bytes) -> bool:
    """Whether a file that begins with this line is of this format."""
    try:
        return _header.decode(line).t == "header"
    except (msgspec.DecodeError, UnicodeError):
        return False


def open_cryptofeed(path: Path, *, venue: str = "") -> Imported:
    """Open such a file. Raises OSError, RecordingError where it is none."""
    file = open_text(path)
    try:
        header = _header.decode(file.readline())
    except (msgspec.DecodeError, UnicodeError) as error:
        file.close()
        raise RecordingError(f"{path}: no header: {error}") from None
    venue = venue or VENUES.get(header.exchange, header.exchange.lower().replace("_", "-"))
    return Imported(path, FORMAT, RecordingHeader(venue=venue), _entries(path, file, venue), file.close)


def _entries(path: Path, file: io.BufferedIOBase, venue: str) -> Iterator[Entry]:
    names, records = _read(path, file)
    # A venue's answers belong to its first stream; where it has none, they are all there is.
    streams = [name for name in names if any(record.t != "http" for _, record in records[name])]
    numbers = {name: number for number, name in enumerate(streams)}
    entries: list[Entry] = []
    begins: dict[int, int] = {}
    for name in names:
        number = numbers.get(name, 0)
        latest = 0
        for ts, record in records[name]:
            latest = max(latest, ts)
            begins[number] = min(begins.get(number, latest), latest)
            if record.t == "recv":
                raw = record.data.encode() if record.b64 is None else base64.b64decode(record.b64)
                entries.append(Received(latest, raw, number))
            elif record.t == "send":
                entries.append(Sent(latest, record.data.encode(), number))
            elif record.t == "http":
                call = _call(venue, record.url)
                entries.append(Answer(latest, call, 200, record.data.encode(), number))
    # Before everything else of its time, and before answers that were there first.
    for number, ts in begins.items():
        entries.append(Begin(ts, streams[number] if streams else names[0], (), number))
    entries.sort(key=lambda entry: (entry.ts, not isinstance(entry, Begin)))
    yield from entries


def _read(path: Path, file: io.BufferedIOBase) -> tuple[list[str], dict[str, list[tuple[int, _Record]]]]:
    records: dict[str, list[tuple[int, _Record]]] = {}
    # The first line was the header.
    for number, line in enumerate(file, 2):
        if not line.strip():
            continue
        try:
            record = _record.decode(line)
            ts, _ = scaled(bytes(record.ts).decode())
        except (msgspec.DecodeError, ValueError) as error:
            raise RecordingError(f"{path}, line {number}: {error}") from None
        if record.t not in ("http", "connect", "send", "recv"):
            raise RecordingError(f"{path}, line {number}: a record of the unknown kind {record.t!r}")
        records.setdefault(record.conn, []).append((ts, record))
    return list(records), records


def _call(venue: str, url: str) -> RestCall:
    parts = urlsplit(url)
    query = tuple(parse_qsl(parts.query, keep_blank_values=True))
    if venue in DEPTH_PATHS and parts.path == DEPTH_PATHS[venue]:
        return depth_call(venue, dict(query).get("symbol", ""))
    return RestCall(purpose="", path=parts.path, query=query)
