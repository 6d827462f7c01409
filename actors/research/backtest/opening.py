"""Opens the data that a specification names, and cuts spans out of it."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Final

from actors.research.backtest.recording_source import RecordingSource
from actors.research.backtest.sources import Batch, Source, TableSource
from actors.research.backtest.spec import BacktestSpec, DataSpec, SpecError
from actors.research.datasets import recorded
from actors.research.datasets.doubts import doubts
from actors.research.datasets.folders import DatasetError, folder_of, recording_of
from actors.research.datasets.reading import open_file

MOST_KEPT: Final = 500_000
"""Rows of which the messages are kept for the next run over the same span (about 400 bytes each)."""
MOST_SPANS: Final = 4
"""Spans of which messages are kept; the oldest makes room."""


class KeptSource:
    """A source whose messages are made once and kept."""

    def __init__(self, source: Source) -> None:
        self.name = source.name
        self.content_hash = source.content_hash
        self.marks = source.marks
        self.feeds = source.feeds
        self.closing = source.closing
        self.intervals = source.intervals
        self._span = source.span()
        self._batches = list(source.batches())

    def span(self) -> tuple[int, int] | None:
        """As Source."""
        return self._span

    def batches(self) -> Iterator[Batch]:
        """As Source."""
        return iter(self._batches)


class Opened:
    """The data of one specification. Spans are cut without reading it again."""

    def __init__(self, spec: BacktestSpec, *, data_dir: Path | None = None) -> None:
        """`data_dir`: of the node whose data sets are named. Raises SpecError."""
        self._paths: list[tuple[DataSpec, Path]] = []
        self._tables: list[TableSource | None] = []
        self._hashes: list[str] = []
        self._kept: dict[tuple[int | None, int | None], list[Source]] = {}
        self._spec = spec
        for place, data in enumerate(spec.data):
            path = _path(data, data_dir, place)
            self._paths.append((data, path))
            if _is_recording(data, path):
                self._tables.append(None)
                self._hashes.append(file_hash(path))
            else:
                source = _table(data, path, place)
                self._tables.append(source)
                self._hashes.append(source.content_hash)
        _check_twice([source for source in self._tables if source is not None])

    @property
    def doubts(self) -> tuple[str, ...]:
        """What is to be known of the data before anything is believed that was made of it."""
        return tuple(doubt for source in self._tables if source is not None for doubt in doubts(source.table))

    @property
    def hashes(self) -> tuple[str, ...]:
        """Of the content of each piece of data."""
        return tuple(self._hashes)

    def span(self) -> tuple[int, int]:
        """The first and last time of the specification's span that has data. Recordings are read for it."""
        since, until = self._spec.since, self._spec.until
        spans = []
        for source in self.sources(since, until, keep=False):
            found = source.span()
            if found is None and isinstance(source, RecordingSource):
                found = _read_span(source)
            if found is not None:
                spans.append(found)
        if not spans:
            raise SpecError("data", "expected rows in the span, got none")
        return min(first for first, _ in spans), max(last for _, last in spans)

    def sources(self, since: int | None, until: int | None, *, keep: bool = True) -> list[Source]:
        """Sources of [since, until). `keep`: the same span will be read again."""
        if keep and (since, until) in self._kept:
            return self._kept[since, until]
        found: list[Source] = []
        for (data, path), source, content in zip(self._paths, self._tables, self._hashes, strict=True):
            if source is None:
                found.append(
                    RecordingSource(
                        path,
                        content_hash=content,
                        markets=(data.market,) if data.market else self._spec.markets,
                        venue=data.venue,
                        use_yes_price=data.use_yes_price,
                        since=since,
                        until=until,
                    )
                )
                continue
            cut = source if since is None and until is None else TableSource(source.table.between(since, until))
            found.append(KeptSource(cut) if keep and len(cut.table) <= MOST_KEPT else cut)
        if keep and all(isinstance(each, KeptSource) for each in found):
            while len(self._kept) >= MOST_SPANS:
                del self._kept[next(iter(self._kept))]
            self._kept[since, until] = found
        return found


def file_hash(path: Path) -> str:
    """SHA-256 of a file's bytes, or of those of all files of a folder in the order of their names."""
    whole = hashlib.sha256()
    for file in sorted(each for each in path.rglob("*") if each.is_file()) if path.is_dir() else [path]:
        with file.open("rb") as opened:
            while block := opened.read(1 << 20):
                whole.update(block)
    return whole.hexdigest()


def _path(data: DataSpec, data_dir: Path | None, place: int) -> Path:
    if not data.dataset:
        path = Path(data.path)
        if not path.exists():
            raise SpecError(f"data[{place}].path", f"there is no {path}")
        return path
    if data_dir is None:
        raise SpecError(f"data[{place}].dataset", "data sets are a node's: give its data folder, or a path")
    try:
        path = folder_of(data_dir, data.dataset)
    except DatasetError as error:
        raise SpecError(f"data[{place}].dataset", str(error)) from None
    if not path.exists():
        raise SpecError(f"data[{place}].dataset", f"there is no data set {data.dataset}")
    return recording_of(path) or path


def _is_recording(data: DataSpec, path: Path) -> bool:
    if data.kind in ("bars", "quotes", "trades", "l2"):
        return False
    return data.kind == "recording" or recorded.is_one(path)


def _table(data: DataSpec, path: Path, place: int) -> TableSource:
    kind = None if data.kind in ("", "recording") else data.kind
    try:
        table = open_file(path, kind=kind, market=data.market, interval=data.interval)  # type: ignore[arg-type]
    except DatasetError as error:
        raise SpecError(f"data[{place}].{error.field}", str(error)) from None
    return TableSource(table)


def _check_twice(sources: Sequence[TableSource]) -> None:
    """The same market twice in one kind would be one market with two truths."""
    seen: dict[tuple[str, str, str], str] = {}
    for source in sources:
        for market in source.table.markets:
            key = (market, source.table.kind, source.table.interval)
            if key in seen:
                what = f"{source.table.kind} of {market}"
                raise SpecError("data", f"{what} are in {seen[key]} and in {source.name}: name the markets apart")
            seen[key] = source.name


def _read_span(source: RecordingSource) -> tuple[int, int] | None:
    first = last = None
    for batch in source.batches():
        first = batch.ts[0] if first is None else first
        last = batch.ts[-1]
    return None if first is None or last is None else (first, last)
