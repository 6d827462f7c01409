"""An order while it lives at the simulated venue."""

from __future__ import annotations

from typing import Literal

import msgspec

from actors.execution.matching.queue_models import Place
from protocols.orders import NewOrder

State = Literal["held", "stop", "waiting", "resting"]
"""`held`: until its parent fills. `stop`: for a price. `waiting`: a taker, for a market that can fill. `resting`."""


class Working(msgspec.Struct, kw_only=True):
    """`order` as it was amended last; `kind` and `price` are what it works as: a triggered stop is a market order.

    `open`: what may be filled now. `number`: its place in time among the orders of its level. `shown`: what is left of
    an iceberg's shown part. `bars`: how many bars it has worked in.
    """

    order: NewOrder
    venue_order_id: str
    number: int
    entry_ns: int
    arrived: int
    open: int
    kind: Literal["market", "limit"] = "limit"
    price: int | None = None
    state: State = "waiting"
    filled: int = 0
    fills: int = 0
    accepted: bool = False
    triggered: bool = False
    shown: int = 0
    place: Place | None = None
    bars: int = 0
    note: str = ""
    done: bool = False

    @property
    def name(self) -> str:
        """Its client order id."""
        return self.order.client_order_id

    @property
    def buys(self) -> bool:
        """Whether it buys."""
        return self.order.side == "buy"

    @property
    def immediate(self) -> bool:
        """Whether it never rests."""
        return self.kind == "market" or self.order.time_in_force in ("IOC", "FOK")
