"""One client's connection: bytes in, answers out, in order, each phase with its deadline.

Everything happens in the connection's own task: reading, the handlers one after the other, writing. What one read
brought is answered with one write. The deadline is an attribute that the server's sweep compares with the time; when
it has passed, the sweep cancels the connection's one cancel scope, and the phase says what that means to the client.
"""

from __future__ import annotations

import contextlib
import enum
import socket
import time
import types
from collections.abc import Coroutine, Generator
from functools import partial
from math import inf
from typing import TYPE_CHECKING, Any

import trio

from actors.edge.admission import Admission, admit, check_size
from actors.edge.call import BodyStream, Call
from actors.edge.errors import HttpError, from_refused, from_unknown, malformed
from actors.edge.limits import READ_BYTES
from actors.edge.outgoing import Gone, Outgoing
from actors.edge.parser import HttpRequest, RequestParser
from actors.edge.responses import CONTINUE, LAST_CHUNK, StreamingResponse, chunk
from actors.edge.routing import Endpoint
from actors.edge.upgrade import ending_of, handshake
from actors.edge.websocket import FAILED, GOING_AWAY, NORMAL, WebSocket
from protocols.control import Refused, Unknown

if TYPE_CHECKING:
    from actors.edge.server import Server

_WRITE_BYTES = 131_072
"""Answers are joined up to about this size before they are written."""


class Phase(enum.Enum):
    """What the connection waits for, which is what its deadline is about."""

    IDLE = "idle"
    HEAD = "head"
    BODY = "body"
    HANDLER = "handler"
    WRITE = "write"
    OPEN = "open"


class Connection:
    """See the module."""

    __slots__ = (
        "_admission",
        "_asked",
        "_body_since",
        "_client",
        "_current",
        "_expired",
        "_fd",
        "_out",
        "_parser",
        "_readiness",
        "_scope",
        "_server",
        "_sock",
        "_unread",
        "deadline",
        "phase",
        "websocket",
    )

    def __init__(self, server: Server, sock: socket.socket, client: str) -> None:
        self._server = server
        self._sock = sock
        self._fd = sock.fileno()
        self._client = client
        self._readiness = server.readiness
        self._parser = RequestParser(server.limits)
        self._out = Outgoing(sock, server.heads, server.figures)
        self._admission: Admission | None = None
        self._current: HttpRequest | None = None
        self._scope = trio.CancelScope()
        self._asked = False
        self._expired = False
        self._unread = False
        self._body_since = 0.0
        self.phase = Phase.IDLE
        self.deadline = server.pulse.now + server.limits.header_s
        self.websocket: WebSocket | None = None

    @property
    def client(self) -> str:
        """The client's address."""
        return self._client

    async def run(self) -> None:
        """Serve the connection to its end. Lets nothing out but a cancellation from outside."""
        server = self._server
        try:
            self._readiness.add(self._fd)
            with self._scope:
                await self._converse()
            if self._expired and self._scope.cancelled_caught:
                self._say_expired()
            if self._unread:
                await self._linger()
        except (Gone, OSError):
            pass  # nobody is left to tell
        except Exception:
            server.logger.exception("the edge failed to serve a connection", client=self._client)
        finally:
            trio.lowlevel.notify_closing(self._fd)
            self._readiness.remove(self._fd)
            self._sock.close()
            server.forget(self)

    def expire(self) -> None:
        """The deadline has passed."""
        self._expired = True
        self._scope.cancel()

    def drain(self) -> None:
        """Finish what is begun and accept nothing more."""
        self._out.closing = True
        if self.websocket is not None:
            self.websocket.close_soon(GOING_AWAY, "the server stops")
        elif self.phase is Phase.IDLE and not self._has_input():
            self._scope.cancel()

    def _has_input(self) -> bool:
        try:
            return bool(self._sock.recv(1, socket.MSG_PEEK))
        except OSError:
            return False

    # The conversation.

    async def _converse(self) -> None:
        parser = self._parser
        requests = parser.requests
        while True:
            if parser.pending:
                await trio.lowlevel.checkpoint()
                parser.resume()
            else:
                self._set_read_deadline()
                if not await self._read():
                    if parser.in_message:
                        self._out.put_error(malformed("the request ends in the middle"), None)
                        await self._flush()
                    return
            while requests:
                request = requests[0]
                admission = self._prepare(request)
                if admission is not None:
                    await self._answer(request, admission)
                elif requests and requests[0] is request:
                    break  # it has to grow first
                if self._unread or not (request.keep_alive and request.complete) or self._out.closing:
                    await self._flush()
                    self._unread = self._unread or not request.complete or bool(requests)
                    return
                if self._out.size > _WRITE_BYTES:
                    await self._flush()
            if parser.failure is not None:
                self._out.put_error(parser.failure, None)
                await self._flush()
                self._unread = True
                return
            if self._out.queue and (rest := self._out.write_now()):
                await self._write_all(rest)

    def _prepare(self, request: HttpRequest) -> Admission | None:
        """Take the oldest request off the queue if it can be answered now; None: it was refused, or has to grow."""
        self._current = request
        admission = self._admission
        try:
            if admission is None:
                admission = admit(self._server, request)
            check_size(request, admission[0], self._server.limits)
            if not (request.complete or admission[0].binding.streams):
                if self._admission is None and self._parser.failure is None:
                    self._admission = admission
                    self._expect(request)
                return None
        except HttpError as error:
            self._admission = admission = None
            self.phase = Phase.HANDLER  # so that the time until the next request is counted from here
            error.flagged = self._server.router.flagged(request.path)
            self._out.put_error(error, request)
            self._unread = error.close or not request.complete
        self._admission = None
        self._parser.requests.popleft()
        return admission

    def _expect(self, request: HttpRequest) -> None:
        """Ask for the body of a client that waits to be asked (RFC 9110 10.1.1). Raises HttpError 417."""
        expectation = request.headers.get(b"expect")
        if expectation is None or request.http_1_0:
            return
        if expectation.strip().lower() != b"100-continue":
            raise HttpError(417, "expectation", "the only expectation here is 100-continue", close=True)
        if not request.size:
            self._out.queue.append(CONTINUE)

    async def _answer(self, request: HttpRequest, admission: Admission) -> None:
        server = self._server
        endpoint, params, principal = admission
        route = endpoint.route
        binding = endpoint.binding
        call = Call(server.node, server.router, route, request.headers, self._client, params, principal)
        if route.websocket:
            await self._serve_websocket(request, endpoint, call)
            return
        self.phase = Phase.HANDLER
        self.deadline = server.pulse.now + (route.timeout_s or server.limits.request_s)
        begun = time.perf_counter()
        try:
            stream = None
            if binding.streams:
                self._asked = request.complete
                stream = BodyStream(partial(self._next_piece, request, endpoint))
            answer = route.handler(*binding.arguments(request, call, stream))
            result = await (self._await_writing(answer) if self._out.queue else answer)
            if type(result) is StreamingResponse:
                await self._stream(result, request)
            else:
                self._out.put(result, request, route.status)
            endpoint.answers += 1
        except HttpError as error:
            self._fail(error, request, endpoint)
        except Refused as refused:
            self._fail(from_refused(refused), request, endpoint)
        except Unknown as unknown:
            self._fail(from_unknown(unknown), request, endpoint)
        except Gone:
            raise
        except Exception:
            server.logger.exception("a handler crashed", method=route.method, route=route.path, client=self._client)
            self._fail(HttpError(500, "internal", "the server failed to answer; its log says why"), request, endpoint)
        endpoint.times.observe(time.perf_counter() - begun)

    def _fail(self, error: HttpError, request: HttpRequest, endpoint: Endpoint) -> None:
        endpoint.failures += 1
        error.flagged = self._server.router.flagged(request.path)
        self._out.put_error(error, request)
        self._unread = error.close or not request.complete

    @types.coroutine
    def _await_writing(self, answer: Coroutine[Any, Any, Any]) -> Generator[Any, Any, Any]:
        """Await a handler, but write the answers before it out first if it turns out to wait."""
        try:
            trap = answer.send(None)
        except StopIteration as done:
            return done.value
        with contextlib.suppress(Gone):  # the handler is in the middle of something; the next write will notice
            self._out.write_now()
        while True:
            try:
                value = yield trap
            except BaseException as error:
                step = partial(answer.throw, error)
            else:
                step = partial(answer.send, value)
            try:
                trap = step()
            except StopIteration as done:
                return done.value

    # Reading.

    async def _read(self) -> bool:
        """Take in what comes next; False at the end of the stream."""
        while True:
            await self._readiness.wait(self._fd)
            try:
                data = self._sock.recv(READ_BYTES)
            except BlockingIOError:
                continue
            if not data:
                return False
            if len(data) == READ_BYTES:
                self._readiness.again(self._fd)
            self._parser.feed(data)
            return True

    def _set_read_deadline(self) -> None:
        parser = self._parser
        limits = self._server.limits
        now = self._server.pulse.now
        if parser.in_message:
            request = parser.requests[0] if parser.requests else None
            if request is None:
                if self.phase is not Phase.HEAD:
                    self.phase = Phase.HEAD
                    self.deadline = now + limits.header_s
                return
            self._set_body_deadline(request)
        elif self.phase is not Phase.IDLE:
            self.phase = Phase.IDLE
            self.deadline = now + limits.keep_alive_s

    def _set_body_deadline(self, request: HttpRequest) -> None:
        limits = self._server.limits
        if self.phase is not Phase.BODY:
            self.phase = Phase.BODY
            self._body_since = self._server.pulse.now
        self.deadline = self._body_since + limits.body_s + request.size / limits.body_rate

    async def _next_piece(self, request: HttpRequest, endpoint: Endpoint) -> bytes:
        """The next piece of a body as it comes; empty, for as often as it is asked, at its end."""
        limits = self._server.limits
        while True:
            check_size(request, endpoint, limits)
            if request.chunks or request.complete:
                piece = request.body
                request.chunks.clear()
                self.phase = Phase.HANDLER
                self.deadline = self._server.pulse.now + (endpoint.route.timeout_s or limits.request_s)
                return piece
            if self._parser.failure is not None:
                raise self._parser.failure
            if not self._asked:
                self._asked = True
                self._expect(request)
                await self._flush()
            if self.phase is Phase.HANDLER:
                # The handler's own time between two pieces is not the client's.
                self.phase = Phase.BODY
                self._body_since = self._server.pulse.now - request.size / limits.body_rate
            self._set_body_deadline(request)
            if not await self._read():
                raise malformed("the body ends in the middle")

    # Writing.

    async def _flush(self) -> None:
        rest = self._out.write_now()
        if rest:
            await self._write_all(rest)

    async def _write_all(self, data: bytes) -> None:
        limits = self._server.limits
        self._out.queue.clear()
        self._out.size = 0
        self.phase = Phase.WRITE
        since = self._server.pulse.now
        sent = 0
        view = memoryview(data)
        while sent < len(data):
            self.deadline = since + limits.write_s + sent / limits.write_rate
            await trio.lowlevel.wait_writable(self._fd)
            try:
                sent += self._sock.send(view[sent : sent + _WRITE_BYTES])
            except BlockingIOError:
                continue
            except OSError:
                raise Gone from None

    async def _stream(self, result: StreamingResponse, request: HttpRequest) -> None:
        chunked = self._out.put_stream_head(result, request)
        pieces = aiter(result.chunks)
        sent = 0
        try:
            await self._flush()
            if request.method == b"HEAD":
                return
            self.phase, self.deadline = Phase.HANDLER, inf
            async for piece in pieces:
                if piece:
                    sent += len(piece)
                    self._out.queue.append(chunk(piece) if chunked else piece)
                    await self._flush()
                    self.phase, self.deadline = Phase.HANDLER, inf
        except Gone:
            raise
        except Exception:
            self._server.logger.exception("a streaming answer crashed", client=self._client, path=self._path())
            raise Gone from None
        finally:
            close = getattr(pieces, "aclose", None)
            if close is not None:
                await close()
        if chunked:
            self._out.queue.append(LAST_CHUNK)
        elif result.length not in (None, sent):
            self._server.logger.error("a stream has another length than it said", path=self._path(), bytes=sent)
            raise Gone

    # The end.

    def _say_expired(self) -> None:
        """Tell the client, if it is there to listen, whose fault it was."""
        server = self._server
        server.figures.expired += 1
        if self.phase in (Phase.HEAD, Phase.BODY):
            error = HttpError(408, "too_slow", "the request did not arrive in time", close=True)
        elif self.phase is Phase.HANDLER and self.deadline != inf:
            server.logger.warning("a request took too long", client=self._client, path=self._path())
            error = HttpError(504, "timed_out", "the request took too long; whether it was performed is unknown")
        else:
            return
        error.flagged = self._current is not None and server.router.flagged(self._current.path)
        self._out.put_error(error, None)
        self._out.write_now()
        self._unread = True

    def _path(self) -> str:
        return "" if self._current is None else self._current.path.decode("latin-1")

    async def _linger(self) -> None:
        """Read what still comes and drop it: closing now would reset the connection and with it the last answer."""
        self._sock.shutdown(socket.SHUT_WR)
        with trio.move_on_after(self._server.limits.linger_s):
            await self._readiness.drop(self._sock)

    async def _serve_websocket(self, request: HttpRequest, endpoint: Endpoint, call: Call) -> None:
        server = self._server
        route = endpoint.route
        opened = WebSocket(self._sock, server.limits, server.pulse, server.figures, server.readiness, server.spawn)
        try:
            arguments = endpoint.binding.arguments(request, call, opened)
        except HttpError as error:
            error.close = True
            self._fail(error, request, endpoint)
            return
        self._out.queue.append(handshake(request))
        await self._flush()
        opened.start(self._parser.rest)
        self._parser.rest = b""
        self.phase, self.deadline = Phase.OPEN, inf
        self.websocket = opened
        server.figures.websockets += 1
        if self._out.closing:
            opened.close_soon(GOING_AWAY, "the server stops")
        code, reason = NORMAL, ""
        begun = time.perf_counter()
        try:
            await route.handler(*arguments)
        except Exception as error:
            code, reason = ending_of(error)
            if code == FAILED and not isinstance(error, Unknown):
                server.logger.exception("a handler crashed", method="WS", route=route.path, client=self._client)
        endpoint.answers += 1
        endpoint.failures += code != NORMAL
        endpoint.times.observe(time.perf_counter() - begun)
        await opened.finish(code, reason)
