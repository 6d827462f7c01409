"""The library's settings, and its part of the tree.

/strategy_sources       one for one
├── ai_ml               reads the database of the code strategies, behind a breaker
└── no_code             reads the database of the drawn strategies, behind a breaker
/library                all strategies of all sources
"""

from __future__ import annotations

from typing import Annotated, Final

import msgspec

from actors.strategies.package import LIBRARY
from runtime import Backoff, BreakerSettings, ChildSpec, RestartLimit, supervisor
from runtime.breaker import Count
from runtime.settings import LocalPath

SOURCES_BRANCH: Final = "/strategy_sources"
LIMIT: Final = RestartLimit(count=10, seconds=30.0)
BACKOFF: Final = Backoff(first_s=0.1, most_s=2.0)
BREAKER: Final = BreakerSettings(
    window=Count(4),
    minimum_calls=2,
    failure_rate=0.5,
    open_s=5.0,
    half_open_calls=1,
    half_open_timeout_s=10.0,
    record=("unavailable", "timed_out"),
)
"""A database that is away costs two questions their time, and then one every five seconds."""
CONNECTIONS: Final = 2


class LibrarySettings(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """Where strategies are from beside the runtime's own tables."""

    folder: LocalPath = ""
    """A folder of `*.py` files, each a strategy by its name; it is looked at twice a second. Empty: none."""
    ai_ml_url: str = ""
    """postgresql://…: tables `strategies`, `projects`, `project_files`. Read only. Empty: none."""
    no_code_url: str = ""
    """postgresql://…: table `nocode_workflows`. Read only. Empty: none."""
    cache_s: Annotated[float, msgspec.Meta(ge=0, le=86_400)] = 300.0
    """How long a strategy of these databases is not asked for again."""
    cache_entries: Annotated[int, msgspec.Meta(ge=1, le=10_000)] = 100
    """How many of them are kept, for that and for while their database is away."""


def external_path(source: str) -> str:
    """The path of the actor that reads the database of an external source."""
    return f"{SOURCES_BRANCH}/{source}"


def specs(settings: LibrarySettings) -> list[ChildSpec]:
    """`/strategy_sources` (where there is a database) and `/library`."""
    urls = {"ai_ml": settings.ai_ml_url, "no_code": settings.no_code_url}
    readers = [
        ChildSpec(
            name=source,
            actor="actors.storage.queries:Queries",
            arguments={"url": url, "connections": CONNECTIONS},
            backoff=BACKOFF,
            breaker=BREAKER,
            stop_s=1.0,
        )
        for source, url in urls.items()
        if url
    ]
    library = ChildSpec(
        name=LIBRARY.strip("/"),
        actor="actors.strategies.library:Library",
        arguments={
            "folder": settings.folder,
            "external": tuple(reader.name for reader in readers),
            "cache_s": settings.cache_s,
            "cache_entries": settings.cache_entries,
        },
        backoff=BACKOFF,
    )
    branch = [supervisor(SOURCES_BRANCH.strip("/"), *readers, limit=LIMIT, backoff=BACKOFF)] if readers else []
    return [*branch, library]
