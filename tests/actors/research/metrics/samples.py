"""Runs made for tests."""

from __future__ import annotations

from typing import Any

import numpy as np

from actors.research.results import RoundTrip, RunResult, Series

DAY = 86_400_000_000_000
MONDAY = 1_704_067_200_000_000_000
"""1 January 2024, 00:00 UTC."""


def trip(pnl: float, number: int = 0, **changed: Any) -> RoundTrip:
    """A trade of one unit at 100, a day long."""
    fields: dict[str, Any] = {
        "market": "X",
        "side": "long",
        "size": 1.0,
        "entry_ts": MONDAY + number * DAY,
        "entry_price": 100.0,
        "exit_ts": MONDAY + (number + 1) * DAY,
        "exit_price": 100.0 + pnl,
        "pnl": pnl,
        "return_": pnl / 100.0,
        "fees": 0.0,
    }
    return RoundTrip(**fields | changed)


def run_of(equity: Any, *, step: int = DAY, first: int = MONDAY, **changed: Any) -> RunResult:
    """A run with this equity, a sample a day (every day of the week) unless `step` says otherwise."""
    values = np.asarray(equity, dtype=np.float64)
    times = first + step * np.arange(values.size, dtype=np.int64)
    fields: dict[str, Any] = {
        "run_id": "run-1",
        "strategy": "a strategy",
        "family": "a family",
        "methodology": "standard",
        "data": ("x.parquet",),
        "data_hashes": ("ab" * 32,),
        "markets": ("X",),
        "initial_capital": str(values[0]) if values.size else "0",
        "final_equity": str(values[-1]) if values.size else "0",
        "equity": Series.of(times, values),
    }
    return RunResult(**fields | changed)


def random_run(noise: int = 0, days: int = 300, drift: float = 0.0005, **changed: Any) -> RunResult:
    """A walk with a benchmark, prices and trades."""
    rng = np.random.default_rng(noise)
    equity = 10_000 * np.cumprod(np.concatenate(([1.0], 1 + rng.normal(drift, 0.01, days))))
    price = 100 * np.cumprod(np.concatenate(([1.0], 1 + rng.normal(0, 0.01, days))))
    times = MONDAY + DAY * np.arange(days + 1, dtype=np.int64)
    trips = tuple(trip(float(pnl), number) for number, pnl in enumerate(rng.normal(5, 40, 40)))
    fields: dict[str, Any] = {
        "run_id": f"run-{noise}",
        "benchmark": Series.of(times, price),
        "price": Series.of(times, price),
        "exposure": 0.5,
        "round_trips": trips,
    }
    return run_of(equity, **fields | changed)
