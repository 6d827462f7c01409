"""What is said between an account and the gateway that trades it at a real venue.

The account journals what it wants before it says it here; a gateway sends nothing that it was not given, and nothing
twice. What becomes of an order comes back as the `VenueReport`s of `protocols.orders`, sent to the account's path, in
the order in which the venue did it: accepted, its fills, its end. A command whose outcome is unknown is reported as
`VenueUnknown`, asked for at the venue, and never sent again by the gateway.

Prices, sizes and money are nanos, times nanoseconds since the Unix epoch.
"""

from __future__ import annotations

from typing import Literal

import msgspec

from protocols.control import Message, Request
from protocols.instruments import Instrument
from protocols.orders import Leg, NewOrder, OrderKind, Side, TimeInForce, VenueFilled

# Account to gateway.


class UseInstruments(Message, frozen=True, gc=False, tag="use_instruments"):
    """Definitions for the orders that come; of others the instrument master is asked."""

    instruments: tuple[Instrument, ...]


class SendOrder(Message, frozen=True, gc=False, tag="send_order"):
    """Send this order; its intent is journaled. One that the gateway knows is not sent again. What an earlier life may
    have sent is said with AdoptOrders instead. `instrument`: the market's definition as the account has it."""

    order: NewOrder
    instrument: Instrument | None = None


class SendOrders(Message, frozen=True, gc=False, tag="send_orders"):
    """Send these, in batches where the venue takes them; each succeeds or fails alone."""

    orders: tuple[NewOrder, ...]


class SendCancel(Message, frozen=True, gc=False, tag="send_cancel"):
    """Cancel an order that was sent or adopted."""

    client_order_id: str


class CancelMany(Message, frozen=True, gc=False, tag="cancel_many"):
    """Cancel these by their ids, in batches where the venue takes them. What is ordered afterwards stands."""

    client_order_ids: tuple[str, ...]


class CancelAll(Message, frozen=True, gc=False, tag="cancel_all"):
    """Cancel all orders of the venue's account in one call, whoever placed them.

    Kalshi's kills the orders of the following minute, too: until then the gateway rejects new ones (`locked`). Who
    flattens next says CancelMany.
    """


class SendAmend(Message, frozen=True, gc=False, tag="send_amend"):
    """Change an order. `size` is the new total, what is filled included. None: as it is."""

    client_order_id: str
    size: int | None = None
    price: int | None = None


class QueryOrder(Message, frozen=True, gc=False, tag="query_order"):
    """Ask the venue how an order stands; what is new comes as reports."""

    client_order_id: str


class Adopted(msgspec.Struct, frozen=True, gc=False, kw_only=True):
    """An order of an earlier life. `known`: the venue is known to have it (accepted, or filled in part).

    `fill_ids` and `filled`: what the account has booked. `sent`: when it left at the latest; 0: just now. One that is
    not known is asked for, and rejected (`never_arrived`) when the venue cannot have it any more.
    """

    order: NewOrder
    venue_order_id: str = ""
    known: bool = True
    filled: int = 0
    fill_ids: tuple[str, ...] = ()
    sent: int = 0


class AdoptOrders(Message, frozen=True, gc=False, tag="adopt_orders"):
    """Look after these: to be said to a gateway that has just started, before anything else is. Nothing is sent to the
    venue but questions."""

    orders: tuple[Adopted, ...]


class OpenAtVenue(msgspec.Struct, frozen=True, gc=False, kw_only=True):
    """An order that rests at the venue. `client_order_id` empty: it has none. `ours`: this gateway looks after it."""

    venue_order_id: str
    client_order_id: str
    market: str
    side: Side
    price: int | None
    size: int
    filled: int
    created: int
    ours: bool


class VenuePosition(msgspec.Struct, frozen=True, gc=False, kw_only=True):
    """A position at the venue; of a prediction market, of YES contracts (negative: NO)."""

    market: str
    quantity: int
    leg: Leg = ""


class VenueBalance(msgspec.Struct, frozen=True, gc=False, kw_only=True):
    """Money or an asset at the venue. `locked`: what open orders hold of `total`, None where the venue does not say."""

    currency: str
    total: int
    locked: int | None = None


class VenueSettlement(msgspec.Struct, frozen=True, gc=False, kw_only=True):
    """A market was paid out. `value`: of one YES contract; None where the venue does not say."""

    market: str
    value: int | None
    revenue: int
    ts: int


class VenueState(Message, frozen=True, gc=False, kw_only=True, tag="venue_state"):
    """How the account stands at the venue. Complete up to `as_of`, the venue's time; later things may be missing.

    `fills` since the moment asked for, oldest first, of all orders; `client_order_id` is empty where the order is not
    ours. `positions` of a spot account are its balances: none here.
    """

    account: str
    as_of: int
    open_orders: tuple[OpenAtVenue, ...]
    positions: tuple[VenuePosition, ...]
    balances: tuple[VenueBalance, ...]
    fills: tuple[VenueFilled, ...]
    settlements: tuple[VenueSettlement, ...] = ()


class Reconcile(Request[VenueState], frozen=True, gc=False, tag="reconcile_venue"):
    """Ask the venue for everything. `since`: of fills and settlements; `markets` those to ask for where the venue lists
    fills by market alone (Binance).

    `named`: our ids of orders that may have such fills, by the venue's: venues do not say them with a fill, and each
    that is missing is a question of its own. Refused `unavailable`: the venue does not answer, the gateway begins, or
    it has not been told AdoptOrders in this life.
    """

    since: int
    markets: tuple[str, ...] = ()
    named: dict[str, str] = msgspec.field(default_factory=dict)


# Gateway to whoever wants to know.

GatewayWord = Literal["disabled", "connecting", "recovering", "live", "failed"]


class GatewayState(Message, frozen=True, gc=False, kw_only=True, tag="gateway_state"):
    """How a gateway is; published when it changes. `live`: its private stream is there and nothing is unknown to it;
    `recovering`: orders can be sent, and something is being asked for. `failed`: it will not trade (`detail`)."""

    account: str
    venue: str
    state: GatewayWord
    detail: str
    ts: int
    unknown: int = 0
    """Orders whose outcome is not known."""
    open_orders: int = 0

    def topic_key(self) -> str:
        """The account."""
        return self.account


class GetGatewayState(Request[GatewayState], frozen=True, gc=False, tag="get_gateway_state"):
    """Ask a gateway how it is."""


class NativeKinds(msgspec.Struct, frozen=True, kw_only=True):
    """What a venue takes by itself; the rest is the emulator's business.

    `cancel_on_disconnect`: how the venue cancels orders when nobody is connected; empty: it does not.
    """

    kinds: tuple[OrderKind, ...]
    times_in_force: tuple[TimeInForce, ...]
    post_only: bool
    reduce_only: tuple[TimeInForce, ...]
    """With which times in force; empty: not at all."""
    iceberg: bool
    amend_price: bool
    amend_size: Literal["", "less", "any"]
    cancel_on_disconnect: str = ""
