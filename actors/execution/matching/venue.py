"""The simulated venue: one account's orders in simulated markets.

It replaces matching, fees, latency and acknowledgement of a live venue. Commands reach it after the entry latency,
reports us after the response latency. It has no clock: whoever drives it says what time it is, and at one moment things
happen in this order: its own with an earlier moment, the market's message, its own of that moment.

A DAY order lives to the end of the UTC day of its arrival, or to what `day_end(instrument, ts)` says.
"""

from __future__ import annotations

import heapq
from collections.abc import Callable
from typing import Final

import msgspec

from actors.execution.matching.checks import refusal
from actors.execution.matching.desk import Command, Desk
from actors.execution.matching.mark import Mark
from actors.execution.matching.market import SimulatedMarket
from actors.execution.matching.saved import VenueState, load, saved
from actors.execution.matching.settings import FillSettings
from actors.execution.matching.ticks import on_tick
from actors.execution.matching.working import Working
from protocols.instruments import Instrument
from protocols.market import Bar, BookStale, BookUpdate, Funding, MarketStatus, Quote, Trade
from protocols.nanos import NANO, decimal_text
from protocols.orders import MarketInput, NewOrder, VenueReport

DayEnd = Callable[[Instrument, int], int]

_DAY: Final = 86_400 * NANO
_OVER: Final = frozenset({"closed", "determined", "settled"})


def end_of_utc_day(instrument: Instrument, ts: int) -> int:
    """The end of the UTC day of `ts`, or the market's own end if that is before."""
    end = (ts // _DAY + 1) * _DAY
    return min(end, instrument.closes) if instrument.closes is not None and instrument.closes > ts else end


class SimulatedVenue:
    """A venue for one account. `marks`: where each market stands, the same object for as long as the venue lives."""

    def __init__(self, settings: FillSettings, *, seed: int = 0, day_end: DayEnd = end_of_utc_day) -> None:
        self.settings = settings
        self.seed = seed
        self.marks: dict[str, Mark] = {}
        self._day_end = day_end
        self._desk = Desk(settings, seed)
        self._markets: dict[str, SimulatedMarket] = {}

    @property
    def ambiguous(self) -> int:
        """How often a bar did not say what came first."""
        return self._desk.count.ambiguous

    # -- what is told of markets -----------------------------------------------------------------------

    def define(self, instrument: Instrument) -> None:
        """A market's definition, or its next version: orders that arrive from now on are checked with it."""
        self.market_of(instrument.market).instrument = instrument

    def market_of(self, market: str) -> SimulatedMarket:
        """The market itself, for hot loops that call its `book`, `quote`, `trade` or `bar`. `restore` makes others."""
        known = self._markets.get(market)
        if known is None:
            mark = self.marks.setdefault(market, Mark())
            known = self._markets[market] = SimulatedMarket(market, self._desk, mark, self._before)
            self._desk.markets[market] = known
        return known

    def market(self, message: MarketInput, ts: int) -> None:
        """A market's message of the moment `ts`."""
        if isinstance(message, BookUpdate):
            self.book(message, ts)
        elif isinstance(message, Quote):
            self.quote(message, ts)
        elif isinstance(message, Trade):
            self.trade(message, ts)
        elif isinstance(message, Bar):
            self.bar(message, ts)
        elif isinstance(message, MarketStatus):
            self.market_of(message.market).status(message, ts)
        elif isinstance(message, BookStale):
            self.market_of(message.market).stale(message, ts)
        elif isinstance(message, Instrument):
            self._before(ts)
            self.define(message)
        elif not isinstance(message, Funding):
            raise TypeError(f"message: expected a market's, got {type(message).__name__}")

    def book(self, message: BookUpdate, ts: int) -> Quote | None:
        """All level changes of one message; the new best prices, if they moved."""
        return self.market_of(message.market).book(message, ts)

    def quote(self, message: Quote, ts: int) -> None:
        """The best prices."""
        self.market_of(message.market).quote(message, ts)

    def trade(self, message: Trade, ts: int) -> None:
        """A public trade."""
        self.market_of(message.market).trade(message, ts)

    def bar(self, message: Bar, ts: int) -> None:
        """A closed bar."""
        self.market_of(message.market).bar(message, ts)

    # -- commands --------------------------------------------------------------------------------------

    def submit(self, order: NewOrder, ts: int) -> None:
        """The order leaves us at `ts` and reaches the venue after the entry latency."""
        self._send(Command("submit", order.client_order_id, order.market, ts, order=order), ts)

    def cancel(self, client_order_id: str, ts: int) -> None:
        """The cancel leaves us at `ts`."""
        self._send(Command("cancel", client_order_id, self._market_name(client_order_id), ts), ts)

    def amend(self, client_order_id: str, size: int | None, price: int | None, stop_price: int | None, ts: int) -> None:
        """The change leaves us at `ts`. Less size keeps the place in the queue, anything else loses it."""
        market = self._market_name(client_order_id)
        self._send(Command("amend", client_order_id, market, ts, size=size, price=price, stop_price=stop_price), ts)

    def _market_name(self, client_order_id: str) -> str:
        order = self._desk.working.get(client_order_id)
        return "" if order is None else order.order.market

    def _send(self, command: Command, ts: int) -> None:
        self._plan(self._desk.arrival(ts), command)

    def _plan(self, moment: int, command: Command) -> None:
        count = self._desk.count
        count.planned += 1
        heapq.heappush(self._desk.agenda, (moment, count.planned, command))
        if command.market and command.what != "expire":
            market = self.market_of(command.market)
            market.expected += 1
            market.busy = True

    # -- time ------------------------------------------------------------------------------------------

    def due(self) -> int | None:
        """The moment of the next own thing or report; None: there is none."""
        reports, agenda = self._desk.reports, self._desk.agenda
        if not agenda:
            return reports[0][0] if reports else None
        return min(agenda[0][0], reports[0][0]) if reports else agenda[0][0]

    def take(self, ts: int) -> list[VenueReport]:
        """Reports that are told at or before `ts`, in the order of telling."""
        reports = self._desk.reports
        told: list[VenueReport] = []
        while reports and reports[0][0] <= ts:
            told.append(reports.popleft()[1])
        return told

    def advance(self, ts: int) -> None:
        """Everything of the venue's own (arrivals, expiries) up to and including `ts`."""
        agenda = self._desk.agenda
        while agenda and agenda[0][0] <= ts:
            moment, _, command = heapq.heappop(agenda)
            self._do(command, moment)

    def _before(self, ts: int) -> None:
        self.advance(ts - 1)

    def _do(self, command: Command, moment: int) -> None:
        desk = self._desk
        desk.now = moment
        if command.what == "submit" and command.order is not None:
            self._arrived(command.order, moment - command.sent)
        elif command.what == "cancel":
            self._cancelled(command.client_order_id)
        elif command.what == "amend":
            self._amended(command)
        else:
            self._expired(command)
        desk.settle()
        market = self._markets.get(command.market)
        if market is not None and command.what != "expire":
            market.expected -= 1

    # -- arrivals --------------------------------------------------------------------------------------

    def _arrived(self, order: NewOrder, entry_ns: int) -> None:
        desk, name = self._desk, order.client_order_id
        market = self._markets[order.market]
        if name in desk.working:
            desk.reject(name, "duplicate", "an order of this id is live")
            return
        reason = self._refusal(order, market)
        if reason is not None:
            desk.reject(name, *reason)
            return
        chance = self._desk.settings.rejection
        if chance and desk.chance("rejection") < chance:
            desk.reject(name, "random", f"rejected by chance, as rejection = {chance}")
            return
        number = desk.number()
        working = Working(
            order=order,
            venue_order_id=f"sim-{number}",
            number=number,
            entry_ns=entry_ns,
            arrived=desk.now,
            open=order.size,
        )
        parent_lives = order.parent in desk.working
        may_work = desk.links.add(order, live=parent_lives)
        desk.working[name] = working
        working.open = desk.links.open(name, order.size, 0)
        self._plan_expiry(working, market)
        if may_work:
            market.arrive(working)
            return
        working.state = "held"
        if desk.links.over(name):
            desk.cancel(working, "parent", "its parent ended without a fill")

    def _refusal(self, order: NewOrder, market: SimulatedMarket) -> tuple[str, str] | None:
        if market.instrument is None:
            return "unknown_market", f"market: expected one that is defined, got {order.market!r}"
        over = market.phase if market.phase in _OVER else market.instrument.status
        if over in _OVER:
            return f"market_{over}", f"{order.market} is {over}"
        if market.phase != "active" and not order.parent:
            immediate = order.kind == "market" or order.time_in_force in ("IOC", "FOK")
            if immediate:
                return "market_paused", f"{order.market} is {market.phase}: only orders that may rest are taken"
        no_fee = self._desk.fees.missing(market.instrument)
        if no_fee:
            return "no_fee", no_fee
        return refusal(order, market.instrument, market.mark, self._desk.now)

    def _plan_expiry(self, working: Working, market: SimulatedMarket) -> None:
        order = working.order
        if order.time_in_force == "GTD" and order.expires is not None:
            end = order.expires
        elif order.time_in_force == "DAY":
            end = self._day_end(market.definition, self._desk.now)
        else:
            return
        name, now = order.client_order_id, self._desk.now
        self._plan(end, Command("expire", name, order.market, now, venue_order_id=working.venue_order_id))

    def _expired(self, command: Command) -> None:
        order = self._desk.working.get(command.client_order_id)
        if order is not None and order.venue_order_id == command.venue_order_id:
            self._desk.cancel(order, "day" if order.order.time_in_force == "DAY" else "expired")

    def _cancelled(self, client_order_id: str) -> None:
        order = self._desk.working.get(client_order_id)
        if order is None:
            self._desk.refuse(client_order_id, "cancel", "unknown_order", "no live order has this id")
        else:
            self._desk.cancel(order, "user")

    def _amended(self, command: Command) -> None:
        desk, name = self._desk, command.client_order_id
        order = desk.working.get(name)
        if order is None:
            desk.refuse(name, "amend", "unknown_order", "no live order has this id")
            return
        market = self._markets[order.order.market]
        told = order.order
        size = told.size if command.size is None else command.size
        price = told.price if command.price is None else command.price
        stop_price = told.stop_price if command.stop_price is None else command.stop_price
        wrong = self._wrong_change(order, market, size, price, stop_price)
        if wrong is not None:
            desk.refuse(name, "amend", *wrong)
            return
        keeps = price == told.price and size <= told.size
        order.order = msgspec.structs.replace(told, size=size, price=price, stop_price=stop_price)
        desk.links.resized(name, size)
        order.open = desk.links.open(name, size, order.filled)
        order.shown = min(order.shown, order.open)
        if order.state == "stop" and stop_price is not None and stop_price != told.stop_price:
            market.triggers.amend(name, stop_price)
        if order.state == "resting" and not keeps:
            market.unrest(order)
            desk.amended(order)
            market.move(order)
        else:
            desk.amended(order)

    def _wrong_change(
        self, order: Working, market: SimulatedMarket, size: int, price: int | None, stop_price: int | None
    ) -> tuple[str, str] | None:
        if size <= order.filled:
            filled = decimal_text(order.filled)
            return "below_filled", f"size: expected above {filled}, which is filled, got {decimal_text(size)}"
        told = order.order
        if price != told.price and told.kind not in ("limit", "stop_limit"):
            return "price", f"price: a {told.kind} order has none"
        if stop_price != told.stop_price and (told.kind in ("market", "limit") or order.triggered):
            return "stop_price", "stop_price: the order waits for none"
        for name, value in (("price", price), ("stop_price", stop_price)):
            if value is not None and not on_tick(market.definition, value):
                return "tick", f"{name}: {decimal_text(value)} is on no tick of {market.market}"
        changed = msgspec.structs.replace(told, size=size, price=price, stop_price=stop_price)
        return refusal(changed, market.definition, market.mark, order.arrived)

    # -- looking ---------------------------------------------------------------------------------------

    def open_orders(self) -> tuple[NewOrder, ...]:
        """What lives at the venue, held orders too, in the order of arrival."""
        return tuple(order.order for order in self._desk.working.values())

    def queue_ahead(self, client_order_id: str) -> int | None:
        """What stands ahead of a resting order as its model knows it; None: it does not rest, or nobody knows."""
        order = self._desk.working.get(client_order_id)
        return None if order is None or order.place is None else order.place.ahead

    # -- keeping ---------------------------------------------------------------------------------------

    def snapshot(self) -> bytes:
        """Everything but the settings, as msgpack."""
        return msgspec.msgpack.encode(saved(self._desk, self._markets))

    def restore(self, data: bytes) -> None:
        """Become the venue that `snapshot` has written; the settings and the seed have to be the same.

        Raises msgspec.ValidationError for other data. `market_of` gives other objects afterwards; the marks stay.
        """
        state = msgspec.msgpack.decode(data, type=VenueState)
        self._desk = Desk(self.settings, self.seed)
        self._markets = {}
        for market in state.markets:
            self.market_of(market.market)
        load(state, self._desk, self._markets)
