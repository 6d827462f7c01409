"""One end of a link: frames in, frames out, and the sign of life.

Records are gathered and leave in one frame at the end of the turn in which they came up; `flush` sends at once what
must be out before something else happens. Who reads slowly is seen by `congested`: bytes pile up here, and those who
produce data stop.
"""

from __future__ import annotations

import socket
from collections.abc import Callable, Sequence
from contextlib import suppress
from typing import Any

import msgspec
import trio
from trio.lowlevel import Abort, wait_readable, wait_task_rescheduled, wait_writable

from protocols.control import Message
from runtime.cluster import wire
from runtime.mailbox import Sender

RECEIVE = 1 << 18
"""Bytes read at once."""
MOST_FRAME = 1 << 30
MOST_FIRST = 1 << 16
CONGESTED = 1 << 20
"""Bytes that wait to be sent, from which on no more data is taken."""


class LinkBroken(Exception):
    """The other end is gone. `exact`: all that it had sent has been received."""

    def __init__(self, reason: str, *, exact: bool) -> None:
        super().__init__(reason)
        self.reason = reason
        self.exact = exact


class Run:
    """Consecutive messages of one class from one sender to one path (or, a publish, to a topic): one record."""

    __slots__ = ("cls", "items", "kind", "path", "sender")

    def __init__(self, kind: type[wire.Record], path: str, first: Message, sender: Sender | None) -> None:
        self.kind = kind
        self.path = path
        self.cls = type(first)
        self.sender = sender
        self.items = [first]


class Link:
    """Frames over one connected stream socket, which belongs to the link from now on.

    `receive` gets the records of each frame, `turn` is called after all of what came at once, and `seal` makes the
    records of a run when it leaves.
    """

    def __init__(
        self,
        connection: socket.socket,
        receive: Callable[[list[Any]], None],
        turn: Callable[[], None],
        seal: Callable[[Run], Sequence[wire.Record]],
        *,
        same_machine: bool,
    ) -> None:
        connection.setblocking(False)
        if connection.family != socket.AF_UNIX:
            connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self._socket = connection
        self._receive = receive
        self._turn = turn
        self._seal = seal
        self._same_machine = same_machine
        self._out: list[wire.Record | Run] = []
        self._last: Run | None = None
        self._waiting: list[Callable[[], None]] = []
        self._unsent = bytearray()
        self._writer: trio.lowlevel.Task | None = None
        self._room: trio.Event | None = None
        self.heard = trio.current_time()
        """When something came last, on trio's clock."""
        self.closed = False

    @property
    def congested(self) -> bool:
        """Whether the other end, or the way to it, is too slow for what is sent."""
        return len(self._unsent) > CONGESTED

    def put(self, record: wire.Record) -> None:
        """Send a record with the next frame."""
        self._last = None
        self._put(record)

    def say(self, kind: type[wire.Record], path: str, message: Message, sender: Sender | None) -> None:
        """Send a message with the next frame, together with its like."""
        last = self._last
        if (
            last is not None
            and last.cls is type(message)
            and last.path == path
            and last.sender is sender
            and last.kind is kind
        ):
            last.items.append(message)
            return
        self._last = last = Run(kind, path, message, sender)
        self._put(last)

    def _put(self, item: wire.Record | Run) -> None:
        self._out.append(item)
        writer = self._writer
        if writer is not None:
            self._writer = None
            trio.lowlevel.reschedule(writer)

    def when_sent(self, then: Callable[[], None]) -> None:
        """Call `then` as soon as nothing waits to be sent."""
        self._waiting.append(then)

    def flush(self) -> bool:
        """Send all that was put; False if the system did not take all of it."""
        if self.closed:
            self._out.clear()
            return True
        if self._out:
            out, self._out, self._last = self._out, [], None
            sealed: list[wire.Record] = []
            for item in out:
                if type(item) is Run:
                    sealed += self._seal(item)
                else:
                    sealed.append(item)  # type: ignore[arg-type]
            made = wire.frame(sealed)
            if self._unsent:
                self._unsent += made
            else:
                self._unsent = made
        if self._unsent:
            try:
                sent = self._socket.send(self._unsent)
            except BlockingIOError:
                return False
            except OSError:
                # The reader finds out why, and what came before.
                self.closed = True
                self._unsent = bytearray()
                return True
            if sent == len(self._unsent):
                self._unsent = bytearray()
            else:
                del self._unsent[:sent]
        if self._room is not None and not self.congested:
            self._room.set()
            self._room = None
        if self._unsent:
            return False
        if self._waiting:
            waiting, self._waiting = self._waiting, []
            for then in waiting:
                then()
        return True

    async def room(self) -> None:
        """Wait until the link is no longer congested."""
        while self.congested and not self.closed:
            if self._room is None:
                self._room = trio.Event()
            await self._room.wait()

    async def write(self) -> None:
        """Send what is put, until cancelled."""
        while True:
            if not self.flush():
                await wait_writable(self._socket)
            elif not self._out:
                self._writer = trio.lowlevel.current_task()
                await wait_task_rescheduled(self._abort)

    async def read(self) -> None:
        """Receive until the other end is gone. Raises LinkBroken."""
        buffer = bytearray()
        while True:
            await wait_readable(self._socket)
            try:
                chunk = self._socket.recv(RECEIVE)
            except BlockingIOError:
                continue
            except OSError as error:
                # On one machine the kernel hands over all that was sent before it tells of the reset.
                raise LinkBroken(f"the link broke: {error.strerror}", exact=self._same_machine) from error
            if not chunk:
                raise LinkBroken("the link was closed", exact=True)
            self.heard = trio.current_time()
            buffer += chunk
            try:
                self._take(buffer)
            except msgspec.MsgspecError as error:
                raise LinkBroken(f"what came is no frame: {error}", exact=False) from error
            self._turn()

    def _take(self, buffer: bytearray) -> None:
        start = 0
        with memoryview(buffer) as view:
            while len(buffer) - start >= 4:
                length = int.from_bytes(view[start : start + 4], "big")
                if length > MOST_FRAME:
                    raise msgspec.DecodeError(f"a frame of {length} bytes")
                if len(buffer) - start - 4 < length:
                    break
                body = bytes(view[start + 4 : start + 4 + length])
                start += 4 + length
                self._receive(wire.records(body))
        del buffer[:start]

    async def heartbeat(self, every_s: float, lost_s: float) -> None:
        """Say that this end lives, and raise LinkBroken when the other one was silent for `lost_s` seconds."""
        while True:
            before = trio.current_time()
            await trio.sleep(every_s)
            self.put(wire.Heartbeat())
            now = trio.current_time()
            # Whoever was held up itself has not read either: it must not blame the other end.
            silent = now - self.heard
            if silent > lost_s and now - before < 2 * every_s:
                raise LinkBroken(f"nothing was heard for {silent:.1f} s", exact=False)

    async def run(self, every_s: float, lost_s: float) -> LinkBroken:
        """Read, write and watch until the link breaks; returns how."""
        broken: list[LinkBroken] = []

        async def until_broken(function: Callable[..., Any], *args: Any) -> None:
            try:
                await function(*args)
            except LinkBroken as error:
                broken.append(error)
                nursery.cancel_scope.cancel()

        async with trio.open_nursery() as nursery:
            nursery.start_soon(self.write)
            nursery.start_soon(until_broken, self.read)
            nursery.start_soon(until_broken, self.heartbeat, every_s, lost_s)
        return broken[0]

    def cut(self) -> None:
        """Let `run` end, as if the other end were gone."""
        self.closed = True
        with suppress(OSError):
            self._socket.shutdown(socket.SHUT_RDWR)

    def close(self) -> None:
        """End the link."""
        self.closed = True
        self._socket.close()
        if self._room is not None:
            self._room.set()
            self._room = None

    def _abort(self, _: Any) -> Abort:
        self._writer = None
        return Abort.SUCCEEDED


async def first_record(connection: socket.socket) -> Any:
    """Read exactly one frame with one record. Raises LinkBroken."""
    head = await _exactly(connection, 4)
    length = int.from_bytes(head, "big")
    if length > MOST_FIRST:
        raise LinkBroken(f"the first frame is too long: {length} bytes", exact=False)
    try:
        found = wire.records(await _exactly(connection, length))
    except msgspec.MsgspecError as error:
        raise LinkBroken(f"what came is no frame: {error}", exact=False) from error
    if len(found) != 1:
        raise LinkBroken(f"expected one record in the first frame, got {len(found)}", exact=False)
    return found[0]


async def _exactly(connection: socket.socket, length: int) -> bytes:
    found = b""
    while len(found) < length:
        await wait_readable(connection)
        try:
            chunk = connection.recv(length - len(found))
        except BlockingIOError:
            continue
        except OSError as error:
            raise LinkBroken(f"no answer: {error}", exact=False) from error
        if not chunk:
            raise LinkBroken("the link was closed before a word was said", exact=False)
        found += chunk
    return found
