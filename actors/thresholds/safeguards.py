"""What a threshold that is served may do, whatever the evidence: how far it moves at once, in a day, and when.

How far a move is, is measured as a share:

    linear   |new - old| / max(|old|, 10 % of the range)      the range keeps a threshold near 0 able to move
    log      max(new / old, old / new) - 1                    a volume of 10^9 may become 1.1 * 10^9 and not 10^9.9

At most `max_change` in one cycle, at most `daily_travel` within 24 hours, not less than `min_change` at once: what is
less waits, and the candidate, which has no such floor, goes on adding it up. 24 hours lie between two cycles unless
forced; nothing moves during a cooldown or while frozen, forced or not. Time is that of the events and never runs back:
an earlier time than was seen is taken for the latest one.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Final, Literal, NamedTuple

import msgspec

HOUR_NS: Final = 3_600_000_000_000
DAY_NS: Final = 24 * HOUR_NS
RANGE_SHARE: Final = 0.1


class SafeguardSettings(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The limits; `max_change`, `min_change`, `daily_travel` are shares. Raises ValueError for what cannot be."""

    max_change: float = 0.10
    min_change: float = 0.005
    daily_travel: float = 0.20
    cooldown_h: float = 48.0
    cycle_h: float = 24.0
    stale_h: float = 168.0
    """Without an outcome for so long, nothing moves."""

    def __post_init__(self) -> None:
        if not 0 <= self.min_change < self.max_change:
            raise ValueError(
                f"min_change: expected 0 to below max_change ({self.max_change:g}), got {self.min_change:g}"
            )
        if self.daily_travel < self.max_change:
            raise ValueError(
                f"daily_travel: expected at least max_change ({self.max_change:g}), got {self.daily_travel:g}"
            )
        if min(self.cooldown_h, self.cycle_h) < 0 or self.stale_h <= 0:
            raise ValueError("cooldown_h, cycle_h: expected 0 or more; stale_h: above 0")


class Limits(NamedTuple):
    """What one move is held to."""

    lower: float
    upper: float
    scale: Literal["linear", "log"]
    max_change: float
    min_change: float


class Move(NamedTuple):
    """Where a move ends. `clipped_by`: `bound`, `max_change`, `travel`; `held`: why it did not move at all."""

    applied: float
    clipped_by: tuple[str, ...]
    held: Literal["", "DEADBAND", "BOUND", "TRAVEL"]


class Travelled(msgspec.Struct, frozen=True, array_like=True):
    """One move: when, and how far."""

    ts: int
    share: float


def share(old: float, new: float, limits: Limits) -> float:
    """How far it is from `old` to `new`."""
    if limits.scale == "log":
        return max(new / old, old / new) - 1.0
    return abs(new - old) / max(abs(old), RANGE_SHARE * (limits.upper - limits.lower))


def limited(old: float, proposed: float, limits: Limits, travel_left: float) -> Move:
    """Go from `old` towards `proposed` as far as is allowed. Raises ValueError for what is no number."""
    if not (math.isfinite(old) and math.isfinite(proposed)):
        raise ValueError(f"proposed: expected a finite number, got {proposed} (from {old})")
    clipped = []
    goal = min(max(proposed, limits.lower), limits.upper)
    if goal != proposed:
        clipped.append("bound")
    if goal == old:
        return Move(old, tuple(clipped), "BOUND" if clipped else "DEADBAND")
    room = limits.max_change
    if share(old, goal, limits) > room:
        clipped.append("max_change")
        goal = _at(old, goal, room, limits)
    if share(old, goal, limits) > travel_left:
        clipped.append("travel")
        room = max(0.0, travel_left)
        goal = _at(old, goal, room, limits)
    if share(old, goal, limits) < limits.min_change or goal == old:
        return Move(old, tuple(clipped), "TRAVEL" if "travel" in clipped else "DEADBAND")
    return Move(goal, tuple(clipped), "")


def _at(old: float, goal: float, room: float, limits: Limits) -> float:
    """The point at that distance from `old` in the direction of `goal`, within the bounds and never further."""
    if limits.scale == "log":
        point = old * (1 + room) if goal > old else old / (1 + room)
    else:
        reach = room * max(abs(old), RANGE_SHARE * (limits.upper - limits.lower))
        point = old + reach if goal > old else old - reach
    point = min(max(point, limits.lower), limits.upper)
    while share(old, point, limits) > room:
        # Rounding may end a few units in the last place too far.
        point = math.nextafter(point, old)
    return point


def travel_left(moves: Sequence[Travelled], clock: int, settings: SafeguardSettings) -> float:
    """How far it may still go within the 24 hours that end now."""
    return max(0.0, settings.daily_travel - math.fsum(move.share for move in moves if move.ts > clock - DAY_NS))


def remembered(moves: Sequence[Travelled], clock: int) -> list[Travelled]:
    """Those that still count."""
    return [move for move in moves if move.ts > clock - DAY_NS]
