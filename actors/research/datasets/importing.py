"""Makes a data set out of a file: reads, orders, hashes, validates and stores it. Blocks; a worker process calls it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import msgspec
import numpy as np

from actors.market.calendars import Calendar, calendar_of
from actors.market.recordings.entries import READ_FAULTS
from actors.market.tables.decimals import MISSING
from actors.market.tables.faults import TableError
from actors.market.tables.options import ReadOptions
from actors.research.datasets import recorded, texts
from actors.research.datasets.collected import Collected, Say, collect, collect_history, history_in
from actors.research.datasets.columns import columns_of
from actors.research.datasets.findings import Finding, ValidationReport, scored
from actors.research.datasets.hashing import content_hash
from actors.research.datasets.jobs import MOST_NAMED, PREVIEW, PREVIEWED, REPORT, STATISTICS, Job, Made
from actors.research.datasets.recordings_held import Held, held
from actors.research.datasets.statistics import statistics
from actors.research.datasets.stored import FILE, StoredFile, write
from actors.research.datasets.table import Table
from actors.research.datasets.validation import validate


def calendar_named(name: str) -> Calendar | None:
    """The calendar of a name; None for none. Raises TableError for an unknown one."""
    if not name:
        return None
    try:
        return calendar_of("" if name == "always" else name)
    except ValueError as error:
        raise TableError("calendar", f"expected a calendar such as XNYS, or always; {error}") from None


def make(job: Job, say: Say = lambda rows: None) -> Made:
    """Import `job.source` into `job.folder`. Raises TableError, and what is in READ_FAULTS."""
    source, folder = Path(job.source), Path(job.folder)
    options = msgspec.convert(job.options, ReadOptions)
    calendar = calendar_named(job.calendar)
    if job.recording:
        return _keep_recording(job, source, folder)
    collected = _collected(source, options, job.most_rows, say)
    if options.interval and collected.interval != options.interval:
        expected = f"expected bars {options.interval} apart, got {collected.interval}"
        raise TableError("interval", expected)
    collected.marks = tuple(sorted({*collected.marks, *job.marks}))
    digest = content_hash(collected)
    size = write(collected, digest, folder / FILE)
    report = examined(folder, collected, calendar)
    table = as_table(collected)
    return _made(collected, table, digest, size, report)


def again(job: Job) -> Made:
    """Validate a stored data set once more, with another calendar. Raises TableError."""
    folder = Path(job.folder)
    calendar = calendar_named(job.calendar)
    if not (folder / FILE).is_file():
        return _keep_recording(job, Path(job.source), folder)
    stored = StoredFile(folder / FILE)
    before = msgspec.json.decode((folder / REPORT).read_bytes(), type=ValidationReport)
    about = stored.about
    collected = Collected(
        kind=stored.kind,
        interval=about["interval"],
        markets=stored.markets,
        table=stored.table().combine_chunks(),
        format="parquet",
        name=about["name"],
        marks=tuple(about["marks"]),
        zoned=not any(finding.kind == "zone" for finding in before.findings),
        zone=job.options.get("zone", "UTC"),
    )
    report = examined(folder, collected, calendar, [each for each in before.findings if each.kind in _OF_READING])
    return _made(collected, as_table(collected), about["content_hash"], (folder / FILE).stat().st_size, report)


_OF_READING = ("order", "precision", "range")


def examined(
    folder: Path, collected: Collected, calendar: Calendar | None, kept: list[Finding] | None = None
) -> ValidationReport:
    """Validate, and write report, statistics and preview beside the data."""
    table = as_table(collected)
    report = validate(table, zoned=collected.zoned, faults=collected.faults, calendar=calendar, zone=collected.zone)
    if kept:
        found = [*report.findings, *kept]
        report = scored(report.rows, report.completeness_score, found, report.checked)
    (folder / REPORT).write_bytes(msgspec.json.encode(report))
    (folder / STATISTICS).write_bytes(msgspec.json.encode(statistics(table)))
    rows = collected.table.num_rows
    head = texts.records(collected.table.slice(0, PREVIEWED), collected.kind)
    tail = texts.records(collected.table.slice(max(PREVIEWED, rows - PREVIEWED)), collected.kind)
    (folder / PREVIEW).write_bytes(msgspec.json.encode({"head": head, "tail": tail}))
    return report


def as_table(collected: Collected) -> Table:
    """As it was read: nothing is left out."""
    return Table(
        kind=collected.kind,
        market=collected.markets[0] if len(collected.markets) == 1 else "",
        markets=collected.markets,
        interval=collected.interval,
        columns=columns_of(collected.kind, collected.interval, collected.table),
        content_hash="",
        name=collected.name,
        source=collected.table,
    )


def _collected(source: Path, options: ReadOptions, most_rows: int, say: Say) -> Collected:
    if source.is_dir():
        history = history_in(source)
        if history is None:
            raise TableError("file", "expected a file, a downloaded history or a recording, got a folder")
        return collect_history(history, options, say=say)
    if recorded.is_one(source):
        return recorded.collect(source, options, say=say)
    return collect(source, options, say=say, **({"most_rows": most_rows} if most_rows else {}))


def _made(collected: Collected, table: Table, digest: str, size: int, report: ValidationReport) -> Made:
    name = "start" if table.kind == "bars" else "ts"
    times = table.columns[name][table.columns[name] != MISSING]
    return Made(
        kind=collected.kind,
        interval=collected.interval,
        markets=collected.markets[:MOST_NAMED],
        market_count=len(collected.markets),
        marks=collected.marks,
        format=collected.format,
        zoned=bool(collected.zoned),
        columns=tuple(collected.table.column_names),
        rows=collected.table.num_rows,
        bytes=size,
        first=int(np.min(times)) if len(times) else 0,
        last=int(np.max(times)) if len(times) else 0,
        content_hash=digest,
        report=report,
    )


def _keep_recording(job: Job, source: Path, folder: Path) -> Made:
    """Look through a recording, which stays what it is. Raises TableError, and what is in READ_FAULTS."""
    if not recorded.is_one(source):
        raise TableError("file", f"expected a recording, got {source.name}")
    found: Held = held(source)
    report = found.report()
    folder.mkdir(parents=True, exist_ok=True)
    (folder / REPORT).write_bytes(msgspec.json.encode(report))
    (folder / STATISTICS).write_bytes(msgspec.json.encode(found.statistics()))
    (folder / PREVIEW).write_bytes(msgspec.json.encode({"head": found.head, "tail": []}))
    return Made(
        kind="recording",
        interval="",
        markets=found.markets[:MOST_NAMED],
        market_count=len(found.markets),
        marks=tuple(sorted({*found.marks, *job.marks})),
        format=found.format,
        zoned=True,
        columns=("l2", "quotes", "trades"),
        rows=found.outputs,
        bytes=found.bytes,
        first=found.first,
        last=found.last,
        content_hash=found.content_hash,
        report=report,
    )


FAULTS: tuple[type[Exception], ...] = (TableError, msgspec.ValidationError, *READ_FAULTS)


def problem_of(error: Exception) -> tuple[str, str]:
    """(field, message) of what `make` and `again` raise."""
    if isinstance(error, TableError):
        return error.field, f"{error.message}" + ("" if error.row is None else f", in row {error.row}")
    if isinstance(error, OSError):
        return "file", f"expected a file that can be read, got: {error.strerror or error}"
    return "options" if isinstance(error, msgspec.ValidationError) else "file", str(error)


def preview(job: Job) -> list[dict[str, Any]]:
    """Some rows of a stored data set. Raises TableError."""
    stored = StoredFile(Path(job.folder) / FILE)
    return texts.records(stored.slice(job.offset, job.limit), stored.kind)
