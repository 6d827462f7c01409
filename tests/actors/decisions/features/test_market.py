"""The builder of the features of bars and outside figures."""

from __future__ import annotations

import math
from typing import Any

import msgspec
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from actors.decisions.features.checking import FeatureError
from actors.decisions.features.market import EXTERNAL, MarketFeatures
from actors.decisions.features.names import FEATURE_SETS, MARKET_29
from actors.decisions.features.table import AGES, FEATURES, scale
from actors.market.indicators import compute
from protocols.decisions import Observation
from tests.actors.decisions.features.kit import HOUR, START, MadeBar, walk

NAMES = FEATURE_SETS[MARKET_29]
OF_BARS = frozenset(NAMES) - EXTERNAL
DAY = 24 * HOUR


def fed(bars: list[MadeBar]) -> MarketFeatures:
    features = MarketFeatures()
    for bar in bars:
        features.bar(*bar)
    return features


def by_name(observation: Observation) -> dict[str, float]:
    assert observation.feature_set == MARKET_29
    return dict(zip(NAMES, observation.values, strict=True))


def same(one: tuple[float, ...], other: tuple[float, ...]) -> bool:
    return np.array_equal(one, other, equal_nan=True)


def test_without_any_input_all_29_features_are_missing_and_none_is_zero() -> None:
    observation = MarketFeatures().observation(START)
    assert len(observation.values) == 29
    assert all(math.isnan(each) for each in observation.values)
    assert observation.ts_event == 0


def test_after_the_warm_up_every_feature_of_bars_is_there_and_not_a_bar_before() -> None:
    bars = walk(MarketFeatures.warm_up)
    early, warm = fed(bars[:-1]), fed(bars)
    missing = {name for name, each in by_name(early.observation(bars[-1].ts_end)).items() if math.isnan(each)}
    assert missing == EXTERNAL | {"macd"}
    found = by_name(warm.observation(bars[-1].ts_end))
    assert {name for name, each in found.items() if not math.isnan(each)} == OF_BARS


def test_a_day_of_minutes_is_part_of_the_warm_up_of_minute_bars() -> None:
    minute = HOUR // 60
    count = MarketFeatures.warm_up_of(minute)
    assert count == 1441
    bars = walk(count, interval=minute)
    assert "change_percent" not in fed(bars[:-1]).raw(bars[-1].ts_end)
    assert fed(bars).raw(bars[-1].ts_end)["change_percent"] == pytest.approx(
        100.0 * (bars[-1].close / bars[0].close - 1.0)
    )
    assert MarketFeatures.warm_up_of(DAY) == MarketFeatures.warm_up


def test_every_raw_field_is_what_the_indicator_core_says_over_the_same_bars() -> None:
    bars = walk(120)
    columns = {name: [getattr(bar, name) for bar in bars] for name in ("open", "high", "low", "close", "volume")}
    close = np.array(columns["close"])
    bands = compute("bollinger", columns, period=20)
    wanted = {
        "return_1": compute("returns", columns, period=1)["value"],
        "return_5": compute("returns", columns, period=5)["value"],
        "momentum_10": compute("roc", columns, period=10)["value"] / 100.0,
        "momentum_20": compute("roc", columns, period=20)["value"] / 100.0,
        "rsi": compute("rsi", columns, period=14)["value"],
        "macd": compute("macd", columns)["macd"] / close,
        "bollinger_position": (close - bands["lower"]) / (bands["upper"] - bands["lower"]),
        "atr": compute("natr", columns, period=14)["value"] / 100.0,
        "sma_ratio": close / compute("sma", columns, period=20)["value"],
        "adx": compute("adx", columns, period=14)["adx"],
        "volume_ratio": np.array(columns["volume"]) / compute("sma", {"close": columns["volume"]}, period=20)["value"],
        "change_percent": np.concatenate([np.full(24, np.nan), 100.0 * (close[24:] / close[:-24] - 1.0)]),
    }
    assert set(wanted) == OF_BARS
    features = MarketFeatures()
    for place, bar in enumerate(bars):
        features.bar(*bar)
        raw = features.raw(bar.ts_end)
        for name, column in wanted.items():
            value = raw.get(name, math.nan)
            assert value == pytest.approx(column[place], rel=1e-9, abs=1e-12, nan_ok=True), (name, place)


def test_the_features_of_a_steady_rise_are_those_computed_by_hand() -> None:
    # Closes 100, 101, ..., 159, each bar from one below its close to its close; volumes 10, the last 30.
    bars = [
        MadeBar(99.0 + n, 100.0 + n, 99.0 + n, 100.0 + n, 30.0 if n == 59 else 10.0, START + n * HOUR)
        for n in range(60)
    ]
    raw = fed(bars).raw(bars[-1].ts_end)
    assert raw["return_1"] == pytest.approx(159 / 158 - 1)
    assert raw["return_5"] == pytest.approx(159 / 154 - 1)
    assert raw["momentum_10"] == pytest.approx(159 / 149 - 1)
    assert raw["momentum_20"] == pytest.approx(159 / 139 - 1)
    assert raw["change_percent"] == pytest.approx(100 * (159 / 135 - 1))
    assert raw["volume_ratio"] == pytest.approx(30 / 11)
    assert raw["rsi"] == 100.0
    assert raw["adx"] == pytest.approx(100.0)
    assert raw["atr"] == pytest.approx(1 / 159)
    assert raw["sma_ratio"] == pytest.approx(159 / 149.5)
    # 20 steps of 1 deviate by the root of (20² - 1) / 12.
    assert raw["bollinger_position"] == pytest.approx(0.5 + 9.5 / (4 * math.sqrt(399 / 12)))
    # An EMA of a line lags it by (period - 1) / 2: 12.5 - 5.5.
    assert raw["macd"] == pytest.approx(7 / 159)


@pytest.mark.parametrize(
    ("name", "raw", "wanted"),
    [
        ("change_percent", 10.0, math.tanh(1.0)),
        ("return_1", 0.0001, math.log(2) / math.log(10001)),
        ("return_1", -0.0001, -math.log(2) / math.log(10001)),
        ("return_5", 1.0, 1.0),
        ("volume_ratio", 3.0, 0.5),
        ("rsi", 30.0, -0.4),
        ("macd", 0.0003, math.log(4) / math.log(10001)),
        ("bollinger_position", 1.0, 0.5),
        ("atr", 0.01, math.log(101) / math.log(10001)),
        ("sma_ratio", 1.0, 0.0),
        ("sma_ratio", 1.01, math.log(101) / math.log(10001)),
        ("momentum_10", -1.0, -1.0),
        ("momentum_20", 50.0, 1.0),
        ("adx", 25.0, 0.25),
        ("active_addresses_change", 0.2, math.tanh(1.0)),
        ("transaction_count_change", -0.2, -math.tanh(1.0)),
        ("exchange_netflow", -0.25, -0.25),
        ("network_growth", 0.4, 0.4),
        ("whale_net_flow", 0.5, 0.5),
        ("whale_transactions", 0.0, 0.0),
        ("whale_transactions", 9.0, math.log(10) / math.log(1001)),
        ("whale_volume_share", 0.3, 0.3),
        ("whale_accumulation", 0.01, math.tanh(1.0)),
        ("funding_rate", 0.001, math.tanh(1.0)),
        ("funding_rate_change", -0.001, -math.tanh(1.0)),
        ("open_interest_change", 0.2, math.tanh(1.0)),
        ("smart_money_net_flow", 1.0, 1.0),
        ("smart_money_buy_share", 0.5, 0.0),
        ("smart_money_activity", 0.0, -1.0),
        ("long_liquidations", 1e4, math.log(2) / math.log(100001)),
        ("short_liquidations", 1e9, 1.0),
        ("liquidation_imbalance", -1.0, -1.0),
    ],
)
def test_a_raw_value_becomes_the_number_that_the_table_says(name: str, raw: float, wanted: float) -> None:
    found = dict(zip(NAMES, scale({name: raw}, MARKET_29), strict=True))
    assert found.pop(name) == pytest.approx(wanted, abs=1e-12)
    assert all(math.isnan(each) for each in found.values())


@given(st.sampled_from(sorted(FEATURES)), st.floats(allow_nan=False, width=64))
def test_a_scaled_feature_stays_within_its_range_whatever_comes(name: str, raw: float) -> None:
    feature = FEATURES[name]
    raw = min(max(raw, feature.least), feature.most)
    assert -1.0 <= feature.low <= feature.scaled(raw) <= feature.high <= 1.0


@given(st.sampled_from(sorted(FEATURES)))
def test_a_missing_raw_value_stays_missing(name: str) -> None:
    assert math.isnan(FEATURES[name].scaled(math.nan))


@settings(max_examples=25, deadline=None)
@given(st.integers(1, 60), st.integers(0, 2**16), st.randoms(use_true_random=False))
def test_features_do_not_change_when_the_future_is_deleted_or_shuffled(at: int, seed: int, draw: Any) -> None:
    bars = walk(70, seed)
    future = bars[at:]
    draw.shuffle(future)
    shuffled = [bar._replace(ts_end=old.ts_end) for bar, old in zip(future, bars[at:], strict=True)]

    def values_at(rest: list[MadeBar]) -> tuple[float, ...]:
        features, found = MarketFeatures(), ()
        for place, bar in enumerate(bars[:at] + rest, 1):
            features.external("funding_rate", 0.0001 * (place if place <= at else -place), bar.ts_end)
            features.bar(*bar)
            if place == at:
                found = features.observation(bar.ts_end).values
        return found

    assert same(values_at([]), values_at(bars[at:]))
    assert same(values_at([]), values_at(shuffled))


def test_what_was_known_before_the_last_bar_cannot_be_asked_afterwards() -> None:
    bars = walk(3)
    with pytest.raises(FeatureError, match=r"^ts: expected the end of the last bar, \d+, or later, got \d+$"):
        fed(bars).observation(bars[-1].ts_end - 1)


def test_a_figure_from_the_future_is_not_used_and_hides_none_before_it() -> None:
    features = MarketFeatures()
    features.external("funding_rate", 0.0002, START)
    features.external("funding_rate", -0.0003, START + 10)
    assert features.raw(START + 9) == {"funding_rate": 0.0002}
    assert features.raw(START + 10) == {"funding_rate": -0.0003}


def test_a_figure_that_comes_late_does_not_replace_a_newer_one() -> None:
    features = MarketFeatures()
    features.external("whale_transactions", 5.0, START + 10)
    features.external("whale_transactions", 3.0, START)
    assert features.raw(START + 10) == {"whale_transactions": 5.0}
    assert features.raw(START + 9) == {"whale_transactions": 3.0}


@pytest.mark.parametrize("name", sorted(EXTERNAL))
def test_a_figure_from_elsewhere_is_missing_again_when_it_is_too_old(name: str) -> None:
    features = MarketFeatures()
    features.external(name, 0.5, START)
    place = NAMES.index(name)
    assert not math.isnan(features.observation(START + AGES[name]).values[place])
    assert math.isnan(features.observation(START + AGES[name] + 1).values[place])


def test_the_event_time_is_the_last_bars_even_if_a_figure_is_newer() -> None:
    bars = walk(2)
    features = fed(bars)
    features.external("funding_rate", 0.0, bars[-1].ts_end + 50)
    observation = features.observation(bars[-1].ts_end + 100, ("synthetic",))
    assert observation.ts_event == bars[-1].ts_end
    assert observation.marks == ("synthetic",)
    alone = MarketFeatures()
    alone.external("funding_rate", 0.0, START)
    assert alone.observation(START + 100).ts_event == START


def test_a_volume_that_is_not_known_leaves_the_volume_ratio_missing_until_20_are_known_again() -> None:
    bars = walk(80)
    bars[50] = bars[50]._replace(volume=None)
    features = fed(bars[:50])
    assert "volume_ratio" in features.raw(bars[49].ts_end)
    for place, bar in enumerate(bars[50:], 50):
        features.bar(*bar)
        assert ("volume_ratio" in features.raw(bar.ts_end)) == (place >= 70), place


def test_a_market_that_has_never_moved_has_no_rsi_no_bands_and_no_volume_ratio() -> None:
    bars = [MadeBar(5.0, 5.0, 5.0, 5.0, 0.0, START + n * HOUR) for n in range(60)]
    raw = fed(bars).raw(bars[-1].ts_end)
    assert set(raw) == OF_BARS - {"rsi", "bollinger_position", "volume_ratio"}
    assert raw["atr"] == raw["return_1"] == raw["macd"] == 0.0


def test_prices_below_zero_have_no_relative_features_and_break_nothing() -> None:
    bars = [MadeBar(-5.0 - n, -5.0 - n, -6.0 - n, -6.0 - n, 1.0, START + n * HOUR) for n in range(60)]
    raw = fed(bars).raw(bars[-1].ts_end)
    assert set(raw) == {"rsi", "adx", "bollinger_position", "volume_ratio"}


def test_behind_a_gap_the_features_of_bars_begin_anew_and_other_figures_stay() -> None:
    bars = walk(120)
    features = fed(bars[:60])
    features.external("whale_transactions", 7.0, bars[59].ts_end)
    features.gap()
    assert features.raw(bars[60].ts_end) == {"whale_transactions": 7.0}
    for bar in bars[60:100]:
        features.bar(*bar)
    ts = bars[99].ts_end
    assert same(features.observation(ts).values[:12], fed(bars[60:100]).observation(ts).values[:12])


def test_a_close_of_two_days_before_is_none_of_24_hours_before() -> None:
    features = MarketFeatures()
    features.bar(1.0, 1.0, 1.0, 1.0, None, START)
    features.bar(2.0, 2.0, 2.0, 2.0, None, START + 2 * DAY)
    assert "change_percent" not in features.raw(START + 2 * DAY)
    features.bar(3.0, 3.0, 3.0, 3.0, None, START + 3 * DAY)
    assert features.raw(START + 3 * DAY)["change_percent"] == pytest.approx(50.0)


@settings(max_examples=15, deadline=None)
@given(st.integers(0, 80), st.integers(0, 2**16), st.booleans())
def test_a_builder_that_is_saved_midway_goes_on_as_if_it_had_not_been(at: int, seed: int, as_json: bool) -> None:
    bars = walk(90, seed)
    whole, first = MarketFeatures(), MarketFeatures()
    again = MarketFeatures()
    for place, bar in enumerate(bars):
        if place == at:
            saved: Any = first.save()
            coder = msgspec.json if as_json else msgspec.msgpack
            again.restore(tuple(coder.decode(coder.encode(saved))))
        for features in (whole, first if place < at else again):
            features.bar(*bar)
            features.external("whale_transactions", float(place), bar.ts_end)
        wanted = whole.observation(bar.ts_end)
        found = (first if place < at else again).observation(bar.ts_end)
        assert same(found.values, wanted.values)
        assert found.ts_event == wanted.ts_event


def test_a_state_of_another_version_is_refused() -> None:
    state = MarketFeatures().save()
    with pytest.raises(FeatureError, match=r"^state: expected one of market29, version 1, got \('market29', 2\)$"):
        MarketFeatures().restore((state[0], 2, *state[2:]))


@pytest.mark.parametrize(
    ("bar", "field"),
    [
        ((1.0, 2.0, 0.5, math.nan, 1.0, START + 1), "close"),
        ((1.0, math.inf, 0.5, 1.0, 1.0, START + 1), "high"),
        ((1.0, 0.9, 0.5, 1.0, 1.0, START + 1), "bar"),
        ((1.0, 2.0, 0.5, 1.0, -1.0, START + 1), "volume"),
        ((1.0, 2.0, 0.5, 1.0, 1.0, START), "ts_end"),
    ],
)
def test_a_bar_that_cannot_be_is_refused_by_name_and_changes_nothing(bar: Any, field: str) -> None:
    features = MarketFeatures()
    features.bar(1.0, 2.0, 0.5, 1.0, 1.0, START)
    before = features.save()
    with pytest.raises(FeatureError) as caught:
        features.bar(*bar)
    assert caught.value.field == field
    assert features.save() == before


def test_figures_that_are_none_are_refused_by_name() -> None:
    features = MarketFeatures()
    with pytest.raises(FeatureError, match=r"^network_growth: expected a number from 0 to 1, got 1\.5$"):
        features.external("network_growth", 1.5, START)
    with pytest.raises(FeatureError, match=r"^rsi: expected any of active_addresses_change, "):
        features.external("rsi", 50.0, START)
    assert features.raw(START) == {}
