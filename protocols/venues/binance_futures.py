"""Events that only Binance's futures send: liquidations and mark prices, of USD-M and of COIN-M contracts.

Source: Binance's "USDⓈ-M Futures" and "COIN-M Futures" market stream pages. Times are milliseconds, all prices and
quantities decimal strings. A COIN-M event also names its pair (`ps`).
"""

from __future__ import annotations

from typing import Literal

import msgspec

OrderSide = Literal["BUY", "SELL"]


class ForcedOrder(
    msgspec.Struct,
    gc=False,
    omit_defaults=True,
    kw_only=True,
    rename={
        "symbol": "s",
        "pair": "ps",
        "side": "S",
        "kind": "o",
        "time_in_force": "f",
        "quantity": "q",
        "price": "p",
        "average_price": "ap",
        "status": "X",
        "last_quantity": "l",
        "filled": "z",
        "trade_time": "T",
    },
):
    """The order that closes a position. `filled` (`z`) of `quantity` has been done at `average_price`."""

    symbol: str
    pair: str = ""
    side: OrderSide
    kind: str = "LIMIT"
    time_in_force: str = "IOC"
    quantity: str
    price: str
    average_price: str = "0"
    status: str = ""
    last_quantity: str = "0"
    filled: str = "0"
    trade_time: int


class ForceOrder(msgspec.Struct, gc=False, kw_only=True, tag_field="e", tag="forceOrder"):
    """A liquidation; the venue sends at most the latest of each symbol and second."""

    event_time: int = msgspec.field(name="E")
    order: ForcedOrder = msgspec.field(name="o")


class MarkPriceUpdate(
    msgspec.Struct,
    gc=False,
    omit_defaults=True,
    kw_only=True,
    tag_field="e",
    tag="markPriceUpdate",
    rename={
        "event_time": "E",
        "symbol": "s",
        "mark_price": "p",
        "index_price": "i",
        "settle_price": "P",
        "rate": "r",
        "next_funding": "T",
    },
):
    """Mark price and funding. Delivery contracts have none: `rate` is empty and `next_funding` 0 there."""

    event_time: int
    symbol: str
    mark_price: str
    index_price: str = ""
    settle_price: str = ""
    rate: str = ""
    next_funding: int = 0
