"""Commands of capabilities: which exit status follows from what they raise."""

from __future__ import annotations

import pytest

from actors.cli.registered import error_of
from actors.cli.report import Exit
from protocols.control import Refused, Unknown
from tests.cli.test_command_line import envelope
from tests.cli.test_command_line import in_a_process as troupe


@pytest.mark.parametrize(
    ("error", "exit_status", "code"),
    [
        (Refused("not_found", "no such account"), Exit.NOT_FOUND, "not_found"),
        (Refused("invalid", "no", "size"), Exit.USAGE, "invalid"),
        (Refused("expired"), Exit.TIMED_OUT, "expired"),
        (Refused("exposure", "too much"), Exit.REFUSED, "exposure"),
        (Unknown("begun"), Exit.TIMED_OUT, "unknown"),
        (TimeoutError(), Exit.TIMED_OUT, "timed_out"),
        (ConnectionRefusedError("nobody there"), Exit.UNREACHABLE, "unreachable"),
    ],
)
def test_an_exception_of_a_capabilitys_command_has_its_exit_status(
    error: Exception, exit_status: Exit, code: str
) -> None:
    told = error_of(error)
    assert (told.exit_status, told.issues[0].code) == (exit_status, code)
    assert told.issues[0].message


def test_bad_usage_of_a_capabilitys_command_is_exit_status_2_in_the_envelope() -> None:
    answer = troupe("db", "upgrad", "--json")
    assert (answer.returncode, envelope(answer)["issues"][0]["code"]) == (2, "usage")


def test_a_capabilitys_command_explains_itself() -> None:
    answer = troupe("db", "--help")
    assert (answer.returncode, answer.stdout.startswith("usage: troupe db")) == (0, True)
