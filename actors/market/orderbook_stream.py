"""The actor at `/market/stream`: order books for WebSocket clients, as they change.

It takes a market's updates itself, beside the book keeper, from the moment that a client wants the market; the book to
begin from is the keeper's. A client's connection belongs to the edge: when this actor ends, however it ends, each
connection is told (`detached`) and turns to the next incarnation, which begins with new snapshots.
"""

from __future__ import annotations

from typing import Any, ClassVar, Final

import trio

from actors.edge.websocket import WebSocket
from actors.market.orderbook_stream_core import BookFanOut, Client, MarketStream, frame
from protocols.control import Lagged, Message, Probe, ProbeReport, Refused, Request, Unknown
from protocols.market import (
    BookStale,
    BookUpdate,
    BookView,
    GetBook,
    ListMarkets,
    MarketPhase,
    MarketStatus,
)
from protocols.market_data import ORDERBOOK_STREAM
from protocols.orderbook_stream import SubscribedMessage
from protocols.paths import MARKET_INDEX
from runtime import Actor, ChildSpec, Mailbox, Overflow, receive

SWEEP_S: Final = 0.1
ASK_S: Final = 2.0
RETRY_S: Final = 0.25
SNAPSHOT_S: Final = 10.0
MOST_CLIENTS: Final = 1000
MOST_MARKETS: Final = 1000
"""Of one client."""


def specs() -> list[ChildSpec]:
    """The stream, to stand in `/market`."""
    name = ORDERBOOK_STREAM.rpartition("/")[2]
    return [ChildSpec(name=name, actor="actors.market.orderbook_stream:OrderbookStream")]


class Connection(Client):
    """A client with its WebSocket, and the event that says that its stream actor has ended."""

    __slots__ = ("detached", "socket")

    def __init__(self, name: str, socket: WebSocket) -> None:
        super().__init__(name, socket)
        self.socket = socket
        self.detached = trio.Event()


class AttachBooks(Request[None], frozen=True, gc=False, tag="attach_books"):
    """Serve this connection, with the markets it had (inside this node only). Refused `overloaded`."""

    connection: Any


class DetachBooks(Message, frozen=True, gc=False, tag="detach_books"):
    """The connection is closed."""

    connection: Any


class ChangeBooks(Request[None], frozen=True, gc=False, tag="change_books"):
    """Send these markets, or send them no more. The client is told itself, ahead of the first snapshot.

    Refused `not_found`, with the market, and `invalid`.
    """

    connection: Any
    subscribe: bool
    markets: tuple[str, ...]


class ResyncBooks(Request[None], frozen=True, gc=False, tag="resync_books"):
    """Send a new snapshot, of one market or (empty) of all. Refused `not_found` for one that is not subscribed."""

    connection: Any
    market: str = ""


class _BookCame(Message, frozen=True, gc=False, tag="stream_book_came"):
    """A keeper's book, and where it is from. `stream`: whose updates were taken when it was asked for."""

    stream: Any
    view: BookView
    feed: str
    phase: MarketPhase


class _Sweep(Message, frozen=True, gc=False, tag="stream_sweep"):
    """See who has room again."""


class OrderbookStream(Actor):
    """Fans books out to WebSocket clients."""

    mailbox: ClassVar[Mailbox] = Mailbox(capacity=16_384, overflow=Overflow.DROP_NEWEST)

    def __init__(self) -> None:
        self.fan = BookFanOut(self._open, self._close)
        self.asking: set[str] = set()

    def on_start(self) -> None:
        """Wait for clients."""
        self.spawn(self._keep_connections, name="connections")
        self.every(SWEEP_S, _Sweep())

    # Books.

    @receive
    async def update(self, message: BookUpdate) -> None:
        """Hand it on, numbered."""
        stream = self.fan.streams.get(message.market)
        if stream is None:
            return
        wire = stream.update(message)
        if wire:
            self.fan.send(stream, wire)
        elif message.snapshot and stream.begun:
            await self._prepare(stream)
            self.fan.renew(stream)

    @receive
    def stale(self, message: BookStale) -> None:
        """Tell the clients."""
        self._tell(message.market, lambda stream: stream.stale(message.reason))

    @receive
    def status(self, message: MarketStatus) -> None:
        """A crossed book is right in a pause alone."""
        self._tell(message.market, lambda stream: stream.set_phase(message.phase))

    def _tell(self, market: str, change: Any) -> None:
        stream = self.fan.streams.get(market)
        if stream is not None and (wire := change(stream)):
            self.fan.send(stream, wire)

    @receive
    def lagged(self, message: Lagged) -> None:
        """Something did not fit into the mailbox: begin with the keeper's book again."""
        stream = self.fan.streams.get(message.key)
        if stream is not None:
            self._tell(stream.market, lambda each: each.stale("lagged"))
            stream.restart()
            self._ask(stream.market)

    @receive
    async def book_came(self, message: _BookCame) -> None:
        """Begin, and send it to whoever waits for it."""
        market = message.view.market
        self.asking.discard(market)
        stream = self.fan.streams.get(market)
        if stream is None or stream.begun:
            return
        if stream is not message.stream or not stream.begin(message.view, message.feed):
            self._ask(market)
            return
        stream.set_phase(message.phase)
        await self._prepare(stream)
        self.fan.renew(stream)

    async def _prepare(self, stream: MarketStream) -> None:
        if stream.costly:
            await self.offload(stream.snapshot, timeout=SNAPSHOT_S)

    def _open(self, market: str) -> None:
        for kind in (BookUpdate, BookStale, MarketStatus):
            self.subscribe(kind, market, lossless=True)
        self._ask(market)

    def _close(self, market: str) -> None:
        for kind in (BookUpdate, BookStale, MarketStatus):
            self.unsubscribe(kind, market)

    def _ask(self, market: str) -> None:
        if market not in self.asking:
            self.asking.add(market)
            self.spawn(self._fetch, market, name="fetch")

    async def _fetch(self, market: str) -> None:
        """Ask the keeper until it answers, or until nobody wants the market."""
        while (stream := self.fan.streams.get(market)) is not None:
            try:
                found = (await self.lookup(MARKET_INDEX).ask(ListMarkets(market), ASK_S)).markets[0]
                view = await self.lookup(found.book).ask(GetBook(), ASK_S)
                await self.ref.send(_BookCame(stream, view, found.feed, found.phase), ASK_S)
            except (Refused, Unknown):
                await trio.sleep(RETRY_S)
            else:
                return
        self.asking.discard(market)

    # Connections.

    @receive
    def attach(self, request: AttachBooks) -> None:
        """Take a connection on, or over from an earlier incarnation."""
        self._attach(request.connection)

    def _attach(self, connection: Connection) -> None:
        if connection in self.fan.clients:
            return
        if len(self.fan.clients) >= MOST_CLIENTS:
            raise Refused("overloaded", f"there are {MOST_CLIENTS} clients, and there may be no more")
        connection.detached = trio.Event()
        connection.losses = {}
        self.fan.subscribe(connection, tuple(connection.markets))

    @receive
    def detach(self, message: DetachBooks) -> None:
        """Forget a connection."""
        self.fan.detach(message.connection)

    @receive
    async def change(self, request: ChangeBooks) -> None:
        """Change what a connection is sent."""
        connection: Connection = request.connection
        self._attach(connection)
        if request.subscribe:
            await self._check(connection, request.markets)
            told = tuple(sorted(connection.markets | set(request.markets)))
            connection.socket.offer(frame(SubscribedMessage(told)))
            self.fan.subscribe(connection, request.markets)
        else:
            self.fan.unsubscribe(connection, request.markets)
            connection.socket.offer(frame(SubscribedMessage(tuple(sorted(connection.markets)))))

    async def _check(self, connection: Connection, markets: tuple[str, ...]) -> None:
        known = {each.market for each in (await self.lookup(MARKET_INDEX).ask(ListMarkets(), ASK_S)).markets}
        for market in markets:
            if market not in known:
                raise Refused("not_found", f"no feed has a market {market!r}", "markets")
        if len(connection.markets | set(markets)) > MOST_MARKETS:
            raise Refused("invalid", f"a connection has at most {MOST_MARKETS} markets", "markets")

    @receive
    async def resync(self, request: ResyncBooks) -> None:
        """Send it anew."""
        connection: Connection = request.connection
        self._attach(connection)
        if request.market and request.market not in connection.markets:
            raise Refused("not_found", f"this connection has no market {request.market!r}", "market")
        for market in (request.market,) if request.market else tuple(connection.markets):
            await self._prepare(self.fan.streams[market])
        self.fan.resync(connection, request.market)

    @receive
    async def sweep(self, message: _Sweep) -> None:
        """Bring those up that have room again."""
        for client in self.fan.clients:
            for market in () if client.sink.backlog_bytes else tuple(client.losses):
                await self._prepare(self.fan.streams[market])
        self.fan.sweep()

    async def _keep_connections(self) -> None:
        try:
            await trio.sleep_forever()
        finally:
            # The actor ends, in whatever way.
            for client in tuple(self.fan.clients):
                assert isinstance(client, Connection)
                client.detached.set()

    @receive
    def probe(self, request: Probe) -> ProbeReport:
        """How many are served, and what they have lost."""
        fan = self.fan
        return ProbeReport(
            "ok",
            figures=(
                ("clients", len(fan.clients)),
                ("markets", len(fan.streams)),
                ("lagging", sum(any(loss.first for loss in client.losses.values()) for client in fan.clients)),
                ("sent", fan.sent),
                ("lost", fan.lost),
            ),
        )
