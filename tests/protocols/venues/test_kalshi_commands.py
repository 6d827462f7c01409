from __future__ import annotations

import json

import msgspec
import pytest

from protocols.venues import kalshi_commands as commands
from protocols.venues.kalshi import LIFECYCLE, ORDERBOOK, TRADE


def test_a_book_subscription_always_says_which_scale_it_wants() -> None:
    sent = json.loads(commands.subscribe(1, ORDERBOOK, ["A", "B"], use_yes_price=True))
    assert sent == {
        "id": 1,
        "cmd": "subscribe",
        "params": {"channels": ["orderbook_delta"], "market_tickers": ["A", "B"], "use_yes_price": True},
    }
    sent = json.loads(commands.subscribe(1, ORDERBOOK, ["A"], use_yes_price=False))
    assert sent["params"]["use_yes_price"] is False


def test_other_subscriptions_say_nothing_of_it_and_a_channel_without_filter_names_no_market() -> None:
    assert "use_yes_price" not in json.loads(commands.subscribe(1, TRADE, ["A"]))["params"]
    assert json.loads(commands.subscribe(2, LIFECYCLE))["params"] == {"channels": ["market_lifecycle_v2"]}


def test_updates_name_one_sid_their_markets_and_the_action() -> None:
    for make, action in (
        (commands.add_markets, "add_markets"),
        (commands.delete_markets, "delete_markets"),
        (commands.get_snapshot, "get_snapshot"),
    ):
        assert json.loads(make(4, 456, ["A"])) == {
            "id": 4,
            "cmd": "update_subscription",
            "params": {"sid": 456, "market_tickers": ["A"], "action": action},
        }


def test_unsubscribe_and_list() -> None:
    assert json.loads(commands.unsubscribe(5, [1, 2])) == {"id": 5, "cmd": "unsubscribe", "params": {"sids": [1, 2]}}
    assert json.loads(commands.list_subscriptions(6)) == {"id": 6, "cmd": "list_subscriptions"}


def test_a_stand_in_reads_what_a_client_sends_one_market_or_several() -> None:
    one = commands.decode_command(b'{"id":1,"cmd":"subscribe","params":{"channels":["x"],"market_ticker":"A"}}')
    assert one.params is not None
    assert one.params.markets() == ("A",)
    assert commands.decode_command(commands.get_snapshot(4, 2, ["A", "B"])).params.markets() == ("A", "B")  # type: ignore[union-attr]
    with pytest.raises(msgspec.DecodeError):
        commands.decode_command(b'{"id":"one"}')
