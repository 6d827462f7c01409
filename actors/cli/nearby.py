"""An unknown path gets the question that helps: which existing path was meant."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from typing import Any

from actors.cli.node_api import NodeApi
from actors.cli.parser import near_miss
from actors.cli.report import CommandError, Exit


@contextlib.contextmanager
def with_near_paths(node: NodeApi, path: str) -> Iterator[None]:
    """Around a call about a path: a `not found` leaves with the nearest path of the tree as its hint."""
    try:
        yield
    except CommandError as error:
        if error.exit_status is not Exit.NOT_FOUND:
            raise
        try:
            known = list(paths(node.get("/api/v1/actors")))
        except CommandError:
            known = []
        hint = near_miss("/" + path.strip("/"), known) or "troupe tree shows the paths that exist"
        issues = (issue._replace(hint=issue.hint or hint) for issue in error.issues)
        raise CommandError(error.exit_status, *issues) from error


def paths(document: Any) -> Iterator[str]:
    """Every path in a tree's JSON."""
    if isinstance(document, dict):
        path = document.get("path")
        if isinstance(path, str):
            yield path
        for child in document.get("children") or ():
            yield from paths(child)
