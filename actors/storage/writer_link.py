"""What the writer actor and its process say to each other: settings in the environment, reports as lines of JSON."""

from __future__ import annotations

import msgspec

VARIABLE = "TROUPE_WRITER"
"""The environment variable with the settings: unlike arguments, only the same user can read it of another process."""


class WriterSettings(msgspec.Struct, frozen=True, kw_only=True):
    """What the process needs to know."""

    url: str
    log: str
    """The folder of the node's log."""
    migrations: tuple[str, ...]
    """The folders of the capabilities' revisions."""
    migrate: bool
    batch_rows: int
    """Rows per transaction, at most."""
    batch_bytes: int
    drain_s: float
    """How long, asked to end, it goes on moving what is there already."""
    interval_s: float = 0.02
    """The wait when the log has nothing new: 50 reads of one page per second, and fewer, fuller transactions."""


class WriterReport(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """How far the process is. Sent when something changes, at most a few times a second."""

    ready: bool = False
    """Connected, and the schema is as the code wants it."""
    position: int = 0
    """Up to where the database has the log."""
    rows: int = 0
    """Moved since the process started."""
    rejected: int = 0
    """Of those, refused by the database."""
    connects: int = 0
    migrated: tuple[str, ...] = ()
    """The migrations that were run since the last report."""
    notes: tuple[str, ...] = ()
    """What went wrong since the last report, for the log: rejected rows, gaps."""
    error: str = ""
    """Why it is not ready."""
