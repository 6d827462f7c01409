"""How many orders were let through lately."""

from __future__ import annotations

from collections import deque
from typing import Final

from protocols.nanos import NANO

SECOND: Final = NANO
MINUTE: Final = 60 * NANO


class OrderRate:
    """The moments of the last minute's orders; any second or minute is (ts - span, ts]."""

    __slots__ = ("moments",)

    def __init__(self, moments: tuple[int, ...] = ()) -> None:
        self.moments = deque(moments)

    def within(self, span: int, ts: int) -> int:
        """Orders in (ts - span, ts]."""
        count = 0
        for moment in reversed(self.moments):
            if moment <= ts - span:
                break
            count += 1
        return count

    def add(self, ts: int) -> None:
        """One more; what is older than a minute is forgotten."""
        moments = self.moments
        moments.append(ts)
        while moments[0] <= ts - MINUTE:
            moments.popleft()
