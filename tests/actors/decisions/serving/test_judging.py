"""Thresholds in the decision server: as control arm, as fallback, recorded for both arms, and when they fail."""

from __future__ import annotations

from pathlib import Path
from typing import Any, ClassVar

import pytest
import trio
from trio.testing import MockClock

from actors.decisions.serving.recorder import RECORDER
from actors.decisions.serving.settings import Settings
from actors.thresholds import capability as thresholds
from actors.thresholds.settings import Settings as ThresholdSettings
from protocols.control import Probe, Refused
from protocols.decisions import FALLBACK, RULE, THRESHOLDS, Decision, DecisionMade, Proposal
from protocols.paths import DECISIONS, THRESHOLD_ROSTER
from protocols.thresholds import EvaluateSignal, Verdict
from runtime import Actor, ChildSpec, KillChild, PauseChild, receive, supervisor
from runtime.log_reader import LogReader
from tests.actors.decisions.serving.policies import Failing, Sure
from tests.actors.decisions.serving.stage import Serving, following, plan, serving

GOOD = Proposal(action="BUY", confidence=0.9, rsi=50.0, macd=0.05, change_percent=3.0, volume=2e9)
TIMID = Proposal(action="BUY", confidence=0.6, rsi=50.0, macd=0.05, change_percent=3.0, volume=2e9)
"""The rule trades it, the thresholds do not: they want a confidence of 0.65."""
OWN = (thresholds.branch(ThresholdSettings(adapt_every_s=0.0)),)
CONTROL = plan(0.5, control=THRESHOLDS)


class Asked(Actor):
    """In the place of the roster: answers when it is let."""

    let: ClassVar[trio.Event]
    came: ClassVar[trio.Event]

    @receive
    async def evaluate(self, request: EvaluateSignal) -> Verdict:
        self.came.set()
        await self.let.wait()
        raise Refused("unavailable", "not today")


class Mute(Actor):
    """In the place of the roster: hangs, or refuses."""

    asked: ClassVar[int] = 0

    def __init__(self, refuses: bool = False) -> None:
        self.refuses = refuses

    @receive
    async def evaluate(self, request: EvaluateSignal) -> Verdict:
        type(self).asked += 1
        if self.refuses:
            raise Refused("unavailable", "not today")
        await trio.sleep_forever()
        raise AssertionError


def mute(*, refuses: bool = False) -> tuple[ChildSpec, ...]:
    Mute.asked = 0
    name = THRESHOLD_ROSTER.rpartition("/")[2]
    return (supervisor("thresholds", ChildSpec(name, Mute, {"refuses": refuses}, stop_s=0.1)),)


async def by_arm(at: Serving, proposal: Proposal, **changes: Any) -> dict[str, Decision]:
    """A decision for a user of each arm."""
    found: dict[str, Decision] = {}
    for number in range(64):
        decision = await at.decide(user_id=f"u{number}", proposal=proposal, model="", **changes)
        found.setdefault(decision.arm, decision)
        if len(found) == 2:
            return found
    raise AssertionError(found)


async def test_the_control_arm_is_served_by_thresholds_and_both_arms_have_their_verdict(tmp_path: Path) -> None:
    async with serving(tmp_path, None, CONTROL, others=OWN, on_trio=False) as at:
        at.use(Sure())
        found = await by_arm(at, TIMID, timeout_s=5.0)
        control, treatment = found["control"], found["treatment"]
        assert (control.served_by, control.should_trade, control.action) == (THRESHOLDS, False, "HOLD")
        assert "confidence 0.6 is below the minimum 0.65" in control.reasoning
        assert treatment.served_by == "rl"
        for decision in found.values():
            assert decision.verdict is not None
            assert (decision.verdict.approved, decision.verdict.source) == (False, THRESHOLDS)
        good = await by_arm(at, GOOD, timeout_s=5.0)
        assert (good["control"].action, good["control"].should_trade, good["control"].confidence) == ("BUY", True, 0.9)
        assert good["treatment"].verdict is not None
        assert good["treatment"].verdict.approved


async def test_an_arm_that_the_rule_serves_is_not_decided_by_thresholds_that_serve_the_other(tmp_path: Path) -> None:
    against = plan(0.5, control=RULE, treatment=THRESHOLDS)
    async with serving(tmp_path, None, against, others=OWN, on_trio=False) as at:
        found = await by_arm(at, TIMID, timeout_s=5.0)
        served = {arm: (decision.served_by, decision.should_trade) for arm, decision in found.items()}
        assert served == {"control": (RULE, True), "treatment": (THRESHOLDS, False)}
        verdicts = [decision.verdict and decision.verdict.approved for decision in found.values()]
        assert verdicts == [False, False]


async def test_the_verdict_is_in_the_row_of_each_decision(tmp_path: Path) -> None:
    async with serving(tmp_path, None, CONTROL, others=OWN, on_trio=False) as at:
        at.use(Sure())
        found = await by_arm(at, TIMID, timeout_s=5.0)
        await at.node.ref(RECORDER).ask(Probe())
        reader = LogReader(tmp_path / "log")
        rows = [dict(zip(row.table.columns, row.fields, strict=True)) for row in reader.read(10_000, 1 << 24)]
        reader.close()
        told = {row["decision_id"]: row for row in rows if "threshold_verdict" in row}
        for decision in found.values():
            row = told[decision.decision_id]
            assert row["threshold_verdict"] is False
            assert "confidence" in row["threshold_reasoning"]


async def test_a_verdict_that_the_life_before_had_asked_for_decides_nothing(
    autojump_clock: MockClock, tmp_path: Path
) -> None:
    Asked.let, Asked.came = trio.Event(), trio.Event()
    parent, _, name = DECISIONS.rpartition("/")
    roster = supervisor("thresholds", ChildSpec(THRESHOLD_ROSTER.rpartition("/")[2], Asked, stop_s=0.1))
    settings = Settings(verdict_s=30.0)
    async with serving(tmp_path, settings, CONTROL, others=(roster,)) as at, following(at.node, DecisionMade) as made:
        server = at.node.find(DECISIONS)
        assert server is not None
        lost = at.request(60.0, model="", proposal=GOOD)
        assert at.server.tell(lost)
        await Asked.came.wait()
        await at.node.ref(parent).ask(PauseChild(name))
        Asked.let.set()
        while not server.queue:  # noqa: ASYNC110 - the verdict waits behind the pause, and nothing tells it
            await trio.sleep(0.01)
        await at.node.ref(parent).ask(KillChild(name))
        later = await at.decide(60.0, model="", proposal=GOOD)
        assert [each.decision.decision_id for each in await made.count(1)] == [later.decision_id]
        assert server.mark.incarnation.count == 2


async def test_where_thresholds_serve_nothing_nobody_asks_them(tmp_path: Path) -> None:
    async with serving(tmp_path, None, plan(0.5), others=mute()) as at:
        at.use(Sure())
        found = await by_arm(at, TIMID)
        assert found["control"].served_by == RULE
        assert found["control"].verdict is None
        assert Mute.asked == 0


async def test_thresholds_as_fallback_answer_for_a_model_that_fails(tmp_path: Path) -> None:
    async with serving(tmp_path, Settings(fallback="thresholds"), others=OWN, on_trio=False) as at:
        at.use(Failing())
        timid = await at.decide(proposal=TIMID, timeout_s=5.0)
        assert (timid.served_by, timid.reason, timid.should_trade) == (FALLBACK, "MODEL_ERROR", False)
        assert "thresholds: no trade" in timid.reasoning
        assert (await at.decide(proposal=GOOD, timeout_s=5.0)).should_trade


async def test_with_the_rule_as_fallback_the_verdict_is_only_recorded(tmp_path: Path) -> None:
    async with serving(tmp_path, None, CONTROL, others=OWN, on_trio=False) as at:
        at.use(Failing())
        decision = (await by_arm(at, TIMID, timeout_s=5.0))["treatment"]
        assert (decision.served_by, decision.should_trade) == (FALLBACK, True)
        assert "rule: the signal says BUY" in decision.reasoning
        assert decision.verdict is not None
        assert decision.verdict.approved is False


@pytest.mark.parametrize("timeout_s", [0.01, 0.1, 1.0])
async def test_thresholds_that_hang_cost_no_deadline_and_then_no_time(
    tmp_path: Path, autojump_clock: MockClock, timeout_s: float
) -> None:
    async with serving(tmp_path, None, CONTROL, others=mute()) as at:
        at.use(Sure())
        found = await by_arm(at, TIMID, timeout_s=timeout_s)  # `decide` asserts the deadline
        assert found["treatment"].served_by == "rl"
        control = found["control"]
        assert (control.served_by, control.reason, control.should_trade) == (FALLBACK, "MODEL_ERROR", True)
        assert "no verdict of the thresholds" in control.reasoning
        for _ in range(10):
            await at.decide(proposal=TIMID, model="", timeout_s=timeout_s)
        asked, began = Mute.asked, trio.current_time()
        for _ in range(50):
            await at.decide(proposal=TIMID, model="", timeout_s=timeout_s)
        assert Mute.asked == asked
        assert trio.current_time() - began < 0.001


async def test_a_crashed_roster_leaves_the_rule(tmp_path: Path, autojump_clock: MockClock) -> None:
    for others in (mute(refuses=True), ()):
        async with serving(tmp_path, None, CONTROL, others=others) as at:
            at.use(Sure())
            control = (await by_arm(at, TIMID))["control"]
            assert (control.served_by, control.should_trade) == (FALLBACK, True)
            assert "the signal says BUY" in control.reasoning


async def test_what_is_no_order_is_not_judged(tmp_path: Path) -> None:
    async with serving(tmp_path, None, CONTROL, others=mute()) as at:
        at.use(Sure())
        for proposal in (Proposal(), Proposal(action="HOLD", confidence=0.9)):
            control = (await by_arm(at, proposal))["control"]
            assert (control.served_by, control.action, control.should_trade) == (THRESHOLDS, "HOLD", False)
        assert Mute.asked == 0
