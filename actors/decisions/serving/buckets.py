"""How often a client may ask: one token bucket for each. A core: time comes in."""

from __future__ import annotations

from typing import Final

CLIENTS: Final = 10_000


class Buckets:
    """Each client has `burst` tokens, and gets `rate` a second back. Clients beyond 10,000 are forgotten, the one that
    came first at first: it then has a full bucket, which errs on its side."""

    def __init__(self, rate: float, burst: int) -> None:
        self.rate = rate
        self.burst = burst
        self._clients: dict[str, tuple[float, int]] = {}

    def take(self, client: str, now: int) -> float:
        """Take a token at `now` (monotonic, ns). Returns 0.0, or in how many seconds there is one again."""
        tokens, since = self._clients.get(client, (float(self.burst), now))
        tokens = min(float(self.burst), tokens + (now - since) / 1e9 * self.rate)
        if tokens < 1.0:
            self._clients[client] = (tokens, now)
            return (1.0 - tokens) / self.rate
        if client not in self._clients and len(self._clients) >= CLIENTS:
            del self._clients[next(iter(self._clients))]
        self._clients[client] = (tokens - 1.0, now)
        return 0.0
