"""Data sets as the HTTP interface shows them, and what is asked of them there."""

from __future__ import annotations

import re
from datetime import UTC, datetime
from typing import Annotated, Any, Final, Literal

import msgspec

from actors.edge.errors import HttpError
from actors.research.datasets.findings import Finding
from actors.research.datasets.rows import DatasetRow, DatasetState, Filters, SortBy
from actors.research.datasets.uploads import Form
from protocols.nanos import NANO
from protocols.venues.rfc3339 import rfc3339_nanos

_DATE: Final = re.compile(r"\d{4}-\d{2}-\d{2}")
DAY: Final = 86_400 * NANO
Limit = Annotated[int, msgspec.Meta(ge=1, le=200)]
Offset = Annotated[int, msgspec.Meta(ge=0, le=1_000_000)]


class DatasetBody(msgspec.Struct, frozen=True, kw_only=True):
    """A data set. Times are RFC 3339, scores 0 to 1 (null before a validation), sizes in bytes.

    `rows_read`: how far an import is. `same_content`: other data sets with equal rows.
    """

    id: str
    dataset_id: str
    name: str
    description: str
    tags: tuple[str, ...]
    category: str
    asset_class: str
    is_public: bool
    user_id: str
    source: str
    status: str
    kind: str
    frequency: str
    symbols: tuple[str, ...]
    symbol_count: int
    marks: tuple[str, ...]
    calendar: str
    columns: tuple[str, ...]
    row_count: int
    rows_read: int
    file_name: str
    upload_size: int
    file_size: int
    data_format: str
    start_date: str | None
    end_date: str | None
    content_hash: str
    same_content: tuple[str, ...]
    is_validated: bool
    error_count: int
    warning_count: int
    completeness_score: float | None
    quality_score: float | None
    problem: str | None
    problem_field: str | None
    created_at: str
    updated_at: str
    validated_at: str | None


class DatasetList(msgspec.Struct, frozen=True):
    """A page of data sets."""

    datasets: tuple[DatasetBody, ...]
    total: int
    limit: int
    offset: int


class ReportBody(msgspec.Struct, frozen=True, kw_only=True):
    """What a validation has found (`docs/how-to/import-data.md` has the formulas of the scores)."""

    dataset_id: str
    status: str
    is_valid: bool
    rows: int
    completeness_score: float
    quality_score: float
    checked: tuple[str, ...]
    findings: tuple[Finding, ...]
    validated_at: str | None


class PreviewBody(msgspec.Struct, frozen=True, kw_only=True):
    """Some rows; prices, sizes and times are text."""

    dataset_id: str
    columns: tuple[str, ...]
    rows: msgspec.Raw
    total: int
    limit: int
    offset: int


class StatisticsBody(msgspec.Struct, frozen=True, kw_only=True):
    """Figures of a data set's columns, returns and times."""

    dataset_id: str
    statistics: dict[str, Any]


class SummaryBody(msgspec.Struct, frozen=True, kw_only=True):
    """All data sets together; `symbols` counts the first hundred of each."""

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


class DeletedBody(msgspec.Struct, frozen=True):
    """It is gone."""

    dataset_id: str
    status: str
    message: str


class OneDataset(msgspec.Struct, frozen=True):
    """Which data set."""

    dataset_id: str


class PreviewQuery(msgspec.Struct, frozen=True):
    """Which rows of which data set."""

    dataset_id: str
    limit: Annotated[int, msgspec.Meta(ge=1, le=1000)] = 20
    offset: Annotated[int, msgspec.Meta(ge=0)] = 0


class DownloadQuery(msgspec.Struct, frozen=True):
    """Which data set, as what."""

    dataset_id: str
    format: Literal["parquet", "csv"] = "parquet"


class Validation(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Which data set, against which calendar: XNYS; "always": open all the time; "": as the data tells."""

    dataset_id: str
    calendar: str | None = None


class Changes(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """What is said about a data set; what is not given stays."""

    dataset_id: str
    name: str | None = None
    description: str | None = None
    tags: tuple[str, ...] | None = None
    category: str | None = None
    asset_class: str | None = None
    is_public: bool | None = None


class Reference(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """A recording that stays where it is: `path` on the node's machine."""

    path: str
    name: str = ""
    description: str = ""
    tags: tuple[str, ...] = ()
    category: str = ""
    asset_class: str = ""
    is_public: bool = False
    marks: tuple[str, ...] = ()


class Search(msgspec.Struct, frozen=True, kw_only=True):
    """Which data sets. Fields that take several values are repeated: `symbols=A&symbols=B` means either.

    Dates are 2024-01-31 or RFC 3339; `start_date` and `end_date`: with rows in between, the end not included.
    """

    query: str = ""
    search: str = ""
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
    start_date: str = ""
    end_date: str = ""
    created_after: str = ""
    created_before: str = ""
    sort_by: SortBy = "created_at"
    sort_order: Literal["asc", "desc"] = "desc"
    limit: Limit = 50
    offset: Offset = 0

    def filters(self) -> Filters:
        """As the actor takes them. Raises HttpError 400 for a date that is none."""
        same = {name: getattr(self, name) for name in Filters.__struct_fields__ if name in self.__struct_fields__}
        return msgspec.structs.replace(
            Filters(**same),
            query=self.query or self.search,
            start=moment(self.start_date, "start_date"),
            end=moment(self.end_date, "end_date"),
            created_after=moment(self.created_after, "created_after"),
            created_before=moment(self.created_before, "created_before"),
        )


class UploadFields(msgspec.Struct, frozen=True, kw_only=True):
    """The fields of the form beside the file."""

    name: str = ""
    description: str = ""
    asset_class: str = ""
    category: str = ""
    user_id: str = ""
    tags: tuple[str, ...] = ()
    symbols: tuple[str, ...] = ()
    is_public: bool = False
    frequency: str = ""
    kind: str = ""
    zone: str = ""
    calendar: str = ""
    marks: tuple[str, ...] = ()
    time_form: str = ""
    decimal: str = ""
    named_by: str = ""
    columns: tuple[str, ...] = ()
    mapping: str = ""
    """JSON: our name of a column and the file's."""


_SEVERAL: Final = frozenset({"tags", "symbols", "marks", "columns"})


def upload_fields(form: Form) -> UploadFields:
    """What a form says. Raises HttpError 400 for fields that are unknown or cannot be."""
    given: dict[str, Any] = {}
    for name, texts in form.fields.items():
        if name not in UploadFields.__struct_fields__:
            raise HttpError(400, "invalid", f"there is no field {name[:100]}", name[:100])
        if name in _SEVERAL:
            given[name] = tuple(part.strip() for text in texts for part in _parts(text) if part.strip())
        elif len(texts) > 1:
            raise HttpError(400, "invalid", f"expected one value, got {len(texts)}", name)
        else:
            given[name] = texts[0]
    try:
        return msgspec.convert(given, UploadFields, strict=False)
    except msgspec.ValidationError as error:
        raise HttpError(400, "invalid", str(error), "is_public") from None


def read_options(fields: UploadFields) -> msgspec.Raw:
    """The fields of `ReadOptions` that a form gives, as JSON. Raises HttpError 400."""
    if len(fields.symbols) > 1:
        message = "expected one: the name of the file's market, or the one that is wanted"
        raise HttpError(400, "invalid", f"{message}; got {len(fields.symbols)}", "symbols")
    options: dict[str, Any] = {
        "kind": fields.kind,
        "market": "".join(fields.symbols),
        "interval": fields.frequency,
        "zone": fields.zone,
        "time_form": fields.time_form,
        "decimal": fields.decimal,
        "named_by": fields.named_by,
        "columns": fields.columns,
    }
    if fields.mapping:
        try:
            options["mapping"] = msgspec.json.decode(fields.mapping, type=dict[str, str])
        except msgspec.DecodeError as error:
            raise HttpError(400, "invalid", f"expected a JSON object of names, got: {error}", "mapping") from None
    return msgspec.Raw(msgspec.json.encode({name: value for name, value in options.items() if value}))


def body_of(state: DatasetState) -> DatasetBody:
    """A data set as it is shown."""
    row = state.row
    return _body(row, state.rows_read or row.row_count, state.same_content)


def listed(row: DatasetRow) -> DatasetBody:
    """A data set in a list."""
    return _body(row, row.row_count, ())


def _body(row: DatasetRow, rows_read: int, same_content: tuple[str, ...]) -> DatasetBody:
    same = {name: getattr(row, name) for name in DatasetBody.__struct_fields__ if name in row.__struct_fields__}
    same |= {
        "completeness_score": _score(row.completeness_score),
        "quality_score": _score(row.quality_score),
        "problem": row.problem or None,
        "problem_field": row.problem_field or None,
    }
    return DatasetBody(
        **same,
        id=row.dataset_id,
        rows_read=rows_read,
        upload_size=row.file_bytes,
        file_size=row.stored_bytes,
        start_date=text_of(row.ts_first),
        end_date=text_of(row.ts_last),
        same_content=same_content,
        is_validated=bool(row.ts_validated),
        error_count=row.errors,
        warning_count=row.warnings,
        created_at=text_of(row.ts_created) or "",
        updated_at=text_of(row.ts) or "",
        validated_at=text_of(row.ts_validated),
    )


def text_of(ts: int) -> str | None:
    """RFC 3339 of nanoseconds; None for 0. `datetime` has no nanoseconds."""
    if not ts:
        return None
    seconds, fraction = divmod(ts, NANO)
    tail = f".{fraction:09d}".rstrip("0") if fraction else ""
    return f"{datetime.fromtimestamp(seconds, UTC):%Y-%m-%dT%H:%M:%S}{tail}Z"


def moment(text: str, field: str) -> int | None:
    """Nanoseconds of a date or time; None for nothing. Raises HttpError 400."""
    if not text:
        return None
    try:
        return rfc3339_nanos(f"{text}T00:00:00Z" if _DATE.fullmatch(text) else text)
    except ValueError:
        raise HttpError(
            400, "invalid", f"expected 2024-01-31 or 2024-01-31T09:30:00Z, got {text[:50]!r}", field
        ) from None


def _score(value: float) -> float | None:
    return None if value < 0 else value


def _parts(text: str) -> list[str]:
    if text.startswith("["):
        try:
            return msgspec.json.decode(text, type=list[str])
        except msgspec.DecodeError:
            pass  # a name may begin with a bracket
    return text.split(",")
