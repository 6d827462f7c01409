"""Orders that an external venue lacks, held here until they are due: stops, trailing stops, brackets, groups, GTD.

What is held is not at the venue, so it is lost to it when we are away: it is in the snapshot and in the journal, and
triggers again with the first price. The rules are those of the simulated venue (`matching/triggers`, `contingencies`).
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

import msgspec

from actors.execution.blotter import Blotter, Working
from actors.execution.matching.contingencies import Contingencies, Linked
from actors.execution.matching.mark import Mark
from actors.execution.matching.triggers import Stop, TriggerBook
from protocols.orders import NewOrder, OrderKind

BECOMES: Final[dict[str, OrderKind]] = {"stop": "market", "trailing_stop": "market", "stop_limit": "limit"}


class _State(msgspec.Struct, array_like=True):
    orders: dict[str, NewOrder]
    stops: dict[str, dict[str, Stop]]
    linked: dict[str, Linked]
    fills: dict[str, int]
    asleep: list[str]


class HeldOrders:
    """What is held for a venue that has the order kinds `native` alone; None: a venue that lacks nothing."""

    def __init__(self, native: tuple[str, ...] | None) -> None:
        self.native = native
        self.orders: dict[str, NewOrder] = {}
        self._triggers: dict[str, TriggerBook] = {}
        self._links = Contingencies()
        self._asleep: set[str] = set()
        """Children whose parent has filled nothing yet."""

    def __contains__(self, client_order_id: object) -> bool:
        return client_order_id in self.orders

    def holds(self, order: NewOrder) -> bool:
        """Whether the order has to be held."""
        return self.native is not None and (
            bool(order.parent) or (order.kind in BECOMES and order.kind not in self.native)
        )

    def add(self, order: NewOrder, blotter: Blotter, ts: int) -> None:
        """Hold an order."""
        name = order.client_order_id
        self.orders[name] = order
        parent = blotter.get(order.parent) if order.parent else None
        if order.parent and order.parent not in self._links.fills:
            self._links.fills[order.parent] = 0 if parent is None else parent.filled
        awake = self._links.add(order, live=parent is None or not parent.final)
        if not awake:
            self._asleep.add(name)
        elif order.kind in BECOMES:
            self._wait(order, None)

    def watch(self, order: NewOrder) -> None:
        """An order that goes to the venue, but belongs to a group."""
        self._links.add(order, live=True)

    def _wait(self, order: NewOrder, mark: Mark | None) -> None:
        book = self._triggers.setdefault(order.market, TriggerBook())
        reference = None if mark is None else mark.bid if order.side == "sell" else mark.ask
        book.add(order, reference)

    def forget(self, client_order_id: str) -> None:
        """It is not held any more."""
        order = self.orders.pop(client_order_id, None)
        self._asleep.discard(client_order_id)
        if order is not None and order.market in self._triggers:
            self._triggers[order.market].remove(client_order_id)

    def change(self, order: NewOrder) -> None:
        """A held order was amended."""
        name = order.client_order_id
        self.orders[name] = order
        self._links.resized(name, order.size)
        book = self._triggers.get(order.market)
        if book is not None and name in book.stops and order.stop_price is not None:
            book.amend(name, order.stop_price)

    def children(self, parent: str) -> list[str]:
        """Held orders that hang on this one."""
        return [name for name, order in self.orders.items() if order.parent == parent]

    def on_fill(self, working: Working, blotter: Blotter, ts: int) -> tuple[list[NewOrder], list[str]]:
        """An order has filled more: held orders that go to the venue now, and orders that are to be cancelled."""
        name = working.order.client_order_id
        before = self._links.fills.get(name, 0)
        released: list[NewOrder] = []
        gone: list[str] = []
        if working.filled <= before:
            return released, gone
        for follow in self._links.filled(name, working.filled - before):
            other = follow.client_order_id
            if follow.what == "cancel":
                gone.append(other)
            elif other in self._asleep and (held := self.orders.get(other)) is not None:
                self._asleep.discard(other)
                if held.kind in BECOMES:
                    self._wait(held, None)
                else:
                    released.append(self._sent(held))
        if working.final:
            for follow in self._links.ended(name):
                if follow.what == "cancel":
                    gone.append(follow.client_order_id)
        return released, gone

    def due(self, marks: Mapping[str, Mark], blotter: Blotter, ts: int) -> list[NewOrder]:
        """Held orders that are due now: triggered ones, as what they become. Those whose time is over are left."""
        found: list[NewOrder] = []
        for market, book in self._triggers.items():
            mark = marks.get(market)
            if mark is None or not len(book):
                continue
            buy = mark.last if mark.ask is None else mark.ask
            sell = mark.last if mark.bid is None else mark.bid
            for name in book.move(buy, sell):
                order = self.orders.get(name)
                if order is not None:
                    found.append(self._sent(order))
        return found

    def overdue(self, ts: int) -> list[str]:
        """Held orders whose own time is over."""
        return [name for name, order in self.orders.items() if order.expires is not None and order.expires <= ts]

    def expires(self) -> int | None:
        """When the next held order's time is over."""
        return min((order.expires for order in self.orders.values() if order.expires is not None), default=None)

    def _sent(self, order: NewOrder) -> NewOrder:
        """The order as the venue gets it: for as much as is open now."""
        name = order.client_order_id
        size = self._links.open(name, order.size, 0)
        self.orders.pop(name, None)
        kind = BECOMES.get(order.kind, order.kind)
        return msgspec.structs.replace(order, kind=kind, size=size, stop_price=None, trail=None, trail_share=None)

    def snapshot(self) -> bytes:
        """Everything, as msgpack."""
        stops = {market: book.stops for market, book in self._triggers.items()}
        state = _State(self.orders, stops, self._links.linked, self._links.fills, sorted(self._asleep))
        return msgspec.msgpack.encode(state)

    def restore(self, data: bytes) -> None:
        """Become what `snapshot` has said. Raises msgspec.ValidationError."""
        state: Any = msgspec.msgpack.decode(data, type=_State)
        self.orders = state.orders
        self._triggers = {}
        for market, stops in state.stops.items():
            self._triggers[market] = TriggerBook()
            self._triggers[market].stops = stops
        self._links = Contingencies()
        self._links.linked, self._links.fills = state.linked, state.fills
        self._asleep = set(state.asleep)
