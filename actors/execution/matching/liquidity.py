"""What of a market's displayed sizes can still be taken. History does not change: a fill leaves the book as it is.

Of a level three things are kept beside its displayed size: what we took of it, trades that it does not show yet, and
the size at which we saw it last. Available is the rest.

A level that shrinks forgets as much of what we took as it has shrunk without a trade: those who left may be those whose
size we took. What a trade took was there beside ours and explains nothing. A level that grows has new size. So what can
be taken grows only by what was newly displayed, and nothing is taken twice.
"""

from __future__ import annotations

import msgspec

from protocols.market import Side as Leg


class Print(msgspec.Struct):
    """A trade that the level it took from does not show yet."""

    leg: Leg
    price: int
    size: int
    ts_event: int


class Liquidity:
    """One market's. Sizes in nanos; legs are those of the book, a buyer takes from `ask`."""

    __slots__ = ("consumed", "prints", "seen")

    def __init__(self) -> None:
        self.consumed: dict[Leg, dict[int, int]] = {"bid": {}, "ask": {}}
        self.seen: dict[Leg, dict[int, int]] = {"bid": {}, "ask": {}}
        """The last displayed size of the levels that matter to us."""
        self.prints: list[Print] = []

    def __bool__(self) -> bool:
        """Whether anything is to be followed."""
        return bool(self.prints or self.consumed["bid"] or self.consumed["ask"])

    def available(self, leg: Leg, price: int, displayed: int) -> int:
        """What can be taken of a level that shows this size."""
        left = displayed - self.consumed[leg].get(price, 0)
        if self.prints:
            left -= self.printed(leg, price)
        return max(left, 0)

    def take(self, leg: Leg, price: int, size: int, displayed: int) -> None:
        """We took `size` of a level that shows `displayed`."""
        taken = self.consumed[leg]
        taken[price] = taken.get(price, 0) + size
        self.seen[leg][price] = displayed

    def printed(self, leg: Leg, price: int) -> int:
        """Trades that this level does not show yet."""
        return sum(each.size for each in self.prints if each.price == price and each.leg == leg)

    def traded(self, leg: Leg, price: int, size: int, ts_event: int, displayed: int) -> None:
        """A trade took `size` of a level that shows `displayed`, and does not show the trade."""
        self.prints.append(Print(leg, price, size, ts_event))
        self.seen[leg][price] = displayed

    def changed(self, leg: Leg, price: int, displayed: int) -> int:
        """A level that we follow shows `displayed` now. Returns what it showed before."""
        before = self.seen[leg][price]
        self.seen[leg][price] = displayed
        taken = self.consumed[leg].get(price, 0)
        if displayed < before:
            gone = before - displayed
            if taken:
                unexplained = gone - min(gone, self.printed(leg, price))
                taken = min(max(taken - unexplained, 0), displayed)
                if taken:
                    self.consumed[leg][price] = taken
                else:
                    del self.consumed[leg][price]
        if displayed != before and self.prints:
            self.prints = [each for each in self.prints if each.price != price or each.leg != leg]
        return before

    def caught_up(self, ts_event: int) -> None:
        """The whole book is as of `ts_event` now (0: the venue does not say): it shows every older trade."""
        self.prints = [each for each in self.prints if 0 < ts_event <= each.ts_event]

    def forget(self, leg: Leg, price: int) -> None:
        """A level is gone for good."""
        self.consumed[leg].pop(price, None)
        self.seen[leg].pop(price, None)

    def prune(self, resting: dict[Leg, dict[int, list[str]]]) -> None:
        """Follow only levels of which something is kept, or where an order rests."""
        for leg, seen in self.seen.items():
            if not seen:
                continue
            kept = self.consumed[leg]
            rests = resting[leg]
            for price in [price for price in seen if price not in kept and price not in rests]:
                if not self.printed(leg, price):
                    del seen[price]
