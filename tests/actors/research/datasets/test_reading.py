"""Files as tables: what columns may be called, exact digits, equal hashes, several markets, longer bars, pieces."""

from __future__ import annotations

import gzip
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest
import zstandard
from hypothesis import given, settings
from hypothesis import strategies as st
from pyarrow import parquet

from actors.market.history import Part, Span
from actors.market.history_files import History
from actors.market.tables.options import ReadOptions
from actors.research.datasets.collected import collect
from actors.research.datasets.doubts import doubts
from actors.research.datasets.folders import DatasetError, folder_of
from actors.research.datasets.hashing import content_hash
from actors.research.datasets.importing import preview
from actors.research.datasets.jobs import Job
from actors.research.datasets.reading import chunks, open_bars, open_file, open_l2, open_quotes, open_trades
from actors.research.datasets.stored import FILE, StoredFile, write
from actors.research.datasets.table import LAST, MISSING, SNAPSHOT, Table
from actors.research.datasets.texts import write_csv
from actors.research.datasets.validation import validate
from protocols.market import Bar

MINUTE = 60 * 10**9
JANUARY = 1_704_067_200_000_000_000
NAMED = "time,open,high,low,close"
HEAD = "timestamp,open,high,low,close,volume"


def text(path: Path, *rows: str) -> Path:
    path.write_text("\n".join(rows) + "\n")
    return path


def minutes(count: int, first: int = 0) -> list[str]:
    places = range(first, first + count)
    return [f"2024-01-01 {at // 60:02d}:{at % 60:02d}:00,{at}.5,{at + 1},{at},{at}.25,{at}.1" for at in places]


def stored(path: Path, folder: Path, options: ReadOptions | None = None) -> Path:
    collected = collect(path, options)
    write(collected, content_hash(collected), folder / FILE)
    return folder


def test_the_interval_of_rows_in_any_order_is_that_of_the_rows_in_order(tmp_path: Path) -> None:
    rows = minutes(200)
    shuffled = [rows[at] for at in np.random.default_rng(1).permutation(200)]
    found = open_file(text(tmp_path / "a.csv", HEAD, *shuffled))
    assert found.interval == "1m"
    assert found.columns["start"].tolist() == open_file(text(tmp_path / "b.csv", HEAD, *rows)).columns["start"].tolist()


def test_doubtful_bars_are_counted_and_sound_ones_are_not(tmp_path: Path) -> None:
    sound = minutes(60, first=1)
    assert doubts(open_file(text(tmp_path / "a.csv", HEAD, *sound))) == ()
    rows = [
        *sound[:50],
        sound[49],
        "2024-01-01 00:51:00,nan,,,,1",
        "2024-01-01 00:52:00,0,0,0,0,1",
        "2024-01-01 00:53:00,5,6,4,7,-1",
        "2024-01-01 00:53:30,5,6,4,5,1",
        *sound[53:],
    ]
    assert doubts(open_file(text(tmp_path / "b.csv", HEAD, *rows))) == (
        "1 bars of b without a price or a time, left out",
        "1 bars of b repeated exactly, used once",
        "1 bars of b with a price of zero or less",
        "1 bars of b whose open or close is not between low and high",
        "1 bars of b with a volume below zero",
        "2 bars of b too near to the one before for 1m",
    )


def test_a_day_of_23_hours_is_no_doubt_and_hours_among_days_are(tmp_path: Path) -> None:
    days = [f"2024-03-{day:02d}T{4 + (day < 10):02d}:00:00Z,1,2,1,2,1" for day in range(1, 32)]
    assert doubts(open_file(text(tmp_path / "a.csv", HEAD, *days))) == ()
    hours = [f"2024-03-20T{hour:02d}:00:00Z,1,2,1,2,1" for hour in range(5, 8)]
    mixed = open_file(text(tmp_path / "b.csv", HEAD, *days[:20], *hours, *days[20:]))
    assert doubts(mixed) == ("3 bars of b too near to the one before for 1d",)
    [finding] = [each for each in validate(mixed).findings if each.kind == "steps"]
    assert (finding.count, finding.rows) == (3, (21, 22, 23))
    assert not [each for each in validate(open_file(tmp_path / "a.csv")).findings if each.kind == "steps"]


def test_bars_are_read_with_exact_digits_and_told_by_their_columns(tmp_path: Path) -> None:
    found = open_file(text(tmp_path / "abc.csv", HEAD, "2024-01-01,0.1,0.3,0.1,0.2,12345678901.5",
                           "2024-01-01 00:01,0.2,0.2,0.2,0.2,0.000000000001"))  # fmt: skip
    assert (found.kind, found.market, found.interval, len(found)) == ("bars", "ABC", "1m", 2)
    columns = found.columns
    assert columns["start"].tolist() == [JANUARY, JANUARY + MINUTE]
    assert columns["ts"].tolist() == columns["end"].tolist() == [JANUARY + MINUTE, JANUARY + 2 * MINUTE]
    assert columns["open"].tolist() == [100_000_000, 200_000_000]
    assert columns["trades"].tolist() == columns["vwap"].tolist() == [MISSING, MISSING]
    assert found.texts("volume") == ["12345678901.5", "0.000000000001"]
    assert columns["volume"].tolist() == [12345678901.5, 1e-12]


@pytest.mark.parametrize(
    "rows",
    [
        ("Date;Open;High;Low;Close;Vol", "2024-01-01T00:00:00Z;1;3;0.5;2;9", "2024-01-01T00:01:00Z;2;2;2;2;1"),
        ("<DATE>\t<TIME>\t<OPEN>\t<HIGH>\t<LOW>\t<CLOSE>\t<VOL>",
         "2024-01-01\t00:00:00\t1\t3\t0.5\t2\t9", "2024-01-01\t00:01:00\t2\t2\t2\t2\t1"),
        ("# made up", HEAD, "1704067200,1,3,0.5,2,9", "# in between", "", "1704067260,2,2,2,2,1"),
    ],
)  # fmt: skip
@pytest.mark.parametrize("suffix", [".csv", ".csv.gz", ".csv.zst"])
def test_equal_rows_have_equal_hashes_whatever_file_they_came_in(
    tmp_path: Path, rows: tuple[str, ...], suffix: str
) -> None:
    content = ("\n".join(rows) + "\n").encode()
    packed = {".csv": content, ".csv.gz": gzip.compress(content), ".csv.zst": zstandard.compress(content)}[suffix]
    path = tmp_path / f"one{suffix}"
    path.write_bytes(packed)
    other = tmp_path / "other.parquet"
    stamps = pa.array([JANUARY, JANUARY + MINUTE]).cast(pa.timestamp("ns", "UTC"))
    parquet.write_table(
        pa.table({"ts": stamps, "o": [1.0, 2.0], "h": [3.0, 2.0], "l": [0.5, 2.0], "c": [2.0, 2.0], "vol": [9, 1]}),
        other,
    )
    assert open_file(path).content_hash == open_file(other).content_hash


prices = st.integers(-(10**12), 10**12)
bar_rows = st.lists(
    st.tuples(prices, prices, prices, prices, st.none() | st.integers(0, 10**30)), min_size=2, max_size=40
)


@settings(max_examples=25, deadline=None)
@given(rows=bar_rows)
def test_what_is_stored_and_written_as_csv_is_read_back_equal(
    rows: list[tuple[int, ...]], tmp_path_factory: pytest.TempPathFactory
) -> None:
    folder = tmp_path_factory.mktemp("bars")
    lines = []
    for at, (*four, volume) in enumerate(rows):
        digits = [f"{value}e-9" for value in four] + ["" if volume is None else f"{volume}e-12"]
        lines.append(f"{1704067200 + 60 * at},{','.join(digits)}")
    before = open_bars(text(folder / "a.csv", HEAD, *lines))
    stored(folder / "a.csv", folder / "set")
    with (folder / "back.csv").open("wb") as output:
        write_csv(StoredFile(folder / "set" / FILE), output)
    for after in (open_bars(folder / "set"), open_bars(folder / "back.csv")):
        assert after.content_hash == before.content_hash
        assert after.texts("volume") == before.texts("volume")
        for name, values in before.columns.items():
            assert np.array_equal(values, after.columns[name], equal_nan=True), name
    assert [
        tuple(before.columns[name][at] for name in ("open", "high", "low", "close")) for at in range(len(rows))
    ] == [row[:4] for row in rows]


def test_rows_are_put_in_order_and_a_file_with_the_newest_first_is_turned_round(tmp_path: Path) -> None:
    rows = minutes(4)
    straight = open_bars(text(tmp_path / "a.csv", HEAD, *rows))
    for mixed in (rows[::-1], [rows[1], rows[0], rows[2], rows[3]]):
        assert open_bars(text(tmp_path / "b.csv", HEAD, *mixed)).content_hash == straight.content_hash
    assert collect(text(tmp_path / "b.csv", HEAD, *rows[::-1])).faults["reversed"] == 4
    assert collect(text(tmp_path / "b.csv", HEAD, rows[1], rows[0], *rows[2:])).faults["out_of_order"] == 1


def test_bars_without_a_price_and_exact_repeats_are_left_out_and_counted_but_never_a_contradiction(
    tmp_path: Path,
) -> None:
    rows = minutes(3)
    lacking = rows[1].replace(",1.25,", ",,")
    found = open_bars(text(tmp_path / "a.csv", HEAD, rows[0], rows[0], lacking, rows[2]), interval="1m")
    assert found.dropped == {"no_price": 1, "repeated": 1}
    assert found.columns["start"].tolist() == [JANUARY, JANUARY + 2 * MINUTE]
    assert found.texts("volume") == ["0.1", "2.1"]
    other = rows[0].replace("0.25", "0.75")
    with pytest.raises(DatasetError, match=r"one bar of A at 2024-01-01T00:00:00.*two that differ \(rows 1, 2\)"):
        open_bars(text(tmp_path / "a.csv", HEAD, rows[0], other, *rows[1:]))


def test_a_file_of_several_markets_gives_all_or_the_one_that_is_asked_for(tmp_path: Path) -> None:
    path = text(tmp_path / "two.csv", "time,symbol,open,high,low,close", "2024-01-01,B,2,2,2,2", "2024-01-01,A,1,1,1,1",
                "2024-01-02,A,3,3,3,3", "2024-01-02,B,4,4,4,4")  # fmt: skip
    both = open_bars(path)
    assert (both.market, both.markets, both.interval) == ("", ("A", "B"), "1d")
    assert both.columns["market"].tolist() == [0, 1, 0, 1]
    assert both.of("B").columns["close"].tolist() == [2 * 10**9, 4 * 10**9]
    for one in (open_bars(path, market="B"), open_bars(stored(path, tmp_path / "set"), market="B")):
        assert (one.market, one.markets, one.columns["close"].tolist()) == ("B", ("B",), [2 * 10**9, 4 * 10**9])
    for file in (path, tmp_path / "set"):
        with pytest.raises(DatasetError, match="C"):
            open_bars(file, market="C")


def test_longer_bars_are_put_together_exactly_and_only_whole_ones(tmp_path: Path) -> None:
    path = text(tmp_path / "a.csv", HEAD, *minutes(14, first=3))
    found = open_bars(path, interval="5m")
    assert found.interval == "5m"
    assert found.columns["start"].tolist() == [JANUARY + 5 * MINUTE, JANUARY + 10 * MINUTE]
    assert found.columns["open"].tolist() == [5_500_000_000, 10_500_000_000]
    assert found.columns["high"].tolist() == [10 * 10**9, 15 * 10**9]
    assert found.columns["close"].tolist() == [9_250_000_000, 14_250_000_000]
    assert found.texts("volume") == ["35.5", "60.5"]
    with pytest.raises(DatasetError, match="expected a multiple of 1m, which most bars are apart, got 90s"):
        open_bars(path, interval="90s")


def test_between_gives_the_rows_of_a_span_without_a_copy(tmp_path: Path) -> None:
    whole = open_bars(text(tmp_path / "a.csv", HEAD, *minutes(10)))
    part = whole.between(JANUARY + 3 * MINUTE, JANUARY + 6 * MINUTE)
    assert part.columns["ts"].tolist() == [JANUARY + at * MINUTE for at in (3, 4, 5)]
    assert part.texts("volume") == whole.texts("volume", 2, 5)
    assert np.shares_memory(part.columns["open"], whole.columns["open"])


def test_quotes_trades_and_levels_are_told_apart_by_columns_and_sides(tmp_path: Path) -> None:
    quotes = open_file(
        text(tmp_path / "q.csv", "ts,bid,bid_size,ask,ask_size", "1704067200,1.1,5,,", "1704067201,1.1,5,1.3,2")
    )
    assert quotes.kind == "quotes"
    assert (quotes.columns["ask"].tolist(), quotes.columns["ask_size"].tolist()) == (
        [MISSING, 1_300_000_000],
        [0, 2 * 10**9],
    )
    trades = open_file(text(tmp_path / "t.csv", "ts,price,qty,side", "1704067201,1.5,2,buy", "1704067200,1.4,1,sell"))
    assert (trades.kind, trades.columns["taker"].tolist()) == ("trades", [-1, 1])
    book = ("ts,side,price,size,is_snapshot", "1704067200,bid,1,5,true", "1704067200,ask,2,5,true")
    levels = open_file(text(tmp_path / "l.csv", *book, "1704067201,bid,1,0,false"))
    assert levels.kind == "l2"
    assert levels.columns["flags"].tolist() == [SNAPSHOT, SNAPSHOT | LAST, LAST]
    assert levels.columns["side"].tolist() == [1, -1, 1]
    with pytest.raises(DatasetError, match="kind: expected to be told which: trades or l2"):
        open_file(text(tmp_path / "x.csv", "ts,price,size,side", "1704067200,1,1,yes"))
    with pytest.raises(DatasetError, match="side: expected bid or ask, got 'up', in row 1"):
        open_l2(text(tmp_path / "x.csv", "ts,price,size,side", "1704067200,1,1,up"))


def test_times_of_receipt_are_the_moments_and_else_the_running_maximum_of_the_venues(tmp_path: Path) -> None:
    both = "ts,recv_time,seq,price,size\n1704067202,1704067203,1,1,1\n1704067201,1704067204,2,1,1\n"
    (tmp_path / "a.csv").write_text(both)
    assert (open_trades(tmp_path / "a.csv").columns["ts"] // 10**9).tolist() == [1704067203, 1704067204]
    path = text(tmp_path / "b.csv", "ts,seq,price,size", "1704067202,1,1,1", "1704067201,2,1,1")
    assert (open_trades(path).columns["ts"] // 10**9).tolist() == [1704067202, 1704067202]


def test_pieces_hold_whole_messages_and_make_up_the_whole(tmp_path: Path) -> None:
    rows = [f"{1704067200 + at // 3},{at // 3},bid,{at + 1},{at}" for at in range(300)]
    path = text(tmp_path / "l.csv", "ts,seq,side,price,size", *rows)
    folder = stored(path, tmp_path / "set", ReadOptions(kind="l2"))
    whole = open_l2(folder)
    for source in (folder, path):
        found = list(chunks(source, kind="l2", rows=70))
        assert len(found) > 3
        assert all(piece.columns["flags"][-1] & LAST for piece in found)
        for name, values in whole.columns.items():
            assert np.array_equal(np.concatenate([piece.columns[name] for piece in found]), values)
    with pytest.raises(DatasetError, match="kind: expected quotes, got l2"):
        open_quotes(folder)


def test_a_downloaded_history_is_read_from_its_folder(tmp_path: Path) -> None:
    history = History(tmp_path, "binance", "BTCUSDT", "bars", "1m")
    history.folder.mkdir(parents=True)
    bars = [
        Bar("BTCUSDT", "1m", start, start + MINUTE, 10**9, 3 * 10**9, 5 * 10**8, 2 * 10**9,
            volume=volume, trades=trades, vwap=vwap, source="venue", ts_recv=0)
        for start, volume, trades, vwap in ((JANUARY, "9.5", 4, 15 * 10**8), (JANUARY + MINUTE, "", None, None))
    ]  # fmt: skip
    span = Span(JANUARY, JANUARY + 2 * MINUTE)
    name, size, cut = history.write_bars(span, bars, 0)
    part = Part(
        file=name, start=span.start, end=span.end, rows=2, first=JANUARY, last=JANUARY + MINUTE, cut=cut, bytes=size
    )
    history.keep(history.manifest().with_part(part))
    found = open_bars(tmp_path)
    assert (found.market, found.interval) == ("BTCUSDT", "1m")
    assert found.columns["open"].tolist() == [10**9, 10**9]
    assert found.texts("volume") == ["9.5", ""]
    assert (found.columns["trades"].tolist(), found.columns["vwap"].tolist()) == ([4, MISSING], [15 * 10**8, MISSING])


@pytest.mark.parametrize(
    ("rows", "options", "message"),
    [
        (("1,2,3",), {}, "columns: expected the columns of bars .* got: 1, 2, 3"),
        ((), {}, "got: nothing"),
        (("time,open,high,low", "1,1,1,1"), {"kind": "bars"}, "close: expected a first line that names the column"),
        ((NAMED, "01/02/2024,1,1,1,1"), {}, r"time: .* \(dmy or mdy\), got '01/02/2024'"),
        ((NAMED, "2024-01-01,1,x,1,1"), {"interval": "1d"}, "high: expected a number, got 'x', in row 1"),
        ((NAMED, "2024-01-01,1,1"), {}, "columns: expected 5 in each row, got 3: '2024-01-01,1,1'"),
        ((NAMED, "2024-01-01,1,1,1,1"), {}, "interval: expected two bars, or to be told the interval"),
        ((NAMED, "2024-01-01,1,1,1,1"), {"interval": "soon"}, "interval: expected an interval"),
        (("time,open,open,low,close", "2024-01-01,1,1,1,1"), {}, "columns: .* got twice: open"),
        ((NAMED, "2024-01-01,1,1,1,1"), {"mapping": {"close": "last"}}, "mapping: expected a column of the file"),
        ((NAMED, "2024-01-01,1,1,1,1"), {"mapping": {"shut": "close"}}, "mapping: expected one of market, start"),
    ],
)  # fmt: skip
def test_a_wrong_file_is_told_with_the_field(
    tmp_path: Path, rows: tuple[str, ...], options: dict[str, object], message: str
) -> None:
    path = text(tmp_path / "abc.csv", *rows)
    with pytest.raises(DatasetError, match=message) as caught:
        open_file(path, options=ReadOptions(**options))  # type: ignore[arg-type]
    assert caught.value.field in str(caught.value)


def test_what_is_told_of_a_file_wins(tmp_path: Path) -> None:
    path = text(tmp_path / "a.csv", "01/02/2024 00:05;1,5;2;1;1,25;7", "01/02/2024 00:10;1,5;2;1;1,25;7")
    options = ReadOptions(
        columns=("when", "o", "h", "l", "last", "v"), mapping={"time": "when", "close": "last"}, time_form="mdy",
        decimal=",", named_by="end", zone="America/New_York", market="X",
    )  # fmt: skip
    found = open_file(path, options=options)
    start = JANUARY + 24 * 60 * MINUTE + 300 * MINUTE
    assert (found.market, found.interval, found.columns["start"].tolist()) == ("X", "5m", [start, start + 5 * MINUTE])
    assert found.columns["close"].tolist() == [1_250_000_000] * 2
    with pytest.raises(ValueError, match="decimal: expected one of"):
        ReadOptions(decimal=";")


def test_a_form_that_only_a_later_piece_tells_is_found(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("actors.market.tables.sources.BLOCK_BYTES", 256)
    rows = [f"{day:02d}/01/2024,1,1,1,1" for day in range(1, 29)]
    found = open_bars(text(tmp_path / "a.csv", "time,open,high,low,close", *rows))
    assert (len(found), found.interval) == (28, "1d")


def test_files_that_cannot_be_read_are_told(tmp_path: Path) -> None:
    with pytest.raises(DatasetError, match="No such file"):
        open_file(tmp_path / "none.csv")
    (tmp_path / "broken.csv.gz").write_bytes(b"this is not gzip")
    with pytest.raises(DatasetError, match="file: expected a file that can be read"):
        open_file(tmp_path / "broken.csv.gz")
    (tmp_path / "torn.parquet").write_bytes(b"PAR1" + b"\0" * 50)
    with pytest.raises(DatasetError, match="file: expected a parquet file"):
        open_file(tmp_path / "torn.parquet")
    (tmp_path / "latin.csv").write_bytes(b"time,open,high,low,close\n2024-01-01,\xff\xfe,1,1,1\n2024-01-02,1,1,1,1\n")
    with pytest.raises(DatasetError, match=r"UTF-?8"):
        open_file(tmp_path / "latin.csv")
    with pytest.raises(DatasetError, match=r"dataset_id: expected hex digits, got '\.\./x'"):
        folder_of(tmp_path, "../x")


@pytest.mark.parametrize(
    "column",
    [pa.array([[1], [2]]), pa.array([{"a": 1}, {"a": 2}]), pa.array([b"1", b"\xff"])],
    ids=["list", "struct", "bytes"],
)
@pytest.mark.parametrize("place", ["time", "open"])
def test_a_column_of_another_nature_is_told(tmp_path: Path, column: pa.Array, place: str) -> None:
    columns = {
        "time": pa.array([1704067200, 1704067260]),
        "open": [1, 1],
        "high": [1, 1],
        "low": [1, 1],
        "close": [1, 1],
    }
    parquet.write_table(pa.table(columns | {place: column}), tmp_path / "a.parquet")
    with pytest.raises(DatasetError, match=f"{place}: expected (a column that can be read|one such as)") as caught:
        open_file(tmp_path / "a.parquet")
    assert caught.value.field == place


def test_rows_from_the_middle_are_shown_as_text(tmp_path: Path) -> None:
    folder = stored(text(tmp_path / "a.csv", HEAD, *minutes(9)), tmp_path / "set")
    shown = preview(Job(task="preview", folder=str(folder), offset=4, limit=2))
    assert [(row["start"], row["open"], row["volume"]) for row in shown] == [
        ("2024-01-01T00:04:00.000000000Z", "4.5", "4.1"),
        ("2024-01-01T00:05:00.000000000Z", "5.5", "5.1"),
    ]
    assert preview(Job(task="preview", folder=str(folder), offset=9, limit=2)) == []


def test_a_table_of_one_market_is_its_own(tmp_path: Path) -> None:
    found: Table = open_bars(text(tmp_path / "a.csv", HEAD, *minutes(3)))
    assert found.of("A") is found
    with pytest.raises(KeyError, match="expected one of A, got 'B'"):
        found.of("B")


def test_a_file_that_says_it_was_made_up_is_marked_so(tmp_path: Path) -> None:
    path = tmp_path / "made.csv"
    path.write_text(
        "# synthetic: of no market\n# a remark\nts,open,high,low,close,volume\n"
        "2024-01-01T00:00:00Z,1,2,1,2,1\n2024-01-01T00:01:00Z,1,2,1,2,1\n"
    )
    assert open_file(path).marks == ("synthetic",)
