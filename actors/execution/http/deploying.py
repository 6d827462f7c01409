"""Deploying a strategy over HTTP: its run, if there is none yet, and the deployment that binds it to an account."""

from __future__ import annotations

import secrets
from typing import Annotated, Any, Final, Literal, TypeVar

import msgspec

from actors.edge.call import Call
from actors.edge.errors import HttpError
from actors.edge.explaining import explained
from actors.execution.deployments import DeploymentSettings
from actors.execution.http.bodies import raw
from actors.execution.http.numbers import Amount
from actors.execution.risk.limits import RiskLimits
from actors.execution.risk.sizing import Method, SizingSettings
from actors.strategies.status import ROSTER, ListStrategies, StartStrategy
from protocols.agents import AGENT_STRATEGY, ListAgents
from protocols.control import Refused
from protocols.deployments import DEPLOYMENTS
from protocols.execution import CloseAccount, DeploymentView, StartDeployment
from protocols.paths import AGENT_ROSTER

T = TypeVar("T")

START_S: Final = 60.0
ASK_S: Final = 15.0
SHOWN: Final = 20
RUNS: Final = frozenset({"active", "loading", "paused"})


class RunRequest(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """How a strategy is run and deployed. A run of its name that is there already is taken as it is.

    `symbols` empty: those of the run. `capital_share`: the part of the account's equity that is its own. `opposite`:
    what a signal against its position does. `entries`: how many signals may add to one position (null:
    any number). `limits`: RiskLimits of this deployment. `decisions`: the path of the
    decision server that is asked about its signals; empty: none is. `gate`: `thresholds`, where no server decides.
    """

    symbols: tuple[str, ...] = ()
    source: str = ""
    timeframe: str = "1h"
    parameters: dict[str, Any] = {}
    configuration: dict[str, Any] = {}
    position_sizing: Method = "fixed_percentage"
    position_sizing_config: dict[str, Any] = {}
    max_position_size: Amount | None = None
    capital_share: float = 1.0
    opposite: Literal["close", "flip", "ignore"] = "close"
    allow_short: bool = True
    min_confidence: float = 0.0
    entries: Annotated[int, msgspec.Meta(ge=1)] | None = None
    decisions: str = ""
    gate: Literal["", "thresholds"] = ""
    limits: RiskLimits | None = None
    name: str = ""
    auto_start: bool = True


def sizing_of(method: str, fields: dict[str, Any], most: Amount | None = None) -> SizingSettings:
    """A sizing. Raises HttpError 400 with the field."""
    given = {"method": method, **fields}
    if most is not None:
        given["max_position_size"] = float(most)
    return _converted(given, SizingSettings, "position_sizing_config")


def _converted(fields: dict[str, Any], kind: type[T], field: str) -> T:
    try:
        return msgspec.convert(fields, kind)
    except msgspec.ValidationError as error:
        message, where = explained(error, kind, fields)
        raise HttpError(400, "invalid", message, f"{field}.{where}" if where else field) from None


async def running(call: Call, strategy_id: str, request: RunRequest) -> tuple[str, ...]:
    """The markets of the strategy's run, which is started if there is none. Raises Refused, HttpError 400.

    An agent is started by its own routes, so its markets are those that it was last started with.
    """
    if strategy_id.startswith(AGENT_STRATEGY):
        return await _markets_of_agent(call, strategy_id)
    roster = call.ref(ROSTER)
    try:
        [found] = (await roster.ask(ListStrategies(strategy_id), ASK_S)).strategies
    except Refused as refused:
        if refused.code != "not_found":
            raise
        found = None
    if found is not None and found.status in RUNS:
        return found.markets
    symbols = request.symbols or (() if found is None else found.markets)
    if not symbols:
        raise HttpError(400, "invalid", f"{strategy_id} does not run: expected its symbols", "symbols")
    await roster.ask(
        StartStrategy(
            strategy_id=strategy_id,
            source=request.source,
            symbols=symbols,
            timeframe=request.timeframe,
            parameters=raw(request.parameters),
            settings=raw(request.configuration),
        ),
        START_S,
    )
    return symbols


async def _markets_of_agent(call: Call, strategy_id: str) -> tuple[str, ...]:
    agents = (await call.ref(AGENT_ROSTER).ask(ListAgents(), ASK_S)).agents
    for each in agents:
        if each.strategy_id == strategy_id:
            return each.symbols
    expected = ", ".join(each.strategy_id for each in agents[:SHOWN]) or "none was started"
    raise HttpError(400, "invalid", f"expected that of an agent ({expected}), got {strategy_id}", "strategy_id")


async def deployed(
    call: Call, account: str, strategy_id: str, request: RunRequest, *, user: str = "local", mode: str = "paper"
) -> DeploymentView:
    """Run a strategy and bind it to an account. Raises Refused, HttpError 400."""
    sizing = sizing_of(request.position_sizing, request.position_sizing_config, request.max_position_size)
    markets = await running(call, strategy_id, request)
    fields: dict[str, Any] = {
        "deployment_id": f"{strategy_id}-{secrets.token_hex(4)}",
        "strategy_id": strategy_id,
        "account": account,
        "user": user or "local",
        "name": request.name,
        "markets": request.symbols or markets,
        "mode": mode,
        "sizing": msgspec.to_builtins(sizing),
        "opposite": request.opposite,
        "allow_short": request.allow_short,
        "capital_share": request.capital_share,
        "min_confidence": request.min_confidence,
        "entries": request.entries,
        "decisions": request.decisions,
        "gate": request.gate,
        "limits": msgspec.to_builtins(request.limits or RiskLimits()),
    }
    settings = _converted(fields, DeploymentSettings, "deployment")
    asked = StartDeployment(settings=raw(settings), active=request.auto_start)
    return await call.ref(DEPLOYMENTS).ask(asked, START_S)


async def deployed_anew(
    call: Call, account: str, strategy_id: str, request: RunRequest, *, user: str = "local", mode: str = "paper"
) -> DeploymentView:
    """As `deployed`, onto an account that was opened for it, and is closed where that fails."""
    try:
        return await deployed(call, account, strategy_id, request, user=user, mode=mode)
    except (Refused, HttpError):
        await call.ref(DEPLOYMENTS).ask(CloseAccount(account), START_S)
        raise
