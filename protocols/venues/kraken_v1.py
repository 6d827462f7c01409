"""Kraken's WebSocket, version 1: bytes to typed frames, and commands. Its recordings are many.

Source: docs.kraken.com, "Spot WebSocket v1" and the guide "Book checksum (WebSocket v1)". Data comes as arrays: a
channel number, one payload or two, the channel's name (`book-1000`) and the pair. All numbers are text. A book's
snapshot has `as` and `bs`, an update `a` or `b` (or both, in two payloads) and the checksum `c`. Everything else is an
object with an `event`. The venue calls bitcoin XBT here, and BTC in version 2.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

import msgspec

from protocols.market import Ticker, Trade
from protocols.nanos import NumberFaults, price_nanos, scaled, size_nanos
from protocols.venues.errors import WireError

BOOK: Final = "book"
TRADE: Final = "trade"
TICKER: Final = "ticker"

# The parts of an array that are no payload: number, name, pair.
_FRAME_PARTS: Final = 3

LevelText = tuple[str, ...]
"""Price, size, time in seconds, and `r` where it is a level that comes back into the depth."""


class EventFrame(msgspec.Struct, gc=False, kw_only=True, omit_defaults=True):
    """`systemStatus`, `subscriptionStatus`, `heartbeat`, `pong` or `error`."""

    event: str
    status: str = ""
    pair: str = ""
    channelName: str = ""  # noqa: N815 - the venue's
    channelID: int | None = None  # noqa: N815 - the venue's
    errorMessage: str = ""  # noqa: N815 - the venue's


class BookPayload(
    msgspec.Struct,
    gc=False,
    kw_only=True,
    rename={"all_asks": "as", "all_bids": "bs", "asks": "a", "bids": "b", "checksum": "c"},
):
    """A snapshot's levels, or those that have changed, in their order."""

    all_asks: tuple[LevelText, ...] | None = None
    all_bids: tuple[LevelText, ...] | None = None
    asks: tuple[LevelText, ...] = ()
    bids: tuple[LevelText, ...] = ()
    checksum: str = ""


class BookFrame(msgspec.Struct, gc=False):
    """A book, or what has changed in it. `depth` is of the channel's name; `checksum` None: a snapshot has none."""

    channel: int
    pair: str
    depth: int | None
    snapshot: bool
    bids: tuple[LevelText, ...]
    asks: tuple[LevelText, ...]
    checksum: int | None

    @property
    def ts_event(self) -> int:
        """The newest of the levels' times, nanoseconds. Raises ValueError for what is no time."""
        return max((scaled(level[2])[0] for side in (self.bids, self.asks) for level in side), default=0)


class TradeFrame(msgspec.Struct, gc=False):
    """Trades: price, size, time, `b` or `s` for the taker's side, `m` or `l` for its order, something else."""

    channel: int
    pair: str
    trades: tuple[tuple[str, str, str, str, str, str], ...]


class TickerPayload(msgspec.Struct, gc=False):
    """Best ask and best bid (price, whole lots, size) and the last trade (price, size)."""

    a: tuple[str, int | str, str]
    b: tuple[str, int | str, str]
    c: tuple[str, str]


class TickerFrame(msgspec.Struct, gc=False):
    """Display prices; never mixed into a book."""

    channel: int
    pair: str
    ticker: TickerPayload


class OtherFrame(msgspec.Struct, gc=False):
    """An array of a channel that is not read here, or (`fault`) of one that is, which did not fit its form."""

    name: str
    pair: str
    fault: str = ""


Frame = EventFrame | BookFrame | TradeFrame | TickerFrame | OtherFrame

_event = msgspec.json.Decoder(EventFrame)
_array = msgspec.json.Decoder(tuple[msgspec.Raw, ...])
_text = msgspec.json.Decoder(str)
_number = msgspec.json.Decoder(int)
_book = msgspec.json.Decoder(BookPayload)
_trades = msgspec.json.Decoder(tuple[tuple[str, str, str, str, str, str], ...])
_ticker = msgspec.json.Decoder(TickerPayload)
_encoder = msgspec.json.Encoder()


def decode(raw: bytes | str) -> Frame:
    """The typed frame. Raises WireError for what is no frame at all."""
    text = raw.encode() if isinstance(raw, str) else raw
    try:
        if text[:1] == b"{":
            return _event.decode(text)
        parts = _array.decode(text)
        if len(parts) <= _FRAME_PARTS:
            raise WireError(f"an array of {len(parts)}")
        channel, name, pair = _number.decode(parts[0]), _text.decode(parts[-2]), _text.decode(parts[-1])
    except (msgspec.DecodeError, UnicodeError) as error:
        raise WireError(str(error)) from None
    try:
        return _frame(channel, name, pair, parts[1:-2])
    except (msgspec.ValidationError, ValueError) as error:
        return OtherFrame(name, pair, str(error))


def _frame(channel: int, name: str, pair: str, payloads: Sequence[msgspec.Raw]) -> Frame:
    kind, _, depth = name.partition("-")
    if kind == BOOK:
        books = [_book.decode(payload) for payload in payloads]
        first = books[0]
        snapshot = first.all_asks is not None or first.all_bids is not None
        checksums = [int(book.checksum) for book in books if book.checksum]
        return BookFrame(
            channel,
            pair,
            int(depth) if depth else None,
            snapshot,
            (first.all_bids or ()) if snapshot else tuple(level for book in books for level in book.bids),
            (first.all_asks or ()) if snapshot else tuple(level for book in books for level in book.asks),
            checksums[-1] if checksums else None,
        )
    if kind == TRADE:
        return TradeFrame(channel, pair, _trades.decode(payloads[0]))
    if kind == TICKER:
        return TickerFrame(channel, pair, _ticker.decode(payloads[0]))
    return OtherFrame(name, pair)


class Subscription(msgspec.Struct, gc=False, omit_defaults=True):
    """What is subscribed."""

    name: str
    depth: int | None = None


class Command(msgspec.Struct, gc=False, omit_defaults=True, kw_only=True):
    """What a client sends."""

    event: str
    pair: tuple[str, ...] = ()
    subscription: Subscription | None = None


_command = msgspec.json.Decoder(Command)


def decode_command(raw: bytes | str) -> Command:
    """What the client sent. Raises msgspec.DecodeError where that is no command."""
    return _command.decode(raw)


def subscription(channel: str, pairs: Sequence[str], *, subscribe: bool, depth: int | None = None) -> bytes:
    """Begin or end a subscription. It is acknowledged pair by pair."""
    event = "subscribe" if subscribe else "unsubscribe"
    return _encoder.encode(Command(event=event, pair=tuple(pairs), subscription=Subscription(channel, depth)))


def ping() -> bytes:
    """Asks for a `pong`."""
    return _encoder.encode(Command(event="ping"))


def trades(
    frame: TradeFrame,
    market: str,
    session: str,
    seq: int,
    ts_recv: int,
    marks: tuple[str, ...],
    faults: NumberFaults,
) -> list[Trade]:
    """The trades whose price is in range. They have no ids. Raises ValueError for what is no number."""
    found = []
    for price_text, size, time, side, *_ in frame.trades:
        price = price_nanos(price_text, faults)
        if price is not None:
            found.append(
                Trade(
                    market=market,
                    price=price,
                    size=size_nanos(size, faults),
                    taker="buy" if side == "b" else "sell",
                    trade_id="",
                    session=session,
                    seq=seq,
                    ts_event=scaled(time)[0],
                    ts_recv=ts_recv,
                    marks=marks,
                )
            )
    return found


def ticker(
    frame: TickerFrame, market: str, session: str, ts_recv: int, marks: tuple[str, ...], faults: NumberFaults
) -> Ticker:
    """The display prices, which carry no time. Raises ValueError for what is no number."""
    payload = frame.ticker
    return Ticker(
        market=market,
        bid=price_nanos(payload.b[0], faults),
        bid_size=size_nanos(payload.b[2], faults),
        ask=price_nanos(payload.a[0], faults),
        ask_size=size_nanos(payload.a[2], faults),
        last=price_nanos(payload.c[0], faults),
        session=session,
        seq=0,
        ts_event=0,
        ts_recv=ts_recv,
        marks=marks,
    )
