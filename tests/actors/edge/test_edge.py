from __future__ import annotations

import stat
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
import trio

from actors.edge.auth import BindRefused
from actors.edge.call import Call
from actors.edge.capability import Settings, edge
from actors.edge.edge import GetEdgeAddress, load_routes
from actors.edge.limits import Limits
from actors.edge.routing import RouteError, get, post, websocket
from actors.edge.websocket import WebSocket
from protocols.control import Message, Probe, ProbeReport, Request
from protocols.paths import EDGE
from runtime import Actor, ChildSpec, Node, NodeFailed, NodeSettings, ReplicaSettings, StartChild, open_node, receive
from tests.actors.edge.harness import (
    CLOSE,
    TEXT,
    Answer,
    Served,
    connected,
    frame,
    opened,
    read_frame,
    request,
)


class Double(Request[int], frozen=True, gc=False, tag="test_edge_double"):
    number: int


class Crash(Message, frozen=True, gc=False, tag="test_edge_crash"):
    pass


class Doubler(Actor):
    @receive
    def double(self, request: Double) -> int:
        return 2 * request.number

    @receive
    def crash(self, message: Crash) -> None:
        raise ValueError


async def double(request: Double, call: Call) -> int:
    return await call.ref("/doubler").ask(request)


async def ask_nobody(call: Call) -> int:
    return await call.ref("/nobody").ask(Double(1))


async def burst(socket: WebSocket, call: Call) -> None:
    await socket.send("hello")
    while True:
        await socket.receive()


async def slow(call: Call) -> str:
    await trio.sleep(0.1)
    return "done"


own = [get("/double", double), get("/nobody", ask_nobody), post("/change", double), get("/slow", slow)]
more = [websocket("/ws", burst)]
doubled = [get("/double", ask_nobody)]
HERE = "tests.actors.edge.test_edge"


@asynccontextmanager
async def node_with(tmp_path: Path, settings: Settings, *routes: str) -> AsyncIterator[tuple[Node, Served, str]]:
    spec = edge(settings, ("actors.edge.capability:routes", *routes))
    doubler = ChildSpec(name="doubler", actor=Doubler)
    node_settings = NodeSettings(data_dir=str(tmp_path / "data"))
    async with open_node(node_settings, children=(doubler, spec)) as node:
        await node.up.wait()
        address = await node.ref(EDGE).ask(GetEdgeAddress())
        assert address.url() == f"http://127.0.0.1:{address.port}"
        token = (tmp_path / "data" / "token").read_text().strip()
        server: Any = None
        yield node, Served(server, address.port, []), token


async def ask(served: Served, method: str, target: str, body: bytes = b"", *headers: str) -> Answer:
    async with connected(served) as client:
        return await client.ask(method, target, body, *headers)


FREE = Settings(port=0)


async def test_routes_reach_actors_and_the_token_of_the_data_folder_lets_them_change_things(tmp_path: Path) -> None:
    async with node_with(tmp_path, FREE, f"{HERE}:own", f"{HERE}:more") as (_, served, token):
        assert stat.S_IMODE((tmp_path / "data" / "token").stat().st_mode) == 0o600
        assert (await ask(served, "GET", "/double?number=4")).json() == 8
        refused = await ask(served, "GET", "/nobody")
        assert refused.status in (404, 503)
        assert (await ask(served, "POST", "/change", b'{"number":1}')).status == 401
        assert (await ask(served, "POST", "/change", b'{"number":1}', f"Authorization: Bearer {token}")).json() == 2
        paths = (await ask(served, "GET", "/openapi.json")).json()["paths"]
        assert {"/double", "/change", "/ws", "/openapi.json", "/api/v1/actors"} <= set(paths)
        assert (await ask(served, "GET", "/docs")).status == 200


async def test_a_replicated_actor_is_resized_over_http(tmp_path: Path) -> None:
    spec = ChildSpec(name="many", actor=Doubler, replicas=ReplicaSettings(count=1, most=3))
    async with node_with(tmp_path, FREE, f"{HERE}:own") as (node, served, token):
        await node.ref("/").ask(StartChild(spec))
        authorized = f"Authorization: Bearer {token}"

        async def resize(path: str, body: bytes, *headers: str) -> Answer:
            return await ask(served, "POST", f"/api/v1/actors/{path}/resize", body, *headers)

        assert (await resize("many", b'{"replicas":3}')).status == 401
        done = (await resize("many", b'{"replicas":3}', authorized)).json()
        assert (done["success"], done["path"], done["actor"]["replicas"]["count"]) == (True, "/many", 3)
        assert [each["name"] for each in done["actor"]["replicas"]["replicas"]] == ["0", "1", "2"]
        assert await node.ref("/many").ask(Double(4)) == 8
        for path, body, expected in (
            ("many", b'{"replicas":4}', (400, "invalid", "replicas")),
            ("many", b'{"replicas":0}', (400, "invalid", "replicas")),
            ("many", b'{"replicas":"x"}', (400, "invalid", "replicas")),
            ("many", b"{}", (400, "invalid", "replicas")),
            ("doubler", b'{"replicas":2}', (409, "not_replicated", "path")),
            ("nobody", b'{"replicas":2}', (404, "not_found", "path")),
        ):
            answer = await resize(path, body, authorized)
            error = answer.json()["error"]
            assert (answer.status, error["code"], error["field"]) == expected
        assert len(node.tree("/many").children) == 3


async def test_the_probe_tells_what_the_edge_does(tmp_path: Path) -> None:
    async with node_with(tmp_path, FREE, f"{HERE}:own") as (node, served, _):
        await ask(served, "GET", "/double?number=4")
        await ask(served, "GET", "/nosuch")
        report = await node.ref(EDGE).ask(Probe())
        assert isinstance(report, ProbeReport)
        assert report.status == "ok"
        figures = dict(report.figures)
        assert figures["port"] == served.port
        assert (figures["requests"], figures["refused_requests"], figures["accepted"]) == (2, 1, 2)


async def test_a_full_edge_is_degraded(tmp_path: Path) -> None:
    settings = Settings(port=0, limits=Limits(connections=1))
    async with node_with(tmp_path, settings, f"{HERE}:own") as (node, served, _), connected(served) as client:
        await client.ask("GET", "/double?number=4")
        assert (await node.ref(EDGE).ask(Probe())).status == "degraded"


async def test_a_killed_edge_is_back_on_the_same_port(tmp_path: Path) -> None:
    async with node_with(tmp_path, FREE, f"{HERE}:own", f"{HERE}:more") as (_, served, token):
        async with opened(served, "/ws") as client:
            assert (await read_frame(client)).payload == b"hello"
            killed = await ask(served, "POST", "/api/v1/actors/edge/kill", b"{}", f"Authorization: Bearer {token}")
            assert killed.status in (200, 504)
            assert await client.is_closed()
        answer = None
        while answer is None:
            try:
                answer = await ask(served, "GET", "/double?number=3")
            except OSError:
                await trio.sleep(0.005)
        assert answer.json() == 6


async def test_a_stop_of_the_node_answers_what_is_begun_and_closes_websockets(tmp_path: Path) -> None:
    answers: list[Answer] = []
    codes: list[int] = []
    async with (
        trio.open_nursery() as nursery,
        node_with(tmp_path, FREE, f"{HERE}:own", f"{HERE}:more") as (_, served, _token),
    ):
        opened_one, asked = trio.Event(), trio.Event()

        async def listen() -> None:
            async with opened(served, "/ws") as client:
                assert (await read_frame(client)) == (TEXT, b"hello")
                opened_one.set()
                codes.append((await read_frame(client)).close_code)
                await client.send(frame(CLOSE, b"\x03\xe9"))

        async def wait() -> None:
            async with connected(served) as client:
                await client.send(request("GET", "/slow"))
                asked.set()
                answers.append(await client.answer())

        nursery.start_soon(listen)
        nursery.start_soon(wait)
        await opened_one.wait()
        await asked.wait()
        await trio.sleep(0.02)
    assert codes == [1001]
    assert [answer.json() for answer in answers] == ["done"]


@pytest.mark.parametrize(
    ("settings", "routes", "said"),
    [
        (Settings(host="0.0.0.0", port=0), [], "edge.authentication"),
        (FREE, [f"{HERE}:own", f"{HERE}:doubled"], "declared twice"),
        (FREE, [f"{HERE}:nosuch"], "nosuch"),
        (FREE, ["no.such.module:routes"], "no.such.module"),
    ],
)
async def test_an_edge_that_cannot_be_does_not_start_and_says_why(
    tmp_path: Path, settings: Settings, routes: list[str], said: str
) -> None:
    with pytest.raises((NodeFailed, BaseExceptionGroup)) as failed:
        async with node_with(tmp_path, settings, *routes):
            pytest.fail("it started")
    assert said in "".join(map(str, _leaves(failed.value)))


def _leaves(error: BaseException) -> list[BaseException]:
    if isinstance(error, BaseExceptionGroup):
        return [leaf for each in error.exceptions for leaf in _leaves(each)]
    return [error]


def test_routes_are_found_by_their_names() -> None:
    assert load_routes([f"{HERE}:own", f"{HERE}:more"]) == [*own, *more]
    assert load_routes(["actors.edge.capability:routes"])
    with pytest.raises(RouteError):
        load_routes(["actors.edge.capability"])


def test_settings_refuse_what_cannot_be() -> None:
    with pytest.raises(ValueError, match="port"):
        Settings(port=70_000)
    assert issubclass(BindRefused, Exception)
