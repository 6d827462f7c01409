"""Asynchronous requests: submitted now, fetched or pushed later. They are forgotten after a while."""

from __future__ import annotations

from functools import partial
from typing import ClassVar, Final

import trio

from actors.decisions.serving.checks import check
from actors.decisions.serving.client import decide
from actors.decisions.serving.messages import GetRequestBounds, RequestBounds
from actors.decisions.serving.plans import KnownPlans
from protocols.control import Message, Probe, ProbeReport, Refused
from protocols.decisions import Decide, Decision, DecisionReady, GetDecision, SubmitDecision, SubmittedDecision
from protocols.paths import DECISIONS, EXPERIMENTS
from runtime import Actor, Mailbox, receive

SWEEP_S: Final = 5.0
TOLD_S: Final = 60.0
UNDER_WAY: Final = 2000
"""Requests that may be under way at once: each has a task."""


class Decided(Message, frozen=True, gc=False, tag="submitted_decided"):
    """To itself: a submitted request has its decision, or cannot have one."""

    decision_id: str
    decision: Decision | None
    error: str = ""


class Sweep(Message, frozen=True, gc=False, tag="sweep_decisions"):
    """To itself: forget what is old."""


class Submitted:
    """One submitted request. `done` is set with the decision, or with what the server refused it for."""

    __slots__ = ("decision", "done", "error", "ts")

    def __init__(self, ts: int) -> None:
        self.ts = ts
        self.decision: Decision | None = None
        self.error = ""
        self.done = trio.Event()


class DecisionResults(Actor):
    """Remembers at most `capacity` requests for `keep_s` seconds each."""

    mailbox: ClassVar[Mailbox] = Mailbox(capacity=4096)
    later_capacity: ClassVar[int] = 4096

    def __init__(
        self,
        capacity: int = 10_000,
        keep_s: float = 600.0,
        requests_per_s: float = 5000.0,
        burst: int = 10_000,
        timeout_s: float = 5.0,
    ) -> None:
        self.bounds = RequestBounds(requests_per_s, burst, timeout_s)
        self.capacity = capacity
        self.keep_ns = round(keep_s * 1e9)
        self.submitted: dict[str, Submitted] = {}
        self.plans = KnownPlans()
        self.under_way = 0

    def on_start(self) -> None:
        """Sweep now and then."""
        self.every(SWEEP_S, Sweep())

    @receive
    def submit(self, message: SubmitDecision) -> SubmittedDecision:
        """Take a request."""
        request = message.request
        check(request)
        if request.decision_id in self.submitted:
            text = f"the decision {request.decision_id} was asked for before"
            raise Refused("already_present", text, "decision_id")
        if self.under_way >= UNDER_WAY:
            raise Refused("overloaded", f"{self.under_way} requests are under way")
        if len(self.submitted) >= self.capacity:
            self._forget_oldest()
        self.submitted[request.decision_id] = Submitted(self.clock.monotonic())
        self.under_way += 1
        self.spawn(self._decide, request, name="decide")
        return SubmittedDecision(request.decision_id)

    def _forget_oldest(self) -> None:
        """Make room by the oldest that has its decision. Raises Refused `overloaded` if none has."""
        for name, entry in self.submitted.items():
            if entry.done.is_set():
                del self.submitted[name]
                return
        raise Refused("overloaded", f"{len(self.submitted)} requests are under way")

    async def _decide(self, request: Decide) -> None:
        try:
            known = await self.plans.at(self.lookup(EXPERIMENTS), self.clock.monotonic(), request.deadline)
            server = self.lookup(DECISIONS)
            decision = await decide(server, request, self.clock, plans=known, publish=self.publish)
            message = Decided(request.decision_id, decision)
        except Refused as refused:
            message = Decided(request.decision_id, None, str(refused))
        await self.ref.send(message, TOLD_S)

    @receive
    def decided(self, message: Decided) -> None:
        """Keep a decision, and tell it."""
        self.under_way -= 1
        entry = self.submitted.get(message.decision_id)
        if entry is not None:
            entry.decision, entry.error = message.decision, message.error
            entry.done.set()
        if message.decision is not None:
            self.publish(DecisionReady(message.decision))

    @receive
    def get(self, request: GetDecision) -> Decision | None:
        """Answer a decision, or wait for it."""
        entry = self.submitted.get(request.decision_id)
        if entry is None:
            raise Refused("not_found", f"there is no submitted decision {request.decision_id}", "request_id")
        if entry.done.is_set() or request.wait_s <= 0:
            return _result(entry)
        self.answer_later(partial(_waited, entry, request.wait_s))
        return None

    @receive
    def request_bounds(self, _: GetRequestBounds) -> RequestBounds:
        """Say how often a client may ask, and for how long it waits."""
        return self.bounds

    @receive
    def sweep(self, _: Sweep) -> None:
        """Forget what is older than it may be and has its decision."""
        before = self.clock.monotonic() - self.keep_ns
        old = [name for name, entry in self.submitted.items() if entry.ts < before and entry.done.is_set()]
        for name in old:
            del self.submitted[name]

    @receive
    def probe(self, _: Probe) -> ProbeReport:
        """Say how many there are."""
        return ProbeReport("ok", figures=(("remembered", len(self.submitted)), ("under_way", self.under_way)))


async def _waited(entry: Submitted, wait_s: float) -> Decision:
    with trio.move_on_after(wait_s):
        await entry.done.wait()
    return _result(entry)


def _result(entry: Submitted) -> Decision:
    if entry.decision is not None:
        return entry.decision
    if entry.error:
        raise Refused("invalid", entry.error)
    raise Refused("pending", "the decision is not there yet: ask again", "request_id")
