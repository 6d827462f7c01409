"""The zygote as the node sees it: where locked workers come from.

    zygote = await Zygote.start()
    self.spawn(zygote.watch)       # in an actor: its end is the actor's crash
    worker = await zygote.create("momentum-1", Limits())
    ...
    await zygote.close()           # in on_stop

It is one small process with everything imported (`zygote_main.py`); a worker is a fork of it. When it ends, all its
workers end. It should be replaced now and then, since its children share the layout of its address space: `forks`,
`live` and `started_at` are there to decide that.
"""

from __future__ import annotations

import os
import signal
import socket
import sys
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Final

import msgspec
import trio

import actors
from actors.strategies.sandbox import control, linux
from actors.strategies.sandbox.control import INSIDE, Layers, Limits
from actors.strategies.sandbox.worker import EndCause, Worker, WorkerEnded
from runtime.process import DEVNULL, ChildProcess, ProcessExited

__all__ = ["EndCause", "Layers", "Limits", "Worker", "WorkerEnded", "Zygote", "ZygoteFailed"]

_PROGRAM: Final = Path(__file__).with_name("zygote_main.py")
_ENVIRONMENT: Final = {
    # One arena: after a refused allocation glibc opens another one of 64 MiB of address space (mallopt(3)).
    "MALLOC_ARENA_MAX": "1",
    "OPENBLAS_NUM_THREADS": "1",
    "OMP_NUM_THREADS": "1",
    "LC_ALL": "C.UTF-8",
    # Equal inputs give equal signals: sets of text have the same order in every life. (`-I` would ignore it.)
    "PYTHONHASHSEED": "0",
}
_CLOSE_S: Final = 2.0
_CREATE_S: Final = 30.0
"""A worker is made in milliseconds; a zygote that takes this long hangs."""
ALL_LAYERS: Final = Layers()
DEFAULT_LIMITS: Final = Limits()


class ZygoteFailed(Exception):
    """The zygote could not start, has ended, or could not make a worker."""


class Zygote:
    """One zygote process and its workers; methods are for the thread of the event loop."""

    def __init__(self, channel: socket.socket) -> None:
        self.started_at = trio.current_time()
        self.forks = 0
        """How many workers it has made."""
        self._channel = channel
        self._child: ChildProcess | None = None
        self._hello: control.Hello | None = None
        self._failure: str | None = None
        """Why there is no more to hear from it."""
        self._workers: dict[int, Worker] = {}
        self._asked: dict[int, tuple[str, Worker | str | None]] = {}
        """Creations under way, by number: the worker's name, and what came of it."""
        self._dead: list[int] = []
        """pidfds of processes that may have become our children."""
        self._reading = False
        self._news = trio.lowlevel.ParkingLot()
        self._closing = False

    @classmethod
    async def start(
        cls, *, layers: Layers = ALL_LAYERS, nice: int = 0, inside: str = INSIDE, ready_s: float = 20.0
    ) -> Zygote:
        """Start one and wait until it has imported everything and can fork.

        `inside` is the module that its workers run. From now on this process may not be looked into by others of the
        same user: no ptrace, no reading of its environment and memory through /proc (prctl(2), PR_SET_DUMPABLE);
        a debugger then has to be root's, and the kernel writes no core dump of it.

        Raises ZygoteFailed with its traceback, trio.TooSlowError after `ready_s` seconds.
        """
        linux.prctl(linux.PR_SET_DUMPABLE, 0)
        settings = control.Settings(path=_import_path(), inside=inside, layers=layers)
        ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        ours.setblocking(False)
        self = cls(ours)
        try:
            with theirs:
                self._child = await ChildProcess.start(
                    [sys.executable, "-P", "-s", "-B", *_bytecode(), _PROGRAM, msgspec.json.encode(settings).decode()],
                    name="zygote",
                    env=_ENVIRONMENT,
                    cwd="/",
                    stdin=theirs.fileno(),
                    stdout=DEVNULL,
                    stderr=DEVNULL,
                    nice=nice,
                )
            with trio.fail_after(ready_s):
                await self._until(lambda: self._hello is not None)
        except BaseException:
            with trio.CancelScope(shield=True):
                await self.close()
            raise
        return self

    @property
    def pid(self) -> int:
        """The process of the zygote as this one started it; SIGKILL to it ends it and all workers."""
        assert self._child is not None
        return self._child.pid

    @property
    def live(self) -> int:
        """How many of its workers live."""
        return len(self._workers)

    @property
    def held(self) -> tuple[str, ...]:
        """The layers that hold its workers."""
        assert self._hello is not None
        return self._hello.held

    @property
    def missing(self) -> dict[str, str]:
        """The layers that do not hold them, each with the reason."""
        assert self._hello is not None
        return self._hello.missing

    @property
    def namespaces(self) -> tuple[str, ...]:
        """Which namespaces it has to itself, of user, pid, net, mnt, ipc and uts."""
        assert self._hello is not None
        return self._hello.namespaces

    @property
    def landlock_abi(self) -> int:
        """The version of Landlock that holds its workers; 0: none."""
        assert self._hello is not None
        return self._hello.landlock_abi

    async def create(self, name: str, limits: Limits = DEFAULT_LIMITS) -> Worker:
        """Return a new worker, locked down.

        Raises ZygoteFailed if there can be none. A zygote that does not answer is killed, with all its workers.
        """
        self.forks += 1
        number = self.forks
        self._asked[number] = (name, None)
        request = control.ENCODER.encode(control.Create(number, limits))
        with trio.move_on_after(_CREATE_S) as patience:
            try:
                await self._send(request)
                await self._until(lambda: self._asked[number][1] is not None)
            except trio.Cancelled:
                # It comes all the same, and nobody wants it.
                self._asked[number] = (name, "cancelled")
                raise
        if patience.cancelled_caught:
            assert self._child is not None
            self._child.kill()
            raise ZygoteFailed(f"no worker for {name}: the zygote did not answer for {_CREATE_S:g} s, and was killed")
        _, outcome = self._asked.pop(number)
        if isinstance(outcome, Worker):
            return outcome
        raise ZygoteFailed(f"no worker for {name}: {outcome}")

    async def wait(self) -> str:
        """Wait for its end; returns how. By then its workers are dead and reaped, and have ended."""
        assert self._child is not None
        with suppress(ZygoteFailed):
            await self._until(lambda: False)
        status = await self._child.wait()
        with trio.CancelScope(shield=True):
            await self._reap_orphans()
        return str(ProcessExited("zygote", self._child.pid, status))

    async def watch(self) -> None:
        """Wait for its end, which is an error unless `close` was called; cancelled, end it. Raises ZygoteFailed."""
        try:
            how = await self.wait()
            if not self._closing:
                raise ZygoteFailed(how)
        finally:
            with trio.CancelScope(shield=True):
                await self.close()

    async def drain(self) -> None:
        """Wait until none of its workers lives. Raises ZygoteFailed if it ends before."""
        await self._until(lambda: not self._workers)

    async def close(self) -> None:
        """End it and all its workers. Their `ended` then says "closed"."""
        self._closing = True
        if self._failure is None:
            self._hear_end("it was closed")
        if self._child is not None:
            with trio.move_on_after(_CLOSE_S):
                await self._child.wait()
            await self._child.stop(grace_s=0)
            with trio.CancelScope(shield=True):
                await self._reap_orphans()

    async def _send(self, packet: bytes) -> None:
        while self._failure is None:
            try:
                self._channel.send(packet)
            except BlockingIOError:
                await trio.lowlevel.wait_writable(self._channel)
            except OSError as error:
                self._hear_end(f"its control socket is closed: {error.strerror}")
            else:
                return

    async def _until(self, condition: Callable[[], bool]) -> None:
        """Wait for a condition that the zygote's reports bring about. Raises ZygoteFailed if they cannot any more.

        Whoever waits first reads for all; nobody has to run in the background for this.
        """
        while not condition():
            if self._failure is not None:
                raise ZygoteFailed(self._failure)
            if self._reading:
                await self._news.park()
                continue
            self._reading = True
            try:
                await trio.lowlevel.wait_readable(self._channel)
                self._hear()
            except trio.ClosedResourceError:
                pass
            finally:
                self._reading = False
                self._news.unpark_all()

    def _hear(self) -> None:
        while self._failure is None:
            try:
                packet, descriptors, _, _ = socket.recv_fds(
                    self._channel, control.MOST_MESSAGE, 4, socket.MSG_CMSG_CLOEXEC
                )
            except BlockingIOError:
                return
            except ConnectionResetError:
                packet, descriptors = b"", []
            if not packet:
                self._hear_end("it has ended")
                return
            self._take(control.TOLD.decode(packet), descriptors)

    def _take(self, message: control.Told, descriptors: list[int]) -> None:
        match message:
            case control.Hello():
                self._hello = message
                self._dead.append(descriptors[0])
            case control.Failed(error):
                self._hear_end(error)
            case control.Created(number):
                name, gone = self._asked[number]
                worker = Worker(name, descriptors[0], socket.socket(fileno=descriptors[1]), self._until)
                self._workers[number] = worker
                if gone:
                    del self._asked[number]
                    worker.kill("closed", "its creation was cancelled")
                else:
                    self._asked[number] = (name, worker)
            case control.Refused(number, error):
                name, gone = self._asked.pop(number)
                if not gone:
                    self._asked[number] = (name, error)
            case control.Ended(number, status, cpu_ns):
                self._workers.pop(number).bury(status, cpu_ns)

    def _hear_end(self, reason: str) -> None:
        """There is no more to hear: all workers die with it."""
        self._failure = self._failure or reason
        trio.lowlevel.notify_closing(self._channel)
        self._channel.close()
        for worker in self._workers.values():
            detail = "its zygote was closed" if self._closing else "its zygote has ended"
            self._dead.append(worker.condemn("closed" if self._closing else "zygote", detail))
        self._workers.clear()
        for number, (name, outcome) in self._asked.items():
            if outcome is None:
                self._asked[number] = (name, reason)
        self._news.unpark_all()

    async def _reap_orphans(self) -> None:
        """Workers whose zygote is dead are children of this process now, unless their namespace has died."""
        dead, self._dead = self._dead, []
        for descriptor in dead:
            with suppress(ProcessLookupError):
                signal.pidfd_send_signal(descriptor, signal.SIGKILL)
            await trio.lowlevel.wait_readable(descriptor)
            with suppress(ChildProcessError):
                os.waitid(os.P_PIDFD, descriptor, os.WEXITED | os.WNOHANG)  # noqa: ASYNC222 - it has ended
            os.close(descriptor)


def _import_path() -> tuple[str, ...]:
    """Where the zygote finds modules: this project, and what this process has, whatever its working directory is."""
    home = str(Path(actors.__path__[0]).resolve().parent)
    return home, *(os.path.abspath(entry) for entry in sys.path if entry and entry != home)


def _bytecode() -> list[str]:
    """Where this process finds byte code, the zygote does, too: its environment is empty."""
    return ["-X", f"pycache_prefix={sys.pycache_prefix}"] if sys.pycache_prefix else []
