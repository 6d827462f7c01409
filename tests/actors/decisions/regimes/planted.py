"""Made-up returns whose regime is known, for it was planted."""

from __future__ import annotations

import random

from actors.decisions.features.names import REGIMES
from actors.decisions.regimes.filter import RegimeFilter, RegimeParameters

SHAPES = {
    "bull": (0.003, 0.006),
    "bear": (-0.003, 0.006),
    "sideways": (0.0, 0.0035),
    "high_volatility": (0.0, 0.018),
}
"""Mean and deviation of a bar's log return."""


def planted(seed: int, count: int = 24, scale: float = 1.0) -> tuple[list[float], list[str]]:
    """(returns, their regimes) of `count` regimes of 60 to 200 bars each."""
    draw = random.Random(seed)
    returns: list[float] = []
    labels: list[str] = []
    regime = ""
    for _ in range(count):
        regime = draw.choice([each for each in REGIMES if each != regime])
        mean, deviation = SHAPES[regime]
        length = draw.randint(60, 200)
        returns += [scale * draw.gauss(mean, deviation) for _ in range(length)]
        labels += [regime] * length
    return returns, labels


def share_right(parameters: RegimeParameters, seeds: range, delay: int) -> float:
    """Of all bars at least `delay` bars behind a change: those whose regime is the most probable one."""
    right = judged = 0
    for seed in seeds:
        regimes = RegimeFilter(parameters)
        age, before = 0, ""
        for value, label in zip(*planted(seed), strict=True):
            age, before = (age + 1 if label == before else 0), label
            if regimes.update(value) and age >= delay:
                judged += 1
                right += regimes.regime == label
    return right / judged
