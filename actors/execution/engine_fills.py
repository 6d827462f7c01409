"""What follows from fills: what deployments count, what the hub is told of signals, which round trips have ended."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from actors.execution.accounts.round_trips import ClosedTrade
from actors.execution.blotter import Working
from actors.execution.risk.protections import ClosedTrade as RiskTrade
from actors.execution.risk.protections import exit_of
from protocols.nanos import NANO, exact_nanos
from protocols.orders import Fill
from protocols.signals import UpdateSignal

if TYPE_CHECKING:
    from actors.execution.engine import Engine

MOST_RETURNS: Final = 1000


def count_fill(engine: Engine, working: Working, fill: Fill, ts: int) -> None:
    """A fill is in the account: its deployment counts it, and the hub is to be told of its signal."""
    order = working.order
    market = order.market
    engine.seen_marks.update(order.marks)
    engine.last_fill = max(engine.last_fill, fill.ts_event)
    engine.last_change = ts
    _note_opened(engine, "", market, engine.account.net_position(market), ts)
    deployment = engine.deployments.get(order.deployment_id)
    if deployment is not None:
        own = engine.account.deployment_position(deployment.id, market)
        _note_opened(engine, deployment.id, market, own, ts)
        deployment.fills += 1
        if working.filled == fill.size and not order.reduce_only:
            deployment.entered[market] = deployment.entered.get(market, 0) + 1
        if not own:
            deployment.entered.pop(market, None)
    if order.signal_id and order.source == "signal":
        engine.updates.append(_update(working, fill))


def _note_opened(engine: Engine, deployment_id: str, market: str, quantity: int, ts: int) -> None:
    if quantity:
        engine.opened.setdefault((deployment_id, market), ts)
    else:
        engine.opened.pop((deployment_id, market), None)


def _update(working: Working, fill: Fill) -> UpdateSignal:
    order = working.order
    return UpdateSignal(
        signal_id=order.signal_id,
        status="executed",
        deployment_id=order.deployment_id or None,
        decision_id=order.decision_id or None,
        client_order_id=order.client_order_id,
        executed_quantity=working.filled,
        execution_price=None if not working.filled else working.cost // working.filled,
        ts_executed=fill.ts_event,
        pnl=exact_nanos(fill.realized) if order.reduce_only else None,
        currency=fill.currency,
        slippage=fill.why.slippage / NANO,
        fill_rate=working.filled / order.size,
    )


def close_trades(engine: Engine, ts: int) -> bool:
    """Round trips that have ended: risk learns from them, their deployments count them. Whether there was any news."""
    trades = engine.account.take_trades()
    for trade in trades:
        engine.trades.append(trade)
        if trade.open:
            continue
        engine.gate.on_round_trip(
            RiskTrade(
                market=trade.market,
                side=trade.side,
                ts_closed=trade.exit_ts,
                profit=trade.pnl,
                stake=abs(trade.entry_cost),
                exit=_exit_of(engine, trade),
                deployment_id=trade.deployment_id,
            ),
            ts,
        )
        deployment = engine.deployments.get(trade.deployment_id)
        if deployment is not None:
            deployment.trades += 1
            deployment.wins += trade.pnl > 0
            if trade.return_ is not None:
                deployment.returns.append(trade.return_ / NANO)
                del deployment.returns[:-MOST_RETURNS]
    return bool(trades)


def _exit_of(engine: Engine, trade: ClosedTrade) -> str:
    closer = engine.blotter.get(trade.exit_client_order_id)
    return trade.exit_reason if closer is None else exit_of(closer.order)
