"""An account read back without a node: here all of it is in the node's log still."""

from __future__ import annotations

from pathlib import Path

import msgspec
import pytest

from actors.execution.account_settings import AccountSpec
from actors.execution.roster_rows import EXECUTION_ROSTER, ExecutionRosterRow
from actors.research.analysis.journal_command import journal
from actors.research.analysis.journal_replay import checked
from actors.research.analysis.offline_rows import read_offline
from actors.research.analysis.report_command import report
from actors.research.analysis.stored_rows import KINDS, RowsMissing, connected, logged
from protocols.control import Refused
from runtime.log import open_log
from tests.actors.research.analysis.kit import Kept, at_work, configuration, journal_of


def logged_by(desk: Kept, folder: Path) -> None:
    """What the account's actor and the roster would have written: the journal first, then what came of it."""
    log = open_log(folder / "log", segment_bytes=1 << 20, max_bytes=8 << 20, reserve_bytes=0)
    spec = AccountSpec(engine=desk.engine.settings, name="By hand")
    row = ExecutionRosterRow(
        stream=EXECUTION_ROSTER,
        seq=1,
        ts=1,
        kind="account",
        id="a",
        event="opened",
        reason="",
        settings=msgspec.Raw(msgspec.json.encode(spec)),
    )
    try:
        log.append(row)
        for each in journal_of(desk).rows:
            log.append(each)
        for each in desk.rows:
            log.append(each)
    finally:
        log.close()


def test_all_of_an_account_comes_back_from_the_log(tmp_path: Path) -> None:
    desk = at_work(Kept())
    logged_by(desk, tmp_path)
    found = read_offline(configuration(tmp_path), "a", KINDS)
    assert found.events() == tuple(desk.events)
    assert tuple(found.inputs) == journal_of(desk).rows
    assert (found.opened.name, found.opened.engine, found.live) == ("By hand", desk.engine.settings, False)
    check = checked(found.journal(0))
    assert check.equal
    assert check.ledger is not None


def test_the_commands_find_an_account_by_its_name(tmp_path: Path) -> None:
    logged_by(at_work(Kept()), tmp_path)
    own = configuration(tmp_path)
    path = tmp_path / "j.jsonl"
    _, data = journal(["a", "export", str(path)], own)[:2]
    assert (data["order_events"], data["live"]) == (9, False)
    assert len(journal(["check", str(path)], own)) == 2
    assert len(journal(["check", "a"], own)) == 2
    assert report(["a"], own)[1]["run"]["strategy"] == "By hand"
    with pytest.raises(Refused) as refused:
        journal(["check", "nobody"], own)
    assert refused.value.code == "not_found"


def test_a_folder_of_the_account_s_name_is_not_taken_for_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    logged_by(at_work(Kept()), tmp_path)
    monkeypatch.chdir(tmp_path)
    (tmp_path / "a").mkdir()
    assert journal(["check", "a"], configuration(tmp_path))[1]["account"] == "a"


def test_rows_of_the_log_go_on_where_the_database_ends(tmp_path: Path) -> None:
    desk = at_work(Kept())
    logged_by(desk, tmp_path)
    rows = journal_of(desk).rows
    key = ("execution_journal", "execution_inputs:a")
    behind = logged(tmp_path / "log", {key: rows[1].seq})[key]
    assert [row["seq"] for row in behind] == [row.seq for row in rows[2:]]
    assert connected(rows[:2], rows[1:]) == list(rows)
    with pytest.raises(RowsMissing, match="row 2 is neither in the database nor in the log"):
        connected(rows[:1], rows[2:])
