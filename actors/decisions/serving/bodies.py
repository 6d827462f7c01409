"""What predictions look like over HTTP and WebSocket."""

from __future__ import annotations

from typing import Annotated, Any, Final, Literal

import msgspec

from actors.decisions.features.checking import FeatureError
from actors.decisions.features.names import REGIMES
from actors.decisions.features.request import from_request
from actors.decisions.regimes.filter import WARM_UP, RegimeFilter
from actors.edge.errors import HttpError
from protocols.decisions import FALLBACK, RULE, THRESHOLDS, Decide, Decision, DecisionAction, Factor
from protocols.signal_stream import timestamp

Name = Annotated[str, msgspec.Meta(min_length=1, max_length=200)]
Priority = Annotated[int, msgspec.Meta(ge=1, le=3)]
Timeout = Annotated[float, msgspec.Meta(gt=0, le=30)]
Share = Annotated[float, msgspec.Meta(ge=0, le=1)]
ModelUsed = Literal["rl_ensemble", "adaptive_threshold", "error_fallback"]
RETURNS: Final = 200
"""So many of the newest returns of a request's candles tell the regime; the first 50 of them its scale."""


class Predict(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What is to be decided upon. Fields of `signal_data` and `market_data` that are not sent are missing, never 0.

    `priority`: 1 high, 2 normal, 3 low. `model`: this one, and no experiment. `regimes`: probabilities by name.
    """

    user_id: Name
    symbol: Name
    signal_data: dict[str, Any]
    market_data: dict[str, Any] | None = None
    priority: Priority = 1
    timeout_seconds: Timeout | None = None
    """Null: the server's own (`decisions.timeout_s`)."""
    explain: bool = False
    model: Annotated[str, msgspec.Meta(max_length=64)] = ""
    min_confidence: Share | None = None
    regimes: dict[str, Share] | None = None


class PredictOverSocket(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """One question over a WebSocket; whose it is says the path."""

    symbol: Name = "BTC"
    signal_data: dict[str, Any] = {}
    market_data: dict[str, Any] | None = None
    priority: Priority = 1
    timeout_seconds: Timeout | None = None
    explain: bool = False
    request_id: Annotated[str, msgspec.Meta(max_length=100)] = ""


class Metadata(msgspec.Struct, frozen=True):
    """Of what, how urgent, when."""

    symbol: str
    priority: int
    timestamp: str


class Prediction(msgspec.Struct, frozen=True, kw_only=True):
    """The decision. `model_used` adaptive_threshold: the fixed rule, a control arm's; error_fallback: see `reason`."""

    should_trade: bool
    confidence: float
    action: DecisionAction
    reasoning: str
    model_used: ModelUsed
    fallback_used: bool
    request_id: str
    processing_time_ms: float
    metadata: Metadata
    served_by: str
    reason: str
    confidence_kind: str
    experiment: str
    arm: str
    model: str
    model_version: str
    cached: bool
    probabilities: dict[str, float]
    missing: tuple[str, ...]
    ignored: tuple[str, ...]
    """Keys of the request that mean nothing here."""
    regimes: dict[str, float]
    factors: tuple[Factor, ...]
    """Where it was asked for: the features that did most, in plain words."""
    queue_ms: float
    marks: tuple[str, ...]
    upstreams: dict[str, str]
    """Services outside that were asked before the decision: `ok`, or why they added nothing."""


class Submitted(msgspec.Struct, frozen=True):
    """The request was taken."""

    request_id: str
    status: str
    estimated_time_seconds: float
    timestamp: str


class Pushed(msgspec.Struct, frozen=True, tag_field="type", tag="prediction_result"):
    """A submitted request has its decision."""

    data: Prediction


class Lost(msgspec.Struct, frozen=True, tag_field="type", tag="lagged"):
    """So many results were not pushed, because the client reads too slowly; they can be fetched."""

    lost: int


class Problem(msgspec.Struct, frozen=True, tag_field="type", tag="error"):
    """What was not granted, and why. The connection goes on."""

    code: str
    message: str
    field: str | None = None


def decide_request(
    asked: Predict, decision_id: str, now: int, monotonic: int, timeout_s: float
) -> tuple[Decide, tuple[str, ...]]:
    """The request as the server takes it, and the keys that mean nothing; `timeout_s` where it does not say its own.

    Raises HttpError 400 with the field.
    """
    try:
        read = from_request(asked.signal_data, asked.market_data, now, symbol=asked.symbol)
    except FeatureError as error:
        raise HttpError(400, "invalid", str(error), error.field) from None
    request = Decide(
        decision_id=decision_id,
        user_id=asked.user_id,
        symbol=asked.symbol,
        observation=read.observation,
        deadline=monotonic + round((asked.timeout_seconds or timeout_s) * 1e9),
        proposal=read.proposal,
        priority=asked.priority,
        model=asked.model,
        regimes=_filtered(read.regimes_input) if asked.regimes is None else _regimes(asked.regimes),
        explain=asked.explain,
        min_confidence=asked.min_confidence,
    )
    return request, read.unknown


def _filtered(returns: tuple[float, ...]) -> tuple[float, ...]:
    """The regime that candles end in; empty where there are too few of them."""
    found: tuple[float, ...] = ()
    if len(returns) > WARM_UP:
        follow = RegimeFilter().update
        for value in returns[-RETURNS:]:
            found = follow(value)
    return found


def _regimes(given: dict[str, float]) -> tuple[float, ...]:
    for name in given:
        if name not in REGIMES:
            raise HttpError(400, "invalid", f"expected any of {', '.join(REGIMES)}, got {name[:100]!r}", "regimes")
    return tuple(given.get(name, 0.0) for name in REGIMES)


def prediction(
    decision: Decision, ignored: tuple[str, ...] = (), upstreams: dict[str, str] | None = None
) -> Prediction:
    """A decision in the words of HTTP."""
    by: ModelUsed = "rl_ensemble"
    if decision.served_by in (RULE, THRESHOLDS):
        by = "adaptive_threshold"
    elif decision.served_by == FALLBACK:
        by = "error_fallback"
    return Prediction(
        should_trade=decision.should_trade,
        confidence=decision.confidence,
        action=decision.action,
        reasoning=decision.reasoning,
        model_used=by,
        fallback_used=decision.served_by == FALLBACK,
        request_id=decision.decision_id,
        processing_time_ms=decision.took_ns / 1e6,
        queue_ms=decision.queue_ns / 1e6,
        metadata=Metadata(decision.symbol, decision.priority, timestamp(decision.ts)),
        served_by=decision.served_by,
        reason=decision.reason,
        confidence_kind=decision.confidence_kind,
        experiment=decision.experiment,
        arm=decision.arm,
        model=decision.model,
        model_version=decision.model_version,
        cached=decision.cached,
        probabilities=dict(decision.probabilities),
        missing=decision.missing,
        ignored=ignored,
        regimes=dict(decision.regimes),
        factors=decision.factors,
        marks=decision.marks,
        upstreams=upstreams or {},
    )
