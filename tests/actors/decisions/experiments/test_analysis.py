"""What a report may claim: of several treatments, at every look, and of what users did before."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import pytest
from msgspec.structs import replace

from actors.decisions.experiments.analysis import NOT_ENOUGH, PhaseFigures, report
from actors.decisions.experiments.phase import DAY_NS, UnitFigures
from actors.decisions.experiments.plans import first_plan
from protocols.experiment_reports import EffectReport
from protocols.experiments import AnalysisPlan, ArmPlan
from tests.actors.decisions.experiments.stage import experiment

DAY = 20_000
UNITS = 200


def units(arm: str, effect: float, count: int = UNITS) -> tuple[UnitFigures, ...]:
    """So many users of an arm with one user-day each, the same spread in every arm."""
    return tuple(
        UnitFigures(
            unit=f"{arm}{number}",
            arm=arm,
            ts=DAY * DAY_NS + DAY_NS // 2,
            requests=1,
            timeouts=0,
            fallbacks=0,
            rejected=0,
            slow=0,
            days=((DAY, effect + 0.002 * (number % 9 - 4), 1, 0),),
            drawdown=None,
        )
        for number in range(count)
    )


def figures(effects: Mapping[str, float], registered: AnalysisPlan, **changes: Any) -> PhaseFigures:
    """A phase of a control and of these treatments, each with what it is better by."""
    plan = first_plan(experiment(analysis=registered))
    arms = (plan.arms[0], *(ArmPlan(name=name, serves="rl", weight=0.5) for name in effects))
    exposed = units("control", 0.0)
    for name, effect in effects.items():
        exposed += units(name, effect)
    known: dict[str, Any] = {"since": 0, "until": 0, "units": exposed, "arms": {}, "flagged": 0, **changes}
    return PhaseFigures(plan=replace(plan, arms=arms), **known)


def p_of(effect: EffectReport) -> float:
    assert effect.any_time.difference is not None
    assert effect.any_time.difference.p is not None
    return effect.any_time.difference.p


def test_of_several_treatments_each_has_to_be_surer_than_one_alone() -> None:
    registered = AnalysisPlan(min_units=20, tuned_for=400.0)
    alone = report(figures({"one": 0.0017}, registered), 0).effects
    both = report(figures({"one": 0.0017, "two": 0.0017}, registered), 0).effects
    assert 0.025 < p_of(alone[0]) == p_of(both[0]) == p_of(both[1]) < 0.05
    assert [effect.state for effect in alone] == ["one is better"]
    assert [effect.state for effect in both] == ["no difference shown so far"] * 2


def test_nothing_is_claimed_by_figures_of_a_fixed_horizon() -> None:
    registered = AnalysisPlan(min_units=20, tuned_for=400.0)
    [effect] = report(figures({"one": 0.0013}, registered), 0).effects
    assert effect.fixed_horizon.welch is not None
    assert effect.fixed_horizon.welch.p is not None
    assert effect.fixed_horizon.welch.p < 0.05 < p_of(effect)
    assert effect.state == "no difference shown so far"


@pytest.mark.parametrize(("least", "state"), [(UNITS, "one is better"), (UNITS + 1, NOT_ENOUGH)])
def test_nothing_is_claimed_before_each_arm_has_the_units_that_were_registered(least: int, state: str) -> None:
    found = report(figures({"one": 0.02}, AnalysisPlan(min_units=least, tuned_for=400.0)), 0)
    assert [effect.state for effect in found.effects] == [state]


def test_the_day_on_which_a_user_was_exposed_is_none_of_the_time_before() -> None:
    registered = AnalysisPlan(min_units=20, tuned_for=400.0)
    phase = figures({"one": 0.02}, registered)
    days = {unit.unit: {DAY - 1: unit.days[0][1]} for unit in phase.units}
    also = {unit.unit: {DAY - 1: unit.days[0][1], DAY: -unit.days[0][1]} for unit in phase.units}
    [before], [other] = (report(replace(phase, before=each), 0).effects for each in (days, also))
    assert before.cuped is not None
    assert before.cuped.units == 2 * UNITS
    assert before.cuped == other.cuped
