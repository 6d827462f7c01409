"""Where the database is: for storage itself, and for whoever has to reach it from another process."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from runtime.settings import Configuration

SECTION: Final = "database"


def server_folder(configuration: Configuration) -> Path:
    """Return the folder of the embedded server."""
    return Path(configuration.section("node").data_dir).absolute() / "postgres"


def database_url(configuration: Configuration) -> str:
    """Return where the database is, configured or embedded."""
    url: str | None = configuration.section(SECTION).url
    if url is not None:
        return url
    from actors.storage.embedded import server_url

    return server_url(server_folder(configuration))
