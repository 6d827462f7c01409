"""Windows: what a strategy may look back at, and that it never looks ahead."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from actors.strategies.sandbox.inside.windows import Window, Windows
from actors.strategies.sdk.bars import COLUMNS, Bars
from tests.actors.strategies.sandbox.serving import bar

MARKETS = (("A", "1m"), ("B", "1m"), ("A", "5m"))


def filled(count: int, lookback: int = 200) -> Window:
    window = Window("A", "1m", lookback)
    for place in range(count):
        window.append(bar(place, 100.0 + place, "A"))
    return window


def owners(bars: Bars) -> list[np.ndarray]:
    """The arrays at the end of every `.base` of the columns."""
    found = []
    for name in COLUMNS:
        array = getattr(bars, name)
        while array.base is not None:
            array = array.base
        found.append(array)
    return found


@given(st.integers(0, 700), st.integers(1, 300))
@settings(max_examples=60, deadline=None)
def test_a_table_shows_the_newest_bars_as_they_were_given(count: int, lookback: int) -> None:
    bars = filled(count, lookback).bars()
    shown = min(count, lookback)
    expected = [bar(place, 100.0 + place, "A") for place in range(count - shown, count)]
    assert len(bars) == shown
    assert bars.timestamp.tolist() == [each.start for each in expected]
    assert bars.end.tolist() == [each.end for each in expected]
    for name in ("open", "high", "low", "close", "volume", "trades", "vwap"):
        assert getattr(bars, name).tolist() == [getattr(each, name) for each in expected]


def test_nanoseconds_are_kept_to_the_last_digit() -> None:
    window = Window("A", "1m", 5)
    given = bar(0, 1.0, "A")
    window.append(type(given)("A", "1m", 1_709_294_400_123_456_789, 1_709_294_460_123_456_791, *[1.0] * 7, 0))
    assert window.bars().timestamp[0] == 1_709_294_400_123_456_789
    assert window.bars().end[0] == 1_709_294_460_123_456_791


def test_nothing_behind_a_column_is_longer_than_what_is_shown() -> None:
    bars = filled(500, 20).bars()
    for owner in owners(bars):
        assert owner.size == 20
    assert max(each.max() for each in owners(bars)) < 2**63


def test_a_table_that_is_read_late_shows_the_bars_of_its_moment() -> None:
    window = filled(50, 20)
    early, other = window.bars(), window.bars()
    seen = other.close.tolist()
    for place in range(50, 1000):
        window.append(bar(place, 100.0 + place, "A"))
    assert early.close.tolist() == seen
    assert len(early) == 20
    assert owners(early)[0].size == 20
    assert early.end.tolist() == [bar(place, 1.0).end for place in range(30, 50)]


def test_what_user_code_does_to_a_table_stays_in_that_table() -> None:
    window = filled(30, 20)
    first = window.bars()
    first.close[:] = 0.0
    first.timestamp.base[:] = -1.0
    assert window.bars().close.tolist() == [100.0 + place for place in range(10, 30)]


def test_columns_of_one_table_are_the_same_arrays_each_time() -> None:
    bars = filled(3).bars()
    assert bars.close is bars.close
    assert bars["close"] is bars.close
    assert bars.last.close == 102.0


def test_an_unknown_column_is_named() -> None:
    with pytest.raises(AttributeError, match="Bars has no attribute 'clsoe': its columns are timestamp, open"):
        filled(3).bars().clsoe  # noqa: B018


def test_frames_hold_the_symbols_that_have_bars_and_all_timeframes() -> None:
    windows = Windows(MARKETS, 10)
    assert windows.frames() is None
    windows.append(bar(0, 1.0, "B"))
    data = windows.frames()
    assert data is not None
    assert list(data) == ["B"]
    windows.append(bar(0, 2.0, "A"))
    windows.append(bar(0, 3.0, "A", "5m", 5))
    data = windows.frames()
    assert data is not None
    assert list(data) == ["A", "B"]
    assert data.timeframes == ("1m", "5m")
    assert data["A"].close.tolist() == [2.0]
    assert data.timeframe("5m")["A"].close.tolist() == [3.0]
    assert data.timeframe("1m")["A"] is data["A"]


def test_a_gap_empties_the_windows_of_its_symbol_and_history_fills_them_again() -> None:
    windows = Windows(MARKETS, 10)
    for place in range(5):
        windows.append(bar(place, 1.0 + place, "A"))
        windows.append(bar(place, 9.0, "B"))
    windows.clear("A")
    assert len(windows.bars("A", "1m")) == 0
    assert windows.price("A") is None
    assert len(windows.bars("B", "1m")) == 5
    windows.fill([bar(place, 1.0 + place, "A") for place in range(7)])
    windows.fill([bar(place, 50.0, "A") for place in range(3, 8)])
    assert windows.bars("A", "1m").close.tolist() == [1.0, 2.0, 3.0, 4.0, 5.0, 6.0, 7.0, 50.0]


def test_a_strange_symbol_or_timeframe_is_named_with_what_there_is() -> None:
    windows = Windows(MARKETS, 10)
    with pytest.raises(KeyError, match="'C': this run has the symbols A, B"):
        windows.price("C")
    with pytest.raises(KeyError, match="'C': this run has the symbols A, B"):
        windows.bars("C", "1m")
    with pytest.raises(KeyError, match="'5m': this run has B in the timeframes 1m"):
        windows.bars("B", "5m")
    assert windows.timeframes("A") == ("1m", "5m")
    assert windows.symbols() == ("A", "B")
