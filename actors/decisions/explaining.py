"""Why a policy decided as it did: what each feature did to the chosen action. A core.

Two ways. By ablation: each feature is taken away alone (made missing, or set to what is usual of it where the policy
takes no missing ones), and the effect is the difference in what the policy says of the action: exact, for any policy,
one more observation for each feature. By gradient times input: one pass, an approximation, perceptrons only.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Final, Protocol, TypeVar

import numpy as np
from numpy.typing import NDArray

from actors.decisions.features.names import FEATURE_SETS
from actors.decisions.features.table import FEATURES, Feature
from actors.decisions.policy import Mask, Policy, PolicyAnswer, PolicyInfo, Values
from protocols.decisions import Factor

Scalar = TypeVar("Scalar", bound=np.generic)
TOP: Final = 5
HALVINGS: Final = 110
"""The widest range of a raw field, 2e15, is then known to 1e-18."""


class Differentiable(Protocol):
    """A policy that knows its slopes (kind `mlp`)."""

    info: PolicyInfo

    def act(self, values: Values, mask: Mask | None = None, regimes: Values | None = None) -> list[PolicyAnswer]:
        """See `Policy.act`."""
        ...

    def gradient_times_input(self, values: Values, mask: Mask | None = None) -> Values:
        """Of one observation (1, features): for each feature its share, to first order, in the chosen action's
        probability (in the number that a Box action is)."""
        ...


def by_ablation(
    policy: Policy, values: Values, mask: Mask | None = None, regimes: Values | None = None, top: int = TOP
) -> tuple[Factor, ...]:
    """The features of one observation (features,) that did most, with `mask` (actions,) and `regimes` (4,), the largest
    effect first. A feature that changes nothing is left out, a missing one has done nothing.

    The effect is what the policy says of the action it takes (its probability; of a Box action its number), minus what
    it says of the same action without the feature. Raises what the policy raises, and ValueError where nothing is
    known that could stand in for a feature.
    """
    present = np.flatnonzero(~np.isnan(values))
    rows = np.repeat(np.asarray(values, np.float64)[np.newaxis], len(present) + 1, axis=0)
    rows[np.arange(1, len(rows)), present] = stand_ins(policy.info)[present]
    answers = policy.act(rows, repeated(mask, len(rows)), repeated(regimes, len(rows)))
    action = answers[0].action
    whole = said_of(action, answers[0])
    effects = [whole - said_of(action, answer) for answer in answers[1:]]
    return factors(policy.info, action, values, present.tolist(), effects, top)


def by_gradient(policy: Differentiable, values: Values, mask: Mask | None = None, top: int = TOP) -> tuple[Factor, ...]:
    """As `by_ablation`, but each effect is gradient times (normalised) input: one pass, whatever the features."""
    masks = repeated(mask, 1)
    row = np.asarray(values, np.float64)[np.newaxis]
    action = policy.act(row, masks)[0].action
    effects = policy.gradient_times_input(row, masks)
    present = np.flatnonzero(~np.isnan(values))
    return factors(policy.info, action, values, present.tolist(), [float(effects[index]) for index in present], top)


def stand_ins(policy: PolicyInfo) -> Values:
    """What is put where a feature is taken away, (features,)."""
    if policy.takes_missing:
        return np.full(len(policy.features), np.nan)
    if not policy.reference:
        raise ValueError("the policy takes no missing features, and what is usual of them is not known")
    return np.array(policy.reference)


def repeated(row: NDArray[Scalar] | None, count: int) -> NDArray[Scalar] | None:
    """A row, once for each observation."""
    return None if row is None else np.repeat(row[np.newaxis], count, axis=0)


def said_of(action: int, answer: PolicyAnswer) -> float:
    """How much an answer is for an action: its probability; else its number; else its confidence in that action."""
    if answer.probabilities:
        return answer.probabilities[action]
    if answer.value is not None:
        return answer.value
    return answer.confidence if answer.action == action else 0.0


def factors(
    policy: PolicyInfo,
    action: int,
    values: Values,
    present: Sequence[int],
    effects: Sequence[float],
    top: int,
) -> tuple[Factor, ...]:
    """The largest effects as factors; of equal ones the feature that stands first."""
    by_size = sorted(zip(present, effects, strict=True), key=lambda pair: -abs(pair[1]))
    what = "the number" if policy.confidence_kind == "density" else policy.actions[action].name
    return tuple(
        Factor(
            policy.features[index],
            float(values[index]),
            float(effect),
            text_of(policy, index, float(values[index]), float(effect), what),
        )
        for index, effect in by_size[:top]
        if effect != 0.0
    )


def text_of(policy: PolicyInfo, index: int, value: float, effect: float, what: str) -> str:
    """In plain words, as `rsi 28.4 (low) raised BUY by 0.21`: of a known feature in the unit of its raw field."""
    level = level_of(policy, index, value)
    verb = "raised" if effect > 0 else "lowered"
    name = policy.features[index]
    raw = raw_of(FEATURES[name], value) if policy.feature_set in FEATURE_SETS else value
    return f"{name} {raw:.4g}{level and f' ({level})'} {verb} {what} by {magnitude(effect)}"


def raw_of(feature: Feature, scaled: float) -> float:
    """The raw value nearest to 0 that becomes `scaled`; every transform rises with its raw value."""
    # From the side of 0 that it is on: what is clipped would otherwise be its range's far end.
    middle = min(max(0.0, feature.least), feature.most)
    if scaled == feature.scaled(middle):
        return middle
    rising = scaled > feature.scaled(middle)
    near, far = middle, feature.most if rising else feature.least
    for _ in range(HALVINGS):
        half = (near + far) / 2.0
        found = feature.scaled(half)
        if (found < scaled) if rising else (found > scaled):
            near = half
        else:
            far = half
    return far


def level_of(policy: PolicyInfo, index: int, value: float) -> str:
    """`low` or `high`: more than one standard deviation from what is usual; empty where that is not known."""
    if not policy.reference or not policy.spread:
        return ""
    distance = value - policy.reference[index]
    if abs(distance) <= policy.spread[index]:
        return "usual"
    return "high" if distance > 0 else "low"


def magnitude(effect: float) -> str:
    """The size of an effect with two decimals; of a small one with two digits that count."""
    size = abs(effect)
    return f"{size:.2f}" if size >= 0.01 or not math.isfinite(size) else f"{size:.2g}"
