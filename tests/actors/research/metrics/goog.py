"""An outside case: daily GOOG and the crossing of two means, simulated as backtesting.py does it.

Only the data file of that package is read; its code is not imported.
"""

from __future__ import annotations

import csv
import hashlib
import importlib.util
from functools import cache
from pathlib import Path

import numpy as np

from actors.research.results import RoundTrip, RunResult, Series

SHA256 = "60e961a567490b157f71888df9e6afb36190a34a40a6286aa38988e2343f1b1a"


def bars() -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Start of each day (ns), open, close."""
    found = importlib.util.find_spec("backtesting")
    assert found is not None, "the test data of the package `backtesting` are missing: pip install troupe[dev]"
    assert found.submodule_search_locations is not None
    path = Path(found.submodule_search_locations[0]) / "test" / "GOOG.csv"
    assert hashlib.sha256(path.read_bytes()).hexdigest() == SHA256
    with path.open() as file:
        rows = list(csv.reader(file))[1:]
    days = np.array([row[0] for row in rows], dtype="datetime64[ns]").astype(np.int64)
    return days, np.array([float(row[1]) for row in rows]), np.array([float(row[4]) for row in rows])


def moving_average(values: np.ndarray, length: int) -> np.ndarray:
    sums = np.cumsum(np.concatenate(([0.0], values)))
    means = np.full(values.size, np.nan)
    means[length - 1 :] = (sums[length:] - sums[:-length]) / length
    return means


@cache
def crossing_means(fast: int = 10, slow: int = 30, cash: float = 10_000.0) -> RunResult:
    """Reversed on every cross at the next open, whole shares, no costs; the last trade ends at the last open."""
    days, opens, closes = bars()
    first, second = moving_average(closes, fast), moving_average(closes, slow)
    equity, trips, held = [], [], np.zeros(days.size)
    size, entry, order = 0, 0, 0
    last = days.size - 1

    def close(bar: int) -> None:
        nonlocal cash, size
        gain = size * (opens[bar] - opens[entry])
        cash += gain
        held[entry : bar + 1] = 1
        trips.append(
            RoundTrip(
                market="GOOG",
                side="long" if size > 0 else "short",
                size=float(abs(size)),
                entry_ts=int(days[entry]),
                entry_price=float(opens[entry]),
                exit_ts=int(days[bar]),
                exit_price=float(opens[bar]),
                pnl=float(gain),
                return_=float(gain / (abs(size) * opens[entry])),
                fees=0.0,
                entry_bar=entry,
                exit_bar=bar,
            )
        )
        size = 0

    for bar in range(days.size):
        if order or (bar == last and size):
            if size:
                close(bar)
            if order and bar != last:
                entry, size = bar, order * int(cash // opens[bar])
            order = 0
        equity.append(cash + size * (closes[bar] - opens[entry]))
        if bar > slow - 1 and (first[bar - 1] - second[bar - 1]) * (first[bar] - second[bar]) < 0:
            order = 1 if first[bar] > second[bar] else -1
    return RunResult(
        run_id="goog",
        strategy="crossing means",
        family="crossing means",
        methodology="standard",
        data=("GOOG",),
        data_hashes=(SHA256,),
        markets=("GOOG",),
        parameters={"fast": fast, "slow": slow},
        initial_capital="10000",
        final_equity=f"{equity[-1]:.2f}",
        first=int(days[0]),
        last=int(days[-1]),
        bars=days.size,
        sampling="bar",
        equity=Series.of(days, equity),
        benchmark=Series.of(days, closes),
        price=Series.of(days, closes),
        exposure=float(held.mean()),
        round_trips=tuple(trips),
    )
