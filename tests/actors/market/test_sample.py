from __future__ import annotations

from pathlib import Path

import pytest

from actors.market.book import Book
from actors.market.recording import Recording
from actors.market.session_core import SessionOptions
from actors.market.sessions.kalshi import KalshiSession
from actors.market.simulated.sample import MARKETS, main, make_sample
from protocols.market import BookUpdate, MarketStatus, Trade

SAMPLE = Path(__file__).resolve().parents[3] / "config" / "recordings" / "simulated-session.jsonl.gz"


def test_the_sample_of_the_repository_is_a_whole_session_marked_synthetic() -> None:
    recording = Recording(SAMPLE)
    assert recording.header is not None
    assert recording.header.marks == ("synthetic",)
    assert recording.header.markets == MARKETS
    options = SessionOptions(listening=True, use_yes_price=recording.header.use_yes_price)
    core = KalshiSession("sample", options=options)
    # Without the marks of the header: the frames alone must say what they are.
    core.connected("c", (), 0, 0)
    books = {market: Book(market) for market in MARKETS}
    trades = phases = 0
    for entry in recording:
        if entry.frame is None:
            continue
        for event in core.receive(entry.frame, entry.ts, 0):
            if isinstance(event, BookUpdate):
                assert event.marks == ("synthetic",)
                books[event.market].apply(event)
            elif isinstance(event, Trade):
                trades += 1
            elif isinstance(event, MarketStatus):
                books[event.market].set_phase(event.phase)
                phases += 1
    recording.close()
    assert core.tally.frames == sum(core.counts.values()) > 1_000
    assert (core.tally.gaps, core.tally.dropped, core.tally.malformed) == (0, 0, 0)
    assert trades > 100
    assert phases == 4
    assert all(not book.stale for book in books.values())


def test_making_the_sample_twice_gives_the_same_file(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    first, second = tmp_path / "a.jsonl.gz", tmp_path / "b.jsonl.gz"
    assert main([str(first), "--steps", "200"]) == 0
    assert "synthetic frames" in capsys.readouterr().out
    assert make_sample(second, steps=200) > 100
    assert first.read_bytes() == second.read_bytes()
