"""The keeper of outcomes as a part of the capability.

/thresholds
└── outcomes            what signals came to; tells learners
"""

from __future__ import annotations

from typing import Any, Final

from actors.edge.routing import Route
from actors.thresholds.intake.settings import SECTION, OutcomeSettings
from protocols.control import Row
from protocols.paths import THRESHOLD_OUTCOMES
from protocols.threshold_outcomes import IntakeRow, ProgressRow
from runtime import Backoff, ChildSpec
from runtime.settings import Configuration

BACKOFF: Final = Backoff(first_s=0.05, most_s=2.0)

sections: dict[str, Any] = {SECTION: OutcomeSettings}
routes: list[Route] = []
rows: tuple[type[Row], ...] = (IntakeRow, ProgressRow)


def children(configuration: Configuration) -> list[ChildSpec]:
    """Its actor below `/thresholds`."""
    return [spec(configuration.section(SECTION))]


def spec(settings: OutcomeSettings) -> ChildSpec:
    """The keeper with these settings."""
    name = THRESHOLD_OUTCOMES.rpartition("/")[2]
    return ChildSpec(name, "actors.thresholds.intake.keeper:OutcomeKeeper", {"settings": settings}, backoff=BACKOFF)


def probes(configuration: Configuration) -> list[tuple[str, str]]:
    """Who answers for it."""
    return [("threshold_outcomes", THRESHOLD_OUTCOMES)]
