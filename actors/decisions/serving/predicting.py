"""Predictions over HTTP: at once, or later."""

from __future__ import annotations

import math
import uuid
from typing import Annotated, Final

import msgspec

from actors.decisions.bridges.consulting import consulted
from actors.decisions.serving.bodies import (
    Predict,
    Prediction,
    Submitted,
    decide_request,
    prediction,
)
from actors.decisions.serving.buckets import Buckets
from actors.decisions.serving.client import decide
from actors.decisions.serving.messages import GetRequestBounds
from actors.decisions.serving.plans import KnownPlans
from actors.edge.call import Call
from actors.edge.errors import HttpError
from actors.edge.routing import Router
from protocols.control import Refused, Unknown
from protocols.decisions import Decide, Decision, GetDecision, SubmitDecision
from protocols.paths import DECISION_RESULTS, DECISIONS, EXPERIMENTS
from protocols.signal_stream import timestamp

ASK_S: Final = 1.0
TIMEOUT_S: Final = 5.0
"""Until nobody has said another."""


class Entrance:
    """What the edge knows of decisions: clients' buckets, the usual time-out, the plans for when the server is gone."""

    def __init__(self, _: Router) -> None:
        self.buckets: Buckets | None = None
        self.timeout_s = TIMEOUT_S
        self.plans = KnownPlans()


def entrance(call: Call) -> Entrance:
    """The one of this edge."""
    found: Entrance = call.router.once("decisions.entrance", Entrance)
    return found


class ResultQuery(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Which result, and for how long to wait for it, in seconds."""

    request_id: str
    timeout: Annotated[float, msgspec.Meta(ge=0.1, le=30)] = 10.0


async def admit(call: Call) -> float:
    """Take a token from the client's bucket, and say until when a request is answered that does not say it, in seconds.

    Raises HttpError 429 with `Retry-After` when there is no token.
    """
    known = entrance(call)
    if known.buckets is None:
        try:
            bounds = await call.ref(DECISION_RESULTS).ask(GetRequestBounds(), ASK_S)
        except (Refused, Unknown):
            return known.timeout_s  # nobody knows the bounds for now; the server's queue has its own
        known.timeout_s = bounds.timeout_s
        known.buckets = known.buckets or Buckets(bounds.requests_per_s, bounds.burst)
    wait_s = known.buckets.take(call.client, call.node.clock.monotonic())
    if wait_s:
        text = f"more than {known.buckets.rate:g} predictions a second from {call.client}"
        raise HttpError(429, "rate_limited", text, headers=(("retry-after", str(math.ceil(wait_s))),))
    return known.timeout_s


async def decided(request: Decide, call: Call) -> Decision:
    """Ask the server; whatever becomes of it, there is an answer before the deadline."""
    clock = call.node.clock
    plans = await entrance(call).plans.at(call.ref(EXPERIMENTS), clock.monotonic(), request.deadline)
    return await decide(call.ref(DECISIONS), request, clock, plans=plans, publish=call.node.topics.publish)


async def predict(request: Predict, call: Call) -> Prediction:
    """Answer by the user's arm, or by the fallback; always within `timeout_seconds`."""
    timeout_s = await admit(call)
    clock = call.node.clock
    asked, ignored = decide_request(request, str(uuid.uuid4()), clock.now(), clock.monotonic(), timeout_s)
    asked, upstreams = await consulted(asked, request.signal_data, request.market_data, call)
    return prediction(await decided(asked, call), ignored, upstreams)


async def submit(request: Predict, call: Call) -> Submitted:
    """Take a request whose decision is fetched later, or pushed to the user's WebSockets."""
    timeout_s = await admit(call)
    clock = call.node.clock
    asked, _ = decide_request(request, str(uuid.uuid4()), clock.now(), clock.monotonic(), timeout_s)
    asked, _ = await consulted(asked, request.signal_data, request.market_data, call)
    await call.ref(DECISION_RESULTS).ask(SubmitDecision(asked))
    return Submitted(asked.decision_id, "submitted", request.timeout_seconds or timeout_s, timestamp(clock.now()))


async def result(request: ResultQuery, call: Call) -> Prediction:
    """Answer the decision of a submitted request; 404 where there is none, or none in time."""
    try:
        decision = await call.ref(DECISION_RESULTS).ask(
            GetDecision(request.request_id, request.timeout), request.timeout + ASK_S
        )
    except Refused as refused:
        if refused.code == "pending":
            raise HttpError(404, "pending", refused.message, "request_id", headers=(("retry-after", "1"),)) from None
        raise
    return prediction(decision)
