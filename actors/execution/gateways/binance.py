"""Binance spot's side of a gateway: market, limit and limit-maker orders, less size, cancels, the user data stream.

Forms: `protocols.venues.binance_orders`. Ids of orders and trades are unique within a symbol, so ours are
`BTCUSDT:28` and `BTCUSDT-17`. An order is found by our id; a request is dead `recvWindow` after its timestamp, which is
well before `arrival_s`. Another price is a new order there, so it cannot be amended; stops run in the emulator, as they
do in a backtest.

Nothing cancels orders when nobody is connected: the countdown exists for futures only. Amounts are written without
needless digits, as the filters of a symbol refuse them.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from typing import ClassVar, Final

from actors.execution.gateways.binance_state import BinanceGathering
from actors.execution.gateways.findings import (
    Call,
    FillSeen,
    Finding,
    Gathering,
    Heard,
    Missing,
    OrderSeen,
    Priority,
    Refusal,
    Sent,
    What,
)
from actors.execution.gateways.settings import GatewaySettings
from protocols.budget import REST, WRITE
from protocols.gateways import NativeKinds
from protocols.instruments import Instrument
from protocols.nanos import NANO, exact_nanos
from protocols.orders import NewOrder
from protocols.venues import binance_orders as wire
from protocols.venues.binance_signing import Signer
from protocols.venues.errors import VenueError, WireError
from protocols.venues.rest import RestCall

URLS: Final = {
    "production": ("https://api.binance.com", "wss://ws-api.binance.com:443/ws-api/v3"),
    "demo": ("https://demo-api.binance.com", "wss://demo-ws-api.binance.com/ws-api/v3"),
}
SUFFIX: Final = ".BINANCE"
_MILLISECOND: Final = 1_000_000
_SELF_TRADE: Final = {"taker_at_cross": "EXPIRE_TAKER", "maker": "EXPIRE_MAKER"}
# The weights of `rest-api.md`.
_WEIGHTS: Final = {"submit": 1, "cancel": 1, "cancel_all": 1, "amend": 4, "find": 4, "order": 4, "fills": 5, "clock": 1}
_REFUSED_CHANGES: Final = frozenset({str(wire.CANCEL_REJECTED), str(wire.AMEND_REJECTED), str(wire.NO_SUCH_ORDER)})
_UNKNOWN: Final = frozenset(str(code) for code in wire.EXECUTION_UNKNOWN)


class BinanceVenue:
    """One account's."""

    native: NativeKinds = NativeKinds(
        kinds=("market", "limit"),
        times_in_force=("GTC", "IOC", "FOK"),
        post_only=True,
        reduce_only=(),
        iceberg=True,
        amend_price=False,
        amend_size="less",
    )
    most_batch: int = 1
    most_find: int = 1
    not_done: frozenset[str] = frozenset({str(wire.INVALID_TIMESTAMP)})
    # 6,000 weight a minute and 300 connects in five minutes of an address, 50 unfilled orders in ten seconds of an
    # account. A bucket and what flows into it together stay below, however the venue's intervals lie.
    LIMITS: ClassVar[tuple[tuple[str, float, float], ...]] = (
        ("rest", 3000.0, 50.0),
        ("write", 25.0, 2.4),
        ("connect", 150.0, 0.5),
    )

    def __init__(self, settings: GatewaySettings, signer: Signer) -> None:
        self._signer = signer
        self._self_trade = _SELF_TRADE[settings.self_trade]
        self._ours: dict[str, str] = {}
        self._symbols: dict[str, str] = {}
        self._markets: dict[str, str] = {}

    def identify(self, client_order_id: str) -> str:
        """At most 36 letters, digits, - and _: what is neither is named by its hash, the same in every life."""
        if wire.CLIENT_ID.fullmatch(client_order_id):
            name = client_order_id
        else:
            name = "h" + hashlib.sha256(client_order_id.encode()).hexdigest()[:35]
        self._ours[name] = client_order_id
        return name

    # -- calls -----------------------------------------------------------------------------------------------

    def submit(self, orders: tuple[NewOrder, ...], instruments: tuple[Instrument, ...]) -> Call:
        """`POST /api/v3/order`. Raises ValueError."""
        (order,), (instrument,) = orders, instruments
        if order.kind == "limit" and order.price is None:
            raise ValueError("a limit order needs a price")
        _on_grid(order, instrument)
        self._symbols[order.market] = instrument.symbol
        self._markets[instrument.symbol] = order.market
        asked = wire.OrderRequest(
            symbol=instrument.symbol,
            side="BUY" if order.side == "buy" else "SELL",
            type="MARKET" if order.kind == "market" else "LIMIT_MAKER" if order.post_only else "LIMIT",
            quantity=wire.number(order.size),
            price="" if order.kind == "market" or order.price is None else wire.number(order.price),
            time_in_force="" if order.kind == "market" or order.post_only else order.time_in_force,
            new_client_order_id=self.identify(order.client_order_id),
            iceberg_qty="" if order.display is None else wire.number(order.display),
            self_trade_prevention_mode=self._self_trade,
        )
        risk = order.source in ("flatten", "liquidation")
        return self._call(
            "submit", "POST", wire.ORDER_PATH, asked.query(), order.client_order_id, "cancel" if risk else "normal", 1
        )

    def cancel(self, sent: tuple[Sent, ...]) -> Call:
        """`DELETE /api/v3/order`."""
        return self._about("cancel", "DELETE", wire.ORDER_PATH, sent[0], "cancel")

    def cancel_all(self, markets: tuple[str, ...]) -> tuple[Call, ...]:
        """All open orders of each symbol that we have orders in."""
        return tuple(
            self._call("cancel_all", "DELETE", wire.OPEN_ORDERS_PATH, (("symbol", self._symbol(market)),), "", "cancel")
            for market in markets
        )

    def amend(self, sent: Sent, size: int, price: int | None, instrument: Instrument) -> Call:
        """Less size, with its place kept. Raises ValueError for anything else."""
        if price != sent.price or size >= sent.size:
            raise ValueError("Binance makes orders smaller; another price or more size is a new order")
        if size % instrument.lot:
            raise ValueError(f"size: {wire.number(size)} is no multiple of the lot of {instrument.market}")
        name = self.identify(sent.order.client_order_id)
        more = (("newClientOrderId", name), ("newQty", wire.number(size)))
        return self._about("amend", "PUT", wire.AMEND_PATH, sent, "normal", more)

    def find(self, orders: tuple[Sent, ...]) -> Call:
        """`GET /api/v3/order` by our id."""
        (sent,) = orders
        name = self.identify(sent.order.client_order_id)
        query = (("symbol", self._symbol(sent.order.market)), ("origClientOrderId", name))
        return self._call("find", "GET", wire.ORDER_PATH, query, sent.order.client_order_id, "recovery")

    def ask(self, sent: Sent) -> Call:
        """`GET /api/v3/order` by the venue's id."""
        return self._about("order", "GET", wire.ORDER_PATH, sent, "recovery")

    def fills(self, sent: Sent) -> Call:
        """`GET /api/v3/myTrades` of an order."""
        return self._about("fills", "GET", wire.TRADES_PATH, sent, "recovery")

    def opening(self) -> tuple[Call, ...]:
        """The venue's time: a request may be a second ahead at most."""
        rest = RestCall(purpose="", path=wire.TIME_PATH)
        return (Call(what="clock", rest=rest, buckets=((REST, 1.0),), priority="recovery"),)

    def gather(self, since: int | None, markets: tuple[str, ...], ours: Mapping[str, str]) -> Gathering:
        """Open orders of these markets, or of all; the balances; the trades of these markets."""
        return BinanceGathering(
            self.order_seen, self.trade_seen, since, tuple(self._symbol(market) for market in markets), ours
        )

    def _about(
        self,
        what: What,
        method: str,
        path: str,
        sent: Sent,
        priority: Priority,
        more: tuple[tuple[str, str], ...] = (),
    ) -> Call:
        symbol, _, id = sent.venue_order_id.partition(":")
        query = (("symbol", symbol), ("orderId", id), *more)
        return self._call(what, method, path, query, sent.order.client_order_id, priority)

    def _call(
        self,
        what: What,
        method: str,
        path: str,
        query: tuple[tuple[str, str], ...],
        id: str,
        priority: Priority,
        orders: int = 0,
    ) -> Call:
        rest = RestCall(purpose="", method=method, path=path, query=query, signed=True)
        weight: tuple[tuple[str, float], ...] = ((REST, float(_WEIGHTS[what])),)
        counted = ((WRITE, float(orders)),) if orders else ()
        return Call(what=what, rest=rest, orders=(id,) if id else (), buckets=(*counted, *weight), priority=priority)

    def _symbol(self, market: str) -> str:
        return self._symbols.get(market) or market.removesuffix(SUFFIX)

    def market_of(self, symbol: str) -> str:
        """Our name of a symbol."""
        return self._markets.get(symbol) or symbol + SUFFIX

    # -- answers ---------------------------------------------------------------------------------------------

    def read(self, call: Call, status: int, body: bytes, ts: int) -> Heard:
        """An answer. Raises VenueError where nobody knows what it means, and ValueError for numbers."""
        try:
            return self._read(call, status, body, ts)
        except VenueError as error:
            if not _definite(error) or error.code in self.not_done:
                raise
            if call.what == "cancel_all":
                return Heard()
            return Heard(findings=tuple(self._refusal(call, id, error, ts) for id in call.orders))

    def _refusal(self, call: Call, id: str, error: VenueError, ts: int) -> Finding:
        if call.what == "find" and error.code == str(wire.NO_SUCH_ORDER):
            return Missing(client_order_id=id, as_of=ts)
        gone = call.what in ("cancel", "amend") and error.code in _REFUSED_CHANGES
        code = "post_only" if error.message == wire.MAKER_TEXT else error.code
        return Refusal(
            client_order_id=id,
            code=code,
            reason=error.message,
            # An amendment is also refused because of its size; then the order still rests.
            gone=gone and error.message == wire.UNKNOWN_TEXT,
            exists=error.message == wire.DUPLICATE_TEXT,
        )

    def _read(self, call: Call, status: int, body: bytes, ts: int) -> Heard:
        if call.what == "clock":
            return Heard(clock_ms=wire.read(wire.ServerTime, status, body).server_time)
        if call.what == "cancel_all":
            cancelled = wire.read(tuple[wire.OrderAnswer, ...], status, body)
            return Heard(findings=tuple(self.order_seen(row) for row in cancelled))
        if call.what == "amend":
            amended = wire.read(wire.AmendAnswer, status, body)
            row = amended.amended_order
            seen = OrderSeen(
                venue_order_id=f"{row.symbol}:{row.order_id}",
                client_order_id=call.orders[0],
                status="open",
                size=exact_nanos(row.qty),
                price=exact_nanos(row.price),
                filled=exact_nanos(row.executed_qty),
                ts=amended.transact_time * _MILLISECOND,
                amended=True,
            )
            return Heard(findings=(seen,))
        if call.what == "fills":
            rows = wire.read(tuple[wire.TradeRow, ...], status, body)
            return Heard(findings=tuple(self.trade_seen(row) for row in rows))
        row_ = wire.read(wire.OrderAnswer, status, body)
        fills = tuple(self._fill_seen(row_, fill) for fill in row_.fills)
        return Heard(findings=(*fills, self.order_seen(row_)))

    def order_seen(self, row: wire.OrderAnswer) -> OrderSeen:
        """An order as it stands. Raises ValueError."""
        name = row.orig_client_order_id or row.client_order_id
        price = exact_nanos(row.price)
        return OrderSeen(
            venue_order_id=f"{row.symbol}:{row.order_id}",
            client_order_id=self._ours.get(name, name),
            market=self.market_of(row.symbol),
            side="buy" if row.side == "BUY" else "sell",
            price=price or None,
            size=exact_nanos(row.orig_qty),
            filled=exact_nanos(row.executed_qty),
            status="open" if row.status in wire.OPEN else "filled" if row.status == "FILLED" else "ended",
            created=(row.time or row.transact_time or 0) * _MILLISECOND,
            ts=row.ms * _MILLISECOND,
            reason=_reason(row.status, row.expiry_reason),
        )

    def trade_seen(self, row: wire.TradeRow) -> FillSeen:
        """A trade of a list. Raises ValueError."""
        return FillSeen(
            venue_order_id=f"{row.symbol}:{row.order_id}",
            fill_id=f"{row.symbol}-{row.id}",
            market=self.market_of(row.symbol),
            side="buy" if row.is_buyer else "sell",
            price=exact_nanos(row.price),
            size=exact_nanos(row.qty),
            liquidity="maker" if row.is_maker else "taker",
            fee=exact_nanos(row.commission),
            fee_currency=row.commission_asset,
            ts=row.time * _MILLISECOND,
        )

    def _fill_seen(self, row: wire.OrderAnswer, fill: wire.FillAnswer) -> FillSeen:
        """A fill within the answer to an order, which always takes."""
        return FillSeen(
            venue_order_id=f"{row.symbol}:{row.order_id}",
            client_order_id=self._ours.get(row.client_order_id, row.client_order_id),
            fill_id=f"{row.symbol}-{fill.trade_id}",
            market=self.market_of(row.symbol),
            side="buy" if row.side == "BUY" else "sell",
            price=exact_nanos(fill.price),
            size=exact_nanos(fill.qty),
            liquidity="taker",
            fee=exact_nanos(fill.commission),
            fee_currency=fill.commission_asset,
            ts=row.ms * _MILLISECOND,
        )

    # -- signing and the private stream ----------------------------------------------------------------------

    def prepared(self, call: Call, ts: int) -> tuple[RestCall, tuple[tuple[str, str], ...]]:
        """With timestamp and signature; the key's id in a header."""
        if not call.rest.signed:
            return call.rest, ()
        return self._signer.signed(call.rest, ts // _MILLISECOND), self._signer.headers()

    def handshake(self, ts: int) -> tuple[tuple[str, str], ...]:
        """Nobody asks at the door."""
        return ()

    def subscriptions(self, ts: int) -> tuple[bytes, ...]:
        """The account's events, by signature."""
        params: dict[str, str | int] = {"apiKey": self._signer.key_id, "timestamp": ts // _MILLISECOND}
        params["signature"] = self._signer.sign(wire.signed_params(params))
        return (wire.encode(wire.StreamRequest(id="user", method=wire.SUBSCRIBE, params=params)),)

    def hear(self, raw: bytes) -> tuple[Finding, ...] | bool:
        """A message. Raises WireError, also where the subscription is refused or has ended."""
        message = wire.decode_message(raw)
        if message.status is not None:
            if message.status != 200:
                fault = message.error
                raise WireError(f"not subscribed: {message.status} {'' if fault is None else fault.msg}")
            return True
        if not message.event:
            return ()
        event = wire.decode_event(bytes(message.event))
        if isinstance(event, wire.StreamTerminated):
            raise WireError("the venue has ended the subscription")
        return self._told(event) if isinstance(event, wire.ExecutionReport) else ()

    def _told(self, event: wire.ExecutionReport) -> tuple[Finding, ...]:
        name = event.original_client_order_id or event.client_order_id
        id, venue_id = self._ours.get(name, name), f"{event.symbol}:{event.order_id}"
        if event.execution == "REJECTED":
            # Whoever sent it is told in the answer.
            return ()
        ts, market = event.transaction_time * _MILLISECOND, self.market_of(event.symbol)
        found: list[Finding] = []
        if event.execution == "TRADE":
            fill = FillSeen(
                venue_order_id=venue_id,
                client_order_id=id,
                fill_id=f"{event.symbol}-{event.trade_id}",
                market=market,
                side="buy" if event.side == "BUY" else "sell",
                price=exact_nanos(event.last_price),
                size=exact_nanos(event.last_quantity),
                liquidity="maker" if event.is_maker else "taker",
                fee=exact_nanos(event.commission),
                fee_currency=event.commission_asset or "",
                ts=ts,
            )
            found.append(fill)
        order = OrderSeen(
            venue_order_id=venue_id,
            client_order_id=id,
            market=market,
            price=exact_nanos(event.price) or None,
            size=exact_nanos(event.quantity),
            filled=exact_nanos(event.cumulative_quantity),
            status="open" if event.status in wire.OPEN else "filled" if event.status == "FILLED" else "ended",
            ts=ts,
            reason=_reason(event.status, event.expiry_reason or ""),
        )
        return (*found, order)


def _definite(error: VenueError) -> bool:
    """Whether the venue has certainly not done it, and not only for now."""
    return 400 <= error.status < 500 and error.status not in (408, 418, 429) and error.code not in _UNKNOWN


def _reason(status: str, expiry: str) -> str:
    """The venue's word for the end of an order."""
    if status in wire.OPEN or status == "FILLED":
        return ""
    return expiry or {"CANCELED": "user", "EXPIRED_IN_MATCH": "expired in match: self trade"}.get(status, "")


def _on_grid(order: NewOrder, instrument: Instrument) -> None:
    """Raises ValueError for what the symbol's filters refuse: nothing is rounded here."""
    price = order.price
    if order.kind == "limit" and price is not None:
        spans = instrument.price_ranges
        if not any(span.start <= price <= span.end and (price - span.start) % span.step == 0 for span in spans):
            raise ValueError(f"price: {wire.number(price)} is on no tick of {instrument.market}")
        if price * order.size < instrument.minimum_notional * NANO:
            raise ValueError(f"size: the order is worth less than {wire.number(instrument.minimum_notional)}")
    if order.size <= 0 or order.size % instrument.lot or order.size < instrument.minimum_size:
        raise ValueError(f"size: {wire.number(order.size)} is no multiple of the lot of {instrument.market}")
    if instrument.maximum_size is not None and order.size > instrument.maximum_size:
        raise ValueError(f"size: {wire.number(order.size)} is more than {instrument.market} allows")
