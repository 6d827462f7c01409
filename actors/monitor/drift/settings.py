"""`[drift]`: what is compared with what, and when a difference counts."""

from __future__ import annotations

from typing import Annotated

import msgspec

from actors.monitor.drift.page_hinkley import PageHinkleySettings

SECTION = "drift"


class DriftSettings(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """`[drift]`: how models are watched."""

    enabled: bool = True
    interval_s: Annotated[float, msgspec.Meta(ge=0.1, le=86_400)] = 300.0
    """Models are examined every so many seconds."""
    reference: Annotated[int, msgspec.Meta(ge=50, le=100_000)] = 1000
    """So many of its first observations are the reference of a model, …"""
    reference_h: Annotated[float, msgspec.Meta(ge=0, le=720)] = 24.0
    """… spread over so many hours at least: a reference of a quarter of an hour would find the rest of the day odd."""
    minimum: Annotated[int, msgspec.Meta(ge=50, le=1_000_000)] = 200
    """With fewer observations in the window nothing is said."""
    window_h: Annotated[int, msgspec.Meta(ge=1, le=168)] = 24
    """The present is this hour and those before it, so many in all."""
    level: Annotated[float, msgspec.Meta(gt=0, lt=0.5)] = 0.01
    """At most this part of the features that are called drifted at one examination are so by chance, in expectation."""
    floor: Annotated[float, msgspec.Meta(ge=0, le=10)] = 0.1
    """A population stability index below it is not material, however sure it is."""
    thin_s: Annotated[float, msgspec.Meta(ge=0, le=3600)] = 60.0
    """At most one observation of a model and symbol in so many seconds counts: neighbours in time are alike, and would
    be taken for evidence."""
    outcome_minimum: Annotated[int, msgspec.Meta(ge=1, le=100_000)] = 30
    outcome_delta: Annotated[float, msgspec.Meta(ge=0, le=1)] = 0.05
    """Rises of the mean error below it are tolerated."""
    outcome_threshold: Annotated[float, msgspec.Meta(gt=0, le=10_000)] = 20.0
    """How much evidence makes an alarm: about so many decisions that were surely expected to succeed, and did not."""
    accuracy_of: Annotated[int, msgspec.Meta(ge=10, le=100_000)] = 200
    """The accuracy of a model is that of its newest outcomes, so many; below `outcome_minimum` there is none."""
    loss_h: Annotated[float, msgspec.Meta(gt=0, le=168)] = 24.0
    """For how long after its alarm a loss of performance counts."""
    models: Annotated[int, msgspec.Meta(ge=1, le=1000)] = 50
    features: Annotated[int, msgspec.Meta(ge=1, le=2000)] = 200

    @property
    def page_hinkley(self) -> PageHinkleySettings:
        """How outcomes are watched."""
        return PageHinkleySettings(
            min_instances=self.outcome_minimum, delta=self.outcome_delta, threshold=self.outcome_threshold
        )
