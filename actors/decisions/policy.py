"""What every policy is: observations in, answers out. A core: no loop, no clock.

A policy is made from a bundle (`actors/decisions/bundles`), a bundle of an ensemble, or a class of the user's own
(`package.module:Class`). It takes raw feature values with NaN where one is missing, and does its own masking,
normalising and clipping, exactly as its training did.
"""

from __future__ import annotations

from typing import Literal, Protocol

import msgspec
import numpy as np
from numpy.typing import NDArray

from protocols.decisions import ConfidenceKind, DecisionAction

Values = NDArray[np.float64]
Mask = NDArray[np.bool_]


class ActionMeaning(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """One action of a policy: its name, the side that it means, and the share of cash or position (0 for HOLD)."""

    name: str
    side: DecisionAction
    share: float = 0.0


class PolicyInfo(msgspec.Struct, frozen=True, kw_only=True):
    """What there is to know of a policy without running it."""

    kind: Literal["mlp", "torch", "onnx", "ensemble", "python"]
    algorithm: str
    """ppo, a2c, dqn, maskable_ppo, or what the maker says."""
    version: str
    """The first 12 hex digits of the bundle's SHA-256."""
    feature_set: str
    features: tuple[str, ...]
    actions: tuple[ActionMeaning, ...]
    confidence_kind: ConfidenceKind
    min_features: int = 1
    """With fewer features than this the fallback answers."""
    threaded: bool = False
    """True: it may take long; it is called on a thread. False: microseconds, on the loop."""
    cacheable: bool = True
    """False for what answers equal questions differently (stochastic, recurrent)."""
    normaliser: str = ""
    """A hash of the frozen normaliser; empty: none."""
    trained: str = ""
    """On what: source and span of the data, in words."""
    marks: tuple[str, ...] = ()
    """`synthetic` for one that was trained on made-up data."""
    members: tuple[str, ...] = ()
    takes_missing: bool = True
    """False: a missing feature raises `FeaturesMissing`; it was trained without any."""
    reference: tuple[float, ...] = ()
    """Of each feature what is usual (the training's mean), to tell what a feature did; empty: not known."""
    spread: tuple[float, ...] = ()
    """Of each feature the standard deviation around `reference`; empty: not known."""


class PolicyAnswer(msgspec.Struct, frozen=True):
    """What a policy says of one observation. `action` is an index into `PolicyInfo.actions`."""

    action: int
    probabilities: tuple[float, ...]
    """Of every action; for Q-values their softmax. Empty where there is none (Box actions)."""
    confidence: float
    value: float | None = None
    """The highest allowed Q-value (dqn), the number that a Box action is; None for what has neither."""
    weights: tuple[tuple[str, float], ...] = ()
    """Of an ensemble: who had which say."""


class Policy(Protocol):
    """A policy. `act` may be called from one thread at a time; it raises for what it cannot answer, never guesses."""

    info: PolicyInfo

    def act(self, values: Values, mask: Mask | None = None, regimes: Values | None = None) -> list[PolicyAnswer]:
        """Answers for `values` (n, features; NaN: missing), with `mask` (n, actions; True: allowed) and `regimes`
        (n, 4; NaN: not known). Raises ValueError for another shape, PolicyFailed for an answer that is no number."""
        ...


class PolicyFailed(Exception):
    """The policy has no answer: its output is not finite, or its own code raised."""


class FeaturesMissing(PolicyFailed):
    """The policy was trained without missing features, and `features` are missing."""

    def __init__(self, features: tuple[str, ...]) -> None:
        super().__init__(f"the policy takes no missing features; missing: {', '.join(features)}")
        self.features = features
