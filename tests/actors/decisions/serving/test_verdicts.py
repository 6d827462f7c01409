"""A threshold service's verdict in the place of the fixed rule."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from actors.decisions.serving import rule
from actors.decisions.serving.verdicts import decide
from protocols.decisions import Proposal, Verdict

numbers = st.none() | st.floats()
proposals = st.builds(
    Proposal,
    action=st.sampled_from([None, "BUY", "SELL", "HOLD"]),
    confidence=numbers,
    rsi=numbers,
    change_percent=numbers,
    volume=numbers,
    macd=numbers,
)


@given(proposals)
def test_who_was_not_asked_changes_nothing(proposal: Proposal) -> None:
    assert decide(proposal, None) == rule.decide(proposal)


@given(proposals, st.text(max_size=20))
def test_without_a_verdict_the_rule_answers_and_the_text_says_why(proposal: Proposal, why: str) -> None:
    found, ruled = decide(proposal, Verdict(None, why)), rule.decide(proposal)
    assert (found.action, found.should_trade, found.confidence) == (ruled.action, ruled.should_trade, ruled.confidence)
    assert found.text.endswith(ruled.text)
    if proposal.action is not None:
        assert why in found.text


@given(proposals, st.booleans())
def test_a_verdict_is_the_answer_to_what_was_proposed(proposal: Proposal, approved: bool) -> None:
    found = decide(proposal, Verdict(approved, "because"))
    if proposal.action is None:
        assert found == rule.decide(proposal)
        return
    assert found.action == (proposal.action if approved else "HOLD")
    assert found.should_trade == (approved and proposal.action != "HOLD")
    assert 0.0 <= found.confidence <= rule.MOST
    assert "because" in found.text


def test_the_confidence_is_the_signal_s_own() -> None:
    assert decide(Proposal(action="SELL", confidence=0.62, rsi=10.0), Verdict(True)).confidence == 0.62
    assert decide(Proposal(action="SELL"), Verdict(True)).confidence == 0.5
