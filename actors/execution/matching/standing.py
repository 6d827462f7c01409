"""Orders that stand in one simulated market: how they come to work, rest, wait for a price, move and leave."""

from __future__ import annotations

from collections.abc import Iterable
from operator import neg
from typing import Final

from sortedcontainers import SortedDict, SortedSet

from actors.execution.matching.book_market import Depth, DepthMatcher, VenueBook
from actors.execution.matching.desk import Desk
from actors.execution.matching.liquidity import Liquidity
from actors.execution.matching.mark import Mark
from actors.execution.matching.queue_models import QueueModel
from actors.execution.matching.quote_market import TopOfBook
from actors.execution.matching.triggers import TriggerBook
from actors.execution.matching.working import Working
from protocols.instruments import Instrument
from protocols.market import MarketPhase
from protocols.market import Side as Leg

NOTHING: Final = 0
BARS: Final = 1
TRADES: Final = 2
QUOTES: Final = 3
BOOK: Final = 4


class StandingOrders:
    """`rank`: which kind of message decides about fills, the highest that came. `busy`: whether messages matter to us.

    `orders`: all that live here, held ones left out; `resting`: their names by price, best price and oldest first.
    """

    __slots__ = (
        "busy",
        "crossed",
        "depth_matcher",
        "desk",
        "front",
        "instrument",
        "levels",
        "liquidity",
        "mark",
        "market",
        "orders",
        "phase",
        "queue",
        "rank",
        "resting",
        "takers_wait",
        "top",
        "trades_seen",
        "triggers",
        "unknown",
        "unplaced",
    )

    def __init__(self, market: str, desk: Desk, mark: Mark) -> None:
        self.market = market
        self.desk = desk
        self.mark = mark
        self.instrument: Instrument | None = None
        self.phase: MarketPhase = "active"
        self.rank = NOTHING
        self.trades_seen = False
        self.busy = True
        self.levels = VenueBook(market)
        self.top = TopOfBook()
        self.liquidity = Liquidity()
        self.queue = QueueModel(desk.settings.queue, desk.settings.queue_exponent)
        self.orders: dict[str, Working] = {}
        self.resting: dict[Leg, SortedDict[int, list[str]]] = {"bid": SortedDict(neg), "ask": SortedDict()}
        self.front: dict[Leg, int | None] = {"bid": None, "ask": None}
        """The best price of those that rest. This and the next three spare most messages a look at every order."""
        self.unplaced = False
        """Whether an order does not know its place; where: `unknown`."""
        self.crossed = True
        """Whether the depth stood at or beyond an order that rests."""
        self.takers_wait = True
        """Whether an order may wait for a depth."""
        self.unknown: dict[Leg, SortedSet[int]] = {"bid": SortedSet(key=neg), "ask": SortedSet()}
        self.triggers = TriggerBook()
        self.depth_matcher = DepthMatcher(self)

    @property
    def definition(self) -> Instrument:
        """The instrument. Raises ValueError before there is one; no order is taken then."""
        if self.instrument is None:
            raise ValueError(f"{self.market} has no definition")
        return self.instrument

    @property
    def depth(self) -> Depth | None:
        """What fills takers; None where there is none, or it cannot be trusted."""
        if self.phase != "active":
            return None
        if self.rank == BOOK:
            return None if self.levels.stale else self.levels
        return self.top if self.rank == QUOTES and not self.top.stale else None

    # -- coming and going ------------------------------------------------------------------------------

    def arrive(self, order: Working) -> None:
        """An order that was checked goes to work."""
        self.orders[order.name] = order
        self.busy = True
        told = order.order
        if told.kind in ("market", "limit"):
            order.kind = told.kind
            order.price = told.price if told.kind == "limit" else None
            self._work(order)
            return
        order.state = "stop"
        reference = self._reference(order)
        self.triggers.add(told, reference)
        self.desk.accept(order)
        live = self.phase == "active" and self.rank > BARS
        if live and reference is not None and self.triggers.stops[order.name].reached(reference):
            self.triggers.remove(order.name)
            self.trigger([order.name])

    def _reference(self, order: Working) -> int | None:
        """The price that a stop looks at now."""
        best = self.mark.ask if order.buys else self.mark.bid
        if self.rank in (QUOTES, BOOK) and not self.last_decides():
            return best
        return best if self.mark.last is None else self.mark.last

    def _work(self, order: Working) -> None:
        """A market or limit order at the market as it is: it takes, then rests, waits or ends."""
        depth = self.depth
        desk = self.desk
        if not order.open:
            # A child that has filled all that its parent has: it is released again with the next fill.
            return
        if depth is None:
            self.takers_wait = True
            desk.accept(order)
            # Bars and trades decide later; so does a depth that is not there yet. In a pause a limit order may rest.
            order.state = "waiting"
            if not order.immediate and self.rank != BARS:
                self._rest(order, None)
            return
        leg: Leg = "ask" if order.buys else "bid"
        best = depth.side(leg).best
        sign = depth.side(leg).sign
        marketable = best is not None and (order.price is None or best * sign >= order.price * sign)
        if marketable and order.order.post_only:
            desk.cancel(order, "post_only", "it would have taken")
            return
        own: Leg = "bid" if order.buys else "ask"
        ahead = None
        if not marketable and order.price is not None and not order.immediate:
            ahead = self.queue.rest(depth.rest_size(own, order.price)).ahead
        desk.accept(order, ahead)
        code = self.depth_matcher.take(order, depth) if marketable or order.immediate else ""
        if order.done:
            return
        if not order.immediate:
            self._rest(order, depth)
        elif order.open:
            force = order.order.time_in_force
            if order.kind == "limit" and code != "random":
                code = "fok" if force == "FOK" else "ioc"
            desk.cancel(order, code or "no_liquidity")

    def _rest(self, order: Working, depth: Depth | None) -> None:
        if order.price is None:
            return
        leg: Leg = "bid" if order.buys else "ask"
        order.state = "resting"
        order.number = self.desk.number()
        self.resting[leg].setdefault(order.price, []).append(order.name)
        front = self.front[leg]
        if front is None or (order.price > front if order.buys else order.price < front):
            self.front[leg] = order.price
        self.crossed = True
        size = None if depth is None else depth.rest_size(leg, order.price)
        self._place(order, leg, size)
        if order.order.display:
            order.shown = min(order.order.display, order.open)
        if size is not None:
            self.liquidity.seen[leg][order.price] = size

    def _place(self, order: Working, leg: Leg, size: int | None) -> None:
        """At the back of a level of this size; None: nobody knows it yet."""
        order.place = self.queue.rest(size)
        if order.place.ahead is None:
            self.unplaced = True
            self.unknown[leg].add(order.price)

    def show_more(self, order: Working, size: int) -> None:
        """An iceberg was filled: where its shown part is used up, the next one goes to the back of the queue."""
        display = order.order.display
        if order.done or not display or order.price is None:
            return
        order.shown -= size
        if order.shown > 0 or not order.open:
            return
        order.shown = min(display, order.open)
        order.number = self.desk.number()
        leg: Leg = "bid" if order.buys else "ask"
        depth = self.depth
        self._place(order, leg, None if depth is None else depth.rest_size(leg, order.price))
        names = self.resting[leg][order.price]
        names.remove(order.name)
        names.append(order.name)

    def release(self, order: Working) -> None:
        """A held order may go to work, or one that waits has more to do."""
        if order.state == "held":
            # It takes part in nothing that began before its parent filled.
            order.arrived = self.desk.now
            self.arrive(order)
        elif order.state == "waiting":
            self._work(order)

    def withdraw(self, order: Working) -> None:
        """The order is final: it stands nowhere any more."""
        self.orders.pop(order.name, None)
        self.triggers.remove(order.name)
        self.unrest(order)

    def unrest(self, order: Working) -> None:
        """It rests no more."""
        if order.state != "resting" or order.price is None:
            return
        leg: Leg = "bid" if order.buys else "ask"
        names = self.resting[leg].get(order.price)
        if names is not None and order.name in names:
            names.remove(order.name)
            if not names:
                del self.resting[leg][order.price]
                if self.front[leg] == order.price:
                    self.find_front(leg)

    def find_front(self, leg: Leg) -> None:
        """Look up the best price of those that rest."""
        resting = self.resting[leg]
        self.front[leg] = resting.peekitem(0)[0] if resting else None

    def rest_again(self, leg: Leg, names: dict[int, list[str]]) -> None:
        """Those that rested when the state was kept, which `orders` has again."""
        self.resting[leg].update(names)
        self.find_front(leg)
        for price, queue in names.items():
            places = [self.orders[name].place for name in queue]
            if any(place is not None and place.ahead is None for place in places):
                self.unplaced = True
                self.unknown[leg].add(price)

    def reached_by(self, leg: Leg, price: int) -> Iterable[int]:
        """The prices of those that rest and are not worse than this one, best first."""
        return list(self.resting[leg].irange(None, price))

    def move(self, order: Working) -> None:
        """A limit order that rests no more has another price or more size: it goes to the back, and may take."""
        order.place = None
        order.price = order.order.price
        self._work(order)

    # -- what a change of the market does to them ------------------------------------------------------

    def level_changed(self, leg: Leg, price: int, displayed: int, ts_event: int) -> None:
        """A level that we follow shows this size now."""
        before = self.liquidity.changed(leg, price, displayed)
        if before == displayed:
            return
        for name in self.resting[leg].get(price, ()):
            place = self.orders[name].place
            if place is not None:
                self.queue.depth(place, before, displayed, ts_event)

    def find_places(self, depth: Depth) -> None:
        """Places that were not known, of levels that are."""
        for leg, prices in self.unknown.items():
            while prices:
                price = prices[0]
                size = depth.rest_size(leg, price)
                if size is None:
                    break  # nor of any price behind it
                del prices[0]
                for name in self.resting[leg].get(price, ()):
                    place = self.orders[name].place
                    if place is not None and place.ahead is None:
                        self.queue.show(place, size)
                        self.liquidity.seen[leg][price] = size
        self.unplaced = bool(self.unknown["bid"] or self.unknown["ask"])

    def resume(self) -> None:
        """Takers that waited for a depth."""
        self.takers_wait = False
        for order in [each for each in self.orders.values() if each.state == "waiting" and each.open]:
            if not order.done:
                order.note = order.note or "waited for a market"
                self._work(order)

    def last_decides(self) -> bool:
        """Whether stops look at the last trade, not at the best prices."""
        trigger = self.desk.settings.trigger
        return trigger == "last" or (trigger == "auto" and self.trades_seen)

    def trigger(self, names: list[str]) -> None:
        """These stops were reached."""
        for name in names:
            order = self.orders.get(name)
            if order is not None:
                self.desk.triggered(order)
                self._work(order)
