"""bin/troupe: what it installs and when, that two first uses wait for each other, and how it fails."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from pathlib import Path
from types import ModuleType

import pytest

from tests.cli.conftest import finished, small_repository, start


@pytest.fixture
def stamped(tmp_path: Path, bootstrap: ModuleType) -> str:
    """The root of a repository that looks installed with the extra dev."""
    root = str(tmp_path)
    for name in bootstrap.INPUTS:
        (tmp_path / name).write_text(f"# {name}\n")
    (tmp_path / ".venv" / "bin").mkdir(parents=True)
    (tmp_path / ".venv" / "bin" / "python").symlink_to(sys.executable)
    bootstrap.write_stamp(root, ["dev"], bootstrap.fingerprint(root))
    return root


def test_a_stamped_environment_counts_as_installed_for_the_extras_it_has(bootstrap: ModuleType, stamped: str) -> None:
    assert bootstrap.is_installed(stamped, [])
    assert bootstrap.is_installed(stamped, ["dev"])
    assert not bootstrap.is_installed(stamped, ["bench"])


@pytest.mark.parametrize("name", ["pyproject.toml", "constraints.txt"])
def test_a_changed_dependency_file_asks_for_an_installation(bootstrap: ModuleType, stamped: str, name: str) -> None:
    Path(stamped, name).write_text("changed\n")
    assert not bootstrap.is_installed(stamped, [])


def test_a_moved_repository_asks_for_an_installation(bootstrap: ModuleType, stamped: str) -> None:
    elsewhere = stamped + " moved"
    os.rename(stamped, elsewhere)
    assert not bootstrap.is_installed(elsewhere, [])
    assert bootstrap.moved(elsewhere)


def test_an_environment_whose_python_is_gone_asks_for_an_installation(bootstrap: ModuleType, stamped: str) -> None:
    link = Path(bootstrap.python_of(stamped))
    link.unlink()
    link.symlink_to("/nonexistent/python3")
    assert not bootstrap.is_installed(stamped, [])


@pytest.mark.parametrize("content", ["", "{", "[]", '{"extras": null}', "\x00"])
def test_a_damaged_stamp_counts_as_none(bootstrap: ModuleType, stamped: str, content: str) -> None:
    Path(bootstrap.stamp_path(stamped)).write_text(content)
    assert bootstrap.read_stamp(stamped) is None
    assert not bootstrap.is_installed(stamped, [])


def test_an_update_keeps_the_extras_that_are_there(bootstrap: ModuleType, stamped: str) -> None:
    assert bootstrap.extras_to_install(stamped, ["bench"]) == ["bench", "dev"]
    bootstrap.remove_stamp(stamped)
    assert bootstrap.extras_to_install(stamped, ["bench"]) == ["bench"]


def test_the_stamp_is_of_the_files_as_they_were_when_the_installation_began(
    bootstrap: ModuleType, stamped: str
) -> None:
    began_with = bootstrap.fingerprint(stamped)
    Path(stamped, "constraints.txt").write_text("edited meanwhile\n")
    bootstrap.write_stamp(stamped, [], began_with)
    assert not bootstrap.is_installed(stamped, [])


@pytest.mark.parametrize(
    ("arguments", "extras"),
    [
        ([], []),
        (["run", "test"], []),
        (["test", "--long"], ["dev"]),
        (["--json", "bench"], ["bench"]),
        (["install"], []),
        (["install", "dev", "bench"], ["dev", "bench"]),
    ],
)
def test_only_test_bench_and_install_ask_for_extras(
    bootstrap: ModuleType, arguments: list[str], extras: list[str]
) -> None:
    assert bootstrap.extras_for(arguments) == extras


def test_a_second_installation_waits_for_the_first(bootstrap: ModuleType, tmp_path: Path) -> None:
    holder = subprocess.Popen(
        [
            sys.executable,
            "-c",
            "import fcntl, os, sys; d = os.open(sys.argv[1], os.O_RDONLY); fcntl.flock(d, fcntl.LOCK_EX);"
            "print('held', flush=True); sys.stdin.read()",
            str(tmp_path),
        ],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
    )
    assert holder.stdout is not None
    assert holder.stdin is not None
    assert holder.stdout.readline() == b"held\n"
    told: list[str] = []

    def report(text: str) -> None:
        told.append(text)
        assert holder.stdin is not None
        holder.stdin.close()

    with bootstrap.lock(str(tmp_path), report):
        assert told == ["another installation is running; waiting for it"]
        assert holder.wait() == 0
    holder.stdout.close()


@pytest.mark.parametrize(
    ("line", "told"),
    [
        ("Collecting trio>=0.35 (from troupe==0.1.0)\n", ("resolving trio>=0.35", False)),
        (
            "  Downloading https://host/a/ray-2.60.0-cp311.whl (71.5 MB)\n",
            ("downloading ray-2.60.0-cp311.whl (71.5 MB)", False),
        ),
        ("Installing collected packages: a, b, c\n", ("unpacking 3 packages", True)),
        ("Requirement already satisfied: trio\n", (None, False)),
        ("\n", (None, False)),
    ],
)
def test_progress_tells_what_pip_is_at(bootstrap: ModuleType, line: str, told: tuple[str | None, bool]) -> None:
    assert bootstrap.says(line) == told


def test_the_bootstrap_can_be_read_by_an_older_python() -> None:
    import ast

    from tests.cli.conftest import REPOSITORY

    ast.parse((REPOSITORY / "bin" / "troupe").read_text(), feature_version=(3, 7))


def test_after_the_first_use_it_only_starts(installed: Path) -> None:
    status, out, err = finished(start(installed, "tree", "--depth", "2", cwd="/"))
    assert (status, out, err) == (7, "['tree', '--depth', '2'] /\n", "")


def test_it_works_through_a_symbolic_link(installed: Path, tmp_path: Path) -> None:
    link = tmp_path / "troupe"
    link.symlink_to(installed / "bin" / "troupe")
    process = subprocess.run([str(link), "x"], cwd=tmp_path, capture_output=True, text=True, check=False)
    assert (process.returncode, process.stdout) == (7, f"['x'] {tmp_path}\n")


def test_a_folder_of_the_same_name_where_one_stands_is_not_taken_for_a_package(installed: Path, tmp_path: Path) -> None:
    (tmp_path / "actors" / "cli").mkdir(parents=True)
    (tmp_path / "actors" / "cli" / "__main__.py").write_text("raise SystemExit('the wrong one')")
    status, _, err = finished(start(installed, "x", cwd=tmp_path))
    assert (status, err) == (7, "")


@pytest.mark.long
def test_a_verb_that_needs_an_extra_installs_it_once(installed: Path) -> None:
    status, _, err = finished(start(installed, "test"))
    assert status == 7
    assert "with dev" in err
    assert "creating .venv" not in err
    status, _, err = finished(start(installed, "test"))
    assert (status, err) == (7, "")


@pytest.mark.long
def test_a_failed_update_leaves_no_stamp_and_the_next_try_repairs_it(installed: Path) -> None:
    (installed / "constraints.txt").write_text("# changed\n")
    status, out, err = finished(start(installed, "x", environment={"SMALL_BUILD_FAILS": "1"}))
    assert (status, out) == (1, "")
    assert "Nothing is marked as installed" in err
    assert "the build fails as it was told to" in (installed / ".venv" / "install.log").read_text()
    assert not (installed / ".venv" / "troupe-stamp.json").exists()
    status, _, err = finished(start(installed, "x"))
    assert (status, "installed" in err) == (7, True)


@pytest.mark.long
def test_two_first_uses_at_once_make_one_installation(tmp_path: Path) -> None:
    repository = small_repository(tmp_path / "repository")
    processes = [start(repository, "x") for _ in range(2)]
    answers = [finished(process) for process in processes]
    assert [status for status, _, _ in answers] == [7, 7]
    assert sum(err.count("creating .venv") for _, _, err in answers) == 1


@pytest.mark.long
def test_ctrl_c_leaves_no_stamp_and_no_process(tmp_path: Path) -> None:
    repository = small_repository(tmp_path / "repository")
    fifo = tmp_path / "fifo"
    os.mkfifo(fifo)
    process = start(repository, "x", environment={"SMALL_BUILD_FIFO": str(fifo)}, start_new_session=True)
    assert fifo.read_text() == "building"
    os.killpg(process.pid, signal.SIGINT)
    status, out, err = finished(process)
    assert (status, out) == (130, "")
    assert "interrupted" in err
    assert not (repository / ".venv" / "troupe-stamp.json").exists()
    # Its standard error was inherited by all that it started: `finished` saw the end of the last of them.


def test_without_a_usable_python_it_says_which_one_it_needs(tmp_path: Path) -> None:
    repository = small_repository(tmp_path / "repository")
    status, _, err = finished(start(repository, "x", environment={"TROUPE_PYTHON": "/nonexistent/python"}))
    assert status == 1
    assert "Troupe needs Python 3.11 or newer" in err
    assert not (repository / ".venv").exists()


def test_an_unknown_extra_is_bad_usage(tmp_path: Path) -> None:
    repository = small_repository(tmp_path / "repository")
    status, _, err = finished(start(repository, "install", "everything"))
    assert status == 2
    assert "there are: dev, bench" in err


@pytest.mark.long
def test_a_fresh_clone_installs_everything_and_answers(tmp_path: Path) -> None:
    from tests.cli.conftest import REPOSITORY

    clone = tmp_path / "a fresh clone"
    subprocess.run(["git", "clone", "--quiet", str(REPOSITORY), str(clone)], check=True)
    status = subprocess.run([str(clone / "bin" / "troupe"), "install", "dev"], check=False).returncode
    assert status == 0
    stamp = json.loads((clone / ".venv" / "troupe-stamp.json").read_text())
    assert stamp["extras"] == ["dev"]
    answer = subprocess.run([str(clone / "bin" / "troupe"), "--version"], capture_output=True, text=True, check=True)
    assert (answer.stdout[:7], answer.stderr) == ("troupe ", "")
