"""Parameters of regimes from returns whose regime is known: planted, or labelled in hindsight. A core.

Labels may look ahead, as they are made once and offline; the parameters that come of them are constants, and the
filter that uses them looks at the past alone. Fit on one span and judge on a later one.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from itertools import pairwise

from actors.decisions.features.names import REGIMES
from actors.decisions.regimes.filter import HALF_LIFE, MOST_RETURN, RegimeParameters, SlowDeviation

_FEWEST = 20


def fit(
    sequences: Sequence[tuple[Sequence[float], Sequence[str]]], *, degrees: float = 5.0, half_life: float = HALF_LIFE
) -> RegimeParameters:
    """Parameters from (log returns, their regimes by name), one pair for each uninterrupted sequence.

    Drift is the mean of a regime's standardised returns and sigma their deviation (of Student's t with `degrees`: its
    scale); transitions are counted, each pair once more than it came, so that none is impossible. Raises ValueError
    for a label that is no regime, or a regime with fewer than 20 returns behind the warm-up.
    """
    values: dict[str, list[float]] = {name: [] for name in REGIMES}
    counts = [[1.0] * len(REGIMES) for _ in REGIMES]
    for returns, labels in sequences:
        if len(returns) != len(labels):
            raise ValueError(f"labels: expected {len(returns)} of them, got {len(labels)}")
        if wrong := sorted(set(labels) - set(REGIMES)):
            raise ValueError(f"labels: expected any of {', '.join(REGIMES)}, got {wrong[0]!r}")
        deviation = SlowDeviation(half_life)
        for value, label in zip(returns, labels, strict=True):
            if not math.isfinite(value):
                raise ValueError(f"returns: expected finite numbers, got {value}")
            if deviation.value is not None:
                values[label].append(value / deviation.value)
            deviation.update(min(max(value, -MOST_RETURN), MOST_RETURN))
        for earlier, later in pairwise(labels):
            counts[REGIMES.index(earlier)][REGIMES.index(later)] += 1.0
    for name, found in values.items():
        if len(found) < _FEWEST:
            raise ValueError(f"{name}: expected at least {_FEWEST} returns of it, got {len(found)}")
    drift = tuple(math.fsum(found) / len(found) for found in values.values())
    # A scaled t has the variance scale² · degrees / (degrees - 2).
    narrower = math.sqrt((degrees - 2.0) / degrees) if degrees else 1.0
    sigma = tuple(
        narrower * math.sqrt(math.fsum((each - mean) ** 2 for each in found) / len(found))
        for mean, found in zip(drift, values.values(), strict=True)
    )
    transition = tuple(tuple(each / math.fsum(row) for each in row) for row in counts)
    return RegimeParameters(drift=drift, sigma=sigma, transition=transition, degrees=degrees, half_life=half_life)
