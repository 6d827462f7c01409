"""How an account's actor hears of markets: their definition, their book from a snapshot on, trades and status.

A market has one authority: its book where a feed keeps one; else its quotes and trades; else bars. What is lost on the
way makes the book stale until the next snapshot.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, Final

import msgspec
import trio

from actors.execution.account_settings import MarketReady
from protocols.control import Lagged, Refused, Terminated, Unknown
from protocols.instruments import GetInstrument, Instrument
from protocols.market import (
    Bar,
    BookStale,
    BookUpdate,
    BookView,
    Funding,
    GetBook,
    LevelChange,
    ListMarkets,
    MarketStatus,
    MarketSummary,
    Quote,
    RequestSnapshot,
    Trade,
)
from protocols.paths import INSTRUMENTS, MARKET_INDEX, feed_session
from runtime import Actor, receive

ASK_S: Final = 5.0
BOOK_S: Final = 1.0
"""The account waits for it: updates that come meanwhile must follow the book."""
RETRY_S: Final = 0.25
SLOW_S: Final = 1.0
PATIENCE_S: Final = 3.0
"""How long after it was asked for a market may still be getting ready, before it is said to be missing."""


class NotFollowed(Exception):
    """The market cannot be followed now."""

    def __init__(self, code: str, reason: str) -> None:
        super().__init__(code, reason)
        self.code = code
        self.reason = reason


class MarketFollowing(Actor):
    """The part of an account's actor that listens. `take` is told each message."""

    own_instruments: dict[str, Instrument]

    def begin_following(self) -> None:
        """Nothing is followed yet."""
        self.following: dict[str, str] = {}
        """The state of each market: "wanted", "ready", or why not."""
        self.feeds: dict[str, str] = {}

    def take(self, item: Any) -> None:
        """The next input."""
        raise NotImplementedError

    def follow(self, market: str) -> None:
        """Follow a market from now on; one that cannot be followed yet is looked for on."""
        if market in self.following:
            return
        self.following[market] = "wanted"
        self.spawn(self._find, market, name=f"find {market}")

    async def _find(self, market: str) -> None:
        """Find out what is needed, and tell the actor. What is missing is told after a while, and looked for on: a
        venue's definitions, or a feed, may come later."""
        patient_until = trio.current_time() + PATIENCE_S
        told = ""
        while True:
            try:
                messages = await self._found(market)
            except NotFollowed as failed:
                problem = f"{failed.code}: {failed.reason}"
                if problem != told and trio.current_time() > patient_until:
                    told = problem
                    self.ref.tell(MarketReady(market, (), problem))
                await trio.sleep(SLOW_S if told else RETRY_S)
            except (Unknown, Refused):
                await trio.sleep(RETRY_S)
            else:
                self.ref.tell(MarketReady(market, messages))
                return

    async def _found(self, market: str) -> tuple[Any, ...]:
        instrument = await self._definition(market)
        try:
            listed = await self.lookup(MARKET_INDEX).ask(ListMarkets(market), ASK_S)
        except Refused as refused:
            if refused.code == "not_found" and refused.field == "market":
                raise NotFollowed("not_found", f"no feed of this node has the market {market}") from None
            raise
        summary: MarketSummary = listed.markets[0]
        return (instrument, summary)

    async def _definition(self, market: str) -> Instrument:
        own = self.own_instruments.get(market)
        if own is not None:
            return own
        try:
            return await self.lookup(INSTRUMENTS).ask(GetInstrument(market), ASK_S)
        except Refused as refused:
            if refused.code != "not_found":
                raise
        raise NotFollowed(
            "instrument_unknown",
            f"nobody defines {market} (tick, lot, fees): name it in [[execution.instruments]]",
        )

    @receive
    async def market_ready(self, message: MarketReady) -> None:
        """A market's definition and place are known: listen, and take its book as it is now."""
        market = message.market
        if message.problem:
            self.following[market] = message.problem
            self.logger.warning("a market is not followed", market=market, why=message.problem)
            self.market_settled(market)
            return
        instrument, summary = message.messages
        self.take(instrument)
        self.feeds[market] = summary.feed
        kinds: tuple[type[Any], ...] = (Trade, MarketStatus, Funding)
        kinds += (BookUpdate, BookStale) if summary.book else (Quote,)
        for kind in kinds:
            self.subscribe(kind, market, lossless=True)
        self.subscribe(Bar, market, lossless=True)
        if summary.phase != "active":
            self.take(MarketStatus(market, summary.phase, "", 0, self.clock.now()))
        if summary.book:
            await self._take_book(market, summary.book)
        elif summary.quote is not None:
            self.take(summary.quote)
        self.following[market] = "ready"
        self.market_settled(market)

    async def _take_book(self, market: str, path: str) -> None:
        try:
            view = await self.lookup(path).ask(GetBook(), BOOK_S)
        except (Refused, Unknown) as error:
            self.logger.info("the book is awaited", market=market, why=str(error))
            return
        if view.bids or view.asks:
            self.first_seen[market] = (view.session, view.seq)
            self.take(snapshot_of(view))
        if view.stale:
            self.take(BookStale(market, self.feeds[market], view.stale, self.clock.now()))

    @property
    def first_seen(self) -> dict[str, tuple[str, int]]:
        """Where the book of each market was when it was first looked at: what is older is in it already."""
        if not hasattr(self, "_first_seen"):
            self._first_seen: dict[str, tuple[str, int]] = {}
        return self._first_seen

    def market_settled(self, market: str) -> None:
        """A market is followed, or is known not to be; `following` says which."""

    @receive
    def book(self, message: BookUpdate) -> None:
        """A venue message of a book."""
        place = self.first_seen.get(message.market)
        if place is not None:
            if message.session == place[0] and message.seq <= place[1] and not message.snapshot:
                return
            del self.first_seen[message.market]
        self.take(message)

    @receive
    def market_message(self, message: Quote | Trade | Bar | BookStale | MarketStatus | Funding) -> None:
        """Anything else that is said of a market."""
        self.take(message)

    @receive
    def lagged(self, message: Lagged) -> None:
        """Something did not fit into the mailbox: the book is not known any more."""
        markets: Iterable[str] = (message.key,) if message.key else tuple(self.following)
        for market in markets:
            self.logger.warning("market data was lost", market=market, topic=message.topic, count=message.count)
            self.take(BookStale(market, self.feeds.get(market, ""), "lagged", self.clock.now()))
            if feed := self.feeds.get(market):
                self.lookup(feed_session(feed)).tell(RequestSnapshot(market, "an account has lost its place"))

    @receive
    def terminated(self, message: Terminated) -> None:
        """Somebody that is watched has ended; who matters says so itself."""


def snapshot_of(view: BookView) -> BookUpdate:
    """A book as a keeper shows it, as the message that would make it."""
    changes = tuple(
        [LevelChange("bid", each.price, each.size) for each in view.bids]
        + [LevelChange("ask", each.price, each.size) for each in view.asks]
    )
    return BookUpdate(
        market=view.market,
        changes=changes,
        kind="absolute",
        snapshot=True,
        session=view.session,
        seq=view.seq,
        ts_event=view.ts_event,
        ts_recv=view.ts_recv,
        marks=view.marks,
    )


def instruments_of(fields: Iterable[dict[str, Any]]) -> dict[str, Instrument]:
    """Definitions of a configuration. Raises msgspec.ValidationError."""
    found = (msgspec.convert(each, Instrument) for each in fields)
    return {each.market: each for each in found}
