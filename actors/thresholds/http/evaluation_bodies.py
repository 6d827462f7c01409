"""Signals to be judged, and what thresholds say of them, as HTTP clients write and read it."""

from __future__ import annotations

from typing import Annotated, Final

import msgspec

from actors.edge.errors import HttpError
from actors.thresholds.http.bodies import BATCH, Name, User, named
from protocols.signal_stream import timestamp
from protocols.thresholds import GatedSignal, RuleVerdict, ThresholdAction, Verdict

UNKNOWN_SYMBOL: Final = "UNKNOWN"
ACTIONS: Final = ("BUY", "SELL", "HOLD", "CLOSE_LONG", "CLOSE_SHORT", "CLOSE_ALL")
Share = Annotated[float, msgspec.Meta(ge=0, le=1)]
Percent = Annotated[float, msgspec.Meta(ge=0, le=100)]
Volume = Annotated[float, msgspec.Meta(ge=0)]


class SignalBody(msgspec.Struct, frozen=True):
    """A signal. What is left out is missing: it is not taken for zero. Further fields do not matter."""

    symbol: Name = UNKNOWN_SYMBOL
    confidence: Share | None = None
    rsi: Percent | None = None
    macd: float | None = None
    change_percent: float | None = None
    volume: Volume | None = None
    action: str | None = None
    signal_id: Name = ""

    def gated(self) -> GatedSignal:
        """What the rules read. Raises HttpError 400 for an action that is none."""
        action = None if self.action is None else self.action.upper()
        if action is not None and action not in ACTIONS:
            message = f"signal.action: expected one of {', '.join(ACTIONS)}, got {self.action!r}"
            raise HttpError(400, "invalid", message, "signal.action")
        said: ThresholdAction | None = action  # type: ignore[assignment] # one of ACTIONS
        return GatedSignal(
            action=said,
            confidence=self.confidence,
            rsi=self.rsi,
            macd=self.macd,
            change_percent=self.change_percent,
            volume=self.volume,
        )


class Evaluate(msgspec.Struct, frozen=True):
    """One signal of a user. `follow`: whether its outcome is to be found out, so that the thresholds learn from it;
    left out: where the caller has the bearer token."""

    user_id: User
    signal: SignalBody
    follow: bool | None = None


class EvaluateMany(msgspec.Struct, frozen=True):
    """Signals of a user, at most 1000."""

    user_id: User
    signals: Annotated[tuple[SignalBody, ...], msgspec.Meta(min_length=1, max_length=BATCH)]


class RuleBody(msgspec.Struct, frozen=True):
    """What one rule says."""

    parameter: str
    outcome: str
    value: float | None
    threshold: float
    reason: str


class Following(msgspec.Struct, frozen=True):
    """Whether the outcome of the signal is found out, and when; `why`: it is not."""

    followed: bool
    due: str | None
    why: str | None


class Evaluation(msgspec.Struct, frozen=True, kw_only=True):
    """Whether to trade. `threshold_adjustments` is the same as `current_thresholds`; `confidence_adjustment` is 0:
    thresholds judge a confidence, they do not change it."""

    user_id: str
    symbol: str
    should_trade: bool
    confidence_adjustment: float
    threshold_adjustments: dict[str, float]
    current_thresholds: dict[str, float]
    reasoning: str
    rules: tuple[RuleBody, ...]
    signal_id: str
    processing_time_ms: float
    evaluated_at: str
    outcome: Following | None


class Evaluations(msgspec.Struct, frozen=True):
    """One for each signal, in their order."""

    user_id: str
    results: tuple[Evaluation, ...]
    total: int
    approved: int


def evaluation(verdict: Verdict, took_ns: int, now: int, following: Following | None) -> Evaluation:
    """A verdict as it is shown."""
    thresholds = {named(name): value for name, value in verdict.thresholds}
    return Evaluation(
        user_id=verdict.user_id,
        symbol=verdict.symbol,
        should_trade=verdict.should_trade,
        confidence_adjustment=0.0,
        threshold_adjustments=thresholds,
        current_thresholds=thresholds,
        reasoning=verdict.reasoning,
        rules=tuple(map(_rule, verdict.rules)),
        signal_id=verdict.signal_id,
        processing_time_ms=took_ns / 1e6,
        evaluated_at=timestamp(verdict.ts or now),
        outcome=following,
    )


def _rule(rule: RuleVerdict) -> RuleBody:
    return RuleBody(named(rule.parameter), rule.outcome, rule.value, rule.threshold, rule.text)
