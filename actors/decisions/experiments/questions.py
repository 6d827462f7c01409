"""The long answers of the keeper: what they need is copied a little at a time, and reckoned with on a thread."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import trio

from actors.decisions.experiments.history import equity_days
from actors.decisions.experiments.ledger import Experiment
from actors.decisions.experiments.phase import DAY_NS, Phase, UnitFigures
from actors.decisions.experiments.plans import serving_arms
from protocols.control import Refused, Unknown
from protocols.deployments import DEPLOYMENTS
from protocols.execution import ListAccounts
from protocols.experiment_reports import AbTestReport
from protocols.paths import QUERIES
from protocols.rollouts import GuardPlan, RolloutLook
from runtime.actor import Actor
from runtime.metrics import Metrics

if TYPE_CHECKING:
    from actors.decisions.experiments.analysis import ArmFigures, PhaseFigures

THREAD_S: Final = 20.0
ASK_S: Final = 5.0
AT_ONCE: Final = 200
BEFORE_DAYS: Final = 60
"""How long before the phase equity is looked at, for what users did before."""


class Gauges:
    """The metrics of tests: what their reports said last."""

    def __init__(self, metrics: Metrics) -> None:
        self._srm = metrics.gauge("ab_srm_p_value", "p that units are divided as assigned", ("experiment",))
        self._effect = metrics.gauge(
            "ab_effect", "The treatment's effect per user-day, always-valid interval", ("experiment", "bound")
        )

    def show(self, report: AbTestReport) -> None:
        """Set them as this report of a newest phase says."""
        if report.srm_p is not None:
            self._srm.labels(report.name).set(report.srm_p)
        found = report.effects[0].any_time.difference if report.effects else None
        if found is not None:
            for bound in ("estimate", "low", "high"):
                self._effect.labels(report.name, bound).set(getattr(found, bound))


async def report_of(actor: Actor, test: Experiment, phase: Phase) -> AbTestReport:
    """The report of a phase."""
    from actors.decisions.experiments.analysis import PhaseFigures

    units = await figures_of(phase)
    equity, why = await _equity(actor, phase)
    shadows = tuple(
        (
            name,
            each.pairs,
            each.agreed,
            each.known,
            each.unknown + len(each.open),
            tuple((sum(days.values()), len(days)) for days in each.users.values()),
        )
        for name, each in phase.shadows.items()
    )
    found: PhaseFigures = PhaseFigures(
        plan=phase.plan,
        since=phase.since,
        until=phase.until,
        units=units,
        arms=arms_of(phase),
        flagged=len(phase.flagged),
        before={unit: dict(days) for unit, days in test.before.items()} if phase is test.phase else {},
        equity=equity,
        equity_why=why,
        shadows=shadows,
    )
    return await actor.offload(_report, found, actor.clock.now(), timeout=THREAD_S)


def _report(figures: PhaseFigures, now: int) -> AbTestReport:
    from actors.decisions.experiments.analysis import report

    return report(figures, now)


async def look_at(actor: Actor, test: Experiment, guards: GuardPlan) -> RolloutLook:
    """The newest phase by guardrails: the default arm against all others together."""
    phase, plan = test.phase, test.plan
    units = await figures_of(phase)
    p99 = [phase.arms[arm.name].p99_ms() for arm in serving_arms(plan)[1:]]
    worst = max((each for each in p99 if each is not None), default=None)
    looked = (test, phase, units, worst, guards, actor.clock.now(), len(phase.flagged))
    return await actor.offload(_look, *looked, timeout=THREAD_S)


def _look(
    test: Experiment,
    phase: Phase,
    units: tuple[UnitFigures, ...],
    p99_ms: float | None,
    guards: GuardPlan,
    now: int,
    flagged: int,
) -> RolloutLook:
    from actors.decisions.experiments.guardrails import GuardColumns, guardrails, hard_limit
    from actors.decisions.experiments.statistics import srm

    plan = phase.plan
    control = [unit for unit in units if unit.arm == plan.default]
    treatment = [unit for unit in units if unit.arm != plan.default]
    weights = [arm.weight for arm in serving_arms(plan)]
    one, other = GuardColumns.of(control), GuardColumns.of(treatment)
    return RolloutLook(
        name=plan.name,
        version=plan.version,
        coverage=plan.coverage,
        enabled=plan.enabled,
        reverted=bool(plan.reverted),
        released=bool(plan.released),
        control_units=len(control),
        treatment_units=len(treatment),
        flagged=flagged,
        srm_p=srm([len(control), len(treatment)], [weights[0], sum(weights[1:])]),
        guards=guardrails(one, other, guards),
        hard=hard_limit(other, p99_ms, guards),
        ts=now,
    )


async def figures_of(phase: Phase) -> tuple[UnitFigures, ...]:
    """The units that count, a few at a time: the loop is not held.

    By name, so that sums do not depend on the order in which a restart found the units again.
    """
    found = []
    for place, name in enumerate(sorted(phase.units)):
        if name not in phase.flagged:
            found.append(phase.units[name].figures(name))
        if place % AT_ONCE == 0:
            await trio.lowlevel.checkpoint()
    return tuple(found)


def arms_of(phase: Phase) -> dict[str, ArmFigures]:
    """What is counted of the arms."""
    from actors.decisions.experiments.analysis import ArmFigures

    exposures = dict.fromkeys(phase.arms, 0)
    for unit in phase.units.values():
        for arm in unit.arms:
            exposures[arm] = exposures.get(arm, 0) + 1
    return {
        name: ArmFigures(
            exposures=exposures[name],
            requests=arm.tally.requests,
            served_by=tuple(sorted(arm.served_by.items())),
            reasons=tuple(sorted(arm.reasons.items())),
            p99_ms=arm.p99_ms(),
        )
        for name, arm in phase.arms.items()
    }


async def _equity(actor: Actor, phase: Phase) -> tuple[dict[str, dict[int, float]] | None, str]:
    """Equity changes of the users of a phase; None with the reason where they cannot be had."""
    if phase.plan.analysis.metric != "equity":
        return None, ""
    try:
        accounts = (await actor.lookup(DEPLOYMENTS).ask(ListAccounts(), ASK_S)).accounts
        mine = {account: user for account, user, *_ in accounts if user in phase.units}
        if not mine:
            return None, "no user of the test has an account on this node"
        since = (phase.since // DAY_NS - BEFORE_DAYS) * DAY_NS
        return await equity_days(actor.lookup(QUERIES), mine, max(0, since), actor.clock.now()), ""
    except (Refused, Unknown) as error:
        return None, f"equity cannot be read: {error}"
