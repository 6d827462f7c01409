"""How answers are made: the rule's, the fallback's, and a policy's. A core; every decision is put together here."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from actors.decisions.serving import rule, verdicts
from protocols.decisions import FALLBACK, RULE, THRESHOLDS, Decide, Decision, Factor, Reason, Verdict
from protocols.experiments import Assignment

if TYPE_CHECKING:  # a node that decides by the rule alone needs no numpy
    from actors.decisions.policy import PolicyAnswer, PolicyInfo

WORDS: Final[dict[Reason, str]] = {
    "TIMEOUT": "the model had no answer in time",
    "REJECTED": "there was no room for the request",
    "CIRCUIT_OPEN": "the model's breaker is open",
    "MODEL_ERROR": "the model has no answer",
    "STALE_OBS": "the observation is too old",
    "LOW_CONFIDENCE": "the model's confidence is too low",
    "MISSING_FEATURES": "too few features are known",
}


def by_rule(request: Decide, assignment: Assignment | None, ts: int, took_ns: int = 0) -> Decision:
    """The answer of an arm that the fixed rule serves."""
    outside = None if request.verdict is None or request.verdict.source else request.verdict
    return _ruled(request, outside, assignment, RULE, "", "", (), ts, took_ns, 0)


def by_thresholds(request: Decide, assignment: Assignment | None, ts: int, took_ns: int = 0) -> Decision:
    """The answer of an arm that thresholds serve: without their verdict on an order, the fallback's."""
    verdict = request.verdict
    if request.proposal.action in ("BUY", "SELL") and (verdict is None or verdict.approved is None):
        detail = "no verdict of the thresholds" + ("" if verdict is None else f" ({verdict.reasoning})")
        why = f"fallback (MODEL_ERROR: {detail})"
        return _ruled(request, None, assignment, FALLBACK, "MODEL_ERROR", why, (), ts, took_ns, 0)
    return _ruled(request, verdict, assignment, THRESHOLDS, "", "", (), ts, took_ns, 0)


def by_fallback(
    request: Decide,
    reason: Reason,
    assignment: Assignment | None,
    ts: int,
    *,
    detail: str = "",
    missing: tuple[str, ...] = (),
    took_ns: int = 0,
    queue_ns: int = 0,
) -> Decision:
    """The rule's answer in place of the arm's own, with the reason; the request counts for its arm all the same."""
    why = f"fallback ({reason}: {detail or WORDS[reason]})"
    standing = verdicts.standing(request.verdict)
    return _ruled(request, standing, assignment, FALLBACK, reason, why, missing, ts, took_ns, queue_ns)


def _ruled(
    request: Decide,
    verdict: Verdict | None,
    assignment: Assignment | None,
    served_by: str,
    reason: Reason,
    why: str,
    missing: tuple[str, ...],
    ts: int,
    took_ns: int,
    queue_ns: int,
) -> Decision:
    answer = verdicts.decide(request.proposal, verdict)
    return Decision(
        decision_id=request.decision_id,
        user_id=request.user_id,
        symbol=request.symbol,
        action=answer.action,
        should_trade=answer.should_trade,
        confidence=answer.confidence,
        confidence_kind="rule",
        reasoning=f"{why}; {answer.text}" if why else answer.text,
        served_by=served_by,
        reason=reason,
        experiment="" if assignment is None else assignment.experiment,
        version=0 if assignment is None else assignment.version,
        arm="" if assignment is None else assignment.arm,
        priority=request.priority,
        missing=missing,
        signal_id=request.signal_id,
        agent_id=request.agent_id,
        queue_ns=queue_ns,
        took_ns=took_ns,
        ts=ts,
        marks=request.observation.marks,
        verdict=request.verdict,
    )


def by_model(
    request: Decide,
    name: str,
    version: str,
    info: PolicyInfo,
    answer: PolicyAnswer,
    assignment: Assignment | None,
    ts: int,
    *,
    actions: tuple[str, ...],
    trade_above: float = rule.TRADE_ABOVE,
    missing: tuple[str, ...] = (),
    regimes: tuple[tuple[str, float], ...] = (),
    factors: tuple[Factor, ...] = (),
    unexplained: str = "",
    cached: bool = False,
    queue_ns: int = 0,
    took_ns: int = 0,
) -> Decision:
    """What a policy said. It trades when the action is no HOLD and the confidence is above `trade_above`.

    Its reasons are told in words, too; `unexplained`: why there are none, where they were asked for.
    """
    meaning = info.actions[answer.action]
    marks = request.observation.marks
    if info.marks:
        marks = (*marks, *(mark for mark in info.marks if mark not in marks))
    why = f"{name} {version}: {meaning.name} ({info.confidence_kind} {answer.confidence:.3f})"
    if factors:
        why = "; ".join((why, *(factor.text for factor in factors)))
    elif unexplained:
        why = f"{why}; it cannot be explained: {unexplained}"
    return Decision(
        decision_id=request.decision_id,
        user_id=request.user_id,
        symbol=request.symbol,
        action=meaning.side,
        should_trade=meaning.side != "HOLD" and answer.confidence > trade_above,
        confidence=answer.confidence,
        confidence_kind=info.confidence_kind,
        reasoning=why,
        served_by=name,
        probabilities=tuple(zip(actions, answer.probabilities, strict=False)),
        experiment="" if assignment is None else assignment.experiment,
        version=0 if assignment is None else assignment.version,
        arm="" if assignment is None else assignment.arm,
        model=name,
        model_version=version,
        priority=request.priority,
        missing=missing,
        regimes=regimes,
        factors=factors,
        signal_id=request.signal_id,
        agent_id=request.agent_id,
        cached=cached,
        queue_ns=queue_ns,
        took_ns=took_ns,
        ts=ts,
        marks=marks,
        verdict=request.verdict,
    )
