"""A session against a venue that does what the simulated one never does. Over a real socket, by a script."""

from __future__ import annotations

import json
import socket
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from functools import partial
from pathlib import Path
from typing import Any

import trio
from trio_websocket import ConnectionClosed, WebSocketConnection, WebSocketRequest, serve_websocket

from actors.market.feed_settings import FeedSettings
from protocols.control import Probe
from protocols.market import BookUpdate
from tests.actors.market.kit import Market, open_market

Script = Callable[["Venue"], Awaitable[None]]


class Venue:
    """The venue's end of one connection, numbered from 0."""

    def __init__(self, number: int, socket: WebSocketConnection) -> None:
        self.number = number
        self.socket = socket
        self.seq = 0

    async def command(self) -> dict[str, Any]:
        return dict(json.loads(await self.socket.get_message()))

    async def say(self, **frame: Any) -> None:
        await self.socket.send_message(json.dumps(frame))

    async def next(self, **frame: Any) -> None:
        self.seq += 1
        await self.say(sid=1, seq=self.seq, **frame)

    async def accept_books(self) -> None:
        """Acknowledge the book subscription, which is asked for first."""
        command = await self.command()
        await self.say(type="subscribed", id=command["id"], msg={"channel": "orderbook_delta", "sid": 1})

    async def snapshot(self, market: str = "M", levels: int = 1) -> None:
        yes = [[f"{n / 10_000:.4f}", f"{n}.00"] for n in range(1, levels + 1)]
        await self.next(type="orderbook_snapshot", msg={"market_ticker": market, "yes_dollars_fp": yes})

    async def delta(self, market: str = "M") -> None:
        msg = {"market_ticker": market, "price_dollars": "0.0001", "delta_fp": "1.00", "side": "yes"}
        await self.next(type="orderbook_delta", msg=msg)


@asynccontextmanager
async def feed_of(tmp_path: Path, script: Script, **settings: Any) -> AsyncIterator[Market]:
    """A feed of market M whose venue follows `script` on every connection."""
    count = 0

    async def serve(request: WebSocketRequest) -> None:
        nonlocal count
        socket = await request.accept()
        venue = Venue(count, socket)
        count += 1
        try:
            await script(venue)
            await socket.get_message()
            await trio.sleep_forever()
        except ConnectionClosed:
            pass

    async with trio.open_nursery() as nursery:
        server = await nursery.start(partial(serve_websocket, serve, "127.0.0.1", 0, ssl_context=None))
        feed = FeedSettings(
            name="odd",
            url=f"ws://127.0.0.1:{server.port}/trade-api/ws/v2",
            markets=("M",),
            channels=("book",),
            backoff_s=0.01,
            **settings,
        )
        async with open_market(tmp_path, feed) as market:
            yield market
        nursery.cancel_scope.cancel()


async def figures(market: Market) -> dict[str, object]:
    return dict((await market.node.ref("/market/odd/session").ask(Probe())).figures)


async def test_a_snapshot_of_every_price_there_is_keeps_its_place_among_the_deltas(tmp_path: Path) -> None:
    async def script(venue: Venue) -> None:
        await venue.accept_books()
        await venue.snapshot(levels=9_999)
        await venue.delta()
        await venue.snapshot(levels=9_999)
        await venue.delta()
        await venue.delta()

    async with feed_of(tmp_path, script) as market:
        last = await market.next(BookUpdate, lambda update: update.seq == 5)
        assert [update.seq for update in market.past if isinstance(update, BookUpdate)] == [1, 2, 3, 4, 5]
        book = await market.book("M", "odd")
        assert (book.seq, book.stale, len(book.bids)) == (last.seq, "", 9_999)
        assert book.bids[-1].size == 3 * 10**9
        # This venue says nothing of itself; the configuration calls it simulated, and that is enough.
        assert book.marks == ("synthetic",)


async def test_bytes_that_are_no_frame_end_the_connection_and_the_next_one_is_clean(tmp_path: Path) -> None:
    async def script(venue: Venue) -> None:
        await venue.accept_books()
        await venue.snapshot()
        if venue.number == 0:
            await venue.socket.send_message("<html>bad gateway</html>")

    async with feed_of(tmp_path, script) as market:
        assert "not a frame" in (await market.state("down", "odd")).detail
        await market.state("live", "odd")
        assert (await figures(market))["connections"] == 2


async def test_a_venue_that_never_answers_the_subscription_is_left(tmp_path: Path) -> None:
    async def script(venue: Venue) -> None:
        if venue.number > 0:
            await venue.accept_books()
            await venue.snapshot()

    async with feed_of(tmp_path, script, recovery_s=0.05) as market:
        down = await market.state("down", "odd")
        assert down.detail == "a command was not answered"
        await market.state("live", "odd")


async def test_a_venue_that_sends_no_snapshot_is_asked_asked_differently_and_left(tmp_path: Path) -> None:
    asked: list[str] = []

    async def script(venue: Venue) -> None:
        await venue.accept_books()
        if venue.number > 0:
            await venue.snapshot()
            return
        while True:
            command = await venue.command()
            asked.append(command["params"].get("action", command["cmd"]))
            if command["cmd"] == "subscribe":
                await venue.say(type="subscribed", id=command["id"], msg={"channel": "orderbook_delta", "sid": 2})

    async with feed_of(tmp_path, script, recovery_s=0.05) as market:
        assert (await market.state("down", "odd")).detail == "no snapshot of M"
        await market.state("live", "odd")
    assert asked == ["get_snapshot", "unsubscribe", "subscribe"]


async def test_a_book_that_crosses_is_asked_for_again_by_its_keeper(tmp_path: Path) -> None:
    async def script(venue: Venue) -> None:
        await venue.accept_books()
        await venue.snapshot()
        msg = {"market_ticker": "M", "price_dollars": "0.0000", "delta_fp": "1.00", "side": "no"}
        await venue.next(type="orderbook_delta", msg=msg)
        command = await venue.command()
        assert command["params"] == {"sid": 1, "market_tickers": ["M"], "action": "get_snapshot"}
        await venue.snapshot(levels=2)

    async with feed_of(tmp_path, script) as market:
        await market.next(BookUpdate, lambda update: update.snapshot and update.seq == 3)
        assert (await market.book("M", "odd")).stale == ""


async def test_nothing_at_all_at_the_address_is_tried_again(tmp_path: Path) -> None:
    with socket.socket() as bound:
        bound.bind(("127.0.0.1", 0))
        url = f"ws://127.0.0.1:{bound.getsockname()[1]}/"
    feed = FeedSettings(name="odd", url=url, markets=("M",), backoff_s=0.001, backoff_most_s=0.002)
    async with open_market(tmp_path, feed) as market:
        down = await market.state("down", "odd")
        assert "HandshakeError" in down.detail
        report = await market.node.ref("/market/odd/session").ask(Probe())
        # It has tried; a node is not kept from being ready by a venue that is away.
        assert (report.status, report.ready) == ("failed", True)
        assert (await market.book("M", "odd")).stale == "session_started"
