"""Four feeds and the venue that they follow, in one loop, over real sockets: Kalshi, Binance spot and USD-M, Coinbase.

Everything that is published is kept and held against the venue's own account of its books.
"""

from __future__ import annotations

import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from functools import partial
from pathlib import Path
from typing import Any

import trio

from actors.market.capability import branch
from actors.market.feed_settings import FeedSettings, VenueSettings
from actors.market.simulated.face import Client, Face
from actors.market.simulated.kalshi_face import KEY_ID
from actors.market.simulated.ledger import Best
from actors.market.simulated.market import SimulatedMarket
from actors.market.simulated.standin import StandIn, StandInSettings
from actors.market.simulated.venue import demo_key
from protocols.control import Lagged, Message
from protocols.market import STALE, BookStale, BookUpdate, BookView, FeedStatus, GetBook, Quote
from protocols.venues import kalshi_signing
from protocols.venues.simulated import FaultOrder
from runtime import Node, NodeSettings, StartChild, Tap, open_node

VENUES = ("kalshi", "binance", "binance-usdm", "coinbase")
SUFFIXES = {"kalshi": "", "binance": ".BINANCE", "binance-usdm": ".BINANCE-USDM", "coinbase": ".COINBASE"}
# Nothing waits for it in a good run; it ends a run that hangs.
PATIENCE_S = 20.0


class Rig:
    """What runs, and all that was heard."""

    def __init__(self, node: Node, tap: Tap, standin: StandIn, trading: trio.CancelScope) -> None:
        self.node = node
        self.standin = standin
        self.heard: list[Message] = []
        self.states: dict[str, list[str]] = {venue: [] for venue in standin.faces}
        self.sessions: dict[str, str] = {}
        """The last connection on which all books of a feed were current."""
        self._tap = tap
        self._trading = trading

    # -- waiting -------------------------------------------------------------------------------------------

    async def more(self) -> None:
        """Wait for something to be published."""
        for message in await self._tap.receive():
            assert not isinstance(message, Lagged), "the test itself was too slow"
            self.heard.append(message)
            if isinstance(message, FeedStatus):
                self.states[message.feed].append(message.state)
                if message.state == "live":
                    self.sessions[message.feed] = message.session

    async def until(self, what: str, true: Callable[[], bool]) -> None:
        """Wait until it is so; whatever is published may have made it so."""
        with trio.move_on_after(PATIENCE_S) as scope:
            while not true():
                with trio.move_on_after(0.05):
                    await self.more()
        assert not scope.cancelled_caught, f"never: {what}; {self.states}"

    async def live(self, *venues: str) -> None:
        """Wait until all books of these feeds are current."""
        for venue in venues or tuple(self.states):
            await self.until(f"{venue} live", partial(self._is_live, venue))

    async def anew(self, before: dict[str, str], *venues: str) -> None:
        """Wait until these feeds are live on another connection than `before` (`sessions` of then)."""
        # A state that lasted for a moment is not told where a newer one is: only the connection's name is sure.
        for venue in venues or tuple(before):
            await self.until(f"{venue} on a new connection", partial(self._is_new, venue, before[venue]))
        await self.live(*venues)

    def _is_live(self, venue: str) -> bool:
        return self.states[venue][-1:] == ["live"]

    def _is_new(self, venue: str, before: str) -> bool:
        return self.sessions[venue] != before

    async def quotes(self, count: int = 4) -> None:
        """Wait until every market has had so many quotes more."""
        begin = len(self.heard)
        wanted = {name for name, _, _ in self.markets()}

        def enough() -> bool:
            fresh = [each.market for each in self.heard[begin:] if isinstance(each, Quote)]
            return all(fresh.count(name) >= count for name in wanted)

        await self.until(f"{count} quotes of each of {wanted}", enough)

    # -- faults --------------------------------------------------------------------------------------------

    def inject(self, kind: str, **options: Any) -> int:
        """Order a fault."""
        return self.standin.inject(FaultOrder(kind=kind, **options))  # type: ignore[arg-type] # a literal of the test

    async def spent(self) -> None:
        """Wait until every fault that was counted has hit."""
        await self.until(
            f"faults spent: {[(each.order.kind, each.left) for each in self.standin.faults]}",
            lambda: not any(each.order.count for each in self.standin.faults),
        )

    # -- the truth -----------------------------------------------------------------------------------------

    def markets(self) -> list[tuple[str, str, SimulatedMarket]]:
        """(our name, venue, market) of all."""
        return [
            (name + SUFFIXES[venue], venue, market)
            for venue, face in self.standin.faces.items()
            for name, market in face.markets.items()
        ]

    async def book(self, name: str, venue: str) -> BookView:
        """A keeper's book."""
        view: BookView = await self.node.ref(f"/market/{venue}/books/{name}").ask(GetBook())
        return view

    async def end(self) -> None:
        """Stop the traders, wait until every book is the venue's own, and judge all that was published."""
        self._trading.cancel()
        with trio.move_on_after(PATIENCE_S) as scope:
            while wrong := [
                name for name, venue, market in self.markets() if not await self._same(name, venue, market)
            ]:
                with trio.move_on_after(0.05):
                    await self.more()
        assert not scope.cancelled_caught, f"not the venue's book in the end: {wrong}; {self.states}"
        self.judge()

    async def _same(self, name: str, venue: str, market: SimulatedMarket) -> bool:
        view = await self.book(name, venue)
        ledger = market.ledger
        return (view.stale, view.bids, view.asks) == ("", ledger.levels("bid"), ledger.levels("ask"))

    def judge(self) -> None:
        """Every fresh quote is the venue's best at that sequence, and no update came twice."""
        venues = {name: (self.standin.faces[venue], market) for name, venue, market in self.markets()}
        connections: dict[str, set[int]] = {}
        judged = 0
        for quote in self.heard:
            if isinstance(quote, Quote) and STALE not in quote.marks:
                face, market = venues[quote.market]
                judged += 1
                if face.word.startswith("binance"):
                    # An update id is a version of the book, whatever the connection.
                    assert _best(quote) == market.ledger.best_at(quote.seq), quote
                    continue
                possible = {number for number, client in _clients(face) if _tells(client, market, quote)}
                session = quote.session.partition("/")[0]
                connections[session] = connections.get(session, possible) & possible
                assert connections[session], f"on no connection was this the best at its number: {quote}"
        assert judged
        updates = [(each.market, each.session, each.seq) for each in self.heard if isinstance(each, BookUpdate)]
        assert len(set(updates)) == len(updates), "an update was published twice"
        last: dict[tuple[str, str], int] = {}
        for market_name, session, seq in updates:
            assert seq > last.get((market_name, session), -1), "updates went backwards"
            last[(market_name, session)] = seq

    def reasons(self, venue: str) -> list[str]:
        """Why books of a feed were stale, in order."""
        return [each.reason for each in self.heard if isinstance(each, BookStale) and each.feed == venue]


def _clients(face: Face) -> list[tuple[int, Client]]:
    return [*face.gone.items(), *face.clients.items()]


def _tells(client: Client, market: SimulatedMarket, quote: Quote) -> bool:
    """Whether this connection's frame of that number made these best prices."""
    scope = quote.session.partition("/")[2].partition(".")[0] if client.link.venue == "kalshi" else ""
    told = client.told.get(scope, quote.seq)
    return told is not None and told[0] == market.name and market.ledger.best_at(told[1]) == _best(quote)


def _best(quote: Quote) -> Best:
    return Best(quote.bid, quote.bid_size, quote.ask, quote.ask_size)


@asynccontextmanager
async def rig(
    tmp_path: Path, *venues: str, rate: float = 600.0, levels: int = 300, backlog: int = 4096, **options: Any
) -> AsyncIterator[Rig]:
    """The venue with these faces (all four), trading, and a node that follows all of its markets. All live."""
    words = venues or VENUES
    settings = StandInSettings(
        faces=words,  # type: ignore[arg-type] # words of faces
        coins=("BTC", "ETH"),
        rate=rate,
        levels=levels,
        warm_up=100,
        backlog=backlog,
        hurry=5.0,
    )
    key_file = tmp_path / "key.pem"
    key = kalshi_signing.public_key_of(demo_key(key_file))
    standin = StandIn(settings, key, time.time_ns, time.monotonic_ns)
    await standin.open()
    quick = {"backoff_s": 0.02, "backoff_most_s": 0.2, "silence_s": 0.3, "recovery_s": 1.0} | options
    feeds = [
        FeedSettings(
            name=face.venue,
            speaks=face.venue,  # type: ignore[arg-type] # a word of faces
            url=face.url,
            rest_url=face.rest_url,
            markets=face.markets,
            key_id=KEY_ID if face.venue == "kalshi" else "",
            key_file=str(key_file) if face.venue == "kalshi" else "",
            **quick,
        )
        for face in standin.addresses()
    ]
    spec = branch(feeds, VenueSettings(), tmp_path)
    topics = ((BookUpdate, None), (BookStale, None), (FeedStatus, None), (Quote, None))
    async with trio.open_nursery() as nursery:
        nursery.start_soon(standin.run)
        trading = trio.CancelScope()

        async def trade() -> None:
            with trading:
                await standin.trade()

        async with open_node(NodeSettings(data_dir=str(tmp_path))) as node:
            with node.open_tap(*topics, path="test", capacity=1_000_000) as tap:
                running = Rig(node, tap, standin, trading)
                await node.ref("/").ask(StartChild(spec), timeout=PATIENCE_S)
                nursery.start_soon(trade)
                await running.live()
                yield running
        nursery.cancel_scope.cancel()
