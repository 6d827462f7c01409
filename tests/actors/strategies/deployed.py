"""What the tests of deployed strategies share: an instrument, a deployment, and what an account says."""

from __future__ import annotations

from typing import Any

from protocols.deployments import AccountShown, DeployRun, PositionShown
from protocols.instruments import Instrument, PriceRange
from protocols.nanos import NANO
from protocols.orders import Fill, NewOrder, Order, OrderEvent, OrderEventKind, OrderState, Why

CENT = NANO // 100


def instrument(market: str = "A", **more: Any) -> Instrument:
    """A spot market with ticks of 0.01 and lots of 0.001."""
    return Instrument(
        market=market,
        symbol=market,
        venue="test",
        kind="spot",
        currency="USD",
        price_ranges=(PriceRange(0, 1_000_000 * NANO, CENT),),
        lot=NANO // 1000,
        **more,
    )


def shown(cash: float = 10_000.0, *positions: PositionShown, ts: int = 0, **more: Any) -> AccountShown:
    """An account that began with 10,000."""
    fields: dict[str, Any] = {"realized": "0", "fees": 0, "initial": 10_000 * NANO, "equity": None} | more
    return AccountShown(
        deployment_id="d", account="/account", currency="USD", cash=round(cash * NANO), positions=positions, ts=ts,
        **fields,
    )  # fmt: skip


def position(quantity: float, average: float, market: str = "A", **more: Any) -> PositionShown:
    """A position of a spot market."""
    return PositionShown(
        market=market,
        quantity=round(quantity * NANO),
        average_price=round(average * NANO),
        invested=str(quantity * average),
        **more,
    )


def deployment(stands: AccountShown | None = None, **more: Any) -> DeployRun:
    """The deployment "d" in market A."""
    fields: dict[str, Any] = {"account": "/account", "instruments": (instrument(),), "markets": ("A",)} | more
    return DeployRun(deployment_id="d", currency="USD", shown=stands or shown(), **fields)


def event(
    order: NewOrder, kind: OrderEventKind, state: OrderState, *, fill: Fill | None = None, ts: int = 0, **more: Any
) -> OrderEvent:
    """Something that happened to an order."""
    stands = Order(account="/account", order=order, state=state, ts_updated=ts, **more)
    return OrderEvent(account="/account", seq=1, kind=kind, ts=ts, order=stands, fill=fill)


def filled(order: NewOrder, price: float, *, ts: int = 0) -> OrderEvent:
    """All of an order was traded at a price."""
    at = round(price * NANO)
    fill = Fill(
        account="/account", seq=1, fill_id="f1", client_order_id=order.client_order_id, deployment_id="d",
        signal_id="", decision_id="", market=order.market, side=order.side, leg="", price=at, size=order.size,
        notional="0", currency="USD", fee=NANO // 10, fee_currency="USD", liquidity="taker", realized="0",
        position=order.size, ts_event=ts, ts=ts, why=Why(model="venue"),
    )  # fmt: skip
    return event(order, "filled", "filled", fill=fill, ts=ts, filled=order.size, average_price=at)
