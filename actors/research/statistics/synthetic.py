"""Made-up candles out of true ones: what a strategy would have met if the days had come in another order.

Always `synthetic`: whoever runs a strategy on them marks the result so.
"""

from __future__ import annotations

from typing import Final

import msgspec
import numpy as np
from numpy.typing import NDArray

from actors.research.statistics.resampling import blocks_of_returns, generator, stationary

MARK: Final = "synthetic"
LEAST: Final = 20


class Candles(msgspec.Struct, frozen=True, kw_only=True):
    """Bars as columns of one length: int64 ns of their starts, float64 for the rest."""

    ts: NDArray[np.int64]
    open: NDArray[np.float64]
    high: NDArray[np.float64]
    low: NDArray[np.float64]
    close: NDArray[np.float64]
    volume: NDArray[np.float64]


def path(candles: Candles, *, seed: int, number: int = 0, block: float | None = None) -> Candles:
    """The `number`-th made-up history: the candles' shapes in blocks of another order, on a new chain of closes.

    A shape is open over the close before, and high, low and close over the open, all as ratios, with its volume; so
    gaps, ranges and what follows on what within a block (stationary bootstrap, mean `block`; None: from the
    autocorrelation of returns and of their squares) are kept, trends over more are not.
    Equal seed and number give equal candles. Prices are not on a tick. Raises ValueError on fewer than 20 candles, or
    on a price that is not positive.
    """
    columns = (candles.open, candles.high, candles.low, candles.close)
    n = candles.close.size
    if n < LEAST or any(column.size != n for column in (*columns, candles.volume, candles.ts)):
        raise ValueError(f"candles: expected columns of one length of {LEAST} or more, got {n}")
    if any(not np.all(column > 0) for column in columns):
        raise ValueError("candles: expected positive prices: ratios need them")
    before = np.concatenate((candles.open[:1], candles.close[:-1]))
    gaps = np.log(candles.open / before)
    highs, lows, bodies = (np.log(column / candles.open) for column in columns[1:])
    mean = block if block is not None else block_of(candles)
    picked = stationary(generator(seed, "candles", str(number)), n, mean, 1)[0]
    steps = gaps[picked] + bodies[picked]
    closes = np.log(candles.open[0]) + np.cumsum(steps)
    opens = closes - bodies[picked]
    return Candles(
        ts=candles.ts,
        open=np.exp(opens),
        high=np.exp(opens + np.maximum(highs[picked], np.maximum(bodies[picked], 0.0))),
        low=np.exp(opens + np.minimum(lows[picked], np.minimum(bodies[picked], 0.0))),
        close=np.exp(closes),
        volume=candles.volume[picked],
    )


def block_of(candles: Candles) -> float:
    """Mean block that keeps calm and wild times together."""
    return blocks_of_returns(np.diff(np.log(candles.close)))[0]
