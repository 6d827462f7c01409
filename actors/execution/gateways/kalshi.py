"""Kalshi's side of a gateway: limit orders of the YES book, changes, batches, cancel-all, portfolio, private channels.

Forms: `protocols.venues.kalshi_orders`. An order is found by our id in the list of orders, as the venue has no other
question for it; what the list says is complete up to `user_data_timestamp`, which is asked for first.

Nothing cancels orders when nobody is connected: order groups end by a limit on contracts, or by a call.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import ClassVar, Final
from urllib.parse import urlsplit

import msgspec

from actors.execution.gateways.findings import (
    Call,
    FillSeen,
    Finding,
    Gathering,
    Heard,
    Missing,
    OrderSeen,
    Refusal,
    Sent,
    What,
)
from actors.execution.gateways.kalshi_state import KalshiGathering, fill_seen, order_seen, status_of
from actors.execution.gateways.settings import GatewaySettings
from protocols.budget import REST, WRITE
from protocols.gateways import NativeKinds
from protocols.instruments import Instrument
from protocols.market import Side as BookSide
from protocols.nanos import NANO, exact_nanos
from protocols.orders import NewOrder
from protocols.venues import kalshi, kalshi_commands
from protocols.venues import kalshi_orders as wire
from protocols.venues.errors import VenueError, WireError
from protocols.venues.kalshi_messages import event_time
from protocols.venues.kalshi_signing import Signer
from protocols.venues.rest import RestCall
from protocols.venues.rfc3339 import rfc3339_nanos

URLS: Final = {
    "production": (
        "https://external-api.kalshi.com/trade-api/v2",
        "wss://external-api-ws.kalshi.com/trade-api/ws/v2",
    ),
    "demo": (
        "https://external-api.demo.kalshi.co/trade-api/v2",
        "wss://external-api-ws.demo.kalshi.co/trade-api/ws/v2",
    ),
}
CHANNELS: Final = (kalshi.FILL, wire.USER_ORDERS, wire.MARKET_POSITIONS)
SHARE: Final = 0.9
"""Of the limits that the venue names: our second is not the venue's."""
_AS_OF: Final = "/exchange/user_data_timestamp"
_PAGE: Final = "200"
_MILLISECOND: Final = 1_000_000
# A list by creation time begins so much earlier: our idea of the venue's time may be off.
_MARGIN_S: Final = 60
_TIMES: Final[dict[str, wire.TimeInForce]] = {
    "GTC": "good_till_canceled",
    "GTD": "good_till_canceled",
    "IOC": "immediate_or_cancel",
    "FOK": "fill_or_kill",
}


class KalshiVenue:
    """One account's. `rest_url` as far as the paths of calls are put behind it."""

    native: NativeKinds = NativeKinds(
        kinds=("limit",),
        times_in_force=("GTC", "GTD", "IOC", "FOK"),
        post_only=True,
        reduce_only=("IOC",),
        iceberg=False,
        amend_price=True,
        amend_size="any",
    )
    # Of the smallest account's bucket of writes, less the reserve for cancels: 10 tokens an order.
    most_batch: int = 8
    most_find: int = 10_000
    not_done: frozenset[str] = frozenset()
    # The Basic tier, with room for the way to the venue being uneven; it names the account's own.
    LIMITS: ClassVar[tuple[tuple[str, float, float], ...]] = (("rest", 180.0, 190.0), ("write", 90.0, 95.0))

    def __init__(self, settings: GatewaySettings, rest_url: str, signer: Signer) -> None:
        self._prefix = urlsplit(rest_url).path
        self._signer = signer
        self._self_trade: wire.SelfTradePrevention = settings.self_trade
        self._sids: set[str] = set()

    def identify(self, client_order_id: str) -> str:
        """Any text of at most 64 characters."""
        return client_order_id

    # -- calls -----------------------------------------------------------------------------------------------

    def submit(self, orders: tuple[NewOrder, ...], instruments: tuple[Instrument, ...]) -> Call:
        """`POST /portfolio/events/orders`, or a batch. Raises ValueError."""
        bodies = tuple(self._body(order, each) for order, each in zip(orders, instruments, strict=True))
        body: msgspec.Struct = bodies[0] if len(bodies) == 1 else wire.BatchCreate(bodies)
        # A risk exit may use the reserve; no question over HTTP can make an order of these sources.
        risk = all(order.source in ("flatten", "liquidation") for order in orders)
        return Call(
            what="submit",
            rest=_rest("POST", wire.ORDERS_PATH if len(bodies) == 1 else wire.BATCH_PATH, wire.encode(body)),
            orders=tuple(order.client_order_id for order in orders),
            buckets=((WRITE, float(wire.DEFAULT_COST * len(orders))),),
            priority="cancel" if risk else "normal",
        )

    def _body(self, order: NewOrder, instrument: Instrument) -> wire.CreateOrder:
        if order.price is None:
            raise ValueError("a limit order needs a price")
        _on_grid(order.price, order.size, instrument)
        expires = None
        if order.time_in_force == "GTD":
            if order.expires is None:
                raise ValueError("GTD needs expires")
            expires = order.expires // NANO
        return wire.CreateOrder(
            ticker=instrument.symbol,
            side=_book_side(order.side),
            count=wire.contracts(order.size),
            price=wire.dollars(order.price),
            time_in_force=_TIMES[order.time_in_force],
            self_trade_prevention_type=self._self_trade,
            client_order_id=order.client_order_id,
            expiration_time=expires,
            post_only=order.post_only,
            reduce_only=order.reduce_only,
        )

    def cancel(self, sent: tuple[Sent, ...]) -> Call:
        """`DELETE …/{order_id}`, or a batch."""
        ids = tuple(each.order.client_order_id for each in sent)
        if len(sent) == 1:
            rest = _rest("DELETE", f"{wire.ORDERS_PATH}/{sent[0].venue_order_id}")
        else:
            items = tuple(wire.CancelItem(each.venue_order_id) for each in sent)
            rest = _rest("DELETE", wire.BATCH_PATH, wire.encode(wire.BatchCancel(items)))
        buckets = ((WRITE, float(wire.CANCEL_COST * len(sent))),)
        return Call(what="cancel", rest=rest, orders=ids, buckets=buckets, priority="cancel")

    def cancel_all(self, markets: tuple[str, ...]) -> tuple[Call, ...]:
        """One call, which kills the next minute's orders, too."""
        rest = _rest("DELETE", wire.ORDERS_PATH)
        buckets = ((WRITE, float(wire.CANCEL_COST)),)
        return (Call(what="cancel_all", rest=rest, buckets=buckets, priority="cancel", note="window"),)

    def amend(self, sent: Sent, size: int, price: int | None, instrument: Instrument) -> Call:
        """Less at the same price: `decrease` by the difference, which a fill meanwhile does not make wrong. Else
        `amend`, whose count includes what is filled. Raises ValueError."""
        if price is None:
            raise ValueError("a limit order needs a price")
        _on_grid(price, size, instrument)
        path = f"{wire.ORDERS_PATH}/{sent.venue_order_id}"
        body: msgspec.Struct
        if price == sent.price and size < sent.size:
            path, body = f"{path}/decrease", wire.DecreaseOrder(reduce_by=wire.contracts(sent.size - size))
        else:
            side = _book_side(sent.order.side)
            path, body = (
                f"{path}/amend",
                wire.AmendOrder(instrument.symbol, side, wire.dollars(price), wire.contracts(size)),
            )
        return Call(
            what="amend",
            rest=_rest("POST", path, wire.encode(body)),
            orders=(sent.order.client_order_id,),
            buckets=((WRITE, float(wire.DEFAULT_COST)),),
        )

    def find(self, orders: tuple[Sent, ...]) -> Call:
        """First how far the portfolio is, then all orders since the first of these was sent at the earliest."""
        since = max(0, min(each.since for each in orders) // NANO - _MARGIN_S)
        return _question("find", _AS_OF, *orders, note=f"{since} {orders[0].order.market}")

    def _find_in(self, call: Call, as_of: int) -> Call:
        since, market = call.note.split()
        query = (("ticker", market), ("min_ts", since), ("limit", _PAGE))
        rest = msgspec.structs.replace(call.rest, path="/portfolio/orders", query=query)
        return msgspec.structs.replace(call, rest=rest, note=str(as_of))

    def ask(self, sent: Sent) -> Call:
        """One order by the venue's id."""
        return _question("order", f"/portfolio/orders/{sent.venue_order_id}", sent, cost=wire.CANCEL_COST)

    def fills(self, sent: Sent) -> Call:
        """The fills of one order."""
        query = (("order_id", sent.venue_order_id), ("limit", _PAGE))
        return _question("fills", "/portfolio/fills", sent, query=query)

    def opening(self) -> tuple[Call, ...]:
        """The account's limits; the answer's Date tells the time."""
        rest = _rest("GET", "/account/limits")
        return (Call(what="limits", rest=rest, buckets=((REST, float(wire.DEFAULT_COST)),), priority="recovery"),)

    def gather(self, since: int | None, markets: tuple[str, ...], ours: Mapping[str, str]) -> Gathering:
        """Everything of the account."""
        return KalshiGathering(since, ours)

    # -- answers ---------------------------------------------------------------------------------------------

    def read(self, call: Call, status: int, body: bytes, ts: int) -> Heard:
        """An answer. Raises VenueError where nobody knows what it means for the order, and ValueError for numbers."""
        if call.what == "submit" or call.what == "cancel":
            return Heard(findings=self._read_orders(call, status, body, ts))
        if call.what == "amend":
            return Heard(findings=self._read_amended(call, status, body, ts))
        if call.what == "find":
            return self._read_found(call, status, body)
        if call.what == "order":
            return Heard(findings=self._read_order(call, status, body))
        if call.what == "fills":
            page = wire.read(wire.FillsPage, status, body)
            findings = tuple(fill_seen(row) for row in reversed(page.fills))
            return Heard(findings=findings, next=_following(call, page.cursor) if page.cursor else None)
        if call.what == "limits":
            limits = wire.read(wire.AccountLimits, status, body)
            told = ((REST, limits.read_limit), (WRITE, limits.write_limit))
            return Heard(limits=tuple((name, SHARE * each, SHARE * each) for name, each in told if each > 0))
        wire.read(wire.CancelAllAnswer, status, body)
        return Heard()

    def _read_orders(self, call: Call, status: int, body: bytes, ts: int) -> tuple[Finding, ...]:
        read = _created if call.what == "submit" else _cancelled
        if len(call.orders) == 1:
            return self._one(call.orders[0], lambda: wire.read(wire.OrderAnswer, status, body), read, ts)
        try:
            answers = wire.read(wire.BatchAnswer, status, body).orders
        except VenueError as error:
            if not _definite(error):
                raise
            return tuple(_refusal(id, error.code, error.message) for id in call.orders)
        if len(answers) != len(call.orders):
            raise VenueError(status, "unreadable", f"{len(answers)} answers to {len(call.orders)} orders")
        found: list[Finding] = []
        for id, answer in zip(call.orders, answers, strict=True):
            failed = answer.error
            found.append(read(id, answer, ts) if failed is None else _refusal(id, failed.code, failed.message))
        return tuple(found)

    def _read_amended(self, call: Call, status: int, body: bytes, ts: int) -> tuple[Finding, ...]:
        return self._one(call.orders[0], lambda: wire.read(wire.OrderAnswer, status, body), _amended, ts)

    def _one(
        self,
        id: str,
        answer: Callable[[], wire.OrderAnswer],
        read: Callable[[str, wire.OrderAnswer, int], Finding],
        ts: int,
    ) -> tuple[Finding, ...]:
        try:
            return (read(id, answer(), ts),)
        except VenueError as error:
            if not _definite(error):
                raise
            return (_refusal(id, error.code, error.message, error.status),)

    def _read_found(self, call: Call, status: int, body: bytes) -> Heard:
        if call.rest.path == _AS_OF:
            as_of = rfc3339_nanos(wire.read(wire.UserDataTimestamp, status, body).as_of_time)
            return Heard(next=self._find_in(call, as_of))
        page = wire.read(wire.OrdersPage, status, body)
        wanted = dict.fromkeys(call.orders)
        found = {row.client_order_id: row for row in page.orders if row.client_order_id in wanted}
        seen: tuple[Finding, ...] = tuple(map(order_seen, found.values()))
        left = tuple(id for id in wanted if id not in found)
        if left and page.cursor:
            return Heard(findings=seen, next=msgspec.structs.replace(_following(call, page.cursor), orders=left))
        return Heard(findings=seen + tuple(Missing(client_order_id=id, as_of=int(call.note)) for id in left))

    def _read_order(self, call: Call, status: int, body: bytes) -> tuple[Finding, ...]:
        try:
            return (order_seen(wire.read(wire.OneOrder, status, body).order),)
        except VenueError as error:
            if not _definite(error):
                raise
            return (_refusal(call.orders[0], error.code, error.message),)

    # -- signing and the private stream ----------------------------------------------------------------------

    def prepared(self, call: Call, ts: int) -> tuple[RestCall, tuple[tuple[str, str], ...]]:
        """The signature over time, method and path."""
        headers = self._signer.headers(ts // _MILLISECOND, call.rest.method, self._prefix + call.rest.path)
        if call.rest.body:
            headers.append(("content-type", "application/json"))
        return call.rest, tuple(headers)

    def handshake(self, ts: int) -> tuple[tuple[str, str], ...]:
        """The signature of the upgrade."""
        return tuple(self._signer.headers(ts // _MILLISECOND))

    def subscriptions(self, ts: int) -> tuple[bytes, ...]:
        """All private channels, of all markets."""
        self._sids.clear()
        return tuple(kalshi_commands.subscribe(id, channel) for id, channel in enumerate(CHANNELS, 1))

    def hear(self, raw: bytes) -> tuple[Finding, ...] | bool:
        """A frame. Raises WireError, also where a subscription has failed: the stream must be opened anew."""
        frame = wire.decode_private(raw)
        if isinstance(frame, kalshi.FillFrame):
            return (_fill_told(frame.msg),)
        if isinstance(frame, wire.UserOrderFrame):
            return (_order_told(frame.msg),)
        if isinstance(frame, kalshi.SubscribedFrame):
            self._sids.add(frame.msg.channel)
            return self._sids.issuperset(CHANNELS)
        if isinstance(frame, kalshi.ErrorFrame):
            raise WireError(f"error {frame.msg.code}: {frame.msg.msg}")
        return ()


# -- small parts ---------------------------------------------------------------------------------------------


def _created(id: str, answer: wire.OrderAnswer, ts: int) -> Finding:
    """What creating it answers; what is neither filled nor rests is gone already."""
    if not answer.order_id:
        raise VenueError(200, "unreadable", "an order without an id")
    filled = exact_nanos(answer.fill_count or "0")
    remaining = exact_nanos(answer.remaining_count or "0")
    return OrderSeen(
        venue_order_id=answer.order_id,
        client_order_id=id,
        status="open" if remaining else "gone",
        filled=filled,
        ts=_ts(answer, ts),
    )


def _cancelled(id: str, answer: wire.OrderAnswer, ts: int) -> Finding:
    unfilled = None if answer.reduced_by is None else exact_nanos(answer.reduced_by)
    return OrderSeen(
        venue_order_id=answer.order_id,
        client_order_id=id,
        status="ended",
        unfilled=unfilled,
        ts=_ts(answer, ts),
        reason="user",
    )


def _amended(id: str, answer: wire.OrderAnswer, ts: int) -> Finding:
    filled = None if answer.fill_count is None else exact_nanos(answer.fill_count)
    gone = answer.remaining_count is not None and exact_nanos(answer.remaining_count) == 0
    return OrderSeen(
        venue_order_id=answer.order_id,
        client_order_id=id,
        status="gone" if gone else "open",
        filled=filled,
        ts=_ts(answer, ts),
        amended=True,
    )


def _fill_told(body: kalshi.FillBody) -> FillSeen:
    return FillSeen(
        venue_order_id=body.order_id,
        client_order_id=body.client_order_id,
        fill_id=body.trade_id,
        market=body.market_ticker,
        side="buy" if wire.book_side(body.book_side, body.outcome_side) == "bid" else "sell",
        price=exact_nanos(body.yes_price_dollars),
        size=exact_nanos(body.count_fp),
        liquidity="taker" if body.is_taker else "maker",
        fee=exact_nanos(body.fee_cost or "0"),
        fee_currency="USD",
        ts=event_time(body.ts_ms, body.ts),
    )


def _order_told(body: wire.UserOrderBody) -> OrderSeen:
    filled = exact_nanos(body.fill_count_fp)
    return OrderSeen(
        venue_order_id=body.order_id,
        client_order_id=body.client_order_id,
        market=body.ticker,
        price=exact_nanos(body.yes_price_dollars),
        size=filled + exact_nanos(body.remaining_count_fp),
        filled=filled,
        status=status_of(body.status),
        ts=0 if body.last_updated_ts_ms is None else body.last_updated_ts_ms * _MILLISECOND,
        reason=body.last_update_reason or "",
    )


def _following(call: Call, cursor: str) -> Call:
    """The same question, further on."""
    query = (*(pair for pair in call.rest.query if pair[0] != "cursor"), ("cursor", cursor))
    return msgspec.structs.replace(call, rest=msgspec.structs.replace(call.rest, query=query))


def _ts(answer: wire.OrderAnswer, ts: int) -> int:
    return ts if answer.ts_ms is None else answer.ts_ms * _MILLISECOND


def _definite(error: VenueError) -> bool:
    """Whether the venue has certainly not done it, and not only for now."""
    return 400 <= error.status < 500 and error.status not in (408, 418, 429)


def _refusal(id: str, code: str, message: str, status: int = 0) -> Refusal:
    gone = status == 404 or code in wire.GONE
    return Refusal(
        client_order_id=id,
        code=code,
        reason=message,
        gone=gone,
        exists=code == wire.DUPLICATE,
        killed=code == wire.KILLED,
    )


def _book_side(side: str) -> BookSide:
    return "bid" if side == "buy" else "ask"


def _on_grid(price: int, size: int, instrument: Instrument) -> None:
    """Raises ValueError for a price on no tick or a size of no whole lots: nothing is rounded here."""
    if not any(
        span.start <= price <= span.end and (price - span.start) % span.step == 0 for span in instrument.price_ranges
    ):
        raise ValueError(f"price: {wire.dollars(price)} is on no tick of {instrument.market}")
    if size <= 0 or size % instrument.lot:
        raise ValueError(f"size: {wire.contracts(size)} is no multiple of the lot of {instrument.market}")


def _rest(method: str, path: str, body: bytes = b"", query: tuple[tuple[str, str], ...] = ()) -> RestCall:
    return RestCall(purpose="", method=method, path=path, body=body, query=query, signed=True)


def _question(
    what: What,
    path: str,
    *orders: Sent,
    query: tuple[tuple[str, str], ...] = (),
    cost: int = wire.DEFAULT_COST,
    note: str = "",
) -> Call:
    return Call(
        what=what,
        rest=_rest("GET", path, query=query),
        orders=tuple(each.order.client_order_id for each in orders),
        buckets=((REST, float(cost)),),
        priority="recovery",
        note=note,
    )
