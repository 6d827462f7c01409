"""The fixed rule over a signal's own fields: what serves a control arm, and what answers when nothing else can. A core.

What is not known (None, or no number) says nothing:

    field            says BUY       says SELL      weighs
    action           BUY            SELL           it is the answer that the others confirm or doubt
    rsi              <= 30          >= 70          one voice  (Wilder's oversold and overbought)
    macd             > 0            < 0            one voice
    change_percent   >= +1          <= -1          one voice
    volume           none           none           0 or less: nothing is traded, so HOLD

    with an action   confidence = its own (0.5 where it names none) + 0.05 per voice for it - 0.10 per voice against it,
                     within 0 and 0.95; a proposed HOLD stays one
    without          two voices more for one side than for the other: that side, confidence 0.5 + 0.1 per voice of the
                     difference; otherwise HOLD with confidence 0.5
    nothing known    HOLD, confidence 0

It trades when the action is no HOLD and the confidence is above 0.5.
"""

from __future__ import annotations

import math
from typing import Final

import msgspec

from protocols.decisions import DecisionAction, Proposal

RSI_LOW: Final = 30.0
RSI_HIGH: Final = 70.0
CHANGE_PERCENT: Final = 1.0
UNSAID: Final = 0.5
"""The confidence of an action that names none, and of a HOLD for lack of agreement."""
FOR: Final = 0.05
AGAINST: Final = 0.10
ALONE: Final = 0.1
NEEDED: Final = 2
MOST: Final = 0.95
TRADE_ABOVE: Final = 0.5


class RuleAnswer(msgspec.Struct, frozen=True, gc=False):
    """What the rule says, and why in words. `confidence` is the rule's own number, no probability."""

    action: DecisionAction
    should_trade: bool
    confidence: float
    text: str


NOTHING: Final = RuleAnswer("HOLD", False, 0.0, "rule: nothing is known of the signal, so HOLD")


def decide(proposal: Proposal) -> RuleAnswer:
    """Answer by the table. Never raises, whatever numbers the proposal holds."""
    volume = _known(proposal.volume)
    if volume is not None and volume <= 0:
        return RuleAnswer("HOLD", False, 0.0, "rule: nothing is traded (volume 0), so HOLD")
    voices = _voices(proposal)
    stated = _known(proposal.confidence)
    if proposal.action is not None:
        return _judged(proposal.action, stated, voices)
    if not voices:
        return NOTHING
    said = ", ".join(text for _, text in voices)
    net = sum(side for side, _ in voices)
    if abs(net) < NEEDED:
        return RuleAnswer("HOLD", False, UNSAID, f"rule: {said}; no two more for one side, so HOLD")
    confidence = min(MOST, UNSAID + ALONE * abs(net))
    side: DecisionAction = "BUY" if net > 0 else "SELL"
    return RuleAnswer(side, confidence > TRADE_ABOVE, confidence, f"rule: {said}; {side}")


def _judged(action: DecisionAction, stated: float | None, voices: list[tuple[int, str]]) -> RuleAnswer:
    """A proposed action as the voices confirm or doubt it."""
    base = UNSAID if stated is None else min(1.0, max(0.0, stated))
    if action == "HOLD":
        return RuleAnswer("HOLD", False, min(MOST, base), "rule: the signal says HOLD")
    side = 1 if action == "BUY" else -1
    confirming = [text for voice, text in voices if voice == side]
    doubting = [text for voice, text in voices if voice == -side]
    confidence = min(MOST, max(0.0, base + FOR * len(confirming) - AGAINST * len(doubting)))
    text = f"rule: the signal says {action} ({base:.2f})"
    if confirming:
        text += f", confirmed by {', '.join(confirming)}"
    if doubting:
        text += f", doubted for {', '.join(doubting)}"
    return RuleAnswer(action, confidence > TRADE_ABOVE, confidence, text)


def _voices(proposal: Proposal) -> list[tuple[int, str]]:
    """Who speaks: +1 for BUY, -1 for SELL, with the reason."""
    voices: list[tuple[int, str]] = []
    rsi, macd, change = _known(proposal.rsi), _known(proposal.macd), _known(proposal.change_percent)
    if rsi is not None and (rsi <= RSI_LOW or rsi >= RSI_HIGH):
        voices.append((1, f"rsi {rsi:.4g} is low") if rsi <= RSI_LOW else (-1, f"rsi {rsi:.4g} is high"))
    if macd:
        voices.append((1, f"macd {macd:.4g} is above 0") if macd > 0 else (-1, f"macd {macd:.4g} is below 0"))
    if change is not None and abs(change) >= CHANGE_PERCENT:
        voices.append((1, f"a rise of {change:.4g} %") if change > 0 else (-1, f"a fall of {-change:.4g} %"))
    return voices


def _known(value: float | None) -> float | None:
    return value if value is not None and math.isfinite(value) else None
