from __future__ import annotations

import pytest

from protocols.venues import binance_orders as wire
from protocols.venues.errors import VenueError, WireError

# The example of binance-spot-api-docs, `user-data-stream.md`, "Order Update".
REPORT = b"""{"subscriptionId": 0, "event": {"e": "executionReport", "E": 1499405658658, "s": "ETHBTC",
"c": "mUvoqJxFIILMdfAW5iGSOW", "S": "BUY", "o": "LIMIT", "f": "GTC", "q": "1.00000000", "p": "0.10264410",
"P": "0.00000000", "F": "0.00000000", "g": -1, "C": "", "x": "NEW", "X": "NEW", "r": "NONE", "i": 4293153,
"l": "0.00000000", "z": "0.00000000", "L": "0.00000000", "n": "0", "N": null, "T": 1499405658657, "t": -1, "v": 3,
"I": 8641984, "w": true, "m": false, "M": false, "O": 1499405658657, "Z": "0.00000000", "Y": "0.00000000",
"Q": "0.00000000", "W": 1499405658657, "V": "NONE"}}"""


def test_an_execution_report_is_read_as_the_venue_prints_it() -> None:
    message = wire.decode_message(REPORT)
    assert (message.subscription_id, message.status) == (0, None)
    event = wire.decode_event(bytes(message.event))
    assert isinstance(event, wire.ExecutionReport)
    assert (event.client_order_id, event.original_client_order_id, event.order_id) == (
        "mUvoqJxFIILMdfAW5iGSOW",
        "",
        4293153,
    )
    assert (event.execution, event.status, event.side, event.quantity, event.trade_id) == (
        "NEW",
        "NEW",
        "BUY",
        "1.00000000",
        -1,
    )
    assert (event.commission, event.commission_asset, event.transaction_time) == ("0", None, 1499405658657)


def test_other_events_are_left_alone_and_what_is_no_message_is_refused() -> None:
    assert wire.decode_event(b'{"e":"balanceUpdate","E":1,"a":"BTC","d":"1.0","T":1}') is None
    ended = wire.decode_event(b'{"e":"eventStreamTerminated","E":1}')
    assert isinstance(ended, wire.StreamTerminated)
    for garbled in (b'{"e":"executionReport"}', b"{", b'{"e":"\xff"}'):
        with pytest.raises(WireError):
            wire.decode_event(garbled)
    refused = wire.decode_message(b'{"id":"1","status":400,"error":{"code":-1022,"msg":"Signature"}}')
    assert refused.error is not None
    assert (refused.status, refused.error.code) == (400, -1022)


def test_an_order_becomes_its_query_and_comes_back() -> None:
    order = wire.OrderRequest(
        symbol="BTCUSDT",
        side="SELL",
        type="LIMIT",
        quantity=wire.number(10_000_000),
        price=wire.number(52_000_000_000_000),
        time_in_force="GTC",
        new_client_order_id="a-1",
    )
    assert order.query() == (
        ("symbol", "BTCUSDT"),
        ("side", "SELL"),
        ("type", "LIMIT"),
        ("timeInForce", "GTC"),
        ("quantity", "0.01"),
        ("price", "52000"),
        ("newClientOrderId", "a-1"),
        ("newOrderRespType", "FULL"),
    )
    assert wire.OrderRequest.of(dict(order.query())) == order
    with pytest.raises(ValueError, match="side"):
        wire.OrderRequest.of({**dict(order.query()), "side": "UP"})
    with pytest.raises(KeyError, match="quantity"):
        wire.OrderRequest.of({"symbol": "X", "side": "BUY", "type": "MARKET"})


def test_the_answer_to_a_market_order_names_its_fills() -> None:
    # `rest-api.md`, "New order", response FULL, shortened.
    body = b"""{"symbol": "BTCUSDT", "orderId": 28, "orderListId": -1, "clientOrderId": "6gCrw2kRUAF9CvJDGP16IP",
    "transactTime": 1507725176595, "price": "0.00000000", "origQty": "10.00000000", "executedQty": "10.00000000",
    "cummulativeQuoteQty": "10.00000000", "status": "FILLED", "timeInForce": "GTC", "type": "MARKET", "side": "SELL",
    "fills": [{"price": "4000.00000000", "qty": "1.00000000", "commission": "4.00000000", "commissionAsset": "USDT",
    "tradeId": 56}]}"""
    answer = wire.read(wire.OrderAnswer, 200, body)
    assert (answer.ms, answer.status, answer.fills[0].trade_id) == (1507725176595, "FILLED", 56)
    with pytest.raises(VenueError, match="insufficient") as refused:
        wire.read(wire.OrderAnswer, 400, b'{"code":-2010,"msg":"Account has insufficient balance."}')
    assert refused.value.code == "-2010"


def test_a_request_of_the_websocket_signs_its_parameters_in_alphabetical_order() -> None:
    # `web-socket-api.md`, "Signed request example", without the parts that are only of an order.
    params: dict[str, str | int] = {"timestamp": 1645423376532, "apiKey": "key", "signature": "no", "recvWindow": 100}
    assert wire.signed_params(params) == b"apiKey=key&recvWindow=100&timestamp=1645423376532"
