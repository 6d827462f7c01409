"""Made-up bars, for trying a strategy where there is no data yet. They are of no market, and say so.

Closes walk: each is the last times `exp(s·z)`, with z of a standard normal distribution and s itself a slow walk, so
that there are quiet and busy stretches and, by chance, trends. The same seed gives the same bars everywhere
(`random.Random` keeps its sequence from one Python to the next).
"""

from __future__ import annotations

import random
from collections.abc import Iterator
from datetime import UTC, datetime
from math import exp
from typing import Final

HEADER: Final = "timestamp,open,high,low,close,volume"
START: Final = 1_704_067_200
"""2024-01-01T00:00:00Z."""
_STEP_S: Final = 60
_PARTS: Final = 6


def lines(count: int, seed: int, price: float = 100.0) -> Iterator[str]:
    """A CSV of `count` bars of a minute: a line that says what it is, the columns, the bars."""
    yield f"# synthetic: made up by `troupe strategy sample --bars {count} --seed {seed}`, of no market"
    yield HEADER
    chance = random.Random(seed)  # noqa: S311 - it is to be repeated, not to be unpredictable
    spread = 0.0005
    close = price
    for bar in range(count):
        spread = min(max(spread * exp(chance.gauss(0.0, 0.05)), 0.0001), 0.002)
        walk = [close]
        for _ in range(_PARTS):
            walk.append(walk[-1] * exp(spread * chance.gauss(0.0, 1.0)))
        at = datetime.fromtimestamp(START + bar * _STEP_S, UTC)
        volume = chance.expovariate(1.0) * (1.0 + 2000.0 * spread)
        figures = (walk[0], max(walk), min(walk), walk[-1])
        yield f"{at:%Y-%m-%dT%H:%M:%SZ}," + ",".join(f"{each:.2f}" for each in figures) + f",{volume:.3f}"
        close = walk[-1]
