"""What a handler is given beside its request: who calls, and how to reach the actors."""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from typing import TYPE_CHECKING, Any

from actors.edge.errors import HttpError

if TYPE_CHECKING:
    from actors.edge.routing import Route, Router
    from runtime.node import Node
    from runtime.ref import ActorRef

ANYBODY = "anybody"
"""The principal of a call without a token."""

OPERATOR = "operator"
"""The principal of a call that brought the token of the data folder."""


class Headers:
    """The headers of a request, by name in any case."""

    __slots__ = ("_raw",)

    def __init__(self, raw: dict[bytes, bytes]) -> None:
        self._raw = raw

    def get(self, name: str, default: str | None = None) -> str | None:
        """The value of one header (repeated ones are joined by a comma), or `default`."""
        value = self._raw.get(name.lower().encode("latin-1"))
        return default if value is None else value.strip().decode("latin-1")

    def __contains__(self, name: str) -> bool:
        return name.lower().encode("latin-1") in self._raw

    def __iter__(self) -> Iterator[tuple[str, str]]:
        for name, value in self._raw.items():
            yield name.decode("latin-1"), value.strip().decode("latin-1")


class Call:
    """One request from its handler's point of view."""

    __slots__ = ("_headers", "_node", "client", "path_params", "principal", "route", "router")

    def __init__(
        self,
        node: Node | None,
        router: Router,
        route: Route,
        headers: dict[bytes, bytes],
        client: str,
        path_params: dict[str, str],
        principal: str,
    ) -> None:
        self._node = node
        self.router = router
        self.route = route
        self._headers = headers
        self.client = client
        """The address the client connects from."""
        self.path_params = path_params
        self.principal = principal

    @property
    def node(self) -> Node:
        """The node that serves this call. Raises RuntimeError on a server without one."""
        if self._node is None:
            raise RuntimeError("this server runs outside a node")
        return self._node

    @property
    def headers(self) -> Headers:
        """The request's headers."""
        return Headers(self._headers)

    def ref(self, path: str) -> ActorRef:
        """The address of the actor at `path`."""
        return self.node.ref(path)


class BodyStream:
    """The body of a request while it arrives. A handler that has a parameter of this type is started with the head.

    Iterate over it, or `read()` all. Raises HttpError 413 beyond the route's `body_bytes`, 408 from a client that is
    too slow, 400 from one that goes away; let them pass.
    """

    __slots__ = ("_next",)

    def __init__(self, next_chunk: Callable[[], Awaitable[bytes]]) -> None:
        self._next = next_chunk

    async def __aiter__(self) -> AsyncIterator[bytes]:
        while chunk := await self._next():
            yield chunk

    async def read(self) -> bytes:
        """Everything that is still to come, joined."""
        return b"".join([chunk async for chunk in self])


def require_principal(call: Call, principal: str = OPERATOR) -> Any:
    """Raise HttpError 401 unless `call` comes from `principal`: for a WebSocket on which only some messages need it."""
    if call.principal != principal:
        raise HttpError(401, "unauthorized", "this needs the bearer token of the data folder")
