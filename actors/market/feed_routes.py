"""What HTTP can do with feeds: list them, and add or remove markets while they run."""

from __future__ import annotations

from typing import Annotated

import msgspec

from actors.edge.call import Call
from actors.edge.routing import Route, get, post
from actors.market.feed_tree import MarketName
from protocols.control import Refused
from protocols.market import FeedMarkets, FollowMarkets, GetFeedMarkets, ListMarkets, UnfollowMarkets
from protocols.paths import MARKET_INDEX, feed_session

TAGS = ("markets",)
Names = Annotated[tuple[MarketName, ...], msgspec.Meta(min_length=1, max_length=1000)]


class FeedAnswer(msgspec.Struct, frozen=True):
    """One feed. `state`: connecting, live, recovering, down or ended; `ts`: since when, in nanoseconds (UTC)."""

    feed: str
    state: str
    session: str
    detail: str
    ts: int
    marks: tuple[str, ...]
    markets: tuple[str, ...]


class FeedsAnswer(msgspec.Struct, frozen=True):
    """All feeds, sorted by name."""

    feeds: tuple[FeedAnswer, ...]


class MarketsChange(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Markets to follow or to follow no more, in the venue's words or ours."""

    feed: str
    markets: Names


class MarketsAnswer(msgspec.Struct, frozen=True):
    """All markets that the feed follows now."""

    feed: str
    markets: tuple[str, ...]


async def list_feeds(request: None, call: Call) -> FeedsAnswer:
    """How all feeds are, and what they follow."""
    index = call.ref(MARKET_INDEX)
    answers = []
    for each in (await index.ask(ListMarkets())).feeds:
        markets = (await index.ask(GetFeedMarkets(each.feed))).markets
        answers.append(FeedAnswer(each.feed, each.state, each.session, each.detail, each.ts, each.marks, markets))
    return FeedsAnswer(tuple(answers))


async def follow(request: MarketsChange, call: Call) -> MarketsAnswer:
    """Follow more markets; their books begin with the venue's snapshots."""
    await _known(request.feed, call)
    return _answer(await call.ref(feed_session(request.feed)).ask(FollowMarkets(request.markets), timeout=15.0))


async def unfollow(request: MarketsChange, call: Call) -> MarketsAnswer:
    """Follow these markets no more; their books end."""
    await _known(request.feed, call)
    return _answer(await call.ref(feed_session(request.feed)).ask(UnfollowMarkets(request.markets), timeout=15.0))


async def _known(feed: str, call: Call) -> None:
    found = await call.ref(MARKET_INDEX).ask(ListMarkets())
    if feed not in {each.feed for each in found.feeds}:
        raise Refused("not_found", f"there is no feed {feed!r}", "feed")


def _answer(markets: FeedMarkets) -> MarketsAnswer:
    return MarketsAnswer(markets.feed, markets.markets)


routes: list[Route] = [
    get("/api/v1/feeds", list_feeds, summary="All feeds and the markets they follow", tags=TAGS),
    post("/api/v1/feeds/{feed}/follow", follow, summary="Follow more markets", tags=TAGS),
    post("/api/v1/feeds/{feed}/unfollow", unfollow, summary="Follow markets no more", tags=TAGS),
]
