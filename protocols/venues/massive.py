"""Massive's (formerly Polygon's) stock feed and aggregates: bytes to typed events, typed events to market messages.

A frame is a JSON array of events of mixed types, told apart by `ev`. The same letter means different things: `s` is
the size of a trade (`T`) and the start of an aggregate (`A`, `AM`); `c` are the conditions of a trade or a quote and
the close of an aggregate. Numbers are JSON numbers; they are kept as their own digits (`msgspec.Raw`).

Source: massive.com "WebSocket docs, Stocks" and "REST docs, Stocks, Custom bars / Tickers".
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Final

import msgspec

from protocols.market import Bar, Ticker, Trade
from protocols.nanos import NumberFaults, price_nanos, scaled, size_nanos
from protocols.venues.errors import VenueError, WireError
from protocols.venues.rest import RestCall

MILLISECOND: Final = 1_000_000
DELAYED_HOSTS: Final = frozenset({"delayed.massive.com", "delayed.polygon.io"})
"""Hosts of the feed that is 15 minutes late."""
TRADE_CHANNEL: Final = "T"
QUOTE_CHANNEL: Final = "Q"
BAR_CHANNELS: Final = {"1s": "A", "1m": "AM"}
"""Our intervals and the channels of the venue's own bars."""
TIMESPANS: Final = {
    "1m": (1, "minute"),
    "5m": (5, "minute"),
    "15m": (15, "minute"),
    "30m": (30, "minute"),
    "1h": (1, "hour"),
    "1d": (1, "day"),
}
PAGE: Final = 50_000
"""The most base aggregates (minutes or days) of one answer."""
RETRY_S: Final = 12.0
"""What the free plan's five calls a minute come to."""

ABSENT: Final = msgspec.Raw()
"""A number that is not there."""


class _Event(msgspec.Struct, gc=False, tag_field="ev"):
    """One element of a frame."""


class StatusEvent(_Event, tag="status"):
    """`connected`, `auth_success`, `auth_failed`, `success`, `max_connections`, `error` …, in words in `message`."""

    status: str
    message: str = ""


class TradeEvent(_Event, tag="T"):
    """`x` exchange, `i` id of the trade there, `p` price, `s` size, `t` milliseconds, `q` the ticker's sequence."""

    sym: str
    p: msgspec.Raw
    s: msgspec.Raw
    t: int
    q: int = 0
    x: int = 0
    i: str = ""


class QuoteEvent(_Event, tag="Q"):
    """The national best bid and offer. A side that is not there is absent or 0. Sizes in shares or round lots, as
    the feed gives them."""

    sym: str
    t: int
    bp: msgspec.Raw = ABSENT
    bs: msgspec.Raw = ABSENT
    ap: msgspec.Raw = ABSENT
    as_: msgspec.Raw = msgspec.field(default=ABSENT, name="as")
    q: int = 0


class _Aggregate(_Event):
    """`s` and `e` are its start and end in milliseconds, `v` its volume, `vw` its volume-weighted price."""

    sym: str
    o: msgspec.Raw
    h: msgspec.Raw
    l: msgspec.Raw  # noqa: E741 - the venue's letter
    c: msgspec.Raw
    v: msgspec.Raw
    s: int
    e: int
    vw: msgspec.Raw = ABSENT


class SecondEvent(_Aggregate, tag="A"):
    """A bar of one second."""


class MinuteEvent(_Aggregate, tag="AM"):
    """A bar of one minute. A minute without eligible trades has none."""


Event = StatusEvent | TradeEvent | QuoteEvent | SecondEvent | MinuteEvent
_frame_decoder: Final = msgspec.json.Decoder(list[Event])
_raw_decoder: Final = msgspec.json.Decoder(list[msgspec.Raw])
_event_decoder: Final = msgspec.json.Decoder(Event)


def decode(raw: bytes | str) -> tuple[list[Event], int]:
    """The events of a frame, and how many of its elements are none that are known.

    Raises WireError for what is no JSON array.
    """
    try:
        return _frame_decoder.decode(raw), 0
    except (msgspec.DecodeError, UnicodeError):
        return _decode_one_by_one(raw)


def _decode_one_by_one(raw: bytes | str) -> tuple[list[Event], int]:
    """One event that cannot be read must not take its neighbours with it."""
    try:
        parts = _raw_decoder.decode(raw)
    except (msgspec.DecodeError, UnicodeError) as error:
        raise WireError(f"no array of events: {error}") from None
    events: list[Event] = []
    for part in parts:
        try:
            events.append(_event_decoder.decode(part))
        except (msgspec.DecodeError, UnicodeError):
            continue
    return events, len(parts) - len(events)


def digits(number: msgspec.Raw) -> str:
    """The venue's own digits of a number; one that came as text is taken, too."""
    return bytes(number).decode("ascii", "replace").strip('"')


def trade(
    event: TradeEvent, market: str, session: str, ts_recv: int, faults: NumberFaults, marks: tuple[str, ...] = ()
) -> Trade | None:
    """The trade; None where its price is out of range. The venue does not say who took. Raises ValueError."""
    price = price_nanos(digits(event.p), faults)
    if price is None:
        return None
    return Trade(
        market=market,
        price=price,
        size=size_nanos(digits(event.s), faults),
        taker=None,
        # Ids are unique within an exchange only.
        trade_id=f"{event.x}-{event.i}",
        session=session,
        seq=event.q,
        ts_event=event.t * MILLISECOND,
        ts_recv=ts_recv,
        marks=marks,
    )


def ticker(
    event: QuoteEvent, market: str, session: str, ts_recv: int, faults: NumberFaults, marks: tuple[str, ...] = ()
) -> Ticker:
    """The best bid and offer. Raises ValueError."""
    bid, bid_size = _side(event.bp, event.bs, faults)
    ask, ask_size = _side(event.ap, event.as_, faults)
    return Ticker(
        market=market,
        bid=bid,
        bid_size=bid_size,
        ask=ask,
        ask_size=ask_size,
        last=None,
        session=session,
        seq=event.q,
        ts_event=event.t * MILLISECOND,
        ts_recv=ts_recv,
        marks=marks,
    )


def _side(price: msgspec.Raw, size: msgspec.Raw, faults: NumberFaults) -> tuple[int | None, int | None]:
    nanos = _optional_price(price, faults)
    if not nanos:  # absent, out of range, or 0: nobody is there
        return None, None
    return nanos, size_nanos(digits(size), faults) if _there(size) else None


def _there(number: msgspec.Raw) -> bool:
    return bytes(number) not in (b"", b"null")


def _optional_price(number: msgspec.Raw, faults: NumberFaults) -> int | None:
    return price_nanos(digits(number), faults) if _there(number) else None


def bar(
    event: SecondEvent | MinuteEvent, market: str, ts_recv: int, faults: NumberFaults, marks: tuple[str, ...] = ()
) -> Bar | None:
    """The venue's bar; None where a price is out of range. Raises ValueError."""
    prices = [price_nanos(digits(number), faults) for number in (event.o, event.h, event.l, event.c)]
    if None in prices:
        return None
    opened, high, low, close = (price for price in prices if price is not None)
    return Bar(
        market=market,
        interval="1s" if isinstance(event, SecondEvent) else "1m",
        start=event.s * MILLISECOND,
        end=event.e * MILLISECOND,
        open=opened,
        high=high,
        low=low,
        close=close,
        volume=_plain(digits(event.v)),
        trades=None,
        vwap=_optional_price(event.vw, faults),
        source="venue",
        ts_recv=ts_recv,
        marks=marks,
    )


# -- commands ----------------------------------------------------------------------------------------------


class Command(msgspec.Struct, frozen=True):
    """What a client says: `auth` with the key, `subscribe` and `unsubscribe` with `T.AAPL,Q.AAPL`."""

    action: str
    params: str


def auth(key: str) -> bytes:
    """Sent once the venue has said `connected`."""
    return msgspec.json.encode(Command("auth", key))


def subscribe(params: Iterable[str]) -> bytes:
    """Sent after `auth_success` only. `params` as `T.AAPL`."""
    return msgspec.json.encode(Command("subscribe", ",".join(params)))


def unsubscribe(params: Iterable[str]) -> bytes:
    """The opposite of `subscribe`."""
    return msgspec.json.encode(Command("unsubscribe", ",".join(params)))


# -- REST ----------------------------------------------------------------------------------------------------


class Aggregate(msgspec.Struct, gc=False):
    """One bar of an answer; `t` is its start in milliseconds, `n` its number of trades."""

    t: int
    o: msgspec.Raw
    h: msgspec.Raw
    l: msgspec.Raw  # noqa: E741 - the venue's letter
    c: msgspec.Raw
    v: msgspec.Raw = ABSENT
    vw: msgspec.Raw = ABSENT
    n: int | None = None


class TickerRow(msgspec.Struct, gc=False):
    """A stock in the list of tickers."""

    ticker: str
    name: str = ""
    market: str = ""
    primary_exchange: str = ""
    active: bool = True
    currency_name: str = "usd"


class _Answer(msgspec.Struct, gc=False):
    status: str = ""
    error: str = ""
    message: str = ""
    next_url: str = ""


class AggregatesAnswer(_Answer):
    """`results` may be missing where there are none."""

    results: Sequence[Aggregate] = ()


class TickersAnswer(_Answer):
    """A page of the list of tickers."""

    results: Sequence[TickerRow] = ()


_aggregates: Final = msgspec.json.Decoder(AggregatesAnswer)
_tickers: Final = msgspec.json.Decoder(TickersAnswer)
_problem: Final = msgspec.json.Decoder(_Answer)


def aggregates_call(symbol: str, interval: str, start_ms: int, end_ms: int, *, purpose: str, market: str) -> RestCall:
    """Bars that start in [start_ms, end_ms]. Raises ValueError for an interval that the venue does not have."""
    if interval not in TIMESPANS:
        raise ValueError(f"expected an interval out of {', '.join(TIMESPANS)}, got {interval!r}")
    multiplier, timespan = TIMESPANS[interval]
    return RestCall(
        purpose=purpose,
        path=f"/v2/aggs/ticker/{symbol}/range/{multiplier}/{timespan}/{start_ms}/{end_ms}",
        query=(("adjusted", "true"), ("sort", "asc"), ("limit", str(PAGE))),
        market=market,
        signed=True,
    )


def read_aggregates(status: int, body: bytes) -> AggregatesAnswer:
    """Bars of one page, oldest first. Raises VenueError."""
    refuse(status, body)
    try:
        return _aggregates.decode(body)
    except (msgspec.DecodeError, UnicodeError) as error:
        raise VenueError(status, "unreadable", str(error)) from None


def read_tickers(status: int, body: bytes) -> TickersAnswer:
    """One page of tickers. Raises VenueError."""
    refuse(status, body)
    try:
        return _tickers.decode(body)
    except (msgspec.DecodeError, UnicodeError) as error:
        raise VenueError(status, "unreadable", str(error)) from None


def refuse(status: int, body: bytes) -> None:
    """Raise VenueError for an answer that is an error: `{"status": "ERROR", "error": "…"}`."""
    try:
        answer = _problem.decode(body)
    except (msgspec.DecodeError, UnicodeError):
        answer = _Answer(status="" if status == 200 else "ERROR", message=body[:200].decode("utf-8", "replace"))
    if status == 200 and answer.status not in ("ERROR", "NOT_AUTHORIZED"):
        return
    retry_s = RETRY_S if status == 429 else 1.0 if status >= 500 else None
    raise VenueError(status, answer.status or "error", answer.error or answer.message or "no reason given", retry_s)


def aggregate_bar(
    row: Aggregate,
    market: str,
    interval: str,
    end: int,
    ts_recv: int,
    faults: NumberFaults,
    marks: tuple[str, ...] = (),
) -> Bar | None:
    """The bar that ends at `end`; None where a price is out of range. Raises ValueError."""
    prices = [price_nanos(digits(number), faults) for number in (row.o, row.h, row.l, row.c)]
    if None in prices:
        return None
    opened, high, low, close = (price for price in prices if price is not None)
    return Bar(
        market=market,
        interval=interval,
        start=row.t * MILLISECOND,
        end=end,
        open=opened,
        high=high,
        low=low,
        close=close,
        volume=_plain(digits(row.v)) if _there(row.v) else "",
        trades=row.n,
        vwap=_optional_price(row.vw, faults),
        source="venue",
        ts_recv=ts_recv,
        marks=marks,
    )


def _plain(number: str) -> str:
    """Digits without an exponent: large volumes come as 1.2e+07. Raises ValueError for what is no number."""
    if "e" not in number.lower():
        scaled(number)
        return number
    value, cut = scaled(number)
    if cut:
        raise ValueError(f"{number!r} is finer than 10⁻⁹")
    whole, fraction = divmod(value, 1_000_000_000)
    return f"{whole}.{fraction:09d}".rstrip("0").rstrip(".")
