"""The one place that lists the capabilities and builds the tree from a configuration.

    sections()            what a configuration may hold
    children(config)      the specs of the whole tree
    openapi()             the HTTP interface as a document
    run(config)           a node in this process, until a signal ends it

A capability is a folder with a `capability.py` (its shape is `runtime/capability.py`); a new one is a line in
CAPABILITIES. The order is the order of start: storage first, the edge last, so that a stop begins by taking no more
requests.
"""

from __future__ import annotations

import functools
import importlib
from typing import Any, cast

from runtime.capability import Capability, Whole
from runtime.cluster.settings import ClusterSettings
from runtime.collector import CollectorSettings
from runtime.node import NodeSettings
from runtime.settings import Configuration
from runtime.spec import ChildSpec
from runtime.telemetry import TelemetrySettings

CAPABILITIES = (
    "actors.storage.capability",
    "actors.signals.capability",
    "actors.thresholds.capability",
    "actors.decisions.capability",
    "actors.execution.capability",
    "actors.strategies.capability",
    "actors.market.capability",
    "actors.agents.capability",
    "actors.research.capability",
    "actors.monitor.capability",
    "actors.edge.capability",
)


@functools.cache
def capabilities() -> tuple[Capability, ...]:
    """Import every capability."""
    return tuple(cast("Capability", importlib.import_module(name)) for name in CAPABILITIES)


def sections() -> dict[str, Any]:
    """Return the type of every section that a configuration may hold."""
    known: dict[str, Any] = {
        "node": NodeSettings,
        "cluster": ClusterSettings,
        "telemetry": TelemetrySettings,
        "collector": CollectorSettings,
    }
    for capability in capabilities():
        known |= capability.sections
    return known


def whole(configuration: Configuration) -> Whole:
    """Put together what all capabilities offer."""
    known = list(zip(CAPABILITIES, capabilities(), strict=True))
    return Whole(
        routes=tuple(f"{name}:routes" for name, capability in known if capability.routes),
        migrations=tuple(capability.migrations for _, capability in known if capability.migrations),
        probes=tuple(probe for _, capability in known for probe in capability.probes(configuration)),
    )


def children(configuration: Configuration) -> tuple[ChildSpec, ...]:
    """Return the specs of the whole tree, in the order of start."""
    all_of_it = whole(configuration)
    return tuple(spec for each in capabilities() for spec in each.children(configuration, all_of_it))


def openapi() -> Any:
    """Return the OpenAPI document of all routes, without a node."""
    document = importlib.import_module("actors.edge.openapi").document
    return document(route for each in capabilities() for route in each.routes)


def run(configuration: Configuration) -> int:
    """Run a node until SIGINT or SIGTERM; returns the exit status. Raises NodeFailed if the tree cannot go on."""
    return int(importlib.import_module("actors.lifetime").run(configuration))
