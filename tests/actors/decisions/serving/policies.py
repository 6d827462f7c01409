"""Policies of a user's own: small ones, and ones that misbehave as told."""

from __future__ import annotations

import threading
from collections.abc import Callable

import numpy as np

from actors.decisions.features.names import FEATURE_SETS, MARKET_29
from actors.decisions.policy import ActionMeaning, Mask, PolicyAnswer, PolicyInfo, Values
from protocols.decisions import Observation

FEATURES = FEATURE_SETS[MARKET_29]
ACTIONS = (ActionMeaning("hold", "HOLD"), ActionMeaning("buy", "BUY", 1.0), ActionMeaning("sell", "SELL", 1.0))


def info(version: str = "000000000001", **changes: object) -> PolicyInfo:
    told = {
        "kind": "python",
        "algorithm": "test",
        "version": version,
        "feature_set": MARKET_29,
        "features": FEATURES,
        "actions": ACTIONS,
        "confidence_kind": "probability",
        **changes,
    }
    return PolicyInfo(**told)  # type: ignore[arg-type]


def observation(first: float = 0.5, *, ts: int = 0, missing: int = 0) -> Observation:
    """An observation of market29 with `first` as its first value and the last `missing` ones missing."""
    values = [first, *[0.25] * (len(FEATURES) - 1)]
    if missing:
        values[-missing:] = [float("nan")] * missing
    return Observation(MARKET_29, tuple(values), ts)


class Sure:
    """Buys with a confidence of its own, whatever it is shown; keeps the first feature of everything it was shown."""

    def __init__(self, version: str = "000000000001", confidence: float = 0.9, **changes: object) -> None:
        self.info = info(version, **changes)
        self.confidence = confidence
        self.shown: list[float] = []
        self.calls = 0

    def act(self, values: Values, mask: Mask | None = None, regimes: Values | None = None) -> list[PolicyAnswer]:
        self.calls += 1
        self.shown += values[:, 0].tolist()
        rest = (1 - self.confidence) / 2
        return [PolicyAnswer(1, (rest, self.confidence, rest), self.confidence) for _ in values]


class Failing(Sure):
    """Raises while `broken`; from one call to the next it can be well again."""

    broken = True

    def act(self, values: Values, mask: Mask | None = None, regimes: Values | None = None) -> list[PolicyAnswer]:
        if self.broken:
            raise ValueError("the weights are gone")
        return super().act(values, mask, regimes)


class NotANumber(Sure):
    """Answers NaN."""

    def act(self, values: Values, mask: Mask | None = None, regimes: Values | None = None) -> list[PolicyAnswer]:
        return [PolicyAnswer(1, (float("nan"),) * 3, float("nan")) for _ in values]


class Picky(Sure):
    """Raises for a first feature below 0."""

    def act(self, values: Values, mask: Mask | None = None, regimes: Values | None = None) -> list[PolicyAnswer]:
        if (values[:, 0] < 0).any():
            raise ValueError("below 0")
        return super().act(values, mask, regimes)


class Slow(Sure):
    """On a thread; answers once `gate` is set, and says through `entered` that it was called."""

    def __init__(self, version: str = "000000000001", entered: Callable[[], None] | None = None, **changes: object):
        super().__init__(version, threaded=True, **changes)
        self.gate = threading.Event()
        self.entered = entered

    def act(self, values: Values, mask: Mask | None = None, regimes: Values | None = None) -> list[PolicyAnswer]:
        if self.entered is not None:
            self.entered()
        self.gate.wait(30)
        return super().act(values, mask, regimes)


class Mlp:
    """A perceptron of two hidden layers of 64 with fixed weights, as small policies are."""

    def __init__(self) -> None:
        random = np.random.default_rng(7)
        self.first = random.normal(scale=0.2, size=(len(FEATURES), 64))
        self.second = random.normal(scale=0.2, size=(64, 64))
        self.last = random.normal(size=(64, 3))
        self.info = info("64x64", marks=("synthetic",))

    def act(self, values: Values, mask: Mask | None = None, regimes: Values | None = None) -> list[PolicyAnswer]:
        hidden = np.tanh(np.tanh(np.where(np.isnan(values), 0.0, values) @ self.first) @ self.second)
        logits = hidden @ self.last
        odds = np.exp(logits - logits.max(axis=1, keepdims=True))
        found = (odds / odds.sum(axis=1, keepdims=True)).tolist()
        return [PolicyAnswer(row.index(max(row)), tuple(row), max(row)) for row in found]
