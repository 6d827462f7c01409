"""What an engine does with its own inputs (`inputs.OwnInput`), new orders and definitions of markets.

`HANDLERS` names the function of each kind. What was due before the input is done by then, and `engine.now` is its time.
What cannot be done changes nothing, and is told in `engine.problems`.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any, Final

from actors.execution.engine_signals import deploy, move_deployment, skip_signals, take_signal
from actors.execution.inputs import (
    AlignCash,
    AlignPosition,
    Deploy,
    Deposit,
    Flatten,
    MoveDeployment,
    Opened,
    Restarted,
    SenderEnded,
    SetBreaker,
    SetLimits,
    SettleMarket,
    SetTrading,
    SkipSignals,
    TakeSignal,
    Unlock,
)
from protocols.instruments import Instrument
from protocols.market import BookStale
from protocols.orders import (
    AmendOrder,
    CancelOrder,
    CancelOrders,
    NewOrder,
    Side,
    SubmitOrders,
    VenueFilled,
    Why,
)

if TYPE_CHECKING:
    from actors.execution.engine import Engine

EXTERNAL: Final = "external"
"""Whose positions are that a venue held before we did."""
MOST_TRANSFERS: Final = 10_000


# -- markets and orders ------------------------------------------------------------------------------------------------


def _define(engine: Engine, instrument: Instrument) -> None:
    try:
        engine.account.define(instrument)
    except ValueError as error:  # it does not fit what is held: what was agreed stays
        engine.problems.append(str(error))
        return
    engine.instruments[instrument.market] = instrument
    engine.venue.define(instrument)


def _settle_market(engine: Engine, item: SettleMarket) -> None:
    try:
        if item.value is None:
            engine.account.unsettle(item.market, item.reference, engine.now)
        else:
            engine.account.settle(item.market, item.value, engine.now, reference=item.reference)
    except ValueError as error:
        engine.problems.append(str(error))


def _submit(engine: Engine, item: SubmitOrders) -> None:
    engine.submit(item.orders, engine.now)


def _cancel(engine: Engine, item: CancelOrder) -> None:
    engine.cancel(item.client_order_id, engine.now)


def _cancel_many(engine: Engine, item: CancelOrders) -> None:
    engine.cancel_many(item.market, item.deployment_id, engine.now)


def _amend(engine: Engine, item: AmendOrder) -> None:
    engine.amend(item, engine.now)


# -- money -------------------------------------------------------------------------------------------------------------


def _open(engine: Engine, item: Opened) -> None:
    engine.account.open(engine.now)


def _deposit(engine: Engine, item: Deposit) -> None:
    if item.reference and item.reference in engine.transfers:
        return
    try:
        engine.account.deposit(item.amount, engine.now, currency=item.currency, reference=item.reference)
    except ValueError as error:
        engine.problems.append(str(error))
        return
    engine.transfers[item.reference] = None
    if len(engine.transfers) > MOST_TRANSFERS:
        del engine.transfers[next(iter(engine.transfers))]
    if item.currency in ("", engine.settings.account.currency):
        engine.gate.on_transfer(item.amount, engine.now)
        for deployment in engine.deployments.values():
            deployment.flow(item.amount)
    engine.sample_at = 0


def _align_cash(engine: Engine, item: AlignCash) -> None:
    own = item.currency or engine.settings.account.currency
    bases = {each.base: market for market, each in engine.instruments.items() if each.kind == "spot"}
    held = engine.account.net_position(bases[own]) if own in bases else 0
    difference = item.total - held - engine.account.cash(own)
    if difference:
        engine.account.adjust(difference, engine.now, currency=own, reference=item.reference)
    engine.sample_at = 0


def _align_position(engine: Engine, item: AlignPosition) -> None:
    """Booked as a fill of an order of the venue's, at what it could be left at; money is aligned after it."""
    missing = item.quantity - engine.account.net_position(item.market)
    mark = engine.marks.get(item.market)
    price = None if mark is None else mark.exit(item.quantity or -missing)
    if not missing or price is None:
        return
    name = f"align-{item.market}-{item.reference}"
    if name in engine.blotter:
        return
    side: Side = "buy" if missing > 0 else "sell"
    order = NewOrder(
        client_order_id=name,
        market=item.market,
        side=side,
        kind="market",
        size=abs(missing),
        source="external",
        deployment_id=EXTERNAL,
    )
    engine.blotter.add(order, "accepted", "accepted", engine.now)
    engine.report(
        VenueFilled(
            client_order_id=name,
            fill_id=name,
            market=item.market,
            side=side,
            price=price,
            size=abs(missing),
            liquidity="taker",
            fee=0,
            fee_currency=engine.settings.account.currency,
            ts=engine.now,
            why=Why(model="aligned", note=item.reference),
        ),
        engine.now,
    )


# -- limits, trading, the kill switch ----------------------------------------------------------------------------------


def _set_limits(engine: Engine, item: SetLimits) -> None:
    engine.gate.define(item.deployment_id, item.limits)


def _set_breaker(engine: Engine, item: SetBreaker) -> None:
    if item.open:
        engine.gate.trip(item.reason, engine.now)
    else:
        engine.gate.reset(engine.now)


def _unlock(engine: Engine, item: Unlock) -> None:
    engine.gate.unlock(item.market or "*", item.deployment_id)


def _set_trading(engine: Engine, item: SetTrading) -> None:
    engine.trading, engine.trading_reason = item.state, item.reason
    engine.gate.set_trading(item.state, item.reason)
    if item.state == "active":
        engine.flattening.forget()


def _flatten(engine: Engine, item: Flatten) -> None:
    if item.deployment_id:
        if (deployment := engine.deployments.get(item.deployment_id)) is not None:
            deployment.state, deployment.reason = "stopped", item.reason
            engine.gate.set_trading("halted", item.reason, item.deployment_id)
    else:
        engine.trading, engine.trading_reason = "halted", item.reason
        engine.gate.set_trading("halted", item.reason)
    engine.flattening.begin(item, engine, engine.now)


# -- lives -------------------------------------------------------------------------------------------------------------


def _restarted(engine: Engine, item: Restarted) -> None:
    for market in engine.instruments:
        engine.venue.market(BookStale(market=market, feed="", reason="restarted", ts=engine.now), engine.now)


def _sender_ended(engine: Engine, item: SenderEnded) -> None:
    newest = engine.senders.get(item.path, (0, 0))
    engine.senders[item.path] = max(newest, (item.epoch, item.count + 1))


HANDLERS: Final[dict[type, Callable[[Engine, Any], None]]] = {
    Instrument: _define,
    SettleMarket: _settle_market,
    SubmitOrders: _submit,
    CancelOrder: _cancel,
    CancelOrders: _cancel_many,
    AmendOrder: _amend,
    Opened: _open,
    Deposit: _deposit,
    AlignCash: _align_cash,
    AlignPosition: _align_position,
    Deploy: deploy,
    MoveDeployment: move_deployment,
    TakeSignal: take_signal,
    SkipSignals: skip_signals,
    SetLimits: _set_limits,
    SetBreaker: _set_breaker,
    Unlock: _unlock,
    SetTrading: _set_trading,
    Flatten: _flatten,
    Restarted: _restarted,
    SenderEnded: _sender_ended,
}
