"""Child processes: whatever leaves the node is started, watched and ended here.

    child = await ChildProcess.start([program, "--port", "0"], name="writer", stdout=PIPE, ready=says_ready)
    self.spawn(child.watch)        # in an actor: the end of the process is the end of the actor
    ...
    await child.stop(grace_s=2)    # in on_stop

A child leads a session of its own, so that Ctrl-C reaches the node alone and its whole group can be ended.
It gets a signal when the node dies, even of `kill -9`. What it leaves behind when it dies is found and ended
(`orphans.py`).
"""

from __future__ import annotations

import os
import pwd
import shutil
import signal
import subprocess
import sys
import uuid
from collections.abc import Awaitable, Callable, Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from subprocess import DEVNULL, PIPE
from typing import IO, ClassVar

import trio

from runtime.orphans import ProcessEntry, end_processes, processes, read_process, set_subreaper

__all__ = ["DEVNULL", "PIPE", "ChildProcess", "NotReady", "ProcessExited", "set_subreaper"]

LAUNCHER = Path(__file__).with_name("launch.py")
TOKEN = "TROUPE_CHILD"  # noqa: S105 - the name of a variable
END_S = 5.0
"""How long a killed process and its orphans may take to be gone; the kernel needs milliseconds."""


class ProcessExited(Exception):
    """A child process has ended that should run; as an actor's exit reason it tells how."""

    def __init__(self, name: str, pid: int, status: int) -> None:
        super().__init__(f"{name} (process {pid}) {describe_status(status)}")
        self.name = name
        self.pid = pid
        self.status = status


class NotReady(Exception):
    """A child process was not ready in time, and was ended."""


BACKGROUND = 10
"""The niceness of work that may wait. Where processors are scarce the loop is served about nine times as much."""


class ChildProcess:
    """One process that this node owns. Made by `start`; methods are for the thread of the event loop."""

    running: ClassVar[dict[int, ChildProcess]] = {}
    """All that are not reaped yet, by pid."""

    def __init__(
        self, process: subprocess.Popen[bytes], name: str, token: str, home: Path | None, grace_signal: signal.Signals
    ) -> None:
        self.name = name
        self.pid: int = process.pid
        self.stdin: trio.lowlevel.FdStream | None = _take(process.stdin)
        """A stream to write to, if `start` was asked for a PIPE."""
        self.stdout: trio.lowlevel.FdStream | None = _take(process.stdout)
        """A stream to read from, if `start` was asked for a PIPE."""
        self._process = process
        self._token = token
        self._home = home
        self._grace_signal = grace_signal
        self._stopping = False
        self._descriptor = os.pidfd_open(process.pid)
        self._reaping = trio.Lock()
        self._buffer = b""
        entry = read_process(process.pid)
        self._started = 0 if entry is None else entry.started
        ChildProcess.running[process.pid] = self

    @classmethod
    async def start(
        cls,
        argv: Sequence[str | Path],
        *,
        name: str | None = None,
        env: Mapping[str, str] | None = None,
        cwd: str | Path | None = None,
        user: str | None = None,
        stdin: int = DEVNULL,
        stdout: int | None = None,
        stderr: int | None = None,
        home: Path | None = None,
        stop_signal: signal.Signals = signal.SIGTERM,
        death_signal: signal.Signals = signal.SIGKILL,
        nice: int = 0,
        ready: Callable[[ChildProcess], Awaitable[object]] | None = None,
        ready_s: float = 10.0,
    ) -> ChildProcess:
        """Start `argv[0]` (looked up on PATH) and wait until `ready(child)` returns.

        `env` replaces the environment. `user`, for root only, is whose rights it gets. `stdin`, `stdout` and
        `stderr` are a descriptor, PIPE (not stderr), DEVNULL or None for the node's own. `home` is the
        working directory of this child and its descendants alone: what of the same program is left there is
        ended with it. `stop_signal` is what `stop` sends, `death_signal` what the child gets when this
        process dies. `nice` is added to its niceness: work that may wait shall not take the processor from the
        loop (BACKGROUND).

        Raises FileNotFoundError or PermissionError for no such program, KeyError for no such user,
        ProcessExited if it ended before it was ready, NotReady after `ready_s` seconds; what `ready` raises
        ends the child too.
        """
        program = _find_program(argv[0])
        account = None if user is None else pwd.getpwnam(user)
        token = f"{TOKEN}={uuid.uuid4().hex}"
        launch = (
            os.getpid(),
            int(death_signal),
            -1 if account is None else account.pw_uid,
            -1 if account is None else account.pw_gid,
            nice,
        )
        set_subreaper()
        # In this thread, not in a worker: the death signal comes when the *thread* that started the child
        # ends (prctl(2)). It holds the loop for about a millisecond, until the launcher is executed.
        process = subprocess.Popen(  # noqa: ASYNC220
            [
                sys.executable, "-I", "-S", str(LAUNCHER), *(str(number) for number in launch),
                program, *(str(argument) for argument in argv[1:]),
            ],
            env=dict(os.environ if env is None else env) | dict([token.split("=")]),
            cwd=cwd,
            stdin=stdin,
            stdout=stdout,
            stderr=stderr,
            start_new_session=True,
        )  # fmt: skip
        child = cls(process, name or Path(program).name, token, home, stop_signal)
        if ready is not None:
            await child._become_ready(ready, ready_s)
        return child

    @property
    def status(self) -> int | None:
        """The exit status, minus the signal that ended it, or None while it runs."""
        return self._process.returncode

    async def read_line(self) -> bytes:
        """Read one line from its standard output, without the line end; b"" at the end of the output."""
        assert self.stdout is not None
        while b"\n" not in self._buffer:
            chunk = await self.stdout.receive_some(65536)
            if not chunk:
                break
            self._buffer += chunk
        line, _, self._buffer = self._buffer.partition(b"\n")
        return line

    async def wait(self) -> int:
        """Wait for its end; returns the status. By then its group and its orphans are gone too, and all is
        reaped.
        """
        async with self._reaping:
            if self._process.returncode is None:
                await trio.lowlevel.wait_readable(self._descriptor)
                with trio.CancelScope(shield=True):
                    await self._reap()
        return self._process.returncode

    def signal(self, number: int) -> None:
        """Send a signal to the process; nothing happens if it has ended."""
        if self._process.returncode is None:
            with suppress(ProcessLookupError):
                signal.pidfd_send_signal(self._descriptor, number)

    def kill(self) -> None:
        """SIGKILL the process and its group, at once."""
        self._stopping = True
        self.signal(signal.SIGKILL)
        self._kill_group()

    async def stop(self, grace_s: float = 2.0) -> int:
        """Ask it to end with its stop signal, SIGKILL after `grace_s` seconds; returns the status.

        If this is cancelled, the process is killed and reaped all the same.
        """
        self._stopping = True
        try:
            if grace_s > 0:
                self.signal(self._grace_signal)
                with trio.move_on_after(grace_s):
                    return await self.wait()
        finally:
            with trio.CancelScope(shield=True):
                await self._end()
        return self._process.returncode

    async def watch(self) -> None:
        """Wait for its end, which is an error unless `stop` or `kill` was called; cancelled, end it.

        Raises ProcessExited. Made to be an owned task of an actor: the process never outlives the actor, and
        its end is the actor's crash.
        """
        try:
            status = await self.wait()
        finally:
            with trio.CancelScope(shield=True):
                await self._end()
        if not self._stopping:
            raise ProcessExited(self.name, self.pid, status)

    async def _become_ready(self, ready: Callable[[ChildProcess], Awaitable[object]], ready_s: float) -> None:
        outcome: list[Exception | None] = []

        async def await_ready() -> None:
            try:
                await ready(self)
                outcome.append(None)
            except Exception as error:  # raised below, out of the nursery
                outcome.append(error)
            nursery.cancel_scope.cancel()

        async def await_exit() -> None:
            outcome.append(ProcessExited(self.name, self.pid, await self.wait()))
            nursery.cancel_scope.cancel()

        try:
            with trio.move_on_after(ready_s):
                async with trio.open_nursery() as nursery:
                    nursery.start_soon(await_exit)
                    nursery.start_soon(await_ready)
        finally:
            if not outcome or outcome[0] is not None:
                with trio.CancelScope(shield=True):
                    await self._end()
        if not outcome:
            raise NotReady(f"{self.name} (process {self.pid}) was not ready after {ready_s:g} s")
        if outcome[0] is not None:
            raise outcome[0]

    async def _end(self) -> None:
        """Kill and reap; for a shielded scope."""
        if self._process.returncode is None:
            self.kill()
            with trio.fail_after(END_S):
                await self.wait()

    async def _reap(self) -> None:
        """The process is dead: end its group while its number is still taken, reap it, and end its
        orphans.
        """
        self._kill_group()
        entry = read_process(self.pid)
        name = "" if entry is None else entry.name
        self._process.wait()
        del ChildProcess.running[self.pid]
        os.close(self._descriptor)
        if self.stdin is not None:
            await self.stdin.aclose()
        await end_processes(lambda: self._orphans(name), END_S)

    def _kill_group(self) -> None:
        if self._process.returncode is None:
            with suppress(ProcessLookupError, PermissionError):
                os.killpg(self.pid, signal.SIGKILL)

    def _orphans(self, name: str) -> list[ProcessEntry]:
        this = os.getpid()
        session = os.getsid(0)
        home = None if self._home is None else self._home.resolve()
        found = []
        for entry in processes():
            if entry.pid == this or entry.pid in ChildProcess.running or entry.started < self._started:
                continue
            ours = entry.parent == this
            if home is not None and entry.name == name:
                # A dead one tells nothing but its name; one of our own session is somebody else's to reap.
                left = (ours and entry.session != session) if entry.dead else entry.works_in(home)
            else:
                # A dead one was a child of a child of ours that died before it.
                left = ours and (entry.session != session if entry.dead else entry.has_token(self._token))
            if left:
                found.append(entry)
        return found


def describe_status(status: int) -> str:
    """Return an exit status (negative: a signal) in words."""
    if status >= 0:
        return f"exited with status {status}"
    try:
        return f"was ended by {signal.Signals(-status).name}"
    except ValueError:
        return f"was ended by signal {-status}"


def _find_program(program: str | Path) -> str:
    found = shutil.which(program)
    if found is None:
        raise FileNotFoundError(f"there is no program {program}")
    # The launcher would look from the child's working directory.
    return os.path.abspath(found)


def _take(pipe: IO[bytes] | None) -> trio.lowlevel.FdStream | None:
    if pipe is None:
        return None
    with pipe:
        return trio.lowlevel.FdStream(os.dup(pipe.fileno()))
