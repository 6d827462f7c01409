"""The recorder: a thread that writes what the loop hands it, and counts what it cannot."""

from __future__ import annotations

import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest

from actors.market.recordings.entries import Begin, Entry, Note, Received, RecordingHeader
from actors.market.recordings.reader import RecordingReader
from actors.market.recordings.recording_file import Block
from actors.market.recordings.writer import Recorder
from protocols.nanos import NANO
from tests.actors.market.test_recording import CALL, ONE_OF_EACH

HEADER = RecordingHeader(venue="kalshi", feed="f")


def read(path: Path) -> tuple[list[Entry], list[str]]:
    recording = RecordingReader(path)
    entries = list(recording)
    return entries, [loss.reason for loss in recording.lost]


def numbers(entries: list[Entry]) -> list[int]:
    return [int(entry.raw) for entry in entries if isinstance(entry, Received)]


def test_what_is_recorded_is_read_back(tmp_path: Path) -> None:
    recorder = Recorder(tmp_path / "deep" / "rec", HEADER)
    recorder.session(5, "c1", ("demo", "delayed"))
    recorder.sent(6, b'{"cmd":"subscribe"}')
    recorder.frame(6, '{"type":"ok", "text":"ünï" }'.encode(), 3)
    recorder.answer(7, CALL, 429, b"slow down \x00\xff")
    recorder.note(8, 12, "lost: too slow")
    recorder.frame(9, b"")
    recorder.close()
    recorder.close()
    assert read(tmp_path / "deep" / "rec") == (ONE_OF_EACH, [])
    assert (recorder.entries, recorder.written, recorder.lost, recorder.fault) == (6, 6, 0, "")


def test_a_folder_is_rotated_by_size(tmp_path: Path) -> None:
    recorder = Recorder(tmp_path, HEADER, file_bytes=2_000, block_bytes=500)
    for number in range(2_000):
        recorder.frame(number, b"%d" % number)
    recorder.close()
    entries, lost = read(tmp_path)
    assert numbers(entries) == list(range(2_000))
    assert lost == []
    files = RecordingReader(tmp_path).files
    assert len(files) > 1
    assert [file.header.number for file in files] == list(range(1, len(files) + 1))
    assert [file.header.follows for file in files] == ["", *(file.path.name for file in files[:-1])]


class Held(Recorder):
    """Its thread waits before the first block that it writes."""

    reached = threading.Event()
    held = threading.Event()

    def _write(self, block: Block) -> None:
        self.reached.set()
        assert self.held.wait(30)
        super()._write(block)


def test_what_came_while_the_disk_was_slow_is_in_its_order_though_the_end_comes_meanwhile(tmp_path: Path) -> None:
    recorder = Held(tmp_path, HEADER, block_bytes=500)
    recorder.frame(0, b"0")
    assert recorder.reached.wait(30)
    for number in range(1, 101):
        recorder.frame(number, b"%d" % number)
    recorder.end()
    recorder.held.set()
    recorder.close()
    entries, lost = read(tmp_path)
    assert (numbers(entries), lost) == (list(range(101)), [])


def test_a_folder_is_rotated_by_time(tmp_path: Path) -> None:
    recorder = Recorder(tmp_path, HEADER, file_s=60.0, block_bytes=1)
    for number in range(10):
        recorder.frame(number * 30 * NANO, b"%d" % number)
    recorder.close()
    found = RecordingReader(tmp_path)
    assert [file.blocks[0].first // NANO for file in found.files] == [0, 60, 120, 180, 240]
    assert numbers(list(found)) == list(range(10))


def test_a_folder_that_has_recordings_is_continued_in_a_new_file_with_a_note(tmp_path: Path) -> None:
    for life in (1, 2):
        recorder = Recorder(tmp_path, HEADER)
        recorder.session(life, f"c{life}")
        recorder.close()
    entries, lost = read(tmp_path)
    assert entries == [Begin(1, "c1"), Note(1, 0, "continued; 000001.trec: closed"), Begin(2, "c2")]
    assert lost == []


def test_a_recorder_that_was_left_behind_ends_when_the_next_one_begins(tmp_path: Path) -> None:
    left = Recorder(tmp_path, HEADER)
    left.frame(1, b"1")
    following = Recorder(tmp_path, HEADER)
    following.frame(2, b"2")
    following.close()
    entries, lost = read(tmp_path)
    assert numbers(entries) == [1, 2]
    assert lost == []
    assert Note(1, 0, "continued; 000001.trec: closed") in entries
    left.close()


def test_the_cut_of_a_torn_file_is_marked_in_the_next_one(tmp_path: Path) -> None:
    recorder = Recorder(tmp_path, HEADER, block_bytes=1)
    for number in range(3):
        recorder.frame(number, b"%d" % number)
    recorder.close()
    torn = tmp_path / "000001.trec"
    last = RecordingReader(tmp_path).files[0].blocks[-1]
    torn.write_bytes(torn.read_bytes()[: last.offset + 50])
    recorder = Recorder(tmp_path, HEADER)
    recorder.frame(7, b"7")
    recorder.close()
    entries, lost = read(tmp_path)
    assert numbers(entries) == [0, 1, 7]
    assert lost == ["torn"]
    assert entries[2] == Note(1, 1, f"continued; 000001.trec: torn at byte {last.offset}: 50 bytes, 1 entries lost")


def test_markets_that_are_followed_later_are_in_the_header_of_the_recording(tmp_path: Path) -> None:
    recorder = Recorder(tmp_path, RecordingHeader(venue="kalshi", markets=("B",)), block_bytes=1)
    recorder.frame(1, b"1")
    recorder.follow({"B"})
    recorder.follow({"A", "B"})
    recorder.frame(2, b"2")
    recorder.close()
    recording = RecordingReader(tmp_path)
    assert numbers(list(recording)) == [1, 2]
    assert recording.header.markets == ("A", "B")
    assert recording.files[-1].header.recording.markets == ("A", "B")


def test_markets_that_only_frames_tell_stay_so(tmp_path: Path) -> None:
    recorder = Recorder(tmp_path, HEADER)
    recorder.follow({"A"})
    recorder.close()
    assert RecordingReader(tmp_path).header.markets == ()


def test_a_single_file_that_is_there_is_kept_and_the_next_gets_a_number(tmp_path: Path) -> None:
    names = []
    for _ in range(3):
        recorder = Recorder(tmp_path / "today.trec", HEADER)
        names.append(recorder.path.name)
        recorder.close()
    assert names == ["today.trec", "today-2.trec", "today-3.trec"]


def test_a_file_is_readable_while_it_is_written(tmp_path: Path) -> None:
    recorder = Recorder(tmp_path, HEADER, block_bytes=1)
    recorder.frame(1, b"1")
    while recorder.written == 0:
        time.sleep(0)
    entries, lost = read(tmp_path)
    assert numbers(entries) == [1]
    assert lost == ["unclosed"]
    recorder.close()


def test_what_the_backlog_does_not_hold_is_counted_and_noted_in_the_recording(tmp_path: Path) -> None:
    recorder = Recorder(tmp_path, HEADER, backlog_bytes=1_000)
    recorder.frame(0, b"0")
    recorder.frame(1, b" " * 1_000 + b"1")
    for number in range(2, 20_000):
        recorder.frame(number, b"%d" % number)
    recorder.close()
    entries, _ = read(tmp_path)
    notes = [entry for entry in entries if isinstance(entry, Note)]
    kept = numbers(entries)
    assert recorder.lost > 0
    assert len(kept) + recorder.lost == 20_000
    assert sum(note.count for note in notes) == recorder.lost
    assert {note.reason for note in notes} == {"lost: the disk is too slow"}
    # Each note stands where what it counts is missing.
    expected = 0
    for entry in entries:
        if isinstance(entry, Note):
            assert entry.ts == expected
            expected += entry.count
        else:
            assert entry.ts == expected
            expected += 1
    assert expected == 20_000


REFUSED = """
import resource, signal, sys, time
from pathlib import Path
from actors.market.recordings.entries import RecordingHeader
from actors.market.recordings.writer import Recorder

signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
recorder = Recorder(Path(sys.argv[1]), RecordingHeader(venue="kalshi"), block_bytes=1)
def record(first, last):
    for number in range(first, last):
        recorder.frame(number, b"%d" % number)
def until(reached):
    while not reached():
        time.sleep(0)
record(0, 10)
until(lambda: recorder.written == 10)
soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
resource.setrlimit(resource.RLIMIT_FSIZE, (recorder.bytes_written + 30, hard))
record(10, 20)
until(lambda: recorder.lost)
assert "large" in recorder.fault, recorder.fault
resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
record(20, 30)
recorder.close()
print(recorder.lost)
"""


def test_a_disk_that_refuses_for_a_while_leaves_a_note_and_no_torn_block(tmp_path: Path) -> None:
    child = subprocess.run(
        [sys.executable, "-c", REFUSED, str(tmp_path / "rec")], capture_output=True, text=True, timeout=60, check=False
    )
    assert child.returncode == 0, child.stderr
    entries, lost = read(tmp_path / "rec")
    assert lost == []
    missing = sum(entry.count for entry in entries if isinstance(entry, Note))
    assert missing == int(child.stdout) > 0
    assert len(numbers(entries)) + missing == 30
    assert numbers(entries)[:10] == list(range(10))


def test_a_folder_that_cannot_be_made_is_an_error_at_once(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(OSError, match="file"):
        Recorder(tmp_path / "file" / "rec", HEADER)
