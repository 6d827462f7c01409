"""Answers, and the bytes of their heads."""

from __future__ import annotations

import http
from collections.abc import AsyncIterable
from email.utils import formatdate
from typing import Any

import msgspec

JSON = "application/json"

_encode = msgspec.json.Encoder().encode

REASONS = {status.value: status.phrase for status in http.HTTPStatus}

CONTINUE = b"HTTP/1.1 100 Continue\r\n\r\n"

LAST_CHUNK = b"0\r\n\r\n"


class Response:
    """An answer that is more, or less, than a struct: status, body as bytes, type, headers (names in lower case)."""

    __slots__ = ("body", "content_type", "headers", "status")

    def __init__(
        self,
        status: int = 200,
        body: bytes = b"",
        content_type: str = JSON,
        headers: tuple[tuple[str, str], ...] = (),
    ) -> None:
        self.status = status
        self.body = body
        self.content_type = content_type
        self.headers = headers


class StreamingResponse:
    """An answer whose body is made while it is sent. It has no limit of time, but each piece has to be taken.

    `length`: the bytes in total if they are known, else the body is chunked. An exception in the iterator cuts the
    connection, so that the client does not take a part for the whole.
    """

    __slots__ = ("chunks", "content_type", "headers", "length", "status")

    def __init__(
        self,
        chunks: AsyncIterable[bytes],
        status: int = 200,
        content_type: str = "application/octet-stream",
        headers: tuple[tuple[str, str], ...] = (),
        length: int | None = None,
    ) -> None:
        self.chunks = chunks
        self.status = status
        self.content_type = content_type
        self.headers = headers
        self.length = length


def json_response(value: Any, status: int = 200, headers: tuple[tuple[str, str], ...] = ()) -> Response:
    """`value` as JSON with a status of its own."""
    return Response(status, _encode(value), JSON, headers)


class Heads:
    """Builds response heads; the parts that do not change within a second are made once."""

    __slots__ = ("_common", "_json", "_second")

    def __init__(self) -> None:
        self._second = -1
        self._common = b""
        self._json: dict[int, bytes] = {}

    def tick(self, wall_s: float) -> None:
        """Take over the wall time (seconds since the epoch) for the `date` of the heads to come."""
        second = int(wall_s)
        if second != self._second:
            self._second = second
            self._common = (
                f"date: {formatdate(second, usegmt=True)}\r\nserver: troupe\r\nx-content-type-options: nosniff\r\n"
            ).encode()
            self._json = {}

    def json(self, status: int) -> bytes:
        """Everything of a JSON answer up to the number behind `content-length: `."""
        head = self._json.get(status)
        if head is None:
            head = self._json[status] = (
                self._status_line(status)
                + self._common
                + b"content-type: application/json\r\ncache-control: no-store\r\ncontent-length: "
            )
        return head

    def head(self, status: int, content_type: str, headers: tuple[tuple[str, str], ...]) -> bytes:
        """A head that still lacks its length, its connection header and the blank line.

        Raises ValueError for a header that would break out of its line.
        """
        lines = [self._status_line(status), self._common]
        if content_type and status not in (204, 304):
            lines.append(_line("content-type", content_type))
        lines += [_line(name, value) for name, value in headers]
        return b"".join(lines)

    def _status_line(self, status: int) -> bytes:
        return f"HTTP/1.1 {status} {REASONS.get(status, 'Unknown')}\r\n".encode("ascii")


def _line(name: str, value: str) -> bytes:
    line = f"{name}: {value}\r\n".encode("latin-1")
    if line.count(b"\n") != 1 or line.count(b"\r") != 1:
        raise ValueError(f"header {name!r} holds a line break")
    return line


def chunk(data: bytes) -> bytes:
    """`data`, not empty, as one chunk of a chunked body (RFC 9112 7.1)."""
    return b"%x\r\n%b\r\n" % (len(data), data)
