"""The routes of the order book collector for reinforcement learning: its paths and shapes, with what is really there.

A prediction market's book is told as its YES and NO sides in cents, as the collector did: a bid for NO at q is an ask
for YES at 100 - q. Fractions of a cent keep their digits. Other markets have bids and asks in their own currency.
"""

from __future__ import annotations

from importlib.metadata import version
from typing import Annotated, Final

import msgspec
import trio

from actors.edge.call import Call
from actors.edge.errors import HttpError
from actors.edge.routing import Route, get, post, websocket
from actors.market.orderbook_stream_clients import orderbook_socket
from actors.market.routes_bodies import Number, Origin, joined_marks, number, origin
from actors.market.stored_book import environment_of, venue_of
from protocols.control import Probe, ProbeReport, Refused, Unknown
from protocols.market import BookView, GetBook, Level, ListMarkets, MarketList, MarketSummary
from protocols.market_store import STORE, FlushStore, GetStoreStats, StoreStats
from protocols.nanos import NANO, decimal_text
from protocols.paths import MARKET_INDEX, QUERIES
from runtime import Done

SERVICE: Final = "kalshiflow-rl"
TAGS: Final = ("rl",)
_PROBE_S: Final = 2.0
_SHOWN: Final = 1000
Sizes = dict[str, Number]


class ComponentBody(msgspec.Struct, frozen=True):
    """One part. `status`: `ok`, `degraded` or `failed`."""

    status: str
    detail: str
    figures: dict[str, str | int | float | bool | None]


class RlHealthBody(msgspec.Struct, frozen=True):
    """`status`: `healthy`, or `degraded` (503) where a component is not `ok`. `timestamp`: seconds since the epoch.

    `market_ticker`: the first market, null where none is followed.
    """

    status: str
    timestamp: Number
    service: str
    version: str
    market_ticker: str | None
    components: dict[str, ComponentBody]


class RlConfigBody(msgspec.Struct, frozen=True):
    """`environment`: `simulated`, `demo`, `replay` or `live`, from the marks of the data."""

    market_ticker: str | None
    environment: str
    debug: bool
    markets: int


class WriteQueueBody(msgspec.Struct, frozen=True):
    """How the store of market data is: rows by table, and how many may wait."""

    healthy: bool
    detail: str
    flushed: int
    written: int
    waiting: int
    dropped: int
    capacity: int
    sessions_open: int
    sessions_overflowed: int
    ts_flushed: int
    tables: dict[str, dict[str, int]]


class BookStateBody(msgspec.Struct, frozen=True):
    """One market's best prices, in the units of the snapshot. `last_update_time`: milliseconds since the epoch."""

    market_ticker: str
    last_sequence: int
    last_update_time: int
    best_bid: Number | None
    best_ask: Number | None
    unit: str
    phase: str
    origin: Origin


class RlStatsBody(msgspec.Struct, frozen=True):
    """Null: it does not answer, and `missing` says why. At most 1,000 books are shown."""

    write_queue: WriteQueueBody | None
    orderbook_client: ComponentBody
    orderbook_states: dict[str, BookStateBody]
    missing: dict[str, str]


class RlStatusBody(msgspec.Struct, frozen=True):
    """How the collector is."""

    config: RlConfigBody
    stats: RlStatsBody


class YesNoBook(msgspec.Struct, frozen=True):
    """A book as sizes by price. `unit`: `cents` for a prediction market, whose NO side is the mirror of YES; else
    `price`, and there is no NO side.

    `last_update_time` in milliseconds since the epoch, `total_volume`: all that rests in the book.
    """

    market_ticker: str
    last_sequence: int
    last_update_time: int
    yes_bids: Sizes
    yes_asks: Sizes
    no_bids: Sizes | None
    no_asks: Sizes | None
    yes_spread: Number | None
    no_spread: Number | None
    yes_mid_price: Number | None
    no_mid_price: Number | None
    total_volume: Number
    unit: str
    session: str
    ts_event: int
    ts_recv: int
    stale: str
    origin: Origin


class SnapshotBody(msgspec.Struct, frozen=True):
    """One market's book. `timestamp`: seconds since the epoch."""

    market_ticker: str
    snapshot: YesNoBook
    timestamp: Number


class FlushBody(msgspec.Struct, frozen=True):
    """What was handed to the node's log, and how the store is now."""

    message: str
    stats: WriteQueueBody


class SnapshotQuery(msgspec.Struct, frozen=True):
    """`market`: which one; empty: the only one there is. `depth`: levels a side, 0 for all."""

    market: str = ""
    depth: Annotated[int, msgspec.Meta(ge=0, le=10_000)] = 0


class _Answered(HttpError):
    """An answer of another status with a body of its own, which holds more than the error."""

    def __init__(self, status: int, code: str, message: str, field: str | None, body: object) -> None:
        super().__init__(status, code, message, field)
        self._body = body

    def body(self) -> bytes:
        """The answer's JSON body."""
        return msgspec.json.encode(self._body)


async def health(request: None, call: Call) -> RlHealthBody:
    """Ask the database, the store and the feeds how they are."""
    components: dict[str, ComponentBody] = {}
    paths = {"database": QUERIES, "write_queue": STORE, "orderbook_client": MARKET_INDEX}
    async with trio.open_nursery() as nursery:
        for name, path in paths.items():
            nursery.start_soon(_examine, call, name, path, components)
    markets = await _markets(call)
    healthy = all(component.status == "ok" for component in components.values())
    body = RlHealthBody(
        status="healthy" if healthy else "degraded",
        timestamp=_seconds(call.node.clock.now()),
        service=SERVICE,
        version=version("troupe"),
        market_ticker=markets.markets[0].market if markets.markets else None,
        components={name: components[name] for name in paths},
    )
    if not healthy:
        raise _Answered(503, "degraded", "a component is not well", None, body)
    return body


async def status(request: None, call: Call) -> RlStatusBody:
    """Tell what is followed, what is stored, and the state of every book."""
    markets = await _markets(call)
    now = call.node.clock.now()
    missing: dict[str, str] = {}
    queue: WriteQueueBody | None = None
    outcome = await call.ref(STORE).outcome(GetStoreStats(), _PROBE_S)
    if isinstance(outcome, Done):
        queue = _queue(outcome.value)
    else:
        missing["write_queue"] = f"the store does not answer: {outcome}"
    components: dict[str, ComponentBody] = {}
    await _examine(call, "orderbook_client", MARKET_INDEX, components)
    states = {each.market: _state(each, now) for each in markets.markets[:_SHOWN]}
    marks = joined_marks(each.marks for each in markets.markets)
    first = markets.markets[0].market if markets.markets else None
    return RlStatusBody(
        config=RlConfigBody(first, environment_of(marks), debug=False, markets=len(markets.markets)),
        stats=RlStatsBody(queue, components["orderbook_client"], states, missing),
    )


async def snapshot(request: SnapshotQuery, call: Call) -> SnapshotBody:
    """One market's book, both sides of it."""
    markets = await _markets(call)
    names = [each.market for each in markets.markets]
    wanted = request.market or (names[0] if len(names) == 1 else "")
    if not wanted:
        raise _refusal(400, "invalid", f"there are {len(names)} markets: say which one", names)
    if wanted not in names:
        raise _refusal(404, "not_found", f"no feed has a market {wanted!r}", names)
    summary = markets.markets[names.index(wanted)]
    view = await call.ref(summary.book).ask(GetBook(depth=request.depth))
    now = call.node.clock.now()
    return SnapshotBody(wanted, yes_no(view, summary.feed, now), _seconds(now))


async def flush(request: None, call: Call) -> FlushBody:
    """Have the store hand everything that waits to the node's log."""
    stats = await call.ref(STORE).ask(FlushStore())
    return FlushBody("flushed", _queue(stats))


def yes_no(view: BookView, feed: str, now: int) -> YesNoBook:
    """A book as the collector told it."""
    binary = not venue_of(view.market)
    scale = 100 if binary else 1
    bid = view.bids[0].price if view.bids else None
    ask = view.asks[0].price if view.asks else None
    spread = mid = None
    if bid is not None and ask is not None:
        spread = number((ask - bid) * scale)
        mid = (bid + ask) * scale
    return YesNoBook(
        market_ticker=view.market,
        last_sequence=view.seq,
        last_update_time=view.ts_recv // 1_000_000,
        yes_bids=_sizes(view.bids, scale),
        yes_asks=_sizes(view.asks, scale),
        no_bids=_sizes(view.asks, scale, mirrored=True) if binary else None,
        no_asks=_sizes(view.bids, scale, mirrored=True) if binary else None,
        yes_spread=spread,
        no_spread=spread if binary else None,
        yes_mid_price=None if mid is None else _half(mid),
        no_mid_price=None if mid is None or not binary else _half(2 * 100 * NANO - mid),
        total_volume=_exactly(sum(level.size for level in (*view.bids, *view.asks))),
        unit="cents" if binary else "price",
        session=view.session,
        ts_event=view.ts_event,
        ts_recv=view.ts_recv,
        stale=view.stale,
        origin=origin(feed, view.market, view.marks, view.ts_recv, now, stale=bool(view.stale)),
    )


def _sizes(levels: tuple[Level, ...], scale: int, *, mirrored: bool = False) -> Sizes:
    return {
        decimal_text(100 * NANO - level.price * scale if mirrored else level.price * scale): _exactly(level.size)
        for level in levels
    }


def _state(each: MarketSummary, now: int) -> BookStateBody:
    quote = each.quote
    binary = not venue_of(each.market)
    scale = 100 if binary else 1
    bid = None if quote is None or quote.bid is None else number(quote.bid * scale)
    ask = None if quote is None or quote.ask is None else number(quote.ask * scale)
    ts_recv = 0 if quote is None else quote.ts_recv
    return BookStateBody(
        market_ticker=each.market,
        last_sequence=0 if quote is None else quote.seq,
        last_update_time=ts_recv // 1_000_000,
        best_bid=bid,
        best_ask=ask,
        unit="cents" if binary else "price",
        phase=each.phase,
        origin=origin(each.feed, each.market, each.marks, ts_recv, now),
    )


def _queue(stats: StoreStats) -> WriteQueueBody:
    tables = {
        each.table: {"written": each.written, "waiting": each.waiting, "dropped": each.dropped} for each in stats.tables
    }
    return WriteQueueBody(
        healthy=stats.healthy,
        detail=stats.detail,
        flushed=stats.flushed,
        written=sum(each.written for each in stats.tables),
        waiting=sum(each.waiting for each in stats.tables),
        dropped=sum(each.dropped for each in stats.tables),
        capacity=stats.capacity,
        sessions_open=stats.sessions_open,
        sessions_overflowed=stats.sessions_overflowed,
        ts_flushed=stats.ts_flushed,
        tables=tables,
    )


async def _markets(call: Call) -> MarketList:
    return await call.ref(MARKET_INDEX).ask(ListMarkets())


async def _examine(call: Call, name: str, path: str, found: dict[str, ComponentBody]) -> None:
    try:
        report = await call.ref(path).ask(Probe(), _PROBE_S)
    except (Refused, Unknown) as error:
        report = ProbeReport("failed", f"no answer from {path}: {error}", ready=False)
    found[name] = ComponentBody(report.status, report.detail, dict(report.figures))


def _refusal(status: int, code: str, message: str, names: list[str]) -> HttpError:
    error = {"code": code, "message": message, "field": "market"}
    return _Answered(status, code, message, "market", {"error": error, "available_markets": names})


def _seconds(ts: int) -> msgspec.Raw:
    return _exactly(ts)


def _exactly(nanos: int) -> msgspec.Raw:
    return msgspec.Raw(decimal_text(nanos).encode())


def _half(nanos: int) -> msgspec.Raw:
    # Half a nano needs one digit more.
    whole, rest = divmod(nanos, 2)
    return _exactly(whole) if not rest else msgspec.Raw((f"{decimal_text(whole, 9)}5").encode())


routes: list[Route] = [
    get("/rl/health", health, summary="Whether the collector of order books is well", tags=TAGS),
    get("/rl/status", status, summary="What it follows and stores, and the state of every book", tags=TAGS),
    get("/rl/orderbook/snapshot", snapshot, summary="One market's book, as YES and NO", tags=TAGS),
    post("/rl/admin/flush", flush, summary="Store what waits to be stored", tags=TAGS, stores=False),
    websocket("/rl/ws/orderbook", orderbook_socket, summary="Books as they change", tags=TAGS),
]
