"""What a request says, as features."""

from __future__ import annotations

import math
from datetime import UTC, datetime
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from actors.decisions.features.aggregate import BALANCES, KEYS
from actors.decisions.features.arrays import over
from actors.decisions.features.candles import MOST_CANDLES
from actors.decisions.features.checking import FeatureError
from actors.decisions.features.market import EXTERNAL, MarketFeatures
from actors.decisions.features.names import FEATURE_SETS, MARKET_29
from actors.decisions.features.request import RequestFeatures, from_aggregate, from_request
from actors.decisions.features.table import FEATURES
from protocols.decisions import Proposal
from tests.actors.decisions.features.kit import HOUR, START, MadeBar, walk

NAMES = FEATURE_SETS[MARKET_29]
IN_PRICE = ("macd", "atr")
NOW = START + 1000 * HOUR


def known(found: RequestFeatures) -> dict[str, float]:
    pairs = zip(NAMES, found.observation.values, strict=True)
    return {name: value for name, value in pairs if not math.isnan(value)}


def candle(bar: MadeBar, **more: object) -> dict[str, object]:
    fields = {name: getattr(bar, name) for name in ("open", "high", "low", "close", "volume")}
    return {**fields, "timestamp": bar.ts_end - HOUR, **more}


def test_what_was_not_sent_is_missing_and_not_a_default() -> None:
    found = from_request({}, None, NOW)
    assert known(found) == {}
    assert found.observation.feature_set == MARKET_29
    assert found.observation.ts_event == 0
    assert found.proposal == Proposal()
    assert found.regimes_input == ()
    assert found.unknown == ()


def test_null_is_a_field_that_was_not_sent() -> None:
    nothing = dict.fromkeys((*NAMES, "confidence", "action", "price", "volume"), None)
    around = dict.fromkeys(("price", "candles", "onchain", "smartMoney"), None)
    found = from_request(nothing, around, NOW)
    assert known(found) == {}
    assert found.proposal == Proposal()


def test_the_fields_of_a_signal_become_features_and_a_proposal() -> None:
    found = from_request(
        {
            "confidence": 0.8, "rsi": 30, "change_percent": 10, "volume": 5e6, "macd": 0.03, "sma_ratio": 1.01,
            "bollinger_position": 1.0, "atr": 1, "action": "buy", "price": 100,
        },
        None,
        NOW,
        ("demo",),
    )  # fmt: skip
    whole = math.log(10001)
    assert known(found) == {
        "rsi": pytest.approx(-0.4),
        "change_percent": pytest.approx(math.tanh(1.0)),
        "macd": pytest.approx(math.log(4) / whole),
        "atr": pytest.approx(math.log(101) / whole),
        "sma_ratio": pytest.approx(math.log(101) / whole),
        "bollinger_position": 0.5,
    }
    assert found.proposal == Proposal(
        action="BUY", confidence=0.8, rsi=30.0, change_percent=10.0, volume=5e6, macd=0.03
    )
    assert found.observation.marks == ("demo",)


def test_figures_in_units_of_the_price_are_missing_without_one() -> None:
    assert known(from_request({"macd": 0.5, "atr": 2.0}, None, NOW)) == {}
    assert set(known(from_request({"macd": 0.5, "atr": 2.0}, {"price": 50}, NOW))) == {"macd", "atr"}
    assert set(known(from_request({"macd": 0.5, "atr": 2.0}, {"closes": [50]}, NOW))) == {"macd", "atr"}


def test_the_signals_own_price_counts_before_the_markets() -> None:
    one = from_request({"atr": 2.0, "price": 100}, {"price": 50}, NOW)
    assert known(one)["atr"] == pytest.approx(math.log(201) / math.log(10001))


@pytest.mark.parametrize("name", [name for name in NAMES if name not in IN_PRICE])
def test_each_of_the_29_can_be_given_raw_and_sets_that_one_alone(name: str) -> None:
    found = from_request({name: 0.5}, None, NOW)
    assert known(found) == {name: FEATURES[name].scaled(0.5)}


@settings(max_examples=60)
@given(st.sets(st.sampled_from([name for name in NAMES if name not in IN_PRICE])), st.floats(0.01, 1.0))
def test_no_feature_comes_of_nothing(sent: set[str], value: float) -> None:
    found = from_request(dict.fromkeys(sent, value), {}, NOW)
    assert set(known(found)) == sent


def test_the_same_candles_give_the_same_features_as_a_stream_of_bars_and_as_arrays() -> None:
    bars = walk(60)
    features = MarketFeatures()
    for bar in bars:
        features.bar(*bar)
    found = from_request({}, {"candles": [candle(bar) for bar in bars]}, NOW)
    streamed = features.observation(bars[-1].ts_end)
    table = over(*(np.array(column) for column in zip(*bars, strict=True)))
    assert np.array_equal(found.observation.values, streamed.values, equal_nan=True)
    assert np.array_equal(found.observation.values, table[-1], equal_nan=True)
    assert found.observation.ts_event == bars[-1].ts_end
    assert set(known(found)) == set(NAMES) - EXTERNAL
    closes = np.array([bar.close for bar in bars])
    assert found.regimes_input == pytest.approx(np.diff(np.log(closes)).tolist())


def test_an_array_of_bars_gives_each_row_what_the_stream_gives_then() -> None:
    bars = walk(50)
    bars[30] = bars[30]._replace(volume=None)
    columns = [np.array(column, dtype=float) for column in list(zip(*bars, strict=True))[:5]]
    table = over(*columns, np.array([bar.ts_end for bar in bars]))
    features = MarketFeatures()
    for bar, row in zip(bars, table, strict=True):
        features.bar(*bar)
        assert np.array_equal(row, features.observation(bar.ts_end).values, equal_nan=True)
    with pytest.raises(FeatureError, match=r"^ts_end: expected integers of nanoseconds, got 'float64'$"):
        over(*columns, np.array([float(bar.ts_end) for bar in bars]))


@pytest.mark.parametrize("unit", [1, 1_000, 1_000_000, 1_000_000_000, "text"])
def test_timestamps_may_be_numbers_of_any_unit_or_text(unit: int | str) -> None:
    bars = walk(40)
    rows = []
    for bar in bars:
        start = bar.ts_end - HOUR
        told = datetime.fromtimestamp(start // 10**9, UTC).isoformat() if isinstance(unit, str) else start // unit
        rows.append(candle(bar, timestamp=told))
    found = from_request({}, {"data": rows}, NOW)
    assert found.observation.ts_event == bars[-1].ts_end
    assert "change_percent" in known(found)


def test_candles_without_timestamps_say_nothing_of_a_day_and_have_no_event_time() -> None:
    rows = [candle(bar, timestamp=None) for bar in walk(60)]
    found = from_request({}, {"bars": rows}, NOW)
    assert set(known(found)) == set(NAMES) - EXTERNAL - {"change_percent"}
    assert found.observation.ts_event == 0
    assert from_request({"timestamp": START // 10**9}, {"bars": rows}, NOW).observation.ts_event == START


def test_a_candle_that_is_not_complete_is_left_out() -> None:
    bars = walk(60)
    rows = [candle(bar) for bar in bars]
    now = bars[-1].ts_end - 1
    cut = from_request({}, {"candles": rows}, now)
    assert cut == from_request({}, {"candles": rows[:-1]}, now)
    assert cut != from_request({}, {"candles": rows}, now + 1)


def test_closes_alone_say_nothing_of_ranges_and_volumes() -> None:
    bars = walk(60)
    found = from_request({}, {"prices": [bar.close for bar in bars]}, NOW)
    absent = {"atr", "adx", "volume_ratio", "change_percent"}
    assert set(known(found)) == set(NAMES) - EXTERNAL - absent
    whole = known(from_request({}, {"candles": [candle(bar) for bar in bars]}, NOW))
    assert known(found) == {name: value for name, value in whole.items() if name not in absent}


def test_what_the_signal_says_counts_before_what_can_be_computed() -> None:
    rows = [candle(bar) for bar in walk(60)]
    found = from_request({"rsi": 75}, {"candles": rows, "funding": {"rate": 0.001}}, NOW)
    assert known(found)["rsi"] == 0.5
    assert known(found)["funding_rate"] == pytest.approx(math.tanh(1.0))
    assert found.proposal.rsi == 75.0
    assert from_request({}, {"candles": rows}, NOW).proposal.rsi is None


def test_keys_that_mean_nothing_here_are_told() -> None:
    found = from_request({"rsi": 50, "mood": 1}, {"price": 5, "weather": {}, "smartMoney": {}}, NOW)
    assert found.unknown == ("signal_data.mood", "market_data.weather")


def test_what_is_made_of_synthetic_data_is_marked_so() -> None:
    rows = [candle(bar, synthetic=True, marks=["synthetic"]) for bar in walk(3)]
    assert from_request({}, {"candles": rows}, NOW).observation.marks == ("synthetic",)
    block = {"BTC": {"status": "available", "rate": 0.0001, "origin": {"marks": ["demo"], "age_ms": 5}}}
    assert from_request({}, {"funding": block}, NOW, (), "BTC").observation.marks == ("demo",)


BAD: list[tuple[dict[str, Any], dict[str, Any] | None, str]] = [
    ({"rsi": 140}, None, "signal_data.rsi: expected a number from 0 to 100, got 140"),
    ({"rsi": "50"}, None, "signal_data.rsi: expected a number from 0 to 100, got '50'"),
    ({"rsi": math.nan}, None, "signal_data.rsi: expected a number from 0 to 100, got nan"),
    ({"rsi": True}, None, "signal_data.rsi: expected a number from 0 to 100, got True"),
    ({"confidence": 1.5}, None, "signal_data.confidence: expected a number from 0 to 1, got 1.5"),
    ({"volume": -1}, None, "signal_data.volume: expected a number of at least 0, got -1.0"),
    ({"macd": math.inf}, None, "signal_data.macd: expected a number from -1e+15 to 1e+15, got inf"),
    ({"atr": -2}, {"price": 5}, "signal_data.atr: expected a number from 0 to 1e+15, got -2"),
    ({"price": 0}, None, "signal_data.price: expected a number above 0, got 0"),
    ({"change_percent": -101}, None, "signal_data.change_percent: expected a number from -100 to 1e+06, got -101"),
    ({"sma_ratio": [1]}, None, "signal_data.sma_ratio: expected a number from 0 to 1e+06, got [1]"),
    ({"action": "SHORT"}, None, "signal_data.action: expected any of BUY, SELL, HOLD, got 'SHORT'"),
    ({"action": 1}, None, "signal_data.action: expected any of BUY, SELL, HOLD, got 1"),
    ({"whale_net_flow": 10**400}, None,
     "signal_data.whale_net_flow: expected a number from -1 to 1, got a whole number of more than 80 digits"),
    ({"timestamp": "noon"}, None, "signal_data.timestamp: expected a number, or ISO 8601 text, got 'noon'"),
    ({}, {"candles": 5}, f"market_data.candles: expected a list of up to {MOST_CANDLES} candles, got 5"),
    ({}, {"candles": [5]}, "market_data.candles[0]: expected an object, got 5"),
    ({}, {"candles": [{"open": 1}]}, "market_data.candles[0].high: expected a finite number, got None"),
    ({}, {"candles": [{"open": 1, "high": 0.5, "low": 0.4, "close": 0.4}]},
     "market_data.candles[0]: expected low <= open, close <= high, got (1.0, 0.5, 0.4, 0.4)"),
    ({}, {"candles": [{"open": 1, "high": 1, "low": 1, "close": 1, "volume": -1}]},
     "market_data.candles[0].volume: expected a number from 0 to 1e+30, got -1.0"),
    ({}, {"prices": [1, "2"]}, "market_data.prices[1]: expected a number from -1e+15 to 1e+15, got '2'"),
    ({}, {"prices": [1.0] * 601}, "market_data.prices: expected a list of up to 600 numbers, got a list of 601"),
    ({}, {"prices": [1], "bars": []}, "market_data.prices: expected one list of prices, and bars is there, got [1]"),
    ({}, {"price": "9"}, "market_data.price: expected a number from 0 to 1e+15, got '9'"),
    ({}, {"funding": 5}, "market_data.funding: expected an object, got 5"),
    ({}, {"funding": {"rate": "high"}}, "market_data.funding.rate: expected a number from -1 to 1, got 'high'"),
]  # fmt: skip


@pytest.mark.parametrize(("signal", "market", "words"), BAD)
def test_what_cannot_be_is_refused_with_field_expected_and_got(
    signal: dict[str, Any], market: dict[str, Any] | None, words: str
) -> None:
    with pytest.raises(FeatureError) as caught:
        from_request(signal, market, NOW)
    error = caught.value
    assert str(error) == words
    assert words == f"{error.field}: expected {error.expected}, got {error.got}"


def test_what_is_no_object_is_refused() -> None:
    with pytest.raises(FeatureError, match=r"^signal_data: expected an object, got \[1\]$"):
        from_request([1], None, NOW)  # type: ignore[arg-type]
    with pytest.raises(FeatureError, match=r"^signal_data: expected names as keys, got 5$"):
        from_request({5: 1}, None, NOW)  # type: ignore[dict-item]


@pytest.mark.parametrize(
    ("starts", "place", "expected"),
    [((5, 5), 1, "a later one than before it"), ((5, None), 1, "a number from 0"), ((-1, 5), 0, "a number from 0")],
)
def test_candles_are_in_order_of_time_and_all_have_one(starts: tuple[Any, Any], place: int, expected: str) -> None:
    rows = [{"open": 1, "high": 1, "low": 1, "close": 1, "timestamp": start} for start in starts]
    with pytest.raises(FeatureError) as caught:
        from_request({}, {"candles": rows}, NOW)
    assert caught.value.field == f"market_data.candles[{place}].timestamp"
    assert caught.value.expected.startswith(expected)


JSON: Any = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text("aZ5-", max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text("aZ5-", max_size=5), inner, max_size=3),
    max_leaves=6,
)
KEYS_SENT: Any = st.sampled_from([*NAMES, "confidence", "volume", "action", "price", "timestamp"])
KEYS_AROUND: Any = st.sampled_from(
    ["candles", "prices", "price", "timestamp", "onchain", "whales", "funding", "smartMoney", "liquidations"]
)


@settings(max_examples=200)
@given(st.dictionaries(KEYS_SENT, JSON, max_size=4), st.dictionaries(KEYS_AROUND, JSON, max_size=3))
def test_whatever_is_sent_gives_features_or_one_clear_error(signal: Any, market: Any) -> None:
    found: RequestFeatures | FeatureError
    try:
        found = from_request(signal, market, NOW)
    except FeatureError as error:
        found = error
    if isinstance(found, FeatureError):
        assert found.field.partition(".")[0] in ("signal_data", "market_data")
        assert found.expected
    else:
        assert all(math.isnan(each) or -1.0 <= each <= 1.0 for each in found.observation.values)


# The data aggregator's answer.

WHALES = {
    "status": "available", "reason": "", "market": "BTC-USD", "threshold": 1000, "window_hours": 4.0,
    "watched_from": START, "count": 2, "bought": 60000, "sold": 20000, "unknown": 5000,
}  # fmt: skip
ANSWER: dict[str, Any] = {
    "onchain": {"BTC": {"status": "missing", "reason": "no provider of on-chain figures is connected"}},
    "whales": {"BTC": WHALES},
    "funding": {"BTC": {"status": "available", "rate": 0.0001, "next_funding_time": 5, "origin": {"age_ms": 1000}}},
    "smartMoney": {"BTC": {"status": "missing", "reason": "no provider"}},
    "liquidations": {
        "BTC": {"status": "available", "window_hours": 1.0, "watched_from": START, "longs": 3e6, "shorts": 1e6}
    },
    "metadata": {"sources": ["binance"], "reliability": 0.6},
}


def test_an_aggregators_answer_by_symbol_gives_what_it_has_and_no_more() -> None:
    assert from_aggregate(ANSWER, "BTC", START + 5 * HOUR) == {
        "whale_net_flow": 0.5,
        "whale_transactions": 2.0,
        "funding_rate": 0.0001,
        "long_liquidations": 3e6,
        "short_liquidations": 1e6,
        "liquidation_imbalance": 0.5,
    }
    assert from_aggregate(ANSWER) == from_aggregate(ANSWER, "BTC", START + 5 * HOUR)
    assert from_aggregate(ANSWER, "ETH", START + 5 * HOUR) == {}
    assert from_aggregate({}) == {}


def test_a_window_that_was_not_watched_from_its_beginning_is_missing() -> None:
    assert set(from_aggregate(ANSWER, "BTC", START + 4 * HOUR - 1)) == {
        "funding_rate", "long_liquidations", "short_liquidations", "liquidation_imbalance",
    }  # fmt: skip
    assert set(from_aggregate(ANSWER, "BTC", START + HOUR - 1)) == {"funding_rate"}


def test_a_funding_rate_that_is_too_old_is_missing() -> None:
    def funding(hours: float) -> dict[str, Any]:
        return {"funding": {"rate": 0.0001, "origin": {"age_ms": hours * 3_600_000}}}

    assert from_aggregate(funding(9)) == {"funding_rate": 0.0001}
    assert from_aggregate(funding(9.1)) == {}


@pytest.mark.parametrize("feature", sorted(BALANCES))
def test_of_nothing_and_nothing_there_is_no_balance(feature: str) -> None:
    block, more, less = BALANCES[feature]
    assert feature not in from_aggregate({block: {more: 0, less: 0}})
    assert feature not in from_aggregate({block: {more: 5}})
    assert from_aggregate({block: {more: 1, less: 3}})[feature] == -0.5


@pytest.mark.parametrize("feature", sorted(KEYS))
def test_every_figure_of_an_aggregator_is_read_in_either_way_of_writing(feature: str) -> None:
    block, *keys = KEYS[feature]
    for key in keys:
        for style in (str, camel):
            assert from_aggregate({style(block): {style(key): 0.25}})[feature] == 0.25


def camel(key: str) -> str:
    first, *rest = key.split("_")
    return first + "".join(word.title() for word in rest)


def test_every_outside_feature_can_come_from_an_aggregator() -> None:
    assert set(KEYS) == EXTERNAL
