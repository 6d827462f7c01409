"""Kalshi's portfolio over REST: rows to findings, and the questions that together tell how an account stands.

`GET /exchange/user_data_timestamp` comes first: what is listed afterwards is complete up to that time at least.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final, Literal

import msgspec

from actors.execution.gateways.findings import Call, FillSeen, OrderSeen, open_at_venue
from actors.execution.gateways.tracker import filled
from protocols.budget import REST
from protocols.gateways import VenueBalance, VenuePosition, VenueSettlement, VenueState
from protocols.nanos import NANO, exact_nanos
from protocols.venues import kalshi_orders as wire
from protocols.venues.errors import VenueError
from protocols.venues.rest import RestCall
from protocols.venues.rfc3339 import rfc3339_nanos

_PAGE: Final = "200"
_AS_OF: Final = "/exchange/user_data_timestamp"
_ORDERS: Final = "/portfolio/orders"
_POSITIONS: Final = "/portfolio/positions"
_BALANCE: Final = "/portfolio/balance"
_FILLS: Final = "/portfolio/fills"
_SETTLEMENTS: Final = "/portfolio/settlements"


def order_seen(row: wire.OrderRow) -> OrderSeen:
    """How an order stands. Raises ValueError."""
    remaining, done = exact_nanos(row.remaining_count_fp), exact_nanos(row.fill_count_fp)
    return OrderSeen(
        venue_order_id=row.order_id,
        client_order_id=row.client_order_id,
        market=row.ticker,
        side="buy" if wire.book_side(row.book_side, row.outcome_side) == "bid" else "sell",
        price=exact_nanos(row.yes_price_dollars),
        size=done + remaining,
        filled=done,
        status=status_of(row.status),
        created=rfc3339_nanos(row.created_time) if row.created_time else 0,
        ts=rfc3339_nanos(row.last_update_time or row.created_time),
        reason=row.last_update_reason or "",
    )


def fill_seen(row: wire.FillRow) -> FillSeen:
    """A fill. Raises ValueError."""
    return FillSeen(
        venue_order_id=row.order_id,
        fill_id=row.fill_id,
        market=row.ticker,
        side="buy" if wire.book_side(row.book_side, row.outcome_side) == "bid" else "sell",
        price=exact_nanos(row.yes_price_dollars),
        size=exact_nanos(row.count_fp),
        liquidity="taker" if row.is_taker else "maker",
        fee=exact_nanos(row.fee_cost),
        fee_currency="USD",
        ts=rfc3339_nanos(row.created_time),
    )


def status_of(word: str) -> Literal["open", "filled", "ended"]:
    """Raises ValueError for a word that is not known: an order must not be taken for what it is not."""
    match word:
        case "resting" | "pending":
            return "open"
        case "executed":
            return "filled"
        case "canceled":
            return "ended"
    raise ValueError(f"status: expected resting, executed or canceled, got {word!r}")


class KalshiGathering:
    """`since` None: open orders alone. Fills do not name our ids: `ours` does by the venue's, and the orders of other
    fills are asked for."""

    def __init__(self, since: int | None, ours: Mapping[str, str]) -> None:
        self.as_of = 0
        self._names = dict(ours)
        self.orders: list[OrderSeen] = []
        self._since = since
        self._paths = [_ORDERS] if since is None else [_ORDERS, _POSITIONS, _BALANCE, _FILLS, _SETTLEMENTS]
        self._positions: list[VenuePosition] = []
        self._balances: list[VenueBalance] = []
        self._fills: list[FillSeen] = []
        self._settlements: list[VenueSettlement] = []

    def first(self) -> Call:
        """How far the portfolio is."""
        return _question(_AS_OF)

    def take(self, call: Call, status: int, body: bytes, ts: int) -> Call | None:
        """Read a page; the next one. Raises VenueError, also for numbers that are none."""
        try:
            cursor = self._read(call.rest.path, status, body)
        except ValueError as error:
            raise VenueError(status, "unreadable", str(error)) from None
        if cursor:
            query = (*(pair for pair in call.rest.query if pair[0] != "cursor"), ("cursor", cursor))
            return msgspec.structs.replace(call, rest=msgspec.structs.replace(call.rest, query=query))
        return self._asking(self._paths.pop(0)) if self._paths else None

    def _asking(self, path: str) -> Call:
        if path == _ORDERS:
            return _question(path, (("status", "resting"), ("limit", _PAGE)))
        if path in (_FILLS, _SETTLEMENTS):
            return _question(path, (("min_ts", str((self._since or 0) // NANO)), ("limit", _PAGE)))
        return _question(path)

    def _read(self, path: str, status: int, body: bytes) -> str | None:
        if path == _AS_OF:
            self.as_of = rfc3339_nanos(wire.read(wire.UserDataTimestamp, status, body).as_of_time)
            return None
        if path == _ORDERS:
            orders = wire.read(wire.OrdersPage, status, body)
            self.orders += [order_seen(row) for row in orders.orders]
            self._names |= {row.order_id: row.client_order_id for row in orders.orders}
            return orders.cursor
        if path == _POSITIONS:
            positions = wire.read(wire.PositionsPage, status, body)
            for row in positions.market_positions:
                quantity = exact_nanos(row.position_fp)
                leg: Literal["YES", "NO"] = "YES" if quantity >= 0 else "NO"
                self._positions.append(VenuePosition(market=row.ticker, quantity=quantity, leg=leg))
            return positions.cursor
        if path == _BALANCE:
            cash = wire.balance_nanos(wire.read(wire.Balance, status, body))
            self._balances.append(VenueBalance(currency="USD", total=cash))
            return None
        if path == _FILLS:
            fills = wire.read(wire.FillsPage, status, body)
            self._fills += [fill_seen(row) for row in fills.fills]
            for id in dict.fromkeys(row.order_id for row in fills.fills):
                if id not in self._names:
                    self._names[id] = ""
                    self._paths.append(f"{_ORDERS}/{id}")
            return fills.cursor
        if path.startswith(_ORDERS):
            one = wire.read(wire.OneOrder, status, body).order
            self._names[one.order_id] = one.client_order_id
            return None
        settled = wire.read(wire.SettlementsPage, status, body)
        for each in settled.settlements:
            revenue = wire.of_cents(each.revenue) if each.revenue_dollars is None else exact_nanos(each.revenue_dollars)
            value = wire.settlement_value(each)
            self._settlements.append(
                VenueSettlement(market=each.ticker, value=value, revenue=revenue, ts=rfc3339_nanos(each.settled_time))
            )
        return settled.cursor

    def state(self, account: str, ours: Mapping[str, str]) -> VenueState:
        """What was found."""
        fills = sorted(self._fills, key=lambda each: (each.ts, each.fill_id))
        return VenueState(
            account=account,
            as_of=self.as_of,
            open_orders=tuple(open_at_venue(each, ours) for each in self.orders),
            positions=tuple(self._positions),
            balances=tuple(self._balances),
            fills=tuple(
                filled(each, ours.get(each.venue_order_id) or self._names.get(each.venue_order_id, ""), None)
                for each in fills
                if each.ts >= (self._since or 0)
            ),
            settlements=tuple(each for each in reversed(self._settlements) if each.ts >= (self._since or 0)),
        )


def _question(path: str, query: tuple[tuple[str, str], ...] = ()) -> Call:
    rest = RestCall(purpose="", path=path, query=query, signed=True)
    return Call(what="state", rest=rest, buckets=((REST, float(wire.DEFAULT_COST)),), priority="recovery")
