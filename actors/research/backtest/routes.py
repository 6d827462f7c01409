"""The HTTP routes of backtests: the documented names and those of the strategy service, over the same jobs.

What works with results (numpy, pyarrow) is imported by the first request that needs it, not by the start of a node.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any, Final, get_args

import msgspec

from actors.edge.call import Call
from actors.edge.errors import HttpError
from actors.edge.routing import Route, get, post
from actors.research.backtest.bodies import (
    JobBody,
    JobPage,
    Limit,
    NewBacktest,
    Offset,
    job_body,
    merged,
    spec_fields,
)
from actors.research.datasets.rows import DATASETS, GetDataset
from actors.strategies.workflows.compiler import compile_workflow
from actors.strategies.workflows.model import WorkflowInvalid, read_workflow
from protocols.backtests import (
    BACKTESTS,
    CancelBacktest,
    GetBacktest,
    GetBacktestReport,
    JobState,
    ListBacktests,
    StartBacktest,
    SubmitBacktest,
)

if TYPE_CHECKING:
    from actors.research.backtest.report import Report

TAGS: Final = ("backtests",)
SUBMIT_S: Final = 20.0
READ_S: Final = 20.0
COMPARE_S: Final = 60.0
METHODOLOGIES: Final = {
    "standard": "One run over the span. With values to choose from the best of them is shown, which was chosen on the "
    "same data.",
    "walk_forward": "Parameters are searched in each training alone and run on the test behind it; the first steps of "
    "the tests are stitched.",
    "monte_carlo": "One run, and what else could have come of it: permutation (drawdown only), bootstraps, skipped "
    "trades, jittered fills, synthetic paths.",
    "cross_validation": "Parts in time, each once the test of what was chosen on the others, purged and embargoed.",
    "paper_trading": "A session of its own: POST /api/paper-trading/sessions.",
}
TEMPLATES: Final[tuple[tuple[str, str, dict[str, Any]], ...]] = (
    ("first_look", "One run at the market's own fills, without a delay.", {"execution_delay_ms": 0.0}),
    ("pessimistic", "One run, and the same with the optimistic and the pessimistic fills.", {"both_brackets": True}),
    (
        "walk_forward_year",
        "Chosen on twelve months, tried on the next three; add `optimise`.",
        {"methodology": "walk_forward", "walk_forward": "12/3/3"},
    ),
    (
        "cross_validation",
        "Five parts, each once the test, an hour kept free around it; add `optimise`.",
        {"methodology": "cross_validation", "folds": 5, "purge_s": 3600.0, "embargo_s": 3600.0},
    ),
    (
        "stress",
        "A thousand simulations of what else could have come of it.",
        {"methodology": "monte_carlo", "simulations": 1000},
    ),
)
"""(id, what it is for, fields of a new backtest)."""


class OneJob(msgspec.Struct, frozen=True):
    """Which job."""

    job_id: str


class JobQuery(msgspec.Struct, frozen=True):
    """Which jobs. Empty: of any state, of any strategy."""

    status: str = ""
    strategy_id: str = ""
    limit: Limit = 50
    offset: Offset = 0


class PerformanceQuery(msgspec.Struct, frozen=True):
    """Of which job, and over how many days the rolling figures are."""

    job_id: str
    rolling_window_days: Annotated[int, msgspec.Meta(ge=2, le=1000)] = 30


class TradesQuery(msgspec.Struct, frozen=True):
    """Which trades of a job. `side`: long, short. `outcome`: win, loss."""

    job_id: str
    symbol: str = ""
    side: str = ""
    outcome: str = ""
    limit: Annotated[int, msgspec.Meta(ge=1, le=1000)] = 100
    offset: Offset = 0


class Comparing(msgspec.Struct, frozen=True):
    """Which 2 to 10 jobs are compared, by how many simulations."""

    job_ids: Annotated[tuple[str, ...], msgspec.Meta(min_length=2, max_length=10)]
    name: str = ""
    simulations: Annotated[int, msgspec.Meta(ge=100, le=10_000)] = 1000
    seed: Annotated[int, msgspec.Meta(ge=0)] = 0


class FromWorkflow(msgspec.Struct, frozen=True, kw_only=True):
    """A drawn strategy (`workflow_id` of a stored one, or `workflow_definition`) and its backtest (`config`)."""

    workflow_id: str = ""
    workflow_definition: dict[str, Any] | None = None
    config: dict[str, Any] = {}


async def create(request: NewBacktest, call: Call) -> JobBody:
    """Make a backtest that waits to be started."""
    return await _submit(request, call, start=False)


async def start(request: OneJob, call: Call) -> JobBody:
    """Let a backtest begin as soon as there is room."""
    return job_body((await call.ref(BACKTESTS).ask(StartBacktest(request.job_id))).job)


async def cancel(request: OneJob, call: Call) -> JobBody:
    """End a backtest."""
    return job_body((await call.ref(BACKTESTS).ask(CancelBacktest(request.job_id))).job)


async def one(request: OneJob, call: Call) -> JobBody:
    """Answer how a backtest stands."""
    return job_body((await call.ref(BACKTESTS).ask(GetBacktest(request.job_id))).job)


async def jobs(request: JobQuery, call: Call) -> JobPage:
    """Answer a page of backtests."""
    if request.status not in ("", *get_args(JobState)):
        raise HttpError(400, "invalid", f"expected one of {', '.join(get_args(JobState))}", "status")
    asked = ListBacktests(
        state=request.status, strategy=request.strategy_id, limit=request.limit, offset=request.offset
    )
    found = await call.ref(BACKTESTS).ask(asked)
    return JobPage(
        jobs=tuple(job_body(job) for job in found.jobs), total=found.total, limit=request.limit, offset=request.offset
    )


async def results(request: OneJob, call: Call) -> dict[str, Any]:
    """Answer all that a backtest came to."""
    from actors.research.backtest import figures

    return {"job_id": request.job_id, "status": "completed", **figures.whole(await _report(request.job_id, call))}


async def performance(request: PerformanceQuery, call: Call) -> dict[str, Any]:
    """Answer the metrics of a backtest, and rolling ones."""
    from actors.research.backtest import figures

    report = await _report(request.job_id, call)
    return {
        "job_id": request.job_id,
        "metrics": {metric.key: metric.value for metric in report.metrics},
        "details": [msgspec.to_builtins(metric) for metric in report.metrics],
        "rolling_window_days": request.rolling_window_days,
        "rolling": [msgspec.to_builtins(each) for each in figures.rolling(report.run, request.rolling_window_days)],
        "warnings": list(report.run.warnings),
    }


async def trades(request: TradesQuery, call: Call) -> dict[str, Any]:
    """Answer a page of a backtest's round trips."""
    from actors.research.backtest import figures

    for field, known in (("side", ("", "long", "short")), ("outcome", ("", "win", "loss"))):
        if getattr(request, field) not in known:
            raise HttpError(400, "invalid", f"expected one of {', '.join(known[1:])}", field)
    report = await _report(request.job_id, call)
    found = figures.chosen(report.run.round_trips, symbol=request.symbol, side=request.side, outcome=request.outcome)
    page = found[request.offset : request.offset + request.limit]
    return {
        "job_id": request.job_id,
        "trades": [msgspec.to_builtins(figures.trade_body(trade)) for trade in page],
        "total": len(found),
        "limit": request.limit,
        "offset": request.offset,
    }


async def daily_returns(request: OneJob, call: Call) -> dict[str, Any]:
    """Answer a backtest's days."""
    from actors.research.backtest import figures

    report = await _report(request.job_id, call)
    return {"job_id": request.job_id, "daily_returns": [msgspec.to_builtins(day) for day in figures.days(report.run)]}


async def compare(request: Comparing, call: Call) -> dict[str, Any]:
    """Compare completed backtests, with tests of their differences."""
    from actors.research.backtest.comparing import CompareBacktests

    asked = CompareBacktests(request.job_ids, request.simulations, request.seed)
    found = await call.ref(BACKTESTS).ask(asked, COMPARE_S)
    return {"name": request.name, "job_ids": list(request.job_ids), **msgspec.json.decode(found.comparison)}


async def methodologies(call: Call) -> dict[str, Any]:
    """Answer how data can be used."""
    return {"methodologies": [{"id": name, "description": text} for name, text in METHODOLOGIES.items()]}


async def templates(call: Call) -> dict[str, Any]:
    """Answer fields to begin a backtest with; the strategy and the data are added to them."""
    return {"templates": [{"id": name, "description": text, "config": config} for name, text, config in TEMPLATES]}


async def from_workflow(request: FromWorkflow, call: Call) -> JobBody:
    """Compile a drawn strategy and run it over data."""
    config = dict(request.config)
    if request.workflow_id:
        return await _submit(_asked(request.workflow_id, config), call, start=True, source="workflow")
    if request.workflow_definition is None:
        raise HttpError(400, "invalid", "expected workflow_id or workflow_definition", "workflow_definition")
    name = str(request.workflow_definition.get("name") or "workflow")
    try:
        compiled = compile_workflow(read_workflow(msgspec.json.encode(request.workflow_definition)), title=name)
    except WorkflowInvalid as error:
        first = error.problems[0]
        raise HttpError(422, "invalid", first.message, f"workflow_definition.{first.field}".rstrip(".")) from None
    asked = _asked(name, config)
    fields = merged(
        spec_fields(asked),
        {
            "strategy": {
                "code": compiled.code,
                "filename": "workflow.py",
                "timeframes": list(compiled.timeframes) or ["1m"],
                "lookback": max(1, compiled.lookback),
            }
        },
    )
    return await _store(asked, fields, call, start=True, strategy_id="", source="")


async def _submit(request: NewBacktest, call: Call, *, start: bool, source: str = "") -> JobBody:
    fields = spec_fields(request)
    return await _store(
        request, fields, call, start=start, strategy_id=request.strategy_id, source=source or request.source
    )


async def _store(
    request: NewBacktest, fields: dict[str, Any], call: Call, *, start: bool, strategy_id: str, source: str
) -> JobBody:
    for dataset_id in filter(None, (request.dataset_id, *request.dataset_ids)):
        await call.ref(DATASETS).ask(GetDataset(dataset_id), READ_S)  # refused where there is none
    asked = SubmitBacktest(
        spec=msgspec.Raw(msgspec.json.encode(fields)),
        name=request.name,
        strategy_id=strategy_id,
        source=source,
        priority=request.priority,
        start=start,
        request=msgspec.Raw(msgspec.json.encode(request)),
    )
    return job_body((await call.ref(BACKTESTS).ask(asked, SUBMIT_S)).job)


def _asked(strategy_id: str, config: dict[str, Any]) -> NewBacktest:
    try:
        return msgspec.convert({**config, "strategy_id": strategy_id}, NewBacktest)
    except msgspec.ValidationError as error:
        raise HttpError(400, "invalid", str(error), "config") from None


async def _report(job_id: str, call: Call) -> Report:
    from actors.research.backtest.report import decode

    return decode((await call.ref(BACKTESTS).ask(GetBacktestReport(job_id), READ_S)).report)


JOBS: Final = "/api/backtesting/jobs"
ONE: Final = JOBS + "/{job_id}"

routes: list[Route] = [
    post("/api/backtests", create, summary="Make a backtest", tags=TAGS, status=201, timeout_s=SUBMIT_S),
    get("/api/backtests", jobs, summary="Backtests", tags=TAGS),
    get("/api/backtests/{job_id}", one, summary="How a backtest stands", tags=TAGS),
    post("/api/backtests/{job_id}/run", start, summary="Start a backtest", tags=TAGS, status=202),
    post("/api/backtests/{job_id}/cancel", cancel, summary="End a backtest", tags=TAGS, stores=False),
    get("/api/backtests/{job_id}/results", results, summary="What a backtest came to", tags=TAGS, timeout_s=READ_S),
    post(JOBS, create, summary="Make a backtest", tags=TAGS, status=201, timeout_s=SUBMIT_S),
    get(JOBS, jobs, summary="Backtests", tags=TAGS),
    get(ONE, one, summary="How a backtest stands", tags=TAGS),
    post(f"{ONE}/start", start, summary="Start a backtest", tags=TAGS),
    post(f"{ONE}/cancel", cancel, summary="End a backtest", tags=TAGS, stores=False),
    get(f"{ONE}/performance", performance, summary="Metrics of a backtest", tags=TAGS, timeout_s=READ_S),
    get(f"{ONE}/trades", trades, summary="Round trips of a backtest", tags=TAGS, timeout_s=READ_S),
    get(f"{ONE}/daily-returns", daily_returns, summary="Days of a backtest", tags=TAGS, timeout_s=READ_S),
    post(
        "/api/backtesting/comparisons",
        compare,
        summary="Compare backtests",
        tags=TAGS,
        timeout_s=COMPARE_S,
        token=False,
        stores=False,
    ),
    get("/api/backtesting/templates", templates, summary="Fields to begin with", tags=TAGS),
    get("/api/backtesting/methodologies", methodologies, summary="How data can be used", tags=TAGS),
    post(
        "/api/backtesting/from-workflow",
        from_workflow,
        summary="Run a drawn strategy over data",
        tags=TAGS,
        status=202,
        timeout_s=SUBMIT_S,
    ),
]
