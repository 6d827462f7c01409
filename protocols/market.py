"""What is said about markets: updates of a book, quotes, trades, views, and how a feed is.

Prices and sizes are integers of 10⁻⁹ ("nanos"), times integer nanoseconds since the Unix epoch, UTC.
`ts_event` is the venue's time and 0 where the venue gave none; `ts_recv` is ours. The two clocks may disagree
in either direction.

A prediction market is one YES book: a bid for NO at q is an ask for YES at 1 - q.

`marks` says what kind of data this is, and travels on everything made from it: `synthetic` (a simulated
venue), `demo` (a venue's practice environment), `delayed` (a replay or a late source), `stale` (the book is
known not to be current). A live account refuses every one of them.
"""

from __future__ import annotations

import itertools
import struct
import sys
from array import array
from collections.abc import Hashable, Iterable, Iterator
from typing import Literal

import msgspec

from protocols.control import Message, Request

Side = Literal["bid", "ask"]

SYNTHETIC = "synthetic"
DELAYED = "delayed"
STALE = "stale"
DEMO = "demo"
MARKS = frozenset({SYNTHETIC, DELAYED, STALE, DEMO})


class LevelChange(msgspec.Struct, frozen=True, gc=False, array_like=True):
    """One price level. `size` is the new size (absolute) or the change of it (signed), in nanos."""

    side: Side
    price: int
    size: int


class BookUpdate(Message, frozen=True, gc=False, tag="book_update"):
    """All level changes of one venue message of one market; applied whole.

    `kind`: whether the sizes replace or add to what the level has. `snapshot`: the changes are the whole book
    and replace it. `session` and `seq` together address the venue's message; `seq` rises within a session,
    with holes where the venue counts several markets together.

    A snapshot of thousands of levels is packed instead (`changes` is empty then): `packed_bids` and `packed_asks`
    are little-endian int64 pairs of price and size, best first, no size 0 (`pack_levels`). Whoever reads the levels
    one by one reads both forms with `level_changes`.
    """

    market: str
    changes: tuple[LevelChange, ...]
    kind: Literal["absolute", "signed"]
    snapshot: bool
    session: str
    seq: int
    ts_event: int
    ts_recv: int
    marks: tuple[str, ...] = ()
    packed_bids: bytes = b""
    packed_asks: bytes = b""

    def topic_key(self) -> str:
        """The market."""
        return self.market


_PAIR = struct.Struct("<qq")


def pack_levels(levels: Iterable[tuple[int, int]]) -> bytes:
    """(price, size) pairs as `BookUpdate` packs them, those of size 0 left out.

    Raises OverflowError for what is no int64.
    """
    numbers = array("q", itertools.chain.from_iterable(level for level in levels if level[1]))
    if sys.byteorder == "big":
        numbers.byteswap()
    return numbers.tobytes()


def unpack_levels(packed: bytes) -> tuple[array[int], array[int]]:
    """(prices, sizes) of packed levels, in their order. Raises ValueError where a level is torn."""
    if len(packed) % _PAIR.size:
        raise ValueError(f"{len(packed)} bytes are no whole number of levels")
    numbers = array("q", packed)
    if sys.byteorder == "big":
        numbers.byteswap()
    return numbers[::2], numbers[1::2]


def level_changes(update: BookUpdate) -> Iterator[LevelChange]:
    """Every level change of an update, packed or not."""
    yield from update.changes
    sides: tuple[tuple[Side, bytes], ...] = (("bid", update.packed_bids), ("ask", update.packed_asks))
    for side, packed in sides:
        for price, size in _PAIR.iter_unpack(packed):
            yield LevelChange(side, price, size)


OrderAction = Literal["add", "modify", "cancel", "trade", "fill", "clear"]


class OrderUpdate(Message, frozen=True, gc=False, tag="order_update"):
    """One record of a market-by-order feed: what happened to one order.

    `add`, `modify`: `price` and `size` are the order's new ones. `cancel`: `size` is what was taken away. `trade`,
    `fill`: `size` was traded; they change no order, as the venue follows them with its own `cancel` or `modify`.
    `clear`: every order of the market is gone. `side` is None where the record has none.

    One venue event may be several records: `last` is its end, and only there can the book be judged. `session` and
    `seq` as in `BookUpdate`, except that the records of one event (and a feed's replayed snapshot) may repeat or
    lower it.
    """

    market: str
    action: OrderAction
    order_id: int
    side: Side | None
    price: int
    size: int
    last: bool
    session: str
    seq: int
    ts_event: int
    ts_recv: int
    snapshot: bool = False
    marks: tuple[str, ...] = ()

    def topic_key(self) -> str:
        """The market."""
        return self.market


class Quote(Message, frozen=True, gc=False, tag="quote"):
    """The best prices of one market and their sizes. A side without levels has price None and size 0."""

    market: str
    bid: int | None
    bid_size: int
    ask: int | None
    ask_size: int
    session: str
    seq: int
    ts_event: int
    ts_recv: int
    marks: tuple[str, ...] = ()

    def topic_key(self) -> str:
        """The market."""
        return self.market

    def conflate_key(self) -> Hashable | None:
        """The market: only the latest quote of it matters to a view."""
        return self.market


class Trade(Message, frozen=True, gc=False, tag="trade"):
    """One public trade.

    `taker` is the side that the taker took in the YES book; None where the venue hides it.
    """

    market: str
    price: int
    size: int
    taker: Literal["buy", "sell"] | None
    trade_id: str
    session: str
    seq: int
    ts_event: int
    ts_recv: int
    block: bool = False
    marks: tuple[str, ...] = ()

    def topic_key(self) -> str:
        """The market."""
        return self.market


class SampledQuote(Message, frozen=True, gc=False, tag="sampled_quote"):
    """A quote at most once an interval for each market: what a view wants. The last one always arrives."""

    quote: Quote

    def topic_key(self) -> str:
        """The market."""
        return self.quote.market

    def conflate_key(self) -> Hashable | None:
        """The market."""
        return self.quote.market


class Ticker(Message, frozen=True, gc=False, tag="ticker"):
    """What a venue says of its own best prices: an oracle or display, never mixed into a book.

    None where the venue leaves a figure out. `seq` is the venue's book update id, 0 where it has none.
    """

    market: str
    bid: int | None
    bid_size: int | None
    ask: int | None
    ask_size: int | None
    last: int | None
    session: str
    seq: int
    ts_event: int
    ts_recv: int
    marks: tuple[str, ...] = ()

    def topic_key(self) -> str:
        """The market."""
        return self.market

    def conflate_key(self) -> Hashable | None:
        """The market: only the latest one matters to a view."""
        return self.market


class Bar(Message, frozen=True, gc=False, tag="bar"):
    """Prices of [start, end), named by its start. `interval`: "1m", "1h", "1d"; "100t" trades; "50v" of volume.

    Prices in nanos; `volume` is exact decimal text, as sums of sizes outgrow int64; empty where the source has none
    (quotes). `trades` is None where the source does not count them. `source`: `trades` or `quotes` (built here) or
    `venue` (the venue's own). `empty`: nothing happened, the prices repeat the last close. `late` counts trades that
    came after their bar was closed; they change no bar.
    """

    market: str
    interval: str
    start: int
    end: int
    open: int
    high: int
    low: int
    close: int
    volume: str
    trades: int | None
    vwap: int | None
    source: Literal["trades", "quotes", "venue"]
    ts_recv: int
    empty: bool = False
    late: int = 0
    marks: tuple[str, ...] = ()

    def topic_key(self) -> str:
        """The market."""
        return self.market


class Funding(Message, frozen=True, gc=False, tag="funding"):
    """A perpetual's funding rate as a fraction for one period (exact decimal text), and when it is paid next."""

    market: str
    rate: str
    next_ts: int
    mark_price: int | None
    index_price: int | None
    ts_event: int
    ts_recv: int
    marks: tuple[str, ...] = ()

    def topic_key(self) -> str:
        """The market."""
        return self.market

    def conflate_key(self) -> Hashable | None:
        """The market."""
        return self.market


class Liquidation(Message, frozen=True, gc=False, tag="liquidation"):
    """A position that the venue closed by force: `side` is that of the closing order."""

    market: str
    side: Literal["buy", "sell"]
    price: int
    size: int
    ts_event: int
    ts_recv: int
    marks: tuple[str, ...] = ()

    def topic_key(self) -> str:
        """The market."""
        return self.market


class Level(msgspec.Struct, frozen=True, gc=False, array_like=True):
    """A price and the size resting there."""

    price: int
    size: int


class BookView(Message, frozen=True, gc=False, tag="book_view"):
    """A book at one moment, best levels first. `stale` is empty, or says why the book is not current."""

    market: str
    bids: tuple[Level, ...]
    asks: tuple[Level, ...]
    session: str
    seq: int
    ts_event: int
    ts_recv: int
    stale: str = ""
    marks: tuple[str, ...] = ()


class GetBook(Request[BookView], frozen=True, gc=False, tag="get_book"):
    """Asks a book keeper for its book, `depth` levels a side (0: all)."""

    depth: int = 0


class BookPosition(Message, frozen=True, gc=False, tag="book_position"):
    """How far a book keeper is: the last update that it applied, and how many it has applied and dropped."""

    market: str
    session: str
    seq: int
    applied: int
    dropped: int
    gaps: int
    stale: str


class GetBookPosition(Request[BookPosition], frozen=True, gc=False, tag="get_book_position"):
    """Asks a book keeper how far it is. Answered after everything that was sent to it before."""


class BookStale(Message, frozen=True, gc=False, tag="book_stale"):
    """From a feed: this market's book is not to be trusted until the next snapshot of it."""

    market: str
    feed: str
    reason: str
    ts: int

    def topic_key(self) -> str:
        """The market."""
        return self.market


class RequestSnapshot(Message, frozen=True, gc=False, tag="request_snapshot"):
    """To a feed: send a snapshot of this market; its book keeper has lost its way (`reason`)."""

    market: str
    reason: str


MarketPhase = Literal["active", "auction", "paused", "closed", "determined", "settled"]


class MarketStatus(Message, frozen=True, gc=False, tag="market_status"):
    """A market's phase has changed. `settlement`: nanos paid for one YES contract, once it is determined."""

    market: str
    phase: MarketPhase
    session: str
    ts_event: int
    ts_recv: int
    settlement: int | None = None
    marks: tuple[str, ...] = ()

    def topic_key(self) -> str:
        """The market."""
        return self.market


FeedState = Literal["connecting", "live", "recovering", "down", "ended"]


class FeedStatus(Message, frozen=True, gc=False, tag="feed_status"):
    """How a feed is. `live`: every book is current. `recovering`: connected, some books are not current.

    `down`: not connected and about to try again. `ended`: a replay has played its recording to the end.
    """

    feed: str
    state: FeedState
    session: str
    detail: str
    ts: int
    marks: tuple[str, ...] = ()

    def topic_key(self) -> str:
        """The feed."""
        return self.feed

    def conflate_key(self) -> Hashable | None:
        """The feed."""
        return self.feed


class FeedMarkets(Message, frozen=True, gc=False, tag="feed_markets"):
    """The markets that a feed follows now, all of them, sorted."""

    feed: str
    markets: tuple[str, ...]

    def topic_key(self) -> str:
        """The feed."""
        return self.feed

    def conflate_key(self) -> Hashable | None:
        """The feed."""
        return self.feed


class FollowMarkets(Request[FeedMarkets], frozen=True, gc=False, tag="follow_markets"):
    """To a feed's session: follow these markets, too. Refused `conflict` for one that another feed has."""

    markets: tuple[str, ...]


class UnfollowMarkets(Request[FeedMarkets], frozen=True, gc=False, tag="unfollow_markets"):
    """To a feed's session: follow these markets no more. Refused `not_found` for one that it does not follow."""

    markets: tuple[str, ...]


class ClaimMarkets(Request[FeedMarkets], frozen=True, gc=False, tag="claim_markets"):
    """From a feed to the market index: these are its markets, too. `books`: it keeps their books.

    Refused `conflict` where another feed keeps one: a market with two books would have two truths under one name.
    """

    feed: str
    markets: tuple[str, ...]
    books: bool = True


class ReleaseMarkets(Request[FeedMarkets], frozen=True, gc=False, tag="release_markets"):
    """From a feed to the market index: these are not its markets any more."""

    feed: str
    markets: tuple[str, ...]


class GetFeedMarkets(Request[FeedMarkets], frozen=True, gc=False, tag="get_feed_markets"):
    """Asks the market index for all markets of a feed, those that were added while it ran included."""

    feed: str


class MarketSummary(msgspec.Struct, frozen=True, gc=False):
    """One line of the list of markets: where its book is kept, its phase and its last quote."""

    market: str
    feed: str
    book: str
    phase: MarketPhase
    quote: Quote | None
    marks: tuple[str, ...]


class MarketList(Message, frozen=True, gc=False, tag="market_list"):
    """All markets of all feeds, sorted by name."""

    markets: tuple[MarketSummary, ...]
    feeds: tuple[FeedStatus, ...]


class ListMarkets(Request[MarketList], frozen=True, gc=False, tag="list_markets"):
    """Asks the market index for what it has; `market` alone, or all if empty.

    Refused `not_found` for an unknown one.
    """

    market: str = ""
