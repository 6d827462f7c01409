"""Who gets what: the same in every process, moved by nothing but another salt."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections import Counter
from collections.abc import Iterable

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from msgspec.structs import replace

from actors.decisions.experiments.assignment import Assigner, in_burn_in, unit_of
from actors.decisions.experiments.plans import ExperimentSettings, check_together, configured, first_plan
from protocols.experiments import AnalysisPlan, ArmPlan, Assignment, ConfigureTest, ExperimentPlan

PLAN = first_plan(ExperimentSettings(name="t", rl_traffic_percentage=0.3))
USERS = [f"user-{number}" for number in range(500)]
ARMS = """
import json, sys
from actors.decisions.experiments.assignment import Assigner
from actors.decisions.experiments.plans import ExperimentSettings, first_plan
plan = first_plan(ExperimentSettings(name="t", rl_traffic_percentage=0.3, coverage=0.5, namespace="n"))
assigner = Assigner([plan])
found = [assigner.assign(f"user-{number}", "BTC", 0) for number in range(500)]
print(json.dumps([None if each is None else [each.arm, each.enrolled] for each in found]))
"""


def assigned(plan: ExperimentPlan, user: str, ts: int = 0, symbol: str = "BTC") -> Assignment:
    found = Assigner([plan]).assign(user, symbol, ts)
    assert found is not None
    return found


def arms_of(plan: ExperimentPlan, users: Iterable[str]) -> dict[str, Assignment]:
    assigner = Assigner([plan])
    found = {user: assigner.assign(user, "BTC", 0) for user in users}
    return {user: each for user, each in found.items() if each is not None}


def arms_here() -> list[list[object] | None]:
    plan = first_plan(ExperimentSettings(name="t", rl_traffic_percentage=0.3, coverage=0.5, namespace="n"))
    assigner = Assigner([plan])
    found = [assigner.assign(user, "BTC", 0) for user in USERS]
    return [None if each is None else [each.arm, each.enrolled] for each in found]


def test_processes_with_other_hash_seeds_assign_alike() -> None:
    environ = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path), "PYTHONHASHSEED": "4711"}
    told = subprocess.run(
        [sys.executable, "-c", ARMS], env=environ, capture_output=True, check=True, text=True, timeout=60
    )
    assert json.loads(told.stdout) == arms_here()
    assert {arm for arm, enrolled in filter(None, arms_here()) if enrolled} == {"control", "treatment"}


@pytest.mark.long
def test_ray_workers_assign_alike() -> None:
    import ray

    ray.init(num_cpus=2, include_dashboard=False, log_to_driver=False, configure_logging=False)
    try:
        worker = ray.remote(arms_here)
        assert ray.get([worker.remote() for _ in range(2)], timeout=120) == [arms_here()] * 2
    finally:
        ray.shutdown()


@settings(deadline=None)
@given(
    st.text(min_size=1, max_size=20),
    st.floats(0, 1),
    st.lists(st.floats(0, 1), min_size=2, max_size=6).map(sorted),
    st.lists(st.text(min_size=1, max_size=12), min_size=1, max_size=30),
)
def test_more_coverage_never_moves_somebody_who_takes_part(
    name: str, share: float, coverages: list[float], users: list[str]
) -> None:
    plan = first_plan(ExperimentSettings(name=name, rl_traffic_percentage=share, coverage=coverages[0]))
    before = arms_of(plan, users)
    for coverage in coverages[1:]:
        plan, _ = configured(plan, ConfigureTest(name=name, coverage=coverage), staged=False)
        after = arms_of(plan, users)
        for user, found in before.items():
            if found.enrolled:
                assert after[user] == found
            else:
                assert found.arm == "control"
        before = after


@settings(deadline=None)
@given(st.floats(0, 1), st.floats(0, 1))
def test_another_share_is_another_salt_and_the_same_share_is_none(before: float, after: float) -> None:
    plan = first_plan(ExperimentSettings(name="t", rl_traffic_percentage=before))
    changed, why = configured(plan, ConfigureTest(name="t", rl_traffic_percentage=after), staged=False)
    if changed == plan:
        assert why == ""
    else:
        assert (changed.version, changed.salt != plan.salt) == (plan.version + 1, True)
        assert sum(arm.weight for arm in changed.arms) == pytest.approx(1.0)


def test_shares_are_those_of_the_users() -> None:
    arms = Counter(each.arm for each in arms_of(PLAN, (f"u{number}" for number in range(20_000))).values())
    assert arms["treatment"] / 20_000 == pytest.approx(0.3, abs=0.01)


def test_two_tests_divide_independently() -> None:
    other = first_plan(ExperimentSettings(name="other", rl_traffic_percentage=0.5))
    everybody = arms_of(PLAN, (f"u{number}" for number in range(20_000)))
    mine = [user for user, found in everybody.items() if found.arm == "treatment"]
    arms = Counter(found.arm for found in arms_of(other, mine).values())
    assert arms["treatment"] / len(mine) == pytest.approx(0.5, abs=0.02)


def test_a_stored_assignment_wins_over_the_draw_in_its_own_phase_alone() -> None:
    user = next(user for user in USERS if assigned(PLAN, user).arm == "control")
    sticky = [("t", PLAN.version, user, "treatment")]
    found = Assigner([PLAN], sticky).assign(user, "BTC", 0)
    assert found is not None
    assert (found.arm, found.serves, found.enrolled) == ("treatment", "rl_ensemble", True)
    later = replace(PLAN, version=2)
    assert Assigner([later], sticky).assign(user, "BTC", 0) == assigned(later, user)
    # An arm that the plan no longer has can serve nobody.
    gone = Assigner([PLAN], [("t", PLAN.version, user, "gone")]).assign(user, "BTC", 0)
    assert gone == assigned(PLAN, user)


def test_a_rollback_and_a_release_change_what_serves_and_nobodys_arm() -> None:
    reverted, released = replace(PLAN, reverted="rule"), replace(PLAN, released="treatment")
    for user in USERS:
        arm = assigned(PLAN, user).arm
        back, out = assigned(reverted, user), assigned(released, user)
        assert (back.arm, back.serves) == (arm, "rule")
        assert (out.arm, out.serves) == (arm, "rl_ensemble")


def test_a_test_that_is_off_takes_nobody_and_lets_the_next_one_have_them() -> None:
    off = replace(PLAN, enabled=False)
    alone = assigned(off, "ann")
    assert (alone.experiment, alone.arm, alone.serves, alone.enrolled) == ("", "", "rule", False)
    behind = first_plan(ExperimentSettings(name="behind"))
    found = Assigner([off, behind]).assign("ann", "BTC", 0)
    assert found is not None
    assert found.experiment == "behind"


def test_the_unit_of_a_switchback_is_the_market_and_the_block() -> None:
    plan = replace(PLAN, block_s=60.0, burn_in_s=10.0)
    second = 10**9
    assert unit_of(plan, "ann", "BTC", 119 * second) == unit_of(plan, "bob", "BTC", 60 * second) == "BTC@1"
    assert [in_burn_in(plan, ts * second) for ts in (59, 60, 69, 70)] == [False, True, True, False]
    arms = {assigned(plan, "ann", block * 60 * second + 30 * second).arm for block in range(50)}
    assert arms == {"control", "treatment"}
    assert not assigned(plan, "ann", 65 * second).enrolled


def test_a_shadow_has_no_users() -> None:
    plan = first_plan(ExperimentSettings(name="t", rl_traffic_percentage=0.0, shadows=("rl_next",)))
    shadow = ArmPlan(name="rl_next", serves="rl_next", weight=0.0, shadow=True)
    assert {(assigned(plan, user).arm, assigned(plan, user).shadows) for user in USERS} == {("control", (shadow,))}


def test_tests_that_cannot_be_together_are_refused() -> None:
    one = ExperimentSettings(name="one", namespace="n", to_point=0.5)
    check_together([one, ExperimentSettings(name="two", namespace="n", from_point=0.5)])
    with pytest.raises(ValueError, match="one is there twice"):
        check_together([one, one])
    with pytest.raises(ValueError, match="one and two have the namespace n and a part of it in common"):
        check_together([one, ExperimentSettings(name="two", namespace="n", from_point=0.4)])
    with pytest.raises(ValueError, match="burn_in_s: expected less than block_s"):
        ExperimentSettings(name="t", block_s=5.0, burn_in_s=5.0)
    with pytest.raises(ValueError, match=r"analysis\.metric: expected outcomes: a switchback"):
        ExperimentSettings(name="t", block_s=5.0, analysis=AnalysisPlan(metric="equity"))
    with pytest.raises(ValueError, match="from_point: expected a number below to_point"):
        ExperimentSettings(name="t", from_point=0.5, to_point=0.5)
    with pytest.raises(ValueError, match="shadows: expected names of their own"):
        ExperimentSettings(name="t", shadows=("control",))
