"""An indicator of a workflow while it runs: fed bar by bar, or with the numbers of another node."""

from __future__ import annotations

from collections.abc import Callable
from math import isfinite
from typing import Any, Final

import numpy as np

from actors.market.indicators import make
from actors.strategies.workflows.indicators import KINDS, IndicatorKind
from actors.strategies.workflows.operators.base import Number

DAY_NS: Final = 86_400_000_000_000

PRICES: Final[dict[str, Callable[[Any], float]]] = {
    "hl2": lambda bar: (bar.high + bar.low) / 2.0,
    "hlc3": lambda bar: (bar.high + bar.low + bar.close) / 3.0,
    "ohlc4": lambda bar: (bar.open + bar.high + bar.low + bar.close) / 4.0,
    "session": lambda bar: float(bar.timestamp // DAY_NS),
}


def price(bar: Any, source: str) -> Number:
    """A figure of a bar: a column, `hl2`, `hlc3` or `ohlc4`. None where the bar has no such figure."""
    compute = PRICES.get(source)
    value = float(getattr(bar, source) if compute is None else compute(bar))
    return value if isfinite(value) else None


class Indicator:
    """An indicator by its code. A bar that lacks what it needs is left out: it gives no value and changes none.

    `update` takes a bar, `feed` a number (of a series). One output is a number or None; several are a tuple of as many,
    all None while it warms up.
    """

    def __init__(self, code: str, *, source: str = "close", **values: Any) -> None:
        kind = KINDS[code]
        self.columns = (source,) if kind.inputs == ("close",) else kind.inputs
        self._single = len(kind.outputs) == 1
        self._nothing: Any = None if self._single else (None,) * len(kind.outputs)
        arguments = kind.values(values)
        self._next: Callable[..., Any]
        if kind.engine == "core":
            self._next = make(kind.function, **arguments).update
        else:
            self._next = _OverWindow(kind, kind.warm_up(values), kind.window(values), arguments)

    def update(self, bar: Any) -> Any:
        """The value at the end of this bar."""
        inputs = [price(bar, column) for column in self.columns]
        if None in inputs:
            return self._nothing
        found = self._next(*inputs)
        return self._nothing if found is None else found

    def feed(self, value: Number) -> Any:
        """The value after this number of another node; None is left out."""
        if value is None:
            return self._nothing
        found = self._next(value)
        return self._nothing if found is None else found


class _OverWindow:
    """A function of TA-Lib over the last bars: their columns lie one behind the other in an array of two windows."""

    def __init__(self, kind: IndicatorKind, warm_up: int, window: int, arguments: dict[str, Any]) -> None:
        import talib

        self._function = getattr(talib, kind.function)
        self._arguments = arguments
        self._window = window
        self._outputs = len(kind.outputs)
        self._columns = np.empty((len(kind.inputs), 2 * window))
        self._end = 0
        # A whole number cannot be NaN: TA-Lib says 0 while it warms up.
        self._missing = warm_up - 1 if kind.code == "ht_trendmode" else 0

    def __call__(self, *inputs: float) -> Any:
        columns, window = self._columns, self._window
        if self._end == 2 * window:
            columns[:, : window - 1] = columns[:, window + 1 :]
            self._end = window - 1
        columns[:, self._end] = inputs
        self._end += 1
        if self._missing:
            self._missing -= 1
            return None
        begin = max(self._end - window, 0)
        found = self._function(*(column[begin : self._end] for column in columns), **self._arguments)
        if self._outputs == 1:
            value = float(found[-1])
            return value if isfinite(value) else None
        values = tuple(float(each[-1]) for each in found)
        return values if all(map(isfinite, values)) else None


def warm() -> None:
    """Import what the first indicator of TA-Lib would: to be called before a worker is locked."""
    import talib

    talib.SMA(np.arange(3.0), timeperiod=2)
