from __future__ import annotations

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from protocols.nanos import NANO, exact_nanos
from protocols.venues import kalshi_orders as wire
from protocols.venues.errors import VenueError, WireError
from protocols.venues.kalshi import FillFrame


def test_an_order_names_what_it_needs_and_leaves_out_what_it_does_not_say() -> None:
    order = wire.CreateOrder(
        ticker="KXBTCD-25AUG0517-T114999.99",
        side="ask",
        count=wire.contracts(10 * NANO),
        price=wire.dollars(560_000_000),
        time_in_force="good_till_canceled",
        self_trade_prevention_type="taker_at_cross",
        client_order_id="a-1",
        post_only=True,
    )
    assert json.loads(wire.encode(order)) == {
        "ticker": "KXBTCD-25AUG0517-T114999.99",
        "side": "ask",
        "count": "10.00",
        "price": "0.5600",
        "time_in_force": "good_till_canceled",
        "self_trade_prevention_type": "taker_at_cross",
        "client_order_id": "a-1",
        "post_only": True,
    }
    assert wire.decode(wire.CreateOrder, wire.encode(order)) == order


def test_private_frames_are_read_and_those_of_other_channels_are_not() -> None:
    fill = wire.decode_private(
        b'{"type":"fill","sid":3,"msg":{"trade_id":"t","order_id":"o","market_ticker":"M","is_taker":true,'
        b'"yes_price_dollars":"0.7500","count_fp":"2.78","fee_cost":"0.0365","book_side":"bid","post_position_fp":"5.00",'
        b'"purchased_side":"yes","ts_ms":1671899397000}}'
    )
    assert isinstance(fill, FillFrame)
    assert (fill.msg.count_fp, fill.msg.fee_cost) == ("2.78", "0.0365")
    order = wire.decode_private(b'{"type":"user_order","sid":4,"msg":{"order_id":"o","ticker":"M","status":"resting"}}')
    assert isinstance(order, wire.UserOrderFrame)
    position = wire.decode_private(
        b'{"type":"market_position","sid":5,"msg":{"user_id":"u","market_ticker":"M","position_fp":"-3.00"}}'
    )
    assert isinstance(position, wire.PositionFrame)
    assert wire.decode_private(b'{"type":"rfq_created","sid":6,"msg":{}}') is None
    for garbled in (b'{"type":"fill","sid":3,"msg":{}}', b'{"type":"fi', b'{"type":"fill","msg":"\xff"}', b"[]"):
        with pytest.raises(WireError):
            wire.decode_private(garbled)


@pytest.mark.parametrize(
    ("status", "body", "code"),
    [
        (409, b'{"error":{"code":"order_already_exists","message":"x"}}', wire.DUPLICATE),
        (400, b'{"code":"invalid_order_size","message":"x"}', "invalid_order_size"),
        (429, b'{"error":"too many requests"}', "http_429"),
        (502, b"<html>", "http_502"),
        (201, b'{"order_id":5}', "unreadable"),
    ],
)
def test_refusals_come_in_three_forms_and_an_unreadable_answer_is_one(status: int, body: bytes, code: str) -> None:
    with pytest.raises(VenueError) as refused:
        wire.read(wire.OrderAnswer, status, body)
    assert (refused.value.status, refused.value.code) == (status, code)


def test_a_balance_and_a_settlement_prefer_dollars_to_cents() -> None:
    assert wire.balance_nanos(wire.Balance(balance=12)) == 12 * NANO // 100
    assert wire.balance_nanos(wire.Balance(balance=12, balance_dollars="0.1234")) == 123_400_000
    rows = [{"value": 40}, {"value": 40, "value_dollars": "0.4012"}, {"market_result": "no"}, {"market_result": "void"}]
    values = [
        wire.settlement_value(
            wire.decode(wire.SettlementRow, json.dumps({"ticker": "M", "settled_time": "", **row}).encode())
        )
        for row in rows
    ]
    assert values == [400_000_000, 401_200_000, 0, None]


def test_the_side_of_the_book_is_that_of_the_outcome_where_it_is_not_said() -> None:
    assert [wire.book_side(None, "yes"), wire.book_side(None, "no"), wire.book_side("ask", "yes")] == [
        "bid",
        "ask",
        "ask",
    ]
    with pytest.raises(ValueError, match="neither"):
        wire.book_side(None, None)


@given(st.integers(0, 10_000), st.integers(0, 10**12))
def test_amounts_come_back_exactly(ticks: int, hundredths: int) -> None:
    assert exact_nanos(wire.dollars(ticks * 100_000)) == ticks * 100_000
    assert exact_nanos(wire.contracts(hundredths * 10_000_000)) == hundredths * 10_000_000
