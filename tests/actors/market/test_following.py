"""Markets that are added to a running feed and taken from it, by hand and by volume."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest
import trio

from actors.market.feed_settings import FeedSettings, VenueSettings
from protocols.control import ActorEvent, Refused
from protocols.market import (
    BookUpdate,
    FeedMarkets,
    FollowMarkets,
    GetFeedMarkets,
    ListMarkets,
    Quote,
    UnfollowMarkets,
)
from protocols.paths import MARKET_INDEX, feed_book, feed_books, feed_session
from protocols.venues.simulated import RunSteps
from runtime import KillChild
from tests.actors.market.kit import ALPHA, BETA, PATIENCE_S, Market, open_market

GAMMA, DELTA = "SIM-GAMMA", "SIM-DELTA"
VENUE = VenueSettings(rate=0, markets=(ALPHA, BETA, GAMMA, DELTA))


@asynccontextmanager
async def following(folder: Path, *markets: str, **settings: object) -> AsyncIterator[Market]:
    feed = FeedSettings(name="sim", markets=markets, backoff_s=0.05, **settings)  # type: ignore[arg-type]
    async with open_market(folder, feed, venue=VENUE) as market:
        yield market


async def followed(market: Market, feed: str = "sim") -> tuple[str, ...]:
    return (await market.node.ref(MARKET_INDEX).ask(GetFeedMarkets(feed))).markets


async def test_a_market_is_followed_while_the_others_go_on(tmp_path: Path) -> None:
    async with following(tmp_path, ALPHA) as market:
        await market.state("live")
        session = market.node.ref(feed_session("sim"))
        assert await session.ask(FollowMarkets((BETA, GAMMA))) == FeedMarkets("sim", (ALPHA, BETA, GAMMA))
        quoted: set[str] = set()
        while not quoted >= {BETA, GAMMA}:
            quoted.add((await market.next(Quote)).market)
        await market.run(200)
        assert await market.same_as_engine(ALPHA, BETA, GAMMA)
        # One subscription that grew, not a second one: nothing of the first market was lost or sent twice.
        assert len({m.session for m in market.past if isinstance(m, BookUpdate)}) == 1
        assert await followed(market) == (ALPHA, BETA, GAMMA)
        # To follow what is followed changes nothing.
        assert await session.ask(FollowMarkets((ALPHA,))) == FeedMarkets("sim", (ALPHA, BETA, GAMMA))


async def test_a_market_that_is_left_has_no_book_and_another_feed_may_take_it(tmp_path: Path) -> None:
    feeds = (
        FeedSettings(name="one", markets=(ALPHA, BETA), backoff_s=0.05),
        FeedSettings(name="two", markets=(GAMMA,), backoff_s=0.05),
    )
    async with open_market(tmp_path, *feeds, venue=VENUE) as market:
        await market.states(one="live", two="live")
        one, two = (market.node.ref(feed_session(name)) for name in ("one", "two"))
        with pytest.raises(Refused, match="the market 'SIM-BETA' is in the feed 'one'"):
            await two.ask(FollowMarkets((BETA,)))
        assert await one.ask(UnfollowMarkets((BETA,))) == FeedMarkets("one", (ALPHA,))
        assert market.node.tree(feed_books("one")).children[0].name == ALPHA
        assert await two.ask(FollowMarkets((BETA,))) == FeedMarkets("two", (BETA, GAMMA))
        await market.next(Quote, lambda quote: quote.market == BETA and quote.session.startswith("two-"))
        found = await market.node.ref(MARKET_INDEX).ask(ListMarkets(BETA))
        assert found.markets[0].feed == "two"
        with pytest.raises(Refused, match="one does not follow SIM-BETA") as refused:
            await one.ask(UnfollowMarkets((BETA,)))
        assert refused.value.code == "not_found"


@pytest.mark.parametrize("path", [feed_session("sim"), feed_books("sim"), MARKET_INDEX])
async def test_what_was_added_survives_a_crash_of_whoever_knows_it(tmp_path: Path, path: str) -> None:
    async with following(tmp_path, ALPHA) as market:
        await market.state("live")
        await market.node.ref(feed_session("sim")).ask(FollowMarkets((BETA,)))
        await market.next(Quote, lambda quote: quote.market == BETA)
        market.past.clear()
        if path == feed_books("sim"):
            parent, _, name = path.rpartition("/")
            await market.node.ref(parent).ask(KillChild(name))
        else:
            await market.killed(path)
        if path != MARKET_INDEX:
            await market.next(Quote, lambda quote: quote.market == BETA and not quote.marks.count("stale"))
        while await followed(market) != (ALPHA, BETA):
            pass  # the session tells the index again, a moment after its restart
        await market.run(100)
        assert await market.same_as_engine(ALPHA, BETA)


@pytest.mark.parametrize("path", [feed_session("sim"), feed_books("sim"), MARKET_INDEX])
async def test_what_was_left_stays_left_through_a_crash_of_whoever_knows_it(tmp_path: Path, path: str) -> None:
    async with following(tmp_path, ALPHA, BETA) as market:
        await market.state("live")
        await market.node.ref(feed_session("sim")).ask(UnfollowMarkets((BETA,)))
        market.past.clear()
        parent, _, name = path.rpartition("/")
        await market.node.ref(parent).ask(KillChild(name))
        await market.next(ActorEvent, lambda event: (event.path, event.event) == (path, "started"))
        with trio.fail_after(PATIENCE_S):
            while await followed(market) != (ALPHA,) or market.books() != [feed_book("sim", ALPHA)]:
                await trio.lowlevel.checkpoint()
        if path == feed_session("sim"):
            await market.state("live")
        await market.node.ref("/market/venue").ask(RunSteps(50))
        while not await market.same_as_engine(ALPHA):
            await market.next(BookUpdate)


async def test_the_busiest_markets_are_found_and_followed(tmp_path: Path) -> None:
    async with following(tmp_path, ALPHA, discover=3) as market:
        await market.state("live")
        while len(await followed(market)) < 3:
            await market.next(FeedMarkets)
        names = await followed(market)
        # What the configuration names stays, whatever its volume.
        assert ALPHA in names
        assert 3 <= len(names) <= 4
        await market.run(50)
        assert await market.same_as_engine(*names)
