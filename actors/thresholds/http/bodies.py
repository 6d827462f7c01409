"""Requests and answers of the threshold service over HTTP, in its own names.

A threshold `rsi` is called `rsi_threshold` here. Success is `{"success": true, "data": …}`. What is not known is null.
"""

from __future__ import annotations

import math
from typing import Annotated, Any, Final, Generic, Literal, TypeVar

import msgspec

from actors.edge.errors import HttpError
from actors.thresholds.records import confidence_of, text_of
from protocols.signal_stream import timestamp
from protocols.thresholds import (
    MOVES,
    AdaptationRecord,
    GatedSignal,
    RuleVerdict,
    ThresholdAction,
    ThresholdsView,
    Verdict,
)

T = TypeVar("T")
UNKNOWN_SYMBOL: Final = "UNKNOWN"
ACTIONS: Final = ("BUY", "SELL", "HOLD", "CLOSE_LONG", "CLOSE_SHORT", "CLOSE_ALL")
User = Annotated[str, msgspec.Meta(min_length=1, max_length=256)]
Name = Annotated[str, msgspec.Meta(max_length=256)]
BATCH: Final = 1000


class Success(msgspec.Struct, Generic[T], frozen=True, kw_only=True):
    """How every answer looks."""

    success: Literal[True] = True
    data: T


# Signals.


class SignalBody(msgspec.Struct, frozen=True):
    """A signal. What is left out is missing: it is not taken for zero. Further fields do not matter."""

    symbol: Name = UNKNOWN_SYMBOL
    confidence: float | None = None
    rsi: float | None = None
    macd: float | None = None
    change_percent: float | None = None
    volume: float | None = None
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


def named(parameter: str) -> str:
    """A threshold's name here."""
    return f"{parameter}_threshold"


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


# Thresholds.


class WhichThresholds(msgspec.Struct, frozen=True):
    """Of whom, on which symbol; without one: those of no symbol in particular."""

    user_id: User
    symbol: Name = ""


class Adapt(msgspec.Struct, frozen=True):
    """`force`: without waiting for the 24 hours; cooldowns and freezes hold all the same."""

    user_id: User
    symbol: Name | None = None
    force: bool = False


class Reset(msgspec.Struct, frozen=True):
    """Of whom."""

    user_id: User
    symbol: Name | None = None


class AdaptEverybody(msgspec.Struct, frozen=True):
    """`force` as above."""

    force: bool = False


class ThresholdBody(msgspec.Struct, frozen=True, kw_only=True):
    """One threshold in full. `frozen_by`: why nothing moves; `cooldown_until`: null where none runs."""

    value: float
    default: float
    initial: float
    minimum: float
    maximum: float
    version: int
    adaptation_count: int
    last_adaptation: str | None
    candidate: float
    decisions: int
    frozen_by: tuple[str, ...]
    cooldown_until: str | None


class ThresholdsBody(msgspec.Struct, frozen=True, kw_only=True):
    """Thresholds of a user. `provisional`: what was stored could not be read yet, these are defaults; `remark`: why."""

    user_id: str
    symbol: str | None
    thresholds: dict[str, float]
    last_adaptation: str | None
    parameters: dict[str, ThresholdBody]
    provisional: bool
    remark: str | None


class ResetBody(msgspec.Struct, frozen=True):
    """The defaults hold again."""

    message: str
    user_id: str
    symbol: str | None
    thresholds: dict[str, float]


class UpdateBody(msgspec.Struct, frozen=True):
    """A threshold that moved."""

    parameter: str
    old_value: float
    new_value: float
    reason: str
    confidence: float


class HeldBody(msgspec.Struct, frozen=True):
    """A threshold that did not move, and why."""

    parameter: str
    value: float
    reason_code: str
    reason: str


class AdaptedBody(msgspec.Struct, frozen=True):
    """What a cycle has moved, and what not."""

    user_id: str
    symbol: str | None
    updates: tuple[UpdateBody, ...]
    unchanged: tuple[HeldBody, ...]
    adapted_at: str


class AdaptedAllBody(msgspec.Struct, frozen=True):
    """A cycle of everybody. `results`: by `user/symbol`, how many thresholds moved."""

    total_users: int
    total_updates: int
    results: dict[str, int]
    failures: int
    reasons: tuple[str, ...]
    adapted_at: str


def thresholds_body(view: ThresholdsView) -> ThresholdsBody:
    """Thresholds as they are shown."""
    return ThresholdsBody(
        user_id=view.user_id,
        symbol=view.symbol or None,
        thresholds=values_of(view),
        last_adaptation=when(view.last_adaptation),
        parameters={
            named(each.name): ThresholdBody(
                value=each.value,
                default=each.default,
                initial=each.initial,
                minimum=each.lower,
                maximum=each.upper,
                version=each.version,
                adaptation_count=each.adaptation_count,
                last_adaptation=when(each.last_adaptation),
                candidate=each.candidate,
                decisions=each.decisions,
                frozen_by=each.frozen_by,
                cooldown_until=when(each.until),
            )
            for each in view.thresholds
        },
        provisional=view.provisional,
        remark=view.remark or None,
    )


def values_of(view: ThresholdsView) -> dict[str, float]:
    """What is served, by its name here."""
    return {named(name): value for name, value in view.values.items()}


def adapted_body(user: str, symbol: str, records: tuple[AdaptationRecord, ...], at: int) -> AdaptedBody:
    """A cycle as it is shown."""
    moved = [each for each in records if each.reason_code in MOVES]
    held = [each for each in records if each.reason_code not in MOVES]
    return AdaptedBody(
        user_id=user,
        symbol=symbol or None,
        updates=tuple(update_body(each) for each in moved),
        unchanged=tuple(
            HeldBody(named(each.parameter), each.applied, each.reason_code, text_of(each)) for each in held
        ),
        adapted_at=timestamp(at),
    )


def update_body(record: AdaptationRecord) -> UpdateBody:
    """A move as it is shown."""
    return UpdateBody(named(record.parameter), record.old, record.applied, text_of(record), confidence_of(record))


def when(ns: int | None) -> str | None:
    """A time, or null for none."""
    return timestamp(ns) if ns else None


# Records.


class WhichRecords(msgspec.Struct, frozen=True):
    """Of whom; without a symbol: of all."""

    user_id: User
    symbol: Name | None = None
    hours_back: Annotated[float, msgspec.Meta(gt=0, le=87_600)] = 720.0
    limit: Annotated[int, msgspec.Meta(ge=1, le=500)] = 100


class RecordBody(msgspec.Struct, frozen=True):
    """What moved a threshold: all that it can be computed from again, and the same in words."""

    timestamp: str
    text: str
    record: AdaptationRecord


class RecordsBody(msgspec.Struct, frozen=True):
    """The newest first. `remark`: why there may be more."""

    user_id: str
    records: tuple[RecordBody, ...]
    remark: str | None


# Trades.


class TradeBody(msgspec.Struct, frozen=True, kw_only=True):
    """What a trade came to. Wanted is one of: `return` (a share after costs: 0.01 is 1 %); `pnl_percent`; `pnl` with
    `entry_price` and `quantity`; `entry_price` and `exit_price` with an `action`, and `fees` with a `quantity`."""

    return_: float | None = msgspec.field(default=None, name="return")
    pnl_percent: float | None = None
    pnl: float | None = None
    fees: float | None = None
    entry_price: float | None = None
    exit_price: float | None = None
    quantity: float | None = None
    action: str | None = None
    opened_at: int | float | str | None = None
    closed_at: int | float | str | None = None
    trade_id: Name = msgspec.field(default="", name="id")
    session_id: Name = ""


class UpdatePerformance(msgspec.Struct, frozen=True):
    """A closed trade of a user. `signal` or `signal_id` (of an evaluated one): what it was traded upon; without
    either the thresholds cannot learn from it."""

    user_id: User
    symbol: Annotated[str, msgspec.Meta(min_length=1, max_length=256)]
    trade: TradeBody
    signal: SignalBody | None = None
    signal_id: Name = ""


class TradeTakenBody(msgspec.Struct, frozen=True):
    """The trade is stored. `repeated`: it was already. `learning`: whether thresholds learn from it; `remark`: why
    not."""

    trade_id: str
    symbol: str
    pnl_percent: float
    repeated: bool
    learning: bool
    remark: str | None
    recorded_at: str


def share_of(trade: TradeBody) -> float:
    """The return of a trade. Raises HttpError 400 where it cannot be told."""
    if trade.return_ is not None:
        return trade.return_
    if trade.pnl_percent is not None:
        return trade.pnl_percent / 100
    stake = None
    if trade.entry_price is not None and trade.quantity is not None:
        stake = abs(trade.entry_price * trade.quantity)
    if trade.pnl is not None and stake:
        return trade.pnl / stake
    action = (trade.action or "").upper()
    entry, exit_price = trade.entry_price, trade.exit_price
    if entry and exit_price is not None and action in ("BUY", "SELL"):
        costs = trade.fees / stake if trade.fees is not None and stake else 0.0
        if trade.fees is None or stake:
            return (1 if action == "BUY" else -1) * (exit_price - entry) / entry - costs
    got = [name for name, value in msgspec.structs.asdict(trade).items() if value not in (None, "")]
    message = (
        "trade: expected return, pnl_percent, pnl with entry_price and quantity, or entry_price and exit_price with an "
        f"action (and a quantity where there are fees), got {', '.join(got) or 'nothing'}"
    )
    raise HttpError(400, "invalid", message, "trade")


def nanoseconds(given: float | str | None, field: str) -> int:
    """A time as clients write it (ISO 8601, or s, ms, µs, ns since 1970), in ns; 0: not said. Raises HttpError 400."""
    if given is None:
        return 0
    if isinstance(given, str):
        from datetime import UTC, datetime

        try:
            at = datetime.fromisoformat(given)
            at = at if at.tzinfo is not None else at.replace(tzinfo=UTC)
            return int(at.timestamp() * 1_000_000) * 1000
        except (ValueError, OverflowError):
            raise HttpError(400, "invalid", f"{field}: expected ISO 8601, or a number, got {given!r}", field) from None
    if not 0 <= given < 2**63 or not math.isfinite(given):
        raise HttpError(400, "invalid", f"{field}: expected a time since 1970, got {given}", field)
    for limit, factor in ((1e11, 10**9), (1e14, 10**6), (1e17, 10**3)):
        if given < limit:
            return int(given * factor)
    return int(given)


Answer = dict[str, Any]
