from __future__ import annotations

from pathlib import Path

import pytest

from actors.market.importers.opening import open_recording, recorded_markets
from actors.market.replay_core import ReplayCore
from actors.market.simulated.sample import MARKETS, main, make_sample
from protocols.market import BookUpdate, MarketStatus, Trade

SAMPLE = Path(__file__).resolve().parents[3] / "config" / "recordings" / "simulated-session.trec"


def test_the_sample_of_the_repository_is_a_whole_session_marked_synthetic() -> None:
    recording = open_recording(SAMPLE)
    assert recording.header.marks == ("synthetic",)
    assert recorded_markets(SAMPLE) == MARKETS
    replay = ReplayCore(recording.header)
    outputs = [output for entry in recording for output in replay.play(entry)]
    updates = [output for output in outputs if isinstance(output, BookUpdate)]
    assert {update.marks for update in updates} == {("delayed", "synthetic")}
    tally = replay.tally()
    assert tally.frames == sum(replay.counts().values()) > 1_000
    assert (tally.gaps, tally.dropped, tally.malformed, replay.unreadable) == (0, 0, 0, 0)
    assert sum(isinstance(output, Trade) for output in outputs) > 100
    assert sum(isinstance(output, MarketStatus) for output in outputs) == 4
    assert replay.stale_markets() == set()
    assert (recording.lost, sorted(replay.books)) == ([], sorted(MARKETS))


def test_making_the_sample_twice_gives_the_same_file(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    first, second = tmp_path / "a.trec", tmp_path / "b.trec"
    assert main([str(first), "--steps", "200"]) == 0
    assert "synthetic frames" in capsys.readouterr().out
    assert make_sample(second, steps=200) > 100
    assert make_sample(second, steps=200) > 100
    assert first.read_bytes() == second.read_bytes()
