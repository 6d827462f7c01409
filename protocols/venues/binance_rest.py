"""Binance's public REST answers, of spot, USD-M and COIN-M: bytes to typed answers.

Source: binance-spot-api-docs `rest-api.md`, `errors.md`, `filters.md`; the market data pages of "USDⓈ-M Futures" and
"COIN-M Futures". An error is `{"code": -1121, "msg": "Invalid symbol."}`, whatever its HTTP status.
"""

from __future__ import annotations

from typing import Final

import msgspec

from protocols.venues.binance import Candle, DepthSnapshot
from protocols.venues.binance_replies import UNREADABLE, Fault
from protocols.venues.errors import VenueError, WireError

TOO_MANY_REQUESTS: Final = -1003
INVALID_SYMBOL: Final = -1121
UNKNOWN_SYMBOLS: Final = frozenset({-1100, INVALID_SYMBOL, -4108, -4141, -4144})
"""Illegal characters, an invalid symbol or pair, one that is closed: asking again will not help."""
BANNED: Final = 418
FORBIDDEN: Final = 403
RATE_LIMITED: Final = 429
# A ban lasts from two minutes to three days.
_BAN_S: Final = 120.0
_LIMIT_S: Final = 10.0
_SERVER_S: Final = 1.0


class Filter(msgspec.Struct, gc=False, rename="camel", kw_only=True):
    """One rule of a symbol. Which fields it has depends on `filter_type`; "0" turns a bound off."""

    filter_type: str
    min_price: str = "0"
    max_price: str = "0"
    tick_size: str = "0"
    min_qty: str = "0"
    max_qty: str = "0"
    step_size: str = "0"
    min_notional: str = "0"
    notional: str = "0"


class SymbolInfo(msgspec.Struct, gc=False, rename="camel", kw_only=True):
    """A symbol of `exchangeInfo`. COIN-M says `contractStatus` and `orderTypes`; spot has no contract fields."""

    symbol: str
    status: str = ""
    contract_status: str = ""
    contract_type: str = ""
    contract_size: int | None = None
    delivery_date: int = 0
    onboard_date: int = 0
    base_asset: str = ""
    quote_asset: str = ""
    order_types: tuple[str, ...] = ()
    order_type: tuple[str, ...] = ()
    time_in_force: tuple[str, ...] = ()
    allow_trailing_stop: bool = False
    filters: tuple[Filter, ...] = ()


class ExchangeInfo(msgspec.Struct, gc=False, rename="camel", kw_only=True):
    """All that can be traded."""

    server_time: int = 0
    symbols: tuple[SymbolInfo, ...]


class AggregateTradeRow(
    msgspec.Struct,
    gc=False,
    kw_only=True,
    rename={
        "aggregate_id": "a",
        "price": "p",
        "quantity": "q",
        "first": "f",
        "last": "l",
        "trade_time": "T",
        "buyer_is_maker": "m",
    },
):
    """One row of `aggTrades`."""

    aggregate_id: int
    price: str
    quantity: str
    first: int = 0
    last: int = 0
    trade_time: int
    buyer_is_maker: bool


class FundingRow(msgspec.Struct, gc=False, rename="camel", kw_only=True):
    """One row of `fundingRate`: what was paid at `funding_time`. Older rows have no mark price."""

    symbol: str
    funding_rate: str
    funding_time: int
    mark_price: str = ""


class _Kline(msgspec.Struct, gc=False, array_like=True):
    start: int
    open: str
    high: str
    low: str
    close: str
    volume: str
    end: int
    quote_volume: str
    trades: int
    taker_volume: str = "0"
    taker_quote_volume: str = "0"


_depth = msgspec.json.Decoder(DepthSnapshot)
_exchange = msgspec.json.Decoder(ExchangeInfo)
_klines = msgspec.json.Decoder(tuple[_Kline, ...])
_trades = msgspec.json.Decoder(tuple[AggregateTradeRow, ...])
_funding = msgspec.json.Decoder(tuple[FundingRow, ...])
_fault = msgspec.json.Decoder(Fault)
_encoder = msgspec.json.Encoder()


def decode_depth(body: bytes | str) -> DepthSnapshot:
    """The answer to `GET /depth`. Raises WireError."""
    try:
        return _depth.decode(body)
    except UNREADABLE as error:
        raise WireError(str(error)) from None


def decode_exchange_info(body: bytes | str) -> ExchangeInfo:
    """The answer to `GET /exchangeInfo`. Raises WireError."""
    try:
        return _exchange.decode(body)
    except UNREADABLE as error:
        raise WireError(str(error)) from None


def decode_klines(body: bytes | str, symbol: str, interval: str, now_ms: int) -> tuple[Candle, ...]:
    """The answer to `GET /klines`, oldest first. A candle is final if it has ended by `now_ms`. Raises WireError."""
    try:
        rows = _klines.decode(body)
    except UNREADABLE as error:
        raise WireError(str(error)) from None
    return tuple(
        Candle(
            start=row.start,
            end=row.end,
            symbol=symbol,
            interval=interval,
            open=row.open,
            close=row.close,
            high=row.high,
            low=row.low,
            volume=row.volume,
            trades=row.trades,
            final=row.end < now_ms,
            quote_volume=row.quote_volume,
            taker_volume=row.taker_volume,
            taker_quote_volume=row.taker_quote_volume,
        )
        for row in rows
    )


def decode_aggregate_trades(body: bytes | str) -> tuple[AggregateTradeRow, ...]:
    """The answer to `GET /aggTrades`, oldest first. Raises WireError."""
    try:
        return _trades.decode(body)
    except UNREADABLE as error:
        raise WireError(str(error)) from None


def decode_funding(body: bytes | str) -> tuple[FundingRow, ...]:
    """The answer to `GET /fundingRate`, oldest first. Raises WireError."""
    try:
        return _funding.decode(body)
    except UNREADABLE as error:
        raise WireError(str(error)) from None


def decode_fault(body: bytes | str) -> Fault:
    """What an error says; code 0 and the text where it is none of the venue's."""
    try:
        return _fault.decode(body)
    except UNREADABLE:
        text = body if isinstance(body, str) else body.decode(errors="replace")
        return Fault(0, " ".join(text.split())[:200])


def encode_fault(fault: Fault) -> bytes:
    """The venue's side: the body of an error."""
    return _encoder.encode(fault)


def error_of(status: int, body: bytes | str) -> VenueError:
    """What a refused call means, and whether and when it may be tried again."""
    fault = decode_fault(body)
    retry_s: float | None = None
    if status in (BANNED, FORBIDDEN):
        retry_s = _BAN_S
    elif status == RATE_LIMITED or fault.code == TOO_MANY_REQUESTS:
        retry_s = _LIMIT_S
    elif status >= 500:
        retry_s = _SERVER_S
    return VenueError(status, str(fault.code), fault.msg or "no words", retry_s)
