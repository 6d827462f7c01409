"""The command line from outside: exit statuses, the envelope, help, and what it costs to ask for help."""

from __future__ import annotations

import contextlib
import io
import json
import os
import shlex
import socket
import stat
import subprocess
import sys
from pathlib import Path
from typing import Any
from unittest import mock

import pytest

from actors.cli import parser
from actors.cli.__main__ import main
from tests.cli.conftest import REPOSITORY

ENVIRONMENT = {name: text for name, text in os.environ.items() if not name.startswith("TROUPE_")}


def troupe(*arguments: str, **environment: str) -> subprocess.CompletedProcess[str]:
    """The command line in this process: most of a process of its own is its start."""
    out, err = io.StringIO(), io.StringIO()
    with (
        mock.patch.dict(os.environ, ENVIRONMENT | environment, clear=True),
        contextlib.chdir(REPOSITORY),
        contextlib.redirect_stdout(out),
        contextlib.redirect_stderr(err),
    ):
        status = main(arguments)
    return subprocess.CompletedProcess(arguments, status, out.getvalue(), err.getvalue())


def in_a_process(*arguments: str, **environment: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "actors.cli", *arguments],
        cwd=REPOSITORY,
        env=ENVIRONMENT | environment,
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )


def envelope(answer: subprocess.CompletedProcess[str]) -> Any:
    (line,) = answer.stdout.splitlines()
    document = json.loads(line)
    assert set(document) == {"schema", "command", "outcome", "data", "issues"}
    assert document["schema"] == "troupe.cli/1"
    return document


def test_help_names_every_common_verb_and_every_exit_status() -> None:
    answer = in_a_process("--help")
    assert (answer.returncode, answer.stderr) == (0, "")
    for verb in [*parser.VERBS, *parser.PASSED_ON, "install"]:
        assert f"\n  {verb} " in answer.stdout
    assert "5 timed out, 6 refused" in " ".join(answer.stdout.split())


@pytest.mark.parametrize("verb", sorted(parser.VERBS))
def test_every_verb_explains_itself(verb: str) -> None:
    with pytest.raises(SystemExit) as ended:
        parser.parse(verb, ["--help"])
    assert ended.value.code == 0


def test_help_imports_no_library_at_all() -> None:
    program = (
        "import sys; from actors.cli.__main__ import main; main(['--help']);"
        "loaded = {name.partition('.')[0] for name in sys.modules};"
        "print(sorted(loaded - {*sys.stdlib_module_names, '__main__'}), file=sys.stderr)"
    )
    answer = subprocess.run(
        [sys.executable, "-S", "-c", program], cwd=REPOSITORY, capture_output=True, text=True, check=True
    )
    assert answer.stderr.strip() == "['actors']"


def test_the_version_is_that_of_the_project() -> None:
    import tomllib

    project = tomllib.loads((REPOSITORY / "pyproject.toml").read_text())["project"]
    assert troupe("--version").stdout == f"troupe {project['version']}\n"


def test_the_first_word_of_several_commands_tells_them() -> None:
    answer = troupe("account", "--help")
    assert (answer.returncode, answer.stderr) == (0, "")
    assert answer.stdout.startswith("usage: troupe account COMMAND")
    for name in ("account list", "account open", "account show"):
        assert f"  {name} " in answer.stdout
    alone = troupe("account")
    assert (alone.returncode, alone.stdout) == (2, "")
    assert alone.stderr == answer.stdout


def test_no_command_at_all_is_bad_usage_and_shows_the_help_as_talk() -> None:
    answer = troupe()
    assert (answer.returncode, answer.stdout) == (2, "")
    assert answer.stderr.startswith("usage: troupe COMMAND")


@pytest.mark.parametrize(
    ("arguments", "message", "hint"),
    [
        (["tre"], "there is no command 'tre'", "did you mean tree?"),
        (["xyzzy"], "there is no command 'xyzzy'", "see: troupe --help"),
        (["account", "shwo"], "there is no command 'account shwo'", "did you mean account show?"),
        (["tree", "--dpth"], "unrecognized arguments: --dpth", "did you mean --depth?"),
        (
            ["tree", "--depth", "deep"],
            "argument --depth: expected a whole number, got 'deep'",
            "see: troupe tree --help",
        ),
        (["tree", "--timeout", "0"], "argument --timeout: expected a positive number of seconds, got '0'", None),
        (["kill"], "the following arguments are required: PATH", "see: troupe kill --help"),
        (["kill", "/"], "kill needs the path of one actor", None),
        (["tree", "--url", "ftp://x"], "--url expects http://HOST:PORT, got 'ftp://x'", None),
        (["tree", "--config", "defualt"], "no configuration 'defualt'", None),
    ],
)
def test_bad_usage_is_exit_status_2_and_names_the_nearest_right_word(
    arguments: list[str], message: str, hint: str | None
) -> None:
    for_people = troupe(*arguments)
    assert (for_people.returncode, for_people.stdout) == (2, "")
    assert f"error: {message}\n" in for_people.stderr
    for_programs = troupe(*arguments, "--json")
    document = envelope(for_programs)
    assert (for_programs.returncode, document["outcome"], document["command"]) == (2, "error", arguments[0])
    assert document["issues"][0]["message"] == message
    if hint is not None:
        assert document["issues"][0]["hint"] == hint


def test_a_data_folder_without_a_node_is_exit_status_3(tmp_path: Path) -> None:
    answer = troupe("tree", "--data-dir", str(tmp_path), "--json")
    assert answer.returncode == 3
    assert envelope(answer)["issues"][0]["code"] == "no_node"


def test_a_node_file_of_a_dead_process_is_exit_status_3(tmp_path: Path) -> None:
    gone = subprocess.Popen([sys.executable, "-c", ""])
    gone.wait()
    (tmp_path / "node.json").write_text(json.dumps({"url": "http://127.0.0.1:1", "pid": gone.pid}))
    answer = troupe("kill", "/a", "--data-dir", str(tmp_path))
    assert answer.returncode == 3
    assert f"its process {gone.pid} does not exist any more" in answer.stderr


@pytest.mark.parametrize("verb", ["tree", "watch", "kill", "openapi"])
def test_an_address_where_nobody_listens_is_exit_status_3(verb: str, tmp_path: Path) -> None:
    with socket.socket() as bound:
        bound.bind(("127.0.0.1", 0))
        url = f"http://127.0.0.1:{bound.getsockname()[1]}"
        answer = troupe(verb, *([] if verb == "openapi" else ["/a"]), "--url", url, "--data-dir", str(tmp_path))
    assert answer.returncode == 3
    assert f"{url} is not reachable" in answer.stderr


def test_an_address_that_accepts_and_never_answers_is_exit_status_5(tmp_path: Path) -> None:
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        listener.listen()
        url = f"http://127.0.0.1:{listener.getsockname()[1]}"
        answer = troupe("tree", "--url", url, "--data-dir", str(tmp_path), "--timeout", "0.2", "--json")
    assert answer.returncode == 5
    assert envelope(answer)["issues"][0]["code"] == "timed_out"


def test_no_colour_and_no_cursor_movement_goes_into_a_pipe(tmp_path: Path) -> None:
    answer = troupe("doctor", "--data-dir", str(tmp_path), TERM="xterm-256color")
    assert "\x1b" not in answer.stdout + answer.stderr


def test_a_reader_that_goes_away_is_no_error() -> None:
    command = f"{shlex.quote(sys.executable)} -m actors.cli --help | head -c 1; exit ${{PIPESTATUS[0]}}"
    answer = subprocess.run(["bash", "-c", command], cwd=REPOSITORY, capture_output=True, text=True, check=False)
    assert (answer.returncode, answer.stderr) == (0, "")


def test_a_token_that_others_can_read_fails_the_doctor_with_the_fix(tmp_path: Path) -> None:
    token = tmp_path / "token"
    token.write_text("secret")
    token.chmod(stat.S_IRUSR | stat.S_IRGRP)
    answer = troupe("doctor", "--data-dir", str(tmp_path), "--json")
    assert answer.returncode == 1
    (finding,) = (check for check in envelope(answer)["data"]["checks"] if check["check"] == "data folder")
    assert (finding["status"], finding["fix"]) == ("fail", f"chmod 600 {token}")
    assert "secret" not in answer.stdout


def test_every_finding_of_the_doctor_has_a_status_and_every_failure_is_an_issue(tmp_path: Path) -> None:
    answer = troupe("doctor", "--data-dir", str(tmp_path / "not yet"), "--set", "edge.port=0", "--json")
    document = envelope(answer)
    checks = document["data"]["checks"]
    assert {check["status"] for check in checks} <= {"ok", "warn", "fail", "skip"}
    assert len(document["issues"]) == sum(check["status"] == "fail" for check in checks)
    assert answer.returncode == (1 if document["issues"] else 0)
