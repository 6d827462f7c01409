"""What is known of signals and their outcomes: which are followed, which learners still have to be told. A core.

    watched ──> resolved    by the market, or by a trade of the runtime
       └──────> trade       told from outside
       └──────> closed      it was traded by the runtime: its outcome is a row of its own, later

One signal of one user teaches once, whatever comes twice; one trade counts once.
"""

from __future__ import annotations

import heapq
from collections import deque
from itertools import islice
from typing import Final

from protocols.threshold_outcomes import IntakeRow

REMEMBERED: Final = 100_000
"""Signals and trades of which is known without asking the database that they are done."""
Key = tuple[str, str]
"""User and signal, or user and trade."""


class Remembered:
    """The newest keys, at most `most`; `all`: none was ever forgotten."""

    __slots__ = ("_keys", "all", "most")

    def __init__(self, most: int = REMEMBERED) -> None:
        self.most = most
        self.all = True
        self._keys: dict[Key, int] = {}

    def add(self, key: Key, seq: int) -> int:
        """Remember where it is; returns where it was first."""
        if key in self._keys:
            return self._keys[key]
        self._keys[key] = seq
        if len(self._keys) > self.most:
            del self._keys[next(iter(self._keys))]
            self.all = False
        return seq

    def get(self, key: Key) -> int | None:
        """Where it was first."""
        return self._keys.get(key)

    def __contains__(self, key: Key) -> bool:
        return key in self._keys


class Ledger:
    """The state of the keeper; rows come in the order of their places."""

    def __init__(self) -> None:
        self.open: dict[Key, IntakeRow] = {}
        self.done = Remembered()
        self.trades = Remembered()
        self.poor: dict[Key, bool] = {}
        """By user and symbol."""
        self.untold: dict[str, deque[IntakeRow]] = {}
        self.told = 0
        self.last = 0
        self._due: list[tuple[int, int, Key]] = []

    def take(self, row: IntakeRow) -> None:
        """Take in a row that is stored."""
        self.last = max(self.last, row.seq)
        key = (row.user_id, row.signal_id)
        if row.kind == "watched":
            self.open[key] = row
            heapq.heappush(self._due, (row.ts_due, row.seq, key))
        elif row.kind in ("poor", "recovered"):
            self.poor[row.user_id, row.symbol] = row.kind == "poor"
            if row.kind == "poor":
                self._owe(row)
        elif row.kind == "closed":
            self.open.pop(key, None)
        else:
            again = False
            if row.kind == "trade":
                again = self.trades.add((row.user_id, row.trade_id), row.seq) < row.seq
            if row.signal_id:
                self.open.pop(key, None)
                again = self.done.add(key, row.seq) < row.seq or again
            if teaches(row) and not again:
                self._owe(row)

    def _owe(self, row: IntakeRow) -> None:
        if row.seq > self.told:
            self.untold.setdefault(row.user_id, deque()).append(row)

    def has_told(self, row: IntakeRow) -> None:
        """The learner has it, or is not to have it; `row` is the oldest of its user."""
        waiting = self.untold.get(row.user_id)
        if waiting and waiting[0].seq == row.seq:
            waiting.popleft()
            if not waiting:
                del self.untold[row.user_id]

    def heads(self, most: int) -> list[IntakeRow]:
        """The oldest that has to be told of each user, of so many users."""
        return [waiting[0] for waiting in islice(self.untold.values(), most)]

    def put_off(self, user: str) -> None:
        """The learner could not be told: the others come first."""
        self.untold[user] = self.untold.pop(user)

    @property
    def told_up_to(self) -> int:
        """Everything up to this place was told."""
        oldest = min((waiting[0].seq for waiting in self.untold.values()), default=self.last + 1)
        return oldest - 1

    @property
    def waiting(self) -> int:
        """How many outcomes were not told yet."""
        return sum(map(len, self.untold.values()))

    def due(self, now: int, most: int) -> list[IntakeRow]:
        """The followed signals that are over, the oldest first; each is given once, `put_back` gives it again."""
        found: list[IntakeRow] = []
        while self._due and self._due[0][0] <= now and len(found) < most:
            _, seq, key = heapq.heappop(self._due)
            row = self.open.get(key)
            if row is not None and row.seq == seq:
                found.append(row)
        return found

    def put_back(self, row: IntakeRow) -> None:
        """It could not be found out yet."""
        heapq.heappush(self._due, (row.ts_due, row.seq, (row.user_id, row.signal_id)))

    def knows(self, key: Key) -> bool:
        """Whether the signal is followed, or was."""
        return key in self.open or key in self.done


def teaches(row: IntakeRow) -> bool:
    """Whether a learner is to be told: something of the signal behind it is known."""
    fields = (row.confidence, row.rsi, row.macd, row.change_percent, row.volume)
    return row.kind in ("resolved", "trade") and row.action in ("BUY", "SELL") and any(x is not None for x in fields)
