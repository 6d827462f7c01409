"""Plans: from the configuration, from rows, and how one may be changed. A core.

What could move a unit that takes part (another split, less coverage) is another phase: a new version with a new salt,
so that nothing is added up over two ways of dividing. What serves may change within a phase; who was assigned may not.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from typing import Annotated, Final

import msgspec
from msgspec.structs import replace

from protocols.control import Refused
from protocols.decisions import FALLBACK, RULE, THRESHOLDS
from protocols.experiments import CONTROL, DEFAULT_TEST, TREATMENT, AnalysisPlan, ArmPlan, ConfigureTest, ExperimentPlan
from protocols.rollouts import RolloutPlan, StageTest

DEFAULT_MODEL: Final = "rl_ensemble"
DEFAULT_SHARE: Final = 0.1
NAME: Final = re.compile(r"[a-z][a-z0-9_.-]{0,63}")
Share = Annotated[float, msgspec.Meta(ge=0, le=1)]


class ExperimentSettings(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """`[[experiments]]`: a test as it begins. What was changed since, over HTTP or by a rollout, wins over this.

    What is changed here later counts from the next start of the node, and begins another phase; `enabled` alone does
    not."""

    name: Annotated[str, msgspec.Meta(min_length=1, max_length=100)] = DEFAULT_TEST
    enabled: bool = True
    """False: nobody is assigned, everybody gets what the control arm serves."""
    control: str = RULE
    """What serves the control arm: a model's name, `rule` or `thresholds`."""
    treatment: str = DEFAULT_MODEL
    rl_traffic_percentage: Share = DEFAULT_SHARE
    """The treatment's share of the split, 0 to 1."""
    coverage: Share = 1.0
    """The share of the users that take part; the others get the default and are not counted."""
    shadows: tuple[str, ...] = ()
    """Models that score every request of the test and answer none; each is an arm of its own name."""
    salt: str = ""
    """Names the draw; empty: the name and the version."""
    namespace: str = ""
    """Experiments with the same one exclude each other."""
    from_point: Share = 0.0
    to_point: Share = 1.0
    block_s: Annotated[float, msgspec.Meta(ge=0)] = 0.0
    """Above 0: a switchback with blocks of so many seconds, assigned by symbol and block."""
    burn_in_s: Annotated[float, msgspec.Meta(ge=0)] = 0.0
    """So much of the beginning of each block is not counted, in seconds."""
    analysis: AnalysisPlan = AnalysisPlan()
    """What is registered before the first unit."""
    rollout: RolloutPlan = RolloutPlan()
    """How a rollout of this test goes when it is started."""
    start_rollout: bool = False
    """Whether a rollout begins with the first start of the node; later starts go on with it."""

    def __post_init__(self) -> None:
        if not self.from_point < self.to_point:
            raise ValueError(f"from_point: expected a number below to_point ({self.to_point}), got {self.from_point}")
        if self.burn_in_s and self.burn_in_s >= self.block_s:
            raise ValueError(f"burn_in_s: expected less than block_s ({self.block_s:g}), got {self.burn_in_s:g}")
        if self.block_s and self.analysis.metric == "equity":
            raise ValueError("analysis.metric: expected outcomes: a switchback divides markets and hours, not accounts")
        names = [CONTROL, TREATMENT, *self.shadows]
        if len(set(names)) != len(names):
            raise ValueError(f"shadows: expected names of their own, got {', '.join(self.shadows)}")


DEFAULT_SETTINGS: Final = (ExperimentSettings(enabled=False),)
"""Without a test in the configuration there is the usual one, switched off: it can be switched on over HTTP."""


def first_plan(settings: ExperimentSettings) -> ExperimentPlan:
    """The plan of a test that nobody has changed."""
    return ExperimentPlan(
        name=settings.name,
        version=1,
        salt=settings.salt or salt_of(settings.name, 1),
        arms=(
            *_split(settings.control, settings.treatment, settings.rl_traffic_percentage),
            *(ArmPlan(name=model, serves=model, weight=0.0, shadow=True) for model in settings.shadows),
        ),
        coverage=settings.coverage,
        enabled=settings.enabled,
        default=CONTROL,
        namespace=settings.namespace,
        from_point=settings.from_point,
        to_point=settings.to_point,
        block_s=settings.block_s,
        burn_in_s=settings.burn_in_s,
        analysis=settings.analysis,
    )


def check_together(settings: Iterable[ExperimentSettings]) -> None:
    """Raises ValueError where two tests have a name, or a part of a namespace, in common."""
    seen: list[ExperimentSettings] = []
    for each in settings:
        for other in seen:
            if each.name == other.name:
                raise ValueError(f"experiments: {each.name} is there twice")
            overlap = each.from_point < other.to_point and other.from_point < each.to_point
            if each.namespace and each.namespace == other.namespace and overlap:
                raise ValueError(
                    f"experiments: {other.name} and {each.name} have the namespace {each.namespace} and a part of it "
                    "in common; from_point and to_point divide it"
                )
        seen.append(each)


def salt_of(name: str, version: int) -> str:
    """The salt of a phase."""
    return f"{name}:{version}"


def arm_of(plan: ExperimentPlan, name: str) -> ArmPlan:
    """An arm by its name. Raises KeyError."""
    for arm in plan.arms:
        if arm.name == name:
            return arm
    raise KeyError(name)


def serving_arms(plan: ExperimentPlan) -> tuple[ArmPlan, ...]:
    """The arms that answer somebody, the default one first."""
    arms = [arm for arm in plan.arms if not arm.shadow]
    return tuple(sorted(arms, key=lambda arm: arm.name != plan.default))


def treatment_share(plan: ExperimentPlan) -> float:
    """The treatment's share of the split, as it was configured."""
    total = sum(arm.weight for arm in serving_arms(plan))
    return sum(arm.weight for arm in serving_arms(plan) if arm.name != plan.default) / total


def counts(plan: ExperimentPlan) -> bool:
    """Whether arms differ in what they get now, so that an exposure is one."""
    return plan.enabled and not plan.released and not plan.reverted


def configured(
    plan: ExperimentPlan, change: ConfigureTest, staged: bool, usual: float = 1.0
) -> tuple[ExperimentPlan, str]:
    """The plan after a change by a person, and what was changed in words (empty: nothing).

    Another split is a new phase, in which releases and rollbacks are over. `usual`: the configuration's coverage, with
    which it begins after a rollout. Refused `invalid`, and `conflict` for a split or a coverage while a rollout sets
    them (`staged`).
    """
    share, coverage = change.rl_traffic_percentage, change.coverage
    plan, control = _controlled(plan, change, staged)
    if control and share is None:
        share = treatment_share(plan)
    for field, value in (("rl_traffic_percentage", share), ("coverage", coverage)):
        if value is not None and not 0 <= value <= 1:
            raise Refused("invalid", f"{field}: expected a number from 0 to 1, got {value}", field)
        if value is not None and staged:
            raise Refused(
                "conflict", f"a rollout of {plan.name} sets the split and the coverage; abort it first", field
            )
    why: list[str] = []
    less = coverage is not None and coverage < plan.coverage
    if share is not None and (control or share != treatment_share(plan) or plan.released or plan.reverted or less):
        stays = usual if plan.released or plan.reverted else plan.coverage
        plan = _next_phase(plan, share, stays if coverage is None else coverage)
        why += [control] if control else []
        why.append(f"treatment gets {share:g} of the split: phase {plan.version}")
    elif coverage is not None and coverage != plan.coverage:
        if coverage < plan.coverage:
            raise Refused(
                "invalid",
                f"coverage: expected {plan.coverage:g} or more, got {coverage:g}; less of it sends users back, which "
                "takes another phase: say rl_traffic_percentage, too",
                "coverage",
            )
        plan = replace(plan, coverage=coverage)
        why.append(f"coverage {coverage:g}")
    if change.enabled is not None and change.enabled != plan.enabled:
        plan = replace(plan, enabled=change.enabled)
        why.append("enabled" if change.enabled else "disabled: nobody is assigned, everybody gets the default")
    return plan, ", ".join(why)


def _controlled(plan: ExperimentPlan, change: ConfigureTest, staged: bool) -> tuple[ExperimentPlan, str]:
    """The plan with what is to serve the control arm, and that in words; empty: it does already."""
    control = change.control
    if control is None or control == arm_of(plan, CONTROL).serves:
        return plan, ""
    if not NAME.fullmatch(control) or control == FALLBACK:
        raise Refused(
            "invalid", f"control: expected {RULE}, {THRESHOLDS} or a model's name, got {control!r}", "control"
        )
    if staged:
        raise Refused("conflict", f"a rollout of {plan.name} compares with its control; abort it first", "control")
    arms = tuple(replace(arm, serves=control) if arm.name == CONTROL else arm for arm in plan.arms)
    return replace(plan, arms=arms), f"control is served by {control}"


def reconfigured(plan: ExperimentPlan, before: ExperimentPlan, now: ExperimentPlan) -> tuple[ExperimentPlan, str]:
    """The plan after a change of the configuration from `before` to `now` (`first_plan`), and the change in words.

    What was said over HTTP stays where the configuration says the same as it did. Switching on and off is within
    the phase; everything else is another phase, with all that the configuration says.
    """
    why: list[str] = []
    names = plan.__struct_fields__
    changed = [name for name in names if getattr(before, name) != getattr(now, name) and name != "enabled"]
    if changed:
        version = plan.version + 1
        salt = now.salt if "salt" in changed else salt_of(now.name, version)
        plan = replace(now, version=version, salt=salt, enabled=plan.enabled)
        why.append(f"another {', '.join(changed)}: phase {version}")
    if before.enabled != now.enabled and plan.enabled != now.enabled:
        plan = replace(plan, enabled=now.enabled)
        why.append("enabled" if now.enabled else "disabled")
    return plan, ", ".join(why)


def staged(plan: ExperimentPlan, change: StageTest) -> ExperimentPlan:
    """The plan after a step of a rollout. Refused `conflict`, `invalid`."""
    if change.begin:
        # The coverage begins anew: it is another phase, with another draw.
        plan = _next_phase(plan, 0.5, 1.0 if change.coverage is None else change.coverage)
        return replace(plan, enabled=True)
    if change.version != plan.version:
        raise Refused("conflict", f"{plan.name} is in phase {plan.version}, the rollout in {change.version}", "version")
    if change.coverage is not None:
        if not plan.coverage <= change.coverage <= 1:
            raise Refused("invalid", f"coverage: expected {plan.coverage:g} to 1, got {change.coverage:g}", "coverage")
        plan = replace(plan, coverage=change.coverage)
    if change.reverted is not None:
        plan = replace(plan, reverted=change.reverted)
    if change.released is not None:
        plan = replace(plan, released=change.released)
    return plan


def _next_phase(plan: ExperimentPlan, share: float, coverage: float) -> ExperimentPlan:
    version = plan.version + 1
    serving = serving_arms(plan)
    others = serving[1:]
    weights = {serving[0].name: 1 - share}
    whole = sum(arm.weight for arm in others)
    for arm in others:
        # Several treatments share what treatments get as they did; those that had nothing, equally.
        weights[arm.name] = share * (arm.weight / whole if whole else 1 / len(others))
    arms = tuple(arm if arm.shadow else replace(arm, weight=_rounded(weights[arm.name])) for arm in plan.arms)
    return replace(
        plan,
        version=version,
        salt=salt_of(plan.name, version),
        arms=arms,
        coverage=coverage,
        released="",
        reverted="",
    )


def _rounded(weight: float) -> float:
    # 1 - 0.1 is 0.9, also where a double is not: it is shown, and compared.
    return round(weight, 12)


def _split(control: str, treatment: str, share: float) -> tuple[ArmPlan, ArmPlan]:
    return (
        ArmPlan(name=CONTROL, serves=control, weight=_rounded(1 - share)),
        ArmPlan(name=TREATMENT, serves=treatment, weight=share),
    )
