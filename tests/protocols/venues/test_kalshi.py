from __future__ import annotations

import contextlib
import json
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from protocols.market import LevelChange
from protocols.nanos import NANO
from protocols.venues import kalshi_messages
from protocols.venues.errors import WireError
from protocols.venues.kalshi import (
    DeltaFrame,
    ErrorFrame,
    FillFrame,
    LifecycleFrame,
    OkBody,
    OkFrame,
    OtherFrame,
    SnapshotFrame,
    SubscribedFrame,
    TickerFrame,
    TradeFrame,
    UnsubscribedFrame,
    decode,
    encode,
)
from protocols.venues.kalshi_commands import decode_command
from protocols.venues.kalshi_messages import Codec, decode_orderbook
from protocols.venues.rfc3339 import rfc3339_text

CENT = NANO // 100


def raw(**frame: Any) -> bytes:
    return json.dumps(frame).encode()


def snapshot(**sides: Any) -> SnapshotFrame:
    msg = {"market_ticker": "FED-23DEC-T3.00", "market_id": "u", **sides}
    frame = decode(raw(type="orderbook_snapshot", sid=2, seq=2, msg=msg))
    assert isinstance(frame, SnapshotFrame)
    return frame


def delta(**fields: Any) -> DeltaFrame:
    frame = decode(raw(type="orderbook_delta", sid=2, seq=3, msg={"market_ticker": "M", **fields}))
    assert isinstance(frame, DeltaFrame)
    return frame


def changes(frame: SnapshotFrame, *, yes_price: bool = False) -> set[tuple[str, int, int]]:
    update = Codec().snapshot(frame, "s", 5, (), yes_price)
    assert update.snapshot
    assert update.kind == "absolute"
    return {(change.side, change.price, change.size) for change in update.changes}


def test_a_no_bid_is_an_ask_at_one_minus_its_price() -> None:
    frame = snapshot(
        yes_dollars_fp=[["0.0800", "300.00"], ["0.2200", "333.00"]],
        no_dollars_fp=[["0.5400", "20.00"], ["0.5600", "146.00"]],
    )
    assert changes(frame) == {
        ("bid", 8 * CENT, 300 * NANO),
        ("bid", 22 * CENT, 333 * NANO),
        ("ask", 46 * CENT, 20 * NANO),
        ("ask", 44 * CENT, 146 * NANO),
    }


def test_under_use_yes_price_a_no_level_stands_on_the_yes_scale_already() -> None:
    frame = snapshot(no_dollars_fp=[["0.4400", "146.00"]])
    assert changes(frame, yes_price=True) == {("ask", 44 * CENT, 146 * NANO)}
    update = Codec().delta(delta(price_dollars="0.4400", delta_fp="-6.00", side="no"), "s", 5, (), True)
    assert update.changes == (LevelChange("ask", 44 * CENT, -6 * NANO),)


def test_a_side_without_levels_has_no_key_or_null_and_a_textual_zero_is_no_level() -> None:
    assert changes(snapshot()) == set()
    assert changes(snapshot(yes_dollars_fp=None, no=[[53, 120]])) == {("ask", 47 * CENT, 120 * NANO)}
    assert changes(snapshot(yes_dollars_fp=[["0.5", "0.00"]])) == set()


def test_the_old_cents_form_is_read_and_strings_win_where_both_are_there() -> None:
    assert changes(snapshot(yes=[[45, 100]], no=[[53, 120]])) == {
        ("bid", 45 * CENT, 100 * NANO),
        ("ask", 47 * CENT, 120 * NANO),
    }
    both = snapshot(yes=[[45, 100]], yes_dollars=[["0.455", 100]])
    assert changes(both) == {("bid", 455_000_000, 100 * NANO)}
    codec = Codec()
    old = codec.delta(delta(price=46, delta=-50, side="yes", ts=1669149841), "s", 5, (), False)
    assert old.changes == (LevelChange("bid", 46 * CENT, -50 * NANO),)
    assert old.ts_event == 1669149841 * NANO
    dual = delta(price=46, price_dollars="0.465", delta=-50, delta_fp="-50.47", side="yes")
    assert codec.delta(dual, "s", 5, (), False).changes == (LevelChange("bid", 465_000_000, -50_470_000_000),)


def test_a_delta_is_a_signed_change_with_its_address_and_times() -> None:
    frame = delta(
        price_dollars="0.960", delta_fp="-54.00", side="yes", ts="2022-11-22T20:44:01.250817Z", ts_ms=1669149841250
    )
    update = Codec().delta(frame, "feed-1/2.1", 99, ("demo",), False)
    assert update.kind == "signed"
    assert not update.snapshot
    assert (update.market, update.session, update.seq) == ("M", "feed-1/2.1", 3)
    assert update.changes == (LevelChange("bid", 96 * CENT, -54 * NANO),)
    assert update.ts_event == 1669149841250817000
    assert (update.ts_recv, update.marks) == (99, ("demo",))


def test_event_time_is_the_milliseconds_where_the_finer_text_disagrees() -> None:
    assert kalshi_messages.event_time(1669149841250, "2022-11-22T20:44:01.999999Z") == 1669149841250 * 1_000_000
    assert kalshi_messages.event_time(1669149841250, "2022-11-22T20:44:01Z") == 1669149841250 * 1_000_000
    assert kalshi_messages.event_time(None, "2022-11-22T20:44:01.250817+00:00") == 1669149841250817000
    assert kalshi_messages.event_time(None, None) == 0


def test_time_text_of_the_venue_is_written_to_the_microsecond() -> None:
    assert rfc3339_text(1669149841250817999, 6) == "2022-11-22T20:44:01.250817Z"


def test_prices_outside_a_dollar_are_dropped_and_counted() -> None:
    codec = Codec()
    for text in ("1.0100", "-0.0100", "10000000000"):
        assert codec.delta(delta(price_dollars=text, delta_fp="1.00", side="yes"), "s", 5, (), False).changes == ()
    assert codec.faults.dropped == 3


def test_a_delta_without_its_numbers_is_a_value_error() -> None:
    codec = Codec()
    for frame in (
        delta(side="yes", delta_fp="1.00"),
        delta(side="yes", price_dollars="0.5"),
        delta(side="yes", price_dollars="half", delta_fp="1.00"),
        delta(side="yes", price=101, delta=1),
    ):
        with pytest.raises(ValueError):  # noqa: PT011 - each says something else
            codec.delta(frame, "s", 5, (), False)


def test_a_trade_says_which_side_the_taker_took_in_the_yes_book() -> None:
    codec = Codec()
    msg = {
        "trade_id": "t",
        "market_ticker": "M",
        "yes_price_dollars": "0.3600",
        "no_price_dollars": "0.6400",
        "count_fp": "136.00",
        "taker_side": "yes",
        "taker_outcome_side": "no",
        "taker_book_side": "ask",
        "is_block_trade": True,
        "ts_ms": 1669149841000,
    }
    frame = decode(raw(type="trade", sid=11, seq=2, msg=msg))
    assert isinstance(frame, TradeFrame)
    trade = codec.trade(frame, "s", 5, ())
    assert trade is not None
    assert (trade.price, trade.size, trade.taker, trade.block) == (36 * CENT, 136 * NANO, "sell", True)
    old = decode(
        raw(type="trade", sid=1, msg={"market_ticker": "M", "no_price": 40, "count": 3, "taker_side": "yes", "ts": 7})
    )
    assert isinstance(old, TradeFrame)
    trade = codec.trade(old, "s", 5, ())
    assert trade is not None
    assert (trade.price, trade.size, trade.taker, trade.ts_event) == (60 * CENT, 3 * NANO, "buy", 7 * NANO)


@pytest.mark.parametrize(
    ("fields", "phase", "settlement"),
    [
        ({"event_type": "deactivated", "is_deactivated": True}, "paused", None),
        ({"event_type": "activated"}, "active", None),
        ({"event_type": "determined", "result": "yes", "determination_ts": 9}, "determined", NANO),
        ({"event_type": "determined", "result": "no"}, "determined", 0),
        ({"event_type": "settled", "result": "scalar", "settlement_value": "0.2500"}, "settled", NANO // 4),
    ],
)
def test_a_lifecycle_event_is_a_phase_with_its_settlement(
    fields: dict[str, Any], phase: str, settlement: int | None
) -> None:
    frame = decode(raw(type="market_lifecycle_v2", sid=13, seq=3, msg={"market_ticker": "M", **fields}))
    assert isinstance(frame, LifecycleFrame)
    status = Codec().status(frame, "s", 5, ())
    assert status is not None
    assert (status.phase, status.settlement) == (phase, settlement)


def test_a_lifecycle_event_that_changes_no_phase_is_nothing() -> None:
    msg = {"market_ticker": "M", "event_type": "price_level_structure_updated", "price_ranges": []}
    frame = decode(raw(type="market_lifecycle_v2", sid=13, seq=4, msg=msg))
    assert isinstance(frame, LifecycleFrame)
    assert Codec().status(frame, "s", 5, ()) is None


@pytest.mark.parametrize(
    ("frame", "kind"),
    [
        ({"type": "subscribed", "id": 1, "msg": {"channel": "orderbook_delta", "sid": 1}}, SubscribedFrame),
        ({"type": "unsubscribed", "id": 5, "sid": 2, "seq": 7}, UnsubscribedFrame),
        ({"type": "ok", "id": 2, "sid": 4, "seq": 2, "msg": {"market_tickers": ["A"]}}, OkFrame),
        ({"type": "ok", "id": 6, "msg": [{"channel": "fill", "sid": 1}]}, OkFrame),
        ({"type": "error", "id": 9, "msg": {"code": 7, "msg": "Unknown subscription ID"}}, ErrorFrame),
        ({"type": "ticker", "sid": 11, "msg": {"market_ticker": "M", "price_dollars": "0.4800", "ts": 1}}, TickerFrame),
        (
            {
                "type": "fill",
                "sid": 13,
                "msg": {"trade_id": "t", "order_id": "o", "market_ticker": "M", "is_taker": True, "fee_cost": "0.01"},
            },
            FillFrame,
        ),
    ],
)
def test_every_kind_of_frame_is_known(frame: dict[str, Any], kind: type) -> None:
    assert isinstance(decode(raw(**frame)), kind)


def test_a_frame_of_an_unknown_type_keeps_its_number_and_is_no_fault() -> None:
    frame = decode(raw(type="event_fee_update", sid=5, seq=9, msg={"anything": None}))
    assert frame == OtherFrame(type="event_fee_update", sid=5, seq=9)


def test_a_known_frame_that_does_not_fit_keeps_its_number_and_says_why() -> None:
    frame = decode(raw(type="orderbook_delta", sid=5, seq=9, msg={"market_ticker": "M", "side": "maybe"}))
    assert isinstance(frame, OtherFrame)
    assert (frame.sid, frame.seq) == (5, 9)
    assert "side" in frame.fault


@pytest.mark.parametrize("text", [b"", b"null", b"[]", b"{", b'{"type":1}', b"\xff", b'{"sid":1}'])
def test_what_is_no_frame_at_all_is_a_wire_error(text: bytes) -> None:
    with pytest.raises(WireError):
        decode(text)


def test_an_encoded_frame_leaves_out_what_it_does_not_have() -> None:
    frame = OkFrame(id=2, sid=4, seq=1, msg=OkBody(market_tickers=("A",)))
    assert json.loads(encode(frame)) == {"type": "ok", "id": 2, "sid": 4, "seq": 1, "msg": {"market_tickers": ["A"]}}
    assert json.loads(encode(OkFrame(id=2, sid=4, seq=1))) == {"type": "ok", "id": 2, "sid": 4, "seq": 1}


def test_a_rest_book_is_read_in_both_forms_in_any_order() -> None:
    codec = Codec()
    now = decode_orderbook(b'{"orderbook_fp":{"yes_dollars":[["0.2200","333.00"]],"no_dollars":[]}}', codec)
    assert now == (LevelChange("bid", 22 * CENT, 333 * NANO),)
    old = decode_orderbook(b'{"orderbook":{"yes":null,"no":[[53,120]]}}', codec)
    assert old == (LevelChange("ask", 47 * CENT, 120 * NANO),)
    for body in (b"{}", b"[]", b"{"):
        with pytest.raises(WireError):
            decode_orderbook(body, codec)


@pytest.mark.parametrize(
    "wrong",
    [
        b'{"type":"error","msg":{"code":1,"msg":"\xff"}}',
        b'{"type":"\xff"}',
        b'{"type":"orderbook_delta","sid":1,"seq":2,"msg":{"market_ticker":"\xff\xfe","side":"yes"}}',
        '{"type":"\ud800"}',
    ],
)
def test_a_text_that_is_no_utf_8_makes_no_frame(wrong: bytes | str) -> None:
    with pytest.raises(WireError):
        decode(wrong)
    with pytest.raises(msgspec.DecodeError):
        decode_command(wrong)
    with pytest.raises(WireError):
        decode_orderbook(wrong, Codec())


@given(st.binary(max_size=200))
def test_no_bytes_crash_the_decoder(junk: bytes) -> None:
    with contextlib.suppress(WireError):
        decode(junk)


@given(st.integers(0, 10_000), st.integers(-(10**11), 10**11))
def test_any_price_and_count_that_the_venue_can_write_is_kept_exactly(price: int, count: int) -> None:
    sign = "-" if count < 0 else ""
    frame = delta(
        price_dollars=f"{price // 10_000}.{price % 10_000:04d}",
        delta_fp=f"{sign}{abs(count) // 100}.{abs(count) % 100:02d}",
        side="no",
    )
    change = Codec().delta(frame, "s", 5, (), False).changes[0]
    assert change.price == NANO - price * NANO // 10_000
    assert change.size == max(-(2**63 - 1), min(2**63 - 1, count * CENT))
