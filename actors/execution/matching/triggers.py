"""Stops: orders that wait for a price. The simulated venue uses it, and the emulator for venues that lack them.

A buy waits for a price at or above its stop, a sell for one at or below. A trailing stop follows the price that it
waits on at a distance (an amount, or a share of the price) when it moves away, and never comes back.
"""

from __future__ import annotations

import msgspec

from protocols.nanos import NANO
from protocols.orders import NewOrder, Side


class Stop(msgspec.Struct):
    """A waiting order. `stop` None: it trails, and no price was seen yet."""

    client_order_id: str
    side: Side
    stop: int | None
    trail: int | None = None
    trail_share: int | None = None

    @property
    def trails(self) -> bool:
        """Whether it follows the price."""
        return self.trail is not None or self.trail_share is not None

    def follow(self, price: int) -> None:
        """Move the stop of a trailing one after `price`, if that is away from it."""
        distance = self.trail if self.trail is not None else abs(price) * (self.trail_share or 0) // NANO
        if self.side == "sell":
            moved = price - distance
            self.stop = moved if self.stop is None else max(self.stop, moved)
        else:
            moved = price + distance
            self.stop = moved if self.stop is None else min(self.stop, moved)

    def reached(self, price: int) -> bool:
        """Whether this price triggers it."""
        if self.stop is None:
            return False
        return price >= self.stop if self.side == "buy" else price <= self.stop


class TriggerBook:
    """Stops of one market, in the order in which they came."""

    def __init__(self) -> None:
        self.stops: dict[str, Stop] = {}

    def __len__(self) -> int:
        return len(self.stops)

    def add(self, order: NewOrder, reference: int | None) -> Stop:
        """Let the order wait. `reference`: the price that it waits on, as it is now; a trailing stop begins there."""
        stop = Stop(order.client_order_id, order.side, order.stop_price)
        if order.kind == "trailing_stop":
            stop.trail, stop.trail_share = order.trail, order.trail_share
            if reference is not None:
                stop.follow(reference)
        self.stops[order.client_order_id] = stop
        return stop

    def remove(self, client_order_id: str) -> None:
        """It waits no more; nothing happens if it did not."""
        self.stops.pop(client_order_id, None)

    def amend(self, client_order_id: str, stop_price: int) -> None:
        """Another stop price. Raises KeyError for what does not wait."""
        self.stops[client_order_id].stop = stop_price

    def move(self, buy: int | None, sell: int | None) -> list[str]:
        """The prices that buys and sells wait on are these now. The orders that they trigger, which wait no more.

        Quotes: buys look at the ask, sells at the bid. Trades: both at the trade. None: that side has no price.
        """
        if not self.stops:
            return []
        hit: list[str] = []
        for stop in self.stops.values():
            price = buy if stop.side == "buy" else sell
            if price is None:
                continue
            if stop.reached(price):
                hit.append(stop.client_order_id)
            elif stop.trails:
                stop.follow(price)
        for client_order_id in hit:
            del self.stops[client_order_id]
        return hit
