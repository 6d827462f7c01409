"""Binance's account over REST: the questions that together tell how it stands."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Final

from actors.execution.gateways.findings import Call, FillSeen, OrderSeen, open_at_venue
from actors.execution.gateways.tracker import filled
from protocols.budget import REST
from protocols.gateways import VenueBalance, VenueState
from protocols.nanos import exact_nanos
from protocols.venues import binance_orders as wire
from protocols.venues.errors import VenueError
from protocols.venues.rest import RestCall

_MILLISECOND: Final = 1_000_000
_TRADES: Final = 1_000


class BinanceGathering:
    """Complete up to the time of its first answer. `symbols` empty: all open orders, and no trades. Trades do not name
    our ids: `ours` does by the venue's, and the orders of other trades are asked for."""

    def __init__(
        self,
        order_seen: Callable[[wire.OrderAnswer], OrderSeen],
        trade_seen: Callable[[wire.TradeRow], FillSeen],
        since: int | None,
        symbols: tuple[str, ...],
        ours: Mapping[str, str],
    ) -> None:
        self.as_of = 0
        self._names = dict(ours)
        self.orders: list[OrderSeen] = []
        self._order_seen = order_seen
        self._trade_seen = trade_seen
        self._since = since
        self._balances: list[VenueBalance] = []
        self._fills: list[FillSeen] = []
        self._calls = [_listing(wire.OPEN_ORDERS_PATH, 6, symbol) for symbol in symbols]
        if not symbols:
            self._calls.append(_listing(wire.OPEN_ORDERS_PATH, 80))
        if since is not None:
            self._calls.append(_listing(wire.ACCOUNT_PATH, 20))
            start = str(max(0, since // _MILLISECOND))
            self._calls += [
                _listing(wire.TRADES_PATH, 20, symbol, ("startTime", start), ("limit", str(_TRADES)))
                for symbol in symbols
            ]

    def first(self) -> Call:
        """The first list."""
        return self._calls.pop(0)

    def take(self, call: Call, status: int, body: bytes, ts: int) -> Call | None:
        """Read a list; the next one. Raises VenueError, also for numbers that are none."""
        self.as_of = self.as_of or ts
        try:
            self._read(call, status, body)
        except ValueError as error:
            raise VenueError(status, "unreadable", str(error)) from None
        return self._calls.pop(0) if self._calls else None

    def _read(self, call: Call, status: int, body: bytes) -> None:
        path = call.rest.path
        if path == wire.OPEN_ORDERS_PATH:
            rows = wire.read(tuple[wire.OrderAnswer, ...], status, body)
            self.orders += [self._order_seen(row) for row in rows]
            self._names |= {each.venue_order_id: each.client_order_id for each in self.orders}
        elif path == wire.ORDER_PATH:
            one = self._order_seen(wire.read(wire.OrderAnswer, status, body))
            self._names[one.venue_order_id] = one.client_order_id
        elif path == wire.ACCOUNT_PATH:
            for each in wire.read(wire.Account, status, body).balances:
                locked = exact_nanos(each.locked)
                self._balances.append(
                    VenueBalance(currency=each.asset, total=exact_nanos(each.free) + locked, locked=locked)
                )
        else:
            trades = wire.read(tuple[wire.TradeRow, ...], status, body)
            self._fills += [self._trade_seen(row) for row in trades]
            if len(trades) == _TRADES:
                symbol = trades[-1].symbol
                following = ("fromId", str(trades[-1].id + 1))
                self._calls.insert(0, _listing(path, 20, symbol, following, ("limit", str(_TRADES))))
            for name in dict.fromkeys(f"{row.symbol}:{row.order_id}" for row in trades):
                if name not in self._names:
                    self._names[name] = ""
                    symbol, _, id = name.partition(":")
                    self._calls.append(_listing(wire.ORDER_PATH, 4, symbol, ("orderId", id)))

    def state(self, account: str, ours: Mapping[str, str]) -> VenueState:
        """What was found."""
        fills = {each.fill_id: each for each in self._fills if each.ts >= (self._since or 0)}
        return VenueState(
            account=account,
            as_of=self.as_of,
            open_orders=tuple(open_at_venue(each, ours) for each in self.orders),
            positions=(),
            balances=tuple(self._balances),
            fills=tuple(
                filled(each, ours.get(each.venue_order_id) or self._names.get(each.venue_order_id, ""), None)
                for each in sorted(fills.values(), key=lambda each: (each.ts, each.fill_id))
            ),
        )


def _listing(path: str, weight: int, symbol: str = "", *query: tuple[str, str]) -> Call:
    pairs = ((("symbol", symbol),) if symbol else ()) + query
    rest = RestCall(purpose="", path=path, query=pairs, signed=True)
    return Call(what="state", rest=rest, buckets=((REST, float(weight)),), priority="recovery")
