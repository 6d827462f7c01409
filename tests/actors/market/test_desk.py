from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any

import pytest

from actors.market.book import Book
from actors.market.session_core import BOOK, LIFECYCLE, TRADES, SessionOptions
from actors.market.sessions.kalshi import KalshiSession
from actors.market.simulated.desk import Desk, PublicEvent, public_event
from actors.market.simulated.flow import OrderFlow, PhaseChanged, Traded
from protocols.market import SYNTHETIC, BookStale, BookUpdate, LevelChange
from protocols.nanos import NANO
from protocols.venues import kalshi, kalshi_commands
from protocols.venues.kalshi_commands import ErrorCode

CENT = NANO // 100
TS = 1_767_623_400_123_456_789


def desk(*markets: str, steps: int = 200) -> Desk:
    flows = {market: OrderFlow(market, 1) for market in markets}
    for flow in flows.values():
        for _ in range(steps):
            flow.step()
    return Desk(flows)


def said(frames: Sequence[bytes]) -> list[dict[str, Any]]:
    return [json.loads(frame) for frame in frames]


def change(market: str = "A") -> PublicEvent:
    return public_event(market, LevelChange("ask", 44 * CENT, -3 * NANO), TS)


def test_a_subscription_is_acknowledged_without_a_number_and_snapshots_follow() -> None:
    frames = said(desk("A", "B").command(kalshi_commands.subscribe(1, kalshi.ORDERBOOK, ["A", "B"])))
    assert frames[0] == {"type": "subscribed", "id": 1, "msg": {"channel": "orderbook_delta", "sid": 1}}
    assert [(frame["type"], frame["seq"], frame["msg"]["market_ticker"]) for frame in frames[1:]] == [
        ("orderbook_snapshot", 1, "A"),
        ("orderbook_snapshot", 2, "B"),
    ]
    assert all(frame["msg"]["market_id"].startswith(SYNTHETIC) for frame in frames[1:])


def test_a_side_without_levels_has_no_key() -> None:
    (_, snapshot) = said(desk("A", steps=0).command(kalshi_commands.subscribe(1, kalshi.ORDERBOOK, ["A"])))
    assert snapshot["msg"].keys() == {"market_ticker", "market_id"}


def test_a_delta_goes_out_in_the_prices_that_were_asked_for() -> None:
    for use_yes_price, price in ((True, "0.4400"), (False, "0.5600")):
        client = desk("A")
        client.command(kalshi_commands.subscribe(1, kalshi.ORDERBOOK, ["A"], use_yes_price=use_yes_price))
        (frame,) = said(client.publish(change()))
        assert frame["seq"] == 2
        msg = frame["msg"]
        assert (msg["price_dollars"], msg["delta_fp"], msg["side"]) == (price, "-3.00", "no")
        assert (msg["ts_ms"], msg["ts"]) == (1_767_623_400_123, "2026-01-05T14:30:00.123456Z")


def test_events_go_only_where_they_were_subscribed() -> None:
    client = desk("A", "B")
    assert client.publish(change()) == []
    client.command(kalshi_commands.subscribe(1, kalshi.TRADE, ["B"]))
    client.command(kalshi_commands.subscribe(2, kalshi.LIFECYCLE))
    assert client.publish(change("A")) == []
    trade = Traded(1, 40 * CENT, 2 * NANO, "ask")
    assert client.publish(public_event("A", trade, TS)) == []
    (frame,) = said(client.publish(public_event("B", trade, TS)))
    assert (frame["type"], frame["sid"], frame["seq"]) == ("trade", 1, 1)
    assert frame["msg"]["taker_book_side"] == "ask"
    (frame,) = said(client.publish(public_event("A", PhaseChanged("paused"), TS)))
    assert (frame["type"], frame["sid"], frame["msg"]["event_type"]) == ("market_lifecycle_v2", 2, "deactivated")


def test_updates_are_acknowledged_with_a_number_and_the_whole_list() -> None:
    client = desk("A", "B")
    client.command(kalshi_commands.subscribe(1, kalshi.ORDERBOOK, ["A"]))
    ok, snapshot = said(client.command(kalshi_commands.add_markets(2, 1, ["B"])))
    assert ok == {"type": "ok", "id": 2, "sid": 1, "seq": 2, "msg": {"market_tickers": ["A", "B"]}}
    assert (snapshot["seq"], snapshot["msg"]["market_ticker"]) == (3, "B")
    (asked,) = said(client.command(kalshi_commands.get_snapshot(3, 1, ["A"])))
    assert (asked["type"], asked["id"], asked["seq"]) == ("orderbook_snapshot", 3, 4)
    (ok,) = said(client.command(kalshi_commands.delete_markets(4, 1, ["B"])))
    assert (ok["seq"], ok["msg"]) == (5, {"market_tickers": ["A"]})
    (ended,) = said(client.command(kalshi_commands.unsubscribe(5, [1])))
    assert ended == {"type": "unsubscribed", "id": 5, "sid": 1, "seq": 6}


def test_subscribing_again_is_the_same_subscription() -> None:
    client = desk("A", "B")
    client.command(kalshi_commands.subscribe(1, kalshi.ORDERBOOK, ["A"]))
    again = said(client.command(kalshi_commands.subscribe(2, kalshi.ORDERBOOK, ["B"])))
    assert again[0]["msg"]["sid"] == 1
    (listed,) = said(client.command(kalshi_commands.list_subscriptions(3)))
    assert listed == {"type": "ok", "id": 3, "msg": [{"channel": "orderbook_delta", "sid": 1}]}


@pytest.mark.parametrize(
    ("command", "code"),
    [
        ({"id": 1, "cmd": "shout"}, 5),
        ({"id": 1, "cmd": "subscribe"}, 2),
        ({"id": 1, "cmd": "subscribe", "params": {}}, 3),
        ({"id": 1, "cmd": "subscribe", "params": {"channels": ["gossip"]}}, 8),
        ({"id": 1, "cmd": "subscribe", "params": {"channels": ["orderbook_delta"]}}, 14),
        ({"id": 1, "cmd": "subscribe", "params": {"channels": ["orderbook_delta"], "market_ticker": "Z"}}, 11),
        ({"id": 1, "cmd": "unsubscribe", "params": {}}, 4),
        ({"id": 1, "cmd": "unsubscribe", "params": {"sids": [9]}}, 7),
        ({"id": 1, "cmd": "update_subscription", "params": {"action": "get_snapshot"}}, 12),
        ({"id": 1, "cmd": "update_subscription", "params": {"sid": 1, "sids": [1], "action": "get_snapshot"}}, 12),
        ({"id": 1, "cmd": "update_subscription", "params": {"sid": 9, "action": "get_snapshot"}}, 7),
        ({"id": 1, "cmd": "update_subscription", "params": {"sid": 1}}, 15),
        ({"id": 1, "cmd": "update_subscription", "params": {"sid": 1, "action": "explode"}}, 13),
        ({"id": 1, "cmd": "update_subscription", "params": {"sid": 1, "action": "get_snapshot"}}, 14),
    ],
)
def test_a_bad_command_is_answered_with_its_code(command: dict[str, Any], code: int) -> None:
    client = desk("A")
    client.command(kalshi_commands.subscribe(1, kalshi.ORDERBOOK, ["A"]))
    (frame,) = said(client.command(json.dumps(command)))
    assert (frame["type"], frame["id"], frame["msg"]["code"]) == ("error", 1, code)


def test_what_is_no_command_at_all_is_answered_too() -> None:
    (frame,) = said(desk("A").command(b"hello"))
    assert frame["msg"]["code"] == 1


def test_a_withheld_frame_takes_its_number() -> None:
    client = desk("A")
    client.command(kalshi_commands.subscribe(1, kalshi.ORDERBOOK, ["A"]))
    client.withhold = 1
    assert client.publish(change()) == []
    assert said(client.publish(change()))[0]["seq"] == 3


def test_a_failed_client_has_no_subscription_left() -> None:
    client = desk("A")
    client.command(kalshi_commands.subscribe(1, kalshi.ORDERBOOK, ["A"]))
    (frame,) = said(client.fail(ErrorCode.BUFFER_OVERFLOW))
    assert (frame["type"], frame["sid"], frame["seq"], frame["msg"]["code"]) == ("error", 1, 2, 25)
    assert client.publish(change()) == []
    assert client.positions == ()


@pytest.mark.parametrize("use_yes_price", [True, False])
def test_a_session_that_talks_to_the_desk_ends_with_the_engines_book(use_yes_price: bool) -> None:
    flow = OrderFlow("A", 11)
    client = Desk({"A": flow})
    core = KalshiSession("feed", ["A"], [BOOK, TRADES, LIFECYCLE], SessionOptions(use_yes_price=use_yes_price))
    core.connected("c", (), 0, 0)
    book = Book("A")
    stale = 0

    def exchange(frames: list[bytes]) -> None:
        nonlocal stale
        while frames:
            for frame in frames:
                for event in core.receive(frame, 1, now):
                    if isinstance(event, BookUpdate):
                        book.apply(event)
                    elif isinstance(event, BookStale):
                        stale += 1
                        book.mark_stale(event.reason)
            frames = [answer for command in core.take_commands() for answer in client.command(command)]

    now = 0
    exchange([answer for command in core.take_commands() for answer in client.command(command)])
    for step in range(1_500):
        now += NANO // 10
        if step == 700:
            client.withhold = 1
        if step == 1_000:
            exchange(client.fail(ErrorCode.CHANNEL_ERROR))
        exchange([frame for event in flow.step() for frame in client.publish(public_event("A", event, TS + step))])
    assert (core.tally.gaps, core.tally.lost) == (1, 1)
    assert stale == 2
    assert core.state == "live"
    assert core.marks == (SYNTHETIC,)
    assert (book.view().bids, book.view().asks) == (flow.engine.view().bids, flow.engine.view().asks)
