"""Token buckets with a queue: who may call the venue next, and when. No clock: `now` is monotonic seconds.

A bucket holds at most `tokens` and refills continuously. Who waits is served by priority, then by arrival; the head of
the queue is never overtaken by a cheaper request behind it, so nothing starves within a priority. A share of the
tokens is a reserve that only cancels may use: a burst of questions cannot keep an order from being cancelled.
"""

from __future__ import annotations

import heapq
from collections.abc import Sequence
from typing import Final

from protocols.budget import CANCEL

RESERVE: Final = 0.1
"""The share of a bucket that is kept for cancels."""


class Bucket:
    """One bucket. `tokens` and `tokens_s` must be positive. Raises ValueError."""

    def __init__(self, tokens: float, tokens_s: float, now: float) -> None:
        self.change(tokens, tokens_s)
        self.level = tokens
        self.taken = 0.0
        self.closed_until = 0.0
        self._at = now

    def change(self, tokens: float, tokens_s: float) -> None:
        """New limits; what is in the bucket stays, as far as it fits."""
        if tokens <= 0 or tokens_s <= 0:
            raise ValueError(f"a bucket of {tokens} tokens and {tokens_s} a second")
        self.tokens = tokens
        self.tokens_s = tokens_s
        self.level = min(getattr(self, "level", tokens), tokens)

    def reserve(self, cost: float, priority: int) -> float:
        """Tokens that must stay in the bucket. What needs nearly all of them can leave none."""
        return 0.0 if priority <= CANCEL else min(RESERVE * self.tokens, self.tokens - cost)

    def wait(self, cost: float, priority: int, now: float) -> float:
        """Seconds until `cost` can be taken; 0: now."""
        self._refill(now)
        missing = cost + self.reserve(cost, priority) - self.level
        # A rounding error must not ask for a wait that no clock can measure.
        refill = missing / self.tokens_s if missing > 1e-9 else 0.0
        return max(refill, self.closed_until - now, 0.0)

    def take(self, cost: float, now: float) -> None:
        """Take it; `wait` has said that it can be."""
        self._refill(now)
        self.level -= cost
        self.taken += cost

    def close(self, seconds: float, now: float) -> None:
        """Give nothing for so long: the venue has counted more than we have."""
        self.closed_until = max(self.closed_until, now + seconds)

    def _refill(self, now: float) -> None:
        self.level = min(self.tokens, self.level + max(now - self._at, 0.0) * self.tokens_s)
        self._at = max(self._at, now)


class Budget:
    """The buckets of one account, and who waits for them. `limits`: (name, tokens, tokens a second)."""

    def __init__(self, limits: Sequence[tuple[str, float, float]], now: float) -> None:
        self.buckets = {name: Bucket(tokens, tokens_s, now) for name, tokens, tokens_s in limits}
        self._queues: dict[str, list[tuple[int, int, float]]] = {name: [] for name in self.buckets}
        self._next = 0

    def __len__(self) -> int:
        return sum(len(queue) for queue in self._queues.values())

    def enter(self, bucket: str, cost: float, priority: int) -> int:
        """Queue for tokens; returns a ticket. Raises ValueError for what the bucket can never hold."""
        known = self.buckets[bucket]
        if not 0 < cost <= known.tokens:
            raise ValueError(f"{cost:g} tokens of a bucket that holds {known.tokens:g}")
        self._next += 1
        heapq.heappush(self._queues[bucket], (priority, self._next, cost))
        return self._next

    def leave(self, ticket: int) -> None:
        """Whoever had the ticket waits no more."""
        for queue in self._queues.values():
            remaining = [entry for entry in queue if entry[1] != ticket]
            if len(remaining) < len(queue):
                queue[:] = remaining
                heapq.heapify(queue)

    def served(self, now: float) -> list[int]:
        """Take the tokens of all whose turn it is; returns their tickets in order."""
        tickets: list[int] = []
        for name, queue in self._queues.items():
            bucket = self.buckets[name]
            while queue and bucket.wait(queue[0][2], queue[0][0], now) <= 0.0:
                _, ticket, cost = heapq.heappop(queue)
                bucket.take(cost, now)
                tickets.append(ticket)
        return tickets

    def next_s(self, now: float) -> float | None:
        """Seconds until somebody's turn comes; None: nobody waits."""
        waits = [
            self.buckets[name].wait(queue[0][2], queue[0][0], now) for name, queue in self._queues.items() if queue
        ]
        return min(waits, default=None)
