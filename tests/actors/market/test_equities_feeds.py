"""Feeds of Massive and Alpha Vantage through the whole node, over real sockets: their stand-ins speak as they do."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import trio
import trio.testing
from trio_websocket import ConnectionClosed, WebSocketRequest, serve_websocket

from actors.market.feed_settings import FeedSettings
from protocols.market import Bar, FeedStatus, Ticker, Trade
from runtime import Tap
from tests.actors.market.kit import PATIENCE_S, open_market
from tests.actors.market.rest_stand_in import rest_stand_in

MS = 1_000_000
T0 = 1_704_205_800_000


class MassiveStandIn:
    """Massive's socket: greets, takes the key, confirms what is subscribed, and says what it is told to say."""

    def __init__(self) -> None:
        self.url = ""
        self.subscribed: list[str] = []
        self.connections = 0
        self.keys: list[str] = []
        self._sockets: list[Any] = []

    async def serve(self, request: WebSocketRequest) -> None:
        socket = await request.accept()
        self.connections += 1
        self._sockets.append(socket)
        try:
            await self._say(socket, {"ev": "status", "status": "connected", "message": "Connected Successfully"})
            while True:
                await self._hear(socket, json.loads(await socket.get_message()))
        except ConnectionClosed:
            self._sockets.remove(socket)

    async def _hear(self, socket: Any, command: dict[str, str]) -> None:
        if command["action"] == "auth":
            self.keys.append(command["params"])
            word = "auth_success" if command["params"] == "KEY" else "auth_failed"
            await self._say(socket, {"ev": "status", "status": word, "message": word})
            return
        params = command["params"].split(",")
        self.subscribed += params
        await self._say(
            socket, *({"ev": "status", "status": "success", "message": f"subscribed to: {param}"} for param in params)
        )

    async def _say(self, socket: Any, *events: dict[str, Any]) -> None:
        await socket.send_message(json.dumps(events))

    async def tell(self, *events: dict[str, Any]) -> None:
        """Say this on every connection."""
        for socket in list(self._sockets):
            await self._say(socket, *events)

    async def hang_up(self) -> None:
        for socket in list(self._sockets):
            await socket.aclose(1001)


@asynccontextmanager
async def massive() -> AsyncIterator[MassiveStandIn]:
    stand_in = MassiveStandIn()
    async with trio.open_nursery() as nursery:
        server = await nursery.start(serve_websocket, stand_in.serve, "127.0.0.1", 0, None)
        stand_in.url = f"ws://127.0.0.1:{server.port}/stocks"
        yield stand_in
        nursery.cancel_scope.cancel()


def feed(folder: Path, venue: str, markets: tuple[str, ...], key: str = "KEY", **fields: Any) -> FeedSettings:
    path = folder / "key"
    path.write_text(key)
    return FeedSettings(
        name=venue, venue=venue, markets=markets, key_id="me", key_file=str(path), backoff_s=0.01, **fields
    )


async def heard(tap: Tap, *kinds: type) -> list[Any]:
    """The next message of each kind, in the order of the kinds."""
    found: dict[type, Any] = {}
    with trio.fail_after(PATIENCE_S):
        while len(found) < len(kinds):
            for message in await tap.receive():
                if type(message) in kinds:
                    found.setdefault(type(message), message)
    return [found[kind] for kind in kinds]


def minute(at: int) -> dict[str, Any]:
    start = T0 + at * 60_000
    return {"ev": "AM", "sym": "AAPL", "o": 1, "h": 2, "l": 1, "c": 1.5, "v": 9, "s": start, "e": start + 60_000}


async def test_stocks_come_over_a_socket_and_again_after_it_was_closed(tmp_path: Path) -> None:
    async with massive() as venue:
        settings = feed(tmp_path, "massive", ("AAPL",), url=venue.url, marks=("delayed",))
        async with open_market(tmp_path, settings) as market:
            with market.node.open_tap((Trade, None), (Ticker, None), (Bar, None), path="stocks", capacity=1000) as tap:
                await market.state("live", "massive")
                assert sorted(venue.subscribed) == ["AM.AAPL", "Q.AAPL", "T.AAPL"]
                await venue.tell(
                    {"ev": "T", "sym": "AAPL", "x": 4, "i": "7", "p": 185.64, "s": 100, "t": T0, "q": 1},
                    {"ev": "Q", "sym": "AAPL", "bp": 185.63, "bs": 2, "ap": 185.65, "as": 3, "t": T0, "q": 2},
                    minute(0),
                )
                trade, ticker, bar = await heard(tap, Trade, Ticker, Bar)
                assert (trade.market, trade.price, trade.ts_event) == ("AAPL.MASSIVE", 185_640_000_000, T0 * MS)
                assert (ticker.bid, ticker.ask, ticker.marks) == (185_630_000_000, 185_650_000_000, ("delayed",))
                assert (bar.close, bar.source, bar.interval) == (1_500_000_000, "venue", "1m")
                await venue.hang_up()
                await market.state("down", "massive")
                await market.state("live", "massive")
                assert venue.connections == 2
                assert len(venue.subscribed) == 6


async def test_a_wrong_key_is_told_and_not_tried_again_at_once(tmp_path: Path) -> None:
    async with massive() as venue:
        settings = feed(tmp_path, "massive", ("AAPL",), key="WRONG", url=venue.url)
        async with open_market(tmp_path, settings) as market:
            status = await market.next(FeedStatus, lambda each: each.state == "down" and each.detail != "")
            assert "auth_failed" in status.detail
            await trio.testing.wait_all_tasks_blocked(0.01)
            assert venue.keys == ["WRONG"]


async def test_a_feed_that_was_evicted_does_not_evict_back(tmp_path: Path) -> None:
    async with massive() as venue, open_market(tmp_path, feed(tmp_path, "massive", ("AAPL",), url=venue.url)) as market:
        await market.state("live", "massive")
        await venue.tell({"ev": "status", "status": "max_connections", "message": "Maximum exceeded."})
        status = await market.state("down", "massive")
        assert "max_connections" in status.detail
        await trio.testing.wait_all_tasks_blocked(0.01)
        assert venue.connections == 1


async def test_polled_prices_are_tickers_that_say_that_they_are_late(tmp_path: Path) -> None:
    def answering(path: str, query: dict[str, str]) -> tuple[int, Any]:
        assert (path, query["apikey"]) == ("/query", "KEY")
        return 200, {"Global Quote": {"01. symbol": query["symbol"], "05. price": "289.7000"}}

    with rest_stand_in(answering) as venue:
        settings = feed(tmp_path, "alphavantage", ("IBM",), rest_url=venue.url, recovery_s=0.1)
        async with open_market(tmp_path, settings) as market:
            with market.node.open_tap((Ticker, None), path="prices", capacity=100) as tap:
                (ticker,) = await heard(tap, Ticker)
                await market.state("live", "alphavantage")
        assert (ticker.market, ticker.last, ticker.marks) == ("IBM.ALPHAVANTAGE", 289_700_000_000, ("delayed",))
        assert len(venue.asked) == 1
