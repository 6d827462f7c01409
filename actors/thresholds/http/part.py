"""The HTTP interface of thresholds as a part of the capability.

/thresholds
└── desk                limits and keys, which may be told anew
"""

from __future__ import annotations

from typing import Any, Final

from actors.edge.routing import Route
from actors.thresholds.http.desk import DESK
from actors.thresholds.http.routes import routes as http_routes
from actors.thresholds.http.settings import SECTION, ApiSettings
from actors.thresholds.intake.settings import SECTION as OUTCOMES
from actors.thresholds.intake.settings import OutcomeSettings
from protocols.control import Row
from runtime import Backoff, ChildSpec
from runtime.settings import Configuration

BACKOFF: Final = Backoff(first_s=0.05, most_s=2.0)

sections: dict[str, Any] = {SECTION: ApiSettings}
routes: list[Route] = http_routes
rows: tuple[type[Row], ...] = ()


def children(configuration: Configuration) -> list[ChildSpec]:
    """Its actor below `/thresholds`."""
    return [spec(configuration.section(SECTION), configuration.section(OUTCOMES))]


def spec(settings: ApiSettings, outcomes: OutcomeSettings) -> ChildSpec:
    """The desk with these settings."""
    arguments = {"settings": settings, "outcomes": outcomes}
    return ChildSpec(DESK.rpartition("/")[2], "actors.thresholds.http.desk:ThresholdDesk", arguments, backoff=BACKOFF)


def probes(configuration: Configuration) -> list[tuple[str, str]]:
    """Who answers for it."""
    return [("threshold_desk", DESK)]
