"""The HTTP routes of paper trading, in the words of the strategy service.

A session is an account, with the deployment of the strategy that it names; every route of a session takes the id of
any paper account. Orders that break a limit are answered as orders (201, status `denied`, `reason_code`), and stored;
what is no order at all (a precision, a missing price) is an error 400 that names the field.
"""

from __future__ import annotations

import secrets
from typing import Final

from actors.edge.call import Call
from actors.edge.errors import HttpError
from actors.edge.routing import Route, delete, get, patch, post
from actors.execution.http import reading
from actors.execution.http.account_routes import opened, settings_of, view_of
from actors.execution.http.bodies import deployment_body
from actors.execution.http.deploying import RunRequest, deployed, deployed_anew
from actors.execution.http.orders import (
    amended,
    cancelled,
    known_order,
    ordered,
)
from actors.execution.http.paper_accounts import (
    account_fields,
    names_of,
    views,
)
from actors.execution.http.paper_bodies import (
    PaperAccount,
    PaperAccountPage,
    PaperOrder,
    PaperOrdered,
    PaperOrderPage,
    SessionBody,
    SessionPage,
    paper_account,
    paper_order,
    session_body,
)
from actors.execution.http.paper_figures import (
    alerts,
    performance,
    performances,
    portfolio,
    portfolio_history,
    position_sizing,
    risk,
)
from actors.execution.http.paper_markets import (
    market_data,
    market_history,
)
from actors.execution.http.paper_requests import (
    Deploy,
    Deployed,
    NewPaperAccount,
    NewSession,
    OnePaperAccount,
    OneSession,
    OneSessionOrder,
    PaperAccountQuery,
    SessionAmend,
    SessionOrder,
    SessionOrders,
    SessionQuery,
    StopSession,
)
from actors.execution.http.performing import deepest_fall
from actors.execution.http.risking import limits_of
from protocols.control import Refused
from protocols.deployments import DEPLOYMENTS
from protocols.execution import (
    AccountView,
    FlattenAccount,
    GetRisk,
    ListDeployments,
    SwitchDeployment,
    account_actor,
)

TAGS: Final = ("paper trading",)
ASK_S: Final = 15.0
START_S: Final = 75.0
BASE: Final = "/api/paper-trading"
ONE: Final = f"{BASE}/sessions/{{session_id}}"


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
    names = await names_of(call, request.user)
    chosen = names[request.offset : request.offset + request.limit]
    found = [await _account(call, await view_of(call, name)) for name in chosen]
    return PaperAccountPage(tuple(found), len(names))


async def _account(call: Call, view: AccountView) -> PaperAccount:
    risk = await call.ref(account_actor(view.account)).ask(GetRisk(), ASK_S)
    sums = await reading.trade_sums(call, view.account)
    fall, part, _ = await reading.drawdown(call, view.account)
    _, share = deepest_fall(fall, part, view.equity, view.peak)
    return paper_account(view, await settings_of(call, view.account), limits_of(risk), sums, share)


async def open_session(request: NewSession, call: Call) -> SessionBody:
    """Open a session; with a strategy it is run (if it does not run yet) and deployed."""
    if request.strategy_id is None and request.max_position_size is not None:
        text = "it sizes the orders of a strategy, and there is none: expected limits.max_position_share"
        raise HttpError(400, "invalid", text, "max_position_size")
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
    found = [await _session(call, view) for view in await views(call, request.user) if view.session]
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


async def order(request: SessionOrder, call: Call) -> PaperOrdered:
    """Order; answered when it is judged and on disk. A repeat of a client_order_id is the same order."""
    session = request.session_id
    await view_of(call, session)
    found = [paper_order(each, session) for each in await ordered(call, session, request)]
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
