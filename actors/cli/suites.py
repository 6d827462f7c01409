"""`troupe test` and `troupe bench`: another program's work, with our exit statuses around it."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

from actors.cli.installation import PACKAGES
from actors.cli.report import Exit, Issue, Report, failure

# pytest's exit statuses: docs.pytest.org/en/stable/reference/exit-codes.html
_PYTEST_EXITS = {0: Exit.OK, 1: Exit.FAILED, 2: Exit.FAILED, 3: Exit.FAILED, 4: Exit.USAGE, 5: Exit.NOT_FOUND}

_WHOLE = frozenset({"-q", "-v", "-x"})
"""Arguments that leave the tests what they are: all but the long ones, which want the machine for themselves."""


def test(arguments: list[str]) -> Report | int:
    """Run the tests; every argument but `--json` is pytest's. Files and folders are found from where one stands.

    All tests run in four processes at a time, whole files in each; what is chosen by name runs in one.
    """
    passed_on = [from_here(argument) for argument in arguments if argument != "--json"]
    command = [sys.executable, "-m", "pytest", *passed_on]
    if all(argument in _WHOLE for argument in passed_on):
        command += ["-n", "4", "--dist", "loadfile"]  # many wait for others: two processors are busy with four
    _require("tests", "pytest", "dev")
    if "--json" not in arguments:
        return int(_PYTEST_EXITS.get(_run(command), Exit.FAILED))
    with tempfile.TemporaryDirectory() as folder:
        record = Path(folder) / "tests.xml"
        status = _run([*command, f"--junit-xml={record}"], quiet=True)
        data = counts(record) if record.exists() else {}
    exit_status = _PYTEST_EXITS.get(status, Exit.FAILED)
    issues = tuple(Issue("test_failed", name) for name in data.get("failures", ()))
    return Report("", data, exit_status, "complete" if exit_status is Exit.OK else "error", issues)


def bench(arguments: list[str]) -> Report | int:
    """Run the benchmarks; every argument but `--json` is theirs."""
    passed_on = [argument for argument in arguments if argument != "--json"]
    _require("benchmarks", "uvicorn", "bench")
    command = [sys.executable, "-m", "benchmarks", *passed_on]
    if "--json" not in arguments:
        return _run(command)
    status = _run(command, quiet=True)
    if status != 0:
        text = f"the benchmarks ended with exit status {status}"
        raise failure(Exit(status) if status in set(Exit) else Exit.FAILED, "bench_failed", text)
    return Report("", {"results": str(PACKAGES / "benchmarks" / "RESULTS.md")})


def from_here(argument: str) -> str:
    """An argument that names a file or a folder where the user stands, made absolute: pytest runs at the root."""
    name, separator, rest = argument.partition("::")
    if argument.startswith("-") or not name or not os.path.exists(name):
        return argument
    return os.path.abspath(name) + separator + rest


def counts(record: Path) -> dict[str, Any]:
    """The figures of a JUnit record as pytest writes it, with the names of what failed."""
    suites = ElementTree.parse(record).getroot().iter("testsuite")  # noqa: S314 -- our own pytest has written it
    suite = next(suites)
    tests, failed, errors, skipped = (int(suite.get(name, 0)) for name in ("tests", "failures", "errors", "skipped"))
    failures = [
        f"{case.get('classname')}.{case.get('name')}"
        for case in suite.iter("testcase")
        if case.find("failure") is not None or case.find("error") is not None
    ]
    return {
        "passed": tests - failed - errors - skipped,
        "failed": failed,
        "errors": errors,
        "skipped": skipped,
        "seconds": float(suite.get("time", 0)),
        "failures": failures,
    }


def _run(command: list[str], *, quiet: bool = False) -> int:
    """Run at the repository's root; with `quiet` what it prints is talk. Returns its exit status.

    Byte code is kept, in `.venv`, even where PYTHONDONTWRITEBYTECODE says otherwise: hundreds of processes are started.
    """
    kept = {name: value for name, value in os.environ.items() if name != "PYTHONDONTWRITEBYTECODE"}
    environment = {"PYTHONPYCACHEPREFIX": str(PACKAGES / ".venv" / "bytecode"), **kept}
    process = subprocess.Popen(command, cwd=PACKAGES, env=environment, stdout=sys.stderr if quiet else None)
    signal.signal(signal.SIGTERM, lambda number, frame: process.terminate())
    try:
        return process.wait()
    except KeyboardInterrupt:
        # The terminal's Ctrl-C has reached it too: let it end as it ends by itself.
        process.wait()
        raise


def _require(folder: str, package: str, extra: str) -> None:
    from importlib.util import find_spec

    if not (PACKAGES / folder).is_dir():
        raise failure(Exit.NOT_FOUND, "not_here", f"{folder}/ is in the repository only, not in an installed package")
    if find_spec(package) is None:
        hint = f"bin/troupe installs it on first use; by hand: bin/troupe install {extra}"
        raise failure(Exit.FAILED, "not_installed", f"{package} is not installed", hint=hint)
