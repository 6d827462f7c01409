"""The recorded frames that `benchmarks.market` plays, and our own side of it.

The recordings are not part of this repository: `TROUPE_RECORDINGS` names their folder, or it is `../shared/data`.
"""

from __future__ import annotations

import gc
import gzip
import os
import statistics
import time
import tracemalloc
from pathlib import Path
from typing import Final

import msgspec

from actors.market.book import Book, Gap
from actors.market.session_core import Event, SessionCore, SessionOptions
from actors.market.sessions.binance import BinanceUsdmSession
from actors.market.sessions.kalshi import KalshiSession
from benchmarks.harness import ROOT, ChildFailed, Sample
from protocols.market import BookStale, BookUpdate, LevelChange, pack_levels
from protocols.nanos import NANO
from protocols.venues.rest import RestCall

KALSHI: Final = "kalshi"
BINANCE: Final = "binance-usdm"
RECORDINGS: Final = {
    KALSHI: "kalshi-demo-session-20260701.jsonl.gz",
    BINANCE: "binance-usdm-btcusdt-20240808.txt.gz",
}
BINANCE_FRAMES: Final = 2_000
"""Enough for every side to be warm; the slowest takes seconds for them."""
_NOW: Final = 1_700_000_000_000_000_000
_CENTS: Final = [cents * NANO // 100 for cents in range(101)]


class _Depth(msgspec.Struct):
    u: int = 0


class _Line(msgspec.Struct):
    data: _Depth = msgspec.field(default_factory=_Depth)
    last: int = msgspec.field(name="lastUpdateId", default=0)


def recording(venue: str) -> Path:
    """The file. Raises ChildFailed where it is not there."""
    folder = Path(os.environ.get("TROUPE_RECORDINGS") or ROOT.parent / "shared" / "data")
    path = folder / RECORDINGS[venue]
    if not path.is_file():
        raise ChildFailed(f"there is no recording {path} (TROUPE_RECORDINGS names another folder)")
    return path


def frames_of(venue: str) -> list[bytes]:
    """What every side gets, one JSON text each.

    Kalshi: the whole session. Binance: the REST snapshot, then the first depth frames that are newer.
    """
    with gzip.open(recording(venue)) as file:
        lines = [line.strip() for line in file if line.strip()]
    if venue == KALSHI:
        return lines
    texts = [line.partition(b" ")[2] for line in lines]
    snapshot = next(text for text in texts if text.startswith(b'{"lastUpdateId"'))
    known = msgspec.json.decode(snapshot, type=_Line).last
    depth = [text for text in texts if b'"depthUpdate"' in text]
    newer = [text for text in depth if msgspec.json.decode(text, type=_Line).data.u > known]
    return [snapshot, *newer[:BINANCE_FRAMES]]


def levels_in(venue: str, frames: list[bytes]) -> float:
    """How many levels a frame changes, on average."""
    core = _core(venue)
    events = [*_opening(core, frames[0]), *(event for frame in frames[1:] for event in core.receive(frame, _NOW, 1))]
    return sum(len(event.changes) for event in events if isinstance(event, BookUpdate)) / len(frames)


def troupe(venue: str, frames: list[bytes]) -> tuple[float, dict[str, tuple[float | None, float | None]]]:
    """Seconds from the first frame's bytes to the last best bid and ask, and what those are."""
    core = _core(venue)
    books: dict[str, Book] = {}
    stale = 0
    began = time.perf_counter()
    events = _opening(core, frames[0])
    for frame in (*frames[1:], b""):
        for event in events:
            if type(event) is BookUpdate:
                book = books.get(event.market)
                if book is None:
                    book = books[event.market] = Book(event.market)
                # The quote is there where the best price or its size has moved; otherwise the last one holds.
                book.apply(event)
            elif type(event) is BookStale:
                stale += 1
        if frame:
            events = core.receive(frame, _NOW, 1)
    took = time.perf_counter() - began
    if stale or core.tally.gaps or core.tally.dropped:
        raise Gap(venue, "benchmark", f"{core.tally}")
    best = {core.symbol_of(market): book.best() for market, book in books.items()}
    return took, {market: (_units(found.bid), _units(found.ask)) for market, found in best.items()}


def wide_snapshot(levels: int, rounds: int = 15) -> Sample:
    """Milliseconds in which a packed snapshot of so many levels becomes a quote, and in which a side is unpacked."""
    half = levels // 2
    bids = pack_levels((each * 10_000, 7 * each) for each in range(half, 0, -1))
    asks = pack_levels((each * 10_000, 7 * each) for each in range(half + 1, levels + 1))
    applied, touched = [], []
    for seq in range(rounds):
        book = Book("M")
        update = BookUpdate("M", (), "absolute", True, "bench", seq, 0, 0, (), bids, asks)
        began = time.perf_counter()
        book.apply(update)
        between = time.perf_counter()
        book.levels("bid", 1)
        applied.append(between - began)
        touched.append(time.perf_counter() - between)
    return {"snapshot ms": statistics.median(applied) * 1e3, "side ms": statistics.median(touched) * 1e3}


def memory(books: int, levels: int) -> Sample:
    """Bytes that a book of so many levels takes, of the Python heap."""
    gc.collect()
    tracemalloc.start()
    kept = [Book(f"MARKET-{number}") for number in range(books)]
    for number, book in enumerate(kept):
        # Sizes of their own, as every market has; prices that all markets share, as the codec hands them out.
        changes = [LevelChange("bid", _CENTS[each], 10**10 + number * levels + each) for each in range(levels // 2)]
        changes += [
            LevelChange("ask", _CENTS[-1 - each], 10**10 - number * levels - each) for each in range(levels // 2)
        ]
        book.apply(BookUpdate(book.market, tuple(changes), "absolute", True, "bench", 1, 0, 0))
    del changes
    gc.collect()
    taken = tracemalloc.get_traced_memory()[0]
    tracemalloc.stop()
    return {"bytes": taken / books}


def play(venue: str, seconds: float) -> Sample:
    """Frames a second of our side over about so many seconds, each round with new books."""
    frames = frames_of(venue)
    rounds = [troupe(venue, frames)[0] for _ in range(2)]
    rounds = [troupe(venue, frames)[0] for _ in range(max(3, round(seconds / rounds[-1])))]
    return {"frames/s": len(frames) * len(rounds) / sum(rounds)}


def _core(venue: str) -> SessionCore:
    options = SessionOptions(listening=True, use_yes_price=False)
    core: SessionCore
    core = KalshiSession("bench", options=options) if venue == KALSHI else BinanceUsdmSession("bench", options=options)
    core.connected("bench", (), _NOW, 0)
    return core


def _opening(core: SessionCore, frame: bytes) -> list[Event]:
    if core.VENUE != BINANCE:
        return core.receive(frame, _NOW, 1)
    call = RestCall(purpose="depth", path="/fapi/v1/depth", market=core.market_of("BTCUSDT"))
    return core.answered(call, 200, frame, _NOW, 1)


def _units(nanos: int | None) -> float | None:
    return None if nanos is None else nanos / NANO
