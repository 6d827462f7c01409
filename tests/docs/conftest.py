"""The node that pages of the documents share, and a reader for every page."""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.docs.reader import REPOSITORY, Reader, RunningNode, lay_out
from tests.docs.sharing import shares


@pytest.fixture(scope="module")
def folders() -> Iterator[Path]:
    """Where readers work. Short: the path of a Unix socket below it has a limit. Open: a database server without the
    rights of root has to get into it."""
    folder = Path(tempfile.mkdtemp(prefix="docs-"))
    folder.chmod(0o755)
    yield folder
    shutil.rmtree(folder)


class Library:
    """Page to its reader. One reads at a time; nodes that pages have started may still be stopping meanwhile."""

    def __init__(self, folders: Path) -> None:
        self._folders = folders
        self._shared: RunningNode | None = None
        self._closed: list[Reader] = []
        self._page = ""
        self._reader: Reader | None = None

    def reader_of(self, page: str) -> Reader:
        """The reader of a page; the one of the page before is done."""
        if self._reader is None or page != self._page:
            self.turn_over()
            self._page = page
            shared = self.shared() if shares(REPOSITORY / page) else None
            self._reader = Reader(self._folders / f"page-{len(self._closed)}", shared)
        return self._reader

    def shared(self) -> RunningNode:
        """`bin/troupe run` as the README says it, once, for as long as documents are read."""
        if self._shared is None:
            folder = self._folders / "node"
            lay_out(folder)
            self._shared = RunningNode(folder, folder / "data")
        return self._shared

    def turn_over(self) -> None:
        """The page is read."""
        if self._reader is not None:
            self._closed.append(self._reader)
            self._reader = None
            self._closed[-1].close()

    def close(self) -> None:
        """Stop whatever pages have started, and wait until nothing is left of it."""
        self.turn_over()
        nodes = [node for reader in self._closed for node in reader.own]
        if self._shared is not None:
            self._shared.stop()
            nodes.append(self._shared)
        for node in nodes:
            node.ended()


@pytest.fixture(scope="module")
def library(folders: Path) -> Iterator[Library]:
    """The readers of all pages."""
    library = Library(folders)
    try:
        yield library
    finally:
        library.close()
