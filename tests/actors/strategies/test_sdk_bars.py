"""Bars as a strategy reads them."""

from __future__ import annotations

from datetime import UTC, datetime

import numpy as np
import pytest

from actors.strategies.sdk import Bar, Bars, Frames, Quote
from actors.strategies.sdk.bars import COLUMNS
from tests.actors.strategies.sdk_kit import MINUTE, START, random_bars


def test_a_column_is_read_by_its_name_or_as_an_attribute_and_a_bar_by_its_place() -> None:
    bars = random_bars(1, 5)
    assert bars["close"] is bars.close
    assert bars.close.dtype == np.float64
    assert bars.timestamp.dtype == np.int64
    assert bars[0].timestamp == START
    assert bars[-1] == bars.last == list(bars)[-1]
    assert bars.last.close == bars.close[-1]
    assert bars.last.end == START + 5 * MINUTE
    assert isinstance(bars.last, Bar)
    assert {type(value) for value in bars.last} == {str, int, float}, "plain numbers, none of numpy"


def test_a_slice_and_a_tail_are_bars_again() -> None:
    bars = random_bars(1, 5)
    assert [bar.timestamp for bar in bars[1:3]] == [START + MINUTE, START + 2 * MINUTE]
    assert len(bars.tail(2)) == 2
    assert bars.tail(2).last == bars.last
    assert len(bars.tail(9)) == 5
    assert len(bars.tail(0)) == 0
    with pytest.raises(ValueError, match=r"^count: expected at least 0, got -1$"):
        bars.tail(-1)


def test_what_is_not_there_is_told() -> None:
    bars = random_bars(1, 2)
    with pytest.raises(KeyError, match="'price': expected a column: timestamp, open, high, low, close, volume"):
        bars["price"]
    with pytest.raises(IndexError, match=r"^bar 2 of 2: <Bars ABC 1m: 2>$"):
        bars[2]
    with pytest.raises(IndexError):
        bars[:0].last  # noqa: B018
    assert "close" in bars
    assert "price" not in bars


def test_columns_that_are_missing_unknown_or_of_another_length_are_refused() -> None:
    columns = {name: [1, 2] for name in COLUMNS}
    assert len(Bars.from_columns("A", "1m", columns)) == 2
    without = {name: values for name, values in columns.items() if name not in ("trades", "vwap")}
    assert np.isnan(Bars.from_columns("A", "1m", without).vwap).all()
    with pytest.raises(ValueError, match=r"^close: this column is missing$"):
        Bars.from_columns("A", "1m", {name: values for name, values in columns.items() if name != "close"})
    with pytest.raises(ValueError, match=r"^price: expected the columns"):
        Bars.from_columns("A", "1m", {**columns, "price": [1, 2]})
    with pytest.raises(ValueError, match=r"^close: expected 2 values in one dimension, got the shape \(3,\)$"):
        Bars.from_columns("A", "1m", {**columns, "close": [1, 2, 3]})


def test_a_time_is_the_same_as_a_datetime() -> None:
    assert random_bars(1, 1).last.at == datetime(2023, 11, 14, 22, 13, 20, tzinfo=UTC)
    quote = Quote("A", 1.0, 5.0, 2.0, 5.0, START + 1_234_567)
    assert quote.at.microsecond == 1234
    assert (quote.mid, quote.spread) == (1.5, 1.0)


def test_frames_are_a_dictionary_of_the_first_timeframe_and_know_the_others() -> None:
    fine, coarse = random_bars(1), random_bars(2, timeframe="5m")
    frames = Frames({"1m": {"ABC": fine}, "5m": {"ABC": coarse}})
    assert list(frames) == ["ABC"]
    assert frames["ABC"] is fine
    assert frames.timeframes == ("1m", "5m")
    assert frames.timeframe("5m")["ABC"] is coarse
    with pytest.raises(KeyError, match="this run has the timeframes 1m, 5m"):
        frames.timeframe("1h")


def test_a_frame_of_pandas_has_the_starts_as_its_index() -> None:
    pandas = pytest.importorskip("pandas")
    bars = random_bars(1, 3)
    frame = bars.to_pandas()
    assert list(frame.columns) == ["open", "high", "low", "close", "volume", "trades", "vwap"]
    assert frame.index[0] == pandas.Timestamp(START, tz="UTC")
    assert frame["close"].tolist() == bars.close.tolist()
