"""A small HTTP/1.1 server for stand-ins: requests to a function, upgrades handed on with their socket.

Parsing is h11's. Unlike the edge it does what it is told to: refuse, delay, answer wrongly.
"""

from __future__ import annotations

import base64
import hashlib
from collections.abc import Awaitable, Callable
from email.utils import formatdate
from typing import Final, NamedTuple
from urllib.parse import parse_qs

import h11
import trio

_GUID: Final = b"258EAFA5-E914-47DA-95CA-C5AB0DC85B11"
_READ_BYTES: Final = 65_536
_MOST_BODY: Final = 1_000_000
JSON: Final = "application/json"

Headers = tuple[tuple[str, str], ...]


class Request(NamedTuple):
    """One request. `query`: all values of each name; `headers`: by lower-case name. `raw_query`: as it came."""

    method: str
    path: str
    query: dict[str, list[str]]
    headers: dict[str, str]
    body: bytes
    raw_query: str = ""

    def one(self, name: str, default: str = "") -> str:
        """The first value of a query parameter."""
        return self.query.get(name, [default])[0]

    @property
    def upgrade(self) -> bool:
        """Whether it asks for a WebSocket."""
        return "websocket" in self.headers.get("upgrade", "").lower()


class Answer(NamedTuple):
    """A whole answer. `cut`: the connection is closed without one."""

    status: int
    body: bytes = b""
    headers: Headers = ()
    content_type: str = JSON
    cut: bool = False


class Upgrade(NamedTuple):
    """Yes to a WebSocket: `serve` gets the socket and what has already come behind the request."""

    headers: Headers
    serve: Callable[[trio.abc.Stream, bytes], Awaitable[None]]


Handler = Callable[[Request], Awaitable[Answer | Upgrade]]


async def serve_connection(stream: trio.SocketStream, handler: Handler, now: Callable[[], int]) -> None:
    """Answer one client's requests until it leaves. `now`: nanoseconds, for the Date of the answers."""
    connection = h11.Connection(h11.SERVER)
    try:
        async with stream:
            while True:
                request = await _request(connection, stream)
                if request is None:
                    return
                answer = await handler(request)
                date = formatdate(now() / 1e9, usegmt=True)
                if isinstance(answer, Upgrade):
                    await stream.send_all(_handshake(request, answer, date))
                    await answer.serve(stream, connection.trailing_data[0])
                    return
                if answer.cut:
                    return
                await _say(connection, stream, answer, date)
                if connection.our_state is not h11.DONE or connection.their_state is not h11.DONE:
                    return
                connection.start_next_cycle()
    except (trio.BrokenResourceError, trio.ClosedResourceError, h11.RemoteProtocolError):
        return


async def _request(connection: h11.Connection, stream: trio.SocketStream) -> Request | None:
    head: h11.Request | None = None
    body = b""
    while True:
        event = connection.next_event()
        if event is h11.NEED_DATA:
            connection.receive_data(await stream.receive_some(_READ_BYTES))
        elif isinstance(event, h11.Request):
            head = event
        elif isinstance(event, h11.Data):
            body += event.data
            if len(body) > _MOST_BODY:
                return None
        elif isinstance(event, h11.EndOfMessage) and head is not None:
            path, _, query = head.target.decode("ascii", "replace").partition("?")
            headers = {name.decode(): value.decode("latin-1") for name, value in head.headers}
            return Request(head.method.decode(), path, parse_qs(query, keep_blank_values=True), headers, body, query)
        else:  # the client has left, or speaks no HTTP
            return None


async def _say(connection: h11.Connection, stream: trio.SocketStream, answer: Answer, date: str) -> None:
    headers = [
        ("date", date),
        ("content-type", answer.content_type),
        ("content-length", str(len(answer.body))),
        *answer.headers,
    ]
    parts = [
        connection.send(h11.Response(status_code=answer.status, headers=headers)),
        connection.send(h11.Data(data=answer.body)),
        connection.send(h11.EndOfMessage()),
    ]
    await stream.send_all(b"".join(part for part in parts if part))


def _handshake(request: Request, upgrade: Upgrade, date: str) -> bytes:
    key = request.headers.get("sec-websocket-key", "").encode()
    accept = base64.b64encode(hashlib.sha1(key + _GUID, usedforsecurity=False).digest()).decode()
    lines = [
        "HTTP/1.1 101 Switching Protocols",
        "upgrade: websocket",
        "connection: upgrade",
        f"sec-websocket-accept: {accept}",
        f"date: {date}",
        *(f"{name}: {value}" for name, value in upgrade.headers),
    ]
    return ("\r\n".join(lines) + "\r\n\r\n").encode("latin-1")
