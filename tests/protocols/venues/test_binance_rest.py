from __future__ import annotations

import pytest

from protocols.venues.binance import DepthSnapshot, Fault
from protocols.venues.binance_rest import (
    decode_aggregate_trades,
    decode_depth,
    decode_exchange_info,
    decode_fault,
    decode_funding,
    decode_klines,
    encode_fault,
    error_of,
)
from protocols.venues.errors import WireError


def test_a_snapshot_of_each_of_the_three() -> None:
    spot = decode_depth('{"lastUpdateId":1027024,"bids":[["4.00000000","431.00000000"]],"asks":[]}')
    assert spot == DepthSnapshot(last=1027024, bids=(("4.00000000", "431.00000000"),), asks=())
    usdm = decode_depth('{"lastUpdateId":1027024,"E":1589436922972,"T":1589436922959,"bids":[],"asks":[]}')
    assert (usdm.event_time, usdm.trade_time) == (1589436922972, 1589436922959)
    coinm = decode_depth('{"lastUpdateId":1,"symbol":"BTCUSD_PERP","pair":"BTCUSD","E":2,"T":1,"bids":[],"asks":[]}')
    assert coinm.symbol == "BTCUSD_PERP"


def test_a_bar_is_final_once_its_end_has_passed() -> None:
    body = (
        '[[1499040000000,"0.01634790","0.80000000","0.01575800","0.01577100","148976.11427815",1499644799999,'
        '"2434.19055334",308,"1756.87402397","28.46694368","0"]]'
    )
    (past,) = decode_klines(body, "BNBBTC", "1w", 1499644800000)
    assert (past.open, past.high, past.low, past.close) == ("0.01634790", "0.80000000", "0.01575800", "0.01577100")
    assert (past.volume, past.quote_volume, past.trades, past.final) == ("148976.11427815", "2434.19055334", 308, True)
    (now,) = decode_klines(body, "BNBBTC", "1w", 1499644799999)
    assert not now.final


def test_rows_of_trades_and_of_funding() -> None:
    (trade,) = decode_aggregate_trades(
        '[{"a":26129,"p":"0.016","q":"4.7","f":27781,"l":27781,"T":5,"m":true,"M":true}]'
    )
    assert (trade.aggregate_id, trade.price, trade.trade_time) == (26129, "0.016", 5)
    old, new = decode_funding(
        '[{"symbol":"BTCUSDT","fundingRate":"-0.03750000","fundingTime":1570608000000},'
        '{"symbol":"BTCUSDT","fundingRate":"0.00010000","fundingTime":1570636800000,"markPrice":"34287.5"}]'
    )
    assert (old.mark_price, new.mark_price) == ("", "34287.5")


@pytest.mark.parametrize("read", [decode_depth, decode_aggregate_trades, decode_funding, decode_exchange_info])
@pytest.mark.parametrize("body", ["", "7", "<html>", '{"code":-1121,"msg":"Invalid symbol."}', b'[{"p":"\xff"}]'])
def test_what_has_not_the_shape_is_a_wire_error(read: object, body: str | bytes) -> None:
    assert callable(read)
    with pytest.raises(WireError):
        read(body)


def test_an_error_says_whether_and_when_to_try_again() -> None:
    unknown = error_of(400, '{"code":-1121,"msg":"Invalid symbol."}')
    assert (unknown.code, unknown.message, unknown.retry_s) == ("-1121", "Invalid symbol.", None)
    limits = [error_of(status, b"").retry_s for status in (429, 418, 403, 503)]
    assert all(wait is not None and wait > 0 for wait in limits)
    assert error_of(400, '{"code":-1003,"msg":"Too many requests."}').retry_s == limits[0]


def test_an_error_page_is_cut_short() -> None:
    fault = decode_fault(b"<html>\n  <h1>Bad   gateway</h1>" + b"x" * 500)
    assert fault.code == 0
    assert fault.msg.startswith("<html> <h1>Bad gateway</h1>")
    assert len(fault.msg) == 200
    assert decode_fault(encode_fault(Fault(-1121, "Invalid symbol."))) == Fault(-1121, "Invalid symbol.")
