"""What of a market's displayed sizes can still be taken. History does not change: a fill leaves the book as it is.

Of a level three things are kept beside its displayed size: what we took of it, trades that it does not show yet, and
the size at which we saw it last. Available is the rest.

A level that shrinks forgets as much of what we took as it has shrunk without a trade: those who left may be those whose
size we took. What a trade took was there beside ours and explains nothing. A level that grows has new size. So what can
be taken grows only by what was newly displayed, and nothing is taken twice.
"""

from __future__ import annotations

from operator import neg

from sortedcontainers import SortedDict

from protocols.market import Side as Leg

Print = tuple[int, int]
"""A trade that the level it took from does not show yet: the venue's time of it, and its size."""


class Liquidity:
    """One market's. Sizes in nanos; legs are those of the book, a buyer takes from `ask`."""

    __slots__ = ("consumed", "prints", "seen")

    def __init__(self) -> None:
        self.consumed: dict[Leg, dict[int, int]] = {"bid": {}, "ask": {}}
        self.seen: dict[Leg, SortedDict[int, int]] = {"bid": SortedDict(neg), "ask": SortedDict()}
        """The last displayed size of the levels that matter to us, best price first."""
        self.prints: dict[Leg, dict[int, list[Print]]] = {"bid": {}, "ask": {}}

    def __bool__(self) -> bool:
        """Whether anything is to be followed."""
        return bool(self.prints["bid"] or self.prints["ask"] or self.consumed["bid"] or self.consumed["ask"])

    @property
    def waits(self) -> bool:
        """Whether there are trades that the levels do not show yet."""
        return bool(self.prints["bid"] or self.prints["ask"])

    def available(self, leg: Leg, price: int, displayed: int) -> int:
        """What can be taken of a level that shows this size."""
        left = displayed - self.consumed[leg].get(price, 0)
        if price in self.prints[leg]:
            left -= self.printed(leg, price)
        return max(left, 0)

    def take(self, leg: Leg, price: int, size: int, displayed: int) -> None:
        """We took `size` of a level that shows `displayed`."""
        taken = self.consumed[leg]
        taken[price] = taken.get(price, 0) + size
        self.seen[leg][price] = displayed

    def printed(self, leg: Leg, price: int) -> int:
        """Trades that this level does not show yet."""
        return sum(size for _, size in self.prints[leg].get(price, ()))

    def traded(self, leg: Leg, price: int, size: int, ts_event: int, displayed: int) -> None:
        """A trade took `size` of a level that shows `displayed`, and does not show the trade."""
        self.prints[leg].setdefault(price, []).append((ts_event, size))
        self.seen[leg][price] = displayed

    def changed(self, leg: Leg, price: int, displayed: int) -> int:
        """A level that we follow shows `displayed` now. Returns what it showed before."""
        before: int = self.seen[leg][price]
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
        if displayed != before:
            self.prints[leg].pop(price, None)
        return before

    def caught_up(self, ts_event: int) -> None:
        """The whole book is as of `ts_event` now (0: the venue does not say): it shows every older trade."""
        for prints in self.prints.values():
            for price, trades in list(prints.items()):
                left = [each for each in trades if 0 < ts_event <= each[0]]
                if left:
                    prints[price] = left
                else:
                    del prints[price]

    def forget(self, leg: Leg, price: int) -> None:
        """A level is gone for good."""
        self.consumed[leg].pop(price, None)
        self.seen[leg].pop(price, None)

    def prune(self, resting: dict[Leg, dict[int, list[str]]], *, thoroughly: bool = False) -> None:
        """Follow only levels of which something is kept, or where an order rests."""
        for leg, seen in self.seen.items():
            # Levels may count twice here: then something is left for the next time. So it is where many rest: a look
            # at all of them is worth it only when there is much to forget.
            most = len(resting[leg]) * 3 // 2 + len(self.consumed[leg]) + len(self.prints[leg])
            if not thoroughly and len(seen) <= most:
                continue
            kept, prints, rests = self.consumed[leg], self.prints[leg], resting[leg]
            for price in [each for each in seen if each not in kept and each not in prints and each not in rests]:
                del seen[price]
