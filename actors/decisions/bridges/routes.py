"""The HTTP routes of the bridges: how they are, and what they can be asked."""

from __future__ import annotations

from typing import Annotated, Any, Final, NoReturn, TypeVar

import msgspec

from actors.edge.call import Call
from actors.edge.errors import HttpError
from actors.edge.routing import Route, get, post, put
from protocols.bridges import (
    CIRCUIT_OPEN,
    TIMED_OUT,
    UPSTREAM_ERROR,
    UPSTREAM_NOT_FOUND,
    UPSTREAM_REFUSED,
    UPSTREAM_UNAVAILABLE,
    Aggregate,
    AggregateSymbols,
    BridgeState,
    CallStatistics,
    ChangeUpstreamSettings,
    EvaluateUpstream,
    FeedbackSent,
    GetBridge,
    GetMarketWindow,
    GetTradingState,
    GetUpstreamSignals,
    MarketWindow,
    SendFeedback,
    SettingsTaken,
    Side,
    StartUpstreamTrading,
    StopUpstreamTrading,
    TradingState,
    UpstreamSignals,
    UpstreamVerdict,
)
from protocols.control import Refused, Request, Unknown
from protocols.paths import DATA_BRIDGE, THRESHOLD_BRIDGE, TRADING_BRIDGE
from protocols.signal_stream import FreeObject, timestamp

R = TypeVar("R")
TAGS: Final = ("bridges",)
ASK_S: Final = 27.0
"""Longer than any bridge's deadline, so that its own word arrives, and shorter than the edge's patience."""
PATHS: Final = {"trading": TRADING_BRIDGE, "data": DATA_BRIDGE, "threshold": THRESHOLD_BRIDGE}
STATUS: Final = {
    UPSTREAM_UNAVAILABLE: 503,
    CIRCUIT_OPEN: 503,
    UPSTREAM_ERROR: 502,
    UPSTREAM_REFUSED: 409,
    UPSTREAM_NOT_FOUND: 404,
    TIMED_OUT: 504,
}
User = Annotated[str, msgspec.Meta(min_length=1, max_length=200)]


class BridgeBody(msgspec.Struct, frozen=True, kw_only=True):
    """One bridge. `state`: `ok`, `degraded` (its breaker is not closed), `not_configured`, or `unknown` with `detail`.

    The figures are null where it does not run. `refused`: calls that the breaker did not let through.
    """

    name: str
    state: str
    detail: str = ""
    url: str | None = None
    breaker: str | None = None
    retry_after_s: float | None = None
    consecutive_failures: int | None = None
    opened: int | None = None
    refused: int | None = None
    retries: int | None = None
    in_flight: int | None = None
    kept: int | None = None
    cache_hits: int | None = None
    statistics: CallStatistics | None = None
    last_success: str | None = None


class BridgesBody(msgspec.Struct, frozen=True):
    """All bridges."""

    bridges: tuple[BridgeBody, ...]
    timestamp: str


class OneUser(msgspec.Struct, frozen=True):
    """Which user of the upstream."""

    user_id: User


class StartBody(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """Let a user trade at the trading service; with `idempotency_key` it is made again after a lost answer."""

    user_id: User
    watchlist: tuple[str, ...] = ()
    settings: dict[str, Any] = {}
    idempotency_key: str = ""


class TellOutcome(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What came of a prediction: any JSON, a number is the return after costs as a share."""

    user_id: User
    prediction_id: User
    outcome: msgspec.Raw


class SignalsQuery(msgspec.Struct, frozen=True):
    """The newest signals of a user of the upstream."""

    user_id: User
    limit: Annotated[int, msgspec.Meta(ge=1, le=1000)] = 10
    symbol: str = ""


class SettingsBody(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Other settings, passed on as they are."""

    user_id: User
    settings: FreeObject


class WindowQuery(msgspec.Struct, frozen=True):
    """Which window of a market."""

    symbol: User
    window_hours: Annotated[int, msgspec.Meta(ge=1, le=8784)] = 24
    resolution: str = "1h"
    include_indicators: bool = True


class GatherBody(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """Which symbols, and which sections."""

    symbols: Annotated[tuple[str, ...], msgspec.Meta(min_length=1, max_length=200)]
    onchain: bool = True
    whales: bool = True
    funding: bool = True
    smart_money: bool = True
    liquidations: bool = True


class EvaluateBody(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """A signal for the threshold service; what is left out is not sent."""

    user_id: User
    symbol: User
    action: Side
    confidence: float | None = None
    rsi: float | None = None
    change_percent: float | None = None
    volume: float | None = None


async def bridges(call: Call) -> BridgesBody:
    """Answer how the bridges are."""
    found = [await _state(call, name, path) for name, path in PATHS.items()]
    return BridgesBody(tuple(found), timestamp(call.node.clock.now()))


async def _state(call: Call, name: str, path: str) -> BridgeBody:
    try:
        state: BridgeState = await call.ref(path).ask(GetBridge())
    except Refused as refused:
        if refused.code == "not_found":
            return BridgeBody(name=name, state="not_configured", detail=f"bridges.{name}_url is not set")
        return BridgeBody(name=name, state="unknown", detail=str(refused))
    except Unknown as unknown:
        return BridgeBody(name=name, state="unknown", detail=str(unknown))
    well = state.breaker == "closed"
    return BridgeBody(
        name=name,
        state="ok" if well else "degraded",
        detail=state.last_error,
        url=state.url,
        breaker=state.breaker,
        retry_after_s=state.retry_after_s,
        consecutive_failures=state.consecutive_failures,
        opened=state.opened,
        refused=state.refused,
        retries=state.retries,
        in_flight=state.in_flight,
        kept=state.kept,
        cache_hits=state.cache_hits,
        statistics=state.statistics,
        last_success=None if state.ts_last_success is None else timestamp(state.ts_last_success),
    )


async def _asked(call: Call, name: str, request: Request[R]) -> R:
    """Ask a bridge. Raises HttpError with the status of what the upstream did."""
    try:
        return await call.ref(PATHS[name]).ask(request, ASK_S)
    except Refused as refused:
        _refuse(name, refused)


def _refuse(name: str, refused: Refused) -> NoReturn:
    if refused.code == "not_found":  # the actor; what the upstream does not find has a code of its own
        raise HttpError(503, "not_configured", f"there is no {name} bridge: set bridges.{name}_url") from None
    status = STATUS.get(refused.code)
    if status is None:
        raise refused
    headers = (("retry-after", "1"),) if status == 503 else ()
    raise HttpError(status, refused.code, refused.message, refused.field, headers=headers) from None


async def trading_state(request: OneUser, call: Call) -> TradingState:
    """Answer how a user trades at the trading service."""
    return await _asked(call, "trading", GetTradingState(request.user_id))


async def start(request: StartBody, call: Call) -> TradingState:
    """Let a user trade there."""
    wanted = StartUpstreamTrading(
        user_id=request.user_id,
        watchlist=request.watchlist,
        settings=msgspec.Raw(msgspec.json.encode(request.settings)),
        idempotency_key=request.idempotency_key,
    )
    return await _asked(call, "trading", wanted)


async def stop(request: OneUser, call: Call) -> TradingState:
    """Stop a user's trading there."""
    return await _asked(call, "trading", StopUpstreamTrading(request.user_id))


async def feedback(request: TellOutcome, call: Call) -> FeedbackSent:
    """Tell the trading service what came of a prediction, and wait for its answer."""
    wanted = SendFeedback(user_id=request.user_id, prediction_id=request.prediction_id, outcome=request.outcome)
    return await _asked(call, "trading", wanted)


async def signals(request: SignalsQuery, call: Call) -> UpstreamSignals:
    """Answer a user's newest signals there."""
    wanted = GetUpstreamSignals(user_id=request.user_id, limit=request.limit, symbol=request.symbol)
    return await _asked(call, "trading", wanted)


async def settings(request: SettingsBody, call: Call) -> SettingsTaken:
    """Change a user's settings there."""
    return await _asked(call, "trading", ChangeUpstreamSettings(request.user_id, request.settings))


async def market(request: WindowQuery, call: Call) -> MarketWindow:
    """Answer a window of a market as the data aggregator has it."""
    return await _asked(call, "data", GetMarketWindow(**msgspec.structs.asdict(request)))


async def aggregate(request: GatherBody, call: Call) -> Aggregate:
    """Answer what the data aggregator knows beside prices."""
    return await _asked(call, "data", AggregateSymbols(**msgspec.structs.asdict(request)))


async def evaluate(request: EvaluateBody, call: Call) -> UpstreamVerdict:
    """Answer whether the threshold service lets a signal be traded."""
    return await _asked(call, "threshold", EvaluateUpstream(**msgspec.structs.asdict(request)))


_PREFIX: Final = "/api/v1/bridges"
routes: list[Route] = [
    get(_PREFIX, bridges, summary="The services outside, and how calls to them go", tags=TAGS),
    get(f"{_PREFIX}/trading/status/{{user_id}}", trading_state, summary="How a user trades there", tags=TAGS),
    post(f"{_PREFIX}/trading/start", start, summary="Let a user trade there", tags=TAGS, stores=False),
    post(f"{_PREFIX}/trading/stop", stop, summary="Stop a user's trading there", tags=TAGS, stores=False),
    post(f"{_PREFIX}/trading/feedback", feedback, summary="Tell it an outcome", tags=TAGS, stores=False),
    get(f"{_PREFIX}/trading/signals/{{user_id}}", signals, summary="A user's newest signals there", tags=TAGS),
    put(
        f"{_PREFIX}/trading/settings/{{user_id}}", settings, summary="Change a user's settings", tags=TAGS, stores=False
    ),
    get(f"{_PREFIX}/data/market/{{symbol}}", market, summary="A window of a market, from outside", tags=TAGS),
    post(
        f"{_PREFIX}/data/aggregate", aggregate, summary="On-chain, flows, funding", tags=TAGS, token=False, stores=False
    ),
    post(
        f"{_PREFIX}/threshold/evaluate",
        evaluate,
        summary="Whether a signal may be traded",
        tags=TAGS,
        token=False,
        stores=False,
    ),
]
