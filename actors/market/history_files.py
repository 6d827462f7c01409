"""Where a history lies on the disk, and how it gets there whole.

    FOLDER/<venue>/<market>/bars-1m/manifest.json
    FOLDER/<venue>/<market>/bars-1m/20240101T000000Z-20240201T000000Z.parquet
    FOLDER/<venue>/<market>/bars-1m/20240201T000000Z-20240301T000000Z.pages

A part is written beside its place and renamed, then the manifest is. Pages that have come of a part that is not whole
yet are lines of a `.pages` file: whoever goes on reads them and asks for the page behind the last one. A line that was
cut off is not there.

Columns of bars: `market`, `interval`, `start`, `end` (timestamps in ns, UTC), `open`, `high`, `low`, `close`, `vwap`
(int64 nanos, 10⁻⁹ of the currency), `volume` (decimal128(38, 12)), `trades`, `empty`. Of trades: `market`, `ts_event`,
`price`, `size` (int64 nanos), `taker`, `trade_id`, `block`. Of funding: `market`, `ts_event`, `rate`
(decimal128(38, 18)), `next_ts`, `mark_price`, `index_price`. All have `venue`, `source`, `marks` and `retrieved_at`.
"""

from __future__ import annotations

import importlib
import os
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from datetime import UTC, datetime
from decimal import ROUND_DOWN, Context, Decimal
from fcntl import LOCK_EX, LOCK_NB, flock
from pathlib import Path
from typing import Any, Final
from urllib.parse import quote

import msgspec

from actors.market.history import Manifest, Span
from actors.market.venue_rest import HistoryKind, HistoryPage
from protocols.market import Bar, Funding, Trade
from protocols.venues.rest import RestCall

MANIFEST: Final = "manifest.json"
PAGES: Final = ".pages"
_VOLUME: Final = Decimal(1).scaleb(-12)
_RATE: Final = Decimal(1).scaleb(-18)
_DIGITS: Final = Context(prec=38)
_page: Final = msgspec.json.Decoder(HistoryPage)
_manifest: Final = msgspec.json.Decoder(Manifest)


class HistoryError(Exception):
    """The folder cannot be used: damaged, or somebody else writes to it."""


class History:
    """The folder of one history. Reading and writing block."""

    def __init__(self, root: Path, venue: str, market: str, kind: HistoryKind, interval: str = "") -> None:
        self.venue = venue
        self.market = market
        self.kind: HistoryKind = kind
        self.interval = interval if kind == "bars" else ""
        # A market of another venue may have any character in its name.
        name = f"{kind}-{self.interval}" if self.interval else kind
        self.folder = root / venue / quote(market, safe=".-_ ") / name

    # -- the manifest ------------------------------------------------------------------------------------

    def manifest(self) -> Manifest:
        """What is there; an empty one where there is nothing. Raises HistoryError for one that cannot be read."""
        path = self.folder / MANIFEST
        try:
            return _manifest.decode(path.read_bytes())
        except FileNotFoundError:
            return Manifest(venue=self.venue, market=self.market, kind=self.kind, interval=self.interval)
        except msgspec.DecodeError as error:
            raise HistoryError(f"{path} is damaged: {error}") from None

    def keep(self, manifest: Manifest) -> None:
        """Replace the manifest, whole or not at all."""
        _replace(self.folder / MANIFEST, msgspec.json.format(msgspec.json.encode(manifest), indent=1))

    @contextmanager
    def locked(self) -> Iterator[None]:
        """Nobody else writes here meanwhile. Raises HistoryError where somebody does."""
        self.folder.mkdir(parents=True, exist_ok=True)
        with (self.folder / ".lock").open("wb") as lock:
            try:
                flock(lock, LOCK_EX | LOCK_NB)
            except OSError:
                raise HistoryError(f"another download writes to {self.folder}") from None
            yield

    # -- pages of a part that is not whole yet -----------------------------------------------------------

    def pages(self, span: Span) -> PageFile:
        """The pages of the part that spans this."""
        return PageFile(self.folder / (part_name(span) + PAGES))

    def begun(self) -> list[Span]:
        """The spans of parts that are not whole yet."""
        found = (span_of(path.name.removesuffix(PAGES)) for path in self.folder.glob(f"*{PAGES}"))
        return sorted(span for span in found if span is not None)

    # -- parts -------------------------------------------------------------------------------------------

    def write_bars(self, span: Span, bars: Sequence[Bar], retrieved_at: int) -> tuple[str, int, int]:
        """Write a part; its file's name, its bytes, and how many volumes lost digits past 10⁻¹²."""
        pa = _arrow()
        cut = 0
        volumes: list[Decimal | None] = []
        for bar in bars:
            volume, lost = _decimal(bar.volume, _VOLUME)
            volumes.append(volume)
            cut += lost
        nanos, time = pa.int64(), pa.timestamp("ns", tz="UTC")
        columns = {
            "market": _words(pa, [bar.market for bar in bars]),
            "interval": _words(pa, [bar.interval for bar in bars]),
            "start": pa.array([bar.start for bar in bars], time),
            "end": pa.array([bar.end for bar in bars], time),
            "open": pa.array([bar.open for bar in bars], nanos),
            "high": pa.array([bar.high for bar in bars], nanos),
            "low": pa.array([bar.low for bar in bars], nanos),
            "close": pa.array([bar.close for bar in bars], nanos),
            "vwap": pa.array([bar.vwap for bar in bars], nanos),
            "volume": pa.array(volumes, pa.decimal128(38, 12)),
            "trades": pa.array([bar.trades for bar in bars], pa.int64()),
            "empty": pa.array([bar.empty for bar in bars], pa.bool_()),
            "source": _words(pa, [bar.source for bar in bars]),
            "marks": _marks(pa, [bar.marks for bar in bars]),
        }
        return *self._write(span, columns, len(bars), retrieved_at), cut

    def write_trades(self, span: Span, trades: Sequence[Trade], retrieved_at: int) -> tuple[str, int, int]:
        """Write a part of trades, as `write_bars`."""
        pa = _arrow()
        columns = {
            "market": _words(pa, [trade.market for trade in trades]),
            "ts_event": pa.array([trade.ts_event for trade in trades], pa.timestamp("ns", tz="UTC")),
            "price": pa.array([trade.price for trade in trades], pa.int64()),
            "size": pa.array([trade.size for trade in trades], pa.int64()),
            "taker": _words(pa, [trade.taker for trade in trades]),
            "trade_id": pa.array([trade.trade_id for trade in trades], pa.string()),
            "block": pa.array([trade.block for trade in trades], pa.bool_()),
            "source": _words(pa, ["venue"] * len(trades)),
            "marks": _marks(pa, [trade.marks for trade in trades]),
        }
        return *self._write(span, columns, len(trades), retrieved_at), 0

    def write_funding(self, span: Span, funding: Sequence[Funding], retrieved_at: int) -> tuple[str, int, int]:
        """Write a part of funding rates, as `write_bars`."""
        pa = _arrow()
        rates = [_decimal(each.rate, _RATE) for each in funding]
        time = pa.timestamp("ns", tz="UTC")
        columns = {
            "market": _words(pa, [each.market for each in funding]),
            "ts_event": pa.array([each.ts_event for each in funding], time),
            "rate": pa.array([rate for rate, _ in rates], pa.decimal128(38, 18)),
            "next_ts": pa.array([each.next_ts or None for each in funding], time),
            "mark_price": pa.array([each.mark_price for each in funding], pa.int64()),
            "index_price": pa.array([each.index_price for each in funding], pa.int64()),
            "source": _words(pa, ["venue"] * len(funding)),
            "marks": _marks(pa, [each.marks for each in funding]),
        }
        return *self._write(span, columns, len(funding), retrieved_at), sum(lost for _, lost in rates)

    def _write(self, span: Span, columns: dict[str, Any], rows: int, retrieved_at: int) -> tuple[str, int]:
        pa, parquet = _arrow(), importlib.import_module("pyarrow.parquet")
        columns["venue"] = _words(pa, [self.venue] * rows)
        columns["retrieved_at"] = pa.array([retrieved_at] * rows, pa.timestamp("ns", tz="UTC"))
        name = part_name(span) + ".parquet"
        path = self.folder / name
        beside = path.with_suffix(".parquet.new")
        parquet.write_table(pa.table(columns), beside, compression="zstd")
        _sync(beside)
        beside.replace(path)
        _sync(self.folder)
        return name, path.stat().st_size


class PageFile:
    """Pages of a part as they came, one line of JSON each."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def read(self) -> list[HistoryPage]:
        """The pages that came whole; what is behind them is cut off."""
        try:
            raw = self.path.read_bytes()
        except FileNotFoundError:
            return []
        found: list[HistoryPage] = []
        whole = 0
        for line in raw.splitlines(keepends=True):
            if not line.endswith(b"\n"):
                break
            try:
                found.append(_page.decode(line))
            except msgspec.DecodeError:
                break
            whole += len(line)
        if whole < len(raw):
            os.truncate(self.path, whole)
        return found

    def append(self, page: HistoryPage) -> None:
        """Keep one more page; it is on the disk when this returns."""
        with self.path.open("ab") as file:
            file.write(msgspec.json.encode(page) + b"\n")
            file.flush()
            os.fsync(file.fileno())

    def remove(self) -> None:
        """The part is whole, or is begun anew."""
        self.path.unlink(missing_ok=True)


def manifests(root: Path) -> list[tuple[Path, Manifest]]:
    """Every history below `root` with its folder, sorted. Raises HistoryError for one that cannot be read."""
    found: list[tuple[Path, Manifest]] = []
    for path in sorted(root.glob(f"*/*/*/{MANIFEST}")):
        try:
            found.append((path.parent, _manifest.decode(path.read_bytes())))
        except (OSError, msgspec.DecodeError) as error:
            raise HistoryError(f"{path} cannot be read: {error}") from None
    return found


def part_name(span: Span) -> str:
    """`20240101T000000Z-20240201T000000Z`; a border within a second has nine more digits."""
    return f"{_time(span.start)}-{_time(span.end)}"


def span_of(name: str) -> Span | None:
    """The span of a part's name; None for another name."""
    start, _, end = name.partition("-")
    try:
        return Span(_nanos(start), _nanos(end))
    except ValueError:
        return None


def _time(ts: int) -> str:
    seconds, fraction = divmod(ts, 1_000_000_000)
    text = f"{datetime.fromtimestamp(seconds, UTC):%Y%m%dT%H%M%S}"
    return f"{text}.{fraction:09d}Z" if fraction else f"{text}Z"


def _nanos(text: str) -> int:
    whole, _, fraction = text.removesuffix("Z").partition(".")
    at = datetime.strptime(whole, "%Y%m%dT%H%M%S").replace(tzinfo=UTC)
    return int(at.timestamp()) * 1_000_000_000 + int(fraction or "0")


def call_after(pages: Sequence[HistoryPage]) -> RestCall | None:
    """The call for the page behind the last one; None where that was the last."""
    return pages[-1].next if pages else None


def _decimal(text: str, step: Decimal) -> tuple[Decimal | None, bool]:
    if not text:
        return None, False
    number = Decimal(text)
    kept = number.quantize(step, ROUND_DOWN, _DIGITS)
    return kept, kept != number


def _arrow() -> Any:
    # Imported where a part is written, and by nobody who only looks.
    return importlib.import_module("pyarrow")


def _words(pa: Any, texts: Sequence[str | None]) -> Any:
    return pa.array(texts, pa.string()).dictionary_encode()


def _marks(pa: Any, marks: Sequence[tuple[str, ...]]) -> Any:
    return pa.array([list(each) for each in marks], pa.list_(pa.string()))


def _replace(path: Path, content: bytes) -> None:
    beside = path.with_name(path.name + ".new")
    beside.write_bytes(content)
    _sync(beside)
    beside.replace(path)
    _sync(path.parent)


def _sync(path: Path) -> None:
    file = os.open(path, os.O_RDONLY)
    try:
        os.fsync(file)
    finally:
        os.close(file)
