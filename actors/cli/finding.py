"""What a check of the doctor finds, and what it may look at."""

from __future__ import annotations

import argparse
import functools
from pathlib import Path
from typing import Any, Literal, NamedTuple

from actors.cli.configuration import data_folder, load
from actors.cli.node_api import NodeFile, is_alive, read_node_file

Status = Literal["ok", "warn", "fail", "skip"]


class Finding(NamedTuple):
    """One row: the check, how it went, what was seen, and what to do about it."""

    check: str
    status: Status
    detail: str
    fix: str | None = None


class Surroundings:
    """The configuration and the node that the command line names, each looked up once and only when asked for."""

    def __init__(self, arguments: argparse.Namespace) -> None:
        self.arguments = arguments

    @functools.cached_property
    def configuration(self) -> Any:
        """The resolved configuration. Raises CommandError."""
        return load(self.arguments)

    @functools.cached_property
    def folder(self) -> Path:
        """The data folder. Raises CommandError."""
        return data_folder(self.arguments)

    @functools.cached_property
    def node(self) -> NodeFile | None:
        """The node that runs on the data folder, if its process exists."""
        found = read_node_file(self.folder)
        return found if found is not None and is_alive(found.pid) else None
