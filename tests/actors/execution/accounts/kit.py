"""Instruments, orders, fills and marks for tests of accounts. Numbers are written as decimals, as people write them."""

from __future__ import annotations

import itertools
from typing import Any

from actors.execution.accounts.account import Account
from actors.execution.accounts.settings import AccountSettings
from protocols.instruments import Instrument, Kind, PriceRange
from protocols.nanos import decimal_text, exact_nanos
from protocols.orders import Fill, NewOrder, PositionSide, Side, VenueFilled

SECOND = 10**9
HOUR = 3600 * SECOND
DAY = 24 * HOUR

_fills = itertools.count(1)


def n(digits: str | int) -> int:
    """Nanos."""
    return exact_nanos(str(digits))


class Marked:
    """A market's last prices; without any it has no price."""

    def __init__(self, bid: str | None = None, ask: str | None = None) -> None:
        self.bid = None if bid is None else n(bid)
        self.ask = self.bid if ask is None else n(ask)

    def mid(self) -> int | None:
        return None if self.bid is None or self.ask is None else (self.bid + self.ask) // 2

    def exit(self, quantity: int) -> int | None:
        return self.bid if quantity > 0 else self.ask


def instrument(market: str = "X", kind: Kind = "equity", currency: str = "USD", **others: Any) -> Instrument:
    return Instrument(
        market=market,
        symbol=market,
        venue="v",
        kind=kind,
        currency=currency,
        price_ranges=(PriceRange(0, n(1_000_000), n("0.01")),),
        lot=n("0.01"),
        **others,
    )


def account(marks: dict[str, Marked] | None = None, *instruments: Instrument, **settings: Any) -> Account:
    """An open account with 10 000 USD, unless the settings say otherwise."""
    chosen = {"account_id": "a", "initial_capital": "10000", **settings}
    made = Account(AccountSettings(**chosen), {} if marks is None else marks)
    made.open(0)
    for each in instruments or (instrument(),):
        made.define(each)
    return made


def order(market: str = "X", side: Side = "buy", **others: Any) -> NewOrder:
    return NewOrder(
        **{"client_order_id": "o", "market": market, "side": side, "kind": "market", "size": n(1), **others}
    )


def trade(
    account: Account,
    side: Side,
    size: str | int,
    price: str | int,
    *,
    market: str = "X",
    fee: str = "0",
    fee_currency: str = "",
    ts: int = 1,
    deployment: str = "",
    position_side: PositionSide = "",
    reduce_only: bool = False,
    fill_id: str = "",
    **others: Any,
) -> Fill | None:
    """Have the account book a fill."""
    fill = VenueFilled(
        client_order_id=others.get("client_order_id", "o"),
        fill_id=fill_id or f"f{next(_fills)}",
        market=market,
        side=side,
        price=n(price),
        size=n(size),
        liquidity="taker",
        fee=n(fee),
        fee_currency=fee_currency,
        ts=ts,
    )
    made = order(market, side, deployment_id=deployment, position_side=position_side, reduce_only=reduce_only, **others)
    booked = account.fill(fill, made, ts)
    account.books.proof()
    return booked


def text(nanos: int | None) -> str | None:
    """Decimal digits."""
    return None if nanos is None else decimal_text(nanos)
