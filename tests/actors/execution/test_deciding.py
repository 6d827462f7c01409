"""Deployments that ask the decision server, in the core: what is asked, what of the answer is kept, where it leads."""

from __future__ import annotations

import math
from typing import Any

import msgspec
import pytest

from actors.decisions.features.names import FEATURE_SETS
from actors.execution.deciding import decided, question
from actors.execution.deployments import Decided, Deployment, DeploymentSettings
from actors.execution.engine import Engine
from actors.execution.engine_signals import Verdict
from actors.execution.inputs import Numbered, TakeSignal, decode, encode
from protocols.decisions import Decision
from protocols.nanos import NANO
from protocols.signals import ExecutionParams, Signal
from tests.actors.execution.kit import Desk

SERVER = "/decisions/server"


def signal(number: int = 1, action: Any = "BUY", **fields: Any) -> Signal:
    known: dict[str, Any] = {
        "signal_id": f"sig{number}",
        "ts_created": 1,
        "strategy_id": "s",
        "strategy_source": "test",
        "symbol": "X",
        "exchange": "test",
        "action": action,
        "confidence": 0.9,
        "execution_params": ExecutionParams(max_slippage=0, quantity=NANO),
    }
    return Signal(**{**known, **fields})


def answer(name: str = "d", **fields: Any) -> Decided:
    known: dict[str, Any] = {
        "deployment_id": name,
        "decision_id": f"dec-{name}",
        "should_trade": True,
        "action": "BUY",
        "confidence": 0.8,
        "served_by": "ppo",
    }
    return Decided(**{**known, **fields})


def desk(**fields: Any) -> Desk:
    at = Desk()
    at.deploy(**{"decisions": SERVER, **fields})
    at.quote(100, 101)
    return at


def verdicts(at: Desk) -> list[Verdict]:
    return at.engine.take_verdicts()


def test_what_was_decided_is_on_the_order_its_fill_and_its_outcome() -> None:
    at = desk()
    at.say(TakeSignal.of(1, signal(), (answer(),)))
    at.say(TakeSignal.of(2, signal(2, "CLOSE_ALL")))
    entry, closing = (event.order.order for event in at.events if event.fill is not None)
    assert (entry.decision_id, closing.decision_id) == ("dec-d", "")
    assert [event.fill.decision_id for event in at.events if event.fill is not None] == ["dec-d", ""]
    [trade] = at.engine.take_trades()
    assert trade.decision_id == "dec-d"
    updates = at.engine.take_updates()
    assert (updates[0].signal_id, updates[0].decision_id) == ("sig1", "dec-d")


@pytest.mark.parametrize(
    ("said", "words"),
    [
        (
            {"should_trade": False, "action": "HOLD", "text": "too calm", "arm": "treatment"},
            "the signal says BUY, ppo (arm treatment) says HOLD with 0.8: too calm [dec-d]",
        ),
        ({"should_trade": False}, "the signal says BUY, ppo says not to trade, BUY with 0.8 [dec-d]"),
        ({"action": "SELL"}, "the signal says BUY, ppo says SELL with 0.8 [dec-d]"),
    ],
)
def test_a_decision_against_a_signal_declines_it_in_words(said: dict[str, Any], words: str) -> None:
    at = desk()
    at.say(TakeSignal.of(1, signal(), (answer(**said),)))
    [verdict] = verdicts(at)
    assert (verdict.code, verdict.reason, verdict.orders) == ("decision", words, ())
    assert at.fills() == []
    assert at.engine.deployments["d"].declined == 1


def test_a_signal_that_was_not_decided_goes_no_further_and_says_so() -> None:
    at = desk()
    at.say(TakeSignal.of(1, signal()))
    [verdict] = verdicts(at)
    assert (verdict.code, verdict.reason) == ("decision", f"{SERVER} was not asked")


def test_what_closes_and_what_is_decided_already_needs_no_decision() -> None:
    at = desk()
    at.say(TakeSignal.of(1, signal(decision_id="an agent's")))
    at.say(TakeSignal.of(2, signal(2, "CLOSE_LONG")))
    at.say(TakeSignal.of(3, signal(3, "HOLD")))
    assert [(len(each.orders), each.code) for each in verdicts(at)] == [(1, ""), (1, ""), (0, "hold")]
    assert at.events[0].order.order.decision_id == "an agent's"
    assert at.position() == 0


def test_the_marks_of_a_decision_are_on_its_order() -> None:
    at = desk()
    at.say(TakeSignal.of(1, signal(marks=("delayed",)), (answer(marks=("synthetic",)),)))
    assert at.events[0].order.order.marks == ("delayed", "synthetic")


def test_each_deployment_has_its_own_decision() -> None:
    at = desk()
    at.deploy(deployment_id="e", decisions=SERVER)
    at.deploy(deployment_id="f")
    at.say(TakeSignal.of(1, signal(), (answer("d", should_trade=False), answer("e"))))
    assert [(each.deployment_id, len(each.orders)) for each in verdicts(at)] == [("d", 0), ("e", 1), ("f", 1)]


def test_a_decided_signal_that_waits_for_the_next_open_keeps_its_decision() -> None:
    at = Desk()
    at.deploy(decisions=SERVER, sized_at="open")
    at.bar(100, 101, 99, 100)
    at.say(TakeSignal.of(1, signal(), (answer(),)))
    at.bar(102, 103, 101, 102)
    at.bar(102, 103, 101, 102)
    assert {event.order.order.decision_id for event in at.events} == {"dec-d"}


def test_the_same_inputs_lead_to_the_same_state_and_a_snapshot_goes_on() -> None:
    at = desk()
    for number in range(1, 6):
        said = answer(should_trade=bool(number % 2), action="BUY" if number % 2 else "HOLD")
        at.say(TakeSignal.of(number, signal(number), (said,)))
    journal = decode(encode([Numbered(n, ts, item) for n, (item, ts) in enumerate(at.inputs, 1)]))
    again = Engine(at.engine.settings)
    for each in journal:
        again.handle(each.item, each.ts)
    assert again.snapshot() == at.engine.snapshot()
    restored = Engine(at.engine.settings)
    restored.restore(again.snapshot())
    assert restored.deployments["d"].settings.decisions == SERVER


def test_a_journal_of_before_there_were_decisions_is_read() -> None:
    old = [1, 5, {"type": "take_signal", "seq": 7, "body": msgspec.json.encode(signal())}]
    deployed = {"type": "deploy", "settings": {"deployment_id": "d", "strategy_id": "s", "account": "a"}}
    first, second = decode(msgspec.msgpack.encode([[1, 5, deployed], old]))
    assert first.item.settings.decisions == ""  # type: ignore[union-attr]
    assert isinstance(second.item, TakeSignal)
    assert (second.item.seq, second.item.decided, second.item.signal()) == (7, (), signal())


def test_a_question_has_the_numbers_of_the_signal_and_nan_for_what_it_does_not_say() -> None:
    settings = DeploymentSettings(
        deployment_id="d", strategy_id="s", account="a", user="ada", decisions=SERVER, decision_ms=250
    )
    deployment = Deployment(settings)
    metadata = msgspec.Raw(b'{"rsi": 25, "sma_ratio": 1.0, "note": "text", "volume": true, "atr": -1, "macd": 50}')
    asked = question(deployment, signal(metadata=metadata, marks=("synthetic",), ts_event=5), 1_000)
    known = {
        name: value
        for name, value in zip(FEATURE_SETS[asked.observation.feature_set], asked.observation.values, strict=True)
        if not math.isnan(value)
    }
    # As the table of features says: rsi is (x - 50) / 50; what is out of its range is not known.
    assert known == {"rsi": -0.5, "sma_ratio": 0.0}  # and macd is relative to a price, which is not said
    assert (asked.user_id, asked.symbol, asked.signal_id) == ("ada", "X", "sig1")
    assert asked.deadline == 1_000 + 250_000_000
    assert (asked.proposal.action, asked.proposal.confidence, asked.proposal.rsi) == ("BUY", 0.9, 25.0)
    assert asked.proposal.volume is None
    assert (asked.observation.marks, asked.observation.ts_event) == (("synthetic",), 5)
    assert question(deployment, signal(metadata=metadata), 9).decision_id == asked.decision_id


def test_what_is_kept_of_a_decision() -> None:
    decision = Decision(
        decision_id="x", user_id="ada", symbol="X", action="SELL", should_trade=True, confidence=0.7,
        confidence_kind="vote", reasoning="why", served_by="ensemble", arm="b", marks=("demo",),
    )  # fmt: skip
    kept = decided("d", decision)
    assert (kept.deployment_id, kept.decision_id, kept.action, kept.should_trade) == ("d", "x", "SELL", True)
    assert (kept.confidence, kept.served_by, kept.arm, kept.text, kept.marks) == (
        0.7,
        "ensemble",
        "b",
        "why",
        ("demo",),
    )


@pytest.mark.parametrize(
    ("fields", "words"),
    [({"decisions": "server"}, "decisions: expected the path"), ({"decision_ms": 0}, "decision_ms: expected 1 to")],
)
def test_settings_that_cannot_be_are_told_with_their_name(fields: dict[str, Any], words: str) -> None:
    with pytest.raises(ValueError, match=words):
        DeploymentSettings(deployment_id="d", strategy_id="s", account="a", **fields)
