from __future__ import annotations

import gzip
import json
from pathlib import Path

import msgspec
import pytest

from actors.execution.accounts.rows import ExecutionLedgerRow
from actors.execution.inputs import decode, encode
from actors.research.analysis.journal_command import journal
from actors.research.analysis.journal_file import Journal, JournalFileError, is_journal, read_journal, write_journal
from actors.research.analysis.journal_replay import JournalBroken, Until, checked, replay, until_of
from actors.research.analysis.order_log import order_hash
from protocols.control import Refused
from tests.actors.execution.kit import SECOND
from tests.actors.research.analysis.kit import Kept, at_work, busy, configuration, journal_of, written


def test_a_journal_in_a_file_is_the_journal(tmp_path: Path) -> None:
    own = journal_of(busy())
    for name in ("plain.jsonl", "packed.jsonl.gz"):
        write_journal(tmp_path / name, own)
        assert is_journal(tmp_path / name)
        assert read_journal(tmp_path / name) == own
    assert gzip.decompress((tmp_path / "packed.jsonl.gz").read_bytes()) == (tmp_path / "plain.jsonl").read_bytes()


def test_a_file_that_lost_its_end_or_an_event_is_refused(tmp_path: Path) -> None:
    path = written(busy(), tmp_path / "j.jsonl")
    lines = path.read_bytes().splitlines(keepends=True)
    path.write_bytes(b"".join(lines[:-1]))
    with pytest.raises(JournalFileError, match="not written whole"):
        read_journal(path)
    path.write_bytes(b"".join([*lines[:-2], lines[-1]]))
    with pytest.raises(JournalFileError, match=r"expected \d+ events, got \d+"):
        read_journal(path)


def test_the_inputs_through_a_fresh_engine_give_the_same_events_and_state() -> None:
    desk = busy()
    found = replay(desk.engine.settings, journal_of(desk).rows)
    assert found.events == desk.events
    assert found.entries == desk.engine.take_entries()
    assert found.samples == [sample for _, sample in desk.engine.take_samples()]
    assert found.engine.snapshot() == desk.engine.snapshot()
    assert found.number == len(desk.inputs)
    assert found.complete


def test_a_replay_stops_behind_a_number_or_a_time() -> None:
    desk = busy()
    rows = journal_of(desk).rows
    one = replay(desk.engine.settings, rows, until=Until(number=4))
    assert one.number == 4
    assert one.engine.account.net_position("X") == 2 * SECOND
    by_time = replay(desk.engine.settings, rows, until=Until(ts=one.ts))
    assert (by_time.number, by_time.engine.account.net_position("X")) == (4, 2 * SECOND)
    assert not by_time.complete


def test_until_is_the_number_of_an_input_or_a_time() -> None:
    assert until_of("1200") == Until(number=1200)
    assert until_of("2024-01-31T00:00:00") == Until(ts=1_706_659_200 * SECOND)
    assert until_of("1706659200000000000") == Until(ts=1_706_659_200 * SECOND)
    with pytest.raises(ValueError, match="expected the number of an input or a time"):
        until_of("soon")


def test_a_missing_row_and_a_missing_input_are_named() -> None:
    desk = busy()
    rows = journal_of(desk).rows
    with pytest.raises(JournalBroken, match="expected row 2, got 3"):
        replay(desk.engine.settings, [rows[0], *rows[2:]])
    inputs = decode(rows[1].payload)
    torn = msgspec.structs.replace(rows[1], payload=encode(inputs[1:]), count=len(inputs) - 1)
    with pytest.raises(JournalBroken, match="expected input 4, got 5"):
        replay(desk.engine.settings, [rows[0], torn, *rows[2:]])


def test_a_stored_log_follows_from_its_journal() -> None:
    desk = busy()
    check = checked(journal_of(desk))
    assert check.equal
    assert check.stored_hash == check.replayed_hash == order_hash(desk.events)


def test_a_changed_event_is_found_at_its_place() -> None:
    desk = busy()
    events = list(desk.events)
    events[2] = msgspec.structs.replace(events[2], ts=events[2].ts + 1)
    check = checked(journal_of(desk, events=events))
    assert not check.equal
    assert check.difference == 3
    assert json.loads(check.got)["ts"] == json.loads(check.expected)["ts"] + 1


def test_the_end_of_a_log_may_be_missing_only_while_its_account_runs() -> None:
    desk = busy()
    assert checked(journal_of(desk, events=desk.events[:-1], live=True)).equal
    assert not checked(journal_of(desk, events=desk.events[:-1])).equal
    beyond = [*desk.events, desk.events[-1]]
    assert not checked(journal_of(desk, events=beyond, live=True)).equal


def test_a_posting_that_does_not_follow_from_the_journal_is_found() -> None:
    desk = at_work(Kept())
    ledger = desk.of(ExecutionLedgerRow)
    own = journal_of(desk)
    good = checked(Journal(own.head, own.rows, own.events, ledger))
    assert good.equal
    assert good.ledger is not None
    assert good.ledger.stored == good.ledger.replayed == 11
    changed = (*ledger[:4], msgspec.structs.replace(ledger[4], amount="-0.203"), *ledger[5:])
    bad = checked(Journal(own.head, own.rows, own.events, changed))
    assert not bad.equal
    assert bad.ledger is not None
    assert (bad.ledger.difference, bad.difference) == (5, None)
    assert not checked(Journal(own.head, own.rows, own.events, ledger[:-1])).equal


def test_the_command_shows_how_the_account_stood(tmp_path: Path) -> None:
    path = written(busy(), tmp_path / "j.jsonl")
    text, data = journal(["replay", str(path), "--until", "4"], configuration(tmp_path))[:2]
    assert data["positions"] == {"X": "2"}
    assert data["balances"]["USD"]["cash"] == "99797.798"  # 100000 - 2 * 101 - 0.1 %
    assert [order["state"] for order in data["orders"]] == ["filled"]
    assert data["fills"][0]["why"]["model"]
    assert "one" in text


def test_the_command_writes_the_order_log_that_a_diff_can_read(tmp_path: Path) -> None:
    desk = busy()
    path = written(desk, tmp_path / "j.jsonl")
    journal([str(path), "replay", "--orders", str(tmp_path / "o.jsonl")], configuration(tmp_path))
    assert len((tmp_path / "o.jsonl").read_bytes().splitlines()) == len(desk.events)


def test_a_check_that_fails_has_exit_status_1(tmp_path: Path) -> None:
    desk = busy()
    good = written(desk, tmp_path / "good.jsonl")
    assert len(journal(["check", str(good)], configuration(tmp_path))) == 2
    bad = written(desk, tmp_path / "bad.jsonl", events=desk.events[:-1])
    assert journal(["check", str(bad)], configuration(tmp_path))[2:] == (1,)


def test_what_is_no_journal_is_refused_with_the_field(tmp_path: Path) -> None:
    (tmp_path / "x").write_text("hello\n")
    with pytest.raises(Refused) as refused:
        journal(["replay", str(tmp_path / "x")], configuration(tmp_path))
    assert refused.value.field == "file"
