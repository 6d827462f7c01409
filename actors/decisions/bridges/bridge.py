"""What all bridges are: an actor in front of one upstream, whose calls go on while it handles other messages.

A call belongs to the bridge and not to who asked: it ends by its own deadline, so that an upstream that hangs is seen
to fail also where askers have less patience. Who asks for what is being asked already waits for the same call.
"""

from __future__ import annotations

import math
from collections.abc import Awaitable, Callable, Hashable
from typing import Any, ClassVar, Final, TypeVar

import msgspec

from actors.decisions.bridges.kept import Kept
from actors.decisions.bridges.settings import Settings
from actors.decisions.bridges.upstream import Call, Meter, Upstream
from actors.edge.clients import http_tls
from protocols.bridges import BridgeState, GetBridge
from protocols.control import ExitReason, Message, Probe, ProbeReport, Refused, Unknown
from runtime import Actor, Mailbox, receive
from runtime.breaker import State, Transition
from runtime.metrics import Metrics
from runtime.promise import Promise

T = TypeVar("T")
SECOND: Final = 1_000_000_000
Wanted = Callable[[], bool]


class _Landed(Message, frozen=True, tag="bridge_call_landed"):
    """From a bridge's own task: a call has ended. `outcome`: the answer, or the Refused or Unknown it ended with.

    `keep_s`: for how long the answer is kept."""

    key: Any
    outcome: Any
    keep_s: float


class Bridge(Actor):
    """In front of the upstream `name` at `url`. `settings`: `[bridges]` as plain data."""

    mailbox: ClassVar[Mailbox] = Mailbox(capacity=1024)
    title: ClassVar[str]
    """What the upstream is called in errors and metrics."""

    def __init__(self, url: str, settings: dict[str, Any], token_file: str = "") -> None:
        self.url = url
        self.settings = msgspec.convert(settings, Settings)
        self.token_file = token_file
        self.kept: Kept[object] = Kept(self.settings.cache_entries)
        self.flights: dict[Hashable, list[Promise]] = {}
        self.waiting = 0
        self.number = 0

    async def on_start(self) -> None:
        """Make the client; it connects with the first call."""
        self.upstream = Upstream(
            self.title,
            self.url,
            await http_tls(self.url),
            self.settings,
            self.clock,
            self.node.random.uniform,
            self.token_file,
            meter_of(self.node.metrics, self.title),
            self._breaker_moved,
        )

    def _breaker_moved(self, moved: Transition) -> None:
        log = self.logger.warning if moved.new is State.OPEN else self.logger.info
        log("a breaker has changed its state", upstream=self.title, old=moved.old.value, new=moved.new.value)

    async def on_stop(self, reason: ExitReason) -> None:
        """End its connections."""
        await self.upstream.aclose()

    def begin(self, call: Call, read: Callable[[bytes], object]) -> None:
        """Make a call for the request being handled, whose answer is what `read` makes of the upstream's."""
        self.number += 1
        self._join(self.number, call, read, lambda answer: 0.0)

    def begin_shared(self, key: Hashable, call: Call, read: Callable[[bytes], T], keep_s: Callable[[T], float]) -> None:
        """The same, but for all who ask for `key` at once, and for `keep_s(answer)` after it has answered."""
        found = self.kept.find(key, self.clock.monotonic())
        if found is not None:
            self.promise().answer(found)
        else:
            self._join(key, call, read, keep_s)

    def _join(self, key: Hashable, call: Call, read: Callable[[bytes], T], keep_s: Callable[[T], float]) -> None:
        if self.waiting >= self.settings.max_waiting:
            raise Refused("overloaded", f"{self.waiting} calls to the {self.title} are open already")
        self.waiting += 1
        flight = self.flights.get(key)
        if flight is not None:
            flight.append(self.promise())
            return
        flight = self.flights[key] = [self.promise()]
        self.spawn(self._fly, key, keep_s, lambda wanted: self.upstream.perform(call, read, wanted), name="call")

    async def _fly(self, key: Hashable, keep_s: Callable[[T], float], make: Callable[[Wanted], Awaitable[T]]) -> None:
        flight = self.flights[key]
        try:
            answer = await make(lambda: any(_wanted(promise) for promise in flight))
            landed = _Landed(key, answer, keep_s(answer))
        except (Refused, Unknown) as error:
            landed = _Landed(key, error, 0.0)
        # A timer ends with this life: the next one knows nothing of its calls.
        self.after(0.0, landed)

    @receive
    def landed(self, message: _Landed) -> None:
        """Answer everybody who waits for the call."""
        promises = self.flights.pop(message.key)
        self.waiting -= len(promises)
        outcome = message.outcome
        if message.keep_s > 0:
            self.kept.keep(message.key, outcome, self.clock.monotonic() + round(message.keep_s * SECOND))
        for promise in promises:
            if isinstance(outcome, Refused):
                promise.refuse(outcome)
            elif isinstance(outcome, Unknown):
                promise.lose(str(outcome))
            else:
                promise.answer(outcome)

    @receive
    def state(self, request: GetBridge) -> BridgeState:
        """Answer how it is."""
        return self.upstream.state(len(self.kept), self.kept.hits)

    @receive
    def probe(self, request: Probe) -> ProbeReport:
        """Degraded while the breaker is not closed; the node can serve without any upstream."""
        state = self.upstream.state(len(self.kept), self.kept.hits)
        figures = (
            ("breaker", state.breaker),
            ("requests", state.statistics.requests),
            ("failed", state.statistics.failed),
            ("refused", state.refused),
        )
        if state.breaker == "closed":
            return ProbeReport("ok", figures=figures)
        return ProbeReport("degraded", f"the breaker is {state.breaker}: {state.last_error}", figures=figures)


def _wanted(promise: Promise) -> bool:
    """Whether somebody waits, or nobody ever did: what was told is done without anybody who hears of it."""
    return promise.wanted or promise.deadline == math.inf


def meter_of(metrics: Metrics, bridge: str) -> Meter:
    """Counts a bridge's requests in the node's metrics."""
    requests = metrics.counter("troupe_bridge_requests", "Requests to services outside", ("bridge", "outcome"))
    seconds = metrics.histogram("troupe_bridge_request_seconds", "How long they take", ("bridge",))

    def count(outcome: str, took: float) -> None:
        requests.labels(bridge, outcome).inc()
        seconds.labels(bridge).observe(took)

    return count


def encoded(request: object) -> bytes:
    """A body of a request."""
    return msgspec.json.encode(request)
