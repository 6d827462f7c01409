"""HTTP/1.1 requests out of bytes, without a socket: httptools (llhttp) with the bounds that it lacks.

Theory of operation. `feed` takes whatever arrived; whole and begun requests stand in `requests`, oldest first. A
request is there as soon as its head is complete, and grows `chunks` until `complete`. What can go wrong ends up in
`failure`, which is the answer to give once the requests before it are answered; nothing is parsed after it.

Three things are bounded here because llhttp knows no bounds, and because by the time it calls back it is too late (an
endless header costs quadratic time and calls nobody): the bytes of a head, the bytes of a body's framing (chunk
extensions, trailers), and the number of requests taken in. The last one works by looking for the blank lines that end
a head: what lies behind the sixteenth stays in `pending`, unparsed, until `resume`.
"""

from __future__ import annotations

from collections import deque

import httptools

from actors.edge.errors import HttpError, malformed
from actors.edge.limits import PIPELINED, Limits

_HEAD_END = b"\r\n\r\n"
_HEADER_EXTRA = len(b": \r\n")
_FRAMING_BYTES = 65_536
_FRAMING_PER_BYTE = 16

_SINGLE = frozenset(
    {
        b"authorization",
        b"content-length",
        b"content-type",
        b"expect",
        b"host",
        b"origin",
        b"sec-websocket-key",
        b"sec-websocket-version",
        b"transfer-encoding",
    }
)
"""Headers of which a second one is an attempt to be read differently by two readers."""


class HttpRequest:
    """One request as it came; `headers` by lower-case name, repeated ones joined by a comma (RFC 9110 5.3)."""

    __slots__ = (
        "chunks",
        "complete",
        "headers",
        "http_1_0",
        "keep_alive",
        "length",
        "method",
        "path",
        "query",
        "size",
        "upgrade",
    )

    def __init__(
        self, method: bytes, path: bytes, query: bytes, headers: dict[bytes, bytes], keep_alive: bool = True
    ) -> None:
        self.method = method
        self.path = path
        self.query = query
        self.headers = headers
        self.http_1_0 = False
        self.keep_alive = keep_alive
        self.upgrade = False
        self.length: int | None = 0
        """The announced bytes of the body; None: chunked."""
        self.chunks: list[bytes] = []
        self.size = 0
        """Bytes of the body that have arrived."""
        self.complete = False

    @property
    def body(self) -> bytes:
        """What has arrived of the body and was not taken from `chunks` yet."""
        chunks = self.chunks
        if len(chunks) == 1:
            return chunks[0]
        return b"".join(chunks)

    @property
    def has_body(self) -> bool:
        """Whether a body was announced, be it empty or not yet there."""
        return self.length != 0


class _Stop(Exception):
    """Ends llhttp's run from inside a callback."""


class RequestParser:
    """The receiving half of a connection. See the module's theory of operation."""

    __slots__ = (
        "_begun_here",
        "_ended_here",
        "_fed",
        "_framing",
        "_head_fed",
        "_headers",
        "_in_body",
        "_limits",
        "_llhttp",
        "_repeated",
        "_request",
        "_url",
        "failure",
        "in_message",
        "pending",
        "requests",
        "rest",
        "upgraded",
    )

    def __init__(self, limits: Limits) -> None:
        self.requests: deque[HttpRequest] = deque()
        self.failure: HttpError | None = None
        self.in_message = False
        """Between the first byte of a request and its last."""
        self.pending = b""
        self.upgraded = False
        """The last request asked to change the protocol: what follows it is in `rest` and is not HTTP."""
        self.rest = b""
        self._limits = limits
        self._llhttp = httptools.HttpRequestParser(self)
        self._headers: dict[bytes, bytes] = {}
        self._url = b""
        self._repeated = 0
        self._head_fed = 0
        self._fed = 0
        self._begun_here = self._ended_here = False
        self._framing = 0
        self._in_body = False
        self._request: HttpRequest | None = None

    def resume(self) -> None:
        """Parse what had to wait, now that requests have been taken from `requests`."""
        data, self.pending = self.pending, b""
        self.feed(data)

    def feed(self, data: bytes) -> None:
        """Parse `data`; only to be called with nothing `pending`."""
        while data and self.failure is None and not self.upgraded:
            room = PIPELINED - len(self.requests)
            if self.in_message and not self._in_body:
                room -= 1  # the head that is already begun may end anywhere in here
            if data.count(_HEAD_END) <= room:
                self._parse(data)
                return
            if room <= 0:
                self.pending = data
                return
            cut = 0
            for _ in range(room):
                cut = data.index(_HEAD_END, cut) + len(_HEAD_END)
            self._parse(data[:cut])
            if self.upgraded:
                self.rest += data[cut:]
                return
            data = data[cut:]
        if self.upgraded:
            self.rest += data

    def _parse(self, data: bytes) -> None:
        limits = self._limits
        if not self._in_body and self._head_fed > limits.header_bytes:
            self.failure = _head_too_large(limits)
            return
        self._begun_here = self._ended_here = False
        self._fed = len(data)
        body_before = self._request.size if self._request is not None else 0
        try:
            self._llhttp.feed_data(data)
        except httptools.HttpParserUpgrade as upgrade:
            self.upgraded = True
            self.rest = data[upgrade.args[0] :]
            return
        except httptools.HttpParserError as error:
            if self.failure is None:
                self.failure = malformed(f"not an HTTP/1.1 request: {error}")
            return
        if self._in_body:
            request = self._request
            assert request is not None
            if request.length is None and not self._begun_here:
                self._framing += len(data) - (request.size - body_before)
                if self._framing > _FRAMING_BYTES + _FRAMING_PER_BYTE * request.size:
                    self.failure = malformed("chunk extensions and trailers are larger than the body allows")
        elif self._begun_here or self._ended_here:
            self._head_fed = 0
        else:
            self._head_fed += len(data)

    # Called by httptools.

    def on_message_begin(self) -> None:
        """A request begins."""
        self._begun_here = True
        self.in_message = True
        self._in_body = False
        self._headers = {}
        self._url = b""
        self._repeated = 0

    def on_url(self, url: bytes) -> None:
        """A part of the target."""
        self._url = self._url + url if self._url else url
        if len(self._url) > self._limits.target_bytes:
            self._fail(HttpError(414, "target_too_long", f"a target has at most {self._limits.target_bytes} bytes"))

    def on_header(self, name: bytes, value: bytes) -> None:
        """A whole header, or a trailer."""
        name = name.lower()
        headers = self._headers
        if name in headers:
            self._repeat(name, value)
        else:
            headers[name] = value

    def _repeat(self, name: bytes, value: bytes) -> None:
        self._repeated += 1
        if self._repeated > self._limits.header_count:
            self._fail(_head_too_large(self._limits))
        if name in _SINGLE:
            self._fail(malformed(f"header {name.decode('latin-1')} is given twice"))
        self._headers[name] += (b"; " if name == b"cookie" else b", ") + value

    def on_headers_complete(self) -> None:
        """The head is complete: check it, and queue the request."""
        llhttp = self._llhttp
        headers = self._headers
        limits = self._limits
        if len(headers) + self._repeated > limits.header_count:
            self._fail(_head_too_large(limits))
        # Only a head that did not come in one small piece can be too large.
        if not (self._begun_here and self._fed <= limits.header_bytes) and _size(headers) > limits.header_bytes:
            self._fail(_head_too_large(limits))
        if b"host" not in headers:
            self._fail(malformed("a request names its Host"))
        path, question, query = self._url.partition(b"?")
        method = llhttp.get_method()
        if path[:1] != b"/" or b"#" in self._url:
            path, query = self._unusual_target(method, path, query if question else b"")
        keep_alive = llhttp.should_keep_alive()
        request = HttpRequest(method, path, query, headers, keep_alive)
        # By its default a connection stays open in HTTP/1.1 alone, and asking for the version makes a string.
        if not keep_alive or b"connection" in headers:
            version = llhttp.get_http_version()
            if version != "1.1":
                if version != "1.0":
                    self._fail(HttpError(505, "http_version", f"HTTP/1.1 is spoken here, not HTTP/{version}"))
                request.http_1_0 = True
        if b"content-length" in headers:
            request.length = int(headers[b"content-length"])
        elif b"transfer-encoding" in headers:
            if request.http_1_0:
                self._fail(malformed("HTTP/1.0 knows no Transfer-Encoding"))
            if headers[b"transfer-encoding"].strip().lower() != b"chunked":
                self._fail(HttpError(501, "transfer_encoding", "the only Transfer-Encoding here is chunked"))
            request.length = None
            self._framing = 0
        if llhttp.should_upgrade():
            # llhttp now takes the body, if there is one, for the first bytes of the other protocol.
            request.upgrade = True
            request.keep_alive = False
            if request.length != 0:
                self._fail(malformed("a request to upgrade the connection has no body"))
        self._in_body = True
        # Trailers arrive as headers. They may not change what the head said, and nobody asks for one.
        self._headers = {}
        self._request = request
        self.requests.append(request)

    def on_body(self, chunk: bytes) -> None:
        """A part of the body."""
        request = self._request
        assert request is not None
        request.size += len(chunk)
        request.chunks.append(chunk)

    def on_message_complete(self) -> None:
        """The request is complete."""
        request = self._request
        assert request is not None
        request.complete = True
        self._ended_here = True
        self._request = None
        self.in_message = False
        self._in_body = False

    def _unusual_target(self, method: bytes, path: bytes, query: bytes) -> tuple[bytes, bytes]:
        """Targets other than `/path?query` (RFC 9112 3.2): the absolute form, and `*` for OPTIONS."""
        if method == b"CONNECT":
            self._fail(HttpError(501, "not_a_proxy", "this is no proxy"))
        if path == b"*" and method == b"OPTIONS":
            return path, query
        scheme, separator, rest = path.partition(b"://")
        authority, slash, tail = rest.partition(b"/")
        if b"#" in self._url or not separator or scheme.lower() != b"http":
            self._fail(malformed("a target is a path that begins with '/'"))
        if authority.lower() != self._headers[b"host"].strip().lower():
            self._fail(malformed("the target and the Host header name different hosts"))
        return slash + tail or b"/", query

    def _fail(self, error: HttpError) -> None:
        error.close = True
        self.failure = error
        raise _Stop


def _size(headers: dict[bytes, bytes]) -> int:
    return sum(map(len, headers)) + sum(map(len, headers.values())) + _HEADER_EXTRA * len(headers)


def _head_too_large(limits: Limits) -> HttpError:
    message = f"a head has at most {limits.header_count} headers and {limits.header_bytes} bytes"
    return HttpError(431, "headers_too_large", message, close=True)
