"""What became of the newest requests to an upstream: the last 1,000, and of those the last hour."""

from __future__ import annotations

from collections import Counter, deque
from typing import Final, NamedTuple

from protocols.bridges import CallStatistics

MOST: Final = 1000
WINDOW_NS: Final = 3600 * 1_000_000_000
OK: Final = "ok"
REFUSED: Final = "refused"
SUCCESSES: Final = frozenset({OK, REFUSED})
"""A refusal of its own is the answer of an upstream that works."""


class _Made(NamedTuple):
    ended: int
    took: int
    outcome: str


class CallRecord:
    """Requests that were really made, each attempt by itself. Times are monotonic nanoseconds."""

    def __init__(self, most: int = MOST, window_ns: int = WINDOW_NS) -> None:
        self._made: deque[_Made] = deque(maxlen=most)
        self._window_ns = window_ns
        self.consecutive_failures = 0

    def add(self, ended: int, took: int, outcome: str) -> None:
        """One request has ended."""
        self._made.append(_Made(ended, took, outcome))
        self.consecutive_failures = 0 if outcome in SUCCESSES else self.consecutive_failures + 1

    def statistics(self, now: int) -> CallStatistics:
        """The figures at `now`. The 95th percentile is the nearest rank."""
        made = [each for each in self._made if now - each.ended <= self._window_ns]
        good = sorted(each.took / 1e6 for each in made if each.outcome in SUCCESSES)
        return CallStatistics(
            requests=len(made),
            succeeded=len(good),
            failed=len(made) - len(good),
            success_rate=len(good) / len(made) if made else None,
            mean_ms=sum(good) / len(good) if good else None,
            p95_ms=good[-(-95 * len(good) // 100) - 1] if good else None,
            by_outcome=tuple(sorted(Counter(each.outcome for each in made).items())),
        )
