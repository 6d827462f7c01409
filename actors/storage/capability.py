"""Storage as a capability: its settings, its branch of the tree, its tables, its command.

/storage                one for one: each part finds the others again by itself
├── postgres            the embedded server, unless `database.url` names another
├── writer              owns the process that moves the node's log into the database
└── queries             answers `RunQuery`, and the probe for all of storage
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import msgspec

from actors.storage.location import SECTION as SECTION
from actors.storage.location import database_url as database_url
from actors.storage.location import server_folder as server_folder
from protocols.control import Row
from protocols.paths import QUERIES, STORAGE_POSTGRES, STORAGE_WRITER
from runtime import Backoff, ChildSpec, RestartLimit, supervisor

if TYPE_CHECKING:
    from runtime.capability import Whole
    from runtime.settings import Configuration

OWN_MIGRATIONS = str(Path(__file__).parent / "migrations")

LIMIT = RestartLimit(count=20, seconds=60)
"""A database that somebody kills again and again is no reason for the node to end."""
BACKOFF = Backoff(first_s=0.05, most_s=2.0)

Count = Annotated[int, msgspec.Meta(ge=1)]


class Settings(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """`[database]`: where rows go, and the node's log that they go through. Sizes in bytes."""

    url: str | None = None
    """postgresql://user:password@host:port/database; none: an embedded server in the data folder."""
    user: str | None = None
    """As whom the embedded server runs when the node is run by root; none: `postgres` or `nobody`."""
    migrate: bool = True
    """Whether to bring the schema up to date at the start; else `bin/troupe db upgrade` does."""
    connections: Annotated[int, msgspec.Meta(ge=1, le=30)] = 4
    """How many queries run at once."""
    batch_rows: Annotated[int, msgspec.Meta(ge=1, le=100_000)] = 5_000
    """Rows that the writer moves in one transaction, at most."""
    batch_bytes: Count = 4 << 20
    interval_s: Annotated[float, msgspec.Meta(gt=0, le=60)] = 0.02
    """How long the writer waits for more when it has moved everything; longer makes fewer, fuller transactions."""
    segment_bytes: Annotated[int, msgspec.Meta(ge=64 << 10)] = 16 << 20
    """The size of one file of the log."""
    max_log_bytes: Count = 1 << 30
    """How much the log holds while the database is away; then rows are refused."""
    reserve_bytes: Annotated[int, msgspec.Meta(ge=0)] = 256 << 20
    """How much of the disk the log leaves free; then rows are refused."""
    fsync: bool = False
    """Whether a row is on the disk, safe from a power failure, before it is accepted: milliseconds instead of 1 µs."""

    def __post_init__(self) -> None:
        if self.max_log_bytes < 2 * self.segment_bytes:
            raise ValueError(f"max_log_bytes must be at least two segments of {self.segment_bytes} bytes")


def log_options(settings: Settings) -> dict[str, Any]:
    """Return what `runtime.log.open_log` is given beside the folder."""
    return {
        "segment_bytes": settings.segment_bytes,
        "max_bytes": settings.max_log_bytes,
        "reserve_bytes": settings.reserve_bytes,
        "fsync": settings.fsync,
    }


def children(configuration: Configuration, whole: Whole) -> list[ChildSpec]:
    """Return the branch of the tree, over the migrations of all capabilities."""
    settings: Settings = configuration.section(SECTION)
    url = database_url(configuration)
    parts = []
    if settings.url is None:
        parts.append(
            ChildSpec(
                name=_last(STORAGE_POSTGRES),
                actor="actors.storage.postgres:Postgres",
                arguments={"folder": str(server_folder(configuration)), "user": settings.user},
                backoff=BACKOFF,
                stop_s=4.0,
            )
        )
    parts.append(
        ChildSpec(
            name=_last(STORAGE_WRITER),
            actor="actors.storage.writer:Writer",
            arguments={
                "url": url,
                "migrations": list(whole.migrations),
                "migrate": settings.migrate,
                "batch_rows": settings.batch_rows,
                "batch_bytes": settings.batch_bytes,
                "interval_s": settings.interval_s,
            },
            backoff=BACKOFF,
            stop_s=2.0,
        )
    )
    parts.append(
        ChildSpec(
            name=_last(QUERIES),
            actor="actors.storage.queries:Queries",
            arguments={"url": url, "connections": settings.connections},
            backoff=BACKOFF,
            stop_s=1.0,
        )
    )
    return [supervisor("storage", *parts, limit=LIMIT, backoff=BACKOFF)]


def _last(path: str) -> str:
    return path.rpartition("/")[2]


def probes(configuration: Configuration) -> list[tuple[str, str]]:
    """Return who answers for the writer, the database and the queries together."""
    return [("database", QUERIES)]


sections: dict[str, Any] = {SECTION: Settings}
routes: list[Any] = []
migrations: str | None = OWN_MIGRATIONS
rows: tuple[type[Row], ...] = ()
commands: dict[str, str] = {"db": "actors.storage.commands:db"}
