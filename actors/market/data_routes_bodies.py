"""What the routes of the market data connector take and give.

Values that nobody provides are null beside a `status` of `missing` and the reason; they are never 0.
"""

from __future__ import annotations

from typing import Annotated, Literal

import msgspec

from actors.market.routes_bodies import Number, Origin


class MarketDataQuery(msgspec.Struct, frozen=True):
    """`symbol`: a market, or a venue's or usual symbol of one. `resolution`: an interval of bars."""

    symbol: str
    window_hours: Annotated[float, msgspec.Meta(gt=0, le=24 * 366)] = 24
    resolution: str = "1h"
    include_indicators: bool = True


class MarketDataRow(msgspec.Struct, frozen=True):
    """One bar; `timestamp` is its start. What is not known is null. `indicators` are their values at its end."""

    timestamp: str
    open: Number | None
    high: Number | None
    low: Number | None
    close: Number | None
    volume: Number | None
    trades: int | None
    vwap: Number | None
    empty: bool
    synthetic: bool
    marks: tuple[str, ...]
    indicators: dict[str, float | None] | None


class MarketDataBody(msgspec.Struct, frozen=True):
    """Bars, the oldest first. `missing`: why something is not there. `warm_up_start`: where the indicators began."""

    symbol: str
    market: str
    resolution: str
    window_hours: float
    start: str
    end: str
    data: tuple[MarketDataRow, ...]
    warm_up_start: str | None
    origin: Origin
    missing: dict[str, str]


class AggregateOptions(msgspec.Struct, frozen=True, rename="camel"):
    """What is wanted."""

    include_onchain: bool = True
    include_funding: bool = True
    include_whales: bool = True
    include_smart_money: bool = True
    include_liquidations: bool = True


class AggregateRequest(msgspec.Struct, frozen=True):
    """Up to 100 symbols."""

    symbols: Annotated[tuple[str, ...], msgspec.Meta(min_length=1, max_length=100)]
    options: AggregateOptions = AggregateOptions()


Status = Literal["available", "missing"]


class MissingBody(msgspec.Struct, frozen=True):
    """What nobody provides."""

    reason: str
    status: Status = "missing"


class FundingBody(msgspec.Struct, frozen=True):
    """A perpetual's funding. `rate` is a fraction for one period; times in nanoseconds since the epoch."""

    status: Status
    reason: str
    market: str | None
    rate: Number | None
    next_funding_time: int | None
    mark_price: Number | None
    index_price: Number | None
    origin: Origin | None


class WhalesBody(msgspec.Struct, frozen=True):
    """Trades of at least `threshold` (price times size), from this node's own stream of trades. Sums are notionals.

    `watched_from`: since when it is counted, in nanoseconds; a window that begins before it is not whole.
    """

    status: Status
    reason: str
    market: str | None
    threshold: Number | None
    window_hours: float
    watched_from: int | None
    count: int | None
    bought: Number | None
    sold: Number | None
    unknown: Number | None
    largest_price: Number | None
    largest_size: Number | None
    origin: Origin | None


class LiquidationsBody(msgspec.Struct, frozen=True):
    """Positions closed by force, as notionals. Venues tell at most one a second of each market, so sums are low."""

    status: Status
    reason: str
    market: str | None
    window_hours: float
    watched_from: int | None
    count: int | None
    longs: Number | None
    shorts: Number | None
    last_price: Number | None
    origin: Origin | None


class AggregateMetadata(msgspec.Struct, frozen=True):
    """`reliability`: the share of the wanted values that are there. `sources`: the feeds that they are from."""

    sources: tuple[str, ...]
    reliability: float
    timestamp: str
    available: int
    wanted: int


class AggregateBody(msgspec.Struct, frozen=True, rename="camel"):
    """By symbol. A section that was not wanted is null."""

    onchain: dict[str, MissingBody] | None
    whales: dict[str, WhalesBody] | None
    funding: dict[str, FundingBody] | None
    smart_money: dict[str, MissingBody] | None
    liquidations: dict[str, LiquidationsBody] | None
    metadata: AggregateMetadata
