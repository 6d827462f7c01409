"""Our own recordings: what is written is read back, whatever happened to the file's end or middle."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from actors.market.recordings.entries import (
    Answer,
    Begin,
    Entry,
    Note,
    Received,
    RecordingError,
    RecordingHeader,
    Sent,
)
from actors.market.recordings.format import BLOCK_HEADER_BYTES, TRAILER, FileHeader, decode_block_header, parts
from actors.market.recordings.index import read_index
from actors.market.recordings.reader import RecordingReader, is_recording
from actors.market.recordings.recording_file import RecordingFile, write_recording
from actors.market.session_core import SessionOptions
from protocols.venues.rest import RestCall

HEADER = RecordingHeader(
    venue="kalshi",
    feed="f",
    channels=("book",),
    markets=("A", "B"),
    marks=("demo",),
    options=SessionOptions(use_yes_price=False, depth=10),
)
CALL = RestCall(purpose="depth", path="/depth", query=(("symbol", "A"),), body=b"\x00\xff", market="A")
ONE_OF_EACH: list[Entry] = [
    Begin(5, "c1", ("demo", "delayed")),
    Sent(6, b'{"cmd":"subscribe"}'),
    Received(6, '{"type":"ok", "text":"ünï" }'.encode(), 3),
    Answer(7, CALL, 429, b"slow down \x00\xff"),
    Note(8, 12, "lost: too slow"),
    Received(9, b""),
]


def read(path: Path, **options: int | bool) -> tuple[list[Entry], list[str]]:
    recording = RecordingReader(path, **options)  # type: ignore[arg-type]
    entries = list(recording)
    return entries, [loss.reason for loss in recording.lost]


def in_blocks(path: Path, blocks: list[list[Entry]], *, number: int = 1, close: bool = True) -> list[int]:
    """Write these blocks; returns where each begins, and where the last ends."""
    file = RecordingFile(path, FileHeader(number=number, recording=HEADER))
    offsets = []
    for entries in blocks:
        offsets.append(file.bytes)
        pieces = [piece for entry in entries for piece in parts(entry)]
        flags = int(any(isinstance(entry, Begin) for entry in entries))
        times = [entry.ts for entry in entries]
        file.write(pieces, entries=len(entries), first=times[0], last=max(times), flags=flags)
    offsets.append(file.bytes)
    if close:
        file.close()
    return offsets


def frames(first: int, last: int, *, every: int = 10) -> list[Entry]:
    return [Received(number * every, b"frame %d" % number) for number in range(first, last)]


def test_every_kind_of_entry_is_read_back_as_it_was_written(tmp_path: Path) -> None:
    path = tmp_path / "deep" / "one.trec"
    assert write_recording(path, HEADER, ONE_OF_EACH) == len(ONE_OF_EACH)
    recording = RecordingReader(path)
    assert recording.header == HEADER
    assert list(recording) == ONE_OF_EACH
    assert (recording.lost, recording.closed, recording.count) == ([], True, len(ONE_OF_EACH))
    assert (recording.first, recording.last) == (5, 9)
    assert is_recording(path)


def test_the_same_entries_make_the_same_bytes(tmp_path: Path) -> None:
    for name in ("a.trec", "b.trec"):
        write_recording(tmp_path / name, HEADER, ONE_OF_EACH * 1000)
    assert (tmp_path / "a.trec").read_bytes() == (tmp_path / "b.trec").read_bytes()


def test_a_large_frame_is_kept_whole(tmp_path: Path) -> None:
    large = bytes(range(256)) * 20_000
    entries: list[Entry] = [Received(1, b"before"), Received(2, large), Received(3, b"behind")]
    write_recording(tmp_path / "large.trec", HEADER, entries)
    assert read(tmp_path / "large.trec") == (entries, [])


def test_entries_can_be_taken_in_batches(tmp_path: Path) -> None:
    write_recording(tmp_path / "a.trec", HEADER, frames(0, 7))
    recording = RecordingReader(tmp_path / "a.trec")
    assert [len(recording.take(3)) for _ in range(4)] == [3, 3, 1, 0]


BLOCKS = [frames(0, 20), frames(20, 50), frames(50, 51)]


def test_a_file_cut_anywhere_loses_at_most_the_last_block_and_says_so(tmp_path: Path) -> None:
    whole = tmp_path / "whole.trec"
    offsets = in_blocks(whole, BLOCKS)
    raw = whole.read_bytes()
    torn = tmp_path / "torn.trec"
    for end in range(offsets[0], len(raw)):
        torn.write_bytes(raw[:end])
        complete = sum(offset <= end for offset in offsets[1:])
        entries, lost = read(torn)
        assert entries == [entry for block in BLOCKS[:complete] for entry in block], end
        # Exactly between two blocks nothing is torn; then it is only known that the end is missing.
        between = end in offsets or end == len(raw) - TRAILER.size
        assert lost == (["unclosed"] if between else ["torn"]), end


def test_a_torn_block_whose_header_is_whole_tells_how_many_entries_were_in_it(tmp_path: Path) -> None:
    path = tmp_path / "torn.trec"
    offsets = in_blocks(path, BLOCKS)
    path.write_bytes(path.read_bytes()[: offsets[1] + BLOCK_HEADER_BYTES + 3])
    (loss,) = RecordingReader(path).lost
    assert (loss.reason, loss.offset, loss.entries) == ("torn", offsets[1], 30)
    assert str(loss) == f"torn.trec: torn at byte {offsets[1]}: {BLOCK_HEADER_BYTES + 3} bytes, 30 entries lost"


@pytest.mark.parametrize("closed", [True, False])
@pytest.mark.parametrize("where", [2, 20, 43, BLOCK_HEADER_BYTES + 5])
def test_a_damaged_block_is_left_out_and_the_rest_is_read(tmp_path: Path, closed: bool, where: int) -> None:
    path = tmp_path / "damaged.trec"
    offsets = in_blocks(path, BLOCKS, close=closed)
    raw = bytearray(path.read_bytes())
    raw[offsets[1] + where] ^= 0x55
    path.write_bytes(raw)
    entries, lost = read(path)
    assert entries == BLOCKS[0] + BLOCKS[2]
    assert sorted(lost) == (["damaged"] if closed else ["damaged", "unclosed"])


def test_the_index_is_that_of_the_walk_from_block_to_block(tmp_path: Path) -> None:
    path = tmp_path / "a.trec"
    offsets = in_blocks(path, BLOCKS)
    indexed = read_index(path)
    path.write_bytes(path.read_bytes()[: offsets[-1]])
    walked = read_index(path)
    assert indexed.blocks == walked.blocks
    assert (indexed.closed, walked.closed) == (True, False)
    assert [block.offset for block in indexed.blocks] == offsets[:-1]


def test_a_folder_is_read_file_by_file_in_the_order_of_the_numbers(tmp_path: Path) -> None:
    in_blocks(tmp_path / "000010.trec", [frames(30, 40)], number=10)
    in_blocks(tmp_path / "000009.trec", [frames(0, 30)], number=9, close=False)
    (tmp_path / "notes.txt").write_text("not of the recording")
    entries, lost = read(tmp_path)
    assert entries == frames(0, 40)
    assert lost == ["unclosed"]


def test_a_part_is_found_by_time(tmp_path: Path) -> None:
    in_blocks(tmp_path / "000001.trec", [frames(0, 20), frames(20, 50)])
    in_blocks(tmp_path / "000002.trec", [frames(50, 60), frames(60, 90)], number=2)
    for since, until in [(0, 890), (195, 205), (200, 200), (455, 615), (880, 10_000), (900, 1000), (-5, -1)]:
        expected = [entry for entry in frames(0, 90) if since <= entry.ts <= until]
        assert read(tmp_path, since=since, until=until)[0] == expected


def test_whole_sessions_begin_with_the_connection_that_was_there(tmp_path: Path) -> None:
    second: list[Entry] = [Begin(300, "second"), *frames(30, 50)]
    blocks: list[list[Entry]] = [[Begin(0, "first"), *frames(0, 20)], frames(20, 30), second, frames(50, 60)]
    in_blocks(tmp_path / "a.trec", blocks)
    whole = [entry for block in blocks for entry in block]
    assert read(tmp_path / "a.trec", since=250, whole_sessions=True)[0] == whole
    assert read(tmp_path / "a.trec", since=555, whole_sessions=True)[0] == second + frames(50, 60)


@settings(max_examples=40, deadline=None)
@given(
    st.lists(
        st.one_of(
            st.builds(Received, st.integers(0, 2**62), st.binary(max_size=200), st.integers(0, 65535)),
            st.builds(Sent, st.integers(0, 2**62), st.binary(max_size=20)),
            st.builds(Note, st.integers(-(2**62), 2**62), st.integers(0, 2**40), st.text(max_size=20)),
            st.builds(Begin, st.integers(0, 2**62), st.text(max_size=20), st.tuples(st.text(max_size=5))),
            st.builds(Answer, st.integers(0, 2**62), st.just(CALL), st.integers(100, 599), st.binary(max_size=200)),
        )
    )
)
def test_any_entries_come_back(tmp_path_factory: pytest.TempPathFactory, entries: list[Entry]) -> None:
    path = tmp_path_factory.mktemp("any") / "any.trec"
    write_recording(path, HEADER, entries)
    assert read(path) == (entries, [])


@pytest.mark.parametrize("raw", [b"", b"TRB1", b'{"type":"ok"}\n' * 10, b"\x00" * 100])
def test_what_is_no_recording_is_refused(tmp_path: Path, raw: bytes) -> None:
    path = tmp_path / "odd.trec"
    path.write_bytes(raw)
    with pytest.raises(RecordingError, match=r"odd\.trec: not a recording"):
        RecordingReader(path)


def test_an_empty_folder_is_no_recording(tmp_path: Path) -> None:
    with pytest.raises(RecordingError, match="no recording in this folder"):
        RecordingReader(tmp_path)


def test_a_header_that_claims_too_much_is_damaged() -> None:
    assert decode_block_header(b"TRB1" + b"\xff" * 40) is None
    assert decode_block_header(b"") is None


def test_a_file_of_a_folder_without_a_header_is_a_loss_and_the_others_are_read(tmp_path: Path) -> None:
    in_blocks(tmp_path / "000001.trec", [frames(0, 10)])
    (tmp_path / "000002.trec").write_bytes(b"TRB1")
    in_blocks(tmp_path / "000003.trec", [frames(10, 20)], number=3)
    assert read(tmp_path) == (frames(0, 20), ["damaged"])


def test_a_file_that_was_to_be_continued_and_was_not_says_so(tmp_path: Path) -> None:
    file = RecordingFile(tmp_path / "000001.trec", FileHeader(number=1, recording=HEADER))
    file.close(continued=True)
    assert read(tmp_path) == ([], ["unclosed"])
    in_blocks(tmp_path / "000002.trec", [frames(0, 10)], number=2)
    assert read(tmp_path) == (frames(0, 10), [])
