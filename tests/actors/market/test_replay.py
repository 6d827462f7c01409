"""Replays through the real actors: nothing is lost on the way, whatever the pace."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import trio

from actors.market.feed_settings import FeedSettings
from actors.market.importers.opening import open_recording
from actors.market.recordings.entries import Begin, Entry, Received, RecordingHeader
from actors.market.recordings.reader import RecordingReader
from actors.market.recordings.recording_file import write_recording
from actors.market.recordings.writer import Recorder
from actors.market.replay_core import ReplayCore
from protocols.control import Probe
from protocols.market import BookPosition, BookUpdate, BookView, GetBookPosition, Quote
from tests.actors.market.kit import ALPHA, BETA, Market, open_market
from tests.actors.market.test_recordings import FILES
from tests.actors.market.test_sample import SAMPLE


def replay(file: Path, speed: float = 0, **settings: object) -> FeedSettings:
    return FeedSettings(name="past", venue="replay", file=str(file), speed=speed, **settings)  # type: ignore[arg-type]


def expected_books(file: Path) -> dict[str, BookView]:
    """The final books, without any actor."""
    recording = open_recording(file)
    core = ReplayCore(recording.header)
    for entry in recording:
        core.play(entry)
    recording.close()
    return {market: book.view() for market, book in core.books.items()}


async def positions(market: Market) -> list[BookPosition]:
    return [await market.node.ref(path).ask(GetBookPosition()) for path in market.books("past")]


async def figures(market: Market) -> dict[str, object]:
    return dict((await market.node.ref("/market/past/session").ask(Probe())).figures)


async def check_final_books(market: Market, file: Path) -> None:
    for name, expected in expected_books(file).items():
        kept = await market.book(name, "past")
        assert (kept.bids, kept.asks, kept.stale) == (expected.bids, expected.asks, "")


async def test_flat_out_every_frame_of_the_sample_reaches_its_book(tmp_path: Path) -> None:
    async with open_market(tmp_path, replay(SAMPLE)) as market:
        ended = await market.state("ended", "past")
        assert ended.marks == ("delayed", "synthetic")
        seen = await figures(market)
        lines = sum(isinstance(entry, Received) for entry in RecordingReader(SAMPLE))
        assert seen["lines"] == seen["frames"] == lines
        kept = await positions(market)
        assert sum(position.applied for position in kept) == seen["updates"]
        assert all((position.gaps, position.dropped, position.stale) == (0, 0, "") for position in kept)
        await check_final_books(market, SAMPLE)
        quotes = [message for message in market.past if isinstance(message, Quote)]
        assert {quote.marks for quote in quotes} == {("delayed", "synthetic")}


@pytest.mark.recordings
@pytest.mark.parametrize("name", FILES)
async def test_flat_out_every_frame_of_a_real_session_reaches_its_book(
    tmp_path: Path, recordings: Path, name: str
) -> None:
    async with open_market(tmp_path, replay(recordings / name)) as market:
        await market.state("ended", "past")
        seen = await figures(market)
        assert seen["lines"] == seen["frames"]
        assert (seen["gaps"], seen["dropped while stale"], seen["malformed"], seen["unreadable"]) == (0, 0, 0, 0)
        kept = await positions(market)
        assert sum(position.applied for position in kept) == seen["updates"]
        assert all((position.gaps, position.dropped, position.stale) == (0, 0, "") for position in kept)
        await check_final_books(market, recordings / name)


@pytest.mark.recordings
@pytest.mark.parametrize(
    ("name", "books"),
    [
        ("cryptofeed-binance.jsonl.zst", 4),
        ("cryptofeed-binance-futures.jsonl.zst", 4),
        ("cryptofeed-coinbase.jsonl.zst", 2),
        ("cryptofeed-kraken.jsonl.zst", 10),
    ],
)
async def test_the_books_of_every_venue_are_those_of_a_replay_without_actors(
    tmp_path: Path, recordings: Path, name: str, books: int
) -> None:
    async with open_market(tmp_path, replay(recordings / name)) as market:
        ended = await market.state("ended", "past")
        assert ended.detail == ""
        seen = await figures(market)
        assert (seen["gaps"], seen["malformed"], seen["unreadable"], seen["checksums wrong"]) == (0, 0, 0, 0)
        kept = await positions(market)
        assert len(kept) == len(expected_books(recordings / name)) == books
        assert sum(position.applied for position in kept) == seen["updates"]
        assert all((position.gaps, position.dropped, position.stale) == (0, 0, "") for position in kept)
        await check_final_books(market, recordings / name)


def small_recording(path: Path, *, gap_s: float = 10.0) -> Path:
    """Six frames, `gap_s` apart."""
    second = 1_000_000_000
    snapshot = {"market_ticker": "M", "yes_dollars_fp": [["0.4000", "5.00"]], "no_dollars_fp": [["0.5000", "5.00"]]}
    frames: list[dict[str, object]] = [{"type": "orderbook_snapshot", "sid": 1, "seq": 1, "msg": snapshot}]
    for seq in range(2, 7):
        delta = {"market_ticker": "M", "price_dollars": "0.4000", "delta_fp": "1.00", "side": "yes"}
        frames.append({"type": "orderbook_delta", "sid": 1, "seq": seq, "msg": delta})
    entries: list[Entry] = [Begin(second, "c")]
    entries += [
        Received(second + round(number * gap_s * second), json.dumps(frame).encode())
        for number, frame in enumerate(frames)
    ]
    write_recording(path, RecordingHeader(venue="kalshi"), entries)
    return path


@pytest.mark.parametrize("speed", [1.0, 4.0])
async def test_at_a_pace_no_frame_comes_before_its_time(tmp_path: Path, speed: float) -> None:
    file = small_recording(tmp_path / "small.trec", gap_s=0.04)
    begin = trio.current_time()
    async with open_market(tmp_path, replay(file, speed)) as market:
        for frame in range(6):
            update = await market.next(BookUpdate)
            assert update.seq == frame + 1
            assert trio.current_time() - begin >= frame * 0.04 / speed


async def test_a_loop_begins_again_as_a_new_session(tmp_path: Path) -> None:
    file = small_recording(tmp_path / "small.trec")
    async with open_market(tmp_path, replay(file, loop=True)) as market:
        sessions = set()
        for _ in range(3):
            update = await market.next(BookUpdate, lambda update: update.snapshot)
            sessions.add(update.session)
        assert len(sessions) == 3


async def test_a_killed_book_gets_a_snapshot_from_the_replay_itself(tmp_path: Path) -> None:
    async with open_market(tmp_path, replay(SAMPLE)) as market:
        await market.state("ended", "past")
        await market.killed(f"/market/past/books/{ALPHA}")
        await market.next(BookUpdate, lambda update: update.snapshot and update.market == ALPHA)
        await check_final_books(market, SAMPLE)
        assert [position.dropped for position in await positions(market)] == [0, 0]


async def test_a_killed_replay_begins_again_and_ends_with_the_same_books(tmp_path: Path) -> None:
    async with open_market(tmp_path, replay(SAMPLE)) as market:
        await market.state("ended", "past")
        await market.killed("/market/past/session")
        await market.state("ended", "past")
        await check_final_books(market, SAMPLE)
        assert [market.node.cells[path].count for path in market.books("past")] == [1, 1]


async def test_a_frame_missing_in_the_recording_is_one_gap_that_stays(tmp_path: Path) -> None:
    lines = [entry.raw for entry in RecordingReader(SAMPLE) if isinstance(entry, Received)]
    missing = next(index for index, line in enumerate(lines) if index > 1000 and b"orderbook_delta" in line)
    file = tmp_path / "gap.jsonl"
    file.write_bytes(b"\n".join([*lines[:missing], *lines[missing + 1 :]]))
    async with open_market(tmp_path, replay(file, use_yes_price=True)) as market:
        ended = await market.state("ended", "past")
        assert ended.detail == f"not current: {ALPHA}, {BETA}"
        assert (await figures(market))["gaps"] == 1
        assert [position.stale for position in await positions(market)] == ["gap", "gap"]
        # Nobody can answer for the lost frame, so a book that asks gets nothing rather than something wrong.
        await market.killed(f"/market/past/books/{ALPHA}")
        assert (await market.book(ALPHA, "past")).stale == "no_snapshot"


async def test_an_imported_file_with_a_broken_line_is_played_as_far_as_it_goes(tmp_path: Path) -> None:
    lines = [entry.raw for entry in RecordingReader(SAMPLE) if isinstance(entry, Received)][:500]
    file = tmp_path / "broken.jsonl"
    file.write_bytes(b"\n".join([*lines, b"{broken"]))
    async with open_market(tmp_path, replay(file, markets=(ALPHA, BETA), use_yes_price=True)) as market:
        down = await market.state("down", "past")
        assert "line 501" in down.detail
        assert (await figures(market))["lines"] == 500
        assert market.node.cells["/market/past/session"].count == 1
        assert [position.stale for position in await positions(market)] == ["", ""]


async def test_a_torn_recording_is_played_without_its_tail_and_says_so(tmp_path: Path) -> None:
    file = tmp_path / "torn.trec"
    sample = RecordingReader(SAMPLE)
    recorder = Recorder(file, sample.header, block_bytes=50_000)
    for entry in sample:
        if isinstance(entry, Received):
            recorder.frame(entry.ts, entry.raw)
    recorder.close()
    whole = RecordingReader(file).files[0].blocks
    file.write_bytes(file.read_bytes()[: whole[-1].offset + 1_000])
    async with open_market(tmp_path, replay(file)) as market:
        ended = await market.state("ended", "past")
        assert ended.detail.startswith(f"torn.trec: torn at byte {whole[-1].offset}: 1000 bytes")
        played = sum(isinstance(entry, Received) for entry in RecordingReader(file))
        assert (await figures(market))["lines"] == played


async def test_a_venue_without_a_session_is_said_and_not_played(tmp_path: Path) -> None:
    file = tmp_path / "odd.trec"
    write_recording(file, RecordingHeader(venue="bitstamp"), [Received(1, b"{}")])
    async with open_market(tmp_path, replay(file)) as market:
        down = await market.state("down", "past")
        assert "no session for the venue 'bitstamp'" in down.detail


async def test_what_a_live_feed_records_replays_to_the_same_books(tmp_path: Path) -> None:
    folder = tmp_path / "live"
    async with open_market(tmp_path, FeedSettings(name="sim", record=str(folder))) as market:
        await market.state("live")
        await market.run(300)
        live = {name: await market.book(name) for name in (ALPHA, BETA)}
    recording = RecordingReader(folder)
    assert recording.header.venue == "kalshi"
    assert recording.header.marks == ("synthetic",)
    assert recording.header.markets == (ALPHA, BETA)
    assert recording.lost == []
    async with open_market(tmp_path, replay(folder)) as market:
        ended = await market.state("ended", "past")
        assert ended.marks == ("delayed", "synthetic")
        for name, expected in live.items():
            kept = await market.book(name, "past")
            assert (kept.bids, kept.asks, kept.seq, kept.ts_recv) == (
                expected.bids,
                expected.asks,
                expected.seq,
                expected.ts_recv,
            )
