"""The text that hftbacktest's collector writes: `<receive time, ns> <JSON of the venue>`, one frame a line.

Frames come from Binance's combined streams; an answer of its REST depth stands between them, as bare JSON with
`lastUpdateId`. The file names no venue: COIN-M's frames have `ps`, USD-M's `pu`, spot's neither.
"""

from __future__ import annotations

import io
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Final

import msgspec

from actors.market.importers.imported import Imported, first_lines, open_text
from actors.market.recordings.entries import Answer, Begin, Entry, Received, RecordingError, RecordingHeader
from actors.market.venues import session_class
from protocols.venues.rest import RestCall

FORMAT: Final = "hftbacktest"
SESSION: Final = "recording"
DEPTH_PATHS: Final = {
    "binance": "/api/v3/depth",
    "binance-usdm": "/fapi/v1/depth",
    "binance-coinm": "/dapi/v1/depth",
}
# Trades come between the depth frames that tell the venue.
_LOOK_AT: Final = 1000


class _Data(msgspec.Struct, gc=False):
    e: str = ""
    s: str = ""
    pu: int | None = None
    ps: str | None = None


class _Frame(msgspec.Struct, gc=False):
    stream: str = ""
    data: _Data = msgspec.field(default_factory=_Data)


class _Symbol(msgspec.Struct, gc=False):
    symbol: str = ""
    lastUpdateId: int | None = None  # noqa: N815 - the venue's name


_frame = msgspec.json.Decoder(_Frame)
_symbol = msgspec.json.Decoder(_Symbol)


def matches(line: bytes) -> bool:
    """Whether a file that begins with this line is of this format."""
    ts, _, text = line.partition(b" ")
    return ts.isdigit() and len(ts) >= 16 and text[:1] == b"{"


def venue_of(lines: Sequence[bytes]) -> str:
    """The venue whose frames these are; empty if no depth frame is among them."""
    for line in lines:
        if b"depthUpdate" not in line:
            continue
        try:
            data = _frame.decode(line.partition(b" ")[2]).data
        except (msgspec.DecodeError, UnicodeError):
            continue
        return "binance-coinm" if data.ps is not None else "binance" if data.pu is None else "binance-usdm"
    return ""


def open_hftbacktest(path: Path, *, venue: str = "") -> Imported:
    """Open such a file; `venue` empty: found out from its frames. Raises OSError, RecordingError."""
    venue = venue or venue_of(first_lines(path, _LOOK_AT))
    if venue not in DEPTH_PATHS:
        raise RecordingError(f"{path}: its first {_LOOK_AT} lines do not tell the venue: name it")
    file = open_text(path)
    return Imported(path, FORMAT, RecordingHeader(venue=venue), _entries(path, file, venue), file.close)


def _entries(path: Path, file: io.BufferedIOBase, venue: str) -> Iterator[Entry]:
    latest = 0
    symbol = ""
    for number, line in enumerate(file, 1):
        time, _, text = line.strip().partition(b" ")
        if not time:
            continue
        if not time.isdigit() or not text:
            raise RecordingError(f"{path}, line {number}: not a time and a frame")
        if not latest:
            yield Begin(int(time), SESSION)
        latest = max(latest, int(time))
        if text.startswith(b'{"stream"'):
            if not symbol:
                # `btcusdt@depth@100ms`: the stream's name is in lower case, the symbol in upper.
                symbol = text[11:].partition(b"@")[0].decode(errors="replace").upper()
            yield Received(latest, text)
        else:
            yield _answer(path, number, latest, text, venue, symbol)


def _answer(path: Path, number: int, ts: int, text: bytes, venue: str, symbol: str) -> Answer:
    try:
        found = _symbol.decode(text)
    except (msgspec.DecodeError, UnicodeError) as error:
        raise RecordingError(f"{path}, line {number}: {error}") from None
    name = found.symbol or symbol
    if found.lastUpdateId is None or not name:
        raise RecordingError(f"{path}, line {number}: neither a frame of a stream nor an answer to a known one")
    return Answer(ts, depth_call(venue, name), 200, text)


def depth_call(venue: str, symbol: str) -> RestCall:
    """The call that a snapshot answers: purpose `depth`, the market by our name."""
    return RestCall(
        purpose="depth",
        path=DEPTH_PATHS[venue],
        query=(("symbol", symbol), ("limit", "1000")),
        market=session_class(venue).market_of(symbol),
    )
