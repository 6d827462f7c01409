"""A client of the signal stream over a bare socket, which keeps every signal that it gets."""

from __future__ import annotations

import base64
import os
import struct
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Any, Self

import msgspec
import trio

from tests.node.kit import PATIENCE_S

TEXT, CLOSE, PING, PONG = 0x1, 0x8, 0x9, 0xA


class _Identity(msgspec.Struct):
    signal_id: str
    symbol: str


class _Said(msgspec.Struct):
    type: str
    seq: int = 0
    data: _Identity | None = None


_said = msgspec.json.Decoder(_Said).decode


class Subscriber:
    """One connection. `signals`: (seq, id) in the order of arrival; `notices`: everything else that was said."""

    def __init__(self, stream: trio.SocketStream) -> None:
        self.signals: list[tuple[int, str]] = []
        self.notices: list[dict[str, Any]] = []
        self.closed = False
        self._stream = stream
        self._buffer = bytearray()
        self._changed = trio.Event()
        self._lock = trio.Lock()

    @classmethod
    async def connect(cls, port: int) -> Self:
        """Shake hands. Raises OSError if nobody listens, or the answer is no upgrade."""
        stream = await trio.open_tcp_stream("127.0.0.1", port)
        key = base64.b64encode(os.urandom(16)).decode()
        await stream.send_all(
            f"GET /api/signals/stream HTTP/1.1\r\nHost: 127.0.0.1:{port}\r\nUpgrade: websocket\r\n"
            f"Connection: Upgrade\r\nSec-WebSocket-Key: {key}\r\nSec-WebSocket-Version: 13\r\n\r\n".encode()
        )
        client = cls(stream)
        try:
            with trio.fail_after(PATIENCE_S):
                while b"\r\n\r\n" not in client._buffer:
                    data = await stream.receive_some(65536)
                    if not data:
                        raise OSError("closed during the handshake")
                    client._buffer += data
        except trio.BrokenResourceError as error:
            raise OSError("reset during the handshake") from error
        head, _, rest = bytes(client._buffer).partition(b"\r\n\r\n")
        if not head.startswith(b"HTTP/1.1 101"):
            raise OSError(head.split(b"\r\n")[0].decode())
        client._buffer = bytearray(rest)
        return client

    @property
    def seqs(self) -> list[int]:
        return [seq for seq, _ in self.signals]

    def said(self, kind: str) -> list[dict[str, Any]]:
        """The notices of a kind: connection, subscription, resumed, lagged, error ..."""
        return [notice for notice in self.notices if notice["type"] == kind]

    async def subscribe(self, *symbols: str, resume_from: int | None = None) -> None:
        """Ask for signals of these symbols (none: of all)."""
        message: dict[str, Any] = {"type": "subscribe", "symbols": symbols or ("*",)}
        if resume_from is not None:
            message["resume_from"] = resume_from
        await self.send(TEXT, msgspec.json.encode(message))

    async def send(self, opcode: int, payload: bytes) -> None:
        """Send a frame, masked with zeros."""
        size = len(payload)
        length = bytes([0x80 | size]) if size < 126 else b"\xfe" + struct.pack(">H", size)
        async with self._lock:
            await self._stream.send_all(bytes([0x80 | opcode]) + length + b"\0\0\0\0" + payload)

    async def read(self) -> None:
        """Take what comes until the connection ends."""
        try:
            while True:
                await self._take_frames()
                data = await self._stream.receive_some(65536)
                if not data:
                    return
                self._buffer += data
        except (trio.BrokenResourceError, trio.ClosedResourceError):
            return
        finally:
            self.closed = True
            self._tell()

    async def until(self, condition: Callable[[], object], what: str = "") -> None:
        """Wait until a condition about what was said holds."""
        with trio.move_on_after(PATIENCE_S):
            while not condition():
                await self._changed.wait()
            return
        raise AssertionError(
            f"{what or 'what was waited for'} did not come: {len(self.signals)} signals, the last "
            f"{self.signals[-1:]}, notices {self.notices[-5:]}, closed {self.closed}"
        )

    async def more(self, count: int) -> None:
        """Wait for so many more signals."""
        wanted = len(self.signals) + count
        await self.until(lambda: len(self.signals) >= wanted or self.closed, f"{count} more signals")
        assert len(self.signals) >= wanted, f"closed: {self.notices[-3:]}"

    async def reaches(self, seq: int) -> None:
        """Wait for the signal with this number, or a later one."""
        await self.until(lambda: self.signals and self.signals[-1][0] >= seq, f"signal {seq}")

    async def end(self) -> None:
        await trio.aclose_forcefully(self._stream)

    def _tell(self) -> None:
        self._changed.set()
        self._changed = trio.Event()

    async def _take_frames(self) -> None:
        buffer = self._buffer
        at = 0
        while len(buffer) - at >= 2:
            opcode, size = buffer[at] & 0x0F, buffer[at + 1]
            start = at + 2
            if size == 126:
                start += 2
                if len(buffer) < start:
                    break
                size = int.from_bytes(buffer[at + 2 : start], "big")
            elif size == 127:
                start += 8
                if len(buffer) < start:
                    break
                size = int.from_bytes(buffer[at + 2 : start], "big")
            if len(buffer) < start + size:
                break
            payload = bytes(buffer[start : start + size])
            at = start + size
            if opcode == TEXT:
                self._hear(payload)
            elif opcode == PING:
                await self.send(PONG, payload)
            elif opcode == CLOSE:
                self.notices.append({"type": "close", "code": int.from_bytes(payload[:2], "big")})
        if at:
            del buffer[:at]
            self._tell()

    def _hear(self, payload: bytes) -> None:
        message = _said(payload)
        if message.type == "signal":
            assert message.data is not None
            self.signals.append((message.seq, message.data.signal_id))
        else:
            self.notices.append(msgspec.json.decode(payload))


@asynccontextmanager
async def subscribed(port: int, *symbols: str, resume_from: int | None = None) -> AsyncIterator[Subscriber]:
    """A subscriber that is subscribed and reads, for the duration of the block."""
    async with trio.open_nursery() as nursery:
        subscriber = await subscriber_in(nursery, port, *symbols, resume_from=resume_from)
        yield subscriber
        await subscriber.end()
        nursery.cancel_scope.cancel()


async def subscriber_in(nursery: trio.Nursery, port: int, *symbols: str, resume_from: int | None = None) -> Subscriber:
    """The same, for as long as a nursery is open."""
    subscriber = await Subscriber.connect(port)
    nursery.start_soon(subscriber.read)
    await subscriber.subscribe(*symbols, resume_from=resume_from)
    await subscriber.until(lambda: subscriber.said("subscription") or subscriber.said("error") or subscriber.closed)
    return subscriber
