"""Processes that a child leaves behind: finding them in /proc, ending them, reaping them.

When a process dies its children become ours, if this process is a subreaper. Some of them are in sessions of
their own (the backends of PostgreSQL), so that a signal to the dead child's group does not reach them. They
are known by the folder they work in and their name, or by a token in their environment; once dead, by their
name alone.
"""

from __future__ import annotations

import ctypes
import os
import signal
from collections.abc import Callable, Iterable
from contextlib import ExitStack, suppress
from pathlib import Path
from typing import NamedTuple

import trio

PR_SET_CHILD_SUBREAPER = 36  # linux/prctl.h
ROUNDS = 20
"""How often the search is repeated while what it finds may still fork."""


class ProcessEntry(NamedTuple):
    """One process of /proc."""

    pid: int
    name: str
    """At most 15 characters."""
    state: str
    parent: int
    session: int
    started: int
    """Clock ticks since boot."""

    @property
    def dead(self) -> bool:
        """Dead and not reaped yet."""
        return self.state in "ZX"

    def works_in(self, folder: Path) -> bool:
        """Return whether this is its working directory; False if that may not be known."""
        try:
            return os.readlink(f"/proc/{self.pid}/cwd") == str(folder)
        except OSError:
            return False

    def has_token(self, token: str) -> bool:
        """Return whether the token is in the environment it was started with; False if that may not be
        known.
        """
        try:
            return token.encode() in Path(f"/proc/{self.pid}/environ").read_bytes().split(b"\0")
        except OSError:
            return False


def read_process(pid: int) -> ProcessEntry | None:
    """Return what /proc says of a process, None if there is none."""
    try:
        stat = Path(f"/proc/{pid}/stat").read_text(errors="replace")
    except OSError:
        return None
    # The name may hold spaces and parentheses; what follows it does not (proc_pid_stat(5)).
    name, _, rest = stat.partition("(")[2].rpartition(")")
    fields = rest.split()
    return ProcessEntry(pid, name, fields[0], int(fields[1]), int(fields[3]), int(fields[19]))


def processes() -> list[ProcessEntry]:
    """Return all processes, without order."""
    entries = (read_process(int(name)) for name in os.listdir("/proc") if name.isdecimal())
    return [entry for entry in entries if entry is not None]


def processes_in(folder: Path, name: str) -> list[ProcessEntry]:
    """Return the processes of this name whose working directory is `folder`."""
    folder = folder.resolve()
    return [entry for entry in processes() if entry.name == name and entry.works_in(folder)]


def set_subreaper() -> None:
    """Let orphaned descendants become children of this process instead of init's. Harmless if repeated."""
    ctypes.CDLL(None).prctl(PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0)


async def end_processes(find: Callable[[], Iterable[ProcessEntry]], timeout: float = 5.0) -> int:
    """Kill and, where they are our children, reap what `find` returns, until it finds nothing. Returns how
    many.

    Raises trio.TooSlowError if something is still there after `timeout` seconds.
    """
    ended: set[int] = set()
    with trio.fail_after(timeout):
        for _ in range(ROUNDS):
            found = await trio.to_thread.run_sync(lambda: list(find()))
            if not found:
                break
            for entry in found:
                await _end(entry)
                ended.add(entry.pid)
    return len(ended)


async def _end(entry: ProcessEntry) -> None:
    with ExitStack() as stack:
        try:
            descriptor = os.pidfd_open(entry.pid)
        except ProcessLookupError:
            return
        stack.callback(os.close, descriptor)
        # Between the search and now the number may have gone to another process.
        now = read_process(entry.pid)
        if now is None or now.started != entry.started:
            return
        with suppress(ProcessLookupError):
            signal.pidfd_send_signal(descriptor, signal.SIGKILL)
        await trio.lowlevel.wait_readable(descriptor)
        with suppress(ChildProcessError):
            os.waitid(os.P_PIDFD, descriptor, os.WEXITED | os.WNOHANG)  # noqa: ASYNC222 - it has ended
