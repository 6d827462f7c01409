"""Who is compared: a policy out of its bundle, holding, the fixed rule. A core.

Each says beforehand what it would do at the end of every bar of a track, from what is known there: none of them looks
at its own position. A policy is asked as a node asks it, with the raw values of the features (and, an ensemble, with
what the regime filter says).
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Final, Protocol

import numpy as np

from actors.agents.environment.actions import SIMPLE
from actors.agents.environment.observation import FEATURES, Prepared, all_but
from actors.agents.environment.tracks import Floats
from actors.decisions.policy import ActionMeaning, Policy
from actors.decisions.serving.rule import decide
from protocols.decisions import Proposal

SELL, HOLD_ON, BUY = SIMPLE
HOLD: Final = "hold"
RULE: Final = "rule"


class Contender(Protocol):
    """What it would do at each bar."""

    def __call__(self, prepared: Prepared) -> list[ActionMeaning]:
        """One action for every bar of the track."""
        ...


def hold(prepared: Prepared) -> list[ActionMeaning]:
    """Buys at once, for all of the money, and keeps it."""
    return [BUY] * len(prepared.track)


def rule(prepared: Prepared) -> list[ActionMeaning]:
    """The fixed rule of the decision server over the fields of a signal that bars can say."""
    sides = {"BUY": BUY, "SELL": SELL, "HOLD": HOLD_ON}
    found = []
    for raw in prepared.raw:
        proposal = Proposal(rsi=raw.get("rsi"), macd=raw.get("macd"), change_percent=raw.get("change_percent"))
        answer = decide(proposal)
        found.append(sides[answer.action] if answer.should_trade else HOLD_ON)
    return found


def of_policy(
    policy: Policy, regimes: Callable[[Prepared], Floats] | None = None, shown: Sequence[str] = FEATURES
) -> Contender:
    """A policy that answers each bar's features. `regimes`: probabilities by bar, (bars, 4). `shown`: the features that
    it is told, the others are missing."""
    hides = all_but([FEATURES.index(name) for name in shown])

    def act(prepared: Prepared) -> list[ActionMeaning]:
        said = None if regimes is None else regimes(prepared)
        answers = policy.act(np.where(hides, np.nan, prepared.features), regimes=said)
        return [policy.info.actions[answer.action] for answer in answers]

    return act
