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
from actors.execution.matching.book_market import Depth
from actors.execution.matching.desk import Desk, Source
from actors.execution.matching.mark import Mark
from actors.execution.matching.quote_market import UNKNOWN_SIZE
from actors.execution.matching.standing import BARS, BOOK, QUOTES, TRADES, StandingOrders
from actors.market.book import Gap
from protocols.market import Bar, BookStale, BookUpdate, MarketStatus, Quote, Trade
from protocols.market import Side as Leg

_OVER: Final = frozenset({"closed", "determined", "settled"})


class SimulatedMarket(StandingOrders):
    """One market of a venue. `before(ts)` runs everything of the venue's own that comes before `ts`."""

    __slots__ = ("_apply", "_before", "bars", "expected", "gaps", "interval", "interval_ns")

    def __init__(self, market: str, desk: Desk, mark: Mark, before: Callable[[int], None]) -> None:
        super().__init__(market, desk, mark)
        self._before = before
        self._apply = self.levels.apply
        self.bars = BarMatcher(self)
        self.interval = ""
        """Of the bars that decide; empty where none do."""
        self.interval_ns = 0
        self.gaps = 0
        self.expected = 0
        """Commands on their way to this market."""

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
            update.snapshot or self.crossed or self.unplaced or self.takers_wait or liquidity.waits
        )
        if update.snapshot:
            for leg, prices in seen.items():
                for price in sorted(prices):
                    self.level_changed(leg, price, levels.side(leg).sizes.get(price, 0), update.ts_event)
        else:
            for each in update.changes:
                # A message may name a level twice; what counts is what it shows behind the whole of it.
                if each.price in seen[each.side]:
                    calm = False
                    shown = levels.side(each.side).sizes.get(each.price, 0)
                    self.level_changed(each.side, each.price, shown, update.ts_event)
        if calm:
            # Neither a best price nor a level of ours has changed: nobody can be filled who could not before.
            return None
        if liquidity.waits:
            liquidity.caught_up(update.ts_event)
        self._match(ts)
        return quote

    def _quote(self, message: Quote, ts: int) -> None:
        self._begin(ts)
        self._become(QUOTES)
        if self.rank != QUOTES:
            self._finish()
            return
        liquidity = self.liquidity
        self.top.quote = message
        self._show(message, ts)
        for leg, prices in liquidity.seen.items():
            if prices:
                self._follow_best(leg, message)
        if liquidity.waits:
            liquidity.caught_up(message.ts_event)
        if self.orders or self.desk.released:
            self._match(ts)
        else:
            self._finish()

    def _follow_best(self, leg: Leg, message: Quote) -> None:
        """Levels that we follow, as a quote shows them: its own, and nothing in front of it; behind it nobody knows."""
        best, size = (message.bid, message.bid_size) if leg == "bid" else (message.ask, message.ask_size)
        for price in list(self.liquidity.seen[leg].irange(None, best)):
            displayed = (size or UNKNOWN_SIZE) if price == best else 0
            self.level_changed(leg, price, displayed, message.ts_event)

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
                self.trigger(self.triggers.move(message.price, message.price))
            self.desk.settle()
        self.busy = True if depth is not None else bool(self.orders or self.expected or self.liquidity)

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
            quote = self.levels.set_phase(message.phase)
        except Gap:
            self.gaps += 1
        else:
            if quote is not None:
                self._show(quote, ts)
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

    def _match(self, ts: int) -> None:
        """The depth has changed: whoever can be filled is."""
        depth = self.depth
        if depth is not None:
            if self.unplaced:
                self.find_places(depth)
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
                self.resume()
            if self.triggers.stops and not self.last_decides():
                self.trigger(self.triggers.move(ask, bid))
            if self.desk.released:
                self.desk.settle()
        self._finish()

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
        self.liquidity.prune(self.resting)
        self.busy = bool(self.orders or self.expected or self.liquidity)
