from __future__ import annotations

import json
from pathlib import Path
from typing import ClassVar

import msgspec
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from actors.market.importers.opening import open_recording
from actors.market.recordings.entries import Begin, Received, RecordingHeader
from actors.market.recordings.recording_file import write_recording
from actors.market.replay_core import ReplayCore
from actors.research.backtest.merging import merged
from actors.research.backtest.opening import Opened, file_hash
from actors.research.backtest.recording_source import RecordingSource
from actors.research.backtest.sources import Batch, SourceError, TableSource, expanded
from actors.research.backtest.spec import SpecError, read_spec, spec_of
from actors.research.datasets.folders import folder_of
from actors.research.datasets.jobs import RECORDING
from actors.research.datasets.table import LAST, MISSING, SNAPSHOT, Table
from protocols.market import BookUpdate, Quote, Trade
from tests.actors.research.backtest.kit import BEGIN, CENT, MINUTE, SECOND, bars, quotes, trades


class Listed:
    """A source out of a list of times."""

    content_hash = name = "listed"
    marks = ()
    closing: ClassVar[dict[str, int]] = {}
    intervals = frozenset()

    def __init__(self, number: int, times: list[int], cuts: int) -> None:
        self.feeds = {}
        self.times = [(ts, (number, place)) for place, ts in enumerate(times)]
        self.cuts = cuts

    def span(self):
        return None

    def batches(self):
        for begin in range(0, len(self.times), self.cuts):
            part = self.times[begin : begin + self.cuts]
            yield Batch("mixed", [ts for ts, _ in part], [message for _, message in part])


@settings(max_examples=80)
@given(
    st.lists(st.lists(st.integers(0, 12), max_size=12).map(sorted), min_size=1, max_size=4),
    st.integers(1, 5),
)
def test_sources_are_merged_by_time_then_by_source_then_by_row(times: list[list[int]], cuts: int) -> None:
    sources = [Listed(number, each, cuts) for number, each in enumerate(times)]
    found = [(ts, message) for batch in merged(sources) for ts, message in zip(batch.ts, batch.messages, strict=True)]
    assert found == sorted((ts, (number, place)) for number, each in enumerate(times) for place, ts in enumerate(each))


def messages(source) -> list:
    return [message for batch in source.batches() for message in batch.messages]


def quoted(source) -> list:
    books: dict = {}
    return [message for batch in source.batches() for message in expanded(batch, books).messages]


def test_rows_become_the_messages_that_they_are() -> None:
    table = quotes(3)
    table.columns["bid"][1] = MISSING
    table.columns["bid_size"][1] = 0
    first, second, _ = messages(TableSource(table, session="s"))
    ask = int(table.columns["ask"][0])
    size = int(table.columns["ask_size"][0])
    bid, bid_size = int(table.columns["bid"][0]), int(table.columns["bid_size"][0])
    assert first == Quote("A", bid, bid_size, ask, size, "s", 1, BEGIN - 1000, BEGIN)
    assert (second.bid, second.bid_size) == (None, 0)

    table = trades(2)
    table.columns["taker"][:] = (1, 0)
    [first, second] = messages(TableSource(table))
    price, size = int(table.columns["price"][0]), int(table.columns["size"][0])
    at = BEGIN + SECOND // 2
    assert first == Trade("A", price, size, "buy", "1", "trades", 1, 0, at)
    assert (second.taker, second.seq) == (None, 2)

    table = bars(2)
    [bar, _] = messages(TableSource(table))
    assert (bar.start, bar.end, bar.ts_recv, bar.trades, bar.vwap) == (
        BEGIN,
        BEGIN + MINUTE,
        BEGIN + MINUTE,
        None,
        None,
    )
    assert bar.volume == str(int(table.columns["volume"][0]))


def test_level_changes_become_whole_updates_and_the_quotes_that_they_make() -> None:
    rows = [
        # ts, seq, side, price, size, flags
        (1, 1, 1, 50, 5, SNAPSHOT),
        (1, 1, -1, 52, 4, SNAPSHOT | LAST),
        (2, 2, 1, 49, 7, LAST),
        (3, 3, 1, 50, 0, 0),
        (3, 3, -1, 51, 2, LAST),
        (4, 4, 1, 60, 1, LAST),  # crossed: the book is lost
        (5, 5, 1, 48, 1, LAST),  # nobody can apply it
        (6, 6, 1, 40, 1, SNAPSHOT | LAST),
    ]
    names = ("ts", "seq", "side", "price", "size", "flags")
    columns = {name: np.array([row[place] for row in rows]) for place, name in enumerate(names)}
    for name in ("price", "size"):
        columns[name] = columns[name] * SECOND
    columns |= {"ts_event": np.full(len(rows), MISSING), "market": np.zeros(len(rows), dtype=np.int32)}
    table = Table(kind="l2", market="A", markets=("A",), interval="", columns=columns, content_hash="", name="book")
    found = [
        message.seq if isinstance(message, BookUpdate) else (type(message).__name__, getattr(message, "bid", None))
        for message in quoted(TableSource(table, batch=3))
    ]
    price = SECOND
    assert found[:4] == [1, ("Quote", 50 * price), 2, 3]
    assert ("BookStale", None) in found
    assert 5 not in found
    assert found[-2:] == [6, ("Quote", 40 * price)]


def recorded(folder: Path) -> Path:
    frames = [
        b'{"type":"orderbook_snapshot","sid":1,"seq":1,"msg":{"market_ticker":"M","yes":[[40,10]],"no":[[50,20]]}}',
        b'{"type":"orderbook_delta","sid":1,"seq":2,"msg":{"market_ticker":"M","price":41,"delta":5,"side":"yes"}}',
        b'{"type":"orderbook_delta","sid":1,"seq":3,"msg":{"market_ticker":"M","price":41,"delta":-5,"side":"yes"}}',
    ]
    header = RecordingHeader(venue="kalshi", channels=("book",), markets=("M",))
    entries = [Begin(BEGIN, "s"), *(Received(BEGIN + place * SECOND, raw) for place, raw in enumerate(frames, 1))]
    path = folder / "session.tr"
    write_recording(path, header, entries)
    return path


def test_a_recording_is_what_a_replay_makes_of_it_cut_by_time_of_receipt(tmp_path: Path) -> None:
    path = recorded(tmp_path)
    recording = open_recording(path)
    replay = ReplayCore(recording.header)
    expected = [output for entry in recording for output in replay.play(entry)]
    source = RecordingSource(path, content_hash=file_hash(path))
    kept = [each for each in expected if isinstance(each, BookUpdate | Quote)]
    assert messages(source) == kept
    assert len(kept) >= 5
    assert source.feeds == {"M": frozenset({"book"})}
    later = RecordingSource(path, content_hash="", since=BEGIN + 3 * SECOND)
    assert messages(later) == [each for each in kept if each.ts_recv >= BEGIN + 3 * SECOND]
    with pytest.raises(SourceError, match="nothing"):
        messages(RecordingSource(tmp_path / "nothing", content_hash=""))


def test_data_are_told_by_what_they_are_and_named_where_they_are_wrong(tmp_path: Path) -> None:
    path = recorded(tmp_path)
    csv = tmp_path / "bars.csv"
    csv.write_text("time,open,high,low,close\n2024-01-01,1,2,1,2\n2024-01-02,2,3,2,3\n2024-01-03,3,3,2,2\n")
    fields = {"strategy": {"name": "x"}, "data": [{"path": str(path)}, {"path": str(csv), "market": "B"}]}
    opened = Opened(spec_of(fields))
    kinds = [type(each).__name__ for each in opened.sources(None, None, keep=False)]
    assert kinds == ["RecordingSource", "TableSource"]
    assert opened.hashes[0] == file_hash(path)
    assert opened.span()[0] <= BEGIN + SECOND
    for wrong, field in (
        ([{"path": str(tmp_path / "none")}], "data[0].path"),
        ([{"path": str(csv), "market": "B"}, {"path": str(csv), "market": "B"}], "data"),
        ([{"dataset": "0" * 16}], "data[0].dataset"),
    ):
        with pytest.raises(SpecError) as error:
            Opened(spec_of({"strategy": {"name": "x"}, "data": wrong}))
        assert error.value.field == field


def test_a_data_set_of_a_recording_is_played(tmp_path: Path) -> None:
    path = recorded(tmp_path)
    dataset = "0123456789abcdef"
    folder = folder_of(tmp_path, dataset) / RECORDING
    folder.mkdir(parents=True)
    path.rename(folder / path.name)
    opened = Opened(spec_of({"strategy": {"name": "x"}, "data": [{"dataset": dataset}]}), data_dir=tmp_path)
    [source] = opened.sources(None, None)
    assert isinstance(source, RecordingSource)
    assert len(messages(source)) >= 5


def test_a_specification_says_which_field_is_wrong() -> None:
    good = {"strategy": {"name": "x"}, "data": [{"path": "a"}]}
    for change, field, got in (
        ({"initial_capital": "-1"}, "initial_capital", "got '-1'"),
        ({"market": {"tick": "x"}}, "market.tick", "'x'"),
        ({"market": {"taker_fee": "2"}}, "market.taker_fee", "got '2'"),
        ({"method": {"folds": 1}}, "method.folds", "got 1"),
        ({"data": [{"path": "a", "kind": "b"}]}, "data[0].kind", "'b'"),
        ({"data": [{}]}, "data[0].data", ""),
        ({"since": 5, "until": 5}, "until", ""),
        ({"leverage": "0"}, "leverage", "got '0'"),
        ({"entries": -1}, "entries", "got -1"),
        ({"strange": 1}, "backtest", "strange"),
    ):
        for read in (spec_of, lambda fields: read_spec(json.dumps(fields))):
            with pytest.raises(SpecError) as error:
                read({**good, **change})
            assert error.value.field == field, str(error.value)
            assert got in error.value.message
    one, other = spec_of(good), spec_of({**good, "name": "n", "method": {"folds": 7}})
    assert one.fingerprint(("h",)) == other.fingerprint(("h",))
    assert one.fingerprint(("h",)) != one.fingerprint(("i",))
    assert one.fingerprint(("h",)) != msgspec.structs.replace(one, seed=1).fingerprint(("h",))
    assert CENT
