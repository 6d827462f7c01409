"""Market data for `benchmarks.backtest`: made from a seed, written as plain arrays, so that every side reads the same.

Prices are whole cents, sizes whole units, times nanoseconds. Each stream goes up and down so that two averages of it
cross once in about `HALF` events: an order in 1,000 of them.

* quotes: one a millisecond, two cents wide, a sine of 3.00 in 50.00 with a cent of noise.
* l2: level changes, one a message: a book of `DEPTH` levels a side that moves a cent at a time, three steps forth and
  one back. A step takes the best level from one side, puts a better one on the other, and moves the far ends; half of
  the messages change the size of a level deeper in the book. A quarter of all move a best price.
* bars: minutes of a sine of 20.00 in 200.00 with noise; walk: of a random walk, where averages cross much more often.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

HALF = 1_000
DEPTH = 10
MINUTE = 60_000_000_000
BEGIN = 1_700_000_040_000_000_000
STEP = 1_000_000
"""A millisecond between two events."""
AVERAGES = (50, 200)
"""Periods of the two averages over bars."""
CALM = 300
"""Events of each stream before its price moves: all averages are the same then, however they begin."""


def quotes(count: int, seed: int = 1) -> dict[str, Any]:
    """ts, bid, ask, bid_size, ask_size."""
    draw = np.random.default_rng(seed)
    turn = np.arange(count) * np.pi / HALF
    middle = 5_000 + np.round(300 * np.sin(turn)).astype(np.int64) + draw.integers(-1, 2, count)
    middle[:CALM] = 5_000
    sizes = draw.integers(500, 1_000, (2, count))
    return {
        "ts": BEGIN + np.arange(count, dtype=np.int64) * STEP,
        "bid": middle - 1,
        "ask": middle + 1,
        "bid_size": sizes[0],
        "ask_size": sizes[1],
    }


def levels(count: int, seed: int = 2) -> dict[str, Any]:
    """ts, side (1 bid, -1 ask), price, size (0: the level goes), snapshot: 1 for the rows that are the first book."""
    draw = np.random.default_rng(seed)
    sizes = draw.integers(500, 1_000, 2 * count + 4 * DEPTH).tolist()
    deeper = draw.integers(2, DEPTH - 1, count).tolist()
    rows: list[tuple[int, int, int, int]] = []
    bid, ask = 5_000, 5_001
    for depth in range(DEPTH):
        rows.append((1, bid - depth, sizes.pop(), 1))
        rows.append((-1, ask + depth, sizes.pop(), 1))
    number = 0
    while len(rows) < CALM:
        far = deeper[len(rows) % count]
        rows.append((1, bid - far, sizes[far], 0))
    while len(rows) < count:
        number += 1
        forth = (len(rows) // HALF) % 2 == 0
        up = forth if number % 4 else not forth
        if up:
            step = [(-1, ask, 0), (1, bid + 1, sizes.pop()), (-1, ask + DEPTH, sizes.pop()), (1, bid - DEPTH + 1, 0)]
        else:
            step = [(1, bid, 0), (-1, ask - 1, sizes.pop()), (1, bid - DEPTH, sizes.pop()), (-1, ask + DEPTH - 1, 0)]
        bid, ask = (bid + 1, ask + 1) if up else (bid - 1, ask - 1)
        for side, price, size in step:
            rows.append((side, price, size, 0))
            far = deeper[len(rows) % count]
            rows.append((1, bid - far, sizes[far], 0) if far % 2 else (-1, ask + far, sizes[-far], 0))
    columns = np.array(rows[:count], dtype=np.int64).T
    first = np.maximum(np.arange(count) - (2 * DEPTH - 1), 0)
    return {
        "ts": BEGIN + first * STEP,
        "side": columns[0],
        "price": columns[1],
        "size": columns[2],
        "snapshot": columns[3],
    }


def bars(count: int, seed: int = 3) -> dict[str, Any]:
    """start, open, high, low, close; each a minute."""
    draw = np.random.default_rng(seed)
    wave = 2_000 * np.sin(np.arange(count) * np.pi / HALF)
    return _around(20_000 + np.round(wave).astype(np.int64) + draw.integers(-20, 21, count), draw)


def walk(count: int, seed: int = 4) -> dict[str, Any]:
    """As `bars`. The averages of `AVERAGES` are never equal: where they are, rounding says who has crossed whom."""
    draw = np.random.default_rng(seed)
    close = np.maximum(20_000 + np.cumsum(draw.integers(-20, 21, count)), 5_000)
    while (tie := _tie(close, *AVERAGES)) is not None:
        close[tie] += 1
    return _around(close, draw)


def _tie(close: Any, fast: int, slow: int) -> int | None:
    """The first bar behind which both averages are the same."""
    sums = np.concatenate(([0], np.cumsum(close)))
    ends = np.arange(slow, len(sums))
    equal = (sums[ends] - sums[ends - fast]) * slow == (sums[ends] - sums[ends - slow]) * fast
    return int(ends[np.argmax(equal)]) - 1 if equal.any() else None


def _around(close: Any, draw: np.random.Generator) -> dict[str, Any]:
    count = len(close)
    begun = np.concatenate(([20_000], close[:-1])) + draw.integers(-3, 4, count)
    return {
        "start": BEGIN + np.arange(count, dtype=np.int64) * MINUTE,
        "open": begun,
        "high": np.maximum(begun, close) + draw.integers(0, 10, count),
        "low": np.minimum(begun, close) - draw.integers(0, 10, count),
        "close": close,
    }


MAKERS = {"quotes": quotes, "l2": levels, "bars": bars, "walk": walk}


def write(kind: str, count: int, folder: Path) -> Path:
    """Make a stream of `count` events and write it."""
    path = folder / f"{kind}-{count}.npz"
    np.savez(path, **MAKERS[kind](count))
    return path


def read(path: Path | str) -> dict[str, Any]:
    """What was written."""
    with np.load(path) as found:
        return {name: found[name] for name in found.files}
