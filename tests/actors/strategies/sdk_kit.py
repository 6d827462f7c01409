"""What the tests of the SDK share: windows that hold given bars, and random columns."""

from __future__ import annotations

from typing import Any

import numpy as np

from actors.strategies.sdk import Bars
from actors.strategies.sdk.session import Session

MINUTE = 60_000_000_000
START = 1_700_000_000_000_000_000


def random_bars(seed: int, count: int = 400, price: float = 100.0, symbol: str = "ABC", timeframe: str = "1m") -> Bars:
    """A random walk."""
    random = np.random.default_rng(seed)
    close = price * np.exp(np.cumsum(random.normal(0, 0.01, count)))
    open_ = np.concatenate(([price], close[:-1]))
    timestamp = START + MINUTE * np.arange(count)
    return Bars.from_columns(
        symbol,
        timeframe,
        {
            "timestamp": timestamp,
            "end": timestamp + MINUTE,
            "open": open_,
            "high": np.maximum(open_, close) * (1 + np.abs(random.normal(0, 0.004, count))),
            "low": np.minimum(open_, close) * (1 - np.abs(random.normal(0, 0.004, count))),
            "close": close,
            "volume": random.integers(1, 10_000, count).astype(float),
            "trades": random.integers(1, 100, count),
            "vwap": (open_ + close) / 2,
        },
    )


class GivenWindows:
    """Windows over bars that are all known; `lookback` of them are seen."""

    def __init__(self, *bars: Bars, lookback: int = 200) -> None:
        self._bars = {(each.symbol, each.timeframe): each for each in bars}
        self.lookback = lookback

    def symbols(self) -> tuple[str, ...]:
        return tuple(dict.fromkeys(symbol for symbol, _ in self._bars))

    def timeframes(self, symbol: str) -> tuple[str, ...]:
        found = tuple(timeframe for each, timeframe in self._bars if each == symbol)
        if not found:
            raise KeyError(symbol)
        return found

    def bars(self, symbol: str, timeframe: str) -> Bars:
        return self._bars[symbol, timeframe].tail(self.lookback)

    def price(self, symbol: str) -> float | None:
        return float(self.bars(symbol, self.timeframes(symbol)[0]).close[-1])


def session_of(*bars: Bars, log: list[tuple[str, str]] | None = None, **more: Any) -> Session:
    """A session over given bars; log lines go into the list."""
    lines = [] if log is None else log
    return Session(GivenWindows(*bars), lambda level, text: lines.append((level, text)), **more)
