from __future__ import annotations

import msgspec
import pytest

from actors.edge.call import Call
from actors.edge.errors import HttpError
from actors.edge.routing import Route, RouteError, Router, delete, get, post, put, websocket
from actors.edge.websocket import WebSocket


async def handler(call: Call) -> None: ...


class Shape(msgspec.Struct):
    x: int


async def socket_handler(socket: WebSocket, call: Call) -> None: ...


def router(*routes: Route) -> Router:
    return Router(routes)


def found(router: Router, method: str, path: str) -> tuple[str, dict[str, str]]:
    endpoint, values = router.find(method.encode(), path.encode())
    return endpoint.route.path, values


def refusal(router: Router, method: str, path: str) -> HttpError:
    with pytest.raises(HttpError) as refused:
        router.find(method.encode(), path.encode())
    return refused.value


def test_a_literal_wins_over_a_parameter_and_a_parameter_over_a_greedy_one() -> None:
    routes = router(
        get("/a/{rest:path}", handler), get("/a/{one}", handler), get("/a/b", handler), get("/a/{one}/c", handler)
    )
    assert found(routes, "GET", "/a/b") == ("/a/b", {})
    assert found(routes, "GET", "/a/x") == ("/a/{one}", {"one": "x"})
    assert found(routes, "GET", "/a/b/c") == ("/a/{one}/c", {"one": "b"})
    assert found(routes, "GET", "/a/x/y") == ("/a/{rest:path}", {"rest": "x/y"})
    assert found(routes, "GET", "/a/b/d/e") == ("/a/{rest:path}", {"rest": "b/d/e"})


def test_a_verb_behind_a_greedy_parameter_is_no_part_of_it() -> None:
    routes = router(
        get("/actors/{path:path}", handler),
        post("/actors/{path:path}/stop", handler),
        post("/actors/{path:path}/kill", handler),
    )
    assert found(routes, "GET", "/actors/market/demo") == ("/actors/{path:path}", {"path": "market/demo"})
    assert found(routes, "POST", "/actors/market/demo/stop") == ("/actors/{path:path}/stop", {"path": "market/demo"})
    assert found(routes, "POST", "/actors/x/kill") == ("/actors/{path:path}/kill", {"path": "x"})
    assert found(routes, "GET", "/actors/stop") == ("/actors/{path:path}", {"path": "stop"})
    assert dict(refusal(routes, "GET", "/actors/x/stop").headers)["allow"] == "OPTIONS, POST"
    assert dict(refusal(routes, "POST", "/actors/x").headers)["allow"] == "GET, HEAD, OPTIONS"


@pytest.mark.parametrize("path", ["/a", "/a/", "/a//", "/b/x", "/", "/A/x", "/a/x/", "//a/x", "/c//d", "/c/x//d"])
def test_there_is_nothing_beside_the_routes_and_no_segment_is_empty(path: str) -> None:
    routes = router(get("/a/{one}", handler), get("/c/{rest:path}", handler))
    assert refusal(routes, "GET", path).status == 404


def test_a_path_is_decoded_segment_by_segment() -> None:
    routes = router(get("/a/{one}/b", handler), get("/g/{rest:path}", handler), get("/l", handler))
    assert found(routes, "GET", "/a/x%2Fy%20%C3%A4/b") == ("/a/{one}/b", {"one": "x/y ä"})
    assert found(routes, "GET", "/g/x%2Fy/z") == ("/g/{rest:path}", {"rest": "x/y/z"})
    assert found(routes, "GET", "/%6C") == ("/l", {})
    assert refusal(routes, "GET", "/a/%FF/b").status == 400
    assert refusal(routes, "GET", "/a/%00/b").status == 400
    assert refusal(routes, "GET", "/a/x%0D%0Ay/b").status == 400


def test_another_method_is_refused_with_those_that_are_allowed() -> None:
    routes = router(get("/a", handler), put("/a", handler), delete("/a", handler), websocket("/ws", socket_handler))
    refused = refusal(routes, "PATCH", "/a")
    assert refused.status == 405
    assert dict(refused.headers) == {"allow": "DELETE, GET, HEAD, OPTIONS, PUT"}
    assert dict(refusal(routes, "POST", "/ws").headers) == {"allow": "GET, OPTIONS"}


def test_head_is_answered_from_get() -> None:
    routes = router(get("/a", handler), post("/b", handler))
    assert found(routes, "HEAD", "/a") == ("/a", {})
    assert refusal(routes, "HEAD", "/b").status == 405


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("/a", "/a"),
        ("/a/{x}", "/a/{y}"),
        ("/a/{x:path}", "/a/{y:path}"),
        ("/a/{x:path}/stop", "/a/{y:path}/stop"),
        ("/a/{x}/b/{y}", "/a/{y}/b/{x}"),
    ],
)
def test_a_path_that_is_declared_twice_is_an_error(one: str, other: str) -> None:
    with pytest.raises(RouteError, match="declared twice"):
        router(get(one, handler), get(other, handler))
    router(get(one, handler), post(other, handler))


def test_a_websocket_and_a_get_cannot_share_a_path() -> None:
    with pytest.raises(RouteError, match="declared twice"):
        router(get("/a", handler), websocket("/a", socket_handler))


@pytest.mark.parametrize(
    "path",
    ["", "a", "/a b", "/{A}", "/{a", "/a{b}", "/{a}/{a}", "/{a:path}/b/c", "/{a:path}/{b}", "/{a:int}", "/a/", "//"],
)
def test_a_path_that_makes_no_sense_is_an_error(path: str) -> None:
    with pytest.raises(RouteError):
        router(get(path, handler))


def test_a_handler_that_cannot_be_served_is_an_error_that_names_it() -> None:
    async def untyped(request, call: Call) -> None: ...  # type: ignore[no-untyped-def]

    def blocking(call: Call) -> None: ...

    async def doubled(one: Shape, other: Shape) -> None: ...

    async def no_struct(request: list[int], call: Call) -> None: ...

    async def unknown(request: NoSuchType, call: Call) -> None: ...  # type: ignore[name-defined]  # noqa: F821

    for wrong in (untyped, blocking, no_struct, unknown, socket_handler):
        with pytest.raises(RouteError, match="/a"):
            router(get("/a", wrong))  # type: ignore[arg-type]
    with pytest.raises(RouteError, match="two parameters of the same kind"):
        router(get("/a", doubled))
    with pytest.raises(RouteError, match="WebSocket"):
        router(websocket("/a", handler))
