from __future__ import annotations

import gzip
from pathlib import Path

import pytest

from actors.market.recording import (
    VERSION,
    Entry,
    Recorder,
    Recording,
    RecordingError,
    RecordingHeader,
    recorded_markets,
    unused,
)
from protocols.nanos import NANO

SNAPSHOT = b'{"type":"orderbook_snapshot","sid":1,"seq":2,"msg":{"market_ticker":"%b"}}'
DELTA = b'{"type":"orderbook_delta","sid":1,"seq":3,"msg":{"market_ticker":"B","ts_ms":%d}}'


def written(path: Path, lines: list[bytes]) -> Path:
    raw = b"\n".join(lines) + b"\n"
    path.write_bytes(gzip.compress(raw) if path.suffix == ".gz" else raw)
    return path


@pytest.mark.parametrize("name", ["session.jsonl", "session.jsonl.gz"])
def test_what_is_recorded_is_read_back_byte_for_byte(tmp_path: Path, name: str) -> None:
    header = RecordingHeader(
        troupe_recording=VERSION, feed="f", use_yes_price=True, marks=("synthetic",), markets=("A",)
    )
    recorder = Recorder(tmp_path / "deep" / name, header)
    odd = '{"type":"ok", "text":"ünï" }'
    recorder.session(5, "c1")
    recorder.frame(6, odd)
    recorder.frame(9, SNAPSHOT % b"A")
    recorder.close()
    recorder.close()
    recording = Recording(tmp_path / "deep" / name)
    assert recording.header == header
    assert list(recording) == [Entry(5, None), Entry(6, odd.encode()), Entry(9, SNAPSHOT % b"A")]
    recording.close()


def test_the_same_session_is_the_same_file(tmp_path: Path) -> None:
    for name in ("a.gz", "b.gz"):
        recorder = Recorder(tmp_path / name, RecordingHeader(troupe_recording=VERSION))
        recorder.frame(1, b"{}")
        recorder.close()
    assert (tmp_path / "a.gz").read_bytes() == (tmp_path / "b.gz").read_bytes()


def test_bare_frames_take_the_running_maximum_of_the_venues_times(tmp_path: Path) -> None:
    ok = b'{"type":"ok","id":6,"sid":1,"seq":1,"msg":[]}'
    frames = [ok, SNAPSHOT % b"B", DELTA % 7000, DELTA % 6000, b"", DELTA % 8000]
    recording = Recording(written(tmp_path / "raw.jsonl", frames))
    assert recording.header is None
    entries = list(recording)
    # The undated ones at the front were received with the first dated one, as far as anyone can tell.
    assert [entry.ts // NANO for entry in entries] == [7, 7, 7, 7, 8]
    assert [entry.frame for entry in entries] == [frame for frame in frames if frame]


def test_receive_times_may_be_rfc_3339_and_never_go_back(tmp_path: Path) -> None:
    lines = [
        b'{"recv":"2025-11-04T02:52:44.583891+00:00","frame":{"type":"ok"}}',
        b'{"recv":"2025-11-04T02:52:43+00:00","frame":{"type":"ok"}}',
    ]
    first, second = Recording(written(tmp_path / "recv.jsonl", lines))
    assert first.ts == second.ts == 1762224764583891000


def test_entries_can_be_taken_in_batches(tmp_path: Path) -> None:
    recording = Recording(written(tmp_path / "raw.jsonl", [DELTA % n for n in range(1, 8)]))
    assert [len(recording.take(3)) for _ in range(4)] == [3, 3, 1, 0]


def test_the_markets_are_those_of_the_header_or_of_all_snapshots(tmp_path: Path) -> None:
    raw = written(tmp_path / "raw.jsonl", [SNAPSHOT % b"B", DELTA % 1, SNAPSHOT % b"A", SNAPSHOT % b"B"])
    assert recorded_markets(raw) == ("A", "B")
    recorder = Recorder(tmp_path / "ours.jsonl", RecordingHeader(troupe_recording=VERSION, markets=("Z",)))
    recorder.close()
    assert recorded_markets(tmp_path / "ours.jsonl") == ("Z",)


@pytest.mark.parametrize(
    ("line", "match"),
    [
        (b"not json", r"raw.jsonl, line 2: "),
        (b'{"recv":5}', r"raw.jsonl, line 2: neither a frame nor a session"),
        (b'{"recv":"yesterday","frame":{}}', r"raw.jsonl, line 2: "),
    ],
)
def test_a_line_that_is_none_is_an_error_that_names_it(tmp_path: Path, line: bytes, match: str) -> None:
    recording = Recording(written(tmp_path / "raw.jsonl", [DELTA % 1, line]))
    with pytest.raises(RecordingError, match=match):
        list(recording)


def test_a_recording_of_another_version_is_refused(tmp_path: Path) -> None:
    with pytest.raises(RecordingError, match="version 99"):
        Recording(written(tmp_path / "new.jsonl", [b'{"troupe_recording":99}']))


def test_a_recording_that_is_there_is_kept_and_the_next_gets_a_number(tmp_path: Path) -> None:
    wanted = tmp_path / "today.jsonl.gz"
    names = []
    for _ in range(3):
        path = unused(wanted)
        path.touch()
        names.append(path.name)
    assert names == ["today.jsonl.gz", "today-2.jsonl.gz", "today-3.jsonl.gz"]
