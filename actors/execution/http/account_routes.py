"""The HTTP routes of accounts: how they stand, what is stored of them, money, limits, orders, the kill switch."""

from __future__ import annotations

import secrets
from typing import Any, Final

import msgspec

from actors.edge.call import Call
from actors.edge.errors import HttpError
from actors.edge.explaining import explained
from actors.edge.routing import Route, delete, get, patch, post, put, websocket
from actors.execution.http import reading
from actors.execution.http.account_requests import (
    AccountAmend,
    AccountLine,
    AccountLines,
    AccountOrder,
    AccountQuery,
    AccountSettingsBody,
    Breaker,
    Cancelling,
    Closed,
    DeploymentPage,
    DeploymentQuery,
    DifferenceBody,
    EquityPage,
    ExposureQuery,
    FillPage,
    FillsQuery,
    Kill,
    Killed,
    LedgerPage,
    LedgerQuery,
    Money,
    NewAccount,
    NewLimits,
    OneAccount,
    OneOrder,
    Ordered,
    OrderId,
    OrderPage,
    OrdersQuery,
    Positions,
    ReconciliationBody,
    SomeOfAccount,
    StoredQuery,
    TradePage,
    TradingState,
    VerdictPage,
    VerdictQuery,
)
from actors.execution.http.bodies import (
    AccountBody,
    OrderBody,
    account_body,
    deployment_body,
    equity_body,
    fill_row_body,
    flatten_body,
    order_body,
    position_body,
    posting_body,
    raw,
    trade_body,
    verdict_body,
)
from actors.execution.http.explaining import Explanation, explanation
from actors.execution.http.exposing import ExposureAnswer, exposed
from actors.execution.http.numbers import moment, nanos
from actors.execution.http.orders import (
    amended,
    cancelled,
    commanded,
    known_order,
    ordered,
)
from actors.execution.http.stream import execution_stream
from actors.execution.risk.exposure import ExposureLimits
from protocols.control import Refused
from protocols.deployments import DEPLOYMENTS
from protocols.execution import (
    AccountOpened,
    AccountView,
    AlignWithVenue,
    ChangeLimits,
    CloseAccount,
    GetAccount,
    GetAccountSettings,
    GetReconciliation,
    GetRisk,
    KillSwitch,
    ListAccounts,
    ListDeployments,
    MoneyIn,
    OpenAccount,
    SwitchBreaker,
    SwitchTrading,
    TakeLocksAway,
    account_actor,
)
from protocols.orders import CancelOrders

TAGS: Final = ("execution",)
ASK_S: Final = 15.0
OPEN_S: Final = 40.0
KILL_S: Final = 130.0
ONE: Final = "/api/v1/accounts/{account_id}"


async def view_of(call: Call, account: str) -> AccountView:
    """How an account stands. Raises Refused `not_found`."""
    try:
        return await call.ref(account_actor(account)).ask(GetAccount(), ASK_S)
    except Refused as refused:
        if refused.code in ("not_found", "stopped"):
            await call.ref(DEPLOYMENTS).ask(GetAccountSettings(account), ASK_S)  # says that there is none
            raise Refused("unavailable", f"{account} is being started") from None
        raise


async def list_accounts(request: AccountQuery, call: Call) -> AccountLines:
    """Answer the accounts that there are."""
    found = await call.ref(DEPLOYMENTS).ask(ListAccounts(), ASK_S)
    lines = (AccountLine(*each) for each in found.accounts)
    return AccountLines(
        tuple(each for each in lines if request.user in ("", each.user) and request.mode in ("", each.mode))
    )


async def opened(
    call: Call,
    account: dict[str, Any],
    engine: dict[str, Any],
    *,
    name: str = "",
    description: str = "",
    session: str = "",
    symbols: tuple[str, ...] = (),
) -> AccountView:
    """Open a paper account. Raises Refused `invalid` (with the field), `exists`."""
    return await call.ref(DEPLOYMENTS).ask(
        OpenAccount(
            engine=raw({**engine, "account": account}),
            name=name,
            description=description,
            session=session,
            markets=symbols,
        ),
        OPEN_S,
    )


async def open_account(request: NewAccount, call: Call) -> AccountBody:
    """Open a paper account; answered when it trades."""
    fields = {"account_id": f"acc-{secrets.token_hex(5)}", **request.account}
    view = await opened(
        call,
        fields,
        request.engine,
        name=request.name,
        description=request.description,
        symbols=request.symbols,
    )
    return account_body(view)


async def one_account(request: OneAccount, call: Call) -> AccountBody:
    """Answer how an account stands."""
    return account_body(await view_of(call, request.account_id))


async def settings_of(call: Call, account: str) -> AccountOpened:
    """What an account was opened with. Raises Refused `not_found`."""
    return await call.ref(DEPLOYMENTS).ask(GetAccountSettings(account), ASK_S)


async def account_settings(request: OneAccount, call: Call) -> AccountSettingsBody:
    """Answer what an account was opened with, and the limits that hold."""
    said = await settings_of(call, request.account_id)
    risk = await call.ref(account_actor(request.account_id)).ask(GetRisk(), ASK_S)
    return AccountSettingsBody(
        request.account_id,
        moment(said.created),
        said.settings,
        risk.limits,
        dict(risk.deployments),
        dict(risk.denied),
    )


async def close_account(request: OneAccount, call: Call) -> Closed:
    """Cancel what is open and end an account; positions are kept in its rows. 409 while a deployment is active."""
    await call.ref(DEPLOYMENTS).ask(CloseAccount(request.account_id), KILL_S)
    return Closed(f"{request.account_id} is closed; its rows stay", request.account_id)


async def deposit(request: Money, call: Call) -> AccountBody:
    """Put money into a paper account."""
    return await _move(request, call, 1)


async def withdraw(request: Money, call: Call) -> AccountBody:
    """Take money out of a paper account."""
    return await _move(request, call, -1)


async def _move(request: Money, call: Call, sign: int) -> AccountBody:
    amount = nanos(request.amount, "amount", positive=True)
    view = await view_of(call, request.account_id)
    reference = request.reference or f"http-{secrets.token_hex(8)}"
    message = MoneyIn(amount=sign * amount, currency=request.currency or view.currency, reference=reference)
    await call.ref(account_actor(request.account_id)).ask(message, ASK_S)
    return account_body(await view_of(call, request.account_id))


async def limits(request: NewLimits, call: Call) -> AccountSettingsBody:
    """Set other limits."""
    await view_of(call, request.account_id)
    change = ChangeLimits(raw(request.limits), request.deployment_id)
    await call.ref(account_actor(request.account_id)).ask(change, ASK_S)
    return await account_settings(OneAccount(request.account_id), call)


async def trading(request: TradingState, call: Call) -> AccountBody:
    """Let an account trade, only reduce, or neither; what is open stays open."""
    switch = SwitchTrading(request.state, request.reason)
    await view_of(call, request.account_id)
    await call.ref(account_actor(request.account_id)).ask(switch, ASK_S)
    return account_body(await view_of(call, request.account_id))


async def breaker(request: Breaker, call: Call) -> AccountBody:
    """Open or close an account's breaker by hand."""
    await view_of(call, request.account_id)
    await call.ref(account_actor(request.account_id)).ask(SwitchBreaker(request.open, request.reason), ASK_S)
    return account_body(await view_of(call, request.account_id))


async def unlock(request: SomeOfAccount, call: Call) -> AccountBody:
    """End the locks of protections."""
    await view_of(call, request.account_id)
    ended = TakeLocksAway(request.symbol, request.deployment_id)
    await call.ref(account_actor(request.account_id)).ask(ended, ASK_S)
    return account_body(await view_of(call, request.account_id))


async def cancel_orders(request: SomeOfAccount, call: Call) -> Cancelling:
    """Cancel all open orders; those that have not ended yet are counted."""
    await view_of(call, request.account_id)
    await commanded(call, request.account_id, CancelOrders(request.symbol, request.deployment_id))
    return Cancelling(request.account_id, (await view_of(call, request.account_id)).open_orders)


async def positions(request: OneAccount, call: Call) -> Positions:
    """Answer an account's positions."""
    return Positions(tuple(map(position_body, (await view_of(call, request.account_id)).positions)))


async def orders(request: OrdersQuery, call: Call) -> OrderPage:
    """Answer an account's orders as they stand, that which changed last first."""
    page = await reading.orders(
        call,
        request.account_id,
        request.before,
        request.limit,
        request.symbol,
        request.deployment_id,
        request.state,
    )
    return OrderPage(tuple(order_body(row.order()) for row in page.rows), page.next, page.behind)


async def fills(request: FillsQuery, call: Call) -> FillPage:
    """Answer an account's fills with their reasons."""
    page = await reading.fills(
        call,
        request.account_id,
        request.before,
        request.limit,
        request.symbol,
        request.deployment_id,
        request.client_order_id,
    )
    return FillPage(tuple(map(fill_row_body, page.rows)), page.next, page.behind)


async def ledger(request: LedgerQuery, call: Call) -> LedgerPage:
    """Answer an account's postings."""
    page = await reading.postings(
        call, request.account_id, request.before, request.limit, request.symbol, request.reference
    )
    return LedgerPage(tuple(map(posting_body, page.rows)), page.next, page.behind)


async def equity(request: StoredQuery, call: Call) -> EquityPage:
    """Answer samples of an account's equity."""
    page = await reading.equity(call, request.account_id, request.before, request.limit)
    return EquityPage(tuple(map(equity_body, page.rows)), page.next, page.behind)


async def trades(request: StoredQuery, call: Call) -> TradePage:
    """Answer an account's round trips."""
    page = await reading.trades(
        call, request.account_id, request.before, request.limit, request.symbol, request.deployment_id
    )
    return TradePage(tuple(map(trade_body, page.rows)), page.next, page.behind)


async def verdicts(request: VerdictQuery, call: Call) -> VerdictPage:
    """Answer what deployments of an account made of signals."""
    page = await reading.verdicts(
        call, request.account_id, request.before, request.limit, request.deployment_id, request.signal_id
    )
    return VerdictPage(tuple(map(verdict_body, page.rows)), page.next, page.behind)


async def order(request: AccountOrder, call: Call) -> Ordered:
    """Order by hand; answered when it is judged and on disk. A repeat of an id is the same order."""
    await view_of(call, request.account_id)
    found = [order_body(each) for each in await ordered(call, request.account_id, request)]
    return Ordered(found[0], tuple(found[1:]))


async def one_order(request: OneOrder, call: Call) -> OrderBody:
    """Answer how an order stands; of one that ended long ago, how it ended."""
    try:
        return order_body(await known_order(call, request.account_id, request.order_id))
    except HttpError:
        found = await reading.order_events(call, request.account_id, request.order_id)
        if not found:
            raise
        return order_body(found[-1].order())


async def cancel_order(request: OneOrder, call: Call) -> OrderBody:
    """Cancel an order; it has ended when its state says so."""
    return order_body(await cancelled(call, request.account_id, request.order_id))


async def amend_order(request: AccountAmend, call: Call) -> OrderBody:
    """Change the quantity or a price of an open order."""
    return order_body(await amended(call, request.account_id, request))


async def reconciliation(request: OneAccount, call: Call) -> ReconciliationBody:
    """Answer what an account's venue says otherwise."""
    found = await call.ref(account_actor(request.account_id)).ask(GetReconciliation(), ASK_S)
    return ReconciliationBody(
        found.account,
        moment(found.compared),
        tuple(DifferenceBody(each.kind, each.what, each.ours, each.theirs) for each in found.differences),
    )


async def align(request: OneAccount, call: Call) -> ReconciliationBody:
    """Say that the venue is right: its money and positions are taken over."""
    reference = f"http-{secrets.token_hex(8)}"
    await call.ref(account_actor(request.account_id)).ask(AlignWithVenue(reference), OPEN_S)
    return await reconciliation(request, call)


async def kill(request: Kill, call: Call) -> Killed:
    """Flatten, in order and with deadlines; answered at the end. Trading stays halted until somebody allows it."""
    asked = KillSwitch(
        reason=request.reason,
        account=request.account_id,
        close=request.close,
        stop_actors=request.stop_strategies,
    )
    report = await call.ref(DEPLOYMENTS).ask(asked, KILL_S)
    return Killed(tuple(map(flatten_body, report.accounts)), report.stopped)


async def exposure(request: ExposureQuery, call: Call) -> ExposureAnswer:
    """Answer net and gross exposure over all accounts."""
    fields = msgspec.structs.asdict(request)
    currency = fields.pop("currency")
    try:
        limits = msgspec.convert(fields, ExposureLimits)
    except msgspec.ValidationError as error:
        message, field = explained(error, ExposureLimits, fields)
        raise HttpError(400, "invalid", message, field) from None
    return await exposed(call, currency, limits)


async def deployments(request: DeploymentQuery, call: Call) -> DeploymentPage:
    """Answer the deployments."""
    question = ListDeployments(account=request.account_id, strategy_id=request.strategy_id, state=request.state)
    found = await call.ref(DEPLOYMENTS).ask(question, ASK_S)
    return DeploymentPage(tuple(map(deployment_body, found.deployments)))


async def explain(request: OrderId, call: Call) -> Explanation:
    """Answer the whole chain of an order: signal, verdict, events, fills with their reasons, postings, outcome."""
    return await explanation(call, request.client_order_id, request.account_id)


routes: list[Route] = [
    get("/api/v1/accounts", list_accounts, summary="Accounts", tags=TAGS),
    post("/api/v1/accounts", open_account, summary="Open a paper account", tags=TAGS, status=201, timeout_s=OPEN_S),
    get(ONE, one_account, summary="How an account stands", tags=TAGS),
    delete(ONE, close_account, summary="Close an account", tags=TAGS, timeout_s=KILL_S),
    get(f"{ONE}/settings", account_settings, summary="What an account was opened with", tags=TAGS),
    post(f"{ONE}/deposit", deposit, summary="Put money in", tags=TAGS),
    post(f"{ONE}/withdraw", withdraw, summary="Take money out", tags=TAGS),
    put(f"{ONE}/limits", limits, summary="Set limits", tags=TAGS),
    post(f"{ONE}/trading", trading, summary="Let trade, or not", tags=TAGS, stores=False),
    post(f"{ONE}/breaker", breaker, summary="Open or close the breaker", tags=TAGS, stores=False),
    delete(f"{ONE}/locks", unlock, summary="End locks", tags=TAGS),
    delete(f"{ONE}/orders", cancel_orders, summary="Cancel open orders", tags=TAGS),
    get(f"{ONE}/positions", positions, summary="Positions", tags=TAGS),
    get(f"{ONE}/orders", orders, summary="Orders as they stand", tags=TAGS),
    post(f"{ONE}/orders", order, summary="Order by hand", tags=TAGS, status=201),
    get(f"{ONE}/orders/{{order_id}}", one_order, summary="How an order stands", tags=TAGS),
    delete(f"{ONE}/orders/{{order_id}}", cancel_order, summary="Cancel an order", tags=TAGS),
    patch(f"{ONE}/orders/{{order_id}}", amend_order, summary="Change an order", tags=TAGS),
    get(f"{ONE}/fills", fills, summary="Fills, and why", tags=TAGS),
    get(f"{ONE}/ledger", ledger, summary="Postings", tags=TAGS),
    get(f"{ONE}/equity", equity, summary="Samples of equity", tags=TAGS),
    get(f"{ONE}/trades", trades, summary="Round trips", tags=TAGS),
    get(f"{ONE}/verdicts", verdicts, summary="What deployments made of signals", tags=TAGS),
    get(f"{ONE}/reconciliation", reconciliation, summary="What differs from the venue", tags=TAGS),
    post(f"{ONE}/align", align, summary="Take over what the venue has", tags=TAGS, timeout_s=OPEN_S),
    get("/api/v1/orders/{client_order_id}/explain", explain, summary="Why an order, from signal to outcome", tags=TAGS),
    post("/api/v1/execution/kill-switch", kill, summary="Flatten accounts", tags=TAGS, timeout_s=KILL_S, stores=False),
    get("/api/v1/execution/exposure", exposure, summary="Exposure over all accounts", tags=TAGS),
    get("/api/v1/execution/deployments", deployments, summary="Deployments", tags=TAGS),
    websocket("/api/v1/execution/stream", execution_stream, summary="Order events as they happen", tags=TAGS),
]
