"""A locked worker as the node sees it: one request, one reply, and an end that has a reason.

    worker = await zygote.create("momentum-1", Limits(memory_mb=64))
    reply = await worker.call(wire.Load(...), deadline_s=5)

The worker is not trusted. Its reply must come before the deadline, be of the kind that answers the request, carry its
number, keep the caps of `wire`, and come alone; whatever else it sends costs it its life. What it says is decoded into
typed structs (`wire.REPLY`); a client never sees a value that was not checked.
"""

from __future__ import annotations

import os
import signal
import socket
import time
from collections.abc import Awaitable, Callable
from contextlib import suppress
from pathlib import Path
from typing import Final, Literal

import msgspec
import trio

from actors.strategies.sandbox import wire

__all__ = ["EndCause", "Worker", "WorkerEnded"]

EndCause = Literal[
    "timeout", "memory", "oom_or_cpu", "forbidden_syscall", "crashed", "protocol", "closed", "zygote"
]  # fmt: skip

_CHUNK: Final = 16 * 1024
_FEW_READS: Final = 16
_BYTES_PER_READ: Final = 1024
"""A reply that comes in smaller pieces than this on the average is meant to keep the node busy."""
_GRACE_S: Final = 0.2
_REAP_S: Final = 5.0
"""How long a killed worker may take to be reaped; the kernel needs about a millisecond."""
_ENCODER: Final = msgspec.msgpack.Encoder()
_ANSWERS: Final[dict[type, tuple[type, ...]]] = {
    wire.Load: (wire.Ready, wire.Rejected, wire.Failed),
    wire.History: (wire.Done, wire.Failed),
    wire.Run: (wire.Done, wire.Failed),
    wire.Configure: (wire.Done, wire.Rejected, wire.Failed),
    wire.Save: (wire.Saved, wire.Failed),
}


class WorkerEnded(Exception):
    """A worker is dead and reaped; why, as a word and as a sentence."""

    def __init__(self, cause: EndCause, detail: str) -> None:
        super().__init__(f"{cause}: {detail}")
        self.cause: EndCause = cause
        self.detail = detail


class Worker:
    """One locked process. Made by `Zygote.create`; one task at a time calls it."""

    def __init__(
        self,
        name: str,
        pidfd: int,
        data: socket.socket,
        until: Callable[[Callable[[], bool]], Awaitable[None]],
    ) -> None:
        """`until(condition)` waits, and hears the zygote's reports meanwhile."""
        self.name = name
        self.pid = read_pid(pidfd)
        self.ended: WorkerEnded | None = None
        """Why it has ended; None while it lives."""
        self._pidfd = pidfd
        self._data = data
        self._fd = data.fileno()
        self._until = until
        self._call: _Call | None = None
        self._sentence: tuple[EndCause, str] | None = None
        """Why it was killed by us."""
        self._cpu_ns = 0
        self._anonymous = _read_sizes(f"/proc/{self.pid}/status").get("RssAnon", 0)
        data.setblocking(False)

    def __repr__(self) -> str:
        return f"<Worker {self.name} ({self.pid}){'' if self.ended is None else f' ended: {self.ended}'}>"

    async def call(self, request: wire.Request, deadline_s: float) -> wire.Reply:
        """Send a request and return its reply: `begin`, then `finish`."""
        self.begin(request, deadline_s)
        return await self.finish()

    def begin(self, request: wire.Request, deadline_s: float) -> None:
        """Send a request, as much of it as its socket takes now; `finish` does the rest and has the reply.

        Raises WorkerEnded if the worker has ended, ValueError for a request over the cap of `wire`, RuntimeError for a
        second call at once; the last two do not harm the worker.
        """
        if self._call is not None:
            raise RuntimeError(f"{self!r} is called by two tasks at once")
        if self.ended is not None:
            raise WorkerEnded(self.ended.cause, self.ended.detail)
        payload = _ENCODER.encode(request)
        if len(payload) > wire.MOST_REQUEST:
            raise ValueError(f"request to {self.name}: expected at most {wire.MOST_REQUEST} bytes, got {len(payload)}")
        call = self._call = _Call(request, deadline_s, memoryview(wire.HEADER.pack(len(payload)) + payload))
        try:
            self._expect_silence()
            self._send_some(call)
        except (_Violation, _Closed) as error:
            call.failure = error  # `finish` says it, and does what has to be done

    async def finish(self) -> wire.Reply:
        """Return the reply to what was begun.

        Raises WorkerEnded if there is no acceptable reply within the deadline, which is counted from `begin`, or the
        worker has ended: by then it is dead and reaped. A call that is cancelled kills it, because the reply would come
        unasked. RuntimeError where nothing was begun.
        """
        call = self._call
        if call is None:
            raise RuntimeError(f"{self!r} was not asked anything")
        try:
            with trio.CancelScope(deadline=call.deadline):
                try:
                    frame = await self._exchange(call)
                    return _decode(frame, call.request)
                except _Violation as error:
                    self.kill("protocol", str(error))
                except (_Closed, trio.ClosedResourceError):
                    return await self._fail_at_end()
            self.kill("timeout", f"there was no reply after {call.deadline_s:g} s")
            return await self._fail()
        except trio.Cancelled:
            self.kill("closed", "the call was cancelled")
            await self._reaped()
            raise
        finally:
            self._call = None

    def kill(self, cause: EndCause = "closed", detail: str = "it was killed by the node") -> None:
        """SIGKILL it now. The first cause given is the one reported; nothing happens if it has ended."""
        if self.ended is None and self._sentence is None:
            self._sentence = (cause, detail)
            self._end_process()

    async def close(self) -> None:
        """Let it end by itself: end of file, 0.2 s, then SIGKILL. Returns when it is reaped; never raises its end."""
        if self.ended is not None:
            return
        self._sentence = self._sentence or ("closed", "it was closed")
        try:
            with suppress(OSError):  # its end is closed already
                self._data.shutdown(socket.SHUT_WR)
            with trio.move_on_after(_GRACE_S):
                await self.wait()
        finally:
            self._end_process()
            await self._reaped()

    async def wait(self) -> WorkerEnded:
        """Wait until it has ended and is reaped, whoever ends it; returns why."""
        await self._until(lambda: self.ended is not None)
        assert self.ended is not None
        return self.ended

    def check_idle(self) -> None:
        """Kill it if it has said something unasked; `wait` and `call` then tell. Only while no call is under way."""
        assert self._call is None
        if self.ended is None:
            try:
                self._expect_silence()
            except _Violation as error:
                self.kill("protocol", str(error))
            except _Closed:
                self.kill("crashed", "it closed its socket")

    def cpu_ns(self) -> int:
        """Return the processor time it has used, in nanoseconds; after its end, all that it used."""
        if self.ended is None:
            with suppress(OSError):  # it has just died, and is not heard of yet
                # The processor clock of a process (linux/posix-timers.h, as clock_getcpuclockid(3) makes it).
                self._cpu_ns = time.clock_gettime_ns((~self.pid << 3) | 2)
        return self._cpu_ns

    def memory(self) -> int:
        """Return its private memory in bytes: pages that it shares with nobody.

        A node without the right to read that of another user's process (it is not root) gets by how much the worker's
        anonymous memory has grown, which leaves out pages that were shared when it started. 0 after its end.
        """
        try:
            sizes = _read_sizes(f"/proc/{self.pid}/smaps_rollup")
            return sizes["Private_Dirty"] + sizes["Private_Clean"]
        except (OSError, KeyError):
            return max(0, _read_sizes(f"/proc/{self.pid}/status").get("RssAnon", 0) - self._anonymous)

    def bury(self, status: int, cpu_ns: int) -> None:
        """Take note that it is dead and reaped; for the zygote. `status`: what it exited with, or minus the signal."""
        self._cpu_ns = cpu_ns
        sentence = self._sentence
        # It may have met its end a moment before we killed it.
        if sentence is None or (sentence[0] != "closed" and status != -signal.SIGKILL):
            sentence = describe(status)
        self._close(*sentence)
        os.close(self._pidfd)

    def condemn(self, cause: EndCause, detail: str) -> int:
        """Kill it since its zygote is no more, and count it as ended; for the zygote, which gets the pidfd, to reap."""
        self._end_process()
        self._close(*(self._sentence or (cause, detail)))
        return self._pidfd

    def _end_process(self) -> None:
        if self.ended is None:
            with suppress(ProcessLookupError):
                signal.pidfd_send_signal(self._pidfd, signal.SIGKILL)

    def _close(self, cause: EndCause, detail: str) -> None:
        self.ended = WorkerEnded(cause, detail)
        trio.lowlevel.notify_closing(self._fd)
        self._data.close()

    async def _exchange(self, call: _Call) -> bytes | bytearray:
        if call.failure is not None:
            raise call.failure
        most = wire.most_reply(call.request)
        while call.rest:
            await trio.lowlevel.wait_writable(self._fd)
            if self.ended is not None:
                raise _Closed
            self._send_some(call)
        chunk = await self._receive()
        # In nearly all cases this is all of it.
        if len(chunk) >= 4 and 4 + wire.HEADER.unpack_from(chunk)[0] == len(chunk) <= most + 4:
            return chunk
        received = bytearray(chunk)
        reads = 1
        while True:
            if len(received) >= 4:
                total = 4 + wire.HEADER.unpack_from(received)[0]
                if total > most + 4:
                    raise _Violation(f"a reply of {total - 4} bytes, where {most} are allowed")
                if len(received) > total:
                    raise _Violation(f"{len(received) - total} bytes after the reply")
                if len(received) == total:
                    return received
            if reads > _FEW_READS + len(received) / _BYTES_PER_READ:
                raise _Violation(f"a reply in {reads} pieces for {len(received)} bytes")
            received += await self._receive()
            reads += 1

    async def _receive(self) -> bytes:
        chunk = self._received()
        if chunk is not None:
            # It has answered while its caller was busy, whose time is not the worker's: the deadline says nothing.
            await trio.lowlevel.cancel_shielded_checkpoint()
            return chunk
        while chunk is None:
            await trio.lowlevel.wait_readable(self._fd)
            if self.ended is not None:
                # Its end was heard in the same round of the loop as the end of its socket.
                raise _Closed
            chunk = self._received()
        return chunk

    def _received(self) -> bytes | None:
        try:
            chunk = self._data.recv(_CHUNK)
        except BlockingIOError:
            return None
        except OSError:  # a reset, or it was closed with the worker's end
            raise _Closed from None
        if not chunk:
            raise _Closed
        return chunk

    def _send_some(self, call: _Call) -> None:
        with suppress(BlockingIOError):
            try:
                call.rest = call.rest[self._data.send(call.rest) :]
            except (BrokenPipeError, ConnectionResetError):
                raise _Closed from None

    def _expect_silence(self) -> None:
        try:
            said = self._data.recv(1, socket.MSG_PEEK)
        except BlockingIOError:
            return
        except ConnectionResetError:
            said = b""
        if not said:
            raise _Closed
        raise _Violation("it spoke unasked")

    async def _fail_at_end(self) -> wire.Reply:
        """Its socket is closed: wait for the process's own end, and end it if it does not."""
        with trio.move_on_after(_GRACE_S):
            await self.wait()
        self.kill("crashed", "it closed its socket")
        return await self._fail()

    async def _fail(self) -> wire.Reply:
        await self._reaped()
        assert self.ended is not None
        raise WorkerEnded(self.ended.cause, self.ended.detail)

    async def _reaped(self) -> None:
        with trio.CancelScope(shield=True), trio.fail_after(_REAP_S):
            await self.wait()


class _Call:
    """A request that is under way. `rest`: what of its frame the socket has not taken yet."""

    __slots__ = ("deadline", "deadline_s", "failure", "request", "rest")

    def __init__(self, request: wire.Request, deadline_s: float, rest: memoryview) -> None:
        self.request = request
        self.deadline_s = deadline_s
        self.deadline = trio.current_time() + deadline_s
        self.rest = rest
        self.failure: _Violation | _Closed | None = None


class _Violation(Exception):
    """What a worker sent is not what the protocol allows."""


class _Closed(Exception):
    """A worker has closed its end, most likely with its life."""


def describe(status: int) -> tuple[EndCause, str]:
    """Return the cause and a sentence for an exit status (negative: a signal)."""
    if status >= 0:
        return "crashed", f"it exited with status {status}"
    try:
        name = signal.Signals(-status).name
    except ValueError:
        name = f"signal {-status}"
    if -status == signal.SIGSYS:
        return "forbidden_syscall", "it made a system call that ends a process (SIGSYS)"
    if -status in (signal.SIGKILL, signal.SIGXCPU):
        return "oom_or_cpu", f"the kernel ended it with {name}: no memory, or its processor time was used up"
    return "crashed", f"it was ended by {name}"


def read_pid(pidfd: int) -> int:
    """Return the process id of a pidfd, as this process sees it."""
    for line in Path(f"/proc/self/fdinfo/{pidfd}").read_text().splitlines():
        if line.startswith("Pid:"):
            return int(line.split()[1])
    raise ValueError(f"descriptor {pidfd} is not a pidfd")


def _decode(frame: bytes | bytearray, request: wire.Request) -> wire.Reply:
    try:
        reply: wire.Reply = wire.REPLY.decode(memoryview(frame)[4:])
    except (msgspec.MsgspecError, ValueError, RecursionError) as error:
        raise _Violation(f"a reply that is none: {error}") from None
    if reply.id != request.id:
        raise _Violation(f"a reply to request {reply.id}, where {request.id} was asked")
    if not isinstance(reply, _ANSWERS[type(request)]):
        raise _Violation(f"{type(reply).__name__} in reply to {type(request).__name__}")
    if isinstance(reply, wire.Done | wire.Failed):
        if isinstance(request, wire.Run):
            until_command, until_signal = request.until_command or request.until_signal, request.until_signal
            _check_run(reply, len(request.inputs), until_command=until_command, until_signal=until_signal)
        elif reply.orders:
            raise _Violation(f"{len(reply.orders)} commands in reply to {type(request).__name__}")
    return reply


def _check_run(
    reply: wire.Done | wire.Failed, inputs: int, *, until_command: bool = False, until_signal: bool = False
) -> None:
    stopped = (until_command and bool(reply.orders)) or (until_signal and bool(reply.signals))
    if reply.count > inputs or (isinstance(reply, wire.Done) and reply.count != inputs and not stopped):
        raise _Violation(f"{reply.count} of {inputs} inputs were handled, it says")
    if len(reply.signals) > wire.MOST_SIGNALS * inputs:
        raise _Violation(f"{len(reply.signals)} signals for {inputs} inputs")
    for signal_ in reply.signals:
        if signal_.index >= inputs:
            raise _Violation(f"a signal of input {signal_.index}, where there are {inputs}")
        if until_signal and signal_.index != reply.count - 1:
            raise _Violation(f"a signal of input {signal_.index}, and {reply.count} were handled")
    if reply.orders:
        _check_orders(reply, until_command=until_command)


def _check_orders(reply: wire.Done | wire.Failed, *, until_command: bool) -> None:
    if until_command and isinstance(reply, wire.Failed):
        raise _Violation("commands before an input that failed, where it had to stop at the first")
    last = number = 0
    for command in reply.orders:
        if command.index < last or command.index >= reply.count:
            raise _Violation(f"a command of input {command.index} behind one of {last}, {reply.count} were handled")
        if until_command and command.index != reply.count - 1:
            raise _Violation(f"a command of input {command.index}, and {reply.count} were handled")
        number = number + 1 if command.index == last else 1
        last = command.index
        if number > wire.MOST_ORDERS:
            raise _Violation(f"more than {wire.MOST_ORDERS} commands of input {last}")


def _read_sizes(path: str) -> dict[str, int]:
    """Return the rows `Name: n kB` of a file of /proc in bytes; empty if there is no such process."""
    try:
        rows = Path(path).read_text().splitlines()
    except (FileNotFoundError, ProcessLookupError):
        return {}
    words = [row.split() for row in rows]
    return {row[0].rstrip(":"): int(row[1]) * 1024 for row in words if len(row) == 3 and row[2] == "kB"}
