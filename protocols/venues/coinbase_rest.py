"""Coinbase Advanced Trade's REST answers: bytes to typed answers, typed answers to market messages.

Source: docs.cdp.coinbase.com, "Advanced Trade REST API" (public market data, transaction summary). Numbers are text.
Candles and trades come newest first. A trade's `side` is the maker's, as on the WebSocket.
"""

from __future__ import annotations

from typing import Final, TypeVar

import msgspec

from protocols.instruments import Instrument, OrderType, PriceRange, TradingStatus
from protocols.market import Bar
from protocols.nanos import INT64_MAX, NANO, NumberFaults, price_nanos, scaled, size_nanos
from protocols.venues.coinbase import TradeBody
from protocols.venues.errors import VenueError

GRANULARITIES: Final = {
    "1m": ("ONE_MINUTE", 60),
    "5m": ("FIVE_MINUTE", 300),
    "15m": ("FIFTEEN_MINUTE", 900),
    "30m": ("THIRTY_MINUTE", 1800),
    "1h": ("ONE_HOUR", 3600),
    "2h": ("TWO_HOUR", 7200),
    "4h": ("FOUR_HOUR", 14_400),
    "6h": ("SIX_HOUR", 21_600),
    "1d": ("ONE_DAY", 86_400),
}
"""Our words for the intervals of candles: the venue's, and seconds."""
_RETRY_S: Final = 1.0
_ORDER_TYPES: Final[tuple[OrderType, ...]] = ("market", "limit", "stop_limit", "post_only")
A = TypeVar("A")


class Product(msgspec.Struct, gc=False, kw_only=True):
    """A product of the list. Increments and limits in the base or the quote currency; "" where there is none."""

    product_id: str
    product_type: str = "SPOT"
    status: str = ""
    base_currency_id: str = ""
    quote_currency_id: str = ""
    base_increment: str = ""
    quote_increment: str = ""
    price_increment: str = ""
    base_min_size: str = ""
    base_max_size: str = ""
    quote_min_size: str = ""
    display_name: str = ""
    is_disabled: bool = False
    trading_disabled: bool = False
    view_only: bool = False
    cancel_only: bool = False
    limit_only: bool = False
    post_only: bool = False
    auction_mode: bool = False


class ProductsPage(msgspec.Struct, gc=False):
    """Products from `offset` on; `num_products` counts all that fit the question."""

    products: tuple[Product, ...]
    num_products: int = 0


class FeeTier(msgspec.Struct, gc=False):
    """Fractions of the notional: "0.006"."""

    maker_fee_rate: str = ""
    taker_fee_rate: str = ""


class TransactionSummary(msgspec.Struct, gc=False):
    """What the account pays now."""

    fee_tier: FeeTier


class Candle(msgspec.Struct, gc=False):
    """A candle; `start` in seconds. None is there for a time without a trade."""

    start: str
    low: str
    high: str
    open: str
    close: str
    volume: str


class CandlesPage(msgspec.Struct, gc=False):
    """At most 350, newest first."""

    candles: tuple[Candle, ...] = ()


class TradesPage(msgspec.Struct, gc=False):
    """The newest trades of the span, newest first."""

    trades: tuple[TradeBody, ...] = ()


class _Refusal(msgspec.Struct, gc=False):
    error: str = ""
    message: str = ""
    error_details: str = ""


products_page: Final = msgspec.json.Decoder(ProductsPage)
transaction_summary: Final = msgspec.json.Decoder(TransactionSummary)
candles_page: Final = msgspec.json.Decoder(CandlesPage)
trades_page: Final = msgspec.json.Decoder(TradesPage)
_refusal: Final = msgspec.json.Decoder(_Refusal)


def read(decoder: msgspec.json.Decoder[A], status: int, body: bytes) -> A:
    """The typed answer. Raises VenueError."""
    if not 200 <= status < 300:
        code, message = f"http_{status}", body[:200].decode("utf-8", "replace")
        try:
            refusal = _refusal.decode(body)
            code, message = refusal.error or code, refusal.message or refusal.error_details or message
        except (msgspec.DecodeError, UnicodeError):
            pass
        raise VenueError(status, code, message, _RETRY_S if status == 429 or status >= 500 else None)
    try:
        return decoder.decode(body)
    except (msgspec.DecodeError, UnicodeError) as error:
        raise VenueError(status, "unreadable", str(error)) from None


def instrument(product: Product, market: str, ts: int, source: str, fees: FeeTier) -> Instrument:
    """What the product is from `ts` on. Raises ValueError for amounts that are none."""
    tick, tick_cut = scaled(product.price_increment or product.quote_increment)
    lot, lot_cut = scaled(product.base_increment)
    tick, lot = max(tick, 1), max(lot, 1)
    return Instrument(
        market=market,
        symbol=product.product_id,
        venue="coinbase",
        kind="spot",
        currency=product.quote_currency_id,
        base=product.base_currency_id,
        # The venue names no highest price.
        price_ranges=(PriceRange(tick, INT64_MAX // tick * tick, tick),),
        lot=lot,
        minimum_size=_amount(product.base_min_size),
        maximum_size=_amount(product.base_max_size) or None,
        minimum_notional=_amount(product.quote_min_size),
        maker_fee=fees.maker_fee_rate or None,
        taker_fee=fees.taker_fee_rate or None,
        order_types=_order_types(product),
        status=_status(product),
        title=product.display_name,
        data_only=tick_cut or lot_cut,
        valid_from=ts,
        source=source,
    )


def bar(candle: Candle, market: str, interval: str, ts: int, faults: NumberFaults) -> Bar | None:
    """The candle as a bar, or None (and counted) where a price is out of range. Raises ValueError."""
    opened, high, low, close = (
        price_nanos(text, faults) for text in (candle.open, candle.high, candle.low, candle.close)
    )
    if opened is None or high is None or low is None or close is None:
        return None
    start = int(candle.start) * NANO
    return Bar(
        market=market,
        interval=interval,
        start=start,
        end=start + GRANULARITIES[interval][1] * NANO,
        open=opened,
        high=high,
        low=low,
        close=close,
        volume=candle.volume,
        trades=None,
        vwap=None,
        source="venue",
        ts_recv=ts,
    )


def _amount(text: str) -> int:
    return size_nanos(text, NumberFaults()) if text else 0


def _order_types(product: Product) -> tuple[OrderType, ...]:
    if product.post_only:
        return ("post_only",)
    return ("limit", "post_only") if product.limit_only else _ORDER_TYPES


def _status(product: Product) -> TradingStatus:
    if product.status == "delisted":
        return "closed"
    if product.auction_mode:
        return "auction"
    if product.is_disabled or product.trading_disabled or product.view_only or product.cancel_only:
        return "halted"
    return "open" if product.status == "online" else "unknown"
