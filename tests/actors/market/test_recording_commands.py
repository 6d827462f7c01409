"""`troupe record`, `troupe replay` and `troupe recording`, typed."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from actors.cli.__main__ import main
from actors.market.recordings.entries import Received, RecordingHeader
from actors.market.recordings.reader import RecordingReader
from actors.market.recordings.recording_file import write_recording
from tests.actors.market.test_replay_core import delta, frames, snapshot
from tests.actors.market.test_sample import SAMPLE

REPOSITORY = Path(__file__).resolve().parents[3]
CONFIGURATION = """\
[node]
name = "recorded"
data_dir = "data"

[venue]
rate = 200

[[feeds]]
name = "demo"
venue = "simulated"

[[feeds]]
name = "past"
venue = "replay"
file = "{sample}"
"""


@pytest.fixture
def troupe(
    capfd: pytest.CaptureFixture[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Callable[..., dict[str, Any]]:
    """Types a command in `tmp_path`; its envelope."""
    for name in [name for name in os.environ if name.startswith("TROUPE_")]:
        monkeypatch.delenv(name)
    monkeypatch.chdir(tmp_path)

    def run(*arguments: str | Path, status: int = 0) -> dict[str, Any]:
        ended = main([*map(str, arguments), "--json"])
        printed = capfd.readouterr()
        assert ended == status, printed.err
        envelope: dict[str, Any] = json.loads(printed.out)
        return envelope

    return run


Troupe = Callable[..., dict[str, Any]]


def test_a_replay_answers_with_its_summary_and_writes_its_log(tmp_path: Path, troupe: Troupe) -> None:
    data = troupe("replay", SAMPLE, "--out", tmp_path / "log.jsonl")["data"]
    assert (data["venue"], data["frames"], data["gaps"], data["whole"]) == ("kalshi", 2373, 0, True)
    lines = [json.loads(line) for line in (tmp_path / "log.jsonl").read_text().splitlines()]
    assert len(lines) == sum(data["outputs"].values())
    assert {line["type"] for line in lines} == data["outputs"].keys()


def test_a_gap_is_in_the_summary_for_people(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    write_recording(
        tmp_path / "gap.trec", RecordingHeader(venue="kalshi"), frames(snapshot(1), delta(2), delta(4), snapshot(5))
    )
    assert main(["replay", str(tmp_path / "gap.trec")]) == 0
    told = capsys.readouterr().out
    assert "gaps         1 (1 frames lost" in told
    assert "stale        M: gap from 1970-01-01T00:00:03" in told


@pytest.mark.parametrize(
    ("arguments", "status", "said"),
    [
        (["replay", "nothing.trec"], 2, "nothing.trec"),
        (["replay", "odd"], 2, "no recording of a known format"),
        (["recording", "info", "odd"], 2, "no recording of a known format"),
        (["recording", "convert", str(SAMPLE), "out.jsonl"], 2, "must end with .trec"),
        (["replay", str(SAMPLE), "--out", "no/such/folder"], 2, "No such file"),
    ],
)
def test_what_cannot_be_is_refused(
    tmp_path: Path, troupe: Troupe, arguments: list[str], status: int, said: str
) -> None:
    (tmp_path / "odd").write_text("a,b\n")
    (issue,) = troupe(*arguments, status=status)["issues"]
    assert said in issue["message"]


def test_a_recording_is_described_and_converted(tmp_path: Path, troupe: Troupe) -> None:
    data = troupe("recording", "convert", SAMPLE, tmp_path / "copy.trec")["data"]
    assert data["entries"] == 2374
    copy = troupe("recording", "info", tmp_path / "copy.trec")["data"]
    sample = troupe("recording", "info", SAMPLE)["data"]
    for each in ("venue", "feed", "markets", "marks", "first", "last", "entries", "received", "raw_bytes", "lost"):
        assert copy[each] == sample[each]
    assert list(RecordingReader(tmp_path / "copy.trec")) == list(RecordingReader(SAMPLE))
    again = troupe("recording", "convert", SAMPLE, tmp_path / "copy.trec", status=6)
    assert again["issues"][0]["code"] == "conflict"


def test_feeds_are_recorded_until_ctrl_c_and_replay_without_a_gap(tmp_path: Path, troupe: Troupe) -> None:
    (tmp_path / "some.toml").write_text(CONFIGURATION.format(sample=SAMPLE))
    # As a program: it has to take the signal.
    with subprocess.Popen(
        [sys.executable, "-P", "-m", "actors.cli", "record", "--out", "out", "--config", "some.toml", "--json"],
        cwd=tmp_path,
        env=os.environ | {"PYTHONPATH": str(REPOSITORY)},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    ) as child:
        assert child.stdout is not None
        assert child.stderr is not None
        for line in child.stderr:
            if "live" in line and "entries" in line:
                break
        child.send_signal(signal.SIGINT)
        answer = json.loads(child.stdout.read())
        said = child.stderr.read()
    assert child.returncode == 0, said
    about = answer["data"]["feeds"]["demo"]
    assert answer["data"]["feeds"].keys() == {"demo"}
    assert about["received"] > 100
    assert (about["lost"], about["closed"], about["marks"]) == ([], True, ["synthetic"])
    kept = list(RecordingReader(tmp_path / "out" / "demo"))
    assert sum(isinstance(entry, Received) for entry in kept) == about["received"]
    data = troupe("replay", tmp_path / "out" / "demo")["data"]
    assert (data["gaps"], data["unreadable"], data["stale"], data["whole"]) == (0, 0, [], True)
    assert data["outputs"]["quote"] > 10


@pytest.mark.parametrize(
    ("feed", "status", "said"), [("nobody", 4, "no feed nobody"), ("past", 2, "is a recording already")]
)
def test_what_cannot_be_recorded_is_said(tmp_path: Path, troupe: Troupe, feed: str, status: int, said: str) -> None:
    (tmp_path / "some.toml").write_text(CONFIGURATION.format(sample=SAMPLE))
    answer = troupe("record", feed, "--out", "out", "--config", "some.toml", status=status)
    assert said in answer["issues"][0]["message"]
    assert not (tmp_path / "out").exists()
