"""Coinbase's frames, commands, tokens and large books. The frames are those of its documentation."""

from __future__ import annotations

import json

import pytest
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric.ec import SECP384R1, generate_private_key
from hypothesis import given
from hypothesis import strategies as st

from protocols.market import LevelChange, unpack_levels
from protocols.nanos import NANO, NumberFaults
from protocols.venues import coinbase
from protocols.venues.coinbase import (
    BookEvent,
    BookFrame,
    Codec,
    ErrorFrame,
    HeartbeatFrame,
    LevelUpdate,
    OtherFrame,
    SubscriptionsFrame,
    TradeFrame,
)
from protocols.venues.coinbase_large import decode_large, read_packed
from protocols.venues.coinbase_signing import Signer, generate_secret, verify
from protocols.venues.errors import WireError

TIME = "2026-08-09T21:05:48.483587501Z"
NANOS = 1_786_309_548_483_587_501
L2 = (
    '{"channel":"l2_data","client_id":"","timestamp":"%s","sequence_num":0,"events":[{"type":"snapshot",'
    '"product_id":"BTC-USD","updates":[{"side":"bid","event_time":"1970-01-01T00:00:00Z","price_level":"21921.73",'
    '"new_quantity":"0.06317902"},{"side":"offer","event_time":"1970-01-01T00:00:00Z","price_level":"21921.8",'
    '"new_quantity":"1"}]}]}'
).replace("%s", TIME)


def test_a_book_frame_is_read_as_documented() -> None:
    frame = coinbase.decode(L2)
    assert isinstance(frame, BookFrame)
    (event,) = frame.events
    assert (frame.sequence_num, event.type, event.product_id) == (0, "snapshot", "BTC-USD")
    assert Codec().changes(event.updates, snapshot=True) == [
        LevelChange("bid", 21_921_730_000_000, 63_179_020),
        LevelChange("ask", 21_921_800_000_000, NANO),
    ]


def test_a_textual_zero_removes_in_an_update_and_is_no_level_in_a_snapshot() -> None:
    updates = [LevelUpdate("bid", TIME, "5", "0"), LevelUpdate("offer", TIME, "6", "0.00000000")]
    assert Codec().changes(updates, snapshot=False) == [
        LevelChange("bid", 5 * NANO, 0),
        LevelChange("ask", 6 * NANO, 0),
    ]
    assert Codec().changes(updates, snapshot=True) == []


def test_a_price_that_does_not_fit_is_dropped_and_counted_each_time() -> None:
    codec = Codec()
    updates = [LevelUpdate("offer", TIME, "10000000000", "1")] * 2
    assert codec.changes(updates, snapshot=False) == []
    assert codec.faults.dropped == 2


@pytest.mark.parametrize("digits", ["", "x", "1e", "NaN", "-", "1_0"])
def test_what_is_no_number_is_refused(digits: str) -> None:
    with pytest.raises(ValueError, match="not a decimal number"):
        Codec().changes([LevelUpdate("bid", TIME, "1", digits)], snapshot=False)


@pytest.mark.parametrize(("maker", "taker"), [("SELL", "buy"), ("BUY", "sell"), ("UNKNOWN_ORDER_SIDE", None)])
def test_the_taker_took_the_other_side_than_the_frame_says(maker: str, taker: str | None) -> None:
    raw = (
        (
            '{"channel":"market_trades","client_id":"","timestamp":"%s","sequence_num":3,"events":[{"type":"update",'
            '"trades":[{"trade_id":"000000000","product_id":"ETH-USD","price":"1260.01","size":"0.3","side":"%s",'
            '"time":"2019-08-14T20:42:27.265Z"}]}]}'
        )
        .replace("%s", TIME, 1)
        .replace("%s", maker)
    )
    frame = coinbase.decode(raw)
    assert isinstance(frame, TradeFrame)
    trade = Codec().trade(frame.events[0].trades[0], "ETH-USD.COINBASE", "s", 3, 9, ("synthetic",))
    assert trade is not None
    assert (trade.taker, trade.price, trade.size) == (taker, 1_260_010_000_000, 300_000_000)
    assert (trade.trade_id, trade.seq, trade.ts_event, trade.ts_recv) == ("000000000", 3, 1_565_815_347_265_000_000, 9)


@pytest.mark.parametrize("counter", ["3049", '"3049"'])
def test_a_heartbeats_counter_is_a_number_or_its_digits(counter: str) -> None:
    raw = (
        (
            '{"channel":"heartbeats","client_id":"","timestamp":"%s","sequence_num":0,"events":[{"current_time":'
            '"2023-06-23 20:31:56.121961769 +0000 UTC m=+91717.525857105","heartbeat_counter":%s}]}'
        )
        .replace("%s", TIME, 1)
        .replace("%s", counter)
    )
    frame = coinbase.decode(raw)
    assert isinstance(frame, HeartbeatFrame)
    assert str(frame.events[0].heartbeat_counter) == "3049"


def test_an_acknowledgement_tells_all_subscriptions() -> None:
    raw = (
        '{"channel":"subscriptions","timestamp":"%s","sequence_num":5,"events":[{"subscriptions":'
        '{"level2":["ETH-USD","BTC-USD"],"heartbeats":["heartbeats"]}}]}'
    ).replace("%s", TIME)
    frame = coinbase.decode(raw)
    assert isinstance(frame, SubscriptionsFrame)
    assert frame.products("level2") == {"ETH-USD", "BTC-USD"}
    assert frame.products("market_trades") == frozenset()


def test_an_error_has_no_channel() -> None:
    assert coinbase.decode('{"type":"error","message":"authentication failure"}') == ErrorFrame(
        message="authentication failure"
    )


def test_a_frame_of_another_channel_keeps_its_number() -> None:
    frame = coinbase.decode('{"channel":"status","timestamp":"%s","sequence_num":8,"events":[]}'.replace("%s", TIME))
    assert frame == OtherFrame(channel="status", sequence_num=8)


def test_a_known_frame_that_does_not_fit_says_why_and_keeps_its_number() -> None:
    frame = coinbase.decode('{"channel":"l2_data","timestamp":"%s","sequence_num":8,"events":[{}]}'.replace("%s", TIME))
    assert isinstance(frame, OtherFrame)
    assert (frame.channel, frame.sequence_num) == ("l2_data", 8)
    assert "type" in frame.fault


@pytest.mark.parametrize("raw", ["", "{", "[]", "7", '"x"', b"\xff", "not a frame"])
def test_what_is_no_frame_is_a_wire_error(raw: bytes | str) -> None:
    with pytest.raises(WireError):
        coinbase.decode(raw)


def test_what_is_encoded_is_what_the_venue_sends() -> None:
    frame = coinbase.decode(L2)
    expected = json.loads(L2)
    del expected["client_id"]
    assert json.loads(coinbase.encode(frame)) == expected


def test_a_command_names_one_channel() -> None:
    command = coinbase.subscribe("level2", ["BTC-USD"], "a.b.c")
    assert json.loads(command) == {
        "type": "subscribe",
        "product_ids": ["BTC-USD"],
        "channel": "level2",
        "jwt": "a.b.c",
    }
    assert json.loads(coinbase.unsubscribe("heartbeats")) == {"type": "unsubscribe", "channel": "heartbeats"}
    decoded = coinbase.decode_command(command)
    assert (decoded.type, decoded.channel, decoded.product_ids, decoded.jwt) == (
        "subscribe", "level2", ("BTC-USD",), "a.b.c",
    )  # fmt: skip


# -- tokens ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("algorithm", ["ES256", "EdDSA"])
def test_a_token_is_valid_for_two_minutes_and_for_its_key_alone(algorithm: str) -> None:
    signer = Signer("organizations/1/apiKeys/2", generate_secret(algorithm))
    token = signer.token(NANOS)
    claims = verify(signer.public_key, token, NANOS)
    seconds = NANOS // NANO
    assert (claims.sub, claims.iss, claims.nbf, claims.exp, claims.uri) == (
        "organizations/1/apiKeys/2", "cdp", seconds, seconds + 120, "",
    )  # fmt: skip
    verify(signer.public_key, token, (seconds + 119) * NANO)
    for ts in (seconds - 1, seconds + 120):
        with pytest.raises(ValueError, match="valid from"):
            verify(signer.public_key, token, ts * NANO)
    other = Signer("k", generate_secret(algorithm))
    with pytest.raises(ValueError, match="not this key's"):
        verify(other.public_key, token, NANOS)
    forged = token[:-8] + ("A" * 8 if token[-8:] != "A" * 8 else "B" * 8)
    with pytest.raises(ValueError, match="not"):
        verify(signer.public_key, forged, NANOS)


def test_a_token_has_the_form_of_rfc_7519() -> None:
    signer = Signer("key", generate_secret())
    token = signer.token(NANOS, "GET api.coinbase.com/api/v3/brokerage/accounts", nonce="n")
    assert token.count(".") == 2
    assert "=" not in token
    assert verify(signer.public_key, token, NANOS).uri == "GET api.coinbase.com/api/v3/brokerage/accounts"


def test_every_token_is_another_one() -> None:
    signer = Signer("key", generate_secret("EdDSA"))
    assert signer.token(NANOS) != signer.token(NANOS)


def test_a_key_whose_line_ends_are_two_characters_is_read() -> None:
    secret = generate_secret()
    escaped = secret.replace(b"\n", b"\\n")
    ts = NANOS
    verify(Signer("k", secret).public_key, Signer("k", escaped).token(ts), ts)


def test_a_secret_that_is_no_key_is_refused_without_repeating_it() -> None:
    wrong_curve = generate_private_key(SECP384R1()).private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )
    for secret in (b"", b"aGVsbG8=", b"top secret!", b"-----BEGIN EC PRIVATE KEY-----\ntop secret", wrong_curve):
        with pytest.raises(ValueError, match="private key of 'k'") as raised:
            Signer("k", secret)
        assert "secret" not in str(raised.value)


@pytest.mark.parametrize("token", ["", "a.b", "a.b.c", "!.!.!"])
def test_what_is_no_token_is_refused(token: str) -> None:
    with pytest.raises(ValueError, match=r"not|wrong"):
        verify(Signer("k", generate_secret()).public_key, token, NANOS)


# -- large books -------------------------------------------------------------------------------------------


def book(events: list[BookEvent], number: int = 4) -> bytes:
    return coinbase.encode(BookFrame(timestamp=TIME, sequence_num=number, events=tuple(events)))


def pairs(packed: bytes) -> list[tuple[int, int]]:
    return list(zip(*unpack_levels(packed), strict=True))


def test_a_large_snapshot_is_packed_best_first() -> None:
    updates = (
        LevelUpdate("bid", TIME, "1.5", "2"),
        LevelUpdate("offer", TIME, "3", "0.1"),
        LevelUpdate("bid", TIME, "1.75", "1"),
        LevelUpdate("offer", TIME, "2.5", "0.2"),
        LevelUpdate("offer", TIME, "2.75", "0"),
    )
    frame = read_packed(decode_large(book([BookEvent("snapshot", "A-USD", updates)])))
    assert (frame.sequence_num, frame.timestamp, frame.raw) == (4, TIME, b"")
    (packed,) = frame.books
    assert (packed.product_id, packed.snapshot, packed.ts_event, packed.fault) == ("A-USD", True, NANOS, "")
    assert pairs(packed.bids) == [(1_750_000_000, NANO), (1_500_000_000, 2 * NANO)]
    assert pairs(packed.asks) == [(2_500_000_000, 200_000_000), (3_000_000_000, 100_000_000)]


def test_several_events_of_a_product_become_one() -> None:
    events = [
        BookEvent("update", "A-USD", (LevelUpdate("bid", TIME, "9", "9"),)),
        BookEvent("snapshot", "A-USD", (LevelUpdate("bid", TIME, "1", "1"), LevelUpdate("bid", TIME, "2", "2"))),
        BookEvent("update", "B-USD", (LevelUpdate("offer", TIME, "5", "0"),)),
        BookEvent("update", "A-USD", (LevelUpdate("bid", TIME, "2", "0"), LevelUpdate("bid", TIME, "3", "3"))),
    ]
    a, b = read_packed(decode_large(book(events))).books
    assert (a.product_id, a.snapshot, pairs(a.bids)) == ("A-USD", True, [(3 * NANO, 3 * NANO), (NANO, NANO)])
    assert (b.product_id, b.snapshot, b.changes) == ("B-USD", False, (LevelChange("ask", 5 * NANO, 0),))


def test_number_faults_travel_with_the_packed_frame() -> None:
    updates = (
        LevelUpdate("bid", TIME, "1.00000000001", "1"),
        LevelUpdate("offer", TIME, "10000000000", "1"),
        LevelUpdate("offer", TIME, "2", "99999999999"),
    )
    frame = read_packed(decode_large(book([BookEvent("snapshot", "A-USD", updates)])))
    assert (frame.truncated, frame.dropped, frame.clamped) == (1, 1, 1)


def test_a_large_frame_with_a_number_that_is_none_names_the_product() -> None:
    events = [
        BookEvent("snapshot", "A-USD", (LevelUpdate("bid", TIME, "x", "1"),)),
        BookEvent("snapshot", "B-USD", (LevelUpdate("bid", TIME, "1", "1"),)),
    ]
    a, b = read_packed(decode_large(book(events))).books
    assert "'x'" in a.fault
    assert (b.fault, pairs(b.bids)) == ("", [(NANO, NANO)])


def test_a_large_frame_of_another_channel_comes_back_as_it_was() -> None:
    raw = b'{"channel":"status","timestamp":"%s","sequence_num":8,"events":[]}' % TIME.encode()
    assert read_packed(decode_large(raw)).raw == raw
    with pytest.raises(WireError):
        decode_large(b"{")


levels = st.lists(
    st.tuples(st.sampled_from(["bid", "offer"]), st.integers(1, 9), st.integers(0, 3)), min_size=1, max_size=12
)


@given(levels, st.sampled_from(["snapshot", "update"]))
def test_packed_and_unpacked_say_the_same(drawn: list[tuple[str, int, int]], kind: str) -> None:
    updates = tuple(LevelUpdate(side, TIME, str(price), str(size)) for side, price, size in drawn)  # type: ignore[arg-type]
    (packed,) = read_packed(decode_large(book([BookEvent(kind, "A-USD", updates)]))).books  # type: ignore[arg-type]
    changes = Codec(NumberFaults()).changes(updates, snapshot=False)
    if kind == "update":
        assert packed.changes == tuple(changes)
        return
    last = {(change.side, change.price): change.size for change in changes}
    bids, asks = pairs(packed.bids), pairs(packed.asks)
    told = {("bid", price): size for price, size in bids} | {("ask", price): size for price, size in asks}
    assert told == {level: size for level, size in last.items() if size}
    assert bids == sorted(bids, reverse=True)
    assert asks == sorted(asks)
