"""Decisions as a capability: its parts put together.

/decisions              one for one: each goes on by itself after a restart
"""

from __future__ import annotations

from pathlib import Path
from typing import Any, Final

from actors.decisions.bridges import part as bridges
from actors.decisions.experiments import part as experiments
from actors.decisions.serving import part as serving
from actors.edge.routing import Route
from protocols.control import Row
from runtime import Backoff, ChildSpec, RestartLimit, supervisor
from runtime.capability import Whole
from runtime.settings import Configuration

LIMIT: Final = RestartLimit(count=10, seconds=30.0)
BACKOFF: Final = Backoff(first_s=0.05, most_s=2.0)
PARTS: Final = (serving, experiments, bridges)

sections: dict[str, Any] = {name: kind for part in PARTS for name, kind in part.sections.items()}
routes: list[Route] = [route for part in PARTS for route in part.routes]


def children(configuration: Configuration, whole: Whole) -> list[ChildSpec]:
    """The branch `/decisions`."""
    specs = [spec for part in PARTS for spec in part.children(configuration)]
    return [supervisor("decisions", *specs, limit=LIMIT, backoff=BACKOFF)]


def probes(configuration: Configuration) -> list[tuple[str, str]]:
    """Who answers for decisions."""
    return [probe for part in PARTS for probe in part.probes(configuration)]


migrations: str | None = str(Path(__file__).parent / "migrations")
rows: tuple[type[Row], ...] = tuple(row for part in PARTS for row in part.rows)
commands: dict[str, str] = {
    "model check": "actors.decisions.bundles.commands:check",
    "model show": "actors.decisions.bundles.commands:show",
    "model import": "actors.decisions.bundles.commands:import_onnx",
}
