"""The rule itself: a signal against the thresholds, with what every rule says of it. A few microseconds.

    passed          the field is at the threshold or on its right side
    failed          it is on the wrong side: the signal is not traded
    not_applicable  the rule does not judge this action (RSI of a SELL)
    missing         the field is not there (or is no number): not traded where the rule requires it, else left out

A HOLD is no order. An exit (CLOSE_*) is not held back: it lowers risk. Where a signal names no action, rules that need
one say that it is missing.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import NamedTuple

from actors.thresholds.parameters import Parameter
from protocols.thresholds import EXITS, GatedSignal, RuleOutcome, RuleVerdict, Verdict


class Lesson(NamedTuple):
    """What a signal can teach one parameter once its outcome is known: `score` on the gate axis."""

    parameter: str
    score: float


def evaluate(
    parameters: Sequence[Parameter],
    thresholds: Sequence[float],
    signal: GatedSignal,
    *,
    user_id: str = "",
    symbol: str = "",
    versions: tuple[int, ...] = (),
    signal_id: str = "",
    ts: int = 0,
) -> Verdict:
    """The verdict; `thresholds` in the order of `parameters`. Never raises, whatever the signal holds."""
    action = signal.action
    idle = action == "HOLD" or action in EXITS
    trade = action != "HOLD"
    rules = []
    for parameter, threshold in zip(parameters, thresholds, strict=True):
        score = None
        outcome: RuleOutcome
        if idle or (action == "SELL" and parameter.applies == "BUY"):
            outcome = "not_applicable"
        elif action is None and parameter.needs_action:
            outcome = "missing"
        else:
            score = parameter.score(signal)
            if score is None:
                outcome = "missing"
            elif (score <= threshold) if parameter.comparison == "cap" else (score >= threshold):
                outcome = "passed"
            else:
                outcome = "failed"
        if outcome == "failed" or (outcome == "missing" and parameter.required):
            trade = False
        rules.append(
            RuleVerdict(parameter.name, outcome, score, threshold, parameter.comparison, parameter.required),
        )
    return Verdict(
        user_id=user_id,
        symbol=symbol,
        should_trade=trade,
        action=action,
        rules=tuple(rules),
        versions=versions,
        signal_id=signal_id,
        ts=ts,
    )


def lessons(parameters: Sequence[Parameter], verdict: Verdict) -> tuple[Lesson, ...]:
    """What may be learned from this signal: each parameter learns only from signals that pass every other rule.

    A rule that does not apply, or whose field is missing, learns nothing. Of a signal that fails two rules nobody
    learns: neither alone would have let it pass.
    """
    refusing = [
        place
        for place, rule in enumerate(verdict.rules)
        if rule.outcome == "failed" or (rule.outcome == "missing" and rule.required)
    ]
    if len(refusing) > 1 or verdict.action == "HOLD":
        return ()
    found = []
    for place, (parameter, rule) in enumerate(zip(parameters, verdict.rules, strict=True)):
        if rule.value is None or (refusing and refusing[0] != place):
            continue
        if parameter.scale == "log" and rule.value <= 0:
            # No volume at all has no place on a log scale: it is refused by every threshold, so it teaches none.
            continue
        score = parameter.gate(rule.value)
        if math.isfinite(score):
            found.append(Lesson(parameter.name, score))
    return tuple(found)
