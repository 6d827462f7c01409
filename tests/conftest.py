"""Options of the whole suite: where the recorded market data lies, and whether the long tests run."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from xdist.scheduler import LoadFileScheduling

from tests.docs.sharing import shares

REPOSITORY = Path(__file__).resolve().parent.parent


def pytest_addoption(parser: pytest.Parser) -> None:
    group = parser.getgroup("troupe")
    group.addoption(
        "--recordings",
        metavar="DIR",
        default="../shared/data",
        help="folder of recorded market data, relative to the repository (default: ../shared/data)",
    )
    group.addoption("--long", action="store_true", help="run the soak, chaos and fuzz tests too")


def recordings_folder(config: pytest.Config) -> Path:
    return (REPOSITORY / config.getoption("--recordings")).resolve()


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    no_recordings = None
    if not recordings_folder(config).is_dir():
        reason = f"no recorded market data in {recordings_folder(config)} (--recordings DIR)"
        no_recordings = pytest.mark.skip(reason=reason)
    too_long = pytest.mark.skip(reason="a long test (--long runs it)")
    # The file that takes longest goes first, so that nobody waits for it at the end.
    items.sort(key=lambda item: "docs/test_documents" not in item.nodeid)
    for item in items:
        if item.get_closest_marker("long") and not config.getoption("--long"):
            item.add_marker(too_long)
        needs_recordings = item.get_closest_marker("recordings") or "recordings" in getattr(item, "fixturenames", ())
        if needs_recordings and no_recordings is not None:
            item.add_marker(no_recordings)


TOGETHER = ("tests/actors/execution/http/", "tests/node/")
"""Folders whose files share a node."""


class ByFileAndPage(LoadFileScheduling):
    """Whole files to one process, and folders that share a node; of the documents the pages that share one."""

    def _split_scope(self, nodeid: str) -> str:
        file, _, rest = nodeid.partition("::")
        if file.startswith(TOGETHER):
            return next(folder for folder in TOGETHER if file.startswith(folder))
        if not file.endswith("docs/test_documents.py"):
            return file
        page = REPOSITORY / rest.partition("[")[2].rpartition(":")[0]
        return f"{file} {page.is_file() and shares(page)}"


def pytest_xdist_make_scheduler(config: pytest.Config, log: Any) -> LoadFileScheduling | None:
    return ByFileAndPage(config, log) if config.getoption("dist") == "loadfile" else None


@pytest.fixture(scope="session")
def recordings(pytestconfig: pytest.Config) -> Path:
    """The folder of recorded market data; a test that asks for it is skipped where it is absent."""
    return recordings_folder(pytestconfig)
