"""What the server answers when its models, its callers or it itself fail: each fault is caused, on a running node.

Time is trio's, and moves only when nobody has anything to do, or when a policy says that it took some: an overload is
the same on every machine.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import trio
from trio.testing import MockClock

from actors.decisions.policy import FeaturesMissing, Mask, PolicyAnswer, Values
from actors.decisions.serving.messages import GetFigures
from actors.decisions.serving.plans import KnownPlans
from actors.decisions.serving.recorder import RECORDER
from actors.decisions.serving.settings import BREAKER, Settings
from protocols.control import Probe
from protocols.decisions import FALLBACK, RISK_EXIT, Decision, DecisionMade, LoadModel, PredictionRow, Proposal
from protocols.experiments import GetPlans, UsePlans
from protocols.paths import DECISIONS, MODELS
from runtime import Actor, ChildSpec, KillChild, PauseChild, receive
from runtime.log_reader import LogReader
from tests.actors.decisions.serving.policies import Failing, NotANumber, Picky, Slow, Sure, observation
from tests.actors.decisions.serving.stage import Serving, following, plan, serving
from tests.actors.decisions.serving.test_models import written

MS = 0.001
LONG = [pytest.param("leaping", True, 100, marks=pytest.mark.long)]


class Costly(Sure):
    """On the loop, and each call takes `cost_s` of trio's clock."""

    def __init__(self, clock: MockClock, cost_s: float, **changes: object) -> None:
        super().__init__(**changes)  # type: ignore[arg-type]
        self.clock = clock
        self.cost_s = cost_s

    def act(self, values: Values, mask: Mask | None = None, regimes: Values | None = None) -> list[PolicyAnswer]:
        self.clock.jump(self.cost_s)
        return super().act(values, mask, regimes)


async def open_loop(at: Serving, rate: float, seconds: float, **changes: Any) -> list[Decision]:
    """So many requests a second, whether or not the ones before were answered: what has become due is sent at once.
    `at.decide` asserts that each of them is answered before its deadline."""
    found: list[Decision] = []

    async def one(number: int) -> None:
        found.append(await at.decide(**_asked(changes, number)))

    total = round(rate * seconds)
    async with trio.open_nursery() as nursery:
        began, sent = trio.current_time(), 0
        while sent < total:
            await trio.sleep_until(began + sent / rate)
            due = min(total, 1 + int((trio.current_time() - began) * rate + 1e-6))
            for number in range(sent, due):
                nursery.start_soon(one, number)
            sent = max(sent, due)
    assert len(found) == total
    return found


async def at_once(at: Serving, count: int, **changes: Any) -> list[Decision]:
    """So many requests in one moment."""
    found: list[Decision] = []

    async def one(number: int) -> None:
        found.append(await at.decide(**_asked(changes, number)))

    async with trio.open_nursery() as nursery:
        for number in range(count):
            nursery.start_soon(one, number)
    return found


def _asked(changes: dict[str, Any], number: int) -> dict[str, Any]:
    """What the request of this number is: functions are called with it."""
    return {name: value(number) if callable(value) else value for name, value in changes.items()}


# Too many requests.


@pytest.mark.parametrize("seconds", [0.2, pytest.param(10.0, marks=pytest.mark.long)])
async def test_at_ten_times_the_capacity_everybody_is_answered_in_time_and_risk_exits_by_the_model(
    autojump_clock: MockClock, tmp_path: Path, seconds: float
) -> None:
    """The model takes 0.5 ms a call, one request at a time: 2,000 a second; 20,000 a second come, for 50 ms each."""
    settings = Settings(batch=1, capacity=512, reserve=64, cache_ttl_s=0)
    async with serving(tmp_path, settings, plan(1.0)) as at:
        at.use(Costly(autojump_clock, 0.5 * MS))
        found = await open_loop(
            at, 20_000, seconds, timeout_s=0.05, model="", priority=lambda n: RISK_EXIT if n % 50 == 0 else n % 3 + 1
        )
        served = Counter(decision.served_by for decision in found)
        assert served.keys() == {"rl", FALLBACK}
        assert {decision.reason for decision in found if decision.served_by == FALLBACK} == {"TIMEOUT", "REJECTED"}
        assert all(decision.reason == "" for decision in found if decision.served_by == "rl")
        assert all(decision.arm == "treatment" for decision in found)
        # The model was of use all of the time; some calls end after the deadline of who waited for them.
        assert served["rl"] >= 0.6 * 2_000 * seconds
        exits = [decision for decision in found if decision.priority == RISK_EXIT]
        assert {decision.served_by for decision in exits} == {"rl"}
        assert max(decision.took_ns for decision in exits) <= 0.01 * 1e9
        # Nothing is left anywhere.
        figures = await at.figures()
        assert sum(figures.waiting) == 0
        assert figures.decisions == len(found)


async def test_after_the_overload_the_model_answers_everybody_again(autojump_clock: MockClock, tmp_path: Path) -> None:
    async with serving(tmp_path, Settings(batch=1, capacity=64, reserve=8, cache_ttl_s=0)) as at:
        at.use(Costly(autojump_clock, 0.5 * MS))
        await open_loop(at, 20_000, 0.05, timeout_s=0.02)
        found = await open_loop(at, 1_000, 0.05, timeout_s=0.02)
        assert {decision.served_by for decision in found} == {"rl"}


async def test_a_mailbox_that_is_full_is_an_answer_of_the_fallback(autojump_clock: MockClock, tmp_path: Path) -> None:
    async with serving(tmp_path) as at:
        at.use(Sure())
        while at.server.tell(at.request(timeout_s=5.0)):
            pass
        decision = await at.decide(proposal=Proposal(action="SELL", confidence=0.8))
        assert (decision.served_by, decision.reason, decision.action) == (FALLBACK, "REJECTED", "SELL")


# Models that misbehave.


async def test_a_model_that_hangs_costs_its_threads_and_nobody_an_answer(leaping: MockClock, tmp_path: Path) -> None:
    settings = Settings(inference_s=0.5, threads=2, batch=1)
    async with serving(tmp_path, settings) as at:
        hanging, other = Slow(), Sure()
        at.use(hanging)
        at.use(other, name="other")
        try:
            # Those whose deadline is before the model's limit are answered at their own.
            early = await at.decide(0.2)
            assert (early.served_by, early.reason) == (FALLBACK, "TIMEOUT")
            assert early.took_ns <= 0.2e9
            patient = await at.decide(5.0)
            assert (patient.served_by, patient.reason) == (FALLBACK, "TIMEOUT")
            assert patient.took_ns <= 1.1e9
            # Both threads hang: nobody is put into the queue of this model any more.
            decision = await at.decide(5.0)
            assert (decision.served_by, decision.reason, decision.took_ns) == (FALLBACK, "REJECTED", 0)
            _, broken = (await at.figures()).models
            assert (broken.name, broken.hanging_threads, broken.waiting) == ("rl", 2, 0)
            # The others do not notice.
            assert (await at.decide(0.1, model="other")).served_by == "other"
        finally:
            hanging.gate.set()
        # Once a thread has come back, it is asked again.
        await at.until(lambda figures: not figures.models[1].hanging_threads)
        assert (await at.decide(5.0)).served_by == "rl"


async def test_many_that_wait_behind_a_hanging_call_are_all_answered_at_their_deadlines(
    leaping: MockClock, tmp_path: Path
) -> None:
    async with serving(tmp_path, Settings(inference_s=3.0, batch=4)) as at:
        hanging = Slow()
        at.use(hanging)
        try:
            found = await at_once(at, 100, timeout_s=lambda n: 0.05 + 0.01 * (n % 7))
        finally:
            hanging.gate.set()
        assert {decision.served_by for decision in found} == {FALLBACK}
        reasons = Counter(decision.reason for decision in found)
        assert reasons["TIMEOUT"] > 0
        assert reasons.keys() <= {"TIMEOUT", "REJECTED"}  # rejected: since all of its threads hang
        assert sum((await at.figures()).waiting) == 0


async def test_an_answer_after_the_deadline_is_the_fallbacks_wherever_it_is_looked_up(
    autojump_clock: MockClock, tmp_path: Path
) -> None:
    """A call on the loop takes longer than the request has: the one answer that is given is the one that is told."""
    async with serving(tmp_path) as at, following(at.node, DecisionMade) as made:
        at.use(Costly(autojump_clock, 0.3))
        request = at.request(0.2)
        assert at.server.tell(request)
        (message,) = await made.count(1)
        assert (message.decision.served_by, message.decision.reason) == (FALLBACK, "TIMEOUT")
        await trio.sleep(1.0)
        assert len(made.all) == 1
        assert (await at.figures()).by_served == ((FALLBACK, 1),)


async def test_a_call_that_never_ends_is_a_failure_of_each_request_that_it_was_to_answer(
    leaping: MockClock, tmp_path: Path
) -> None:
    settings = Settings(inference_s=0.5, threads=2, batch=BREAKER.minimum_calls)
    async with serving(tmp_path, settings) as at, following(at.node, DecisionMade) as made:
        hanging = Slow()
        at.use(hanging)
        try:
            for _ in range(BREAKER.minimum_calls):
                assert at.server.tell(at.request(5.0))
            reasons = {message.decision.reason for message in await made.count(BREAKER.minimum_calls)}
            assert reasons == {"TIMEOUT"}
            assert (await at.figures()).models[0].breaker == "open"
            assert (await at.decide(5.0)).reason == "CIRCUIT_OPEN"
        finally:
            hanging.gate.set()


async def test_what_an_observation_lacks_is_no_fault_of_the_model(autojump_clock: MockClock, tmp_path: Path) -> None:
    class Wanting(Sure):
        def act(self, values: Values, mask: Mask | None = None, regimes: Values | None = None) -> list[PolicyAnswer]:
            if (values[:, 0] < 0).any():
                raise FeaturesMissing(("rsi",))
            return super().act(values, mask, regimes)

    async with serving(tmp_path) as at:
        at.use(Wanting())
        for number in range(BREAKER.minimum_calls + 1):
            decision = await at.decide(observed=observation(-1.0 - number))
            assert (decision.served_by, decision.reason) == (FALLBACK, "MISSING_FEATURES")
            assert decision.missing == ("rsi",)
        assert (await at.figures()).models[0].breaker == "closed"
        assert (await at.decide()).served_by == "rl"


@pytest.mark.parametrize("policy", [Failing(), NotANumber()])
async def test_a_model_that_raises_or_answers_nan_opens_its_breaker_and_is_tried_again(
    autojump_clock: MockClock, tmp_path: Path, policy: Sure
) -> None:
    async with serving(tmp_path, None, plan(1.0)) as at:
        at.use(policy)

        async def breaker() -> str:
            return (await at.figures()).models[0].breaker

        async def asked(count: int) -> list[str]:
            found = [await at.decide(model="", proposal=Proposal(action="BUY", confidence=0.6)) for _ in range(count)]
            assert {(decision.served_by, decision.action) for decision in found} <= {(FALLBACK, "BUY"), ("rl", "BUY")}
            assert {decision.arm for decision in found} == {"treatment"}
            return [decision.reason for decision in found]

        assert await asked(BREAKER.minimum_calls - 1) == ["MODEL_ERROR"] * (BREAKER.minimum_calls - 1)
        assert await breaker() == "closed"
        assert await asked(1) == ["MODEL_ERROR"]
        assert await breaker() == "open"
        assert await asked(10) == ["CIRCUIT_OPEN"] * 10
        await trio.sleep(BREAKER.open_s - 0.01)
        assert await asked(1) == ["CIRCUIT_OPEN"]
        # Half-open: so many trials; they fail, and it opens again.
        await trio.sleep(0.02)
        assert await asked(BREAKER.half_open_calls - 1) == ["MODEL_ERROR"] * (BREAKER.half_open_calls - 1)
        assert await breaker() == "half_open"
        assert await asked(2) == ["MODEL_ERROR", "CIRCUIT_OPEN"]
        assert await breaker() == "open"
        # The model is well again: so many good trials close it.
        await trio.sleep(BREAKER.open_s + 0.01)
        at_fault, Failing.broken = Failing.broken, False
        try:
            if isinstance(policy, NotANumber):
                policy.__class__ = Sure  # the same policy, healed
            assert await asked(BREAKER.half_open_calls) == [""] * BREAKER.half_open_calls
        finally:
            Failing.broken = at_fault
        assert await breaker() == "closed"


async def test_a_breaker_that_is_half_open_lets_so_many_through_and_no_more(
    autojump_clock: MockClock, tmp_path: Path
) -> None:
    async with serving(tmp_path, Settings(batch=32)) as at:
        policy = Failing()
        at.use(policy)
        for _ in range(BREAKER.minimum_calls):
            await at.decide()
        await trio.sleep(BREAKER.open_s + 0.01)
        policy.broken = False
        found = await at_once(at, 32)  # 32 at once
        by = Counter(decision.reason for decision in found)
        assert by == {"": BREAKER.half_open_calls, "CIRCUIT_OPEN": 32 - BREAKER.half_open_calls}
        assert {decision.reason for decision in await at_once(at, 32)} == {""}


async def test_another_version_has_a_breaker_of_its_own(autojump_clock: MockClock, tmp_path: Path) -> None:
    async with serving(tmp_path) as at:
        at.use(Failing())
        for _ in range(BREAKER.minimum_calls + 1):
            last = await at.decide()
        assert last.reason == "CIRCUIT_OPEN"
        at.use(Sure("00000000000b"))
        assert (await at.decide()).served_by == "rl"


async def test_an_observation_that_makes_the_model_raise_spoils_no_others_answer(
    autojump_clock: MockClock, tmp_path: Path
) -> None:
    async with serving(tmp_path) as at:
        at.use(Picky())
        found = await at_once(at, 10, observed=lambda n: observation(-1.0 if n == 4 else float(n)))
        assert Counter(decision.reason for decision in found) == {"": 9, "MODEL_ERROR": 1}
        (failed,) = [decision for decision in found if decision.reason]
        assert "below 0" in failed.reasoning


# Swaps.


def versions(count: int, slow: bool) -> Iterator[Sure]:
    """Policies that can be told apart by each of version, confidence and probabilities; every third one slow."""
    for number in range(1, count + 1):
        confidence = 0.5 + number / (4 * count)
        if slow and number % 3 == 0:
            policy = Slow(f"{number:012d}", confidence=confidence)
            policy.gate.set()
            yield policy
        else:
            yield Sure(f"{number:012d}", confidence)


@pytest.mark.parametrize(("clock", "slow", "each"), [("autojump_clock", False, 10), ("leaping", True, 2), *LONG])
async def test_a_hundred_swaps_under_load_drop_no_request_and_mix_no_answer(
    request: pytest.FixtureRequest, tmp_path: Path, clock: str, slow: bool, each: int
) -> None:
    """Another version after `each` requests; some wait in the queue when it comes, some are with the model."""
    request.getfixturevalue(clock)
    policies = list(versions(101, slow))
    async with serving(tmp_path, Settings(batch=4, inference_s=60.0)) as at, following(at.node, DecisionMade) as made:
        found: list[Decision] = []

        async def one(number: int) -> None:
            # Equal observations, too: an answer in the cache is an answer of its version.
            found.append(await at.decide(100.0, observation(float(number % 5))))

        async with trio.open_nursery() as nursery:
            for number in range(each * len(policies)):
                if number % each == 0:
                    at.use(policies[number // each])
                nursery.start_soon(one, number)
                if number % 7 == 0:
                    await trio.sleep(MS)
        assert len(found) == each * len(policies)
        assert {decision.served_by for decision in found} == {"rl"}
        by_version = {policy.info.version: policy.confidence for policy in policies}
        for decision in found:
            confidence = by_version[decision.model_version]
            assert decision.confidence == confidence
            assert dict(decision.probabilities)["buy"] == confidence
        order = [message.decision.model_version for message in await made.count(len(found))]
        if not slow:
            assert order == sorted(order)
        assert len(set(order)) > 20
        assert (await at.figures()).swaps == 100
        assert (await at.decide(100.0)).model_version == policies[-1].info.version


async def test_a_request_whose_model_became_a_slow_one_is_answered_when_it_is_due_and_leaves_its_place(
    leaping: MockClock, tmp_path: Path
) -> None:
    """The clock jumps between the swap and the drain, so that the request expires in the queue of the model before."""
    async with serving(tmp_path) as at:
        slow = Slow("00000000000b")
        at.use(Sure())
        try:
            async with following(at.node, DecisionMade) as made:
                assert at.server.tell(at.request(0.1))
                at.use(slow)
                leaping.jump(0.2)
                (message,) = await made.count(1)
                assert (message.decision.served_by, message.decision.reason) == (FALLBACK, "TIMEOUT")
                assert (await at.figures()).waiting == (0, 0, 0, 0)
                at.use(Sure("00000000000c"))
                assert (await at.decide()).model_version == "00000000000c"
        finally:
            slow.gate.set()


# The server itself.


class Keeper(Actor):
    """Knows a plan, as the keeper of experiments does."""

    @receive
    def plans(self, _: GetPlans) -> UsePlans:
        return UsePlans((plan(1.0),))


class Silent(Actor):
    """In the place of the keeper of experiments: answers nobody."""

    @receive
    def plans(self, _: GetPlans) -> None:
        self.owed = self.promise()


async def test_a_keeper_of_experiments_that_does_not_answer_takes_a_quarter_of_a_requests_time_and_not_more(
    autojump_clock: MockClock, tmp_path: Path
) -> None:
    async with serving(tmp_path, others=(ChildSpec("experiments", f"{__name__}:Silent"),)) as at:
        plans = KnownPlans()
        began = at.node.clock.monotonic()
        assert await plans.at(at.node.ref("/experiments"), began, began + 20_000_000) is None
        assert at.node.clock.monotonic() - began <= 5_100_000
        # The next one does not wait at all.
        now = at.node.clock.monotonic()
        assert await plans.at(at.node.ref("/experiments"), now, now + 10**9) is None
        assert at.node.clock.monotonic() == now


async def test_while_the_server_is_gone_the_callers_fallback_answers_for_the_arm_and_is_told(
    autojump_clock: MockClock, tmp_path: Path
) -> None:
    from actors.decisions.serving.client import decide

    keeper = ChildSpec("experiments", f"{__name__}:Keeper")
    async with serving(tmp_path, others=(keeper,)) as at, following(at.node, DecisionMade) as made:
        at.use(Costly(autojump_clock, 0.0))
        plans = KnownPlans()
        now = at.node.clock.monotonic()
        known = await plans.at(at.node.ref("/experiments"), now, now + 10**9)
        gone = at.node.ref("/decisions/nobody")
        decision = await decide(gone, at.request(model=""), at.node.clock, plans=known, publish=at.node.topics.publish)
        assert (decision.served_by, decision.reason, decision.arm) == (FALLBACK, "REJECTED", "treatment")
        (message,) = await made.count(1)
        assert message.decision == decision
        # What the keeper told stays known while it is gone, too.
        await trio.sleep(60)
        now = at.node.clock.monotonic()
        assert await plans.at(at.node.ref("/nobody"), now, now + 10**9) is known


async def test_a_server_that_is_killed_under_load_leaves_nobody_without_an_answer_and_serves_again(
    leaping: MockClock, tmp_path: Path
) -> None:
    async with serving(tmp_path, Settings(batch=1)) as at:
        slow = Slow()
        at.use(slow)
        found: list[Decision] = []

        async def one() -> None:
            found.append(await at.decide(2.0))

        async with trio.open_nursery() as nursery:
            for _ in range(20):
                nursery.start_soon(one)
            await at.until(lambda figures: sum(figures.waiting) == 19)
            await at.kill()
        slow.gate.set()
        assert {decision.served_by for decision in found} == {FALLBACK}
        assert {decision.reason for decision in found} <= {"MODEL_ERROR", "REJECTED"}
        assert len(found) == 20
        at.use(Sure("00000000000b"))
        assert (await at.decide(2.0)).model_version == "00000000000b"


# Without a database.


async def test_what_a_slow_model_said_to_the_life_before_does_not_crash_the_next(
    leaping: MockClock, tmp_path: Path
) -> None:
    parent, _, name = DECISIONS.rpartition("/")
    async with serving(tmp_path, Settings(inference_s=60.0)) as at:
        entered = trio.Event()
        token = trio.lowlevel.current_trio_token()
        slow = Slow(entered=lambda: token.run_sync_soon(entered.set))
        at.use(slow)
        server = at.node.find(DECISIONS)
        assert server is not None
        assert at.server.tell(at.request(60.0))
        await entered.wait()
        await at.node.ref(parent).ask(PauseChild(name))
        slow.gate.set()
        while not server.queue:  # noqa: ASYNC110 - its answer waits behind the pause, and nothing tells it
            await trio.sleep(MS)
        await at.node.ref(parent).ask(KillChild(name))
        at.use(Sure())
        assert (await at.decide(60.0)).served_by == "rl"
        assert server.mark.incarnation.count == 2


async def test_without_a_database_every_decision_is_answered_and_in_the_log(
    autojump_clock: MockClock, tmp_path: Path
) -> None:
    async with serving(tmp_path, None, plan(0.5)) as at:
        at.use(Sure())
        found = await open_loop(at, 10_000, 0.02, model="", user_id=lambda n: f"user{n}")
        assert {decision.served_by for decision in found} == {"rl", "rule"}
        figures = await at.node.ref(RECORDER).ask(GetFigures())
        assert (figures.recorded, figures.lost) == (200, 0)
        await trio.sleep(61)  # it has looked for outcomes meanwhile
        figures = await at.node.ref(RECORDER).ask(GetFigures(10))
        assert figures.accuracies is None
        assert "outcomes cannot be read" in figures.remark
        assert len(figures.users) == 10
    names = PredictionRow.__struct_fields__
    read = LogReader(tmp_path / "log").read(10_000, 1 << 24)
    rows = [dict(zip(names, row.fields, strict=True)) for row in read if row.table.name == PredictionRow.table]
    assert [row["seq"] for row in rows] == list(range(1, 201))
    assert {row["decision_id"] for row in rows} == {decision.decision_id for decision in found}


async def test_when_the_log_is_full_every_decision_is_answered_and_those_that_are_lost_are_counted(
    leaping: MockClock, tmp_path: Path
) -> None:
    """The database was away for so long that nothing more fits: decisions go on, and models can be exchanged."""
    path, version = written(tmp_path, 1)
    async with serving(tmp_path, log_bytes=1 << 17) as at:
        at.use(Sure())
        found = await at_once(at, 1500, timeout_s=20.0)
        assert {decision.served_by for decision in found} == {"rl"}
        figures = await at.node.ref(RECORDER).ask(GetFigures())
        assert figures.decisions == figures.recorded + figures.lost == len(found)
        assert min(figures.recorded, figures.lost) > 0, figures
        probe = await at.node.ref(RECORDER).ask(Probe())
        assert (probe.status, probe.detail) == ("degraded", f"{figures.lost} decisions were not recorded")
        swapped = await at.node.ref(MODELS).ask(LoadModel(name="rl", path=str(path)), 20)
        assert swapped.version == version
        assert (await at.decide(20.0)).model_version == version
