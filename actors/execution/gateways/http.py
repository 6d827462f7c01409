"""Makes a gateway's REST calls, each once, and says whether one that has no answer may have arrived.

An order must never be sent twice, so nothing is repeated here: not after a refusal, a redirect or a broken connection.
"""

from __future__ import annotations

import logging
import ssl
from collections.abc import Callable, Sequence
from typing import Final

import httpx
import msgspec
import trio

from actors.edge.clients import NOT_SENT, body_of, described
from actors.execution.gateways.findings import Call
from actors.execution.gateways.own_budget import OwnBudget
from actors.market.venue_clock import VenueClock
from protocols.budget import CANCEL, NORMAL, RECOVERY, CloseBudget, SetBudget, TakeBudget
from protocols.control import Refused, Unknown
from protocols.venues.rest import RestCall
from protocols.venues.simulated import MARKS_HEADER
from runtime import ActorRef
from runtime.clock import Clock

# It logs whole URLs, and signatures are part of some.
logging.getLogger("httpx").setLevel(logging.WARNING)
MOST_BYTES: Final = 16 * 1024 * 1024
_RETRY_S: Final = 1.0
_IDLE_S: Final = 20.0
_PRIORITIES: Final = {"cancel": CANCEL, "recovery": RECOVERY, "normal": NORMAL}
Headers = tuple[tuple[str, str], ...]


class NotSent(Exception):
    """The venue has not seen the request; says why."""


class NoAnswer(Exception):
    """The venue may have seen it. `left`: when it left, venue's time."""

    def __init__(self, reason: str, left: int) -> None:
        super().__init__(reason)
        self.left = left


class HttpAnswer(msgspec.Struct, frozen=True):
    """An answer and when its request left, venue's time. `marks`: what the venue declares of itself."""

    status: int
    body: bytes
    left: int
    marks: frozenset[str]


class GatewayHttp:
    """`prepare(call, ts)`: the call signed for the venue's time, and its headers.

    `tls`: of `actors.edge.clients.http_tls`.
    """

    def __init__(
        self,
        base_url: str,
        tls: ssl.SSLContext,
        clock: Clock,
        venue_clock: VenueClock,
        budget: ActorRef,
        prepare: Callable[[Call, int], tuple[RestCall, Headers]],
        *,
        timeout_s: float,
        budget_s: float,
        limits: Sequence[tuple[str, float, float]],
    ) -> None:
        self.base_url = base_url.rstrip("/")
        self.calls = 0
        self._clock = clock
        self._venue_clock = venue_clock
        self._budget = budget
        self._prepare = prepare
        self.own = OwnBudget(limits)
        """Used while nobody keeps the venue's budget."""
        self._timeout_s = timeout_s
        self._budget_s = budget_s
        self._client = httpx.AsyncClient(
            verify=tls,
            timeout=httpx.Timeout(timeout_s),
            follow_redirects=False,
            limits=httpx.Limits(max_connections=32, max_keepalive_connections=16, keepalive_expiry=_IDLE_S),
        )

    async def aclose(self) -> None:
        """End its connections."""
        await self._client.aclose()

    async def perform(self, call: Call) -> HttpAnswer:
        """Make the call once, as soon as the account's limits let it. Raises NotSent, NoAnswer."""
        await self.admit(call, trio.current_time())
        return await self.send(call)

    async def admit(self, call: Call, since: float) -> None:
        """Wait for the account's limits, `budget_s` after `since` (trio's time) at most. Raises NotSent."""
        for bucket, tokens in call.buckets:
            left_s = since + self._budget_s - trio.current_time()
            if left_s <= 0:
                raise NotSent(f"no budget for {self._budget_s:g} s")
            priority = _PRIORITIES[call.priority]
            try:
                await self._budget.ask(TakeBudget(bucket, tokens, priority), timeout=left_s)
            except (Refused, Unknown) as error:
                if not (isinstance(error, Refused) and error.code == "not_found"):
                    raise NotSent(f"no budget: {error}") from None
                if not await self.own.take(bucket, tokens, priority, left_s):
                    raise NotSent(f"no budget for {self._budget_s:g} s") from None

    async def send(self, call: Call) -> HttpAnswer:
        """Make the call once, now. Raises NotSent, NoAnswer."""
        sent = self._clock.now()
        left = sent + self._venue_clock.offset
        rest, headers = self._prepare(call, left)
        self.calls += 1
        try:
            with trio.fail_after(self._timeout_s):
                status, answered, body = await self._send(rest, headers)
        except NOT_SENT as error:
            raise NotSent(described(error)) from None
        except (httpx.HTTPError, trio.TooSlowError, ValueError) as error:
            raise NoAnswer(described(error), left) from None
        received = self._clock.now()
        if "date" in answered:
            self._venue_clock.observe(answered["date"], sent, received)
        if status in (418, 429):
            self._close(call, answered.get("retry-after", ""))
        marks = frozenset(word.strip() for word in answered.get(MARKS_HEADER, "").split(",") if word.strip())
        return HttpAnswer(status, body, left, marks)

    async def _send(self, rest: RestCall, headers: Headers) -> tuple[int, httpx.Headers, bytes]:
        given = [*headers, ("accept", "application/json")]
        async with self._client.stream(
            rest.method, self.base_url + rest.target, content=rest.body or None, headers=given
        ) as response:
            return response.status_code, response.headers, await body_of(response, MOST_BYTES)

    def _close(self, call: Call, retry_after: str) -> None:
        """The venue has counted more than we have: nobody who shares the account calls for a while."""
        seconds = float(retry_after) if retry_after.isascii() and retry_after.isdigit() else _RETRY_S
        for bucket, _ in call.buckets:
            self._budget.tell(CloseBudget(bucket, seconds))
            self.own.close(bucket, seconds)

    def limit(self, bucket: str, tokens: float, tokens_s: float) -> None:
        """The venue has named the account's limits."""
        self._budget.tell(SetBudget(bucket, tokens, tokens_s))
        self.own.change(bucket, tokens, tokens_s)
