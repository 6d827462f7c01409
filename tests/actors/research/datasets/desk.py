"""A real node with storage, data sets and an edge, to which files are sent over HTTP."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import trio

import actors.edge.capability
import actors.research
import actors.storage.capability
from actors.edge.auth import token_of
from actors.edge.edge import GetEdgeAddress
from actors.research.datasets.settings import DatasetSettings, specs
from protocols.paths import EDGE
from runtime import ChildSpec, Node, NodeSettings, open_node, supervisor
from runtime.log import open_log
from tests.actors.research.backtest.desk import MIGRATIONS
from tests.http_client import http_client

LIMIT_S = 30.0
POLL_S = 0.02


class Desk:
    """What a test has of the node."""

    def __init__(self, node: Node, url: str, token: str) -> None:
        self.node = node
        self.url = url
        self.http = http_client(base_url=f"{url}/api", headers={"authorization": f"Bearer {token}"}, timeout=LIMIT_S)

    async def answered(self, method: str, path: str = "", status: int = 200, **sent: Any) -> Any:
        """The JSON of an answer with this status; asked again while the data sets are not read back."""
        with trio.fail_after(LIMIT_S):
            while True:
                answer = await self.http.request(method, f"/datasets{path}", **sent)
                if answer.status_code != 503 or answer.json()["error"]["code"] != "not_ready":
                    break
        assert answer.status_code == status, answer.text
        return answer.json()

    async def sent(self, file_name: str, content: bytes, status: int = 201, **fields: str) -> Any:
        """The answer to an upload."""
        files = {"file": (file_name, content, "text/csv")}
        return await self.answered("POST", "/upload", status, data=fields, files=files)

    async def made(self, dataset_id: str) -> Any:
        """The data set, once it is made."""
        with trio.fail_after(LIMIT_S):
            while True:
                found = await self.answered("GET", f"/{dataset_id}")
                if found["status"] != "processing":
                    return found
                # A client from outside has nothing else to wait for.
                await trio.sleep(POLL_S)

    async def nothing_incoming(self, folder: Path) -> None:
        """Wait until nothing is left of what arrived."""
        incoming = trio.Path(folder / "datasets" / ".incoming")
        with trio.fail_after(LIMIT_S):
            while True:
                if not list(await incoming.iterdir()):
                    return
                await trio.sleep(POLL_S)


@asynccontextmanager
async def desk(folder: Path, database: str, settings: DatasetSettings | None = None) -> AsyncIterator[Desk]:
    """A node in this folder; leaving the block stops it, and another one in the same folder goes on where it was."""
    storage = {"url": database, "migrations": MIGRATIONS, "migrate": False, "batch_rows": 5_000, "batch_bytes": 4 << 20}
    edge = actors.edge.capability.Settings(port=0)
    routes = ("actors.research.capability:routes",)
    children = (
        supervisor(
            "storage",
            ChildSpec(name="writer", actor="actors.storage.writer:Writer", arguments=storage),
            ChildSpec(name="queries", actor="actors.storage.queries:Queries", arguments={"url": database}),
        ),
        supervisor("research", *specs(settings or DatasetSettings())),
        ChildSpec(name="edge", actor="actors.edge.edge:Edge", arguments={"settings": edge, "routes": routes}),
    )
    log = open_log(folder / "log", segment_bytes=1 << 20, max_bytes=1 << 26, reserve_bytes=0)
    try:
        async with open_node(NodeSettings(data_dir=str(folder)), children, log=log) as node:
            address = await node.ref(EDGE).ask(GetEdgeAddress())
            at = Desk(node, f"http://127.0.0.1:{address.port}", token_of(folder))
            async with at.http:
                yield at
    finally:
        log.close()
