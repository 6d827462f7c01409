"""The sending half of a connection: answers into bytes, in order, joined until they are written."""

from __future__ import annotations

import socket
from typing import Any

import msgspec

from actors.edge.errors import HttpError
from actors.edge.parser import HttpRequest
from actors.edge.pulse import Figures
from actors.edge.responses import JSON, Heads, Response, StreamingResponse

_BODYLESS = (204, 304)

_encode = msgspec.json.Encoder().encode


class Gone(Exception):
    """The client has gone away."""


class Outgoing:
    """What one connection has to say and has not said yet. Never waits."""

    __slots__ = ("_figures", "_heads", "_sock", "closing", "queue", "size")

    def __init__(self, sock: socket.socket, heads: Heads, figures: Figures) -> None:
        self._sock = sock
        self._heads = heads
        self._figures = figures
        self.queue: list[bytes] = []
        self.size = 0
        """Bytes of the answers that are queued."""
        self.closing = False
        """Every answer from now on says that the connection closes."""

    def put(self, result: Any, request: HttpRequest, status: int) -> None:
        """Queue what a handler returned. Raises TypeError or ValueError for what cannot be sent."""
        heads = self._heads
        kind = type(result)
        if kind is Response:
            status = result.status
            body = result.body
            if result.content_type == JSON and not result.headers:
                head = heads.json(status)
            else:
                head = heads.head(status, result.content_type, result.headers) + b"content-length: "
        elif result is None:
            status, body = 204, b""
            head = heads.head(status, "", ()) + b"content-length: "
        else:
            body = _encode(result)
            head = heads.json(status)
        usual = request.keep_alive and request.complete and not request.http_1_0 and not self.closing
        if usual and request.method != b"HEAD" and status not in _BODYLESS:
            self._push(b"%b%d\r\n\r\n%b" % (head, len(body), body), status)
        else:
            self._put_whole(head, body, status, request)

    def put_error(self, error: HttpError, request: HttpRequest | None) -> None:
        """Queue a refusal of `request`, or (None) of what is no request."""
        if request is not None and error.close:
            request.keep_alive = False
        headers = (("cache-control", "no-store"), *error.headers)
        head = self._heads.head(error.status, JSON, headers) + b"content-length: "
        if any(name == "connection" for name, _ in error.headers):
            body = error.body()
            self._push(b"%b%d\r\n\r\n%b" % (head, len(body), body), error.status)
        else:
            self._put_whole(head, error.body(), error.status, request)

    def put_stream_head(self, result: StreamingResponse, request: HttpRequest) -> bool:
        """Queue the head of an answer that is made while it is sent; return whether its body is chunked."""
        head = self._heads.head(result.status, result.content_type, result.headers)
        chunked = result.length is None and not request.http_1_0
        if result.length is not None:
            head += b"content-length: %d\r\n" % result.length
        elif chunked:
            head += b"transfer-encoding: chunked\r\n"
        else:
            request.keep_alive = False
        self._push(head + self._connection_header(request) + b"\r\n", result.status)
        return chunked

    def write_now(self) -> bytes:
        """Write what the socket takes at once; return what is left, which stays queued. Raises Gone."""
        out = self.queue
        if not out:
            return b""
        data = out[0] if len(out) == 1 else b"".join(out)
        out.clear()
        self.size = 0
        try:
            sent = self._sock.send(data)
        except BlockingIOError:
            sent = 0
        except OSError:
            raise Gone from None
        if sent == len(data):
            return b""
        out.append(data[sent:])
        self.size = len(data) - sent
        return out[0]

    def _put_whole(self, head: bytes, body: bytes, status: int, request: HttpRequest | None) -> None:
        if status in _BODYLESS:
            head, body = head.removesuffix(b"content-length: "), b""
        else:
            head = b"%b%d\r\n" % (head, len(body))
        if request is not None and request.method == b"HEAD":
            body = b""
        self._push(head + self._connection_header(request) + b"\r\n" + body, status)

    def _connection_header(self, request: HttpRequest | None) -> bytes:
        if request is None or not request.keep_alive or not request.complete or self.closing:
            return b"connection: close\r\n"
        return b"connection: keep-alive\r\n" if request.http_1_0 else b""

    def _push(self, data: bytes, status: int) -> None:
        self.queue.append(data)
        self.size += len(data)
        figures = self._figures
        figures.requests += 1
        if status >= 500:
            figures.failed += 1
        elif status >= 400:
            figures.refused_requests += 1
