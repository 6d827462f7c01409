"""Kraken's frames, commands and checksums, with the vendor's own worked examples."""

from __future__ import annotations

import json

import msgspec
import pytest

from protocols.nanos import NANO, NumberFaults
from protocols.venues import kraken
from protocols.venues.errors import WireError
from protocols.venues.kraken import (
    BookFrame,
    HeartbeatFrame,
    OhlcFrame,
    OtherFrame,
    StatusFrame,
    TickerFrame,
    TradeFrame,
    checked,
    checksum,
    digits,
)

# The worked example of docs.kraken.com, guide "Book checksum (WebSocket v2)".
EXAMPLE = """{"channel":"book","type":"snapshot","data":[{"symbol":"BTC/USD","bids":[
{"price":45283.5,"qty":0.10000000},{"price":45283.4,"qty":1.54582015},{"price":45282.1,"qty":0.10000000},
{"price":45281.0,"qty":0.10000000},{"price":45280.3,"qty":1.54592586},{"price":45279.0,"qty":0.07990000},
{"price":45277.6,"qty":0.03310103},{"price":45277.5,"qty":0.30000000},{"price":45277.3,"qty":1.54602737},
{"price":45276.6,"qty":0.15445238}],"asks":[
{"price":45285.2,"qty":0.00100000},{"price":45286.4,"qty":1.54571953},{"price":45286.6,"qty":1.54571109},
{"price":45289.6,"qty":1.54560911},{"price":45290.2,"qty":0.15890660},{"price":45291.8,"qty":1.54553491},
{"price":45294.7,"qty":0.04454749},{"price":45296.1,"qty":0.35380000},{"price":45297.5,"qty":0.09945542},
{"price":45299.5,"qty":0.18772827}],"checksum":3310070434,"timestamp":"2023-10-06T17:35:55.440295Z"}]}"""


def test_the_checksum_of_the_vendors_example_is_right() -> None:
    frame = kraken.decode(EXAMPLE)
    assert isinstance(frame, BookFrame)
    (body,) = frame.data
    asks = [checked(digits(level.price), digits(level.qty)) for level in body.asks]
    bids = [checked(digits(level.price), digits(level.qty)) for level in body.bids]
    assert asks[0] == "452852100000"
    assert checksum(asks, bids) == body.checksum == 3310070434


def test_the_checksum_of_fewer_than_ten_levels_is_made_of_what_is_there() -> None:
    assert checksum([], []) == 0
    assert checksum(["12"], ["34"]) == checksum(["1234"], [])


def test_only_ten_levels_a_side_count() -> None:
    asks, bids = [str(level) for level in range(10)], [str(level) for level in range(20, 30)]
    assert checksum([*asks, "x"], [*bids, "y"]) == checksum(asks, bids)


@pytest.mark.parametrize(
    ("raw", "text"),
    [
        (b"0.10000000", "0.10000000"),
        (b"45281.0", "45281.0"),
        (b"0", "0"),
        (b"1e-8", "0.00000001"),
        (b"1.50E+3", "1500"),
        (b'"0.5660"', "0.5660"),
        (b"null", ""),
    ],
)
def test_the_digits_of_a_number_stay_as_they_came(raw: bytes, text: str) -> None:
    assert digits(msgspec.Raw(raw)) == text


def test_what_is_no_number_is_refused() -> None:
    with pytest.raises(ValueError, match="not a decimal number"):
        digits(msgspec.Raw(b'"one"'))


def test_what_is_encoded_is_what_the_venue_sends() -> None:
    frame = kraken.decode(EXAMPLE)
    assert json.loads(kraken.encode(frame)) == json.loads(EXAMPLE)
    assert b'"qty":0.10000000' in kraken.encode(frame)


def test_a_trade_names_the_takers_side() -> None:
    raw = (
        '{"channel":"trade","type":"update","data":[{"symbol":"MATIC/USD","side":"sell","price":0.5117,'
        '"qty":40.0,"ord_type":"market","trade_id":4665906,"timestamp":"2023-09-25T07:49:37.708706Z"}]}'
    )
    frame = kraken.decode(raw)
    assert isinstance(frame, TradeFrame)
    trade = kraken.trade(frame.data[0], "MATIC-USD.KRAKEN", "s", 1, 2, (), NumberFaults())
    assert trade is not None
    assert (trade.taker, trade.price, trade.size) == ("sell", 511_700_000, 40 * NANO)
    assert (trade.trade_id, trade.ts_event) == ("4665906", 1_695_628_177_708_706_000)


def test_a_ticker_tells_what_is_there() -> None:
    raw = (
        '{"channel":"ticker","type":"update","data":[{"symbol":"ALGO/USD","bid":0.10025,"bid_qty":740.0,"ask":null,'
        '"last":0.10035,"volume":997038.98383185,"vwap":0.10148,"low":0.09979,"high":0.10285,"change":-0.00017}]}'
    )
    frame = kraken.decode(raw)
    assert isinstance(frame, TickerFrame)
    ticker = kraken.ticker(frame.data[0], "ALGO-USD.KRAKEN", "s", 2, (), NumberFaults())
    assert (ticker.bid, ticker.bid_size, ticker.ask, ticker.ask_size) == (100_250_000, 740 * NANO, None, None)
    assert (ticker.last, ticker.ts_event) == (100_350_000, 0)


def test_a_bar_is_named_by_its_start() -> None:
    raw = (
        '{"channel":"ohlc","type":"update","timestamp":"2023-10-04T16:26:30.524394914Z","data":[{"symbol":"MATIC/USD",'
        '"open":0.5624,"high":0.5628,"low":0.5622,"close":0.5627,"trades":12,"volume":30927.68066226,"vwap":0.5626,'
        '"interval_begin":"2023-10-04T16:25:00.000000000Z","interval":5,"timestamp":"2023-10-04T16:30:00.000000Z"}]}'
    )
    frame = kraken.decode(raw)
    assert isinstance(frame, OhlcFrame)
    bar = kraken.bar(frame.data[0], "MATIC-USD.KRAKEN", 2, (), NumberFaults())
    assert bar is not None
    assert (bar.interval, bar.end - bar.start, bar.start) == ("5m", 300 * NANO, 1_696_436_700 * NANO)
    assert (bar.close, bar.volume, bar.trades, bar.vwap) == (562_700_000, "30927.68066226", 12, 562_600_000)
    frame.data[0].interval = 7
    assert kraken.bar(frame.data[0], "MATIC-USD.KRAKEN", 2, (), NumberFaults()) is None


def test_what_is_no_data_is_read_too() -> None:
    assert isinstance(kraken.decode('{"channel":"heartbeat"}'), HeartbeatFrame)
    status = kraken.decode(
        '{"channel":"status","type":"update","data":[{"api_version":"v2","connection_id":1,"system":"online",'
        '"version":"2.0.0"}]}'
    )
    assert isinstance(status, StatusFrame)
    assert kraken.phase(status.data[0].system) == "active"
    assert kraken.phase("maintenance") == "paused"
    refused = kraken.decode(
        '{"error":"Currency pair not supported XBT/USD","method":"subscribe","success":false,"symbol":"XBT/USD",'
        '"time_in":"2018-11-12T21:14:59.545897Z","time_out":"2018-11-12T21:14:59.545901Z"}'
    )
    assert isinstance(refused, OtherFrame)
    assert (refused.method, refused.success, refused.symbol) == ("subscribe", False, "XBT/USD")
    instrument = kraken.decode('{"channel":"instrument","type":"snapshot","data":{}}')
    assert instrument == OtherFrame(channel="instrument")


def test_a_known_frame_that_does_not_fit_says_why() -> None:
    frame = kraken.decode('{"channel":"book","type":"update","data":[{"symbol":7}]}')
    assert isinstance(frame, OtherFrame)
    assert "symbol" in frame.fault


@pytest.mark.parametrize("raw", ["", "{", "[]", "7", b"\xff"])
def test_what_is_no_frame_is_a_wire_error(raw: bytes | str) -> None:
    with pytest.raises(WireError):
        kraken.decode(raw)


def test_commands_are_as_documented() -> None:
    command = kraken.subscription("book", ["BTC/USD", "ETH/USD"], subscribe=True, depth=100)
    assert json.loads(command) == {
        "method": "subscribe",
        "params": {"channel": "book", "symbol": ["BTC/USD", "ETH/USD"], "depth": 100},
    }
    decoded = kraken.decode_command(command)
    assert decoded.params is not None
    assert decoded.params.depth == 100
    assert json.loads(kraken.subscription("trade", ["A/B"], subscribe=True, snapshot=False)) == {
        "method": "subscribe",
        "params": {"channel": "trade", "symbol": ["A/B"], "snapshot": False},
    }
    assert json.loads(kraken.subscription("trade", ["A/B"], subscribe=False, snapshot=False)) == {
        "method": "unsubscribe",
        "params": {"channel": "trade", "symbol": ["A/B"]},
    }
    assert json.loads(kraken.ping()) == {"method": "ping"}
