"""What an agent makes of bars, without a loop: questions, regimes, signals, and each bar once."""

from __future__ import annotations

import math
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from actors.agents.agent_core import AgentCore
from actors.agents.settings import AgentConfig
from actors.decisions.features.names import FEATURE_SETS, MARKET_29
from protocols.decisions import Decision
from protocols.market import Funding
from protocols.nanos import NANO
from tests.actors.agents.stage import MINUTE, START, bar


def core(last_bar: int = -1, **config: Any) -> AgentCore:
    return AgentCore("ada", "A", AgentConfig(**{"symbols": ("A",), **config}), last_bar)


def warm(agent: AgentCore, bars: int = 60) -> AgentCore:
    for number in range(bars):
        assert agent.feed(bar(number))
    return agent


def answer(**fields: Any) -> Decision:
    known: dict[str, Any] = {
        "decision_id": "d", "user_id": "ada", "symbol": "A", "action": "BUY", "should_trade": True, "confidence": 0.9,
        "confidence_kind": "vote", "reasoning": "why", "served_by": "demo", "model_version": "v1",
    }  # fmt: skip
    return Decision(**{**known, **fields})


def test_a_question_has_the_features_the_fields_of_the_rule_and_the_deadline() -> None:
    agent = warm(core(model="demo", explain=True, priority=2, deadline_ms=250))
    asked = agent.question(bar(59), 1_000)
    values = dict(zip(FEATURE_SETS[MARKET_29], asked.observation.values, strict=True))
    assert not math.isnan(values["rsi"] + values["macd"] + values["adx"])
    assert math.isnan(values["exchange_netflow"])
    assert (asked.proposal.action, asked.proposal.confidence, asked.proposal.volume) == (None, None, 12.5)
    assert asked.proposal.rsi is not None
    assert 0 <= asked.proposal.rsi <= 100
    assert asked.proposal.macd is not None
    assert (asked.model, asked.explain, asked.priority, asked.deadline) == ("demo", True, 2, 250_001_000)
    assert (asked.decision_id, asked.agent_id) == (f"ada/A@1m@{bar(59).start}", "ada/A")


def test_an_ensemble_is_asked_with_the_probabilities_of_the_regimes_and_one_model_without() -> None:
    ensemble = warm(core()).question(bar(59), 0).regimes
    assert len(ensemble) == 4
    assert math.isclose(sum(ensemble), 1.0)
    assert warm(core(model_type="individual")).question(bar(59), 0).regimes == ()
    assert warm(core(enable_regime_detection=False)).question(bar(59), 0).regimes == ()


def test_bars_that_are_missing_make_it_forget_what_it_made_of_those_before() -> None:
    agent = warm(core())
    known = agent.question(bar(59), 0)
    agent.begin_anew()
    assert agent.feed(bar(70))
    anew = agent.question(bar(70), 0)
    assert known.proposal.rsi is not None
    assert anew.proposal.rsi is None
    assert agent.regimes is not None
    assert agent.source == "venue"


@given(st.lists(st.tuples(st.integers(0, 30), st.booleans()), max_size=40), st.integers(1, 5), st.integers(-1, 20))
def test_whatever_comes_twice_or_late_each_bar_is_decided_once_and_in_order(
    given_bars: list[tuple[int, bool]], every: int, decided: int
) -> None:
    last = bar(decided).start if decided >= 0 else -1
    agent = core(last, decide_every=every)
    asked: list[int] = []
    for number, alien in given_bars:
        each = bar(number, market="B" if alien else "A")
        if agent.feed(each) and agent.due(each):
            agent.question(each, 0)
            asked.append(each.start)
    assert asked == sorted(set(asked))
    assert all(each > last and each // MINUTE % every == 0 for each in asked)
    starts = [START + number * MINUTE for number, alien in given_bars if not alien]
    newest = max(starts, default=0)
    assert (newest in asked) == (newest > last and newest // MINUTE % every == 0 and bool(starts))


def test_a_signal_follows_from_bar_and_decision_alone_and_says_who_decided() -> None:
    first, again = core(validity_s=None), core(validity_s=None)
    one = first.signal(answer(marks=("synthetic",)), bar(5))
    assert one == again.signal(answer(marks=("synthetic",)), bar(5))
    assert one is not None
    assert one.signal_id != first.signal(answer(), bar(6)).signal_id  # type: ignore[union-attr]
    assert (one.strategy_id, one.strategy_version, one.decision_id, one.marks) == (
        "agent:ada",
        "v1",
        "d",
        ("synthetic",),
    )
    assert one.ts_expires == bar(5).ts_recv + MINUTE
    said = msgspec.json.decode(one.metadata)
    assert (said["served_by"], said["timeframe"], said["bar_start"]) == ("demo", "1m", bar(5).start)


@pytest.mark.parametrize(
    ("decision", "config"),
    [
        ({"action": "HOLD"}, {}),
        ({"should_trade": False}, {}),
        ({"confidence": 0.59}, {}),
        ({"confidence": math.nan}, {}),
        ({}, {"submit_signals": False}),
    ],
)
def test_what_is_not_to_be_traded_becomes_no_signal(decision: dict[str, Any], config: dict[str, Any]) -> None:
    assert core(**config).signal(answer(**decision), bar(1)) is None


def test_the_change_of_a_funding_rate_is_known_from_its_second_period_on() -> None:
    agent = warm(core())

    def told(rate: str, period: int, number: int) -> None:
        now = START + number * MINUTE
        agent.funding(Funding("A", rate, period, None, None, now, now, ("delayed",)))

    def known() -> tuple[float, float]:
        values = dict(zip(FEATURE_SETS[MARKET_29], agent.question(bar(59), 0).observation.values, strict=True))
        return values["funding_rate"], values["funding_rate_change"]

    told("0.0001", 1, 57)
    first = known()
    assert not math.isnan(first[0])
    assert math.isnan(first[1])
    told("0.0001", 1, 58)
    assert math.isnan(known()[1])
    told("0.0003", 2, 59)
    rate, change = known()
    assert rate > first[0]
    assert change > 0
    agent.feed(bar(60))
    assert agent.question(bar(60), 0).observation.marks == ("delayed",)


def test_a_bar_of_another_source_or_window_is_not_taken() -> None:
    agent = warm(core(), 3)
    assert not agent.feed(msgspec.structs.replace(bar(4), source="trades"))
    assert not agent.feed(msgspec.structs.replace(bar(4), interval="5m"))
    assert not agent.feed(bar(2))
    with pytest.raises(ValueError, match="expected low <= open"):
        agent.feed(bar(4, high=NANO))
    assert agent.newest == bar(2).start
