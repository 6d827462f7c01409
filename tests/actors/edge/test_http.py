from __future__ import annotations

import gc
from collections.abc import AsyncIterator
from email.utils import parsedate_to_datetime
from pathlib import Path

import msgspec
import pytest
import trio
import trio.testing

from actors.edge.auth import Guard
from actors.edge.call import BodyStream, Call
from actors.edge.errors import HttpError
from actors.edge.limits import Limits
from actors.edge.responses import Response, StreamingResponse, json_response
from actors.edge.routing import Router, delete, get, post, put, websocket
from actors.edge.server import Server
from actors.edge.websocket import WebSocket
from protocols.control import Refused, Unknown
from tests.actors.edge.harness import AUTHORIZED, TOKEN, Served, connected, once, request, serving, upgrade


class Sum(msgspec.Struct):
    a: int
    b: int = 0


class Total(msgspec.Struct):
    total: int
    principal: str = ""


async def add(request: Sum, call: Call) -> Total:
    return Total(request.a + request.b, call.principal)


async def path_of(call: Call) -> dict[str, str]:
    return call.path_params


async def nothing(call: Call) -> None: ...


ROUTES = [get("/add", add), post("/add", add, token=False), get("/x/{one}", path_of), put("/nothing", nothing)]


async def test_a_typed_request_gets_a_typed_answer() -> None:
    async with serving(ROUTES) as served, connected(served) as client:
        answer = await client.ask("POST", "/add", b'{"a": 2, "b": 3}')
        assert (answer.status, answer.json()) == (200, {"total": 5, "principal": "anybody"})
        assert answer.headers["content-type"] == "application/json"
        assert answer.headers["x-content-type-options"] == "nosniff"
        assert parsedate_to_datetime(answer.headers["date"]).tzinfo is not None
        assert (await client.ask("GET", "/add?a=1&b=1")).json()["total"] == 2
        assert (await client.ask("GET", "/x/y%20z")).json() == {"one": "y z"}


async def test_a_bad_request_is_told_which_field_is_bad_and_the_connection_lives_on() -> None:
    async with serving(ROUTES) as served, connected(served) as client:
        answer = await client.ask("POST", "/add", b'{"a": "x"}')
        assert answer.status == 400
        error = answer.json()["error"]
        assert (error["code"], error["field"]) == ("invalid", "a")
        assert "Expected `int`, got `str`" in error["message"]
        assert (await client.ask("POST", "/add", b'{"a": 1}')).status == 200


async def test_unknown_paths_and_methods_are_refused_and_the_connection_lives_on() -> None:
    async with serving(ROUTES) as served, connected(served) as client:
        assert (await client.ask("GET", "/nosuch")).code == "not_found"
        refused = await client.ask("DELETE", "/add")
        assert (refused.status, refused.headers["allow"]) == (405, "GET, HEAD, OPTIONS, POST")
        options = await client.ask("OPTIONS", "/add")
        assert (options.status, options.headers["allow"], options.body) == (204, "GET, HEAD, OPTIONS, POST", b"")
        assert (await client.ask("OPTIONS", "*")).status == 204
        assert (await client.ask("GET", "/add?a=1")).status == 200


async def test_head_is_get_without_the_body() -> None:
    async with serving(ROUTES) as served, connected(served) as client:
        whole = await client.ask("GET", "/add?a=1")
        head = await client.ask("HEAD", "/add?a=1")
        assert head.headers["content-length"] == str(len(whole.body))
        assert (await client.ask("HEAD", "/nosuch")).status == 404
        assert (await client.ask("GET", "/add?a=3")).json()["total"] == 3


async def test_no_content_has_neither_body_nor_length() -> None:
    async with serving(ROUTES) as served, connected(served) as client:
        answer = await client.ask("PUT", "/nothing", b"", AUTHORIZED)
        assert answer.status == 204
        assert "content-length" not in answer.headers
        assert (await client.ask("GET", "/add?a=3")).status == 200


async def test_a_change_needs_the_token_a_host_an_origin_and_json() -> None:
    async def change(request: Sum, call: Call) -> Total:
        return Total(request.a, call.principal)

    async with serving([post("/change", change), delete("/change", nothing)]) as served, connected(served) as client:
        assert (await client.ask("POST", "/change", b'{"a":1}')).status == 401
        assert (await client.ask("POST", "/change", b'{"a":1}', "Authorization: Bearer x")).status == 401
        assert (await client.ask("POST", "/change", b'{"a":1}', AUTHORIZED)).json()["principal"] == "operator"
        assert (await client.ask("DELETE", "/change", b"", AUTHORIZED)).status == 204
        plain = await client.ask("POST", "/change", b'{"a":1}', AUTHORIZED, "Content-Type: text/plain")
        assert plain.status == 415
        assert (await client.ask("POST", "/change", b'{"a":1}', AUTHORIZED, "Origin: http://evil")).status == 403
        assert (await client.ask("POST", "/change", b'{"a":1}', AUTHORIZED, "Host: evil")).status == 403
        assert (await client.ask("GET", "/nosuch", b"", "Host: evil")).status == 403
        assert (await client.ask("GET", "/nosuch", b"", "Origin: null")).status == 403


async def test_with_authentication_always_nothing_is_told_without_the_token_not_even_what_exists() -> None:
    guard = Guard(TOKEN, always=True)
    async with serving(ROUTES, guard=guard) as served, connected(served) as client:
        assert (await client.ask("GET", "/add?a=1")).status == 401
        assert (await client.ask("GET", "/nosuch")).status == 401
        assert (await client.ask("GET", "/add?a=1", b"", AUTHORIZED)).status == 200


async def test_outcomes_of_actors_become_statuses() -> None:
    async def refuse(call: Call) -> None:
        raise Refused(call.path_params["code"], "because", "x")

    async def unknown(call: Call) -> None:
        raise Unknown("the actor died")

    async def own(call: Call) -> None:
        raise HttpError(418, "teapot", "short and stout", "pot", headers=(("x-pot", "1"),))

    expected = {
        "not_found": 404,
        "invalid": 400,
        "already_started": 409,
        "mailbox_full": 503,
        "stopped": 503,
        "odd": 409,
    }
    async with serving([get("/r/{code}", refuse), get("/u", unknown), get("/o", own)]) as served:
        async with connected(served) as client:
            for code, status in expected.items():
                answer = await client.ask("GET", f"/r/{code}")
                assert answer.status == status
                assert answer.json() == {"error": {"code": code, "message": "because", "field": "x"}}
                assert ("retry-after" in answer.headers) == (status == 503)
            assert ((answer := await client.ask("GET", "/u")).status, answer.code) == (504, "unknown")
            answer = await client.ask("GET", "/o")
            assert (answer.status, answer.code, answer.headers["x-pot"]) == (418, "teapot", "1")
        assert served.log == []


async def test_a_crash_of_a_handler_is_in_the_log_and_not_in_the_answer() -> None:
    async def crash(call: Call) -> None:
        raise ValueError("secret detail")

    async def unencodable(call: Call) -> object:
        return object()

    async with serving([get("/crash", crash), get("/odd", unencodable)]) as served, connected(served) as client:
        for path in ("/crash", "/odd"):
            answer = await client.ask("GET", path)
            assert (answer.status, answer.code) == (500, "internal")
            assert b"secret" not in answer.body
        assert [line["route"] for line in served.log] == ["/crash", "/odd"]
        assert served.server.figures.failed == 2


async def test_a_handler_may_shape_its_answer() -> None:
    async def page(call: Call) -> Response:
        return Response(201, b"<p>", "text/html", (("x-a", "b"),))

    async def made(call: Call) -> Response:
        return json_response({"a": 1}, 202)

    async def splitting(call: Call) -> Response:
        return Response(headers=(("x-a", "b\r\nset-cookie: c"),))

    routes = [get("/page", page), get("/made", made), get("/split", splitting), get("/status", add, status=203)]
    async with serving(routes) as served, connected(served) as client:
        answer = await client.ask("GET", "/page")
        assert (answer.status, answer.body) == (201, b"<p>")
        assert (answer.headers["content-type"], answer.headers["x-a"]) == ("text/html", "b")
        answer = await client.ask("GET", "/made")
        assert (answer.status, answer.json()) == (202, {"a": 1})
        assert (await client.ask("GET", "/split")).status == 500
        assert (await client.ask("GET", "/status?a=1")).status == 203


async def test_pipelined_requests_are_answered_in_order_also_when_the_first_takes_longest() -> None:
    gate = trio.Event()

    async def wait(call: Call) -> str:
        await gate.wait()
        return "slow"

    async with serving([*ROUTES, get("/wait", wait)]) as served, connected(served) as client:
        many = b"".join(request("GET", f"/add?a={number}") for number in range(40))
        await client.send(request("GET", "/add?a=100") + request("GET", "/wait") + many)
        assert (await client.answer()).json()["total"] == 100  # not held back by what waits behind it
        gate.set()
        assert (await client.answer()).json() == "slow"
        assert [(await client.answer()).json()["total"] for _ in range(40)] == list(range(40))


async def test_pipelined_bodies_do_not_run_into_one_another() -> None:
    chunked = (
        b"POST /add HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\nTransfer-Encoding: chunked\r\n\r\n"
    )
    chunked += b'4\r\n{"a"\r\n3\r\n:7}\r\n0\r\nX-Trailer: 1\r\n\r\n'
    stream = request("POST", "/add", b'{"a": 1}') + chunked + request("GET", "/add?a=2") + chunked
    async with serving(ROUTES) as served:
        for size in (1, 7, 64, len(stream)):
            async with connected(served) as client:
                for at in range(0, len(stream), size):
                    await client.send(stream[at : at + size])
                assert [(await client.answer()).json()["total"] for _ in range(4)] == [1, 7, 2, 7]


async def test_the_connection_stays_open_unless_either_side_says_otherwise() -> None:
    async with serving(ROUTES) as served:
        async with connected(served) as client:
            answer = await client.ask("GET", "/add?a=1", b"", "Connection: close")
            assert answer.headers["connection"] == "close"
            assert await client.is_closed()
        async with connected(served) as client:
            await client.send(b"GET /add?a=1 HTTP/1.0\r\nHost: localhost\r\n\r\n")
            assert (await client.answer()).headers["connection"] == "close"
            assert await client.is_closed()
        async with connected(served) as client:
            old = b"GET /add?a=1 HTTP/1.0\r\nHost: localhost\r\nConnection: keep-alive\r\n\r\n"
            for _ in range(2):
                await client.send(old)
                assert (await client.answer()).headers["connection"] == "keep-alive"


async def test_what_follows_a_request_to_close_is_not_served() -> None:
    seen: list[str] = []

    async def note(call: Call) -> None:
        seen.append(call.path_params["one"])

    async with serving([get("/n/{one}", note)]) as served, connected(served) as client:
        await client.send(request("GET", "/n/1", b"", "Connection: close") + request("GET", "/n/2"))
        assert (await client.answer()).status == 204
        assert await client.is_closed()
        assert seen == ["1"]


async def test_a_client_that_has_finished_sending_still_gets_its_answers() -> None:
    async with serving(ROUTES) as served, connected(served) as client:
        await client.send(request("GET", "/add?a=1") + request("GET", "/add?a=2"))
        await client.end()
        assert [(await client.answer()).json()["total"] for _ in range(2)] == [1, 2]
        assert await client.is_closed()


@pytest.mark.parametrize("part", [b"GET /add", b"POST /add HTTP/1.1\r\nHost: localhost\r\nContent-Length: 9\r\n\r\n{"])
async def test_a_request_that_ends_in_the_middle_is_refused(part: bytes) -> None:
    async with serving([post("/add", add, token=False)]) as served, connected(served) as client:
        if part.startswith(b"POST"):
            part = part.replace(b"Host", b"Content-Type: application/json\r\nHost")
        await client.send(part)
        await client.end()
        assert (await client.answer()).code == "malformed_request"
        assert await client.is_closed()


async def test_a_client_that_resets_in_the_middle_disturbs_nobody() -> None:
    async with serving(ROUTES) as served:
        for part in (b"", b"GET /add", request("GET", "/add?a=1") * 50, b"POST /add HTTP/1.1\r\nHost: x\r\n"):
            async with connected(served) as client:
                client.stream.setsockopt(1, 13, b"\x01\x00\x00\x00\x00\x00\x00\x00")  # SO_LINGER 0: close by reset
                if part:
                    await client.send(part)
        assert (await once(served, "GET", "/add?a=1")).status == 200
        assert served.log == []


# Expect: 100-continue.


async def test_a_client_that_waits_to_be_asked_for_its_body_is_asked_once() -> None:
    async with serving(ROUTES) as served, connected(served) as client:
        head, body = request("POST", "/add", b'{"a":5}', "Expect: 100-continue").split(b"\r\n\r\n")
        await client.send(head + b"\r\n\r\n")
        assert (await client.answer()).status == 100
        await client.send(body)
        assert (await client.answer()).json()["total"] == 5
        await client.send(head + b"\r\n\r\n" + body)  # did not wait, so it is not asked
        assert (await client.answer()).status == 200


async def test_a_client_that_waits_to_be_asked_is_refused_without_sending_its_body() -> None:
    guard = Guard(TOKEN)
    cases = [
        (request("POST", "/nosuch", b"", "Expect: 100-continue", "Content-Length: 9"), 404),
        (request("POST", "/change", b"", "Expect: 100-continue", "Content-Length: 9"), 401),
        (request("POST", "/add", b"", "Expect: 100-continue", "Content-Length: 99999"), 413),
        (request("POST", "/add", b"", "Expect: 200-ok", "Content-Length: 9"), 417),
        (request("POST", "/add", b"", "Expect: 100-continue", "Content-Length: 9", "Content-Type: text/plain"), 415),
    ]
    async with serving([*ROUTES, post("/change", add)], Limits(body_bytes=1000), guard) as served:
        for head, status in cases:
            async with connected(served) as client:
                await client.send(head)
                answer = await client.answer()
                assert (answer.status, answer.headers["connection"]) == (status, "close")
                await client.end()
                assert await client.is_closed()


# Streams.


async def test_a_streaming_answer_arrives_piece_by_piece() -> None:
    gate = trio.Event()

    async def pieces() -> AsyncIterator[bytes]:
        yield b"one"
        yield b""
        await gate.wait()
        yield b"two" * 100_000

    async def stream(call: Call) -> StreamingResponse:
        return StreamingResponse(pieces(), content_type="text/plain")

    async with serving([*ROUTES, get("/stream", stream)]) as served, connected(served) as client:
        await client.send(request("GET", "/stream"))
        assert b"transfer-encoding: chunked" in await client.until(b"\r\n\r\n")
        assert await client.until(b"one\r\n") == b"3\r\none\r\n"
        gate.set()
        await client.until(b"0\r\n\r\n")
        assert (await client.ask("GET", "/add?a=1")).status == 200
        assert (await client.ask("GET", "/stream")).body == b"one" + b"two" * 100_000
        assert "content-length" not in (await client.ask("HEAD", "/stream")).headers
        await client.send(b"GET /stream HTTP/1.0\r\nHost: localhost\r\n\r\n")
        assert (await client.answer()).body == b"one" + b"two" * 100_000


async def test_a_stream_of_known_length_is_not_chunked_and_one_that_lies_is_cut() -> None:
    async def pieces() -> AsyncIterator[bytes]:
        yield b"abc"

    async def honest(call: Call) -> StreamingResponse:
        return StreamingResponse(pieces(), length=3)

    async def lying(call: Call) -> StreamingResponse:
        return StreamingResponse(pieces(), length=5)

    async with serving([get("/honest", honest), get("/lying", lying)]) as served, connected(served) as client:
        answer = await client.ask("GET", "/honest")
        assert (answer.headers["content-length"], answer.body) == ("3", b"abc")
        await client.send(request("GET", "/lying"))
        assert (await client.rest()).endswith(b"\r\n\r\nabc")
        assert len(served.log) == 1


async def test_a_stream_that_crashes_is_cut_so_that_nobody_takes_it_for_whole() -> None:
    closed = trio.Event()

    async def pieces() -> AsyncIterator[bytes]:
        try:
            yield b"abc"
            raise ValueError
        finally:
            closed.set()

    async def stream(call: Call) -> StreamingResponse:
        return StreamingResponse(pieces())

    async with serving([get("/stream", stream)]) as served, connected(served) as client:
        await client.send(request("GET", "/stream"))
        assert (await client.rest()).endswith(b"3\r\nabc\r\n")
        assert closed.is_set()
        assert len(served.log) == 1


async def test_a_stream_ends_when_its_reader_goes_away() -> None:
    closed = trio.Event()

    async def pieces() -> AsyncIterator[bytes]:
        try:
            while True:
                yield b"x" * 10_000
                await trio.lowlevel.checkpoint()
        finally:
            closed.set()

    async def stream(call: Call) -> StreamingResponse:
        return StreamingResponse(pieces())

    async with serving([get("/stream", stream)]) as served:
        async with connected(served) as client:
            await client.send(request("GET", "/stream"))
            await client.until(b"xxx")
        await closed.wait()
        assert served.log == []


async def test_a_streaming_request_is_handled_while_it_arrives() -> None:
    pieces: list[bytes] = []
    seen = trio.Event()

    async def take(request: Sum, body: BodyStream, call: Call) -> Total:
        async for piece in body:
            pieces.append(piece)
            seen.set()
        assert await body.read() == b""
        return Total(sum(map(len, pieces)) + request.a)

    routes = [*ROUTES, post("/take", take, token=False, body_bytes=1_000_000)]
    async with serving(routes) as served, connected(served) as client:
        head = request("POST", "/take?a=1", b"", "Content-Type: text/csv", "Content-Length: 300003")
        await client.send(head + b"abc")
        await seen.wait()
        assert pieces == [b"abc"]
        await client.send(b"x" * 300_000 + request("GET", "/add?a=9"))
        assert (await client.answer()).json()["total"] == 300_004
        assert (await client.answer()).json()["total"] == 9


async def test_a_streamed_body_obeys_its_limit_and_may_be_left_unread() -> None:
    async def take(body: BodyStream, call: Call) -> Total:
        return Total(len(await body.read()))

    async def ignore(body: BodyStream, call: Call) -> Total:
        return Total(-1)

    routes = [post("/take", take, token=False, body_bytes=10), post("/ignore", ignore, token=False)]
    async with serving(routes) as served:
        for chunked in (request("POST", "/take", b"", "Transfer-Encoding: chunked") + b"b\r\n01234567890\r\n",):
            async with connected(served) as client:
                await client.send(chunked)
                assert (await client.answer()).status == 413
                await client.end()
                assert await client.is_closed()
        async with connected(served) as client:
            await client.send(request("POST", "/ignore", b"", "Content-Length: 100") + b"x")
            answer = await client.answer()
            assert (answer.json()["total"], answer.headers["connection"]) == (-1, "close")
        async with connected(served) as client:
            await client.send(request("POST", "/take", b"", "Content-Length: 5") + b"x")
            await client.end()
            assert (await client.answer()).code == "malformed_request"


async def test_a_stream_asks_for_the_body_only_when_it_is_read() -> None:
    async def refuse(body: BodyStream, call: Call) -> Total:
        raise HttpError(409, "no", "not now")

    async def take(body: BodyStream, call: Call) -> Total:
        return Total(len(await body.read()))

    routes = [post("/refuse", refuse, token=False), post("/take", take, token=False)]
    async with serving(routes) as served:
        async with connected(served) as client:
            await client.send(request("POST", "/take", b"", "Content-Length: 2", "Expect: 100-continue"))
            assert (await client.answer()).status == 100
            await client.send(b"ab")
            assert (await client.answer()).json()["total"] == 2
        async with connected(served) as client:
            await client.send(request("POST", "/refuse", b"", "Content-Length: 2", "Expect: 100-continue"))
            assert (await client.answer()).status == 409


# Upgrades.


async def echo(socket: WebSocket, call: Call) -> None:
    while True:
        await socket.send(await socket.receive())


@pytest.mark.parametrize(
    ("data", "status"),
    [
        (upgrade("/ws", version="8"), 426),
        (upgrade("/ws", key="short"), 400),
        (upgrade("/ws").replace(b"Sec-WebSocket-Key", b"X-Key"), 400),
        (upgrade("/ws").replace(b"HTTP/1.1", b"HTTP/1.0"), 426),
        (upgrade("/ws").replace(b"GET", b"POST"), 405),
        (upgrade("/ws").replace(b"websocket\r\n", b"h2c\r\n"), 426),
        (upgrade("/ws").replace(b"Upgrade: websocket\r\n", b""), 426),
        (request("GET", "/ws"), 426),
        (upgrade("/add?a=1"), 400),
        (upgrade("/nosuch"), 404),
        (upgrade("/ws", "Content-Length: 5"), 400),
        (upgrade("/ws", "Transfer-Encoding: chunked"), 400),
        (upgrade("/ws", "Origin: http://evil"), 403),
        (upgrade("/secret"), 401),
    ],
)
async def test_what_is_no_bodyless_get_of_a_websocket_route_is_answered_and_closed(data: bytes, status: int) -> None:
    smuggled: list[str] = []

    async def admin(call: Call) -> None:
        smuggled.append("x")

    routes = [*ROUTES, websocket("/ws", echo), websocket("/secret", echo, token=True), get("/admin", admin)]
    async with serving(routes) as served, connected(served) as client:
        await client.send(data + request("GET", "/admin"))
        answer = await client.answer()
        assert answer.status == status
        assert "close" in answer.headers["connection"]
        await client.end()
        assert await client.is_closed()
        assert smuggled == []


async def test_another_protocol_that_is_merely_offered_is_declined_by_a_plain_answer() -> None:
    async with serving(ROUTES) as served, connected(served) as client:
        offer = ["Connection: Upgrade, HTTP2-Settings", "Upgrade: h2c", "HTTP2-Settings: AAMAAABkAAQCAAAAAAIAAAAA"]
        answer = await client.ask("GET", "/add?a=4", b"", *offer)
        assert (answer.status, answer.json()["total"], answer.headers["connection"]) == (200, 4, "close")
        assert await client.is_closed()


# Lingering over refusals, draining, disk.


async def test_a_refusal_reaches_a_client_that_is_still_sending() -> None:
    async with serving(ROUTES, Limits(body_bytes=1000)) as served, connected(served) as client:
        await client.send(request("POST", "/add", b"", "Content-Length: 1000000"))
        async with trio.open_nursery() as nursery:
            nursery.start_soon(client.send, b"x" * 1_000_000)
            answer = await client.answer()
        assert (answer.status, answer.headers["connection"]) == (413, "close")


async def start(nursery: trio.Nursery, *routes: object, limits: Limits | None = None) -> tuple[Served, trio.Event]:
    from actors.edge.routing import Router

    server = Server(Router(routes), Guard(TOKEN), limits)  # type: ignore[arg-type]
    port = server.bind("127.0.0.1", 0)
    ended = trio.Event()

    async def serve() -> None:
        await server.serve()
        ended.set()

    nursery.start_soon(serve)
    return Served(server, port, []), ended


async def test_a_drain_answers_what_is_begun_and_closes_what_is_idle() -> None:
    begun, gate = trio.Event(), trio.Event()

    async def wait(call: Call) -> str:
        begun.set()
        await gate.wait()
        return "done"

    async with trio.open_nursery() as nursery:
        served, ended = await start(nursery, get("/wait", wait), websocket("/ws", echo), *ROUTES)
        async with connected(served) as busy, connected(served) as idle, connected(served) as half:
            assert (await idle.ask("GET", "/add?a=1")).status == 200
            await half.send(b"GET /add?a=2 HT")
            await busy.send(request("GET", "/wait"))
            await begun.wait()
            nursery.start_soon(served.server.drain)
            assert await idle.is_closed()
            with pytest.raises(OSError, match="failed"):
                await trio.open_tcp_stream("127.0.0.1", served.port)
            assert not ended.is_set()
            gate.set()
            answer = await busy.answer()
            assert (answer.json(), answer.headers["connection"]) == ("done", "close")
            await half.send(b"TP/1.1\r\nHost: localhost\r\n\r\n")
            assert (await half.answer()).json()["total"] == 2
            await ended.wait()


async def test_a_drain_does_not_wait_for_ever() -> None:
    async def hang(call: Call) -> None:
        await trio.sleep_forever()

    async with trio.open_nursery() as nursery:
        served, ended = await start(nursery, get("/hang", hang), limits=Limits(drain_s=0.05))
        async with connected(served) as client:
            await client.send(request("GET", "/hang"))
            while not served.server.connections:
                await trio.lowlevel.checkpoint()
            await served.server.drain()
            await ended.wait()
            assert await client.is_closed()


async def test_a_drain_without_connections_ends_at_once() -> None:
    async with trio.open_nursery() as nursery:
        served, ended = await start(nursery)
        await trio.testing.wait_all_tasks_blocked()
        await served.server.drain()
        await ended.wait()


async def test_a_server_that_was_drained_before_it_served_ends_at_once() -> None:
    server = Server(Router([]), Guard(TOKEN))
    server.bind("127.0.0.1", 0)
    await server.drain()
    await server.serve()


async def test_what_stores_is_refused_while_the_disk_is_nearly_full(tmp_path: Path) -> None:
    routes = [post("/add", add, token=False), post("/stop", add, token=False, stores=False), get("/add", add)]
    async with serving(routes, Limits(disk_reserve_bytes=2**62), disk=tmp_path) as served, connected(served) as client:
        answer = await client.ask("POST", "/add", b'{"a":1}')
        assert (answer.status, answer.code, answer.headers["retry-after"]) == (503, "disk_full", "1")
        assert (await client.ask("POST", "/stop", b'{"a":1}')).status == 200
        assert (await client.ask("GET", "/add?a=1")).status == 200
    async with serving(routes, disk=tmp_path) as served:
        assert (await once(served, "POST", "/add", b'{"a":1}')).status == 200


async def test_a_port_that_is_taken_is_named() -> None:
    from actors.edge.routing import Router

    async with serving(ROUTES) as served:
        with pytest.raises(OSError, match=f"127.0.0.1 port {served.port}"):
            Server(Router([]), Guard(TOKEN)).bind("127.0.0.1", served.port)


async def test_connections_that_ended_leave_nothing_behind() -> None:
    from actors.edge.connection import Connection

    def alive() -> set[int]:
        gc.collect()
        return {id(each) for each in gc.get_objects() if type(each) is Connection}

    before = alive()
    async with serving(ROUTES) as served:
        for _ in range(3):
            async with connected(served) as client:
                assert (await client.ask("GET", "/add?a=1")).status == 200
        with trio.fail_after(10):
            # The tasks that served them end a moment after they are off the list.
            while served.server.connections or alive() - before:
                await trio.lowlevel.checkpoint()


async def test_a_call_knows_its_headers_and_its_client() -> None:
    async def tell(call: Call) -> list[object]:
        with pytest.raises(RuntimeError):
            call.ref("/x")
        return [call.headers.get("X-One"), call.headers.get("nosuch", "-"), "x-one" in call.headers, call.client]

    async with serving([get("/tell", tell)]) as served:
        assert (await once(served, "GET", "/tell", b"", "x-ONE:  a b ")).json() == ["a b", "-", True, "127.0.0.1"]
