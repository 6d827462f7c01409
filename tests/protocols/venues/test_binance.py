from __future__ import annotations

import json
from contextlib import suppress

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from protocols.venues.binance import (
    AggregateTrade,
    BookTicker,
    DepthSnapshot,
    DepthUpdate,
    ErrorReply,
    Frame,
    KlineEvent,
    Other,
    Reply,
    ServerShutdown,
    TradeEvent,
    decode,
    encode,
    event_time,
)
from protocols.venues.binance_commands import (
    aggregate_trade_stream,
    book_ticker_stream,
    decode_command,
    depth_stream,
    encode_reply,
    force_order_stream,
    kline_stream,
    list_subscriptions,
    mark_price_stream,
    subscribe,
    trade_stream,
    unsubscribe,
)
from protocols.venues.binance_futures import ForceOrder, MarkPriceUpdate
from protocols.venues.errors import WireError

SPOT_DEPTH = (
    '{"e":"depthUpdate","E":1672515782136,"s":"BNBBTC","U":157,"u":160,"b":[["0.0024","10"]],"a":[["0.0026","100"]]}'
)
USDM_DEPTH = (
    '{"e":"depthUpdate","E":123456789,"T":123456788,"s":"BTCUSDT","U":157,"u":160,"pu":149,'
    '"b":[["0.0024","10"]],"a":[["0.0026","100"]]}'
)
COINM_DEPTH = (
    '{"e":"depthUpdate","E":1591270260907,"T":1591270260891,"s":"BTCUSD_200626","ps":"BTCUSD","U":17285681,'
    '"u":17285702,"pu":17285675,"b":[["9517.6","10"]],"a":[["9518.5","45"]]}'
)


def wrapped(stream: str, data: str) -> str:
    return f'{{"stream":"{stream}","data":{data}}}'


@pytest.mark.parametrize(
    ("stream", "text", "previous"),
    [
        ("bnbbtc@depth@100ms", SPOT_DEPTH, None),
        ("btcusdt@depth", USDM_DEPTH, 149),
        ("btcusd_200626@depth@0ms", COINM_DEPTH, 17285675),
    ],
)
def test_a_change_of_a_book_is_read_wrapped_and_bare_and_written_to_the_same_bytes(
    stream: str, text: str, previous: int | None
) -> None:
    frame = decode(wrapped(stream, text))
    assert frame.stream == stream
    event = frame.data
    assert isinstance(event, DepthUpdate)
    assert event.previous == previous
    assert frame.symbol == event.symbol
    assert len(event.bids) == len(event.asks) == 1
    assert decode(text) == Frame("", event)
    assert encode(event).decode() == text
    assert encode(event, stream).decode() == wrapped(stream, text)


def test_the_best_prices_of_spot_have_no_type_and_are_known_all_the_same() -> None:
    text = '{"u":400900217,"s":"BNBUSDT","b":"25.35190000","B":"31.21000000","a":"25.36520000","A":"40.66000000"}'
    ticker = BookTicker(
        update_id=400900217,
        symbol="BNBUSDT",
        bid="25.35190000",
        bid_size="31.21000000",
        ask="25.36520000",
        ask_size="40.66000000",
    )
    assert decode(text).data == ticker
    assert decode(wrapped("bnbusdt@bookTicker", text)).data == ticker
    assert encode(ticker).decode() == text


def test_the_best_prices_of_futures_have_a_type_and_times() -> None:
    text = (
        '{"e":"bookTicker","u":5123107839020,"s":"BTCUSDT","b":"61800.20","B":"2.507","a":"61800.30","A":"2.510",'
        '"T":1723161256313,"E":1723161256313}'
    )
    for raw in (text, wrapped("btcusdt@bookTicker", text)):
        event = decode(raw).data
        assert isinstance(event, BookTicker)
        assert event.event_time == 1723161256313
    assert encode(event).decode() == text


def test_a_partial_book_names_its_symbol_only_in_the_stream() -> None:
    text = '{"lastUpdateId":160,"bids":[["0.0024","10"]],"asks":[["0.0026","100"]]}'
    frame = decode(wrapped("bnbbtc@depth20@100ms", text))
    assert frame.data == DepthSnapshot(last=160, bids=(("0.0024", "10"),), asks=(("0.0026", "100"),))
    assert frame.symbol == "BNBBTC"
    assert decode(text).data == frame.data


def test_trades_one_by_one_and_together() -> None:
    trade = decode(
        '{"e":"trade","E":1672515782136,"s":"BNBBTC","t":12345,"p":"0.001","q":"100","T":1672515782136,"m":true,"M":true}'
    ).data
    assert isinstance(trade, TradeEvent)
    assert (trade.trade_id, trade.buyer_is_maker, trade.kind) == (12345, True, "")
    together = decode(
        '{"e":"aggTrade","E":123456789,"s":"BTCUSDT","a":5933014,"p":"0.001","q":"100","f":100,"l":105,'
        '"T":123456785,"m":false}'
    ).data
    assert isinstance(together, AggregateTrade)
    assert (together.aggregate_id, together.first, together.last) == (5933014, 100, 105)


def test_a_bar_says_whether_it_is_final() -> None:
    text = (
        '{"e":"kline","E":1672515782136,"s":"BNBBTC","k":{"t":1672515780000,"T":1672515839999,"s":"BNBBTC","i":"1m",'
        '"f":100,"L":200,"o":"0.0010","c":"0.0020","h":"0.0025","l":"0.0015","v":"1000","n":100,"x":false,'
        '"q":"1.0000","V":"500","Q":"0.500","B":"123456"}}'
    )
    frame = decode(wrapped("bnbbtc@kline_1m", text))
    assert isinstance(frame.data, KlineEvent)
    assert not frame.data.candle.final
    assert decode(encode(frame.data, frame.stream)) == frame


def test_what_futures_alone_send() -> None:
    forced = decode(
        '{"e":"forceOrder","E":1568014460893,"o":{"s":"BTCUSDT","S":"SELL","o":"LIMIT","f":"IOC","q":"0.014",'
        '"p":"9910","ap":"9910","X":"FILLED","l":"0.014","z":"0.014","T":1568014460893}}'
    ).data
    assert isinstance(forced, ForceOrder)
    assert (forced.order.side, forced.order.filled) == ("SELL", "0.014")
    assert decode(encode(forced, "btcusdt@forceOrder")).data == forced
    mark = decode(
        '{"e":"markPriceUpdate","E":1562305380000,"s":"BTCUSDT","p":"11794.15","i":"11784.62","P":"11784.25",'
        '"r":"0.00038167","T":1562306400000}'
    ).data
    assert isinstance(mark, MarkPriceUpdate)
    assert (mark.rate, mark.next_funding) == ("0.00038167", 1562306400000)
    assert decode(encode(mark, "btcusdt@markPrice")).data == mark


def test_a_shutdown_is_announced() -> None:
    text = '{"e":"serverShutdown","E":1770123456789}'
    for raw in (text, wrapped("!serverShutdown", text)):
        frame = decode(raw)
        assert frame.data == ServerShutdown(event_time=1770123456789)
        assert frame.symbol == ""


def test_answers_to_commands_among_the_events() -> None:
    assert decode('{"result":null,"id":1}').data == Reply(id=1)
    assert decode('{"id":3,"result":["btcusdt@aggTrade"]}').data == Reply(result=("btcusdt@aggTrade",), id=3)
    flat = decode('{"code":2,"msg":"Invalid request: unknown property","id":7}').data
    nested = decode('{"error":{"code":2,"msg":"Invalid request: unknown property"},"id":7}').data
    assert isinstance(flat, ErrorReply)
    assert isinstance(nested, ErrorReply)
    assert flat.fault == nested.fault
    assert (flat.id, flat.fault.code) == (7, 2)
    assert decode(encode_reply(Reply(id=1))).data == Reply(id=1)
    assert decode(encode_reply(flat)).data == flat


def test_an_event_of_a_new_kind_is_no_fault() -> None:
    assert decode('{"e":"24hrTicker","E":1,"s":"BNBBTC"}').data == Other(event="24hrTicker")
    assert decode(wrapped("bnbbtc@rpiDepth", SPOT_DEPTH)).data == decode(SPOT_DEPTH).data
    assert isinstance(decode(wrapped("!ticker@arr", "[1]")).data, Other)


def test_an_event_without_the_shape_of_its_type_says_so_and_keeps_its_symbol() -> None:
    for data in ('{"e":"depthUpdate","s":"BNBBTC","U":"x"}', "[]", "7", "null"):
        frame = decode(wrapped("bnbbtc@depth", data))
        assert isinstance(frame.data, Other)
        assert frame.data.fault
        assert frame.symbol == "BNBBTC"


@pytest.mark.parametrize(
    "raw", [b"", b"[]", b"{", b'"text"', b"\xff\xfe", b'{"stream":"a@depth","data":{}', "{", b'{"e":"\xff"}']
)
def test_what_is_no_object_is_no_frame(raw: bytes | str) -> None:
    with pytest.raises(WireError):
        decode(raw)


@given(st.binary(max_size=60) | st.text(max_size=60))
def test_whatever_comes_is_a_frame_or_a_wire_error(raw: bytes | str) -> None:
    for each in (raw, b'{"stream":"' + raw if isinstance(raw, bytes) else '{"stream":"' + raw):
        with suppress(WireError):
            decode(each)


def test_text_that_is_no_utf_8_is_a_fault_like_any_other() -> None:
    frame = decode(b'{"stream":"bnbbtc@depth","data":{"e":"depthUpdate","s":"\xff","U":1,"u":1,"E":1,"b":[],"a":[]}}')
    assert isinstance(frame.data, Other)
    assert frame.data.fault
    assert frame.symbol == "BNBBTC"
    with pytest.raises(msgspec.DecodeError):
        decode_command(b'{"method":"\xff"}')


def test_blanks_and_another_order_of_the_keys_change_nothing() -> None:
    spread = json.dumps({"data": json.loads(SPOT_DEPTH), "stream": "bnbbtc@depth"}, indent=1)
    assert decode(spread) == decode(wrapped("bnbbtc@depth", SPOT_DEPTH))


def test_times_are_milliseconds_or_microseconds() -> None:
    assert event_time(1672515782136) == 1672515782136_000_000
    assert event_time(1672515782136123) == 1672515782136_123_000
    assert event_time(0) == 0


def test_commands_travel_both_ways() -> None:
    raw = subscribe(1, ["btcusdt@depth@100ms", "btcusdt@trade"])
    assert json.loads(raw) == {"method": "SUBSCRIBE", "params": ["btcusdt@depth@100ms", "btcusdt@trade"], "id": 1}
    command = decode_command(raw)
    assert (command.method, command.params, command.id) == ("SUBSCRIBE", ("btcusdt@depth@100ms", "btcusdt@trade"), 1)
    assert json.loads(unsubscribe(2, ["a@trade"]))["method"] == "UNSUBSCRIBE"
    assert json.loads(list_subscriptions(3)) == {"method": "LIST_SUBSCRIPTIONS", "id": 3}
    assert decode_command('{"method":"SET_PROPERTY","params":["combined",true],"id":"x"}').params == ("combined", True)


def test_streams_are_named_in_small_letters() -> None:
    makers = (depth_stream, trade_stream, aggregate_trade_stream, book_ticker_stream, force_order_stream)
    assert [maker("BTCUSD_PERP") for maker in makers] == [
        "btcusd_perp@depth@100ms",
        "btcusd_perp@trade",
        "btcusd_perp@aggTrade",
        "btcusd_perp@bookTicker",
        "btcusd_perp@forceOrder",
    ]
    assert mark_price_stream("X") == "x@markPrice"
    assert kline_stream("X", "1M") == "x@kline_1M"
