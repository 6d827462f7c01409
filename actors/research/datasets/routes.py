"""The HTTP routes of data sets, in the words of the strategy service."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any, Final

import msgspec
import trio

from actors.edge.call import BodyStream, Call
from actors.edge.responses import StreamingResponse
from actors.edge.routing import Route, delete, get, post, put
from actors.research.datasets.bodies import (
    Changes,
    DatasetBody,
    DatasetList,
    DeletedBody,
    DownloadQuery,
    OneDataset,
    PreviewBody,
    PreviewQuery,
    Reference,
    ReportBody,
    Search,
    StatisticsBody,
    SummaryBody,
    Validation,
    body_of,
    listed,
    read_options,
    text_of,
    upload_fields,
)
from actors.research.datasets.findings import ValidationReport
from actors.research.datasets.jobs import FOLDER, REPORT, STATISTICS, Job
from actors.research.datasets.processes import output_of
from actors.research.datasets.rows import (
    DATASETS,
    AbandonUpload,
    BeginUpload,
    DatasetRow,
    DeleteDataset,
    GetDataset,
    ImportDataset,
    ListDatasets,
    PreviewDataset,
    ReadFileOfDataset,
    SummarizeDatasets,
    UpdateDataset,
    ValidateDataset,
)
from actors.research.datasets.uploads import OVERHEAD, Arriving
from protocols.control import Refused

TAGS: Final = ("datasets",)
ASK_S: Final = 20.0
VALIDATE_S: Final = 300.0
MOST_BYTES: Final = 68_719_476_736 + OVERHEAD
"""What no setting goes beyond; `datasets.max_upload_bytes` is what counts."""
RECOMMENDED: Final = 10
_CHUNK: Final = 256 * 1024
_DATA: Final = "data.parquet"


async def upload(body: BodyStream, call: Call) -> DatasetBody:
    """Take a file: CSV, parquet or a recording, as multipart/form-data. It is read in a process of its own.

    The form has the file and any of: name, description, asset_class, category, user_id, tags, symbols (the market's
    name), frequency (1m), is_public, kind (bars, quotes, trades, l2, or recording: kept as it is), zone
    (America/New_York), calendar (XNYS), marks (synthetic), time_form, decimal, named_by (start, end), columns, mapping
    (JSON).
    """
    arriving = Arriving(call.headers.get("content-type"))
    keeper = call.ref(DATASETS)
    place = await keeper.ask(BeginUpload(), ASK_S)
    accepted = False
    try:
        path = Path(place.path)
        form = await arriving.take(body, path, place.most_bytes)
        fields = upload_fields(form)
        recording = fields.kind == "recording"
        if recording:
            fields = msgspec.structs.replace(fields, kind="")
        state = await keeper.ask(
            ImportDataset(
                dataset_id=place.dataset_id,
                file_name=form.file_name,
                file_bytes=form.size,
                name=fields.name or form.file_name or "data set",
                description=fields.description,
                tags=fields.tags,
                category=fields.category,
                asset_class=fields.asset_class,
                is_public=fields.is_public,
                user_id=fields.user_id,
                calendar=fields.calendar,
                marks=fields.marks,
                options=read_options(fields),
                recording=recording,
            ),
            ASK_S,
        )
        accepted = True
        return body_of(state)
    finally:
        if not accepted:
            keeper.tell(AbandonUpload(place.dataset_id))


async def refer(request: Reference, call: Call) -> DatasetBody:
    """Make a data set of a recording that stays where it is."""
    asked = ImportDataset(
        name=request.name or Path(request.path).name or "recording",
        description=request.description,
        tags=request.tags,
        category=request.category,
        asset_class=request.asset_class,
        is_public=request.is_public,
        marks=request.marks,
        reference=request.path,
    )
    return body_of(await call.ref(DATASETS).ask(asked, ASK_S))


async def search(request: Search, call: Call) -> DatasetList:
    """Answer the data sets that all filters mean."""
    return await _page(request, call)


async def public(request: Search, call: Call) -> DatasetList:
    """Answer the data sets that are public."""
    return await _page(msgspec.structs.replace(request, is_public=True), call)


async def recommended(request: Search, call: Call) -> DatasetList:
    """Answer the valid data sets of the best quality."""
    asked = msgspec.structs.replace(
        request, is_valid=True, sort_by="quality_score", sort_order="desc", limit=min(request.limit, RECOMMENDED)
    )
    return await _page(asked, call)


async def summary(call: Call) -> SummaryBody:
    """Answer counts over all data sets."""
    found = await call.ref(DATASETS).ask(SummarizeDatasets(), ASK_S)
    return SummaryBody(**msgspec.structs.asdict(found))


async def one(request: OneDataset, call: Call) -> DatasetBody:
    """Answer a data set."""
    return body_of(await call.ref(DATASETS).ask(GetDataset(request.dataset_id), ASK_S))


async def change(request: Changes, call: Call) -> DatasetBody:
    """Change name, description, tags, category, asset class or visibility."""
    given = {name: getattr(request, name) for name in UpdateDataset.__struct_fields__}
    return body_of(await call.ref(DATASETS).ask(UpdateDataset(**given), ASK_S))


async def remove(request: OneDataset, call: Call) -> DeletedBody:
    """Delete a data set with its files; a recording that it refers to stays."""
    state = await call.ref(DATASETS).ask(DeleteDataset(request.dataset_id), ASK_S)
    return DeletedBody(state.row.dataset_id, "deleted", f"{state.row.name} is deleted")


async def preview(request: PreviewQuery, call: Call) -> PreviewBody:
    """Answer some rows."""
    asked = PreviewDataset(request.dataset_id, request.limit, request.offset)
    found = await call.ref(DATASETS).ask(asked, ASK_S)
    row = await _row(request.dataset_id, call)
    return PreviewBody(
        dataset_id=row.dataset_id,
        columns=row.columns,
        rows=found.content,
        total=row.row_count,
        limit=request.limit,
        offset=request.offset,
    )


async def validate(request: Validation, call: Call) -> ReportBody:
    """Validate a data set once more, and answer what was found."""
    state = await call.ref(DATASETS).ask(ValidateDataset(request.dataset_id, request.calendar), VALIDATE_S)
    assert state.report is not None
    return _report(state.row, state.report)


async def report(request: OneDataset, call: Call) -> ReportBody:
    """Answer what the last validation has found."""
    found = await call.ref(DATASETS).ask(ReadFileOfDataset(request.dataset_id, REPORT), ASK_S)
    row = await _row(request.dataset_id, call)
    return _report(row, msgspec.json.decode(found.content, type=ValidationReport))


async def figures(request: OneDataset, call: Call) -> StatisticsBody:
    """Answer figures of columns, returns and times."""
    found = await call.ref(DATASETS).ask(ReadFileOfDataset(request.dataset_id, STATISTICS), ASK_S)
    return StatisticsBody(dataset_id=request.dataset_id, statistics=msgspec.json.decode(found.content))


async def download(request: DownloadQuery, call: Call) -> StreamingResponse:
    """Answer the whole data set as parquet or CSV."""
    row = await _row(request.dataset_id, call)
    if row.status not in ("ready", "invalid"):
        raise Refused("conflict", f"expected a data set that is ready, got one that is {row.status}", "dataset_id")
    if row.kind == "recording":
        raise Refused("invalid", "expected a data set of rows, got a recording", "dataset_id")
    folder = _folder(call, row)
    name = f'attachment; filename="{row.dataset_id}.{request.format}"'
    headers = (("content-disposition", name), ("etag", f'"{row.content_hash}.{request.format}"'))
    if request.format == "csv":
        return StreamingResponse(
            output_of(Job(task="csv", folder=str(folder))), 200, "text/csv; charset=utf-8", headers
        )
    file: Any = await trio.to_thread.run_sync((folder / _DATA).open, "rb")
    pieces = _pieces(file)
    return StreamingResponse(pieces, 200, "application/vnd.apache.parquet", headers, row.stored_bytes)


def _folder(call: Call, row: DatasetRow) -> Path:
    return Path(call.node.settings.data_dir).absolute() / FOLDER / row.dataset_id


async def _pieces(file: Any) -> AsyncIterator[bytes]:
    try:
        while piece := await trio.to_thread.run_sync(file.read, _CHUNK):
            yield piece
    finally:
        file.close()


async def _row(dataset_id: str, call: Call) -> DatasetRow:
    return (await call.ref(DATASETS).ask(GetDataset(dataset_id), ASK_S)).row


async def _page(request: Search, call: Call) -> DatasetList:
    asked = ListDatasets(
        filters=request.filters(),
        sort_by=request.sort_by,
        descending=request.sort_order == "desc",
        limit=request.limit,
        offset=request.offset,
    )
    found = await call.ref(DATASETS).ask(asked, ASK_S)
    return DatasetList(tuple(map(listed, found.rows)), found.total, request.limit, request.offset)


def _report(row: DatasetRow, found: ValidationReport) -> ReportBody:
    return ReportBody(
        dataset_id=row.dataset_id,
        status=row.status,
        is_valid=found.valid,
        rows=found.rows,
        completeness_score=found.completeness_score,
        quality_score=found.quality_score,
        checked=found.checked,
        findings=found.findings,
        validated_at=text_of(row.ts_validated),
    )


routes: list[Route] = [
    post("/api/datasets/upload", upload, tags=TAGS, status=201, body_bytes=MOST_BYTES),
    post("/api/datasets/references", refer, tags=TAGS, status=201),
    get("/api/datasets", search, tags=TAGS),
    get("/api/datasets/search", search, tags=TAGS),
    get("/api/datasets/public", public, tags=TAGS),
    get("/api/datasets/recommended", recommended, tags=TAGS),
    get("/api/datasets/summary", summary, tags=TAGS),
    get("/api/datasets/{dataset_id}", one, tags=TAGS),
    put("/api/datasets/{dataset_id}", change, tags=TAGS),
    delete("/api/datasets/{dataset_id}", remove, tags=TAGS),
    get("/api/datasets/{dataset_id}/preview", preview, tags=TAGS),
    post("/api/datasets/{dataset_id}/validate", validate, tags=TAGS, timeout_s=VALIDATE_S),
    get("/api/datasets/{dataset_id}/validation-report", report, tags=TAGS),
    get("/api/datasets/{dataset_id}/statistics", figures, tags=TAGS),
    get("/api/datasets/{dataset_id}/download", download, tags=TAGS),
]
