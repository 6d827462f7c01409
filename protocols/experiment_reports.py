"""Reports of A/B tests: what was counted, effects and their intervals, and what may be claimed. None: not known."""

from __future__ import annotations

import msgspec

from protocols.control import Message, Request
from protocols.experiments import DEFAULT_TEST


class ArmReport(msgspec.Struct, frozen=True, gc=False, kw_only=True):
    """One arm. `mean`: of its user-days, winsorised; `sd`: between units. `expected_share`: of the units.

    `winning_units`: those whose mean is above 0. `pending`: decisions to trade whose outcome is not known (yet).
    """

    name: str
    serves: str
    expected_share: float
    units: int
    exposures: int
    requests: int
    user_days: int
    mean: float | None
    sd: float | None
    winning_units: int | None
    pending: int
    served_by: tuple[tuple[str, int], ...]
    reasons: tuple[tuple[str, int], ...]
    p99_ms: float | None


class Interval(msgspec.Struct, frozen=True, gc=False, kw_only=True):
    """An estimate with its interval and p."""

    estimate: float
    low: float
    high: float
    p: float | None = None


class FixedHorizon(msgspec.Struct, frozen=True, gc=False, kw_only=True):
    """Right for one look at a number of units that was fixed before, and for no other."""

    welch: Interval | None
    df: float | None
    winning_units: Interval | None
    """The difference of the shares of winning units: pooled z, interval unpooled."""
    relative: Interval | None
    label: str = "fixed horizon: valid for one look at a number of units that was fixed before"


class AnyTime(msgspec.Struct, frozen=True, gc=False, kw_only=True):
    """Right at every look. `p`: always valid."""

    difference: Interval | None
    tuned_for: float
    label: str = "always valid: may be looked at all the time"


class CupedReport(msgspec.Struct, frozen=True, gc=False, kw_only=True):
    """The same after what units did before their exposure was taken out."""

    fixed: Interval | None
    any_time: Interval | None
    theta: float
    correlation: float
    units: int
    variance_left: float
    """1 - correlation squared."""


class EffectReport(msgspec.Struct, frozen=True, gc=False, kw_only=True):
    """An arm against the default one; differences are the arm minus the default."""

    arm: str
    against: str
    absolute: float | None
    relative: float | None
    fixed_horizon: FixedHorizon
    any_time: AnyTime
    cuped: CupedReport | None
    better: float | None
    """P(the arm has more winning units), uniform priors; an opinion, no test."""
    state: str


class ShadowReport(msgspec.Struct, frozen=True, gc=False, kw_only=True):
    """A shadow against what was served, on the same requests: shadow minus live per user-day.

    A pair has an outcome where it follows from the live one: the shadow said the same, or would not have traded, or
    nobody would. `unknown`: pairs without.
    """

    arm: str
    pairs: int
    agreement: float | None
    units: int
    known: int
    unknown: int
    difference: Interval | None
    state: str


class AbTestReport(Message, frozen=True, gc=False, kw_only=True, tag="ab_test_report"):
    """What a test says so far, of one phase alone."""

    name: str
    version: int
    state: str
    blocked: bool
    """True: nothing is claimed, whatever the figures are; `reasons` says why."""
    reasons: tuple[str, ...]
    metric: str
    metric_why: str
    since: int
    until: int
    srm_p: float | None
    flagged: int
    winsor_low: float
    winsor_high: float
    alpha: float
    arms: tuple[ArmReport, ...]
    effects: tuple[EffectReport, ...]
    shadows: tuple[ShadowReport, ...]
    ts: int


class GetReport(Request[AbTestReport], frozen=True, gc=False, kw_only=True, tag="get_ab_report"):
    """Asks for the report of a test, of its newest phase (`version` 0) or an older one that is remembered."""

    name: str = DEFAULT_TEST
    version: int = 0
