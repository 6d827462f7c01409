"""One client's WebSocket at a stand-in: a bounded backlog, its writer, the venue's pings, and the faults in between.

Frames are joined and written in one piece; nothing is copied for a frame that no fault hits.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable
from typing import Final, NamedTuple

import trio
from wsproto.connection import Connection, ConnectionType
from wsproto.events import BytesMessage, CloseConnection, Ping, TextMessage
from wsproto.utilities import RemoteProtocolError

from actors.edge.frames import close_frame, pong_frame, text_frame
from actors.market.simulated.faults import Faults

_READ_BYTES: Final = 65_536
_WRITE_BYTES: Final = 262_144
_ABNORMAL: Final = 1006
# A second's worth of throttled bytes is sent in so many pieces.
_PIECES: Final = 20
_LONGEST_LOGGED: Final = 4_096


class Logged(NamedTuple):
    """A frame as it was, `fate`: empty, or the fault that it met; long payloads are shortened."""

    number: int
    ts: int
    fate: str
    payload: bytes


class Link:
    """What waits to be sent to one client. `number` is the connection's at its face, from 1.

    `too_slow` is called when the backlog has outgrown `capacity` frames.
    """

    def __init__(
        self,
        number: int,
        venue: str,
        faults: Faults,
        now: Callable[[], int],
        *,
        capacity: int,
        ping_s: float,
        ping: bytes = b"",
        log: int = 5_000,
    ) -> None:
        self.number = number
        self.venue = venue
        self.scope = trio.CancelScope()
        self.silent = False
        self.delay_s = 0.0
        self.rate = 0
        self.sent = 0
        self.log: deque[Logged] = deque(maxlen=log)
        self.take: Callable[[bytes], None] = lambda _: None
        self.too_slow: Callable[[], None] = lambda: self.close(1008, "too slow")
        self.ended = False
        self._faults = faults
        self._now = now
        self._capacity = capacity
        self._ping_s = ping_s
        self._ping = b"\x89%c" % len(ping) + ping
        self._ponged = True
        self._backlog: deque[tuple[bytes, bool]] = deque()
        self._controls: deque[bytes] = deque()
        self._closing: bytes | None = None
        self._wake = trio.Event()

    @property
    def waiting(self) -> int:
        """Frames that are not sent yet."""
        return len(self._backlog)

    def offer(self, frames: Iterable[bytes], *, answer: bool = False) -> None:
        """Queue frames; never waits. `answer`: to a command."""
        for frame in frames:
            self._backlog.append((frame, answer))
        if len(self._backlog) > self._capacity:
            self.too_slow()
        self._wake.set()

    def discard(self) -> None:
        """Throw away what waits."""
        self._backlog.clear()

    def silence(self, silent: bool) -> None:
        """Hold everything back, or go on."""
        self.silent = silent
        self._wake.set()

    def close(self, code: int, reason: str = "") -> None:
        """Send what waits and close with `code`; 1006: cut now."""
        if code == _ABNORMAL:
            self.scope.cancel()
            return
        self._closing = close_frame(code, reason)
        self.silent = False
        self.delay_s, self.rate = 0.0, 0
        self._wake.set()

    # -- the socket ----------------------------------------------------------------------------------------

    async def run(self, stream: trio.abc.Stream, rest: bytes) -> None:
        """Serve the connection until it ends."""
        try:
            with self.scope:
                async with trio.open_nursery() as nursery:
                    nursery.start_soon(self._write, stream)
                    nursery.start_soon(self._beat)
                    await self._read(stream, rest)
                    self.scope.cancel()
        finally:
            self.ended = True
            self._faults.forget(self.number)

    async def _read(self, stream: trio.abc.Stream, rest: bytes) -> None:
        wire = Connection(ConnectionType.SERVER)
        message: list[bytes] = []
        data: bytes | bytearray = rest
        while True:
            try:
                if data:
                    wire.receive_data(bytes(data))
                for event in wire.events():
                    if isinstance(event, TextMessage | BytesMessage):
                        part = event.data.encode() if isinstance(event, TextMessage) else bytes(event.data)
                        message.append(part)
                        if event.message_finished:
                            self.take(b"".join(message))
                            message.clear()
                    elif isinstance(event, Ping):
                        self._controls.append(pong_frame(bytes(event.payload)))
                        self._wake.set()
                    elif isinstance(event, CloseConnection):
                        if self._closing is None:
                            self.discard()
                            self.close(event.code if event.code < 5000 and event.code not in (1005, 1006) else 1000)
                        else:
                            return
                    self._ponged = True
                data = await stream.receive_some(_READ_BYTES)
            except (RemoteProtocolError, trio.BrokenResourceError, trio.ClosedResourceError):
                return
            if not data:
                return

    async def _write(self, stream: trio.abc.Stream) -> None:
        try:
            while True:
                while (self._controls or self._backlog) and not self.silent:
                    await self._send(stream, self._next_piece())
                if self._closing is not None:
                    await stream.send_all(self._closing)
                    with trio.move_on_after(1.0):
                        await trio.sleep_forever()  # until the reader has the client's own close
                    self.scope.cancel()
                self._wake = trio.Event()
                await self._wake.wait()
        except (trio.BrokenResourceError, trio.ClosedResourceError):
            self.scope.cancel()

    def _next_piece(self) -> bytes:
        """The next frames, faults applied, joined; one at a time where each is to wait."""
        parts: list[bytes] = [*self._controls]
        self._controls.clear()
        size = 0
        backlog = self._backlog
        while backlog and size < _WRITE_BYTES:
            payload, answer = backlog.popleft()
            self.sent += 1
            fate = ""
            if self._faults.of_frames:
                fate, frames = self._faults.passing(self.number, self.venue, payload, answer)
                parts += [text_frame(frame) for frame in frames]
            else:
                parts.append(text_frame(payload))
            size += len(payload)
            self.log.append(Logged(self.sent, self._now(), fate, payload[:_LONGEST_LOGGED]))
            if self.delay_s:
                break
        return b"".join(parts)

    async def _send(self, stream: trio.abc.Stream, data: bytes) -> None:
        if self.delay_s:
            await trio.sleep(self.delay_s)
        begin = 0
        # The fault may be taken back meanwhile.
        while (rate := self.rate) and begin < len(data):
            step = max(1, rate // _PIECES)
            await stream.send_all(data[begin : begin + step])
            await trio.sleep(step / rate)
            begin += step
        if begin < len(data):
            await stream.send_all(memoryview(data)[begin:])

    async def _beat(self) -> None:
        """Ping every so often; a client that does not answer until the next one is gone."""
        while True:
            await trio.sleep(self._ping_s)
            if self.silent or self._closing is not None:
                continue
            if not self._ponged:
                self.scope.cancel()
                return
            self._ponged = False
            self._controls.append(self._ping)
            self._wake.set()
