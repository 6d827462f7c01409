"""What the changes of a data set lead to: its jobs, and the fields of its rows. No I/O."""

from __future__ import annotations

from pathlib import Path
from typing import Any, Final, Literal

import msgspec

from actors.market.tables.options import ReadOptions
from actors.research.datasets.jobs import RECORDING, Job, Made
from actors.research.datasets.rows import DatasetRow, ImportDataset
from actors.research.datasets.settings import DatasetSettings
from actors.research.datasets.shelf import check_words
from protocols.control import Refused
from protocols.market import MARKS

INCOMING: Final = ".incoming"
ARRIVING: Final = ".arriving"
"""What a file is called while it arrives."""


def import_job(root: Path, row: DatasetRow, settings: DatasetSettings) -> Job:
    """The job that reads the file of a data set in the folder `root`."""
    recording: Literal["", "copy", "reference"] = "copy" if row.kind == "recording" else ""
    return Job(
        task="import",
        folder=str(root / row.dataset_id),
        source=row.reference or str(root / INCOMING / row.dataset_id / row.file_name),
        options=msgspec.json.decode(row.options),
        calendar=row.calendar,
        marks=row.marks,
        recording="reference" if row.reference else recording,
        most_rows=settings.max_rows,
        memory_mb=settings.memory_mb,
    )


def validate_job(root: Path, row: DatasetRow, calendar: str, settings: DatasetSettings) -> Job:
    """The job that validates a data set once more."""
    folder = root / row.dataset_id
    recording = row.kind == "recording"
    return Job(
        task="validate",
        folder=str(folder),
        source=(row.reference or str(folder / RECORDING / row.file_name)) if recording else "",
        options=msgspec.json.decode(row.options),
        calendar=calendar,
        marks=row.marks,
        recording="reference" if recording else "",
        memory_mb=settings.memory_mb,
    )


def check_import(request: ImportDataset) -> None:
    """Raises Refused `invalid` for words, options or marks that cannot be."""
    check_words(request.name, request.description, request.tags)
    try:
        msgspec.json.decode(request.options, type=ReadOptions)
    except (msgspec.ValidationError, msgspec.DecodeError) as error:
        raise Refused("invalid", str(error), "options") from None
    unknown = sorted(set(request.marks) - MARKS)
    if unknown:
        raise Refused(
            "invalid", f"expected some of {', '.join(sorted(MARKS))}, got {', '.join(unknown)[:100]}", "marks"
        )


def fields_of(made: Made, row: DatasetRow) -> dict[str, Any]:
    """What a row says of what was made."""
    report = made.report
    return {
        "status": "ready" if report.valid else "invalid",
        "data_format": row.data_format or made.format,
        "kind": made.kind,
        "frequency": made.interval,
        "symbols": made.markets,
        "symbol_count": made.market_count,
        "marks": made.marks,
        "columns": made.columns,
        "row_count": made.rows,
        "stored_bytes": made.bytes,
        "ts_first": made.first,
        "ts_last": made.last,
        "content_hash": made.content_hash,
        "errors": sum(finding.severity == "error" for finding in report.findings),
        "warnings": sum(finding.severity == "warning" for finding in report.findings),
        "completeness_score": report.completeness_score,
        "quality_score": report.quality_score,
        "problem": "",
        "problem_field": "",
    }
