"""`bin/troupe data show` and `validate` of files, without a node; two words are one verb."""

from __future__ import annotations

from pathlib import Path

import pytest

from actors.cli import installation
from actors.cli.__main__ import execute
from actors.cli.report import CommandError, Exit, Report
from actors.research.datasets.commands import data_show, data_validate
from protocols.control import Refused

NAMED = "time,open,high,low,close"


def write(path: Path, *rows: str) -> Path:
    path.write_text("\n".join((NAMED, *rows)) + "\n")
    return path


def test_a_file_is_shown_with_its_first_rows(tmp_path: Path) -> None:
    path = write(tmp_path / "abc.csv", "2024-01-01,1,2,0.5,1.25", "2024-01-02,2,2,2,2")
    text, data, *_ = data_show([str(path), "--rows", "1", "--market", "X"], None)
    first, *_, head, row = text.splitlines()
    assert first == f"{path}: bars 1d, 2 rows of X"
    assert (head.split(), row.split()) == (
        ["market", "start", "open", "high", "low", "close"],
        ["X", "2024-01-01T00:00:00.000000000Z", "1", "2", "0.5", "1.25"],
    )
    assert (data["rows"], data["kind"], len(data["content_hash"])) == (2, "bars", 64)


def test_what_is_wrong_with_a_file_is_said_with_what_to_do_and_the_status_is_one(tmp_path: Path) -> None:
    path = write(tmp_path / "abc.csv", "2024-01-01 00:00,1,2,0.5,1.25", "2024-01-01 00:01,2,1,2,2")
    text, data, *status = data_validate([str(path)], None)
    assert status == [1]
    assert "not valid: completeness 1.0000, quality 0.5000" in text
    assert "error ohlc (ABC): 1 bars have a high or low inside of open and close, rows 2" in text
    assert "what to do: look whether columns are mixed up" in text
    assert [finding["kind"] for finding in data["findings"]] == ["ohlc", "zone"]
    good = write(tmp_path / "good.csv", "2024-01-01 00:00Z,1,2,0.5,1.25", "2024-01-01 00:01Z,2,2,2,2")
    assert len(data_validate([str(good)], None)) == 2


@pytest.mark.parametrize(
    ("arguments", "field"),
    [((), "time"), (("--map", "close"), "map"), (("--calendar", "XXX", "--time-form", "dmy"), "calendar")],
)
def test_what_cannot_be_read_is_told_with_the_field(tmp_path: Path, arguments: tuple[str, ...], field: str) -> None:
    path = write(tmp_path / "abc.csv", "01/02/2024,1,2,0.5,1.25", "02/02/2024,2,2,2,2")
    with pytest.raises(Refused) as caught:
        data_validate([str(path), *arguments], None)
    assert caught.value.field == field


def test_the_verbs_below_data_are_found_beside_those_of_another_capability(tmp_path: Path) -> None:
    registered = installation.registered_commands()
    assert {"data", "data import", "data list", "data show", "data validate"} <= set(registered)
    path = write(tmp_path / "abc.csv", "2024-01-01,1,2,0.5,1.25", "2024-01-02,2,2,2,2")
    shown = execute(["data", "show", str(path)])
    assert isinstance(shown, Report)
    assert shown.data["rows"] == 2
    with pytest.raises(CommandError) as caught:
        execute(["data", "import", str(path), "--set", f"node.data_dir={tmp_path}"])
    assert caught.value.exit_status is Exit.UNREACHABLE
