from __future__ import annotations

import os
import resource
from collections.abc import AsyncIterator

import msgspec
import pytest
import trio
import trio.testing

from actors.edge.call import BodyStream, Call
from actors.edge.limits import FILES_IN_RESERVE, Limits, affordable_connections, raise_file_limit
from actors.edge.responses import Response, StreamingResponse
from actors.edge.routing import get, post
from tests.actors.edge.harness import Client, connected, once, request, serving, until

SOON = 0.05
"""A limit of time that a test waits out; everything else in the test is at its default, far away."""


class Text(msgspec.Struct):
    text: str = ""


async def size(request: Text, call: Call) -> int:
    return len(request.text)


async def hello(call: Call) -> str:
    return "hello"


ROUTES = [get("/hello", hello), post("/size", size, token=False)]


def test_a_limit_of_nothing_is_an_error_that_names_it() -> None:
    for wrong in ({"header_s": 0}, {"connections": 0}, {"body_bytes": -1}, {"websocket_ping_s": -1.0}):
        with pytest.raises(ValueError, match=next(iter(wrong))):
            Limits(**wrong)
    with pytest.raises(msgspec.ValidationError, match="header_sec"):
        msgspec.convert({"header_sec": 1}, Limits)


# Sizes.


async def test_too_large_heads_are_refused_with_431_and_targets_with_414() -> None:
    limits = Limits(header_bytes=2000, header_count=20, target_bytes=500)
    async with serving(ROUTES, limits) as served:
        assert (await once(served, "GET", "/hello", b"", "A: " + "a" * 1800)).status == 200
        for headers, status in ((["A: " + "a" * 2000], 431), ([f"A{n}: a" for n in range(20)], 431)):
            async with connected(served) as client:
                answer = await client.ask("GET", "/hello", b"", *headers)
                assert (answer.status, answer.code) == (status, "headers_too_large")
                assert answer.headers["connection"] == "close"
                await client.end()
                assert await client.is_closed()
        assert (await once(served, "GET", "/hello?" + "a" * 500)).status == 414


async def test_an_endless_head_is_refused_long_before_it_ends() -> None:
    async with serving(ROUTES, Limits(header_bytes=2000)) as served, connected(served) as client:
        await client.send(b"GET /hello HTTP/1.1\r\nHost: localhost\r\nX-Endless: ")
        async with trio.open_nursery() as nursery:
            nursery.start_soon(send_endlessly, client, b"a" * 1000)
            assert (await client.answer()).status == 431
            nursery.cancel_scope.cancel()


async def send_endlessly(client: Client, data: bytes) -> None:
    try:
        while True:
            await client.send(data)
    except trio.BrokenResourceError:
        pass


@pytest.mark.parametrize("announced", [True, False])
async def test_too_large_bodies_are_refused_with_413(announced: bool) -> None:
    async with serving([*ROUTES, post("/large", size, token=False, body_bytes=500)], Limits(body_bytes=200)) as served:
        for path, most in (("/size", 200), ("/large", 500)):
            fits = b'{"text":"' + b"a" * (most - 11) + b'"}'
            for body, status in ((fits, 200), (fits + b" ", 413)):
                async with connected(served) as client:
                    if announced:
                        await client.send(request("POST", path, body))
                    else:
                        await client.send(request("POST", path, b"", "Transfer-Encoding: chunked"))
                        for at in range(0, len(body), 50):
                            part = body[at : at + 50]
                            await client.send(b"%x\r\n%b\r\n" % (len(part), part))
                        await client.send(b"0\r\n\r\n")
                    assert (await client.answer()).status == status


async def test_an_announced_body_that_is_too_large_is_refused_before_it_is_sent() -> None:
    async with serving(ROUTES, Limits(body_bytes=200)) as served, connected(served) as client:
        await client.send(request("POST", "/size", b"", "Content-Length: 1000000000000"))
        assert (await client.answer()).status == 413


async def test_an_endless_chunked_body_is_refused_long_before_it_ends() -> None:
    async with serving(ROUTES, Limits(body_bytes=2000)) as served, connected(served) as client:
        await client.send(request("POST", "/size", b"", "Transfer-Encoding: chunked"))
        async with trio.open_nursery() as nursery:
            nursery.start_soon(send_endlessly, client, b"64\r\n" + b"a" * 100 + b"\r\n")
            assert (await client.answer()).status == 413
            nursery.cancel_scope.cancel()


# Times.


async def answers_408(client: Client) -> None:
    answer = await client.answer()
    assert (answer.status, answer.code, answer.headers["connection"]) == (408, "too_slow", "close")
    await client.end()
    assert await client.is_closed()


async def test_a_head_that_does_not_end_is_answered_408() -> None:
    async with serving(ROUTES, Limits(header_s=SOON)) as served, connected(served) as client:
        await client.send(b"GET /hello HTTP/1.1\r\nHost: loc")
        await answers_408(client)


async def drip(client: Client, data: bytes) -> None:
    """One byte at a time, each as soon as the server has nothing else to do."""
    try:
        for at in range(len(data)):
            await client.send(data[at : at + 1])
            await trio.sleep(0.005)
    except trio.BrokenResourceError:
        pass


async def test_a_head_that_drips_in_is_answered_408_however_steadily_it_drips() -> None:
    async with serving(ROUTES, Limits(header_s=SOON)) as served, connected(served) as client:
        async with trio.open_nursery() as nursery:
            nursery.start_soon(drip, client, b"GET /hello HTTP/1.1\r\nHost: localhost\r\nX-Slow: " + b"a" * 10_000)
            answer = await client.answer()
            nursery.cancel_scope.cancel()
        assert answer.status == 408


async def test_a_later_head_of_a_connection_is_bounded_like_the_first() -> None:
    async with serving(ROUTES, Limits(header_s=SOON)) as served, connected(served) as client:
        assert (await client.ask("GET", "/hello")).status == 200
        await client.send(b"GET /hel")
        await answers_408(client)


async def test_a_body_that_does_not_come_is_answered_408() -> None:
    async with serving(ROUTES, Limits(body_s=SOON)) as served, connected(served) as client:
        await client.send(request("POST", "/size", b"", "Content-Length: 10") + b"{")
        await answers_408(client)


async def test_a_body_that_drips_in_is_answered_408_and_one_that_comes_fast_enough_is_not() -> None:
    async with serving(ROUTES, Limits(body_s=SOON, body_rate=1_000_000)) as served, connected(served) as client:
        await client.send(request("POST", "/size", b"", "Content-Length: 10000"))
        async with trio.open_nursery() as nursery:
            nursery.start_soon(drip, client, b" " * 10_000)
            answer = await client.answer()
            nursery.cancel_scope.cancel()
        assert answer.status == 408
    async with serving(ROUTES, Limits(body_s=SOON, body_rate=1)) as served, connected(served) as client:
        await client.send(request("POST", "/size", b"", "Content-Length: 112"))
        await client.send(b" " * 100)  # at one byte a second that pays for far longer than this test
        await trio.sleep(SOON * 3)
        await client.send(b'{"text":"a"}')
        assert (await client.answer()).json() == 1


async def test_chunk_extensions_are_no_progress_of_a_body() -> None:
    async with serving(ROUTES, Limits(body_s=SOON)) as served, connected(served) as client:
        await client.send(request("POST", "/size", b"", "Transfer-Encoding: chunked") + b"1;")
        async with trio.open_nursery() as nursery:
            nursery.start_soon(drip, client, b"a" * 10_000)
            answer = await client.answer()
            nursery.cancel_scope.cancel()
        assert answer.status == 408


async def test_a_streamed_body_is_bounded_in_time_too() -> None:
    async def take(body: BodyStream, call: Call) -> int:
        return len(await body.read())

    async with (
        serving([post("/take", take, token=False)], Limits(body_s=SOON)) as served,
        connected(served) as client,
    ):
        await client.send(request("POST", "/take", b"", "Content-Length: 10") + b"a")
        await answers_408(client)


async def test_the_time_that_a_handler_takes_between_two_pieces_of_a_body_is_not_the_clients() -> None:
    asked = trio.Event()

    async def take(body: BodyStream, call: Call) -> int:
        total = 0
        async for piece in body:
            total += len(piece)
            if total == 1:
                await trio.sleep(0.3)
                asked.set()
        return total

    async with (
        serving([post("/take", take, token=False)], Limits(body_s=0.2)) as served,
        connected(served) as client,
    ):
        await client.send(request("POST", "/take", b"", "Content-Length: 2") + b"a")
        await asked.wait()
        await trio.sleep(0.1)
        await client.send(b"b")
        assert (await client.answer()).json() == 2


async def test_a_handler_that_does_not_return_is_cancelled_and_answered_504() -> None:
    cancelled = trio.Event()

    async def hang(call: Call) -> None:
        try:
            await trio.sleep_forever()
        finally:
            cancelled.set()

    routes = [get("/hang", hang), get("/patient", hang, timeout_s=1000.0), *ROUTES]
    async with serving(routes, Limits(request_s=SOON)) as served:
        async with connected(served) as client, connected(served) as patient:
            await patient.send(request("GET", "/patient"))
            await client.send(request("GET", "/hello") + request("GET", "/hang") + request("GET", "/hello"))
            assert (await client.answer()).json() == "hello"
            answer = await client.answer()
            assert (answer.status, answer.code, answer.headers["connection"]) == (504, "timed_out", "close")
            assert cancelled.is_set()
            await client.end()
            assert await client.is_closed()
            assert len(served.server.connections) >= 1
            assert patient.buffer == b""
        assert served.log[0]["path"] == "/hang"


async def test_an_idle_connection_is_closed_without_a_word() -> None:
    async with serving(ROUTES, Limits(keep_alive_s=SOON)) as served, connected(served) as client:
        for path in ("/hello", "/nosuch"):
            assert (await client.ask("GET", path)).headers.get("connection") is None
        assert await client.is_closed()
    async with serving(ROUTES, Limits(header_s=SOON)) as served, connected(served) as client:
        assert await client.is_closed()


async def test_a_refused_request_is_a_sign_of_life_too() -> None:
    async with serving(ROUTES, Limits(keep_alive_s=0.2, header_s=0.2)) as served, connected(served) as client:
        for _ in range(8):
            assert (await client.ask("GET", "/nosuch")).status == 404
            await trio.sleep(0.05)


async def test_blank_lines_do_not_keep_a_connection_open() -> None:
    async with (
        serving(ROUTES, Limits(header_s=SOON)) as served,
        connected(served) as client,
        trio.open_nursery() as nursery,
    ):
        nursery.start_soon(drip, client, b"\r\n" * 5_000)
        assert await client.is_closed()
        nursery.cancel_scope.cancel()


async def test_a_client_that_does_not_take_its_answer_is_cut() -> None:
    async def large(call: Call) -> Response:
        return Response(body=b"x" * 20_000_000)

    async def stream(call: Call) -> StreamingResponse:
        async def pieces() -> AsyncIterator[bytes]:
            while True:
                yield b"x" * 100_000

        return StreamingResponse(pieces())

    routes = [get("/large", large), get("/stream", stream), *ROUTES]
    async with serving(routes, Limits(write_s=SOON, write_rate=1_000_000_000)) as served:
        for count, path in enumerate(("/large", "/stream")):
            async with connected(served, receive_buffer=4096) as client:
                await client.send(request("GET", path))
                while served.server.figures.expired == count:
                    assert (await once(served, "GET", "/hello")).status == 200
                assert served.server.figures.expired == count + 1


# Numbers.


async def test_a_full_server_answers_503_and_takes_connections_again_when_one_has_ended() -> None:
    async with serving(ROUTES, Limits(connections=2)) as served:
        async with connected(served) as one, connected(served) as two:
            assert (await one.ask("GET", "/hello")).status == 200
            assert (await two.ask("GET", "/hello")).status == 200
            async with connected(served) as three:
                answer = await three.answer()
                assert (answer.status, answer.code, answer.headers["retry-after"]) == (503, "full", "1")
                assert await three.is_closed()
            assert (await one.ask("GET", "/hello")).status == 200
        await until(lambda: not served.server.connections)
        assert (await once(served, "GET", "/hello")).status == 200
        assert served.server.figures.refused_connections == 1


async def test_one_address_cannot_take_all_connections() -> None:
    async with (
        serving(ROUTES, Limits(connections=10, connections_per_address=1)) as served,
        connected(served) as client,
    ):
        assert (await client.ask("GET", "/hello")).status == 200
        assert (await once(served, "GET", "/hello")).status == 503
        other = trio.socket.socket()
        await other.bind(("127.0.0.2", 0))
        await other.connect(("127.0.0.1", served.port))
        elsewhere = Client(trio.SocketStream(other), served.port)
        assert (await elsewhere.ask("GET", "/hello")).status == 200
        other.close()


@pytest.mark.long
async def test_two_thousand_connections_are_open_and_served_at_once() -> None:
    raise_file_limit()
    most = 2_000
    async with serving(ROUTES) as served:
        clients: list[Client] = []
        answers: list[int] = []

        async def one() -> None:
            client = Client(await trio.open_tcp_stream("127.0.0.1", served.port), served.port)
            clients.append(client)
            answers.append((await client.ask("GET", "/hello")).status)

        for _ in range(most // 200):
            async with trio.open_nursery() as nursery:
                for _ in range(200):
                    nursery.start_soon(one)
        assert answers == [200] * most
        assert len(served.server.connections) == most
        async with trio.open_nursery() as nursery:
            for client in clients[::20]:
                nursery.start_soon(client.ask, "GET", "/hello")
        for client in clients:
            client.stream.socket.close()
        await until(lambda: not served.server.connections)


def test_the_file_limit_is_raised_and_connections_fit_under_it() -> None:
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (min(soft, 500), hard))
    assert raise_file_limit() == resource.getrlimit(resource.RLIMIT_NOFILE)[0] == hard
    assert affordable_connections(4096, 1024) == 1024 - FILES_IN_RESERVE
    assert affordable_connections(10, 1024) == 10


async def test_no_descriptor_left_is_survived_and_told() -> None:
    async with serving(ROUTES) as served:
        soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
        waiting = [trio.socket.socket() for _ in range(3)]
        low = os.open(os.devnull, os.O_RDONLY)
        os.close(low)  # the lowest free descriptor: from here on there is none
        resource.setrlimit(resource.RLIMIT_NOFILE, (low, hard))
        try:
            for sock in waiting:
                await sock.connect(("127.0.0.1", served.port))
            answer = await Client(trio.SocketStream(waiting[0]), served.port).answer()
            assert (answer.status, answer.headers["retry-after"]) == (503, "1")
            assert served.server.figures.accept_failures >= 1
        finally:
            resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
        for sock in waiting:
            sock.close()
        assert (await once(served, "GET", "/hello")).status == 200
        assert served.log[0]["level"] == "warning"


async def test_a_loop_that_was_held_up_does_not_cut_clients_that_are_not_to_blame() -> None:
    import time

    async def block(call: Call) -> str:
        time.sleep(0.6)  # noqa: ASYNC251 - what must not happen, happens
        return "late"

    async with (
        serving([get("/block", block), *ROUTES], Limits(keep_alive_s=0.4)) as served,
        connected(served) as idle,
        connected(served) as busy,
    ):
        assert (await idle.ask("GET", "/hello")).status == 200
        await busy.send(request("GET", "/block"))
        await idle.send(request("GET", "/hello"))
        assert (await busy.answer()).json() == "late"
        assert (await idle.answer()).json() == "hello"
        assert (await idle.ask("GET", "/hello")).status == 200
