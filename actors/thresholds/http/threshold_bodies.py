"""Thresholds, their cycles and their records, as HTTP clients ask for them and read them."""

from __future__ import annotations

from typing import Annotated

import msgspec

from actors.thresholds.http.bodies import Name, User, named, when
from actors.thresholds.records import confidence_of, text_of
from protocols.signal_stream import timestamp
from protocols.thresholds import MOVES, AdaptationRecord, ThresholdsView


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
        updates=tuple(
            UpdateBody(named(each.parameter), each.old, each.applied, text_of(each), confidence_of(each))
            for each in moved
        ),
        unchanged=tuple(
            HeldBody(named(each.parameter), each.applied, each.reason_code, text_of(each)) for each in held
        ),
        adapted_at=timestamp(at),
    )


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
