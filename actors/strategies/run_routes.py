"""The HTTP routes by which strategies are run, in the shapes of the inference service."""

from __future__ import annotations

from typing import Annotated, Any, Final

import msgspec

from actors.edge.call import Call
from actors.edge.errors import HttpError
from actors.edge.routing import Route, get, post
from actors.strategies.status import (
    EMPTY,
    ROSTER,
    ConfigureStrategy,
    ExecutionMode,
    GetRunLogs,
    LiftBar,
    ListStrategies,
    StartStrategy,
    StopStrategy,
    StrategyStatus,
)
from protocols.control import Refused
from protocols.paths import STRATEGIES
from protocols.signal_stream import timestamp
from protocols.strategies import StrategyState

TAGS: Final = ("strategies",)
START_S: Final = 60.0
STATUS_OF: Final = {
    "errors": 400, "not_running": 400, "ambiguous": 400, "gave_up": 400, "sandbox_too_weak": 503, "no_memory": 503
}  # fmt: skip
"""Bad and repeated requests are 400 here, as in the service that this replaces."""
FreeObject = Annotated[msgspec.Raw, msgspec.Meta(extra_json_schema={"type": "object"})]


class StartRequest(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """What to run, on what. `source` where several sources have the id."""

    strategy_id: str
    source: str = ""
    symbols: Annotated[tuple[str, ...], msgspec.Meta(min_length=1, max_length=1000)]
    timeframe: str = "1h"
    timeframes: dict[str, tuple[str, ...]] = {}
    """By symbol, where they are others than `timeframe`."""
    execution_mode: ExecutionMode = "paper"
    parameters: dict[str, Any] = {}
    execution_interval: float | None = None
    """In seconds, at least 60. Not given: at every bar."""
    configuration: dict[str, Any] = {}
    """Fields of the strategy's configuration (`POST …/configure`)."""


class Started(msgspec.Struct, frozen=True):
    """It runs."""

    message: str
    success: bool
    execution_id: str
    strategy_name: str
    status: StrategyState
    version: str


class OneStrategy(msgspec.Struct, frozen=True):
    """Which strategy: the name under which it runs."""

    strategy_id: str


class Stopped(msgspec.Struct, frozen=True):
    """It does not run any more."""

    message: str
    success: bool
    execution_id: str
    stopped_at: str


class StrategyAnswer(msgspec.Struct, frozen=True):
    """One strategy. `execution_id` names one life of it; a restart is another."""

    execution_id: str
    strategy_id: str
    status: StrategyState
    started_at: str | None
    last_execution: str | None
    signals_generated: int
    error_count: int
    last_error: str | None
    strategy: str
    source: str
    version: str
    symbols: tuple[str, ...]
    parameters: FreeObject
    barred: str | None
    """Why this version is not started again, if it is not."""
    figures: dict[str, str | int | float | bool | None]


class ConfigureRequest(msgspec.Struct, frozen=True, kw_only=True):
    """The fields that change; the others stay. `parameters` (or `custom_parameters`) are the strategy's own."""

    strategy_id: str
    parameters: dict[str, Any] | msgspec.UnsetType = msgspec.UNSET
    custom_parameters: dict[str, Any] | msgspec.UnsetType = msgspec.UNSET
    enabled: bool | msgspec.UnsetType = msgspec.UNSET
    max_concurrent_signals: int | msgspec.UnsetType = msgspec.UNSET
    signal_cooldown: float | msgspec.UnsetType = msgspec.UNSET
    max_position_size: float | msgspec.UnsetType = msgspec.UNSET
    max_daily_loss: float | msgspec.UnsetType = msgspec.UNSET
    stop_loss_percentage: float | msgspec.UnsetType = msgspec.UNSET
    take_profit_percentage: float | msgspec.UnsetType = msgspec.UNSET
    min_confidence_threshold: float | msgspec.UnsetType = msgspec.UNSET
    max_risk_threshold: float | msgspec.UnsetType = msgspec.UNSET
    notify_on_signals: bool | msgspec.UnsetType = msgspec.UNSET
    notify_on_errors: bool | msgspec.UnsetType = msgspec.UNSET
    notification_channels: tuple[str, ...] | msgspec.UnsetType = msgspec.UNSET
    environment_variables: dict[str, Any] | msgspec.UnsetType = msgspec.UNSET


class ConfiguredAnswer(msgspec.Struct, frozen=True):
    """It runs on with these."""

    message: str
    strategy_id: str
    updated_at: str
    parameters: FreeObject


class LogQuery(msgspec.Struct, frozen=True):
    """Whose log, and how many lines."""

    strategy_id: str
    limit: Annotated[int, msgspec.Meta(ge=1, le=500)] = 100


class LogLineAnswer(msgspec.Struct, frozen=True):
    """One line that a strategy has logged or printed."""

    timestamp: str
    level: str
    text: str


class LogAnswer(msgspec.Struct, frozen=True):
    """The last lines, oldest first. `cut`: bytes beyond the strategy's limit that were not kept."""

    strategy_id: str
    lines: tuple[LogLineAnswer, ...]
    cut: int


class Lifted(msgspec.Struct, frozen=True):
    """It may be started again."""

    message: str
    strategy_id: str


async def start(request: StartRequest, call: Call) -> Started:
    """Run a strategy; answered when it is built and runs."""
    asked = StartStrategy(
        strategy_id=request.strategy_id,
        source=request.source,
        symbols=request.symbols,
        timeframe=request.timeframe,
        timeframes=tuple(request.timeframes.items()),
        parameters=_raw(request.parameters),
        execution_mode=request.execution_mode,
        execution_interval_s=request.execution_interval,
        settings=_raw(request.configuration),
    )
    try:
        done = await call.ref(ROSTER).ask(asked, START_S)
    except Refused as refused:
        raise _as_http(refused) from refused
    return Started(f"{done.name} runs", True, done.execution_id, done.name, "active", done.version)


async def stop(request: OneStrategy, call: Call) -> Stopped:
    """End a strategy in order."""
    try:
        done = await call.ref(ROSTER).ask(StopStrategy(request.strategy_id), START_S)
    except Refused as refused:
        raise _as_http(refused) from refused
    return Stopped(f"{done.strategy_id} has stopped", True, done.execution_id, timestamp(done.ts_stopped))


async def configure(request: ConfigureRequest, call: Call) -> ConfiguredAnswer:
    """Change a strategy while it runs, all of it or nothing."""
    given = {
        name: value
        for name, value in msgspec.structs.asdict(request).items()
        if value is not msgspec.UNSET and name not in ("strategy_id", "parameters", "custom_parameters")
    }
    parameters: dict[str, Any] = {}
    for each in (request.custom_parameters, request.parameters):
        if isinstance(each, dict):
            parameters |= each
    asked = ConfigureStrategy(request.strategy_id, _raw(given), _raw(parameters))
    try:
        done = await call.ref(ROSTER).ask(asked, START_S)
    except Refused as refused:
        raise _as_http(refused) from refused
    message = f"{done.strategy_id} runs on with them"
    return ConfiguredAnswer(message, done.strategy_id, timestamp(done.ts_updated), done.parameters)


async def active(call: Call) -> list[StrategyAnswer]:
    """Answer the strategies that run."""
    found = await call.ref(ROSTER).ask(ListStrategies())
    return [_shown(each) for each in found.strategies if each.status in ("active", "paused", "loading")]


async def status(request: OneStrategy, call: Call) -> StrategyAnswer:
    """Answer how a strategy is, whether it runs or not."""
    [found] = (await call.ref(ROSTER).ask(ListStrategies(request.strategy_id))).strategies
    return _shown(found)


async def logs(request: LogQuery, call: Call) -> LogAnswer:
    """Answer what a strategy has logged and printed lately."""
    await call.ref(ROSTER).ask(ListStrategies(request.strategy_id))
    found = await call.ref(f"{STRATEGIES}/{request.strategy_id}/runner").ask(GetRunLogs(request.limit))
    lines = tuple(LogLineAnswer(timestamp(ts), line.level, line.text) for ts, line in found.lines)
    return LogAnswer(request.strategy_id, lines, found.cut)


async def lift(request: OneStrategy, call: Call) -> Lifted:
    """Let a barred strategy be started again."""
    await call.ref(ROSTER).ask(LiftBar(request.strategy_id))
    return Lifted(f"{request.strategy_id} may be started again", request.strategy_id)


def _raw(value: dict[str, Any]) -> msgspec.Raw:
    return msgspec.Raw(msgspec.json.encode(value))


def _as_http(refused: Refused) -> Exception:
    status = STATUS_OF.get(refused.code)
    return refused if status is None else HttpError(status, refused.code, refused.message, refused.field)


def _shown(found: StrategyStatus) -> StrategyAnswer:
    return StrategyAnswer(
        found.execution_id,
        found.strategy_id,
        found.status,
        timestamp(found.ts_started) if found.ts_started else None,
        timestamp(found.ts_last_execution) if found.ts_last_execution else None,
        found.signals_generated,
        found.error_count,
        found.last_error or None,
        found.strategy,
        found.source,
        found.version,
        found.markets,
        found.parameters or EMPTY,
        found.barred or None,
        dict(found.figures),
    )


routes: list[Route] = [
    post("/api/strategies/start", start, summary="Run a strategy", tags=TAGS),
    get("/api/strategies/active/list", active, summary="Strategies that run", tags=TAGS),
    post("/api/strategies/{strategy_id}/stop", stop, summary="End a strategy", tags=TAGS),
    post("/api/strategies/{strategy_id}/configure", configure, summary="Change a running strategy", tags=TAGS),
    post("/api/strategies/{strategy_id}/lift", lift, summary="Let a barred strategy be started again", tags=TAGS),
    get("/api/strategies/{strategy_id}/status", status, summary="How a strategy is", tags=TAGS),
    get("/api/strategies/{strategy_id}/logs", logs, summary="What a strategy has logged", tags=TAGS),
]
