"""The SDK's indicator functions against TA-Lib: over columns, and at the newest bar of a window."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import talib
from hypothesis import given, settings
from hypothesis import strategies as st

from actors.market.indicators import INDICATORS, make
from actors.strategies.sdk import Bars, Data, indicators
from actors.strategies.sdk.indicators import FINITE, latest
from actors.strategies.sdk.talib_functions import OURS, prepare_talib
from tests.actors.strategies.sdk_kit import GivenWindows, random_bars, session_of

RTOL = 1e-9

Reference = Callable[[Bars], Any]


def _donchian(bars: Bars) -> Any:
    upper, lower = talib.MAX(bars.high, 20), talib.MIN(bars.low, 20)
    return upper, (upper + lower) / 2, lower


def _keltner(bars: Bars) -> Any:
    middle, span = talib.EMA(bars.close, 20), talib.ATR(bars.high, bars.low, bars.close, 10)
    return middle + 2 * span, middle, middle - 2 * span


def _adx(bars: Bars) -> Any:
    of = (bars.high, bars.low, bars.close, 14)
    return talib.ADX(*of), talib.PLUS_DI(*of), talib.MINUS_DI(*of)


def _zscore(bars: Bars) -> Any:
    windows = np.lib.stride_tricks.sliding_window_view(bars.close, 20)
    found = (windows[:, -1] - windows.mean(axis=1)) / windows.std(axis=1)
    return np.concatenate((np.full(19, np.nan), found))


def _volatility(bars: Bars) -> Any:
    changes = np.diff(np.log(bars.close))
    found = np.lib.stride_tricks.sliding_window_view(changes, 20).std(axis=1, ddof=1)
    return np.concatenate((np.full(20, np.nan), found))


def _vwap(bars: Bars) -> Any:
    flow = np.lib.stride_tricks.sliding_window_view((bars.high + bars.low + bars.close) / 3 * bars.volume, 20)
    volume = np.lib.stride_tricks.sliding_window_view(bars.volume, 20)
    return np.concatenate((np.full(19, np.nan), flow.sum(axis=1) / volume.sum(axis=1)))


def _session_vwap(bars: Bars) -> Any:
    found = np.full(len(bars), np.nan)
    days = bars.timestamp // indicators.DAY_NS
    flow, volume = (bars.high + bars.low + bars.close) / 3 * bars.volume, bars.volume
    for day in np.unique(days):
        rows = days == day
        found[rows] = np.cumsum(flow[rows]) / np.cumsum(volume[rows])
    return found


def _ichimoku(bars: Bars) -> Any:
    def middle(period: int) -> Any:
        return (talib.MAX(bars.high, period) + talib.MIN(bars.low, period)) / 2

    def then(line: Any) -> Any:
        return np.concatenate((np.full(26, np.nan), line[:-26]))

    ahead = (middle(9) + middle(26)) / 2
    return middle(9), middle(26), then(ahead), then(middle(52)), ahead, middle(52)


REFERENCES: dict[str, Reference] = {
    "sma": lambda bars: talib.SMA(bars.close, 20),
    "ema": lambda bars: talib.EMA(bars.close, 20),
    "wma": lambda bars: talib.WMA(bars.close, 20),
    "dema": lambda bars: talib.DEMA(bars.close, 20),
    "tema": lambda bars: talib.TEMA(bars.close, 20),
    "kama": lambda bars: talib.KAMA(bars.close, 30),
    "macd": lambda bars: talib.MACD(bars.close, 12, 26, 9),
    "trix": lambda bars: talib.TRIX(bars.close, 30),
    "stddev": lambda bars: talib.STDDEV(bars.close, 20),
    "bollinger_bands": lambda bars: talib.BBANDS(bars.close, 20, 2.0, 2.0),
    "zscore": _zscore,
    "returns": lambda bars: talib.ROCP(bars.close, 1),
    "volatility": _volatility,
    "rsi": lambda bars: talib.RSI(bars.close, 14),
    "stoch": lambda bars: talib.STOCH(bars.high, bars.low, bars.close, 5, 3, slowd_period=3),
    "stoch_fast": lambda bars: talib.STOCHF(bars.high, bars.low, bars.close, 5, 3),
    "stoch_rsi": lambda bars: talib.STOCHRSI(bars.close, 14, 5, 3),
    "cci": lambda bars: talib.CCI(bars.high, bars.low, bars.close, 14),
    "williams_r": lambda bars: talib.WILLR(bars.high, bars.low, bars.close, 14),
    "mom": lambda bars: talib.MOM(bars.close, 10),
    "roc": lambda bars: talib.ROC(bars.close, 10),
    "aroon": lambda bars: talib.AROON(bars.high, bars.low, 14),
    "true_range": lambda bars: talib.TRANGE(bars.high, bars.low, bars.close),
    "atr": lambda bars: talib.ATR(bars.high, bars.low, bars.close, 14),
    "natr": lambda bars: talib.NATR(bars.high, bars.low, bars.close, 14),
    "di": lambda bars: _adx(bars)[1:],
    "adx": _adx,
    "donchian": _donchian,
    "keltner": _keltner,
    "ichimoku": _ichimoku,
    "sar": lambda bars: talib.SAR(bars.high, bars.low, 0.02, 0.2),
    "obv": lambda bars: talib.OBV(bars.close, bars.volume),
    "mfi": lambda bars: talib.MFI(bars.high, bars.low, bars.close, bars.volume, 14),
    "vwap": _vwap,
    "session_vwap": _session_vwap,
}
"""Every function with its defaults. TA-Lib's, or numpy over windows where it has none."""

FEWER_DIGITS = {"stddev": 1e-7, "bollinger_bands": 1e-7, "stoch_rsi": 1e-6, "zscore": 1e-7, "volatility": 1e-7}
"""Where the reference subtracts nearly equal numbers."""


def columns_of(found: Any) -> list[Any]:
    return list(found) if isinstance(found, tuple) else [found]


def assert_same(ours: Any, theirs: Any, name: str, *, at_end: bool = False) -> None:
    ours, theirs = columns_of(ours), columns_of(theirs)
    assert len(ours) == len(theirs)
    for mine, reference in zip(ours, theirs, strict=True):
        scale = max(float(np.nanmax(np.abs(reference))), 1e-300)
        rtol = FEWER_DIGITS.get(name, RTOL)
        expected = reference[-1] if at_end else reference
        # Lines of one indicator begin together here; in TA-Lib some begin earlier.
        expected = expected if at_end else np.where(np.isnan(mine), np.nan, expected)
        np.testing.assert_allclose(mine, expected, rtol=rtol, atol=rtol * scale * 1e-2, err_msg=name)
        assert at_end or not np.isnan(mine).all()


def test_every_indicator_of_the_core_has_a_function_and_a_method_and_is_compared() -> None:
    names = {{"bollinger": "bollinger_bands"}.get(name, name) for name in INDICATORS}
    assert names == set(REFERENCES)
    assert names <= set(indicators.__all__)
    assert all(callable(getattr(Data, name)) and getattr(Data, name).__doc__ for name in names)
    assert all(getattr(indicators, name).__doc__ == getattr(Data, name).__doc__ for name in names - {"session_vwap"})


@pytest.mark.parametrize("name", REFERENCES)
@pytest.mark.parametrize("seed", [1, 2])
def test_a_function_over_columns_is_that_of_the_reference(name: str, seed: int) -> None:
    bars = random_bars(seed, 400, price=10.0 ** (2 * seed))
    assert_same(getattr(indicators, name)(bars), REFERENCES[name](bars), name)


@pytest.mark.parametrize("name", REFERENCES)
def test_a_value_of_the_data_is_the_references_value_of_the_window(name: str) -> None:
    bars = random_bars(3, 400)
    data = session_of(bars).data
    found = getattr(data, name)("ABC")
    assert found is not None
    assert_same(found, REFERENCES[name](bars.tail(200)), name, at_end=True)
    assert found == getattr(data, name)("ABC", timeframe="1m")


@pytest.mark.parametrize("name", REFERENCES)
def test_a_value_is_none_until_the_window_has_enough_bars_and_then_the_newest_of_the_column(name: str) -> None:
    bars = random_bars(4, 200)
    column = columns_of(getattr(indicators, name)(bars))
    first = int(np.flatnonzero(~np.isnan(column[-1]))[0])
    for count in (first, first + 1, first + 2):
        part = bars[:count]
        value = getattr(Data(GivenWindows(part)), name)("ABC")
        if count == first:
            assert value is None
        else:
            assert columns_of(value) == [float(each[-1]) for each in columns_of(getattr(indicators, name)(part))]
            assert all(type(each) is float for each in columns_of(value))


@settings(max_examples=25, deadline=None)
@given(st.integers(0, 10_000), st.integers(2, 30), st.integers(0, 60))
def test_indicators_that_end_with_their_window_need_no_bar_before_it(seed: int, period: int, more: int) -> None:
    for kind in FINITE:
        known = kind.parameters()
        chosen = {name: period for name in ("period", "k") if name in known}
        indicator = make(kind.NAME, **chosen)
        bars = random_bars(seed, indicator.warm_up + more)
        whole = make(kind.NAME, **chosen)
        value: Any = None
        for row in zip(*(bars[name].tolist() for name in kind.INPUTS), strict=True):
            value = whole.update(*row)
        assert latest(indicator, bars) == value, kind.NAME


def test_an_array_is_as_good_as_bars_and_a_stream_gives_the_same_values() -> None:
    bars = random_bars(5, 60)
    over_array = indicators.rsi(bars.close, 14)
    np.testing.assert_array_equal(over_array, indicators.rsi(bars))
    np.testing.assert_array_equal(over_array, indicators.rsi(bars.close.tolist()))
    stream = indicators.make("rsi", period=14)
    values = [stream.update(bar.close) for bar in bars]
    np.testing.assert_array_equal([np.nan if value is None else value for value in values], over_array)
    bands = indicators.bollinger_bands(bars, 20)
    assert (bands.upper[-1], bands.middle[-1]) == (bands[0][-1], bands[1][-1])
    np.testing.assert_array_equal(
        indicators.atr({"high": bars.high, "low": bars.low, "close": bars.close}), indicators.atr(bars)
    )


def test_bad_periods_missing_columns_and_missing_figures_are_refused_by_name() -> None:
    bars = random_bars(6, 60)
    with pytest.raises(ValueError, match="period: expected a whole number from 2"):
        indicators.rsi(bars, 1)
    with pytest.raises(ValueError, match="atr: needs the column high"):
        indicators.atr({"close": bars.close})
    bars.volume[-1] = np.nan
    with pytest.raises(ValueError, match="mfi: expected finite numbers, and the column volume has others"):
        session_of(bars).data.mfi("ABC")
    with pytest.raises(ValueError, match="mfi: expected finite numbers"):
        indicators.mfi(bars)


def test_a_crossing_is_told_at_the_newest_bar_alone() -> None:
    assert indicators.crossed_above([1, 3], [2, 2])
    assert indicators.crossed_above([2, 3], 2)
    assert not indicators.crossed_above([3, 4], [2, 2])
    assert not indicators.crossed_above([np.nan, 3], [2, 2])
    assert indicators.crossed_below([3, 1], [2, 2])
    assert not indicators.crossed_below([1, 3], [2, 2])
    with pytest.raises(ValueError, match="first: expected at least two values"):
        indicators.crossed_above([1], [2])


def test_what_ta_lib_has_beyond_the_core_is_there_once_it_is_prepared() -> None:
    assert prepare_talib()
    bars = random_bars(7, 300)
    (line,) = indicators.talib("LINEARREG", bars, timeperiod=10)
    np.testing.assert_array_equal(line, talib.LINEARREG(bars.close, 10))
    (correlation,) = indicators.talib("CORREL", bars)
    np.testing.assert_array_equal(correlation, talib.CORREL(bars.high, bars.low, 30))
    (doji,) = indicators.talib("CDLDOJI", bars)
    reference = talib.CDLDOJI(bars.open, bars.high, bars.low, bars.close)
    np.testing.assert_array_equal(doji[10:], reference[10:])
    assert np.isnan(doji[:10]).all()
    assert not np.isnan(doji[10:]).any()
    sine, lead = indicators.talib("HT_SINE", bars)
    (newest,) = session_of(bars).data.talib("LINEARREG", "ABC", timeperiod=10) or ()
    assert newest == talib.LINEARREG(bars.close[-200:], 10)[-1]
    assert len(sine) == len(lead) == 300
    assert len(indicators.talib_names()) > 90
    assert not set(OURS) & set(indicators.talib_names())


def test_every_function_of_ta_lib_that_is_offered_answers_with_columns_of_the_bars_length() -> None:
    assert prepare_talib()
    bars = random_bars(8, 200)
    for name in indicators.talib_names():
        assert all(column.shape == (200,) and column.dtype == np.float64 for column in indicators.talib(name, bars))


def test_a_name_or_a_parameter_that_ta_lib_does_not_have_is_refused() -> None:
    assert prepare_talib()
    bars = random_bars(7, 50)
    with pytest.raises(ValueError, match="name: expected a function that indicators lacks, got 'RSI': see rsi"):
        indicators.talib("RSI", bars)
    with pytest.raises(ValueError, match="name: expected a function of TA-Lib such as 'LINEARREG', got 'NO'"):
        indicators.talib("NO", bars)
    with pytest.raises(ValueError, match="period: LINEARREG has the parameters timeperiod"):
        indicators.talib("LINEARREG", bars, period=3)
    with pytest.raises(ValueError, match=r"^LINEARREG\(timeperiod=-5\): .*TA_BAD_PARAM"):
        indicators.talib("LINEARREG", bars, timeperiod=-5)
