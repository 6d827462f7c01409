"""Rollouts on a real tree: users come in waves, and the actor looks by itself. Nothing of it waits for a person."""

from __future__ import annotations

from collections import Counter
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import msgspec
import pytest
import trio

from actors.decisions.experiments import history, part
from actors.decisions.experiments.plans import first_plan, staged
from actors.decisions.policy import Policy
from protocols.alerts import RaiseAlert
from protocols.control import Probe, Refused
from protocols.decisions import Decision
from protocols.experiments import AbTestStatus, ConfigureTest, ExposureRow, GetTest
from protocols.paths import DECISIONS, EXPERIMENTS, ROLLOUTS
from protocols.rollouts import (
    GuardPlan,
    ListRollouts,
    LookAtTest,
    RolloutChanged,
    RolloutLook,
    RolloutPlan,
    RolloutRow,
    RolloutView,
    StageTest,
    StartRollout,
    SwitchRollout,
)
from runtime import Actor, ChildSpec, NodeSettings, open_node, receive, supervisor
from runtime.clock import SECOND, VirtualClock
from runtime.log import open_log
from tests.actors.decisions.experiments.stage import LIMIT_S, Stage, experiment, rows, stage, until
from tests.actors.decisions.serving.policies import Failing, Sure
from tests.actors.decisions.serving.stage import following

POPULATION = 1500
HOUR = 3600 * SECOND
PLAN = RolloutPlan(step_s=3600.0, step_units=3, look_s=0.01, guards=GuardPlan(min_units=5, tuned_for=50.0))


class Alarmed(Actor):
    """Stands where alerts are raised."""

    def on_start(self) -> None:
        self.node.alarms = []  # type: ignore[attr-defined]

    @receive
    def raised(self, message: RaiseAlert) -> None:
        self.node.alarms.append(message)  # type: ignore[attr-defined]


class Reluctant(Actor):
    """In the place of the keeper: sees harm from the first look on, and is too busy to roll back at first."""

    def __init__(self, refusals: int) -> None:
        self.refusals = refusals
        self.plan = first_plan(experiment())

    @receive
    def test(self, request: GetTest) -> AbTestStatus:
        return AbTestStatus(
            plan=self.plan,
            rl_traffic_percentage=0.5,
            total_requests=0,
            rl_requests=0,
            fallback_requests=0,
            users=(),
            since=0,
            staged=True,
        )

    @receive
    def stage(self, request: StageTest) -> AbTestStatus:
        if not request.begin and self.refusals:
            self.refusals -= 1
            raise Refused("overloaded", "not now")
        self.plan = staged(self.plan, request)
        return self.test(GetTest("t"))

    @receive
    def look(self, request: LookAtTest) -> RolloutLook:
        return RolloutLook(
            name="t",
            version=self.plan.version,
            coverage=self.plan.coverage,
            enabled=True,
            reverted=bool(self.plan.reverted),
            released=False,
            control_units=5,
            treatment_units=5,
            flagged=0,
            srm_p=1.0,
            guards=(),
            hard="a user has lost 30 %",
            ts=self.clock.now(),
        )


class Waves:
    """A population that comes again and again."""

    def __init__(self, at: Stage) -> None:
        self.at = at
        self.saw: set[str] = set()
        """Who was ever served by the model, or by the fallback in its place."""

    async def come(self, treatment: float | None = None, control: float = 0.0) -> dict[str, Decision]:
        """All users once; `treatment`, `control`: the outcome of what they decide, if it is known at once."""
        found = await self.at.predictions(POPULATION)
        for user, decision in found.items():
            if decision.served_by != "rule":
                self.saw.add(user)
            if treatment is not None and decision.experiment:
                spread = 0.0001 * (len(user) + int(user[1:]) % 5)
                mine = treatment if decision.arm == "treatment" else control
                await self.at.feedback(decision, mine + spread)
        return found

    async def until_over(self, treatment: float | None = None) -> RolloutView:
        """A wave, an hour, a look: until the rollout has ended."""
        while True:
            await self.come(treatment)
            self.at.clock.advance(HOUR)
            if (view := await looked(self.at)).ts_ended:
                return view


async def rollout(at: Stage) -> RolloutView:
    [view] = (await at.node.ref(ROLLOUTS).ask(ListRollouts(), LIMIT_S)).rollouts
    return view


async def looked(at: Stage) -> RolloutView:
    """Wait for a look at what there is now."""

    async def seen() -> bool:
        view = await rollout(at)
        return view.ts_look >= at.clock.now() or view.ts_ended > 0

    await until(seen)
    return await rollout(at)


async def start(at: Stage, plan: RolloutPlan = PLAN) -> RolloutView:
    return await at.node.ref(ROLLOUTS).ask(StartRollout(name="t", plan=plan), LIMIT_S)


async def switch(at: Stage, to: Any, reason: str = "") -> RolloutView:
    return await at.node.ref(ROLLOUTS).ask(SwitchRollout(name="t", to=to, reason=reason), LIMIT_S)


def alarms(at: Stage) -> list[RaiseAlert]:
    found: list[RaiseAlert] = at.node.alarms  # type: ignore[attr-defined]
    return found


@asynccontextmanager
async def rolling(folder: Path, policy: Policy | None = None) -> AsyncIterator[Stage]:
    async with stage(folder, others=(ChildSpec("alerts", Alarmed),)) as at:
        at.serve(policy or Sure("00000000000d"))
        yield at


@pytest.mark.parametrize("harm", ["it fails", "it loses"])
async def test_harm_is_rolled_back_by_itself_before_a_quarter_of_the_users_saw_it(tmp_path: Path, harm: str) -> None:
    policy = Failing("00000000000e") if harm == "it fails" else Sure("00000000000e")
    async with rolling(tmp_path, policy) as at:
        begun = await start(at)
        assert (begun.state, begun.coverage, begun.version) == ("running", 0.01, 2)
        waves = Waves(at)
        ended = await waves.until_over(None if harm == "it fails" else -0.03)
        assert ended.state == "reverted"
        assert ended.why.startswith(("guardrails failing: ", "hard limit: "))
        assert ("fallback" if harm == "it fails" else "lo") in ended.why
        assert len(waves.saw) < 0.25 * POPULATION
        # From now on nobody is served by it, and who was assigned stays where they were.
        calls = policy.calls
        after = await waves.come()
        assert {each.served_by for each in after.values()} == {"rule"}
        assert policy.calls == calls
        exposed = [row for row in rows(await at.logged(), ExposureRow) if row.version == ended.version]
        assert len({row.unit for row in exposed}) == len(exposed) >= ended.seen
        assert {row.unit: row.arm for row in exposed} == {row.unit: after[row.unit].arm for row in exposed}
        status = await at.status()
        assert (status.plan.reverted, status.staged) == ("rule", False)
        [alarm] = [each for each in alarms(at) if not each.resolve]
        assert (alarm.severity, alarm.key) == ("error", "rollout=t,state=reverted")


async def test_what_does_no_harm_is_let_in_step_by_step_and_released_to_all(tmp_path: Path) -> None:
    async with rolling(tmp_path) as at:
        await start(at)
        waves = Waves(at)
        ended = await waves.until_over(0.001)
        assert (ended.state, ended.why) == ("released", "all steps passed")
        assert [why for _, _, why in ended.history] == [
            "begun with 1% of the users",
            *(f"raised to {share}%" for share in (5, 10, 25, 50, 100)),
            "all steps passed",
        ]
        after = await waves.come()
        assert {each.served_by for each in after.values()} == {"rl"}
        assert Counter(each.arm for each in after.values()).keys() == {"control", "treatment"}
        assert not [each for each in alarms(at) if not each.resolve]
        with pytest.raises(Refused, match="has ended: released"):
            await switch(at, "abort")


async def test_it_goes_on_at_its_step_after_a_crash_of_any_of_them_and_of_the_node(tmp_path: Path) -> None:
    plan = RolloutPlan(step_s=3600.0, step_units=100, look_s=0.01)
    async with rolling(tmp_path) as at:
        begun = await start(at, plan)
        await Waves(at).come()
        at.clock.advance(HOUR)
        assert (await looked(at)).why.endswith("more units of an arm are wanted")
        for path in (ROLLOUTS, EXPERIMENTS, DECISIONS):
            await at.kill(path)
        at.serve(Sure("00000000000d"))
        view = await rollout(at)
        assert (view.state, view.step, view.version) == ("running", 0, begun.version)
        await switch(at, "pause", "lunch")
    async with rolling(tmp_path) as at:
        view = await rollout(at)
        assert (view.state, view.why, view.coverage, view.plan) == ("paused", "paused: lunch", 0.01, plan)
        with pytest.raises(Refused, match="is paused already"):
            await start(at)
        with pytest.raises(Refused, match="a rollout of t sets the split"):
            await at.keeper.ask(ConfigureTest(name="t", rl_traffic_percentage=0.3), LIMIT_S)
        assert (await switch(at, "resume")).state == "running"
        assert (await switch(at, "abort", "enough")).why == "aborted: enough"
        assert {each.served_by for each in (await Waves(at).come()).values()} == {"rule"}
        # It is over: people may configure it, and it begins with the configured coverage.
        status = await at.configure(rl_traffic_percentage=0.3)
        assert (status.plan.coverage, status.plan.reverted, status.plan.version) == (1.0, "", begun.version + 1)
        report = await at.node.ref(ROLLOUTS).ask(Probe(), LIMIT_S)
        assert (report.status, report.detail) == ("ok", "t reverted")


async def test_an_abort_that_nobody_could_do_yet_is_not_forgotten(tmp_path: Path) -> None:
    async with rolling(tmp_path) as at:
        await start(at)
        with trio.fail_after(LIMIT_S):
            async with trio.open_nursery() as nursery:
                # The keeper dies between the person's word and its being done, and comes back by itself.
                nursery.start_soon(at.kill, EXPERIMENTS)
                nursery.start_soon(switch, at, "abort", "smoke")
        await until(lambda: _ended(at))
        view = await rollout(at)
        assert (view.state, view.aborting, view.why.partition(";")[0]) == ("reverted", "", "aborted: smoke")
        stored = history.read_log(at.log.directory, history.ROLLOUTS)
        wanted = [msgspec.json.decode(row.view, type=RolloutView).aborting for row in rows(stored, RolloutRow)]
        assert (wanted[0], wanted[1], wanted[-1]) == ("", "aborted: smoke", "")
        assert (await at.status()).plan.reverted == "rule"


async def test_a_rollback_that_could_not_be_done_is_tried_again_by_the_looks_that_follow(tmp_path: Path) -> None:
    keeper, rollouts = (spec.name for spec in part.specs((experiment(),)))
    branch = supervisor(
        "decisions",
        ChildSpec(keeper, Reluctant, {"refusals": 3}),
        *(spec for spec in part.specs((experiment(),)) if spec.name == rollouts),
    )
    log = open_log(tmp_path / "log", segment_bytes=1 << 20, max_bytes=1 << 26, reserve_bytes=0)
    try:
        with trio.fail_after(LIMIT_S):
            async with open_node(NodeSettings(name="test", data_dir=str(tmp_path)), (branch,), log=log) as node:
                at = Stage(node, VirtualClock(0))
                async with following(node, RolloutChanged) as changed:
                    await start(at)
                    seen = [message.rollout for message in await changed.count(3)]
                assert [view.state for view in seen] == ["running", "guardrails_failing", "reverted"]
                assert seen[1].why == "hard limit: a user has lost 30 %; not done yet: overloaded: not now"
                assert (await at.status()).plan.reverted == "rule"
    finally:
        log.close()


async def _ended(at: Stage) -> bool:
    return (await rollout(at)).ts_ended > 0


async def test_a_phase_that_a_crash_has_left_unwatched_is_rolled_back(tmp_path: Path) -> None:
    async with rolling(tmp_path) as at:
        # What a rollout's first step leaves behind when the node dies before the rollout's own row.
        await at.keeper.ask(StageTest(name="t", begin=True, coverage=0.01, why="rollout: begun"), LIMIT_S)
        await at.kill(ROLLOUTS)
        await until(lambda: _not_staged(at))
        status = await at.status()
        assert (status.plan.reverted, status.plan.version) == ("rule", 2)
        assert not (await at.node.ref(ROLLOUTS).ask(ListRollouts(), LIMIT_S)).rollouts


async def _not_staged(at: Stage) -> bool:
    return not (await at.status()).staged


async def test_a_configured_rollout_begins_with_the_node_once(tmp_path: Path) -> None:
    configured = experiment(start_rollout=True, rollout=PLAN)
    for _ in range(2):
        async with stage(tmp_path, configured) as at:
            await until(lambda at=at: _begun(at))  # type: ignore[misc]
            view = await rollout(at)
            assert (view.version, view.coverage) == (2, 0.01)
            assert at.log.last_seq(f"{RolloutRow.table}/t") == 1


async def _begun(at: Stage) -> bool:
    return bool((await at.node.ref(ROLLOUTS).ask(ListRollouts(), LIMIT_S)).rollouts)
