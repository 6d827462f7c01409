"""The edge as a capability: its settings, its child, its routes."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Literal

import msgspec

from actors.edge import control, docs
from actors.edge.limits import Limits
from protocols.control import Row
from protocols.paths import EDGE
from runtime.capability import Whole
from runtime.settings import Configuration
from runtime.spec import ChildSpec


class Settings(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """Where the edge listens, who may call, and its limits (`[edge]`)."""

    host: str = "127.0.0.1"
    """The address to bind to. Beyond loopback only together with `authentication = "token"`."""
    port: int = 8001
    """0: any free port; it stays the same when the edge is restarted."""
    authentication: Literal["changes", "token"] = "changes"
    """`changes`: what changes state asks for the bearer token. `token`: everything does."""
    hosts: tuple[str, ...] = ()
    """Further names that the server is reached by, without port: what a Host header may say."""
    origins: tuple[str, ...] = ()
    """Further origins whose pages may call, as `https://name:port`; a page of the server itself always may."""
    limits: Limits = Limits()

    def __post_init__(self) -> None:
        if not 0 <= self.port <= 65_535:
            raise ValueError(f"port must be from 0 to 65535, not {self.port}")


routes = [*docs.routes, *control.routes]
sections: dict[str, Any] = {"edge": Settings}
migrations: str | None = None
rows: tuple[type[Row], ...] = ()
commands: dict[str, str] = {}


def children(configuration: Configuration, whole: Whole) -> list[ChildSpec]:
    """Return the edge over the routes of all capabilities."""
    return [edge(configuration.section("edge"), whole.routes)]


def edge(settings: Settings, routes: Sequence[str]) -> ChildSpec:
    """Return the edge over `routes` (import strings, `package.module:routes`)."""
    arguments = {"settings": settings, "routes": tuple(routes)}
    return ChildSpec(EDGE.strip("/"), "actors.edge.edge:Edge", arguments, stop_s=4.0)


def probes(configuration: Configuration) -> list[tuple[str, str]]:
    """Return who answers for the edge."""
    return [("edge", EDGE)]
