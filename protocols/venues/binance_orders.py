"""Binance spot's order entry, account and user data stream: what is sent, what is answered, bytes <-> structs.

A request is its query string; `binance_signing` puts recvWindow, timestamp and signature behind it. The user data
stream is a subscription on the WebSocket API (listen keys are gone): `userDataStream.subscribe.signature`, signed over
its parameters in alphabetical order. Order ids and trade ids are unique within a symbol only.

Sources: binance-spot-api-docs (2026-07-21) `rest-api.md` ("Trading endpoints", "Account endpoints"),
`user-data-stream.md`, `web-socket-api.md`, `errors.md`.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Final, Literal, TypeVar

import msgspec

from protocols.nanos import decimal_text
from protocols.venues.binance_replies import UNREADABLE, Fault
from protocols.venues.errors import VenueError, WireError

ORDER_PATH: Final = "/api/v3/order"
OPEN_ORDERS_PATH: Final = "/api/v3/openOrders"
AMEND_PATH: Final = "/api/v3/order/amend/keepPriority"
TRADES_PATH: Final = "/api/v3/myTrades"
ACCOUNT_PATH: Final = "/api/v3/account"
TIME_PATH: Final = "/api/v3/time"
STREAM_PATH: Final = "/ws-api/v3"
SUBSCRIBE: Final = "userDataStream.subscribe.signature"

Side = Literal["BUY", "SELL"]
NEW_ORDER_REJECTED: Final = -2010
CANCEL_REJECTED: Final = -2011
NO_SUCH_ORDER: Final = -2013
AMEND_REJECTED: Final = -2038
INVALID_TIMESTAMP: Final = -1021
TOO_MANY_ORDERS: Final = -1015
EXECUTION_UNKNOWN: Final = frozenset({-1000, -1006, -1007})
"""The request reached the venue and nobody knows what came of it."""
DUPLICATE_TEXT: Final = "Duplicate order sent."
UNKNOWN_TEXT: Final = "Unknown order sent."
BALANCE_TEXT: Final = "Account has insufficient balance for requested action."
MAKER_TEXT: Final = "Order would immediately match and take."
CLIENT_ID: Final = re.compile(r"[a-zA-Z0-9\-_]{1,36}")
OPEN: Final = frozenset({"NEW", "PARTIALLY_FILLED", "PENDING_NEW", "PENDING_CANCEL"})


class OrderRequest(msgspec.Struct, gc=False, kw_only=True):
    """`POST /api/v3/order`. `quantity` of the base asset; `price` and `time_in_force` of LIMIT."""

    symbol: str
    side: Side
    type: str
    quantity: str
    new_client_order_id: str = ""
    price: str = ""
    time_in_force: str = ""
    iceberg_qty: str = ""
    self_trade_prevention_mode: str = ""

    def query(self) -> tuple[tuple[str, str], ...]:
        """Its parameters; the answer shall name the fills."""
        pairs = [("symbol", self.symbol), ("side", self.side), ("type", self.type)]
        optional = (
            ("timeInForce", self.time_in_force),
            ("quantity", self.quantity),
            ("price", self.price),
            ("newClientOrderId", self.new_client_order_id),
            ("icebergQty", self.iceberg_qty),
            ("selfTradePreventionMode", self.self_trade_prevention_mode),
        )
        pairs += [(name, value) for name, value in optional if value]
        return (*pairs, ("newOrderRespType", "FULL"))

    @classmethod
    def of(cls, query: Mapping[str, str]) -> OrderRequest:
        """The venue's side. Raises KeyError for what is missing, ValueError for a side that is none."""
        side = query["side"]
        if side not in ("BUY", "SELL"):
            raise ValueError(f"side: expected BUY or SELL, got {side!r}")
        return cls(
            symbol=query["symbol"],
            side="BUY" if side == "BUY" else "SELL",
            type=query["type"],
            quantity=query["quantity"],
            new_client_order_id=query.get("newClientOrderId", ""),
            price=query.get("price", ""),
            time_in_force=query.get("timeInForce", ""),
            iceberg_qty=query.get("icebergQty", ""),
            self_trade_prevention_mode=query.get("selfTradePreventionMode", ""),
        )


class FillAnswer(msgspec.Struct, gc=False, rename="camel", kw_only=True):
    """A fill within the answer to an order."""

    price: str
    qty: str
    commission: str
    commission_asset: str
    trade_id: int


class OrderAnswer(msgspec.Struct, gc=False, rename="camel", omit_defaults=True, kw_only=True):
    """An order as it is answered: when created or cancelled (`transact_time`), or listed (`time`, `update_time`).

    After a cancel `client_order_id` names the cancel, and `orig_client_order_id` the order.
    """

    symbol: str
    order_id: int
    client_order_id: str = ""
    orig_client_order_id: str = ""
    transact_time: int | None = None
    time: int | None = None
    update_time: int | None = None
    price: str = "0"
    orig_qty: str = "0"
    executed_qty: str = "0"
    cummulative_quote_qty: str = "0"
    status: str = ""
    time_in_force: str = ""
    type: str = ""
    side: str = ""
    expiry_reason: str = ""
    fills: tuple[FillAnswer, ...] = ()

    @property
    def ms(self) -> int:
        """When it was so."""
        return self.transact_time or self.update_time or self.time or 0


class AmendedOrder(msgspec.Struct, gc=False, rename="camel", omit_defaults=True, kw_only=True):
    """An order behind its amendment."""

    symbol: str
    order_id: int
    client_order_id: str = ""
    orig_client_order_id: str = ""
    price: str = "0"
    qty: str = "0"
    executed_qty: str = "0"
    status: str = ""


class AmendAnswer(msgspec.Struct, gc=False, rename="camel", kw_only=True):
    """`PUT /api/v3/order/amend/keepPriority`."""

    transact_time: int
    amended_order: AmendedOrder
    execution_id: int = 0


class TradeRow(msgspec.Struct, gc=False, rename="camel", kw_only=True):
    """One of the account's trades."""

    symbol: str
    id: int
    order_id: int
    price: str
    qty: str
    commission: str
    commission_asset: str
    time: int
    is_buyer: bool
    is_maker: bool
    quote_qty: str = "0"


class AssetBalance(msgspec.Struct, gc=False, kw_only=True):
    """One asset of the account."""

    asset: str
    free: str
    locked: str


class Account(msgspec.Struct, gc=False, rename="camel", kw_only=True):
    """`GET /api/v3/account`."""

    balances: tuple[AssetBalance, ...]
    can_trade: bool = True
    update_time: int = 0


class ServerTime(msgspec.Struct, gc=False, rename="camel"):
    """`GET /api/v3/time`."""

    server_time: int


class ExecutionReport(
    msgspec.Struct,
    gc=False,
    kw_only=True,
    tag_field="e",
    tag="executionReport",
    rename={
        "event_time": "E",
        "symbol": "s",
        "client_order_id": "c",
        "side": "S",
        "type": "o",
        "time_in_force": "f",
        "quantity": "q",
        "price": "p",
        "original_client_order_id": "C",
        "execution": "x",
        "status": "X",
        "reject_reason": "r",
        "order_id": "i",
        "last_quantity": "l",
        "cumulative_quantity": "z",
        "last_price": "L",
        "commission": "n",
        "commission_asset": "N",
        "transaction_time": "T",
        "trade_id": "t",
        "is_maker": "m",
        "expiry_reason": "eR",
    },
):
    """Something happened to an order. `trade_id` -1 without a trade. After a cancel `original_client_order_id` names
    the order."""

    event_time: int
    symbol: str
    client_order_id: str
    side: Side
    type: str
    time_in_force: str
    quantity: str
    price: str
    execution: str
    status: str
    order_id: int
    last_quantity: str
    cumulative_quantity: str
    last_price: str
    transaction_time: int
    original_client_order_id: str = ""
    reject_reason: str = "NONE"
    commission: str = "0"
    commission_asset: str | None = None
    trade_id: int = -1
    is_maker: bool = False
    expiry_reason: str | None = None


class ChangedBalance(msgspec.Struct, gc=False, rename={"asset": "a", "free": "f", "locked": "l"}):
    """One asset of an account update."""

    asset: str
    free: str
    locked: str


class AccountPosition(
    msgspec.Struct,
    gc=False,
    kw_only=True,
    tag_field="e",
    tag="outboundAccountPosition",
    rename={"event_time": "E", "updated": "u", "balances": "B"},
):
    """Balances that an event has changed."""

    event_time: int
    updated: int
    balances: tuple[ChangedBalance, ...]


class StreamTerminated(
    msgspec.Struct, gc=False, kw_only=True, tag_field="e", tag="eventStreamTerminated", rename={"event_time": "E"}
):
    """The subscription has ended; the connection has not."""

    event_time: int = 0


class _Kind(msgspec.Struct, gc=False):
    e: str = ""


class StreamMessage(msgspec.Struct, gc=False, rename="camel", kw_only=True):
    """What the WebSocket API sends: an event of a subscription, or the answer to a request (`status`)."""

    id: str | int | None = None
    status: int | None = None
    error: Fault | None = None
    subscription_id: int | None = None
    event: msgspec.Raw = msgspec.Raw(b"")


class StreamRequest(msgspec.Struct, gc=False, kw_only=True):
    """A request of the WebSocket API."""

    id: str | int
    method: str
    params: dict[str, str | int] = {}


Event = ExecutionReport | AccountPosition | StreamTerminated
T = TypeVar("T")
_events: dict[str, msgspec.json.Decoder[Event]] = {
    kind.__struct_config__.tag: msgspec.json.Decoder(kind)  # type: ignore[misc]
    for kind in (ExecutionReport, AccountPosition, StreamTerminated)
}
_kind = msgspec.json.Decoder(_Kind)
_message = msgspec.json.Decoder(StreamMessage)
_request = msgspec.json.Decoder(StreamRequest)
_fault = msgspec.json.Decoder(Fault)
_encoder = msgspec.json.Encoder()
_decoders: dict[object, msgspec.json.Decoder[object]] = {}


def decode_message(raw: bytes | str) -> StreamMessage:
    """What came on the WebSocket API. Raises WireError."""
    try:
        return _message.decode(raw)
    except UNREADABLE as error:
        raise WireError(str(error)) from None


def decode_event(raw: bytes) -> Event | None:
    """An event of the user data stream, None for one that is not read here. Raises WireError."""
    try:
        decoder = _events.get(_kind.decode(raw).e)
        return None if decoder is None else decoder.decode(raw)
    except UNREADABLE as error:
        raise WireError(str(error)) from None


def decode_request(raw: bytes | str) -> StreamRequest:
    """The venue's side: what the client asks. Raises WireError."""
    try:
        return _request.decode(raw)
    except UNREADABLE as error:
        raise WireError(str(error)) from None


def encode(value: object) -> bytes:
    """A request, or what the venue answers."""
    return _encoder.encode(value)


def decode(kind: type[T], body: bytes) -> T:
    """A body as `kind`. Raises WireError."""
    decoder = _decoders.get(kind)
    if decoder is None:
        decoder = _decoders[kind] = msgspec.json.Decoder(kind)
    try:
        return decoder.decode(body)  # type: ignore[return-value]
    except UNREADABLE as error:
        raise WireError(str(error)) from None


def read(kind: type[T], status: int, body: bytes) -> T:
    """The answer to a call. Raises VenueError, `code` the venue's number: it was refused, or cannot be read."""
    if status != 200:
        try:
            fault = _fault.decode(body)
        except UNREADABLE:
            fault = Fault(0, body[:200].decode("utf-8", "replace"))
        raise VenueError(status, str(fault.code) if fault.code else f"http_{status}", fault.msg or "no words")
    try:
        return decode(kind, body)
    except WireError as error:
        raise VenueError(status, "unreadable", str(error)) from None


def signed_params(params: Mapping[str, str | int]) -> bytes:
    """What a request of the WebSocket API signs: its parameters in alphabetical order, as they are."""
    return "&".join(f"{name}={value}" for name, value in sorted(params.items()) if name != "signature").encode()


def number(nanos: int) -> str:
    """A price or quantity as the venue takes it: no needless digits, which would break its filters."""
    return decimal_text(nanos)
