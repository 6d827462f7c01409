"""Bars of a user's own file as tracks."""

from __future__ import annotations

from pathlib import Path

import pytest

from actors.agents.environment.bar_files import BarFileError, tracks_in
from protocols.market import SYNTHETIC
from protocols.nanos import NANO

SAMPLES = Path(__file__).parents[4] / "config" / "samples"
HEAD = "timestamp,open,high,low,close,volume\n"


def written(folder: Path, *rows: str, head: str = HEAD) -> Path:
    path = folder / "bars.csv"
    path.write_text(head + "\n".join(rows) + "\n")
    return path


def test_a_file_without_a_gap_is_one_track_with_the_prices_as_they_stand_in_it() -> None:
    (track,) = tracks_in(SAMPLES / "synthetic-1m.csv", fee="0.002")
    assert len(track) == 1000
    first = track.bars[0]
    assert (first.open, first.high, first.low, first.close) == tuple(
        round(price * NANO) for price in (100.0, 100.03, 99.94, 100.0)
    )
    assert (first.volume, first.interval, first.end - first.start) == ("0.076", "1m", 60 * NANO)
    assert track.instrument.taker_fee == "0.002"
    assert track.marks == (SYNTHETIC,)
    assert track.quotes == ()


def test_where_bars_are_missing_another_track_begins(tmp_path: Path) -> None:
    path = written(
        tmp_path,
        "2024-01-01T00:00:00Z,1,1,1,1,5",
        "2024-01-01T00:01:00Z,1,1,1,1,5",
        "2024-01-01T00:09:00Z,2,2,2,2,5",
        "2024-01-01T00:10:00Z,2,2,2,2,5",
    )
    assert [[bar.close // NANO for bar in track.bars] for track in tracks_in(path)] == [[1, 1], [2, 2]]


def test_of_several_markets_one_is_named(tmp_path: Path) -> None:
    head = "market," + HEAD
    rows = ["A,2024-01-01T00:00:00Z,1,1,1,1,5", "B,2024-01-01T00:00:00Z,2,2,2,2,5",
            "A,2024-01-01T00:01:00Z,1,1,1,1,5", "B,2024-01-01T00:01:00Z,2,2,2,2,5"]  # fmt: skip
    path = written(tmp_path, *rows, head=head)
    (track,) = tracks_in(path, market="B")
    assert {bar.close for bar in track.bars} == {2 * NANO}
    with pytest.raises(BarFileError, match=r"^market: the file has 2; expected one of A, B$"):
        tracks_in(path)
    with pytest.raises(BarFileError, match=r"^market: expected one of A, B, got 'C'$"):
        tracks_in(path, market="C")


@pytest.mark.parametrize(("row", "words"), [
    ("2024-01-01T00:01:00Z,1,1,1,0,5", r"expected "),
    ("2024-01-01T00:01:00Z,1,2,1,9,5", r"expected "),
    ("2024-01-01T00:00:00Z,1,1,1,1,6", r"expected "),
])  # fmt: skip
def test_bars_that_cannot_be_are_refused_and_never_repaired(tmp_path: Path, row: str, words: str) -> None:
    path = written(tmp_path, "2024-01-01T00:00:00Z,1,1,1,1,5", row, "2024-01-01T00:02:00Z,1,1,1,1,5")
    with pytest.raises(BarFileError, match=rf"^bars\.csv: .*{words}"):
        tracks_in(path)


def test_a_file_that_is_not_there_is_one_clear_error(tmp_path: Path) -> None:
    with pytest.raises(BarFileError, match=r"^none\.csv: "):
        tracks_in(tmp_path / "none.csv")
