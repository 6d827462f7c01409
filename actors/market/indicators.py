"""All indicators by name, and over arrays. One core for live bars, the SDK, workflows, features and the API.

    rsi = make("rsi", period=14)
    for bar in bars:
        value = rsi.update(bar.close)        # None while it warms up

    compute("macd", {"close": closes}, fast=12, slow=26)   # a dict of arrays, NaN where the value is None

Values agree with TA-Lib to 10⁻⁹ relative where it has the indicator (each class says where it deliberately differs),
else with the reference that the class names.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, Final

from actors.market.indicators_averages import (
    BollingerBands,
    Dema,
    Ema,
    Kama,
    Macd,
    Returns,
    Sma,
    Stddev,
    Tema,
    Trix,
    Volatility,
    Wma,
    Zscore,
)
from actors.market.indicators_base import Indicator, State
from actors.market.indicators_momentum import (
    Aroon,
    Cci,
    Momentum,
    RateOfChange,
    Rsi,
    Stochastic,
    StochasticFast,
    StochasticRsi,
    WilliamsR,
)
from actors.market.indicators_range import (
    Adx,
    Atr,
    DirectionalIndex,
    Donchian,
    Ichimoku,
    Keltner,
    Natr,
    ParabolicSar,
    TrueRange,
)
from actors.market.indicators_volume import Mfi, Obv, RollingVwap, SessionVwap

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import ArrayLike, NDArray

    Array = NDArray[np.float64]

__all__ = ["INDICATORS", "Indicator", "State", "compute", "make", "over"]

INDICATORS: Final[dict[str, type[Indicator[Any]]]] = {
    each.NAME: each
    for each in (
        Sma, Ema, Wma, Dema, Tema, Kama, Macd, Trix, Stddev, BollingerBands, Zscore, Returns, Volatility,
        Rsi, Stochastic, StochasticFast, StochasticRsi, Cci, WilliamsR, Momentum, RateOfChange, Aroon,
        TrueRange, Atr, Natr, DirectionalIndex, Adx, Donchian, Keltner, Ichimoku, ParabolicSar,
        Obv, Mfi, RollingVwap, SessionVwap,
    )
}  # fmt: skip
"""The classes by name; `parameters()` of each says what it can be given, `INPUTS` what it is fed."""


def make(name: str, **parameters: Any) -> Indicator[Any]:
    """A new indicator. Raises ValueError that names the indicator or the parameter that is wrong."""
    kind = INDICATORS.get(name)
    if kind is None:
        raise ValueError(f"indicator: expected any of {', '.join(sorted(INDICATORS))}, got {name!r}")
    known = kind.parameters()
    if unknown := sorted(set(parameters) - set(known)):
        raise ValueError(f"{unknown[0]}: {name} has the parameters {', '.join(known) or '(none)'}")
    return kind(**parameters)


def over(indicator: Indicator[Any], *inputs: ArrayLike) -> dict[str, Array]:
    """Feed arrays of one length, in the order of `INPUTS`, and return an array for each output.

    NaN where the indicator had no value. It goes on from the state that it is in, and is then at the last bar.
    Raises ValueError for arrays that do not fit or hold numbers that are none.
    """
    import numpy as np

    columns = [np.asarray(each, dtype=np.float64) for each in inputs]
    if len(columns) != len(indicator.INPUTS):
        raise ValueError(f"{indicator.NAME}: expected {', '.join(indicator.INPUTS)}, got {len(columns)} arrays")
    if any(column.ndim != 1 or len(column) != len(columns[0]) for column in columns):
        raise ValueError(f"{indicator.NAME}: expected arrays of one dimension and one length")
    found = np.full((len(indicator.OUTPUTS), len(columns[0])), np.nan)
    single = len(indicator.OUTPUTS) == 1
    for place, row in enumerate(zip(*(column.tolist() for column in columns), strict=True)):
        value = indicator.update(*row)
        if value is not None:
            found[:, place] = (value,) if single else value
    return dict(zip(indicator.OUTPUTS, found, strict=True))


def compute(name: str, columns: Mapping[str, ArrayLike], **parameters: Any) -> dict[str, Array]:
    """An indicator from its beginning over columns of bars by name. Raises ValueError as `make` and `over` do."""
    indicator = make(name, **parameters)
    if missing := [each for each in indicator.INPUTS if each not in columns]:
        raise ValueError(f"{name}: needs the column {missing[0]}")
    return over(indicator, *(columns[each] for each in indicator.INPUTS))
