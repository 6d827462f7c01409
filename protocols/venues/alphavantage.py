"""Alpha Vantage's answers: quotes and bars out of its JSON, and the errors that it sends with HTTP 200.

One endpoint, `/query?function=…`. An error is told by a key of the answer and by nothing else, so keys are looked at
before data: `Error Message` (a bad call), `Note` and `Information` (too many calls, or a premium endpoint). An unknown
symbol has an empty `Global Quote`. Times of intraday bars are those of the exchange's zone, without an offset; they
name the begin of the bar. Numbers are text.

Source: www.alphavantage.co/documentation ("Quote Endpoint", "TIME_SERIES_INTRADAY", "TIME_SERIES_DAILY"); the
throttle texts as users report them (finance-quote/finance-quote#363, beancount/beanprice#124).
"""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Final
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

import msgspec

from protocols.market import Bar, Ticker
from protocols.nanos import NANO, NumberFaults, price_nanos
from protocols.venues.errors import VenueError
from protocols.venues.rest import RestCall

PATH: Final = "/query"
INTERVALS: Final = {"1m": "1min", "5m": "5min", "15m": "15min", "30m": "30min", "1h": "60min", "1d": "daily"}
"""Our intervals and the venue's words for them."""
THROTTLED_S: Final = 2.0
"""After too many calls in a second."""
DAY_SPENT_S: Final = 3600.0
"""After the last call of a day: the venue does not say when its day begins, so it is tried every hour."""

THROTTLED: Final = "throttled"
DAY_SPENT: Final = "day_spent"
PREMIUM: Final = "premium"
BAD_CALL: Final = "bad_call"
UNKNOWN_SYMBOL: Final = "unknown_symbol"
UNREADABLE: Final = "unreadable"

# tzdata of some systems has no US/Eastern any more.
_ZONES: Final = {"US/Eastern": "America/New_York"}
_MINUTE_NS: Final = 60 * NANO
_MINUTES: Final = {"1m": 1, "5m": 5, "15m": 15, "30m": 30, "1h": 60}


class GlobalQuote(msgspec.Struct, frozen=True):
    """The latest price of a symbol and the day that it is of."""

    symbol: str = msgspec.field(name="01. symbol")
    price: str = msgspec.field(name="05. price")
    volume: str = msgspec.field(name="06. volume", default="")
    day: str = msgspec.field(name="07. latest trading day", default="")


class Row(msgspec.Struct, frozen=True):
    """One bar as the venue writes it."""

    open: str = msgspec.field(name="1. open")
    high: str = msgspec.field(name="2. high")
    low: str = msgspec.field(name="3. low")
    close: str = msgspec.field(name="4. close")
    volume: str = msgspec.field(name="5. volume", default="")


_answers: Final = msgspec.json.Decoder(dict[str, msgspec.Raw])
_texts: Final = msgspec.json.Decoder(dict[str, str])
_rows: Final = msgspec.json.Decoder(dict[str, Row])
_quotes: Final = msgspec.json.Decoder(GlobalQuote)


def quote_call(symbol: str, market: str, purpose: str = "poll") -> RestCall:
    """Asks for the latest price. The key is put into the query when it is sent (`with_key`)."""
    return RestCall(
        purpose=purpose,
        path=PATH,
        query=(("function", "GLOBAL_QUOTE"), ("symbol", symbol)),
        market=market,
        signed=True,
    )


def bars_call(symbol: str, market: str, interval: str, *, month: str = "", purpose: str = "poll") -> RestCall:
    """Asks for bars: of one month ("2024-01"), or the latest 100. Days: all that there are, or the latest 100.

    Raises ValueError for an interval that the venue does not have.
    """
    if interval not in INTERVALS:
        raise ValueError(f"expected an interval out of {', '.join(INTERVALS)}, got {interval!r}")
    size = ("outputsize", "full" if month else "compact")
    if interval == "1d":
        query: tuple[tuple[str, str], ...] = (("function", "TIME_SERIES_DAILY"), ("symbol", symbol), size)
    else:
        query = (
            ("function", "TIME_SERIES_INTRADAY"),
            ("symbol", symbol),
            ("interval", INTERVALS[interval]),
            ("adjusted", "false"),
            ("extended_hours", "true"),
            size,
        )
        if month:
            query = (*query, ("month", month))
    return RestCall(purpose=purpose, path=PATH, query=query, market=market, signed=True)


def with_key(call: RestCall, key: str) -> RestCall:
    """The call as it is sent: the venue takes its key in the query only."""
    return msgspec.structs.replace(call, query=(*call.query, ("apikey", key)))


def function_of(call: RestCall) -> str:
    """What a call asks for: `GLOBAL_QUOTE`, `TIME_SERIES_INTRADAY`, `TIME_SERIES_DAILY`."""
    return dict(call.query).get("function", "")


def interval_of(call: RestCall) -> str:
    """Our word for the interval that a call asks for."""
    if function_of(call) == "TIME_SERIES_DAILY":
        return "1d"
    word = dict(call.query).get("interval", "")
    return next((ours for ours, theirs in INTERVALS.items() if theirs == word), "")


def answer_of(status: int, body: bytes) -> dict[str, msgspec.Raw]:
    """The keys of an answer. Raises VenueError for one that is an error, whatever its HTTP status."""
    try:
        answer = _answers.decode(body)
    except (msgspec.DecodeError, UnicodeError):
        retry_s = 1.0 if status >= 500 else THROTTLED_S if status == 429 else None
        said = body[:200].decode("utf-8", "replace")
        raise VenueError(status, THROTTLED if status == 429 else UNREADABLE, said, retry_s) from None
    for key in ("Error Message", "Note", "Information"):
        if key in answer:
            raise _error(status, key, answer[key])
    if status == 429:
        raise VenueError(status, THROTTLED, "too many calls", THROTTLED_S)
    if status != 200:
        raise VenueError(status, UNREADABLE, "an answer without data", 1.0 if status >= 500 else None)
    return answer


def _error(status: int, key: str, raw: msgspec.Raw) -> VenueError:
    try:
        message = msgspec.json.decode(raw, type=str)
    except (msgspec.DecodeError, UnicodeError):
        message = bytes(raw)[:200].decode("utf-8", "replace")
    words = message.lower()
    if key == "Error Message":
        return VenueError(status, BAD_CALL, message)
    if "premium endpoint" in words:
        return VenueError(status, PREMIUM, message)
    if "per second" in words or "per minute" in words:
        # The texts name all limits at once; the short one is the one that passes.
        short = 60.0 if "per minute" in words and "per second" not in words else THROTTLED_S
        if "spreading out" in words or "per day" not in words:
            return VenueError(status, THROTTLED, message, short)
    if "per day" in words or "daily" in words:
        return VenueError(status, DAY_SPENT, message, DAY_SPENT_S)
    return VenueError(status, THROTTLED, message, 60.0)


def read_quote(status: int, body: bytes) -> GlobalQuote:
    """The latest price. Raises VenueError, `unknown_symbol` where the quote is empty."""
    answer = answer_of(status, body)
    raw = answer.get("Global Quote")
    if raw is None:
        raise VenueError(status, UNREADABLE, f"no Global Quote but {', '.join(answer)[:200]}")
    if not _answers.decode(raw):
        raise VenueError(status, UNKNOWN_SYMBOL, "the quote is empty")
    try:
        return _quotes.decode(raw)
    except (msgspec.DecodeError, UnicodeError) as error:
        raise VenueError(status, UNREADABLE, str(error)) from None


def ticker(
    quote: GlobalQuote, market: str, session: str, seq: int, ts_recv: int, faults: NumberFaults, marks: tuple[str, ...]
) -> Ticker:
    """The quote as a ticker: a last price alone. The venue gives a day, and no time. Raises ValueError."""
    return Ticker(
        market=market,
        bid=None,
        bid_size=None,
        ask=None,
        ask_size=None,
        last=price_nanos(quote.price, faults),
        session=session,
        seq=seq,
        ts_event=0,
        ts_recv=ts_recv,
        marks=marks,
    )


def read_bars(
    status: int, body: bytes, market: str, interval: str, ts: int, faults: NumberFaults, marks: tuple[str, ...] = ()
) -> list[Bar]:
    """The bars of an answer, oldest first (the venue sends the newest first). Raises VenueError."""
    answer = answer_of(status, body)
    series = next((raw for key, raw in answer.items() if key.startswith("Time Series")), None)
    if series is None:
        raise VenueError(status, UNREADABLE, f"no time series but {', '.join(answer)[:200]}")
    try:
        zone = _zone(answer.get("Meta Data"))
        rows = _rows.decode(series)
        bars = [_bar(text, row, zone, market, interval, ts, faults, marks) for text, row in rows.items()]
    except (msgspec.DecodeError, ValueError) as error:
        raise VenueError(status, UNREADABLE, str(error)) from None
    return sorted((bar for bar in bars if bar is not None), key=lambda bar: bar.start)


def _zone(raw: msgspec.Raw | None) -> ZoneInfo:
    meta = {} if raw is None else _texts.decode(raw)
    name = next((text for key, text in meta.items() if key.endswith("Time Zone")), "US/Eastern")
    try:
        return ZoneInfo(_ZONES.get(name, name))
    except (ZoneInfoNotFoundError, ValueError):
        raise ValueError(f"an unknown time zone {name!r}") from None


def _bar(
    text: str,
    row: Row,
    zone: ZoneInfo,
    market: str,
    interval: str,
    ts: int,
    faults: NumberFaults,
    marks: tuple[str, ...],
) -> Bar | None:
    local = datetime.fromisoformat(text).replace(tzinfo=zone)
    start = int(local.timestamp()) * NANO
    if interval == "1d":
        # Midnight to midnight there: a day may have 23 or 25 hours.
        end = int((local + timedelta(days=1)).timestamp()) * NANO
    else:
        end = start + _MINUTES[interval] * _MINUTE_NS
    prices = [price_nanos(number, faults) for number in (row.open, row.high, row.low, row.close)]
    if None in prices:
        return None
    opened, high, low, close = (price for price in prices if price is not None)
    return Bar(
        market=market,
        interval=interval,
        start=start,
        end=end,
        open=opened,
        high=high,
        low=low,
        close=close,
        volume=row.volume,
        trades=None,
        vwap=None,
        source="venue",
        ts_recv=ts,
        marks=marks,
    )
