"""A matching engine for one market: price-time priority, partial fills, removals, pauses, settlement.

Orders stand in one book, of YES where the market is a prediction. Prices and sizes are nanos; a bid at p and an ask at
p meet. It uses neither a clock nor chance: the same calls give the same result.
"""

from __future__ import annotations

from bisect import bisect_left, insort
from typing import Literal

import msgspec

from protocols.market import BookView, Level, LevelChange, MarketPhase, Side
from protocols.nanos import NANO

TimeInForce = Literal["good_till_canceled", "immediate_or_cancel"]


class Fill(msgspec.Struct, frozen=True, gc=False):
    """One meeting of a taker with a resting maker, at the maker's price.

    `taker_side` is that of the YES book.
    """

    trade_id: int
    price: int
    size: int
    maker_order: int
    taker_order: int
    maker: str
    taker: str
    taker_side: Side


class Execution(msgspec.Struct, frozen=True, gc=False):
    """What became of an order: `size` = the sizes of `fills` + `resting` + `cancelled`.

    `changes` are the signed changes of the book in the order in which they happened; the book is never
    crossed between two of them.
    """

    order_id: int
    fills: tuple[Fill, ...]
    changes: tuple[LevelChange, ...]
    resting: int
    cancelled: int


class OrderRefused(Exception):
    """The engine does not take this order or change now; nothing has happened."""


class RestingOrder:
    """An order in the book. `remaining` shrinks; `id` is also its place in time."""

    __slots__ = ("id", "owner", "price", "remaining", "side")

    def __init__(self, id: int, owner: str, side: Side, price: int, remaining: int) -> None:
        self.id = id
        self.owner = owner
        self.side = side
        self.price = price
        self.remaining = remaining


class _Half:
    """Orders of one side by price; keys rise toward the best price, as in `actors.market.book`."""

    __slots__ = ("keys", "queues", "sign", "sizes")

    def __init__(self, sign: int) -> None:
        self.sign = sign
        self.keys: list[int] = []
        # A dict keeps the order of arrival and lets any order leave in constant time.
        self.queues: dict[int, dict[int, RestingOrder]] = {}
        self.sizes: dict[int, int] = {}

    def best(self) -> int | None:
        return self.keys[-1] * self.sign if self.keys else None

    def front(self) -> RestingOrder:
        return next(iter(self.queues[self.keys[-1]].values()))

    def rest(self, order: RestingOrder) -> None:
        key = order.price * self.sign
        if key not in self.queues:
            insort(self.keys, key)
            self.queues[key] = {}
            self.sizes[key] = 0
        self.queues[key][order.id] = order
        self.sizes[key] += order.remaining

    def take(self, order: RestingOrder, size: int) -> None:
        """Remove `size` of a resting order; an order without a rest leaves."""
        key = order.price * self.sign
        order.remaining -= size
        self.sizes[key] -= size
        if order.remaining == 0:
            queue = self.queues[key]
            del queue[order.id]
            if not queue:
                del self.queues[key], self.sizes[key]
                del self.keys[bisect_left(self.keys, key)]

    def levels(self, depth: int) -> tuple[Level, ...]:
        keys = self.keys[-depth:] if depth else self.keys
        return tuple(Level(key * self.sign, self.sizes[key]) for key in reversed(keys))


class MatchingEngine:
    """One market. `tick` and `lot` in nanos; legal prices lie strictly between 0 and `highest`, 1 dollar."""

    def __init__(self, market: str, tick: int = NANO // 100, lot: int = NANO // 100, highest: int = NANO) -> None:
        self.market = market
        self.tick = tick
        self.lot = lot
        self.highest = highest
        self.phase: MarketPhase = "active"
        self.settlement: int | None = None
        self.positions: dict[str, int] = {}
        self._bids = _Half(1)
        self._asks = _Half(-1)
        self._orders: dict[int, RestingOrder] = {}
        self._orders_made = 0
        self._trades_made = 0

    # -- orders ----------------------------------------------------------------------------------------

    def submit(
        self,
        owner: str,
        side: Side,
        price: int,
        size: int,
        time_in_force: TimeInForce = "good_till_canceled",
    ) -> Execution:
        """Match an order and rest what is left (or cancel it, `immediate_or_cancel`).

        An order that would meet one of its own owner stops there, and its rest is cancelled (the venue's
        `taker_at_cross`). Raises OrderRefused in a pause, off the tick or lot, or out of range.
        """
        if self.phase != "active":
            raise OrderRefused(f"{self.market} is {self.phase}")
        if not 0 < price < self.highest or price % self.tick:
            raise OrderRefused(f"{price} is on no tick of {self.market}")
        if size <= 0 or size % self.lot:
            raise OrderRefused(f"{size} is no multiple of the lot of {self.market}")
        self._orders_made += 1
        order = RestingOrder(self._orders_made, owner, side, price, size)
        fills, changes, met_itself = self._match(order)
        cancelled = 0
        if order.remaining and (met_itself or time_in_force == "immediate_or_cancel"):
            cancelled, order.remaining = order.remaining, 0
        if order.remaining:
            self._half(side).rest(order)
            self._orders[order.id] = order
            changes.append(LevelChange(side, price, order.remaining))
        return Execution(order.id, tuple(fills), tuple(changes), order.remaining, cancelled)

    def _match(self, order: RestingOrder) -> tuple[list[Fill], list[LevelChange], bool]:
        fills: list[Fill] = []
        changes: list[LevelChange] = []
        other_side: Side = "ask" if order.side == "bid" else "bid"
        other = self._half(other_side)
        while order.remaining and (best := other.best()) is not None:
            if order.price < best if order.side == "bid" else order.price > best:
                break
            maker = other.front()
            if maker.owner == order.owner:
                return fills, changes, True
            size = min(order.remaining, maker.remaining)
            order.remaining -= size
            other.take(maker, size)
            if maker.remaining == 0:
                del self._orders[maker.id]
            fills.append(self._fill(order, maker, size))
            if changes and changes[-1].price == best:
                changes[-1] = LevelChange(other_side, best, changes[-1].size - size)
            else:
                changes.append(LevelChange(other_side, best, -size))
        return fills, changes, False

    def _fill(self, taker: RestingOrder, maker: RestingOrder, size: int) -> Fill:
        self._trades_made += 1
        signed = size if taker.side == "bid" else -size
        self.positions[taker.owner] = self.positions.get(taker.owner, 0) + signed
        self.positions[maker.owner] = self.positions.get(maker.owner, 0) - signed
        return Fill(
            trade_id=self._trades_made,
            price=maker.price,
            size=size,
            maker_order=maker.id,
            taker_order=taker.id,
            maker=maker.owner,
            taker=taker.owner,
            taker_side=taker.side,
        )

    def cancel(self, order_id: int) -> tuple[LevelChange, ...]:
        """Remove an order, in a pause too. Empty where it is gone already."""
        order = self._orders.get(order_id)
        return () if order is None else self.reduce(order_id, order.remaining)

    def reduce(self, order_id: int, by: int) -> tuple[LevelChange, ...]:
        """Make an order smaller; it keeps its place.

        Empty where it is gone. Raises OrderRefused for a bad `by`.
        """
        order = self._orders.get(order_id)
        if order is None:
            return ()
        if not 0 < by <= order.remaining or by % self.lot:
            raise OrderRefused(f"order {order_id} of {order.remaining} cannot be reduced by {by}")
        self._half(order.side).take(order, by)
        if order.remaining == 0:
            del self._orders[order_id]
        return (LevelChange(order.side, order.price, -by),)

    def order(self, order_id: int) -> RestingOrder | None:
        """A resting order, for reading only."""
        return self._orders.get(order_id)

    def __len__(self) -> int:
        return len(self._orders)

    # -- phases ----------------------------------------------------------------------------------------

    def pause(self) -> None:
        """Take no more orders; cancels go on. Raises OrderRefused unless the market is active."""
        if self.phase != "active":
            raise OrderRefused(f"{self.market} is {self.phase}")
        self.phase = "paused"

    def resume(self) -> None:
        """Trade again. Raises OrderRefused unless the market is paused."""
        if self.phase != "paused":
            raise OrderRefused(f"{self.market} is {self.phase}")
        self.phase = "active"

    def settle(self, value: int) -> tuple[LevelChange, ...]:
        """Cancel every order and pay `value` nanos for one YES contract, 0 to 1 dollar. Final.

        Raises OrderRefused for another value or a market that is settled.
        """
        if self.phase == "settled" or not 0 <= value <= NANO:
            raise OrderRefused(f"{self.market} cannot be settled at {value}")
        changes = tuple(
            LevelChange(side, level.price, -level.size) for side, half in self._halves() for level in half.levels(0)
        )
        self._bids, self._asks = _Half(1), _Half(-1)
        self._orders.clear()
        self.phase = "settled"
        self.settlement = value
        return changes

    # -- looking ---------------------------------------------------------------------------------------

    def best(self) -> tuple[int | None, int | None]:
        """The best bid and the best ask."""
        return self._bids.best(), self._asks.best()

    def view(self, depth: int = 0) -> BookView:
        """The book by levels, as a keeper of it would show it."""
        return BookView(
            market=self.market,
            bids=self._bids.levels(depth),
            asks=self._asks.levels(depth),
            session="",
            seq=0,
            ts_event=0,
            ts_recv=0,
        )

    def _half(self, side: Side) -> _Half:
        return self._bids if side == "bid" else self._asks

    def _halves(self) -> tuple[tuple[Side, _Half], tuple[Side, _Half]]:
        return ("bid", self._bids), ("ask", self._asks)
