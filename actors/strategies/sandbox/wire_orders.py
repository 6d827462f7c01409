"""What the node and a worker say of orders and accounts. See `wire`.

To the worker: how its account stands, and what became of its orders, as inputs in their order with those of the
markets. From the worker: commands in the reply to the inputs that led to them. What a worker says here is checked field
by field; to which deployment it belongs is the node's knowledge, never the worker's word.
"""

from __future__ import annotations

from typing import Annotated, Literal

import msgspec

from actors.strategies.sandbox.wire_fields import Count, Finite, Positive, ShortText, TimeInForce

Side = Literal["buy", "sell"]
OrderKind = Literal["market", "limit", "stop", "stop_limit", "trailing_stop"]
Key = Annotated[str, msgspec.Meta(pattern=r"\A[A-Za-z0-9._-]{1,80}\Z")]
"""An order's id without that of its deployment."""


# To the worker.


class WireTerms(msgspec.Struct, frozen=True, gc=False, array_like=True):
    """A market where it may order. `lot` 0: not known."""

    symbol: str
    lot: float = 0.0
    multiplier: float = 1.0


class WirePosition(msgspec.Struct, frozen=True, gc=False, array_like=True):
    """A position, as `protocols.deployments.PositionShown`. NaN: not known."""

    symbol: str
    quantity: float
    average_price: float
    invested: float
    realized: float
    price: float | None
    opened: int


class WireRule(msgspec.Struct, frozen=True, gc=False, array_like=True):
    """A limit, as `protocols.deployments.RuleShown`."""

    name: str
    limit: float
    used: float | None
    measure: str
    severity: str
    enabled: bool
    symbol: str


class WireAccount(msgspec.Struct, frozen=True, gc=False, array_like=True):
    """How the account stands, as `protocols.deployments.AccountShown`."""

    cash: float
    realized: float
    fees: float
    initial: float | None
    trades: int | None
    wins: int | None
    positions: tuple[WirePosition, ...]
    rules: tuple[WireRule, ...]


class WireOrder(msgspec.Struct, frozen=True, gc=False, array_like=True):
    """An order as it stands, in the words of the SDK."""

    order_id: str
    symbol: str
    side: str
    kind: str
    quantity: float
    state: str
    filled: float
    average_price: float | None
    price: float | None
    stop_price: float | None
    trail: float | None
    time_in_force: str
    reason: str
    ts: int


class WireFill(msgspec.Struct, frozen=True, gc=False, array_like=True):
    """A part of an order that was traded."""

    quantity: float
    price: float
    fee: float
    ts: int


class DeployInput(msgspec.Struct, frozen=True, gc=False, array_like=True, tag="d"):
    """It has an account from now on, or (the same deployment again) the account stands like this."""

    deployment_id: str
    currency: str
    markets: tuple[WireTerms, ...]
    account: WireAccount
    orders: tuple[WireOrder, ...]
    now: int


class UndeployInput(msgspec.Struct, frozen=True, gc=False, array_like=True, tag="u"):
    """It has no account any more."""

    now: int


class OrderInput(msgspec.Struct, frozen=True, gc=False, array_like=True, tag="o"):
    """Something happened to an order; `event` as in `protocols.orders`. `account`: behind it, None where it is as it
    was."""

    order: WireOrder
    event: str
    fill: WireFill | None
    account: WireAccount | None
    now: int


class AccountInput(msgspec.Struct, frozen=True, gc=False, array_like=True, tag="a"):
    """The account stands like this now."""

    account: WireAccount
    now: int


class RefusedInput(msgspec.Struct, frozen=True, gc=False, array_like=True, tag="r"):
    """A command was not taken. `what`: place, cancel, modify; `order_id` empty: of all."""

    order_id: str
    what: str
    reason: str
    now: int


TradingInput = DeployInput | UndeployInput | OrderInput | AccountInput | RefusedInput


# From the worker.


class PlaceCommand(msgspec.Struct, frozen=True, gc=False, array_like=True, tag="place"):
    """An order is given, by the input `index`."""

    index: Count
    key: Key
    symbol: ShortText
    side: Side
    kind: OrderKind
    quantity: Positive
    time_in_force: TimeInForce
    price: Finite | None = None
    stop_price: Finite | None = None
    trail: Positive | None = None
    trail_percent: Annotated[float, msgspec.Meta(gt=0, lt=100)] | None = None
    post_only: bool = False
    reduce_only: bool = False


class CancelCommand(msgspec.Struct, frozen=True, gc=False, array_like=True, tag="cancel"):
    """An order is to be cancelled."""

    index: Count
    order_id: ShortText


class CancelAllCommand(msgspec.Struct, frozen=True, gc=False, array_like=True, tag="cancel_all"):
    """All open orders of a symbol are to be cancelled; empty: of the deployment."""

    index: Count
    symbol: ShortText


class ModifyCommand(msgspec.Struct, frozen=True, gc=False, array_like=True, tag="modify"):
    """An open order is to be changed. None: stays."""

    index: Count
    order_id: ShortText
    quantity: Positive | None = None
    price: Finite | None = None
    stop_price: Finite | None = None


WireCommand = PlaceCommand | CancelCommand | CancelAllCommand | ModifyCommand
