"""`bin/troupe data`: what it downloads, what it says, and what it refuses."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from actors.market.feed_settings import FeedSettings
from actors.market.history_commands import data
from protocols.control import Refused
from runtime import NodeSettings
from runtime.settings import Configuration
from tests.actors.market import history_stand_ins as venues
from tests.actors.market.history_stand_ins import Truth
from tests.actors.market.rest_stand_in import rest_stand_in
from tests.actors.market.test_history_download import MINUTES, SESSION, TRADES
from tests.cli.test_command_line import envelope
from tests.cli.test_command_line import in_a_process as troupe

SPAN = ["--from", "2024-01-30T14:30", "--to", "2024-02-01T09:50"]


def configuration(folder: Path, *feeds: FeedSettings) -> Configuration:
    return Configuration({"node": NodeSettings(data_dir=str(folder)), "feeds": feeds}, {})


def run(folder: Path, *arguments: str, feeds: tuple[FeedSettings, ...] = ()) -> tuple[str, dict[str, Any]]:
    return data([*arguments], configuration(folder, *feeds))


def test_it_downloads_lists_and_says_where_the_holes_are(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with rest_stand_in(venues.binance(Truth(MINUTES))) as stand_in:
        text, answer = run(tmp_path, "download", "binance", "BTCUSDT", *SPAN, "--base-url", stand_in.url)
    (history,) = answer["histories"]
    assert (history["market"], history["rows"], history["rows_added"]) == ("BTCUSDT.BINANCE", 2593, 2593)
    assert history["holes"] == [
        {
            "start": "2024-01-30T16:10:00Z",
            "end": "2024-01-30T16:17:00Z",
            "missing": 7,
            "why": "bars are missing",
        }
    ]
    assert history["missing"] == []
    assert history["covered"] == [["2024-01-30T14:30:00Z", "2024-02-01T09:50:00Z"]]
    assert "hole 2024-01-30T16:10:00Z .. 2024-01-30T16:17:00Z: 7 (bars are missing)" in text
    talk = capsys.readouterr()
    assert "BTCUSDT.BINANCE: part 1 of 2" in talk.err
    assert talk.out == ""
    listed, again = run(tmp_path, "list")
    assert listed.splitlines()[0].startswith("binance BTCUSDT.BINANCE bars 1m: 2593 rows in 2 parts")
    assert again["histories"][0]["rows_in_holes"] == 7


def test_absent_minutes_of_a_venue_that_leaves_out_empty_bars_are_called_quiet(tmp_path: Path) -> None:
    key = tmp_path / "key"
    key.write_text("KEY")
    feed = FeedSettings(name="stocks", venue="massive", markets=("AAPL",), key_id="me", key_file=str(key))
    with rest_stand_in(venues.massive(Truth(SESSION))) as stand_in:
        arguments = ("download", "massive", "AAPL", *SPAN, "--base-url", stand_in.url, "--out", str(tmp_path / "here"))
        text, answer = run(tmp_path, *arguments, feeds=(feed,))
    (history,) = answer["histories"]
    assert (history["quiet"], [hole["why"] for hole in history["holes"]]) == (397, ["a session without any bar"])
    assert "397 bars are absent that the venue leaves out when nothing is traded: no holes" in text
    assert (tmp_path / "here" / "massive" / "AAPL.MASSIVE" / "bars-1m" / "manifest.json").exists()


def test_a_history_that_begins_later_than_asked_for_says_so(tmp_path: Path) -> None:
    with rest_stand_in(venues.kraken(Truth(MINUTES[-700:]))) as stand_in:
        arguments = ("download", "kraken", "BTC-USD", "--from", "2024-01-20", *SPAN[2:], "--base-url", stand_in.url)
        text, answer = run(tmp_path, *arguments)
    (history,) = answer["histories"]
    assert (history["rows"], history["begins_later"], history["holes"]) == (700, True, [])
    assert f"the venue has nothing before {history['first']}" in text


def test_several_markets_and_trades_can_be_had(tmp_path: Path) -> None:
    with rest_stand_in(venues.kalshi(Truth((), TRADES))) as stand_in:
        url = f"{stand_in.url}/trade-api/v2"
        _, answer = run(
            tmp_path, "download", "kalshi", "KX-1", "KX-2", "--kind", "trades", *SPAN[:2], "--to", "2024-01-30T15:00",
            "--base-url", url,
        )  # fmt: skip
    assert [(each["market"], each["kind"], each["rows"]) for each in answer["histories"]] == [
        ("KX-1", "trades", 1199),
        ("KX-2", "trades", 1199),
    ]


def test_a_folder_without_a_history_is_no_error(tmp_path: Path) -> None:
    text, answer = run(tmp_path, "list")
    assert text == f"no history in {tmp_path / 'history'}"
    assert answer["histories"] == []


@pytest.mark.parametrize(
    ("arguments", "field"),
    [
        (["nasdaq", "X", "--from", "2024-01-01"], "venue"),
        (["binance", "X", "--from", "yesterday"], "from"),
        (["binance", "X", "--from", "2024-01-02", "--to", "2024-01-01"], "from"),
        (["binance", "X", "--from", "2024-01-01", "--interval", "7m"], "interval"),
        (["binance", "X", "--from", "2024-01-01", "--kind", "funding"], "kind"),
        (["binance", "X", "--from", "2024-01-01", "--key-file", "/nowhere/key"], "key_file"),
    ],
)
def test_what_cannot_be_is_refused_and_names_its_field(arguments: list[str], field: str, tmp_path: Path) -> None:
    with pytest.raises(Refused) as refused:
        run(tmp_path, "download", *arguments)
    assert (refused.value.code, refused.value.field) == ("invalid", field)


def test_the_venues_refusal_is_told_with_its_reason(tmp_path: Path) -> None:
    with rest_stand_in(venues.binance(Truth(MINUTES))) as stand_in:
        with pytest.raises(Refused, match="Invalid symbol") as refused:
            run(tmp_path, "download", "binance", "NOPE", *SPAN, "--base-url", stand_in.url)
        assert refused.value.code == "venue"
    with rest_stand_in(venues.kalshi(Truth(MINUTES))) as stand_in:
        with pytest.raises(Refused) as refused:
            run(tmp_path, "download", "kalshi", "KX-NOPE", *SPAN, "--base-url", f"{stand_in.url}/trade-api/v2")
        assert refused.value.code == "not_found"
    with pytest.raises(Refused, match="key"):
        run(tmp_path, "download", "massive", "AAPL", *SPAN)


def test_on_the_command_line_the_answer_is_an_envelope(tmp_path: Path) -> None:
    with rest_stand_in(venues.binance(Truth(MINUTES))) as stand_in:
        answer = troupe(
            "data",
            "download",
            "binance",
            "BTCUSDT",
            *SPAN,
            "--base-url",
            stand_in.url,
            "--out",
            str(tmp_path),
            "--json",
        )
    assert answer.returncode == 0, answer.stderr
    assert envelope(answer)["data"]["histories"][0]["rows"] == 2593
    assert "part 2 of 2" in answer.stderr
    refused = troupe("data", "download", "binance", "BTCUSDT", "--from", "soon", "--out", str(tmp_path), "--json")
    assert (refused.returncode, envelope(refused)["issues"][0]["field"]) == (2, "from")
