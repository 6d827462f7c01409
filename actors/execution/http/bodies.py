"""What execution answers with under `/api/v1`: money, prices and sizes as decimal strings, times in ISO 8601."""

from __future__ import annotations

from typing import Any

import msgspec

from actors.execution.accounts.rows import ExecutionEquityRow, ExecutionFillRow, ExecutionLedgerRow
from actors.execution.http.numbers import moment, string
from actors.execution.more_rows import ExecutionTradeRow, ExecutionVerdictRow
from protocols.deployments import PositionShown
from protocols.execution import AccountView, DeploymentView, FlattenView
from protocols.nanos import NANO, decimal_text, exact_nanos
from protocols.orders import Fill, Order, Why
from protocols.signal_stream import FreeObject, timestamp


class PositionBody(msgspec.Struct, frozen=True):
    """A position. `price`: at which it could be left, `value`: what that would bring (a short one costs: negative),
    `unrealized`: the profit that it would take; null: not known. `invested`: money that left the cash for it."""

    symbol: str
    side: str
    quantity: str
    average_price: str | None
    price: str | None
    value: str | None
    unrealized: str | None
    invested: str
    realized: str
    opened_at: str | None


class LockBody(msgspec.Struct, frozen=True):
    """What a protection has locked, and until when."""

    symbol: str
    side: str
    reason: str
    until: str | None
    deployment_id: str


class AccountBody(msgspec.Struct, frozen=True):
    """How an account stands. Null: a price is missing; `missing` says of which markets and currencies."""

    account_id: str
    user: str
    name: str
    mode: str
    session_id: str
    currency: str
    state: str
    trading: str
    trading_reason: str
    breaker: str
    cash: str
    equity: str | None
    available: str | None
    margin_used: str | None
    realized: str
    unrealized: str | None
    fees: str
    initial_capital: str
    day_start_equity: str | None
    peak_equity: str | None
    positions: tuple[PositionBody, ...]
    open_orders: int
    orders: int
    fills: int
    inputs: int
    deployments: tuple[str, ...]
    locks: tuple[LockBody, ...]
    missing: tuple[str, ...]
    marks: tuple[str, ...]
    updated_at: str | None
    recovered_inputs: int
    recovery_ms: float


class OrderBody(msgspec.Struct, frozen=True):
    """An order as it stands. `price` and `side` are those of the YES book; `leg_price` those of the leg NO."""

    client_order_id: str
    account_id: str
    symbol: str
    side: str
    order_type: str
    quantity: str
    price: str | None
    stop_price: str | None
    trail_amount: str | None
    trail_percent: str | None
    time_in_force: str
    expires_at: str | None
    post_only: bool
    reduce_only: bool
    display_quantity: str | None
    max_slippage: str | None
    parent: str
    oco_group: str
    position_side: str
    leg: str
    leg_price: str | None
    state: str
    filled: str
    average_price: str | None
    fees: str
    fee_currency: str
    venue_order_id: str
    pending: str
    triggered: bool
    reason_code: str
    reason: str
    queue_ahead: str | None
    deployment_id: str
    signal_id: str
    decision_id: str
    source: str
    marks: tuple[str, ...]
    created_at: str | None
    updated_at: str | None
    version: int


class WhyBody(msgspec.Struct, frozen=True):
    """Why a fill happened: what decided, the queue in front, the market message, the latencies (ns), the slippage."""

    model: str
    queue_ahead_at_rest: str | None
    queue_ahead_at_fill: str | None
    session: str
    seq: int
    trade_id: str
    entry_ns: int
    response_ns: int
    slippage: str
    ambiguous: bool
    note: str


class FillBody(msgspec.Struct, frozen=True):
    """A part of an order that was traded. `executed_at`: when the venue did it; `told_at`: when we heard."""

    seq: int
    fill_id: str
    client_order_id: str
    account_id: str
    deployment_id: str
    signal_id: str
    decision_id: str
    symbol: str
    side: str
    leg: str
    price: str
    quantity: str
    notional: str
    currency: str
    fee: str
    fee_currency: str
    liquidity: str
    realized: str
    position: str
    executed_at: str
    told_at: str
    why: WhyBody
    marks: tuple[str, ...]


class PostingBody(msgspec.Struct, frozen=True):
    """One posting; those of an `entry` add up to nothing in each currency."""

    seq: int
    entry: int
    timestamp: str
    kind: str
    reference: str
    ledger_account: str
    currency: str
    amount: str
    symbol: str
    deployment_id: str


class EquityBody(msgspec.Struct, frozen=True):
    """A sample of equity. `drawdown`: below the peak, a share of it."""

    seq: int
    timestamp: str
    equity: str
    cash: str
    unrealized: str
    peak: str
    day_start: str
    drawdown: float | None


class RoundTripBody(msgspec.Struct, frozen=True):
    """A round trip, from flat to flat. `mae`, `mfe`: the worst and the best it stood at."""

    seq: int
    account_id: str
    deployment_id: str
    signal_id: str
    symbol: str
    side: str
    quantity: str
    entry_at: str
    entry_price: str
    exit_at: str
    exit_price: str
    pnl: str
    fees: str
    funding: str
    currency: str
    return_share: float | None
    mae: str | None
    mfe: str | None
    exit_reason: str


class VerdictBody(msgspec.Struct, frozen=True):
    """What a deployment made of a signal: its orders, or the code and the reason why none."""

    seq: int
    timestamp: str
    deployment_id: str
    signal_id: str
    signal_seq: int
    orders: tuple[str, ...]
    code: str
    reason: str


class DeploymentBody(msgspec.Struct, frozen=True):
    """A deployment and what it has done. `settings`: what it was started with."""

    deployment_id: str
    strategy_id: str
    account_id: str
    user: str
    name: str
    mode: str
    state: str
    reason: str
    created_at: str | None
    signals: int
    declined: int
    orders: int
    fills: int
    realized: str
    unrealized: str | None
    fees: str
    positions: tuple[PositionBody, ...]
    settings: FreeObject


class FlattenBody(msgspec.Struct, frozen=True):
    """How far the kill switch is with an account. `left`: what its deadlines left behind."""

    account_id: str
    phase: str
    reason: str
    open_orders: int
    positions: int
    left: tuple[str, ...]


def position_body(shown: PositionShown) -> PositionBody:
    """A position."""
    quantity = shown.quantity
    return PositionBody(
        symbol=shown.market,
        side="long" if quantity > 0 else "short" if quantity < 0 else "flat",
        quantity=decimal_text(abs(quantity)),
        average_price=string(shown.average_price),
        price=string(shown.price),
        value=shown.value,
        unrealized=shown.unrealized,
        invested=shown.invested,
        realized=shown.realized,
        opened_at=moment(shown.opened),
    )


def account_body(view: AccountView) -> AccountBody:
    """An account."""
    return AccountBody(
        account_id=view.account,
        user=view.user,
        name=view.name,
        mode=view.mode,
        session_id=view.session,
        currency=view.currency,
        state=view.state,
        trading=view.trading,
        trading_reason=view.trading_reason,
        breaker=view.breaker,
        cash=view.cash,
        equity=view.equity,
        available=view.available,
        margin_used=view.margin_used,
        realized=view.realized,
        unrealized=view.unrealized,
        fees=view.fees,
        initial_capital=view.initial_capital,
        day_start_equity=view.day_start,
        peak_equity=view.peak,
        positions=tuple(map(position_body, view.positions)),
        open_orders=view.open_orders,
        orders=view.orders,
        fills=view.fills,
        inputs=view.inputs,
        deployments=view.deployments,
        locks=tuple(
            LockBody(lock.market, lock.side, lock.reason, moment(lock.until), lock.deployment_id) for lock in view.locks
        ),
        missing=view.missing,
        marks=view.marks,
        updated_at=moment(view.ts),
        recovered_inputs=view.recovered,
        recovery_ms=view.recovery_ms,
    )


def order_body(shown: Order) -> OrderBody:
    """An order."""
    order = shown.order
    return OrderBody(
        client_order_id=order.client_order_id,
        account_id=shown.account,
        symbol=order.market,
        side=order.side,
        order_type=order.kind,
        quantity=decimal_text(order.size),
        price=string(order.price),
        stop_price=string(order.stop_price),
        trail_amount=string(order.trail),
        trail_percent=string(order.trail_share),
        time_in_force=order.time_in_force,
        expires_at=moment(order.expires or 0),
        post_only=order.post_only,
        reduce_only=order.reduce_only,
        display_quantity=string(order.display),
        max_slippage=string(order.protection),
        parent=order.parent,
        oco_group=order.oco,
        position_side=order.position_side,
        leg=order.leg,
        leg_price=string(NANO - order.price) if order.leg == "NO" and order.price is not None else None,
        state=shown.state,
        filled=decimal_text(shown.filled),
        average_price=string(shown.average_price),
        fees=decimal_text(shown.fees),
        fee_currency=shown.fee_currency,
        venue_order_id=shown.venue_order_id,
        pending=shown.pending,
        triggered=shown.triggered,
        reason_code=shown.reason_code,
        reason=shown.reason,
        queue_ahead=string(shown.queue_ahead),
        deployment_id=order.deployment_id,
        signal_id=order.signal_id,
        decision_id=order.decision_id,
        source=order.source,
        marks=order.marks,
        created_at=moment(shown.ts_created),
        updated_at=moment(shown.ts_updated),
        version=shown.version,
    )


def why_body(why: Why) -> WhyBody:
    """Why a fill happened."""
    return WhyBody(
        why.model,
        string(why.queue_ahead_at_rest),
        string(why.queue_ahead_at_fill),
        why.session,
        why.seq,
        why.trade_id,
        why.entry_ns,
        why.response_ns,
        decimal_text(why.slippage),
        why.ambiguous,
        why.note,
    )


def fill_body(fill: Fill) -> FillBody:
    """A fill."""
    return FillBody(
        seq=fill.seq,
        fill_id=fill.fill_id,
        client_order_id=fill.client_order_id,
        account_id=fill.account,
        deployment_id=fill.deployment_id,
        signal_id=fill.signal_id,
        decision_id=fill.decision_id,
        symbol=fill.market,
        side=fill.side,
        leg=fill.leg,
        price=decimal_text(fill.price),
        quantity=decimal_text(fill.size),
        notional=canonical(fill.notional),
        currency=fill.currency,
        fee=decimal_text(fill.fee),
        fee_currency=fill.fee_currency,
        liquidity=fill.liquidity,
        realized=canonical(fill.realized),
        position=decimal_text(fill.position),
        executed_at=timestamp(fill.ts_event),
        told_at=timestamp(fill.ts),
        why=why_body(fill.why),
        marks=fill.marks,
    )


def fill_row_body(row: ExecutionFillRow) -> FillBody:
    """A stored fill."""
    return fill_body(row.fill())


def posting_body(row: ExecutionLedgerRow) -> PostingBody:
    """A posting."""
    return PostingBody(
        row.seq,
        row.entry,
        timestamp(row.ts),
        row.kind,
        row.reference,
        row.ledger_account,
        row.currency,
        canonical(row.amount),
        row.market,
        row.deployment_id,
    )


def equity_body(row: ExecutionEquityRow) -> EquityBody:
    """A sample."""
    peak, equity = exact_nanos(row.peak), exact_nanos(row.equity)
    return EquityBody(
        row.seq,
        timestamp(row.ts),
        canonical(row.equity),
        canonical(row.cash),
        canonical(row.unrealized),
        canonical(row.peak),
        canonical(row.day_start),
        (peak - equity) / peak if peak > 0 else None,
    )


def trade_body(row: ExecutionTradeRow) -> RoundTripBody:
    """A round trip."""
    return RoundTripBody(
        seq=row.seq,
        account_id=row.account,
        deployment_id=row.deployment_id,
        signal_id=row.signal_id,
        symbol=row.market,
        side=row.side,
        quantity=decimal_text(row.size),
        entry_at=timestamp(row.entry_ts),
        entry_price=decimal_text(row.entry_price),
        exit_at=timestamp(row.exit_ts),
        exit_price=decimal_text(row.exit_price),
        pnl=canonical(row.pnl),
        fees=canonical(row.fees),
        funding=canonical(row.funding),
        currency=row.currency,
        return_share=row.return_share,
        mae=None if row.mae is None else canonical(row.mae),
        mfe=None if row.mfe is None else canonical(row.mfe),
        exit_reason=row.exit_reason,
    )


def verdict_body(row: ExecutionVerdictRow) -> VerdictBody:
    """A verdict."""
    return VerdictBody(
        row.seq,
        timestamp(row.ts),
        row.deployment_id,
        row.signal_id,
        row.signal_seq,
        row.orders,
        row.code,
        row.reason,
    )


def deployment_body(view: DeploymentView) -> DeploymentBody:
    """A deployment."""
    return DeploymentBody(
        deployment_id=view.deployment_id,
        strategy_id=view.strategy_id,
        account_id=view.account,
        user=view.user,
        name=view.name,
        mode=view.mode,
        state=view.state,
        reason=view.reason,
        created_at=moment(view.created),
        signals=view.signals,
        declined=view.declined,
        orders=view.orders,
        fills=view.fills,
        realized=view.realized,
        unrealized=view.unrealized,
        fees=view.fees,
        positions=tuple(map(position_body, view.positions)),
        settings=view.settings,
    )


def flatten_body(view: FlattenView) -> FlattenBody:
    """How far the kill switch is."""
    return FlattenBody(view.account, view.phase, view.reason, view.open_orders, view.positions, view.left)


def canonical(text: str) -> str:
    """Decimal text without an exponent, as the database may write it."""
    return decimal_text(exact_nanos(text))


def raw(value: Any) -> msgspec.Raw:
    """A value as JSON."""
    return msgspec.Raw(msgspec.json.encode(value))
