"""Replays without a node: the same input makes the same bytes, and what was lost is told, not guessed."""

from __future__ import annotations

import json
import subprocess
import sys
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest

from actors.market.bars_intervals import parse_interval
from actors.market.importers.opening import open_recording
from actors.market.recordings.entries import Answer, Begin, Entry, Note, Received, RecordingHeader, Sent
from actors.market.recordings.reader import RecordingReader
from actors.market.recordings.recording_file import write_recording
from actors.market.replay_core import ReplayCore
from actors.market.replay_log import line
from actors.market.replay_run import ReplayRun, ReplaySummary
from actors.market.session_core import SessionOptions
from protocols.market import BookStale, BookUpdate, Quote
from protocols.venues.rest import RestCall
from tests.actors.market.test_sample import SAMPLE

SECOND = 1_000_000_000
HEADER = RecordingHeader(venue="kalshi", marks=("demo",))
REAL = [
    "kalshi-demo-session-20260701.jsonl.gz",
    "kalshi-btcmaxy-20251104-0252.jsonl.gz",
    pytest.param("binance-spot-btcusdt-20240808.txt.gz", marks=pytest.mark.long),
    "cryptofeed-binance.jsonl.zst",
    "cryptofeed-binance-futures.jsonl.zst",
    "cryptofeed-coinbase.jsonl.zst",
    "cryptofeed-kraken.jsonl.zst",
]


def snapshot(seq: int, *, sid: int = 1, size: str = "5.00") -> bytes:
    msg = {"market_ticker": "M", "yes_dollars_fp": [["0.4000", size]], "no_dollars_fp": [["0.5000", "5.00"]]}
    return json.dumps({"type": "orderbook_snapshot", "sid": sid, "seq": seq, "msg": msg}).encode()


def delta(seq: int, change: str = "1.00", *, sid: int = 1, price: str = "0.4000") -> bytes:
    msg = {"market_ticker": "M", "price_dollars": price, "delta_fp": change, "side": "yes"}
    return json.dumps({"type": "orderbook_delta", "sid": sid, "seq": seq, "msg": msg}).encode()


def frames(*raw: bytes, begin: int = 1) -> list[Entry]:
    return [Received((begin + number) * SECOND, each) for number, each in enumerate(raw)]


def logged(entries: list[Entry], header: RecordingHeader = HEADER) -> list[dict[str, Any]]:
    replay = ReplayCore(header)
    return [json.loads(line(output)) for entry in entries for output in replay.play(entry)]


def run(path: Path, **options: Any) -> tuple[ReplaySummary, bytes]:
    said: list[bytes] = []
    recording = open_recording(path, since=options.get("since"), until=options.get("until"), whole_sessions=True)
    summary = ReplayRun(lambda output: said.append(line(output)), **options).play(recording)
    recording.close()
    return summary, b"".join(said)


# -- the log -------------------------------------------------------------------------------------------------------


def test_the_log_has_every_event_and_the_quote_it_made_in_exact_decimals() -> None:
    entries: list[Entry] = [Begin(SECOND, "c"), *frames(snapshot(1), delta(2, "0.01"))]
    first, quote, second, moved = logged(entries)
    assert first == {
        "type": "book_update",
        "market": "M",
        "kind": "absolute",
        "snapshot": True,
        "session": "c/1.1",
        "seq": 1,
        "ts_event": 0,
        "ts_recv": SECOND,
        "marks": ["delayed", "demo"],
        "changes": [["bid", "0.4", "5"], ["ask", "0.5", "5"]],
    }
    assert (quote["type"], quote["bid"], quote["bid_size"], quote["ask"]) == ("quote", "0.4", "5", "0.5")
    assert (second["kind"], second["changes"]) == ("signed", [["bid", "0.4", "0.01"]])
    assert (moved["bid_size"], moved["seq"], moved["ts_recv"]) == ("5.01", 2, 2 * SECOND)


def test_the_same_recording_makes_the_same_bytes_whatever_the_pace(tmp_path: Path) -> None:
    _, first = run(SAMPLE)
    _, second = run(SAMPLE)
    _, paced = run(SAMPLE, speed=1000.0)
    assert first == second == paced
    assert len(first.splitlines()) > 2_000


@pytest.mark.recordings
@pytest.mark.parametrize("name", REAL)
def test_a_real_recording_makes_the_same_bytes_again_and_as_one_of_ours(
    tmp_path: Path, recordings: Path, name: str
) -> None:
    imported = open_recording(recordings / name)
    write_recording(tmp_path / "ours.trec", imported.header, imported)
    _, first = run(recordings / name)
    _, second = run(recordings / name)
    _, converted = run(tmp_path / "ours.trec")
    assert first == second == converted
    assert first


LOG = """
import sys
from pathlib import Path
from actors.market.recordings.commands import replay
replay([sys.argv[1], "--out", sys.argv[2]])
"""


@pytest.mark.recordings
def test_another_process_with_another_hash_seed_makes_the_same_bytes(tmp_path: Path, recordings: Path) -> None:
    # With a gap: then sets of markets are walked through.
    whole = list(open_recording(recordings / "kalshi-demo-session-20260701.jsonl.gz"))
    source = tmp_path / "gap.trec"
    write_recording(source, RecordingHeader(venue="kalshi"), [*whole[:1500], *whole[1501:]])
    logs = []
    for seed in ("1", "2"):
        log = tmp_path / f"log-{seed}.jsonl"
        child = [sys.executable, "-c", LOG, str(source), str(log)]
        subprocess.run(child, check=True, env={"PYTHONHASHSEED": seed, "PYTHONPATH": ":".join(sys.path)}, timeout=60)
        logs.append(log.read_bytes())
    assert logs[0] == logs[1]
    assert b"book_stale" in logs[0]


# -- sessions ------------------------------------------------------------------------------------------------------


def test_a_new_connection_makes_every_book_stale_until_its_snapshot() -> None:
    entries: list[Entry] = [
        Begin(SECOND, "c1"),
        *frames(snapshot(1), delta(2)),
        Begin(4 * SECOND, "c2", ("synthetic",)),
        *frames(delta(7), snapshot(8), delta(9), begin=5),
    ]
    log = logged(entries)
    stale = next(number for number, each in enumerate(log) if each["type"] == "book_stale")
    assert log[stale]["reason"] == "disconnected"
    assert log[stale + 1]["marks"] == ["delayed", "demo", "stale"]
    later = log[stale + 2 :]
    assert [each["seq"] for each in later if each["type"] == "book_update"] == [8, 9]
    assert {each["session"].partition("/")[0] for each in later} == {"c2"}
    assert later[0]["marks"] == ["delayed", "demo", "synthetic"]


def test_two_connections_side_by_side_do_not_disturb_each_other() -> None:
    entries: list[Entry] = [
        Begin(SECOND, "a"),
        Begin(SECOND, "b", (), 1),
        Received(2 * SECOND, snapshot(1)),
        Received(2 * SECOND, snapshot(40).replace(b'"M"', b'"N"'), 1),
        Received(3 * SECOND, delta(2)),
        Received(3 * SECOND, delta(41).replace(b'"M"', b'"N"'), 1),
    ]
    replay = ReplayCore(HEADER)
    outputs = [output for entry in entries for output in replay.play(entry)]
    assert not any(isinstance(output, BookStale) for output in outputs)
    assert (replay.tally().updates, replay.tally().gaps, replay.connections) == (4, 0, 2)
    assert sorted(replay.books) == ["M", "N"]


def test_frames_without_a_begin_are_a_connection_of_their_own() -> None:
    assert [each["type"] for each in logged(frames(snapshot(1)))] == ["book_update", "quote"]


def test_a_book_that_cannot_be_right_is_stale_until_the_next_snapshot() -> None:
    entries = frames(snapshot(1), delta(2, "-9.00"), delta(3), snapshot(4), delta(5))
    log = logged(entries)
    kinds = [each["type"] for each in log]
    snapshot_and_delta = ["book_update", "quote", "book_update", "quote"]
    assert kinds == ["book_update", "quote", "book_update", "incident", "book_stale", "quote", *snapshot_and_delta]
    assert log[3]["kind"] == "book_gap"
    assert (log[4]["reason"], log[4]["ts"]) == ("negative_size", 2 * SECOND)
    assert "stale" in log[5]["marks"]


def test_what_is_no_frame_is_counted_and_the_rest_goes_on() -> None:
    replay = ReplayCore(HEADER)
    for entry in frames(snapshot(1), b"{broken", delta(2)):
        replay.play(entry)
    assert (replay.unreadable, replay.tally().updates) == (1, 2)


def test_rest_answers_reach_the_session_and_answers_of_nobody_do_not() -> None:
    def depth(first: int, last: int) -> bytes:
        data = {"e": "depthUpdate", "E": 1, "s": "BTCUSDT", "U": first, "u": last, "b": [["2", "1"]], "a": [["3", "1"]]}
        return json.dumps({"stream": "btcusdt@depth@100ms", "data": data}).encode()

    call = RestCall(purpose="depth", path="/api/v3/depth", market="BTCUSDT.BINANCE")
    body = b'{"lastUpdateId":5,"bids":[["1","1"]],"asks":[]}'
    entries: list[Entry] = [
        Begin(1, "c"),
        Received(2, depth(4, 5)),
        Received(3, depth(6, 7)),
        Answer(4, RestCall(purpose="", path="/api/v3/exchangeInfo"), 200, b"{}"),
        Sent(4, b"nothing"),
        Answer(5, call, 200, body),
        Received(6, depth(8, 8)),
    ]
    replay = ReplayCore(RecordingHeader(venue="binance"))
    outputs = [output for entry in entries for output in replay.play(entry)]
    updates = [output for output in outputs if isinstance(output, BookUpdate)]
    assert (updates[0].snapshot, updates[0].ts_recv) == (True, 5)
    assert replay.books["BTCUSDT.BINANCE"].best().bid == 2_000_000_000
    assert (replay.answers, replay.stale_markets()) == (2, set())


def test_a_replay_takes_the_options_of_its_recording() -> None:
    header = RecordingHeader(venue="kalshi", options=SessionOptions(use_yes_price=False))
    no = snapshot(1).replace(b'"0.5000"', b'"0.4500"')
    (_, quote) = logged(frames(no), header)
    assert quote["ask"] == "0.55"
    (_, quote) = logged(frames(no), RecordingHeader(venue="kalshi"))
    assert quote["ask"] == "0.45"


# -- a whole run ---------------------------------------------------------------------------------------------------


def test_the_summary_tells_gaps_stale_spans_and_what_the_recorder_lost(tmp_path: Path) -> None:
    entries: list[Entry] = [
        Begin(SECOND, "c"),
        *frames(snapshot(1), delta(2), begin=2),
        Note(4 * SECOND, 3, "lost: the disk is too slow"),
        *frames(delta(6), snapshot(7), begin=5),
    ]
    path = tmp_path / "a.trec"
    write_recording(path, HEADER, entries)
    summary, _ = run(path)
    assert (summary.frames, summary.gaps, summary.frames_lost, summary.missing) == (4, 1, 3, 3)
    (span,) = summary.stale_spans
    assert (span.market, span.reason, span.begin, span.end) == ("M", "gap", 5 * SECOND, 6 * SECOND)
    assert summary.lost == ["3 entries: lost: the disk is too slow"]
    assert (summary.stale, summary.whole, summary.markets) == ((), False, ("M",))
    assert (summary.first, summary.last) == (SECOND, 6 * SECOND)


def test_a_part_is_the_same_as_in_the_whole(tmp_path: Path) -> None:
    summary, whole = run(SAMPLE)
    since, until = summary.first + 20 * SECOND, summary.first + 30 * SECOND
    part_summary, part = run(SAMPLE, since=since, until=until)
    expected = [each for each in whole.splitlines() if since <= json.loads(each).get("ts_recv", 0) <= until]
    assert part.splitlines() == expected
    assert part_summary.gaps == 0


def test_a_torn_tail_is_told_and_the_rest_is_played(tmp_path: Path) -> None:
    path = tmp_path / "torn.trec"
    write_recording(path, HEADER, frames(*(delta(seq) for seq in range(2, 60_000))))
    (first, second, *_) = RecordingReader(path).files[0].blocks
    path.write_bytes(path.read_bytes()[: second.offset + 77])
    summary, _ = run(path)
    assert summary.frames == first.entries
    assert summary.lost == [f"torn.trec: torn at byte {second.offset}: 77 bytes, {second.entries} entries lost"]
    assert not summary.whole


def test_bars_are_built_out_of_the_trades(tmp_path: Path) -> None:
    _, log = run(SAMPLE, bars=[parse_interval("10s"), parse_interval("100t")])
    bars = [each for each in map(json.loads, log.splitlines()) if each["type"] == "bar"]
    assert {bar["interval"] for bar in bars} == {"10s", "100t"}
    timed = [bar for bar in bars if bar["interval"] == "10s" and bar["market"] == "SIM-ALPHA"]
    assert all(earlier["end"] == later["start"] for earlier, later in pairwise(timed))
    assert all(float(bar["low"]) <= float(bar["open"]) <= float(bar["high"]) for bar in bars)


def test_no_quote_is_ever_crossed(tmp_path: Path) -> None:
    replay = ReplayCore(RecordingReader(SAMPLE).header)
    quotes = [output for entry in RecordingReader(SAMPLE) for output in replay.play(entry) if isinstance(output, Quote)]
    assert len(quotes) > 500
    assert all(quote.bid is None or quote.ask is None or quote.bid <= quote.ask for quote in quotes)
