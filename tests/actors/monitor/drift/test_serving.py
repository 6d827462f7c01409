"""The decision server and the keeper of experiments tell what drift is found in, and nobody has to be asked twice."""

from __future__ import annotations

import math
from pathlib import Path

import trio

from actors.decisions.experiments.part import specs as experiments
from actors.decisions.experiments.plans import DEFAULT_SETTINGS
from actors.decisions.serving.part import specs as serving
from actors.decisions.serving.settings import Settings
from actors.monitor.drift.actor import Examine
from actors.monitor.drift.part import spec
from actors.monitor.drift.settings import DriftSettings
from protocols.decisions import Decision
from protocols.drift import ModelDrift
from protocols.experiments import Feedback
from protocols.paths import DRIFT, EXPERIMENTS
from runtime import supervisor
from runtime.clock import SECOND
from tests.actors.decisions.serving.policies import FEATURES, Slow, Sure, observation
from tests.actors.decisions.serving.stage import Serving
from tests.actors.monitor.stage import LIMIT_S, Stage, stage

SETTINGS = DriftSettings(interval_s=3600, reference=60, reference_h=0, minimum=60, thin_s=1.0)


async def examine(at: Stage) -> ModelDrift:
    await at.settle()
    [found] = (await at.node.ref(DRIFT).ask(Examine(), LIMIT_S)).models
    return found


async def decided(desk: Serving, at: Stage, count: int, first: float, missing: int = 0) -> list[Decision]:
    """Ask so many times, a second apart. The first feature of what is asked about goes round above `first`."""
    found = []
    for number in range(count):
        at.clock.advance(SECOND)
        found.append(await desk.ask(observed=observation(first + number % 7 / 10, missing=missing)))
    return found


async def test_observations_and_outcomes_of_a_served_model_are_watched_and_become_alerts(tmp_path: Path) -> None:
    branch = supervisor("decisions", *serving(Settings(), "", ()), *experiments(DEFAULT_SETTINGS))
    async with stage(tmp_path, others=(branch, spec(SETTINGS))) as at:
        desk = Serving(at.node)
        desk.use(Sure())
        await at.settle()
        first = await decided(desk, at, 60, 0.0)
        await decided(desk, at, 60, 0.0)
        found = await examine(at)
        assert (found.model, found.version, found.state) == ("rl", "000000000001", "stable")
        names = [each.name for each in found.features if each.kind == "input"]
        assert tuple(names) == FEATURES
        assert {each.current for each in found.features} == {60}

        for each in first[:40]:
            told = Feedback(user_id="anna", decision_id=each.decision_id, outcome=0.01, success=True)
            assert not (await at.node.ref(EXPERIMENTS).ask(told, LIMIT_S)).repeated
            assert (await at.node.ref(EXPERIMENTS).ask(told, LIMIT_S)).repeated
        found = await examine(at)
        assert (found.outcome.outcomes, found.outcome.accuracy) == (40, 1.0)
        assert found.outcome.mean_error is not None
        assert math.isclose(found.outcome.mean_error, 0.9 - 1.0)
        assert 'rl_model_accuracy_ratio{model="rl"} 1.0' in at.metrics.render().decode()

        at.clock.advance(25 * 3600 * SECOND)
        await decided(desk, at, 60, 5.0, missing=3)
        found = await examine(at)
        drifted = {each.name for each in found.features if each.state == "drifted"}
        assert drifted == {FEATURES[0], *FEATURES[-3:]}
        assert [each.key for each in await at.active()] == ["drift,model=rl"]


async def test_what_has_too_few_features_for_a_model_is_seen_all_the_same_and_crowds_once_a_second(
    tmp_path: Path,
) -> None:
    branch = supervisor("decisions", *serving(Settings(), "", ()))
    async with stage(tmp_path, others=(branch, spec(SETTINGS))) as at:
        desk = Serving(at.node)
        desk.use(Sure(min_features=20))
        await at.settle()
        answers = await decided(desk, at, 60, 0.0, missing=25)
        assert {each.reason for each in answers} == {"MISSING_FEATURES"}
        for _ in range(10):
            await desk.ask()
        found = await examine(at)
        assert {each.reference for each in found.features if each.kind == "input"} == {60}


async def test_the_metrics_say_how_many_requests_wait(tmp_path: Path) -> None:
    branch = supervisor("decisions", *serving(Settings(), "", ()))
    async with stage(tmp_path, others=(branch,)) as at:
        desk, policy = Serving(at.node), Slow()
        desk.use(policy)
        async with trio.open_nursery() as nursery:
            for _ in range(5):
                nursery.start_soon(desk.server.ask, desk.request())
            await at.settle()
            assert "\nrl_queue_depth 5.0\n" in at.metrics.render().decode()
            policy.gate.set()
        assert "\nrl_queue_depth 0.0\n" in at.metrics.render().decode()
