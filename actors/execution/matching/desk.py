"""What the markets of one simulated venue share: live orders, fees, links, chance, and the stream of reports."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable
from typing import Literal, Protocol

import msgspec

from actors.execution.matching.contingencies import Contingencies, Follow
from actors.execution.matching.fees import Fees
from actors.execution.matching.latency import Kind, delay, uniform
from actors.execution.matching.settings import FillSettings
from actors.execution.matching.working import Working
from protocols.instruments import Instrument
from protocols.orders import (
    Liquidity,
    NewOrder,
    VenueAccepted,
    VenueAmended,
    VenueCancelled,
    VenueFilled,
    VenueRefusedChange,
    VenueRejected,
    VenueReport,
    VenueTriggered,
    Why,
)


class Withdraws(Protocol):
    """A market, as the desk needs it."""

    def withdraw(self, order: Working) -> None:
        """The order is final: forget it."""

    def release(self, order: Working) -> None:
        """A held order may go to work, or one that waits has more to do."""


class Source(msgspec.Struct, frozen=True):
    """The market message that a fill comes from."""

    session: str = ""
    seq: int = 0
    trade_id: str = ""


NO_SOURCE = Source()


class Command(msgspec.Struct, frozen=True):
    """Something that happens at the venue at a moment: a command that arrives, an order that expires."""

    what: Literal["submit", "cancel", "amend", "expire"]
    client_order_id: str
    market: str
    sent: int
    order: NewOrder | None = None
    size: int | None = None
    price: int | None = None
    stop_price: int | None = None
    venue_order_id: str = ""
    """Of what expires: an id may be used again behind the end of its order."""


class Counters(msgspec.Struct):
    """What has been counted: everything that chance and names are made of."""

    sent: int = 0
    planned: int = 0
    told: int = 0
    orders: int = 0
    drawn: int = 0
    ambiguous: int = 0
    last_arrival: int = 0
    last_told: int = 0


class Desk:
    """`now` is the moment that is being worked on; `released`: held orders that may go to work at this moment."""

    def __init__(self, settings: FillSettings, seed: int) -> None:
        self.settings = settings.resolved()
        self.seed = seed
        self.fees = Fees(self.settings.fees)
        self.links = Contingencies()
        self.working: dict[str, Working] = {}
        self.markets: dict[str, Withdraws] = {}
        self.released: list[str] = []
        self.agenda: list[tuple[int, int, Command]] = []
        """A heap of (moment, number, what happens then)."""
        self.reports: deque[tuple[int, VenueReport]] = deque()
        self.count = Counters()
        self.now = 0

    # -- chance and names ------------------------------------------------------------------------------

    def arrival(self, ts: int) -> int:
        """When a command that leaves us at `ts` reaches the venue."""
        count = self.count
        count.sent += 1
        at = max(ts + delay(self.settings.latency.entry, self.seed, "entry", count.sent), count.last_arrival)
        count.last_arrival = at
        return at

    def chance(self, kind: Kind) -> float:
        """The next number in [0, 1) of this kind."""
        self.count.drawn += 1
        return uniform(self.seed, kind, self.count.drawn)

    def number(self) -> int:
        """1, 2, 3 …: places in time."""
        self.count.orders += 1
        return self.count.orders

    # -- reports ---------------------------------------------------------------------------------------

    def tell(self, report: VenueReport) -> None:
        """Report what happened at `now`."""
        self._tell(report, self._response())

    def _response(self) -> int:
        self.count.told += 1
        return delay(self.settings.latency.response, self.seed, "response", self.count.told)

    def _tell(self, report: VenueReport, response: int) -> None:
        count = self.count
        count.last_told = max(count.last_told, self.now + response)
        self.reports.append((count.last_told, report))

    def accept(self, order: Working, queue_ahead: int | None = None) -> None:
        """The order works."""
        if not order.accepted:
            order.accepted = True
            self.tell(VenueAccepted(order.name, order.venue_order_id, self.now, queue_ahead))

    def reject(self, client_order_id: str, code: str, reason: str) -> None:
        """The order was not taken."""
        self.tell(VenueRejected(client_order_id, code, reason, self.now))

    def refuse(self, client_order_id: str, what: Literal["cancel", "amend"], code: str, reason: str) -> None:
        """A change was not done. What is not here is gone."""
        gone = client_order_id not in self.working
        self.tell(VenueRefusedChange(client_order_id, what, code, reason, self.now, gone))

    def triggered(self, order: Working) -> None:
        """Its stop was reached: from here on it is a market or a limit order."""
        order.triggered = True
        order.kind = "limit" if order.order.kind == "stop_limit" else "market"
        order.price = order.order.price if order.kind == "limit" else None
        order.state = "waiting"
        self.tell(VenueTriggered(order.name, self.now))

    def amended(self, order: Working) -> None:
        """The order is what it says now."""
        told = order.order
        ahead = None if order.place is None else order.place.ahead
        self.tell(VenueAmended(order.name, told.size, told.price, told.stop_price, self.now, ahead))

    def fill(
        self,
        order: Working,
        instrument: Instrument,
        price: int,
        size: int,
        liquidity: Liquidity,
        model: str,
        *,
        ts: int | None = None,
        source: Source = NO_SOURCE,
        ahead: int | None = None,
        slippage: int = 0,
        ambiguous: bool = False,
        note: str = "",
    ) -> None:
        """A part of an order is traded. `ts` is the venue's time where it is not `now` (inside of a bar)."""
        moment = self.now if ts is None else ts
        told = order.order
        fee = self.fees.charge(order.name, instrument, told.side, price, size, liquidity, moment)
        order.filled += size
        order.fills += 1
        follows = self.links.filled(order.name, size)
        order.open = self.links.open(order.name, told.size, order.filled)
        response = self._response()
        at_rest = None if order.place is None else order.place.at_rest
        why = Why(
            model=model,
            queue_ahead_at_rest=at_rest,
            queue_ahead_at_fill=ahead,
            session=source.session,
            seq=source.seq,
            trade_id=source.trade_id,
            entry_ns=order.entry_ns,
            response_ns=response,
            slippage=slippage,
            ambiguous=ambiguous,
            note=_joined(order.note, note),
        )
        self._tell(
            VenueFilled(
                client_order_id=order.name,
                fill_id=f"{order.name}/{order.fills}",
                market=told.market,
                side=told.side,
                price=price,
                size=size,
                liquidity=liquidity,
                fee=fee,
                fee_currency=instrument.currency,
                ts=moment,
                leaves=told.size - order.filled,
                why=why,
                venue_order_id=order.venue_order_id,
            ),
            response,
        )
        if order.filled >= told.size:
            self.end(order)
        self.follow(follows)

    # -- ends and consequences -------------------------------------------------------------------------

    def cancel(self, order: Working, code: str, reason: str = "") -> None:
        """The rest of the order is gone."""
        if not order.done:
            self.tell(VenueCancelled(order.name, code, self.now, reason))
            self.end(order)

    def end(self, order: Working) -> None:
        """The order is final."""
        order.done = True
        order.open = 0
        del self.working[order.name]
        self.markets[order.order.market].withdraw(order)
        self.fees.forget(order.name)
        self.follow(self.links.ended(order.name))

    def follow(self, follows: Iterable[Follow]) -> None:
        """Do what follows for linked orders."""
        for each in follows:
            order = self.working.get(each.client_order_id)
            if order is None:
                continue
            if each.what == "cancel":
                self.cancel(order, each.code)
                continue
            order.open = self.links.open(order.name, order.order.size, order.filled)
            total = self.links.total(order.name, order.order.size)
            if total != order.order.size:
                order.order = msgspec.structs.replace(order.order, size=total)
                self.amended(order)
            if order.open and order.state in ("held", "waiting"):
                self.released.append(order.name)

    def settle(self) -> None:
        """Send what was released to work."""
        while self.released:
            order = self.working.get(self.released.pop(0))
            if order is not None:
                self.markets[order.order.market].release(order)


def _joined(*notes: str) -> str:
    return "; ".join(note for note in notes if note)
