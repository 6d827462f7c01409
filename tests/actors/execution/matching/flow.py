"""Random order flow: a history of one market that could have happened, and an account that does anything in it."""

from __future__ import annotations

import random
from collections.abc import Iterator
from typing import Any

import msgspec

from protocols.market import BookStale, BookUpdate, MarketStatus, Side, Trade
from tests.actors.execution.matching.kit import bar, book, order, quote, snapshot, trade

Event = tuple[str, Any]
"""("market", message), ("submit", order), ("cancel", id) or ("amend", (id, size, price, stop price))."""


class History:
    """Makes messages whose books never cross. `levels` is what the newest one shows, in cents and units."""

    def __init__(self, rng: random.Random) -> None:
        self.rng = rng
        self.levels: dict[Side, dict[int, int]] = {"bid": {}, "ask": {}}
        self.seq = 0
        self.ts = 0

    def snapshot(self) -> BookUpdate:
        middle = self.rng.randint(95, 105)
        self.levels = {
            "bid": {middle - step: self.rng.randint(1, 9) for step in range(1, 5)},
            "ask": {middle + step: self.rng.randint(1, 9) for step in range(5)},
        }
        changes = [(side, price, size) for side, prices in self.levels.items() for price, size in prices.items()]
        return snapshot(self._next(), *changes, ts=self.ts)

    def update(self) -> BookUpdate:
        changes: dict[tuple[Side, int], int] = {}
        for _ in range(self.rng.randint(1, 3)):
            side: Side = self.rng.choice(("bid", "ask"))
            other = self.levels["ask" if side == "bid" else "bid"]
            price = self.rng.randint(90, 110)
            size = self.rng.choice((0, 0, self.rng.randint(1, 9)))
            if size and any(price >= each if side == "bid" else price <= each for each in other):
                size = 0
            changes[side, price] = size
            if size:
                self.levels[side][price] = size
            else:
                self.levels[side].pop(price, None)
        return book(self._next(), *((side, price, size) for (side, price), size in changes.items()), ts=self.ts)

    def trade(self) -> Trade:
        taker = self.rng.choice(("buy", "sell", None))
        prices = self.levels["ask" if taker == "buy" else "bid"]
        near = sorted(prices, reverse=taker != "buy")[:2] or [100]
        price = self.rng.choice([*near, self.rng.randint(92, 108)])
        return trade(self._next(), price, self.rng.randint(1, 12), taker, ts=self.ts)

    def _next(self) -> int:
        self.seq += 1
        self.ts += self.rng.randint(0, 20)
        return self.seq


def events(seed: int, count: int, *, simple: bool = False) -> Iterator[tuple[int, Event]]:
    """(moment, event), moments never falling. `simple`: books, trades, market and limit orders, cancels."""
    rng = random.Random(seed)
    history = History(rng)
    names: list[str] = []
    paused = False
    yield history.ts, ("market", history.snapshot())
    for _ in range(count):
        drawn = rng.random()
        if drawn < 0.35:
            yield _said(history.update())
        elif drawn < 0.55:
            yield _said(history.trade())
        elif drawn < 0.58:
            yield _said(history.snapshot())
        elif drawn < 0.85:
            for each in _orders(rng, len(names), simple):
                names.append(each.client_order_id)
                yield history.ts, ("submit", each)
        elif drawn < 0.92 or simple:
            yield history.ts, ("cancel", rng.choice([*names, "nobody"]))
        elif drawn < 0.97:
            price = rng.choice((None, rng.randint(92, 108)))
            size = rng.choice((None, rng.randint(1, 12)))
            yield history.ts, ("amend", (rng.choice([*names, "nobody"]), size, price))
        elif drawn < 0.985:
            yield history.ts, ("market", BookStale("M", "f", "gap", history.ts))
            yield _said(history.snapshot())
        else:
            paused = not paused
            phase: Any = "paused" if paused else "active"
            yield history.ts, ("market", MarketStatus("M", phase, "s", history.ts, history.ts))


def _said(message: BookUpdate | Trade) -> tuple[int, Event]:
    return message.ts_recv, ("market", message)


def _orders(rng: random.Random, number: int, simple: bool) -> list[Any]:
    side = rng.choice(("buy", "sell"))
    size = rng.randint(1, 12)
    name = f"o{number}"
    force = rng.choice(("GTC", "GTC", "GTC", "IOC", "FOK"))
    kind = rng.random()
    if kind < 0.25:
        return [order(name, side, size, time_in_force=force)]
    if kind < 0.7 or simple:
        return [order(name, side, size, rng.randint(94, 106), time_in_force=force)]
    if kind < 0.75:
        return [order(name, side, size, rng.randint(94, 106), post_only=True)]
    if kind < 0.8:
        return [order(name, side, size, rng.randint(94, 106), display=rng.randint(1, size))]
    if kind < 0.85:
        return [order(name, side, size, kind="stop", stop_price=rng.randint(94, 106))]
    if kind < 0.88:
        return [order(name, side, size, rng.randint(94, 106), kind="stop_limit", stop_price=rng.randint(94, 106))]
    if kind < 0.92:
        return [order(name, side, size, kind="trailing_stop", trail=rng.randint(1, 5))]
    other = "sell" if side == "buy" else "buy"
    legs = {"parent": name, "oco": f"g{number}"}
    return [
        order(name, side, size, rng.choice((None, rng.randint(94, 106)))),
        order(f"{name}t", other, size, rng.randint(94, 106), **legs),
        order(f"{name}s", other, size, kind="stop", stop_price=rng.randint(94, 106), **legs),
    ]


def quotes(seed: int, count: int) -> Iterator[tuple[int, Event]]:
    """As `events`, of best prices and trades."""
    rng = random.Random(seed)
    middle, ts, made = 100, 0, 0
    for seq in range(1, count):
        ts += rng.randint(0, 20)
        drawn = rng.random()
        if drawn < 0.45:
            middle += rng.choice((-1, 0, 0, 1))
            message = quote(
                seq, middle - rng.randint(0, 2), rng.randint(1, 9), middle + rng.randint(1, 3), rng.randint(1, 9)
            )
            yield ts, ("market", msgspec.structs.replace(message, ts_event=ts, ts_recv=ts))
        elif drawn < 0.65:
            price = middle + rng.randint(-2, 3)
            yield ts, ("market", trade(seq, price, rng.randint(1, 12), rng.choice(("buy", "sell", None)), ts=ts))
        else:
            for each in _orders(rng, made, simple=False):
                made += 1
                yield ts, ("submit", each)


def bars(seed: int, count: int) -> Iterator[tuple[int, Event]]:
    """As `events`, of bars; orders come between them."""
    rng = random.Random(seed)
    price, made = 100, 0
    for index in range(count):
        start = max(price + rng.choice((-3, 0, 0, 0, 3)), 60)
        high, low = start + rng.randint(0, 6), start - rng.randint(0, 6)
        price = rng.randint(low, high)
        message = bar(index, start, high, low, price, volume=str(rng.randint(0, 50)), empty=rng.random() < 0.05)
        yield message.end, ("market", message)
        for _ in range(rng.randint(0, 2)):
            for each in _orders(rng, made, simple=False):
                made += 1
                yield message.end, ("submit", each)
        if rng.random() < 0.3 and made:
            yield message.end, ("cancel", f"o{rng.randrange(made)}")
