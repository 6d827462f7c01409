"""What is asked of the actor that keeps data sets, and the row that each change of one is.

The newest row of a data set is how it is. Its data, report, statistics and preview are files in its folder.
"""

from __future__ import annotations

from typing import ClassVar, Final, Literal

import msgspec

from actors.research.datasets.findings import ValidationReport
from protocols.control import Message, Request, Row

DATASETS: Final = "/research/datasets"
"""The path of the actor that keeps data sets."""
STREAM: Final = "datasets"

Status = Literal["processing", "ready", "invalid", "failed", "deleted"]
"""`invalid`: it is stored, and its validation has found an error."""
Change = Literal["uploaded", "imported", "failed", "validated", "updated", "deleted"]
Source = Literal["user_upload", "recording", "external", "platform", "generated", "synthetic"]


class DatasetRow(Row, frozen=True, gc=False, kw_only=True, tag="dataset"):
    """One change of a data set. Times in ns, 0: there is none.

    `options` are those that it was read with, `reference` is where a recording is that was not copied. `marks` as in
    `protocols/market.py`. Scores are 0 to 1 (`findings.py` has the formula), -1 before a validation.
    """

    table: ClassVar[str] = "datasets"
    sequenced: ClassVar[bool] = True

    stream: str = STREAM
    seq: int
    ts: int
    ts_created: int
    dataset_id: str
    change: Change
    status: Status
    name: str
    description: str = ""
    tags: tuple[str, ...] = ()
    category: str = ""
    asset_class: str = ""
    is_public: bool = False
    user_id: str = ""
    source: Source = "user_upload"
    file_name: str = ""
    file_bytes: int = 0
    data_format: str = ""
    kind: str = ""
    frequency: str = ""
    symbols: tuple[str, ...] = ()
    symbol_count: int = 0
    marks: tuple[str, ...] = ()
    calendar: str = ""
    options: msgspec.Raw = msgspec.Raw(b"{}")
    reference: str = ""
    columns: tuple[str, ...] = ()
    row_count: int = 0
    stored_bytes: int = 0
    ts_first: int = 0
    ts_last: int = 0
    content_hash: str = ""
    ts_validated: int = 0
    errors: int = 0
    warnings: int = 0
    completeness_score: float = -1.0
    quality_score: float = -1.0
    problem: str = ""
    problem_field: str = ""


class DatasetState(Message, frozen=True, gc=False, kw_only=True, tag="dataset_state"):
    """How a data set is; while it is made, `rows_read`. `same_content`: ids of others with equal rows."""

    row: DatasetRow
    rows_read: int = 0
    same_content: tuple[str, ...] = ()
    report: ValidationReport | None = None


class UploadPlace(Message, frozen=True, gc=False, tag="upload_place"):
    """Where to put a file that arrives, and how many bytes it may have. The id is that of the data set to be."""

    dataset_id: str
    path: str
    most_bytes: int


class BeginUpload(Request[UploadPlace], frozen=True, gc=False, tag="begin_dataset_upload"):
    """Asks for a place for a file. Refused `overloaded` (waiting imports), `not_ready`."""


class AbandonUpload(Message, frozen=True, gc=False, tag="abandon_dataset_upload"):
    """The file did not arrive, or nothing is to be made of it."""

    dataset_id: str


class ImportDataset(Request[DatasetState], frozen=True, gc=False, kw_only=True, tag="import_dataset"):
    """Makes a data set of a file in its place (`dataset_id` of `BeginUpload`), or refers to a recording (`reference`).

    Answered as soon as it is accepted: it goes on in a process of its own. `options` are the fields of `ReadOptions`,
    checked. `recording`: the file is kept as a recording. Refused `invalid`, `not_found`, `forbidden` (a reference
    outside of the folders of the settings).
    """

    dataset_id: str = ""
    file_name: str = ""
    name: str
    description: str = ""
    tags: tuple[str, ...] = ()
    category: str = ""
    asset_class: str = ""
    is_public: bool = False
    user_id: str = ""
    calendar: str = ""
    marks: tuple[str, ...] = ()
    options: msgspec.Raw = msgspec.Raw(b"{}")
    recording: bool = False
    reference: str = ""
    file_bytes: int = 0


class GetDataset(Request[DatasetState], frozen=True, gc=False, tag="get_dataset"):
    """Asks for a data set. Refused `not_found`, `not_ready`."""

    dataset_id: str


class UpdateDataset(Request[DatasetState], frozen=True, gc=False, kw_only=True, tag="update_dataset"):
    """Changes what is said about a data set; what is None stays. Refused `invalid`, `not_found`."""

    dataset_id: str
    name: str | None = None
    description: str | None = None
    tags: tuple[str, ...] | None = None
    category: str | None = None
    asset_class: str | None = None
    is_public: bool | None = None


class DeleteDataset(Request[DatasetState], frozen=True, gc=False, tag="delete_dataset"):
    """Deletes a data set with its files (a recording that it refers to stays). Refused `not_found`."""

    dataset_id: str


class ValidateDataset(Request[DatasetState], frozen=True, gc=False, tag="validate_dataset"):
    """Validates once more and answers with the report. `calendar` None: the one it has. Refused `not_found`,
    `conflict` (it is being made), `invalid`.
    """

    dataset_id: str
    calendar: str | None = None


class Filters(msgspec.Struct, frozen=True, kw_only=True):
    """Which data sets; what is empty or None does not matter. Times in ns.

    `query` is looked for in name, description and id. `start` and `end`: with rows in [start, end).
    """

    query: str = ""
    name: str = ""
    asset_class: tuple[str, ...] = ()
    category: tuple[str, ...] = ()
    source: tuple[str, ...] = ()
    status: tuple[str, ...] = ()
    kind: tuple[str, ...] = ()
    frequency: tuple[str, ...] = ()
    symbols: tuple[str, ...] = ()
    tags: tuple[str, ...] = ()
    data_format: tuple[str, ...] = ()
    user_id: str = ""
    content_hash: str = ""
    is_public: bool | None = None
    is_validated: bool | None = None
    is_valid: bool | None = None
    min_rows: int | None = None
    max_rows: int | None = None
    min_size: int | None = None
    max_size: int | None = None
    min_quality_score: float | None = None
    min_completeness_score: float | None = None
    start: int | None = None
    end: int | None = None
    created_after: int | None = None
    created_before: int | None = None


SortBy = Literal[
    "created_at", "updated_at", "name", "row_count", "file_size", "start_date", "end_date", "quality_score",
    "completeness_score",
]  # fmt: skip


class DatasetPage(Message, frozen=True, gc=False, tag="dataset_page"):
    """A page of data sets; `total` of all that the question means."""

    rows: tuple[DatasetRow, ...]
    total: int


class ListDatasets(Request[DatasetPage], frozen=True, gc=False, kw_only=True, tag="list_datasets"):
    """Asks for a page. Refused `not_ready`."""

    filters: Filters = Filters()
    sort_by: SortBy = "created_at"
    descending: bool = True
    limit: int = 50
    offset: int = 0


class DatasetSummary(Message, frozen=True, gc=False, kw_only=True, tag="dataset_summary"):
    """All data sets together."""

    datasets: int
    rows: int
    stored_bytes: int
    by_status: dict[str, int]
    by_kind: dict[str, int]
    by_source: dict[str, int]
    by_asset_class: dict[str, int]
    by_frequency: dict[str, int]
    symbols: int
    mean_quality_score: float | None
    running: int
    waiting: int


class SummarizeDatasets(Request[DatasetSummary], frozen=True, gc=False, tag="summarize_datasets"):
    """Asks for the summary. Refused `not_ready`."""


class PreviewRows(Message, frozen=True, gc=False, tag="dataset_preview_rows"):
    """Rows as JSON: prices, sizes and times are text."""

    content: msgspec.Raw


class PreviewDataset(Request[PreviewRows], frozen=True, gc=False, tag="preview_dataset"):
    """Asks for some rows. Refused `not_found`, `conflict` (there are none yet), `invalid`."""

    dataset_id: str
    limit: int = 20
    offset: int = 0


class FileOfDataset(Message, frozen=True, gc=False, tag="dataset_file"):
    """A small file of a data set, as it is."""

    content: bytes


class ReadFileOfDataset(Request[FileOfDataset], frozen=True, gc=False, tag="read_dataset_file"):
    """Asks for a data set's report or statistics. Refused `not_found`, `conflict` (they are not made yet)."""

    dataset_id: str
    file: Literal["report.json", "statistics.json"]
