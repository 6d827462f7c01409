"""A real node with storage, library, data sets, backtests and an edge."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import trio

import actors.edge.capability
import actors.research
import actors.storage.capability
import actors.strategies.capability
from actors.edge.auth import token_of
from actors.edge.edge import GetEdgeAddress
from actors.research.backtest import settings as backtests
from actors.research.datasets import settings as datasets
from actors.strategies.library_settings import LibrarySettings
from actors.strategies.library_settings import specs as library
from actors.strategies.sandbox.keeper import SandboxSettings
from actors.strategies.workflows.settings import specs as workflows
from protocols.backtests import ENDED, BacktestChanged
from protocols.paths import EDGE
from runtime import ChildSpec, Node, NodeSettings, open_node, supervisor
from runtime.cluster.settings import ClusterSettings
from runtime.log import open_log
from tests.http_client import http_client

MIGRATIONS = [
    actors.storage.capability.OWN_MIGRATIONS,
    str(actors.strategies.capability.migrations),
    str(Path(actors.research.__file__).parent / "migrations"),
]
LIMIT_S = 30.0
POLL_S = 0.02


class Desk:
    """What a test has of the node."""

    def __init__(self, node: Node, url: str, token: str) -> None:
        self.node = node
        self.http = http_client(base_url=f"{url}/api", headers={"authorization": f"Bearer {token}"}, timeout=LIMIT_S)

    async def answered(self, method: str, path: str, status: int = 200, **sent: Any) -> Any:
        """The JSON of an answer with this status; asked again while something is not read back."""
        if method == "POST" and not sent:
            sent = {"json": {}}
        with trio.fail_after(LIMIT_S):
            while True:
                answer = await self.http.request(method, path, **sent)
                if answer.status_code != 503 or answer.json()["error"]["code"] != "not_ready":
                    break
                await trio.sleep(POLL_S)
        assert answer.status_code == status, answer.text
        return answer.json()

    async def dataset(self, content: bytes, name: str = "bars.csv") -> str:
        """The id of a data set of this content."""
        files = {"file": (name, content, "text/csv")}
        made = await self.answered("POST", "/datasets/upload", 201, data={"name": name}, files=files)
        with trio.fail_after(LIMIT_S):
            while True:
                found = await self.answered("GET", f"/datasets/{made['id']}")
                if found["status"] != "processing":
                    return str(found["id"])
                await trio.sleep(POLL_S)

    async def ended(self, job_id: str) -> Any:
        """The job, once it has ended."""
        with self.node.open_tap((BacktestChanged, job_id)) as tap, trio.fail_after(LIMIT_S):
            while (found := await self.answered("GET", f"/backtests/{job_id}"))["status"] not in ENDED:
                await tap.receive()
        return found


@asynccontextmanager
async def desk(
    folder: Path,
    database: str,
    settings: backtests.BacktestSettings | None = None,
    *,
    sandbox: bool = False,
    cluster: ClusterSettings | None = None,
) -> AsyncIterator[Desk]:
    """A node in this folder; leaving the block stops it, and another one in the same folder goes on where it was."""
    storage = {"url": database, "migrations": MIGRATIONS, "migrate": False, "batch_rows": 5_000, "batch_bytes": 4 << 20}
    edge = actors.edge.capability.Settings(port=0)
    routes = (
        "actors.research.capability:routes",
        "actors.strategies.library_routes:routes",
        "actors.strategies.workflows.routes:routes",
    )
    children = (
        supervisor(
            "storage",
            ChildSpec(name="writer", actor="actors.storage.writer:Writer", arguments=storage),
            ChildSpec(name="queries", actor="actors.storage.queries:Queries", arguments={"url": database}),
        ),
        *library(LibrarySettings()),
        *workflows(),
        *actors.strategies.capability.branch((), SandboxSettings(memory_mb=64) if sandbox else None),
        supervisor(
            "research",
            *datasets.specs(datasets.DatasetSettings()),
            *backtests.specs(settings or backtests.BacktestSettings(), str(folder)),
        ),
        ChildSpec(name="edge", actor="actors.edge.edge:Edge", arguments={"settings": edge, "routes": routes}),
    )
    log = open_log(folder / "log", segment_bytes=1 << 20, max_bytes=1 << 26, reserve_bytes=0)
    try:
        async with open_node(NodeSettings(data_dir=str(folder)), children, log=log, cluster=cluster) as node:
            address = await node.ref(EDGE).ask(GetEdgeAddress())
            at = Desk(node, f"http://127.0.0.1:{address.port}", token_of(folder))
            async with at.http:
                yield at
    finally:
        log.close()
