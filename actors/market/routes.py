"""What HTTP can ask about markets: the list, books, bars, trades. Prices and sizes are decimal strings, exact."""

from __future__ import annotations

from typing import Annotated, Literal

import msgspec

from actors.edge.call import Call
from actors.edge.errors import HttpError
from actors.edge.routing import Route, get
from actors.market import data_routes, rl_routes
from actors.market.bars_history import find_bars, find_trades
from actors.market.routes_bodies import (
    TAGS,
    Origin,
    known_interval,
    known_market,
    moment,
    origin,
    origin_of_bars,
    price_text,
)
from protocols.market import Bar, BookView, FeedStatus, GetBook, Level, ListMarkets, MarketSummary, Quote, Trade
from protocols.market_data import BarSource
from protocols.nanos import INT64_MAX, decimal_text
from protocols.paths import MARKET_INDEX as MARKET_INDEX

INDEX = MARKET_INDEX


class QuoteBody(msgspec.Struct, frozen=True):
    """Best prices and sizes, in the market's currency and units; null where a side is empty. `seq` within `session`."""

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
    origin: Origin
    """Of the quote."""


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
    origin: Origin


class BarBody(msgspec.Struct, frozen=True):
    """Prices of [start, end), in nanoseconds. `volume`, `trades` and `vwap` are null where the source has none.

    `empty`: nothing happened, the prices repeat the last close. `late`: trades that came after their bar was closed.
    """

    start: int
    end: int
    open: str
    high: str
    low: str
    close: str
    volume: str | None
    trades: int | None
    vwap: str | None
    empty: bool
    late: int
    marks: tuple[str, ...]


class BarsBody(msgspec.Struct, frozen=True):
    """Bars, the oldest first. `missing`: why older ones are not there.

    `built_from`: `trades`, `quotes`, or `venue` for its own.
    """

    market: str
    interval: str
    built_from: str | None
    bars: tuple[BarBody, ...]
    origin: Origin
    """Of the newest bar."""
    missing: str


class TradeBody(msgspec.Struct, frozen=True):
    """One public trade. `taker`: the side that the taker took; null where the venue hides it."""

    price: str
    size: str
    taker: str | None
    trade_id: str
    block: bool
    seq: int
    session: str
    ts_event: int
    ts_recv: int
    marks: tuple[str, ...]


class TradesBody(msgspec.Struct, frozen=True):
    """Trades in the order in which they came. `missing`: why older ones are not there."""

    market: str
    trades: tuple[TradeBody, ...]
    origin: Origin
    """Of the newest trade."""
    missing: str


class BookQuery(msgspec.Struct, frozen=True):
    """`depth`: levels a side, 0 for all."""

    market: str
    depth: Annotated[int, msgspec.Meta(ge=0, le=10_000)] = 10


class BarsQuery(msgspec.Struct, frozen=True):
    """Bars that start in [start, end): times in ISO 8601, or in nanoseconds. The newest `limit` of them.

    `interval`: of time (`1m`, `4h`, `1d`), of trades (`100t`) or of volume (`50v`). `source`: what they are made of;
    empty: the venue's own where it sends them, else those built of trades, else of quotes.
    """

    market: str
    interval: str = "1m"
    start: str = ""
    end: str = ""
    limit: Annotated[int, msgspec.Meta(ge=1, le=5000)] = 500
    source: Literal["", "trades", "quotes", "venue"] = ""


class TradesQuery(msgspec.Struct, frozen=True):
    """The newest `limit` trades received at or after `since`: a time in ISO 8601, or in nanoseconds."""

    market: str
    limit: Annotated[int, msgspec.Meta(ge=1, le=5000)] = 100
    since: str = ""


async def list_markets(request: None, call: Call) -> MarketsBody:
    """All markets with their last quotes."""
    found = await call.ref(INDEX).ask(ListMarkets())
    now = call.node.clock.now()
    down = {feed.feed for feed in found.feeds if feed.state in ("down", "connecting")}
    return MarketsBody(
        markets=tuple(_market(each, now, each.feed in down) for each in found.markets),
        feeds=tuple(_feed(each) for each in found.feeds),
    )


async def book_view(request: BookQuery, call: Call) -> BookBody:
    """One market's book."""
    summary = await known_market(request.market, call)
    view = await call.ref(summary.book).ask(GetBook(depth=request.depth))
    return _book(view, summary.feed, call.node.clock.now())


async def bars_of_market(request: BarsQuery, call: Call) -> BarsBody:
    """One market's bars, from memory and from the database."""
    interval = known_interval(request.interval)
    start = moment(request.start, "start", 0)
    end = moment(request.end, "end", INT64_MAX)
    if end <= start:
        raise HttpError(400, "invalid", "end has to be behind start", "end")
    summary = await known_market(request.market, call)
    source: BarSource | None = request.source or None
    found = await find_bars(call.ref, request.market, interval, start, end, request.limit, source)
    return BarsBody(
        market=request.market,
        interval=interval.name,
        built_from=found.source,
        bars=tuple(bar_body(bar) for bar in found.bars),
        origin=origin_of_bars(summary.feed, request.market, found.bars, summary.marks, call.node.clock.now()),
        missing=found.missing,
    )


async def trades_of_market(request: TradesQuery, call: Call) -> TradesBody:
    """One market's public trades, from memory and from the database."""
    since = moment(request.since, "since", 0)
    summary = await known_market(request.market, call)
    found = await find_trades(call.ref, request.market, request.limit, since)
    newest = found.trades[-1] if found.trades else None
    return TradesBody(
        market=request.market,
        trades=tuple(_trade(trade) for trade in found.trades),
        origin=origin(
            summary.feed,
            request.market,
            newest.marks if newest else summary.marks,
            newest.ts_recv if newest else 0,
            call.node.clock.now(),
        ),
        missing=found.missing,
    )


def bar_body(bar: Bar) -> BarBody:
    """A bar with decimal text."""
    return BarBody(
        start=bar.start,
        end=bar.end,
        open=decimal_text(bar.open, 4),
        high=decimal_text(bar.high, 4),
        low=decimal_text(bar.low, 4),
        close=decimal_text(bar.close, 4),
        volume=bar.volume or None,
        trades=bar.trades,
        vwap=price_text(bar.vwap),
        empty=bar.empty,
        late=bar.late,
        marks=bar.marks,
    )


def _market(each: MarketSummary, now: int, stale: bool) -> MarketBody:
    ts_recv = each.quote.ts_recv if each.quote is not None else 0
    found = origin(each.feed, each.market, each.marks, ts_recv, now, stale=stale)
    return MarketBody(each.market, each.feed, each.phase, each.marks, _quote(each.quote), found)


def _feed(each: FeedStatus) -> FeedBody:
    return FeedBody(each.feed, each.state, each.session, each.detail, each.ts)


def _quote(quote: Quote | None) -> QuoteBody | None:
    if quote is None:
        return None
    return QuoteBody(
        bid=price_text(quote.bid),
        bid_size=decimal_text(quote.bid_size, 2),
        ask=price_text(quote.ask),
        ask_size=decimal_text(quote.ask_size, 2),
        seq=quote.seq,
        session=quote.session,
        ts_event=quote.ts_event,
        ts_recv=quote.ts_recv,
    )


def _trade(trade: Trade) -> TradeBody:
    return TradeBody(
        price=decimal_text(trade.price, 4),
        size=decimal_text(trade.size, 2),
        taker=trade.taker,
        trade_id=trade.trade_id,
        block=trade.block,
        seq=trade.seq,
        session=trade.session,
        ts_event=trade.ts_event,
        ts_recv=trade.ts_recv,
        marks=trade.marks,
    )


def _levels(levels: tuple[Level, ...]) -> tuple[LevelBody, ...]:
    return tuple(LevelBody(decimal_text(each.price, 4), decimal_text(each.size, 2)) for each in levels)


def _book(view: BookView, feed: str, now: int) -> BookBody:
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
        origin=origin(feed, view.market, view.marks, view.ts_recv, now, stale=bool(view.stale)),
    )


routes: list[Route] = [
    get("/api/v1/markets", list_markets, summary="All markets with their last quotes", tags=TAGS),
    get("/api/v1/markets/{market}/book", book_view, summary="One market's order book", tags=TAGS),
    get("/api/v1/markets/{market}/bars", bars_of_market, summary="One market's bars", tags=TAGS),
    get("/api/v1/markets/{market}/trades", trades_of_market, summary="One market's public trades", tags=TAGS),
    *data_routes.routes,
    *rl_routes.routes,
]
