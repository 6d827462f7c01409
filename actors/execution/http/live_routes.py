"""The HTTP routes of live execution, as the strategy service has them: deployments, signals, orchestrations.

An environment is an account, and a deployment is its own execution: `execution_id` is its id. An orchestration is an
account with several deployments that share its capital.
"""

from __future__ import annotations

import secrets
from collections.abc import Mapping
from decimal import Decimal
from typing import Final, Literal

import msgspec

from actors.edge.call import Call
from actors.edge.errors import HttpError
from actors.edge.explaining import explained
from actors.edge.routing import Route, delete, get, post
from actors.execution.http.account_routes import opened, view_of
from actors.execution.http.deploying import RunRequest, deployed, deployed_anew
from actors.execution.http.live_bodies import (
    DeploymentRequest,
    ExecutionList,
    ExecutionPage,
    ListQuery,
    LiveDeployment,
    OneDeployment,
    OneExecution,
    OneOrchestration,
    OrchestrationBody,
    OrchestrationPage,
    OrchestrationRequest,
    RebalanceRequest,
    StopExecution,
    StopRequest,
    execution_body,
)
from actors.execution.http.live_brokers import (
    broker_money,
    broker_positions,
    broker_status,
    connect,
)
from actors.execution.http.live_signals import (
    submit_signal,
)
from actors.execution.http.numbers import known_plain, nanos
from actors.execution.http.paper_accounts import account_fields
from actors.execution.http.paper_requests import NewPaperAccount
from protocols.control import Refused
from protocols.deployments import DEPLOYMENTS
from protocols.execution import (
    AccountView,
    ListDeployments,
    Rebalance,
    SwitchDeployment,
    ViewDeployment,
)
from protocols.nanos import NANO, exact_nanos

TAGS: Final = ("live execution",)
ASK_S: Final = 15.0
START_S: Final = 120.0
BASE: Final = "/api/live-execution"
ONE: Final = f"{BASE}/deployments/{{deployment_id}}"
EXECUTION: Final = f"{BASE}/executions/{{execution_id}}"
ORCHESTRATION: Final = f"{BASE}/orchestrations/{{orchestration_id}}"
OPTIONS: Final = frozenset(
    {
        "opposite",
        "min_confidence",
        "allow_short",
        "entries",
        "source",
        "parameters",
        "configuration",
        "decisions",
        "gate",
    }
)
"""What `execution_config` may say."""

To = Literal["active", "paused", "stopped"]


async def deploy(request: DeploymentRequest, call: Call) -> LiveDeployment:
    """Deploy a strategy: run it, if it does not run yet, and bind it to an account."""
    if request.monitoring_config:
        raise HttpError(400, "not_supported", "expected none: limits and alerts are the account's", "monitoring_config")
    strategy = str(request.strategy_id)
    mode = {"paper_trading": "paper", "live_trading": "live", "simulation": "replay"}[request.deployment_type]
    if mode == "replay":
        raise HttpError(409, "not_supported", "simulations are backtests: POST /api/backtests", "deployment_type")
    run = _run(request)
    if request.environment_id is not None:
        account = await view_of(call, str(request.environment_id))
        share = request.capital_share or _share(request.allocated_capital, account)
        run = msgspec.structs.replace(run, capital_share=share)
        found = await deployed(call, account.account, strategy, run, user=request.user or account.user, mode=mode)
        return execution_body(found, account, figures=True)
    if mode == "live":
        raise HttpError(
            403, "live_disabled", "live trading needs an account of the configuration that may", "environment_id"
        )
    name = await _new_account(call, request.allocated_capital, request.deployment_name, request.user, request.symbols)
    found = await deployed_anew(call, name, strategy, run, user=request.user)
    return execution_body(found, await view_of(call, name), figures=True)


def _run(request: DeploymentRequest) -> RunRequest:
    options = request.execution_config
    unknown = sorted(set(options) - OPTIONS)
    if unknown:
        expected = ", ".join(sorted(OPTIONS))
        raise HttpError(400, "invalid", f"expected some of {expected}", f"execution_config.{unknown[0]}")
    fields = {
        "symbols": request.symbols,
        "timeframe": request.timeframes[0],
        "position_sizing": request.position_sizing_method,
        "position_sizing_config": request.position_size_config,
        "limits": None if request.risk_limits is None else msgspec.to_builtins(request.risk_limits),
        "name": request.deployment_name,
        "auto_start": request.auto_start,
        **options,
    }
    try:
        return msgspec.convert(fields, RunRequest)
    except msgspec.ValidationError as error:
        message, where = explained(error, RunRequest, fields)
        raise HttpError(400, "invalid", message, f"execution_config.{where}") from None


def _share(capital: Decimal | None, account: AccountView) -> float:
    """The part of an account that a sum of money is."""
    if capital is None:
        return 1.0
    whole = exact_nanos(account.initial_capital)
    wanted = nanos(capital, "allocated_capital", positive=True)
    if not whole or wanted > whole:
        raise HttpError(
            400, "invalid", f"expected at most {account.initial_capital}, got {capital}", "allocated_capital"
        )
    return wanted / whole


async def _new_account(call: Call, capital: Decimal | None, name: str, user: str, symbols: tuple[str, ...]) -> str:
    """A paper account with the costs of one; its id."""
    account = f"live-{secrets.token_hex(5)}"
    if capital is not None:
        nanos(capital, "allocated_capital", positive=True)
    new = NewPaperAccount(name=name, user=user, initial_capital=capital)
    fields, engine = await account_fields(call, new, account)
    await opened(call, fields, engine, name=name, symbols=symbols)
    return account


async def list_deployments(request: ListQuery, call: Call) -> ExecutionPage:
    """Answer the deployments."""
    chosen, total = await _listed(request, call)
    return ExecutionPage(chosen, total, request.limit, request.offset)


async def list_executions(request: ListQuery, call: Call) -> ExecutionList:
    """Answer the executions: one for each deployment."""
    chosen, total = await _listed(request, call)
    return ExecutionList(chosen, total, request.limit, request.offset)


async def _listed(request: ListQuery, call: Call) -> tuple[tuple[LiveDeployment, ...], int]:
    question = ListDeployments(account=request.environment_id, strategy_id=request.strategy_id, state=request.status)
    found = (await call.ref(DEPLOYMENTS).ask(question, ASK_S)).deployments
    chosen = found[request.offset : request.offset + request.limit]
    return tuple(execution_body(each, None, figures=False) for each in chosen), len(found)


async def _one(call: Call, name: str) -> LiveDeployment:
    found = await call.ref(DEPLOYMENTS).ask(ViewDeployment(name), ASK_S)
    return execution_body(found, await view_of(call, found.account), figures=True)


async def one_deployment(request: OneDeployment, call: Call) -> LiveDeployment:
    """Answer a deployment with what it has done."""
    return await _one(call, request.deployment_id)


async def one_execution(request: OneExecution, call: Call) -> LiveDeployment:
    """Answer an execution with what it has done."""
    return await _one(call, request.execution_id)


async def _moved(call: Call, name: str, to: To, reason: str = "", *, close: bool = False) -> LiveDeployment:
    asked = SwitchDeployment(name, to, reason, close)
    found = await call.ref(DEPLOYMENTS).ask(asked, START_S)
    return execution_body(found, await view_of(call, found.account), figures=True)


async def start(request: OneDeployment, call: Call) -> LiveDeployment:
    """Start a deployment that was stopped. 409 if it is active."""
    return await _moved(call, request.deployment_id, "active", "started")


async def resume(request: OneDeployment, call: Call) -> LiveDeployment:
    """Resume a deployment that was paused. 409 if it is active."""
    return await _moved(call, request.deployment_id, "active", "resumed")


async def pause(request: OneDeployment, call: Call) -> LiveDeployment:
    """Take no more signals; what is open stays. 409 unless it is active."""
    return await _moved(call, request.deployment_id, "paused", "paused")


async def stop(request: StopRequest, call: Call) -> LiveDeployment:
    """Cancel what is open, and take no more signals. 409 if it is stopped."""
    return await _moved(
        call, request.deployment_id, "stopped", request.reason or "stopped", close=request.close_positions
    )


async def remove(request: OneDeployment, call: Call) -> LiveDeployment:
    """Stop a deployment; what it was and did is kept."""
    found = await call.ref(DEPLOYMENTS).ask(ViewDeployment(request.deployment_id), ASK_S)
    if found.state == "stopped":
        return await _one(call, request.deployment_id)
    return await _moved(call, request.deployment_id, "stopped", "removed")


async def start_execution(request: OneExecution, call: Call) -> LiveDeployment:
    """Start an execution that was stopped."""
    return await _moved(call, request.execution_id, "active", "started")


async def resume_execution(request: OneExecution, call: Call) -> LiveDeployment:
    """Resume an execution that was paused."""
    return await _moved(call, request.execution_id, "active", "resumed")


async def pause_execution(request: OneExecution, call: Call) -> LiveDeployment:
    """Take no more signals; what is open stays."""
    return await _moved(call, request.execution_id, "paused", "paused")


async def stop_execution(request: StopExecution, call: Call) -> LiveDeployment:
    """Cancel what is open, and take no more signals."""
    return await _moved(
        call, request.execution_id, "stopped", request.reason or "stopped", close=request.close_positions
    )


async def orchestrate(request: OrchestrationRequest, call: Call) -> OrchestrationBody:
    """Deploy several strategies onto one account. Those that were deployed stay where a later one cannot be."""
    total = sum(each.weight for each in request.strategies)
    if total > 1 + 1e-9:
        raise HttpError(400, "invalid", f"expected weights of at most 1 in all, got {total:g}", "strategies")
    if request.environment_id is None:
        symbols = tuple(dict.fromkeys(symbol for each in request.strategies for symbol in each.symbols))
        account = await _new_account(call, request.total_capital, request.name, request.user, symbols)
    else:
        account = str(request.environment_id)
    view = await view_of(call, account)
    for index, each in enumerate(request.strategies):
        run = RunRequest(
            symbols=each.symbols,
            source=each.source,
            timeframe=each.timeframe,
            parameters=each.parameters,
            position_sizing=each.position_sizing_method,
            position_sizing_config=each.position_size_config,
            capital_share=each.weight,
            opposite=each.opposite,
            limits=each.risk_limits,
            name=request.name,
        )
        bind = deployed_anew if request.environment_id is None and not index else deployed
        await bind(call, account, str(each.strategy_id), run, user=request.user or view.user, mode=view.mode)
    return await _orchestration(call, account)


async def _orchestration(call: Call, account: str) -> OrchestrationBody:
    view = await view_of(call, account)
    found = (await call.ref(DEPLOYMENTS).ask(ListDeployments(account=account), ASK_S)).deployments
    if not found:
        raise HttpError(404, "not_found", f"{account} has no deployments", "orchestration_id")
    bodies = tuple(execution_body(each, view, figures=False) for each in found)
    weights = {each.deployment_id: each.capital_share for each in bodies if each.status in ("active", "paused")}
    states = {each.status for each in bodies}
    return OrchestrationBody(
        orchestration_id=account,
        environment_id=account,
        name=view.name,
        status=next((each for each in ("error", "active", "paused") if each in states), "stopped"),
        currency=view.currency,
        total_capital=known_plain(view.initial_capital),
        current_value=None if view.equity is None else known_plain(view.equity),
        weights=weights,
        unallocated=round(max(0.0, 1 - sum(weights.values())), 9),
        deployments=bodies,
    )


async def one_orchestration(request: OneOrchestration, call: Call) -> OrchestrationBody:
    """Answer the deployments of an account and their shares."""
    return await _orchestration(call, request.orchestration_id)


async def list_orchestrations(call: Call) -> OrchestrationPage:
    """Answer the accounts that have deployments."""
    found = (await call.ref(DEPLOYMENTS).ask(ListDeployments(), ASK_S)).deployments
    accounts = sorted({each.account for each in found})
    shown = [await _orchestration(call, account) for account in accounts]
    return OrchestrationPage(tuple(shown), len(shown))


async def rebalance(request: RebalanceRequest, call: Call) -> OrchestrationBody:
    """Set other shares; each deployment's capital and limits are counted anew from now on."""
    weights: Mapping[str, float] | None = request.weights
    if weights is None:
        known = (await _orchestration(call, request.orchestration_id)).weights
        if not known:
            raise HttpError(409, "conflict", "no deployment is active", "orchestration_id")
        weights = dict.fromkeys(known, int(NANO / len(known)) / NANO)
    try:
        await call.ref(DEPLOYMENTS).ask(Rebalance(request.orchestration_id, tuple(weights.items())), START_S)
    except Refused as refused:
        field = "weights" if refused.field == "shares" else refused.field
        raise Refused(refused.code, refused.message, field) from None
    return await _orchestration(call, request.orchestration_id)


async def end_orchestration(request: OneOrchestration, call: Call) -> OrchestrationBody:
    """Stop all deployments of an account."""
    found = await _orchestration(call, request.orchestration_id)
    for each in found.deployments:
        if each.status != "stopped":
            await _moved(call, each.deployment_id, "stopped", "the orchestration was ended")
    return await _orchestration(call, request.orchestration_id)


routes: list[Route] = [
    post(f"{BASE}/deployments", deploy, summary="Deploy a strategy", tags=TAGS, status=201, timeout_s=START_S),
    get(f"{BASE}/deployments", list_deployments, summary="Deployments", tags=TAGS),
    get(ONE, one_deployment, summary="A deployment", tags=TAGS),
    post(f"{ONE}/start", start, summary="Start a deployment", tags=TAGS, timeout_s=START_S),
    post(f"{ONE}/stop", stop, summary="Stop a deployment", tags=TAGS, timeout_s=START_S, stores=False),
    post(f"{ONE}/pause", pause, summary="Pause a deployment", tags=TAGS, stores=False),
    post(f"{ONE}/resume", resume, summary="Resume a deployment", tags=TAGS),
    delete(ONE, remove, summary="Stop a deployment; what it did is kept", tags=TAGS, timeout_s=START_S),
    get(f"{BASE}/executions", list_executions, summary="Executions", tags=TAGS),
    get(EXECUTION, one_execution, summary="An execution", tags=TAGS),
    post(f"{EXECUTION}/start", start_execution, summary="Start an execution", tags=TAGS, timeout_s=START_S),
    post(f"{EXECUTION}/stop", stop_execution, summary="Stop an execution", tags=TAGS, timeout_s=START_S, stores=False),
    post(f"{EXECUTION}/pause", pause_execution, summary="Pause an execution", tags=TAGS, stores=False),
    post(f"{EXECUTION}/resume", resume_execution, summary="Resume an execution", tags=TAGS),
    post(f"{BASE}/signals/submit", submit_signal, summary="Assess a signal and act on it", tags=TAGS),
    post(
        f"{BASE}/orchestrations",
        orchestrate,
        summary="Several strategies on one account",
        tags=TAGS,
        status=201,
        timeout_s=START_S,
    ),
    get(f"{BASE}/orchestrations", list_orchestrations, summary="Accounts with deployments", tags=TAGS),
    get(ORCHESTRATION, one_orchestration, summary="The deployments of an account", tags=TAGS),
    post(f"{ORCHESTRATION}/rebalance", rebalance, summary="Set other shares", tags=TAGS, timeout_s=START_S),
    delete(ORCHESTRATION, end_orchestration, summary="Stop all of them", tags=TAGS, timeout_s=START_S),
    get(f"{BASE}/broker/status", broker_status, summary="Where orders go", tags=TAGS),
    post(f"{BASE}/broker/connect", connect, summary="Whether an account is connected", tags=TAGS, stores=False),
    get(f"{BASE}/broker/positions", broker_positions, summary="What an account holds", tags=TAGS),
    get(f"{BASE}/broker/account", broker_money, summary="The money of an account", tags=TAGS),
]
