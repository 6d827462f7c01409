"""What a venue's answers and private messages say, in one form for all venues; and the calls that are made to it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Literal, Protocol

import msgspec

from protocols.gateways import NativeKinds, OpenAtVenue, VenueState
from protocols.instruments import Instrument
from protocols.orders import Liquidity, NewOrder, Side
from protocols.venues.rest import RestCall

What = Literal["submit", "cancel", "cancel_all", "amend", "find", "order", "fills", "clock", "limits", "state"]
Priority = Literal["cancel", "recovery", "normal"]


class Call(msgspec.Struct, frozen=True, kw_only=True):
    """One REST call: what it is for, of which orders (our ids), and what it takes of which bucket.

    `note`: what the reader of the answer has to know of the calls before it. `buckets`: (name, tokens).
    """

    what: What
    rest: RestCall
    orders: tuple[str, ...] = ()
    buckets: tuple[tuple[str, float], ...] = ()
    priority: Priority = "normal"
    note: str = ""


class OrderSeen(msgspec.Struct, frozen=True, kw_only=True):
    """How the venue says that an order stands. `status` "ended": it rests no more, and is not filled; "gone": it rests
    no more, and why has not been said.

    `size`, `filled` None: not said. `unfilled`: what was taken out of the book at its end. `reason`: the venue's own
    word for its end. `amended`: this answers an amendment.
    """

    venue_order_id: str
    status: Literal["open", "filled", "ended", "gone"]
    ts: int
    client_order_id: str = ""
    market: str = ""
    side: Side | None = None
    price: int | None = None
    size: int | None = None
    filled: int | None = None
    unfilled: int | None = None
    created: int = 0
    reason: str = ""
    amended: bool = False


class FillSeen(msgspec.Struct, frozen=True, kw_only=True):
    """A fill. `client_order_id` empty: the venue names its own id only."""

    venue_order_id: str
    fill_id: str
    market: str
    side: Side
    price: int
    size: int
    liquidity: Liquidity
    fee: int
    fee_currency: str
    ts: int
    client_order_id: str = ""


class Missing(msgspec.Struct, frozen=True, kw_only=True):
    """The venue does not have the order; its answer is complete up to `as_of`."""

    client_order_id: str
    as_of: int


class Refusal(msgspec.Struct, frozen=True, kw_only=True):
    """The venue did not do it. `gone`: the order rests no more. `exists`: an order with this id is there already.
    `killed`: fill-or-kill, and it was killed."""

    client_order_id: str
    code: str
    reason: str
    gone: bool = False
    exists: bool = False
    killed: bool = False


Finding = OrderSeen | FillSeen | Missing | Refusal


class Heard(msgspec.Struct, frozen=True, kw_only=True):
    """What an answer says, and the call that has to follow. `limits`: (bucket, tokens, tokens a second)."""

    findings: tuple[Finding, ...] = ()
    next: Call | None = None
    limits: tuple[tuple[str, float, float], ...] = ()
    clock_ms: int | None = None
    """The venue's own time, where it was asked for."""


class Sent(Protocol):
    """What a venue's codec has to know of an order that was sent."""

    order: NewOrder
    since: int
    venue_order_id: str
    price: int | None
    size: int
    filled: int


class Gathering(Protocol):
    """Asks for the state of the whole account, one call after the other. Afterwards `orders` are those that rest."""

    as_of: int
    orders: list[OrderSeen]

    def take(self, call: Call, status: int, body: bytes, ts: int) -> Call | None:
        """Read an answer; the next call, or None at the end. Raises VenueError."""

    def state(self, account: str, ours: Mapping[str, str]) -> VenueState:
        """What was found. `ours`: our client order ids by the venue's order ids."""

    def first(self) -> Call:
        """The first call."""


class Venue(Protocol):
    """A venue's side of a gateway: orders to calls, answers to findings. No I/O, no clock; times are the venue's.

    `read` and `hear` raise VenueError (refused, unreadable) and WireError (no message of the venue).
    """

    native: NativeKinds
    most_batch: int
    """Orders of one batch; 1: the venue has none."""
    most_find: int
    """Orders that one call looks for."""
    not_done: frozenset[str]
    """Codes of refusals that say nothing about the order: ours was a wrong clock."""

    def submit(self, orders: tuple[NewOrder, ...], instruments: tuple[Instrument, ...]) -> Call:
        """Order one, or a batch. Raises ValueError for what the venue cannot express, before anything is sent."""

    def cancel(self, sent: tuple[Sent, ...]) -> Call:
        """Cancel one, or a batch."""

    def cancel_all(self, markets: tuple[str, ...]) -> tuple[Call, ...]:
        """Cancel everything."""

    def amend(self, sent: Sent, size: int, price: int | None, instrument: Instrument) -> Call:
        """Change an order. Raises ValueError for what the venue cannot do."""

    def find(self, orders: tuple[Sent, ...]) -> Call:
        """Ask for orders of one market by our ids, `most_find` of them at most."""

    def ask(self, sent: Sent) -> Call:
        """Ask how an order stands whose venue id is known."""

    def fills(self, sent: Sent) -> Call:
        """Ask for an order's fills."""

    def opening(self) -> tuple[Call, ...]:
        """Questions to begin with: the venue's time, the account's limits."""

    def gather(self, since: int | None, markets: tuple[str, ...], ours: Mapping[str, str]) -> Gathering:
        """Ask for everything, fills and settlements since then; None: for open orders alone. `ours`: our client order
        ids by the venue's."""

    def read(self, call: Call, status: int, body: bytes, ts: int) -> Heard:
        """An answer."""

    def prepared(self, call: Call, ts: int) -> tuple[RestCall, tuple[tuple[str, str], ...]]:
        """The call as it leaves at the venue's time `ts`, and its headers: signed."""

    def handshake(self, ts: int) -> tuple[tuple[str, str], ...]:
        """Headers that open the private stream."""

    def subscriptions(self, ts: int) -> tuple[bytes, ...]:
        """Commands to begin the private stream with."""

    def hear(self, raw: bytes) -> tuple[Finding, ...] | bool:
        """A message of the private stream; True: the stream is there now."""

    def identify(self, client_order_id: str) -> str:
        """The client order id as this venue takes it."""


def open_at_venue(seen: OrderSeen, ours: Mapping[str, str]) -> OpenAtVenue:
    """An open order of a list. Raises ValueError for one that does not say what it is."""
    if seen.side is None or seen.size is None or seen.filled is None:
        raise ValueError(f"order {seen.venue_order_id} without side, size or what is filled")
    return OpenAtVenue(
        venue_order_id=seen.venue_order_id,
        client_order_id=ours.get(seen.venue_order_id) or seen.client_order_id,
        market=seen.market,
        side=seen.side,
        price=seen.price,
        size=seen.size,
        filled=seen.filled,
        created=seen.created,
        ours=seen.venue_order_id in ours,
    )
