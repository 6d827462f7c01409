"""One WebSocket (RFC 6455) on a connection that has already been upgraded.

Reading: wsproto's connection layer, without extensions, fed at most 8 KiB at a time; the sizes of messages are summed
here, because a frame's header may claim 8 EB, and pings are counted, because each one costs an answer.

Writing: every frame goes through one queue. While that is empty, a frame goes straight into the socket, from whoever
offers it; what the socket does not take starts the backlog, and a writer task that lives as long as the backlog does.
A client that never reads therefore costs its publisher a comparison, and nobody else anything.
"""

from __future__ import annotations

import contextlib
import socket
from collections import deque
from collections.abc import Awaitable, Callable, Iterator
from itertools import islice

import trio
from wsproto.connection import SERVER, Connection, ConnectionState
from wsproto.events import BytesMessage, CloseConnection, Event, Ping, Pong, TextMessage

from actors.edge.frames import PING, binary_frame, close_frame, pong_frame, text_frame
from actors.edge.limits import Limits
from actors.edge.pulse import Figures, Pulse
from actors.edge.readiness import Readiness

_READ_BYTES = 8_192
_EVENTS_AT_ONCE = 32
_BUFFERS_AT_ONCE = 64

NORMAL, GOING_AWAY, NO_CODE, LOST, POLICY, TOO_BIG, FAILED = 1000, 1001, 1005, 1006, 1008, 1009, 1011


class SocketClosed(Exception):
    """The WebSocket is closed, or closing. `code` is the close code (1006: it ended without one)."""

    def __init__(self, code: int, reason: str = "") -> None:
        super().__init__(code, reason)
        self.code = code
        self.reason = reason


class WebSocket:
    """A client's WebSocket, as its handler has it.

    The handler keeps receiving for as long as it wants the socket open: pings, pongs and the client's close are
    noticed by `receive` alone. Sending is free to every task of the node.
    """

    __slots__ = (
        "_aborted_at",
        "_backlog",
        "_backlog_bytes",
        "_close_sent_at",
        "_controls",
        "_events",
        "_events_taken",
        "_fd",
        "_figures",
        "_heard_at",
        "_limits",
        "_message",
        "_message_bytes",
        "_peer_closed",
        "_pinged",
        "_progress_at",
        "_pulse",
        "_readiness",
        "_reading_done",
        "_room",
        "_second",
        "_send",
        "_sock",
        "_spawn",
        "_state",
        "_wire",
    )

    def __init__(
        self,
        sock: socket.socket,
        limits: Limits,
        pulse: Pulse,
        figures: Figures,
        readiness: Readiness,
        spawn: Callable[[Callable[[], Awaitable[None]]], None],
    ) -> None:
        self._sock = sock
        self._fd = sock.fileno()
        self._send = sock.send
        self._limits = limits
        self._pulse = pulse
        self._figures = figures
        self._readiness = readiness
        self._spawn = spawn
        self._wire = Connection(SERVER)
        self._events: Iterator[Event] = iter(())
        self._events_taken = 0
        self._message: list[str | bytes] = []
        self._message_bytes = 0
        self._backlog: deque[bytes] = deque()
        self._backlog_bytes = 0
        self._room = trio.lowlevel.ParkingLot()
        self._state: SocketClosed | None = None
        self._peer_closed = False
        self._reading_done = False
        self._close_sent_at: float | None = None
        self._aborted_at: float | None = None
        self._heard_at = self._progress_at = pulse.now
        self._pinged = False
        self._second = 0
        self._controls = 0

    @property
    def closed(self) -> bool:
        """Whether nothing can be sent any more."""
        return self._state is not None

    @property
    def backlog_bytes(self) -> int:
        """What was taken for sending and the client has not read yet, without what the kernel holds."""
        return self._backlog_bytes

    async def receive(self) -> str | bytes:
        """The next message, text as `str`. Raises SocketClosed at the end, for whatever reason it came."""
        while True:
            # One by one and no further than a broken rule: wsproto would decode a thousand pings ahead.
            while not self._reading_done and (event := next(self._events, None)) is not None:
                await self._breathe()
                if isinstance(event, TextMessage | BytesMessage):
                    message = self._collect(event)
                    if message is not None:
                        return message
                elif isinstance(event, Ping | Pong):
                    self._control(event)
                elif isinstance(event, CloseConnection):
                    self._on_close(event)
            self._check_claim()
            if self._reading_done:
                raise self._state or SocketClosed(LOST)
            await self._read()

    async def send(self, message: str | bytes) -> None:
        """Send a message; waits while the backlog is full. Raises SocketClosed."""
        frame = text_frame(message.encode()) if isinstance(message, str) else binary_frame(message)
        while self._state is None and self._backlog and not self._fits(frame):
            await self._room.park()
        if self._state is not None:
            raise self._state
        self._write(frame)
        self._figures.frames += 1
        await trio.lowlevel.checkpoint()

    def offer(self, frame: bytes) -> bool:
        """Send a whole frame (see `frames`) without ever waiting. False: the backlog is full, or it is closed."""
        return self.offer_bytes(frame, 1)

    def offer_bytes(self, joined: bytes, count: int) -> bool:
        """Send `count` joined frames without ever waiting; all of them, or (False) none."""
        if self.offer_now(joined, count):
            return True
        if self._state is not None:
            return False
        if self._backlog_bytes + len(joined) > self._limits.websocket_backlog_bytes:
            self._figures.refused_frames += count
            return False
        self._backlog.append(joined)
        self._backlog_bytes += len(joined)
        self._figures.frames += count
        return True

    def offer_now(self, joined: bytes, count: int) -> bool:
        """`offer_bytes` if nothing waits; False, and nothing is sent, if something does or the socket is closed."""
        if self._backlog or self._state is not None:
            return False
        try:
            sent = self._send(joined)
        except BlockingIOError:
            sent = 0
        except OSError:
            self._end(SocketClosed(LOST))
            return False
        if sent != len(joined):
            self._start_backlog(joined[sent:])
        self._figures.frames += count
        return True

    async def close(self, code: int = NORMAL, reason: str = "") -> None:
        """Begin to close; `receive` then runs on to the client's answer and raises SocketClosed."""
        self.close_soon(code, reason)
        await trio.lowlevel.checkpoint()

    def close_soon(self, code: int = NORMAL, reason: str = "") -> None:
        """Like `close`, for callers that cannot wait."""
        if self._state is None:
            self._write(close_frame(code, reason))
            self._close_sent_at = self._pulse.now
            if self._state is None:
                self._end(SocketClosed(code, reason))

    def abort(self) -> None:
        """Cut the connection without a close frame."""
        self._end(SocketClosed(LOST))
        self._reading_done = True
        self._aborted_at = self._pulse.now
        with contextlib.suppress(OSError):  # gone already, which is what was wanted
            self._sock.shutdown(socket.SHUT_RDWR)

    # What the connection and the server's sweep call.

    def start(self, received: bytes) -> None:
        """The handshake is done; `received` came behind it."""
        self._heard_at = self._progress_at = self._pulse.now
        self._wire.receive_data(received)
        self._events = self._wire.events()

    def tick(self, now: float) -> bool:
        """Ping a silent client, cut one that is stuck. True: the handler did not end in time after that."""
        limits = self._limits
        if self._aborted_at is not None:
            return now > self._aborted_at + limits.websocket_close_s
        if self._close_sent_at is not None and now > self._close_sent_at + limits.websocket_close_s:
            self.abort()
        elif (self._backlog and now > self._progress_at + limits.write_s) or (
            now > self._heard_at + limits.websocket_ping_s + limits.websocket_pong_s
        ):
            self._figures.aborted_websockets += 1
            self.abort()
        elif not self._pinged and now > self._heard_at + limits.websocket_ping_s and self._state is None:
            self._pinged = True
            self._write(PING)
        return False

    async def finish(self, code: int, reason: str = "") -> None:
        """End the WebSocket after its handler: send what is queued and the close, and await the client's answer."""
        with trio.move_on_after(self._limits.websocket_close_s):
            self.close_soon(code, reason)
            while self._backlog:
                await self._room.park()
            if self._reading_done and not self._peer_closed:
                await self._discard()
            while not self._reading_done:
                try:
                    await self.receive()
                except SocketClosed:
                    break

    # Reading.

    async def _read(self) -> None:
        await self._readiness.wait(self._fd)
        try:
            data = self._sock.recv(_READ_BYTES)
        except BlockingIOError:
            return
        except OSError:
            data = b""
        if len(data) == _READ_BYTES:
            self._readiness.again(self._fd)
        if not data:
            self._end(SocketClosed(LOST))
            self._reading_done = True
            return
        self._heard_at = self._pulse.now
        self._pinged = False
        self._wire.receive_data(data)
        self._events = self._wire.events()

    async def _breathe(self) -> None:
        # 8 KiB hold over a thousand tiny frames: other tasks get their turn between them.
        self._events_taken += 1
        if self._events_taken >= _EVENTS_AT_ONCE:
            self._events_taken = 0
            await trio.lowlevel.checkpoint()

    def _collect(self, event: TextMessage | BytesMessage) -> str | bytes | None:
        data = event.data
        if isinstance(data, str):
            size = len(data) if data.isascii() else len(data.encode())
        else:
            data = bytes(data)
            size = len(data)
        self._message_bytes += size
        if self._message_bytes > self._limits.websocket_message_bytes:
            self._fail(TOO_BIG, f"a message has at most {self._limits.websocket_message_bytes} bytes")
            return None
        if data:
            self._message.append(data)
        if not event.message_finished:
            return None
        parts, self._message, self._message_bytes = self._message, [], 0
        if len(parts) == 1:
            return parts[0]
        empty: str | bytes = "" if isinstance(event, TextMessage) else b""
        return empty.join(parts)  # type: ignore[arg-type]

    def _check_claim(self) -> None:
        # The size of a begun frame is in wsproto's decoder alone; waiting for the bytes to come would also do, but
        # would read up to the limit from a client that has already said that it will pass it.
        header = self._wire._proto._frame_decoder.header
        if (
            header is not None
            and not self._reading_done
            and self._message_bytes + header.payload_len - self._wire._proto._frame_decoder.payload_consumed
            > self._limits.websocket_message_bytes
        ):
            self._fail(TOO_BIG, f"a message has at most {self._limits.websocket_message_bytes} bytes")

    def _control(self, event: Ping | Pong) -> None:
        second = int(trio.current_time())
        if second != self._second:
            self._second = second
            self._controls = 0
        self._controls += 1
        if self._controls > self._limits.websocket_pings_per_s:
            self._fail(POLICY, f"at most {self._limits.websocket_pings_per_s} pings per second")
        elif isinstance(event, Ping):
            pong = pong_frame(bytes(event.payload))
            if self._state is None and (not self._backlog or self._fits(pong)):
                self._write(pong)

    def _on_close(self, event: CloseConnection) -> None:
        reason = event.reason or ""
        code = int(event.code)
        if self._wire.state is ConnectionState.REMOTE_CLOSING:
            self._peer_closed = True
            self._reading_done = True
            if self._state is None:
                self.close_soon(NORMAL if code == NO_CODE else code)
                self._state = SocketClosed(code, reason)
        else:
            self._fail(code, reason)

    def _fail(self, code: int, reason: str) -> None:
        """The client broke a rule: say so, and read no further."""
        self._reading_done = True
        self.close_soon(code, reason)

    async def _discard(self) -> None:
        # Closing a socket that has unread bytes resets it, and the close frame might never arrive.
        with contextlib.suppress(OSError):
            self._sock.shutdown(socket.SHUT_WR)
            await self._readiness.drop(self._sock)

    # Writing.

    def _fits(self, frame: bytes) -> bool:
        return self._backlog_bytes + len(frame) <= self._limits.websocket_backlog_bytes

    def _write(self, frame: bytes) -> None:
        """Send or queue, whatever the backlog holds."""
        if self._backlog:
            self._backlog.append(frame)
            self._backlog_bytes += len(frame)
            return
        try:
            sent = self._send(frame)
        except BlockingIOError:
            sent = 0
        except OSError:
            self._end(SocketClosed(LOST))
            return
        if sent != len(frame):
            self._start_backlog(frame[sent:])

    def _start_backlog(self, rest: bytes) -> None:
        self._backlog.append(rest)
        self._backlog_bytes = len(rest)
        self._progress_at = self._pulse.now
        self._spawn(self._write_backlog)

    async def _write_backlog(self) -> None:
        backlog = self._backlog
        try:
            while backlog:
                await trio.lowlevel.wait_writable(self._fd)
                try:
                    sent = self._sock.sendmsg(list(islice(backlog, _BUFFERS_AT_ONCE)))
                except BlockingIOError:
                    continue
                self._progress_at = self._pulse.now
                self._backlog_bytes -= sent
                while sent:
                    first = backlog.popleft()
                    if sent < len(first):
                        backlog.appendleft(first[sent:])
                        break
                    sent -= len(first)
                self._room.unpark_all()
        except (OSError, trio.ClosedResourceError):
            self._end(SocketClosed(LOST))

    def _end(self, closed: SocketClosed) -> None:
        if self._state is None:
            self._state = closed
        if self._state.code == LOST or closed.code == LOST:
            self._backlog.clear()
            self._backlog_bytes = 0
        self._room.unpark_all()
