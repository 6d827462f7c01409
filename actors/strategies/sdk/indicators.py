"""Indicators over columns: bars or an array in, arrays of the same length out. And one bar at a time.

    from actors.strategies.sdk import indicators

    averages = indicators.sma(bars, 20)                  # over the closes; an array, NaN where there is no value yet
    bands = indicators.bollinger_bands(bars.close, 20)   # bands.upper, bands.middle, bands.lower
    ranges = indicators.atr(bars, 14)                    # those of highs and lows take the bars
    indicators.crossed_above(averages, bands.upper)      # at the newest bar

    rsi = indicators.make("rsi", period=14)              # a stream: what it keeps is as long as the run
    value = rsi.update(bar.close)                        # a number, None while it warms up

All go through the one indicator core of Troupe and agree with TA-Lib to 10⁻⁹ where it has them; TA-Lib's other
functions are behind `indicators.talib`. An average that feeds on itself (EMA, RSI, ATR, ADX ...) begins where the
columns begin: over a window it is TA-Lib's value of that window.

What is missing is never a number: None of a stream and of `self.data.rsi(...)`, NaN in a column. Inputs that are no
numbers (NaN, infinite) raise ValueError.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final, Generic, NamedTuple, TypeVar

import numpy as np
from numpy.typing import ArrayLike

from actors.market.indicators import INDICATORS, Indicator, make, over
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
from actors.strategies.sdk.bars import Bars, Floats
from actors.strategies.sdk.talib_functions import talib, talib_names

V = TypeVar("V")
Value = TypeVar("Value", float, tuple[float, ...])

Columns = Bars | Mapping[str, ArrayLike]
"""Bars, or arrays by the names of their columns."""
Values = Columns | ArrayLike
"""Bars, of which the closes are taken, or an array of any values."""

DAY_NS: Final = 86_400_000_000_000


class MacdLines(NamedTuple, Generic[V]):
    """What `macd` gives."""

    macd: V
    signal: V
    histogram: V


class Bands(NamedTuple, Generic[V]):
    """What `bollinger_bands`, `donchian` and `keltner` give."""

    upper: V
    middle: V
    lower: V


class KD(NamedTuple, Generic[V]):
    """What the stochastics give."""

    k: V
    d: V


class AroonLines(NamedTuple, Generic[V]):
    """What `aroon` gives."""

    down: V
    up: V


class Directions(NamedTuple, Generic[V]):
    """What `di` gives."""

    plus: V
    minus: V


class Trend(NamedTuple, Generic[V]):
    """What `adx` gives."""

    adx: V
    plus: V
    minus: V


class Cloud(NamedTuple, Generic[V]):
    """What `ichimoku` gives: the spans over this bar, and (`ahead`) those that lie `displacement` bars from here."""

    conversion: V
    base: V
    span_a: V
    span_b: V
    ahead_a: V
    ahead_b: V


FINITE: Final[frozenset[type[Indicator[Any]]]] = frozenset(
    {
        Sma, Wma, Stddev, BollingerBands, Zscore, Returns, Volatility, Stochastic, StochasticFast, Cci, WilliamsR,
        Momentum, RateOfChange, Aroon, TrueRange, Donchian, Ichimoku, Mfi, RollingVwap,
    }
)  # fmt: skip
"""Those whose value depends on their newest `warm_up` bars alone; the others remember where they began."""


def sma(values: Values, period: int = 20) -> Floats:
    """Simple moving average: the mean of the last `period` values."""
    return _one(Sma(period), values)


def ema(values: Values, period: int = 20) -> Floats:
    """Exponential moving average, factor 2 / (period + 1), seeded with the mean of the first `period` values."""
    return _one(Ema(period), values)


def wma(values: Values, period: int = 20) -> Floats:
    """Weighted moving average: the newest of `period` values weighs `period`, the oldest 1."""
    return _one(Wma(period), values)


def dema(values: Values, period: int = 20) -> Floats:
    """Double exponential moving average: 2·EMA - EMA of EMA (Mulloy, 1994)."""
    return _one(Dema(period), values)


def tema(values: Values, period: int = 20) -> Floats:
    """Triple exponential moving average: 3·EMA - 3·EMA of EMA + EMA of that (Mulloy, 1994)."""
    return _one(Tema(period), values)


def kama(values: Values, period: int = 30, fast: int = 2, slow: int = 30) -> Floats:
    """Kaufman's adaptive moving average, between EMAs of `fast` and `slow` by the efficiency of `period` values."""
    return _one(Kama(period, fast, slow), values)


def macd(values: Values, fast: int = 12, slow: int = 26, signal: int = 9) -> MacdLines[Floats]:
    """EMA(`fast`) - EMA(`slow`), its EMA(`signal`), and their difference, the histogram (Appel)."""
    return MacdLines(*_all(Macd(fast, slow, signal), values))


def trix(values: Values, period: int = 30) -> Floats:
    """The change in percent of a triple EMA from one bar to the next."""
    return _one(Trix(period), values)


def stddev(values: Values, period: int = 20, sample: bool = False) -> Floats:
    """Standard deviation of `period` values: of the population, or (`sample`) with n - 1."""
    return _one(Stddev(period, sample), values)


def bollinger_bands(values: Values, period: int = 20, up: float = 2.0, down: float = 2.0) -> Bands[Floats]:
    """The mean of `period` values, and `up` and `down` standard deviations (population) beside it."""
    return Bands(*_all(BollingerBands(period, up, down), values))


def zscore(values: Values, period: int = 20) -> Floats:
    """Standard deviations (population) of the value above the mean of `period`; none where all are equal."""
    return _one(Zscore(period), values)


def returns(values: Values, period: int = 1, logarithmic: bool = False) -> Floats:
    """The change since `period` bars ago as a fraction, or the logarithm of the ratio."""
    return _one(Returns(period, logarithmic), values)


def volatility(values: Values, period: int = 20, periods_per_year: float = 1.0) -> Floats:
    """Sample standard deviation of `period` log returns, times the root of `periods_per_year` (Hull)."""
    return _one(Volatility(period, periods_per_year), values)


def rsi(values: Values, period: int = 14) -> Floats:
    """Relative strength index, 0 to 100: Wilder's average gain in percent of average gain and loss (1978)."""
    return _one(Rsi(period), values)


def stoch(bars: Columns, k: int = 5, slow_k: int = 3, d: int = 3) -> KD[Floats]:
    """Slow stochastic: %K is the mean of `slow_k` fast ones over `k` bars, %D the mean of `d` of those (Lane)."""
    return KD(*_all(Stochastic(k, slow_k, d), bars))


def stoch_fast(bars: Columns, k: int = 5, d: int = 3) -> KD[Floats]:
    """Fast stochastic: %K is where the close is in the range of `k` bars, in percent; %D the mean of `d`."""
    return KD(*_all(StochasticFast(k, d), bars))


def stoch_rsi(values: Values, period: int = 14, k: int = 5, d: int = 3) -> KD[Floats]:
    """The fast stochastic of the RSI (Chande and Kroll, 1994)."""
    return KD(*_all(StochasticRsi(period, k, d), values))


def cci(bars: Columns, period: int = 14) -> Floats:
    """Commodity channel index: typical price less its mean, in 0.015 mean deviations (Lambert, 1980)."""
    return _one(Cci(period), bars)


def williams_r(bars: Columns, period: int = 14) -> Floats:
    """Williams %R: how far the close is below the highest high of `period` bars, 0 to -100."""
    return _one(WilliamsR(period), bars)


def mom(values: Values, period: int = 10) -> Floats:
    """The change since `period` bars ago."""
    return _one(Momentum(period), values)


def roc(values: Values, period: int = 10) -> Floats:
    """The change since `period` bars ago in percent; none where that was 0."""
    return _one(RateOfChange(period), values)


def aroon(bars: Columns, period: int = 14) -> AroonLines[Floats]:
    """How recent the lowest low and the highest high of `period` + 1 bars are: 100 now, 0 `period` ago (Chande)."""
    return AroonLines(*_all(Aroon(period), bars))


def true_range(bars: Columns) -> Floats:
    """The largest of high - low and the distances of both from the last close (Wilder, 1978)."""
    return _one(TrueRange(), bars)


def atr(bars: Columns, period: int = 14) -> Floats:
    """Average true range with Wilder's smoothing; the first is the mean of `period` true ranges."""
    return _one(Atr(period), bars)


def natr(bars: Columns, period: int = 14) -> Floats:
    """The average true range in percent of the close."""
    return _one(Natr(period), bars)


def di(bars: Columns, period: int = 14) -> Directions[Floats]:
    """+DI and -DI: upward and downward movement in percent of the true range (Wilder, 1978)."""
    return Directions(*_all(DirectionalIndex(period), bars))


def adx(bars: Columns, period: int = 14) -> Trend[Floats]:
    """Average directional index, with +DI and -DI (Wilder, 1978)."""
    return Trend(*_all(Adx(period), bars))


def donchian(bars: Columns, period: int = 20) -> Bands[Floats]:
    """The highest high and the lowest low of `period` bars, this one included, and their middle."""
    return Bands(*_all(Donchian(period), bars))


def keltner(bars: Columns, period: int = 20, atr_period: int = 10, multiple: float = 2.0) -> Bands[Floats]:
    """EMA of the close and `multiple` average true ranges beside it (Keltner's channel in Raschke's form)."""
    return Bands(*_all(Keltner(period, atr_period, multiple), bars))


def ichimoku(
    bars: Columns, conversion: int = 9, base: int = 26, span: int = 52, displacement: int = 26
) -> Cloud[Floats]:
    """Conversion and base line, the cloud over this bar and the one computed now (Hosoda, 1969)."""
    return Cloud(*_all(Ichimoku(conversion, base, span, displacement), bars))


def sar(bars: Columns, step: float = 0.02, most: float = 0.2) -> Floats:
    """Wilder's parabolic stop and reverse; the factor begins at `step` and grows by it up to `most` (1978)."""
    return _one(ParabolicSar(step, most), bars)


def obv(bars: Columns) -> Floats:
    """On-balance volume since the first bar: volumes signed by the close's direction (Granville)."""
    return _one(Obv(), bars)


def mfi(bars: Columns, period: int = 14) -> Floats:
    """Money flow index: the flow on bars whose typical price rose, in percent of all, over `period` bars."""
    return _one(Mfi(period), bars)


def vwap(bars: Columns, period: int = 20) -> Floats:
    """Volume-weighted mean of the typical price over `period` bars; none where nothing was traded."""
    return _one(RollingVwap(period), bars)


def session_vwap(bars: Columns, session: ArrayLike | None = None) -> Floats:
    """Volume-weighted mean of the typical price since the session began, which `session` numbers; default: UTC days."""
    return _one(SessionVwap(), _with_session(bars, session))


def crossed_above(first: ArrayLike, second: ArrayLike | float) -> bool:
    """Whether `first` is above `second` (an array, or a level) at the newest bar, and was not at the one before.

    False where one of the four values is missing.
    """
    (before, now), (before_2, now_2) = _newest(first, "first"), _newest(second, "second")
    return before <= before_2 and now > now_2


def crossed_below(first: ArrayLike, second: ArrayLike | float) -> bool:
    """Whether `first` is below `second` (an array, or a level) at the newest bar, and was not at the one before."""
    (before, now), (before_2, now_2) = _newest(first, "first"), _newest(second, "second")
    return before >= before_2 and now < now_2


def names() -> tuple[str, ...]:
    """The names that `make` knows."""
    return tuple(INDICATORS)


def latest(indicator: Indicator[Value], columns: Columns) -> Value | None:
    """The value of a new indicator at the newest bar of a window. Raises ValueError for inputs that are no numbers."""
    inputs = [np.asarray(columns[name], dtype=np.float64) for name in indicator.INPUTS]
    if len(inputs[0]) < indicator.warm_up:
        return None
    if type(indicator) in FINITE:
        inputs = [column[-indicator.warm_up :] for column in inputs]
    for name, column in zip(indicator.INPUTS, inputs, strict=True):
        if not np.isfinite(column).all():
            raise ValueError(f"{indicator.NAME}: expected finite numbers, and the column {name} has others")
    value: Value | None = None
    take = indicator._next  # what `update` does behind the check that is done
    for row in zip(*(column.tolist() for column in inputs), strict=True):
        value = take(*row)
    return value


def _columns(values: Values) -> Columns:
    return values if isinstance(values, Bars | Mapping) else {"close": values}


def _all(indicator: Indicator[Any], values: Values) -> tuple[Floats, ...]:
    columns = _columns(values)
    for name in indicator.INPUTS:
        if name not in columns:
            raise ValueError(f"{indicator.NAME}: needs the column {name}")
    return tuple(over(indicator, *(columns[name] for name in indicator.INPUTS)).values())


def _one(indicator: Indicator[Any], values: Values) -> Floats:
    (found,) = _all(indicator, values)
    return found


def _with_session(bars: Columns, session: ArrayLike | None) -> Mapping[str, ArrayLike]:
    numbers = np.asarray(bars["timestamp"], dtype=np.int64) // DAY_NS if session is None else session
    return {name: bars[name] for name in ("high", "low", "close", "volume")} | {"session": numbers}


def _newest(values: ArrayLike | float, name: str) -> tuple[float, float]:
    column = np.asarray(values, dtype=np.float64)
    if column.ndim == 0:
        return float(column), float(column)
    if column.ndim != 1 or len(column) < 2:
        raise ValueError(f"{name}: expected at least two values in one dimension, got the shape {column.shape}")
    return float(column[-2]), float(column[-1])


__all__ = [
    "KD",
    "AroonLines",
    "Bands",
    "Cloud",
    "Directions",
    "Indicator",
    "MacdLines",
    "Trend",
    "adx",
    "aroon",
    "atr",
    "bollinger_bands",
    "cci",
    "crossed_above",
    "crossed_below",
    "dema",
    "di",
    "donchian",
    "ema",
    "ichimoku",
    "kama",
    "keltner",
    "macd",
    "make",
    "mfi",
    "mom",
    "names",
    "natr",
    "obv",
    "over",
    "returns",
    "roc",
    "rsi",
    "sar",
    "session_vwap",
    "sma",
    "stddev",
    "stoch",
    "stoch_fast",
    "stoch_rsi",
    "talib",
    "talib_names",
    "tema",
    "trix",
    "true_range",
    "volatility",
    "vwap",
    "williams_r",
    "wma",
    "zscore",
]
