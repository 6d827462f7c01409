"""The one place that lists the capabilities and builds the tree from a configuration.

    sections()            what a configuration may hold
    children(config)      the specs of the whole tree
    openapi()             the HTTP interface as a document
    run(config)           a node in this process, until a signal ends it

A capability is a folder with a `capability.py`; a new one is a line in CAPABILITIES. The order is the order of start:
storage first, the edge last, so that a stop begins by taking no more requests.
"""

from __future__ import annotations

import functools
import importlib
from collections.abc import Iterator
from types import ModuleType
from typing import Any

from protocols.control import Row
from runtime.collector import CollectorSettings
from runtime.node import NodeSettings
from runtime.settings import Configuration
from runtime.spec import ChildSpec
from runtime.telemetry import TelemetrySettings

CAPABILITIES = (
    "actors.storage.capability",
    "actors.signals.capability",
    "actors.market.capability",
    "actors.strategies.capability",
    "actors.monitor.capability",
    "actors.edge.capability",
)


@functools.cache
def capabilities() -> tuple[ModuleType, ...]:
    """Import every capability."""
    return tuple(importlib.import_module(name) for name in CAPABILITIES)


def sections() -> dict[str, Any]:
    """Return the type of every section that a configuration may hold."""
    known: dict[str, Any] = {"node": NodeSettings, "telemetry": TelemetrySettings, "collector": CollectorSettings}
    for capability in capabilities():
        known |= capability.sections
    return known


def rows() -> Iterator[type[Row]]:
    """Yield the row types of every capability."""
    for capability in capabilities():
        yield from capability.rows


def row_paths() -> tuple[str, ...]:
    """Return the import paths of the row types, as the writer process is given them."""
    return tuple(f"{row.__module__}:{row.__qualname__}" for row in rows())


def migrations() -> tuple[tuple[str, str], ...]:
    """Return (capability, folder of its migrations) of every capability that has tables."""
    return tuple((_name(each), each.migrations) for each in capabilities() if each.migrations)


def route_paths() -> tuple[str, ...]:
    """Return the import paths of the routes, as the edge is given them."""
    return tuple(f"{each.__name__}:routes" for each in capabilities() if each.routes)


def probes(configuration: Configuration) -> tuple[tuple[str, str], ...]:
    """Return (name, path) of every actor that answers for its capability."""
    return tuple(
        (name, path) for each in capabilities() if hasattr(each, "probes") for name, path in each.probes(configuration)
    )


def children(configuration: Configuration) -> tuple[ChildSpec, ...]:
    """Return the specs of the whole tree, in the order of start."""
    return tuple(spec for each in capabilities() for spec in each.children(configuration))


def openapi() -> Any:
    """Return the OpenAPI document of all routes, without a node."""
    document = importlib.import_module("actors.edge.openapi").document
    return document([route for each in capabilities() for route in each.routes])


def run(configuration: Configuration) -> int:
    """Run a node until SIGINT or SIGTERM; returns the exit status. Raises NodeFailed if the tree cannot go on."""
    return int(importlib.import_module("actors.lifetime").run(configuration))


def _name(capability: ModuleType) -> str:
    return capability.__name__.split(".")[1]
