"""What HTTP can ask about markets. Prices and sizes are decimal strings with exact digits, never nanos."""

from __future__ import annotations

from typing import Annotated

import msgspec

from actors.edge.call import Call
from actors.edge.routing import Route, get
from protocols.market import BookView, GetBook, Level, ListMarkets, Quote
from protocols.nanos import decimal_text
from protocols.paths import MARKET

INDEX = f"{MARKET}/index"


class QuoteBody(msgspec.Struct, frozen=True):
    """Best prices and sizes, in dollars and contracts; null where a side is empty. `seq` within `session`."""

    bid: str | None
    bid_size: str
    ask: str | None
    ask_size: str
    seq: int
    session: str
    ts_event: int
    ts_recv: int


class MarketBody(msgspec.Struct, frozen=True):
    """One market. `marks` says whether its data is synthetic, delayed, stale or from a demo venue."""

    market: str
    feed: str
    phase: str
    marks: tuple[str, ...]
    quote: QuoteBody | None


class FeedBody(msgspec.Struct, frozen=True):
    """One feed. `state`: connecting, live, recovering, down or ended."""

    feed: str
    state: str
    session: str
    detail: str
    ts: int


class MarketsBody(msgspec.Struct, frozen=True):
    """All markets and feeds. Times in nanoseconds since the Unix epoch, UTC."""

    markets: tuple[MarketBody, ...]
    feeds: tuple[FeedBody, ...]


class LevelBody(msgspec.Struct, frozen=True):
    """One price level."""

    price: str
    size: str


class BookBody(msgspec.Struct, frozen=True):
    """A book, best levels first. `stale` says why it is not current, if it is not."""

    market: str
    bids: tuple[LevelBody, ...]
    asks: tuple[LevelBody, ...]
    seq: int
    session: str
    ts_event: int
    ts_recv: int
    stale: str
    marks: tuple[str, ...]


class BookQuery(msgspec.Struct, frozen=True):
    """`depth`: levels a side, 0 for all."""

    market: str
    depth: Annotated[int, msgspec.Meta(ge=0, le=10_000)] = 10


async def list_markets(request: None, call: Call) -> MarketsBody:
    """All markets with their last quotes."""
    found = await call.ref(INDEX).ask(ListMarkets())
    return MarketsBody(
        markets=tuple(
            MarketBody(each.market, each.feed, each.phase, each.marks, _quote(each.quote)) for each in found.markets
        ),
        feeds=tuple(FeedBody(each.feed, each.state, each.session, each.detail, each.ts) for each in found.feeds),
    )


async def book_view(request: BookQuery, call: Call) -> BookBody:
    """One market's book."""
    found = await call.ref(INDEX).ask(ListMarkets(market=request.market))
    view = await call.ref(found.markets[0].book).ask(GetBook(depth=request.depth))
    return _book(view)


def _quote(quote: Quote | None) -> QuoteBody | None:
    if quote is None:
        return None
    return QuoteBody(
        bid=None if quote.bid is None else decimal_text(quote.bid, 4),
        bid_size=decimal_text(quote.bid_size, 2),
        ask=None if quote.ask is None else decimal_text(quote.ask, 4),
        ask_size=decimal_text(quote.ask_size, 2),
        seq=quote.seq,
        session=quote.session,
        ts_event=quote.ts_event,
        ts_recv=quote.ts_recv,
    )


def _levels(levels: tuple[Level, ...]) -> tuple[LevelBody, ...]:
    return tuple(LevelBody(decimal_text(each.price, 4), decimal_text(each.size, 2)) for each in levels)


def _book(view: BookView) -> BookBody:
    return BookBody(
        market=view.market,
        bids=_levels(view.bids),
        asks=_levels(view.asks),
        seq=view.seq,
        session=view.session,
        ts_event=view.ts_event,
        ts_recv=view.ts_recv,
        stale=view.stale,
        marks=view.marks,
    )


routes: list[Route] = [
    get("/api/v1/markets", list_markets, summary="All markets with their last quotes", tags=("markets",)),
    get("/api/v1/markets/{market}/book", book_view, summary="One market's order book", tags=("markets",)),
]
