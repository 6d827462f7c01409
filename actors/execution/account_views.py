"""An account and its deployments as others see them: views of an engine. A core."""

from __future__ import annotations

from typing import Final

import msgspec

from actors.execution.accounts.booking import collateral
from actors.execution.accounts.positions import Position
from actors.execution.accounts.valuation import exit_value, unrealized
from actors.execution.blotter import Working
from actors.execution.deployments import Deployment
from actors.execution.engine import Engine
from protocols.deployments import AccountShown, DeployRun, PositionShown, RuleMeasure, RuleShown
from protocols.execution import AccountView, DeploymentView, FlattenView, LockShown
from protocols.nanos import NANO, decimal_text
from protocols.orders import Order

NOTHING = msgspec.Raw(b"{}")


def text(amount: int | None) -> str | None:
    """Money as decimal text; None stays unknown."""
    return None if amount is None else decimal_text(amount)


def position_shown(engine: Engine, position: Position) -> PositionShown:
    """A position with what it could be left at."""
    mark = engine.marks.get(position.market)
    opened = engine.opened.get((position.deployment_id, position.market), 0)
    return PositionShown(
        market=position.market,
        quantity=position.quantity,
        average_price=position.average_price(),
        invested=decimal_text(_invested(position)),
        realized=decimal_text(position.realized),
        price=None if mark is None or not position.quantity else mark.exit(position.quantity),
        opened=opened,
        value=text(exit_value(position, engine.marks)),
        unrealized=text(unrealized(position, engine.marks)),
    )


def _invested(position: Position) -> int:
    """Money that left the cash for it: the cost, with the collateral of a short prediction; nothing on margin."""
    if position.booking == "margin":
        return 0
    if position.booking == "prediction":
        return position.cost + collateral(position, position.quantity)
    return position.cost


def account_shown(engine: Engine, deployment: Deployment) -> AccountShown:
    """The part of the account that is a deployment's."""
    settings = deployment.settings
    positions = engine.account.deployment_positions(deployment.id)
    made = engine.profit_of(deployment.id)
    capital = deployment.capital
    realized = sum(each.realized for each in positions)
    fees = sum(each.fees for each in positions)
    funding = sum(each.funding for each in positions)
    invested = sum(_invested(each) for each in positions)
    cash = engine.account.cash() if capital is None else capital + realized - fees - funding - invested
    return AccountShown(
        deployment_id=deployment.id,
        account=settings.account,
        currency=engine.settings.account.currency,
        cash=cash,
        equity=None if made is None or capital is None else capital + made,
        positions=tuple(position_shown(engine, each) for each in positions if each.quantity or each.realized),
        realized=decimal_text(realized),
        fees=fees,
        ts=engine.now,
        initial=capital,
        trades=deployment.trades,
        wins=deployment.wins,
        rules=tuple(rules(engine, deployment)),
    )


MEASURES: Final[dict[str, RuleMeasure]] = {
    "max_order_size": "order_size",
    "max_order_notional": "order_notional",
    "max_position": "position_size",
    "max_exposure": "exposure",
    "max_positions": "positions",
}
"""What the limits that a strategy can check for itself are compared with; the others are figures of the account."""


def rules(engine: Engine, deployment: Deployment) -> list[RuleShown]:
    """The limits that a deployment is under, those of its account first."""
    found: list[RuleShown] = []
    for limits, scope in ((engine.settings.limits, ""), (deployment.settings.limits, deployment.id)):
        for name in limits.__struct_fields__:
            value = getattr(limits, name)
            if value is None or isinstance(value, bool | tuple):
                continue
            used = _used(engine, name, scope)
            found.append(RuleShown(name=name, limit=str(value), used=used, measure=MEASURES.get(name, "level")))
    return found


def _used(engine: Engine, name: str, scope: str) -> str | None:
    """How much of a limit is used, as decimal text; None: not known, or nothing that can be used up."""
    equity = engine.equity(scope)
    if name == "max_positions":
        return str(len(list(engine.positions(scope))))
    if name == "max_open_orders":
        return str(len(list(engine.open_orders(deployment_id=scope))))
    if name == "max_exposure":
        return text(engine.account.gross_exposure())
    if equity is None or equity <= 0:
        return None
    if name == "max_daily_loss" and (start := engine.day_start_equity(scope)):
        return text(max(0, start - equity) * NANO // start)
    if name == "max_drawdown" and (peak := engine.peak_equity(scope)):
        return text(max(0, peak - equity) * NANO // peak)
    if name in ("max_exposure_share", "max_leverage") and (gross := engine.account.gross_exposure()) is not None:
        return text(gross * NANO // equity)
    return None


def open_orders(engine: Engine, deployment_id: str = "") -> tuple[Order, ...]:
    """Open orders, of one deployment or of all."""
    account = engine.blotter.account
    return tuple(
        working.shown(account)
        for working in engine.blotter
        if not deployment_id or working.order.deployment_id == deployment_id
    )


def deploy_run(engine: Engine, deployment: Deployment, path: str) -> DeployRun:
    """What a run is told of its deployment."""
    markets = deployment.settings.markets
    return DeployRun(
        deployment_id=deployment.id,
        account=path,
        currency=engine.settings.account.currency,
        markets=markets,
        shown=account_shown(engine, deployment),
        open_orders=open_orders(engine, deployment.id),
        instruments=tuple(engine.instruments[market] for market in markets if market in engine.instruments),
    )


def account_view(
    engine: Engine, *, mode: str, state: str, name: str, session: str, missing: tuple[str, ...], **figures: float
) -> AccountView:
    """How an account stands."""
    account = engine.account
    settings = engine.settings.account
    return AccountView(
        account=settings.account_id,
        user=settings.user,
        name=name,
        mode=mode,  # type: ignore[arg-type]
        session=session,
        currency=settings.currency,
        state=state,  # type: ignore[arg-type]
        trading=engine.trading,
        trading_reason=engine.trading_reason,
        breaker=engine.gate.breaker_state(engine.now),
        cash=decimal_text(account.cash()),
        equity=text(account.equity()),
        available=text(account.available()),
        margin_used=text(account.margin_used()),
        realized=decimal_text(account.realized()),
        unrealized=text(account.unrealized()),
        fees=decimal_text(account.fees_paid()),
        initial_capital=settings.initial_capital,
        day_start=text(account.curve.day_start),
        peak=text(account.curve.peak),
        positions=tuple(position_shown(engine, each) for each in account.positions()),
        open_orders=len(engine.blotter.open),
        orders=engine.blotter.orders,
        fills=engine.blotter.fills,
        inputs=engine.inputs,
        deployments=tuple(engine.deployments),
        locks=tuple(
            LockShown(lock.market, lock.side, lock.reason, lock.until, lock.deployment_id)
            for lock in engine.gate.locks(engine.now)
        ),
        missing=tuple(sorted({*account.unvalued(), *missing})),
        marks=tuple(sorted(engine.seen_marks)),
        ts=engine.now,
        recovered=int(figures.get("recovered", 0)),
        recovery_ms=float(figures.get("recovery_ms", 0.0)),
    )


def deployment_view(engine: Engine, deployment: Deployment) -> DeploymentView:
    """A deployment's figures."""
    settings = deployment.settings
    positions = engine.account.deployment_positions(deployment.id)
    open_profit: int | None = 0
    for each in positions:
        profit = unrealized(each, engine.marks)
        open_profit = None if profit is None or open_profit is None else open_profit + profit
    return DeploymentView(
        deployment_id=deployment.id,
        strategy_id=settings.strategy_id,
        account=settings.account,
        user=settings.user,
        name=settings.name,
        mode=settings.mode,
        state=deployment.state,
        reason=deployment.reason,
        settings=msgspec.Raw(msgspec.json.encode(settings)),
        created=0,
        signals=deployment.signals,
        declined=deployment.declined,
        orders=deployment.orders,
        fills=deployment.fills,
        realized=decimal_text(sum(each.realized for each in positions)),
        unrealized=text(open_profit),
        fees=decimal_text(sum(each.fees for each in positions)),
        positions=tuple(position_shown(engine, each) for each in positions if each.quantity),
    )


def flatten_view(engine: Engine) -> FlattenView:
    """How far the kill switch is."""
    flattening = engine.flattening
    return FlattenView(
        account=engine.blotter.account,
        phase=flattening.phase,
        reason=flattening.reason,
        open_orders=len(engine.blotter.open),
        positions=len(engine.account.net_positions()),
        left=flattening.left,
    )


def chosen(
    engine: Engine, *, client_order_id: str, market: str, deployment_id: str, ended: bool, limit: int
) -> tuple[Order, ...]:
    """Orders that fit, the newest first."""
    account = engine.blotter.account
    if client_order_id:
        one = engine.blotter.get(client_order_id)
        return () if one is None else (one.shown(account),)
    found: list[Working] = [*engine.blotter.open.values(), *(engine.blotter.ended.values() if ended else ())]
    found = [
        each
        for each in found
        if (not market or each.order.market == market)
        and (not deployment_id or each.order.deployment_id == deployment_id)
    ]
    found.sort(key=lambda each: (each.ts_created, each.order.client_order_id), reverse=True)
    return tuple(each.shown(account) for each in found[:limit])
