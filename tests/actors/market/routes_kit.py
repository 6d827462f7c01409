"""What the tests of the market's API share: a node with books that a test feeds itself, behind a real edge."""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import httpx
import trio

from actors.edge.auth import token_of
from actors.edge.edge import GetEdgeAddress
from actors.market import bar_builder, derivatives, orderbook_stream
from actors.market.bar_builder import BarSettings
from actors.market.derivatives import DerivativesSettings
from actors.market.feed_tree import keeper_spec
from protocols.control import Message, Probe
from protocols.market import FeedStatus, GetBookPosition, ListMarkets
from protocols.market_data import BARS, DERIVATIVES, ORDERBOOK_STREAM
from protocols.paths import MARKET_INDEX
from runtime import ChildSpec, Node, NodeSettings, open_node, supervisor
from tests.http_client import http_client

FEED = "kalshi"
SPOT, PERPETUAL, YES = "BTCUSDT.BINANCE", "BTCUSDT.BINANCE-USDM", "KXA"
MARKETS = (SPOT, PERPETUAL, YES)
EDGE = ChildSpec(
    name="edge",
    actor="actors.edge.edge:Edge",
    arguments={"settings": {"port": 0}, "routes": ("actors.market.routes:routes",)},
)


class Api:
    """The node, and a client of its edge."""

    def __init__(self, node: Node, url: str, client: httpx.AsyncClient, token: str) -> None:
        self.node = node
        self.url = url
        self.client = client
        self.token = token

    async def say(self, *messages: Message) -> None:
        """Publish, and wait until everybody who answers has handled it."""
        for message in messages:
            self.node.publish(message)
        for market in MARKETS:
            await self.node.ref(f"/market/{FEED}/books/{market}").ask(GetBookPosition())
        for path in (BARS, DERIVATIVES, ORDERBOOK_STREAM):
            if path in self.node.cells:
                await self.node.ref(path).ask(Probe())
        await self.node.ref(MARKET_INDEX).ask(ListMarkets())

    async def get(self, path: str, status: int = 200, **parameters: Any) -> Any:
        answer = await self.client.get(path, params=parameters)
        assert answer.status_code == status, answer.text
        return answer.json()

    async def post(self, path: str, body: Any, status: int = 200, **headers: str) -> Any:
        answer = await self.client.post(path, json=body, headers=headers)
        assert answer.status_code == status, answer.text
        return answer.json()


@asynccontextmanager
async def open_api(
    *beside: ChildSpec, within: Sequence[ChildSpec] = (), intervals: tuple[str, ...] = ("1m", "1h"), built: bool = True
) -> AsyncIterator[Api]:
    """A node that follows `MARKETS`; `beside` stands beside `/market`, `within` in it."""
    parts = [ChildSpec(name="index", actor="actors.market.index:MarketIndex", arguments={"feeds": {FEED: MARKETS}})]
    if built:
        parts += bar_builder.specs(BarSettings(intervals=intervals, grace_ms=0))
        parts += derivatives.specs(DerivativesSettings(large_notional="1000"))
    parts += [*orderbook_stream.specs(), *within]
    books = supervisor("books", *(keeper_spec(FEED, market, 100.0) for market in MARKETS))
    tree = supervisor("market", *parts, supervisor(FEED, books))
    with TemporaryDirectory() as folder:
        async with open_node(NodeSettings(data_dir=folder), (tree, *beside, EDGE)) as node:
            address = await node.ref("/edge").ask(GetEdgeAddress())
            async with http_client(base_url=address.url(), timeout=20.0) as client:
                api = Api(node, address.url(), client, token_of(Path(folder)))
                await api.say(FeedStatus(FEED, "live", f"{FEED}-1.1-1", "", node.clock.now()))
                with trio.fail_after(60):
                    yield api
