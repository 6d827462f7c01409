"""Bridges: services outside that decisions call, each where its URL is configured.

/decisions/bridges      one for one
├── trading             the trading service
├── data                the data aggregator
└── threshold           the adaptive threshold service
"""

from __future__ import annotations

from typing import Any, Final, NamedTuple

import msgspec

from actors.decisions.bridges.routes import routes as _routes
from actors.decisions.bridges.settings import SECTION, Settings
from actors.edge.routing import Route
from protocols.control import Row
from protocols.paths import DATA_BRIDGE, THRESHOLD_BRIDGE, TRADING_BRIDGE
from runtime import Backoff, ChildSpec, RestartLimit, supervisor
from runtime.settings import Configuration

LIMIT: Final = RestartLimit(count=10, seconds=30.0)
BACKOFF: Final = Backoff(first_s=0.1, most_s=2.0)


class _Kind(NamedTuple):
    probe: str
    path: str
    actor: str


KINDS: Final = {
    "trading": _Kind("trading_bridge", TRADING_BRIDGE, "actors.decisions.bridges.trading:TradingBridge"),
    "data": _Kind("data_connector", DATA_BRIDGE, "actors.decisions.bridges.data:DataBridge"),
    "threshold": _Kind("threshold_bridge", THRESHOLD_BRIDGE, "actors.decisions.bridges.threshold:ThresholdBridge"),
}

sections: dict[str, Any] = {SECTION: Settings}
routes: list[Route] = list(_routes)
rows: tuple[type[Row], ...] = ()


def specs(settings: Settings) -> list[ChildSpec]:
    """The bridges whose URL is set."""
    plain = msgspec.to_builtins(settings)
    return [
        ChildSpec(
            name=name,
            actor=kind.actor,
            arguments={
                "url": getattr(settings, f"{name}_url"),
                "settings": plain,
                "token_file": getattr(settings, f"{name}_token_file"),
            },
            backoff=BACKOFF,
            stop_s=2.0,
        )
        for name, kind in KINDS.items()
        if getattr(settings, f"{name}_url")
    ]


def children(configuration: Configuration) -> list[ChildSpec]:
    """Its actors below `/decisions`."""
    found = specs(configuration.section(SECTION))
    return [supervisor("bridges", *found, limit=LIMIT, backoff=BACKOFF)] if found else []


def probes(configuration: Configuration) -> list[tuple[str, str]]:
    """Who answers for it."""
    names = {spec.name for spec in specs(configuration.section(SECTION))}
    return [(kind.probe, kind.path) for name, kind in KINDS.items() if name in names]
