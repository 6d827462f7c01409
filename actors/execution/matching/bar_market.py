"""Matching inside bars, where four prices stand for everything that happened.

* An order takes part in the bars that begin at or after its arrival.
* At the open: a market order is filled at it; a stop that it gapped through is filled at it; a limit that it is better
  than is filled at it.
* Then the path: open, the nearer of high and low, the other one, close (both as near: the low first); `pessimistic`:
  first the one that triggers the stops that wait here (sell stops: the low). A stop that the path moves through is
  filled at its price, a limit at its own; a stop-limit becomes a limit where it is triggered. Where `limit_on` is
  "through", a price that only touches a limit does not fill it.
* Orders that take what they get (market, triggered stop) slip by the settings' model, rounded against their owner.
* Two orders of one `oco` group that the rest of the bar would both fill: the stop is taken, and the fill is marked
  ambiguous. Without a stop among them the path decides, marked too.
* A child of a parent that fills inside the path: its stop is filled if the bar reaches it at all, its limit only if the
  close is beyond it (or the path is already: then at the path's price). At the open a child takes part as any order.
* `participation`: no more than this share of the bar's volume is filled; the rest goes on in the next bar.
* An empty bar (nothing was traded) fills nobody.

The venue's time of a fill is the bar's start at the open, and its end (when it is known at the latest) on the path.
"""

from __future__ import annotations

from itertools import pairwise
from typing import TYPE_CHECKING

from actors.execution.matching.desk import Source
from actors.execution.matching.slippage import most_of, share_of, slipped
from actors.execution.matching.working import Working
from protocols.market import Bar
from protocols.nanos import NANO, exact_nanos, scaled

if TYPE_CHECKING:
    from actors.execution.matching.standing import StandingOrders


class BarMatcher:
    """Fills the orders of one market from its bars."""

    def __init__(self, market: StandingOrders) -> None:
        self._market = market
        self._bar: Bar
        self._reference: int | None = None
        self._volume = 0
        self._left: int | None = None
        self._active: list[Working] = []
        """Orders that take part in the path, children that came inside of it left out."""
        self._barred: set[str] = set()
        self._unclear: set[str] = set()

    def run(self, bar: Bar, orders: tuple[Working, ...]) -> None:
        """Fill what this bar fills of these orders. The mark still says what was known before the bar."""
        market = self._market
        self._bar = bar
        # What protects market orders looks at what was known when they were sent, what begins to trail at the open.
        self._reference = market.mark.last
        market.mark.last = bar.open
        self._volume = scaled(bar.volume)[0] if bar.volume else 0
        self._left = most_of(market.desk.settings.slippage, self._volume, market.definition.lot)
        self._active = [order for order in orders if order.arrived <= bar.start]
        self._barred.clear()
        self._unclear.clear()
        self._at_open()
        self._judge_groups()
        points = self._points()
        for index, (start, end) in enumerate(pairwise(points)):
            self._segment(start, end, points[index + 2 :])
        for order in self._active:
            order.bars += 1

    # -- the open --------------------------------------------------------------------------------------

    def _at_open(self) -> None:
        index = 0
        while index < len(self._active):
            order = self._active[index]
            index += 1
            if not order.done and order.state != "held":
                self._open(order)
            self._active.extend(self._released())

    def _open(self, order: Working) -> None:
        price = self._bar.open
        stop = self._market.triggers.stops.get(order.name)
        if stop is not None:
            if not stop.reached(price):
                if stop.trails:
                    stop.follow(price)
                return
            self._trigger(order)
        if order.kind == "market":
            if self._protected(order, price):
                self._market.desk.cancel(order, "protection", "the bar opened beyond it")
                return
            self._take(order, price, "bar:open", at_open=True)
        elif order.price is not None and self._better(order, price):
            first = order.bars == 0
            if first and order.order.post_only and stop is None:
                self._market.desk.cancel(order, "post_only", "it would have taken at the open")
                return
            self._give(order, price, "taker" if first else "maker", at_open=True)
        if order.immediate and not order.done and order.open:
            self._end_immediate(order)

    def _end_immediate(self, order: Working) -> None:
        force = order.order.time_in_force
        if force in ("IOC", "FOK"):
            self._market.desk.cancel(order, force.lower())

    def _better(self, order: Working, price: int) -> bool:
        limit = order.price
        if limit is None:
            return False
        if price == limit:
            return self._touch
        return price < limit if order.buys else price > limit

    def _protected(self, order: Working, price: int) -> bool:
        share = order.order.protection
        settings = self._market.desk.settings
        if share is None and settings.protection:
            share = exact_nanos(settings.protection)
        reference = self._reference
        if share is None or reference is None:
            return False
        distance = abs(reference) * share // NANO
        return price > reference + distance if order.buys else price < reference - distance

    # -- the path --------------------------------------------------------------------------------------

    def _points(self) -> tuple[int, int, int, int]:
        bar = self._bar
        low_first = bar.high - bar.open >= bar.open - bar.low
        if self._market.desk.settings.path == "pessimistic":
            sides = {
                stop.side
                for name, stop in self._market.triggers.stops.items()
                if any(order.name == name for order in self._active)
            }
            if len(sides) == 1:
                low_first = "sell" in sides
        first, second = (bar.low, bar.high) if low_first else (bar.high, bar.low)
        return bar.open, first, second, bar.close

    def _segment(self, start: int, end: int, later: tuple[int, ...]) -> None:
        """The path from one point to the next; `later` are the points behind `end`."""
        at = start
        up = end >= start
        while True:
            hits = [
                (price if up else -price, order.number, order)
                for order in self._active
                if (price := self._hit(order, at, end)) is not None
            ]
            if not hits:
                break
            key, _, order = min(hits, key=lambda each: each[:2])
            at = key if up else -key
            self._path_fill(order, at)
            children = self._released()
            self._active.extend(children)
            self._barred.update(child.name for child in children)
            self._children(children, (end, *later), at)
        for stop in self._market.triggers.stops.values():
            if stop.trails and stop.client_order_id not in self._barred:
                stop.follow(end)

    def _hit(self, order: Working, at: int, end: int) -> int | None:
        """The price between `at` and `end` at which the path fills or triggers this order."""
        if order.done or not order.open or order.name in self._barred or self._left == 0:
            return None
        up = end >= at
        stop = self._market.triggers.stops.get(order.name)
        if stop is not None:
            if stop.stop is None or order.buys != up:
                return None
            inside = at < stop.stop <= end if up else end <= stop.stop < at
            return stop.stop if inside else None
        limit = order.price
        if order.kind != "limit" or limit is None or order.buys == up:
            return None
        beyond = end > limit if up else end < limit
        if not beyond and not (self._touch and end == limit):
            return None
        return max(limit, at) if up else min(limit, at)

    def _path_fill(self, order: Working, price: int) -> None:
        self._fill_at(order, price)
        if not order.done and order.open and order.immediate:
            self._end_immediate(order)

    def _fill_at(self, order: Working, price: int) -> None:
        unclear = order.name in self._unclear
        if order.name not in self._market.triggers.stops:
            # Better than its own price where more of it became open behind the path's coming there.
            self._give(order, price, "maker" if price == order.price else "taker", ambiguous=unclear)
            return
        self._trigger(order)
        if order.kind == "market":
            self._take(order, price, "bar:path", ambiguous=unclear)
        elif order.price is not None and (order.price >= price if order.buys else order.price <= price):
            self._give(order, price, "taker", ambiguous=unclear)

    def _trigger(self, order: Working) -> None:
        self._market.triggers.remove(order.name)
        self._market.desk.triggered(order)

    # -- what four prices do not say -------------------------------------------------------------------

    def _judge_groups(self) -> None:
        """Of a group's orders that the rest of the bar would fill, the stop alone takes part."""
        groups: dict[str, list[Working]] = {}
        for order in self._active:
            if order.order.oco and not order.done and order.open and self._in_range(order):
                groups.setdefault(order.order.oco, []).append(order)
        for orders in groups.values():
            if len(orders) < 2:
                continue
            self._market.desk.count.ambiguous += 1
            stops = [order for order in orders if order.name in self._market.triggers.stops]
            self._unclear.update(order.name for order in orders)
            if stops:
                self._barred.update(order.name for order in orders if order is not stops[0])

    def _in_range(self, order: Working) -> bool:
        bar = self._bar
        stop = self._market.triggers.stops.get(order.name)
        if stop is not None:
            if stop.stop is None:
                return False
            return bar.high >= stop.stop if order.buys else bar.low <= stop.stop
        if order.kind != "limit" or order.price is None:
            return False
        end = bar.low if order.buys else bar.high
        if end == order.price:
            return self._touch
        return (end < order.price) == order.buys

    def _children(self, children: list[Working], rest: tuple[int, ...], at: int) -> None:
        """Children of what was filled on the path at `at`: stops if the bar reaches them, limits by the close."""
        market = self._market
        for order in sorted(children, key=lambda each: each.name not in market.triggers.stops):
            if order.done or not order.open:
                continue
            stop = market.triggers.stops.get(order.name)
            if stop is None:
                self._limit_child(order, at)
                continue
            if stop.trails:
                stop.stop = order.order.stop_price
                stop.follow(at)
            if stop.stop is None or not self._in_range(order):
                continue
            reached = stop.reached(at)
            certain = reached or any(stop.reached(price) for price in rest)
            if not certain:
                market.desk.count.ambiguous += 1
            price = at if reached else stop.stop
            self._trigger(order)
            if order.kind == "market":
                self._take(order, price, "bar:path", ambiguous=not certain)
            elif order.price is not None and (order.price >= price if order.buys else order.price <= price):
                self._give(order, price, "taker", ambiguous=not certain)

    def _limit_child(self, order: Working, at: int) -> None:
        if order.kind != "limit" or order.price is None:
            return
        if self._better(order, at):
            if order.order.post_only:
                self._market.desk.cancel(order, "post_only", "it would have taken")
            else:
                self._give(order, at, "taker")
        elif self._better(order, self._bar.close):
            self._give(order, order.price, "maker")
        if not order.done and order.immediate:
            self._end_immediate(order)

    def _released(self) -> list[Working]:
        """Children that may go to work now. They stand in the market from here on."""
        desk = self._market.desk
        children: list[Working] = []
        others: list[str] = []
        while desk.released:
            name = desk.released.pop(0)
            order = desk.working.get(name)
            if order is None:
                continue
            if order.order.market != self._market.market:
                others.append(name)
                continue
            if order.state != "held":
                # A market order with more to do: the next open is its.
                continue
            order.arrived = self._bar.start
            self._market.arrive(order)
            children.append(order)
        desk.released.extend(others)
        return children

    # -- fills -----------------------------------------------------------------------------------------

    @property
    def _touch(self) -> bool:
        return self._market.desk.settings.limit_on == "touch"

    def _take(self, order: Working, price: int, model: str, *, at_open: bool = False, ambiguous: bool = False) -> None:
        """Fill an order that takes what it gets: it slips."""
        market = self._market
        size = self._size(order)
        if not size:
            return
        at = slipped(market.desk.settings.slippage, market.definition, order.order.side, price, size, self._volume)
        slippage = share_of(order.order.side, at, price)
        self._fill(order, at, size, "taker", model, at_open, slippage, ambiguous)

    def _give(
        self, order: Working, price: int, liquidity: str, *, at_open: bool = False, ambiguous: bool = False
    ) -> None:
        """Fill a limit order: it does not slip."""
        size = self._size(order)
        if size:
            model = "bar:open" if at_open else "bar:path"
            self._fill(order, price, size, liquidity, model, at_open, 0, ambiguous)

    def _size(self, order: Working) -> int:
        most = order.open if self._left is None else min(order.open, self._left)
        return 0 if order.order.time_in_force == "FOK" and most < order.open else most

    def _fill(
        self,
        order: Working,
        price: int,
        size: int,
        liquidity: str,
        model: str,
        at_open: bool,
        slippage: int,
        ambiguous: bool,
    ) -> None:
        if self._left is not None:
            self._left -= size
        bar = self._bar
        self._market.desk.fill(
            order,
            self._market.definition,
            price,
            size,
            "maker" if liquidity == "maker" else "taker",
            model,
            ts=bar.start if at_open else bar.end,
            source=Source(session=bar.interval, seq=bar.start),
            slippage=slippage,
            ambiguous=ambiguous,
        )
