"""What the server answers, and by whom: on a running node, on trio's clock."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import msgspec
import pytest
import trio
from trio.testing import MockClock

from actors.decisions.experiments.assignment import Assigner
from actors.decisions.policy import PolicyAnswer
from actors.decisions.serving.settings import Settings
from protocols.control import Refused
from protocols.decisions import (
    HIGH,
    LOW,
    NORMAL,
    RISK_EXIT,
    Decision,
    DecisionMade,
    Observation,
    Proposal,
    ShadowDecided,
)
from protocols.experiments import UsePlans
from tests.actors.decisions.serving.policies import FEATURES, Failing, Mlp, Picky, Slow, Sure, observation
from tests.actors.decisions.serving.stage import SECOND, START, Serving, following, plan, serving

NAN = float("nan")
UNKNOWN = (NAN,) * 4


async def told(at: Serving, *requests: dict[str, Any]) -> list[Decision]:
    """Requests that are there before the server looks, and their decisions in the order in which they were made."""
    async with following(at.node, DecisionMade) as made:
        for changes in requests:
            assert at.server.tell(at.request(**changes))
        return [message.decision for message in await made.count(len(requests))]


async def test_a_model_answers_with_its_name_its_version_and_its_probabilities(
    autojump_clock: MockClock, tmp_path: Path
) -> None:
    async with serving(tmp_path) as at:
        at.use(Sure("00000000000a", 0.8))
        decision = await at.ask()
        assert (decision.served_by, decision.reason, decision.model_version) == ("rl", "", "00000000000a")
        assert (decision.action, decision.should_trade, decision.confidence) == ("BUY", True, 0.8)
        assert [name for name, _ in decision.probabilities] == ["hold", "buy", "sell"]
        assert sum(share for _, share in decision.probabilities) == pytest.approx(1)


async def test_who_waits_alone_is_answered_alone_and_who_wait_together_by_one_call(
    autojump_clock: MockClock, tmp_path: Path
) -> None:
    async with serving(tmp_path) as at:
        policy = Sure()
        at.use(policy)
        alone = await at.ask(observed=observation(1.0))
        assert (alone.served_by, policy.calls) == ("rl", 1)
        await told(at, *({"observed": observation(float(number))} for number in range(2, 7)))
        assert (policy.shown, policy.calls) == ([1, 2, 3, 4, 5, 6], 2)


# Order.


async def test_the_classes_are_answered_in_their_order_and_each_in_the_order_of_arrival(
    autojump_clock: MockClock, tmp_path: Path
) -> None:
    async with serving(tmp_path, Settings(batch=2)) as at:
        policy = Sure()
        at.use(policy)
        order = [LOW, HIGH, NORMAL, RISK_EXIT, HIGH, LOW, RISK_EXIT, NORMAL]
        asked = [{"priority": each, "observed": observation(float(place))} for place, each in enumerate(order)]
        decisions = await told(at, *asked)
        assert [decision.priority for decision in decisions] == sorted(order)
        assert policy.shown == [3, 6, 1, 4, 2, 7, 0, 5]


async def test_who_is_of_a_lower_class_is_not_starved_by_a_stream_of_urgent_ones(
    autojump_clock: MockClock, tmp_path: Path
) -> None:
    """The urgent ones never end: each that is answered asks again. The low one is answered after a quantum of them."""
    async with serving(tmp_path, Settings(batch=1, quantum=8, cache_ttl_s=0)) as at:
        policy = Sure()
        at.use(policy)
        answered = trio.Event()

        async def low() -> None:
            decision = await at.ask(5.0, observation(-1.0), priority=LOW, user_id="low")
            assert decision.served_by == "rl"
            answered.set()

        async def urgent() -> None:
            while not answered.is_set():
                await at.ask(5.0, priority=RISK_EXIT)

        with trio.fail_after(4):
            async with trio.open_nursery() as nursery:
                for _ in range(20):
                    nursery.start_soon(urgent)
                nursery.start_soon(low)
                await answered.wait()
        assert policy.shown.index(-1.0) <= 20 + 8 + 1


async def test_requests_of_one_user_and_symbol_are_answered_in_their_order_by_a_slow_model_too(
    leaping: MockClock, tmp_path: Path
) -> None:
    async with serving(tmp_path, Settings(batch=3)) as at:
        policy = Slow()
        policy.gate.set()
        at.use(policy)
        await told(at, *({"observed": observation(float(place)), "timeout_s": 20.0} for place in range(20)))
        assert policy.shown == list(range(20))


@pytest.mark.parametrize("slow_first", [False, True])
async def test_requests_that_wait_while_another_kind_of_model_takes_over_keep_their_order(
    leaping: MockClock, tmp_path: Path, slow_first: bool
) -> None:
    async with serving(tmp_path) as at, following(at.node, DecisionMade) as made:
        slow, quick = Slow("00000000000b"), Sure("00000000000c")
        slow.gate.set()
        before, after = (slow, quick) if slow_first else (quick, slow)
        at.use(before)
        for place in range(12):
            if place == 6:
                at.use(after)
            assert at.server.tell(at.request(20.0, observation(float(place))))
        await made.count(12)
        assert (before.shown, after.shown) == ([], list(range(12)))


async def test_when_the_queue_is_full_the_fallback_answers_and_the_last_places_are_for_risk_exits(
    autojump_clock: MockClock, tmp_path: Path
) -> None:
    async with serving(tmp_path, Settings(capacity=4, reserve=1)) as at:
        at.use(Sure())
        proposal = Proposal(action="SELL", confidence=0.9)
        decisions = await told(at, *({"proposal": proposal} for _ in range(10)), {"priority": RISK_EXIT})
        by_model = [decision for decision in decisions if decision.served_by == "rl"]
        rejected = [decision for decision in decisions if decision.served_by == "fallback"]
        assert [len(by_model), len(rejected)] == [4, 7]
        assert {decision.reason for decision in rejected} == {"REJECTED"}
        assert {decision.action for decision in rejected} == {"SELL"}  # the rule confirms what was proposed
        assert by_model[0].priority == RISK_EXIT


async def test_shadows_look_at_requests_once_nothing_live_waits(autojump_clock: MockClock, tmp_path: Path) -> None:
    order: list[str] = []

    class Noted(Sure):
        def act(self, values: Any, mask: Any = None, regimes: Any = None) -> Any:
            order.append(self.info.version)
            return super().act(values, mask, regimes)

    async with serving(tmp_path, Settings(batch=1), plan(1.0, shadow="next")) as at:
        at.use(Noted("live"))
        at.use(Noted("shadow"), name="next")
        async with following(at.node, ShadowDecided) as seen:
            await told(at, *({"model": ""} for _ in range(5)))
            await seen.count(5)
        assert order == ["live"] * 5 + ["shadow"] * 5


# What forbids the model's answer.


@pytest.mark.parametrize(
    ("changes", "reason", "says"),
    [
        ({"observed": observation(ts=START - 61 * SECOND)}, "STALE_OBS", "the observation is 61.0 s old"),
        ({"observed": observation(missing=len(FEATURES) - 4)}, "MISSING_FEATURES", "4 of 29 features are known"),
        ({"observed": Observation("book", (0.5,) * 12)}, "MISSING_FEATURES", "0 of 29 features are known"),
        ({"min_confidence": 0.95}, "LOW_CONFIDENCE", "confidence 0.900 is below 0.950"),
        ({"mask": (True, False)}, "MODEL_ERROR", "expected a mask of 3 actions, got 2"),
        ({"timeout_s": 0.0}, "TIMEOUT", "the deadline had passed when the request came"),
    ],
)
async def test_what_forbids_the_models_answer_is_the_reason_of_the_fallbacks(
    autojump_clock: MockClock, tmp_path: Path, changes: dict[str, Any], reason: str, says: str
) -> None:
    async with serving(tmp_path, None, plan(1.0)) as at:
        at.use(Sure(min_features=5))
        (decision,) = await told(at, {"model": "", "proposal": Proposal(action="BUY", confidence=0.7), **changes})
        assert (decision.served_by, decision.reason) == ("fallback", reason)
        assert says in decision.reasoning
        assert (decision.action, decision.confidence) == ("BUY", 0.7)
        # The request counts for the arm that it was assigned to.
        assert (decision.experiment, decision.version, decision.arm) == ("test", 3, "treatment")
        assert decision.model_version == ""


async def test_a_model_that_takes_no_missing_features_is_not_asked_with_any(
    autojump_clock: MockClock, tmp_path: Path
) -> None:
    async with serving(tmp_path) as at:
        policy = Sure(takes_missing=False)
        at.use(policy)
        decision = await at.ask(observed=observation(missing=1))
        assert (decision.reason, decision.missing) == ("MISSING_FEATURES", (FEATURES[-1],))
        assert policy.calls == 0
        assert (await at.ask()).served_by == "rl"


async def test_with_enough_features_the_missing_ones_are_named_and_the_model_answers(
    autojump_clock: MockClock, tmp_path: Path
) -> None:
    async with serving(tmp_path) as at:
        at.use(Mlp())
        decision = await at.ask(observed=observation(missing=20))
        assert decision.served_by == "rl"
        assert decision.missing == FEATURES[-20:]


async def test_an_infinite_feature_is_a_missing_one_to_the_model(autojump_clock: MockClock, tmp_path: Path) -> None:
    async with serving(tmp_path) as at:
        policy = Sure()
        at.use(policy)
        alone = await at.ask(observed=observation(math.inf))
        together = await told(at, {"observed": observation(-math.inf)}, {"observed": observation(2.0)})
        assert [decision.served_by for decision in (alone, *together)] == ["rl"] * 3
        assert [decision.missing for decision in (alone, *together)] == [FEATURES[:1], FEATURES[:1], ()]
        assert [str(shown) for shown in policy.shown] == ["nan", "nan", "2.0"]


@pytest.mark.parametrize(
    ("answer", "says"),
    [
        (PolicyAnswer(1, (NAN, 0.9, 0.1), 0.9), "the policy's answer is not finite"),
        (PolicyAnswer(1, (0.1, 0.9, 0.0), NAN), "the policy's answer is not finite"),
        (PolicyAnswer(1, (0.1, 0.9, 0.0), 1.1), "expected a confidence from 0 to 1, got 1.1"),
        (PolicyAnswer(3, (0.1, 0.9, 0.0), 0.9), "expected an action below 3, got 3"),
        (PolicyAnswer(-1, (0.1, 0.9, 0.0), 0.9), "expected an action below 3, got -1"),
    ],
)
async def test_an_answer_that_cannot_be_is_an_error_of_the_model(
    autojump_clock: MockClock, tmp_path: Path, answer: PolicyAnswer, says: str
) -> None:
    class Wrong(Sure):
        def act(self, values: Any, mask: Any = None, regimes: Any = None) -> Any:
            return [answer for _ in values]

    async with serving(tmp_path) as at:
        at.use(Wrong())
        decision = await at.ask()
        assert (decision.served_by, decision.reason) == ("fallback", "MODEL_ERROR")
        assert says in decision.reasoning


async def test_who_makes_the_model_raise_is_found_among_those_that_are_answered_together(
    autojump_clock: MockClock, tmp_path: Path
) -> None:
    async with serving(tmp_path) as at:
        at.use(Picky())
        decisions = await told(at, *({"observed": observation(float(first))} for first in (1, 2, -1, 3)))
        assert [decision.reason for decision in decisions] == ["", "", "MODEL_ERROR", ""]


async def test_a_request_that_makes_no_sense_is_refused_with_its_field(
    autojump_clock: MockClock, tmp_path: Path
) -> None:
    wrong: dict[str, dict[str, Any]] = {
        "user_id": {"user_id": ""},
        "symbol": {"symbol": ""},
        "priority": {"priority": 4},
        "observation.values": {"observed": Observation("market29", (0.5,))},
        "regimes": {"regimes": (0.5, 0.2, 0.1, 0.1)},
        "min_confidence": {"min_confidence": 1.5},
        "mask": {"mask": (False, False, False)},
    }
    async with serving(tmp_path) as at:
        at.use(Sure())
        for field, changes in wrong.items():
            for ask in (at.ask, at.decide):
                with pytest.raises(Refused) as refusal:
                    await ask(1.0, **changes)
                assert (refusal.value.code, refusal.value.field) == ("invalid", field)
        assert (await at.ask(regimes=UNKNOWN)).served_by == "rl"
        assert (await at.figures()).decisions == 1


@pytest.mark.parametrize(("confidence", "trades"), [(0.5, False), (0.501, True)])
async def test_a_model_trades_above_one_half_and_not_at_it(
    autojump_clock: MockClock, tmp_path: Path, confidence: float, trades: bool
) -> None:
    async with serving(tmp_path) as at:
        at.use(Sure(confidence=confidence))
        decision = await at.ask()
        assert (decision.served_by, decision.action, decision.should_trade) == ("rl", "BUY", trades)


# Arms.


async def test_each_user_is_served_by_his_arm_again_and_again(autojump_clock: MockClock, tmp_path: Path) -> None:
    async with serving(tmp_path, None, plan(0.5)) as at:
        at.use(Sure())
        users = [f"user{number}" for number in range(40)]
        first = {user: await at.ask(user_id=user, model="") for user in users}
        for user in users:
            again = await at.ask(user_id=user, model="", symbol="ETH")
            assert (again.arm, again.served_by) == (first[user].arm, first[user].served_by)
        served = {(decision.arm, decision.served_by) for decision in first.values()}
        assert served == {("control", "rule"), ("treatment", "rl")}


async def test_other_plans_assign_everybody_anew_from_the_next_request_on(
    autojump_clock: MockClock, tmp_path: Path
) -> None:
    async with serving(tmp_path, None, plan(1.0)) as at:
        at.use(Sure())
        assert (await at.ask(model="")).arm == "treatment"
        assert at.server.tell(UsePlans((plan(0.0),)))
        decision = await at.ask(model="")
        assert (decision.arm, decision.served_by) == ("control", "rule")


async def test_in_a_switchback_a_user_gets_what_the_block_of_each_symbol_has(
    autojump_clock: MockClock, tmp_path: Path
) -> None:
    switching = msgspec.structs.replace(plan(0.5), block_s=60.0)
    async with serving(tmp_path, None, switching) as at:
        at.use(Sure())
        assigner, arms, expected = Assigner((switching,)), [], []
        for _ in range(6):
            for symbol in ("BTC", "ETH"):
                assignment = assigner.assign("anna", symbol, at.node.clock.now())
                assert assignment is not None
                expected.append(assignment.arm)
                arms.append((await at.ask(model="", symbol=symbol)).arm)
            await trio.sleep(60)
        assert arms == expected
        assert set(arms) == {"control", "treatment"}


async def test_without_a_model_the_arm_is_answered_by_the_fallback_and_counts(
    autojump_clock: MockClock, tmp_path: Path
) -> None:
    async with serving(tmp_path, None, plan(1.0)) as at:
        decision = await at.ask(model="")
        assert (decision.served_by, decision.reason, decision.arm) == ("fallback", "MODEL_ERROR", "treatment")
        assert "there is no model rl" in decision.reasoning


async def test_a_shadow_sees_what_the_live_arm_answered_and_answers_nobody(
    autojump_clock: MockClock, tmp_path: Path
) -> None:
    async with serving(tmp_path, None, plan(0.0, shadow="next")) as at, following(at.node, ShadowDecided) as seen:
        at.use(Sure("00000000000b", 0.7), name="next")
        decision = await at.ask(model="")
        assert decision.served_by == "rule"
        (shadow,) = await seen.count(1)
        assert shadow.live == decision
        assert (shadow.arm, shadow.shadow.served_by, shadow.shadow.confidence) == ("shadow", "next", 0.7)
        assert (await at.figures()).decisions == 1


async def test_shadows_are_dropped_under_load_and_one_that_fails_harms_nobody(
    autojump_clock: MockClock, tmp_path: Path
) -> None:
    settings = Settings(shadows=5)
    async with serving(tmp_path, settings, plan(0.0, shadow="next")) as at:
        at.use(Failing(), name="next")
        decisions = await told(at, *({"model": ""} for _ in range(50)))
        assert {decision.served_by for decision in decisions} == {"rule"}
        figures = await at.figures()
        assert figures.shadows + figures.shadows_dropped == 50
        assert figures.shadows_dropped > 0
        assert (figures.decisions, figures.by_reason) == (50, ())


async def test_of_too_many_shadows_the_oldest_are_dropped(autojump_clock: MockClock, tmp_path: Path) -> None:
    async with serving(tmp_path, Settings(shadows=2), plan(0.0, shadow="next")) as at:
        at.use(Sure(), name="next")
        async with following(at.node, ShadowDecided) as seen:
            decisions = await told(at, *({"model": ""} for _ in range(5)))
            shadows = await seen.count(2)
        assert [shadow.live.decision_id for shadow in shadows] == [each.decision_id for each in decisions[-2:]]
        figures = await at.figures()
        assert (figures.shadows, figures.shadows_dropped) == (2, 3)


# Equal questions.


async def test_equal_observations_of_one_moment_are_computed_once(autojump_clock: MockClock, tmp_path: Path) -> None:
    async with serving(tmp_path) as at:
        policy = Sure()
        at.use(policy)
        decisions = await told(at, *({"observed": observation(0.5, ts=START)} for _ in range(20)))
        assert [decision.served_by for decision in decisions] == ["rl"] * 20
        assert [decision.cached for decision in decisions] == [False] + [True] * 19
        assert len({decision.decision_id for decision in decisions}) == 20
        assert policy.shown == [0.5]
        figures = await at.figures()
        assert (figures.cache_misses, figures.cache_shared, figures.cache_hits) == (1, 19, 0)


async def test_equal_observations_that_come_during_a_slow_call_wait_for_its_answer(
    leaping: MockClock, tmp_path: Path
) -> None:
    async with serving(tmp_path) as at:
        entered = trio.Event()
        token = trio.lowlevel.current_trio_token()
        policy = Slow(entered=lambda: token.run_sync_soon(entered.set))
        at.use(policy)
        decisions: list[Decision] = []

        async def ask() -> None:
            decisions.append(await at.ask(20.0, observation(0.5, ts=START)))

        async with trio.open_nursery() as nursery:
            nursery.start_soon(ask)
            await entered.wait()
            for _ in range(9):
                nursery.start_soon(ask)
            await trio.testing.wait_all_tasks_blocked()
            policy.gate.set()
        assert policy.shown == [0.5]
        assert sorted(decision.cached for decision in decisions) == [False] + [True] * 9


async def test_an_answer_is_given_again_for_the_time_to_live_of_event_time(
    autojump_clock: MockClock, tmp_path: Path
) -> None:
    async with serving(tmp_path, Settings(cache_ttl_s=10, stale_s=100)) as at:
        policy = Sure()
        at.use(policy)

        async def cached(ts: int, **changes: Any) -> bool:
            return (await at.ask(observed=observation(0.5, ts=ts), **changes)).cached

        assert not await cached(START - 50 * SECOND)
        assert await cached(START - 40 * SECOND)  # ten seconds of event time later, at the same moment of the clock
        assert not await cached(START - 40 * SECOND + 1)
        await trio.sleep(30)
        assert await cached(START - 40 * SECOND + 1)  # half a minute of the clock later, of the same event time
        assert not await cached(START - 40 * SECOND + 1, mask=(True, True, False))
        assert not await cached(START - 40 * SECOND + 1, regimes=(1.0, 0.0, 0.0, 0.0))
        at.use(Sure("00000000000b"))
        assert not await cached(START - 40 * SECOND + 1)


async def test_another_policy_of_the_same_version_gives_answers_of_its_own(
    autojump_clock: MockClock, tmp_path: Path
) -> None:
    async with serving(tmp_path) as at:
        asked = observation(0.5, ts=START)
        at.use(Sure("mine", 0.7))
        assert (await at.ask(observed=asked)).confidence == 0.7
        at.use(Sure("mine", 0.8))
        decision = await at.ask(observed=asked)
        assert (decision.confidence, decision.cached) == (0.8, False)


async def test_what_a_policy_says_after_it_was_replaced_is_nobody_elses_answer(
    leaping: MockClock, tmp_path: Path
) -> None:
    async with serving(tmp_path) as at:
        entered = trio.Event()
        token = trio.lowlevel.current_trio_token()
        before = Slow("mine", entered=lambda: token.run_sync_soon(entered.set))
        at.use(before)
        asked = observation(0.5, ts=START)
        decisions: list[Decision] = []

        async def ask() -> None:
            decisions.append(await at.ask(20.0, asked))

        async with trio.open_nursery() as nursery:
            nursery.start_soon(ask)
            await entered.wait()
            at.use(Sure("mine", 0.8))
            before.gate.set()
        decisions.append(await at.ask(observed=asked))
        assert [(decision.confidence, decision.cached) for decision in decisions] == [(0.9, False), (0.8, False)]


async def test_what_answers_equal_questions_differently_is_asked_every_time(
    autojump_clock: MockClock, tmp_path: Path
) -> None:
    async with serving(tmp_path) as at:
        policy = Sure(cacheable=False)
        at.use(policy)
        for _ in range(3):
            assert not (await at.ask(observed=observation(0.5, ts=START))).cached
        assert policy.calls == 3


# Why.


async def test_who_asks_why_is_told_the_features_that_did_most_in_words(
    autojump_clock: MockClock, tmp_path: Path
) -> None:
    async with serving(tmp_path) as at:
        at.use(Mlp())
        plain = await at.ask(observed=observation(3.0, ts=START))
        assert plain.factors == ()
        decision = await at.ask(observed=observation(3.0, ts=START), explain=True)
        assert (decision.action, decision.probabilities) == (plain.action, plain.probabilities)
        assert 1 <= len(decision.factors) <= 5
        sizes = [abs(factor.effect) for factor in decision.factors]
        assert sizes == sorted(sizes, reverse=True)
        assert all(factor.text in decision.reasoning for factor in decision.factors)


async def test_a_slow_model_explains_itself_on_its_thread(leaping: MockClock, tmp_path: Path) -> None:
    import threading

    names: list[str] = []

    class Told(Mlp):
        def __init__(self) -> None:
            super().__init__()
            self.info = type(self.info)(**{**{f: getattr(self.info, f) for f in self.info.__struct_fields__},
                                           "threaded": True})  # fmt: skip

        def act(self, values: Any, mask: Any = None, regimes: Any = None) -> Any:
            names.append(threading.current_thread().name)
            return super().act(values, mask, regimes)

    async with serving(tmp_path) as at:
        at.use(Told())
        decision = await at.ask(20.0, explain=True)
        assert decision.factors
        assert len(names) == 2
        assert threading.main_thread().name not in names


async def test_a_decision_that_cannot_be_explained_is_given_all_the_same_and_says_so(
    autojump_clock: MockClock, tmp_path: Path
) -> None:
    class Once(Sure):
        def act(self, values: Any, mask: Any = None, regimes: Any = None) -> Any:
            if len(values) > 1:
                raise ValueError("one at a time")
            return super().act(values, mask, regimes)

    async with serving(tmp_path) as at:
        at.use(Once())
        decision = await at.ask(explain=True)
        assert (decision.served_by, decision.factors) == ("rl", ())
        assert "it cannot be explained: ValueError: one at a time" in decision.reasoning
        assert (await at.figures()).models[0].breaker == "closed"
