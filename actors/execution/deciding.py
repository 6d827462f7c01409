"""What a deployment asks the decision server, or thresholds, about a signal, and what it keeps of it. A core."""

from __future__ import annotations

from typing import Final

import msgspec

from actors.decisions.features.checking import FeatureError
from actors.decisions.features.names import FEATURE_SETS, MARKET_29
from actors.decisions.features.request import RequestFeatures, from_request
from actors.execution.deployments import Decided, Deployment
from protocols.decisions import THRESHOLDS, Decide, Decision
from protocols.decisions import Verdict as Said
from protocols.nanos import NANO
from protocols.signals import Signal
from protocols.thresholds import EvaluateSignal, GatedSignal, Verdict

MS: Final = 1_000_000
SAID: Final = (*FEATURE_SETS[MARKET_29], "volume")
"""What of a signal's metadata is looked at; numbers in the units of `actors/decisions/features/request.py`."""


def question(deployment: Deployment, signal: Signal, monotonic: int) -> Decide:
    """What is asked, at `monotonic` (ns). A repeat after a crash has the same id.

    The features are the numbers of the signal's metadata, NaN where it has none.
    """
    features = _features(signal)
    return Decide(
        decision_id=deployment.decision_id(signal),
        user_id=deployment.settings.user,
        symbol=signal.symbol,
        observation=msgspec.structs.replace(features.observation, ts_event=signal.ts_event),
        deadline=monotonic + deployment.settings.decision_ms * MS,
        proposal=features.proposal,
        signal_id=signal.signal_id,
    )


def gate_question(asked: Decide) -> EvaluateSignal:
    """What thresholds are asked about the same signal."""
    proposal = asked.proposal
    return EvaluateSignal(
        user_id=asked.user_id,
        symbol=asked.symbol,
        signal=GatedSignal(
            action=proposal.action,
            confidence=proposal.confidence,
            rsi=proposal.rsi,
            macd=proposal.macd,
            change_percent=proposal.change_percent,
            volume=proposal.volume,
        ),
        signal_id=asked.signal_id,
        ts_event=asked.observation.ts_event,
    )


def gated(asked: Decide, verdict: Verdict | None, why: str = "") -> Decide:
    """The question with what thresholds have said; None: nothing, and why."""
    if verdict is None:
        said = Said(None, why, source=THRESHOLDS)
    else:
        why = " (by defaults: what is stored cannot be read)" if verdict.provisional else ""
        said = Said(verdict.should_trade, f"{verdict.reasoning}{why}", source=THRESHOLDS)
    return msgspec.structs.replace(asked, verdict=said)


def _features(signal: Signal) -> RequestFeatures:
    """Of a signal. What a feature cannot be is as little known as what is not said; the order path does not stop."""
    metadata = msgspec.json.decode(signal.metadata)
    said: dict[str, object] = {name: metadata[name] for name in SAID if name in metadata}
    said |= {"action": signal.action, "confidence": signal.confidence}
    if signal.current_price is not None and signal.current_price > 0:
        said["price"] = signal.current_price / NANO
    while True:
        try:
            return from_request(said, None, signal.ts_created, signal.marks, signal.symbol)
        except FeatureError as error:
            # The account decides about BUY and SELL with a confidence from 0 to 1 only, so those are never to blame.
            del said[error.field.removeprefix("signal_data.")]


def decided(deployment_id: str, decision: Decision) -> Decided:
    """What is journaled of a decision."""
    return Decided(
        deployment_id=deployment_id,
        decision_id=decision.decision_id,
        should_trade=decision.should_trade,
        action=decision.action,
        confidence=decision.confidence,
        served_by=decision.served_by,
        reason=decision.reason,
        arm=decision.arm,
        text=decision.reasoning,
        marks=decision.marks,
    )
