"""What the client of the simulated Kalshi owns: cash, positions, orders, fills, settlements. Exact, no clock.

Buying NO is selling YES: what a sale closes of a YES position earns its price, what it opens costs 1 - price. Every
change of the cash is a `Move`; the cash is their sum.
"""

from __future__ import annotations

from typing import Final, Literal

import msgspec

from protocols.market import Side
from protocols.nanos import NANO
from protocols.venues.kalshi_orders import OrderStatus

_FEE_STEP: Final = NANO // 10_000
_SQUARE: Final = NANO * NANO


class Move(msgspec.Struct, frozen=True, gc=False):
    """Cash came or went."""

    ts: int
    kind: Literal["deposit", "trade", "fee", "settlement"]
    reference: str
    amount: int


class PrivateOrder(msgspec.Struct, gc=False, kw_only=True):
    """An order of the client. `engine_id`: the exchange's; `filled` and `remaining` in nanos."""

    order_id: str
    client_order_id: str
    ticker: str
    engine_id: int
    side: Side
    price: int
    initial: int
    remaining: int
    created: int
    updated: int
    filled: int = 0
    taker_fees: int = 0
    maker_fees: int = 0
    status: OrderStatus = "resting"
    reason: str = ""
    expires: int | None = None
    group: str = ""


class PrivateFill(msgspec.Struct, frozen=True, gc=False, kw_only=True):
    """A fill of one of the client's orders. `position`: the market's after it."""

    fill_id: str
    order: PrivateOrder
    price: int
    size: int
    is_taker: bool
    fee: int
    position: int
    ts: int


class Holding(msgspec.Struct, gc=False):
    """One market's position: YES contracts, negative for NO. `cost` in 10⁻¹⁸ dollars of what is held, 0 when flat."""

    quantity: int = 0
    cost: int = 0
    realized: int = 0
    fees: int = 0
    traded: int = 0
    updated: int = 0


class Settled(msgspec.Struct, frozen=True, gc=False):
    """A position was paid out."""

    ticker: str
    quantity: int
    cost: int
    value: int
    revenue: int
    fees: int
    ts: int


def fee_of(price: int, size: int, is_taker: bool) -> int:
    """0.07·C·P·(1-P) for a taker, rounded up to $0.0001; makers pay nothing in these markets. Nanos."""
    if not is_taker:
        return 0
    exact = 7 * size * price * (NANO - price)
    return -(-exact // (100 * _SQUARE * _FEE_STEP)) * _FEE_STEP


class KalshiAccount:
    """One client's. `cash` in nanos to begin with."""

    def __init__(self, cash: int, ts: int = 0) -> None:
        self.moves: list[Move] = []
        self.cash = 0
        self.orders: dict[str, PrivateOrder] = {}
        self.by_client_id: dict[str, PrivateOrder] = {}
        self.by_engine_id: dict[tuple[str, int], PrivateOrder] = {}
        self.fills: list[PrivateFill] = []
        self.holdings: dict[str, Holding] = {}
        self.settled: list[Settled] = []
        self._move(Move(ts, "deposit", "", cash))

    def _move(self, move: Move) -> None:
        self.cash += move.amount
        self.moves.append(move)

    def add(self, order: PrivateOrder) -> None:
        """Know an order."""
        self.orders[order.order_id] = order
        self.by_engine_id[(order.ticker, order.engine_id)] = order
        if order.client_order_id:
            self.by_client_id[order.client_order_id] = order

    def holding(self, ticker: str) -> Holding:
        """The position of a market, an empty one at first."""
        return self.holdings.setdefault(ticker, Holding())

    def resting(self) -> list[PrivateOrder]:
        """Orders in the book."""
        return [order for order in self.orders.values() if order.status == "resting"]

    def needed(self, ticker: str, side: Side, price: int, size: int) -> int:
        """What an order would cost at its price, at most; what it closes is free. Nanos, rounded up."""
        quantity = self.holding(ticker).quantity
        closes = min(size, max(0, -quantity if side == "bid" else quantity))
        each = price if side == "bid" else NANO - price
        return -(-(size - closes) * each // NANO)

    def available(self, without: str = "") -> int:
        """Cash that no resting order may need."""
        return self.cash - sum(
            self.needed(order.ticker, order.side, order.price, order.remaining)
            for order in self.resting()
            if order.order_id != without
        )

    def fill(self, order: PrivateOrder, fill_id: str, price: int, size: int, is_taker: bool, ts: int) -> PrivateFill:
        """Book a fill of an order."""
        holding = self.holding(order.ticker)
        signed = size if order.side == "bid" else -size
        closes = min(size, abs(holding.quantity)) if holding.quantity * signed < 0 else 0
        opens = size - closes
        paid_each = price if order.side == "bid" else NANO - price
        earned_each = NANO - paid_each
        cost = holding.cost * closes // abs(holding.quantity) if closes else 0
        moved = closes * earned_each - opens * paid_each
        # One rounding, and the position's cost takes what it leaves.
        amount = moved // NANO
        holding.realized += (closes * earned_each - cost) // NANO
        holding.quantity += signed
        holding.cost += opens * paid_each - cost
        holding.traded += size * price // NANO
        holding.updated = ts
        fee = fee_of(price, size, is_taker)
        holding.fees += fee
        order.filled += size
        order.remaining -= size
        order.updated = ts
        if is_taker:
            order.taker_fees += fee
        else:
            order.maker_fees += fee
        if order.remaining == 0:
            order.status = "executed"
        self._move(Move(ts, "trade", fill_id, amount))
        self._move(Move(ts, "fee", fill_id, -fee))
        fill = PrivateFill(
            fill_id=fill_id,
            order=order,
            price=price,
            size=size,
            is_taker=is_taker,
            fee=fee,
            position=holding.quantity,
            ts=ts,
        )
        self.fills.append(fill)
        return fill

    def end(self, order: PrivateOrder, reason: str, ts: int) -> None:
        """The rest of an order is gone."""
        order.remaining = 0
        order.status = "canceled"
        order.reason = reason
        order.updated = ts

    def settle(self, ticker: str, value: int, ts: int) -> None:
        """Pay a market out at `value` nanos a YES contract."""
        holding = self.holdings.get(ticker)
        if holding is None or holding.quantity == 0:
            return
        quantity = holding.quantity
        each = value if quantity > 0 else NANO - value
        revenue = abs(quantity) * each // NANO
        self._move(Move(ts, "settlement", ticker, revenue))
        self.settled.append(Settled(ticker, quantity, holding.cost, value, revenue, holding.fees, ts))
        holding.realized += revenue - holding.cost // NANO
        holding.quantity, holding.cost, holding.updated = 0, 0, ts
