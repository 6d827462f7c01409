"""Frames of version 1 of Kraken's WebSocket, with the vendor's own worked example."""

from __future__ import annotations

import json

import pytest

from protocols.nanos import NANO, NumberFaults
from protocols.venues import kraken_v1
from protocols.venues.errors import WireError
from protocols.venues.kraken import checked, checksum
from protocols.venues.kraken_v1 import BookFrame, EventFrame, OtherFrame, TickerFrame, TradeFrame


def test_the_checksum_of_the_vendors_example_is_right() -> None:
    # docs.kraken.com, guide "Book checksum (WebSocket v1)": every size is 0.00000500.
    asks = [checked(f"0.0{price}", "0.00000500") for price in range(5005, 5055, 5)]
    prices = (5000, 4995, 4990, 4980, 4975, 4970, 4965, 4960, 4955, 4950)
    bids = [checked(f"0.0{price}", "0.00000500") for price in prices]
    assert asks[0] == "5005500"
    assert checksum(asks, bids) == 974947235


def test_a_snapshot_has_both_sides_and_no_checksum() -> None:
    raw = (
        '[1360,{"as":[["0.05005","0.00000500","1582905487.684110"]],"bs":[["0.05000","0.00000600",'
        '"1582905487.439814"]]},"book-1000","XBT/USD"]'
    )
    frame = kraken_v1.decode(raw)
    assert isinstance(frame, BookFrame)
    assert (frame.channel, frame.pair, frame.depth, frame.snapshot, frame.checksum) == (
        1360, "XBT/USD", 1000, True, None,
    )  # fmt: skip
    assert frame.asks == (("0.05005", "0.00000500", "1582905487.684110"),)
    assert frame.ts_event == 1_582_905_487_684_110_000


def test_an_update_of_both_sides_comes_in_two_payloads() -> None:
    raw = (
        '[1234,{"a":[["5541.30000","2.50700000","1534614248.456738"]]},{"b":[["5541.20000","1.52900000",'
        '"1534614248.765567","r"]],"c":"974942666"},"book-10","XBT/USD"]'
    )
    frame = kraken_v1.decode(raw)
    assert isinstance(frame, BookFrame)
    assert (frame.depth, frame.snapshot, frame.checksum) == (10, False, 974942666)
    assert frame.asks == (("5541.30000", "2.50700000", "1534614248.456738"),)
    assert frame.bids == (("5541.20000", "1.52900000", "1534614248.765567", "r"),)


def test_trades_name_the_takers_side() -> None:
    raw = (
        '[0,[["5541.20000","0.15850568","1534614057.321597","s","l",""],'
        '["6060.00000","0.02455000","1534614057.324998","b","l",""]],"trade","XBT/USD"]'
    )
    frame = kraken_v1.decode(raw)
    assert isinstance(frame, TradeFrame)
    sell, buy = kraken_v1.trades(frame, "XBT-USD.KRAKEN", "s", 1, 2, (), NumberFaults())
    assert (sell.taker, sell.price, sell.size) == ("sell", 5_541_200_000_000, 158_505_680)
    assert (buy.taker, buy.ts_event) == ("buy", 1_534_614_057_324_998_000)


def test_a_ticker_tells_the_best_prices_and_the_last_trade() -> None:
    raw = (
        '[0,{"a":["5525.40000",1,"1.000"],"b":["5525.10000",1,"1.500"],"c":["5525.10000","0.00398963"],"v":["2","3"],'
        '"p":["1","1"],"t":[11493,16267],"l":["1","1"],"h":["1","1"],"o":["1","1"]},"ticker","XBT/USD"]'
    )
    frame = kraken_v1.decode(raw)
    assert isinstance(frame, TickerFrame)
    ticker = kraken_v1.ticker(frame, "XBT-USD.KRAKEN", "s", 2, (), NumberFaults())
    assert (ticker.ask, ticker.ask_size) == (5_525_400_000_000, NANO)
    assert (ticker.bid, ticker.bid_size, ticker.last) == (5_525_100_000_000, 1_500_000_000, 5_525_100_000_000)


def test_events_are_objects() -> None:
    raw = (
        '{"channelID":1664,"channelName":"book-1000","event":"subscriptionStatus","pair":"WAVES/EUR",'
        '"status":"subscribed","subscription":{"depth":1000,"name":"book"}}'
    )
    frame = kraken_v1.decode(raw)
    assert isinstance(frame, EventFrame)
    assert (frame.event, frame.status, frame.pair, frame.channelName) == (
        "subscriptionStatus", "subscribed", "WAVES/EUR", "book-1000",
    )  # fmt: skip
    assert kraken_v1.decode('{"event":"heartbeat"}') == EventFrame(event="heartbeat")


def test_an_array_of_another_channel_is_no_fault() -> None:
    assert kraken_v1.decode('[0,["1","2"],"spread","XBT/USD"]') == OtherFrame("spread", "XBT/USD")


@pytest.mark.parametrize("payload", ['{"a":7}', '{"b":[],"c":"x"}', "[]"])
def test_a_known_array_that_does_not_fit_says_why(payload: str) -> None:
    frame = kraken_v1.decode(f'[0,{payload},"book-10","XBT/USD"]')
    assert isinstance(frame, OtherFrame)
    assert frame.fault


@pytest.mark.parametrize("raw", ["", "{", "[]", "[1,2]", '["x",{},"book-10","A/B"]', "7", b"\xff"])
def test_what_is_no_frame_is_a_wire_error(raw: bytes | str) -> None:
    with pytest.raises(WireError):
        kraken_v1.decode(raw)


def test_commands_are_as_documented() -> None:
    command = kraken_v1.subscription("book", ["XBT/USD"], subscribe=True, depth=100)
    assert json.loads(command) == {
        "event": "subscribe",
        "pair": ["XBT/USD"],
        "subscription": {"name": "book", "depth": 100},
    }
    assert kraken_v1.decode_command(command).pair == ("XBT/USD",)
    assert json.loads(kraken_v1.ping()) == {"event": "ping"}
