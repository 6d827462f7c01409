"""A client of the simulated venue beside the node's own: it keeps the books itself, to compare them with the node's."""

from __future__ import annotations

import json
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from decimal import Decimal
from typing import Any

import trio
from trio_websocket import ConnectionClosed, WebSocketConnection, open_websocket_url

from actors.market.simulated.venue import KEY_ID
from protocols.venues.kalshi_signing import WEBSOCKET_PATH, Signer
from tests.node.kit import NodeProcess, until

Levels = dict[Decimal, Decimal]


class Observer:
    """Books of raw frames: per market the YES and the NO leg, each with its own prices, as the venue sends them."""

    def __init__(self) -> None:
        self.legs: dict[str, dict[str, Levels]] = {}
        self.frames = 0

    def book(self, market: str) -> tuple[Levels, Levels]:
        """Bids and asks of YES."""
        legs = self.legs[market]
        return legs["yes"], {1 - price: size for price, size in legs["no"].items()}

    async def follow(self, connection: WebSocketConnection) -> None:
        """Take frames until the connection ends."""
        try:
            while True:
                self._take(json.loads(await connection.get_message()))
        except ConnectionClosed:
            return

    def _take(self, frame: dict[str, Any]) -> None:
        self.frames += 1
        message = frame.get("msg", {})
        if frame["type"] == "orderbook_snapshot":
            self.legs[message["market_ticker"]] = {
                leg: {Decimal(price): Decimal(size) for price, size in message.get(f"{leg}_dollars_fp", [])}
                for leg in ("yes", "no")
            }
        elif frame["type"] == "orderbook_delta":
            levels = self.legs[message["market_ticker"]][message["side"]]
            price = Decimal(message["price_dollars"])
            size = levels.get(price, Decimal(0)) + Decimal(message["delta_fp"])
            assert size >= 0
            if size:
                levels[price] = size
            else:
                del levels[price]


@asynccontextmanager
async def observing(node: NodeProcess, *markets: str) -> AsyncIterator[Observer]:
    """An observer of the node's simulated venue that has all snapshots."""
    signer = Signer(KEY_ID, (node.data / "market" / "venue-key.pem").read_bytes())
    headers = [(name.encode(), value.encode()) for name, value in signer.headers(time.time_ns() // 1_000_000)]
    [port] = node.listening_ports() - {node.port}
    observer = Observer()
    async with (
        open_websocket_url(f"ws://127.0.0.1:{port}{WEBSOCKET_PATH}", extra_headers=headers) as connection,
        trio.open_nursery() as nursery,
    ):
        params = {"channels": ["orderbook_delta"], "market_tickers": markets, "use_yes_price": False}
        await connection.send_message(json.dumps({"id": 1, "cmd": "subscribe", "params": params}))
        nursery.start_soon(observer.follow, connection)
        await until(lambda: observer.legs.keys() == set(markets), "snapshots")
        yield observer
        nursery.cancel_scope.cancel()


async def same_book(node: NodeProcess, observer: Observer, market: str) -> None:
    """Wait until the node shows the observer's book: two clients of a venue are never at the same frame for long."""

    async def same() -> bool:
        body = await node.get(f"/api/v1/markets/{market}/book?depth=0")
        shown = tuple(
            {Decimal(level["price"]): Decimal(level["size"]) for level in body[side]} for side in ("bids", "asks")
        )
        # The observer goes on while the node answers, so it may be asked too late: then it is asked again.
        return body["stale"] == "" and shown == observer.book(market)

    await until(same, f"the same book of {market}")
