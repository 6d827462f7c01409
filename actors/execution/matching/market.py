"""One simulated market: what is known of it, the orders that work in it, and what its messages do to them.

Where several kinds of messages come, one decides about fills: the book before quotes, quotes before trades alone,
trades before bars; the others only tell the last price (trades fill resting orders besides). Of bars the shortest
interval decides.

`book`, `quote`, `trade` and `bar` may be called in a hot loop without going through the venue: with nothing to follow
(`busy`) they change the mark and return.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

from actors.execution.matching.bar_market import BarMatcher
from actors.execution.matching.book_market import Depth, DepthMatcher, VenueBook
from actors.execution.matching.desk import Desk, Source
from actors.execution.matching.liquidity import Liquidity
from actors.execution.matching.mark import Mark
from actors.execution.matching.queue_models import QueueModel
from actors.execution.matching.quote_market import TopOfBook
from actors.execution.matching.triggers import TriggerBook
from actors.execution.matching.working import Working
from actors.market.book import Gap
from protocols.instruments import Instrument
from protocols.market import Bar, BookStale, BookUpdate, MarketPhase, MarketStatus, Quote, Trade
from protocols.market import Side as Leg

NOTHING: Final = 0
BARS: Final = 1
TRADES: Final = 2
QUOTES: Final = 3
BOOK: Final = 4

_OVER: Final = frozenset({"closed", "determined", "settled"})


class SimulatedMarket:
    """One market of a venue. `before(ts)` runs everything of the venue's own that comes before `ts`."""

    __slots__ = (
        "_apply",
        "_before",
        "bars",
        "busy",
        "crossed",
        "depth_matcher",
        "desk",
        "expected",
        "front",
        "gaps",
        "instrument",
        "interval",
        "interval_ns",
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
        "unplaced",
    )

    def __init__(self, market: str, desk: Desk, mark: Mark, before: Callable[[int], None]) -> None:
        self.market = market
        self.desk = desk
        self.mark = mark
        self._before = before
        self.instrument: Instrument | None = None
        self.phase: MarketPhase = "active"
        self.rank = NOTHING
        self.interval = ""
        """Of the bars that decide; empty where none do."""
        self.interval_ns = 0
        self.trades_seen = False
        self.gaps = 0
        self.expected = 0
        """Commands on their way to this market."""
        self.busy = True
        self.levels = VenueBook(market)
        self._apply = self.levels.apply
        self.top = TopOfBook()
        self.liquidity = Liquidity()
        self.queue = QueueModel(desk.settings.queue, desk.settings.queue_exponent)
        self.orders: dict[str, Working] = {}
        """All that live here, held ones left out."""
        self.resting: dict[Leg, dict[int, list[str]]] = {"bid": {}, "ask": {}}
        self.front: dict[Leg, int | None] = {"bid": None, "ask": None}
        """The best price of those that rest. This and the next two spare most messages a look at every order."""
        self.unplaced = True
        """Whether an order may not know its place."""
        self.crossed = True
        """Whether the depth stood at or beyond an order that rests."""
        self.takers_wait = True
        """Whether an order may wait for a depth."""
        self.triggers = TriggerBook()
        self.depth_matcher = DepthMatcher(self)
        self.bars = BarMatcher(self)

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

    # -- messages --------------------------------------------------------------------------------------

    def book(self, update: BookUpdate, ts: int) -> Quote | None:
        """All changes of one message. The new best prices, if they moved."""
        if self.busy or self.rank != BOOK:
            return self._book(update, ts)
        try:
            quote = self._apply(update)
        except Gap:
            # The book is stale by it: nobody is filled from it until a snapshot.
            self.gaps += 1
            return None
        if quote is not None:
            mark = self.mark
            mark.bid = quote.bid
            mark.bid_size = quote.bid_size
            mark.ask = quote.ask
            mark.ask_size = quote.ask_size
            mark.ts = ts
        return quote

    def quote(self, message: Quote, ts: int) -> None:
        """The best prices."""
        if self.busy or self.rank != QUOTES:
            self._quote(message, ts)
            return
        self.top.quote = message
        mark = self.mark
        mark.bid = message.bid
        mark.bid_size = message.bid_size
        mark.ask = message.ask
        mark.ask_size = message.ask_size
        mark.ts = ts

    def trade(self, message: Trade, ts: int) -> None:
        """A public trade. A block trade was made elsewhere: it moves no price and fills nobody."""
        if message.block:
            return
        mark = self.mark
        mark.last = message.price
        mark.ts = ts
        if self.busy or self.rank != TRADES:
            self._trade(message, ts)

    def bar(self, message: Bar, ts: int) -> None:
        """A closed bar."""
        if self.busy or message.interval != self.interval:
            self._bar(message, ts)
            return
        mark = self.mark
        mark.last = message.close
        mark.ts = ts

    def _book(self, update: BookUpdate, ts: int) -> Quote | None:
        self._begin(ts)
        if self.rank != BOOK:
            self._become(BOOK)
        levels, liquidity = self.levels, self.liquidity
        try:
            quote = self._apply(update)
        except Gap:
            self.gaps += 1
            self._finish()
            return None
        if quote is not None:
            self._show(quote, ts)
        if levels.stale:
            self._finish()
            return None
        seen = liquidity.seen
        calm = quote is None and not (
            update.snapshot or self.crossed or self.unplaced or self.takers_wait or liquidity.prints
        )
        if update.snapshot:
            for leg, prices in seen.items():
                for price in sorted(prices):
                    self._level(leg, price, levels.side(leg).sizes.get(price, 0), update.ts_event)
        else:
            for each in update.changes:
                # A message may name a level twice; what counts is what it shows behind the whole of it.
                if each.price in seen[each.side]:
                    calm = False
                    shown = levels.side(each.side).sizes.get(each.price, 0)
                    self._level(each.side, each.price, shown, update.ts_event)
        if calm:
            # Neither a best price nor a level of ours has changed: nobody can be filled who could not before.
            return None
        if liquidity.prints:
            liquidity.caught_up(update.ts_event)
        self._match(ts)
        return quote

    def _quote(self, message: Quote, ts: int) -> None:
        self._begin(ts)
        self._become(QUOTES)
        if self.rank != QUOTES:
            self._finish()
            return
        top, liquidity = self.top, self.liquidity
        top.quote = message
        self._show(message, ts)
        for leg, prices in liquidity.seen.items():
            for price in sorted(prices):
                displayed = top.now(leg, price)
                if displayed is not None:
                    self._level(leg, price, displayed, message.ts_event)
        if liquidity.prints:
            liquidity.caught_up(message.ts_event)
        self._match(ts)

    def _trade(self, message: Trade, ts: int) -> None:
        self._begin(ts)
        self._become(TRADES)
        self.trades_seen = True
        depth = self.depth
        if self.rank == TRADES and self.phase == "active":
            self._take_part(message, self.depth_matcher.trade(message, None))
        elif depth is not None:
            self.depth_matcher.trade(message, depth)
            self._print(message, depth)
        if (depth is not None or self.rank == TRADES) and self.phase == "active":
            if self.desk.settings.trigger != "quote":
                self._trigger(self.triggers.move(message.price, message.price))
            self.desk.settle()
        self._finish()

    def _bar(self, message: Bar, ts: int) -> None:
        self._begin(ts)
        self._become(BARS)
        length = message.end - message.start
        if self.rank == BARS and (not self.interval_ns or length <= self.interval_ns):
            self.interval, self.interval_ns = message.interval, length
            if self.phase == "active" and not message.empty and self.orders:
                self.bars.run(message, tuple(self.orders.values()))
                self.desk.settle()
            self.mark.last = message.close
            self.mark.ts = ts
        self._finish()

    def status(self, message: MarketStatus, ts: int) -> None:
        """Another phase. In a pause and in an auction nothing is filled; after the end every order is gone."""
        self._begin(ts)
        self.phase = message.phase
        try:
            self.levels.set_phase(message.phase)
        except Gap:
            self.gaps += 1
        if message.phase in _OVER:
            code = "settled" if message.phase == "settled" else "closed"
            for order in [each for each in self.desk.working.values() if each.order.market == self.market]:
                self.desk.cancel(order, code, f"{self.market} is {message.phase}")
        elif message.phase == "active":
            self._match(ts)
        self._finish()

    def stale(self, message: BookStale, ts: int) -> None:
        """Nothing is filled from this depth before a snapshot (of quotes: the next one)."""
        self._begin(ts)
        self.levels.mark_stale(message.reason)
        self.top.mark_stale(message.reason or "stale")
        self._finish()

    # -- what messages have in common ------------------------------------------------------------------

    def _begin(self, ts: int) -> None:
        desk = self.desk
        if desk.agenda and desk.agenda[0][0] < ts:
            self._before(ts)
        desk.now = ts

    def _become(self, rank: int) -> None:
        if rank > self.rank:
            self.rank = rank
            self.interval = ""

    def _show(self, quote: Quote, ts: int) -> None:
        mark = self.mark
        mark.bid, mark.bid_size = quote.bid, quote.bid_size
        mark.ask, mark.ask_size = quote.ask, quote.ask_size
        mark.ts = ts

    def _level(self, leg: Leg, price: int, displayed: int, ts_event: int) -> None:
        """A level that we follow shows this size now."""
        before = self.liquidity.changed(leg, price, displayed)
        if before == displayed:
            return
        for name in self.resting[leg].get(price, ()):
            place = self.orders[name].place
            if place is not None:
                self.queue.depth(place, before, displayed, ts_event)

    def _match(self, ts: int) -> None:
        """The depth has changed: whoever can be filled is."""
        depth = self.depth
        if depth is not None:
            if self.unplaced:
                self._find_places(depth)
            ask, bid = depth.side("ask").best, depth.side("bid").best
            buys, sells = self.front["bid"], self.front["ask"]
            self.crossed = (ask is not None and buys is not None and ask <= buys) or (
                bid is not None and sells is not None and bid >= sells
            )
            if self.crossed:
                self.depth_matcher.cross(depth)
            if self.desk.released:
                self.desk.settle()
            if self.takers_wait:
                self._resume()
            if self.triggers.stops and not self._last_decides():
                self._trigger(self.triggers.move(ask, bid))
            if self.desk.released:
                self.desk.settle()
        self._finish()

    def _find_places(self, depth: Depth) -> None:
        """Places that were not known, of levels that are."""
        self.unplaced = False
        for leg, prices in self.resting.items():
            for price, names in prices.items():
                for name in names:
                    order = self.orders[name]
                    if order.place is not None and order.place.ahead is None:
                        size = depth.rest_size(leg, price)
                        if size is None:
                            self.unplaced = True
                        else:
                            self.queue.show(order.place, size)
                            self.liquidity.seen[leg][price] = size

    def _last_decides(self) -> bool:
        trigger = self.desk.settings.trigger
        return trigger == "last" or (trigger == "auto" and self.trades_seen)

    def _trigger(self, names: list[str]) -> None:
        for name in names:
            order = self.orders.get(name)
            if order is not None:
                self.desk.triggered(order)
                self._work(order)

    def _resume(self) -> None:
        """Takers that waited for a depth."""
        self.takers_wait = False
        for order in [each for each in self.orders.values() if each.state == "waiting" and each.open]:
            if not order.done:
                order.note = order.note or "waited for a market"
                self._work(order)

    def _print(self, trade: Trade, depth: Depth) -> None:
        """Let the trade take from its level until the level shows it, unless the book is younger."""
        if depth.ts_event > trade.ts_event > 0:
            return
        leg: Leg | None = None
        if trade.taker is not None:
            leg = "ask" if trade.taker == "buy" else "bid"
        else:
            ask, bid = depth.side("ask").best, depth.side("bid").best
            if ask is not None and trade.price >= ask:
                leg = "ask"
            elif bid is not None and trade.price <= bid:
                leg = "bid"
        if leg is not None:
            self.liquidity.traded(leg, trade.price, trade.size, trade.ts_event, depth.now(leg, trade.price) or 0)

    def _take_part(self, trade: Trade, given: int) -> None:
        """Where trades are all there is, takers take part in the next trade that somebody else took on their side."""
        left = trade.size - given
        for order in [each for each in self.orders.values() if each.state == "waiting"]:
            side = order.order.side
            worse = order.price is not None and (trade.price > order.price if order.buys else trade.price < order.price)
            if trade.taker in (None, side) and not worse:
                size = min(order.open, left)
                if order.order.time_in_force == "FOK" and size < order.open:
                    self.desk.cancel(order, "fok")
                    continue
                if size:
                    left -= size
                    source = Source(trade.session, trade.seq, trade.trade_id)
                    self.desk.fill(order, self.definition, trade.price, size, "taker", "trade", source=source)
            if not order.done and order.order.time_in_force in ("IOC", "FOK"):
                self.desk.cancel(order, order.order.time_in_force.lower())

    def _finish(self) -> None:
        liquidity = self.liquidity
        if len(liquidity.seen["bid"]) + len(liquidity.seen["ask"]) > self._followed():
            liquidity.prune(self.resting)
        self.busy = bool(self.orders or self.expected or liquidity)

    def _followed(self) -> int:
        resting = self.resting
        return len(resting["bid"]) + len(resting["ask"])

    # -- orders ----------------------------------------------------------------------------------------

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
            self._trigger([order.name])

    def _reference(self, order: Working) -> int | None:
        """The price that a stop looks at now."""
        best = self.mark.ask if order.buys else self.mark.bid
        if self.rank in (QUOTES, BOOK) and not self._last_decides():
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
        self.unplaced = self.crossed = True
        size = None if depth is None else depth.rest_size(leg, order.price)
        order.place = self.queue.rest(size)
        if order.order.display:
            order.shown = min(order.order.display, order.open)
        if size is not None:
            self.liquidity.seen[leg][order.price] = size

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
        order.place = self.queue.rest(None if depth is None else depth.rest_size(leg, order.price))
        self.unplaced = True
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
        best = max if leg == "bid" else min
        self.front[leg] = best(self.resting[leg], default=None)

    def move(self, order: Working) -> None:
        """A limit order that rests no more has another price or more size: it goes to the back, and may take."""
        order.place = None
        order.price = order.order.price
        self._work(order)
