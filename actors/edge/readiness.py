"""Which connections have something to read, from one edge-triggered epoll for all of them.

trio's own `wait_readable` registers a descriptor anew for every wait: a system call and some bookkeeping that, at one
wait per request, cost a tenth of a whole request. Here a connection registers once. An edge that finds nobody waiting
is remembered, and so is a stream's end, which would not be told twice. In return the reader has to say `again` when it
has read as much as it asked for, because what is left then makes no new edge.
"""

from __future__ import annotations

import contextlib
import select
import socket

import trio
from trio.lowlevel import Abort, RaiseCancelT, Task, current_task, reschedule, wait_task_rescheduled

_EDGES = select.EPOLLIN | select.EPOLLRDHUP | select.EPOLLET
_DROP_BYTES = 65_536
_END = select.EPOLLRDHUP | select.EPOLLHUP | select.EPOLLERR


class Readiness:
    """Waits for descriptors on behalf of the tasks that read them, one task per descriptor."""

    __slots__ = ("_ended", "_epoll", "_ready", "_waiting")

    def __init__(self) -> None:
        self._epoll = select.epoll()
        self._waiting: dict[int, Task] = {}
        self._ready: set[int] = set()
        self._ended: set[int] = set()

    def add(self, fd: int) -> None:
        """Begin to look after `fd`. Raises OSError."""
        self._epoll.register(fd, _EDGES)

    def remove(self, fd: int) -> None:
        """Forget `fd`, which nobody waits for any more; to be called before it is closed."""
        with contextlib.suppress(OSError, ValueError):
            self._epoll.unregister(fd)
        self._ready.discard(fd)
        self._ended.discard(fd)

    def again(self, fd: int) -> None:
        """There may be more to read than was read."""
        self._ready.add(fd)

    async def wait(self, fd: int) -> None:
        """Wait until there may be something to read; always a checkpoint."""
        if fd in self._ready or fd in self._ended:
            self._ready.discard(fd)
            await trio.lowlevel.checkpoint()
            return

        def abort(_: RaiseCancelT) -> Abort:
            del self._waiting[fd]
            return Abort.SUCCEEDED

        self._waiting[fd] = current_task()
        await wait_task_rescheduled(abort)

    async def drop(self, sock: socket.socket) -> None:
        """Read and forget until the stream ends. Raises OSError."""
        fd = sock.fileno()
        while True:
            try:
                if not sock.recv(_DROP_BYTES):
                    return
            except BlockingIOError:
                await self.wait(fd)
            else:
                await trio.lowlevel.checkpoint()

    async def serve(self) -> None:
        """Wake who waits, until cancelled."""
        poll, waiting, ready = self._epoll.poll, self._waiting, self._ready
        while True:
            await trio.lowlevel.wait_readable(self._epoll.fileno())
            for fd, events in poll(0):
                if events & _END:
                    self._ended.add(fd)
                task = waiting.pop(fd, None)
                if task is None:
                    ready.add(fd)
                else:
                    reschedule(task)

    def close(self) -> None:
        """Give the descriptor of the epoll back."""
        self._epoll.close()
