"""The doctor: no check can take the others with it, and each finding leads somewhere."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import Iterator
from pathlib import Path

import pytest

from actors.cli import machine_checks, node_checks
from actors.cli.doctor import CHECKS, report, run
from actors.cli.finding import Finding, Surroundings
from actors.cli.parser import parse
from actors.cli.report import Exit, failure


@pytest.fixture
def surroundings(tmp_path: Path) -> Surroundings:
    return Surroundings(parse("doctor", ["--data-dir", str(tmp_path)]))


def test_a_check_that_breaks_is_a_finding_itself(surroundings: Surroundings) -> None:
    def breaks(surroundings: Surroundings) -> Iterator[Finding]:
        yield Finding("first", "ok", "fine")
        raise RuntimeError("disk on fire")

    (finding,) = run("fire", breaks, surroundings)
    assert (finding.check, finding.status) == ("fire", "fail")
    assert "RuntimeError: disk on fire" in finding.detail


def test_a_check_that_lacks_what_another_one_found_broken_is_skipped(surroundings: Surroundings) -> None:
    def lacks(surroundings: Surroundings) -> Iterator[Finding]:
        raise failure(Exit.USAGE, "no_configuration", "no configuration")
        yield

    (finding,) = run("port", lacks, surroundings)
    assert finding.status == "skip"


@pytest.mark.parametrize(
    "name", ["python", "packages", "clock", "open files", "sandbox", "data folder", "disk", "node"]
)
def test_a_check_of_this_machine_finds_something_and_says_how_to_mend_what_is_wrong(
    name: str, surroundings: Surroundings
) -> None:
    findings = run(name, dict(CHECKS)[name], surroundings)
    assert findings
    for finding in findings:
        assert "broke" not in finding.detail
        assert finding.fix or finding.status in ("ok", "skip")


def test_one_failure_makes_the_exit_status_1_and_an_issue_with_its_fix() -> None:
    answer = report([Finding("disk", "ok", "room"), Finding("port", "fail", "taken", "another one")])
    assert (answer.exit_status, answer.outcome) == (Exit.FAILED, "error")
    assert [(issue.message, issue.hint) for issue in answer.issues] == [("taken", "another one")]
    assert answer.text.splitlines() == ["disk  ok    room", "port  fail  taken", "            fix: another one"]


def test_warnings_leave_the_exit_status_0() -> None:
    assert report([Finding("clock", "warn", "drifts", "NTP")]).exit_status is Exit.OK


def test_constraints_are_read_as_pins() -> None:
    assert machine_checks.pins("# said\na==1.0\nb-c==2 # why\n\n") == {"a": "1.0", "b-c": "2"}


def test_a_database_that_does_not_answer_is_told_without_its_password() -> None:
    with socket.socket() as bound:
        bound.bind(("127.0.0.1", 0))
        url = f"postgresql://me:hunter2@127.0.0.1:{bound.getsockname()[1]}/x"
        (finding,) = asyncio.run(node_checks._server(url))
    assert (finding.status, "hunter2" in str(finding)) == ("fail", False)


def test_the_nearest_existing_folder_is_where_room_is_measured(tmp_path: Path) -> None:
    assert node_checks.existing(tmp_path / "a" / "b") == tmp_path
