"""The report of a phase: effects, their intervals, and what may be said. A core; takes long enough for a thread.

The unit of analysis is the user-day, the error is that of users (`statistics.per_unit`): users differ, and one user's
days do not count as if they were several users'. Intention to treat: a unit stays in its arm, whoever served it.
Claims come from the always-valid interval alone; the fixed-horizon figures stand beside it with their label.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Final

import msgspec
import numpy as np

from actors.decisions.experiments.phase import DAY_NS, UnitFigures
from actors.decisions.experiments.plans import serving_arms
from actors.decisions.experiments.sequences import always_valid_p, half_width
from actors.decisions.experiments.srm import SRM_ALARM
from actors.decisions.experiments.statistics import (
    Comparison,
    Floats,
    Sample,
    cuped,
    cuped_theta,
    holm,
    per_unit,
    probability_of_better,
    relative_lift,
    srm,
    two_proportions,
    welch,
    winsorised,
)
from protocols.experiment_reports import (
    AbTestReport,
    AnyTime,
    ArmReport,
    CupedReport,
    EffectReport,
    FixedHorizon,
    Interval,
    ShadowReport,
)
from protocols.experiments import ExperimentPlan

OUTCOMES_METRIC: Final = "outcome returns per user-day"
EQUITY_METRIC: Final = "equity change per user-day"
NOT_ENOUGH: Final = "not enough data"
MIN_CUPED: Final = 20
"""Units with a time before, over both arms, below which nothing is adjusted by it."""

Equity = Mapping[str, Mapping[int, float]]
"""By user and day (days since 1970, UTC): the change of equity as a share of what the day began with."""


class ArmFigures(msgspec.Struct, frozen=True, kw_only=True):
    """What is counted of an arm, beside its units."""

    exposures: int = 0
    requests: int = 0
    served_by: tuple[tuple[str, int], ...] = ()
    reasons: tuple[tuple[str, int], ...] = ()
    p99_ms: float | None = None


class PhaseFigures(msgspec.Struct, frozen=True, kw_only=True):
    """All that the report is made of; flagged units are left out of `units` already. `before`: outcomes by user and
    day from before this phase. `shadows`: name, pairs, agreed, known, unknown, sums of differences by user and day."""

    plan: ExperimentPlan
    since: int
    until: int
    units: tuple[UnitFigures, ...]
    arms: Mapping[str, ArmFigures]
    flagged: int
    before: Equity = {}
    equity: Equity | None = None
    equity_why: str = ""
    shadows: tuple[tuple[str, int, int, int, int, tuple[tuple[float, int], ...]], ...] = ()


class _Arm:
    """An arm's units as numbers: of each unit with a user-day its value and, where there is one, its time before."""

    def __init__(self, name: str, rows: list[tuple[float, int, float | None]], analysis_units: int) -> None:
        self.name = name
        self.units = analysis_units
        self.days = sum(days for _, days, _ in rows)
        sums = np.array([total for total, _, _ in rows], dtype=np.float64)
        counts = np.array([float(days) for _, days, _ in rows])
        spread = per_unit(sums, counts) if rows else None
        self.values: Floats = np.empty(0) if spread is None else spread
        self.winning = int((sums > 0).sum())
        self.before = np.array([math.nan if before is None else before for _, _, before in rows], dtype=np.float64)
        self.sample = Sample.of(self.values)


def report(figures: PhaseFigures, now: int) -> AbTestReport:
    """Everything that can be said of a phase at `now` (ns)."""
    plan, registered = figures.plan, figures.plan.analysis
    metric, why, values = _metric(figures)
    names = [arm.name for arm in serving_arms(plan)]
    arms = {name: _Arm(name, values[name], sum(unit.arm == name for unit in figures.units)) for name in names}
    weights = [arm.weight for arm in serving_arms(plan)]
    ratio = srm([arms[name].units for name in names], weights)
    reasons = _blocking(figures, ratio)
    effects = [_effect(arms[names[0]], arms[name], registered.tuned_for, registered.alpha) for name in names[1:]]
    claims = holm(
        [each.any_time.difference.p if _claimable(each) else 1.0 for each in effects],  # type: ignore[union-attr, misc]
        registered.alpha,
    )
    enough = min(len(arm.values) for arm in arms.values()) >= registered.min_units
    effects = [
        msgspec.structs.replace(each, state=_state(each, claim, enough, bool(reasons)))
        for each, claim in zip(effects, claims, strict=True)
    ]
    return AbTestReport(
        name=plan.name,
        version=plan.version,
        state=_whole_state(plan, reasons, effects),
        blocked=bool(reasons),
        reasons=tuple(reasons),
        metric=metric,
        metric_why=why,
        since=figures.since,
        until=figures.until,
        srm_p=ratio,
        flagged=figures.flagged,
        winsor_low=registered.winsor_low,
        winsor_high=registered.winsor_high,
        alpha=registered.alpha,
        arms=tuple(
            _arm_report(figures, arms[name], weight / sum(weights)) for name, weight in zip(names, weights, strict=True)
        ),
        effects=tuple(effects),
        shadows=tuple(_shadow(figures, *each) for each in figures.shadows),
        ts=now,
    )


# The metric.


def _metric(figures: PhaseFigures) -> tuple[str, str, dict[str, list[tuple[float, int, float | None]]]]:
    """Its name, why it is that one, and by arm of each unit: its sum, its user-days, its mean before."""
    if figures.plan.analysis.metric == "outcomes":
        return OUTCOMES_METRIC, "registered", _by_arm(figures, None)
    equity = _by_arm(figures, figures.equity or {})
    if figures.equity is None:
        return EQUITY_METRIC, f"registered; {figures.equity_why or 'the equity of accounts is not known'}", equity
    return EQUITY_METRIC, "registered", equity


def _by_arm(figures: PhaseFigures, equity: Equity | None) -> dict[str, list[tuple[float, int, float | None]]]:
    low, high = figures.plan.analysis.winsor_low, figures.plan.analysis.winsor_high
    found: dict[str, list[tuple[float, int, float | None]]] = {arm.name: [] for arm in serving_arms(figures.plan)}
    for unit in figures.units:
        exposed = unit.ts // DAY_NS
        if equity is None:
            days = [total for _, total, known, _ in unit.days if known]
            before = [value for day, value in figures.before.get(unit.unit, {}).items() if day < exposed]
        else:
            # The day of the exposure began without it; the day that a rollback ended is not whole, either.
            last = figures.until // DAY_NS if figures.until else math.inf
            by_day = equity.get(unit.unit, {})
            days = [value for day, value in by_day.items() if exposed < day < last]
            before = [value for day, value in by_day.items() if day < exposed]
        if days and unit.arm in found:
            total = float(winsorised(np.array(days), low, high).sum())
            mean = float(winsorised(np.array(before), low, high).mean()) if before else None
            found[unit.arm].append((total, len(days), mean))
    return found


# Effects.


def _effect(control: _Arm, arm: _Arm, tuned_for: float, alpha: float) -> EffectReport:
    first, second = control.sample, arm.sample
    plain = welch(first, second, alpha) if first is not None and second is not None else None
    lift = relative_lift(first, second, alpha) if first is not None and second is not None else None
    shares = two_proportions(arm.winning, len(arm.values), control.winning, len(control.values), alpha)
    absolute = None if first is None or second is None else second.mean - first.mean
    better = (
        probability_of_better(control.winning, len(control.values), arm.winning, len(arm.values))
        if len(control.values) and len(arm.values)
        else None
    )
    return EffectReport(
        arm=arm.name,
        against=control.name,
        absolute=absolute,
        relative=None if lift is None else lift[0],
        fixed_horizon=FixedHorizon(
            welch=_interval(plain),
            df=None if plain is None else plain.df,
            winning_units=_interval(shares),
            relative=None if lift is None else Interval(estimate=lift[0], low=lift[1], high=lift[2]),
        ),
        any_time=AnyTime(difference=sequence(first, second, tuned_for, alpha), tuned_for=tuned_for),
        cuped=_cuped(control, arm, tuned_for, alpha),
        better=better,
        state="",
    )


def sequence(first: Sample | None, second: Sample | None, tuned_for: float, alpha: float) -> Interval | None:
    """The always-valid interval of the difference of two means (second minus first)."""
    if first is None or second is None:
        return None
    error = math.sqrt(first.of_mean + second.of_mean)
    if error <= 0:
        return None
    n, difference = float(first.n + second.n), second.mean - first.mean
    half = half_width(n, error, alpha, tuned_for)
    p = always_valid_p(n, difference, error, alpha, tuned_for)
    return Interval(estimate=difference, low=difference - half, high=difference + half, p=p)


def _cuped(control: _Arm, arm: _Arm, tuned_for: float, alpha: float) -> CupedReport | None:
    values = np.concatenate([control.values, arm.values])
    before = np.concatenate([control.before, arm.before])
    there = ~np.isnan(before)
    if there.sum() < MIN_CUPED:
        return None
    found = cuped_theta(values[there], before[there])
    if found is None:
        return None
    theta, mean, correlation = found
    # Who has no time before is neither better nor worse than the mean of those who have one.
    filled = np.where(there, before, mean)
    adjusted = cuped(values, filled, theta, mean)
    first, second = Sample.of(adjusted[: len(control.values)]), Sample.of(adjusted[len(control.values) :])
    plain = welch(first, second, alpha) if first is not None and second is not None else None
    return CupedReport(
        fixed=_interval(plain),
        any_time=sequence(first, second, tuned_for, alpha),
        theta=theta,
        correlation=correlation,
        units=int(there.sum()),
        variance_left=1 - correlation**2,
    )


def _interval(found: Comparison | None) -> Interval | None:
    return None if found is None else Interval(estimate=found.difference, low=found.low, high=found.high, p=found.p)


# In words.


def _blocking(figures: PhaseFigures, ratio: float | None) -> list[str]:
    reasons = []
    if ratio is not None and ratio < SRM_ALARM:
        reasons.append(f"sample ratio mismatch (p {ratio:.2g}): units were not divided as assigned")
    if figures.flagged and figures.flagged > 0.01 * (len(figures.units) + figures.flagged):
        reasons.append(f"{figures.flagged} units were seen in several arms")
    return reasons


def _claimable(effect: EffectReport) -> bool:
    return effect.any_time.difference is not None and effect.any_time.difference.p is not None


def _state(effect: EffectReport, claim: bool, enough: bool, blocked: bool) -> str:
    if blocked:
        return "blocked: nothing can be claimed"
    if not enough or effect.any_time.difference is None:
        return NOT_ENOUGH
    if not claim:
        return "no difference shown so far"
    return f"{effect.arm} is {'better' if effect.any_time.difference.estimate > 0 else 'worse'}"


def _whole_state(plan: ExperimentPlan, reasons: Sequence[str], effects: Sequence[EffectReport]) -> str:
    said = "; ".join(reasons) if reasons else "; ".join(each.state for each in effects) or NOT_ENOUGH
    if plan.reverted:
        return f"reverted to {plan.reverted}: {said}"
    if plan.released:
        return f"released {plan.released}: {said}"
    return said if plan.enabled else f"disabled: {said}"


def _arm_report(figures: PhaseFigures, arm: _Arm, share: float) -> ArmReport:
    counted = figures.arms.get(arm.name, ArmFigures())
    serves = next(each.serves for each in figures.plan.arms if each.name == arm.name)
    mine = [unit for unit in figures.units if unit.arm == arm.name]
    return ArmReport(
        name=arm.name,
        serves=serves,
        expected_share=share,
        units=arm.units,
        exposures=counted.exposures,
        requests=counted.requests,
        user_days=arm.days,
        mean=float(arm.values.mean()) if len(arm.values) else None,
        sd=None if arm.sample is None else math.sqrt(arm.sample.variance),
        winning_units=arm.winning if len(arm.values) else None,
        pending=sum(pending for unit in mine for _, _, _, pending in unit.days),
        served_by=counted.served_by,
        reasons=counted.reasons,
        p99_ms=counted.p99_ms,
    )


def _shadow(
    figures: PhaseFigures,
    arm: str,
    pairs: int,
    agreed: int,
    known: int,
    unknown: int,
    users: tuple[tuple[float, int], ...],
) -> ShadowReport:
    registered = figures.plan.analysis
    sums, days = np.array([each[0] for each in users]), np.array([float(each[1]) for each in users])
    values = per_unit(sums, days) if users else None
    sample = None if values is None else Sample.of(values)
    difference = paired(sample, registered.tuned_for, registered.alpha)
    if difference is None or sample is None or sample.n < registered.min_units:
        state = NOT_ENOUGH
    elif difference.low <= 0 <= difference.high:
        state = "no difference shown so far"
    else:
        state = f"{arm} would be {'better' if difference.estimate > 0 else 'worse'}"
    return ShadowReport(
        arm=arm,
        pairs=pairs,
        agreement=agreed / pairs if pairs else None,
        units=len(users),
        known=known,
        unknown=unknown,
        difference=difference,
        state=state,
    )


def paired(sample: Sample | None, tuned_for: float, alpha: float) -> Interval | None:
    """The always-valid interval of the mean of paired differences."""
    if sample is None or sample.variance <= 0:
        return None
    n, error = float(sample.n), math.sqrt(sample.of_mean)
    half = half_width(n, error, alpha, tuned_for)
    p = always_valid_p(n, sample.mean, error, alpha, tuned_for)
    return Interval(estimate=sample.mean, low=sample.mean - half, high=sample.mean + half, p=p)
