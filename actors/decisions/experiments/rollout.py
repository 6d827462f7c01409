"""Letting a treatment in, step by step, and throwing it out by itself. A core: a look comes in, what to do goes out.

Theory of operation
===================

A rollout is a phase of its test at a 50/50 split, whose coverage rises. Nothing but the coverage changes, so every look
compares arms of equal weight, over all steps together.

    running ──step done──▶ running (more coverage) … ──last step done──▶ released   (or ready, waiting for a person)
       │                                                    ready ──release──▶ released
       ├─ a guardrail or a hard limit fails ───▶ reverted   (guardrails_failing until it is done, or if told not to)
       ├─ sample ratio mismatch, units in two arms ──▶ held       ┐
       ├─ no new units for too long ─────────────────▶ no_data    │ go on by themselves when it has passed
       ├─ the keeper does not answer, other phase ───▶ unhealthy  ┘
       ├─ pause ──▶ paused ──resume──▶ running
       └─ abort ──▶ reverted, in every state, and tried again until it is done (`aborting`)

What wins: reverted and released are ends. Harm comes before everything else, in every other state: who paused a rollout
did not switch its guardrails off. After that comes what makes the figures worthless (held), then a person (paused).

A rollback changes what serves every arm, and never who was assigned.
"""

from __future__ import annotations

from typing import Final, Literal

import msgspec
from msgspec.structs import replace

from actors.decisions.experiments.srm import SRM_ALARM
from protocols.control import Refused
from protocols.rollouts import RolloutLook, RolloutPlan, RolloutState, RolloutView, StageTest, SwitchRollout

ENDS: Final = frozenset({"reverted", "released"})
MOST_HISTORY: Final = 200

Command = Literal["", "raise", "revert", "release"]


class Step(msgspec.Struct, frozen=True):
    """What to do now. The state holds once the command is done; until then it is `before`."""

    state: RolloutState
    why: str
    command: Command = ""
    coverage: float = 0.0
    before: RolloutState = "running"


def begun(name: str, plan: RolloutPlan, version: int, now: int) -> RolloutView:
    """A rollout whose first phase has just begun."""
    return RolloutView(
        name=name,
        state="running",
        why=f"begun with {plan.steps[0]:.0%} of the users",
        step=0,
        coverage=plan.steps[0],
        version=version,
        plan=plan,
        ts_started=now,
        ts_step=now,
        ts_growth=now,
        ts_ended=0,
        units=0,
        seen=0,
        history=((now, "running", f"begun with {plan.steps[0]:.0%} of the users"),),
    )


def decide(view: RolloutView, look: RolloutLook | None, now: int, why_not: str = "") -> Step:
    """What follows from a look (None: there was none, `why_not` says why)."""
    if view.state in ENDS:
        return Step(view.state, view.why)
    if view.aborting:
        return Step("reverted", view.aborting, "revert", before="guardrails_failing")
    if look is None:
        return Step("unhealthy", why_not or "the keeper of experiments does not answer")
    if look.version == view.version and look.reverted:
        return Step("reverted", view.why if view.state == "guardrails_failing" else "rolled back")
    if look.version == view.version and look.released:
        return Step("released", "released")
    if look.version != view.version:
        return Step("unhealthy", f"the test is in phase {look.version}, the rollout began {view.version}")
    if look.hard:
        return Step("reverted", f"hard limit: {look.hard}", "revert", before="guardrails_failing")
    if failing := [guard for guard in look.guards if guard.failing]:
        why = "guardrails failing: " + ", ".join(
            f"{guard.name} {_number(guard.treatment)} against {_number(guard.control)}" for guard in failing
        )
        if view.plan.revert:
            return Step("reverted", why, "revert", before="guardrails_failing")
        return Step("guardrails_failing", why)
    if not look.enabled:
        return Step("unhealthy", "the test is disabled: nobody is assigned")
    units = look.control_units + look.treatment_units
    if look.srm_p is not None and look.srm_p < SRM_ALARM:
        return Step("held", f"sample ratio mismatch, p {look.srm_p:.2g}: units are not divided as assigned")
    if look.flagged and look.flagged > view.plan.flagged_share * (units + look.flagged):
        return Step("held", f"{look.flagged} units were seen in both arms")
    if view.state == "paused":
        return Step("paused", view.why)
    return _onwards(view, look, now)


def _onwards(view: RolloutView, look: RolloutLook, now: int) -> Step:
    plan = view.plan
    units = min(look.control_units, look.treatment_units)
    lacking = max(plan.step_units - (units - view.units), plan.guards.min_units - units)
    waited = (now - view.ts_step) / 1e9
    if lacking > 0:
        grown = look.control_units + look.treatment_units > view.seen
        if not grown and (now - view.ts_growth) / 1e9 > plan.no_data_s:
            return Step("no_data", f"no new units for {plan.no_data_s:g} s; {lacking} more of an arm are wanted")
        return Step("running", f"{view.coverage:.0%}: {lacking} more units of an arm are wanted")
    if waited < plan.step_s:
        return Step("running", f"{view.coverage:.0%}: {plan.step_s - waited:.0f} s of the step remain")
    if view.step + 1 < len(plan.steps):
        coverage = plan.steps[view.step + 1]
        return Step("running", f"raised to {coverage:.0%}", "raise", coverage)
    if plan.release:
        return Step("released", "all steps passed", "release")
    return Step("ready", "all steps passed; somebody has to release it")


def applied(view: RolloutView, step: Step, look: RolloutLook | None, now: int, done: bool = True) -> RolloutView:
    """The rollout after a step; `done` False: its command could not be done (yet)."""
    if view.state in ENDS:
        return view
    state, why = (step.state, step.why) if done else (step.before, step.why)
    changed = {"state": state, "why": why}
    if look is not None:
        units = look.control_units + look.treatment_units
        if units > view.seen:
            view = replace(view, seen=units, ts_growth=now)
        view = replace(view, guards=look.guards, ts_look=look.ts)
        if done and step.command == "raise":
            view = replace(
                view,
                step=view.step + 1,
                coverage=step.coverage,
                ts_step=now,
                ts_growth=now,
                units=min(look.control_units, look.treatment_units),
            )
    if state in ENDS:
        view = replace(view, ts_ended=view.ts_ended or now, aborting="")
    if state != view.state or (done and step.command):
        view = replace(view, history=(*view.history[-MOST_HISTORY + 1 :], (now, state, why)))
    return replace(view, **changed)


def command_of(view: RolloutView, step: Step, control: str, treatment: str) -> StageTest | None:
    """What the keeper is asked to do. `control`: what serves the default arm; `treatment`: the arm's name."""
    if step.command == "raise":
        return StageTest(name=view.name, version=view.version, coverage=step.coverage, why=f"rollout: {step.why}")
    if step.command == "revert":
        return StageTest(
            name=view.name, version=view.version, reverted=control, over=True, why=f"rollout rolled back: {step.why}"
        )
    if step.command == "release":
        return StageTest(
            name=view.name, version=view.version, released=treatment, over=True, why=f"rollout released: {step.why}"
        )
    return None


def switched(view: RolloutView, change: SwitchRollout) -> Step:
    """What a person's word leads to. Refused `conflict` where it makes no sense."""
    if view.state in ENDS:
        raise Refused("conflict", f"the rollout of {view.name} has ended: {view.state}", "name")
    reason = change.reason or "by hand"
    if change.to == "abort":
        return Step("reverted", f"aborted: {reason}", "revert", before="guardrails_failing")
    if change.to == "release":
        if view.state != "ready":
            raise Refused("conflict", f"the rollout of {view.name} is {view.state}, not ready", "to")
        return Step("released", f"released: {reason}", "release", before="ready")
    if change.to == "pause":
        if view.state == "paused":
            raise Refused("conflict", f"the rollout of {view.name} is paused already", "to")
        return Step("paused", f"paused: {reason}")
    if view.state != "paused":
        raise Refused("conflict", f"the rollout of {view.name} is {view.state}, not paused", "to")
    return Step("running", f"resumed: {reason}")


def _number(value: float | None) -> str:
    return "unknown" if value is None else f"{value:.4g}"
