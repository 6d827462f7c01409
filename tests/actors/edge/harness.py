"""A server on a free port of loopback, and clients that may say anything, also what no client should."""

from __future__ import annotations

import base64
import hashlib
import json
import os
import socket
import struct
from collections.abc import AsyncIterator, Callable, Iterable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any, NamedTuple

import structlog
import trio

from actors.edge.auth import Guard
from actors.edge.limits import Limits
from actors.edge.routing import Route, Router
from actors.edge.server import Server

TOKEN = "secret-of-the-data-folder"
PATIENCE_S = 10.0
"""No test waits longer than this for anything: what should come has then not come."""


class Served(NamedTuple):
    server: Server
    port: int
    log: list[Any]


@asynccontextmanager
async def serving(
    routes: Iterable[Route], limits: Limits | None = None, guard: Guard | None = None, disk: Path | None = None
) -> AsyncIterator[Served]:
    """A server with these routes; what it logs is in `log`."""
    log: list[Any] = []

    def keep(logger: object, method: str, line: Any) -> str:
        log.append({"level": method, **line})
        raise structlog.DropEvent

    logger = structlog.wrap_logger(None, processors=[keep])
    server = Server(Router(routes), guard or Guard(TOKEN), limits, disk=disk, logger=logger)
    port = server.bind("127.0.0.1", 0)
    async with trio.open_nursery() as nursery:
        nursery.start_soon(server.serve)
        with trio.fail_after(PATIENCE_S * 2):
            yield Served(server, port, log)
        nursery.cancel_scope.cancel()


async def until(condition: Callable[[], bool]) -> None:
    """Wait for what no event tells."""
    with trio.fail_after(PATIENCE_S):
        while not condition():  # noqa: ASYNC110 - that is the point
            await trio.sleep(0.002)


class Answer(NamedTuple):
    status: int
    headers: dict[str, str]
    body: bytes

    def json(self) -> Any:
        return json.loads(self.body)

    @property
    def code(self) -> str:
        """The error code of the body."""
        return str(self.json()["error"]["code"])


class Client:
    """One TCP connection."""

    def __init__(self, stream: trio.SocketStream, port: int) -> None:
        self.stream = stream
        self.port = port
        self.buffer = b""

    async def send(self, data: bytes) -> None:
        await self.stream.send_all(data)

    async def end(self) -> None:
        """Say that nothing more comes."""
        await self.stream.send_eof()

    async def more(self) -> bool:
        """Read once; False at the end."""
        try:
            data = await self.stream.receive_some(65_536)
        except trio.BrokenResourceError:
            return False
        self.buffer += data
        return bool(data)

    async def until(self, mark: bytes) -> bytes:
        """Everything up to and with `mark`."""
        with trio.fail_after(PATIENCE_S):
            while mark not in self.buffer:
                assert await self.more(), f"the connection ended before {mark!r}: {self.buffer!r}"
        head, _, self.buffer = self.buffer.partition(mark)
        return head + mark

    async def exactly(self, size: int) -> bytes:
        with trio.fail_after(PATIENCE_S):
            while len(self.buffer) < size:
                assert await self.more(), f"the connection ended {size - len(self.buffer)} bytes early"
        data, self.buffer = self.buffer[:size], self.buffer[size:]
        return data

    async def rest(self) -> bytes:
        """Everything until the server closes the connection."""
        with trio.fail_after(PATIENCE_S):
            while await self.more():
                pass
        data, self.buffer = self.buffer, b""
        return data

    async def is_closed(self) -> bool:
        """Wait for the end; True if nothing else came before it."""
        return await self.rest() == b""

    async def answer(self, *, head_only: bool = False) -> Answer:
        head = (await self.until(b"\r\n\r\n")).decode("latin-1")
        lines = head.split("\r\n")
        status = int(lines[0].split(" ")[1])
        headers: dict[str, str] = {}
        for line in lines[1:-2]:
            name, _, value = line.partition(": ")
            assert name not in headers, f"{name} twice"
            headers[name] = value
        if head_only or status in (101, 100, 204, 304):
            return Answer(status, headers, b"")
        if headers.get("transfer-encoding") == "chunked":
            body = b""
            while True:
                size = int(await self.until(b"\r\n"), 16)
                body += (await self.exactly(size + 2))[:-2]
                if size == 0:
                    return Answer(status, headers, body)
        if "content-length" not in headers:
            return Answer(status, headers, await self.rest())
        return Answer(status, headers, await self.exactly(int(headers["content-length"])))

    async def ask(self, method: str, target: str, body: bytes = b"", *headers: str) -> Answer:
        await self.send(request(method, target, body, *headers))
        return await self.answer(head_only=method == "HEAD")


def request(method: str, target: str, body: bytes = b"", *headers: str) -> bytes:
    """A well-formed request; state-changing methods say that they send JSON."""
    lines = [f"{method} {target} HTTP/1.1"]
    if not any(header.lower().startswith("host:") for header in headers):
        lines.append("Host: localhost")
    lines += headers
    given = "\n".join(headers).lower()
    if method in ("POST", "PUT") and "content-type:" not in given:
        lines.append("Content-Type: application/json")
    if (body or method in ("POST", "PUT")) and "transfer-encoding:" not in given and "content-length:" not in given:
        lines.append(f"Content-Length: {len(body)}")
    return "\r\n".join(lines).encode("latin-1") + b"\r\n\r\n" + body


AUTHORIZED = f"Authorization: Bearer {TOKEN}"


@asynccontextmanager
async def connected(served: Served, receive_buffer: int | None = None) -> AsyncIterator[Client]:
    sock = trio.socket.socket()
    if receive_buffer is not None:
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, receive_buffer)
    await sock.connect(("127.0.0.1", served.port))
    stream = trio.SocketStream(sock)
    try:
        yield Client(stream, served.port)
    finally:
        sock.close()


async def once(served: Served, method: str, target: str, body: bytes = b"", *headers: str) -> Answer:
    """One request on a connection of its own."""
    async with connected(served) as client:
        return await client.ask(method, target, body, *headers)


# WebSocket.

KEY = base64.b64encode(bytes(range(16))).decode()
ACCEPT = base64.b64encode(hashlib.sha1(KEY.encode() + b"258EAFA5-E914-47DA-95CA-C5AB0DC85B11").digest()).decode()
TEXT, BINARY, CLOSE, PING, PONG = 0x1, 0x2, 0x8, 0x9, 0xA


def upgrade(target: str, *headers: str, version: str = "13", key: str = KEY) -> bytes:
    return request(
        "GET",
        target,
        b"",
        "Connection: keep-alive, Upgrade",
        "Upgrade: websocket",
        f"Sec-WebSocket-Version: {version}",
        f"Sec-WebSocket-Key: {key}",
        *headers,
    )


def frame(
    opcode: int,
    payload: bytes = b"",
    *,
    fin: bool = True,
    reserved: int = 0,
    masked: bool = True,
    claimed: int | None = None,
) -> bytes:
    """A client's frame; `claimed` is the length it says it has."""
    size = len(payload) if claimed is None else claimed
    first = (0x80 if fin else 0) | reserved << 4 | opcode
    bit = 0x80 if masked else 0
    if size < 126:
        head = struct.pack("!BB", first, bit | size)
    elif size < 65_536:
        head = struct.pack("!BBH", first, bit | 126, size)
    else:
        head = struct.pack("!BBQ", first, bit | 127, size)
    if not masked:
        return head + payload
    mask = os.urandom(4)
    return head + mask + bytes(byte ^ mask[index % 4] for index, byte in enumerate(payload))


class Frame(NamedTuple):
    opcode: int
    payload: bytes

    @property
    def close_code(self) -> int:
        assert self.opcode == CLOSE, self
        return int.from_bytes(self.payload[:2], "big")


async def read_frame(client: Client) -> Frame:
    """The server's next frame, which is whole and not masked."""
    first, second = await client.exactly(2)
    assert first & 0xF0 == 0x80, f"first byte {first:#x}"
    assert second < 0x80, "masked"
    size = second
    if size == 126:
        size = int.from_bytes(await client.exactly(2), "big")
    elif size == 127:
        size = int.from_bytes(await client.exactly(8), "big")
    return Frame(first & 0x0F, await client.exactly(size))


@asynccontextmanager
async def opened(
    served: Served, target: str = "/ws", *headers: str, receive_buffer: int | None = None
) -> AsyncIterator[Client]:
    """A client with an open WebSocket."""
    async with connected(served, receive_buffer) as client:
        await client.send(upgrade(target, *headers))
        answer = await client.answer()
        assert answer.status == 101, answer
        assert answer.headers["sec-websocket-accept"] == ACCEPT
        yield client
