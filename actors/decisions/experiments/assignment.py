"""Who gets what: users to arms, the same in every process and after every restart. A core.

The kernel's router (`runtime/router.py`) draws the point of a key and divides the line; here are mutual exclusion
(namespaces), stickiness, switchbacks, and what serves an arm just now.
"""

from __future__ import annotations

from collections.abc import Iterable

from protocols.experiments import UNIT_SEPARATOR, Assignment, ExperimentPlan
from runtime.router import POINTS, Router, RouterSettings, VariantSettings


class Assigner:
    """All plans, in their order: the first enabled plan whose namespace holds the unit takes it.

    Sticky first, the hash second. While a plan is not enabled nobody is assigned by it, and who would have been gets
    what its default arm serves.
    """

    def __init__(self, plans: Iterable[ExperimentPlan], sticky: Iterable[tuple[str, int, str, str]] = ()) -> None:
        self.plans = tuple(plans)
        self._routers = {plan.name: _router(plan) for plan in self.plans}
        self._spaces = {
            plan.namespace: Router(RouterSettings(salt=f"namespace:{plan.namespace}", variants=_ONE))
            for plan in self.plans
            if plan.namespace
        }
        self._serves = {plan.name: {arm.name: arm.serves for arm in plan.arms} for plan in self.plans}
        self._shadows = {plan.name: tuple(arm for arm in plan.arms if arm.shadow) for plan in self.plans}
        self._sticky = {(name, version, unit): arm for name, version, unit, arm in sticky}

    def assign(self, user_id: str, symbol: str, ts: int) -> Assignment | None:
        """What the user gets for the symbol at `ts` (ns); None: no test is about it.

        An assignment without an experiment is of nobody: it says what serves while the test is off.
        """
        off: Assignment | None = None
        for plan in self.plans:
            unit = unit_of(plan, user_id, symbol, ts)
            if not self._inside(plan, unit):
                continue
            serves = self._serves[plan.name]
            if not plan.enabled:
                off = off or Assignment("", 0, unit, "", plan.reverted or serves[plan.released or plan.default], False)
                continue
            route = self._routers[plan.name].assign(unit)
            # A sticky arm that the plan no longer has, or only as a shadow, can serve nobody.
            sticky = self._sticky.get((plan.name, plan.version, unit)) if self._sticky else None
            arm = sticky if sticky in serves else None
            enrolled = (route.enrolled or arm is not None) and not in_burn_in(plan, ts)
            arm = arm or route.variant
            served = plan.reverted or serves[plan.released or arm]
            return Assignment(plan.name, plan.version, unit, arm, served, enrolled, self._shadows[plan.name])
        return off

    def _inside(self, plan: ExperimentPlan, unit: str) -> bool:
        if not plan.namespace:
            return True
        point = self._spaces[plan.namespace].point(unit) / POINTS
        return plan.from_point <= point < plan.to_point


def unit_of(plan: ExperimentPlan, user_id: str, symbol: str, ts: int) -> str:
    """The unit of assignment: the user, or in a switchback the symbol and the number of the block of time."""
    if plan.block_s <= 0:
        return user_id
    return f"{symbol}{UNIT_SEPARATOR}{ts // int(plan.block_s * 1e9)}"


def in_burn_in(plan: ExperimentPlan, ts: int) -> bool:
    """Whether the block has just begun: what the block before has left behind still acts, so nothing is counted."""
    return plan.block_s > 0 and ts % int(plan.block_s * 1e9) < plan.burn_in_s * 1e9


_ONE = (VariantSettings(name="all", path="/"),)


def _router(plan: ExperimentPlan) -> Router:
    arms = tuple(
        VariantSettings(name=arm.name, path=f"/{arm.name}", weight=arm.weight, shadow=arm.shadow) for arm in plan.arms
    )
    return Router(RouterSettings(salt=plan.salt, variants=arms, coverage=plan.coverage, default=plan.default))
