"""The blotter: every order of an account, from what was asked for to its end, and what a venue's report does to it.

A core. It decides nothing: it applies what others decided, refuses what cannot follow (a fill of an order that is
final is booked all the same, for money moved, and reported), and gives an OrderEvent for each change.
"""

from __future__ import annotations

from collections.abc import Iterator
from itertools import chain
from typing import Final, Literal

import msgspec

from protocols.orders import FINAL, Fill, NewOrder, Order, OrderEvent, OrderEventKind, OrderState

MOST_FINAL: Final = 10_000
"""Ended orders that are remembered, to recognise repeats; older ones are in the database."""


class Working:
    """One order while it lives; `order` changes with amendments alone. `asked`: as it was ordered, before any cut."""

    __slots__ = (
        "asked",
        "at_venue",
        "cost",
        "fee_currency",
        "fees",
        "filled",
        "order",
        "pending",
        "queue_ahead",
        "reason",
        "reason_code",
        "state",
        "triggered",
        "ts_created",
        "ts_updated",
        "venue_order_id",
        "version",
    )

    def __init__(self, order: NewOrder, state: OrderState, ts: int) -> None:
        self.asked = self.order = order
        self.state: OrderState = state
        self.filled = 0
        self.cost = 0
        """Sum of price times size of its fills, in 10⁻¹⁸."""
        self.fees = 0
        self.fee_currency = ""
        self.venue_order_id = ""
        self.pending: Literal["", "cancel", "amend"] = ""
        self.triggered = False
        self.reason_code = ""
        self.reason = ""
        self.queue_ahead: int | None = None
        self.at_venue = False
        """Whether a command of it may have reached the venue."""
        self.ts_created = self.ts_updated = ts
        self.version = 0

    @property
    def final(self) -> bool:
        """Whether nothing can become of it any more."""
        return self.state in FINAL

    @property
    def leaves(self) -> int:
        """What is still to be filled."""
        return max(0, self.order.size - self.filled)

    def shown(self, account: str) -> Order:
        """The order as it stands, as a message."""
        average = None if not self.filled else (2 * self.cost // self.filled + 1) // 2
        return Order(
            account=account,
            order=self.order,
            state=self.state,
            filled=self.filled,
            average_price=average,
            fees=self.fees,
            fee_currency=self.fee_currency,
            venue_order_id=self.venue_order_id,
            pending=self.pending,
            triggered=self.triggered,
            reason_code=self.reason_code,
            reason=self.reason,
            queue_ahead=self.queue_ahead,
            ts_created=self.ts_created,
            ts_updated=self.ts_updated,
            version=self.version,
        )


class _Kept(msgspec.Struct, array_like=True):
    order: NewOrder
    state: OrderState
    filled: int
    cost: str
    fees: int
    fee_currency: str
    venue_order_id: str
    pending: Literal["", "cancel", "amend"]
    triggered: bool
    reason_code: str
    reason: str
    queue_ahead: int | None
    at_venue: bool
    ts_created: int
    ts_updated: int
    version: int
    asked: NewOrder | None = None
    """None: as `order` is."""


class BlotterState(msgspec.Struct, array_like=True):
    """What a snapshot keeps of a blotter."""

    events: int
    made: int
    fills: int
    orders: list[_Kept]


class Blotter:
    """All orders of one account. `events` is the number of the last event."""

    def __init__(self, account: str) -> None:
        self.account = account
        self.events = self.orders = self.fills = 0
        self.open: dict[str, Working] = {}
        self.ended: dict[str, Working] = {}
        self._news: list[OrderEvent] = []

    def __contains__(self, client_order_id: object) -> bool:
        return client_order_id in self.open or client_order_id in self.ended

    def __iter__(self) -> Iterator[Working]:
        return iter(self.open.values())

    def get(self, client_order_id: str) -> Working | None:
        """An order, open or ended; None: it is not known (any more)."""
        return self.open.get(client_order_id) or self.ended.get(client_order_id)

    def named(self, since: int) -> dict[str, str]:
        """Our ids by the venue's, of the orders that have changed since then."""
        return {
            each.venue_order_id: each.order.client_order_id
            for each in chain(self.open.values(), self.ended.values())
            if each.venue_order_id and each.ts_updated >= since
        }

    def add(
        self, order: NewOrder, state: OrderState, kind: OrderEventKind, ts: int, code: str = "", why: str = ""
    ) -> Working:
        """A new order, in its first state."""
        working = Working(order, state, ts)
        self.orders += 1
        self.open[order.client_order_id] = working
        self.move(working, state, kind, ts, code, why)
        return working

    def move(
        self,
        working: Working,
        state: OrderState,
        kind: OrderEventKind,
        ts: int,
        code: str = "",
        why: str = "",
        fill: Fill | None = None,
    ) -> None:
        """The order is in this state now; tell of it."""
        working.state = state
        working.version += 1
        working.ts_updated = ts
        if code:
            working.reason_code, working.reason = code, why
        if state in FINAL:
            working.pending = ""
            name = working.order.client_order_id
            if self.open.pop(name, None) is not None:
                self.ended[name] = working
                if len(self.ended) > MOST_FINAL:
                    del self.ended[next(iter(self.ended))]
        self.events += 1
        self._news.append(
            OrderEvent(
                account=self.account, seq=self.events, kind=kind, ts=ts, order=working.shown(self.account), fill=fill
            )
        )

    def fill(self, working: Working, fill: Fill, ts: int) -> None:
        """A part of it was traded. Also one that we held for ended: the venue's word counts."""
        self.fills += 1
        working.filled += fill.size
        working.cost += fill.price * fill.size
        working.fees += fill.fee
        working.fee_currency = fill.fee_currency
        working.at_venue = True
        if working.filled >= working.order.size:
            state: OrderState = "filled"
        elif working.final:
            state = working.state
        else:
            state = "partially_filled"
        self.move(working, state, "filled", ts, fill=fill)

    @property
    def told(self) -> bool:
        """Whether there are events that were not taken."""
        return bool(self._news)

    def take(self) -> list[OrderEvent]:
        """The events since the last time, in order."""
        news, self._news = self._news, []
        return news

    def state(self) -> BlotterState:
        """What a snapshot keeps: all open orders, and the ended ones that a repeat is recognised by."""
        kept = [*self.open.values(), *self.ended.values()]
        return BlotterState(self.events, self.orders, self.fills, [_keep(each) for each in kept])

    def restore(self, state: BlotterState) -> None:
        """Go on from a snapshot."""
        self.events, self.orders, self.fills = state.events, state.made, state.fills
        self.open.clear()
        self.ended.clear()
        self._news.clear()
        for kept in state.orders:
            working = _wake(kept)
            (self.ended if working.final else self.open)[working.order.client_order_id] = working


def _keep(working: Working) -> _Kept:
    return _Kept(
        working.order,
        working.state,
        working.filled,
        str(working.cost),
        working.fees,
        working.fee_currency,
        working.venue_order_id,
        working.pending,
        working.triggered,
        working.reason_code,
        working.reason,
        working.queue_ahead,
        working.at_venue,
        working.ts_created,
        working.ts_updated,
        working.version,
        None if working.asked == working.order else working.asked,
    )


def _wake(kept: _Kept) -> Working:
    working = Working(kept.order, kept.state, kept.ts_created)
    working.asked = kept.asked or kept.order
    working.cost = int(kept.cost)
    for name in (
        "filled",
        "fees",
        "fee_currency",
        "venue_order_id",
        "pending",
        "triggered",
        "reason_code",
        "reason",
        "queue_ahead",
        "at_venue",
        "ts_updated",
        "version",
    ):
        setattr(working, name, getattr(kept, name))
    return working
