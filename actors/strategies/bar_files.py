"""Bars out of files, for trying a strategy: CSV (plain, .gz, .zst), parquet, and downloaded histories.

What columns and times may be called is in `actors/market/tables/`. A time is the start of its bar, and of UTC where it
names no zone.
"""

from __future__ import annotations

import heapq
import importlib
import re
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from contextlib import closing, contextmanager
from datetime import UTC, datetime, timedelta
from decimal import Decimal, InvalidOperation
from itertools import islice, pairwise
from math import nan
from pathlib import Path
from typing import Any, Final, NamedTuple

import msgspec

from actors.market.bars_intervals import MS, UNITS, Interval, parse_interval
from actors.market.history import Manifest
from actors.market.history_files import MANIFEST
from actors.strategies.sandbox.wire import BarInput
from protocols.nanos import NANO

PEEKED: Final = 1000
"""Rows of which the interval of a file is told."""
_ANY: Final = "1ms"
"""The interval that a file is read with: every other is a multiple of it."""
_PRICES: Final = ("open", "high", "low", "close")
_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)
_MICROSECOND: Final = timedelta(microseconds=1)
_DOTTED: Final = re.compile(r"(\d{2})\.(\d{2})\.(\d{4})(?:[ T](.*))?")


class BarFileError(Exception):
    """A file of bars that cannot be read: which line, what was expected, what is there."""


class BarFile:
    """The bars of one file or folder, oldest first. They are read anew each time that somebody asks for them."""

    def __init__(self, path: Path, *, symbol: str = "", interval: str = "") -> None:
        """`symbol`: which of a file of several, or the name of its only one. `interval`: told from the times if empty.

        Raises BarFileError for what cannot be read.
        """
        self.path = path = _history_in(path) if path.is_dir() else path
        self._only = symbol
        self._manifest = _manifest_of(path) if path.is_dir() else None
        self._named = self._manifest is None and _table(path, interval=_ANY).has_markets
        if self._manifest is not None:
            self.symbols: tuple[str, ...] = (symbol or self._manifest.market,)
            interval = interval or self._manifest.interval
        elif self._named:
            self.symbols = self._found_symbols()
        else:
            self.symbols = (symbol or path.name.partition(".")[0].upper(),)
        try:
            self.interval: Interval = parse_interval(interval or self._told_interval())
        except ValueError as error:
            raise BarFileError(f"{path}: {error}") from None
        if self.interval.kind != "time":
            raise BarFileError(f"{path}: expected an interval of time, got {self.interval.name!r}")

    def __iter__(self) -> Iterator[BarInput]:
        """Raises BarFileError with the line where something is wrong."""
        newest: dict[str, int] = {}
        for row in self._rows():
            before = newest.get(row.symbol)
            if before is not None and row.start <= before:
                raise BarFileError(f"{row.where}: time: expected bars in order, got one that is not behind the last")
            newest[row.symbol] = row.start
            end = row.start + self.interval.length
            yield BarInput(row.symbol, self.interval.name, row.start, end, *row.figures, end)

    def _rows(self) -> Iterator[_Row]:
        if self._manifest is not None:
            return _parts(self.path, self._manifest, self.symbols[0])
        found = _lines(self.path, self.symbols[0] if not self._named else "")
        return (row for row in found if row.symbol == self._only) if self._named and self._only else found

    def _found_symbols(self) -> tuple[str, ...]:
        found = tuple(dict.fromkeys(row.symbol for row in self._rows()))
        if not found:
            raise BarFileError(f"{self.path}: expected bars{f' of {self._only}' if self._only else ''}, got none")
        return found

    def _told_interval(self) -> str:
        with closing(_closable(self._rows())) as rows:
            first = list(islice(rows, PEEKED))
        starts = [row.start for row in first if row.symbol == self.symbols[0]]
        steps = Counter(later - earlier for earlier, later in pairwise(starts) if later > earlier)
        if not steps:
            raise BarFileError(f"{self.path}: expected two bars, or to be told the timeframe")
        return interval_name(steps.most_common(1)[0][0])


class _Row(NamedTuple):
    symbol: str
    start: int
    figures: tuple[float, float, float, float, float, float, float]
    """open, high, low, close, volume, trades, vwap."""
    where: str


def interval_name(length: int) -> str:
    """The name of an interval of so many nanoseconds: "1m", "4h". Raises BarFileError where it has none."""
    for unit in ("w", "d", "h", "m", "s", "ms"):
        if length % UNITS[unit] == 0 and (unit != "w" or length == UNITS["w"]):
            return f"{length // UNITS[unit]}{unit}"
    raise BarFileError(f"expected bars a number of milliseconds apart, got {length / MS} ms")


def merged(files: Sequence[BarFile]) -> Iterator[BarInput]:
    """The bars of several files in the order of their ends; of equal ones, in the order of the files."""
    return heapq.merge(*files, key=lambda bar: bar.end)


class Coarser:
    """Bars of a longer interval out of those of a shorter one, per symbol.

    A bar is there as soon as the last of its parts is. The first one is left out if its beginning is missing. Volume
    and trades are sums, the vwap is weighted with volume; NaN where a part has none.
    """

    def __init__(self, fine: Interval, coarse: Interval) -> None:
        """Raises ValueError where the longer is no multiple of the shorter."""
        if coarse.kind != "time" or coarse.length % fine.length or coarse.length <= fine.length:
            raise ValueError(f"timeframe: expected a multiple of {fine.name}, got {coarse.name}")
        self.interval = coarse
        self._open: dict[str, list[BarInput]] = {}

    def take(self, bar: BarInput) -> list[BarInput]:
        """The next bar of the shorter interval; what is complete now, oldest first."""
        start, end = self.interval.bounds(bar.start)
        parts = self._open.get(bar.symbol)
        found: list[BarInput] = []
        if parts is None:
            if bar.start != start:
                return []
            parts = self._open[bar.symbol] = []
        if parts and parts[0].start < start:
            found.append(self._joined(parts, now=bar.now))
            parts.clear()
        parts.append(bar)
        if bar.end == end:
            found.append(self._joined(parts, now=bar.now))
            parts.clear()
        return found

    def _joined(self, parts: list[BarInput], now: int) -> BarInput:
        start, end = self.interval.bounds(parts[0].start)
        volume = sum(part.volume for part in parts)
        vwap = sum(part.vwap * part.volume for part in parts) / volume if volume else nan
        return BarInput(
            parts[0].symbol, self.interval.name, start, end, parts[0].open, max(part.high for part in parts),
            min(part.low for part in parts), parts[-1].close, volume, sum(part.trades for part in parts), vwap, now,
        )  # fmt: skip


# -- CSV and parquet -----------------------------------------------------------------------------------------


def _table(path: Path, symbol: str = "", interval: str = "") -> Any:
    """The file opened as a table of bars. Raises BarFileError."""
    # Imported where a file is read, and by nobody who only looks.
    canonical = importlib.import_module("actors.market.tables.canonical")
    options = importlib.import_module("actors.market.tables.options")
    if not path.exists():
        raise BarFileError(f"{path}: No such file or directory")
    with _told(path):
        return canonical.TableFile(path, options.ReadOptions(kind="bars", market=symbol, interval=interval))


@contextmanager
def _told(path: Path) -> Iterator[None]:
    faults = importlib.import_module("actors.market.tables.faults")
    try:
        yield
    except faults.TableError as error:
        where = f"{path}, bar {error.row}: {error.field}" if error.row else f"{path}"
        raise BarFileError(f"{where}: {error.message}") from None


def _lines(path: Path, symbol: str) -> Iterator[_Row]:
    """The bars of a file as they stand in it. Raises BarFileError."""
    file = _table(path, interval=_ANY)
    floats = importlib.import_module("actors.market.tables.decimals").floats
    number = 0
    with _told(path):
        for batch in file.batches():
            columns = {name: batch[name].to_pylist() for name in batch.schema.names if name != "volume"}
            if "volume" in batch.schema.names:
                columns["volume"] = floats(batch["volume"]).tolist()
            names = columns.get("market") or [symbol] * batch.num_rows
            rest = [columns.get(name) or [None] * batch.num_rows for name in ("volume", "trades", "vwap")]
            prices = [columns[name] for name in _PRICES]
            for name, start, *figures in zip(names, columns["start"], *prices, *rest, strict=True):
                number += 1
                where = f"{path}, bar {number}"
                *four, volume, trades, vwap = figures
                for field, value in (("time", start), *zip(_PRICES, four, strict=True)):
                    if value is None:
                        raise BarFileError(f"{where}: {field}: expected a number, got none or one out of range")
                open_, high, low, close = (value / NANO for value in four)
                more = (_float(volume), _float(trades), nan if vwap is None else vwap / NANO)
                yield _Row(name, start, (open_, high, low, close, *more), where)


def nanos_of(text: str, where: str = "") -> int:
    """Nanoseconds of a time (in a file: `where`). Raises BarFileError for a text that is none, or can mean two days."""
    dotted = _DOTTED.fullmatch(text)
    if dotted:
        day, month, year, rest = dotted.groups()
        text = f"{year}-{month}-{day}" + (f" {rest}" if rest else "")
    try:
        number = Decimal(text)
    except InvalidOperation:
        number = None
    if number is not None and number.is_finite() and len(text) != 8:
        # Up to the year 5138 a number below each bound is of that unit.
        for bound, unit in ((10**11, NANO), (10**14, 10**6), (10**17, 10**3)):
            if abs(number) < bound:
                return int(number * unit)
        return int(number)
    try:
        at = datetime.fromisoformat(text)
    except ValueError:
        place = f"{where}: " if where else ""
        raise BarFileError(f"{place}time: expected one such as 2024-01-31 09:30:00, got {text[:50]!r}") from None
    at = at.replace(tzinfo=UTC) if at.tzinfo is None else at
    return (at - _EPOCH) // _MICROSECOND * 1000


def time_text(ts: int) -> str:
    """Nanoseconds since the epoch as people read them: UTC, with as many digits as it takes."""
    seconds, rest = divmod(ts, NANO)
    fraction = f".{rest:09d}".rstrip("0") if rest else ""
    return f"{datetime.fromtimestamp(seconds, UTC):%Y-%m-%dT%H:%M:%S}{fraction}Z"


# -- a downloaded history ------------------------------------------------------------------------------------


def _history_in(folder: Path) -> Path:
    """The folder itself, or the only history of bars somewhere below it."""
    found = [path.parent for path in sorted(folder.rglob(f"bars-*/{MANIFEST}"))]
    if (folder / MANIFEST).exists() or not found:
        return folder
    if len(found) > 1:
        names = ", ".join(str(each.relative_to(folder)) for each in found[:10])
        raise BarFileError(f"{folder}: expected the folder of one history, got {len(found)}: {names}")
    return found[0]


def _manifest_of(folder: Path) -> Manifest:
    try:
        manifest = msgspec.json.decode((folder / MANIFEST).read_bytes(), type=Manifest)
    except OSError:
        raise BarFileError(f"{folder}: expected a folder of `troupe data download`, with a {MANIFEST}") from None
    except msgspec.DecodeError as error:
        raise BarFileError(f"{folder / MANIFEST} is damaged: {error}") from None
    if manifest.kind != "bars":
        raise BarFileError(f"{folder}: expected bars, got {manifest.kind}")
    return manifest


def _parts(folder: Path, manifest: Manifest, symbol: str) -> Iterator[_Row]:
    parquet = importlib.import_module("pyarrow.parquet")
    names = ("start", "open", "high", "low", "close", "volume", "trades", "vwap")
    for part in manifest.parts:
        path = folder / part.file
        try:
            table = parquet.read_table(path, columns=list(names))
        except (OSError, ValueError) as error:
            raise BarFileError(f"{path}: {error}") from None
        starts = table["start"].cast("int64").to_pylist()
        columns: Iterable[list[Any]] = (table[name].to_pylist() for name in names[1:])
        for row, (start, *figures) in enumerate(zip(starts, *columns, strict=True)):
            open_, high, low, close, volume, trades, vwap = figures
            prices = (open_ / NANO, high / NANO, low / NANO, close / NANO)
            rest = (_float(volume), _float(trades), nan if vwap is None else vwap / NANO)
            yield _Row(symbol, start, (*prices, *rest), f"{path}, row {row}")


def _float(value: Any) -> float:
    return nan if value is None else float(value)


def _closable(rows: Iterator[_Row]) -> Any:
    return rows if hasattr(rows, "close") else (row for row in rows)
