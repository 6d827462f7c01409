"""The fixed rule."""

from __future__ import annotations

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from actors.decisions.serving.rule import RuleAnswer, decide
from protocols.decisions import Proposal

numbers = st.none() | st.floats(allow_nan=True, allow_infinity=True)
proposals = st.builds(
    Proposal,
    action=st.sampled_from([None, "BUY", "SELL", "HOLD"]),
    confidence=numbers,
    rsi=numbers,
    change_percent=numbers,
    volume=numbers,
    macd=numbers,
)


def test_with_nothing_known_it_holds_without_any_confidence() -> None:
    assert decide(Proposal()) == RuleAnswer("HOLD", False, 0.0, "rule: nothing is known of the signal, so HOLD")


@pytest.mark.parametrize(
    ("proposal", "action", "trades", "confidence"),
    [
        (Proposal(action="BUY"), "BUY", False, 0.5),
        (Proposal(action="BUY", confidence=0.7), "BUY", True, 0.7),
        (Proposal(action="BUY", confidence=0.7, rsi=30), "BUY", True, 0.75),
        (Proposal(action="BUY", confidence=0.7, rsi=70), "BUY", True, 0.6),
        (Proposal(action="BUY", confidence=0.6, rsi=71, macd=-1, change_percent=-2), "BUY", False, 0.3),
        (Proposal(action="SELL", confidence=0.6, rsi=71, macd=-1, change_percent=-2), "SELL", True, 0.75),
        (Proposal(action="HOLD", confidence=0.9), "HOLD", False, 0.9),
        (Proposal(action="BUY", confidence=0.9, volume=0), "HOLD", False, 0.0),
        (Proposal(rsi=25, macd=0.1), "BUY", True, 0.7),
        (Proposal(rsi=75, macd=-0.1, change_percent=-1), "SELL", True, 0.8),
        (Proposal(rsi=25, macd=-0.1), "HOLD", False, 0.5),
        (Proposal(rsi=25), "HOLD", False, 0.5),
        (Proposal(rsi=50, change_percent=0.5, macd=0), "HOLD", False, 0.0),
        (Proposal(rsi=math.nan, macd=math.inf), "HOLD", False, 0.0),
    ],
)
def test_it_answers_by_its_table(proposal: Proposal, action: str, trades: bool, confidence: float) -> None:
    answer = decide(proposal)
    assert (answer.action, answer.should_trade) == (action, trades)
    assert answer.confidence == pytest.approx(confidence)
    assert answer.text


@given(proposals)
def test_it_has_an_answer_to_whatever_it_is_asked(proposal: Proposal) -> None:
    answer = decide(proposal)
    assert 0 <= answer.confidence <= 0.95
    assert not (answer.should_trade and answer.action == "HOLD")


@given(proposals)
def test_the_mirrored_signal_gets_the_mirrored_answer(proposal: Proposal) -> None:
    def flipped(value: float | None) -> float | None:
        return None if value is None else -value

    mirror = Proposal(
        action={"BUY": "SELL", "SELL": "BUY"}.get(proposal.action or "", proposal.action),  # type: ignore[arg-type]
        confidence=proposal.confidence,
        rsi=None if proposal.rsi is None else 100 - proposal.rsi,
        change_percent=flipped(proposal.change_percent),
        volume=proposal.volume,
        macd=flipped(proposal.macd),
    )
    # 100 - rsi rounds for numbers that no rsi is.
    if proposal.rsi is None or not math.isfinite(proposal.rsi) or 100 - (100 - proposal.rsi) == proposal.rsi:
        here, there = decide(proposal), decide(mirror)
        assert here.confidence == there.confidence
        assert there.action == {"BUY": "SELL", "SELL": "BUY", "HOLD": "HOLD"}[here.action]
