"""One side of an exchange's book: orders by price, each price a queue."""

from __future__ import annotations

from bisect import bisect_left, insort

from protocols.market import Level, Side


class RestingOrder:
    """An order in the book. `remaining` shrinks; its place in time is that in its level's queue."""

    __slots__ = ("client_order_id", "expires", "id", "owner", "price", "remaining", "side")

    def __init__(
        self,
        id: int,
        owner: str,
        side: Side,
        price: int,
        remaining: int,
        client_order_id: str = "",
        expires: int | None = None,
    ) -> None:
        self.id = id
        self.owner = owner
        self.side = side
        self.price = price
        self.remaining = remaining
        self.client_order_id = client_order_id
        self.expires = expires


class Half:
    """Orders of one side by price; keys rise toward the best price, as in `actors.market.book`."""

    __slots__ = ("keys", "queues", "sign", "sizes")

    def __init__(self, sign: int) -> None:
        self.sign = sign
        self.keys: list[int] = []
        # A dict keeps the order of arrival and lets any order leave in constant time.
        self.queues: dict[int, dict[int, RestingOrder]] = {}
        self.sizes: dict[int, int] = {}

    def best(self) -> int | None:
        """The best price."""
        return self.keys[-1] * self.sign if self.keys else None

    def front(self) -> RestingOrder:
        """Who is first at the best price."""
        return next(iter(self.queues[self.keys[-1]].values()))

    def rest(self, order: RestingOrder) -> None:
        """Put an order at the back of its price's queue."""
        key = order.price * self.sign
        if key not in self.queues:
            insort(self.keys, key)
            self.queues[key] = {}
            self.sizes[key] = 0
        self.queues[key][order.id] = order
        self.sizes[key] += order.remaining

    def take(self, order: RestingOrder, size: int) -> None:
        """Remove `size` of a resting order; an order without a rest leaves."""
        key = order.price * self.sign
        order.remaining -= size
        self.sizes[key] -= size
        if order.remaining == 0:
            queue = self.queues[key]
            del queue[order.id]
            if not queue:
                del self.queues[key], self.sizes[key]
                del self.keys[bisect_left(self.keys, key)]

    def levels(self, depth: int) -> tuple[Level, ...]:
        """The best `depth` levels, 0: all."""
        keys = self.keys[-depth:] if depth else self.keys
        return tuple(Level(key * self.sign, self.sizes[key]) for key in reversed(keys))
