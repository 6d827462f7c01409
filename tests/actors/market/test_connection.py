"""The socket of a venue session, against servers that behave and servers that do not."""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from email.utils import formatdate
from functools import partial

import pytest
import trio
from trio.testing import MockClock
from trio_websocket import WebSocketRequest, serve_websocket

from actors.market.connection import Connection, NotConnected
from actors.market.rest_client import CallFailed, RestClient
from actors.market.venue_clock import SECOND, VenueClock
from protocols.venues.rest import RestCall
from runtime.clock import SystemClock
from tests.actors.authority import Authority, greeting, leap
from tests.actors.authority import serving as serving_https

Handler = Callable[[WebSocketRequest], Awaitable[None]]


@asynccontextmanager
async def serving(handler: Handler) -> AsyncIterator[str]:
    async with trio.open_nursery() as nursery:
        server = await nursery.start(partial(serve_websocket, handler, "127.0.0.1", 0, ssl_context=None))
        yield f"ws://127.0.0.1:{server.port}/"
        nursery.cancel_scope.cancel()


@asynccontextmanager
async def answering(*answers: bytes) -> AsyncIterator[str]:
    """An HTTP server that gives these answers, one for each request, and then closes the connection."""
    left = list(answers)

    async def handle(stream: trio.SocketStream) -> None:
        async with stream:
            await stream.receive_some(65536)
            await stream.send_all(left.pop(0))

    async with trio.open_nursery() as nursery:
        listeners = await nursery.start(partial(trio.serve_tcp, handle, 0, host="127.0.0.1"))
        yield f"http://127.0.0.1:{listeners[0].socket.getsockname()[1]}"
        nursery.cancel_scope.cancel()


def answer(status: str, body: bytes = b"", **headers: str) -> bytes:
    lines = [f"HTTP/1.1 {status}", f"content-length: {len(body)}", "connection: close"]
    lines += [f"{name.replace('_', '-')}: {value}" for name, value in headers.items()]
    return "\r\n".join(lines).encode() + b"\r\n\r\n" + body


class Heard:
    """What a connection handed over."""

    def __init__(self) -> None:
        self.marks: list[frozenset[str]] = []
        self.frames: list[bytes] = []
        self.silences = 0

    async def opened(self, marks: frozenset[str]) -> None:
        self.marks.append(marks)

    async def frame(self, raw: bytes, ts: int) -> None:
        self.frames.append(raw)

    async def silent(self) -> None:
        self.silences += 1


async def run(
    url: str,
    heard: Heard,
    clock: VenueClock | None = None,
    silence_s: float = 5.0,
    open_s: float | None = None,
    commands: tuple[bytes, ...] = (),
) -> str:
    connection = Connection(url, SystemClock(), clock or VenueClock(), silence_s, 1000.0)
    for command in commands:
        assert connection.send(command)
    with trio.fail_after(20):
        return await connection.run(lambda ts: (), heard.opened, heard.frame, heard.silent, open_s)


async def test_frames_and_commands_pass_in_order_and_the_venues_close_is_told() -> None:
    async def handler(request: WebSocketRequest) -> None:
        socket = await request.accept(extra_headers=[(b"troupe-marks", b"synthetic, demo")])
        for _ in range(3):
            await socket.send_message("echo " + await socket.get_message())
        await socket.aclose(1012, "restart")

    heard = Heard()
    async with serving(handler) as url:
        reason = await run(url, heard, commands=(b"one", b"two", b"three"))
    assert heard.marks == [frozenset({"synthetic", "demo"})]
    assert heard.frames == [b"echo one", b"echo two", b"echo three"]
    assert "1012" in reason


async def test_a_socket_that_says_nothing_is_asked_once_and_then_left() -> None:
    async def handler(request: WebSocketRequest) -> None:
        await request.accept()
        await trio.sleep_forever()

    heard = Heard()
    async with serving(handler) as url:
        assert await run(url, heard, silence_s=0.05) == "silent for 0.1 s"
    assert heard.silences == 1


async def test_a_connection_ends_before_the_venue_would_end_it() -> None:
    async def handler(request: WebSocketRequest) -> None:
        await request.accept()
        await trio.sleep_forever()

    async with serving(handler) as url:
        assert (await run(url, Heard(), open_s=0.05)).startswith("planned")


async def test_a_refusal_tells_status_wait_and_clock() -> None:
    behind = formatdate(SystemClock().now() / SECOND - 40, usegmt=True)
    clock = VenueClock()
    async with answering(answer("429 Too Many Requests", b"slow down", retry_after="3", date=behind)) as url:
        with pytest.raises(NotConnected, match="HTTP 429 slow down") as refused:
            await run(url.replace("http", "ws"), Heard(), clock)
    assert (refused.value.status, refused.value.retry_s) == (429, 3.0)
    assert -41 * SECOND <= clock.offset <= -39 * SECOND


async def test_nobody_there_is_no_connection() -> None:
    with pytest.raises(NotConnected):
        await run("ws://127.0.0.1:1/", Heard())


async def test_an_answer_comes_back_whatever_its_status() -> None:
    async with answering(
        answer("200 OK", b"[1]"), answer("429 Too Many Requests", b"{}"), answer("503 Down", b"oh", retry_after="9")
    ) as url:
        client = RestClient(url, SystemClock(), VenueClock(), None)
        call = RestCall(purpose="depth", path="/api/v3/depth", query=(("symbol", "BTCUSDT"), ("limit", "100")))
        got = [await client.perform(call) for _ in range(3)]
        await client.aclose()
    assert [(each.status, each.body, each.retry_s) for each in got] == [
        (200, b"[1]", None),
        (429, b"{}", None),
        (503, b"oh", 9.0),
    ]


async def test_no_answer_is_one_error_that_says_why() -> None:
    client = RestClient("http://127.0.0.1:1", SystemClock(), VenueClock(), None)
    with pytest.raises(CallFailed, match="ConnectError"):
        await client.perform(RestCall(purpose="time", path="/time"))
    await client.aclose()


async def test_a_venue_whose_authority_nobody_knows_is_not_called(authority: Authority, mock_clock: MockClock) -> None:
    tls = authority.server()
    async with serving_https(tls) as url:
        client = RestClient(url, SystemClock(), VenueClock(), None)
        with pytest.raises(CallFailed, match="ConnectError"):
            await client.perform(RestCall(purpose="time", path="/time"))
        await client.aclose()
    await leap(mock_clock)
    async with greeting(tls) as server:
        with pytest.raises(NotConnected, match="ConnectionTimeout"):
            await run(server.url, Heard())
        assert server.met == 0


async def test_a_venue_whose_authority_the_user_trusts_is_called(trusted_authority: Authority) -> None:
    tls = trusted_authority.server()
    async with serving_https(tls) as url:
        client = RestClient(url, SystemClock(), VenueClock(), None)
        assert (await client.perform(RestCall(purpose="time", path="/time"))).body == b"hello"
        await client.aclose()
    heard = Heard()
    async with greeting(tls) as server:
        await run(server.url, heard)
    assert heard.frames == [b"hello"]
