"""The indicators against TA-Lib and other references, and what holds for all of them."""

from __future__ import annotations

import csv
import gzip
from collections.abc import Callable
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import pytest
import talib
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from actors.market.indicators import INDICATORS, compute, make, over

Columns = dict[str, NDArray[np.float64]]
TalibCall = Callable[[Columns, dict[str, Any]], Any]

RTOL = 1e-9


def h_l_c(function: Callable[..., Any], **names: str) -> TalibCall:
    def call(bars: Columns, given_: dict[str, Any]) -> Any:
        return function(bars["high"], bars["low"], bars["close"], **{names[key]: each for key, each in given_.items()})

    return call


def h_l(function: Callable[..., Any], **names: str) -> TalibCall:
    def call(bars: Columns, given_: dict[str, Any]) -> Any:
        return function(bars["high"], bars["low"], **{names[key]: each for key, each in given_.items()})

    return call


def close(function: Callable[..., Any], **names: str) -> TalibCall:
    def call(bars: Columns, given_: dict[str, Any]) -> Any:
        return function(bars["close"], **{names[key]: each for key, each in given_.items()})

    return call


def directional(bars: Columns, parameters: dict[str, Any]) -> Any:
    high, low, last = bars["high"], bars["low"], bars["close"]
    period = parameters["period"]
    return talib.PLUS_DI(high, low, last, period), talib.MINUS_DI(high, low, last, period)


def adx(bars: Columns, parameters: dict[str, Any]) -> Any:
    high, low, last = bars["high"], bars["low"], bars["close"]
    index = talib.ADX(high, low, last, parameters["period"])
    # +DI and -DI begin earlier there; here all three begin together.
    return index, *(np.where(np.isnan(index), np.nan, each) for each in directional(bars, parameters))


def donchian(bars: Columns, parameters: dict[str, Any]) -> Any:
    upper = talib.MAX(bars["high"], parameters["period"])
    lower = talib.MIN(bars["low"], parameters["period"])
    return upper, (upper + lower) / 2, lower


def keltner(bars: Columns, parameters: dict[str, Any]) -> Any:
    middle = talib.EMA(bars["close"], parameters["period"])
    span = talib.ATR(bars["high"], bars["low"], bars["close"], parameters["atr_period"])
    middle = np.where(np.isnan(span), np.nan, middle)
    return middle + parameters["multiple"] * span, middle, middle - parameters["multiple"] * span


PERIOD = {"period": "timeperiod"}
TALIB: list[tuple[str, dict[str, Any], TalibCall]] = [
    ("sma", {"period": 14}, close(talib.SMA, **PERIOD)),
    ("sma", {"period": 200}, close(talib.SMA, **PERIOD)),
    ("ema", {"period": 14}, close(talib.EMA, **PERIOD)),
    ("wma", {"period": 14}, close(talib.WMA, **PERIOD)),
    ("dema", {"period": 14}, close(talib.DEMA, **PERIOD)),
    ("tema", {"period": 14}, close(talib.TEMA, **PERIOD)),
    ("kama", {"period": 10}, close(talib.KAMA, **PERIOD)),
    ("macd", {"fast": 12, "slow": 26, "signal": 9},
     close(talib.MACD, fast="fastperiod", slow="slowperiod", signal="signalperiod")),
    ("macd", {"fast": 3, "slow": 20, "signal": 5},
     close(talib.MACD, fast="fastperiod", slow="slowperiod", signal="signalperiod")),
    ("trix", {"period": 12}, close(talib.TRIX, **PERIOD)),
    ("rsi", {"period": 14}, close(talib.RSI, **PERIOD)),
    ("rsi", {"period": 2}, close(talib.RSI, **PERIOD)),
    ("mom", {"period": 10}, close(talib.MOM, **PERIOD)),
    ("roc", {"period": 10}, close(talib.ROC, **PERIOD)),
    ("stoch", {"k": 14, "slow_k": 3, "d": 3},
     h_l_c(talib.STOCH, k="fastk_period", slow_k="slowk_period", d="slowd_period")),
    ("stoch_fast", {"k": 5, "d": 3}, h_l_c(talib.STOCHF, k="fastk_period", d="fastd_period")),
    ("cci", {"period": 14}, h_l_c(talib.CCI, **PERIOD)),
    ("williams_r", {"period": 14}, h_l_c(talib.WILLR, **PERIOD)),
    ("true_range", {}, h_l_c(talib.TRANGE)),
    ("atr", {"period": 14}, h_l_c(talib.ATR, **PERIOD)),
    ("natr", {"period": 14}, h_l_c(talib.NATR, **PERIOD)),
    ("di", {"period": 14}, directional),
    ("adx", {"period": 14}, adx),
    ("adx", {"period": 5}, adx),
    ("aroon", {"period": 14}, h_l(talib.AROON, **PERIOD)),
    ("sar", {}, h_l(talib.SAR)),
    ("sar", {"step": 0.05, "most": 0.3}, h_l(talib.SAR, step="acceleration", most="maximum")),
    ("donchian", {"period": 20}, donchian),
    ("keltner", {"period": 20, "atr_period": 10, "multiple": 2.0}, keltner),
    ("keltner", {"period": 5, "atr_period": 10, "multiple": 1.5}, keltner),
    ("obv", {}, lambda bars, _: talib.OBV(bars["close"], bars["volume"])),
    ("mfi", {"period": 14}, lambda bars, given_: talib.MFI(
        bars["high"], bars["low"], bars["close"], bars["volume"], given_["period"])),
]  # fmt: skip
"""What TA-Lib computes without losing digits. Those that divide by tiny differences stand below."""


def random_walk(seed: int, bars: int = 800, price: float = 100.0) -> Columns:
    random = np.random.default_rng(seed)
    closes = price * np.exp(np.cumsum(random.normal(0, 0.01, bars)))
    opens = np.concatenate(([price], closes[:-1]))
    high = np.maximum(opens, closes) * (1 + np.abs(random.normal(0, 0.004, bars)))
    low = np.minimum(opens, closes) * (1 - np.abs(random.normal(0, 0.004, bars)))
    return {"high": high, "low": low, "close": closes, "volume": random.integers(1, 10_000, bars).astype(float)}


def ticks(seed: int, bars: int = 800) -> Columns:
    """Prices in whole cents with many ties, as in a prediction market; quarters keep every sum exact."""
    random = np.random.default_rng(seed)
    closes = np.clip(50 + np.cumsum(random.integers(-1, 2, bars)) / 4, 1, 99)
    return {
        "high": closes + random.integers(0, 3, bars) / 4,
        "low": closes - random.integers(0, 3, bars) / 4,
        "close": closes,
        "volume": random.integers(1, 50, bars).astype(float),
    }


def constant(bars: int = 300) -> Columns:
    return {name: np.full(bars, 64.0) for name in ("high", "low", "close", "volume")}


def recorded(path: Path, names: dict[str, str], rows: int = 1500) -> Columns:
    found: dict[str, list[float]] = {name: [] for name in names}
    with gzip.open(path, "rt") as file:
        for row, _ in zip(csv.DictReader(file), range(rows), strict=False):
            for name, column in names.items():
                found[name].append(float(row[column]))
    return {name: np.array(values) for name, values in found.items()}


def columns_of(found: Any) -> list[NDArray[np.float64]]:
    return list(found) if isinstance(found, tuple | list) else [found]


def assert_same(name: str, bars: Columns, parameters: dict[str, Any], call: TalibCall) -> None:
    ours = compute(name, bars, **parameters)
    theirs = columns_of(call(bars, parameters))
    assert len(ours) == len(theirs)
    for (output, values), expected in zip(ours.items(), theirs, strict=True):
        # Differences of averages come near 0: relative is to the size of what they are made of.
        scale = max(float(np.nanmax(np.abs(expected))), 1e-300)
        np.testing.assert_allclose(values, expected, rtol=RTOL, atol=RTOL * scale * 1e-3, err_msg=f"{name}.{output}")
        first = int(np.flatnonzero(~np.isnan(values))[0]) + 1
        assert first == make(name, **parameters).warm_up, f"{name} says a warm-up that it does not have"


CASES = [pytest.param(*each, id=f"{each[0]}-{'-'.join(map(str, each[1].values()))}") for each in TALIB]


@pytest.mark.parametrize(("name", "parameters", "call"), CASES)
def test_an_indicator_is_that_of_ta_lib_on_random_walks(name: str, parameters: dict[str, Any], call: TalibCall) -> None:
    for seed in range(3):
        assert_same(name, random_walk(seed, price=10.0 ** (2 * seed)), parameters, call)


@pytest.mark.parametrize(("name", "parameters", "call"), CASES)
def test_an_indicator_is_that_of_ta_lib_on_prices_with_many_ties(
    name: str, parameters: dict[str, Any], call: TalibCall
) -> None:
    assert_same(name, ticks(1), parameters, call)
    assert_same(name, ticks(2), parameters, call)


@pytest.mark.parametrize(("name", "parameters", "call"), CASES)
def test_an_indicator_is_that_of_ta_lib_on_constant_prices(
    name: str, parameters: dict[str, Any], call: TalibCall
) -> None:
    assert_same(name, constant(), parameters, call)


@pytest.mark.recordings
@pytest.mark.parametrize(("name", "parameters", "call"), CASES)
def test_an_indicator_is_that_of_ta_lib_on_recorded_bars(
    name: str, parameters: dict[str, Any], call: TalibCall, recordings: Path
) -> None:
    with gzip.open(recordings / "bars-btcperp-1m-202201.csv.gz", "rt") as file:
        header = next(csv.reader(file))
    names = {each: next(column for column in header if column.lower() == each) for each in constant()}
    assert_same(name, recorded(recordings / "bars-btcperp-1m-202201.csv.gz", names), parameters, call)
    with gzip.open(recordings / "bars-spy-1h-1998-2021.csv.gz", "rt") as file:
        header = next(csv.reader(file))
    names = {each: next(column for column in header if column.lower() == each) for each in constant()}
    assert_same(name, recorded(recordings / "bars-spy-1h-1998-2021.csv.gz", names), parameters, call)


@pytest.mark.parametrize("bars", [random_walk(4), ticks(4), constant()], ids=["walk", "ticks", "constant"])
def test_deviations_are_those_of_ta_lib_as_far_as_it_has_digits(bars: Columns) -> None:
    # TA-Lib takes the difference of two large numbers (mean of squares, square of mean): a few of its digits are lost.
    lost = float(np.max(bars["close"])) ** 2 * 1e-14
    ours = compute("stddev", bars, period=20)["value"]
    theirs = talib.STDDEV(bars["close"], 20)
    np.testing.assert_allclose(ours**2, theirs**2, rtol=RTOL, atol=lost)
    bands = compute("bollinger", bars, period=20, up=2.0, down=1.0)
    upper, middle, lower = talib.BBANDS(bars["close"], 20, 2.0, 1.0)
    np.testing.assert_allclose(bands["middle"], middle, rtol=RTOL)
    np.testing.assert_allclose((bands["upper"] - middle) ** 2, (upper - middle) ** 2, rtol=1e-8, atol=4 * lost)
    np.testing.assert_allclose((bands["lower"] - middle) ** 2, (lower - middle) ** 2, rtol=1e-8, atol=lost)


def test_deviations_and_z_scores_are_numpys_to_the_last_digits() -> None:
    closes = random_walk(5, 400)["close"]
    windows = np.lib.stride_tricks.sliding_window_view(closes.astype(np.longdouble), 20)
    deviations = compute("stddev", {"close": closes}, period=20)["value"][19:]
    np.testing.assert_allclose(deviations, windows.std(axis=1).astype(float), rtol=1e-12)
    sample = compute("stddev", {"close": closes}, period=20, sample=True)["value"][19:]
    np.testing.assert_allclose(sample, windows.std(axis=1, ddof=1).astype(float), rtol=1e-12)
    scores = (windows[:, -1] - windows.mean(axis=1)) / windows.std(axis=1)
    np.testing.assert_allclose(
        compute("zscore", {"close": closes}, period=20)["value"][19:], scores.astype(float), rtol=RTOL
    )
    changes = np.diff(np.log(closes))
    spread = np.lib.stride_tricks.sliding_window_view(changes, 30).std(axis=1, ddof=1) * np.sqrt(365.0)
    found = compute("volatility", {"close": closes}, period=30, periods_per_year=365.0)["value"]
    np.testing.assert_allclose(found[30:], spread, rtol=RTOL)
    np.testing.assert_allclose(
        compute("returns", {"close": closes})["value"][1:], closes[1:] / closes[:-1] - 1, rtol=1e-8
    )


def test_the_stochastic_of_the_rsi_is_that_of_ta_lib() -> None:
    # Near a range of 0 both are noise; a range that is a fair part of the RSI's is compared.
    for bars in (random_walk(6), random_walk(7, price=1e4)):
        ours = compute("stoch_rsi", bars, period=14, k=5, d=3)
        k, d = talib.STOCHRSI(bars["close"], 14, 5, 3)
        np.testing.assert_allclose(ours["k"], k, rtol=1e-7, atol=1e-7)
        np.testing.assert_allclose(ours["d"], d, rtol=1e-7, atol=1e-7)


def test_vwap_is_the_sum_of_flows_over_the_sum_of_volumes() -> None:
    bars = random_walk(8, 300)
    typical = (bars["high"] + bars["low"] + bars["close"]) / 3
    flows = np.lib.stride_tricks.sliding_window_view(typical * bars["volume"], 20).sum(axis=1)
    volumes = np.lib.stride_tricks.sliding_window_view(bars["volume"], 20).sum(axis=1)
    np.testing.assert_allclose(compute("vwap", bars, period=20)["value"][19:], flows / volumes, rtol=RTOL)
    session = np.repeat([1.0, 2.0, 3.0], 100)
    found = compute("session_vwap", {**bars, "session": session})["value"]
    for start in (0, 100, 200):
        part = slice(start, start + 100)
        expected = np.cumsum((typical * bars["volume"])[part]) / np.cumsum(bars["volume"][part])
        np.testing.assert_allclose(found[part], expected, rtol=RTOL)


def test_without_any_volume_a_vwap_is_missing_and_not_zero() -> None:
    rolling, session = make("vwap", period=2), make("session_vwap")
    assert [rolling.update(3, 1, 2, volume) for volume in (0, 0, 5)] == [None, None, 2.0]
    assert [session.update(3, 1, 2, volume, 1) for volume in (0, 5)] == [None, 2.0]
    assert session.update(3, 1, 2, 0, 2) is None


def test_the_cloud_over_a_bar_is_the_one_that_was_ahead_of_an_earlier_one() -> None:
    bars = random_walk(9, 300)
    found = compute("ichimoku", bars)
    middle = {n: (talib.MAX(bars["high"], n) + talib.MIN(bars["low"], n)) / 2 for n in (9, 26, 52)}
    np.testing.assert_allclose(found["conversion"][77:], middle[9][77:], rtol=RTOL)
    np.testing.assert_allclose(found["base"][77:], middle[26][77:], rtol=RTOL)
    np.testing.assert_allclose(found["ahead_b"][77:], middle[52][77:], rtol=RTOL)
    np.testing.assert_allclose(found["span_a"][77:], ((middle[9] + middle[26]) / 2)[51:-26], rtol=RTOL)
    np.testing.assert_allclose(found["span_b"][77:], middle[52][51:-26], rtol=RTOL)
    assert np.isnan(found["span_a"][:77]).all()


def test_what_is_not_defined_is_missing() -> None:
    assert make("zscore", period=2).update(1) is None
    flat = make("zscore", period=2)
    assert [flat.update(0.1), flat.update(0.1), flat.update(0.2)] == [None, None, pytest.approx(1.0)]
    rate = make("roc", period=1)
    assert [rate.update(value) for value in (0, 1, 2)] == [None, None, 100.0]
    change = make("returns", logarithmic=True)
    assert [change.update(value) for value in (1, -1, 1)] == [None, None, None]


def test_a_window_of_one_price_deviates_by_exactly_nothing() -> None:
    found = compute("bollinger", {"close": np.full(50, 0.1)}, period=20)
    np.testing.assert_allclose(found["upper"][19:], found["lower"][19:], rtol=0, atol=0)
    assert set(compute("cci", {name: np.full(50, 0.1) for name in ("high", "low", "close")})["value"][13:]) == {0.0}


def values_of(name: str, bars: list[tuple[float, float, float, float]]) -> list[tuple[float, ...]]:
    rows = [
        dict(zip(("high", "low", "close", "volume"), bar, strict=True)) | {"session": i // 7}
        for i, bar in enumerate(bars)
    ]
    return [tuple(row[each] for each in INDICATORS[name].INPUTS) for row in rows]


bar_lists = st.lists(
    st.tuples(
        st.integers(100, 300), st.integers(0, 80), st.integers(0, 80), st.integers(0, 1000)
    ).map(lambda bar: (float(bar[0] + bar[1]), float(bar[0] - bar[2]), float(bar[0]), float(bar[3]))),
    min_size=90, max_size=130,
)  # fmt: skip


@settings(max_examples=6, deadline=None)
@given(bars=bar_lists, cut=st.integers(0, 89))
@pytest.mark.parametrize("name", sorted(INDICATORS))
def test_an_indicator_that_was_saved_and_restored_goes_on_with_the_same_values(
    name: str, bars: list[tuple[float, float, float, float]], cut: int
) -> None:
    rows = values_of(name, bars)
    whole = make(name)
    expected = [whole.update(*row) for row in rows]
    first = make(name)
    begun = [first.update(*row) for row in rows[:cut]]
    for encoder, decoder in (
        (msgspec.json.encode, msgspec.json.decode),
        (msgspec.msgpack.encode, msgspec.msgpack.decode),
    ):
        second = make(name)
        second.restore(tuple(decoder(encoder(first.save()))))
        assert begun + [second.update(*row) for row in rows[cut:]] == expected
        assert second.save() == whole.save()


@pytest.mark.parametrize("name", sorted(INDICATORS))
def test_the_first_value_comes_with_the_last_bar_of_the_warm_up(name: str) -> None:
    bars = random_walk(10, 300)
    indicator = make(name)
    found = over(indicator, *(bars.get(each, np.zeros(300)) for each in indicator.INPUTS))
    assert tuple(found) == indicator.OUTPUTS
    for values in found.values():
        assert np.isnan(values[: indicator.warm_up - 1]).all()
        assert not np.isnan(values[indicator.warm_up - 1 :]).any()


def test_an_array_goes_on_where_the_bars_before_it_ended() -> None:
    closes = random_walk(11, 200)["close"]
    whole = compute("rsi", {"close": closes})["value"]
    rsi = make("rsi")
    begun, rest = over(rsi, closes[:90])["value"], over(rsi, closes[90:])["value"]
    np.testing.assert_array_equal(np.concatenate((begun, rest)), whole)


def test_a_number_that_is_none_is_refused_and_changes_nothing() -> None:
    ema = make("ema", period=3)
    for value in (1.0, 2.0, 3.0):
        ema.update(value)
    before = ema.save()
    for value in (float("nan"), float("inf")):
        with pytest.raises(ValueError, match="finite"):
            ema.update(value)
    assert ema.save() == before


@pytest.mark.parametrize(
    ("name", "parameters", "said"),
    [
        ("nothing", {}, "indicator"),
        ("sma", {"length": 3}, "length"),
        ("sma", {"period": 0}, "period"),
        ("sma", {"period": 1.5}, "period"),
        ("sma", {"period": True}, "period"),
        ("macd", {"fast": 26, "slow": 12}, "fast"),
        ("bollinger", {"up": float("nan")}, "up"),
        ("keltner", {"multiple": -1}, "multiple"),
    ],
)
def test_a_parameter_that_is_wrong_is_named(name: str, parameters: dict[str, Any], said: str) -> None:
    with pytest.raises(ValueError, match=f"^{said}:"):
        make(name, **parameters)


def test_a_state_of_another_indicator_or_of_other_parameters_is_refused() -> None:
    with pytest.raises(ValueError, match="not a state"):
        make("sma").restore(make("ema").save())
    with pytest.raises(ValueError, match="period is 20, and 5 in the state"):
        make("sma").restore(make("sma", period=5).save())


def test_arrays_that_do_not_fit_are_refused() -> None:
    with pytest.raises(ValueError, match="one length"):
        over(make("obv"), [1.0, 2.0], [1.0])
    with pytest.raises(ValueError, match="expected close, volume"):
        over(make("obv"), [1.0])
    with pytest.raises(ValueError, match="needs the column volume"):
        compute("obv", {"close": [1.0]})
