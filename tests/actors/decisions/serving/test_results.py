"""Requests whose decision is fetched or pushed later."""

from __future__ import annotations

from pathlib import Path

import pytest
import trio
from trio.testing import MockClock

from actors.decisions.serving.settings import Settings
from protocols.control import Probe, Refused
from protocols.decisions import Decide, Decision, DecisionReady, GetDecision, SubmitDecision
from protocols.paths import DECISION_RESULTS
from tests.actors.decisions.serving.policies import Slow, Sure
from tests.actors.decisions.serving.stage import Serving, following, plan, serving


async def submit(at: Serving, request: Decide) -> str:
    taken = await at.node.ref(DECISION_RESULTS).ask(SubmitDecision(request))
    assert taken.decision_id == request.decision_id
    return request.decision_id


async def get(at: Serving, name: str, wait_s: float = 0.0) -> Decision:
    return await at.node.ref(DECISION_RESULTS).ask(GetDecision(name, wait_s), wait_s + 1)


async def refused(at: Serving, name: str, wait_s: float = 0.0) -> str:
    with pytest.raises(Refused) as refusal:
        await get(at, name, wait_s)
    return refusal.value.code


async def test_a_result_is_waited_for_as_long_as_is_asked_and_pushed_to_its_user(
    leaping: MockClock, tmp_path: Path
) -> None:
    async with serving(tmp_path, Settings(inference_s=60.0)) as at, following(at.node, DecisionReady, "anna") as pushed:
        slow = Slow()
        at.use(slow)
        name = await submit(at, at.request(30.0))
        other = await submit(at, at.request(30.0, user_id="bert"))
        assert await refused(at, name) == "pending"
        began = trio.current_time()
        assert await refused(at, name, 2.0) == "pending"
        assert trio.current_time() - began == pytest.approx(2.0, abs=0.01)
        async with trio.open_nursery() as nursery:
            waited: list[Decision] = []

            async def wait() -> None:
                waited.append(await get(at, name, 20.0))

            nursery.start_soon(wait)
            nursery.start_soon(wait)
            slow.gate.set()
        assert {decision.decision_id for decision in waited} == {name}
        assert {decision.served_by for decision in waited} == {"rl"}
        (ready,) = await pushed.count(1)
        assert ready.decision == waited[0]
        assert (await get(at, other, 20.0)).user_id == "bert"
        # It can be fetched again.
        assert await get(at, name) == waited[0]


async def test_a_submitted_request_is_answered_by_its_deadline_though_the_model_hangs(
    leaping: MockClock, tmp_path: Path
) -> None:
    async with serving(tmp_path, Settings(inference_s=60.0), plan(1.0)) as at:
        slow = Slow()
        at.use(slow)
        began = trio.current_time()
        decision = await get(at, await submit(at, at.request(0.5, model="")), 10.0)
        slow.gate.set()
        assert (decision.served_by, decision.reason, decision.arm) == ("fallback", "TIMEOUT", "treatment")
        assert trio.current_time() - began <= 0.5


async def test_a_result_is_forgotten_after_its_time(autojump_clock: MockClock, tmp_path: Path) -> None:
    async with serving(tmp_path, Settings(results_s=60.0)) as at:
        at.use(Sure())
        name = await submit(at, at.request())
        await trio.sleep(59)
        assert (await get(at, name)).served_by == "rl"
        await trio.sleep(7)
        assert await refused(at, name) == "not_found"
        assert (await at.node.ref(DECISION_RESULTS).ask(Probe())).figures == (("remembered", 0), ("under_way", 0))


async def test_the_oldest_that_is_done_makes_room_and_those_under_way_never_do(
    leaping: MockClock, tmp_path: Path
) -> None:
    async with serving(tmp_path, Settings(results=2, inference_s=60.0)) as at:
        at.use(Sure())
        slow = Slow()
        at.use(slow, name="slow")
        done = await submit(at, at.request())
        assert (await get(at, done, 5.0)).served_by == "rl"
        waiting = [await submit(at, at.request(30.0, model="slow")) for _ in range(2)]
        assert await refused(at, done) == "not_found"
        with pytest.raises(Refused) as full:
            await submit(at, at.request())
        assert full.value.code == "overloaded"
        slow.gate.set()
        for name in waiting:
            assert (await get(at, name, 20.0)).served_by == "slow"


async def test_what_cannot_be_asked_is_refused_at_once_and_an_id_is_good_for_one_request(
    autojump_clock: MockClock, tmp_path: Path
) -> None:
    async with serving(tmp_path) as at:
        at.use(Sure())
        for changes, field in (({"user_id": ""}, "user_id"), ({"priority": 9}, "priority")):
            with pytest.raises(Refused) as invalid:
                await submit(at, at.request(**changes))
            assert (invalid.value.code, invalid.value.field) == ("invalid", field)
        request = at.request()
        await submit(at, request)
        with pytest.raises(Refused) as again:
            await submit(at, request)
        assert again.value.code == "already_present"
        assert await refused(at, "nobody's") == "not_found"
