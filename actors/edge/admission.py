"""What is checked of a request before its handler is called, all of it from the head alone."""

from __future__ import annotations

from typing import TYPE_CHECKING

from actors.edge.errors import HttpError, unavailable
from actors.edge.limits import Limits
from actors.edge.parser import HttpRequest
from actors.edge.routing import Endpoint
from actors.edge.upgrade import handshake

if TYPE_CHECKING:
    from actors.edge.server import Server

Admission = tuple[Endpoint, dict[str, str], str]
"""What is then known of a request: endpoint, path parameters, principal."""


def admit(server: Server, request: HttpRequest) -> Admission:
    """Check host, origin, path, method, token, kind of connection, content type and disk. Raises HttpError."""
    guard = server.guard
    guard.admit(request)
    if guard.always:
        guard.principal(request, None)
    endpoint, params = server.router.find(request.method, request.path)
    route = endpoint.route
    principal = guard.principal(request, route)
    if route.websocket:
        handshake(request)
    elif request.upgrade and b"websocket" in request.headers.get(b"upgrade", b"").lower():
        raise HttpError(400, "not_a_websocket", "there is no WebSocket here", close=True)
    if not endpoint.binding.streams:
        guard.check_content_type(request)
    if route.stores and server.disk_full:
        raise unavailable("disk_full", "the disk is nearly full")
    return endpoint, params, principal


def check_size(request: HttpRequest, endpoint: Endpoint, limits: Limits) -> None:
    """Raise HttpError 413 if the body that was announced, or that has arrived, is too large for its route."""
    most = endpoint.route.body_bytes or limits.body_bytes
    if request.size > most or (request.length or 0) > most:
        raise HttpError(413, "body_too_large", f"a body has at most {most} bytes here", close=not request.complete)
