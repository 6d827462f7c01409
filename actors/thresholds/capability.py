"""Adaptive thresholds as a capability.

/thresholds             one for one: each goes on by itself after a restart
├── states              accepts what becomes of thresholds, and knows what was stored
├── cache               Redis as second cache, where one is configured
├── outcomes            what signals came to; tells learners
├── desk                limits and keys of the HTTP interface
├── roster              verdicts; starts users' actors and ends them; has everybody adapted
└── users               dynamic
    └── <user>          temporary: it learns and moves; the next request starts one that has crashed
"""

from __future__ import annotations

from pathlib import Path
from typing import Any, Final

from actors.edge.routing import Route
from actors.thresholds.http import part as http
from actors.thresholds.intake import part as intake
from actors.thresholds.settings import SECTION, Settings
from protocols.control import Row
from protocols.paths import THRESHOLD_CACHE, THRESHOLD_ROSTER, THRESHOLD_STATES, THRESHOLD_USERS, THRESHOLDS
from protocols.thresholds import ThresholdLessonRow, ThresholdStateRow
from runtime import Backoff, ChildSpec, RestartLimit, dynamic_supervisor, supervisor
from runtime.capability import Whole
from runtime.settings import Configuration

LIMIT: Final = RestartLimit(count=10, seconds=30.0)
BACKOFF: Final = Backoff(first_s=0.05, most_s=2.0)

PARTS: Final = (intake, http)

sections: dict[str, Any] = {SECTION: Settings, **{name: kind for part in PARTS for name, kind in part.sections.items()}}
routes: list[Route] = [route for part in PARTS for route in part.routes]
migrations: str | None = str(Path(__file__).parent / "migrations")
rows: tuple[type[Row], ...] = (ThresholdStateRow, ThresholdLessonRow, *(row for part in PARTS for row in part.rows))
commands: dict[str, str] = {}


def children(configuration: Configuration, whole: Whole) -> list[ChildSpec]:
    """The branch `/thresholds`."""
    more = [spec for part in PARTS for spec in part.children(configuration)]
    return [branch(configuration.section(SECTION), *more)]


def branch(settings: Settings, *more: ChildSpec) -> ChildSpec:
    """All of it with these settings; `more`: of the parts."""
    specs = [_child(THRESHOLD_STATES, "states:ThresholdStates", {"settings": settings})]
    if settings.redis_url:
        specs.append(_child(THRESHOLD_CACHE, "redis_cache:RedisCache", {"settings": settings}))
    specs.append(
        _child(
            THRESHOLD_ROSTER,
            "roster:ThresholdRoster",
            {"settings": settings, "second_cache": bool(settings.redis_url)},
        )
    )
    specs.append(dynamic_supervisor(_name(THRESHOLD_USERS), limit=LIMIT, backoff=BACKOFF))
    return supervisor(THRESHOLDS.strip("/"), *specs, *more, limit=LIMIT, backoff=BACKOFF)


def _child(path: str, actor: str, arguments: dict[str, Any]) -> ChildSpec:
    return ChildSpec(_name(path), f"actors.thresholds.{actor}", arguments, backoff=BACKOFF)


def _name(path: str) -> str:
    return path.rpartition("/")[2]


def probes(configuration: Configuration) -> list[tuple[str, str]]:
    """Who answers for thresholds."""
    known = [("thresholds", THRESHOLD_ROSTER), ("threshold_states", THRESHOLD_STATES)]
    if configuration.section(SECTION).redis_url:
        known.append(("threshold_cache", THRESHOLD_CACHE))
    return known + [probe for part in PARTS for probe in part.probes(configuration)]
