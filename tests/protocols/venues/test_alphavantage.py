"""Alpha Vantage's answers: errors that come with HTTP 200, numbers as text, times without an offset."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest

from protocols.nanos import NANO, NumberFaults
from protocols.venues import alphavantage
from protocols.venues.errors import VenueError

QUOTE = (
    b'{"Global Quote":{"01. symbol":"IBM","02. open":"288.0000","03. high":"290.0000","04. low":"287.0000",'
    b'"05. price":"289.7000","06. volume":"3162345","07. latest trading day":"2025-07-03",'
    b'"08. previous close":"287.6500","09. change":"2.0500","10. change percent":"0.7127%"}}'
)
INTRADAY = (
    b'{"Meta Data":{"1. Information":"Intraday (5min) open, high, low, close prices and volume","2. Symbol":"IBM",'
    b'"3. Last Refreshed":"2024-03-11 09:35:00","4. Interval":"5min","5. Output Size":"Compact",'
    b'"6. Time Zone":"US/Eastern"},"Time Series (5min)":{'
    b'"2024-03-11 09:35:00":{"1. open":"195.1","2. high":"195.9","3. low":"195.0","4. close":"195.5","5. volume":"10"},'
    b'"2024-03-08 09:30:00":{"1. open":"195.0","2. high":"196","3. low":"194.5","4. close":"195.1","5. volume":"20"}}}'
)


def ns(text: str) -> int:
    return int(datetime.fromisoformat(text).replace(tzinfo=UTC).timestamp()) * NANO


def test_a_quote_is_its_price_text_exactly() -> None:
    quote = alphavantage.read_quote(200, QUOTE)
    ticker = alphavantage.ticker(quote, "IBM.ALPHAVANTAGE", "s", 1, 5, NumberFaults(), ("delayed",))
    assert (ticker.last, ticker.bid, ticker.ask, ticker.ts_event) == (289_700_000_000, None, None, 0)
    assert (quote.day, ticker.marks) == ("2025-07-03", ("delayed",))


def test_an_unknown_symbol_has_an_empty_quote() -> None:
    with pytest.raises(VenueError) as caught:
        alphavantage.read_quote(200, b'{"Global Quote":{}}')
    assert (caught.value.code, caught.value.retry_s) == (alphavantage.UNKNOWN_SYMBOL, None)


DAY = "We have detected your API key as XXX and our standard API rate limit is 25 requests per day. Please subscribe."
BURST = (
    "Thank you for using Alpha Vantage! Please consider spreading out your free API requests more sparingly "
    "(1 request per second). You may subscribe to any of the premium plans to lift the free key rate limit "
    "(25 requests per day)."
)
OLD = "Thank you for using Alpha Vantage! Our standard API call frequency is 5 calls per minute and 500 calls per day."
PAID = "Thank you for using Alpha Vantage! This is a premium endpoint. You may subscribe to any of the premium plans."
BAD = "Invalid API call. Please retry or visit the documentation for TIME_SERIES_INTRADAY."


@pytest.mark.parametrize(
    ("key", "text", "code", "retry_s"),
    [
        ("Information", DAY, alphavantage.DAY_SPENT, alphavantage.DAY_SPENT_S),
        ("Information", BURST, alphavantage.THROTTLED, alphavantage.THROTTLED_S),
        ("Note", OLD, alphavantage.DAY_SPENT, alphavantage.DAY_SPENT_S),
        ("Information", PAID, alphavantage.PREMIUM, None),
        ("Error Message", BAD, alphavantage.BAD_CALL, None),
        ("Note", "slow down", alphavantage.THROTTLED, 60.0),
    ],
)
def test_errors_come_with_status_200_and_are_told_by_their_key(
    key: str, text: str, code: str, retry_s: float | None
) -> None:
    body = f'{{"{key}": "{text}"}}'.encode()
    for read in (alphavantage.read_quote, alphavantage.answer_of):
        with pytest.raises(VenueError) as caught:
            read(200, body)
        assert (caught.value.code, caught.value.retry_s) == (code, retry_s)


@pytest.mark.parametrize("body", [b"", b"[]", b"<html>", b'{"Time Series": 3}', b'{"Meta Data":{}}'])
def test_what_cannot_be_read_is_an_error_and_no_crash(body: bytes) -> None:
    with pytest.raises(VenueError):
        alphavantage.read_bars(200, body, "M", "5m", 0, NumberFaults())
    with pytest.raises(VenueError):
        alphavantage.read_quote(200, body)


def test_times_are_those_of_new_york_in_winter_and_in_summer() -> None:
    bars = alphavantage.read_bars(200, INTRADAY, "IBM.ALPHAVANTAGE", "5m", 9, NumberFaults())
    # The clocks went forward on 2024-03-10; the venue sends the newest first.
    assert [bar.start for bar in bars] == [ns("2024-03-08T14:30:00"), ns("2024-03-11T13:35:00")]
    assert (bars[0].end - bars[0].start, bars[0].open, bars[0].volume) == (300 * NANO, 195 * NANO, "20")


def test_a_day_on_which_the_clocks_change_has_23_hours() -> None:
    row = '{"1. open":"1","2. high":"1","3. low":"1","4. close":"1","5. volume":"1"}'
    body = f'{{"Meta Data":{{"5. Time Zone":"US/Eastern"}},"Time Series (Daily)":{{"2024-03-10":{row}}}}}'.encode()
    (bar,) = alphavantage.read_bars(200, body, "M", "1d", 0, NumberFaults())
    assert (bar.start, bar.end - bar.start) == (ns("2024-03-10T05:00:00"), 23 * 3600 * NANO)


def test_a_call_carries_no_key_until_it_is_sent() -> None:
    call = alphavantage.bars_call("IBM", "IBM.ALPHAVANTAGE", "1m", month="2024-01")
    assert "apikey" not in call.target
    assert "month=2024-01" in call.target
    assert alphavantage.with_key(call, "SECRET").target.endswith("&apikey=SECRET")
    assert alphavantage.interval_of(call) == "1m"
    assert alphavantage.interval_of(alphavantage.bars_call("IBM", "M", "1d")) == "1d"
    with pytest.raises(ValueError, match="2m"):
        alphavantage.bars_call("IBM", "M", "2m")
