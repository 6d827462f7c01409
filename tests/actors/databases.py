"""One PostgreSQL server for all tests of a process, and databases on it, each from a template with its room's tables.

A server takes a second to make, a database from a template a few hundredths.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterable
from pathlib import Path

import asyncpg

from actors.storage import schema
from tests.actors.storage.kit import call


class Databases:
    """Databases on the server at `url`; nobody else uses it."""

    def __init__(self, url: str) -> None:
        self.url = url
        self._templates: dict[tuple[str, ...], str] = {}
        self._numbers = itertools.count()

    def new(self, migrations: Iterable[str | Path | None] = ()) -> str:
        """The URL of a database that nobody has used, with the tables of these folders; without any it is empty."""
        folders = tuple(str(folder) for folder in migrations if folder is not None)
        return self._made(self._template_of(folders) if folders else "template0")

    def _template_of(self, folders: tuple[str, ...]) -> str:
        if folders not in self._templates:
            url = self._made("template0")
            call(url, lambda connection: schema.upgrade(connection, [Path(folder) for folder in folders]))
            self._templates[folders] = _name_of(url)
        return self._templates[folders]

    def copy(self, url: str, name: str) -> str:
        """The URL of a database of this name that has what the one at `url` has; nobody may be connected to that."""
        return self._made(_name_of(url), name)

    def _made(self, template: str, name: str = "") -> str:
        name = name or f"made_{next(self._numbers)}"

        async def create(connection: asyncpg.Connection) -> None:
            await connection.execute(f"CREATE DATABASE {name} TEMPLATE {template} STRATEGY file_copy")

        call(self.url, create)
        return self.url.replace("/postgres?", f"/{name}?")


def _name_of(url: str) -> str:
    return url.partition("?")[0].rpartition("/")[2]
