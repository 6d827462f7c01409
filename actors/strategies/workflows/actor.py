"""`/workflows`: keeps workflows and their versions, compiles them, and puts what compiles into the library.

Every change is a row, accepted when the node's log has it. After a start the newest rows are read back from the
database; until then whoever asks is told to come again.
"""

from __future__ import annotations

from typing import ClassVar, Final

import trio

from actors.strategies.package import LIBRARY, LibraryStarted, Package, PutPackage
from actors.strategies.workflows import archive
from actors.strategies.workflows.compiler import Compiled, compile_workflow
from actors.strategies.workflows.model import WorkflowInvalid, WorkflowProblem, read_workflow
from actors.strategies.workflows.rows import (
    VERSIONS,
    CompileWorkflow,
    DeleteWorkflow,
    GetWorkflow,
    ListWorkflows,
    ListWorkflowVersions,
    NoteExecution,
    PutWorkflow,
    RestoreWorkflow,
    SetExecutionMode,
    WorkflowList,
    WorkflowState,
    WorkflowVersionRow,
    WorkflowVersions,
)
from actors.strategies.workflows.shelf import Shelf, package_of
from protocols.control import Message, Probe, ProbeReport, Refused, Request, Unknown
from protocols.paths import QUERIES
from runtime import Actor, Mailbox, receive
from runtime.log import RowTooLarge

COMPILE_S: Final = 10.0
PUT_S: Final = 5.0
AGAIN_S: Final = 1.0
MOST_PAGE: Final = 100


class RowsRead(Message, frozen=True, gc=False, tag="workflow_rows_read"):
    """The newest rows are read back; None: they cannot be read. `problem`: why they are not all of them."""

    rows: tuple[WorkflowVersionRow, ...] | None
    problem: str


class PutAll(Message, frozen=True, gc=False, tag="put_all_workflows"):
    """Put into the library what is not there yet."""


class PutDone(Message, frozen=True, gc=False, tag="workflows_put"):
    """What the library has taken, and what it never will; `away`: it did not answer."""

    taken: tuple[tuple[str, Package | None], ...]
    refused: tuple[tuple[str, str], ...]
    away: bool


class StoreCompiled(Request[WorkflowState], frozen=True, gc=False, tag="store_compiled_workflow"):
    """Store what a compilation of a version has led to: its code, or problems."""

    workflow_id: str
    version: int
    compiled: Compiled | None
    problems: tuple[WorkflowProblem, ...]


class StoreRestored(Request[WorkflowState], frozen=True, gc=False, tag="store_restored_workflow"):
    """Store an older version as the newest one."""

    row: WorkflowVersionRow


class Workflows(Actor):
    """Keeps the workflows of a node. `patience_s`: after so long, rows that the database lacks will not come."""

    mailbox: ClassVar[Mailbox] = Mailbox(capacity=1024)
    later_capacity: ClassVar[int] = 64

    def __init__(self, patience_s: float = 30.0) -> None:
        self.patience_s = patience_s
        self.shelf = Shelf()
        self.read = False
        self.problem = ""
        self.waiting: dict[str, Package | None] = {}
        """What the library has to be told yet: packages, and None for those that are gone."""
        self.putting = False

    def on_start(self) -> None:
        """Begin to read what survives."""
        self.subscribe(LibraryStarted)
        self.spawn(self._read, name="read")

    async def _read(self) -> None:
        while True:
            try:
                rows, problem = await archive.read_newest(
                    self.lookup(QUERIES), self.log.last_seq(VERSIONS), self.patience_s
                )
            except Refused as refused:
                await self.ref.send(RowsRead(None, f"the table cannot be read: {refused.message}"))
                await trio.sleep(AGAIN_S)
            else:
                await self.ref.send(RowsRead(rows, problem))
                return

    @receive
    def rows_read(self, message: RowsRead) -> None:
        """From now on, workflows can be changed."""
        if message.problem and message.problem != self.problem:
            self.logger.error("workflows are missing", why=message.problem)
        self.problem = message.problem
        if message.rows is None:
            return
        for row in message.rows:
            self.shelf.add(row)
        self.read = True
        self.library_started(LibraryStarted())

    # The library.

    @receive
    def library_started(self, message: LibraryStarted) -> None:
        """Put everything into it that compiles."""
        for row in self.shelf.all():
            package = package_of(row)
            if package is not None:
                self.waiting[row.workflow_id] = package
        self._put()

    @receive
    def put_all(self, message: PutAll) -> None:
        """Try once more."""
        self._put()

    @receive
    def put_done(self, message: PutDone) -> None:
        """Forget what the library has taken; try the rest again."""
        self.putting = False
        for workflow_id, package in message.taken:
            if workflow_id in self.waiting and self.waiting[workflow_id] is package:
                del self.waiting[workflow_id]
        for workflow_id, why in message.refused:
            self.waiting.pop(workflow_id, None)
            self.logger.error("the library does not take a workflow", workflow=workflow_id, why=why)
        if message.away:
            self.after(AGAIN_S, PutAll())
        else:
            self._put()

    def _put(self) -> None:
        if self.waiting and not self.putting:
            self.putting = True
            self.spawn(self._put_waiting, tuple(self.waiting.items()), name="put")

    async def _put_waiting(self, waiting: tuple[tuple[str, Package | None], ...]) -> None:
        library = self.lookup(LIBRARY)
        taken: list[tuple[str, Package | None]] = []
        refused: list[tuple[str, str]] = []
        away = False
        for workflow_id, package in waiting:
            try:
                await library.ask(_put_of(workflow_id, package), PUT_S)
                taken.append((workflow_id, package))
            except Refused as why:
                if why.code != "invalid":
                    away = True
                    break
                refused.append((workflow_id, why.message))
            except Unknown:
                away = True
                break
        await self.ref.send(PutDone(tuple(taken), tuple(refused), away))

    # Questions.

    @receive
    def get(self, request: GetWorkflow) -> WorkflowState:
        """Answer with a workflow."""
        self._ready()
        return WorkflowState(self.shelf.get(request.workflow_id))

    @receive
    def list_workflows(self, request: ListWorkflows) -> WorkflowList:
        """Answer with a page of them."""
        self._ready()
        if not 1 <= request.limit <= MOST_PAGE:
            raise Refused("invalid", f"expected 1 to {MOST_PAGE}, got {request.limit}", "limit")
        if request.offset < 0:
            raise Refused("invalid", f"expected at least 0, got {request.offset}", "offset")
        return WorkflowList(*self.shelf.page(request.search, request.limit, request.offset))

    @receive
    def versions(self, request: ListWorkflowVersions) -> None:
        """Answer with the versions of one, from the database."""
        self._ready()
        self.answer_later(self._versions, self.shelf.get(request.workflow_id), request)

    async def _versions(self, newest: WorkflowVersionRow, request: ListWorkflowVersions) -> WorkflowVersions:
        return await archive.read_versions(self.lookup(QUERIES), newest, request)

    # Changes.

    @receive
    def put(self, request: PutWorkflow) -> WorkflowState:
        """Store a workflow, or its next version."""
        self._ready()
        row = self.shelf.put(request, self._next(), self.clock.now())
        return WorkflowState(row) if row.seq < self._next() else self._store(row)

    @receive
    def delete(self, request: DeleteWorkflow) -> WorkflowState:
        """Delete a workflow."""
        self._ready()
        state = self._store(self.shelf.deleted(request.workflow_id, self._next(), self.clock.now()))
        self.waiting[request.workflow_id] = None
        self._put()
        return state

    @receive
    def restore(self, request: RestoreWorkflow) -> None:
        """Make an older version the newest."""
        self._ready()
        self.answer_later(self._restore, self.shelf.get(request.workflow_id), request.version)

    async def _restore(self, newest: WorkflowVersionRow, version: int) -> WorkflowState:
        found = await archive.read_version(self.lookup(QUERIES), newest, version)
        return await self.ref.ask(StoreRestored(found))

    @receive
    def store_restored(self, request: StoreRestored) -> WorkflowState:
        """Store what was read."""
        old = request.row
        known = self.shelf.get(old.workflow_id)
        fields = {name: getattr(old, name) for name in ("name", "description", "tags", "workflow")}
        row = self.shelf.drawn(known, "restored", self._next(), self.clock.now(), fields, old.version)
        return self._store(row)

    @receive
    def compile(self, request: CompileWorkflow) -> None:
        """Compile a workflow, beside the loop."""
        self._ready()
        self.answer_later(self._compile, self.shelf.get(request.workflow_id))

    async def _compile(self, row: WorkflowVersionRow) -> WorkflowState:
        try:
            compiled, problems = await self.offload(_compiled, bytes(row.workflow), row.name, timeout=COMPILE_S)
        except trio.TooSlowError:
            raise Refused("too_large", f"it is not compiled within {COMPILE_S:g} s", "workflow") from None
        state = await self.ref.ask(StoreCompiled(row.workflow_id, row.version, compiled, problems))
        package = package_of(state.row)
        if compiled is not None and package is not None:
            # So that it can be started at once. Where the library is away, it is put there later.
            await self.lookup(LIBRARY).outcome(PutPackage(package), PUT_S)
        return state

    @receive
    def store_compiled(self, request: StoreCompiled) -> WorkflowState:
        """Store what the compilation has led to, and put the code into the library."""
        found = request.compiled or request.problems
        row = self.shelf.compiled(request.workflow_id, request.version, found, self._next(), self.clock.now())
        state = self._store(row)
        if request.compiled is not None:
            self.waiting[row.workflow_id] = package_of(row)
            self._put()
        return state

    @receive
    def note_execution(self, request: NoteExecution) -> WorkflowState:
        """Count a start."""
        self._ready()
        return self._store(self.shelf.executed(request.workflow_id, self._next(), self.clock.now()))

    @receive
    def set_mode(self, request: SetExecutionMode) -> WorkflowState:
        """Set the mode of execution."""
        self._ready()
        now = self.clock.now()
        return self._store(self.shelf.mode(request.workflow_id, request.mode, request.config, self._next(), now))

    @receive
    def probe(self, request: Probe) -> ProbeReport:
        """Say how many there are, and whether they could be read back."""
        rows = self.shelf.all()
        return ProbeReport(
            "degraded" if self.problem else "ok",
            self.problem,
            figures=(
                ("workflows", len(rows)),
                ("compiled", sum(bool(each.generated_code) for each in rows)),
                ("read_back", self.read),
            ),
        )

    def _ready(self) -> None:
        if not self.read:
            why = f": {self.problem}" if self.problem else ""
            raise Refused("not_ready", f"the workflows are not read back yet{why}")

    def _next(self) -> int:
        return self.log.last_seq(VERSIONS) + 1

    def _store(self, row: WorkflowVersionRow) -> WorkflowState:
        try:
            self.log.append(row)
        except RowTooLarge as error:
            raise Refused("too_large", f"the node's log cannot hold it: {error}", "workflow") from None
        self.shelf.add(row)
        return WorkflowState(row)


def _put_of(workflow_id: str, package: Package | None) -> PutPackage:
    if package is None:
        return PutPackage(Package(strategy_id=workflow_id, source="workflow", name=workflow_id, version="0"), True)
    return PutPackage(package)


def _compiled(content: bytes, title: str) -> tuple[Compiled | None, tuple[WorkflowProblem, ...]]:
    try:
        return compile_workflow(read_workflow(content), title=title), ()
    except WorkflowInvalid as error:
        return None, error.problems
