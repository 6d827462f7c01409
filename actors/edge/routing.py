"""Routes, and the router that finds the one for a request.

A path is made of segments: literal ones, `{name}` for exactly one segment, and `{name:path}` for all that remain, one
or more. Behind a `{name:path}` one literal segment may stand, the verb: `/api/v1/actors/{path:path}/stop`. A literal
wins over a parameter, a parameter over a greedy one, and a verb over a greedy parameter that would swallow it.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Coroutine, Iterable, Sequence
from typing import Any, TypeVar
from urllib.parse import unquote_to_bytes

from actors.edge.binding import Binding
from actors.edge.call import Call
from actors.edge.errors import HttpError
from actors.edge.responses import Response
from runtime.metrics import Distribution

T = TypeVar("T")

Handler = Callable[..., Coroutine[Any, Any, Any]]

_PARAMETER = re.compile(r"\{([a-z_][a-z0-9_]*)(:path)?\}")
_LITERAL = re.compile(r"[A-Za-z0-9._~!$&'()*+,;=:@-]+")


class RouteError(Exception):
    """A route that cannot be: a path that makes no sense, or one that is declared twice."""


class Route:
    """One method on one path, and the function that answers it. Made by `get`, `post` … `websocket`."""

    __slots__ = (
        "body_bytes",
        "flagged",
        "handler",
        "method",
        "path",
        "status",
        "stores",
        "summary",
        "tags",
        "timeout_s",
        "token",
        "websocket",
    )

    def __init__(
        self,
        method: str,
        path: str,
        handler: Handler,
        *,
        summary: str = "",
        tags: Sequence[str] = (),
        token: bool = False,
        status: int = 200,
        websocket: bool = False,
        body_bytes: int | None = None,
        timeout_s: float | None = None,
        stores: bool = False,
    ) -> None:
        self.method = method
        self.path = path
        self.handler = handler
        self.summary = summary
        self.tags = tuple(tags)
        self.token = token
        self.status = status
        self.websocket = websocket
        self.body_bytes = body_bytes
        self.timeout_s = timeout_s
        self.stores = stores
        self.flagged = False
        """Whether errors on its path say `"success": false`, too."""

    def __repr__(self) -> str:
        return f"<Route {'WS' if self.websocket else self.method} {self.path}>"


def get(
    path: str,
    handler: Handler,
    *,
    summary: str = "",
    tags: Sequence[str] = (),
    token: bool = False,
    status: int = 200,
    timeout_s: float | None = None,
) -> Route:
    """A question. `token`: it needs the bearer token even on loopback. HEAD is answered from it, too."""
    return Route("GET", path, handler, summary=summary, tags=tags, token=token, status=status, timeout_s=timeout_s)


def post(
    path: str,
    handler: Handler,
    *,
    summary: str = "",
    tags: Sequence[str] = (),
    token: bool = True,
    status: int = 200,
    timeout_s: float | None = None,
    body_bytes: int | None = None,
    stores: bool = True,
) -> Route:
    """A change, or a question with a body (`token=False`).

    `body_bytes` and `timeout_s` replace the server's limits for this route. `stores`: refused while the disk is
    nearly full; say False for what must work then, such as stopping an actor.
    """
    return Route(
        "POST",
        path,
        handler,
        summary=summary,
        tags=tags,
        token=token,
        status=status,
        timeout_s=timeout_s,
        body_bytes=body_bytes,
        stores=stores,
    )


def put(
    path: str,
    handler: Handler,
    *,
    summary: str = "",
    tags: Sequence[str] = (),
    token: bool = True,
    status: int = 200,
    timeout_s: float | None = None,
    body_bytes: int | None = None,
    stores: bool = True,
) -> Route:
    """A replacement; the keywords are those of `post`."""
    return Route(
        "PUT",
        path,
        handler,
        summary=summary,
        tags=tags,
        token=token,
        status=status,
        timeout_s=timeout_s,
        body_bytes=body_bytes,
        stores=stores,
    )


def patch(
    path: str,
    handler: Handler,
    *,
    summary: str = "",
    tags: Sequence[str] = (),
    token: bool = True,
    status: int = 200,
    timeout_s: float | None = None,
    body_bytes: int | None = None,
    stores: bool = True,
) -> Route:
    """A change of some fields; the keywords are those of `post`."""
    return Route(
        "PATCH",
        path,
        handler,
        summary=summary,
        tags=tags,
        token=token,
        status=status,
        timeout_s=timeout_s,
        body_bytes=body_bytes,
        stores=stores,
    )


def delete(
    path: str,
    handler: Handler,
    *,
    summary: str = "",
    tags: Sequence[str] = (),
    token: bool = True,
    status: int = 200,
    timeout_s: float | None = None,
    stores: bool = False,
) -> Route:
    """A removal; the keywords are those of `post`."""
    return Route(
        "DELETE",
        path,
        handler,
        summary=summary,
        tags=tags,
        token=token,
        status=status,
        timeout_s=timeout_s,
        stores=stores,
    )


def websocket(
    path: str, handler: Handler, *, summary: str = "", tags: Sequence[str] = (), token: bool = False
) -> Route:
    """A WebSocket; `handler(socket, call)` runs as long as it is open. `token`: clients can change state on it."""
    return Route("GET", path, handler, summary=summary, tags=tags, token=token, websocket=True)


class Endpoint:
    """A route made ready: parsed path, compiled binding, and counts of what it did."""

    __slots__ = ("answers", "binding", "failures", "route", "segments", "times")

    def __init__(self, route: Route) -> None:
        self.route = route
        self.segments = _segments(route.path)
        names = [name for kind, name in self.segments if kind != "literal"]
        if len(set(names)) != len(names):
            raise RouteError(f"{route.path}: a parameter is named twice")
        try:
            self.binding = Binding(
                route.handler, tuple(names), in_query=route.method in ("GET", "DELETE"), websocket=route.websocket
            )
        except TypeError as error:
            raise RouteError(f"{route.method} {route.path}: {error}") from None
        self.answers = 0
        self.failures = 0
        self.times = Distribution()
        """How long answers took, in seconds; of a WebSocket, how long it was open."""


async def _options(call: Call) -> Response:
    return Response(204, headers=(("allow", call.path_params["allow"]),))


class _Node:
    """What may stand behind a prefix of segments."""

    __slots__ = ("endpoints", "greedy", "literals", "parameter", "verbs")

    def __init__(self) -> None:
        self.literals: dict[str, _Node] = {}
        self.parameter: _Node | None = None
        self.greedy: dict[str, Endpoint] = {}
        self.verbs: dict[str, dict[str, Endpoint]] = {}
        self.endpoints: dict[str, Endpoint] = {}


Match = tuple[Endpoint, dict[str, str]]


def _flagged(router: Router) -> tuple[tuple[bytes, ...], frozenset[bytes]]:
    """Of flagged routes: how paths with a parameter begin, and those without one."""
    paths = {each.route.path for each in router.endpoints if each.route.flagged}
    prefixes = {path.partition("{")[0].encode() for path in paths if "{" in path}
    return tuple(prefixes), frozenset(path.encode() for path in paths if "{" not in path)


_NO_PARAMETERS: dict[str, str] = {}


class Router:
    """All routes of a server. Raises RouteError for a malformed or doubled route."""

    def __init__(self, routes: Iterable[Route]) -> None:
        self.endpoints: list[Endpoint] = []
        self._root = _Node()
        self._static: dict[bytes, dict[str, Endpoint]] = {}
        self._memo: dict[str, Any] = {}
        for route in routes:
            self._add(Endpoint(route))
        # Requests carry bytes: a static path is found by one look-up, without decoding anything.
        self._direct: dict[tuple[bytes, bytes], Match] = {
            (method.encode(), path): (endpoint, _NO_PARAMETERS)
            for path, methods in self._static.items()
            for method, endpoint in methods.items()
        }

    def once(self, key: str, build: Callable[[Router], T]) -> T:
        """Return `build(self)`, computed at the first call with this `key`."""
        if key not in self._memo:
            self._memo[key] = build(self)
        result: T = self._memo[key]
        return result

    def flagged(self, path: bytes) -> bool:
        """Whether errors on this path say `"success": false`: one of a flagged route, or one below such a route."""
        prefixes, whole = self.once("flagged", _flagged)
        return path.startswith(prefixes) or path in whole

    def find(self, method: bytes, path: bytes) -> Match:
        """The endpoint for a request and its path parameters. Raises HttpError 404, 405 (with `Allow`) or 400."""
        found = self._direct.get((method, path))
        if found is not None:
            return found
        name = method.decode("ascii")
        if path == b"*":  # OPTIONS of the server as a whole
            return _OPTIONS, {"allow": "DELETE, GET, HEAD, OPTIONS, PATCH, POST, PUT"}
        endpoints, values = self._endpoints_at(path)
        endpoint = endpoints.get(name) or (endpoints.get("GET") if name == "HEAD" else None)
        if endpoint is None:
            allow = ", ".join(allowed(endpoints))
            if name == "OPTIONS":
                return _OPTIONS, {"allow": allow}
            raise HttpError(
                405, "method_not_allowed", f"{name} is not allowed here, but {allow}", headers=(("allow", allow),)
            )
        if not values:
            return endpoint, _NO_PARAMETERS
        names = endpoint.binding.path_names
        return endpoint, dict(zip(names, values, strict=True))

    def _endpoints_at(self, path: bytes) -> tuple[dict[str, Endpoint], list[str]]:
        static = self._static.get(path)
        if static is not None:
            return static, []
        segments = _decoded(path)
        values: list[str] = []
        endpoints = _walk(self._root, segments, 0, values)
        if endpoints is None:
            raise HttpError(404, "not_found", f"there is nothing at {path.decode('latin-1')[:200]}")
        return endpoints, values

    def _add(self, endpoint: Endpoint) -> None:
        node = self._root
        route = endpoint.route
        place: dict[str, Endpoint] | None = None
        for index, (kind, text) in enumerate(endpoint.segments):
            if kind == "greedy":
                behind = endpoint.segments[index + 1 :]
                place = node.verbs.setdefault(behind[0][1], {}) if behind else node.greedy
                break
            if kind == "literal":
                node = node.literals.setdefault(text, _Node())
            else:
                node.parameter = node.parameter or _Node()
                node = node.parameter
        if place is None:
            place = node.endpoints
            if all(kind == "literal" for kind, _ in endpoint.segments):
                self._static[route.path.encode()] = place
        if route.method in place:
            raise RouteError(
                f"{route.method} {route.path} is declared twice ({place[route.method].route.path} is the same path)"
            )
        place[route.method] = endpoint
        self.endpoints.append(endpoint)


def allowed(endpoints: dict[str, Endpoint]) -> list[str]:
    """The methods of one path as an `Allow` header lists them."""
    names = set(endpoints) | {"OPTIONS"}
    if "GET" in endpoints and not endpoints["GET"].route.websocket:
        names.add("HEAD")
    return sorted(names)


def _walk(node: _Node, segments: list[str], at: int, values: list[str]) -> dict[str, Endpoint] | None:
    if at == len(segments):
        return node.endpoints or None
    segment = segments[at]
    literal = node.literals.get(segment)
    if literal is not None:
        found = _walk(literal, segments, at + 1, values)
        if found is not None:
            return found
    if node.parameter is not None and segment:
        values.append(segment)
        found = _walk(node.parameter, segments, at + 1, values)
        if found is not None:
            return found
        values.pop()
    if not all(segments[at:]):
        return None  # a greedy parameter takes whole segments, none of them empty
    if len(segments) - at > 1 and segments[-1] in node.verbs:
        values.append("/".join(segments[at:-1]))
        return node.verbs[segments[-1]]
    if node.greedy:
        values.append("/".join(segments[at:]))
        return node.greedy
    return None


def _decoded(path: bytes) -> list[str]:
    segments = path.split(b"/")[1:]
    try:
        if b"%" in path:
            texts = [unquote_to_bytes(segment).decode() for segment in segments]
        else:
            texts = [segment.decode() for segment in segments]
    except UnicodeDecodeError:
        raise HttpError(400, "invalid", "the path is not UTF-8") from None
    for text in texts:
        if not text.isprintable():
            raise HttpError(400, "invalid", "the path holds control characters")
    return texts


def _segments(path: str) -> list[tuple[str, str]]:
    if not path.startswith("/"):
        raise RouteError(f"a path begins with '/', got {path!r}")
    segments: list[tuple[str, str]] = []
    texts = path.split("/")[1:]
    for index, text in enumerate(texts):
        parameter = _PARAMETER.fullmatch(text)
        if parameter is None:
            if not _LITERAL.fullmatch(text) and not (text == "" and len(texts) == 1):
                raise RouteError(f"{path}: {text!r} is neither a literal segment nor a {{parameter}}")
            segments.append(("literal", text))
        elif parameter[2] is None:
            segments.append(("parameter", parameter[1]))
        else:
            behind = texts[index + 1 :]
            if len(behind) > 1 or (behind and not _LITERAL.fullmatch(behind[0])):
                raise RouteError(f"{path}: behind {text} at most one literal segment may stand")
            segments.append(("greedy", parameter[1]))
    return segments


_OPTIONS = Endpoint(Route("OPTIONS", "/{allow}", _options))
