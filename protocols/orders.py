"""What is said about orders: the order itself, commands, how it stands, fills with their reasons, and venues' reports.

Prices, sizes and money are integers of 10⁻⁹ ("nanos"); shares (of a price) are nanos, too: 0.01 is 10_000_000. Times
are integer nanoseconds since the Unix epoch, UTC. Products (price times size) outgrow int64: where one travels it is
exact decimal text.

The identity chain `deployment_id, signal_id, decision_id, client_order_id` is on every message of an order. A
prediction market is one YES book: `side` and `price` are those of the YES leg, `leg` says which leg the owner meant.
"""

from __future__ import annotations

from typing import Final, Literal

import msgspec

from protocols.control import Message
from protocols.instruments import Instrument
from protocols.market import Bar as Bar
from protocols.market import BookStale, BookUpdate, Funding, MarketStatus, Quote, Trade

Side = Literal["buy", "sell"]
OrderKind = Literal["market", "limit", "stop", "stop_limit", "trailing_stop"]
TimeInForce = Literal["GTC", "IOC", "FOK", "DAY", "GTD"]
Liquidity = Literal["maker", "taker"]
PositionSide = Literal["", "long", "short"]
Leg = Literal["", "YES", "NO"]
OrderSource = Literal["signal", "strategy", "manual", "bracket", "flatten", "liquidation", "settlement", "external"]

OrderState = Literal[
    "held",
    "submitted",
    "accepted",
    "partially_filled",
    "filled",
    "cancelled",
    "expired",
    "denied",
    "rejected",
    "unknown",
]
"""`denied` is ours (a rule, `reason_code` says which), `rejected` the venue's. `held`: with us, in the emulator or
until its parent fills. `unknown`: sent, and whether it arrived is being asked; nothing is guessed."""

FINAL: Final = frozenset({"filled", "cancelled", "expired", "denied", "rejected"})


class NewOrder(msgspec.Struct, frozen=True, gc=False, kw_only=True):
    """What is ordered.

    `price` of limit and stop-limit, `stop_price` of stop and stop-limit, `trail` (an amount) or `trail_share` (of the
    price) of a trailing stop. `expires` of GTD. `display`: the shown part of an iceberg. `protection`: a market order
    takes no price that is worse than the opposite best one at its arrival by more than this share.
    `parent`: a client order id: held until that order fills, and then for as much as was filled. `oco`: orders with the
    same text cancel one another: what one of them fills, the others lose.
    `position_side`: in an account with hedging, the position that it opens or (reduce_only) reduces.
    `sender`: path@incarnation of who ordered it, empty where nobody is to be fenced.
    """

    client_order_id: str
    market: str
    side: Side
    kind: OrderKind
    size: int
    price: int | None = None
    stop_price: int | None = None
    trail: int | None = None
    trail_share: int | None = None
    time_in_force: TimeInForce = "GTC"
    expires: int | None = None
    post_only: bool = False
    reduce_only: bool = False
    display: int | None = None
    protection: int | None = None
    parent: str = ""
    oco: str = ""
    position_side: PositionSide = ""
    leg: Leg = ""
    deployment_id: str = ""
    signal_id: str = ""
    decision_id: str = ""
    source: OrderSource = "signal"
    sender: str = ""
    marks: tuple[str, ...] = ()


# Why an order was filled.


class Why(msgspec.Struct, frozen=True, gc=False, kw_only=True):
    """Why a fill happened, so that its owner can check it.

    `model`: what decided ("book_walk", "queue:risk_averse", "trade", "crossed" where only the book said so,
    "bar:open", "bar:path", "venue" …). `queue_ahead` (nanos) when the order came to rest and when it filled; None:
    it never rested, or the model has no queue. `session`, `seq`, `trade_id`: the market message. `entry_ns`,
    `response_ns`: the latencies that this order had. `slippage`: share of the price, signed, positive is worse.
    """

    model: str
    queue_ahead_at_rest: int | None = None
    queue_ahead_at_fill: int | None = None
    session: str = ""
    seq: int = 0
    trade_id: str = ""
    entry_ns: int = 0
    response_ns: int = 0
    slippage: int = 0
    ambiguous: bool = False
    """A bar did not say in which order its prices came; the worse one for the owner was taken."""
    note: str = ""


# What a venue says of orders: the simulated one, or a gateway. `ts` is the venue's time.


class VenueAccepted(Message, frozen=True, gc=False, tag="venue_accepted"):
    """The order works. `queue_ahead`: the model's queue in front of it, None where it has none."""

    client_order_id: str
    venue_order_id: str
    ts: int
    queue_ahead: int | None = None


class VenueRejected(Message, frozen=True, gc=False, tag="venue_rejected"):
    """The venue did not take the order."""

    client_order_id: str
    code: str
    reason: str
    ts: int


class VenueTriggered(Message, frozen=True, gc=False, tag="venue_triggered"):
    """The stop price was reached; the order is a market or a limit order now."""

    client_order_id: str
    ts: int


class VenueFilled(Message, frozen=True, gc=False, kw_only=True, tag="venue_filled"):
    """A part of the order, or all of it, was traded. `fill_id` is unique for the account; a repeat is recognised by it.

    `fee` is paid if positive, earned if negative, in `fee_currency`. `leaves`: what is still to be filled, None where
    the venue does not say.
    """

    client_order_id: str
    fill_id: str
    market: str
    side: Side
    price: int
    size: int
    liquidity: Liquidity
    fee: int
    fee_currency: str
    ts: int
    leaves: int | None = None
    why: Why = Why(model="venue")
    venue_order_id: str = ""


class VenueCancelled(Message, frozen=True, gc=False, tag="venue_cancelled"):
    """The rest of the order is gone. `code`: "user", "ioc", "fok", "expired", "day", "oco", "parent", "self_trade",
    "post_only", "protection", "no_liquidity", "reduce_only", "closed", "settled", "margin", "random"."""

    client_order_id: str
    code: str
    ts: int
    reason: str = ""


class VenueAmended(Message, frozen=True, gc=False, tag="venue_amended"):
    """The order has this total size and these prices now. `queue_ahead` as in VenueAccepted."""

    client_order_id: str
    size: int
    price: int | None
    stop_price: int | None
    ts: int
    queue_ahead: int | None = None


class VenueRefusedChange(Message, frozen=True, gc=False, tag="venue_refused_change"):
    """A cancel or an amend was not done; the order is as it was, or gone already (`gone`)."""

    client_order_id: str
    what: Literal["cancel", "amend"]
    code: str
    reason: str
    ts: int
    gone: bool = False


class VenueUnknown(Message, frozen=True, gc=False, tag="venue_unknown"):
    """The outcome of a command is not known (a time-out, a lost connection): the gateway queries it next."""

    client_order_id: str
    what: Literal["submit", "cancel", "amend"]
    reason: str
    ts: int


VenueReport = (
    VenueAccepted
    | VenueRejected
    | VenueTriggered
    | VenueFilled
    | VenueCancelled
    | VenueAmended
    | VenueRefusedChange
    | VenueUnknown
)

MarketInput = BookUpdate | BookStale | Trade | Quote | Bar | MarketStatus | Funding | Instrument
"""What an engine is told of markets."""


# How an order stands, and what happened to it: for strategies, clients and the database.


class Order(Message, frozen=True, gc=False, kw_only=True, tag="order"):
    """An order as it stands.

    `filled` in nanos; `average_price` rounded to a nano, for people (the exact cost is in the ledger). `pending`: a
    change of it is under way. `queue_ahead`: as the model knew it last.
    """

    account: str
    order: NewOrder
    state: OrderState
    filled: int = 0
    average_price: int | None = None
    fees: int = 0
    fee_currency: str = ""
    venue_order_id: str = ""
    pending: Literal["", "cancel", "amend"] = ""
    triggered: bool = False
    reason_code: str = ""
    reason: str = ""
    queue_ahead: int | None = None
    ts_created: int = 0
    ts_updated: int = 0
    version: int = 0
    """Rises with every change."""


OrderEventKind = Literal[
    "held",
    "denied",
    "submitted",
    "accepted",
    "rejected",
    "triggered",
    "pending_cancel",
    "pending_amend",
    "amended",
    "amend_rejected",
    "cancel_rejected",
    "filled",
    "cancelled",
    "expired",
    "unknown",
]


class Fill(Message, frozen=True, gc=False, kw_only=True, tag="fill"):
    """A part of an order that was traded, and why. `ts_event`: when the venue did it; `ts`: when we were told.

    `realized`: profit of this fill in `currency`, decimal text, fees not taken off.
    """

    account: str
    seq: int
    """1, 2, 3 … of the account's fills."""
    fill_id: str
    client_order_id: str
    deployment_id: str
    signal_id: str
    decision_id: str
    market: str
    side: Side
    leg: Leg
    price: int
    size: int
    notional: str
    currency: str
    fee: int
    fee_currency: str
    liquidity: Liquidity
    realized: str
    position: int
    """Of the account in this market, after it."""
    ts_event: int
    ts: int
    why: Why
    marks: tuple[str, ...] = ()


class OrderEvent(Message, frozen=True, gc=False, kw_only=True, tag="order_event"):
    """Something happened to an order; `order` is as it stands behind it. `seq` 1, 2, 3 … of the account's events."""

    account: str
    seq: int
    kind: OrderEventKind
    ts: int
    order: Order
    fill: Fill | None = None

    def topic_key(self) -> str:
        """The account."""
        return self.account


# What an engine is told besides the markets.


class SubmitOrders(Message, frozen=True, gc=False, tag="submit_orders"):
    """Order these, all judged together: one that is denied denies those that hang on it (`parent`)."""

    orders: tuple[NewOrder, ...]


class CancelOrder(Message, frozen=True, gc=False, tag="cancel_order"):
    """Cancel one order."""

    client_order_id: str


class CancelOrders(Message, frozen=True, gc=False, tag="cancel_orders"):
    """Cancel all open orders of a market, of a deployment, or (both empty) of the account."""

    market: str = ""
    deployment_id: str = ""


class AmendOrder(Message, frozen=True, gc=False, tag="amend_order"):
    """Change an open order. `size` is the new total, what is filled included. None: as it is."""

    client_order_id: str
    size: int | None = None
    price: int | None = None
    stop_price: int | None = None
    sender: str = ""


OrderCommand = SubmitOrders | CancelOrder | CancelOrders | AmendOrder
