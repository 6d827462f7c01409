"""`self.data` of a strategy: bars, prices, and the indicators at the newest bar.

    rsi = self.data.rsi(bar.symbol, 14)
    if rsi is not None and rsi < 30: ...

`timeframe` is one of the run's; where it is left out, the symbol's first. An indicator is computed over the window of
the bars that the strategy sees (the run's lookback) and is None until the window holds enough of them, or where it is
not defined: TA-Lib's value of that window. Nothing later than the input that the strategy handles is in any window.

For whole columns of them see `indicators`.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, TypeVar

import numpy as np
from numpy.typing import NDArray

from actors.market.indicators import Indicator
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
from actors.strategies.sdk import indicators
from actors.strategies.sdk.bars import Bar, Bars
from actors.strategies.sdk.indicators import KD, AroonLines, Bands, Cloud, Directions, MacdLines, Trend

if TYPE_CHECKING:
    from actors.strategies.sdk.session import Windows

V = TypeVar("V")


class Data:
    """The market as the strategy sees it at this input. An unknown symbol or timeframe raises KeyError."""

    def __init__(self, windows: Windows) -> None:
        self._windows = windows

    @property
    def symbols(self) -> tuple[str, ...]:
        """The symbols of the run, in its order."""
        return self._windows.symbols()

    def timeframes(self, symbol: str) -> tuple[str, ...]:
        """The timeframes of a symbol; the first is meant where none is said."""
        return self._windows.timeframes(symbol)

    def get_current_price(self, symbol: str) -> float | None:
        """What the symbol costs: the newest close, trade or middle of a quote. None: nothing has come yet."""
        return self._windows.price(symbol)

    def get_current_bar(self, symbol: str, timeframe: str | None = None) -> Bar | None:
        """The newest complete bar; None: there is none yet."""
        bars = self.get_bars(symbol, timeframe=timeframe)
        return bars.last if len(bars) else None

    def get_bars(self, symbol: str, count: int | None = None, timeframe: str | None = None) -> Bars:
        """The newest `count` bars, or all of the window; fewer where there are not so many."""
        if timeframe is None:
            timeframe = self._windows.timeframes(symbol)[0]
        bars = self._windows.bars(symbol, timeframe)
        return bars if count is None else bars.tail(count)

    def get_prices(
        self, symbol: str, count: int | None = None, timeframe: str | None = None, column: str = "close"
    ) -> NDArray[np.float64]:
        """A column of the newest `count` bars, the closes unless another is named."""
        return self.get_bars(symbol, count, timeframe)[column]

    def talib(
        self, name: str, symbol: str, timeframe: str | None = None, **parameters: float
    ) -> tuple[float, ...] | None:
        """The newest values of a function of TA-Lib that the core lacks, one for each of its outputs.

        None while it warms up. Raises ValueError for a name or a parameter that TA-Lib does not have, RuntimeError
        where TA-Lib is not installed.
        """
        bars = self.get_bars(symbol, timeframe=timeframe)
        newest = tuple(
            float(column[-1]) if len(column) else np.nan for column in indicators.talib(name, bars, **parameters)
        )
        return None if any(np.isnan(newest)) else newest

    def sma(self, symbol: str, period: int = 20, timeframe: str | None = None) -> float | None:
        """Simple moving average: the mean of the last `period` values."""
        return self._one(Sma(period), symbol, timeframe)

    def ema(self, symbol: str, period: int = 20, timeframe: str | None = None) -> float | None:
        """Exponential moving average, factor 2 / (period + 1), seeded with the mean of the first `period` values."""
        return self._one(Ema(period), symbol, timeframe)

    def wma(self, symbol: str, period: int = 20, timeframe: str | None = None) -> float | None:
        """Weighted moving average: the newest of `period` values weighs `period`, the oldest 1."""
        return self._one(Wma(period), symbol, timeframe)

    def dema(self, symbol: str, period: int = 20, timeframe: str | None = None) -> float | None:
        """Double exponential moving average: 2·EMA - EMA of EMA (Mulloy, 1994)."""
        return self._one(Dema(period), symbol, timeframe)

    def tema(self, symbol: str, period: int = 20, timeframe: str | None = None) -> float | None:
        """Triple exponential moving average: 3·EMA - 3·EMA of EMA + EMA of that (Mulloy, 1994)."""
        return self._one(Tema(period), symbol, timeframe)

    def kama(
        self, symbol: str, period: int = 30, fast: int = 2, slow: int = 30, timeframe: str | None = None
    ) -> float | None:
        """Kaufman's adaptive moving average, between EMAs of `fast` and `slow` by the efficiency of `period` values."""
        return self._one(Kama(period, fast, slow), symbol, timeframe)

    def macd(
        self, symbol: str, fast: int = 12, slow: int = 26, signal: int = 9, timeframe: str | None = None
    ) -> MacdLines[float] | None:
        """EMA(`fast`) - EMA(`slow`), its EMA(`signal`), and their difference, the histogram (Appel)."""
        found = self._all(Macd(fast, slow, signal), symbol, timeframe)
        return None if found is None else MacdLines(*found)

    def trix(self, symbol: str, period: int = 30, timeframe: str | None = None) -> float | None:
        """The change in percent of a triple EMA from one bar to the next."""
        return self._one(Trix(period), symbol, timeframe)

    def stddev(self, symbol: str, period: int = 20, sample: bool = False, timeframe: str | None = None) -> float | None:
        """Standard deviation of `period` values: of the population, or (`sample`) with n - 1."""
        return self._one(Stddev(period, sample), symbol, timeframe)

    def bollinger_bands(
        self, symbol: str, period: int = 20, up: float = 2.0, down: float = 2.0, timeframe: str | None = None
    ) -> Bands[float] | None:
        """The mean of `period` values, and `up` and `down` standard deviations (population) beside it."""
        found = self._all(BollingerBands(period, up, down), symbol, timeframe)
        return None if found is None else Bands(*found)

    def zscore(self, symbol: str, period: int = 20, timeframe: str | None = None) -> float | None:
        """Standard deviations (population) of the value above the mean of `period`; none where all are equal."""
        return self._one(Zscore(period), symbol, timeframe)

    def returns(
        self, symbol: str, period: int = 1, logarithmic: bool = False, timeframe: str | None = None
    ) -> float | None:
        """The change since `period` bars ago as a fraction, or the logarithm of the ratio."""
        return self._one(Returns(period, logarithmic), symbol, timeframe)

    def volatility(
        self, symbol: str, period: int = 20, periods_per_year: float = 1.0, timeframe: str | None = None
    ) -> float | None:
        """Sample standard deviation of `period` log returns, times the root of `periods_per_year` (Hull)."""
        return self._one(Volatility(period, periods_per_year), symbol, timeframe)

    def rsi(self, symbol: str, period: int = 14, timeframe: str | None = None) -> float | None:
        """Relative strength index, 0 to 100: Wilder's average gain in percent of average gain and loss (1978)."""
        return self._one(Rsi(period), symbol, timeframe)

    def stoch(
        self, symbol: str, k: int = 5, slow_k: int = 3, d: int = 3, timeframe: str | None = None
    ) -> KD[float] | None:
        """Slow stochastic: %K is the mean of `slow_k` fast ones over `k` bars, %D the mean of `d` of those (Lane)."""
        found = self._all(Stochastic(k, slow_k, d), symbol, timeframe)
        return None if found is None else KD(*found)

    def stoch_fast(self, symbol: str, k: int = 5, d: int = 3, timeframe: str | None = None) -> KD[float] | None:
        """Fast stochastic: %K is where the close is in the range of `k` bars, in percent; %D the mean of `d`."""
        found = self._all(StochasticFast(k, d), symbol, timeframe)
        return None if found is None else KD(*found)

    def stoch_rsi(
        self, symbol: str, period: int = 14, k: int = 5, d: int = 3, timeframe: str | None = None
    ) -> KD[float] | None:
        """The fast stochastic of the RSI (Chande and Kroll, 1994)."""
        found = self._all(StochasticRsi(period, k, d), symbol, timeframe)
        return None if found is None else KD(*found)

    def cci(self, symbol: str, period: int = 14, timeframe: str | None = None) -> float | None:
        """Commodity channel index: typical price less its mean, in 0.015 mean deviations (Lambert, 1980)."""
        return self._one(Cci(period), symbol, timeframe)

    def williams_r(self, symbol: str, period: int = 14, timeframe: str | None = None) -> float | None:
        """Williams %R: how far the close is below the highest high of `period` bars, 0 to -100."""
        return self._one(WilliamsR(period), symbol, timeframe)

    def mom(self, symbol: str, period: int = 10, timeframe: str | None = None) -> float | None:
        """The change since `period` bars ago."""
        return self._one(Momentum(period), symbol, timeframe)

    def roc(self, symbol: str, period: int = 10, timeframe: str | None = None) -> float | None:
        """The change since `period` bars ago in percent; none where that was 0."""
        return self._one(RateOfChange(period), symbol, timeframe)

    def aroon(self, symbol: str, period: int = 14, timeframe: str | None = None) -> AroonLines[float] | None:
        """How recent the lowest low and the highest high of `period` + 1 bars are: 100 now, 0 `period` ago (Chande)."""
        found = self._all(Aroon(period), symbol, timeframe)
        return None if found is None else AroonLines(*found)

    def true_range(self, symbol: str, timeframe: str | None = None) -> float | None:
        """The largest of high - low and the distances of both from the last close (Wilder, 1978)."""
        return self._one(TrueRange(), symbol, timeframe)

    def atr(self, symbol: str, period: int = 14, timeframe: str | None = None) -> float | None:
        """Average true range with Wilder's smoothing; the first is the mean of `period` true ranges."""
        return self._one(Atr(period), symbol, timeframe)

    def natr(self, symbol: str, period: int = 14, timeframe: str | None = None) -> float | None:
        """The average true range in percent of the close."""
        return self._one(Natr(period), symbol, timeframe)

    def di(self, symbol: str, period: int = 14, timeframe: str | None = None) -> Directions[float] | None:
        """+DI and -DI: upward and downward movement in percent of the true range (Wilder, 1978)."""
        found = self._all(DirectionalIndex(period), symbol, timeframe)
        return None if found is None else Directions(*found)

    def adx(self, symbol: str, period: int = 14, timeframe: str | None = None) -> Trend[float] | None:
        """Average directional index, with +DI and -DI (Wilder, 1978)."""
        found = self._all(Adx(period), symbol, timeframe)
        return None if found is None else Trend(*found)

    def donchian(self, symbol: str, period: int = 20, timeframe: str | None = None) -> Bands[float] | None:
        """The highest high and the lowest low of `period` bars, this one included, and their middle."""
        found = self._all(Donchian(period), symbol, timeframe)
        return None if found is None else Bands(*found)

    def keltner(
        self, symbol: str, period: int = 20, atr_period: int = 10, multiple: float = 2.0, timeframe: str | None = None
    ) -> Bands[float] | None:
        """EMA of the close and `multiple` average true ranges beside it (Keltner's channel in Raschke's form)."""
        found = self._all(Keltner(period, atr_period, multiple), symbol, timeframe)
        return None if found is None else Bands(*found)

    def ichimoku(
        self,
        symbol: str,
        conversion: int = 9,
        base: int = 26,
        span: int = 52,
        displacement: int = 26,
        timeframe: str | None = None,
    ) -> Cloud[float] | None:
        """Conversion and base line, the cloud over this bar and the one computed now (Hosoda, 1969)."""
        found = self._all(Ichimoku(conversion, base, span, displacement), symbol, timeframe)
        return None if found is None else Cloud(*found)

    def sar(self, symbol: str, step: float = 0.02, most: float = 0.2, timeframe: str | None = None) -> float | None:
        """Wilder's parabolic stop and reverse; the factor begins at `step` and grows by it up to `most` (1978)."""
        return self._one(ParabolicSar(step, most), symbol, timeframe)

    def obv(self, symbol: str, timeframe: str | None = None) -> float | None:
        """On-balance volume since the first bar: volumes signed by the close's direction (Granville)."""
        return self._one(Obv(), symbol, timeframe)

    def mfi(self, symbol: str, period: int = 14, timeframe: str | None = None) -> float | None:
        """Money flow index: the flow on bars whose typical price rose, in percent of all, over `period` bars."""
        return self._one(Mfi(period), symbol, timeframe)

    def vwap(self, symbol: str, period: int = 20, timeframe: str | None = None) -> float | None:
        """Volume-weighted mean of the typical price over `period` bars; none where nothing was traded."""
        return self._one(RollingVwap(period), symbol, timeframe)

    def session_vwap(self, symbol: str, timeframe: str | None = None) -> float | None:
        """Volume-weighted mean of the typical price since the UTC day began, as far as the window goes back."""
        bars = self.get_bars(symbol, timeframe=timeframe)
        return indicators.latest(SessionVwap(), indicators._with_session(bars, None))

    def _one(self, indicator: Indicator[float], symbol: str, timeframe: str | None) -> float | None:
        return indicators.latest(indicator, self.get_bars(symbol, timeframe=timeframe))

    def _all(self, indicator: Indicator[Any], symbol: str, timeframe: str | None) -> tuple[float, ...] | None:
        found: tuple[float, ...] | None = indicators.latest(indicator, self.get_bars(symbol, timeframe=timeframe))
        return found
