"""An exchange for one market: price-time priority between owners, pauses, settlement. There is no other engine here.

Orders stand in one book, of YES where the market is a prediction. Prices and sizes are nanos; a bid at p and an ask at
p meet, at the price of the one that stood there. It uses neither a clock nor chance: the same calls give the same
result, and what ends by time ends when `expire` says what time it is.

Priority: an order that becomes smaller keeps its place; one that gets another price or more size goes to the back of
its queue, as at Kalshi ("Amend order") and Binance ("Order amend keep priority").
"""

from __future__ import annotations

import heapq
from typing import Literal

import msgspec

from actors.execution.matching.exchange_book import Half, RestingOrder
from protocols.market import BookView, LevelChange, MarketPhase, Side
from protocols.nanos import NANO

TimeInForce = Literal["good_till_canceled", "immediate_or_cancel", "fill_or_kill"]
SelfTrade = Literal["taker_at_cross", "maker", "both", "decrement", "none"]
"""What happens where an order would meet one of its own owner. `taker_at_cross`: the rest of the new one is cancelled.
`maker`: the resting one is. `both`. `decrement`: both lose the smaller size, nothing is traded. `none`: they trade."""
Code = Literal["", "ioc", "fok", "self_trade", "expired", "settled", "user"]


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


class Removal(msgspec.Struct, frozen=True, gc=False):
    """A resting order lost `size` without a trade; `left` is what still rests."""

    order_id: int
    owner: str
    side: Side
    price: int
    size: int
    left: int
    code: Code


class Execution(msgspec.Struct, frozen=True, gc=False):
    """What became of an order: `size` = the sizes of `fills` + `resting` + `cancelled`.

    `changes` are the signed changes of the book in the order in which they happened; the book is never
    crossed between two of them. `code`: why `cancelled` was. `removals`: other orders of its owner that self-trade
    prevention took.
    """

    order_id: int
    fills: tuple[Fill, ...]
    changes: tuple[LevelChange, ...]
    resting: int
    cancelled: int
    code: Code = ""
    removals: tuple[Removal, ...] = ()


class OrderRefused(Exception):
    """The exchange does not take this order or change now; nothing has happened. `code` is a stable word."""

    def __init__(self, code: str, message: str) -> None:
        super().__init__(message)
        self.code = code


class MatchingEngine:
    """One market. `tick` and `lot` in nanos; legal prices lie strictly between 0 and `highest`, 1 dollar.

    `ids_for_ever`: a client order id is refused when its owner has used it before; else only while that order rests.
    """

    def __init__(
        self,
        market: str,
        tick: int = NANO // 100,
        lot: int = NANO // 100,
        highest: int = NANO,
        *,
        ids_for_ever: bool = True,
    ) -> None:
        self.market = market
        self.tick = tick
        self.lot = lot
        self.highest = highest
        self.ids_for_ever = ids_for_ever
        self.phase: MarketPhase = "active"
        self.settlement: int | None = None
        self.positions: dict[str, int] = {}
        self._bids = Half(1)
        self._asks = Half(-1)
        self._orders: dict[int, RestingOrder] = {}
        self._client_ids: dict[tuple[str, str], int] = {}
        self._expiries: list[tuple[int, int]] = []
        self._orders_made = 0
        self._trades_made = 0
        self._watched: frozenset[str] = frozenset()
        self._told: list[Fill | Removal] = []

    # -- orders ----------------------------------------------------------------------------------------

    def submit(
        self,
        owner: str,
        side: Side,
        price: int | None,
        size: int,
        time_in_force: TimeInForce = "good_till_canceled",
        *,
        post_only: bool = False,
        expires: int | None = None,
        self_trade: SelfTrade = "taker_at_cross",
        client_order_id: str = "",
    ) -> Execution:
        """Match an order and rest what is left, or cancel it (`immediate_or_cancel`, or price None: at any price).

        `fill_or_kill`: all at once or nothing. `post_only`: refused if it would meet anybody. `expires`: nanoseconds,
        for `expire`. Raises OrderRefused: `paused`, `price`, `size`, `post_only`, `duplicate`, `time_in_force`.
        """
        if self.phase != "active":
            raise OrderRefused("paused", f"{self.market} is {self.phase}")
        if price is None:
            if time_in_force == "good_till_canceled":
                time_in_force = "immediate_or_cancel"
            limit = self.highest if side == "bid" else 0
        else:
            limit = price
            self._check_price(price)
        if size <= 0 or size % self.lot:
            raise OrderRefused("size", f"{size} is no multiple of the lot of {self.market}")
        if (post_only or expires is not None) and time_in_force != "good_till_canceled":
            raise OrderRefused("time_in_force", f"{time_in_force} neither rests nor expires")
        if post_only and self._would_meet(side, limit):
            raise OrderRefused("post_only", f"a {side} at {limit} would meet the other side of {self.market}")
        if client_order_id:
            self._check_client_id(owner, client_order_id)
        self._orders_made += 1
        order = RestingOrder(self._orders_made, owner, side, limit, size, client_order_id, expires)
        if client_order_id:
            self._client_ids[(owner, client_order_id)] = order.id
        if time_in_force == "fill_or_kill" and self._fillable(order, self_trade) < size:
            return Execution(order.id, (), (), 0, size, "fok")
        return self._enter(order, time_in_force, self_trade)

    def _enter(self, order: RestingOrder, time_in_force: TimeInForce, self_trade: SelfTrade) -> Execution:
        fills: list[Fill] = []
        changes: list[LevelChange] = []
        removals: list[Removal] = []
        begun = order.remaining
        met_itself = self._match(order, self_trade, fills, changes, removals)
        cancelled = begun - order.remaining - sum(fill.size for fill in fills)
        code: Code = "self_trade" if cancelled else ""
        if order.remaining and (met_itself or time_in_force != "good_till_canceled"):
            code = "self_trade" if met_itself else "ioc"
            cancelled, order.remaining = cancelled + order.remaining, 0
        if order.remaining:
            self._half(order.side).rest(order)
            self._orders[order.id] = order
            changes.append(LevelChange(order.side, order.price, order.remaining))
            if order.expires is not None:
                heapq.heappush(self._expiries, (order.expires, order.id))
        resting = order.remaining
        return Execution(order.id, tuple(fills), tuple(changes), resting, cancelled, code, tuple(removals))

    def _match(
        self,
        order: RestingOrder,
        self_trade: SelfTrade,
        fills: list[Fill],
        changes: list[LevelChange],
        removals: list[Removal],
    ) -> bool:
        """Meet the other side; whether it ended because it met its own owner."""
        other_side: Side = "ask" if order.side == "bid" else "bid"
        other = self._half(other_side)
        while order.remaining and (best := other.best()) is not None:
            if order.price < best if order.side == "bid" else order.price > best:
                break
            maker = other.front()
            size = min(order.remaining, maker.remaining)
            if maker.owner == order.owner and self_trade != "none":
                if self_trade == "taker_at_cross":
                    return True
                taken = size if self_trade == "decrement" else maker.remaining
                removals.append(self._remove(maker, taken, "self_trade"))
                _add(changes, other_side, best, -taken)
                if self_trade == "both":
                    return True
                if self_trade == "decrement":
                    order.remaining -= size
                continue
            order.remaining -= size
            other.take(maker, size)
            if maker.remaining == 0:
                del self._orders[maker.id]
            fills.append(self._fill(order, maker, size))
            _add(changes, other_side, best, -size)
        return False

    def _fill(self, taker: RestingOrder, maker: RestingOrder, size: int) -> Fill:
        self._trades_made += 1
        signed = size if taker.side == "bid" else -size
        self.positions[taker.owner] = self.positions.get(taker.owner, 0) + signed
        self.positions[maker.owner] = self.positions.get(maker.owner, 0) - signed
        fill = Fill(
            trade_id=self._trades_made,
            price=maker.price,
            size=size,
            maker_order=maker.id,
            taker_order=taker.id,
            maker=maker.owner,
            taker=taker.owner,
            taker_side=taker.side,
        )
        if self._watched and (maker.owner in self._watched or taker.owner in self._watched):
            self._told.append(fill)
        return fill

    def _remove(self, order: RestingOrder, size: int, code: Code) -> Removal:
        """Take `size` out of the book without a trade."""
        self._half(order.side).take(order, size)
        if order.remaining == 0:
            del self._orders[order.id]
        removal = Removal(order.id, order.owner, order.side, order.price, size, order.remaining, code)
        if order.owner in self._watched:
            self._told.append(removal)
        return removal

    def _check_price(self, price: int) -> None:
        if not 0 < price < self.highest or price % self.tick:
            raise OrderRefused("price", f"{price} is on no tick of {self.market}")

    def _check_client_id(self, owner: str, client_order_id: str) -> None:
        used = self._client_ids.get((owner, client_order_id))
        if used is not None and (self.ids_for_ever or used in self._orders):
            raise OrderRefused("duplicate", f"{owner} has used the client order id {client_order_id!r}")

    def _would_meet(self, side: Side, limit: int) -> bool:
        best = self._asks.best() if side == "bid" else self._bids.best()
        return best is not None and (limit >= best if side == "bid" else limit <= best)

    def _fillable(self, order: RestingOrder, self_trade: SelfTrade) -> int:
        """How much of it would be filled now, up to its size."""
        other = self._asks if order.side == "bid" else self._bids
        found = 0
        for key in reversed(other.keys):
            price = key * other.sign
            if found >= order.remaining or (order.price < price if order.side == "bid" else order.price > price):
                break
            for maker in other.queues[key].values():
                if maker.owner == order.owner and self_trade != "none":
                    if self_trade in ("taker_at_cross", "both", "decrement"):
                        return found
                    continue
                found += maker.remaining
        return min(found, order.remaining)

    # -- changes ---------------------------------------------------------------------------------------

    def cancel(self, order_id: int) -> tuple[LevelChange, ...]:
        """Remove an order, in a pause too. Empty where it is gone already."""
        order = self._orders.get(order_id)
        return () if order is None else self.reduce(order_id, order.remaining)

    def reduce(self, order_id: int, by: int) -> tuple[LevelChange, ...]:
        """Make an order smaller, in a pause too; it keeps its place.

        Empty where it is gone. Raises OrderRefused for a bad `by`.
        """
        order = self._orders.get(order_id)
        if order is None:
            return ()
        if not 0 < by <= order.remaining or by % self.lot:
            raise OrderRefused("size", f"order {order_id} of {order.remaining} cannot be reduced by {by}")
        self._remove(order, by, "user")
        return (LevelChange(order.side, order.price, -by),)

    def amend(
        self, order_id: int, price: int, remaining: int, *, self_trade: SelfTrade = "taker_at_cross"
    ) -> Execution | None:
        """Give a resting order another price, or another size that is still to be filled; it keeps its id.

        None where it is gone. At its price and not larger it keeps its place; else it comes anew and may meet others.
        Raises OrderRefused: `paused`, `price`, `size`; the order is as it was then.
        """
        order = self._orders.get(order_id)
        if order is None:
            return None
        if remaining <= 0 or remaining % self.lot:
            raise OrderRefused("size", f"{remaining} is no multiple of the lot of {self.market}")
        if price == order.price and remaining <= order.remaining:
            by = order.remaining - remaining
            changes = self.reduce(order_id, by) if by else ()
            return Execution(order_id, (), changes, remaining, 0)
        if self.phase != "active":
            raise OrderRefused("paused", f"{self.market} is {self.phase}")
        self._check_price(price)
        gone = LevelChange(order.side, order.price, -order.remaining)
        half = self._half(order.side)
        half.take(order, order.remaining)
        del self._orders[order_id]
        order.price, order.remaining = price, remaining
        execution = self._enter(order, "good_till_canceled", self_trade)
        return msgspec.structs.replace(execution, changes=(gone, *execution.changes))

    def expire(self, ts: int) -> tuple[Removal, ...]:
        """Remove the orders whose time is up at `ts` nanoseconds, the earliest first. `changes_of` says what the book
        lost."""
        gone: list[Removal] = []
        while self._expiries and self._expiries[0][0] <= ts:
            due, order_id = heapq.heappop(self._expiries)
            order = self._orders.get(order_id)
            if order is not None and order.expires == due:
                gone.append(self._remove(order, order.remaining, "expired"))
        return tuple(gone)

    def next_expiry(self) -> int | None:
        """When `expire` has something to do, at the earliest."""
        return self._expiries[0][0] if self._expiries else None

    # -- looking after owners --------------------------------------------------------------------------

    def watch(self, *owners: str) -> None:
        """Keep the fills and removals of these owners for `take_watched`, whoever caused them."""
        self._watched |= set(owners)

    def take_watched(self) -> list[Fill | Removal]:
        """What has happened to watched owners' orders since the last call, in order."""
        told, self._told = self._told, []
        return told

    def order(self, order_id: int) -> RestingOrder | None:
        """A resting order, for reading only."""
        return self._orders.get(order_id)

    def __len__(self) -> int:
        return len(self._orders)

    # -- phases ----------------------------------------------------------------------------------------

    def pause(self) -> None:
        """Take no more orders; cancels go on. Raises OrderRefused unless the market is active."""
        if self.phase != "active":
            raise OrderRefused("paused", f"{self.market} is {self.phase}")
        self.phase = "paused"

    def resume(self) -> None:
        """Trade again. Raises OrderRefused unless the market is paused."""
        if self.phase != "paused":
            raise OrderRefused("phase", f"{self.market} is {self.phase}")
        self.phase = "active"

    def settle(self, value: int) -> tuple[LevelChange, ...]:
        """Cancel every order and pay `value` nanos for one YES contract, 0 to 1 dollar. Final.

        Raises OrderRefused for another value or a market that is settled.
        """
        if self.phase == "settled" or not 0 <= value <= NANO:
            raise OrderRefused("settlement", f"{self.market} cannot be settled at {value}")
        changes = tuple(
            LevelChange(side, level.price, -level.size) for side, half in self._halves() for level in half.levels(0)
        )
        for order in self._orders.values():
            if order.owner in self._watched:
                self._told.append(
                    Removal(order.id, order.owner, order.side, order.price, order.remaining, 0, "settled")
                )
        self._bids, self._asks = Half(1), Half(-1)
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

    def _half(self, side: Side) -> Half:
        return self._bids if side == "bid" else self._asks

    def _halves(self) -> tuple[tuple[Side, Half], tuple[Side, Half]]:
        return ("bid", self._bids), ("ask", self._asks)


def changes_of(removals: tuple[Removal, ...]) -> tuple[LevelChange, ...]:
    """What the book lost by them."""
    return tuple(LevelChange(each.side, each.price, -each.size) for each in removals)


def _add(changes: list[LevelChange], side: Side, price: int, size: int) -> None:
    """One more signed change; several of one level in a row are one."""
    if changes and (changes[-1].side, changes[-1].price) == (side, price):
        changes[-1] = LevelChange(side, price, changes[-1].size + size)
    else:
        changes.append(LevelChange(side, price, size))
