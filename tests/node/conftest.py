"""Data folders for whole nodes: one that was initialised once, to be copied, and a node that tests share."""

from __future__ import annotations

import os
import random
from collections.abc import Iterator
from pathlib import Path

import pytest
import trio

from tests.node.kit import DEFAULT, NodeProcess, copy_of


@pytest.fixture(scope="session")
def template(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A data folder after the first start and stop of a node; to be copied."""

    async def prepare() -> None:
        # Without a strategy, so that it holds no signals.
        with NodeProcess(folder, DEFAULT.partition("[[strategies]]")[0]) as node:
            await node.ready()
            assert await node.stop() == 0

    # Short names: a socket's path has at most 107 bytes.
    folder = tmp_path_factory.mktemp("t")
    trio.run(prepare)
    return folder / "data"


@pytest.fixture
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An empty folder with a short name."""
    return tmp_path_factory.mktemp("n")


@pytest.fixture
def prepared(template: Path, folder: Path) -> Path:
    """A folder with the data of a node that has run before."""
    return copy_of(template, folder)


class Shared:
    """A node that several tests use one after the other; a new one if the last test has ruined it."""

    def __init__(self, template: Path, factory: pytest.TempPathFactory) -> None:
        self._template = template
        self._factory = factory
        self._node: NodeProcess | None = None

    async def healthy(self) -> NodeProcess:
        if self._node is not None and self._node.process.poll() is None:
            with trio.move_on_after(5.0):
                await self._node.refreshed().ready_again()
                return self._node
        self.close()
        self._node = NodeProcess(copy_of(self._template, self._factory.mktemp("s")))
        self._node.start()
        return await self._node.ready()

    def close(self) -> None:
        if self._node is not None:
            self._node.__exit__(None, None, None)
            self._node = None


@pytest.fixture(scope="package")
def shared_nodes(template: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Shared]:
    """A node works for as long as it is up, so these end with the last of the package's tests."""
    shared = Shared(template, tmp_path_factory)
    yield shared
    shared.close()


@pytest.fixture
async def node(shared_nodes: Shared) -> NodeProcess:
    """A ready node that other tests have used, or will."""
    found = await shared_nodes.healthy()
    await found.flowing()
    return found


@pytest.fixture
def chance() -> random.Random:
    """Random moments; TROUPE_SEED repeats them."""
    seed = os.environ.get("TROUPE_SEED") or str(random.SystemRandom().randrange(10**6))
    print(f"TROUPE_SEED={seed}")
    return random.Random(seed)
