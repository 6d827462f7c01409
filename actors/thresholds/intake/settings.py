"""What can be set of the outcomes that thresholds learn from: `[threshold_outcomes]`."""

from __future__ import annotations

from typing import Annotated, Final

import msgspec

from actors.thresholds.performance import ENOUGH, ScoreWeights

SECTION: Final = "threshold_outcomes"
Seconds = Annotated[float, msgspec.Meta(gt=0)]
Share = Annotated[float, msgspec.Meta(ge=0, le=1)]


class OutcomeSettings(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """Durations in seconds, shares of 0 to 1."""

    horizon_s: Seconds = 3600.0
    """When a signal without an expiry is over, and what it came to is looked up."""
    fee_rate: Share = 0.001
    """What each leg of a signal that was not traded would have cost, as a share of its price."""
    bar_spread: Share = 0.001
    """Where only bars are known: how far apart the two sides are taken to be, as a share of the price."""
    stale_s: Seconds = 60.0
    """A price that is older than this says nothing."""
    grace_s: Annotated[float, msgspec.Meta(ge=0)] = 0.5
    """How long after the end of a signal a price is waited for."""
    most_open: Annotated[int, msgspec.Meta(ge=1, le=1_000_000)] = 100_000
    """Signals that are followed at once."""
    follow_deployments: bool = True
    """Whether the signals of the runtime's own deployments are followed."""
    min_trades: Annotated[int, msgspec.Meta(ge=2)] = ENOUGH
    """With fewer trades nothing is said of a performance."""
    window_days: Annotated[int, msgspec.Meta(ge=1, le=3650)] = 30
    """What is judged: the trades of so many days …"""
    window_trades: Annotated[int, msgspec.Meta(ge=2, le=500)] = 100
    """… and of these the last so many."""
    poor_below: Share = 0.2
    """A score below this is poor: the cooldown begins."""
    weights: ScoreWeights = ScoreWeights()
    """Of the figures in the score."""

    def __post_init__(self) -> None:
        if self.min_trades > self.window_trades:
            raise ValueError(
                f"min_trades: expected at most window_trades ({self.window_trades}), got {self.min_trades}"
            )
