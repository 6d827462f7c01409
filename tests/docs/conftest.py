"""The one node that the documents talk to, and a reader for every page."""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.docs.reader import Reader, RunningNode, lay_out


@pytest.fixture(scope="module")
def folders() -> Iterator[Path]:
    """Where readers work. Short: the path of a Unix socket below it has a limit. Open: a database server without the
    rights of root has to get into it."""
    folder = Path(tempfile.mkdtemp(prefix="docs-"))
    folder.chmod(0o755)
    yield folder
    shutil.rmtree(folder)


@pytest.fixture(scope="module")
def shared_node(folders: Path) -> Iterator[RunningNode]:
    """`bin/troupe run` as the README says it, once, for as long as documents are read."""
    folder = folders / "node"
    lay_out(folder)
    node = RunningNode(folder, folder / "data")
    try:
        yield node
    finally:
        node.stop()
        node.ended()


class Library:
    """Page to its reader. One reads at a time; nodes that pages have started may still be stopping meanwhile."""

    def __init__(self, folders: Path, shared: RunningNode) -> None:
        self._folders = folders
        self._shared = shared
        self._closed: list[Reader] = []
        self._page = ""
        self._reader: Reader | None = None

    def reader_of(self, page: str) -> Reader:
        """The reader of a page; the one of the page before is done."""
        if self._reader is None or page != self._page:
            self.turn_over()
            self._page = page
            self._reader = Reader(self._folders / f"page-{len(self._closed)}", self._shared)
        return self._reader

    def turn_over(self) -> None:
        """The page is read."""
        if self._reader is not None:
            self._closed.append(self._reader)
            self._reader = None
            self._closed[-1].close()

    def ended(self) -> None:
        """Wait until nothing is left that a page has started."""
        for node in (node for reader in self._closed for node in reader.own):
            node.ended()


@pytest.fixture(scope="module")
def library(folders: Path, shared_node: RunningNode) -> Iterator[Library]:
    """The readers of all pages."""
    library = Library(folders, shared_node)
    yield library
    library.turn_over()
    shared_node.stop()
    library.ended()
