"""What a paper session holds, what it came to, its risk, and sizes for a risk."""

from __future__ import annotations

from typing import Final

from actors.edge.call import Call
from actors.execution.http import reading
from actors.execution.http.account_routes import view_of
from actors.execution.http.numbers import (
    known_number,
    known_plain,
    nanos,
    nanoseconds,
    number,
    plain,
)
from actors.execution.http.orders import (
    market_of,
)
from actors.execution.http.paper_accounts import views
from actors.execution.http.paper_bodies import (
    PerformanceBody,
    PerformancePage,
    PortfolioBody,
    PortfolioHistory,
    difference,
    portfolio_body,
    portfolio_point,
)
from actors.execution.http.paper_requests import (
    AlertQuery,
    HistoryQuery,
    OneSession,
    PaperPerformanceQuery,
    SizeAnswer,
    SizeRequest,
)
from actors.execution.http.performing import LEAST_DAYS, annual_volatility, deepest_fall, returns_of, sharpe
from actors.execution.http.risking import AlertPage, RiskBody, alerts_of, risk_body, risk_of
from protocols.control import Refused
from protocols.execution import (
    AccountView,
    SizePosition,
    account_actor,
)
from protocols.nanos import NANO, exact_nanos

ASK_S: Final = 15.0


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
    chosen = [await view_of(call, name)] if name else await views(call)
    found = [await _performance(call, view) for view in chosen]
    return PerformancePage(tuple(found), len(found))


async def _performance(call: Call, view: AccountView) -> PerformanceBody:
    sums = await reading.trade_sums(call, view.account)
    fall, part, samples = await reading.drawdown(call, view.account)
    money, share = deepest_fall(fall, part, view.equity, view.peak)
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
        max_drawdown=number(money),
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
