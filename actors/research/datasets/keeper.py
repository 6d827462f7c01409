"""`/research/datasets`: keeps data sets. Every change is a row; files are read by processes of their own.

    <data folder>/datasets/<id>/data.parquet     report.json, statistics.json, preview.json beside it
    <data folder>/datasets/.incoming/<id>/<file> what has arrived and is not read yet

After a start the newest rows are read back; what was being made then is made again, as long as its file is there.
"""

from __future__ import annotations

import hashlib
from collections import deque
from pathlib import Path
from typing import Any, ClassVar, Final

import msgspec
import trio

from actors.research.datasets import folders, processes
from actors.research.datasets.archive import read_newest
from actors.research.datasets.changes import ARRIVING, INCOMING, check_import, fields_of, import_job, validate_job
from actors.research.datasets.jobs import (
    FOLDER,
    MOST_PREVIEW,
    PREVIEW,
    PREVIEWED,
    Answer,
    Job,
)
from actors.research.datasets.rows import (
    STREAM,
    AbandonUpload,
    BeginUpload,
    DatasetPage,
    DatasetRow,
    DatasetState,
    DatasetSummary,
    DeleteDataset,
    FileOfDataset,
    GetDataset,
    ImportDataset,
    ListDatasets,
    PreviewDataset,
    PreviewRows,
    ReadFileOfDataset,
    SummarizeDatasets,
    UpdateDataset,
    UploadPlace,
    ValidateDataset,
)
from actors.research.datasets.settings import DatasetSettings
from actors.research.datasets.shelf import Shelf, check_words
from protocols.control import Message, Probe, ProbeReport, Refused
from protocols.paths import QUERIES
from runtime import Actor, Mailbox, receive
from runtime.log import RowTooLarge

AGAIN_S: Final = 1.0
FILES_S: Final = 60.0


class RowsRead(Message, frozen=True, gc=False, tag="dataset_rows_read"):
    """The newest rows are read back; None: they cannot be read. `problem`: why they are not all of them.

    `arrived`: ids of what had arrived before the start.
    """

    rows: tuple[DatasetRow, ...] | None
    problem: str
    arrived: tuple[str, ...] = ()


class JobProgress(Message, frozen=True, gc=False, tag="dataset_job_progress"):
    """So many rows are read."""

    dataset_id: str
    rows: int


class JobDone(Message, frozen=True, gc=False, tag="dataset_job_done"):
    """What a process has answered."""

    dataset_id: str
    task: str
    calendar: str
    answer: Answer


class _Waiting(msgspec.Struct):
    """A job, and who waits for its end."""

    dataset_id: str
    job: Job
    done: trio.Event
    answer: Answer | None = None
    rows: int = 0


class DatasetKeeper(Actor):
    """Keeps the data sets of a node. `patience_s`: after so long, rows that the database lacks will not come."""

    mailbox: ClassVar[Mailbox] = Mailbox(capacity=1024)
    later_capacity: ClassVar[int] = 64

    def __init__(self, settings: DatasetSettings, patience_s: float = 30.0) -> None:
        self.settings = settings
        self.patience_s = patience_s
        self.shelf = Shelf()
        self.read = False
        self.problem = ""
        self.queue: deque[_Waiting] = deque()
        self.running: dict[str, _Waiting] = {}
        self.uploads: set[str] = set()
        """What is arriving: ids of data sets to be."""
        self.begun = 0

    def on_start(self) -> None:
        """Begin to read what survives."""
        self.root = Path(self.node.settings.data_dir).absolute() / FOLDER
        self.spawn(self._read, name="read")

    async def _read(self) -> None:
        arrived = await self.offload(folders.names, self.root / INCOMING, timeout=FILES_S)
        while True:
            try:
                rows, problem = await read_newest(self.lookup(QUERIES), self.log.last_seq(STREAM), self.patience_s)
            except Refused as refused:
                await self.ref.send(RowsRead(None, f"the table cannot be read: {refused.message}"))
                await trio.sleep(AGAIN_S)
            else:
                await self.ref.send(RowsRead(rows, problem, arrived))
                return

    @receive
    def rows_read(self, message: RowsRead) -> None:
        """From now on data sets can be asked for; those that were being made are made again."""
        if message.problem and message.problem != self.problem:
            self.logger.error("data sets are missing", why=message.problem)
        self.problem = message.problem
        if message.rows is None:
            return
        for row in message.rows:
            self.shelf.add(row)
        self.read = True
        begun = [row for row in self.shelf.all() if row.status == "processing"]
        for row in begun:
            self._enqueue(row, import_job(self.root, row, self.settings))
        # What arrived for nobody before the last start.
        for dataset_id in set(message.arrived) - {row.dataset_id for row in begun}:
            self.spawn(self._remove, self.root / INCOMING / dataset_id)

    # Questions.

    @receive
    def get(self, request: GetDataset) -> DatasetState:
        """Answer with a data set."""
        return self._state(self._known(request.dataset_id))

    @receive
    def page(self, request: ListDatasets) -> DatasetPage:
        """Answer with a page of them."""
        self._ready()
        found = self.shelf.page(request.filters, request.sort_by, request.descending, request.limit, request.offset)
        return DatasetPage(*found)

    @receive
    def summary(self, request: SummarizeDatasets) -> DatasetSummary:
        """Answer with all together."""
        self._ready()
        return self.shelf.summary(len(self.running), len(self.queue))

    @receive
    def file(self, request: ReadFileOfDataset) -> None:
        """Answer with a small file of a data set."""
        row = self._made(request.dataset_id)
        self.answer_later(self._file, row.dataset_id, request.file)

    async def _file(self, dataset_id: str, name: str) -> FileOfDataset:
        return FileOfDataset(await self._bytes(dataset_id, name))

    @receive
    def preview(self, request: PreviewDataset) -> None:
        """Answer with some rows."""
        row = self._made(request.dataset_id)
        if not 1 <= request.limit <= MOST_PREVIEW:
            raise Refused("invalid", f"expected 1 to {MOST_PREVIEW}, got {request.limit}", "limit")
        if request.offset < 0:
            raise Refused("invalid", f"expected at least 0, got {request.offset}", "offset")
        self.answer_later(self._preview, row, request)

    async def _preview(self, row: DatasetRow, request: PreviewDataset) -> PreviewRows:
        stop = min(request.offset + request.limit, row.row_count)
        tail = max(PREVIEWED, row.row_count - PREVIEWED)
        if stop <= PREVIEWED or request.offset >= tail or row.kind == "recording":
            kept = msgspec.json.decode(await self._bytes(row.dataset_id, PREVIEW), type=dict[str, list[msgspec.Raw]])
            at_end = request.offset >= tail and row.kind != "recording"
            part, first = ("tail", tail) if at_end else ("head", 0)
            return PreviewRows(msgspec.Raw(msgspec.json.encode(kept[part][request.offset - first : stop - first])))
        job = Job(task="preview", folder=str(self.root / row.dataset_id), offset=request.offset, limit=request.limit)
        answer = await processes.run(job)
        if answer.preview is None:
            raise Refused("failed", "the data set cannot be read" if answer.problem is None else answer.problem.message)
        return PreviewRows(msgspec.Raw(msgspec.json.encode(answer.preview)))

    async def _bytes(self, dataset_id: str, name: str) -> bytes:
        try:
            return await self.offload((self.root / dataset_id / name).read_bytes, timeout=FILES_S)
        except OSError as error:
            raise Refused("failed", f"{name} of {dataset_id} cannot be read: {error.strerror}") from None

    # Changes.

    @receive
    def begin_upload(self, request: BeginUpload) -> None:
        """Answer with a place for a file."""
        self._ready()
        if len(self.uploads) + len(self.queue) >= self.settings.waiting:
            raise Refused("overloaded", f"expected at most {self.settings.waiting} files that wait to be read")
        self.begun += 1
        dataset_id = self._new_id(f"upload {self.begun}")
        self.uploads.add(dataset_id)
        self.answer_later(self._place, dataset_id)

    async def _place(self, dataset_id: str) -> UploadPlace:
        folder = self.root / INCOMING / dataset_id
        await self.offload(folders.make_folder, folder, timeout=FILES_S)
        return UploadPlace(dataset_id, str(folder / ARRIVING), self.settings.max_upload_bytes)

    @receive
    def abandon(self, message: AbandonUpload) -> None:
        """Remove what has arrived of it."""
        if message.dataset_id in self.uploads:
            self.uploads.discard(message.dataset_id)
            self.spawn(self._remove, self.root / INCOMING / message.dataset_id)

    @receive
    def import_dataset(self, request: ImportDataset) -> DatasetState:
        """Accept a file, and begin to read it when its turn comes."""
        self._ready()
        check_import(request)
        reference, dataset_id = "", request.dataset_id
        if request.reference:
            reference, dataset_id = self._reference(request.reference), self._new_id(request.reference)
        elif dataset_id not in self.uploads:
            raise Refused("not_found", f"there is no upload {dataset_id[:100]!r}", "dataset_id")
        now = self.clock.now()
        file_name = Path(reference).name if reference else folders.file_name(request.file_name)
        row = DatasetRow(
            seq=self._next(),
            ts=now,
            ts_created=now,
            dataset_id=dataset_id,
            change="uploaded",
            status="processing",
            name=request.name,
            description=request.description,
            tags=request.tags,
            category=request.category,
            asset_class=request.asset_class,
            is_public=request.is_public,
            user_id=request.user_id,
            source="recording" if reference or request.recording else "user_upload",
            file_name=file_name,
            file_bytes=request.file_bytes,
            kind="recording" if reference or request.recording else "",
            marks=request.marks,
            calendar=request.calendar,
            options=request.options,
            reference=reference,
        )
        self._store(row)
        self.uploads.discard(dataset_id)
        self._enqueue(row, import_job(self.root, row, self.settings))
        return self._state(row)

    @receive
    def update(self, request: UpdateDataset) -> DatasetState:
        """Change what is said about a data set."""
        row = self._known(request.dataset_id)
        check_words(request.name, request.description, request.tags)
        fields = ("name", "description", "tags", "category", "asset_class", "is_public")
        given = {name: value for name in fields if (value := getattr(request, name)) is not None}
        if all(getattr(row, name) == value for name, value in given.items()):
            return self._state(row)
        return self._state(self._changed(row, "updated", **given))

    @receive
    def delete(self, request: DeleteDataset) -> DatasetState:
        """Delete a data set with its files."""
        row = self._changed(self._known(request.dataset_id), "deleted", status="deleted")
        self.queue = deque(each for each in self.queue if each.dataset_id != row.dataset_id)
        self.spawn(self._remove, self.root / row.dataset_id)
        self.spawn(self._remove, self.root / INCOMING / row.dataset_id)
        return self._state(row)

    @receive
    def validate(self, request: ValidateDataset) -> None:
        """Validate once more, and answer with the report when it is there."""
        row = self._made(request.dataset_id)
        if row.dataset_id in self.running or any(each.dataset_id == row.dataset_id for each in self.queue):
            raise Refused("conflict", f"{row.dataset_id} is being read", "dataset_id")
        calendar = row.calendar if request.calendar is None else request.calendar
        job = validate_job(self.root, row, calendar, self.settings)
        self.answer_later(self._validated, self._enqueue(row, job))

    async def _validated(self, waiting: _Waiting) -> DatasetState:
        await waiting.done.wait()
        answer = waiting.answer
        assert answer is not None
        if answer.made is None:
            problem = answer.problem
            assert problem is not None
            raise Refused(problem.code, problem.message, problem.field)
        state = await self.ref.ask(GetDataset(waiting.dataset_id))
        return msgspec.structs.replace(state, report=answer.made.report)

    # Jobs.

    def _enqueue(self, row: DatasetRow, job: Job) -> _Waiting:
        waiting = _Waiting(row.dataset_id, job, trio.Event())
        self.queue.append(waiting)
        self._begin()
        return waiting

    def _begin(self) -> None:
        while self.queue and len(self.running) < self.settings.imports:
            waiting = self.queue.popleft()
            self.running[waiting.dataset_id] = waiting
            self.spawn(self._run, waiting, name=f"job {waiting.dataset_id}")

    async def _run(self, waiting: _Waiting) -> None:
        async def progress(rows: int) -> None:
            await self.ref.send(JobProgress(waiting.dataset_id, rows))

        job = waiting.job
        if job.task == "import":
            job = await self.offload(folders.prepared, job, ARRIVING, timeout=FILES_S)
        answer = await processes.run(job, progress)
        await self.ref.send(JobDone(waiting.dataset_id, job.task, job.calendar, answer))

    @receive
    def progress(self, message: JobProgress) -> None:
        """Remember how far it is."""
        if message.dataset_id in self.running:
            self.running[message.dataset_id].rows = message.rows

    @receive
    def done(self, message: JobDone) -> None:
        """Store what a data set has become."""
        waiting = self.running.pop(message.dataset_id)
        self._begin()
        try:
            row = self.shelf.get(message.dataset_id)
        except Refused:
            row = None
        if row is None:
            self.spawn(self._remove, self.root / message.dataset_id)
        elif message.answer.made is not None:
            change = "imported" if message.task == "import" else "validated"
            fields = fields_of(message.answer.made, row) | {"calendar": message.calendar}
            self._changed(row, change, ts_validated=self.clock.now(), **fields)
        elif message.task == "import":
            problem = message.answer.problem
            assert problem is not None
            self._changed(row, "failed", status="failed", problem=problem.message, problem_field=problem.field)
            self.spawn(self._remove, self.root / message.dataset_id)
        if message.task == "import":
            self.spawn(self._remove, self.root / INCOMING / message.dataset_id)
        waiting.answer = message.answer
        waiting.done.set()

    @receive
    def probe(self, request: Probe) -> ProbeReport:
        """Say how many there are, and what is being made."""
        return ProbeReport(
            "degraded" if self.problem else "ok",
            self.problem,
            figures=(
                ("datasets", len(self.shelf.all())),
                ("running", len(self.running)),
                ("waiting", len(self.queue)),
                ("read_back", self.read),
            ),
        )

    # Inside.

    def _reference(self, text: str) -> str:
        path = Path(text).resolve()
        allowed = [
            Path(self.node.settings.data_dir).resolve(),
            *(Path(each).resolve() for each in self.settings.recordings),
        ]
        if not any(path.is_relative_to(folder) for folder in allowed):
            message = f"expected a recording below datasets.recordings or the data folder, got {path}"
            raise Refused("forbidden", message, "reference")
        if not path.exists():
            raise Refused("not_found", f"there is no file {path}", "reference")
        return str(path)

    def _state(self, row: DatasetRow) -> DatasetState:
        running = self.running.get(row.dataset_id)
        rows = running.rows if running is not None else 0
        return DatasetState(row=row, rows_read=rows, same_content=self.shelf.same_content(row))

    def _ready(self) -> None:
        if not self.read:
            why = f": {self.problem}" if self.problem else ""
            raise Refused("not_ready", f"the data sets are not read back yet{why}")

    def _known(self, dataset_id: str) -> DatasetRow:
        self._ready()
        return self.shelf.get(dataset_id)

    def _made(self, dataset_id: str) -> DatasetRow:
        row = self._known(dataset_id)
        if row.status not in ("ready", "invalid"):
            raise Refused("conflict", f"expected a data set that is ready, got one that is {row.status}", "dataset_id")
        return row

    def _new_id(self, words: str) -> str:
        text = f"{self.log.last_seq(STREAM)} {self.clock.now()} {words}"
        return hashlib.blake2b(text.encode(), digest_size=8).hexdigest()

    def _next(self) -> int:
        return self.log.last_seq(STREAM) + 1

    def _changed(self, row: DatasetRow, change: str, **fields: Any) -> DatasetRow:
        now = self.clock.now()
        changed = msgspec.structs.replace(row, seq=self._next(), ts=now, change=change, **fields)
        self._store(changed)
        return changed

    def _store(self, row: DatasetRow) -> None:
        try:
            self.log.append(row)
        except RowTooLarge as error:
            raise Refused("too_large", f"the node's log cannot hold it: {error}", "options") from None
        self.shelf.add(row)

    async def _remove(self, folder: Path) -> None:
        await self.offload(folders.remove_tree, folder, timeout=FILES_S)
