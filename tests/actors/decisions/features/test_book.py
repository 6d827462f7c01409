"""The builder of the features of an order book."""

from __future__ import annotations

import math
import random
from typing import Any

import msgspec
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from actors.decisions.features.book import BookFeatures
from actors.decisions.features.checking import FeatureError
from actors.decisions.features.names import BOOK, FEATURE_SETS
from actors.decisions.features.table import FEATURES
from actors.market.book import Book
from protocols.market import BookUpdate, Level, LevelChange
from protocols.nanos import NANO

S = 1_000_000_000
T = 1_700_000_000 * S
BIDS = [(99.0, 4.0), (98.0, 2.0), (97.0, 2.0), (96.0, 1.0), (95.0, 1.0), (94.0, 10.0)]
ASKS = [(101.0, 2.0), (102.0, 1.0), (103.0, 1.0), (104.0, 1.0), (105.0, 5.0)]


def known(features: BookFeatures, ts: int) -> dict[str, float]:
    values = features.observation(ts).values
    assert len(values) == 12
    pairs = zip(FEATURE_SETS[BOOK], values, strict=True)
    return {name: value for name, value in pairs if not math.isnan(value)}


def test_without_any_input_all_12_features_are_missing() -> None:
    assert known(BookFeatures(0.01), T) == {}


def test_the_raw_fields_of_levels_are_those_computed_by_hand() -> None:
    features = BookFeatures(tick=0.5)
    features.levels(BIDS, ASKS, T)
    assert features.raw(T) == {
        "spread": pytest.approx(2 / 100),
        # (99·2 + 101·4) / 6 - 100, in ticks of 0.5.
        "microprice_offset": pytest.approx((602 / 6 - 100) / 0.5),
        "imbalance_1": pytest.approx((4 - 2) / 6),
        "imbalance_2": pytest.approx((6 - 3) / 9),
        "imbalance_3": pytest.approx((8 - 4) / 12),
        "imbalance_4": pytest.approx((9 - 5) / 14),
        "imbalance_5": pytest.approx((10 - 10) / 20),
        "depth_ratio": pytest.approx(20 / 10),
    }


@pytest.mark.parametrize(
    ("name", "raw", "wanted"),
    [
        ("spread", 0.0, 0.0),
        ("spread", 1e-5, math.log(2) / math.log(100001)),
        ("microprice_offset", 1.0, math.tanh(1.0)),
        ("imbalance_3", -0.5, -0.5),
        ("depth_ratio", 3.0, 0.5),
        ("flow_fast", 0.25, 0.25),
        ("realised_volatility", 1e-6, math.log(2) / math.log(100001)),
    ],
)
def test_a_raw_value_becomes_the_number_that_the_table_says(name: str, raw: float, wanted: float) -> None:
    assert FEATURES[name].scaled(raw) == pytest.approx(wanted, abs=1e-12)


def test_the_figures_are_those_of_the_book_itself_in_nanos_and_in_floats() -> None:
    changes = [LevelChange("bid", int(price * NANO), int(size * NANO)) for price, size in BIDS]
    changes += [LevelChange("ask", int(price * NANO), int(size * NANO)) for price, size in ASKS]
    book = Book("BTC-USD")
    book.apply(BookUpdate("BTC-USD", tuple(changes), "absolute", True, "s", 1, T, T))
    nanos, floats = BookFeatures(tick=NANO // 2), BookFeatures(tick=0.5)
    nanos.levels(book.levels("bid"), book.levels("ask"), T)
    floats.levels(BIDS, ASKS, T)
    raw = nanos.raw(T)
    assert raw == pytest.approx(floats.raw(T))
    for depth in range(1, 6):
        assert raw[f"imbalance_{depth}"] == pytest.approx(book.imbalance(depth))
    middle, micro = book.mid(), book.microprice()
    assert middle is not None
    assert micro is not None
    assert raw["microprice_offset"] == pytest.approx((micro - middle) / (NANO // 2))


@pytest.mark.parametrize(("bids", "asks"), [(BIDS, []), ([], ASKS), ([], [])])
def test_where_a_side_is_empty_what_needs_both_is_missing_and_not_zero(bids: Any, asks: Any) -> None:
    features = BookFeatures(1.0)
    features.levels(BIDS, ASKS, T)
    features.levels(bids, asks, T + S)
    assert known(features, T + S) == {}


def test_deeper_imbalances_are_missing_where_a_side_has_fewer_levels() -> None:
    features = BookFeatures(1.0)
    features.levels(BIDS, ASKS[:2], T)
    assert {"imbalance_1", "imbalance_2"} == {name for name in known(features, T) if name.startswith("imbalance")}


def test_a_quote_alone_says_nothing_of_depth() -> None:
    features = BookFeatures(1.0)
    features.quote(99, 4, 101, 2, T)
    assert set(known(features, T)) == {"spread", "microprice_offset", "imbalance_1"}
    features.quote(None, 0, 101, 2, T + 1)
    assert known(features, T + 1) == {}


def test_the_flow_is_signed_by_the_taker_and_forgets_by_half_lives() -> None:
    features = BookFeatures(1.0)
    features.trade(100, 3, "buy", T)
    assert features.raw(T) == {"flow_fast": 1.0, "flow_middle": 1.0, "flow_slow": 1.0}
    features.trade(100, 3, "sell", T + 30 * S)
    raw = features.raw(T + 30 * S)
    # What is left of the purchase: a 64th, a half, and 0.5 to the sixth part.
    for name, left in (("flow_fast", 1 / 64), ("flow_middle", 1 / 2), ("flow_slow", 0.5 ** (1 / 6))):
        assert raw[name] == pytest.approx((left - 1) / (left + 1))


def test_a_trade_whose_taker_is_hidden_says_nothing_of_the_flow() -> None:
    features = BookFeatures(1.0)
    features.trade(100, 3, None, T)
    features.trade(100, 0, "buy", T)
    assert known(features, T) == {}


def test_a_flow_is_missing_when_nothing_was_traded_for_ten_half_lives() -> None:
    features = BookFeatures(1.0)
    features.trade(100, 3, "buy", T)
    assert set(features.raw(T + 50 * S)) == {"flow_fast", "flow_middle", "flow_slow"}
    assert set(features.raw(T + 50 * S + 1)) == {"flow_middle", "flow_slow"}
    assert features.raw(T + 1800 * S + 1) == {}


def test_the_volatility_of_a_middle_that_swings_by_a_constant_is_that_constant() -> None:
    features = BookFeatures(1.0)
    for second in range(200):
        middle = 100.0 * math.exp(0.001 * (second % 2))
        features.quote(middle - 1, 1, middle + 1, 1, T + second * S)
        assert ("realised_volatility" in features.raw(T + second * S)) == (second >= 60)
    assert features.raw(T + 200 * S)["realised_volatility"] == pytest.approx(0.001, rel=1e-9)


def test_a_middle_that_comes_back_after_an_empty_side_is_no_return() -> None:
    features = BookFeatures(1.0)
    for second in range(61):
        features.quote(99, 1, 101, 1, T + second * S)
    features.quote(None, 0, 101, 1, T + 61 * S)
    features.quote(199, 1, 201, 1, T + 62 * S)
    assert features.raw(T + 62 * S)["realised_volatility"] == 0.0


def test_behind_a_gap_everything_is_missing() -> None:
    features = BookFeatures(1.0)
    features.levels(BIDS, ASKS, T)
    features.trade(100, 1, "buy", T)
    features.gap()
    assert known(features, T) == {}


def test_a_clock_that_goes_back_breaks_nothing() -> None:
    features = BookFeatures(1.0)
    features.trade(100, 1, "buy", T)
    features.trade(100, 1, "sell", T - 50 * S)
    assert features.raw(T)["flow_fast"] == 0.0
    with pytest.raises(FeatureError, match=r"^ts: expected the last input's time, \d+, or later"):
        features.observation(T - 1)


@pytest.mark.parametrize(
    ("bids", "asks", "field"),
    [
        ([(99, 0)], ASKS, "bids[0].size"),
        ([(99, 1), (99, 1)], ASKS, "bids[1].price"),
        (BIDS, [(101, 1), (100.5, 1)], "asks[1].price"),
        (BIDS, [(98, 1)], "book"),
        ([(math.nan, 1)], ASKS, "bids[0].price"),
    ],
)
def test_levels_that_cannot_be_are_refused_and_change_nothing(bids: Any, asks: Any, field: str) -> None:
    features = BookFeatures(1.0)
    features.levels(BIDS, ASKS, T)
    before = features.save()
    with pytest.raises(FeatureError) as caught:
        features.levels(bids, asks, T + 1)
    assert caught.value.field == field
    assert features.save() == before


@pytest.mark.parametrize("tick", [0, -1, math.nan, True])
def test_a_tick_is_a_number_above_zero(tick: Any) -> None:
    with pytest.raises(FeatureError, match=r"^tick: expected "):
        BookFeatures(tick)


def events(seed: int, count: int) -> list[tuple[Any, ...]]:
    draw = random.Random(seed)
    found: list[tuple[Any, ...]] = []
    ts, middle = T, 500
    for _ in range(count):
        ts += draw.randrange(20 * S)
        middle += draw.randint(-3, 3)
        if draw.random() < 0.4:
            found.append(("trade", middle, draw.random(), draw.choice(["buy", "sell", None]), ts))
        else:
            sides = [
                [Level(middle + sign * place, draw.randint(1, 9)) for place in range(1, draw.randint(1, 12))]
                for sign in (-1, 1)
            ]
            found.append(("levels", *sides, ts))
    return found


def played(features: BookFeatures, inputs: list[tuple[Any, ...]]) -> list[tuple[float, ...]]:
    found = []
    for name, *arguments in inputs:
        getattr(features, name)(*arguments)
        found.append(features.observation(arguments[-1]).values)
    return found


@settings(max_examples=20, deadline=None)
@given(st.integers(0, 2**16), st.integers(1, 40), st.randoms(use_true_random=False))
def test_features_do_not_change_when_the_future_is_deleted_or_shuffled(seed: int, at: int, draw: Any) -> None:
    inputs = events(seed, 40)
    future = inputs[at:]
    draw.shuffle(future)
    shuffled = [(*event[:-1], old[-1]) for event, old in zip(future, inputs[at:], strict=True)]
    whole, cut = played(BookFeatures(1), inputs), played(BookFeatures(1), inputs[:at])
    assert np.array_equal(whole[:at], cut, equal_nan=True)
    assert np.array_equal(played(BookFeatures(1), inputs[:at] + shuffled)[:at], cut, equal_nan=True)
    assert all(math.isnan(each) or -1.0 <= each <= 1.0 for row in whole for each in row)


@settings(max_examples=20, deadline=None)
@given(st.integers(0, 2**16), st.integers(0, 40))
def test_a_builder_that_is_saved_midway_goes_on_as_if_it_had_not_been(seed: int, at: int) -> None:
    inputs = events(seed, 40)
    first, again = BookFeatures(1), BookFeatures(1)
    begun = played(first, inputs[:at])
    again.restore(tuple(msgspec.json.decode(msgspec.json.encode(first.save()))))
    whole = played(BookFeatures(1), inputs)
    assert np.array_equal(begun + played(again, inputs[at:]), whole, equal_nan=True)


def test_a_state_of_another_tick_is_refused() -> None:
    with pytest.raises(FeatureError, match=r"^state: expected one of book, version 1, tick 2\.0, got "):
        BookFeatures(2.0).restore(BookFeatures(1.0).save())
