"""How far the venue's clock is from ours, learnt from its answers. No clock of its own.

A signature carries a time, and a venue refuses one that is seconds off. HTTP's `Date` is cut to whole seconds, so an
answer that was asked for at `sent` and came at `received` bounds the offset (venue minus us): it lies between
`date - received` and `date + 1 s - sent`. Intersecting the bounds of several answers narrows it; bounds that exclude
each other mean that a clock was set, and the latest one counts. Where 0 is possible, our clock is as good as theirs.
"""

from __future__ import annotations

from email.utils import parsedate_to_datetime
from typing import Final

SECOND: Final = 1_000_000_000


class VenueClock:
    """Offset in nanoseconds, 0 until an answer says otherwise."""

    def __init__(self) -> None:
        self.offset = 0
        self.observed = 0
        self._low: int | None = None
        self._high: int | None = None

    def observe(self, date: str, sent: int, received: int) -> None:
        """Learn from an answer's `Date` header; one that is no date is left out. Times in wall nanoseconds."""
        try:
            at = round(parsedate_to_datetime(date).timestamp()) * SECOND
        except ValueError:
            return
        self.bound(at - received, at + SECOND - sent)

    def bound(self, low: int, high: int) -> None:
        """Learn that the offset lies between these, from an answer that says the time more finely."""
        self.observed += 1
        if self._low is not None and self._high is not None and low <= self._high and high >= self._low:
            low, high = max(low, self._low), min(high, self._high)
        self._low, self._high = low, high
        self.offset = 0 if low <= 0 <= high else (low + high) // 2
