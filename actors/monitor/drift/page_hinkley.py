"""The Page-Hinkley test: has the mean of a stream risen? Two of them, one upside down, find a change of either sign.

    mean_n = mean_{n-1} + (x_n - mean_{n-1}) / n
    S_n    = max(0, alpha * S_{n-1} + x_n - mean_n - delta)
    alarm when S_n >= threshold, from the observation on with which n + 1 >= min_instances

E. S. Page, "Continuous inspection schemes", Biometrika 41 (1954); the form with forgetting, the defaults and the count
from which it alarms are river's (`river.drift.PageHinkley`), so that its vectors hold. After an alarm the next
observation begins anew. Neither an event loop nor a clock: other capabilities import this.
"""

from __future__ import annotations

import math
from typing import Literal

import msgspec

Direction = Literal["up", "down"]


class PageHinkleySettings(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """When it alarms. `delta`: changes that are tolerated, `threshold` (lambda): how much evidence is asked for, both
    in the unit of what is observed; `alpha`: how slowly evidence is forgotten. Raises ValueError for what cannot be."""

    min_instances: int = 30
    delta: float = 0.005
    threshold: float = 50.0
    alpha: float = 1 - 0.0001

    def __post_init__(self) -> None:
        if self.min_instances < 1:
            raise ValueError(f"min_instances: expected at least 1, got {self.min_instances}")
        if not (math.isfinite(self.delta) and self.delta >= 0):
            raise ValueError(f"delta: expected at least 0, got {self.delta}")
        if not (math.isfinite(self.threshold) and self.threshold > 0):
            raise ValueError(f"threshold: expected above 0, got {self.threshold}")
        if not 0 < self.alpha <= 1:
            raise ValueError(f"alpha: expected above 0 and at most 1, got {self.alpha}")


class PageHinkleyState(msgspec.Struct, frozen=True):
    """One detector between two observations: all that it remembers."""

    count: int = 0
    mean: float = 0.0
    total: float = 0.0
    alarmed: bool = False


class PageHinkley:
    """One detector, for a rise of the mean; `direction="down"`: for a fall."""

    __slots__ = ("direction", "settings", "state")

    def __init__(
        self,
        settings: PageHinkleySettings = PageHinkleySettings(),  # noqa: B008 - frozen
        direction: Direction = "up",
        state: PageHinkleyState = PageHinkleyState(),  # noqa: B008 - frozen
    ) -> None:
        self.settings = settings
        self.direction = direction
        self.state = state
        """Save it, and give it to another detector with the same settings: that goes on from here."""

    def update(self, value: float) -> bool:
        """Take one observation in; whether it completes the evidence. Raises ValueError for one that is no number."""
        if not math.isfinite(value):
            raise ValueError(f"expected a finite number, got {value}")
        settings = self.settings
        before = PageHinkleyState() if self.state.alarmed else self.state
        observed = value if self.direction == "up" else -value
        count = before.count + 1
        mean = before.mean + (observed - before.mean) / count
        total = max(0.0, settings.alpha * before.total + (observed - mean - settings.delta))
        alarmed = count + 1 >= settings.min_instances and total >= settings.threshold
        self.state = PageHinkleyState(count, mean, total, alarmed)
        return alarmed

    @property
    def evidence(self) -> float:
        """How much of the threshold has been collected, of 1."""
        return min(1.0, self.state.total / self.settings.threshold)


class TwoSided:
    """A detector for a rise and one for a fall. An alarm of one begins both anew."""

    __slots__ = ("down", "up")

    def __init__(
        self,
        settings: PageHinkleySettings = PageHinkleySettings(),  # noqa: B008 - frozen
        states: tuple[PageHinkleyState, PageHinkleyState] = (PageHinkleyState(), PageHinkleyState()),
    ) -> None:
        self.up = PageHinkley(settings, "up", states[0])
        self.down = PageHinkley(settings, "down", states[1])

    def update(self, value: float) -> Direction | None:
        """Take one observation in; where the mean has gone, if the evidence is complete. Raises ValueError."""
        rose = self.up.update(value)
        fell = self.down.update(value)
        if not (rose or fell):
            return None
        for each in (self.up, self.down):
            each.state = PageHinkleyState()
        return "up" if rose else "down"

    @property
    def states(self) -> tuple[PageHinkleyState, PageHinkleyState]:
        """What both remember, for another life."""
        return self.up.state, self.down.state
