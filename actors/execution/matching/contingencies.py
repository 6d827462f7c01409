"""Orders that hang on other orders: children of a parent, and groups of which one cancels the others.

A child is held until its parent fills, and then open for as much as was filled. In a group (`oco`) what one fills, the
others lose; one that is cancelled by its owner takes nothing from the others. The simulated venue uses it, and the
emulator for venues that lack such orders. It moves no order itself: it says what follows.
"""

from __future__ import annotations

from typing import Final, Literal

import msgspec

from protocols.orders import NewOrder

_REMEMBERED: Final = 10_000
"""Orders whose fills are remembered for children that come later."""


class Follow(msgspec.Struct, frozen=True):
    """What follows for another order: `release` (it may go to work), `resize` (its open part has changed), `cancel`."""

    client_order_id: str
    what: Literal["release", "resize", "cancel"]
    code: Literal["", "oco", "parent"] = ""


class Linked(msgspec.Struct):
    """An order's links. `released`: what its parent has filled (None: it has no parent); `lost`: to its group."""

    parent: str
    group: str
    size: int
    released: int | None
    lost: int = 0
    filled: int = 0
    parent_over: bool = False

    @property
    def open(self) -> int:
        """How much of it may be filled now."""
        most = self.size if self.released is None else min(self.size, self.released)
        return max(most - self.lost - self.filled, 0)

    @property
    def over(self) -> bool:
        """Whether nothing can become open any more."""
        if self.open:
            return False
        return self.released is None or self.parent_over or self.size - self.lost - self.filled <= 0


class Contingencies:
    """All links of an account's orders at a venue. Orders without links are not kept, except as parents."""

    def __init__(self) -> None:
        self.linked: dict[str, Linked] = {}
        self.fills: dict[str, int] = {}
        """Filled so far of the newest orders, ended ones too: a child may come behind the end of its parent."""

    def add(self, order: NewOrder, *, live: bool) -> bool:
        """A new order. Whether it may work now; False: it is held.

        `live`: whether its parent lives; behind the end of its parent a child is as large as that one's fills.
        """
        name = order.client_order_id
        self.fills[name] = 0
        if len(self.fills) > 2 * _REMEMBERED:
            self.fills = dict(list(self.fills.items())[-_REMEMBERED:])
        if not order.parent and not order.oco:
            return True
        released = self.fills.get(order.parent, 0) if order.parent else None
        size = order.size if released is None or live else min(order.size, released)
        linked = Linked(order.parent, order.oco, size, released, parent_over=bool(order.parent) and not live)
        self.linked[name] = linked
        return linked.open > 0

    def open(self, client_order_id: str, size: int, filled: int) -> int:
        """How much of an order may be filled now; `size` and `filled` are its own."""
        linked = self.linked.get(client_order_id)
        return size - filled if linked is None else linked.open

    def total(self, client_order_id: str, size: int) -> int:
        """How large the order can still become, what is filled included; `size` where it has no links."""
        linked = self.linked.get(client_order_id)
        return size if linked is None else linked.size - linked.lost

    def over(self, client_order_id: str) -> bool:
        """Whether nothing of a linked order can become open any more."""
        linked = self.linked.get(client_order_id)
        return linked is not None and linked.over

    def resized(self, client_order_id: str, size: int) -> None:
        """An amendment."""
        linked = self.linked.get(client_order_id)
        if linked is not None:
            linked.size = size + linked.lost

    def filled(self, client_order_id: str, size: int) -> list[Follow]:
        """The order has filled `size` more. What follows, children first."""
        self.fills[client_order_id] = self.fills.get(client_order_id, 0) + size
        own = self.linked.get(client_order_id)
        follows: list[Follow] = []
        if own is not None:
            own.filled += size
        for name, other in self.linked.items():
            if other.parent == client_order_id and other.released is not None:
                was = other.open
                other.released += size
                if other.open > was:
                    follows.append(Follow(name, "resize" if was else "release"))
        if own is not None and own.group:
            for name, other in self.linked.items():
                if name != client_order_id and other.group == own.group:
                    follows.extend(self._lose(name, other, size))
        return follows

    def _lose(self, name: str, other: Linked, size: int) -> list[Follow]:
        other.lost += min(size, other.size - other.filled - other.lost)
        return [Follow(name, "cancel", "oco") if other.over else Follow(name, "resize")]

    def ended(self, client_order_id: str) -> list[Follow]:
        """The order is final: its children get no more than it has filled."""
        self.linked.pop(client_order_id, None)
        follows: list[Follow] = []
        for name, other in self.linked.items():
            if other.parent == client_order_id and not other.parent_over:
                other.parent_over = True
                if other.over:
                    follows.append(Follow(name, "cancel", "parent"))
                elif other.released is not None and other.released < other.size:
                    # It will never be as large as it was ordered.
                    other.size = other.released
                    follows.append(Follow(name, "resize"))
        return follows
