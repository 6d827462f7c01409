"""What risk may look at: the account as its engine knows it. Quantities, prices and money are nanos."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Protocol

import msgspec

from protocols.instruments import Instrument
from protocols.orders import NewOrder, PositionSide, Side


class OpenOrder(msgspec.Struct, frozen=True, gc=False):
    """An order that may still be filled: at the venue, on its way, or held with us.

    `price`: of a limit, else None. `parent` and `oco` as in NewOrder: of those with one `oco` text only one fills.
    """

    client_order_id: str
    deployment_id: str
    market: str
    side: Side
    leaves: int
    price: int | None = None
    reduce_only: bool = False
    position_side: PositionSide = ""
    parent: str = ""
    oco: str = ""


class RiskView(Protocol):
    """An account; the engine is one. With a `deployment_id`, that deployment's part of it. None: not known."""

    def equity(self, deployment_id: str = "") -> int | None:
        """Of the account, positions at the exit side; of a deployment, its capital and what it made of it."""
        ...

    def day_start_equity(self, deployment_id: str = "") -> int | None:
        """What the day began with, deposits and withdrawals since then added."""
        ...

    def peak_equity(self, deployment_id: str = "") -> int | None:
        """The highest so far, moved by deposits and withdrawals as they came."""
        ...

    def position(self, market: str, deployment_id: str = "", position_side: PositionSide = "") -> int:
        """Signed quantity; with a side, of that one alone (hedging)."""
        ...

    def reducible(self, order: NewOrder) -> int:
        """How much of the position of who orders it this order would reduce."""
        ...

    def positions(self, deployment_id: str = "") -> Iterable[tuple[str, PositionSide, int]]:
        """Market, side and signed quantity of all that are not flat. The side is empty with netting."""
        ...

    def reference_price(self, market: str, side: Side) -> int | None:
        """What an order of this side would meet now: the ask of a buy, the bid of a sell; else the last price."""
        ...

    def open_orders(self, market: str = "", deployment_id: str = "") -> Iterable[OpenOrder]:
        """All that are not final; of one market or deployment where named."""
        ...

    def instrument(self, market: str) -> Instrument | None:
        """The definition that is true now."""
        ...

    def is_open(self, market: str) -> bool | None:
        """Whether the market takes orders now, by its last MarketStatus. None: nothing was said; its definition
        decides then."""
        ...

    def rate(self, currency: str) -> int | None:
        """One unit of it in the account's currency."""
        ...

    def margin_available(self) -> int | None:
        """What can be used for new orders; that of open orders is off already."""
        ...

    def margin_used(self) -> int | None:
        """What positions and open orders use."""
        ...

    def margin_required(self, order: NewOrder, price: int) -> int | None:
        """What the order would use at this price, fee included; 0 if it only reduces."""
        ...
