"""Our side of `benchmarks.backtest`: the engine that a backtest, a paper account and a live one run on, over arrays."""

from __future__ import annotations

import time
from collections.abc import Iterable
from pathlib import Path
from typing import Any, Final

import numpy as np

from actors.research.backtest.opening import KeptSource, Opened
from actors.research.backtest.passes import LocalPasses
from actors.research.backtest.single import Outcome
from actors.research.backtest.sources import Source, TableSource
from actors.research.backtest.spec import BacktestSpec, spec_of
from actors.research.backtest.trying import Task, fleet
from actors.research.datasets.table import LAST, MISSING, SNAPSHOT, Kind, Table
from actors.research.metrics.registry import evaluate
from benchmarks.backtest_data import MINUTE, read
from protocols.nanos import NANO

CENT: Final = NANO // 100
MARKET: Final = "A"
CODE: Final = '''
from actors.strategies.sdk import Bar, BaseStrategy, Quote


class Cross(BaseStrategy):
    """Long while the fast average of the middle is above the slow one."""

    def initialize(self):
        fast, slow = FAST, SLOW
        self.a, self.b = 2.0 / (fast + 1), 2.0 / (slow + 1)
        self.fast = self.slow = self.sign = 0
        self.seen = 0
        self.first = slow

    def on_bar(self, bar: Bar):
        pass

    def on_quote(self, quote: Quote):
        middle = quote.bid + quote.ask
        if not self.seen:
            self.fast = self.slow = middle
        self.seen += 1
        fast = self.fast = self.fast + (middle - self.fast) * self.a
        slow = self.slow = self.slow + (middle - self.slow) * self.b
        difference = fast - slow
        sign = 1 if difference > 1e-9 else -1 if difference < -1e-9 else 0
        if sign and sign != self.sign and self.seen > self.first:
            before, self.sign = self.sign, sign
            if before > 0:
                self.close_long(quote.symbol, confidence=1.0)
            elif before:
                self.buy(quote.symbol, quantity=QUANTITY, confidence=1.0, validity_s=1.0)
'''

_SETTINGS: Final = {
    "signal_cooldown": 0,
    "max_concurrent_signals": 50,
    "min_confidence_threshold": 0,
    "max_risk_threshold": 1,
    "stop_loss_percentage": 0,
    "take_profit_percentage": 0,
}
"""Neither a gate nor orders of its own beside what the strategy says."""


def table_of(kind: Kind, data: dict[str, Any]) -> Table:
    """The arrays as a table of ours."""
    count = len(next(iter(data.values())))
    maker = {"quotes": _quotes, "l2": _levels, "bars": _bars}[kind]
    return Table(
        kind=kind,
        market=MARKET,
        markets=(MARKET,),
        interval="1m" if kind == "bars" else "",
        columns={**maker(data, count), "market": np.zeros(count, dtype=np.int32)},
        content_hash=f"{kind}-{count}",
        name=kind,
    )


def _quotes(data: dict[str, Any], count: int) -> dict[str, Any]:
    return {
        "ts": data["ts"],
        "ts_event": data["ts"],
        "ts_recv": data["ts"],
        "bid": data["bid"] * CENT,
        "ask": data["ask"] * CENT,
        "bid_size": data["bid_size"] * NANO,
        "ask_size": data["ask_size"] * NANO,
        "seq": np.arange(1, count + 1),
    }


def _levels(data: dict[str, Any], count: int) -> dict[str, Any]:
    snapshot = data["snapshot"].astype(bool)
    flags = np.where(snapshot, SNAPSHOT, LAST).astype(np.uint8)
    flags[int(snapshot.sum()) - 1] |= LAST
    return {
        "ts": data["ts"],
        "ts_event": data["ts"],
        "ts_recv": data["ts"],
        "seq": np.arange(1, count + 1),
        "side": data["side"].astype(np.int8),
        "price": data["price"] * CENT,
        "size": data["size"] * NANO,
        "flags": flags,
    }


def _bars(data: dict[str, Any], count: int) -> dict[str, Any]:
    end = data["start"] + MINUTE
    return {
        "ts": end,
        "start": data["start"],
        "end": end,
        **{name: data[name] * CENT for name in ("open", "high", "low", "close")},
        "volume": np.ones(count),
        "trades": np.full(count, MISSING),
        "vwap": np.full(count, MISSING),
    }


def spec_for(kind: str, quantity: int, fast: int, slow: int, *, sandboxed: bool = False) -> BacktestSpec:
    """The rule over a stream: of bars long or short by turns, of the others long or flat."""
    if kind == "bars":
        parameters: dict[str, Any] = {"fast": fast, "slow": slow, "kind": "sma", "on": "bars", "interval": "1m"}
    else:
        parameters = {"fast": fast, "slow": slow, "kind": "ema", "on": "quotes", "allow_short": False}
    strategy: dict[str, Any] = {
        "name": "moving_average_cross",
        "parameters": {**parameters, "quantity": str(quantity)},
    }
    if sandboxed:
        code = CODE.replace("FAST", str(fast)).replace("SLOW", str(slow)).replace("QUANTITY", str(quantity))
        strategy = {"name": "cross", "code": code, "settings": _SETTINGS}
    return spec_of(
        {
            "strategy": strategy,
            "data": [{"path": "arrays", "market": MARKET}],
            "markets": [MARKET] if sandboxed else [],
            "initial_capital": "1000000",
            "market": {"tick": "0.01", "lot": "1", "maker_fee": "0", "taker_fee": "0"},
            "leverage": "4",
            "opposite": "flip",
            "entries": None,
            "sized_at": "open" if kind == "bars" else "signal",
            "close_at_end": kind == "bars",
        }
    )


class Arrays(Opened):
    """Tables as if files had been opened."""

    def __init__(self, own: BacktestSpec, tables: Iterable[Table]) -> None:
        self._spec = own
        self._tables: list[TableSource | None] = [TableSource(table) for table in tables]
        self._paths = [(own.data[0], Path("arrays"))] * len(self._tables)
        self._hashes = [each.content_hash for each in self._tables if each is not None]
        self._kept: dict[tuple[int | None, int | None], list[Source]] = {}


def stream(data: str, kind: Kind, quantity: int, fast: int, slow: int, sandboxed: bool = False) -> dict[str, float]:
    """Events a second of a run over messages that are made, as the peers' are (`whole`: with their making)."""
    table = table_of(kind, read(data))
    own = spec_for(kind, quantity, fast, slow, sandboxed=sandboxed)
    began = time.perf_counter()
    source = KeptSource(TableSource(table))
    made = time.perf_counter() - began
    with LocalPasses(Arrays(own, [])) as passes:
        if sandboxed:  # starts the process that workers are forked from, which a node has from its beginning
            passes.over(own, [KeptSource(TableSource(table.take(np.arange(1_000))))])
        began = time.perf_counter()
        outcome = passes.over(own, [source])
        took = time.perf_counter() - began
    return {"rate": len(table) / took, "whole": len(table) / (took + made), **_figures(outcome)}


def bars(data: str, quantity: int, fast: int, slow: int) -> dict[str, float]:
    """Bars a second of one run with its metrics."""
    table = table_of("bars", read(data))
    own = spec_for("bars", quantity, fast, slow)
    source = KeptSource(TableSource(table))
    with LocalPasses(Arrays(own, [])) as passes:
        began = time.perf_counter()
        outcome = passes.over(own, [source])
        evaluate(outcome.result)
        took = time.perf_counter() - began
    return {"rate": len(table) / took, **_figures(outcome)}


def sweep(data: str, quantity: int, pairs: list[tuple[int, int]], processes: int = 2) -> dict[str, float]:
    """Runs a second of a search over so many processes, each judged by its Sharpe ratio."""
    table = table_of("bars", read(data))
    own = spec_for("bars", quantity, *pairs[0])
    opened = Arrays(own, [table])
    tasks = [
        Task(spec=own, spans=((None, None),), parameters={"fast": fast, "slow": slow}, purpose="train", ts=0)
        for fast, slow in pairs
    ]
    with LocalPasses(opened) as passes:
        began = time.perf_counter()
        with fleet(opened, passes, processes, [(None, None)]) as tries:
            found = list(tries.attempts(tasks))
        took = time.perf_counter() - began
    equities = [float(each.equity.array()[-1]) for each in found if each.equity is not None]
    return {"rate": len(tasks) / took, "runs": float(len(equities)), "equity": max(equities)}


def _figures(outcome: Outcome) -> dict[str, float]:
    result = outcome.result
    return {
        "told": float(result.events),
        "orders": float(result.orders),
        "fills": float(result.fills),
        "trades": float(len(result.round_trips)),
        "equity": float(result.final_equity),
    }
