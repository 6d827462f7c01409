"""An independent matching core, as simple as it can be: lists, searched from end to end each time. Cents and units.

Books, trades, market and limit orders (GTC, IOC, FOK), cancels; the risk-averse queue; no latency. It shares no code
with what it is compared with, only the rules.
"""

from __future__ import annotations

from typing import Any

from protocols.market import BookUpdate, Trade
from protocols.nanos import NANO

CENT = NANO // 100
Filled = tuple[str, str, int, int, str]


class SlowVenue:
    def __init__(self) -> None:
        self.levels: list[dict[str, Any]] = []
        self.orders: list[dict[str, Any]] = []
        self.told: list[Filled] = []
        self.book_time = 0

    def open(self) -> list[str]:
        return [each["name"] for each in self.orders]

    def do(self, event: tuple[str, Any]) -> list[Filled]:
        self.told = []
        what, content = event
        if isinstance(content, BookUpdate):
            self.book(content)
        elif isinstance(content, Trade):
            self.trade(content)
        elif what == "submit":
            self.submit(content)
        else:
            self.orders = [each for each in self.orders if each["name"] != content]
        self.orders = [each for each in self.orders if each["left"] > 0]
        return self.told

    def level(self, side: str, price: int) -> dict[str, Any]:
        for each in self.levels:
            if (each["side"], each["price"]) == (side, price):
                return each
        made = {"side": side, "price": price, "size": 0, "taken": 0, "prints": []}
        self.levels.append(made)
        return made

    def free(self, level: dict[str, Any]) -> int:
        return max(level["size"] - level["taken"] - sum(size for _, size in level["prints"]), 0)

    def shown(self, side: str) -> list[dict[str, Any]]:
        live = [each for each in self.levels if each["side"] == side and each["size"] > 0]
        return sorted(live, key=lambda each: each["price"], reverse=side == "bid")

    def fill(self, order: dict[str, Any], price: int, size: int, liquidity: str) -> None:
        order["left"] -= size
        self.told.append((order["name"], order["side"], price, size, liquidity))

    # -- the book --------------------------------------------------------------------------------------

    def book(self, update: BookUpdate) -> None:
        news = {(each.side, each.price // CENT): each.size // NANO for each in update.changes}
        if update.snapshot:
            for each in self.levels:
                news.setdefault((each["side"], each["price"]), 0)
        self.book_time = update.ts_event
        for (side, price), size in news.items():
            self.change(self.level(side, price), size)
        for level in self.levels:
            level["prints"] = [each for each in level["prints"] if each[0] >= update.ts_event]
        for order in self.orders:
            if order["ahead"] is None:
                order["ahead"] = self.ahead(order)
        self.cross()

    def change(self, level: dict[str, Any], size: int) -> None:
        before = level["size"]
        if size == before:
            return
        if size < before:
            by_trades = min(before - size, sum(each for _, each in level["prints"]))
            level["taken"] = min(max(level["taken"] - (before - size - by_trades), 0), size)
        level["size"] = size
        level["prints"] = []
        for order in self.orders:
            mine = "bid" if order["side"] == "buy" else "ask"
            if (mine, order["price"]) == (level["side"], level["price"]) and order["ahead"] is not None:
                if size < before:
                    order["undo"] = (order["ahead"], size, self.book_time)
                order["ahead"] = min(order["ahead"], size)

    def ahead(self, order: dict[str, Any]) -> int | None:
        mine = "bid" if order["side"] == "buy" else "ask"
        levels = self.shown(mine)
        for each in levels:
            if each["price"] == order["price"]:
                return int(each["size"])
        if not levels:
            return 0
        last = levels[-1]["price"]
        deeper = order["price"] < last if mine == "bid" else order["price"] > last
        return None if deeper else 0

    def queue(self, side: str) -> list[dict[str, Any]]:
        live = [each for each in self.orders if each["side"] == side and each["left"] > 0]
        return sorted(live, key=lambda each: (-each["price"] if side == "buy" else each["price"], each["number"]))

    def cross(self) -> None:
        for side, mine, other in (("buy", "bid", "ask"), ("sell", "ask", "bid")):
            for order in self.queue(side):
                for level in self.shown(other):
                    better = level["price"] < order["price"] if side == "buy" else level["price"] > order["price"]
                    locked = level["price"] == order["price"] and self.level(mine, order["price"])["size"] == 0
                    size = min(order["left"], self.free(level))
                    if (better or locked) and size:
                        level["taken"] += size
                        self.fill(order, order["price"], size, "maker")

    # -- trades ----------------------------------------------------------------------------------------

    def trade(self, trade: Trade) -> None:
        price, size, given = trade.price // CENT, trade.size // NANO, 0
        for side in ("buy", "sell"):
            if trade.taker == side:
                continue
            for order in self.queue(side):
                through = order["price"] > price if side == "buy" else order["price"] < price
                if through:
                    part = min(order["left"], size - given)
                elif order["price"] == price:
                    part = min(order["left"], self.behind(order, size, trade.ts_event) - given)
                else:
                    continue
                if part > 0:
                    given += part
                    self.fill(order, order["price"], part, "maker")
        self.print(trade, price, size)

    def behind(self, order: dict[str, Any], size: int, ts: int) -> int:
        if order["ahead"] is None:
            return 0
        undo = order.get("undo")
        if undo is not None and 0 < ts <= undo[2]:
            before, shown, at = undo
            order["undo"] = (max(before - size, 0), shown, at)
            order["ahead"] = min(max(before - size, 0), shown)
            return max(size - before, 0)
        left = max(size - order["ahead"], 0)
        order["ahead"] = max(order["ahead"] - size, 0)
        return int(left)

    def print(self, trade: Trade, price: int, size: int) -> None:
        if self.book_time > trade.ts_event > 0:
            return
        asks, bids = self.shown("ask"), self.shown("bid")
        if trade.taker == "buy" or (trade.taker is None and asks and price >= asks[0]["price"]):
            self.level("ask", price)["prints"].append((trade.ts_event, size))
        elif trade.taker == "sell" or (bids and price <= bids[0]["price"]):
            self.level("bid", price)["prints"].append((trade.ts_event, size))

    # -- orders ----------------------------------------------------------------------------------------

    def submit(self, order: Any) -> None:
        made = {
            "name": order.client_order_id,
            "side": order.side,
            "price": None if order.price is None else order.price // CENT,
            "left": order.size // NANO,
            "number": len(self.told) + sum(1 for _ in self.orders) + self.arrivals(),
            "ahead": None,
        }
        plan = []
        need = made["left"]
        for level in self.shown("ask" if order.side == "buy" else "bid"):
            worse = made["price"] is not None and (
                level["price"] > made["price"] if order.side == "buy" else level["price"] < made["price"]
            )
            if not worse and min(need, self.free(level)) > 0:
                plan.append((level, min(need, self.free(level))))
                need -= plan[-1][1]
        if need and order.time_in_force == "FOK":
            return
        for level, size in plan:
            level["taken"] += size
            self.fill(made, level["price"], size, "taker")
        if made["price"] is not None and order.time_in_force == "GTC" and made["left"]:
            made["ahead"] = self.ahead(made)
            self.orders.append(made)

    def arrivals(self) -> int:
        self.arrived = getattr(self, "arrived", 0) + 1000
        return self.arrived
