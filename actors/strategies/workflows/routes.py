"""The HTTP routes of workflows, in the words of the no-code service."""

from __future__ import annotations

import copy
import functools
from typing import Any, Final

import msgspec

from actors.edge.call import Call
from actors.edge.errors import HttpError
from actors.edge.routing import Route, delete, get, post, put
from actors.strategies.run_routes import STATUS_OF
from actors.strategies.status import ROSTER, ListStrategies, StartStrategy, StopStrategy
from actors.strategies.workflows import components
from actors.strategies.workflows.backtesting import backtest_of
from actors.strategies.workflows.bodies import (
    NOT_COMPILED,
    CompilationBody,
    DeletedBody,
    ExecutionBody,
    GeneratedCode,
    ModeBody,
    TemplateBody,
    VersionsBody,
    WorkflowDetail,
    WorkflowPage,
    code_body,
    compilation_body,
    detail_body,
    problem_body,
    summary_body,
    version_body,
)
from actors.strategies.workflows.model import MOST_WORKFLOW
from actors.strategies.workflows.questions import (
    ChangedWorkflow,
    Execution,
    ModeChange,
    NewWorkflow,
    OneTemplate,
    OneVersion,
    OneWorkflow,
    UseTemplate,
    VersionsQuery,
    WorkflowQuery,
)
from actors.strategies.workflows.rows import (
    WORKFLOWS,
    CompileWorkflow,
    DeleteWorkflow,
    GetWorkflow,
    ListWorkflows,
    ListWorkflowVersions,
    NoteExecution,
    PutWorkflow,
    RestoreWorkflow,
    SetExecutionMode,
    WorkflowVersionRow,
)
from actors.strategies.workflows.templates import TEMPLATES, Template
from protocols.backtests import BACKTESTS
from protocols.control import Refused
from protocols.signal_stream import timestamp

TAGS: Final = ("workflows",)
CHANGE_S: Final = 20.0
START_S: Final = 60.0
BODY_BYTES: Final = 2 * MOST_WORKFLOW


class NotCompiled(HttpError):
    """400: the usual shape of an error, and beside it (`errors`) every problem with its node."""

    def __init__(self, row: WorkflowVersionRow) -> None:
        self.problems = row.found()
        errors = [each for each in self.problems if each.severity == "error"]
        message = (
            f"{row.workflow_id} does not compile: {errors[0]}" if errors else f"{row.workflow_id} does not compile"
        )
        more = f" (and {len(errors) - 1} more)" if len(errors) > 1 else ""
        super().__init__(400, "invalid_workflow", message + more, (errors[0].field or None) if errors else None)

    def body(self) -> bytes:
        """The answer's JSON body."""
        error = {"code": self.code, "message": self.message, "field": self.field}
        return msgspec.json.encode({"error": error, "errors": tuple(map(problem_body, self.problems))})


class Palette(msgspec.Struct, frozen=True):
    """What a workflow may be drawn of: node types with ports and parameters, indicators, conditions."""

    node_types: tuple[str, ...]
    components: tuple[dict[str, Any], ...]
    indicators: tuple[dict[str, Any], ...]
    conditions: tuple[dict[str, Any], ...]
    condition_categories: tuple[str, ...]
    timeframes: tuple[str, ...]
    sources: tuple[str, ...]
    refused: dict[str, str]


async def list_workflows(request: WorkflowQuery, call: Call) -> WorkflowPage:
    """Answer a page of workflows."""
    found = await call.ref(WORKFLOWS).ask(ListWorkflows(request.search, request.limit, request.offset))
    return WorkflowPage(tuple(map(summary_body, found.workflows)), found.total, request.limit, request.offset)


async def one_workflow(request: OneWorkflow, call: Call) -> WorkflowDetail:
    """Answer a workflow with what is drawn."""
    return detail_body(await _get(request.workflow_id, call))


async def create(request: NewWorkflow, call: Call) -> WorkflowDetail:
    """Store a new workflow. It may be unfinished: whether it compiles is asked by compiling it."""
    asked = PutWorkflow(
        name=request.name,
        description=request.description,
        tags=request.tags,
        workflow=_drawn(request) or msgspec.Raw(b'{"nodes":[],"edges":[]}'),
    )
    return detail_body((await call.ref(WORKFLOWS).ask(asked, CHANGE_S)).row)


async def change(request: ChangedWorkflow, call: Call) -> WorkflowDetail:
    """Store the next version of a workflow, or a new workflow under this id."""
    asked = PutWorkflow(
        workflow_id=request.workflow_id,
        name=request.name,
        description=request.description,
        tags=request.tags,
        workflow=_drawn(request),
        expected_version=request.expected_version,
    )
    return detail_body((await call.ref(WORKFLOWS).ask(asked, CHANGE_S)).row)


async def remove(request: OneWorkflow, call: Call) -> DeletedBody:
    """Stop a workflow, if it runs, and delete it."""
    await _get(request.workflow_id, call)
    running = await _stopped(request.workflow_id, call)
    row = (await call.ref(WORKFLOWS).ask(DeleteWorkflow(request.workflow_id), CHANGE_S)).row
    return DeletedBody(f"{row.workflow_id} is deleted", row.workflow_id, timestamp(row.ts), running)


async def compiled(request: OneWorkflow, call: Call) -> CompilationBody:
    """Compile a workflow and put it into the library; 400 with all errors where it does not compile."""
    row = (await call.ref(WORKFLOWS).ask(CompileWorkflow(request.workflow_id), CHANGE_S)).row
    if row.compilation_status != "success":
        raise NotCompiled(row)
    return compilation_body(row)


async def generated(request: OneWorkflow, call: Call) -> GeneratedCode:
    """Answer the code that the last compilation has generated."""
    row = await _get(request.workflow_id, call)
    if not row.generated_code:
        raise Refused("not_found", f"{row.workflow_id}: {NOT_COMPILED}", "workflow_id")
    return code_body(row)


async def generate(request: OneWorkflow, call: Call) -> GeneratedCode:
    """Answer the code of the newest version, compiling it where that has not been done."""
    row = await _compiled(request.workflow_id, call)
    if not row.current:
        raise NotCompiled(row)
    return code_body(row)


async def versions(request: VersionsQuery, call: Call) -> VersionsBody:
    """Answer the versions of a workflow, the newest first."""
    asked = ListWorkflowVersions(request.workflow_id, request.limit, request.offset)
    found = await call.ref(WORKFLOWS).ask(asked, CHANGE_S)
    return VersionsBody(found.workflow_id, tuple(map(version_body, found.versions)), found.total)


async def restore(request: OneVersion, call: Call) -> WorkflowDetail:
    """Store an older version once more, as the newest one."""
    asked = RestoreWorkflow(request.workflow_id, request.version)
    return detail_body((await call.ref(WORKFLOWS).ask(asked, CHANGE_S)).row)


async def execute(request: Execution, call: Call) -> ExecutionBody:
    """Compile a workflow where needed, and start it as a strategy."""
    if request.execution_type == "live_trade":
        raise Refused(
            "forbidden", "live trading needs a deployment: this node runs workflows on paper", "execution_type"
        )
    if request.execution_type == "backtest":
        return await backtest(request, call)
    if request.execution_type != "paper_trade":
        message = f"expected backtest, paper_trade or live_trade, got {request.execution_type[:100]!r}"
        raise HttpError(400, "invalid", message, "execution_type")
    row = await _compiled(request.workflow_id, call)
    if not row.current:
        raise NotCompiled(row)
    symbols = request.symbols or row.symbols
    if not symbols:
        message = f"{row.workflow_id} names no market in its data sources: say which ones it is to run on"
        raise HttpError(400, "invalid", message, "symbols")
    if len(row.symbols) > 1 and (missing := [each for each in row.symbols if each not in symbols]):
        message = f"{row.workflow_id} combines {', '.join(row.symbols)}: {', '.join(missing)} is missing"
        raise HttpError(400, "invalid", message, "symbols")
    several = len(row.timeframes) > 1
    if several and request.timeframe and request.timeframe not in row.timeframes:
        message = f"{row.workflow_id} combines bars of {', '.join(row.timeframes)}, not of {request.timeframe[:100]}"
        raise HttpError(400, "invalid", message, "timeframe")
    timeframes = row.timeframes if several else (request.timeframe or row.timeframes[0],)
    asked = StartStrategy(
        strategy_id=row.workflow_id,
        source="workflow",
        symbols=symbols,
        timeframe=timeframes[0],
        timeframes=tuple((each, timeframes) for each in symbols) if several else (),
        parameters=msgspec.Raw(msgspec.json.encode(request.parameters)),
        execution_mode="paper",
        execution_interval_s=request.execution_interval,
        settings=msgspec.Raw(msgspec.json.encode(request.configuration)),
    )
    try:
        started = await call.ref(ROSTER).ask(asked, START_S)
    except Refused as refused:
        status = STATUS_OF.get(refused.code)
        if status is None:
            raise
        raise HttpError(status, refused.code, refused.message, refused.field) from refused
    await call.ref(WORKFLOWS).ask(NoteExecution(row.workflow_id), CHANGE_S)
    return ExecutionBody(
        success=True,
        message=f"{row.name} runs on paper",
        execution_id=started.execution_id,
        workflow_id=row.workflow_id,
        strategy_id=started.strategy_id,
        execution_type="paper_trade",
        status="running",
        symbols=symbols,
        timeframes=timeframes,
        version=started.version,
    )


async def backtest(request: Execution, call: Call) -> ExecutionBody:
    """Compile a workflow where needed, and run it over a data set: the answer names the backtest's job."""
    row = await _compiled(request.workflow_id, call)
    if not row.current:
        raise NotCompiled(row)
    asked = backtest_of(request, row)
    try:
        job = (await call.ref(BACKTESTS).ask(asked, START_S)).job
    except Refused as refused:
        if refused.code in ("not_found", "stopped") and refused.field is None:
            raise Refused("not_deployed", "this node has no backtests", "execution_type") from None
        status = STATUS_OF.get(refused.code)
        if status is None:
            raise
        raise HttpError(status, refused.code, refused.message, refused.field) from refused
    await call.ref(WORKFLOWS).ask(NoteExecution(row.workflow_id), CHANGE_S)
    return ExecutionBody(
        success=True,
        message=f"{row.name} is run over {request.dataset_id}: GET /api/backtests/{job.job_id}",
        execution_id=job.job_id,
        workflow_id=row.workflow_id,
        strategy_id=row.workflow_id,
        execution_type="backtest",
        status=job.state,
        symbols=request.symbols or row.symbols,
        timeframes=row.timeframes,
        version=str(row.version),
    )


async def set_mode(request: ModeChange, call: Call) -> ModeBody:
    """Set the mode of execution."""
    config = msgspec.Raw(msgspec.json.encode(request.config))
    asked = SetExecutionMode(request.workflow_id, request.mode, config)
    row = (await call.ref(WORKFLOWS).ask(asked, CHANGE_S)).row
    message = f"{row.workflow_id} is meant for {row.execution_mode}"
    return ModeBody(row.workflow_id, row.execution_mode, row.execution_config, message)


async def palette(call: Call) -> Palette:
    """Answer what a workflow may be drawn of."""
    return _palette()


async def templates(call: Call) -> list[TemplateBody]:
    """Answer the ready workflows, without what is drawn."""
    return [_template_body(each) for each in TEMPLATES.values()]


async def one_template(request: OneTemplate, call: Call) -> TemplateBody:
    """Answer a ready workflow."""
    found = _template(request.template_id)
    return msgspec.structs.replace(_template_body(found), workflow_data=found.workflow)


async def use_template(request: UseTemplate, call: Call) -> WorkflowDetail:
    """Make a workflow out of a ready one."""
    found = _template(request.template_id)
    drawn = copy.deepcopy(found.workflow)
    for node in drawn["nodes"]:
        if node["type"] == "dataSource":
            node["data"]["parameters"]["symbol"] = request.symbol
    asked = PutWorkflow(
        name=request.name or found.name,
        description=found.idea if request.description is None else request.description,
        tags=found.tags,
        workflow=msgspec.Raw(msgspec.json.encode(drawn)),
    )
    return detail_body((await call.ref(WORKFLOWS).ask(asked, CHANGE_S)).row)


def _drawn(request: NewWorkflow | ChangedWorkflow) -> msgspec.Raw | None:
    for whole in (request.workflow_data, request.workflow):
        if _given(whole):
            return whole
    parts = {"nodes": request.nodes, "edges": request.edges, "config": request.config}
    given = {name: part for name, part in parts.items() if _given(part)}
    return msgspec.Raw(msgspec.json.encode(given)) if given else None


def _given(part: msgspec.Raw) -> bool:
    return bytes(part) not in (b"", b"null")


async def _get(workflow_id: str, call: Call) -> WorkflowVersionRow:
    return (await call.ref(WORKFLOWS).ask(GetWorkflow(workflow_id))).row


async def _compiled(workflow_id: str, call: Call) -> WorkflowVersionRow:
    """The workflow, compiled if its newest version was not."""
    row = await _get(workflow_id, call)
    if row.current:
        return row
    return (await call.ref(WORKFLOWS).ask(CompileWorkflow(workflow_id), CHANGE_S)).row


async def _stopped(workflow_id: str, call: Call) -> bool:
    """Whether it ran."""
    roster = call.ref(ROSTER)
    try:
        [found] = (await roster.ask(ListStrategies(workflow_id))).strategies
        if found.source != "workflow":
            return False  # another source's strategy of this id
        await roster.ask(StopStrategy(workflow_id), START_S)
    except Refused as refused:
        if refused.code in ("not_found", "not_running"):
            return False
        raise
    return True


def _template(template_id: str) -> Template:
    found = TEMPLATES.get(template_id)
    if found is None:
        raise Refused("not_found", f"there is no template {template_id[:100]!r}", "template_id")
    return found


def _template_body(found: Template) -> TemplateBody:
    nodes = found.workflow["nodes"]
    timeframes = [node["data"]["parameters"]["timeframe"] for node in nodes if node["type"] == "dataSource"]
    return TemplateBody(
        found.id, found.name, found.idea, found.category, found.difficulty, found.tags, tuple(timeframes)
    )


@functools.cache
def _palette() -> Palette:
    return msgspec.convert(components.catalogue(), Palette)


ONE: Final = "/api/workflows/{workflow_id}"

routes: list[Route] = [
    get("/api/workflows", list_workflows, summary="Workflows", tags=TAGS),
    post("/api/workflows", create, summary="Draw a workflow", tags=TAGS, status=201, body_bytes=BODY_BYTES),
    get(ONE, one_workflow, summary="A workflow with what is drawn", tags=TAGS),
    put(ONE, change, summary="Change a workflow, or put a new one", tags=TAGS, body_bytes=BODY_BYTES),
    delete(ONE, remove, summary="Stop and delete a workflow", tags=TAGS),
    post(f"{ONE}/compile", compiled, summary="Compile a workflow", tags=TAGS, timeout_s=CHANGE_S),
    get(f"{ONE}/generated-code", generated, summary="The code of a workflow", tags=TAGS),
    post(f"{ONE}/generate-code", generate, summary="Compile, and answer the code", tags=TAGS, timeout_s=CHANGE_S),
    get(f"{ONE}/versions", versions, summary="What a workflow was before", tags=TAGS),
    post(f"{ONE}/versions/{{version}}/restore", restore, summary="Make an older version the newest", tags=TAGS),
    post(f"{ONE}/execute", execute, summary="Start a workflow", tags=TAGS, timeout_s=START_S + CHANGE_S),
    post(f"{ONE}/backtest", backtest, summary="Run a workflow over a data set", tags=TAGS, timeout_s=START_S),
    post(f"{ONE}/execution-mode", set_mode, summary="What a workflow is meant for", tags=TAGS),
    get("/api/components", palette, summary="What a workflow may be drawn of", tags=TAGS),
    get("/api/templates", templates, summary="Ready workflows", tags=TAGS),
    get("/api/templates/{template_id}", one_template, summary="A ready workflow", tags=TAGS),
    post(
        "/api/templates/{template_id}/use", use_template, summary="Begin with a ready workflow", tags=TAGS, status=201
    ),
]
