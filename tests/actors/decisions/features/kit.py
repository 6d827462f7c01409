"""Made-up bars, each with all that a builder can be given."""

from __future__ import annotations

import random
from typing import NamedTuple

HOUR = 3_600_000_000_000
START = 1_700_000_000_000_000_000


class MadeBar(NamedTuple):
    open: float
    high: float
    low: float
    close: float
    volume: float | None
    ts_end: int


def walk(count: int, seed: int = 1, interval: int = HOUR, price: float = 100.0) -> list[MadeBar]:
    draw = random.Random(seed)
    bars = []
    for place in range(count):
        close = price * (1.0 + draw.gauss(0.0, 0.01))
        high = max(price, close) * (1.0 + 0.004 * draw.random())
        low = min(price, close) * (1.0 - 0.004 * draw.random())
        bars.append(MadeBar(price, high, low, close, 50.0 + 100.0 * draw.random(), START + (place + 1) * interval))
        price = close
    return bars
