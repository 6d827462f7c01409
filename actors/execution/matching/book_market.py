"""Matching against displayed levels: takers walk them, resting orders are filled by trades and by books that cross.

* A taker takes level by level what can be taken (`liquidity`), never beyond its limit.
* A resting order is the maker, at its own price. A trade at its price reaches it behind its queue; a trade beyond its
  price, or a level of the other side at its price or beyond, reaches it at once. One trade's size, and one level's, is
  given out once over all orders, best price and oldest first.
* A trade takes from the level it names until the level shows it, so nobody is filled from the book before the trade.
* An opposite level at exactly the order's price counts only where its own side shows nothing there: in a locked book
  they stand beside each other and do not trade.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Final

from actors.execution.matching.desk import Source
from actors.execution.matching.quote_market import UNKNOWN_SIZE, TopOfBook
from actors.execution.matching.slippage import share_of
from actors.execution.matching.ticks import worse_by
from actors.execution.matching.working import Working
from actors.market.book import Book
from actors.market.book_sides import Side
from protocols.market import Side as Leg
from protocols.market import Trade
from protocols.nanos import NANO, exact_nanos

if TYPE_CHECKING:
    from actors.execution.matching.standing import StandingOrders


class VenueBook(Book):
    """A book of levels as a market's depth."""

    __slots__ = ()

    fill_model: Final = "book_walk"
    complete: Final = True

    def side(self, leg: Leg) -> Side:
        """One side's levels."""
        return self._bids if leg == "bid" else self._asks

    def now(self, leg: Leg, price: int) -> int | None:
        """The displayed size of a level."""
        return self.side(leg).sizes.get(price, 0)

    def rest_size(self, leg: Leg, price: int) -> int | None:
        """What an order that comes to rest there has ahead; None beyond the last level, as feeds end somewhere."""
        side = self.side(leg)
        size = side.sizes.get(price)
        if size is not None:
            return size
        if side.best is None or price * side.sign > side.best * side.sign:
            return 0
        last = side.last
        return 0 if last is not None and price * side.sign > last * side.sign else None


Depth = VenueBook | TopOfBook


class DepthMatcher:
    """Fills the orders of one market from its depth and its trades."""

    def __init__(self, market: StandingOrders) -> None:
        self._market = market
        self._through = market.desk.settings.bracket == "pessimistic"

    # -- takers ----------------------------------------------------------------------------------------

    def take(self, order: Working, depth: Depth) -> str:
        """Fill what can be filled at once. Why the rest was not: "no_liquidity", "protection", "fok" or ""."""
        market, desk = self._market, self._market.desk
        leg: Leg = "ask" if order.buys else "bid"
        limit, code = order.price, "no_liquidity"
        if order.kind == "market":
            limit = self._protection(order, depth.side(leg).best)
        plan: list[tuple[int, int, int]] = []
        need, lot = order.open, market.definition.lot
        for price, displayed in _reachable(depth, leg, limit):
            size = min(need, market.liquidity.available(leg, price, displayed)) // lot * lot
            if size:
                plan.append((price, size, displayed))
                need -= size
                if not need:
                    break
        if need and order.order.time_in_force == "FOK":
            return "fok"
        if need and order.kind == "market" and limit is not None and self._beyond(depth, leg, limit):
            code = "protection"
        plan, cut = self._cut(plan)
        best = depth.side(leg).best
        source = Source(depth.session, depth.seq)
        for price, size, displayed in plan:
            market.liquidity.take(leg, price, size, displayed)
            note = "the source gives no size" if displayed == UNKNOWN_SIZE else ""
            if cut:
                note = "random: partial fill"
            slippage = 0 if best is None else share_of(order.order.side, price, best)
            desk.fill(
                order,
                market.definition,
                price,
                size,
                "taker",
                depth.fill_model,
                source=source,
                slippage=slippage,
                note=note,
            )
        if cut:
            return "random"
        if order.done or not order.open:
            return ""
        if code == "no_liquidity" and order.kind == "market" and isinstance(depth, TopOfBook):
            self._slip(order, depth, leg, source)
        return "" if order.done else code

    def _slip(self, order: Working, depth: TopOfBook, leg: Leg, source: Source) -> None:
        """What a quote does not show, one tick worse, where the settings say so."""
        best = depth.side(leg).best
        if best is None or self._market.desk.settings.beyond_quote != "slip":
            return
        price = worse_by(self._market.definition, order.order.side, best, 1)
        limit = self._protection(order, best)
        if limit is not None and (price > limit if order.buys else price < limit):
            return
        self._market.desk.fill(
            order,
            self._market.definition,
            price,
            order.open,
            "taker",
            "quote",
            source=source,
            slippage=share_of(order.order.side, price, best),
            note="beyond the quoted size, one tick worse: no data has shown it",
        )

    def _protection(self, order: Working, best: int | None) -> int | None:
        share = order.order.protection
        if share is None and self._market.desk.settings.protection:
            share = exact_nanos(self._market.desk.settings.protection)
        if share is None or best is None:
            return None
        distance = abs(best) * share // NANO
        return best + distance if order.buys else best - distance

    def _beyond(self, depth: Depth, leg: Leg, limit: int) -> bool:
        sign = depth.side(leg).sign
        return any(price * sign < limit * sign for price in depth.side(leg).sizes)

    def _cut(self, plan: list[tuple[int, int, int]]) -> tuple[list[tuple[int, int, int]], bool]:
        """With the settings' probability only a part of the plan, in whole lots and at least one."""
        desk = self._market.desk
        if not desk.settings.partial_fill or not plan or desk.chance("partial") >= desk.settings.partial_fill:
            return plan, False
        lot = self._market.definition.lot
        total = sum(size for _, size, _ in plan)
        left = max(int(total * desk.chance("partial_share")) // lot * lot, min(lot, total))
        kept: list[tuple[int, int, int]] = []
        for price, size, displayed in plan:
            if left:
                kept.append((price, min(size, left), displayed))
                left -= kept[-1][1]
        return kept, True

    # -- resting orders --------------------------------------------------------------------------------

    def cross(self, depth: Depth) -> None:
        """Fill resting orders that the other side of the book has come to."""
        market = self._market
        for own, other in _BOTH:
            if not market.resting[own]:
                continue
            best = depth.side(other).best
            if best is None:
                continue
            for price in market.reached_by(own, best):
                for name in tuple(market.resting[own].get(price, ())):
                    order = market.orders.get(name)
                    if order is not None:
                        self._crossed(order, price, depth, own, other)

    def _crossed(self, order: Working, price: int, depth: Depth, own: Leg, other: Leg) -> None:
        market = self._market
        strictly = self._through or bool(depth.side(own).sizes.get(price))
        source, lot = Source(depth.session, depth.seq), market.definition.lot
        for level, displayed in _reachable(depth, other, price):
            if strictly and level == price:
                return
            size = min(order.open, market.liquidity.available(other, level, displayed)) // lot * lot
            if size:
                market.liquidity.take(other, level, size, displayed)
                ahead = None if order.place is None else order.place.ahead
                market.desk.fill(order, market.definition, price, size, "maker", "crossed", source=source, ahead=ahead)
            if not order.open:
                return

    def trade(self, trade: Trade, depth: Depth | None) -> int:
        """Fill resting orders that this trade reaches. How much of its size they took."""
        given = 0
        for own, _ in _BOTH:
            # A seller hits bids. Where the venue hides who took, both sides are reached.
            if trade.taker is None or (trade.taker == "sell") == (own == "bid"):
                given = self._reached(trade, own, depth, given)
        return given

    def _reached(self, trade: Trade, own: Leg, depth: Depth | None, given: int) -> int:
        market = self._market
        front = market.front[own]
        if front is None or (front < trade.price if own == "bid" else front > trade.price):
            return given
        source = Source(trade.session, trade.seq, trade.trade_id)
        lot = market.definition.lot
        for price in market.reached_by(own, trade.price):
            for name in tuple(market.resting[own].get(price, ())):
                order = market.orders.get(name)
                if order is None:
                    continue
                ahead = None if order.place is None else order.place.ahead
                if price != trade.price:
                    most, model = min(order.open, trade.size - given), "trade"
                else:
                    most, model = self._behind(order, trade, given, depth)
                size = max(most, 0) // lot * lot
                if size:
                    given += size
                    market.desk.fill(order, market.definition, price, size, "maker", model, source=source, ahead=ahead)
                    market.show_more(order, size)
        return given

    def _behind(self, order: Working, trade: Trade, given: int, depth: Depth | None) -> tuple[int, str]:
        """(how much of a trade at its own price reaches the order, the model that says so)."""
        queue = self._market.queue
        shown = order.shown or order.open
        if depth is None:
            # Trades alone say nothing of queues.
            free = queue.name == "none" or self._market.desk.settings.limit_on == "touch"
            return (min(shown, order.open, trade.size - given) if free else 0), "trade"
        if order.place is None:
            return 0, ""
        left = queue.trade(order.place, trade.size, trade.ts_event)
        if self._through:
            return 0, ""
        return min(shown, order.open, left - given), queue.fill_model


_BOTH: Final[tuple[tuple[Leg, Leg], ...]] = (("bid", "ask"), ("ask", "bid"))


def _reachable(depth: Depth, leg: Leg, limit: int | None) -> Iterator[tuple[int, int]]:
    """(price, displayed size) of a side's levels, best first, not worse for a taker than `limit`."""
    side = depth.side(leg)
    sizes, sign = side.sizes, side.sign
    for price in side.prices():
        if limit is not None and price * sign < limit * sign:
            return
        yield price, sizes[price]
