"""An order log: every event of an account's orders, and the same by order.

A log is what a backtest writes (`orders.jsonl`: one line of JSON for each `OrderEvent`), what a replay of a journal
gives, or what stands in the rows of an account. All three are the same list of events.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Sequence
from typing import Final

import msgspec

from protocols.nanos import exact_nanos
from protocols.orders import FINAL, Fill, NewOrder, OrderEvent

_JSON: Final = msgspec.json.Encoder()
_EVENT: Final = msgspec.json.Decoder(OrderEvent)


class LogBroken(ValueError):
    """An order log that cannot be one: which line, what was expected, what came."""


class OrderStory:
    """One order from its first event to its last."""

    __slots__ = ("events", "fills")

    def __init__(self) -> None:
        self.events: list[OrderEvent] = []
        self.fills: list[Fill] = []

    @property
    def order(self) -> NewOrder:
        """What was ordered, as it stood at last."""
        return self.events[-1].order.order

    @property
    def asked(self) -> NewOrder:
        """What was ordered at first."""
        return self.events[0].order.order

    @property
    def name(self) -> str:
        """Its client order id."""
        return self.events[0].order.order.client_order_id

    @property
    def created(self) -> int:
        """When it was decided, ns."""
        return self.events[0].order.ts_created

    @property
    def ended(self) -> int | None:
        """When nothing could become of it any more; None: it is open."""
        for event in self.events:
            if event.order.state in FINAL:
                return event.ts
        return None

    @property
    def state(self) -> str:
        """Its last state."""
        return self.events[-1].order.state

    @property
    def direction(self) -> int:
        """1 for a buy, -1 for a sell."""
        return 1 if self.asked.side == "buy" else -1

    @property
    def filled(self) -> int:
        """What was traded, nanos."""
        return sum(fill.size for fill in self.fills)

    @property
    def notional(self) -> int:
        """What was traded is worth, nanos of money, as it was booked."""
        return sum(exact_nanos(fill.notional) for fill in self.fills)

    def at(self, kind: str) -> int | None:
        """When it first was told of an event of this kind."""
        return next((event.ts for event in self.events if event.kind == kind), None)


def stories(events: Iterable[OrderEvent]) -> dict[str, OrderStory]:
    """The orders of a log by their client order id, in the order of their first events."""
    found: dict[str, OrderStory] = {}
    for event in events:
        story = found.setdefault(event.order.order.client_order_id, OrderStory())
        story.events.append(event)
        if event.fill is not None:
            story.fills.append(event.fill)
    return found


def read_events(lines: Iterable[bytes], *, first: int = 1) -> list[OrderEvent]:
    """Events out of lines of JSON. Raises LogBroken with the line (`first`: the number of the first one)."""
    found = []
    for number, line in enumerate(lines, first):
        if not line.strip():
            continue
        try:
            found.append(_EVENT.decode(line))
        except msgspec.DecodeError as error:
            raise LogBroken(f"line {number}: expected an order event, {error}") from None
    return found


def line_of(event: OrderEvent) -> bytes:
    """An event as it stands in a log, without the end of the line."""
    return _JSON.encode(event)


def order_hash(events: Sequence[OrderEvent]) -> str:
    """SHA-256 of a log, in hex: that of `RunResult.order_hash`."""
    whole = hashlib.sha256()
    for event in events:
        whole.update(line_of(event) + b"\n")
    return whole.hexdigest()


def first_difference(ours: Sequence[OrderEvent], theirs: Sequence[OrderEvent]) -> int | None:
    """The place of the first event that is not the same in both, as far as both go; None: there is none."""
    for place, (own, other) in enumerate(zip(ours, theirs, strict=False)):
        if own != other and line_of(own) != line_of(other):
            return place
    return None
