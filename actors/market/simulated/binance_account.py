"""What the client of the simulated Binance owns: assets free and locked, orders, trades. Exact, no clock.

A buy locks price times quantity of the quote asset, a sale its quantity. The fee is a tenth of a percent of what is
received, cut to eight decimals, as is every amount. An asset's total changes by trades alone; `moves` says how.
"""

from __future__ import annotations

from typing import Final, Literal

import msgspec

from protocols.market import Side
from protocols.nanos import NANO

_GRAIN: Final = 10
_FEE: Final = 1_000
Status = Literal["NEW", "PARTIALLY_FILLED", "FILLED", "CANCELED", "EXPIRED", "EXPIRED_IN_MATCH"]


class SpotOrder(msgspec.Struct, gc=False, kw_only=True):
    """An order of the client. `price` 0 of a market order; `quote`: what it has traded of the quote asset."""

    order_id: int
    engine_id: int
    client_order_id: str
    symbol: str
    base: str
    quote_asset: str
    side: Side
    type: str
    time_in_force: str
    price: int
    quantity: int
    created: int
    updated: int
    executed: int = 0
    quote: int = 0
    status: Status = "NEW"
    reason: str = ""

    @property
    def open(self) -> bool:
        """Whether it rests."""
        return self.status in ("NEW", "PARTIALLY_FILLED")


class SpotTrade(msgspec.Struct, frozen=True, gc=False, kw_only=True):
    """A trade of one of the client's orders."""

    trade_id: int
    order: SpotOrder
    price: int
    size: int
    quote: int
    commission: int
    commission_asset: str
    is_maker: bool
    ts: int


class SpotAccount:
    """`totals`: what there is of each asset, nanos."""

    def __init__(self, totals: dict[str, int]) -> None:
        self.totals = dict(totals)
        self.orders: dict[int, SpotOrder] = {}
        self.by_engine_id: dict[tuple[str, int], SpotOrder] = {}
        self.trades: list[SpotTrade] = []
        self.moves: list[tuple[str, int]] = list(totals.items())

    def add(self, order: SpotOrder) -> None:
        """Know an order."""
        self.orders[order.order_id] = order
        self.by_engine_id[(order.symbol, order.engine_id)] = order

    def find(self, symbol: str, order_id: int | None, client_order_id: str) -> SpotOrder | None:
        """By either id; of several with the same id of the client's, the newest."""
        for order in reversed(self.orders.values()):
            if order.symbol == symbol and (
                order.order_id == order_id if order_id is not None else order.client_order_id == client_order_id
            ):
                return order
        return None

    def open_orders(self, symbol: str = "") -> list[SpotOrder]:
        """Orders that rest."""
        return [order for order in self.orders.values() if order.open and symbol in ("", order.symbol)]

    def locked(self, asset: str) -> int:
        """What open orders hold of an asset."""
        held = 0
        for order in self.open_orders():
            left = order.quantity - order.executed
            if order.side == "ask" and order.base == asset:
                held += left
            elif order.side == "bid" and order.quote_asset == asset:
                held += -(-left * order.price // NANO)
        return held

    def free(self, asset: str) -> int:
        """What can be used of an asset."""
        return self.totals.get(asset, 0) - self.locked(asset)

    def fill(self, order: SpotOrder, trade_id: int, price: int, size: int, is_maker: bool, ts: int) -> SpotTrade:
        """Book a trade of an order."""
        quote = _cut(price * size // NANO)
        received, asset = (size, order.base) if order.side == "bid" else (quote, order.quote_asset)
        commission = _cut(received // _FEE)
        sign = 1 if order.side == "bid" else -1
        self._move(order.base, sign * size)
        self._move(order.quote_asset, -sign * quote)
        self._move(asset, -commission)
        order.executed += size
        order.quote += quote
        order.updated = ts
        order.status = "FILLED" if order.executed == order.quantity else "PARTIALLY_FILLED"
        trade = SpotTrade(
            trade_id=trade_id,
            order=order,
            price=price,
            size=size,
            quote=quote,
            commission=commission,
            commission_asset=asset,
            is_maker=is_maker,
            ts=ts,
        )
        self.trades.append(trade)
        return trade

    def _move(self, asset: str, amount: int) -> None:
        self.totals[asset] = self.totals.get(asset, 0) + amount
        self.moves.append((asset, amount))


def _cut(nanos: int) -> int:
    """Eight decimals."""
    return nanos // _GRAIN * _GRAIN
