"""The edge as an actor: it owns the port. The server beneath knows nothing of actors."""

from __future__ import annotations

import errno
import importlib
from collections.abc import Iterable
from pathlib import Path
from typing import Any
from weakref import WeakKeyDictionary

import msgspec

from actors.edge.auth import BindRefused, Guard, token_of
from actors.edge.capability import Settings
from actors.edge.routing import Route, RouteError, Router
from actors.edge.server import Server
from protocols.control import ExitReason, Message, Probe, ProbeReport, Request
from runtime import Actor, CannotStart, Node, receive

_NANO = 1e-9


class EdgeAddress(Message, frozen=True, gc=False, tag="edge_address"):
    """Where the edge listens."""

    host: str
    port: int

    def url(self) -> str:
        """As `http://HOST:PORT`."""
        return f"http://[{self.host}]:{self.port}" if ":" in self.host else f"http://{self.host}:{self.port}"


class GetEdgeAddress(Request[EdgeAddress], frozen=True, gc=False, tag="get_edge_address"):
    """Asks the edge where it listens."""


_ports: WeakKeyDictionary[Node, int] = WeakKeyDictionary()
"""The port that was chosen for `port = 0`: a restarted edge has to be found again where it was."""


class Edge(Actor):
    """Listens on one port and answers by the routes that `routes` names (`package.module:attribute`).

    Its start fails, with the reason, on a route that is declared twice, on an address that it may not or cannot bind
    to, and on a data folder that cannot hold its token.
    """

    def __init__(self, settings: Settings | dict[str, Any], routes: Iterable[str]) -> None:
        self.settings = msgspec.convert(settings, Settings) if isinstance(settings, dict) else settings
        self.routes = tuple(routes)
        self.server: Server
        self.port = 0

    def on_start(self) -> None:
        """Bind, and begin to serve."""
        settings, node = self.settings, self.node
        data_dir = Path(node.settings.data_dir)
        try:
            guard = Guard(
                token_of(data_dir),
                host=settings.host,
                hosts=settings.hosts,
                origins=settings.origins,
                always=settings.authentication == "token",
            )
        except (OSError, BindRefused) as error:
            raise CannotStart(str(error)) from error
        self.server = Server(
            Router(load_routes(self.routes)),
            guard,
            settings.limits,
            node=node,
            disk=data_dir,
            logger=self.logger,
            wall=lambda: node.clock.now() * _NANO,
        )
        try:
            self.port = self.server.bind(settings.host, settings.port or _ports.get(node, 0))
        except OSError as error:
            hint = "another program listens there: choose another with --set edge.port=PORT (0: any free one)"
            taken = error.errno == errno.EADDRINUSE
            raise CannotStart(f"{error.strerror}; {hint}" if taken else str(error.strerror)) from error
        _ports[node] = self.port
        self.spawn(self.server.serve, name="serve")

    async def on_stop(self, reason: ExitReason) -> None:
        """Answer what is begun, close the WebSockets, then the rest."""
        await self.server.drain()

    @receive
    def address(self, request: GetEdgeAddress) -> EdgeAddress:
        """Say where the edge listens."""
        return EdgeAddress(self.settings.host, self.port)

    @receive
    def probe(self, request: Probe) -> ProbeReport:
        """Say how the edge is: degraded when it has to turn connections or writes away."""
        server = self.server
        figures = server.figures
        detail = ""
        if server.disk_full:
            detail = "the disk is nearly full: requests that store are refused"
        elif len(server.connections) >= server.most_connections:
            detail = "as many connections as it can hold"
        counts = ((name, getattr(figures, name)) for name in figures.__slots__)
        return ProbeReport(
            "degraded" if detail else "ok",
            detail,
            figures=(("port", self.port), ("connections", len(server.connections)), *counts),
        )


def load_routes(names: Iterable[str]) -> list[Route]:
    """The routes that import strings name, in their order. Raises RouteError for a string that names none."""
    found: list[Route] = []
    for name in names:
        module, _, attribute = name.partition(":")
        try:
            routes = getattr(importlib.import_module(module), attribute)
        except (ImportError, AttributeError) as error:
            raise RouteError(f"{name} names no routes: {error}") from error
        found += routes
    return found
