"""Asking for a decision so that there always is one. A core: it knows neither the loop nor the runtime.

Whatever becomes of the server (full, restarting, dead, gone), the caller has an answer by the request's deadline: the
fallback's, with the reason, and with the arm of the user where the plans are known to the caller.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Final, Protocol

from actors.decisions.serving import answers
from protocols.control import Message, Refused, Unknown
from protocols.decisions import Decide, Decision, DecisionMade, Reason
from protocols.experiments import Assignment

MARGIN_NS: Final = 1_000_000
"""So long before the deadline the caller stops waiting, because making the fallback's answer takes time, too."""
CALLERS_OWN: Final = frozenset({"invalid", "cycle"})
"""Refusals that say that the question itself is wrong: no answer would be right."""


class Asked(Protocol):
    """A ref: `ActorRef` has this shape."""

    def ask(self, request: Decide, timeout: float) -> Awaitable[Decision]:
        """Ask and wait."""


class Time(Protocol):
    """A clock: the node's has this shape."""

    def now(self) -> int:
        """Wall time, nanoseconds."""

    def monotonic(self) -> int:
        """Nanoseconds since some moment of this run."""


class Assigning(Protocol):
    """What knows the plans: `Assigner` of `actors/decisions/experiments/assignment.py` has this shape."""

    def assign(self, user_id: str, symbol: str, ts: int) -> Assignment | None:
        """What the user gets."""


async def decide(
    ref: Asked,
    request: Decide,
    clock: Time,
    *,
    plans: Assigning | None = None,
    publish: Callable[[Message], object] | None = None,
) -> Decision:
    """Answer by `request.deadline` (`clock.monotonic()`, ns), by the fallback if need be.

    `plans`: for the arm of a fallback that is made here. `publish`: where such an answer is told as `DecisionMade`, for
    the server that should have told it did not; a server that is merely late tells its own, the fallback's as well.
    Raises Refused for what cannot be asked (`invalid` with its field).
    """
    began = clock.monotonic()
    try:
        return await ref.ask(request, (request.deadline - began - MARGIN_NS) / 1e9)
    except Refused as refused:
        late = False
        if refused.code in CALLERS_OWN:
            raise
        reason, detail = reason_of(refused.code), str(refused)
    except Unknown as unknown:
        late = clock.monotonic() >= request.deadline - 2 * MARGIN_NS
        reason, detail = ("TIMEOUT" if late else "MODEL_ERROR"), str(unknown)
    now = clock.now()
    assignment = plans.assign(request.user_id, request.symbol, now) if plans is not None and not request.model else None
    took = clock.monotonic() - began
    decision = answers.by_fallback(request, reason, assignment, now, detail=detail, took_ns=took)
    if publish is not None and not late:
        publish(DecisionMade(decision))
    return decision


def reason_of(code: str) -> Reason:
    """Why the fallback answers, from the code of a refusal."""
    if code == "expired":
        return "TIMEOUT"
    if code == "circuit_open":
        return "CIRCUIT_OPEN"
    return "MODEL_ERROR" if code in ("quarantined", "not_handled") else "REJECTED"
