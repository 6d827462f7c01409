"""The node's log: what is accepted can be read back, whatever happens to the process."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from protocols.control import Message, Refused, Row
from runtime.log import LogFull, LogLocked, NodeLog, RowTooLarge, open_log
from runtime.log_reader import LogReader
from runtime.segments import SEGMENT_HEADER, LogDamaged, list_segments, records, segment_path

SEGMENT = 64 << 10
ROOT = Path(__file__).parents[2]


class Tick(Row, frozen=True, gc=False, tag="tick"):
    table = "ticks"
    market: str
    price: int
    size: float | None = None
    raw: bytes = b""


class Event(Row, frozen=True, gc=False, tag="event"):
    table = "events"
    sequenced = True
    stream: str
    seq: int


class Nested(Message, frozen=True, gc=False):
    x: int


class Document(Row, frozen=True, gc=False, tag="document"):
    table = "documents"
    body: msgspec.Raw | None
    parts: tuple[Nested, ...] = ()


def small_log(directory: Path, **options: Any) -> NodeLog:
    options = {"segment_bytes": SEGMENT, "max_bytes": 64 * SEGMENT, "reserve_bytes": 0} | options
    return open_log(directory, **options)


def read_all(directory: Path, position: int = 0) -> list[tuple[str, list[Any]]]:
    reader = LogReader(directory, position)
    found = []
    while rows := reader.read(7, 1 << 20):
        found += [(row.table.name, row.fields) for row in rows]
    reader.close()
    return found


def fill(log: NodeLog) -> int:
    """Append until the log refuses; returns how many rows it took."""
    accepted = 0
    try:
        while True:
            log.append(Tick("A", accepted))
            accepted += 1
    except LogFull:
        return accepted


@contextmanager
def scratch() -> Iterator[Path]:
    """A folder for one example of a property: a fixture would be shared by all of them."""
    path = Path(tempfile.mkdtemp())
    try:
        yield path
    finally:
        shutil.rmtree(path)


def test_what_is_appended_can_be_read_without_the_classes_of_the_rows(tmp_path: Path) -> None:
    with small_log(tmp_path) as log:
        log.append(Tick("A", 1, 0.5, b"\0x"))
        log.append(Event("s", 1))
        reader = LogReader(tmp_path)
        rows = reader.read(10, 1 << 20)
        assert [(row.table.name, row.table.columns, row.fields) for row in rows] == [
            ("ticks", ("market", "price", "size", "raw"), ["A", 1, 0.5, b"\0x"]),
            ("events", ("stream", "seq"), ["s", 1]),
        ]
        assert reader.read(10, 1 << 20) == []


def test_append_returns_the_position_from_which_the_next_row_is_read(tmp_path: Path) -> None:
    with small_log(tmp_path) as log:
        positions = [log.append(Tick("A", price)) for price in range(3)]
        assert log.position == positions[-1]
        assert read_all(tmp_path, positions[0]) == [
            ("ticks", ["A", 1, None, b""]),
            ("ticks", ["A", 2, None, b""]),
        ]
        assert [row.end for row in LogReader(tmp_path).read(10, 1 << 20)] == positions


def test_free_json_travels_as_text_and_nested_structs_as_objects(tmp_path: Path) -> None:
    with small_log(tmp_path) as log:
        log.append(Document(msgspec.Raw(b'{"a": [1, 2]}'), (Nested(1),)))
        log.append(Document(None))
    assert [fields for _, fields in read_all(tmp_path)] == [['{"a": [1, 2]}', [{"x": 1}]], [None, []]]


def test_a_reader_follows_rows_that_are_appended_later_and_through_new_segments(tmp_path: Path) -> None:
    with small_log(tmp_path) as log:
        reader = LogReader(tmp_path)
        prices: list[int] = []
        for price in range(10_000):
            log.append(Tick("A", price))
            if price % 97 == 0:
                prices += [row.fields[1] for row in reader.read(1_000_000, 1 << 30)]
        prices += [row.fields[1] for row in reader.read(1_000_000, 1 << 30)]
        assert prices == list(range(10_000))
        assert len(list_segments(tmp_path)) > 2
        assert reader.position == log.position
        assert log.backlog(reader.position) == 0
        assert reader.gaps == []


def test_a_reader_gives_no_more_than_it_is_asked_for(tmp_path: Path) -> None:
    with small_log(tmp_path) as log:
        for price in range(100):
            log.append(Tick("A", price, raw=b"x" * 100))
        reader = LogReader(tmp_path)
        assert len(reader.read(10, 1 << 20)) == 10
        assert 8 <= len(reader.read(1000, 1000)) <= 10
        assert len(reader.read(1000, 1 << 20)) >= 80


def test_a_row_larger_than_a_readers_chunk_is_read_whole(tmp_path: Path) -> None:
    with small_log(tmp_path, segment_bytes=1 << 20, max_bytes=4 << 20) as log:
        log.append(Tick("A", 1, raw=b"y" * 500_000))
        log.append(Tick("A", 2))
        assert [fields[1] for _, fields in read_all(tmp_path)] == [1, 2]


def test_every_start_raises_the_epoch_and_never_uses_a_position_twice(tmp_path: Path) -> None:
    ends = []
    identities = set()
    for epoch in (1, 2, 3):
        with small_log(tmp_path) as log:
            assert log.epoch == epoch
            identities.add(log.log_id)
            ends.append(log.append(Tick("A", epoch)))
    assert ends == sorted(set(ends))
    assert len(identities) == 1
    assert [fields[1] for _, fields in read_all(tmp_path)] == [1, 2, 3]
    assert [fields[1] for _, fields in read_all(tmp_path, ends[0])] == [2, 3]


def test_a_position_that_a_power_failure_took_back_does_not_hide_later_rows(tmp_path: Path) -> None:
    with small_log(tmp_path) as log:
        log.append(Tick("A", 1))
        lost = log.append(Tick("A", 2))
    first = list_segments(tmp_path)[0]
    os.truncate(segment_path(tmp_path, first), SEGMENT_HEADER.size)
    with small_log(tmp_path) as log:
        log.append(Tick("A", 3))
    assert [fields[1] for _, fields in read_all(tmp_path, lost)] == [3]


def test_the_last_seq_of_every_stream_survives_restarts_and_deleted_segments(tmp_path: Path) -> None:
    with small_log(tmp_path) as log:
        log.append(Event("a", 1))
        log.append(Event("a", 2))
        log.append(Event("b", 7))
    for _ in range(2):
        with small_log(tmp_path) as log:
            reader = LogReader(tmp_path)
            reader.read(100, 1 << 20)
            reader.drop_segments(reader.position)
            assert len(list_segments(tmp_path)) == 1
            assert (log.last_seq("a"), log.last_seq("b"), log.last_seq("c")) == (2, 7, 0)


def test_a_seq_that_is_not_new_is_an_error_and_nothing_is_appended(tmp_path: Path) -> None:
    with small_log(tmp_path) as log:
        log.append(Event("a", 2))
        before = log.position
        with pytest.raises(ValueError, match=r"^stream 'a' is at 2, so seq 2 is not new$"):
            log.append(Event("a", 2))
        assert log.position == before
        assert log.last_seq("a") == 2


def test_a_row_that_cannot_be_encoded_is_an_error_and_nothing_is_appended(tmp_path: Path) -> None:
    with small_log(tmp_path) as log:
        before = log.position
        with pytest.raises(TypeError):
            log.append(Tick("A", object()))  # type: ignore[arg-type]
        with pytest.raises(OverflowError):
            log.append(Tick("A", 1 << 70))
        assert log.position == before


def test_a_full_log_refuses_until_segments_are_deleted(tmp_path: Path) -> None:
    with small_log(tmp_path, max_bytes=3 * SEGMENT) as log:
        accepted = fill(log)
        with pytest.raises(Refused) as refusal:
            log.append(Tick("A", accepted))
        assert refusal.value.code == "log_full"
        reader = LogReader(tmp_path)
        rows = reader.read(1_000_000, 1 << 30)
        assert [row.fields[1] for row in rows] == list(range(accepted))
        assert reader.drop_segments(reader.position) > 0
        log.append(Tick("A", accepted))
        assert [row.fields[1] for row in reader.read(10, 1 << 20)] == [accepted]


def test_a_nearly_full_disk_is_a_refusal(tmp_path: Path) -> None:
    with pytest.raises(LogFull, match="nearly full"):
        small_log(tmp_path, reserve_bytes=1 << 60)


def test_a_row_that_fits_no_segment_is_an_error(tmp_path: Path) -> None:
    with small_log(tmp_path) as log:
        with pytest.raises(RowTooLarge):
            log.append(Tick("A", 1, raw=b"z" * SEGMENT))
        log.append(Tick("A", 2))
    assert [fields[1] for _, fields in read_all(tmp_path)] == [2]


def test_a_log_is_open_in_one_place_only(tmp_path: Path) -> None:
    with small_log(tmp_path), pytest.raises(LogLocked, match=f"process {os.getpid()}"):
        small_log(tmp_path)
    small_log(tmp_path).close()


def test_a_closed_log_takes_no_rows(tmp_path: Path) -> None:
    log = small_log(tmp_path)
    log.append(Tick("A", 1))
    log.close()
    log.close()
    with pytest.raises(RuntimeError, match="closed"):
        log.append(Tick("A", 2))
    with pytest.raises(RuntimeError, match="closed"):
        log.append(Event("a", 1))


def test_with_fsync_rows_are_accepted_and_read_as_without(tmp_path: Path) -> None:
    with small_log(tmp_path, fsync=True) as log:
        for price in range(2_000):
            log.append(Tick("A", price, raw=b"w" * 50))
    assert [fields[1] for _, fields in read_all(tmp_path)] == list(range(2_000))


def test_a_segment_of_another_version_is_refused(tmp_path: Path) -> None:
    with small_log(tmp_path) as log:
        log.append(Tick("A", 1))
    path = segment_path(tmp_path, list_segments(tmp_path)[0])
    content = bytearray(path.read_bytes())
    content[8] = 99
    path.write_bytes(content)
    with pytest.raises(LogDamaged, match="version 99"):
        small_log(tmp_path)


def test_damage_inside_a_finished_segment_is_passed_over_and_reported(tmp_path: Path) -> None:
    with small_log(tmp_path) as log:
        second = [log.append(Tick("A", price)) for price in range(3)][1]
    with small_log(tmp_path) as log:
        log.append(Tick("A", 3))
    path = segment_path(tmp_path, list_segments(tmp_path)[0])
    content = bytearray(path.read_bytes())
    content[second - 1] ^= 0xFF
    path.write_bytes(content)
    reader = LogReader(tmp_path)
    assert [row.fields[1] for row in reader.read(10, 1 << 20)] == [0, 3]
    assert len(reader.gaps) == 1


def test_a_segment_begun_just_before_a_power_failure_is_set_aside(tmp_path: Path) -> None:
    with small_log(tmp_path) as log:
        end = log.append(Tick("A", 1))
    segment_path(tmp_path, end).write_bytes(bytes(SEGMENT))
    with small_log(tmp_path) as log:
        log.append(Tick("A", 2))
    assert [fields[1] for _, fields in read_all(tmp_path)] == [1, 2]


cells = st.text(max_size=20)


@settings(max_examples=100, deadline=None)
@given(
    st.lists(
        st.builds(
            Tick,
            market=cells,
            price=st.integers(-(2**63), 2**64 - 1),
            size=st.none() | st.floats(allow_nan=False),
            raw=st.binary(max_size=300),
        ),
        max_size=40,
    )
)
def test_any_row_comes_back_as_it_was(rows: list[Tick]) -> None:
    with scratch() as path:
        with small_log(path, segment_bytes=8 << 10) as log:
            for row in rows:
                log.append(row)
        assert [Tick(*fields) for _, fields in read_all(path)] == rows


@pytest.fixture(scope="module")
def crashed(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, list[int], list[int]]:
    """A log as `kill -9` leaves it (nothing cut, nothing closed), and its rows with their ends."""
    path = tmp_path_factory.mktemp("crashed")
    with small_log(path / "log", segment_bytes=4096) as log:
        first = log.position
        ends = [log.append(Event("s", seq)) for seq in range(1, 6)]
        shutil.copytree(path / "log", path / "copy")
    return path / "copy", [first, *ends], list(range(1, 6))


@pytest.mark.parametrize("rest", ["cut", "zeros", "noise"])
def test_a_crash_at_any_byte_of_the_tail_keeps_every_whole_row(
    crashed: tuple[Path, list[int], list[int]], rest: str, tmp_path: Path
) -> None:
    origin, ends, seqs = crashed
    whole = segment_path(origin, 0).read_bytes()
    log_path = tmp_path / "log"
    for cut in range(ends[0], ends[-1] + 1):
        shutil.copytree(origin, log_path)
        if rest == "cut":
            torn = whole[:cut]
        elif rest == "zeros":
            torn = whole[:cut] + bytes(len(whole) - cut)
        else:
            torn = whole[:cut] + bytes(byte ^ 0x5A for byte in whole[cut : cut + 30]) + bytes(100)
        segment_path(log_path, 0).write_bytes(torn)
        kept = sum(end <= cut for end in ends[1:])
        with small_log(log_path, segment_bytes=4096) as log:
            assert log.epoch == 2
            assert log.last_seq("s") == kept
            log.append(Event("s", kept + 1))
        assert [fields[1] for _, fields in read_all(log_path)] == [*seqs[:kept], kept + 1]
        shutil.rmtree(log_path)


@settings(max_examples=200, deadline=None)
@given(st.binary(max_size=200))
def test_noise_is_never_taken_for_a_record(noise: bytes) -> None:
    assert list(records(noise)) == []


WRITER = """
import sys
from tests.runtime.test_log import Event, small_log
log = small_log(sys.argv[1])
seq = log.last_seq("s")
while True:
    seq += 1
    log.append(Event("s", seq))
    if seq % 50 == 0:
        print(seq, flush=True)
"""


def test_what_was_accepted_survives_kill_9_of_the_process(tmp_path: Path) -> None:
    accepted = 0
    for _ in range(3):
        with subprocess.Popen(
            [sys.executable, "-c", WRITER, str(tmp_path)], stdout=subprocess.PIPE, cwd=ROOT
        ) as process:
            assert process.stdout is not None
            for _ in range(20):
                accepted = int(process.stdout.readline())
            process.send_signal(signal.SIGKILL)
        with small_log(tmp_path) as log:
            survived = log.last_seq("s")
        assert survived >= accepted
        assert [fields[1] for _, fields in read_all(tmp_path)] == list(range(1, survived + 1))


def test_a_reader_in_another_process_sees_every_row_once_while_it_is_written(tmp_path: Path) -> None:
    with subprocess.Popen(
        [sys.executable, "-c", WRITER, str(tmp_path)], stdout=subprocess.DEVNULL, cwd=ROOT
    ) as process:
        try:
            reader = LogReader(tmp_path)
            seen = 0
            while seen < 20_000:
                ended = process.poll() is not None  # the log is full; what it holds is read all the same
                rows = reader.read(5_000, 1 << 20)
                for row in rows:
                    seen += 1
                    assert row.fields == ["s", seen]
                if ended and not rows:
                    break
        finally:
            process.kill()
    assert seen >= 20_000
