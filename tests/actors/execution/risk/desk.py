"""A small account that risk may look at: positions, prices, open orders and money, set by the test."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from actors.execution.risk.notional import worth
from actors.execution.risk.view import OpenOrder
from protocols.instruments import Instrument, PriceRange
from protocols.nanos import NANO, exact_nanos
from protocols.orders import NewOrder, PositionSide, Side

NOW = 1_750_000_000 * NANO


def n(text: str | int) -> int:
    """Nanos of decimal text."""
    return exact_nanos(str(text))


def instrument(market: str = "BTC", **changes: Any) -> Instrument:
    fields: dict[str, Any] = {
        "market": market,
        "symbol": market,
        "venue": "desk",
        "kind": "perpetual",
        "currency": "USD",
        "price_ranges": (PriceRange(n("0.01"), n("1000000"), n("0.01")),),
        "lot": n("0.001"),
        "base": market,
        "status": "open",
    }
    return Instrument(**{**fields, **changes})


def yes(market: str = "RAIN", **changes: Any) -> Instrument:
    """A prediction market: prices 0.01 to 0.99, whole contracts."""
    return instrument(
        market,
        **{
            "kind": "prediction",
            "price_ranges": (PriceRange(n("0.01"), n("0.99"), n("0.01")),),
            "lot": NANO,
            **changes,
        },
    )


def order(side: Side = "buy", size: str | int = 1, price: str | int | None = None, **changes: Any) -> NewOrder:
    """A market order, or with a price a limit."""
    fields: dict[str, Any] = {
        "client_order_id": "new",
        "market": "BTC",
        "side": side,
        "kind": "market" if price is None else "limit",
        "size": n(size),
        "price": None if price is None else n(price),
    }
    return NewOrder(**{**fields, **changes})


def resting(side: Side = "buy", leaves: str | int = 1, price: str | int | None = 100, **changes: Any) -> OpenOrder:
    """An order that is open already."""
    fields: dict[str, Any] = {
        "client_order_id": "old",
        "deployment_id": "",
        "market": "BTC",
        "side": side,
        "leaves": n(leaves),
        "price": None if price is None else n(price),
    }
    return OpenOrder(**{**fields, **changes})


class Desk:
    """1000 of equity, no position, BTC at 99.99 to 100.01. A deployment's equity is the account's."""

    def __init__(self, **changes: Any) -> None:
        self.instruments = {"BTC": instrument(), "ETH": instrument("ETH"), "RAIN": yes()}
        self.bids = {"BTC": n("99.99"), "ETH": n(10), "RAIN": n("0.3")}
        self.asks = {"BTC": n("100.01"), "ETH": n(10), "RAIN": n("0.3")}
        self.money: int | None = n(1000)
        self.day_start: int | None = n(1000)
        self.peak: int | None = n(1000)
        self.held: dict[tuple[str, str, PositionSide], int] = {}
        """By deployment, market and side."""
        self.orders: list[OpenOrder] = []
        self.open: dict[str, bool] = {}
        self.rates = {"USD": NANO}
        self.available: int | None = n(1_000_000)
        self.used: int | None = 0
        for name, value in changes.items():
            assert hasattr(self, name)
            setattr(self, name, value)

    def equity(self, deployment_id: str = "") -> int | None:
        return self.money

    def day_start_equity(self, deployment_id: str = "") -> int | None:
        return self.day_start

    def peak_equity(self, deployment_id: str = "") -> int | None:
        return self.peak

    def position(self, market: str, deployment_id: str = "", position_side: PositionSide = "") -> int:
        return sum(
            quantity
            for (owner, name, side), quantity in self.held.items()
            if name == market and deployment_id in ("", owner) and side == position_side
        )

    def reducible(self, order: NewOrder) -> int:
        position = self.position(order.market, order.deployment_id, order.position_side)
        return max(0, -position if order.side == "buy" else position)

    def positions(self, deployment_id: str = "") -> Iterable[tuple[str, PositionSide, int]]:
        keys = dict.fromkeys((name, side) for owner, name, side in self.held if deployment_id in ("", owner))
        found = [(name, side, self.position(name, deployment_id, side)) for name, side in keys]
        return [each for each in found if each[2]]

    def reference_price(self, market: str, side: Side) -> int | None:
        return (self.asks if side == "buy" else self.bids).get(market)

    def open_orders(self, market: str = "", deployment_id: str = "") -> Iterable[OpenOrder]:
        return [
            each for each in self.orders if market in ("", each.market) and deployment_id in ("", each.deployment_id)
        ]

    def instrument(self, market: str) -> Instrument | None:
        return self.instruments.get(market)

    def is_open(self, market: str) -> bool | None:
        return self.open.get(market)

    def rate(self, currency: str) -> int | None:
        return self.rates.get(currency)

    def margin_available(self) -> int | None:
        return self.available

    def margin_used(self) -> int | None:
        return self.used

    def margin_required(self, order: NewOrder, price: int) -> int | None:
        sign = -1 if order.side == "sell" else 1
        return worth(self.instruments[order.market], sign * order.size, price)


def holding(quantity: str | int, market: str = "BTC", deployment_id: str = "", **changes: Any) -> Desk:
    """A desk with one position."""
    return Desk(held={(deployment_id, market, ""): n(quantity)}, **changes)
