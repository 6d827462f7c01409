"""The edge as a capability: its settings, its child, its routes."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Literal

import msgspec

from actors.edge import control, docs
from actors.edge.limits import Limits
from protocols.control import Row
from protocols.paths import EDGE
from runtime.spec import ChildSpec

if TYPE_CHECKING:
    from runtime.settings import Configuration

SECTION = "edge"


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


ROUTES = "actors.edge.capability:routes"

routes = [*docs.routes, *control.routes]
probe: str | None = EDGE
migrations: str | None = None
rows: tuple[type[Row], ...] = ()
commands: dict[str, str] = {}


def children(settings: Settings, config: Configuration, others: Sequence[str] = ()) -> list[ChildSpec]:
    """The edge itself. `others`: import strings (`package.module:routes`) of the other capabilities' routes."""
    arguments = {"settings": settings, "routes": (ROUTES, *others)}
    return [ChildSpec(name=EDGE.strip("/"), actor="actors.edge.edge:Edge", arguments=arguments, stop_s=4.0)]
