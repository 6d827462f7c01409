"""Bars out of files: what columns and times may be called, what is told of a wrong line, longer bars out of shorter."""

from __future__ import annotations

import gzip
from math import isnan, nan
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from actors.market.bars_intervals import parse_interval
from actors.market.history import Part, Span
from actors.market.history_files import History
from actors.strategies.bar_files import BarFile, BarFileError, Coarser, interval_name, merged, nanos_of, time_text
from actors.strategies.sandbox.wire import BarInput
from actors.strategies.synthetic_bars import lines
from protocols.market import Bar

MINUTE = 60_000_000_000
JANUARY = 1_704_067_200_000_000_000
SAMPLE = Path(__file__).resolve().parents[3] / "config" / "samples" / "synthetic-1m.csv"


def write(path: Path, *rows: str) -> Path:
    text = "\n".join(rows) + "\n"
    if path.suffix == ".gz":
        path.write_bytes(gzip.compress(text.encode()))
    else:
        path.write_text(text)
    return path


def test_the_sample_is_what_its_first_line_says(tmp_path: Path) -> None:
    text = SAMPLE.read_text()
    assert text == "".join(f"{line}\n" for line in lines(1000, 7))
    assert text.startswith("# synthetic: made up by `troupe strategy sample --bars 1000 --seed 7`, of no market\n")
    assert SAMPLE.stat().st_size < 100_000
    bars = list(BarFile(SAMPLE, symbol="MADE-UP"))
    assert len(bars) == 1000
    assert all(bar.low <= min(bar.open, bar.close) <= max(bar.open, bar.close) <= bar.high for bar in bars)
    assert (bars[0].symbol, bars[0].timeframe, bars[0].start, bars[0].end) == (
        "MADE-UP",
        "1m",
        JANUARY,
        JANUARY + MINUTE,
    )
    assert bars[0].now == bars[0].end


@pytest.mark.parametrize(
    "rows",
    [
        ("timestamp,open,high,low,close,volume", "2024-01-01 00:00:00,1,3,0.5,2,9", "2024-01-01 00:01:00,2,2,2,2,1"),
        ("Date;Open;High;Low;Close;Vol", "2024-01-01T00:00:00Z;1;3;0.5;2;9", "2024-01-01T00:01:00Z;2;2;2;2;1"),
        ("Open time,Open,High,Low,Close,Volume", "1704067200000,1,3,0.5,2,9", "1704067260000,2,2,2,2,1"),
        ("<DATE>\t<TIME>\t<OPEN>\t<HIGH>\t<LOW>\t<CLOSE>\t<VOL>",
         "2024-01-01\t00:00:00\t1\t3\t0.5\t2\t9", "2024-01-01\t00:01:00\t2\t2\t2\t2\t1"),
        ("volume,close,low,high,open,time", "9,2,0.5,3,1,01.01.2024 00:00:00.000", "1,2,2,2,2,01.01.2024 00:01:00"),
        ("# made up", "timestamp,open,high,low,close,volume", "1704067200,1,3,0.5,2,9", "", "1704067260,2,2,2,2,1"),
        ('"timestamp","open","high","low","close","volume"',
         '"2024-01-01T01:00:00+01:00","1","3","0.5","2","9"', '"2024-01-01T01:01:00+01:00","2","2","2","2","1"'),
    ],
)  # fmt: skip
@pytest.mark.parametrize("name", ["abc.csv", "abc.csv.gz"])
def test_columns_are_found_by_their_usual_names_and_times_in_their_usual_forms(
    tmp_path: Path, rows: tuple[str, ...], name: str
) -> None:
    file = BarFile(write(tmp_path / name, *rows))
    assert (file.symbols, file.interval.name) == (("ABC",), "1m")
    first, second = file
    assert (first.start, first.open, first.high, first.low, first.close, first.volume) == (JANUARY, 1, 3, 0.5, 2, 9)
    assert isnan(first.trades)
    assert isnan(first.vwap)
    assert second.start == JANUARY + MINUTE


@pytest.mark.parametrize(
    ("rows", "message"),
    [
        (("1,2,3",), "expected a first line that names the column time, got: 1, 2, 3"),
        ((), "expected a first line that names the column time, got: nothing"),
        (("time,open,high,low", "1,1,1,1"),
         "expected a first line that names the column close, got: time, open, high, low"),
        (("time,open,high,low,close", "01/02/2024,1,1,1,1"),
         "expected times that can be read in one way, or to be told the form (dmy or mdy), got '01/02/2024'"),
        (("time,open,high,low,close", "soon,1,1,1,1"),
         "bar 1: time: expected one such as 2024-01-31 09:30:00, got 'soon'"),
        (("time,open,high,low,close", "2024-01-01,1,x,1,1"), "bar 1: high: expected a number, got 'x'"),
        (("time,open,high,low,close", "2024-01-01,1,1,1,nan"),
         "bar 1: close: expected a number, got none or one out of range"),
        (("time,open,high,low,close", "2024-01-01,1,1"), "expected 5 in each row, got 3: '2024-01-01,1,1'"),
        (("time,open,high,low,close", "2024-01-01,1,1,1,1"), "expected two bars, or to be told the timeframe"),
        (("time,open,high,low,close", "2024-01-02,1,1,1,1", "2024-01-03,1,1,1,1", "2024-01-01,1,1,1,1"),
         "bar 3: time: expected bars in order, got one that is not behind the last"),
    ],
)  # fmt: skip
def test_a_wrong_file_is_told_with_the_place(tmp_path: Path, rows: tuple[str, ...], message: str) -> None:
    path = write(tmp_path / "abc.csv", *rows)
    with pytest.raises(BarFileError) as caught:
        list(BarFile(path))
    assert str(caught.value).removeprefix(str(path)).lstrip(":, ") == message


def test_files_that_cannot_be_read_are_told(tmp_path: Path) -> None:
    with pytest.raises(BarFileError, match="No such file"):
        BarFile(tmp_path / "none.csv")
    (tmp_path / "broken.csv.gz").write_bytes(b"this is not gzip")
    with pytest.raises(BarFileError, match="expected a file that can be read, got: zlib"):
        BarFile(tmp_path / "broken.csv.gz")
    (tmp_path / "latin.csv").write_bytes(b"time,open,high,low,close\n\xff\xfe,1,1,1,1\n")
    with pytest.raises(BarFileError, match="invalid UTF8"):
        list(BarFile(tmp_path / "latin.csv", interval="1m"))
    with pytest.raises(BarFileError, match="expected a folder of `troupe data download`"):
        BarFile(tmp_path)
    with pytest.raises(BarFileError, match="expected an interval such as"):
        BarFile(SAMPLE, interval="soon")


def test_a_file_of_several_symbols_gives_all_of_them_or_the_one_that_is_asked_for(tmp_path: Path) -> None:
    path = write(
        tmp_path / "two.csv", "time,symbol,open,high,low,close",
        "2024-01-01,A,1,1,1,1", "2024-01-01,B,2,2,2,2", "2024-01-02,A,3,3,3,3", "2024-01-02,B,4,4,4,4",
    )  # fmt: skip
    both = BarFile(path)
    assert (both.symbols, both.interval.name) == (("A", "B"), "1d")
    assert [(bar.symbol, bar.close) for bar in both] == [("A", 1), ("B", 2), ("A", 3), ("B", 4)]
    assert [bar.close for bar in BarFile(path, symbol="B")] == [2, 4]
    with pytest.raises(BarFileError, match="expected bars of C, got none"):
        BarFile(path, symbol="C")


def test_a_file_is_read_anew_each_time_and_several_are_merged_by_the_end_of_their_bars(tmp_path: Path) -> None:
    head = "time,open,high,low,close"
    one = BarFile(write(tmp_path / "one.csv", head, "2024-01-01,1,1,1,1", "2024-01-03,1,1,1,1"), interval="1d")
    two = BarFile(write(tmp_path / "two.csv", head, "2024-01-02,2,2,2,2", "2024-01-03,2,2,2,2"), interval="1d")
    for _ in range(2):
        assert [(bar.symbol, bar.start // (1440 * MINUTE)) for bar in merged([one, two])] == [
            ("ONE", 19723), ("TWO", 19724), ("ONE", 19725), ("TWO", 19725),
        ]  # fmt: skip


def test_a_downloaded_history_is_read_from_its_folder(tmp_path: Path) -> None:
    history = History(tmp_path, "binance", "BTCUSDT", "bars", "1m")
    history.folder.mkdir(parents=True)
    bars = [
        Bar(
            "BTCUSDT", "1m", start, start + MINUTE, 10**9, 3 * 10**9, 5 * 10**8, 2 * 10**9,
            volume=volume, trades=trades, vwap=vwap, source="venue", ts_recv=0,
        )
        for start, volume, trades, vwap in ((JANUARY, "9.5", 4, 15 * 10**8), (JANUARY + MINUTE, "", None, None))
    ]  # fmt: skip
    span = Span(JANUARY, JANUARY + 2 * MINUTE)
    name, size, _ = history.write_bars(span, bars, 0)
    part = Part(file=name, start=span.start, end=span.end, rows=2, first=JANUARY, last=JANUARY + MINUTE, bytes=size)
    history.keep(history.manifest().with_part(part))
    file = BarFile(tmp_path)
    assert file.path == history.folder == BarFile(history.folder).path
    assert (file.symbols, file.interval.name) == (("BTCUSDT",), "1m")
    first, second = file
    assert first == BarInput(
        "BTCUSDT", "1m", JANUARY, JANUARY + MINUTE, 1.0, 3.0, 0.5, 2.0, 9.5, 4.0, 1.5, JANUARY + MINUTE
    )
    assert isnan(second.volume)
    assert isnan(second.trades)
    assert isnan(second.vwap)
    other = History(tmp_path, "binance", "ETHUSDT", "bars", "1h")
    other.folder.mkdir(parents=True)
    other.keep(other.manifest())
    with pytest.raises(BarFileError, match=r"one history, got 2: binance/BTCUSDT/bars-1m, binance/ETHUSDT/bars-1h$"):
        BarFile(tmp_path)


def bar(minute: int, price: float, volume: float = 1.0) -> BarInput:
    start = JANUARY + minute * MINUTE
    return BarInput(
        "A", "1m", start, start + MINUTE, price, price + 1, price - 1, price, volume, 2.0, price, start + MINUTE
    )


def test_longer_bars_are_complete_with_their_last_part_and_begin_with_a_whole_one() -> None:
    coarser = Coarser(parse_interval("1m"), parse_interval("5m"))
    found = [coarser.take(bar(minute, float(minute))) for minute in range(3, 12)]
    assert [len(each) for each in found] == [0, 0, 0, 0, 0, 0, 1, 0, 0], (
        "the five minutes that begin at 0 are not whole"
    )
    (five,) = found[6]
    assert (five.timeframe, five.start, five.end) == ("5m", JANUARY + 5 * MINUTE, JANUARY + 10 * MINUTE)
    assert (five.open, five.high, five.low, five.close) == (5.0, 10.0, 4.0, 9.0)
    assert (five.volume, five.trades, five.vwap, five.now) == (5.0, 10.0, 7.0, JANUARY + 10 * MINUTE)


def test_a_longer_bar_whose_last_part_is_missing_is_complete_with_the_next_bar() -> None:
    coarser = Coarser(parse_interval("1m"), parse_interval("5m"))
    assert [coarser.take(bar(minute, 1.0)) for minute in (0, 1)] == [[], []]
    (five,) = coarser.take(bar(7, 2.0))
    assert (five.start, five.close, five.now) == (JANUARY, 1.0, JANUARY + 8 * MINUTE)
    without = Coarser(parse_interval("1m"), parse_interval("2m"))
    without.take(bar(0, 1.0, nan))
    (two,) = without.take(bar(1, 1.0))
    assert isnan(two.volume)
    assert isnan(two.vwap)
    with pytest.raises(ValueError, match="timeframe: expected a multiple of 5m, got 7m"):
        Coarser(parse_interval("5m"), parse_interval("7m"))
    with pytest.raises(ValueError, match="timeframe: expected a multiple of 5m, got 1m"):
        Coarser(parse_interval("5m"), parse_interval("1m"))


@given(st.integers(0, 253_402_300_799_999_999))
def test_a_time_is_read_as_it_is_written(microseconds: int) -> None:
    assert nanos_of(time_text(microseconds * 1000)) == microseconds * 1000


@pytest.mark.parametrize(
    ("text", "ts"),
    [
        ("1704067200", JANUARY), ("1704067200.5", JANUARY + 500_000_000), ("1704067200000", JANUARY),
        ("1704067200000000", JANUARY), (str(JANUARY), JANUARY), ("20240101", JANUARY), ("2024-01-01", JANUARY),
        ("31.12.2023 23:00", JANUARY - 60 * MINUTE),
    ],
)  # fmt: skip
def test_a_number_is_a_time_in_the_unit_that_its_size_tells(text: str, ts: int) -> None:
    assert nanos_of(text) == ts


def test_an_interval_has_the_name_of_its_longest_unit() -> None:
    names = [
        interval_name(parse_interval(name).length) for name in ("500ms", "1s", "90s", "1m", "4h", "1d", "1w", "2w")
    ]
    assert names == ["500ms", "1s", "90s", "1m", "4h", "1d", "1w", "14d"]
    with pytest.raises(BarFileError, match="expected bars a number of milliseconds apart"):
        interval_name(1_500_000)
