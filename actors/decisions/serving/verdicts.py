"""The verdict of thresholds in the place of the fixed rule: of a service outside, or of the node's own. A core.

    approved      the proposed action, with the signal's own confidence (0.5 where it names none): they have none
    not approved  HOLD
    no verdict    the fixed rule, and why

They are asked about actions only: a proposal without one, or of a HOLD, is the rule's.
"""

from __future__ import annotations

from actors.decisions.serving import rule
from actors.decisions.serving.rule import RuleAnswer
from protocols.decisions import THRESHOLDS, Proposal, Verdict


def standing(verdict: Verdict | None) -> Verdict | None:
    """The verdict as far as it stands for the fixed rule: one that is only recorded does not."""
    return verdict if verdict is not None and verdict.stands else None


def decide(proposal: Proposal, verdict: Verdict | None) -> RuleAnswer:
    """Answer by the verdict where there is one, else by the rule. Never raises, whatever numbers the proposal holds."""
    if verdict is None or proposal.action is None:
        return rule.decide(proposal)
    who = THRESHOLDS if verdict.source else "threshold service"
    if verdict.approved is None:
        answer = rule.decide(proposal)
        text = f"no verdict of the {who} ({verdict.reasoning}); {answer.text}"
        return RuleAnswer(answer.action, answer.should_trade, answer.confidence, text)
    stated = proposal.confidence
    confidence = rule.UNSAID if stated is None or stated != stated else min(rule.MOST, max(0.0, stated))
    why = f": {verdict.reasoning}" if verdict.reasoning else ""
    if not verdict.approved:
        return RuleAnswer("HOLD", False, confidence, f"{who}: no trade{why}")
    text = f"{who}: {proposal.action}{why}"
    return RuleAnswer(proposal.action, proposal.action != "HOLD", confidence, text)
