"""Chance that needs no state: a number in [0, 1) for (seed, kind, count), and delays drawn with it.

Whoever draws counts. So a run is repeatable, a restart goes on where it was, and one kind of draw does not shift
another. The mixing function is SplitMix64 (Steele, Lea, Flood: "Fast splittable pseudorandom number generators", 2014).
"""

from __future__ import annotations

import math
from statistics import NormalDist
from typing import Final, Literal

from actors.execution.matching.settings import Constant, Delay, Empirical

Kind = Literal["entry", "response", "rejection", "partial", "partial_share"]

_MASK: Final = (1 << 64) - 1
_GOLDEN: Final = 0x9E3779B97F4A7C15
_KINDS: Final[dict[str, int]] = {"entry": 1, "response": 2, "rejection": 3, "partial": 4, "partial_share": 5}
_NORMAL: Final = NormalDist()


def uniform(seed: int, kind: Kind, count: int) -> float:
    """A number in [0, 1), the same for the same three."""
    state = _mixed((seed & _MASK) ^ _mixed(_KINDS[kind] * _GOLDEN & _MASK))
    return (_mixed((state + count * _GOLDEN) & _MASK) >> 11) / (1 << 53)


def delay(model: Delay, seed: int, kind: Kind, count: int) -> int:
    """The delay in nanoseconds of the `count`th command or report."""
    if isinstance(model, Constant):
        return model.ns
    chance = uniform(seed, kind, count)
    if isinstance(model, Empirical):
        return model.table[int(chance * len(model.table))]
    # inv_cdf wants to be inside (0, 1).
    normal = _NORMAL.inv_cdf(max(chance, 2.0**-54))
    drawn = model.minimum + round(model.median * math.exp(min(model.sigma * normal, 50.0)))
    return min(drawn, model.maximum)


def _mixed(value: int) -> int:
    value = ((value ^ (value >> 30)) * 0xBF58476D1CE4E5B9) & _MASK
    value = ((value ^ (value >> 27)) * 0x94D049BB133111EB) & _MASK
    return value ^ (value >> 31)
