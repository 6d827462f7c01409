"""The actor that stands for the sessions of a feed whose markets are divided."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Final

import msgspec

from actors.market.feed_branch import divided
from actors.market.feed_events import FeedEvent
from actors.market.reporting import append
from actors.market.session_messages import FeedHappened
from actors.market.venues import session_class
from protocols.control import Crashed, Probe, ProbeReport, Refused, Shutdown, Terminated, Unknown
from protocols.market import (
    STALE,
    BookStale,
    FeedMarkets,
    FeedState,
    FeedStatus,
    FollowMarkets,
    GetFeedMarkets,
    ListMarkets,
    Quote,
    RequestSnapshot,
    SampledQuote,
    UnfollowMarkets,
)
from protocols.paths import MARKET, MARKET_INDEX, feed_session
from runtime import Actor, Mailbox, receive

FEED_DOWN: Final = "feed_down"
_ASK_S: Final = 15.0
# From the best to the worst: a feed is as its worst shard is.
_ORDER: Final[tuple[FeedState, ...]] = ("ended", "live", "recovering", "connecting", "down")


class ShardedFeed(Actor):
    """Divides what is asked of a feed over its shards, and says how all of them are together.

    `shards`: each shard with its configured markets. A shard whose worker is gone can say nothing any more: its books
    and quotes are called stale here, at once.
    """

    mailbox = Mailbox(capacity=4096)

    def __init__(self, feed: str, venue: str, shards: Mapping[str, Sequence[str]]) -> None:
        self.feed = feed
        self.core_class = session_class(venue)
        self.markets = {name: frozenset(markets) for name, markets in shards.items()}
        self.statuses = {name: FeedStatus(name, "connecting", "", "", 0) for name in shards}
        self.told: tuple[FeedState, str] | None = None
        self.lost = 0
        self.rows_refused = 0

    def on_start(self) -> None:
        """Watch the shards, and hear what they say of themselves."""
        for name in self.markets:
            self.subscribe(FeedStatus, name)
            self.subscribe(FeedMarkets, name)
            self.watch(self.lookup(f"{MARKET}/{name}"))
        self._tell()

    async def on_continue(self) -> None:
        """Learn what the shards have been asked to follow and to leave before this life."""
        index = self.lookup(MARKET_INDEX)
        for name in self.markets:
            try:
                self.markets[name] = frozenset((await index.ask(GetFeedMarkets(name))).markets)
            except (Refused, Unknown) as error:
                self.logger.warning("the market index does not answer", why=str(error))

    # -- what shards say -------------------------------------------------------------------------------

    @receive
    def status(self, message: FeedStatus) -> None:
        """How one shard is."""
        if message.feed in self.statuses:
            self.statuses[message.feed] = message
            self._tell()

    @receive
    def followed(self, message: FeedMarkets) -> None:
        """What one shard follows."""
        if message.feed in self.markets:
            self.markets[message.feed] = frozenset(message.markets)

    @receive
    def happened(self, message: FeedHappened) -> None:
        """Keep a row for a session that has no log. A log that is full does not stop a feed."""
        self.rows_refused += not append(self, message.event)

    @receive
    def shard_ended(self, message: Terminated) -> None:
        """Nobody feeds its books until it is back and has snapshots of them."""
        name = message.path.removeprefix(f"{MARKET}/")
        if message.incarnation.count == 0 or name not in self.markets:
            return
        self.lost += 1
        now = self.clock.now()
        reason = message.reason
        detail = f"{reason.error}: {reason.text}" if isinstance(reason, Crashed) else type(reason).__name__.lower()
        markets = self.markets[name]
        for market in sorted(markets):
            self.publish(BookStale(market, name, FEED_DOWN, now))
        before = self.statuses[name]
        status = FeedStatus(name, "down", before.session, detail, now, before.marks)
        self.publish(status)
        self.status(status)
        if not isinstance(reason, Shutdown):
            self.rows_refused += not append(self, FeedEvent(name, "shard_lost", before.session, detail, now))
        self.spawn(self._quote_as_stale, before.session, markets, name="stale")

    async def _quote_as_stale(self, session: str, markets: frozenset[str]) -> None:
        """Publish the last quotes of a shard's life once more, marked."""
        # What its next life has quoted meanwhile, if anything, is not touched.
        life = session.rpartition("-")[0]
        for quote in await self._last_quotes(markets):
            if STALE not in quote.marks and (not quote.session or quote.session.startswith(life)):
                stale = msgspec.structs.replace(quote, marks=(*quote.marks, STALE))
                self.publish(stale)
                self.publish(SampledQuote(stale))

    async def _last_quotes(self, markets: Iterable[str]) -> list[Quote]:
        try:
            known = await self.lookup(MARKET_INDEX).ask(ListMarkets())
        except (Refused, Unknown) as error:
            self.logger.warning("the market index does not answer", why=str(error))
            now = self.clock.now()
            return [Quote(market, None, 0, None, 0, "", 0, 0, now) for market in sorted(markets)]
        return [each.quote for each in known.markets if each.quote is not None and each.market in markets]

    def _tell(self) -> None:
        """Publish how the feed is, if that has changed."""
        worst = max((status.state for status in self.statuses.values()), key=_ORDER.index)
        affected = [name for name, status in self.statuses.items() if status.state == worst]
        detail = "" if worst == "live" else ", ".join(affected)
        self.remark = f"{worst} · {len(self.statuses)} shards"
        if (worst, detail) != self.told:
            self.told = worst, detail
            marks = dict.fromkeys(mark for status in self.statuses.values() for mark in status.marks)
            self.publish(FeedStatus(self.feed, worst, "", detail, self.clock.now(), tuple(marks)))

    # -- what is asked of the feed ---------------------------------------------------------------------

    @receive
    def follow(self, request: FollowMarkets) -> None:
        """Follow more markets, each in its shard."""
        self.answer_later(self._follow, request)

    async def _follow(self, request: FollowMarkets) -> FeedMarkets:
        for name, markets in self._divided(request.markets):
            await self.lookup(feed_session(name)).ask(FollowMarkets(markets), timeout=_ASK_S)
        return await self._following()

    @receive
    def unfollow(self, request: UnfollowMarkets) -> None:
        """Follow less."""
        wanted = {self.core_class.canonical(name) for name in request.markets}
        if unknown := wanted.difference(*self.markets.values()):
            raise Refused("not_found", f"{self.feed} does not follow {', '.join(sorted(unknown))}", "markets")
        self.answer_later(self._unfollow, request)

    async def _unfollow(self, request: UnfollowMarkets) -> FeedMarkets:
        for name, markets in self._divided(request.markets):
            await self.lookup(feed_session(name)).ask(UnfollowMarkets(markets), timeout=_ASK_S)
        return await self._following()

    async def _following(self) -> FeedMarkets:
        return await self.lookup(MARKET_INDEX).ask(GetFeedMarkets(self.feed))

    @receive
    def request_snapshot(self, message: RequestSnapshot) -> None:
        """Somebody has lost a book's way."""
        for name, _ in self._divided((message.market,)):
            self.lookup(feed_session(name)).tell(message)

    @receive
    def probe(self, request: Probe) -> ProbeReport:
        """How the shards are; each answers for itself, too."""
        states = [status.state for status in self.statuses.values()]
        figures = (
            ("state", max(states, key=_ORDER.index)),
            ("shards", len(states)),
            ("live", states.count("live")),
            ("ends of shards", self.lost),
            ("rows refused", self.rows_refused),
        )
        well = set(states) <= {"live", "ended"}
        detail = "" if well else ", ".join(f"{each.feed} {each.state}" for each in self.statuses.values())
        return ProbeReport("ok" if well else "degraded", detail, "connecting" not in states, figures)

    def _divided(self, names: Iterable[str]) -> list[tuple[str, tuple[str, ...]]]:
        markets = dict.fromkeys(self.core_class.canonical(name) for name in names)
        return [(shard, owned) for shard, owned in divided(self.markets, markets).items() if owned]
