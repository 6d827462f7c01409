"""The one node that the documents talk to, and a reader for every page."""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest

from tests.docs.reader import Reader, RunningNode, lay_out


@pytest.fixture(scope="session")
def folders() -> Iterator[Path]:
    """Where readers work. Short: the path of a Unix socket below it has a limit. Open: a database server without the
    rights of root has to get into it."""
    folder = Path(tempfile.mkdtemp(prefix="docs-"))
    folder.chmod(0o755)
    yield folder
    shutil.rmtree(folder)


@pytest.fixture(scope="session")
def shared_node(folders: Path) -> Iterator[RunningNode]:
    """`bin/troupe run` as the README says it, for as long as documents are read."""
    folder = folders / "node"
    lay_out(folder)
    node = RunningNode(folder)
    try:
        yield node
    finally:
        assert node.stop() == 0, node.log.read_text()[-4000:]


@pytest.fixture(scope="session")
def readers(folders: Path, shared_node: RunningNode) -> Iterator[dict[str, Reader]]:
    """Page to its reader. Only one is at work at a time: that of the page before is closed by `reader_of`."""
    found: dict[str, Reader] = {}
    with ExitStack() as stack:
        stack.callback(lambda: [reader.close() for reader in found.values()])
        yield found
