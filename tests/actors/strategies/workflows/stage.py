"""A real node with storage, the library, the sandbox, the hub and an edge, on which workflows are drawn over HTTP."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import msgspec
import trio

import actors.edge.capability
import actors.signals.capability
import actors.storage.capability
import actors.strategies
from actors.edge.auth import token_of
from actors.edge.edge import GetEdgeAddress
from actors.market.bar_builder import BarSettings
from actors.market.bar_builder import specs as bar_specs
from actors.strategies import capability
from actors.strategies.library_settings import LibrarySettings
from actors.strategies.library_settings import specs as library_specs
from actors.strategies.package import LIBRARY, GetPackage, Package
from actors.strategies.sandbox.keeper import SandboxSettings
from actors.strategies.workflows.settings import specs
from protocols.market import Bar
from protocols.nanos import NANO
from protocols.paths import EDGE, HUB
from protocols.signals import ReadSignals, SignalStored, StoredSignal
from runtime import ChildSpec, KillChild, Node, NodeSettings, Tap, open_node, supervisor
from runtime.log import open_log
from tests.http_client import http_client

MIGRATIONS = [
    actors.storage.capability.OWN_MIGRATIONS,
    str(Path(actors.strategies.__file__).parent / "migrations"),
]
LIMIT_S = 20.0
MINUTE = 60 * NANO
T0 = 1_700_000_040 * NANO
OPEN = {
    "min_confidence_threshold": 0.0,
    "max_risk_threshold": 1.0,
    "signal_cooldown": 0.0,
    "max_concurrent_signals": 50,
}


def bar(number: int, close: float, market: str = "A") -> Bar:
    """The `number`-th minute bar."""
    start, price = T0 + number * MINUTE, round(close * NANO)
    end = start + MINUTE
    return Bar(market, "1m", start, end, price, price, price, price, "1", 1, price, "venue", end)


class Desk:
    """What a test has of the node."""

    def __init__(self, node: Node, tap: Tap, port: int, token: str) -> None:
        self.node = node
        self.tap = tap
        headers = {"authorization": f"Bearer {token}"}
        self.http = http_client(base_url=f"http://127.0.0.1:{port}/api", headers=headers, timeout=LIMIT_S)

    async def answered(self, method: str, path: str, status: int = 200, **body: Any) -> Any:
        """The JSON of an answer with this status; asked again while the workflows are not read back."""
        with trio.fail_after(LIMIT_S):
            while True:
                answer = await self.http.request(method, path, json=body or ({} if method == "POST" else None))
                if answer.status_code != 503 or answer.json()["error"]["code"] != "not_ready":
                    break
        assert answer.status_code == status, answer.text
        return answer.json()

    async def package(self, strategy_id: str) -> Package:
        return await self.node.ref(LIBRARY).ask(GetPackage(strategy_id, "workflow"), LIMIT_S)

    async def signals(self, count: int) -> list[StoredSignal]:
        """All stored signals, once there are `count`."""
        with trio.fail_after(LIMIT_S):
            while True:
                page = await self.node.ref(HUB).ask(ReadSignals(1))
                if page.last_seq >= count:
                    return list(page.signals)
                await self.tap.receive()

    async def kill(self, path: str) -> None:
        """End an actor without asking it."""
        parent, _, name = path.rpartition("/")
        await self.node.ref(parent or "/").ask(KillChild(name))


@asynccontextmanager
async def desk(folder: Path, database: str, patience_s: float = LIMIT_S) -> AsyncIterator[Desk]:
    """A node in this folder; leaving the block stops it, and another one in the same folder goes on where it was."""
    storage = {"url": database, "migrations": MIGRATIONS, "migrate": False, "batch_rows": 5_000, "batch_bytes": 4 << 20}
    writer = ChildSpec(name="writer", actor="actors.storage.writer:Writer", arguments=storage)
    queries = ChildSpec(name="queries", actor="actors.storage.queries:Queries", arguments={"url": database})
    settings = actors.edge.capability.Settings(port=0)
    routes = ("actors.strategies.capability:routes",)
    [workflows] = specs()
    children = (
        supervisor("storage", writer, queries),
        actors.signals.capability.branch(actors.signals.capability.Settings()),
        supervisor("market", *bar_specs(BarSettings())),
        *library_specs(LibrarySettings()),
        msgspec.structs.replace(workflows, arguments={"patience_s": patience_s}),
        *capability.branch((), SandboxSettings(memory_mb=64)),
        ChildSpec(name="edge", actor="actors.edge.edge:Edge", arguments={"settings": settings, "routes": routes}),
    )
    log = open_log(folder / "log", segment_bytes=1 << 20, max_bytes=1 << 26, reserve_bytes=0)
    try:
        async with open_node(NodeSettings(data_dir=str(folder)), children, log=log) as node:
            address = await node.ref(EDGE).ask(GetEdgeAddress())
            with node.open_tap((SignalStored, None), capacity=10_000) as tap:
                at = Desk(node, tap, address.port, token_of(folder))
                async with at.http:
                    yield at
    finally:
        log.close()
