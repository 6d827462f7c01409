"""What a `capability.py` offers: the shape by which a folder of `actors/` becomes part of a node."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Protocol

import msgspec

from protocols.control import Row
from runtime.settings import Configuration
from runtime.spec import ChildSpec


class Whole(msgspec.Struct, frozen=True):
    """What all capabilities offer together, for those that serve all of them."""

    routes: tuple[str, ...] = ()
    """Import paths of lists of routes: `package.module:routes`."""
    migrations: tuple[str, ...] = ()
    """Folders of Alembic migrations, one branch each."""
    probes: tuple[tuple[str, str], ...] = ()
    """(name, path) of the actors that answer `Probe`."""


class Capability(Protocol):
    """A module `actors.<folder>.capability`. It is imported when a node is composed, never by another capability."""

    sections: Mapping[str, Any]
    """The sections of the configuration that are this capability's, with their types."""
    routes: Sequence[Any]
    migrations: str | None
    rows: Sequence[type[Row]]
    commands: Mapping[str, str]
    """Verbs of the command line, as import strings; a literal, because help reads it without importing."""

    def children(self, configuration: Configuration, whole: Whole) -> list[ChildSpec]:
        """Its branch of the tree."""

    def probes(self, configuration: Configuration) -> list[tuple[str, str]]:
        """Who answers for it: (name, path)."""
