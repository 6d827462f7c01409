"""Coinbase Advanced Trade's WebSocket: bytes to typed frames, typed frames to market messages, and commands.

Source: docs.cdp.coinbase.com, "Advanced Trade WebSocket channels" and "WebSocket overview". Every frame of data has a
`channel` and a `sequence_num`, which counts all frames of a connection, acknowledgements and heartbeats too. Sizes of
`l2_data` are absolute, "0" removes; its sides are `bid` and `offer`. A trade's `side` is the *maker's*: the taker took
the other one. Errors have a `type` and no channel.

The same structs encode (`encode`), for a stand-in that speaks the venue's side.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Final, Literal

import msgspec

from protocols.market import Bar, LevelChange, Side, Ticker, Trade
from protocols.nanos import NANO, NumberFaults, price_nanos, size_nanos
from protocols.venues.errors import WireError
from protocols.venues.rfc3339 import rfc3339_nanos

LEVEL2: Final = "level2"
"""What is subscribed; its frames come as `L2_DATA`."""
L2_DATA: Final = "l2_data"
MARKET_TRADES: Final = "market_trades"
TICKER: Final = "ticker"
CANDLES: Final = "candles"
HEARTBEATS: Final = "heartbeats"
SUBSCRIPTIONS: Final = "subscriptions"

CANDLE_S: Final = 300
"""The candles channel knows one interval: five minutes."""

EventType = Literal["snapshot", "update"]


class _Frame(msgspec.Struct, gc=False, omit_defaults=True, kw_only=True, tag_field="channel"):
    """`timestamp` is when the venue sent it, RFC 3339 with nine decimals."""

    client_id: str = ""
    timestamp: str
    sequence_num: int


class LevelUpdate(msgspec.Struct, gc=False):
    """The new size of one level, absolute. In some snapshots `event_time` is the epoch, which means nothing."""

    side: Literal["bid", "offer"]
    event_time: str
    price_level: str
    new_quantity: str


class BookEvent(msgspec.Struct, gc=False):
    """Levels of one product: the whole book (`snapshot`) or what has changed."""

    type: EventType
    product_id: str
    updates: tuple[LevelUpdate, ...]


class BookFrame(_Frame, tag=L2_DATA):
    """Books of one product or more."""

    events: tuple[BookEvent, ...]


class TradeBody(msgspec.Struct, gc=False):
    """One trade. `side` is the maker's."""

    product_id: str
    trade_id: str
    price: str
    size: str
    time: str
    side: Literal["BUY", "SELL", "UNKNOWN_ORDER_SIDE"]


class TradeEvent(msgspec.Struct, gc=False):
    """The last trades before the subscription (`snapshot`, newest first), or new ones."""

    type: EventType
    trades: tuple[TradeBody, ...]


class TradeFrame(_Frame, tag=MARKET_TRADES):
    """Trades of a quarter of a second."""

    events: tuple[TradeEvent, ...]


class TickerBody(msgspec.Struct, gc=False, omit_defaults=True):
    """Display prices; never mixed into a book."""

    product_id: str
    price: str = ""
    best_bid: str = ""
    best_bid_quantity: str = ""
    best_ask: str = ""
    best_ask_quantity: str = ""
    volume_24_h: str = ""


class TickerEvent(msgspec.Struct, gc=False):
    """Tickers that have changed."""

    type: EventType
    tickers: tuple[TickerBody, ...]


class TickerFrame(_Frame, tag=TICKER):
    """Display prices have changed."""

    events: tuple[TickerEvent, ...]


class CandleBody(msgspec.Struct, gc=False):
    """Five minutes from `start` (seconds) on, as far as they are."""

    product_id: str
    start: str
    open: str
    high: str
    low: str
    close: str
    volume: str


class CandleEvent(msgspec.Struct, gc=False):
    """Past candles and the open one (`snapshot`), or the open one."""

    type: EventType
    candles: tuple[CandleBody, ...]


class CandleFrame(_Frame, tag=CANDLES):
    """Five-minute candles; sent once a second while they change."""

    events: tuple[CandleEvent, ...]


class HeartbeatEvent(msgspec.Struct, gc=False):
    """`heartbeat_counter` comes as a number or as its digits."""

    current_time: str
    heartbeat_counter: int | str


class HeartbeatFrame(_Frame, tag=HEARTBEATS):
    """Sent once a second; its sequence number shows a loss even in quiet markets."""

    events: tuple[HeartbeatEvent, ...]


class SubscriptionsEvent(msgspec.Struct, gc=False):
    """Everything that this connection is subscribed to now: channel to products."""

    subscriptions: dict[str, tuple[str, ...]]


class SubscriptionsFrame(_Frame, tag=SUBSCRIPTIONS):
    """Answers each subscribe and unsubscribe."""

    events: tuple[SubscriptionsEvent, ...]

    def products(self, channel: str) -> frozenset[str]:
        """The products of a channel. The venue writes `level2` as subscribed."""
        return frozenset(product for event in self.events for product in event.subscriptions.get(channel, ()))


class ErrorFrame(msgspec.Struct, gc=False, kw_only=True, tag_field="type", tag="error"):
    """A command was refused. It names no command and no product, but in its words."""

    message: str


class OtherFrame(msgspec.Struct, gc=False, kw_only=True):
    """A frame that is not read here, or (`fault`) a known one that did not fit its form.

    It still uses up its sequence number.
    """

    channel: str = ""
    type: str = ""
    message: str = ""
    sequence_num: int | None = None
    fault: str = ""


_Known = BookFrame | TradeFrame | TickerFrame | CandleFrame | HeartbeatFrame | SubscriptionsFrame
Frame = _Known | ErrorFrame | OtherFrame
KNOWN_CHANNELS: Final = frozenset(str(kind.__struct_config__.tag) for kind in _Known.__args__)

_known: msgspec.json.Decoder[_Known] = msgspec.json.Decoder(_Known)
_other = msgspec.json.Decoder(OtherFrame)
_encoder = msgspec.json.Encoder()


def decode(raw: bytes | str) -> Frame:
    """The typed frame.

    Raises WireError for what is no frame at all; an unfit known frame comes as OtherFrame.
    """
    try:
        return _known.decode(raw)
    except msgspec.ValidationError as error:
        fault = str(error)
    except (msgspec.DecodeError, UnicodeError) as error:
        raise WireError(str(error)) from None
    try:
        other = _other.decode(raw)
    except (msgspec.DecodeError, UnicodeError) as error:
        raise WireError(str(error)) from None
    if other.type == "error":
        return ErrorFrame(message=other.message)
    other.fault = fault if other.channel in KNOWN_CHANNELS else ""
    return other


def encode(frame: Frame) -> bytes:
    """The frame as the venue would send it; fields at their defaults are left out."""
    return _encoder.encode(frame)


class Command(msgspec.Struct, gc=False, omit_defaults=True, kw_only=True):
    """What a client sends: one channel for each message."""

    type: Literal["subscribe", "unsubscribe"]
    product_ids: tuple[str, ...] = ()
    channel: str
    jwt: str = ""


_command = msgspec.json.Decoder(Command)


def decode_command(raw: bytes | str) -> Command:
    """What the client sent. Raises msgspec.DecodeError where that is no command."""
    return _command.decode(raw)


def subscribe(channel: str, products: Sequence[str] = (), jwt: str = "") -> bytes:
    """Subscribe to one channel; `heartbeats` takes no products."""
    return _encoder.encode(Command(type="subscribe", product_ids=tuple(products), channel=channel, jwt=jwt))


def unsubscribe(channel: str, products: Sequence[str] = (), jwt: str = "") -> bytes:
    """End the subscription of these products."""
    return _encoder.encode(Command(type="unsubscribe", product_ids=tuple(products), channel=channel, jwt=jwt))


class Codec:
    """Turns parts of frames into parts of market messages. Keeps the parsed prices and counts number faults.

    Methods raise ValueError for what is no number or no time.
    """

    # Prices come again and again near the best; a whole book of 46,000 levels has its own way (`coinbase_large`).
    _MOST_PRICES = 65_536

    def __init__(self, faults: NumberFaults | None = None) -> None:
        self.faults = NumberFaults() if faults is None else faults
        self._prices: dict[str, int] = {}

    def changes(self, updates: Iterable[LevelUpdate], *, snapshot: bool) -> list[LevelChange]:
        """The levels in the venue's order. In a snapshot a textual zero is no level."""
        changes: list[LevelChange] = []
        prices, faults = self._prices, self.faults
        for update in updates:
            digits = update.price_level
            price = prices.get(digits)
            if price is None and (price := self._price(digits)) is None:
                continue
            size = size_nanos(update.new_quantity, faults)
            if size or not snapshot:
                side: Side = "bid" if update.side == "bid" else "ask"
                changes.append(LevelChange(side, price, size))
        return changes

    def trade(
        self, body: TradeBody, market: str, session: str, seq: int, ts_recv: int, marks: tuple[str, ...]
    ) -> Trade | None:
        """The trade, or None (and counted) where its price is out of range."""
        price = self._price(body.price)
        if price is None:
            return None
        taker: Literal["buy", "sell"] | None = None
        if body.side != "UNKNOWN_ORDER_SIDE":
            taker = "buy" if body.side == "SELL" else "sell"
        return Trade(
            market=market,
            price=price,
            size=size_nanos(body.size, self.faults),
            taker=taker,
            trade_id=body.trade_id,
            session=session,
            seq=seq,
            ts_event=event_time(body.time),
            ts_recv=ts_recv,
            marks=marks,
        )

    def ticker(
        self, body: TickerBody, market: str, session: str, timestamp: str, ts_recv: int, marks: tuple[str, ...]
    ) -> Ticker:
        """The display prices. Its `seq` is 0: the venue does not say to which book they belong."""
        return Ticker(
            market=market,
            bid=self._price(body.best_bid) if body.best_bid else None,
            bid_size=size_nanos(body.best_bid_quantity, self.faults) if body.best_bid_quantity else None,
            ask=self._price(body.best_ask) if body.best_ask else None,
            ask_size=size_nanos(body.best_ask_quantity, self.faults) if body.best_ask_quantity else None,
            last=self._price(body.price) if body.price else None,
            session=session,
            seq=0,
            ts_event=event_time(timestamp),
            ts_recv=ts_recv,
            marks=marks,
        )

    def bar(self, body: CandleBody, market: str, ts_recv: int, marks: tuple[str, ...]) -> Bar | None:
        """The candle as far as it is, or None (and counted) where a price is out of range."""
        prices = (self._price(body.open), self._price(body.high), self._price(body.low), self._price(body.close))
        opened, high, low, close = prices
        if opened is None or high is None or low is None or close is None:
            return None
        start = int(body.start) * NANO
        return Bar(
            market=market,
            interval="5m",
            start=start,
            end=start + CANDLE_S * NANO,
            open=opened,
            high=high,
            low=low,
            close=close,
            volume=body.volume,
            trades=None,
            vwap=None,
            source="venue",
            ts_recv=ts_recv,
            marks=marks,
        )

    def _price(self, digits: str) -> int | None:
        price = self._prices.get(digits)
        if price is None:
            price = price_nanos(digits, self.faults)
            if price is not None and len(self._prices) < self._MOST_PRICES:
                self._prices[digits] = price
        return price


def event_time(text: str) -> int:
    """Nanoseconds; 0 for the epoch and everything before it, by which the venue means that it does not know."""
    return max(0, rfc3339_nanos(text))
