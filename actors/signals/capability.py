"""Signals as a capability: settings, branch of the tree, routes, tables.

/signals                one for one: each goes on by itself after a restart
├── hub                 numbers, stores and remembers signals
├── stream              fans them out to WebSockets
└── channels            sends them to other systems (`channels/tree.py`)
"""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any, Final

import msgspec

from actors.edge.routing import Route
from actors.signals.channels.messages import INDEX
from actors.signals.channels.routes import routes as channel_routes
from actors.signals.channels.settings import SECTION as CHANNELS_SECTION
from actors.signals.channels.settings import ChannelSettings
from actors.signals.channels.tree import configured
from actors.signals.channels.tree import specs as channel_specs
from actors.signals.routes import routes as signal_routes
from protocols.control import Row
from protocols.paths import HUB, STREAM
from protocols.signals import SignalRow, SignalUpdateRow
from runtime import Backoff, ChildSpec, RestartLimit, supervisor
from runtime.capability import Whole
from runtime.settings import Configuration

SECTION: Final = "signals"
LIMIT: Final = RestartLimit(count=10, seconds=30.0)
BACKOFF: Final = Backoff(first_s=0.05, most_s=2.0)


class Settings(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """`[signals]`: how much is remembered, and for how many."""

    max_subscribers: Annotated[int, msgspec.Meta(ge=1, le=100_000)] = 1000
    """WebSocket clients at a time; one more is refused."""
    backlog_bytes: Annotated[int, msgspec.Meta(ge=1_024)] = 262_144
    """What may wait for a client that reads slowly; `edge.limits.websocket_backlog_bytes` bounds it, too."""
    history: Annotated[int, msgspec.Meta(ge=1, le=1_000_000)] = 20_000
    """Signals that the hub remembers, and updates; older ones are read from the database."""
    frames: Annotated[int, msgspec.Meta(ge=1, le=1_000_000)] = 4096
    """Signals that are kept ready to be sent to a client that resumes."""
    validity_s: Annotated[float, msgspec.Meta(gt=0)] = 300.0
    """When a signal expires that does not say so itself, in seconds after it was created."""
    test_endpoints: bool = False
    """Whether `POST /api/signals/test` makes signals; they are marked synthetic. Without it the path is not there."""
    patience_s: Annotated[float, msgspec.Meta(ge=0)] = 10.0
    """How long a client that resumes waits for a database that is away, in seconds."""


sections: dict[str, Any] = {SECTION: Settings, CHANNELS_SECTION: tuple[ChannelSettings, ...]}
routes: list[Route] = [*channel_routes, *signal_routes]


def children(configuration: Configuration, whole: Whole) -> list[ChildSpec]:
    """The branch `/signals`. Raises ConfigurationError for channels that cannot be together."""
    return [branch(configuration.section(SECTION), configured(configuration))]


def branch(settings: Settings, channels: tuple[ChannelSettings, ...] = ()) -> ChildSpec:
    """The branch `/signals` with these settings."""
    hub = ChildSpec(
        name=HUB.rpartition("/")[2],
        actor="actors.signals.hub:SignalHub",
        arguments={
            "history": settings.history,
            "validity_s": settings.validity_s,
            "test_endpoints": settings.test_endpoints,
        },
        backoff=BACKOFF,
    )
    stream = ChildSpec(
        name=STREAM.rpartition("/")[2],
        actor="actors.signals.stream:SignalStream",
        arguments={
            "max_subscribers": settings.max_subscribers,
            "backlog_bytes": settings.backlog_bytes,
            "kept": settings.frames,
            "patience_s": settings.patience_s,
        },
        backoff=BACKOFF,
    )
    return supervisor("signals", hub, stream, *channel_specs(channels), limit=LIMIT, backoff=BACKOFF)


def probes(configuration: Configuration) -> list[tuple[str, str]]:
    """Who answers for signals."""
    return [("signals", HUB), ("signal_stream", STREAM), ("channels", INDEX)]


migrations: str | None = str(Path(__file__).parent / "migrations")
rows: tuple[type[Row], ...] = (SignalRow, SignalUpdateRow)
commands: dict[str, str] = {}
