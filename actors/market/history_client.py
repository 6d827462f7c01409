"""Asks a venue over REST until it answers: at the venue's pace, again after 429 and 5xx, as long as the venue says.

A session makes each call once and lets its core decide what then; a download or a list of instruments has nobody to
decide, and wants its pages.
"""

from __future__ import annotations

import importlib
import random
from collections.abc import Callable
from types import TracebackType
from typing import Final, Protocol, TypeVar, cast, runtime_checkable

import trio

from actors.market.budget import Bucket
from actors.market.rest_client import CallFailed, RestAnswer, RestClient
from actors.market.session_core import Credentials
from actors.market.venue_clock import VenueClock
from actors.market.venue_rest import VenueRest
from actors.market.venues import session_class
from protocols.budget import BULK, CANCEL, REST
from protocols.venues.errors import VenueError
from protocols.venues.rest import RestCall
from runtime import ActorRef
from runtime.clock import Clock

TRIES: Final = 6
"""How often a call is made whose answer was none, or an error that may pass."""
LONG_WAITS: Final = 48
"""How often a wait of a minute or more is kept that the venue itself has named: a day's quota, for example."""
LONG_S: Final = 60.0
FIRST_S: Final = 0.5
MOST_S: Final = 60.0
T = TypeVar("T")


@runtime_checkable
class KeyInQuery(Protocol):
    """A venue that takes its key in the query: who sends a call puts it there."""

    def keyed(self, call: RestCall) -> RestCall:
        """The call as it is sent. Raises ValueError without a key."""


def rest_of(venue: str, credentials: Credentials | None = None) -> VenueRest:
    """The REST side of a venue. Raises ValueError for one that is unknown or has none."""
    path = session_class(venue).REST
    if not path:
        raise ValueError(f"{venue} offers neither instruments nor history over REST")
    module, _, name = path.partition(":")
    return cast("VenueRest", getattr(importlib.import_module(module), name)(credentials))


class HistoryClient:
    """Calls one venue, one call at a time. `base_url` empty: the venue's own.

    `budget`: the keeper of the account's limits on a node, asked with `priority`; without one the venue's own limits
    are kept here. `tries`: how often a call is made that finds no answer, or an error that may pass.
    `told` hears why it waits. Use as an async context manager.
    """

    def __init__(
        self,
        rest: VenueRest,
        base_url: str,
        clock: Clock,
        budget: ActorRef | None = None,
        told: Callable[[str], None] = lambda why: None,
        jitter: Callable[[], float] = random.random,
        tries: int = TRIES,
        priority: int = BULK,
    ) -> None:
        self.rest = rest
        self.clock = clock
        self.calls = 0
        self.waited_s = 0.0
        self._tries = tries
        self._priority = priority
        self._told = told
        self._jitter = jitter
        self._client = RestClient(base_url or rest.REST_URL, clock, VenueClock(), budget, budget_s=3600.0)
        now = clock.monotonic() / 1e9
        self._buckets = (
            []
            if budget is not None
            # Beside `rest` a venue may limit a shorter span: `rest-pace`.
            else [Bucket(held, per_s, now) for name, held, per_s in rest.BUDGETS if name.startswith(REST)]
        )

    async def __aenter__(self) -> HistoryClient:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        with trio.CancelScope(shield=True, deadline=trio.current_time() + 1.0):
            await self._client.aclose()

    async def aclose(self) -> None:
        """End its connections."""
        await self._client.aclose()

    async def ask(self, call: RestCall, read: Callable[[RestCall, int, bytes, int], T]) -> T:
        """What `read(call, status, body, ts)` makes of the answer; `read` runs on a thread.

        Raises VenueError for a refusal that will not pass, and CallFailed where no answer came in all tries. Raises
        ValueError where the call needs a key and there is none.
        """
        failures = long_waits = 0
        while True:
            try:
                answer = await self._perform(call)
            except CallFailed as error:
                failures += 1
                if failures >= self._tries:
                    raise
                await self._wait(self._backoff(failures), str(error))
                continue
            try:
                return await trio.to_thread.run_sync(read, call, answer.status, answer.body, answer.ts_recv)
            except VenueError as error:
                if error.retry_s is None:
                    raise
                wait = max(error.retry_s, answer.retry_s or 0.0)
                if wait >= LONG_S and self._tries > 1:
                    long_waits += 1
                else:
                    failures += 1
                    # What the venue names is kept; what we guess grows.
                    wait = answer.retry_s if answer.retry_s is not None else max(wait, self._backoff(failures))
                if failures >= self._tries or long_waits > LONG_WAITS:
                    raise
                await self._wait(wait, str(error))

    async def _perform(self, call: RestCall) -> RestAnswer:
        sent = self.rest.keyed(call) if isinstance(self.rest, KeyInQuery) else call
        # Before anything else, and not as a failure that may pass: a key that is missing stays missing.
        self.rest.headers(sent, self.clock.now())
        for bucket in self._buckets:
            cost = min(float(call.cost), bucket.tokens)
            while (wait := bucket.wait(cost, CANCEL, self.clock.monotonic() / 1e9)) > 0.0:
                await self._wait(wait, "" if wait < LONG_S else "the venue allows no call before")
            bucket.take(cost, self.clock.monotonic() / 1e9)
        self.calls += 1
        return await self._client.perform(sent, lambda ts: self.rest.headers(sent, ts), self._priority)

    def _backoff(self, failures: int) -> float:
        """Full jitter over a wait that doubles; never nothing."""
        return max(0.1, self._jitter()) * min(MOST_S, FIRST_S * 2.0**failures)

    async def _wait(self, seconds: float, why: str) -> None:
        if why:
            self._told(f"waits {seconds:.1f} s: {why}")
        self.waited_s += seconds
        await self.clock.sleep_until(self.clock.now() + round(seconds * 1e9))
