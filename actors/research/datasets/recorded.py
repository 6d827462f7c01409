"""Recordings as columns: the level changes, quotes or trades that came of their frames.

The frames go through the venue's session and books exactly as a replay plays them, so the messages here are those that
a replay publishes, in their order: of one frame first the update, then the quote that it made.
"""

from __future__ import annotations

from array import array
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, Final

import numpy as np
import pyarrow as pa

from actors.market.importers import cryptofeed_lines, dbn, hftbacktest_text, kalshi_lines
from actors.market.importers.imported import first_lines
from actors.market.importers.opening import open_recording
from actors.market.recordings.entries import READ_FAULTS
from actors.market.recordings.reader import is_recording
from actors.market.replay_core import Output, ReplayCore
from actors.market.session_core import Incident
from actors.market.tables.decimals import MISSING
from actors.market.tables.faults import Faults, TableError
from actors.market.tables.options import ReadOptions
from actors.market.tables.schema import Kind
from actors.research.datasets.collected import Collected, Say, shaped
from actors.research.datasets.table import LAST, SIGNED, SNAPSHOT
from protocols.market import DELAYED, BookUpdate, Quote, Trade, unpack_levels

STALE: Final = "stale_book"
"""Times that a book was not current for a while, which the rows do not show until its next snapshot."""
_SIDES: Final = {"bid": 1, "ask": -1}
_TAKERS: Final = {"buy": 1, "sell": -1, None: 0}
_SAID: Final = 50_000
_NUMBERS: Final[dict[Kind, tuple[str, ...]]] = {
    "l2": ("ts_event", "ts_recv", "seq", "side", "price", "size", "flags"),
    "quotes": ("ts_event", "ts_recv", "bid", "bid_size", "ask", "ask_size", "seq"),
    "trades": ("ts_event", "ts_recv", "price", "size", "taker", "seq"),
}


def is_one(path: Path) -> bool:
    """Whether it is a recording of ours (a file or a folder), or of a format that is known."""
    try:
        if is_recording(path):
            return True
        if path.is_dir() or dbn.is_dbn(path):
            return False
        line = next(iter(first_lines(path, 1)), b"")
    except READ_FAULTS:
        return False
    return any(form.matches(line) for form in (hftbacktest_text, cryptofeed_lines, kalshi_lines))


def messages(path: Path, *, market: str = "") -> Iterator[Output]:
    """Every event and quote of a recording, in the order of a replay. Raises what is in READ_FAULTS."""
    recording = open_recording(path, whole_sessions=True)
    try:
        core = ReplayCore(recording.header)
        if not core.knows_venue:
            raise TableError("file", f"expected a recording of a known venue, got one of {recording.header.venue!r}")
        for entry in recording:
            for output in core.play(entry):
                if not market or getattr(output, "market", market) == market:
                    yield output
    finally:
        recording.close()


def collect(path: Path, options: ReadOptions | None = None, *, say: Say = lambda rows: None) -> Collected:
    """The rows of one kind (none told: l2) of all markets, or of one.

    Raises TableError where there are none, and what is in READ_FAULTS.
    """
    options = options or ReadOptions()
    kind: Kind = options.kind or "l2"
    if kind == "bars":
        raise TableError("kind", "expected l2, quotes or trades of a recording, got bars")
    rows = _Rows(kind)
    faults: Faults = Counter()
    marks: set[str] = set()
    for output in messages(path, market=options.market):
        if isinstance(output, Incident):
            faults[STALE] += output.kind == "book_gap"
        if isinstance(output, rows.wanted):
            marks.update(output.marks)
            rows.add(output)
            if rows.count // _SAID != rows.said:
                rows.said = rows.count // _SAID
                say(rows.count)
    if not rows.count:
        wanted = f" of {options.market}" if options.market else ""
        raise TableError("file", f"expected {kind}{wanted} in the recording, got none")
    table, markets = rows.table()
    return Collected(
        kind=kind,
        interval="",
        markets=markets,
        table=shaped(table, kind, has_flags=True),
        format="recording",
        name=path.name.partition(".")[0],
        # A replay is delayed; what was recorded is not for that.
        marks=tuple(sorted(marks - {DELAYED})),
        zoned=True,
        faults=faults,
    )


class _Rows:
    """Grows columns of one kind."""

    def __init__(self, kind: Kind) -> None:
        self.kind = kind
        self.count = 0
        self.said = 0
        self.markets: dict[str, int] = {}
        self.sessions: dict[str, int] = {}
        self.codes = array("i")
        self.session_codes = array("i")
        self.texts: list[str] = []
        self.numbers = {name: array("q") for name in _NUMBERS[kind]}
        adders: dict[str, tuple[Any, Callable[[Any], None]]] = {
            "l2": (BookUpdate, self._update),
            "quotes": (Quote, self._quote),
            "trades": (Trade, self._trade),
        }
        self.wanted, self.add = adders[kind]

    def _code(self, market: str) -> int:
        return self.markets.setdefault(market, len(self.markets))

    def _update(self, update: BookUpdate) -> None:
        if update.packed_bids or update.packed_asks:
            levels = [
                (side, price, size)
                for side, packed in ((1, update.packed_bids), (-1, update.packed_asks))
                for price, size in zip(*unpack_levels(packed), strict=True)
            ]
        else:
            levels = [(_SIDES[change.side], change.price, change.size) for change in update.changes]
        if not levels:
            if not update.snapshot:
                return
            levels = [(0, 0, 0)]
        count = len(levels)
        flags = (SNAPSHOT if update.snapshot else 0) | (SIGNED if update.kind == "signed" else 0)
        numbers = self.numbers
        sides, prices, sizes = zip(*levels, strict=True)
        numbers["side"].extend(sides)
        numbers["price"].extend(prices)
        numbers["size"].extend(sizes)
        numbers["flags"].extend([flags] * (count - 1) + [flags | LAST])
        for name, value in (("ts_event", update.ts_event), ("ts_recv", update.ts_recv), ("seq", update.seq)):
            numbers[name].extend([value] * count)
        self.codes.extend([self._code(update.market)] * count)
        self.session_codes.extend([self.sessions.setdefault(update.session, len(self.sessions))] * count)
        self.count += count

    def _quote(self, quote: Quote) -> None:
        figures = (quote.bid, quote.bid_size, quote.ask, quote.ask_size, quote.seq)
        self._row(quote, figures, ("bid", "bid_size", "ask", "ask_size", "seq"))

    def _trade(self, trade: Trade) -> None:
        figures = (trade.price, trade.size, _TAKERS[trade.taker], trade.seq)
        self._row(trade, figures, ("price", "size", "taker", "seq"))
        self.texts.append(trade.trade_id)

    def _row(self, message: Quote | Trade, figures: tuple[int | None, ...], names: tuple[str, ...]) -> None:
        for name, value in zip(names, figures, strict=True):
            self.numbers[name].append(MISSING if value is None else value)
        self.numbers["ts_event"].append(message.ts_event)
        self.numbers["ts_recv"].append(message.ts_recv)
        self.codes.append(self._code(message.market))
        self.count += 1

    def table(self) -> tuple[Any, tuple[str, ...]]:
        """An Arrow table, its markets in the order of the alphabet."""
        names = sorted(self.markets)
        places = np.empty(len(names), np.int32)
        for name, code in self.markets.items():
            places[code] = names.index(name)
        codes = places[np.frombuffer(self.codes, np.int32)]
        arrays: dict[str, Any] = {"market": pa.DictionaryArray.from_arrays(pa.array(codes), pa.array(names))}
        small = {"side": pa.int8(), "taker": pa.int8(), "flags": pa.uint8()}
        for name, values in self.numbers.items():
            column = np.frombuffer(values, np.int64)
            # A venue that gives no time of its own writes 0.
            empty = column == MISSING if not name.startswith("ts_") else column == 0
            arrays[name] = pa.array(column, mask=empty).cast(small.get(name, pa.int64()))
        if self.kind == "l2":
            sessions = pa.DictionaryArray.from_arrays(
                pa.array(np.frombuffer(self.session_codes, np.int32)), pa.array(list(self.sessions))
            )
            arrays["session"] = sessions.dictionary_decode()
        if self.kind == "trades":
            arrays["trade_id"] = pa.array(self.texts, pa.string())
        return pa.table(arrays), tuple(names)
