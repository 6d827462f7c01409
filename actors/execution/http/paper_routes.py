"""The HTTP routes of paper trading, in the words of the strategy service.

A session is an account, with the deployment of the strategy that it names; every route of a session takes the id of
any paper account. Orders that break a limit are answered as orders (201, status `denied`, `reason_code`), and stored;
what is no order at all (a precision, a missing price) is an error 400 that names the field.
"""

from __future__ import annotations

import secrets
from decimal import Decimal
from typing import Annotated, Any, Final, Literal

import msgspec

from actors.edge.call import Call
from actors.edge.errors import HttpError
from actors.edge.routing import Route, delete, get, patch, post
from actors.execution.http import reading
from actors.execution.http.account_routes import opened, settings_of, view_of
from actors.execution.http.bodies import DeploymentBody, canonical, deployment_body
from actors.execution.http.deploying import RunRequest, deployed, deployed_anew
from actors.execution.http.numbers import (
    Amount,
    digits,
    known_number,
    known_plain,
    moment,
    nanos,
    nanoseconds,
    number,
    plain,
)
from actors.execution.http.orders import (
    AmendRequest,
    OrderRequest,
    amended,
    cancelled,
    known_order,
    market_of,
    orders_of,
    placed,
)
from actors.execution.http.paper_bodies import (
    PaperAccount,
    PaperAccountPage,
    PaperOrder,
    PaperOrdered,
    PaperOrderPage,
    PerformanceBody,
    PerformancePage,
    PortfolioBody,
    PortfolioHistory,
    SessionBody,
    SessionPage,
    difference,
    paper_account,
    paper_order,
    portfolio_body,
    portfolio_point,
    session_body,
)
from actors.execution.http.performing import LEAST_DAYS, annual_volatility, returns_of, sharpe
from actors.execution.http.risking import AlertPage, RiskBody, alerts_of, limits_of, risk_body, risk_of
from actors.execution.matching.settings import FeeSettings, FillSettings, SlippageSettings
from actors.execution.risk.limits import PAPER_DEFAULTS, RiskLimits
from actors.execution.risk.protections import ProtectionSettings
from actors.execution.risk.sizing import Method
from protocols.control import Refused
from protocols.deployments import DEPLOYMENTS
from protocols.execution import (
    AccountView,
    FlattenAccount,
    GetPaperDefaults,
    GetRisk,
    ListAccounts,
    ListDeployments,
    SizePosition,
    SwitchDeployment,
    account_actor,
)
from protocols.market import ListMarkets
from protocols.market_data import BARS, GetBars
from protocols.nanos import NANO, exact_nanos
from protocols.orders import Side
from protocols.paths import MARKET_INDEX
from protocols.signal_stream import Number, timestamp

TAGS: Final = ("paper trading",)
ASK_S: Final = 15.0
START_S: Final = 75.0
CAPITAL: Final = "initial_capital"
BASE: Final = "/api/paper-trading"
ONE: Final = f"{BASE}/sessions/{{session_id}}"

Name = Annotated[str, msgspec.Meta(max_length=255)]
Description = Annotated[str, msgspec.Meta(max_length=1000)]
Limit = Annotated[int, msgspec.Meta(ge=1, le=499)]
Before = Annotated[int, msgspec.Meta(ge=1)]


class NewSession(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """A paper session. `strategy_id`: a strategy that is to trade it; then `symbols` may be those of its run.

    `initial_capital`, `limits` null: those of `[execution]`, 100000 and the paper defaults unless it says otherwise.
    `commission_rate`: a share of what is traded, of maker and taker alike; null: the instrument's fees. A market of
    Kalshi keeps its curve.
    `slippage_rate`: what an order that takes loses on bars; on books it walks through what is there.
    `limits`: RiskLimits; `fills`: fields of FillSettings; `protections`: locks.
    """

    strategy_id: str | int | None = None
    name: Name = ""
    description: Description = ""
    user: Name = ""
    initial_capital: Amount | None = None
    currency: Annotated[str, msgspec.Meta(min_length=1, max_length=32)] = "USD"
    commission_rate: Amount | None = Decimal("0.001")
    slippage_rate: Amount = Decimal("0.0001")
    account_kind: Literal["cash", "margin"] = "cash"
    leverage: Amount = Decimal(1)
    position_mode: Literal["netting", "hedging"] = "netting"
    symbols: tuple[str, ...] = ()
    source: str = ""
    timeframe: str = "1h"
    parameters: dict[str, Any] = {}
    configuration: dict[str, Any] = {}
    position_sizing: Method = "fixed_percentage"
    position_sizing_config: dict[str, Any] = {}
    max_position_size: Amount | None = None
    opposite: Literal["close", "flip", "ignore"] = "close"
    limits: RiskLimits | None = None
    fills: FillSettings = FillSettings()
    protections: tuple[ProtectionSettings, ...] = ()
    seed: int = 0


class NewPaperAccount(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """A paper account; its fields are those of a session."""

    account_id: Annotated[str, msgspec.Meta(max_length=64)] = ""
    name: Name = ""
    description: Description = ""
    user: Name = ""
    initial_capital: Amount | None = None
    currency: Annotated[str, msgspec.Meta(min_length=1, max_length=32)] = "USD"
    commission_rate: Amount | None = Decimal("0.001")
    slippage_rate: Amount = Decimal("0.0001")
    account_kind: Literal["cash", "margin"] = "cash"
    leverage: Amount = Decimal(1)
    position_mode: Literal["netting", "hedging"] = "netting"
    symbols: tuple[str, ...] = ()
    limits: RiskLimits | None = None
    fills: FillSettings = FillSettings()
    protections: tuple[ProtectionSettings, ...] = ()
    seed: int = 0


class PaperAccountQuery(msgspec.Struct, frozen=True):
    """Whose paper accounts (empty: everybody's), and which of them, by their ids."""

    user: str = ""
    limit: Annotated[int, msgspec.Meta(ge=1, le=200)] = 50
    offset: Annotated[int, msgspec.Meta(ge=0, le=10_000)] = 0


class OneSession(msgspec.Struct, frozen=True):
    """Which session."""

    session_id: str


class OnePaperAccount(msgspec.Struct, frozen=True):
    """Which account."""

    account_id: str


class SessionQuery(msgspec.Struct, frozen=True):
    """Which sessions; empty: all."""

    status: str = ""
    user: str = ""
    strategy_id: str = ""
    limit: Annotated[int, msgspec.Meta(ge=1, le=200)] = 50
    offset: Annotated[int, msgspec.Meta(ge=0, le=10_000)] = 0


class StopSession(msgspec.Struct, frozen=True, kw_only=True):
    """`close_positions`: what is held is sold, too; else it stays."""

    session_id: str
    close_positions: bool = False


class Deploy(RunRequest, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """Deploy a strategy to paper: onto `account_id` (or `session_id`); without one an account is opened for it."""

    strategy_id: str
    account_id: str = ""
    session_id: str = ""
    initial_capital: Amount | None = None
    commission_rate: Amount | None = Decimal("0.001")
    slippage_rate: Amount = Decimal("0.0001")


class Deployed(msgspec.Struct, frozen=True):
    """The strategy trades on this account."""

    message: str
    deployment_id: str
    account_id: str
    strategy_id: str
    status: str
    deployment: DeploymentBody


class SessionOrder(OrderRequest, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """An order in a session."""

    session_id: str


class OneSessionOrder(msgspec.Struct, frozen=True):
    """Which order of which session."""

    session_id: str
    order_id: str


class SessionAmend(AmendRequest, frozen=True, kw_only=True):
    """A change of an order."""

    session_id: str


class SessionOrders(msgspec.Struct, frozen=True):
    """Which orders: those before a place, that which changed last first."""

    session_id: str
    status: str = ""
    symbol: str = ""
    limit: Limit = 100
    before: Before = reading.LAST


class HistoryQuery(msgspec.Struct, frozen=True):
    """Which samples: in a span of time (ISO 8601), before a place."""

    session_id: str
    start_date: str = ""
    end_date: str = ""
    limit: Limit = 100
    before: Before = reading.LAST


class AlertQuery(msgspec.Struct, frozen=True):
    """How many alerts, of which severity (empty: any)."""

    session_id: str
    severity: str = ""
    limit: Annotated[int, msgspec.Meta(ge=1, le=200)] = 50


class PaperPerformanceQuery(msgspec.Struct, frozen=True):
    """Of which account or session; empty: of all paper accounts."""

    account_id: str = ""
    session_id: str = ""


class SizeRequest(msgspec.Struct, frozen=True, kw_only=True):
    """How much may be traded so that a stop loses `risk_percentage` of the equity (shares: 0.01 is 1 %)."""

    session_id: str
    symbol: str
    side: Side
    risk_percentage: Amount = Decimal("0.01")
    stop_loss_pct: Amount | None = None
    stop_loss_price: Amount | None = None


class SizeAnswer(msgspec.Struct, frozen=True):
    """The recommendation. `unknown`: what it lacks; the quantity is 0 then."""

    session_id: str
    symbol: str
    side: str
    recommended_quantity: Number
    max_quantity: Number | None
    current_price: Number | None
    stop_loss_price: Number | None
    position_value: Number | None
    rationale: str
    unknown: tuple[str, ...]


class OneSymbol(msgspec.Struct, frozen=True):
    """Which market."""

    symbol: str


class PaperMarket(msgspec.Struct, frozen=True):
    """A market now; null: not known. `marks`: what is wrong with its data (`synthetic`, `delayed`, `stale` …)."""

    symbol: str
    bid: Number | None
    bid_size: Number | None
    ask: Number | None
    ask_size: Number | None
    price: Number | None
    status: str
    timestamp: str | None
    source: str
    marks: tuple[str, ...]


class PaperBarsQuery(msgspec.Struct, frozen=True):
    """Which bars of which market."""

    symbol: str
    timeframe: str = "1m"
    limit: Annotated[int, msgspec.Meta(ge=1, le=500)] = 100


class PaperBar(msgspec.Struct, frozen=True):
    """A bar, named by its start."""

    timestamp: str
    open: Number
    high: Number
    low: Number
    close: Number
    volume: Number | None


class PaperBars(msgspec.Struct, frozen=True):
    """Bars that are in memory, the oldest first; older ones are at /api/v1/markets/…/bars."""

    symbol: str
    timeframe: str
    data: tuple[PaperBar, ...]


# -- accounts and sessions -----------------------------------------------------------------------------------


async def account_fields(
    call: Call, request: NewSession | NewPaperAccount, name: str
) -> tuple[dict[str, Any], dict[str, Any]]:
    """The fields of AccountSettings and of EngineSettings. Raises HttpError 400."""
    defaults = await call.ref(DEPLOYMENTS).ask(GetPaperDefaults(), ASK_S)
    capital = defaults.capital if request.initial_capital is None else digits(request.initial_capital, CAPITAL)
    if not exact_nanos(capital) > 0:
        raise HttpError(400, "invalid", f"expected above 0, got {capital}", CAPITAL)
    rate, slippage = request.commission_rate, request.slippage_rate
    fills = request.fills
    if rate is not None and fills.fees == FeeSettings():
        share = digits(rate, "commission_rate")
        fills = msgspec.structs.replace(fills, fees=FeeSettings(maker=share, taker=share))
    if slippage and fills.slippage == SlippageSettings():
        try:
            found = SlippageSettings(model="share", share=digits(slippage, "slippage_rate"))
        except ValueError as error:
            raise HttpError(400, "invalid", str(error), "slippage_rate") from None
        fills = msgspec.structs.replace(fills, slippage=found)
    account = {
        "account_id": name,
        "user": request.user,
        "currency": request.currency,
        "kind": request.account_kind,
        "leverage": digits(request.leverage, "leverage"),
        "position_mode": request.position_mode,
        "initial_capital": capital,
    }
    engine = {
        "fills": msgspec.to_builtins(fills),
        "limits": msgspec.to_builtins(
            request.limits or msgspec.structs.replace(PAPER_DEFAULTS, max_positions=defaults.positions)
        ),
        "protections": msgspec.to_builtins(request.protections),
        "seed": request.seed,
    }
    return account, engine


async def open_account(request: NewPaperAccount, call: Call) -> PaperAccount:
    """Open a paper account; answered when it trades."""
    name = request.account_id or f"paper-{secrets.token_hex(5)}"
    account, engine = await account_fields(call, request, name)
    view = await opened(
        call, account, engine, name=request.name, description=request.description, symbols=request.symbols
    )
    return await _account(call, view)


async def one_account(request: OnePaperAccount, call: Call) -> PaperAccount:
    """Answer how a paper account stands."""
    return await _account(call, await view_of(call, request.account_id))


async def list_accounts(request: PaperAccountQuery, call: Call) -> PaperAccountPage:
    """Answer paper accounts."""
    names = await _names(call, request.user)
    chosen = names[request.offset : request.offset + request.limit]
    found = [await _account(call, await view_of(call, name)) for name in chosen]
    return PaperAccountPage(tuple(found), len(names))


async def _names(call: Call, user: str = "") -> list[str]:
    """The paper accounts that are up, of a user or of all."""
    listed = (await call.ref(DEPLOYMENTS).ask(ListAccounts(), ASK_S)).accounts
    return [name for name, owner, mode, _, _, up in listed if mode == "paper" and up and user in ("", owner)]


async def _views(call: Call, user: str = "") -> list[AccountView]:
    """How they stand."""
    return [await view_of(call, name) for name in await _names(call, user)]


async def _account(call: Call, view: AccountView) -> PaperAccount:
    risk = await call.ref(account_actor(view.account)).ask(GetRisk(), ASK_S)
    sums = await reading.trade_sums(call, view.account)
    _, share, _ = await reading.drawdown(call, view.account)
    return paper_account(view, await settings_of(call, view.account), limits_of(risk), sums, share)


async def open_session(request: NewSession, call: Call) -> SessionBody:
    """Open a session; with a strategy it is run (if it does not run yet) and deployed."""
    name = f"paper-{secrets.token_hex(5)}"
    account, engine = await account_fields(call, request, name)
    view = await opened(
        call,
        account,
        engine,
        name=request.name,
        description=request.description,
        session=name,
        symbols=request.symbols,
    )
    if request.strategy_id is not None:
        run = RunRequest(
            symbols=request.symbols,
            source=request.source,
            timeframe=request.timeframe,
            parameters=request.parameters,
            configuration=request.configuration,
            position_sizing=request.position_sizing,
            position_sizing_config=request.position_sizing_config,
            max_position_size=request.max_position_size,
            opposite=request.opposite,
        )
        await deployed_anew(call, name, str(request.strategy_id), run, user=request.user)
        view = await view_of(call, name)
    return await _session(call, view)


async def _session(call: Call, view: AccountView) -> SessionBody:
    found = (await call.ref(DEPLOYMENTS).ask(ListDeployments(account=view.account), ASK_S)).deployments
    return session_body(view, await settings_of(call, view.account), found[-1].strategy_id if found else None)


async def one_session(request: OneSession, call: Call) -> SessionBody:
    """Answer how a session stands."""
    return await _session(call, await view_of(call, request.session_id))


async def list_sessions(request: SessionQuery, call: Call) -> SessionPage:
    """Answer the sessions, the newest first."""
    found = [await _session(call, view) for view in await _views(call, request.user) if view.session]
    chosen = [
        each for each in found if request.status in ("", each.status) and request.strategy_id in ("", each.strategy_id)
    ]
    chosen.sort(key=lambda each: each.created_at or "", reverse=True)
    return SessionPage(tuple(chosen[request.offset : request.offset + request.limit]), len(chosen))


async def stop_session(request: StopSession, call: Call) -> SessionBody:
    """End a session: its deployments stop, what is open is cancelled, and it takes no order any more."""
    view = await view_of(call, request.session_id)
    roster = call.ref(DEPLOYMENTS)
    for each in (await roster.ask(ListDeployments(account=view.account), ASK_S)).deployments:
        if each.state != "stopped":
            await roster.ask(SwitchDeployment(each.deployment_id, "stopped", "the session was stopped"), ASK_S)
    flatten = FlattenAccount(reason="stopped by hand", close=request.close_positions)
    await call.ref(account_actor(view.account)).ask(flatten, ASK_S)
    return await _session(call, await view_of(call, view.account))


async def deploy(request: Deploy, call: Call) -> Deployed:
    """Run a strategy, if it does not run yet, and let it trade on paper."""
    account = request.account_id or request.session_id
    bind = deployed
    if not account:
        new = NewSession(
            name=request.name or request.strategy_id,
            initial_capital=request.initial_capital,
            commission_rate=request.commission_rate,
            slippage_rate=request.slippage_rate,
        )
        account = f"paper-{secrets.token_hex(5)}"
        fields, engine = await account_fields(call, new, account)
        await opened(call, fields, engine, name=new.name, session=account, symbols=request.symbols)
        bind = deployed_anew
    view = await view_of(call, account)
    if view.mode != "paper":
        raise Refused("invalid", f"expected a paper account, {account} is {view.mode}", "account_id")
    found = await bind(call, account, request.strategy_id, request, user=view.user)
    return Deployed(
        f"{request.strategy_id} is deployed to {account}",
        found.deployment_id,
        account,
        found.strategy_id,
        found.state,
        deployment_body(found),
    )


# -- orders --------------------------------------------------------------------------------------------------


async def order(request: SessionOrder, call: Call) -> PaperOrdered:
    """Order; answered when it is judged and on disk. A repeat of a client_order_id is the same order."""
    session = request.session_id
    await view_of(call, session)
    market = await market_of(call, session, request.symbol)
    found = [paper_order(each, session) for each in await placed(call, session, orders_of(request, market))]
    return PaperOrdered(found[0], tuple(found[1:]), request.metadata)


async def list_orders(request: SessionOrders, call: Call) -> PaperOrderPage:
    """Answer a session's orders as they stand."""
    page = await reading.orders(
        call, request.session_id, request.before, request.limit, request.symbol, "", request.status
    )
    shown = tuple(paper_order(row.order(), request.session_id) for row in page.rows)
    return PaperOrderPage(shown, page.next, page.behind)


async def one_order(request: OneSessionOrder, call: Call) -> PaperOrder:
    """Answer how an order stands."""
    await view_of(call, request.session_id)
    try:
        found = await known_order(call, request.session_id, request.order_id)
    except HttpError:
        events = await reading.order_events(call, request.session_id, request.order_id)
        if not events:
            raise
        found = events[-1].order()
    return paper_order(found, request.session_id)


async def cancel_order(request: OneSessionOrder, call: Call) -> PaperOrder:
    """Cancel an order. 409 if it has ended."""
    return paper_order(await cancelled(call, request.session_id, request.order_id), request.session_id)


async def amend_order(request: SessionAmend, call: Call) -> PaperOrder:
    """Change the quantity or a price of an open order. 409 if it has ended, or a limit forbids it."""
    return paper_order(await amended(call, request.session_id, request), request.session_id)


# -- what it holds, what it came to, its risk ----------------------------------------------------------------


async def portfolio(request: OneSession, call: Call) -> PortfolioBody:
    """Answer what a session holds."""
    return portfolio_body(await view_of(call, request.session_id))


async def portfolio_history(request: HistoryQuery, call: Call) -> PortfolioHistory:
    """Answer samples of what a session was worth, the newest first."""
    page = await reading.equity(
        call,
        request.session_id,
        request.before,
        request.limit,
        nanoseconds(request.start_date, "start_date", 0),
        nanoseconds(request.end_date, "end_date", reading.LAST),
    )
    return PortfolioHistory(request.session_id, tuple(map(portfolio_point, page.rows)), page.next, page.behind)


async def performance(request: OneSession, call: Call) -> PerformanceBody:
    """Answer what a session has come to."""
    return await _performance(call, await view_of(call, request.session_id))


async def performances(request: PaperPerformanceQuery, call: Call) -> PerformancePage:
    """Answer what paper accounts have come to."""
    name = request.account_id or request.session_id
    views = [await view_of(call, name)] if name else await _views(call)
    found = [await _performance(call, view) for view in views]
    return PerformancePage(tuple(found), len(found))


async def _performance(call: Call, view: AccountView) -> PerformanceBody:
    sums = await reading.trade_sums(call, view.account)
    money, share, samples = await reading.drawdown(call, view.account)
    days = await reading.daily_equity(call, view.account)
    returns = returns_of([float(value) for _, value in days])
    unknown = {}
    if view.equity is None:
        unknown["current_value"] = f"no price of {', '.join(view.missing)}"
    if not sums.count:
        unknown["win_rate"] = "no round trip is closed"
    if not exact_nanos(sums.gross_loss):
        unknown["profit_factor"] = "no round trip lost"
    if len(returns) < LEAST_DAYS:
        unknown["sharpe_ratio"] = unknown["volatility"] = f"{len(returns)} daily returns, {LEAST_DAYS} are wanted"
    initial = exact_nanos(view.initial_capital)
    equity = None if view.equity is None else exact_nanos(view.equity)
    return PerformanceBody(
        session_id=view.session or view.account,
        currency=view.currency,
        initial_capital=known_plain(view.initial_capital),
        current_value=plain(view.equity),
        total_return=None if equity is None or not initial else equity / initial - 1,
        total_pnl=difference(view.equity, view.initial_capital),
        realized_pnl=known_plain(view.realized),
        unrealized_pnl=plain(view.unrealized),
        total_commission=known_plain(view.fees),
        total_trades=sums.count,
        winning_trades=sums.won,
        losing_trades=sums.lost,
        win_rate=sums.won / sums.count if sums.count else None,
        gross_profit=known_plain(sums.gross_profit),
        gross_loss=known_plain(sums.gross_loss),
        profit_factor=(
            exact_nanos(sums.gross_profit) / exact_nanos(sums.gross_loss) if exact_nanos(sums.gross_loss) else None
        ),
        best_trade=plain(sums.best),
        worst_trade=plain(sums.worst),
        average_return_per_trade=sums.mean_return,
        average_holding_s=None if sums.mean_held is None else sums.mean_held / NANO,
        max_drawdown=None if money is None else known_plain(canonical(money)),
        max_drawdown_pct=share,
        sharpe_ratio=sharpe(returns),
        volatility=annual_volatility(returns),
        days=len(days),
        samples=samples,
        unknown=unknown,
    )


async def risk(request: OneSession, call: Call) -> RiskBody:
    """Answer how risky a session is."""
    return await risk_body(call, await view_of(call, request.session_id))


async def alerts(request: AlertQuery, call: Call) -> AlertPage:
    """Answer what was near or beyond a limit."""
    view = await view_of(call, request.session_id)
    shown, report = await risk_of(call, view)
    found = await alerts_of(call, view, shown, report, request.limit)
    chosen = tuple(each for each in found if request.severity in ("", each.severity))
    return AlertPage(request.session_id, chosen, len(chosen))


async def position_sizing(request: SizeRequest, call: Call) -> SizeAnswer:
    """Answer how much may be traded for a risk."""
    await view_of(call, request.session_id)
    await market_of(call, request.session_id, request.symbol)
    given = {"stop_loss_pct": request.stop_loss_pct, "stop_loss_price": request.stop_loss_price}
    share, price = (None if value is None else nanos(value, field, positive=True) for field, value in given.items())
    asked = SizePosition(
        market=request.symbol,
        side=request.side,
        risk_share=nanos(request.risk_percentage, "risk_percentage", positive=True),
        stop_share=share,
        stop_price=price,
    )
    try:
        found = await call.ref(account_actor(request.session_id)).ask(asked, ASK_S)
    except Refused as refused:
        field = {"stop": "stop_loss_pct", "risk_share": "risk_percentage"}.get(refused.field or "", refused.field)
        raise Refused(refused.code, refused.message, field) from None
    return SizeAnswer(
        request.session_id,
        request.symbol,
        request.side,
        known_number(found.quantity),
        number(found.most),
        number(found.price),
        number(found.stop_price),
        plain(found.value),
        found.rationale,
        found.missing,
    )


# -- markets -------------------------------------------------------------------------------------------------


async def market_data(request: OneSymbol, call: Call) -> PaperMarket:
    """Answer a market's best prices."""
    [found] = (await call.ref(MARKET_INDEX).ask(ListMarkets(request.symbol), ASK_S)).markets
    quote = found.quote
    bid, ask = (None, None) if quote is None else (quote.bid, quote.ask)
    return PaperMarket(
        symbol=found.market,
        bid=number(bid),
        bid_size=None if quote is None or bid is None else number(quote.bid_size),
        ask=number(ask),
        ask_size=None if quote is None or ask is None else number(quote.ask_size),
        price=number((bid + ask) // 2) if bid is not None and ask is not None else None,
        status=found.phase,
        timestamp=None if quote is None else moment(quote.ts_recv),
        source=found.feed,
        marks=found.marks,
    )


async def market_history(request: PaperBarsQuery, call: Call) -> PaperBars:
    """Answer a market's newest bars."""
    await call.ref(MARKET_INDEX).ask(ListMarkets(request.symbol), ASK_S)
    found = await call.ref(BARS).ask(GetBars(request.symbol, request.timeframe, limit=request.limit), ASK_S)
    shown = tuple(
        PaperBar(
            timestamp(bar.start),
            known_number(bar.open),
            known_number(bar.high),
            known_number(bar.low),
            known_number(bar.close),
            plain(bar.volume or None),
        )
        for bar in found.bars
    )
    return PaperBars(request.symbol, request.timeframe, shown)


routes: list[Route] = [
    post(f"{BASE}/accounts", open_account, summary="Open a paper account", tags=TAGS, status=201, timeout_s=START_S),
    get(f"{BASE}/accounts", list_accounts, summary="Paper accounts", tags=TAGS),
    get(f"{BASE}/accounts/{{account_id}}", one_account, summary="How a paper account stands", tags=TAGS),
    post(
        f"{BASE}/strategies/{{strategy_id}}/deploy",
        deploy,
        summary="Let a strategy trade on paper",
        tags=TAGS,
        status=201,
        timeout_s=2 * START_S,
    ),
    get(f"{BASE}/performance", performances, summary="What paper accounts have come to", tags=TAGS),
    post(
        f"{BASE}/sessions", open_session, summary="Open a paper session", tags=TAGS, status=201, timeout_s=2 * START_S
    ),
    get(f"{BASE}/sessions", list_sessions, summary="Paper sessions", tags=TAGS),
    get(ONE, one_session, summary="How a session stands", tags=TAGS),
    post(f"{ONE}/stop", stop_session, summary="End a session", tags=TAGS, timeout_s=START_S, stores=False),
    post(f"{ONE}/orders", order, summary="Order", tags=TAGS, status=201),
    get(f"{ONE}/orders", list_orders, summary="Orders as they stand", tags=TAGS),
    get(f"{ONE}/orders/{{order_id}}", one_order, summary="How an order stands", tags=TAGS),
    delete(f"{ONE}/orders/{{order_id}}", cancel_order, summary="Cancel an order", tags=TAGS),
    patch(f"{ONE}/orders/{{order_id}}", amend_order, summary="Change an order", tags=TAGS),
    get(f"{ONE}/portfolio", portfolio, summary="What a session holds", tags=TAGS),
    get(f"{ONE}/portfolio/history", portfolio_history, summary="What it was worth", tags=TAGS),
    get(f"{ONE}/performance", performance, summary="What a session has come to", tags=TAGS),
    get(f"{ONE}/risk", risk, summary="How risky a session is", tags=TAGS),
    get(f"{ONE}/risk/alerts", alerts, summary="What was near or beyond a limit", tags=TAGS),
    post(f"{ONE}/position-sizing", position_sizing, summary="How much for a risk", tags=TAGS),
    get(f"{BASE}/market-data/{{symbol}}", market_data, summary="A market's best prices", tags=TAGS),
    get(f"{BASE}/market-data/{{symbol}}/history", market_history, summary="A market's newest bars", tags=TAGS),
]
