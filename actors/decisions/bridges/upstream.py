"""Calls a service outside: through a breaker, a few at a time, with retries, within one deadline.

Each attempt is one request of the breaker: it opens after `breaker_failures` of them in a row, refuses for
`breaker_open_s`, then lets one through that decides. A refused call is no failure: it leaves the breaker as it is.

    outcome of an attempt                        breaker   again?
    2xx with a usable answer                     success
    400, 404, 409, 422 and the like              success   no: the upstream works, and has said no
    401, 403, 3xx, malformed JSON, wrong types   failure   no: it would be the same
    408, 425, 429, 5xx                           failure   yes; 429 and 503 when their `Retry-After` says
    no connection, a broken one, half an answer  failure   yes
    no answer within the deadline                failure   no: there is no time left

"Again" is for calls that may be made twice (`Repeat`); one that may not is made again only after an attempt that never
left (no connection) or that was turned away before it was looked at (429, 503). Time comes from the node's clock,
waiting is trio's.
"""

from __future__ import annotations

import itertools
import logging
import ssl
from collections.abc import Callable
from pathlib import Path
from typing import Final, NamedTuple, TypeVar

import httpx
import msgspec
import trio

from actors.decisions.bridges.answers import Malformed, SaidNo, words
from actors.decisions.bridges.call_record import OK, REFUSED, CallRecord
from actors.decisions.bridges.retrying import BUSY, RETRIED, Backoff, Repeat, Uniform, retry_after
from actors.decisions.bridges.settings import Settings
from actors.edge.clients import NOT_SENT, body_of, described
from protocols.bridges import (
    TIMED_OUT,
    UPSTREAM_ERROR,
    UPSTREAM_NOT_FOUND,
    UPSTREAM_REFUSED,
    UPSTREAM_UNAVAILABLE,
    BridgeState,
)
from protocols.control import Refused, Unknown
from runtime.breaker import BreakerSettings, CircuitBreaker, CircuitOpen, Count, Permit, Transition
from runtime.clock import Clock

# It logs whole URLs, and users are named in them.
logging.getLogger("httpx").setLevel(logging.WARNING)

T = TypeVar("T")
MOST_BYTES: Final = 16 * 1024 * 1024
MOST_TOKEN_BYTES: Final = 65_536
_TURNED_AWAY: Final = frozenset({429, 503})
"""Statuses of a request that was certainly not performed."""

Meter = Callable[[str, float], None]


class Call(msgspec.Struct, frozen=True, kw_only=True):
    """One call. `target`: path and query, encoded."""

    method: str
    target: str
    body: bytes = b""
    repeat: Repeat = Repeat.SAFE
    headers: tuple[tuple[str, str], ...] = ()


class _Failed(Exception):
    """An attempt without a usable answer. `arrived`: it may have been performed; `again`: waiting may help."""

    def __init__(self, code: str, why: str, *, outcome: str, arrived: bool, again: bool, later_s: float = 0.0) -> None:
        super().__init__(why)
        self.code = code
        self.outcome = outcome
        self.arrived = arrived
        self.again = again
        self.later_s = later_s


class _Answer(NamedTuple):
    status: int
    headers: httpx.Headers
    body: bytes


class Upstream:
    """One service, `name` in errors. Close it with `aclose`.

    `meter` is told of every attempt: outcome, seconds. `moved` is told when the breaker changes its state.
    `tls`: of `actors.edge.clients.http_tls`.
    """

    def __init__(
        self,
        name: str,
        url: str,
        tls: ssl.SSLContext,
        settings: Settings,
        clock: Clock,
        uniform: Uniform,
        token_file: str = "",
        meter: Meter = lambda outcome, seconds: None,
        moved: Callable[[Transition], None] | None = None,
    ) -> None:
        self.name = name
        self.url = url.rstrip("/")
        self.clock = clock
        self.record = CallRecord()
        self.breaker = CircuitBreaker(
            f"the {name}",
            BreakerSettings(
                window=Count(settings.breaker_failures),
                minimum_calls=settings.breaker_failures,
                failure_rate=1.0,
                open_s=settings.breaker_open_s,
                half_open_calls=1,
                # An attempt ends by its deadline; what is never told of would keep it half-open for ever.
                half_open_timeout_s=2 * settings.deadline_s,
            ),
            clock.monotonic(),
            moved,
        )
        self.retries = 0
        self.last_error = ""
        self.ts_last_success: int | None = None
        self._settings = settings
        self._backoff = Backoff(settings.retries, settings.retry_first_s, settings.retry_most_s)
        self._uniform = uniform
        self._meter = meter
        self._token_file = token_file
        self._token = ""
        self._slots = trio.CapacityLimiter(settings.max_concurrent)
        self._client = httpx.AsyncClient(
            verify=tls,
            timeout=httpx.Timeout(settings.deadline_s, connect=min(settings.connect_s, settings.deadline_s)),
            follow_redirects=False,
            limits=httpx.Limits(max_connections=settings.max_concurrent, keepalive_expiry=20.0),
        )

    async def aclose(self) -> None:
        """End its connections."""
        await self._client.aclose()

    async def perform(self, call: Call, read: Callable[[bytes], T], wanted: Callable[[], bool] = lambda: True) -> T:
        """Make the call and `read` the answer's body. `wanted`: whether somebody still waits for it.

        Raises Refused (`circuit_open`, `upstream_unavailable`, `upstream_error`, `upstream_refused`,
        `upstream_not_found`, `timed_out`), and Unknown where a change may have arrived without an answer.
        """
        deadline = trio.current_time() + self._settings.deadline_s
        with trio.move_on_at(deadline) as scope:
            await self._slots.acquire()
        if scope.cancelled_caught:
            raise Refused(TIMED_OUT, f"the {self.name}: no room for the call within {self._settings.deadline_s:g} s")
        try:
            return await self._attempts(call, read, wanted, deadline)
        finally:
            self._slots.release()

    async def _attempts(self, call: Call, read: Callable[[bytes], T], wanted: Callable[[], bool], deadline: float) -> T:
        failed: _Failed | None = None
        arrived = False
        for number in itertools.count():
            if not wanted():
                break
            try:
                permit = self.breaker.acquire(self.clock.monotonic())
            except CircuitOpen:
                if failed is None:
                    raise
                break
            try:
                return await self._attempt(call, read, permit, deadline)
            except _Failed as failure:
                failed = failure
                arrived = arrived or failure.arrived
            if not self._may_repeat(call, failed, number):
                break
            wait = max(failed.later_s, self._backoff.wait(number, self._uniform))
            if trio.current_time() + wait >= deadline:
                break
            await trio.sleep(wait)
            self.retries += 1
        if failed is None:
            raise Refused(TIMED_OUT, "nobody waits for the answer any more")
        raise self._ended(call, failed, arrived)

    def _may_repeat(self, call: Call, failed: _Failed, number: int) -> bool:
        if not failed.again or number >= self._backoff.retries:
            return False
        return call.repeat is not Repeat.NEVER or not failed.arrived

    def _ended(self, call: Call, failed: _Failed, arrived: bool) -> Refused | Unknown:
        """How the call ends. A change that may have arrived is not refused: nobody knows."""
        if arrived and call.repeat.changes:
            return Unknown(f"{failed}; it may have been performed")
        return Refused(failed.code, str(failed))

    async def _attempt(self, call: Call, read: Callable[[bytes], T], permit: Permit, deadline: float) -> T:
        """One request, told to breaker, record and meter. Raises _Failed, Refused."""
        begun = self.clock.monotonic()
        with permit:  # a cancelled one is given back
            try:
                answer = await self._sent(call, deadline)
                result = self._read(answer, read)
            except _Failed as failed:
                self._note(begun, permit, failed.outcome, str(failed))
                raise
            except Refused:
                self._note(begun, permit, REFUSED, "")
                raise
            self._note(begun, permit, OK, "")
            return result

    def _note(self, begun: int, permit: Permit, outcome: str, error: str) -> None:
        now = self.clock.monotonic()
        if error:
            permit.failure(now)
            self.last_error = error
        else:
            permit.success(now)
            self.ts_last_success = self.clock.now()
        self.record.add(now, now - begun, outcome)
        self._meter(outcome, (now - begun) / 1e9)

    async def _sent(self, call: Call, deadline: float) -> _Answer:
        with trio.move_on_at(deadline):
            try:
                return await self._send(call, await self._authorization())
            except NOT_SENT as error:
                raise self._broken(error, arrived=False) from None
            except (httpx.HTTPError, ValueError) as error:
                raise self._broken(error, arrived=True) from None
        why = f"the {self.name} has not answered within {self._settings.deadline_s:g} s"
        raise _Failed(TIMED_OUT, why, outcome=TIMED_OUT, arrived=True, again=False)

    def _broken(self, error: Exception, *, arrived: bool) -> _Failed:
        why = f"the {self.name}: {described(error)}"
        return _Failed(UPSTREAM_UNAVAILABLE, why, outcome="unreachable", arrived=arrived, again=True)

    async def _send(self, call: Call, headers: tuple[tuple[str, str], ...]) -> _Answer:
        given = [*headers, *call.headers, ("accept", "application/json"), ("user-agent", "troupe")]
        if call.body:
            given.append(("content-type", "application/json"))
        async with self._client.stream(
            call.method, self.url + call.target, content=call.body or None, headers=given
        ) as response:
            return _Answer(response.status_code, response.headers, await body_of(response, MOST_BYTES))

    async def _authorization(self) -> tuple[tuple[str, str], ...]:
        """The header of the token, which is read again after the upstream has not taken it."""
        if not self._token_file:
            return ()
        if not self._token:
            try:
                self._token = (await trio.Path(self._token_file).read_text()).strip()
            except (OSError, UnicodeDecodeError) as error:
                why = f"the token of the {self.name} cannot be read: {type(error).__name__}"
                raise _Failed(UPSTREAM_UNAVAILABLE, why, outcome="no_token", arrived=False, again=False) from None
            if not self._token or len(self._token) > MOST_TOKEN_BYTES or not self._token.isascii():
                self._token = ""
                why = f"the token of the {self.name} cannot be used: {Path(self._token_file).name} holds none"
                raise _Failed(UPSTREAM_UNAVAILABLE, why, outcome="no_token", arrived=False, again=False)
        return (("authorization", f"Bearer {self._token}"),)

    def _read(self, answer: _Answer, read: Callable[[bytes], T]) -> T:
        """The answer's meaning. Raises _Failed, and Refused for what the upstream itself refuses."""
        status = answer.status
        if 200 <= status < 300:
            try:
                return read(answer.body)
            except Malformed as error:
                why = f"the {self.name} has answered what cannot be read: {error}"
                raise _Failed(UPSTREAM_ERROR, why, outcome="malformed", arrived=True, again=False) from None
            except SaidNo as no:
                raise Refused(UPSTREAM_REFUSED, f"the {self.name} refuses: {no}") from None
        said = words(answer.body)
        why = f"the {self.name} has answered {status}{': ' if said else ''}{said}"
        if status in RETRIED or status >= 500:
            later = retry_after(answer.headers.get("retry-after"), self.clock.now()) if status in _TURNED_AWAY else None
            raise _Failed(
                UPSTREAM_UNAVAILABLE if status in BUSY else UPSTREAM_ERROR,
                why,
                outcome=f"status_{status}",
                arrived=status not in _TURNED_AWAY,
                again=status in RETRIED,
                later_s=later or 0.0,
            )
        if status in (401, 403) or not 400 <= status < 500:
            self._token = ""
            raise _Failed(UPSTREAM_ERROR, why, outcome=f"status_{status}", arrived=False, again=False)
        raise Refused(UPSTREAM_NOT_FOUND if status == 404 else UPSTREAM_REFUSED, why)

    def state(self, kept: int = 0, cache_hits: int = 0) -> BridgeState:
        """How it is now."""
        now = self.clock.monotonic()
        breaker = self.breaker.snapshot(now)
        return BridgeState(
            url=self.url,
            breaker=breaker.state.value,
            retry_after_s=breaker.retry_after,
            consecutive_failures=self.record.consecutive_failures,
            opened=breaker.opened,
            refused=breaker.refused,
            retries=self.retries,
            in_flight=self._slots.borrowed_tokens,
            kept=kept,
            cache_hits=cache_hits,
            statistics=self.record.statistics(now),
            last_error=self.last_error,
            ts_last_success=self.ts_last_success,
        )
