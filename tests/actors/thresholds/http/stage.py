"""A real node with all of the thresholds, the database and an edge, and a client of it."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any, Final

import httpx
import trio

import actors.signals.capability
from actors.edge.auth import token_of
from actors.edge.edge import GetEdgeAddress
from actors.signals.capability import Settings as HubSettings
from actors.thresholds.capability import branch
from actors.thresholds.http import part as http
from actors.thresholds.http.settings import ApiSettings
from actors.thresholds.intake import part as intake
from actors.thresholds.intake.settings import OutcomeSettings
from protocols.market import Quote
from protocols.nanos import NANO
from runtime import ChildSpec, Node, NodeSettings, open_node, supervisor
from runtime.clock import VirtualClock
from runtime.log import open_log
from tests.actors.thresholds.intake.stage import BEGIN, storage
from tests.actors.thresholds.stage import QUIET
from tests.http_client import http_client

LIMIT_S: Final = 30.0
ADMIN: Final = "key-of-the-administrator"
API: Final = ApiSettings(admin_key=ADMIN, requests_per_minute=0)
EDGE: Final = ChildSpec(
    name="edge",
    actor="actors.edge.edge:Edge",
    arguments={
        "settings": {"port": 0},
        "routes": ("actors.thresholds.http.part:routes", "actors.monitor.capability:routes"),
    },
)
README_SIGNAL: Final = {
    "symbol": "BTCUSD",
    "confidence": 0.85,
    "rsi": 65,
    "change_percent": 3.5,
    "volume": 1_500_000_000,
    "action": "BUY",
}


class Api:
    """What a test has of it."""

    def __init__(self, client: httpx.AsyncClient, node: Node, clock: VirtualClock, token: str) -> None:
        self.client = client
        self.node = node
        self.clock = clock
        self.token = {"authorization": f"Bearer {token}"}

    async def raw(self, method: str, path: str, body: object = None, *, token: bool = True, **more: Any) -> Any:
        headers = {**(self.token if token else {}), **more.pop("headers", {})}
        return await self.client.request(method, f"/api/v1/{path}", json=body, headers=headers, **more)

    async def data(self, method: str, path: str, body: object = None, **more: Any) -> Any:
        """What a request succeeds with."""
        answer = await self.raw(method, path, body, **more)
        found = answer.json()
        assert (answer.status_code, found.get("success")) == (200, True), answer.text
        return found["data"]

    async def refused(self, method: str, path: str, body: object = None, **more: Any) -> tuple[int, str, str | None]:
        """Status, code and field of what a request is refused with."""
        answer = await self.raw(method, path, body, **more)
        found = answer.json()
        assert found["success"] is False, answer.text
        assert set(found) == {"success", "error"}
        return answer.status_code, found["error"]["code"], found["error"]["field"]

    async def trade(self, share: float, confidence: float, user: str = "user123", **changes: Any) -> Any:
        signal = {**README_SIGNAL, "confidence": confidence}
        trade = {"return": share, "closed_at": self.clock.now()}
        body = {"symbol": "BTCUSD", "trade": trade, "signal": signal, **changes}
        return await self.data("POST", f"performance/{user}", body)

    def quote(self, bid: float, ask: float, market: str = "BTCUSD") -> None:
        now = self.clock.now()
        self.node.topics.publish(Quote(market, round(bid * NANO), NANO, round(ask * NANO), NANO, "s", 1, now, now))


@asynccontextmanager
async def api(
    folder: Path, url: str, clock: VirtualClock | None = None, settings: ApiSettings = API
) -> AsyncIterator[Api]:
    """A node in this folder; another one in the same folder goes on where it was."""
    clock = clock or VirtualClock(BEGIN)
    outcomes = OutcomeSettings(fee_rate=0.0, grace_s=0.0, follow_deployments=False)
    branches = (
        storage(url),
        actors.signals.capability.branch(HubSettings()),
        supervisor("market", ChildSpec("index", "actors.market.index:MarketIndex", {"feeds": {"f": ["BTCUSD"]}})),
        branch(QUIET, intake.spec(outcomes), http.spec(settings, outcomes)),
        EDGE,
    )
    log = open_log(folder / "log", segment_bytes=1 << 20, max_bytes=1 << 26, reserve_bytes=0)
    try:
        with trio.fail_after(2 * LIMIT_S):
            async with open_node(
                NodeSettings(name="test", data_dir=str(folder)), branches, clock=clock, log=log
            ) as node:
                at = (await node.ref("/edge").ask(GetEdgeAddress())).url()
                async with http_client(base_url=at, timeout=20.0) as client:
                    yield Api(client, node, clock, token_of(folder))
    finally:
        log.close()
