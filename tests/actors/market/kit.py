"""What the tests of the market's actors share: a node with feeds, and waiting for what is published."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from pathlib import Path
from typing import TypeVar

import trio

from actors.market.capability import branch
from actors.market.feed_settings import FeedSettings, VenueSettings
from actors.market.instrument_master import InstrumentSettings
from protocols.control import ActorEvent, Lagged, Message
from protocols.instruments import Instrument
from protocols.market import (
    BookStale,
    BookUpdate,
    BookView,
    FeedMarkets,
    FeedStatus,
    GetBook,
    MarketStatus,
    Quote,
    Trade,
)
from protocols.venues.simulated import GetEngineBook, RunSteps
from runtime import ChildSpec, KillChild, Node, NodeSettings, StartChild, Tap, open_node
from runtime.log import NodeLog

M = TypeVar("M", bound=Message)
ALPHA, BETA = "SIM-ALPHA", "SIM-BETA"
# Nothing waits for it in a good run; it ends a run that hangs.
PATIENCE_S = 20.0
TOPICS: tuple[tuple[type[Message], str | None], ...] = (
    (BookUpdate, None),
    (BookStale, None),
    (FeedStatus, None),
    (FeedMarkets, None),
    (Instrument, None),
    (MarketStatus, None),
    (Quote, None),
    (Trade, None),
    (ActorEvent, None),
)


class Market:
    """A running market: its node, and everything that is published, in order."""

    def __init__(self, node: Node, tap: Tap) -> None:
        self.node = node
        self._tap = tap
        self._heard: list[Message] = []
        self.past: list[Message] = []

    async def next(self, kind: type[M], fits: Callable[[M], bool] = lambda _: True) -> M:
        """The next published message of this kind that fits; what came before it is in `past`."""
        with trio.fail_after(PATIENCE_S):
            while True:
                while self._heard:
                    message = self._heard.pop(0)
                    assert not isinstance(message, Lagged), "the test itself was too slow"
                    self.past.append(message)
                    if isinstance(message, kind) and fits(message):
                        return message
                self._heard += await self._tap.receive()

    async def state(self, state: str, feed: str = "sim") -> FeedStatus:
        """Wait until the feed says that it is in this state."""
        return await self.next(FeedStatus, lambda message: (message.feed, message.state) == (feed, state))

    async def states(self, **wanted: str) -> None:
        """Wait until each feed has said that it is in its state, in whatever order they do."""
        left = dict(wanted)
        while left:
            status = await self.next(FeedStatus)
            if left.get(status.feed) == status.state:
                del left[status.feed]

    async def killed(self, path: str) -> None:
        """Kill an actor, and wait until its next life has begun."""
        parent, _, name = path.rpartition("/")
        await self.node.ref(parent).ask(KillChild(name))
        await self.next(ActorEvent, lambda event: (event.path, event.event) == (path, "started"))

    async def gone(self, path: str) -> None:
        """Wait until an actor has ended for good."""
        await self.next(ActorEvent, lambda event: (event.path, event.event) == (path, "stopped"))

    async def run(self, steps: int) -> None:
        """Let the traders take turns, and wait until the books have what came of it."""
        await self.node.ref("/market/venue").ask(RunSteps(steps))
        await self.settled()

    async def settled(self) -> None:
        """Wait until the books are the engine's own, which stands still."""
        while not await self.same_as_engine():
            await self.next(BookUpdate)

    def books(self, feed: str = "sim") -> list[str]:
        prefix = f"/market/{feed}/books/"
        return sorted(path for path in self.node.cells if path.startswith(prefix))

    async def book(self, market: str, feed: str = "sim") -> BookView:
        return await self.node.ref(f"/market/{feed}/books/{market}").ask(GetBook())

    async def same_as_engine(self, *markets: str) -> bool:
        """Whether the keepers' books are the engine's own."""
        for market in markets or (ALPHA, BETA):
            engine = await self.node.ref("/market/venue").ask(GetEngineBook(market))
            kept = await self.book(market)
            if (kept.bids, kept.asks, kept.stale) != (engine.bids, engine.asks, ""):
                return False
        return True


@asynccontextmanager
async def open_market(
    tmp_path: Path,
    *feeds: FeedSettings,
    venue: VenueSettings = VenueSettings(rate=0),  # noqa: B008 - frozen
    beside: Sequence[ChildSpec] = (),
    log: NodeLog | None = None,
    instruments: InstrumentSettings | None = None,
) -> AsyncIterator[Market]:
    """A node with these feeds; the simulated venue stands still unless it is told to run."""
    spec = branch(feeds, venue, tmp_path, instruments=instruments)
    node_settings = NodeSettings(data_dir=str(tmp_path))
    # The market starts last, so that the test hears its first word.
    async with open_node(node_settings, (*beside,), log=log) as node:
        with node.open_tap(*TOPICS, path="test", capacity=1_000_000) as tap:
            await node.ref("/").ask(StartChild(spec), timeout=PATIENCE_S)
            yield Market(node, tap)
