"""What a circuit breaker remembers of the calls: the last n outcomes, or those of the last seconds."""

from __future__ import annotations

import math

import msgspec

SECOND = 1_000_000_000


class Count(msgspec.Struct, frozen=True, forbid_unknown_fields=True, tag="count"):
    """The window holds the last `calls` outcomes."""

    calls: int = 100

    def __post_init__(self) -> None:
        if self.calls < 1:
            raise ValueError(f"window calls must be at least 1, not {self.calls}")


class Seconds(msgspec.Struct, frozen=True, forbid_unknown_fields=True, tag="seconds"):
    """The window holds the outcomes of the last `seconds`, in 10 to 60 slices that expire one after the
    other."""

    seconds: float = 60.0

    def __post_init__(self) -> None:
        if not 0 < self.seconds < math.inf:
            raise ValueError(f"window seconds must be above 0, not {self.seconds}")


class CountWindow:
    """The last n outcomes, as a ring of bit pairs (1 failed, 2 slow) with running sums."""

    __slots__ = ("_next", "_ring", "calls", "failures", "size", "slow")

    def __init__(self, size: int) -> None:
        self.size = size
        self.calls = self.failures = self.slow = 0
        self._ring = bytearray(size)
        self._next = 0

    def add(self, now: int, failed: bool, slow: bool) -> None:
        """Record an outcome; the oldest leaves when the ring is full."""
        del now
        old = self._ring[self._next]
        self.failures += failed - (old & 1)
        self.slow += slow - (old >> 1)
        self.calls = min(self.calls + 1, self.size)
        self._ring[self._next] = failed | slow << 1
        self._next = (self._next + 1) % self.size

    def expire(self, now: int) -> None:
        """Outcomes leave by count alone."""


class TimeWindow:
    """Outcomes of the last seconds in a ring of slices; a slice expires as a whole."""

    __slots__ = ("_head", "_ring", "_width", "calls", "failures", "size", "slow")

    def __init__(self, seconds: float, now: int) -> None:
        slices = min(60, max(10, math.ceil(seconds)))
        self.size = math.inf
        self.calls = self.failures = self.slow = 0
        self._width = max(1, round(seconds * SECOND / slices))
        self._ring = [[0, 0, 0] for _ in range(slices)]
        self._head = now // self._width

    def expire(self, now: int) -> None:
        """Drop the slices that are older than the window. Earlier times than the last change nothing."""
        head = now // self._width
        for number in range(self._head + 1, min(head, self._head + len(self._ring)) + 1):
            old = self._ring[number % len(self._ring)]
            self.calls -= old[0]
            self.failures -= old[1]
            self.slow -= old[2]
            old[:] = (0, 0, 0)
        self._head = max(head, self._head)

    def add(self, now: int, failed: bool, slow: bool) -> None:
        """Record an outcome in the slice of `now` (monotonic nanoseconds)."""
        self.expire(now)
        current = self._ring[self._head % len(self._ring)]
        current[0] += 1
        current[1] += failed
        current[2] += slow
        self.calls += 1
        self.failures += failed
        self.slow += slow
