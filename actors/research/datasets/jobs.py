"""What a worker process is told to do with a data set, and what it answers. Light: a node imports this.

A worker is `python -m actors.research.datasets.worker`, told its job as one line of JSON on its standard input. It
answers lines of JSON: `{"rows": n}` as it goes, then one `Answer`. Of `csv` the answer is the CSV itself.
"""

from __future__ import annotations

import re
from typing import Any, Final, Literal

import msgspec

from actors.research.datasets.findings import ValidationReport

REPORT: Final = "report.json"
STATISTICS: Final = "statistics.json"
PREVIEW: Final = "preview.json"
PREVIEWED: Final = 100
"""Rows at the beginning and at the end that are kept for a preview."""
MOST_PREVIEW: Final = 1000
FOLDER: Final = "datasets"
"""Where data sets are in a node's data folder, each in a folder of its id."""
ID: Final = re.compile(r"[0-9a-f]{8,64}")
RECORDING: Final = "recording"
"""The folder of a recording inside of a data set's folder."""
REFERENCE: Final = "recording.path"
"""The file that says where the recording is that a data set refers to."""


class Job(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """`folder`: the data set's. `source`: the file to import; for a reference the recording itself.

    `options`: the fields of `ReadOptions`. `memory_mb`: what the process may allocate.
    """

    task: Literal["import", "validate", "preview", "csv"]
    folder: str
    source: str = ""
    options: dict[str, Any] = {}
    calendar: str = ""
    marks: tuple[str, ...] = ()
    recording: Literal["", "copy", "reference"] = ""
    most_rows: int = 0
    offset: int = 0
    limit: int = 0
    memory_mb: int = 0


class Problem(msgspec.Struct, frozen=True, kw_only=True):
    """Why it cannot be done: the field, and what was expected and came."""

    field: str
    message: str
    code: str = "invalid"


class Made(msgspec.Struct, frozen=True, kw_only=True):
    """What a data set is, once it is imported or validated. Times in ns; `first` and `last` 0: there are none."""

    kind: str
    interval: str
    markets: tuple[str, ...]
    market_count: int
    marks: tuple[str, ...]
    format: str
    zoned: bool
    columns: tuple[str, ...]
    rows: int
    bytes: int
    first: int
    last: int
    content_hash: str
    report: ValidationReport


class Answer(msgspec.Struct, frozen=True, kw_only=True):
    """One of them is there; `rows_shown` of a preview."""

    made: Made | None = None
    problem: Problem | None = None
    preview: tuple[dict[str, Any], ...] | None = None


MOST_NAMED: Final = 100
"""Markets that a data set's row names; there may be more."""
