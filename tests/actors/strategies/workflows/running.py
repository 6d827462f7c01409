"""Compiled workflows run as a worker runs them: with the rules of the language, through the SDK's contract."""

from __future__ import annotations

import functools
from collections.abc import Iterable, Sequence
from typing import Any

import msgspec
import numpy as np
from numpy.typing import NDArray

from actors.strategies.sandbox.inside import preload, program
from actors.strategies.sandbox.inside.contract import Contract
from actors.strategies.sandbox.inside.journal import Journal
from actors.strategies.sandbox.wire import BarInput, Load, WireSignal
from actors.strategies.workflows.compiler import compile_workflow
from actors.strategies.workflows.model import read_workflow

Floats = NDArray[np.float64]
Columns = dict[str, Floats]
HOUR_NS = 3_600_000_000_000
COLUMNS = ("open", "high", "low", "close", "volume")


@functools.cache
def prepared() -> None:
    """What a zygote does once."""
    preload.everything()


def prices(seed: int, count: int, volatility: float = 0.01) -> Columns:
    """A random walk of bars that open where the last one closed."""
    numbers = np.random.default_rng(seed)
    close = 100.0 * np.exp(np.cumsum(numbers.normal(0, volatility, count)))
    start = np.concatenate([[100.0], close[:-1]]) * (1 + numbers.normal(0, volatility / 8, count))
    high = np.maximum(start, close) * (1 + np.abs(numbers.normal(0, volatility / 2, count)))
    low = np.minimum(start, close) * (1 - np.abs(numbers.normal(0, volatility / 2, count)))
    return {"open": start, "high": high, "low": low, "close": close, "volume": numbers.uniform(1, 100, count)}


def bars(
    columns: Columns, symbol: str = "A", timeframe: str = "1h", length: int = HOUR_NS, begin: int = 0
) -> list[BarInput]:
    """The bars of columns, one behind the other."""
    rows = zip(*(columns[name].tolist() for name in COLUMNS), strict=True)
    found = []
    for place, (start, high, low, close, volume) in enumerate(rows):
        begins = begin + place * length
        ends = begins + length
        found.append(BarInput(symbol, timeframe, begins, ends, start, high, low, close, volume, 1.0, close, 0))
    return found


def built(
    drawing: dict[str, Any],
    markets: Iterable[tuple[str, str]] = (("A", "1h"),),
    parameters: dict[str, Any] | None = None,
) -> Contract:
    """The strategy of a workflow, loaded."""
    return loaded(compile_workflow(read_workflow(drawing), title="Test").code, markets, parameters)


def loaded(
    code: str, markets: Iterable[tuple[str, str]] = (("A", "1h"),), parameters: dict[str, Any] | None = None
) -> Contract:
    prepared()
    packed = msgspec.Raw(msgspec.msgpack.encode(parameters or {}))
    load = Load(1, "workflow", "1", "strategy.py", code, tuple(markets), packed, 200, True)
    return program.built(load, Journal(65_536), language_rules=True)


def run(contract: Contract, inputs: Sequence[BarInput]) -> list[tuple[int, WireSignal]]:
    """The signals with the place of the bar that led to each."""
    return [(place, each) for place, given in enumerate(inputs) for each in contract.handle(given, place)]


def places(contract: Contract, inputs: Sequence[BarInput]) -> list[int]:
    """The places of the bars that led to signals."""
    return [place for place, _ in run(contract, inputs)]
