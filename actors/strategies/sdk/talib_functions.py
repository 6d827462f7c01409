"""Functions of TA-Lib that the indicator core lacks: candlestick patterns, cycles, regressions and others.

TA-Lib is loaded by `prepare_talib` alone, before a worker is locked; a strategy can only use what is loaded then.
"""

from __future__ import annotations

import importlib
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
from numpy.typing import ArrayLike

from actors.strategies.sdk.bars import Bars, Floats

OURS: Final = {
    "SMA": "sma", "EMA": "ema", "WMA": "wma", "DEMA": "dema", "TEMA": "tema", "KAMA": "kama", "MACD": "macd",
    "TRIX": "trix", "STDDEV": "stddev", "BBANDS": "bollinger_bands", "RSI": "rsi", "STOCH": "stoch",
    "STOCHF": "stoch_fast", "STOCHRSI": "stoch_rsi", "CCI": "cci", "WILLR": "williams_r", "MOM": "mom", "ROC": "roc",
    "AROON": "aroon", "TRANGE": "true_range", "ATR": "atr", "NATR": "natr", "PLUS_DI": "di", "MINUS_DI": "di",
    "ADX": "adx", "SAR": "sar", "OBV": "obv", "MFI": "mfi",
}  # fmt: skip
"""What the core has: one definition of each, so TA-Lib's is not offered beside it."""

_COLUMNS: Final = ("open", "high", "low", "close", "volume")


@dataclass(frozen=True)
class _Function:
    call: Callable[..., Any]
    lookback: Callable[[Mapping[str, Any]], int]
    inputs: tuple[str, ...]
    parameters: Mapping[str, Any]


_functions: dict[str, _Function] = {}


def prepare_talib() -> bool:
    """Load TA-Lib and read what its functions take. False: it is not installed."""
    try:
        library = importlib.import_module("talib")
        abstract = importlib.import_module("talib.abstract")
    except ImportError:
        return False
    for name in library.get_functions():
        if name in OURS:
            continue
        described = abstract.Function(name)
        inputs: list[str] = []
        for columns in described.info["input_names"].values():
            inputs += [columns] if isinstance(columns, str) else columns
        if all(column in _COLUMNS for column in inputs):
            _functions[name] = _Function(
                getattr(library, name), _lookback_of(abstract, name), tuple(inputs), dict(described.info["parameters"])
            )
    return True


def _lookback_of(abstract: Any, name: str) -> Callable[[Mapping[str, Any]], int]:
    function = abstract.Function(name)

    def lookback(parameters: Mapping[str, Any]) -> int:
        function.parameters = dict(parameters)
        return int(function.lookback)

    return lookback


def talib_names() -> tuple[str, ...]:
    """The functions that `talib` has, by TA-Lib's names; none where it is not prepared."""
    return tuple(sorted(_functions))


def talib(name: str, bars: Bars | Mapping[str, ArrayLike], **parameters: float) -> tuple[Floats, ...]:
    """A function of TA-Lib over bars: an array for each of its outputs, NaN while it warms up.

    `name` and `parameters` are TA-Lib's own: `talib("LINEARREG", bars, timeperiod=14)`. Raises ValueError for a name
    or a parameter that it does not have, RuntimeError where TA-Lib is not installed.
    """
    if name in OURS:
        raise ValueError(f"name: expected a function that indicators lacks, got {name!r}: see {OURS[name]}")
    if not _functions:
        raise RuntimeError("TA-Lib is not prepared here")
    function = _functions.get(name)
    if function is None:
        raise ValueError(f"name: expected a function of TA-Lib such as 'LINEARREG', got {name!r}")
    if unknown := sorted(set(parameters) - set(function.parameters)):
        raise ValueError(f"{unknown[0]}: {name} has the parameters {', '.join(function.parameters) or '(none)'}")
    settled = {**function.parameters, **parameters}
    columns = [np.asarray(bars[column], dtype=np.float64) for column in function.inputs]
    try:
        # Bad values are told by TA-Lib as plain Exceptions, some of them only when it is asked to compute.
        lookback = function.lookback(settled)
        found = function.call(*columns, **settled)
    except Exception as error:
        given = ", ".join(f"{key}={value!r}" for key, value in parameters.items())
        raise ValueError(f"{name}({given}): {error}") from None
    outputs = found if isinstance(found, tuple) else (found,)
    result = []
    for output in outputs:
        # Whole numbers (patterns) are 0 while warming up, which is a value of theirs, too.
        column = np.array(output, dtype=np.float64)
        column[:lookback] = np.nan
        result.append(column)
    return tuple(result)
