"""What paper trading answers with, in the words of the strategy service: numbers with exact digits, times in ISO 8601.

Null is "not known": a price is missing, or there is too little to say.
"""

from __future__ import annotations

from typing import Any

import msgspec

from actors.execution.account_settings import AccountSpec
from actors.execution.accounts.rows import ExecutionEquityRow
from actors.execution.http.numbers import known_number, known_plain, moment, number, plain
from actors.execution.http.reading import TradeSums
from actors.execution.risk.limits import RiskLimits
from protocols.deployments import PositionShown
from protocols.execution import AccountOpened, AccountView
from protocols.nanos import exact_nanos
from protocols.orders import Order
from protocols.signal_stream import Number, timestamp


class SessionBody(msgspec.Struct, frozen=True):
    """A paper session: an account, and the deployment of the strategy that it names.

    `status`: starting, active, reducing, halted or stopped.
    """

    session_id: str
    account_id: str
    name: str
    description: str
    user: str
    strategy_id: str | None
    deployment_ids: tuple[str, ...]
    status: str
    status_reason: str
    currency: str
    initial_capital: Number
    current_capital: Number | None
    available_balance: Number | None
    commission_rate: Number | None
    slippage_rate: Number | None
    symbols: tuple[str, ...]
    total_trades: int
    open_orders: int
    created_at: str | None
    missing: tuple[str, ...]


class SessionPage(msgspec.Struct, frozen=True):
    """Sessions, the newest first."""

    sessions: tuple[SessionBody, ...]
    total_count: int


class PaperPosition(msgspec.Struct, frozen=True):
    """A position. `avg_price` is rounded, for people."""

    symbol: str
    side: str
    quantity: Number
    avg_price: Number | None
    current_price: Number | None
    market_value: Number | None
    unrealized_pnl: Number | None
    realized_pnl: Number
    opened_at: str | None


class PaperAccount(msgspec.Struct, frozen=True):
    """A paper account as the strategy service has them."""

    account_id: str
    session_id: str | None
    name: str
    user: str
    currency: str
    status: str
    initial_capital: Number
    current_capital: Number | None
    available_balance: Number | None
    margin_used: Number | None
    total_pnl: Number | None
    realized_pnl: Number
    unrealized_pnl: Number | None
    daily_pnl: Number | None
    total_commission: Number
    win_rate: float | None
    total_trades: int
    max_drawdown: float | None
    max_leverage: Number | None
    max_positions: int | None
    max_daily_loss: Number | None
    is_risk_limited: bool
    positions: tuple[PaperPosition, ...]
    created_at: str | None
    missing: tuple[str, ...]


class PaperAccountPage(msgspec.Struct, frozen=True):
    """Paper accounts."""

    accounts: tuple[PaperAccount, ...]
    total_count: int


class PaperOrder(msgspec.Struct, frozen=True):
    """An order. `status`: also `denied` (by us: `reason_code` is the limit's), `held` (waits for its parent) and
    `unknown` (it is being asked for)."""

    order_id: str
    client_order_id: str
    session_id: str
    symbol: str
    side: str
    order_type: str
    quantity: Number
    price: Number | None
    stop_price: Number | None
    trail_amount: Number | None
    trail_percent: Number | None
    time_in_force: str
    status: str
    filled_quantity: Number
    remaining_quantity: Number
    average_fill_price: Number | None
    commission: Number
    commission_currency: str
    reason_code: str
    reason: str
    post_only: bool
    reduce_only: bool
    display_quantity: Number | None
    parent: str
    oco_group: str
    leg: str
    deployment_id: str
    signal_id: str
    source: str
    pending: str
    created_at: str | None
    updated_at: str | None


class PaperOrdered(msgspec.Struct, frozen=True):
    """The order as it stands, and those of its bracket; `metadata` as it came."""

    order: PaperOrder
    bracket: tuple[PaperOrder, ...]
    metadata: dict[str, Any]


class PaperOrderPage(msgspec.Struct, frozen=True):
    """Orders, that which changed last first. `next`: what `before` is for the next page."""

    orders: tuple[PaperOrder, ...]
    next: int | None
    behind: int


class PortfolioBody(msgspec.Struct, frozen=True):
    """What a session holds."""

    session_id: str
    currency: str
    cash: Number
    total_value: Number | None
    positions_value: Number | None
    available_balance: Number | None
    margin_used: Number | None
    realized_pnl: Number
    unrealized_pnl: Number | None
    total_pnl: Number | None
    daily_pnl: Number | None
    total_commission: Number
    positions: tuple[PaperPosition, ...]
    missing: tuple[str, ...]
    updated_at: str | None


class PortfolioPoint(msgspec.Struct, frozen=True):
    """A sample of what a session was worth."""

    timestamp: str
    total_value: Number
    cash: Number
    unrealized_pnl: Number
    peak_value: Number
    drawdown: float | None


class PortfolioHistory(msgspec.Struct, frozen=True):
    """Samples, the newest first."""

    session_id: str
    history: tuple[PortfolioPoint, ...]
    next: int | None
    behind: int


class PerformanceBody(msgspec.Struct, frozen=True):
    """What a session has come to. Round trips are from flat to flat, after costs; ratios are shares (0.1 is 10 %).

    `unknown`: what is null, and why.
    """

    session_id: str
    currency: str
    initial_capital: Number
    current_value: Number | None
    total_return: float | None
    total_pnl: Number | None
    realized_pnl: Number
    unrealized_pnl: Number | None
    total_commission: Number
    total_trades: int
    winning_trades: int
    losing_trades: int
    win_rate: float | None
    gross_profit: Number
    gross_loss: Number
    profit_factor: float | None
    best_trade: Number | None
    worst_trade: Number | None
    average_return_per_trade: float | None
    average_holding_s: float | None
    max_drawdown: Number | None
    max_drawdown_pct: float | None
    sharpe_ratio: float | None
    volatility: float | None
    days: int
    samples: int
    unknown: dict[str, str]


class PerformancePage(msgspec.Struct, frozen=True):
    """The performance of paper accounts."""

    accounts: tuple[PerformanceBody, ...]
    total_count: int


def status_of(view: AccountView) -> str:
    """The status of a session in one word."""
    if view.state != "trading":
        return "starting"
    if view.trading == "halted":
        return "stopped" if view.trading_reason.startswith("stopped") else "halted"
    return view.trading


def spec_of(opened: AccountOpened) -> AccountSpec:
    """What an account was opened with."""
    return msgspec.json.decode(opened.settings, type=AccountSpec)


def session_body(view: AccountView, opened: AccountOpened, strategy_id: str | None) -> SessionBody:
    """A session."""
    spec = spec_of(opened)
    fills = spec.engine.fills
    return SessionBody(
        session_id=view.session or view.account,
        account_id=view.account,
        name=view.name,
        description=spec.description,
        user=view.user,
        strategy_id=strategy_id,
        deployment_ids=view.deployments,
        status=status_of(view),
        status_reason=view.trading_reason,
        currency=view.currency,
        initial_capital=known_plain(view.initial_capital),
        current_capital=plain(view.equity),
        available_balance=plain(view.available),
        commission_rate=plain(fills.fees.taker),
        slippage_rate=plain(fills.slippage.share if fills.slippage.model == "share" else None),
        symbols=spec.markets,
        total_trades=view.fills,
        open_orders=view.open_orders,
        created_at=moment(opened.created),
        missing=view.missing,
    )


def paper_position(shown: PositionShown) -> PaperPosition:
    """A position."""
    return PaperPosition(
        symbol=shown.market,
        side="long" if shown.quantity > 0 else "short" if shown.quantity < 0 else "flat",
        quantity=known_number(abs(shown.quantity)),
        avg_price=number(shown.average_price),
        current_price=number(shown.price),
        market_value=plain(shown.value),
        unrealized_pnl=plain(shown.unrealized),
        realized_pnl=known_plain(shown.realized),
        opened_at=moment(shown.opened),
    )


def difference(later: str | None, before: str | None) -> msgspec.Raw | None:
    """Of two sums of money; None where one is not known."""
    return None if later is None or before is None else known_number(exact_nanos(later) - exact_nanos(before))


def paper_account(
    view: AccountView, opened: AccountOpened, limits: RiskLimits, sums: TradeSums, drawdown: float | None
) -> PaperAccount:
    """A paper account."""
    return PaperAccount(
        account_id=view.account,
        session_id=view.session or None,
        name=view.name,
        user=view.user,
        currency=view.currency,
        status=status_of(view),
        initial_capital=known_plain(view.initial_capital),
        current_capital=plain(view.equity),
        available_balance=plain(view.available),
        margin_used=plain(view.margin_used),
        total_pnl=difference(view.equity, view.initial_capital),
        realized_pnl=known_plain(view.realized),
        unrealized_pnl=plain(view.unrealized),
        daily_pnl=difference(view.equity, view.day_start),
        total_commission=known_plain(view.fees),
        win_rate=sums.won / sums.count if sums.count else None,
        total_trades=sums.count,
        max_drawdown=drawdown,
        max_leverage=plain(limits.max_leverage),
        max_positions=limits.max_positions,
        max_daily_loss=plain(limits.max_daily_loss),
        is_risk_limited=view.trading != "active" or view.breaker != "closed" or bool(view.locks),
        positions=tuple(map(paper_position, view.positions)),
        created_at=moment(opened.created),
        missing=view.missing,
    )


def paper_order(shown: Order, session: str) -> PaperOrder:
    """An order."""
    order = shown.order
    return PaperOrder(
        order_id=order.client_order_id,
        client_order_id=order.client_order_id,
        session_id=session,
        symbol=order.market,
        side=order.side,
        order_type=order.kind,
        quantity=known_number(order.size),
        price=number(order.price),
        stop_price=number(order.stop_price),
        trail_amount=number(order.trail),
        trail_percent=number(order.trail_share),
        time_in_force=order.time_in_force,
        status=shown.state,
        filled_quantity=known_number(shown.filled),
        remaining_quantity=known_number(max(0, order.size - shown.filled)),
        average_fill_price=number(shown.average_price),
        commission=known_number(shown.fees),
        commission_currency=shown.fee_currency,
        reason_code=shown.reason_code,
        reason=shown.reason,
        post_only=order.post_only,
        reduce_only=order.reduce_only,
        display_quantity=number(order.display),
        parent=order.parent,
        oco_group=order.oco,
        leg=order.leg,
        deployment_id=order.deployment_id,
        signal_id=order.signal_id,
        source=order.source,
        pending=shown.pending,
        created_at=moment(shown.ts_created),
        updated_at=moment(shown.ts_updated),
    )


def portfolio_body(view: AccountView) -> PortfolioBody:
    """What a session holds."""
    values = [each.value for each in view.positions]
    known = [exact_nanos(each) for each in values if each is not None]
    return PortfolioBody(
        session_id=view.session or view.account,
        currency=view.currency,
        cash=known_plain(view.cash),
        total_value=plain(view.equity),
        positions_value=known_number(sum(known)) if len(known) == len(values) else None,
        available_balance=plain(view.available),
        margin_used=plain(view.margin_used),
        realized_pnl=known_plain(view.realized),
        unrealized_pnl=plain(view.unrealized),
        total_pnl=difference(view.equity, view.initial_capital),
        daily_pnl=difference(view.equity, view.day_start),
        total_commission=known_plain(view.fees),
        positions=tuple(map(paper_position, view.positions)),
        missing=view.missing,
        updated_at=moment(view.ts),
    )


def portfolio_point(row: ExecutionEquityRow) -> PortfolioPoint:
    """A sample."""
    peak, equity = exact_nanos(row.peak), exact_nanos(row.equity)
    return PortfolioPoint(
        timestamp(row.ts),
        known_plain(row.equity),
        known_plain(row.cash),
        known_plain(row.unrealized),
        known_plain(row.peak),
        (peak - equity) / peak if peak > 0 else None,
    )
