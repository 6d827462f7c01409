"""Tables, specifications and strategies to test backtests with."""

from __future__ import annotations

import importlib.util
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from actors.research.backtest.opening import Opened
from actors.research.backtest.passes import LocalPasses
from actors.research.backtest.single import Outcome
from actors.research.backtest.sources import Source, TableSource
from actors.research.backtest.spec import BacktestSpec, spec_of
from actors.research.datasets.table import LAST, MISSING, SNAPSHOT, Table

SECOND = 1_000_000_000
MINUTE = 60 * SECOND
BEGIN = 1_700_000_040 * SECOND
"""A full minute."""
CENT = 10_000_000


def quotes(count: int, *, seed: int = 1, market: str = "A", step: int = SECOND, name: str = "quotes") -> Table:
    """A random walk of quotes, one a second, two cents wide."""
    draw = np.random.default_rng(seed)
    ts = BEGIN + np.arange(count, dtype=np.int64) * step
    middle = 5_000 + np.cumsum(draw.integers(-2, 3, count))
    sizes = draw.integers(1, 50, (2, count)) * SECOND
    return Table(
        kind="quotes",
        market=market,
        markets=(market,),
        interval="",
        columns={
            "ts": ts,
            "ts_event": ts - 1000,
            "ts_recv": ts,
            "bid": (middle - 1) * CENT,
            "bid_size": sizes[0],
            "ask": (middle + 1) * CENT,
            "ask_size": sizes[1],
            "seq": np.arange(1, count + 1),
            "market": np.zeros(count, dtype=np.int32),
        },
        content_hash=f"{name}-{seed}-{count}",
        name=name,
    )


def trades(count: int, *, seed: int = 2, market: str = "A", name: str = "trades") -> Table:
    """Trades of the same kind, half a second behind."""
    draw = np.random.default_rng(seed)
    ts = BEGIN + SECOND // 2 + np.arange(count, dtype=np.int64) * SECOND
    return Table(
        kind="trades",
        market=market,
        markets=(market,),
        interval="",
        columns={
            "ts": ts,
            "ts_event": np.full(count, MISSING),
            "ts_recv": ts,
            "price": (5_000 + np.cumsum(draw.integers(-2, 3, count))) * CENT,
            "size": draw.integers(1, 10, count) * SECOND,
            "taker": draw.integers(-1, 2, count).astype(np.int8),
            "seq": np.full(count, MISSING),
            "market": np.zeros(count, dtype=np.int32),
        },
        content_hash=f"{name}-{seed}-{count}",
        name=name,
    )


def levels(count: int, *, seed: int = 4, market: str = "A", gap_at: int = 0, name: str = "levels") -> Table:
    """A book of ten levels a side that moves; with a gap (it crosses) and a new snapshot behind it, if asked for."""
    draw = np.random.default_rng(seed)
    rows: list[tuple[int, int, int, int, int, int]] = []

    def snapshot(ts: int, seq: int, middle: int) -> None:
        for at in range(1, 11):
            rows.append((ts, seq, 1, middle - at, 20, SNAPSHOT))
            rows.append((ts, seq, -1, middle + at, 20, SNAPSHOT | (LAST if at == 10 else 0)))

    middle = 5_000
    snapshot(0, 1, middle)
    for place in range(1, count):
        ts, seq = place * SECOND, place + 1
        if gap_at and place == gap_at:
            rows.append((ts, seq, 1, middle + 50, 1, LAST))
        elif gap_at and place == gap_at + 3:
            snapshot(ts, seq, middle)
        elif draw.random() < 0.2:
            step = int(draw.choice([-1, 1]))
            side = step
            # The touched side is eaten, the other one follows.
            rows.append((ts, seq, -side, middle + side, 0, 0))
            rows.append((ts, seq, -side, middle + side * 11, 20, 0))
            rows.append((ts, seq, side, middle, 20, LAST))
            middle += step
        else:
            side = int(draw.choice([-1, 1]))
            at = int(draw.integers(1, 9))
            rows.append((ts, seq, side, middle - side * at, int(draw.integers(1, 60)), LAST))
    columns = {
        column: np.array([row[place] for row in rows], dtype=np.int64)
        for place, column in enumerate(("ts", "seq", "side", "price", "size", "flags"))
    }
    columns["ts"] += BEGIN
    columns["price"] *= CENT
    columns["size"] *= SECOND
    return Table(
        kind="l2",
        market=market,
        markets=(market,),
        interval="",
        columns={
            **columns,
            "ts_event": columns["ts"],
            "ts_recv": columns["ts"],
            "market": np.zeros(len(rows), dtype=np.int32),
        },
        content_hash=f"{name}-{seed}-{count}-{gap_at}",
        name=name,
    )


def bars(
    count: int,
    *,
    seed: int = 3,
    market: str = "A",
    interval: str = "1m",
    length: int = MINUTE,
    begin: int = BEGIN,
    move: int = 20,
) -> Table:
    """A random walk of bars; a close is at most `move` cents from the one before."""
    draw = np.random.default_rng(seed)
    close = 5_000 + np.cumsum(draw.integers(-move, move + 1, count))
    open_ = np.concatenate(([5_000], close[:-1])) + draw.integers(-3, 4, count)
    high = np.maximum(open_, close) + draw.integers(0, 10, count)
    low = np.minimum(open_, close) - draw.integers(0, 10, count)
    start = begin + np.arange(count, dtype=np.int64) * length
    return Table(
        kind="bars",
        market=market,
        markets=(market,),
        interval=interval,
        columns={
            "ts": start + length,
            "start": start,
            "end": start + length,
            "open": open_ * CENT,
            "high": high * CENT,
            "low": low * CENT,
            "close": close * CENT,
            "volume": draw.integers(1, 1000, count).astype(np.float64),
            "trades": np.full(count, MISSING),
            "vwap": np.full(count, MISSING),
            "market": np.zeros(count, dtype=np.int32),
        },
        content_hash=f"bars-{market}-{seed}-{count}",
        name="bars",
    )


def spec(name: str = "moving_average_cross", **fields: Any) -> BacktestSpec:
    """A specification; `parameters` and other fields of the strategy by `strategy`."""
    strategy = {"name": name, **fields.pop("strategy", {})}
    plain = {
        "strategy": strategy,
        "data": [{"path": "nowhere"}],
        "market": {"tick": "0.01", "lot": "1", "taker_fee": "0.001"},
        "opposite": "flip",
        "leverage": "4",
        "entries": None,
        "sizing": {"percentage": 0.5, "max_position_size": 0.5},
    }
    return spec_of({**plain, **fields})


def on_quotes(**parameters: Any) -> dict[str, Any]:
    return {"parameters": {"fast": 5, "slow": 15, "on": "quotes", **parameters}}


def on_bars(**parameters: Any) -> dict[str, Any]:
    return {"parameters": {"fast": 3, "slow": 8, "interval": "1m", **parameters}}


class Shelf(Opened):
    """Tables as if they had been opened."""

    def __init__(self, own: BacktestSpec, tables: Sequence[Table], *, batch: int = 4096) -> None:
        self._spec = own
        self._batch = batch
        self._tables = [TableSource(table, batch=batch) for table in tables]
        self._paths = [(own.data[0], Path("nowhere"))] * len(tables)
        self._hashes = [table.content_hash for table in tables]
        self._kept: dict[tuple[int | None, int | None], list[Source]] = {}


def run(own: BacktestSpec, *tables: Table, batch: int = 4096) -> Outcome:
    """One pass over tables."""
    shelf = Shelf(own, tables, batch=batch)
    with LocalPasses(shelf) as passes:
        return passes.over(own, list(shelf._tables), keep_log=True)


def goog_csv(folder: Path) -> Path:
    """The bars of GOOG that the package `backtesting` brings (only its data are read), with a name for their times."""
    found = importlib.util.find_spec("backtesting")
    assert found is not None, "the test data of the package `backtesting` are missing: pip install troupe[dev]"
    assert found.submodule_search_locations is not None
    text = (Path(found.submodule_search_locations[0]) / "test" / "GOOG.csv").read_text()
    path = folder / "goog.csv"
    path.write_text("date" + text)
    return path
