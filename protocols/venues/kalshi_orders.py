"""Kalshi's order entry, portfolio and private channels: what is sent, what is answered, bytes <-> structs.

Orders of the current form (V2) stand in one YES book: `bid` buys YES at `price`, `ask` sells it; buying NO at q is an
`ask` at 1 - q. Amounts travel as decimal text: dollars with four decimals, contracts with two; `dollars` and
`contracts` make them of nanos, `exact_nanos` reads them. A few old amounts are integer cents (`cents`).
There is no order entry over WebSocket. The private channels have no sequence numbers, so nobody can see a loss there:
REST says what is true, as of `GET /exchange/user_data_timestamp`.

Sources: Kalshi's OpenAPI 3.13-3.32 and AsyncAPI 2.0.0 texts, its changelog to 2026-09. What amending and decreasing
answer is not printed there; every field of those answers is optional here.
"""

from __future__ import annotations

from typing import Final, Literal, TypeVar

import msgspec

from protocols.market import Side
from protocols.nanos import NANO, decimal_text, exact_nanos
from protocols.venues.errors import VenueError, WireError
from protocols.venues.kalshi import ErrorFrame, FillFrame, OkFrame, SubscribedFrame, UnsubscribedFrame
from protocols.venues.kalshi_catalogue import refuse

USER_ORDERS: Final = "user_orders"
MARKET_POSITIONS: Final = "market_positions"
ORDERS_PATH: Final = "/portfolio/events/orders"
BATCH_PATH: Final = "/portfolio/events/orders/batched"

DEFAULT_COST: Final = 10
CANCEL_COST: Final = 2
"""Tokens (docs, "Rate limits"): most calls cost 10; a cancel, cancel-all and each cancel of a batch 2; so does asking
for one order."""

TimeInForce = Literal["fill_or_kill", "good_till_canceled", "immediate_or_cancel"]
SelfTradePrevention = Literal["taker_at_cross", "maker"]
OrderStatus = Literal["resting", "canceled", "executed"]

DUPLICATE: Final = "order_already_exists"
"""409 to a client order id that was used before: the order is there."""
KILLED: Final = "fill_or_kill_insufficient_resting_volume"
GONE: Final = frozenset({"not_found", "order_not_found"})


class CreateOrder(msgspec.Struct, gc=False, omit_defaults=True, kw_only=True):
    """`POST /portfolio/events/orders`. `expiration_time` in seconds, with good_till_canceled only; `reduce_only` with
    immediate_or_cancel only."""

    ticker: str
    side: Side
    count: str
    price: str
    time_in_force: TimeInForce
    self_trade_prevention_type: SelfTradePrevention
    client_order_id: str = ""
    expiration_time: int | None = None
    post_only: bool = False
    reduce_only: bool = False
    cancel_order_on_pause: bool = False
    subaccount: int | None = None
    order_group_id: str = ""
    exchange_index: int | None = None


class ItemError(msgspec.Struct, gc=False, omit_defaults=True):
    """Why one item of a batch was not done."""

    code: str = ""
    message: str = ""


class OrderAnswer(msgspec.Struct, gc=False, omit_defaults=True, kw_only=True):
    """What creating, amending, decreasing or cancelling one order answers, alone or as an item of a batch."""

    order_id: str = ""
    client_order_id: str = ""
    fill_count: str | None = None
    remaining_count: str | None = None
    reduced_by: str | None = None
    average_fill_price: str | None = None
    average_fee_paid: str | None = None
    ts_ms: int | None = None
    error: ItemError | None = None


class AmendOrder(msgspec.Struct, gc=False):
    """`POST …/{order_id}/amend`. `count`: what is filled already plus what shall rest."""

    ticker: str
    side: Side
    price: str
    count: str


class DecreaseOrder(msgspec.Struct, gc=False, omit_defaults=True):
    """`POST …/{order_id}/decrease`: exactly one of the two."""

    reduce_by: str | None = None
    reduce_to: str | None = None


class BatchCreate(msgspec.Struct, gc=False):
    """`POST …/batched`. The whole batch has to fit the bucket of tokens."""

    orders: tuple[CreateOrder, ...]


class CancelItem(msgspec.Struct, gc=False):
    """One order of a batch of cancels."""

    order_id: str


class BatchCancel(msgspec.Struct, gc=False):
    """`DELETE …/batched`."""

    orders: tuple[CancelItem, ...]


class BatchAnswer(msgspec.Struct, gc=False):
    """One answer for each item, in order; those that failed carry `error` though the status is 2xx."""

    orders: tuple[OrderAnswer, ...] = ()


class CancelAllAnswer(msgspec.Struct, gc=False, omit_defaults=True):
    """`DELETE /portfolio/events/orders`. It kills orders that are placed in the following minute, too."""

    ts_ms: int | None = None


class OrderRow(msgspec.Struct, gc=False, omit_defaults=True, kw_only=True):
    """An order of `GET /portfolio/orders`."""

    order_id: str
    ticker: str
    status: str
    client_order_id: str = ""
    book_side: Side | None = None
    outcome_side: str | None = None
    yes_price_dollars: str = "0"
    no_price_dollars: str = ""
    initial_count_fp: str = "0"
    fill_count_fp: str = "0"
    remaining_count_fp: str = "0"
    taker_fees_dollars: str = "0"
    maker_fees_dollars: str = "0"
    created_time: str = ""
    last_update_time: str = ""
    expiration_time: str | None = None
    last_update_reason: str | None = None


class OrdersPage(msgspec.Struct, gc=False):
    """Newest first. An empty cursor ends the list."""

    orders: tuple[OrderRow, ...] = ()
    cursor: str | None = ""


class OneOrder(msgspec.Struct, gc=False):
    """`GET /portfolio/orders/{order_id}`."""

    order: OrderRow


class FillRow(msgspec.Struct, gc=False, omit_defaults=True, kw_only=True):
    """A fill of `GET /portfolio/fills`. Since 2026-03-30 without the client's order id."""

    fill_id: str
    order_id: str
    ticker: str
    is_taker: bool
    count_fp: str
    yes_price_dollars: str
    no_price_dollars: str = ""
    fee_cost: str = "0"
    book_side: Side | None = None
    outcome_side: str | None = None
    created_time: str = ""


class FillsPage(msgspec.Struct, gc=False):
    """Newest first. An empty cursor ends the list."""

    fills: tuple[FillRow, ...] = ()
    cursor: str | None = ""


class PositionRow(msgspec.Struct, gc=False, omit_defaults=True, kw_only=True):
    """An unsettled position. `position_fp` negative: NO contracts."""

    ticker: str
    position_fp: str
    market_exposure_dollars: str = "0"
    realized_pnl_dollars: str = "0"
    fees_paid_dollars: str = "0"
    total_traded_dollars: str = "0"
    last_updated_ts: str | None = None


class PositionsPage(msgspec.Struct, gc=False):
    """`GET /portfolio/positions`; those of events are left out here."""

    market_positions: tuple[PositionRow, ...] = ()
    cursor: str | None = ""


class Balance(msgspec.Struct, gc=False, kw_only=True):
    """`balance` and `portfolio_value` in cents."""

    balance: int
    portfolio_value: int = 0
    balance_dollars: str | None = None


class SettlementRow(msgspec.Struct, gc=False, omit_defaults=True, kw_only=True):
    """`revenue` and `value` in cents, `value` for one YES contract; the dollars beside them win."""

    ticker: str
    settled_time: str
    market_result: str = ""
    yes_count_fp: str = "0"
    no_count_fp: str = "0"
    yes_total_cost_dollars: str = "0"
    no_total_cost_dollars: str = "0"
    revenue: int = 0
    revenue_dollars: str | None = None
    value: int | None = None
    value_dollars: str | None = None
    fee_cost: str = "0"


class SettlementsPage(msgspec.Struct, gc=False):
    """Newest first. An empty cursor ends the list."""

    settlements: tuple[SettlementRow, ...] = ()
    cursor: str | None = ""


class UserDataTimestamp(msgspec.Struct, gc=False):
    """Until when the portfolio's answers are complete."""

    as_of_time: str


class AccountLimits(msgspec.Struct, gc=False, kw_only=True):
    """`GET /account/limits`: tokens a second."""

    usage_tier: str = ""
    read_limit: int = 0
    write_limit: int = 0


class UserOrderBody(msgspec.Struct, gc=False, omit_defaults=True, kw_only=True):
    """An order as it stands now."""

    order_id: str
    ticker: str
    status: str
    client_order_id: str = ""
    book_side: Side | None = None
    outcome_side: str | None = None
    yes_price_dollars: str = "0"
    fill_count_fp: str = "0"
    remaining_count_fp: str = "0"
    initial_count_fp: str = "0"
    last_update_reason: str | None = None
    created_ts_ms: int | None = None
    last_updated_ts_ms: int | None = None


class UserOrderFrame(msgspec.Struct, gc=False, kw_only=True, tag_field="type", tag="user_order"):
    """One of the account's orders has changed."""

    msg: UserOrderBody
    sid: int = 0


class PositionBody(msgspec.Struct, gc=False, omit_defaults=True, kw_only=True):
    """A position as it stands now."""

    market_ticker: str
    position_fp: str
    position_cost_dollars: str = "0"
    realized_pnl_dollars: str = "0"
    fees_paid_dollars: str = "0"
    volume_fp: str = "0"


class PositionFrame(msgspec.Struct, gc=False, kw_only=True, tag_field="type", tag="market_position"):
    """One of the account's positions has changed."""

    msg: PositionBody
    sid: int = 0


PrivateFrame = FillFrame | UserOrderFrame | PositionFrame | SubscribedFrame | UnsubscribedFrame | OkFrame | ErrorFrame


class _Error(msgspec.Struct, gc=False):
    code: str = ""
    message: str = ""
    details: str | None = None


T = TypeVar("T")
_private: msgspec.json.Decoder[PrivateFrame] = msgspec.json.Decoder(PrivateFrame)
_encoder = msgspec.json.Encoder()
_decoders: dict[type, msgspec.json.Decoder[object]] = {}


def decode_private(raw: bytes | str) -> PrivateFrame | None:
    """A frame of a private channel, or None for one of a type that is not read here. Raises WireError."""
    try:
        return _private.decode(raw)
    except msgspec.ValidationError as error:
        if "Invalid value" in str(error) and "$.type" in str(error):
            return None
        raise WireError(str(error)) from None
    except (msgspec.DecodeError, UnicodeError) as error:
        raise WireError(str(error)) from None


def encode(value: msgspec.Struct) -> bytes:
    """A request's body, or what the venue answers; fields at their defaults are left out."""
    return _encoder.encode(value)


def decode(kind: type[T], body: bytes) -> T:
    """A body as `kind`. Raises WireError."""
    decoder = _decoders.get(kind)
    if decoder is None:
        decoder = _decoders[kind] = msgspec.json.Decoder(kind)
    try:
        return decoder.decode(body)  # type: ignore[return-value]
    except (msgspec.DecodeError, UnicodeError) as error:
        raise WireError(f"no {kind.__name__}: {error}") from None


def read(kind: type[T], status: int, body: bytes) -> T:
    """The answer to a call. Raises VenueError: it was refused, or (status 2xx) cannot be read."""
    refuse(status, body)
    try:
        return decode(kind, body)
    except WireError as error:
        raise VenueError(status, "unreadable", str(error)) from None


def dollars(nanos: int) -> str:
    """A price or money as the venue writes it."""
    return decimal_text(nanos, 4)


def contracts(nanos: int) -> str:
    """A number of contracts as the venue writes it."""
    return decimal_text(nanos, 2)


def cents(nanos: int) -> int:
    """Money in whole cents, the rest cut off."""
    return nanos // (NANO // 100)


def of_cents(number: int) -> int:
    """Nanos of whole cents."""
    return number * (NANO // 100)


def balance_nanos(balance: Balance) -> int:
    """The cash. Raises ValueError."""
    return of_cents(balance.balance) if balance.balance_dollars is None else exact_nanos(balance.balance_dollars)


def settlement_value(row: SettlementRow) -> int | None:
    """What one YES contract paid, nanos; None where the row does not say. Raises ValueError."""
    if row.value_dollars is not None:
        return exact_nanos(row.value_dollars)
    if row.value is not None:
        return of_cents(row.value)
    return {"yes": NANO, "no": 0}.get(row.market_result)


def book_side(side: Side | None, outcome: str | None) -> Side:
    """Which side of the YES book. Raises ValueError where neither field says."""
    if side is not None:
        return side
    if outcome in ("yes", "no"):
        return "bid" if outcome == "yes" else "ask"
    raise ValueError("neither book_side nor outcome_side")
