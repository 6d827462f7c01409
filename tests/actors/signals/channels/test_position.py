from __future__ import annotations

from pathlib import Path

import pytest

from actors.signals.channels.outbox import Position, Undelivered
from actors.signals.channels.position import PositionDamaged, PositionFile, UndeliveredFile

START = Position(7, 3)


def test_a_new_file_begins_where_it_was_told_and_goes_on_where_it_was_written(tmp_path: Path) -> None:
    path = tmp_path / "channels" / "a.position"
    file = PositionFile.open(path, START)
    assert (file.position, file.floor) == (START, START)
    size = path.stat().st_size
    for seq in range(8, 30):
        file.write(Position(seq, 3))
    file.close()
    again = PositionFile.open(path, Position(1000, 1000))
    assert (again.position, again.floor, again.identity) == (Position(29, 3), START, file.identity)
    assert path.stat().st_size == size
    again.close()
    again.close()


def test_two_channels_have_different_identities(tmp_path: Path) -> None:
    one = PositionFile.open(tmp_path / "a.position", START)
    other = PositionFile.open(tmp_path / "b.position", START)
    assert one.identity != other.identity
    one.close()
    other.close()


def test_a_write_that_was_cut_anywhere_leaves_the_one_before_it(tmp_path: Path) -> None:
    path = tmp_path / "a.position"
    file = PositionFile.open(path, START)
    file.write(Position(8, 3))
    before = path.read_bytes()
    file.write(Position(12_345, 67))
    after = path.read_bytes()
    file.close()
    changed = [at for at in range(len(after)) if before[at] != after[at]]
    for cut in range(changed[0], changed[-1] + 1):
        path.write_bytes(after[:cut] + before[cut:])
        torn = PositionFile.open(path, START)
        assert torn.position in (Position(8, 3), Position(12_345, 67))
        torn.close()


def test_a_file_that_says_nothing_is_an_error_that_says_what_to_do(tmp_path: Path) -> None:
    path = tmp_path / "a.position"
    path.write_bytes(b"\0" * 512)
    with pytest.raises(PositionDamaged, match="remove it to begin anew"):
        PositionFile.open(path, START)


def test_what_was_left_out_is_remembered_after_a_restart(tmp_path: Path) -> None:
    path = tmp_path / "a.undelivered.jsonl"
    file = UndeliveredFile(path, kept=3)
    file.load()
    for seq in range(5):
        file.add(Undelivered("signals", seq, f"sig_{seq}", "A", "too large", 1))
    path.write_bytes(path.read_bytes() + b'{"stream":"sig')
    again = UndeliveredFile(path, kept=3)
    again.load()
    assert [each.seq for each in again.newest] == [2, 3, 4]
    again.add(Undelivered("signals", 9, "sig_9", "A", "too large", 1))
    once_more = UndeliveredFile(path, kept=3)
    once_more.load()
    assert [each.seq for each in once_more.newest] == [3, 4, 9]
