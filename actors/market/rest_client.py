"""Makes a venue's REST calls: takes their cost from the budget, sends them with httpx, tells what came back.

What the venue says of its limits is passed on: 429 and 418 close the bucket for everybody who shares the account.
"""

from __future__ import annotations

import logging
from collections.abc import Callable
from email.utils import parsedate_to_datetime
from typing import Final

import httpx
import msgspec
import trio

from actors.edge.clients import body_of, described, http_tls
from actors.market.venue_clock import VenueClock
from protocols.budget import NORMAL, REST, CloseBudget, TakeBudget
from protocols.control import Refused, Unknown
from protocols.venues.rest import RestCall
from runtime import ActorRef
from runtime.clock import Clock
from runtime.metrics import Metrics

TIMEOUT_S: Final = 10.0
CONNECT_S: Final = 5.0
MOST_BYTES: Final = 64 * 1024 * 1024
RETRY_S: Final = 1.0
"""How long to wait after a 429 or 418 that does not say."""
# It logs whole URLs, and some venues want their key in it.
logging.getLogger("httpx").setLevel(logging.WARNING)
Headers = tuple[tuple[str, str], ...]


Meter = Callable[[str, float], None]


def _unmetered(outcome: str, seconds: float) -> None:
    """Nobody counts."""


def meter_of(metrics: Metrics, venue: str) -> Meter:
    """Counts a venue's calls in the node's metrics."""
    calls = metrics.counter("troupe_venue_requests", "REST calls by outcome", ("venue", "outcome"))
    seconds = metrics.histogram("troupe_venue_request_seconds", "How long REST calls take", ("venue",))

    def count(outcome: str, took: float) -> None:
        calls.labels(venue, outcome).inc()
        seconds.labels(venue).observe(took)

    return count


class CallFailed(Exception):
    """There is no answer; says why."""


class RestAnswer(msgspec.Struct, frozen=True):
    """What came back. `ts_recv` in wall nanoseconds; `retry_s`: the venue's `Retry-After`."""

    status: int
    body: bytes
    ts_recv: int
    retry_s: float | None = None


class RestClient:
    """Calls one venue. `budget`: the keeper of its limits, None where there are none. Close it with `aclose`."""

    def __init__(
        self, base_url: str, clock: Clock, venue_clock: VenueClock, budget: ActorRef | None, budget_s: float = 60.0
    ) -> None:
        self.base_url = base_url.rstrip("/")
        self.clock = clock
        self.venue_clock = venue_clock
        self.budget = budget
        self.budget_s = budget_s
        self.meter: Meter = _unmetered
        """Is told of every call: how it ended (a status, or `failed`), and how long it took in seconds."""
        self._client: httpx.AsyncClient | None = None

    async def aclose(self) -> None:
        """End its connections."""
        if self._client is not None:
            await self._client.aclose()

    async def perform(
        self,
        call: RestCall,
        headers: Callable[[int], Headers] = lambda ts: (),
        priority: int = NORMAL,
    ) -> RestAnswer:
        """Make the call once. `headers(ts)`: key or signature for the venue's wall time. Raises CallFailed."""
        if not self.base_url:
            raise CallFailed("there is no address for REST calls: `url` is not the venue's own, so set `rest_url`, too")
        if self.budget is not None:
            try:
                await self.budget.ask(TakeBudget(REST, float(call.cost), priority), timeout=self.budget_s)
            except (Refused, Unknown) as error:
                raise CallFailed(f"no budget: {error}") from None
        tls = await http_tls(self.base_url)
        if self._client is None:
            self._client = httpx.AsyncClient(
                verify=tls,
                timeout=httpx.Timeout(TIMEOUT_S, connect=CONNECT_S),
                follow_redirects=False,
                trust_env=True,
            )
        sent = self.clock.now()
        begun = self.clock.monotonic()
        try:
            status, answered, body = await self._send(call, headers(sent + self.venue_clock.offset))
        except (httpx.HTTPError, httpx.InvalidURL, ValueError, trio.TooSlowError) as error:
            self.meter("failed", (self.clock.monotonic() - begun) / 1e9)
            raise CallFailed(described(error)) from None
        self.meter(str(status), (self.clock.monotonic() - begun) / 1e9)
        received = self.clock.now()
        if "date" in answered:
            self.venue_clock.observe(answered["date"], sent, received)
        retry_s = retry_after(answered.get("retry-after"), received)
        if status in (418, 429) and self.budget is not None:
            self.budget.tell(CloseBudget(REST, RETRY_S if retry_s is None else retry_s))
        return RestAnswer(status, body, received, retry_s)

    async def _send(self, call: RestCall, headers: Headers) -> tuple[int, httpx.Headers, bytes]:
        assert self._client is not None
        url = self.base_url + call.target
        with trio.fail_after(2 * TIMEOUT_S):
            async with self._client.stream(
                call.method, url, content=call.body or None, headers=[*headers, ("accept", "application/json")]
            ) as response:
                return response.status_code, response.headers, await body_of(response, MOST_BYTES)


def retry_after(text: str | None, now: int) -> float | None:
    """Seconds of a `Retry-After` header (RFC 9110, 10.2.3: seconds or a date); None without a readable one."""
    if text is None:
        return None
    text = text.strip()
    if text.isascii() and text.isdigit():
        return float(text)
    try:
        at = parsedate_to_datetime(text).timestamp()
    except ValueError:
        return None
    return max(at - now / 1e9, 0.0)
