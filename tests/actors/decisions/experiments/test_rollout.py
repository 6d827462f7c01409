"""The rollout's core: a path is walked look by look; harm and harmlessness are simulated with many seeds."""

from __future__ import annotations

import math

import msgspec
import numpy as np
import pytest
from msgspec.structs import replace

from actors.decisions.experiments.guardrails import GuardColumns, guardrails, hard_limit
from actors.decisions.experiments.rollout import applied, begun, command_of, decide, switched
from actors.decisions.experiments.statistics import srm
from protocols.control import Refused
from protocols.rollouts import GuardPlan, GuardReport, RolloutLook, RolloutPlan, RolloutView, SwitchRollout

SECOND = 1_000_000_000
PLAN = RolloutPlan(step_s=10.0, step_units=50, no_data_s=60.0)
FAILING = GuardReport(name="loss", control=0.0, treatment=-0.02, margin=0.002, bound=0.01, p=0.0001, failing=True)


def look(units: int = 0, **changes: object) -> RolloutLook:
    fields: dict[str, object] = {
        "name": "t",
        "version": 2,
        "coverage": 0.01,
        "enabled": True,
        "reverted": False,
        "released": False,
        "control_units": units,
        "treatment_units": units,
        "flagged": 0,
        "srm_p": 1.0 if units else None,
        "guards": (),
        "hard": "",
        "ts": 0,
    }
    return msgspec.convert(fields | changes, RolloutLook)


def after(view: RolloutView, seen: RolloutLook | None, now_s: float) -> RolloutView:
    now = int(now_s * SECOND)
    return applied(view, decide(view, seen, now), seen, now)


def test_a_harmless_treatment_goes_through_all_steps_and_is_released() -> None:
    view = begun("t", PLAN, 2, 0)
    coverages = [view.coverage]
    units, now = 0, 0.0
    while view.state == "running":
        now, units = now + 11, units + 50
        view = after(view, look(units), now)
        coverages.append(view.coverage)
        assert now < 1000
    assert coverages[:-1] == [0.01, 0.05, 0.10, 0.25, 0.50, 1.0]
    assert (view.state, view.why, view.ts_ended) == ("released", "all steps passed", int(now * SECOND))


def test_a_step_needs_its_time_and_its_units() -> None:
    view = begun("t", PLAN, 2, 0)
    assert after(view, look(1000), 9.9).step == 0
    assert after(view, look(49), 100).why == "1%: 1 more units of an arm are wanted"
    raised = after(view, look(50), 10)
    assert (raised.step, raised.coverage, raised.units) == (1, 0.05, 50)
    assert after(raised, look(99), 20).step == 1
    assert after(raised, look(100), 20).step == 2


def test_nothing_is_raised_before_guardrails_can_see_harm() -> None:
    view = begun("t", replace(PLAN, step_units=1), 2, 0)
    assert after(view, look(9), 100).why == "1%: 1 more units of an arm are wanted"
    assert after(view, look(10), 100).step == 1


def test_an_abort_is_tried_until_it_is_done_whatever_is_seen_meanwhile() -> None:
    view = begun("t", PLAN, 2, 0)
    step = switched(view, SwitchRollout(name="t", to="abort", reason="smoke"))
    waiting = applied(replace(view, aborting=step.why), step, None, SECOND, done=False)
    assert (waiting.state, waiting.ts_ended) == ("guardrails_failing", 0)
    for seen in (look(500), None, look(500, version=3)):
        again = decide(waiting, seen, 2 * SECOND)
        assert (again.state, again.command, again.why) == ("reverted", "revert", "aborted: smoke")
    done = applied(waiting, again, look(500), 2 * SECOND)
    assert (done.state, done.aborting, done.ts_ended) == ("reverted", "", 2 * SECOND)


def test_without_an_order_to_release_it_waits_for_a_person() -> None:
    plan = RolloutPlan(steps=(1.0,), step_s=0.0, step_units=1, release=False)
    view = after(begun("t", plan, 2, 0), look(10), 1)
    assert view.state == "ready"
    step = switched(view, SwitchRollout(name="t", to="release"))
    command = command_of(view, step, "rule", "treatment")
    assert command is not None
    assert (command.released, command.reverted, command.over) == ("treatment", None, True)
    assert applied(view, step, None, 2).state == "released"


@pytest.mark.parametrize("state", ["running", "paused", "held", "no_data", "ready", "unhealthy"])
def test_harm_rolls_back_in_every_state(state: str) -> None:
    view = replace(begun("t", PLAN, 2, 0), state=state)
    for harm in (look(60, guards=(FAILING,)), look(60, hard="a user has lost 30 %"), look(60, hard="x", srm_p=0.0)):
        step = decide(view, harm, SECOND)
        command = command_of(view, step, "rule", "treatment")
        assert command is not None
        assert (step.state, command.reverted, command.released) == ("reverted", "rule", None)


def test_a_rollback_that_is_not_done_yet_is_said_and_tried_again() -> None:
    view = begun("t", PLAN, 2, 0)
    step = decide(view, look(60, hard="x"), SECOND)
    waiting = applied(view, step, look(60, hard="x"), SECOND, done=False)
    assert (waiting.state, waiting.ts_ended) == ("guardrails_failing", 0)
    assert decide(waiting, look(60, hard="x"), 2 * SECOND).command == "revert"
    # Its answer was lost, though it was done.
    assert decide(waiting, look(60, reverted=True), 2 * SECOND).state == "reverted"


def test_without_an_order_to_roll_back_a_failing_guardrail_holds_it() -> None:
    view = begun("t", RolloutPlan(revert=False, step_s=0.0, step_units=1), 2, 0)
    held = after(view, look(60, guards=(FAILING,)), 1)
    assert (held.state, held.step) == ("guardrails_failing", 0)
    assert after(held, look(60), 2).step == 1


def test_worthless_figures_hold_it_and_it_goes_on_by_itself() -> None:
    view = begun("t", PLAN, 2, 0)
    held = after(view, look(500, srm_p=1e-6), 20)
    assert (held.state, held.step) == ("held", 0)
    assert after(held, look(500), 21).step == 1
    twice = after(view, look(500, flagged=11), 20)
    assert (twice.state, twice.why) == ("held", "11 units were seen in both arms")


def test_no_new_units_no_answer_another_phase_and_a_disabled_test_are_said() -> None:
    view = after(begun("t", PLAN, 2, 0), look(3), 5)
    assert after(view, look(3), 60).state == "running"
    nothing = after(view, look(3), 66)
    assert nothing.state == "no_data"
    assert after(nothing, look(4), 67).state == "running"
    assert after(view, None, 6).state == "unhealthy"
    assert after(view, look(3, version=3), 6).why == "the test is in phase 3, the rollout began 2"
    assert after(view, look(3, enabled=False), 6).state == "unhealthy"


def test_who_pauses_can_resume_and_who_aborts_rolls_back() -> None:
    view = begun("t", PLAN, 2, 0)
    paused = applied(view, switched(view, SwitchRollout(name="t", to="pause", reason="lunch")), None, SECOND)
    assert (paused.state, paused.why) == ("paused", "paused: lunch")
    assert after(paused, look(500), 100).state == "paused"
    with pytest.raises(Refused, match="paused already"):
        switched(paused, SwitchRollout(name="t", to="pause"))
    resumed = applied(paused, switched(paused, SwitchRollout(name="t", to="resume")), None, SECOND)
    assert resumed.state == "running"
    with pytest.raises(Refused, match="is running, not paused"):
        switched(resumed, SwitchRollout(name="t", to="resume"))
    ended = applied(resumed, switched(resumed, SwitchRollout(name="t", to="abort")), None, SECOND)
    assert ended.state == "reverted"
    assert after(ended, look(500), 100) == ended
    with pytest.raises(Refused, match="has ended"):
        switched(ended, SwitchRollout(name="t", to="resume"))


@pytest.mark.parametrize(
    ("field", "value", "match"),
    [("steps", (0.5, 0.1), "rising shares"), ("steps", (), "rising shares"), ("look_s", 0.0, "0.01 to 3600")],
)
def test_a_plan_that_makes_no_sense_is_refused(field: str, value: object, match: str) -> None:
    with pytest.raises(ValueError, match=match):
        RolloutPlan(**{field: value})  # type: ignore[arg-type]


# Simulations. A population of users comes in as the coverage rises; each look sees all of them so far.

POPULATION = 20_000
SEEDS = 200


class World:
    """An arm's users: ten requests and one to three user-days each, with these chances."""

    def __init__(self, random: np.random.Generator, timeouts: float, slow: float, daily: float) -> None:
        self.random, self.timeouts, self.slow, self.daily = random, timeouts, slow, daily
        self.columns: dict[str, list[np.ndarray]] = {}

    def grow(self, users: int) -> None:
        random = self.random
        requests = np.full(users, 10.0)
        timeouts = random.binomial(10, self.timeouts, users).astype(float)
        days = random.integers(1, 4, users)
        worst, total, drawdown = np.full(users, np.inf), np.zeros(users), np.zeros(users)
        peak = np.zeros(users)
        for day in range(3):
            there = days > day
            # Two fifths of the users are in the market on a day; Student's t with 4 degrees: heavy tails.
            active = random.random(users) < 0.4
            change = np.where(there, np.clip(self.daily + 0.004 * random.standard_t(4, users) * active, -0.09, 0.09), 0)
            total += change
            worst = np.where(there, np.minimum(worst, change), worst)
            peak = np.maximum(peak, total)
            drawdown = np.maximum(drawdown, peak - total)
        rows = {
            "requests": requests,
            "timeouts": timeouts,
            "fallbacks": timeouts,
            "rejected": np.zeros(users),
            "slow": random.binomial(10, self.slow, users).astype(float),
            "days": days.astype(float),
            "total": total,
            "drawdown": drawdown,
            "worst_day": worst,
        }
        for name, values in rows.items():
            self.columns.setdefault(name, []).append(values)

    def now(self) -> GuardColumns:
        return GuardColumns(**{name: np.concatenate(parts) for name, parts in self.columns.items()})


def simulate(
    seed: int, *, timeouts: float = 0.01, slow: float = 0.005, daily: float = 0.0, stray: float = 0.0
) -> RolloutView:
    """A whole rollout, three looks a step. `stray`: the share of the treatment's users that are never seen."""
    random = np.random.default_rng(seed)
    control, treatment = World(random, 0.01, 0.005, 0.0), World(random, timeouts, slow, daily)
    plan = RolloutPlan(step_s=20.0, step_units=20)
    view, now, before = begun("t", plan, 2, 0), 0, 0.0
    guards = GuardPlan()
    while view.state == "running":
        new = (view.coverage - before) * POPULATION / 2
        before = view.coverage
        for _ in range(3):
            now += 10 * SECOND
            control.grow(int(random.poisson(new / 3)))
            treatment.grow(int(random.poisson(new / 3 * (1 - stray))))
            one, other = control.now(), treatment.now()
            units = len(one.requests), len(other.requests)
            seen = look(
                coverage=view.coverage,
                control_units=units[0],
                treatment_units=units[1],
                srm_p=srm(units, [1, 1]),
                hard=hard_limit(other, 40.0, guards),
                guards=msgspec.to_builtins(guardrails(one, other, guards)),
            )
            view = applied(view, decide(view, seen, now), seen, now)
            if view.state != "running" or view.coverage != before:
                break
    return view


@pytest.mark.parametrize("harm", [{"timeouts": 0.10}, {"slow": 0.10}, {"daily": -0.006}])
def test_harm_is_rolled_back_before_a_quarter_of_the_traffic_saw_it(harm: dict[str, float]) -> None:
    """Half of the coverage sees the treatment. Found: 199 of 200 seeds for each harm, none with more than 5 % covered;
    one is held before, by chance."""
    early = 0
    for seed in range(SEEDS):
        view = simulate(seed, **harm)
        early += view.state == "reverted" and view.coverage / 2 < 0.25
    assert early >= 0.98 * SEEDS


def test_a_harmless_treatment_is_released_to_all() -> None:
    """Guardrails share an alpha of 5 % over the whole rollout, beyond margins: at most 5 % + two errors end early."""
    states = [simulate(1000 + seed).state for seed in range(SEEDS // 4)]
    allowed = 0.05 + 2 * math.sqrt(0.05 * 0.95 / len(states))
    assert states.count("released") >= (1 - allowed) * len(states)


def test_users_that_go_missing_from_an_arm_hold_it() -> None:
    states = [simulate(2000 + seed, stray=0.25).state for seed in range(SEEDS)]
    assert states.count("held") >= 0.98 * len(states)


def test_an_arm_where_everything_times_out_is_known_with_a_few_users_though_nothing_varies() -> None:
    random = np.random.default_rng(1)
    good, bad = World(random, 0.0, 0.0, 0.0), World(random, 1.0, 0.0, 0.0)
    good.grow(15)
    bad.grow(15)
    found = {each.name: each for each in guardrails(good.now(), bad.now(), GuardPlan())}
    assert found["timeout_ratio"].failing
    assert not found["reject_ratio"].failing
    assert hard_limit(bad.now(), None, GuardPlan()) == "100.0% timeouts of 150 requests, more than 50.0%"
    assert hard_limit(good.now(), None, GuardPlan()) == ""


def test_a_guardrail_has_to_be_surer_the_more_of_them_there_are() -> None:
    random = np.random.default_rng(1)
    good, bad = World(random, 0.0, 0.0, 0.0), World(random, 0.0, 0.0, 0.0)
    good.grow(40)
    bad.grow(40)
    treatment = bad.now()
    treatment.rejected = np.resize([1.0, 2.0], 40)  # of ten requests
    found = {each.name: each for each in guardrails(good.now(), treatment, GuardPlan())}
    p = found["reject_ratio"].p
    assert p is not None
    assert 0.05 / len(found) < p < 0.05
    assert not found["reject_ratio"].failing
    treatment.rejected = np.resize([1.0, 3.0], 40)
    found = {each.name: each for each in guardrails(good.now(), treatment, GuardPlan())}
    assert [name for name, each in found.items() if each.failing] == ["reject_ratio"]


def test_losses_of_one_user_act_at_once_and_too_few_units_say_nothing() -> None:
    random = np.random.default_rng(2)
    arm = World(random, 0.0, 0.0, 0.0)
    arm.grow(3)
    columns = arm.now()
    columns.total[1] = -0.25
    assert hard_limit(columns, None, GuardPlan()) == "a user has lost 25.00%, more than 20.00%"
    columns.total[1] = 0.0
    columns.worst_day[2] = -0.12
    assert hard_limit(columns, None, GuardPlan()) == "a user has lost 12.00% in a day, more than 10.00%"
    found = guardrails(columns, columns, GuardPlan())
    assert all(each.p is None and each.bound is None and not each.failing for each in found)
    assert found[0].control == 0.0
