"""Kalshi's REST lists: markets, candlesticks, trades. Bytes to typed rows, rows to market messages.

Amounts are decimal strings: `…_dollars`, `…_fp`. Archived candlesticks (`/historical/…`) have the same rows under names
without the suffix. A candlestick without a trade has no prices; it repeats the last one before it.

The filter `status` and the status of a market use different words: `open` finds `active` ones.
Source: Kalshi's OpenAPI 3.2x texts ("Get Markets", "Get Market Candlesticks", "Get Trades", "Historical Data").
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final, Literal

import msgspec

from protocols.instruments import Instrument, PriceRange, TradingStatus
from protocols.market import Bar, Trade
from protocols.nanos import NANO, NumberFaults, exact_nanos, price_nanos, size_nanos
from protocols.venues.errors import VenueError
from protocols.venues.rfc3339 import rfc3339_nanos

StatusFilter = Literal["unopened", "open", "paused", "closed", "settled"]
CENT: Final = NANO // 100
RETRY_S: Final = 1.0
"""The venue sends no `Retry-After` with 429 and asks for no penalty."""

_STATUSES: Final[dict[str, TradingStatus]] = {
    "initialized": "pre_open",
    "inactive": "halted",
    "active": "open",
    "closed": "closed",
    "determined": "closed",
    "disputed": "closed",
    "amended": "closed",
    "finalized": "settled",
    "settled": "settled",
}


class Range(msgspec.Struct, gc=False):
    """Prices from `start` to `end` go in steps of `step`, in dollars."""

    start: str
    end: str
    step: str


class MarketRow(msgspec.Struct, gc=False):
    """A market as the list has it; only what is used here."""

    ticker: str
    event_ticker: str = ""
    title: str = ""
    yes_sub_title: str = ""
    status: str = ""
    open_time: str | None = None
    close_time: str | None = None
    price_ranges: Sequence[Range] = ()
    notional_value_dollars: str | None = None
    fractional_trading_enabled: bool = False
    yes_bid_dollars: str | None = None
    yes_ask_dollars: str | None = None
    last_price_dollars: str | None = None
    volume_fp: str | None = None
    volume_24h_fp: str | None = None
    open_interest_fp: str | None = None


class MarketsPage(msgspec.Struct, gc=False):
    """An empty cursor ends the list."""

    markets: Sequence[MarketRow] = ()
    cursor: str | None = ""


class Prices(msgspec.Struct, gc=False):
    """Prices of the trades in a candlestick; none where there was no trade."""

    open_dollars: str | None = None
    high_dollars: str | None = None
    low_dollars: str | None = None
    close_dollars: str | None = None
    mean_dollars: str | None = None
    previous_dollars: str | None = None
    open: str | None = None
    high: str | None = None
    low: str | None = None
    close: str | None = None
    mean: str | None = None
    previous: str | None = None


class Candlestick(msgspec.Struct, gc=False):
    """`end_period_ts` in seconds: the end of the period, inclusive."""

    end_period_ts: int
    price: Prices = msgspec.field(default_factory=Prices)
    volume_fp: str | None = None
    volume: str | int | None = None


class CandlesticksPage(msgspec.Struct, gc=False):
    """Oldest first."""

    candlesticks: Sequence[Candlestick] = ()


class TradeRow(msgspec.Struct, gc=False):
    """A public trade."""

    trade_id: str
    ticker: str
    created_time: str
    yes_price_dollars: str
    count_fp: str
    taker_outcome_side: str | None = None
    taker_side: str | None = None
    is_block_trade: bool = False


class TradesPage(msgspec.Struct, gc=False):
    """Newest first. An empty cursor ends the list."""

    trades: Sequence[TradeRow] = ()
    cursor: str | None = ""


class _Error(msgspec.Struct, gc=False):
    code: str = ""
    message: str = ""


markets_page: Final = msgspec.json.Decoder(MarketsPage)
candlesticks_page: Final = msgspec.json.Decoder(CandlesticksPage)
trades_page: Final = msgspec.json.Decoder(TradesPage)
_errors: Final = msgspec.json.Decoder(dict[str, msgspec.Raw])
_error: Final = msgspec.json.Decoder(_Error)


def refuse(status: int, body: bytes) -> None:
    """Raise VenueError for an answer that is no success.

    Three forms occur: `{"code", "message"}`, the same under `error`, and `{"error": "too many requests"}`.
    """
    if 200 <= status < 300:
        return
    code, message = "", body[:200].decode("utf-8", "replace")
    try:
        answer = _errors.decode(body)
        inner = answer.get("error", msgspec.Raw(body))
        if bytes(inner)[:1] == b'"':
            message = msgspec.json.decode(inner, type=str)
        else:
            said = _error.decode(inner)
            code, message = said.code, said.message or message
    except (msgspec.DecodeError, UnicodeError):
        pass
    raise VenueError(status, code or f"http_{status}", message, RETRY_S if status == 429 or status >= 500 else None)


def instrument(row: MarketRow, ts: int, source: str) -> Instrument:
    """What the market is from `ts` on. Raises ValueError for amounts that are none.

    A contract pays a dollar. The fee is a curve of the price and no fraction, so none is given.
    """
    ranges = tuple(
        PriceRange(exact_nanos(each.start), exact_nanos(each.end), exact_nanos(each.step)) for each in row.price_ranges
    )
    return Instrument(
        market=row.ticker,
        symbol=row.ticker,
        venue="kalshi",
        kind="prediction",
        currency="USD",
        # What the venue said of all markets before it gave ranges.
        price_ranges=ranges or (PriceRange(CENT, NANO - CENT, CENT),),
        lot=CENT if row.fractional_trading_enabled else NANO,
        multiplier=exact_nanos(row.notional_value_dollars) if row.notional_value_dollars else NANO,
        order_types=("limit",),
        status=_STATUSES.get(row.status, "unknown"),
        opens=rfc3339_nanos(row.open_time) if row.open_time else None,
        closes=rfc3339_nanos(row.close_time) if row.close_time else None,
        title=f"{row.title} {row.yes_sub_title}".strip(),
        valid_from=ts,
        source=source,
    )


def bar(row: Candlestick, market: str, interval: str, minutes: int, ts: int, faults: NumberFaults) -> Bar | None:
    """The candlestick as a bar; None where nothing has been traded yet. Raises ValueError.

    One without a trade is marked empty and repeats the last price before it.
    """
    price = row.price
    previous = _price(price.previous_dollars or price.previous, faults)
    opened = _price(price.open_dollars or price.open, faults)
    high = _price(price.high_dollars or price.high, faults)
    low = _price(price.low_dollars or price.low, faults)
    close = _price(price.close_dollars or price.close, faults)
    empty = opened is None or high is None or low is None or close is None
    if opened is None or high is None or low is None or close is None:
        if previous is None:
            return None
        opened = high = low = close = previous
    end = row.end_period_ts * NANO
    volume = row.volume_fp if row.volume_fp is not None else row.volume
    return Bar(
        market=market,
        interval=interval,
        start=end - minutes * 60 * NANO,
        end=end,
        open=opened,
        high=high,
        low=low,
        close=close,
        volume="0" if volume is None else str(volume),
        trades=None,
        vwap=_price(price.mean_dollars or price.mean, faults),
        source="venue",
        ts_recv=ts,
        empty=empty,
    )


def trade(row: TradeRow, ts: int, faults: NumberFaults) -> Trade | None:
    """The trade in the YES book; None where its price is out of range. Raises ValueError."""
    price = price_nanos(row.yes_price_dollars, faults)
    if price is None:
        return None
    outcome = row.taker_outcome_side or row.taker_side
    return Trade(
        market=row.ticker,
        price=price,
        size=size_nanos(row.count_fp, faults),
        taker=None if outcome is None else "buy" if outcome == "yes" else "sell",
        trade_id=row.trade_id,
        session="",
        seq=0,
        ts_event=rfc3339_nanos(row.created_time),
        ts_recv=ts,
        block=row.is_block_trade,
    )


def _price(text: str | None, faults: NumberFaults) -> int | None:
    return None if text is None else price_nanos(text, faults)
