"""Which observations a simulation takes: rows of indices, one row per simulation; all from a seed."""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import Final
from zlib import crc32

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]
Indices = NDArray[np.int64]

AT_ONCE: Final = 2_000_000
"""Values that are held at a time: 16 MB."""


def generator(seed: int, *names: str) -> np.random.Generator:
    """Numbers of their own for each use, whatever else was drawn; the same in any process."""
    return np.random.default_rng(
        np.random.SeedSequence([seed & (2**64 - 1), *(crc32(name.encode()) for name in names)])
    )


def parts(simulations: int, observations: int) -> Iterator[int]:
    """How many simulations to make at a time, so that they fit."""
    most = max(1, AT_ONCE // max(1, observations))
    for done in range(0, simulations, most):
        yield min(most, simulations - done)


def bootstrap(rng: np.random.Generator, n: int, rows: int) -> Indices:
    """Each observation independently, with replacement. Efron, Annals of Statistics 7(1), 1979."""
    return rng.integers(0, n, size=(rows, n))


def stationary(rng: np.random.Generator, n: int, block: float, rows: int) -> Indices:
    """Blocks of geometric length with the mean `block`, round the end. Politis and Romano, JASA 89(428), 1994."""
    if block < 1:
        raise ValueError(f"block: expected 1 or more, got {block:g}")
    begins = rng.random((rows, n)) < 1 / block
    begins[:, 0] = True
    starts = rng.integers(0, n, size=(rows, n))
    places = np.arange(n)
    latest = np.maximum.accumulate(np.where(begins, places, 0), axis=1)
    return (np.take_along_axis(starts, latest, axis=1) + places - latest) % n


def moving_blocks(rng: np.random.Generator, n: int, block: int, rows: int) -> Indices:
    """Blocks of one length that do not go round the end; the last is cut. Künsch, Annals of Statistics 17(3), 1989."""
    if not 1 <= block <= n:
        raise ValueError(f"block: expected 1 to {n}, got {block}")
    starts = rng.integers(0, n - block + 1, size=(rows, math.ceil(n / block)))
    return (starts[:, :, None] + np.arange(block)).reshape(rows, -1)[:, :n]


def circular_blocks(rng: np.random.Generator, n: int, block: int, rows: int) -> Indices:
    """Whole blocks of one length, round the end: n // block of them."""
    if not 1 <= block <= n:
        raise ValueError(f"block: expected 1 to {n}, got {block}")
    starts = rng.integers(0, n, size=(rows, n // block))
    return ((starts[:, :, None] + np.arange(block)) % n).reshape(rows, -1)


def optimal_blocks(values: Floats) -> tuple[float, float]:
    """Mean block of the stationary and length of the circular bootstrap for the mean of a series; 1 for noise.

    Politis and White, Econometric Reviews 23(1), 2004, corrected by Patton, Politis and White, 28(4), 2009: a flat-top
    window over the autocovariances up to twice the last one of significance.
    """
    n = values.size
    if n < 10 or float(np.ptp(values)) == 0:
        return 1.0, 1.0
    centred = values - values.mean()
    enough = max(5, int(math.log10(n)))
    most = math.ceil(math.sqrt(n)) + enough
    longest = math.ceil(min(3 * math.sqrt(n), n / 3))
    covariances = np.zeros(most + 1)
    correlations = np.zeros(most + 1)
    for lag in range(min(most, n - 2) + 1):
        ahead, behind = centred[lag:], centred[: n - lag]
        covariances[lag] = float(ahead @ behind) / n
        scale = math.sqrt(float(ahead @ ahead) * float(behind @ behind))
        correlations[lag] = abs(float(ahead @ behind)) / scale if scale > 0 else 0.0
    last = _last_significant(correlations, 2 * math.sqrt(math.log10(n) / n), enough)
    window = min(2 * max(last, 1), most)
    lags = np.arange(1, window + 1)
    weights = np.where(lags / window <= 0.5, 1.0, 2 * (1 - lags / window))
    slope = 2 * float(np.sum(weights * lags * covariances[1 : window + 1]))
    spectrum = covariances[0] + 2 * float(np.sum(weights * covariances[1 : window + 1]))
    found = []
    for factor in (2.0, 4 / 3):
        length = (2 * slope**2 / (factor * spectrum**2)) ** (1 / 3) * n ** (1 / 3) if spectrum else 1.0
        found.append(float(min(max(length, 1.0), longest)))
    return found[0], found[1]


def blocks_of_returns(returns: Floats) -> tuple[float, float]:
    """`optimal_blocks` long enough for the returns and for their squares: calm and wild times last longest."""
    own, squared = optimal_blocks(returns), optimal_blocks((returns - returns.mean()) ** 2)
    return max(own[0], squared[0]), max(own[1], squared[1])


def _last_significant(correlations: Floats, limit: float, enough: int) -> int:
    """The lag after which `enough` in a row are insignificant; else the last that is significant."""
    significant = correlations[1:] > limit
    for lag in range(significant.size - enough + 1):
        if not significant[lag : lag + enough].any():
            return lag
    return int(np.flatnonzero(significant)[-1]) + 1
