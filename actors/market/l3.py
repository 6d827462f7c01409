"""A book of single orders (market by order), with the read interface of a book of levels.

Priority at a price is the order of arrival. An order that gets smaller keeps its place; one that gets a new price or
a greater size goes to the end. Trades and fills change nothing by themselves: the venue follows them with the cancel
or the modification of what they took (CME MDP 3.0 through Databento's MBO schema does).

One venue event may be several records; the book is judged, and quoted, at the record that says it is the last.
"""

from __future__ import annotations

from typing import Final, NamedTuple

from actors.market.book_quotes import Gap as Gap
from actors.market.book_quotes import QuotedBook
from actors.market.book_sides import SortedSide
from protocols.market import OrderUpdate, Quote
from protocols.market import Side as Leg

LOADING: Final = "loading"
"""`stale` of a book whose snapshot is still coming."""


class RestingOrder(NamedTuple):
    """An order as it rests. Price and size in nanos."""

    order_id: int
    side: Leg
    price: int
    size: int


class QueuePosition(NamedTuple):
    """What stands before an order at its price, and what is there in all (the order included)."""

    orders_ahead: int
    size_ahead: int
    orders: int
    size: int


class OrderBook(QuotedBook):
    """One market's book of orders. It begins stale; `clear` begins a book, whether a snapshot of it follows or not."""

    __slots__ = ("_orders", "_queues", "_sequenced")

    def __init__(self, market: str) -> None:
        super().__init__(market)
        self._orders: dict[int, tuple[Leg, int]] = {}
        # Sizes by order id, in priority: a dict keeps the order of insertion.
        self._queues: dict[tuple[Leg, int], dict[int, int]] = {}
        # Whether `seq` is that of a live record; a snapshot repeats the numbers that its orders came with.
        self._sequenced = False

    def __len__(self) -> int:
        return len(self._orders)

    def apply(self, update: OrderUpdate) -> Quote | None:
        """The new best prices and sizes, where the event has ended and they moved; None in a pause.

        Raises Gap when the book cannot be right. It is then stale, and drops everything before the next `clear`.
        """
        action = update.action
        if action == "clear":
            self._clear(update)
        elif self.stale and self.stale != LOADING:
            self.dropped += 1
            return None
        elif update.session != self.session:
            raise self._gap("session", update.session)
        elif update.snapshot:
            self._sequenced = False
        elif self._sequenced and update.seq < self.seq:
            raise self._gap("out_of_order", f"{update.seq} after {self.seq}")
        else:
            self._sequenced = True
        self.seq = update.seq
        self.ts_event = update.ts_event or self.ts_event
        self.ts_recv = update.ts_recv
        self.marks = update.marks
        self.applied += 1
        if action == "add":
            self._add(update)
        elif action == "cancel":
            self._cancel(update)
        elif action == "modify":
            self._modify(update)
        if not update.snapshot and self.stale == LOADING:
            # A snapshot without an end of its own ends where live records begin.
            self.stale = ""
        if not update.last:
            return None
        self.stale = ""
        return self._moved()

    def order(self, order_id: int) -> RestingOrder | None:
        """An order, None where it does not rest."""
        place = self._orders.get(order_id)
        return None if place is None else RestingOrder(order_id, *place, self._queues[place][order_id])

    def queue(self, leg: Leg, price: int) -> tuple[RestingOrder, ...]:
        """The orders at a price, first come first."""
        sizes = self._queues.get((leg, price), {})
        return tuple(RestingOrder(order_id, leg, price, size) for order_id, size in sizes.items())

    def position(self, order_id: int) -> QueuePosition | None:
        """Where an order stands in its queue, None where it does not rest."""
        place = self._orders.get(order_id)
        if place is None:
            return None
        queue = self._queues[place]
        orders_ahead = size_ahead = 0
        for other, size in queue.items():
            if other == order_id:
                break
            orders_ahead += 1
            size_ahead += size
        return QueuePosition(orders_ahead, size_ahead, len(queue), self._side(place[0]).sizes[place[1]])

    # -- records -------------------------------------------------------------------------------------------

    def _clear(self, update: OrderUpdate) -> None:
        self._orders.clear()
        self._queues.clear()
        self._bids, self._asks = SortedSide(1), SortedSide(-1)
        self._last = None
        self._sequenced = False
        self.session = update.session
        self.stale = LOADING if update.snapshot else ""

    def _add(self, update: OrderUpdate) -> None:
        if update.side is None:
            raise self._gap("no_side", str(update.order_id))
        if update.order_id in self._orders:
            raise self._gap("known_order", str(update.order_id))
        if update.size <= 0:
            raise self._gap("negative_size", f"order {update.order_id} of {update.size}")
        self._rest(update.order_id, update.side, update.price, update.size)

    def _cancel(self, update: OrderUpdate) -> None:
        place = self._place(update)
        left = self._queues[place][update.order_id] - update.size
        if left < 0 or update.size < 0:
            raise self._gap("negative_size", f"order {update.order_id}: {-update.size} of {left + update.size}")
        if left:
            self._resize(update.order_id, place, left)
        else:
            self._leave(update.order_id, place)

    def _modify(self, update: OrderUpdate) -> None:
        place = self._place(update)
        if update.size < 0:
            raise self._gap("negative_size", f"order {update.order_id} of {update.size}")
        side = place[0] if update.side is None else update.side
        if update.size == 0:
            self._leave(update.order_id, place)
        elif (side, update.price) == place and update.size <= self._queues[place][update.order_id]:
            self._resize(update.order_id, place, update.size)
        else:
            self._leave(update.order_id, place)
            self._rest(update.order_id, side, update.price, update.size)

    def _place(self, update: OrderUpdate) -> tuple[Leg, int]:
        place = self._orders.get(update.order_id)
        if place is None:
            raise self._gap("unknown_order", str(update.order_id))
        return place

    # -- orders and levels ---------------------------------------------------------------------------------

    def _rest(self, order_id: int, leg: Leg, price: int, size: int) -> None:
        place = (leg, price)
        self._orders[order_id] = place
        queue = self._queues.get(place)
        if queue is None:
            self._queues[place] = {order_id: size}
            self._side(leg).insert(price, size)
        else:
            queue[order_id] = size
            self._side(leg).sizes[price] += size

    def _resize(self, order_id: int, place: tuple[Leg, int], size: int) -> None:
        queue = self._queues[place]
        self._side(place[0]).sizes[place[1]] += size - queue[order_id]
        queue[order_id] = size

    def _leave(self, order_id: int, place: tuple[Leg, int]) -> None:
        del self._orders[order_id]
        queue = self._queues[place]
        size = queue.pop(order_id)
        side = self._side(place[0])
        if queue:
            side.sizes[place[1]] -= size
        else:
            del self._queues[place]
            side.remove(place[1])
