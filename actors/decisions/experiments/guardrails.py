"""Whether a treatment does harm: one-sided tests that hold at every look, and limits that act at once. A core.

Each guardrail compares a ratio of the two arms with the error of units (`statistics.per_unit`): how much worse the
treatment is, less a margin that was allowed before. Alpha is shared among the guardrails by Holm.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np

from actors.decisions.experiments.phase import UnitFigures
from actors.decisions.experiments.sequences import half_width_one_sided, one_sided_p
from actors.decisions.experiments.statistics import Floats, holm, per_unit
from protocols.rollouts import GuardPlan, GuardReport


class GuardColumns:
    """The units of one arm as columns, one number per unit. `days`, `total`: user-days that are known, their sum.

    `drawdown`: NaN where a unit has no outcome. `worst_day`: the lowest known user-day, NaN without one.
    """

    __slots__ = ("days", "drawdown", "fallbacks", "rejected", "requests", "slow", "timeouts", "total", "worst_day")

    def __init__(self, **columns: Floats) -> None:
        for name in self.__slots__:
            setattr(self, name, columns[name])

    requests: Floats
    timeouts: Floats
    fallbacks: Floats
    rejected: Floats
    slow: Floats
    days: Floats
    total: Floats
    drawdown: Floats
    worst_day: Floats

    @classmethod
    def of(cls, units: Sequence[UnitFigures]) -> GuardColumns:
        """Of the units of an arm."""
        known = [[total for _, total, count, _ in unit.days if count] for unit in units]
        return cls(
            requests=_column([unit.requests for unit in units]),
            timeouts=_column([unit.timeouts for unit in units]),
            fallbacks=_column([unit.fallbacks for unit in units]),
            rejected=_column([unit.rejected for unit in units]),
            slow=_column([unit.slow for unit in units]),
            days=_column([len(days) for days in known]),
            total=_column([sum(days) for days in known]),
            drawdown=_column([math.nan if unit.drawdown is None else unit.drawdown for unit in units]),
            worst_day=_column([min(days, default=math.nan) for days in known]),
        )


def guardrails(control: GuardColumns, treatment: GuardColumns, plan: GuardPlan) -> tuple[GuardReport, ...]:
    """All guardrails as they stand."""
    found = [
        _ratio("timeout_ratio", control, treatment, "timeouts", "requests", plan.timeout_margin, 1.0, plan),
        _ratio("fallback_ratio", control, treatment, "fallbacks", "requests", plan.fallback_margin, 1.0, plan),
        _ratio("reject_ratio", control, treatment, "rejected", "requests", plan.reject_margin, 1.0, plan),
        _ratio("p99_latency", control, treatment, "slow", "requests", plan.slow_margin, 1.0, plan),
        _ratio("loss", control, treatment, "total", "days", plan.loss_margin, -0.1, plan),
        _ratio("max_drawdown", control, treatment, "drawdown", "", plan.drawdown_margin, 0.1, plan),
    ]
    failing = holm([1.0 if each.p is None else each.p for each in found], plan.alpha)
    return tuple(
        GuardReport(
            name=each.name,
            control=each.control,
            treatment=each.treatment,
            margin=each.margin,
            bound=each.bound,
            p=each.p,
            failing=fails,
        )
        for each, fails in zip(found, failing, strict=True)
    )


def hard_limit(treatment: GuardColumns, p99_ms: float | None, plan: GuardPlan) -> str:
    """Which limit the treatment has passed, in words; empty: none."""
    requests = float(treatment.requests.sum())
    if requests >= plan.hard_requests:
        for name, column, limit in (
            ("timeouts", treatment.timeouts, plan.hard_timeout_ratio),
            ("fallbacks", treatment.fallbacks, plan.hard_fallback_ratio),
        ):
            share = float(column.sum()) / requests
            if share > limit:
                return f"{share:.1%} {name} of {requests:.0f} requests, more than {limit:.1%}"
        if p99_ms is not None and p99_ms > plan.hard_p99_ms:
            return f"p99 of {p99_ms:.0f} ms, more than {plan.hard_p99_ms:.0f} ms"
    if len(treatment.total) and (lost := -float(treatment.total.min())) > plan.hard_user_loss:
        return f"a user has lost {lost:.2%}, more than {plan.hard_user_loss:.2%}"
    worst = treatment.worst_day[~np.isnan(treatment.worst_day)]
    if len(worst) and (lost := -float(worst.min())) > plan.hard_day_loss:
        return f"a user has lost {lost:.2%} in a day, more than {plan.hard_day_loss:.2%}"
    return ""


def _ratio(
    name: str,
    control: GuardColumns,
    treatment: GuardColumns,
    above: str,
    below: str,
    margin: float,
    scale: float,
    plan: GuardPlan,
) -> GuardReport:
    """One guardrail. `scale`: the size of one unit's value; negative where less is worse."""
    sign = math.copysign(1.0, scale)
    figures = [_moments(arm, above, below, abs(scale)) for arm in (control, treatment)]
    first, second = figures
    shown = [None if each is None else each[1] for each in figures]
    if first is None or second is None or min(first[0], second[0]) < plan.min_units:
        bound = p = None
    else:
        n = float(first[0] + second[0])
        worse = sign * (second[1] - first[1])
        error = math.sqrt(first[2] / first[0] + second[2] / second[0])
        bound = worse - half_width_one_sided(n, error, plan.alpha, plan.tuned_for)
        p = one_sided_p(n, worse - margin, error, plan.alpha, plan.tuned_for)
    return GuardReport(name=name, control=shown[0], treatment=shown[1], margin=margin, bound=bound, p=p, failing=False)


def _moments(arm: GuardColumns, above: str, below: str, scale: float) -> tuple[int, float, float] | None:
    """(units, ratio, variance between units); None without any.

    The variance is at least what one more unit with another value would give: where all units are alike (every request
    times out) a variance of 0 would make certain what a few units cannot.
    """
    tops: Floats = getattr(arm, above)
    bottoms: Floats = getattr(arm, below) if below else np.ones(len(tops))
    there = ~np.isnan(tops) & (bottoms > 0)
    tops, bottoms = tops[there], bottoms[there]
    values = per_unit(tops, bottoms) if len(tops) else None
    if values is None or len(values) < 2:
        return None
    floor = scale**2 / (len(values) + 1)
    return len(values), float(values.mean()), max(float(values.var(ddof=1)), floor)


def _column(values: Sequence[float]) -> Floats:
    return np.array(values, dtype=np.float64)
