"""What an aggregator knows, as the fields of a request: only what is lacking, and nothing that is not known."""

from __future__ import annotations

import contextlib
import math
from typing import Any

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from actors.decisions.bridges.aggregator_answers import aggregate
from actors.decisions.bridges.filling import (
    LENGTH,
    STALE,
    Unusable,
    WindowFeatures,
    blocks_of,
    candles_of,
    figures_of,
    lacking,
)
from actors.decisions.features.aggregate import BLOCKS
from actors.decisions.features.market import EXTERNAL
from actors.decisions.features.names import FEATURE_SETS, FUNDING, MARKET_29
from actors.decisions.features.request import from_request
from actors.decisions.features.table import scale
from protocols.bridges import Aggregate, AggregateSymbols, FundingRate, LargeFlow, MarketWindow, SymbolFigure, WindowBar

HOUR = 3_600_000_000_000
NOW = 1_767_225_600_000_000_000
MINUTE = HOUR // 60


def bars(*starts: int, **changes: Any) -> tuple[WindowBar, ...]:
    """Bars that begin so many hours before now."""
    prices = {"open": 2.0, "high": 3.0, "low": 1.0, "close": 2.5, "volume": 1.0, **changes}
    return tuple(WindowBar(ts=NOW - start * HOUR, **prices) for start in starts)


def flow(kind: str | None, amount: float | None, minutes: int | None = 1, symbol: str | None = "BTC") -> LargeFlow:
    ts = None if minutes is None else NOW - minutes * MINUTE
    return LargeFlow(symbol=symbol, kind=kind, amount_usd=amount, ts=ts)


def blocks(**sections: Any) -> dict[str, Any]:
    return blocks_of(Aggregate(symbols=("BTC",), **sections), "BTC", NOW)


def test_only_what_is_lacking_is_asked_for() -> None:
    everything = dict.fromkeys(FEATURE_SETS[MARKET_29], 0.5)
    of_bars = {name: 0.5 for name in everything if name not in EXTERNAL}
    assert (lacking({}, None).bars, lacking({}, None).sections) == (True, BLOCKS)
    assert (lacking(everything, None).bars, lacking(everything, None).sections) == (False, ())
    assert lacking(of_bars, None).bars is False
    assert lacking({**of_bars, "rsi": None}, None).bars is True
    for name in ("candles", "bars", "data", "prices", "closes"):
        assert lacking({}, {name: []}).bars is False
    assert "smart_money" not in lacking({}, {"smartMoney": {}}).sections
    assert "funding" not in lacking(dict.fromkeys(FUNDING, 0.0), {}).sections


def test_a_hole_or_a_bar_without_prices_ends_what_is_known_of_bars() -> None:
    def starts(window: tuple[WindowBar, ...]) -> list[int]:
        found = candles_of(MarketWindow(symbol="BTC", bars=window), NOW)
        return [(NOW - int(str(each["timestamp"]))) // HOUR for each in found]

    assert starts(bars(4, 3, 2, 1)) == [4, 3, 2, 1]
    assert starts(bars(5, 4, 2, 1)) == [2, 1]
    assert starts(bars(4, 3) + bars(2, high=None) + bars(1)) == [1]


@pytest.mark.parametrize("window", [None, (), bars(2) + bars(1, close=None), bars(3 + 1), bars(1, low=9.0)])
def test_bars_that_say_nothing_of_now_cannot_be_used(window: tuple[WindowBar, ...] | None) -> None:
    with pytest.raises(Unusable):
        candles_of(MarketWindow(symbol="BTC", bars=window), NOW)


def test_the_newest_bar_may_be_as_old_as_one_that_is_just_being_made_and_an_answer_that_is_kept() -> None:
    window = MarketWindow(symbol="BTC", bars=bars(1))
    assert candles_of(window, NOW - HOUR + STALE)
    with pytest.raises(Unusable, match="hours ago"):
        candles_of(window, NOW - HOUR + STALE + 1)
    assert STALE > 2 * LENGTH + 300 * 1_000_000_000  # what `market_cache_s` is by default


def test_single_events_are_summed_over_the_window_of_their_feature() -> None:
    found = blocks(
        whales=(flow("buy", 3.0), flow("SELL", 1.0), flow("buy", 9.0, 241), flow("buy", 9.0, symbol="ETH")),
        liquidations=(flow("long", 3.0), flow("short", 1.0), flow("short", 9.0, 61)),
        smart_money=(flow("buy", 2.0, 300), flow("sell", 2.0), flow("sell", 9.0, 361)),
        funding=(
            FundingRate(symbol="BTC", rate=0.0001),
            FundingRate(symbol="BTC", rate=0.0003),
            FundingRate(symbol="BTC", rate=None),
            FundingRate(symbol="BTC", rate=0.5, ts=NOW - 10 * HOUR),
        ),
    )
    assert found == {
        "whales": {"count": 2, "bought": 3.0, "sold": 1.0},
        "liquidations": {"longs": 3.0, "shorts": 1.0},
        "smart_money": {"bought": 2.0, "sold": 2.0},
        "funding": {"rate": pytest.approx(0.0002)},
    }


def test_what_would_be_a_wrong_sum_is_none() -> None:
    assert blocks(whales=(flow("buy", 3.0), flow("sell", None))) == {"whales": {"count": 2}}
    assert blocks(whales=(flow("buy", 3.0), flow("sell", 1.0, None))) == {}
    assert blocks(liquidations=(flow("long", 3.0), flow(None, 1.0))) == {}
    assert blocks(liquidations=(flow("long", 3.0), flow("short", None))) == {}
    assert blocks(funding=(FundingRate(symbol="ETH", rate=0.1),)) == {}
    assert blocks(onchain=(), smart_money=None) == {}


def test_no_whales_at_all_is_a_count_of_none_and_no_balance() -> None:
    read = from_request({}, blocks(whales=()), NOW, symbol="BTC")
    known = dict(zip(FEATURE_SETS[MARKET_29], read.observation.values, strict=True))
    assert known["whale_transactions"] == 0.0
    assert known["whale_net_flow"] != known["whale_net_flow"]


def test_numbers_by_symbol_come_as_they_are_if_they_are_of_the_feature_s_own_window() -> None:
    body = {
        "onchain": {"BTC": {"activeAddressesChange": 0.1, "status": "available"}},
        "whales": {
            "BTC": {"status": "available", "count": 3, "bought": 2, "sold": 1, "window_hours": 4},
            "ETH": {"status": "missing"},
        },
        "liquidations": {"BTC": {"longs": 5, "shorts": 5, "window_hours": 24}},
        "smartMoney": {"BTC": {"status": "missing", "buyShare": 0.5}},
    }
    found = aggregate(msgspec.json.encode(body), AggregateSymbols(symbols=("BTC", "ETH")), NOW)
    assert SymbolFigure("whales", "BTC", "count", 3) in found.figures
    said = blocks_of(found, "BTC", NOW)
    assert said["onchain"] == {"activeAddressesChange": 0.1}
    assert said["whales"] == {"count": 3, "bought": 2, "sold": 1, "window_hours": 4}
    assert set(said) == {"onchain", "whales"}
    assert blocks_of(found, "ETH", NOW) == {}


def test_totals_of_a_window_that_was_not_watched_from_its_beginning_say_nothing() -> None:
    def net_flow(watched_from: int) -> float:
        whales = {"BTC": {"count": 3, "bought": 3, "sold": 1, "window_hours": 4.0, "watched_from": watched_from}}
        found = aggregate(msgspec.json.encode({"whales": whales}), AggregateSymbols(symbols=("BTC",)), NOW)
        read = from_request({}, blocks_of(found, "BTC", NOW), NOW, symbol="BTC")
        return read.observation.values[FEATURE_SETS[MARKET_29].index("whale_net_flow")]

    assert net_flow(NOW - 4 * HOUR) == 0.5
    assert net_flow(NOW - 4 * HOUR + 1) != net_flow(NOW - 4 * HOUR + 1)


def test_figures_out_of_their_range_are_the_aggregator_s_mistake() -> None:
    wrong = Aggregate(symbols=("BTC",), funding=(FundingRate(symbol="BTC", rate=7.0),))
    with pytest.raises(Unusable, match="funding"):
        figures_of(wrong, "BTC", NOW)
    assert figures_of(wrong, "BTC", NOW, ("whales",)) == {}


def test_a_window_is_read_once_and_again_when_another_of_its_bars_is_complete() -> None:
    known = WindowFeatures(most=1)
    # A bar began half an hour ago.
    window = MarketWindow(
        symbol="BTC",
        bars=tuple(
            WindowBar(ts=NOW - HOUR // 2 - hours * HOUR, open=2.0, high=3.0, low=1.0, close=2.0 + hours % 2, volume=1.0)
            for hours in range(30, -1, -1)
        ),
    )
    first = known.at(NOW, window)
    assert first.raw["return_1"] == -1 / 3 or first.raw["return_1"] == 0.5
    assert known.at(NOW + HOUR // 2 - 1, window) is first
    second = known.at(NOW + HOUR // 2, window)
    assert (second.raw["return_1"] != first.raw["return_1"], known.computed) == (True, 2)
    assert known.at(NOW - HOUR // 2 + STALE, window) is second
    with pytest.raises(Unusable, match="hours ago"):
        known.at(NOW - HOUR // 2 + STALE + 1, window)
    known.at(NOW, MarketWindow(symbol="ETH", bars=bars(2, 1)))
    known.at(NOW, window)  # there was room for one
    assert known.computed == 4


numbers = st.none() | st.floats() | st.integers(-10, 10)
flows = st.builds(
    LargeFlow,
    symbol=st.sampled_from([None, "BTC", "ETH"]),
    kind=st.sampled_from([None, "buy", "sell", "long", "short", "other"]),
    amount_usd=st.none() | st.floats(),
    ts=st.none() | st.integers(NOW - 8 * HOUR, NOW + HOUR),
)
sections = st.none() | st.lists(flows, max_size=4).map(tuple)


@settings(max_examples=60, deadline=None)
@given(
    found=st.builds(
        Aggregate,
        symbols=st.just(("BTC",)),
        whales=sections,
        smart_money=sections,
        liquidations=sections,
        funding=st.none() | st.lists(st.builds(FundingRate, rate=st.none() | st.floats()), max_size=3).map(tuple),
        figures=st.lists(
            st.builds(
                SymbolFigure,
                st.sampled_from(BLOCKS),
                st.just("BTC"),
                st.sampled_from(["count", "rate", "longs", "window_hours", "watched_from", "netflow", "other"]),
                st.floats() | st.integers(-10, 10),
            ),
            max_size=4,
        ).map(tuple),
    ),
    window=st.lists(
        st.builds(
            WindowBar,
            ts=st.integers(0, 6).map(lambda hours: NOW - hours * HOUR),
            open=st.floats(0, 10),
            high=st.floats(5, 10),
            low=st.floats(0, 5),
            close=st.none() | st.floats(0, 10),
        ),
        max_size=6,
    ),
)
def test_whatever_is_said_is_a_known_feature_or_a_mistake_that_is_told(
    found: Aggregate, window: list[WindowBar]
) -> None:
    raw: dict[str, float] = {}
    with contextlib.suppress(Unusable):
        raw |= figures_of(found, "BTC", NOW)
    with contextlib.suppress(Unusable):
        raw |= WindowFeatures().at(NOW, MarketWindow(symbol="BTC", bars=tuple(window))).raw
    assert all(value != value or -1.0 <= value <= 1.0 for value in scale(raw, MARKET_29))
    assert all(math.isfinite(value) for value in raw.values())
