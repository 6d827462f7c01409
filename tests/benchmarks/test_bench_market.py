"""The market benchmark at a tiny size: what it plays, what it makes of peers that are not there."""

from __future__ import annotations

from pathlib import Path

import pytest

from benchmarks import market, market_frames
from benchmarks.harness import ChildFailed
from benchmarks.market_frames import BINANCE, KALSHI


@pytest.mark.parametrize("venue", [KALSHI, BINANCE])
def test_our_side_plays_a_recording_to_its_best_prices(
    recordings: Path, monkeypatch: pytest.MonkeyPatch, venue: str
) -> None:
    monkeypatch.setenv("TROUPE_RECORDINGS", str(recordings))
    frames = market_frames.frames_of(venue)[:60]
    took, best = market_frames.troupe(venue, frames)
    assert took > 0
    assert all(bid is not None and ask is not None and bid <= ask for bid, ask in best.values())
    assert market_frames.levels_in(venue, frames) > 1
    assert market.different(best, best) == ""


def test_a_recording_that_is_not_there_is_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TROUPE_RECORDINGS", str(tmp_path))
    with pytest.raises(ChildFailed, match="there is no recording"):
        market_frames.frames_of(KALSHI)


def test_a_peer_without_an_environment_is_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TROUPE_PEERS", str(tmp_path / "python"))
    frames = tmp_path / "frames"
    frames.write_bytes(b"{}\n")
    with pytest.raises(ChildFailed, match=r"cryptofeed: .*No such file"):
        market.ask_peer("cryptofeed", KALSHI, frames, 0, "any")


def test_other_best_prices_are_named() -> None:
    assert market.different({"A": (0.1, 0.2)}, {"A": (0.1, 0.2 + 1e-9)}) == ""
    assert market.different({"A": (0.1, 0.2)}, {"A": (0.1, 0.21)}).startswith("A: ")
    assert market.different({"A": (0.1, None)}, {}).startswith("A: ")


def test_a_wide_snapshot_and_a_crowd_of_books_are_measured() -> None:
    assert all(value > 0 for value in market_frames.wide_snapshot(24_000, rounds=2).values())
    assert market_frames.memory(10, 20)["bytes"] > 500
