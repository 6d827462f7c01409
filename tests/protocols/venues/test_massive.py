"""Massive's frames: arrays of mixed events, letters with two meanings, numbers by their own digits."""

from __future__ import annotations

import pytest

from protocols.nanos import NANO, NumberFaults
from protocols.venues import massive
from protocols.venues.errors import VenueError, WireError

MIXED = (
    b'[{"ev":"T","sym":"MSFT","x":4,"i":"12345","z":3,"p":114.125,"s":100,"c":[0,12],"t":1536036818784,"q":3681328},'
    b'{"ev":"Q","sym":"MSFT","bx":4,"bp":114.1250,"bs":100,"ax":7,"ap":114.128,"as":160,"c":0,"i":[604],'
    b'"t":1536036818785,"q":50385480,"z":3},'
    b'{"ev":"AM","sym":"MSFT","v":10204,"av":200304,"op":114.04,"vw":114.4040,"o":114.11,"c":114.14,"h":114.19,'
    b'"l":114.09,"a":114.1314,"z":102,"s":1536036780000,"e":1536036840000}]'
)


def test_one_frame_holds_events_of_several_kinds() -> None:
    events, unknown = massive.decode(MIXED)
    assert [type(event).__name__ for event in events] == ["TradeEvent", "QuoteEvent", "MinuteEvent"]
    assert unknown == 0


def test_the_letter_s_is_a_size_in_a_trade_and_a_time_in_a_bar() -> None:
    events, _ = massive.decode(MIXED)
    faults = NumberFaults()
    traded, quoted, minute = events
    assert isinstance(traded, massive.TradeEvent)
    assert isinstance(quoted, massive.QuoteEvent)
    assert isinstance(minute, massive.MinuteEvent)
    trade = massive.trade(traded, "MSFT.MASSIVE", "s", 7, faults)
    assert trade is not None
    assert (trade.price, trade.size, trade.ts_event) == (114_125_000_000, 100 * NANO, 1536036818784_000_000)
    assert (trade.taker, trade.trade_id, trade.seq) == (None, "4-12345", 3681328)
    bar = massive.bar(minute, "MSFT.MASSIVE", 7, faults)
    assert bar is not None
    assert (bar.start, bar.end, bar.interval) == (1536036780000_000_000, 1536036840000_000_000, "1m")
    assert (bar.open, bar.high, bar.low, bar.close) == (
        114_110_000_000,
        114_190_000_000,
        114_090_000_000,
        114_140_000_000,
    )
    assert (bar.volume, bar.vwap, bar.trades, bar.source) == ("10204", 114_404_000_000, None, "venue")
    ticker = massive.ticker(quoted, "MSFT.MASSIVE", "s", 7, faults)
    assert (ticker.bid, ticker.ask, ticker.bid_size, ticker.ask_size) == (
        114_125_000_000,
        114_128_000_000,
        100 * NANO,
        160 * NANO,
    )
    assert faults.total == 0


def test_digits_do_not_go_through_a_float() -> None:
    events, _ = massive.decode(b'[{"ev":"T","sym":"A","p":0.1234567891,"s":0.000000001,"t":1}]')
    assert isinstance(events[0], massive.TradeEvent)
    faults = NumberFaults()
    trade = massive.trade(events[0], "A", "s", 0, faults)
    assert trade is not None
    assert (trade.price, trade.size, faults.truncated) == (123_456_789, 1, 1)


@pytest.mark.parametrize("side", [b'"bp":0,"bs":0,', b""])
def test_a_side_that_is_not_there_is_none_and_not_zero(side: bytes) -> None:
    events, _ = massive.decode(b'[{"ev":"Q","sym":"A",' + side + b'"ap":1.5,"as":2,"t":1}]')
    assert isinstance(events[0], massive.QuoteEvent)
    ticker = massive.ticker(events[0], "A", "s", 0, NumberFaults())
    assert (ticker.bid, ticker.bid_size, ticker.ask) == (None, None, 1_500_000_000)


def test_an_event_that_cannot_be_read_does_not_take_its_neighbours_with_it() -> None:
    frame = b'[{"ev":"LULD","T":"MSFT"},{"ev":"T","sym":"A","p":1,"s":1,"t":1},{"ev":"T","sym":"A"}]'
    events, unknown = massive.decode(frame)
    assert (len(events), unknown) == (1, 2)


@pytest.mark.parametrize("frame", [b"", b"{}", b"[", b'"T"', b"\xff"])
def test_what_is_no_array_is_no_frame(frame: bytes) -> None:
    with pytest.raises(WireError):
        massive.decode(frame)


def test_commands_are_one_line_each() -> None:
    assert massive.auth("KEY") == b'{"action":"auth","params":"KEY"}'
    assert massive.subscribe(["T.AAPL", "Q.AAPL"]) == b'{"action":"subscribe","params":"T.AAPL,Q.AAPL"}'
    assert massive.unsubscribe(["T.AAPL"]) == b'{"action":"unsubscribe","params":"T.AAPL"}'


def test_large_volumes_come_with_an_exponent_and_are_kept_as_plain_digits() -> None:
    body = (
        b'{"status":"OK","results":[{"t":1577941200000,"o":74.06,"h":75.15,"l":73.7975,"c":75.0875,'
        b'"v":1.35647456e+08,"vw":74.6099,"n":157281}]}'
    )
    row = massive.read_aggregates(200, body).results[0]
    bar = massive.aggregate_bar(row, "A", "1d", 2, 3, NumberFaults())
    assert bar is not None
    assert (bar.volume, bar.low, bar.trades) == ("135647456", 73_797_500_000, 157281)


def test_an_answer_without_results_is_empty_and_no_error() -> None:
    assert len(massive.read_aggregates(200, b'{"status":"OK","queryCount":0,"resultsCount":0}').results) == 0


@pytest.mark.parametrize(
    ("status", "body", "retry"),
    [
        (429, b'{"status":"ERROR","error":"You\'ve exceeded the maximum requests per minute"}', True),
        (500, b"<html>", True),
        (401, b'{"status":"ERROR","error":"Unknown API Key"}', False),
        (403, b'{"status":"NOT_AUTHORIZED","message":"You are not entitled to this data."}', False),
        (200, b'{"status":"ERROR","error":"bad"}', False),
        (200, b"[]", False),
    ],
)
def test_an_error_says_whether_it_may_pass(status: int, body: bytes, retry: bool) -> None:
    with pytest.raises(VenueError) as caught:
        massive.read_aggregates(status, body)
    assert (caught.value.status, caught.value.retry_s is not None) == (status, retry)
