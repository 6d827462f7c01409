"""Massive and Alpha Vantage over REST: tickers, pages by address, days of New York."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from typing import Any

import pytest

from actors.market.rest.alphavantage import AlphaVantageRest
from actors.market.rest.massive import MassiveRest, bar_end
from actors.market.session_core import Credentials
from protocols.nanos import NANO
from protocols.venues.errors import VenueError

KEY = Credentials("", b"KEY\n")
HOUR = 3600 * NANO


def ns(text: str) -> int:
    return int(datetime.fromisoformat(text).replace(tzinfo=UTC).timestamp()) * NANO


def body(content: Any) -> bytes:
    return json.dumps(content).encode()


def aggregate(start: int) -> dict[str, Any]:
    return {"t": start // 1_000_000, "o": 1.5, "h": 2, "l": 1, "c": 1.75, "v": 100, "vw": 1.6, "n": 3}


def test_a_ticker_becomes_an_instrument_of_the_new_york_calendar() -> None:
    rest = MassiveRest(KEY)
    call = rest.instruments(["AAPL.MASSIVE", "BRK.B.MASSIVE"])
    row = {"ticker": "AAPL", "name": "Apple Inc.", "market": "stocks", "primary_exchange": "XNAS", "active": True}
    found, following = rest.read_instruments(call, 200, body({"status": "OK", "results": [row]}), 7)
    (instrument,) = found
    assert (instrument.market, instrument.symbol, instrument.kind) == ("AAPL.MASSIVE", "AAPL", "equity")
    assert (instrument.calendar, instrument.currency, instrument.title) == ("XNYS", "USD", "Apple Inc.")
    assert (instrument.price(189.99), instrument.price(0.1234)) == (189_990_000_000, 123_400_000)
    with pytest.raises(ValueError, match="tick"):
        instrument.price(189.995)
    assert following is not None
    assert dict(following.query)["ticker"] == "BRK.B"
    assert rest.read_instruments(following, 200, body({"status": "OK", "results": []}), 7) == ((), None)


def test_pages_are_followed_on_our_host_and_without_the_key_in_the_address() -> None:
    rest = MassiveRest(KEY)
    url = "https://api.massive.com/v3/reference/tickers?cursor=abc&limit=1000&apiKey=SECRET"
    _, following = rest.read_instruments(rest.instruments(), 200, body({"status": "OK", "next_url": url}), 7)
    assert following is not None
    assert following.target == "/v3/reference/tickers?cursor=abc&limit=1000"
    assert rest.headers(following, 0) == (("authorization", "Bearer KEY"),)


def test_days_are_those_of_new_york_and_one_may_have_23_hours() -> None:
    rest = MassiveRest(KEY)
    call = rest.history("bars", "AAPL.MASSIVE", "1d", ns("2024-03-10"), ns("2024-03-12"))
    starts = [ns("2024-03-09T05:00"), ns("2024-03-10T05:00"), ns("2024-03-11T04:00"), ns("2024-03-12T04:00")]
    page = rest.read_history(call, 200, body({"status": "OK", "results": [aggregate(at) for at in starts]}), 9)
    assert [(bar.start, (bar.end - bar.start) // HOUR) for bar in page.bars] == [(starts[1], 23), (starts[2], 24)]
    assert bar_end(starts[0], "1h") == starts[0] + HOUR
    assert bar_end(starts[0], "15m") == starts[0] + HOUR // 4
    assert (page.bars[0].trades, page.bars[0].close, page.next) == (3, 1_750_000_000, None)


def test_the_call_names_the_span_to_the_millisecond_and_its_end_is_not_in_it() -> None:
    call = MassiveRest(KEY).history("bars", "AAPL.MASSIVE", "5m", 1_000 * NANO, 2_000 * NANO)
    assert call.path == "/v2/aggs/ticker/AAPL/range/5/minute/1000000/1999999"


def test_months_of_alpha_vantage_are_asked_for_one_by_one_from_the_first_in_new_york() -> None:
    rest = AlphaVantageRest(KEY)
    start, end = ns("2024-01-01T03:00"), ns("2024-02-01T06:00")
    call = rest.history("bars", "IBM.ALPHAVANTAGE", "1h", start, end)
    months = []
    row = {"1. open": "1", "2. high": "1", "3. low": "1", "4. close": "1", "5. volume": "1"}
    while call is not None:
        month = dict(call.query)["month"]
        months.append(month)
        series = {"Meta Data": {"6. Time Zone": "US/Eastern"}, "Time Series (60min)": {f"{month}-15 10:00:00": row}}
        page = rest.read_history(call, 200, body(series), 9)
        if page.next is None:
            break
        call = page.next
    # It was still December there when the year began in UTC.
    assert months == ["2023-12", "2024-01", "2024-02"]


def test_a_month_without_any_trade_is_empty_and_a_bad_key_is_an_error() -> None:
    rest = AlphaVantageRest(KEY)
    call = rest.history("bars", "IBM.ALPHAVANTAGE", "1m", ns("2024-01-10"), ns("2024-01-11"))
    assert rest.read_history(call, 200, body({"Error Message": "Invalid API call."}), 9).bars == ()
    with pytest.raises(VenueError):
        rest.read_history(call, 200, body({"Error Message": "the parameter apikey is invalid or missing."}), 9)


def test_all_days_come_with_one_call() -> None:
    rest = AlphaVantageRest(KEY)
    call = rest.history("bars", "IBM.ALPHAVANTAGE", "1d", ns("2023-01-01"), ns("2024-01-01"))
    assert dict(call.query) == {"function": "TIME_SERIES_DAILY", "symbol": "IBM", "outputsize": "full"}
    row = {"1. open": "1", "2. high": "1", "3. low": "1", "4. close": "1", "5. volume": "1"}
    series = {
        "Meta Data": {"5. Time Zone": "US/Eastern"},
        "Time Series (Daily)": {"2023-06-01": row, "2024-06-03": row},
    }
    page = rest.read_history(call, 200, body(series), 9)
    assert ([bar.start for bar in page.bars], page.next) == ([ns("2023-06-01T04:00")], None)


def test_keys_are_wanted_and_what_is_not_offered_is_said() -> None:
    for rest in (MassiveRest(), AlphaVantageRest()):
        with pytest.raises(ValueError, match="trades"):
            rest.history("trades", "A", "", 0, 1)
    with pytest.raises(ValueError, match="key"):
        MassiveRest().headers(MassiveRest(KEY).instruments(), 0)
    with pytest.raises(ValueError, match="key"):
        AlphaVantageRest().keyed(AlphaVantageRest().history("bars", "A", "1d", 0, 1))
    with pytest.raises(ValueError, match="define"):
        AlphaVantageRest().instruments()
