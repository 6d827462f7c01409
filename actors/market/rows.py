"""Rows of market data: what is kept of books, trades, bars, samples, signals and instruments.

Prices and sizes in nanos, times (`ts_…`) in nanoseconds since the Unix epoch, UTC. The tables are made by
`migrations/market_0002_books.py` and the ones behind it; they add what can be computed from a row (`timestamp_ms`,
`action`, levels as JSON), a number (`id`, rising in the order of the node's log) and `created_at`.

A book is stored on the YES scale. In a prediction market a bid is a bid for YES (`side` is `yes`), and an ask for YES
at p is a bid for NO at 1 - p (`side` is `no`, `price` is 1 - p), as the venue itself says it. Everywhere else `side` is
`bid` or `ask`, and the `yes_…` columns hold the book.
"""

from __future__ import annotations

from typing import ClassVar, Final, Literal

from protocols.control import Row
from protocols.instruments import Instrument, PriceRange
from protocols.market import Bar, Trade
from protocols.nanos import NANO

StoredSide = Literal["yes", "no", "bid", "ask"]
SNAPSHOT: Final = "snapshot"
CHECKPOINT: Final = "checkpoint"
SessionEventKind = Literal["started", "opened", "ended", "progress", "closed"]


class BookSnapshotRow(Row, frozen=True, gc=False, tag="book_snapshot_row"):
    """A whole book. `kind`: `snapshot` came from the venue, `checkpoint` was computed from what is stored already.

    `packed_bids` and `packed_asks` are little-endian int64 pairs of price and size, best first. `yes_no`: a
    prediction market, so that there is a NO side to derive.
    """

    table: ClassVar[str] = "rl_orderbook_snapshots"

    market_ticker: str
    session_id: str
    sid: int | None
    sequence_number: int
    ts_event: int
    ts_recv: int
    kind: Literal["snapshot", "checkpoint"]
    yes_no: bool
    packed_bids: bytes
    packed_asks: bytes
    marks: tuple[str, ...]


class BookDeltaRow(Row, frozen=True, gc=False, tag="book_delta_row"):
    """One level of one venue message: its size before and after.

    `remaining` rows of the same message follow: a message is whole once the row with 0 is there.
    """

    table: ClassVar[str] = "rl_orderbook_deltas"

    market_ticker: str
    session_id: str
    sid: int | None
    sequence_number: int
    ts_event: int
    ts_recv: int
    side: StoredSide
    price: int
    old_size: int
    new_size: int
    remaining: int = 0


class BookSessionEventRow(Row, frozen=True, gc=False, tag="book_session_event_row"):
    """Something happened to a stored session; the table `rl_orderbook_sessions` is made of these.

    `started`: the store of this node has begun, so whatever it had open has ended (for `reason`). `opened`: a market
    joined the session with the snapshot `sequence_number`. `ended`: it left it, for `reason`, whole up to
    `sequence_number`. `progress`: how far the session is. `closed`: no market is in it any more.

    The counts are totals of the session. `node` is the id of the node's log.
    """

    table: ClassVar[str] = "rl_orderbook_session_events"

    event: SessionEventKind
    node: str
    ts: int
    session_id: str = ""
    market_ticker: str = ""
    feed: str = ""
    venue: str = ""
    websocket_url: str = ""
    environment: str = ""
    sequence_number: int = 0
    ts_recv: int = 0
    reason: str = ""
    messages_received: int = 0
    snapshots_count: int = 0
    deltas_count: int = 0


class SampledBookRow(Row, frozen=True, gc=False, tag="sampled_book_row"):
    """The best levels of a book at one of every so many updates. For looking at, not for replay.

    `total_volume` is the size of the whole book in nanos as decimal text, as sums outgrow int64.
    """

    table: ClassVar[str] = "rl_orderbook_samples"

    market_ticker: str
    session_id: str
    sid: int | None
    sequence_number: int
    ts_event: int
    ts_recv: int
    yes_no: bool
    packed_bids: bytes
    packed_asks: bytes
    total_volume: str
    marks: tuple[str, ...]


class OrderbookSignalRow(Row, frozen=True, gc=False, tag="orderbook_signal_row"):
    """What a book was like over one bucket of time [`bucket_start`, `bucket_end`).

    The YES spread at the first and last quote, its highest and lowest; None where a side was empty throughout. The NO
    spread of a prediction market is the same number. Volumes are the sizes of a whole side, averaged over time, in
    nanos as decimal text. Top sizes are those of the best levels: at the end, and the largest.
    """

    table: ClassVar[str] = "orderbook_signals"

    market_ticker: str
    session_id: str
    bucket_start: int
    bucket_end: int
    yes_no: bool
    yes_spread_open: int | None
    yes_spread_high: int | None
    yes_spread_low: int | None
    yes_spread_close: int | None
    bid_volume_mean: str
    ask_volume_mean: str
    bid_top_size: int
    ask_top_size: int
    bid_top_size_max: int
    ask_top_size_max: int
    updates: int
    quotes: int
    marks: tuple[str, ...]


class TradeRow(Row, frozen=True, gc=False, tag="trade_row"):
    """One public trade."""

    table: ClassVar[str] = "market_trades"

    market: str
    feed: str
    price: int
    size: int
    taker: Literal["buy", "sell"] | None
    trade_id: str
    session_id: str
    seq: int
    ts_event: int
    ts_recv: int
    block: bool
    marks: tuple[str, ...]

    @classmethod
    def of(cls, trade: Trade, feed: str) -> TradeRow:
        """The row of a trade that came over `feed`."""
        return cls(
            trade.market,
            feed,
            trade.price,
            trade.size,
            trade.taker,
            trade.trade_id,
            trade.session,
            trade.seq,
            trade.ts_event,
            trade.ts_recv,
            trade.block,
            trade.marks,
        )


class BarRow(Row, frozen=True, gc=False, tag="bar_row"):
    """One bar, [`ts_start`, `ts_end`). `volume` is exact decimal text; None where the source has none."""

    table: ClassVar[str] = "market_bars"

    market: str
    feed: str
    bar_interval: str
    ts_start: int
    ts_end: int
    open: int
    high: int
    low: int
    close: int
    volume: str | None
    trades: int | None
    vwap: int | None
    source: str
    ts_recv: int
    empty: bool
    late: int
    marks: tuple[str, ...]

    @classmethod
    def of(cls, bar: Bar, feed: str) -> BarRow:
        """The row of a bar of a market that `feed` follows."""
        return cls(
            bar.market,
            feed,
            bar.interval,
            bar.start,
            bar.end,
            bar.open,
            bar.high,
            bar.low,
            bar.close,
            bar.volume or None,
            bar.trades,
            bar.vwap,
            bar.source,
            bar.ts_recv,
            bar.empty,
            bar.late,
            bar.marks,
        )


class InstrumentRow(Row, frozen=True, gc=False, tag="instrument_row"):
    """One version of what can be traded, true from `valid_from` on until the next one of the same market."""

    table: ClassVar[str] = "instruments"

    market: str
    feed: str
    symbol: str
    venue: str
    kind: str
    currency: str
    base: str
    multiplier: int
    price_ranges: tuple[PriceRange, ...]
    lot: int
    minimum_size: int
    maximum_size: int | None
    minimum_notional: int
    maker_fee: str | None
    taker_fee: str | None
    order_types: tuple[str, ...]
    calendar: str
    status: str
    opens: int | None
    closes: int | None
    title: str
    data_only: bool
    valid_from: int
    source: str
    marks: tuple[str, ...]

    @classmethod
    def of(cls, instrument: Instrument, feed: str) -> InstrumentRow:
        """The row of a definition of a market that `feed` follows."""
        return cls(
            market=instrument.market,
            feed=feed,
            symbol=instrument.symbol,
            venue=instrument.venue,
            kind=instrument.kind,
            currency=instrument.currency,
            base=instrument.base,
            multiplier=instrument.multiplier,
            price_ranges=instrument.price_ranges,
            lot=instrument.lot,
            minimum_size=instrument.minimum_size,
            maximum_size=instrument.maximum_size,
            minimum_notional=instrument.minimum_notional,
            maker_fee=instrument.maker_fee,
            taker_fee=instrument.taker_fee,
            order_types=instrument.order_types,
            calendar=instrument.calendar,
            status=instrument.status,
            opens=instrument.opens,
            closes=instrument.closes,
            title=instrument.title,
            data_only=instrument.data_only,
            valid_from=instrument.valid_from,
            source=instrument.source,
            marks=instrument.marks,
        )


ROWS: Final[tuple[type[Row], ...]] = (
    BookSnapshotRow,
    BookDeltaRow,
    BookSessionEventRow,
    SampledBookRow,
    OrderbookSignalRow,
    TradeRow,
    BarRow,
    InstrumentRow,
)
"""Every kind of row that the store writes."""


def leg_price(price: int, side: StoredSide) -> int:
    """A price of the YES scale on the scale of `side`, and back: a NO level is the complement to 1."""
    return NANO - price if side == "no" else price
