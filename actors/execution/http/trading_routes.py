"""The HTTP routes that the RL service's bridge calls on a trading backend: status, start, stop, signals, settings.

A user's accounts are those that name him. One who has none gets a paper account when trading is started.
"""

from __future__ import annotations

import hashlib
from decimal import Decimal
from typing import Any, Final

import msgspec

from actors.edge.call import Call
from actors.edge.errors import HttpError
from actors.edge.routing import Route, get, post, put
from actors.execution.http.account_routes import opened, view_of
from actors.execution.http.bodies import raw
from actors.execution.http.deploying import RunRequest, deployed
from actors.execution.http.numbers import digits, known_number, known_plain, number, plain
from actors.execution.http.paper_accounts import account_fields
from actors.execution.http.paper_bodies import difference
from actors.execution.http.paper_requests import NewPaperAccount
from actors.execution.http.trading_bodies import (
    BridgeSignal,
    BridgeSignals,
    OneUser,
    SettingsChange,
    SignalQuery,
    StartTrading,
    StopTrading,
    TradingAccountBody,
    TradingLimits,
    TradingPosition,
    TradingSettings,
    TradingStatus,
)
from actors.execution.risk.limits import RiskLimits
from protocols.deployments import DEPLOYMENTS
from protocols.execution import (
    AccountView,
    ChangeLimits,
    DeploymentView,
    GetRisk,
    ListAccounts,
    ListDeployments,
    SwitchDeployment,
    SwitchTrading,
    account_actor,
)
from protocols.paths import QUERIES
from protocols.signal_stream import timestamp
from protocols.signals import SIGNALS, SignalRow
from protocols.storage import RunQuery

TAGS: Final = ("trading",)
ASK_S: Final = 15.0
START_S: Final = 120.0
LIMITS: Final = {
    "max_position_size": "max_position_share",
    "max_daily_loss": "max_daily_loss",
    "max_drawdown": "max_drawdown",
    "max_positions": "max_positions",
    "max_order_size": "max_order_size",
    "max_leverage": "max_leverage",
}
"""Settings that are limits, and what they are called there."""
STOPPED: Final = "stopped by its user"

_COLUMNS = ", ".join(f"s.{name}" for name in SignalRow.__struct_fields__)
SIGNALS_OF: Final = f"""
    SELECT {_COLUMNS},
           coalesce((SELECT u.status FROM signal_updates u WHERE u.signal_id = s.signal_id ORDER BY u.seq DESC LIMIT 1),
                    'pending') AS newest,
           v.orders AS made, v.code AS declined, v.deployment_id AS taken_by
    FROM signals s
    LEFT JOIN LATERAL (
        SELECT orders, code, deployment_id FROM execution_verdicts
        WHERE signal_id = s.signal_id AND deployment_id = ANY($2) LIMIT 1
    ) v ON true
    WHERE s.stream = $1 AND (s.deployment_id = ANY($2) OR (s.deployment_id IS NULL AND s.strategy_id = ANY($3)))
      AND ($4 = '' OR s.symbol = $4)
    ORDER BY s.seq DESC LIMIT $5
"""  # noqa: S608 - names of columns from our own struct


async def _views(call: Call, user: str) -> list[AccountView]:
    """The accounts of a user."""
    listed = (await call.ref(DEPLOYMENTS).ask(ListAccounts(), ASK_S)).accounts
    return [await view_of(call, name) for name, owner, _, _, _, up in listed if owner == user and up]


async def _deployments(call: Call, account: str) -> tuple[DeploymentView, ...]:
    return (await call.ref(DEPLOYMENTS).ask(ListDeployments(account=account), ASK_S)).deployments


async def _known(call: Call, user: str) -> list[AccountView]:
    """The accounts of a user. Raises HttpError 404 for one who has none."""
    found = await _views(call, user)
    if not found:
        raise HttpError(404, "not_found", f"{user} has no account", "user")
    return found


async def status(request: OneUser, call: Call) -> TradingStatus:
    """Answer how a user trades; one who has no account does not."""
    accounts = []
    watched: list[str] = []
    active = False
    for view in await _views(call, request.user):
        found = await _deployments(call, view.account)
        for each in found:
            if each.state == "active":
                active = active or view.trading == "active"
                watched += msgspec.json.decode(each.settings)["markets"]
        accounts.append(_account(view, found))
    return TradingStatus(
        request.user,
        active,
        "active" if active else "stopped",
        tuple(dict.fromkeys(watched)),
        tuple(accounts),
        timestamp(call.node.clock.now()),
    )


def _account(view: AccountView, deployments: tuple[DeploymentView, ...]) -> TradingAccountBody:
    return TradingAccountBody(
        account_id=view.account,
        mode=view.mode,
        trading=view.trading,
        reason=view.trading_reason,
        currency=view.currency,
        balance=known_plain(view.cash),
        equity=plain(view.equity),
        total_pnl=difference(view.equity, view.initial_capital),
        daily_pnl=difference(view.equity, view.day_start),
        open_orders=view.open_orders,
        positions=tuple(
            TradingPosition(
                each.market,
                "long" if each.quantity > 0 else "short",
                known_number(abs(each.quantity)),
                number(each.average_price),
                number(each.price),
                plain(each.unrealized),
            )
            for each in view.positions
        ),
        deployments={each.deployment_id: each.state for each in deployments},
        missing=view.missing,
    )


async def start(request: StartTrading, call: Call) -> TradingStatus:
    """Let a user trade: his deployments go on; where he has none, the strategy of the settings is deployed."""
    user, settings = request.user_id, request.settings
    changes = _changes(settings, "settings.")  # what is wrong with them opens no account
    views = await _views(call, user)
    if not views:
        views = [await _open(call, user, request)]
    await _apply(call, views, changes, settings)
    known = {view.account: await _deployments(call, view.account) for view in views}
    for view in views:
        for each in known[view.account]:
            if each.state in ("stopped", "paused"):
                resume = SwitchDeployment(each.deployment_id, "active", "started by its user")
                await call.ref(DEPLOYMENTS).ask(resume, START_S)
    strategy = settings.strategy_id
    if strategy is not msgspec.UNSET:
        if not any(each.strategy_id == strategy for found in known.values() for each in found):
            run = _run(request, settings, any(known.values()))
            await deployed(call, views[0].account, strategy, run, user=user, mode=views[0].mode)
    elif not any(known.values()):
        raise HttpError(
            400, "invalid", f"{user} has no deployment yet: expected the strategy that trades", "settings.strategyId"
        )
    return await status(OneUser(user), call)


async def _open(call: Call, user: str, request: StartTrading) -> AccountView:
    if request.settings.strategy_id is msgspec.UNSET:
        raise HttpError(
            400, "invalid", f"{user} has no account yet: expected the strategy that trades", "settings.strategyId"
        )
    capital = request.settings.initial_capital
    name = f"user-{hashlib.blake2b(user.encode(), digest_size=6).hexdigest()}"
    new = NewPaperAccount(user=user, initial_capital=None if capital is msgspec.UNSET else capital)
    account, engine = await account_fields(call, new, name)
    return await opened(call, account, engine, name=user, symbols=request.watchlist)


def _run(request: StartTrading, settings: TradingSettings, others: bool) -> RunRequest:
    if others:
        raise HttpError(
            409, "conflict", "another strategy is deployed: change shares by an orchestration", "settings.strategyId"
        )
    given = {
        "symbols": request.watchlist,
        "source": settings.source,
        "timeframe": settings.timeframe,
        "parameters": settings.parameters,
        "min_confidence": settings.confidence_threshold,
    }
    fields: dict[str, Any] = {name: value for name, value in given.items() if value is not msgspec.UNSET}
    return RunRequest(**fields)


async def stop(request: StopTrading, call: Call) -> TradingStatus:
    """Stop a user's deployments, and cancel what is open."""
    for view in await _known(call, request.user_id):
        for each in await _deployments(call, view.account):
            if each.state != "stopped":
                asked = SwitchDeployment(each.deployment_id, "stopped", STOPPED, request.close_positions)
                await call.ref(DEPLOYMENTS).ask(asked, START_S)
    return await status(OneUser(request.user_id), call)


async def settings(request: OneUser, call: Call) -> TradingLimits:
    """Answer the limits of a user's accounts."""
    return await _settings(call, await _known(call, request.user))


async def change(request: SettingsChange, call: Call) -> TradingLimits:
    """Change limits of a user's accounts, and whether they trade."""
    views = await _known(call, request.user)
    for name in ("strategy_id", "source", "timeframe", "parameters", "initial_capital", "confidence_threshold"):
        if getattr(request, name) is not msgspec.UNSET:
            raise HttpError(409, "conflict", "it is set when trading is started: stop, and start with it", _camel(name))
    await _apply(call, views, _changes(request, ""), request)
    return await _settings(call, await _known(call, request.user))


async def _settings(call: Call, views: list[AccountView]) -> TradingLimits:
    limits = {
        view.account: (await call.ref(account_actor(view.account)).ask(GetRisk(), ASK_S)).limits for view in views
    }
    return TradingLimits(views[0].user, limits, {view.account: view.trading for view in views})


def _camel(name: str) -> str:
    first, *others = name.split("_")
    return first + "".join(map(str.title, others))


def _changes(settings: TradingSettings, place: str) -> dict[str, Any]:
    """What is said of limits, by their own names. Raises HttpError 400 with the field, which begins with `place`."""
    found = {}
    for name, limit in LIMITS.items():
        said = getattr(settings, name)
        if said is msgspec.UNSET:
            continue
        field = place + _camel(name)
        found[limit] = digits(said, field) if isinstance(said, Decimal) else said
        try:
            msgspec.convert({limit: found[limit]}, RiskLimits)
        except msgspec.ValidationError as error:
            raise HttpError(400, "invalid", str(error).partition(": ")[2] or str(error), field) from None
    return found


async def _apply(call: Call, views: list[AccountView], changes: dict[str, Any], settings: TradingSettings) -> None:
    """Set what is a limit, and the trading state."""
    for view in views:
        ref = call.ref(account_actor(view.account))
        if changes:
            before = msgspec.json.decode((await ref.ask(GetRisk(), ASK_S)).limits)
            limits = msgspec.convert({**before, **changes}, RiskLimits)
            await ref.ask(ChangeLimits(raw(limits)), ASK_S)
        if settings.trading is not msgspec.UNSET:
            await ref.ask(SwitchTrading(settings.trading, "set by its user"), ASK_S)


async def signals(request: SignalQuery, call: Call) -> BridgeSignals:
    """Answer the newest signals of a user's strategies, and what his deployments made of them."""
    deployments = [each for view in await _known(call, request.user) for each in await _deployments(call, view.account)]
    ids = tuple(each.deployment_id for each in deployments)
    strategies = tuple({each.strategy_id for each in deployments})
    query = RunQuery(SIGNALS_OF, (SIGNALS, ids, strategies, request.symbol, request.limit), request.limit)
    found = await call.ref(QUERIES).ask(query, ASK_S)
    now = call.node.clock.now()
    shown = tuple(_signal(dict(zip(found.columns, row, strict=True)), now) for row in found.rows)
    return BridgeSignals(request.user, shown, len(shown))


def _signal(row: dict[str, Any], now: int) -> BridgeSignal:
    waiting = row["newest"] in ("pending", "active")
    expired = waiting and row["ts_expires"] is not None and row["ts_expires"] <= now
    return BridgeSignal(
        id=row["signal_id"],
        symbol=row["symbol"],
        action=row["action"],
        confidence=row["confidence"],
        strategy_id=row["strategy_id"],
        price=number(row["current_price"]),
        timestamp=timestamp(row["ts_created"]),
        status="expired" if expired else row["newest"],
        deployment_id=row["taken_by"] or row["deployment_id"],
        orders=None if row["made"] is None else tuple(row["made"]),
        declined=row["declined"] or None,
        marks=tuple(row["marks"]),
    )


routes: list[Route] = [
    get("/api/trading/status/{user}", status, summary="How a user trades", tags=TAGS),
    post("/api/trading/start", start, summary="Let a user trade", tags=TAGS, timeout_s=START_S),
    post("/api/trading/stop", stop, summary="Stop a user's trading", tags=TAGS, timeout_s=START_S, stores=False),
    get("/api/trading/signals/{user}", signals, summary="The newest signals of a user's strategies", tags=TAGS),
    get("/api/trading/settings/{user}", settings, summary="The limits of a user's accounts", tags=TAGS),
    put("/api/trading/settings/{user}", change, summary="Change them", tags=TAGS),
]
