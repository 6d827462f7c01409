from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any

import pytest

from actors.market.session_core import (
    BOOK,
    LIFECYCLE,
    SECOND,
    TICKERS,
    TRADES,
    Credentials,
    Event,
    Incident,
    SessionOptions,
)
from actors.market.sessions.kalshi import KalshiSession
from protocols.market import BookStale, BookUpdate, MarketStatus, Ticker, Trade
from protocols.venues.errors import WireError
from protocols.venues.kalshi_signing import (
    KEY_HEADER,
    SIGNATURE_HEADER,
    TIMESTAMP_HEADER,
    generate_ed25519_pem,
    public_key_of,
    verify,
)
from protocols.venues.rest import RestCall

BOOKS = (BOOK,)


class Conversation:
    """A session and the venue's side of it, by hand. Time moves only by `wait`."""

    def __init__(self, *markets: str, channels: Sequence[str] = BOOKS) -> None:
        self.core = KalshiSession("feed", markets, channels, SessionOptions(recovery_s=5.0))
        self.now = 0
        self.seq = 0
        self.connect()

    def connect(self, *marks: str) -> None:
        self.core.connected("c", marks, 7, self.now)

    def commands(self) -> list[dict[str, Any]]:
        return [json.loads(command) for command in self.core.take_commands()]

    def get(self, **frame: Any) -> list[Event]:
        return list(self.core.receive(json.dumps(frame).encode(), 7, self.now))

    def next(self, **frame: Any) -> list[Event]:
        """The next frame of sid 1."""
        self.seq += 1
        return self.get(sid=1, seq=self.seq, **frame)

    def snapshot(self, market: str, **extra: Any) -> list[Event]:
        msg = {"market_ticker": market, "yes_dollars_fp": [["0.4000", "5.00"]], "no_dollars_fp": [["0.5000", "5.00"]]}
        return self.next(type="orderbook_snapshot", msg={**msg, **extra})

    def delta(self, market: str) -> list[Event]:
        msg = {"market_ticker": market, "price_dollars": "0.4000", "delta_fp": "1.00", "side": "yes"}
        return self.next(type="orderbook_delta", msg=msg)

    def subscribed(self, sid: int = 1) -> None:
        command = self.commands()[-1]
        assert command["cmd"] == "subscribe"
        self.get(type="subscribed", id=command["id"], msg={"channel": "orderbook_delta", "sid": sid})

    def wait(self, seconds: float) -> list[Event]:
        self.now += round(seconds * SECOND)
        return list(self.core.tick(7, self.now))


def live(*markets: str) -> Conversation:
    talk = Conversation(*markets)
    talk.subscribed()
    for market in markets:
        talk.snapshot(market)
    assert talk.core.state == "live"
    return talk


def stale(events: Sequence[Event]) -> list[str]:
    return [event.market for event in events if isinstance(event, BookStale)]


def updates(events: Sequence[Event]) -> list[str]:
    return [event.market for event in events if isinstance(event, BookUpdate)]


def kinds(events: Sequence[Event]) -> list[str]:
    return [event.kind for event in events if isinstance(event, Incident)]


# -- subscribing ---------------------------------------------------------------------------------------------------


def test_a_connection_begins_with_one_command_for_each_channel() -> None:
    talk = Conversation("B", "A", channels=(BOOK, TRADES, LIFECYCLE))
    assert [command["params"] for command in talk.commands()] == [
        {"channels": ["orderbook_delta"], "market_tickers": ["A", "B"], "use_yes_price": True},
        {"channels": ["trade"], "market_tickers": ["A", "B"]},
        {"channels": ["market_lifecycle_v2"]},
    ]
    assert talk.commands() == []
    assert talk.core.state == "recovering"
    assert talk.core.stale_markets() == {"A", "B"}


def test_a_feed_is_live_when_every_book_has_its_snapshot() -> None:
    talk = Conversation("A", "B")
    talk.subscribed()
    assert updates(talk.snapshot("A")) == ["A"]
    assert talk.core.stale_markets() == {"B"}
    assert kinds(talk.snapshot("B")) == ["recovered"]
    assert talk.core.state == "live"
    assert updates(talk.delta("A")) == ["A"]


def test_deltas_before_the_first_snapshot_are_dropped() -> None:
    talk = Conversation("A")
    talk.subscribed()
    assert talk.delta("A") == []
    assert talk.core.tally.dropped == 1
    assert updates(talk.snapshot("A")) == ["A"]


def test_frames_may_come_before_the_acknowledgement_of_their_subscription() -> None:
    talk = Conversation("A")
    talk.snapshot("A")
    talk.subscribed()
    assert talk.core.state == "live"
    assert talk.commands() == []


def test_an_update_carries_an_address_that_no_other_subscription_has() -> None:
    talk = live("A")
    first = talk.delta("A")[0]
    assert isinstance(first, BookUpdate)
    assert (first.session, first.seq) == ("c/1.1", 2)
    talk.next(type="error", msg={"code": 25, "msg": "Subscription buffer overflow"})
    talk.subscribed(sid=1)
    talk.seq = 0
    second = talk.snapshot("A")[0]
    assert isinstance(second, BookUpdate)
    assert second.session == "c/1.2"


# -- sequence ------------------------------------------------------------------------------------------------------


def test_the_first_number_of_a_subscription_is_whatever_it_is() -> None:
    talk = Conversation("A")
    talk.subscribed()
    talk.seq = 221
    assert updates(talk.snapshot("A")) == ["A"]
    assert talk.core.tally.gaps == 0


def test_acknowledgements_errors_and_unknown_frames_use_up_numbers() -> None:
    talk = live("A", "B")
    talk.next(type="ok", id=9, msg={"market_tickers": ["A", "B"]})
    talk.next(type="something_new", msg={"a": 1})
    talk.next(type="error", msg={"code": 13, "msg": "Unsupported action"})
    assert updates(talk.delta("A")) == ["A"]
    assert talk.core.tally.gaps == 0


def test_frames_without_a_number_do_not() -> None:
    talk = live("A")
    talk.get(type="subscribed", id=99, msg={"channel": "fill", "sid": 2})
    talk.get(type="fill", sid=2, msg={"trade_id": "t", "order_id": "o", "market_ticker": "A", "is_taker": True})
    assert updates(talk.delta("A")) == ["A"]
    assert talk.core.tally.gaps == 0


def test_numbers_of_one_subscription_say_nothing_about_another() -> None:
    talk = live("A")
    trade = {"market_ticker": "A", "yes_price_dollars": "0.4000", "count_fp": "1.00", "trade_id": "t"}
    assert isinstance(talk.get(type="trade", sid=2, seq=50, msg=trade)[0], Trade)
    assert updates(talk.delta("A")) == ["A"]
    talk.get(type="trade", sid=2, seq=52, msg=trade)
    assert talk.core.tally.gaps == 1
    assert talk.core.state == "live"


def test_a_hole_makes_every_book_of_the_subscription_stale_and_asks_once_for_all() -> None:
    talk = live("A", "B")
    talk.seq += 1
    events = talk.delta("A")
    assert (kinds(events), stale(events), updates(events)) == (["gap"], ["A", "B"], [])
    assert talk.core.tally.lost == 1
    assert talk.core.state == "recovering"
    (command,) = talk.commands()
    assert command["params"] == {"sid": 1, "market_tickers": ["A", "B"], "action": "get_snapshot"}


def test_deltas_wait_for_the_new_snapshot_of_their_own_market() -> None:
    talk = live("A", "B")
    talk.seq += 1
    talk.delta("A")
    assert updates(talk.snapshot("A")) == ["A"]
    assert updates(talk.delta("A")) == ["A"]
    assert talk.delta("B") == []
    assert kinds(talk.snapshot("B")) == ["recovered"]
    assert updates(talk.delta("B")) == ["B"]


def test_a_snapshot_does_not_hide_a_hole() -> None:
    talk = live("A", "B")
    talk.seq += 3
    events = talk.snapshot("A")
    assert (kinds(events), stale(events), updates(events)) == (["gap"], ["A", "B"], ["A"])
    assert talk.core.live_markets() == {"A"}


def test_a_number_that_goes_back_is_a_hole_too_and_its_frame_is_left_out() -> None:
    talk = live("A")
    talk.seq -= 1
    events = talk.delta("A")
    assert (kinds(events), stale(events), updates(events)) == (["gap"], ["A"], [])
    assert talk.core.tally.repeated == 1
    assert updates(talk.snapshot("A")) == ["A"]
    assert talk.core.tally.gaps == 1


def test_a_frame_that_comes_twice_in_a_row_is_read_once_and_nothing_is_lost() -> None:
    talk = live("A")
    talk.delta("A")
    talk.seq -= 1
    assert talk.delta("A") == []
    assert updates(talk.delta("A")) == ["A"]
    assert (talk.core.tally.gaps, talk.core.tally.repeated) == (0, 1)


def test_a_second_hole_during_a_recovery_waits_for_it_and_then_asks_again() -> None:
    talk = live("A", "B")
    talk.seq += 1
    talk.delta("A")
    assert len(talk.commands()) == 1
    talk.snapshot("A")
    talk.seq += 1
    assert stale(talk.delta("A")) == ["A"]
    assert talk.commands() == []
    talk.now += SECOND
    talk.snapshot("B")
    (command,) = talk.commands()
    assert command["params"]["market_tickers"] == ["A"]
    assert kinds(talk.snapshot("A")) == ["recovered"]


def test_a_malformed_frame_is_lost_data() -> None:
    talk = live("A", "B")
    events = talk.next(
        type="orderbook_delta", msg={"market_ticker": "A", "side": "yes", "price_dollars": "x", "delta_fp": "1"}
    )
    assert (kinds(events), stale(events)) == (["malformed"], ["A", "B"])
    talk.snapshot("A")
    talk.snapshot("B")
    talk.now += SECOND
    events = talk.next(type="orderbook_delta", msg=["no object"])
    assert (kinds(events), stale(events)) == (["malformed"], ["A", "B"])
    assert talk.core.tally.malformed == 2


def test_bytes_that_are_no_frame_end_the_trust_in_the_connection() -> None:
    talk = live("A")
    with pytest.raises(WireError):
        talk.core.receive(b"<html>", 7, 0)


# -- recovery that does not come -----------------------------------------------------------------------------------


def test_what_is_not_answered_is_asked_again_then_subscribed_again_then_given_up() -> None:
    talk = live("A")
    talk.seq += 1
    talk.delta("A")
    talk.commands()
    assert talk.wait(4.9) == []
    assert kinds(talk.wait(0.2)) == ["overdue"]
    assert [command["params"]["action"] for command in talk.commands()] == ["get_snapshot"]
    assert kinds(talk.wait(5.1)) == ["overdue", "resubscribed"]
    unsubscribe, subscribe = talk.commands()
    assert unsubscribe["params"] == {"sids": [1]}
    assert subscribe["params"]["market_tickers"] == ["A"]
    talk.get(type="subscribed", id=subscribe["id"], msg={"channel": "orderbook_delta", "sid": 2})
    assert talk.core.broken == ""
    talk.wait(5.1)
    assert talk.core.broken == "no snapshot of A"


def test_a_subscribe_command_without_answer_ends_the_connection() -> None:
    talk = Conversation("A")
    talk.wait(4.9)
    assert talk.core.broken == ""
    talk.wait(0.2)
    assert talk.core.broken == "a command was not answered"


def test_frames_of_a_subscription_that_was_left_are_counted_and_ignored() -> None:
    talk = live("A")
    talk.next(type="error", msg={"code": 10, "msg": "Channel error"})
    assert talk.delta("A") == []
    assert talk.core.counts["of an ended subscription"] == 1


@pytest.mark.parametrize("code", [10, 25])
def test_a_terminal_error_makes_the_books_stale_and_subscribes_again(code: int) -> None:
    talk = live("A", "B")
    events = talk.next(type="error", msg={"code": code, "msg": "x"})
    assert (kinds(events), stale(events)) == (["error", "resubscribed"], ["A", "B"])
    talk.subscribed(sid=5)
    assert talk.core.broken == ""
    msg = {"market_ticker": "A", "yes_dollars_fp": [["0.4", "1"]]}
    assert updates(talk.get(type="orderbook_snapshot", sid=5, seq=1, msg=msg)) == ["A"]


def test_a_question_to_a_subscription_that_has_ended_meanwhile_costs_nothing() -> None:
    talk = live("A")
    talk.seq += 1
    talk.delta("A")
    (question,) = talk.commands()
    talk.next(type="error", msg={"code": 25, "msg": "Subscription buffer overflow"})
    unknown = {"type": "error", "msg": {"code": 7, "msg": "Unknown subscription ID"}}
    assert kinds(talk.get(id=question["id"], **unknown)) == ["error"]
    assert talk.core.broken == ""
    talk.subscribed(sid=5)
    # One that still stands, and that the venue knows no more, is made again.
    talk.get(type="orderbook_snapshot", sid=5, seq=1, msg={"market_ticker": "A", "yes_dollars_fp": [["0.4", "1"]]})
    talk.get(type="ok", sid=5, seq=3, msg={"market_tickers": ["A"]})
    talk.wait(1)
    question = talk.commands()[-1]
    assert kinds(talk.get(id=question["id"], **unknown)) == ["error", "resubscribed"]
    # And an error that answers nothing of ours leaves nothing to trust.
    talk.get(id=99, **unknown)
    assert talk.core.broken == "error 7 that names no subscription"


def test_an_error_that_names_a_market_takes_only_that_market_out() -> None:
    talk = Conversation("A", "B")
    (command,) = talk.commands()
    talk.get(type="error", id=command["id"], msg={"code": 11, "msg": "Invalid parameter", "market_ticker": "B"})
    assert talk.core.rejected == {"B"}
    (again,) = talk.commands()
    assert again["params"]["market_tickers"] == ["A"]
    talk.get(type="subscribed", id=again["id"], msg={"channel": "orderbook_delta", "sid": 1})
    talk.snapshot("A")
    assert talk.core.state == "live"


def test_a_refused_book_subscription_ends_the_connection_and_another_channel_does_not() -> None:
    talk = Conversation("A", channels=(BOOK, TRADES))
    books, trades = talk.commands()
    talk.get(type="error", id=trades["id"], msg={"code": 8, "msg": "Unknown channel name"})
    assert talk.core.broken == ""
    talk.get(type="error", id=books["id"], msg={"code": 27, "msg": "Too many requests"})
    assert talk.core.broken == "subscription refused: 27 Too many requests"


# -- books, markets, connections -----------------------------------------------------------------------------------


def test_a_book_that_lost_its_way_gets_a_snapshot_of_its_own() -> None:
    talk = live("A", "B")
    talk.core.request_snapshot("A", talk.now)
    (command,) = talk.commands()
    assert command["params"]["market_tickers"] == ["A"]
    assert talk.delta("A") == []
    assert updates(talk.delta("B")) == ["B"]
    talk.core.request_snapshot("A", talk.now)
    assert talk.commands() == []
    assert updates(talk.snapshot("A")) == ["A"]


def test_a_book_that_can_never_be_right_asks_no_more_than_twice_a_second() -> None:
    talk = live("A")
    asked = 0
    for _ in range(95):
        talk.core.request_snapshot("A", talk.now)
        talk.wait(0.01)
        for command in talk.commands():
            asked += command["params"]["action"] == "get_snapshot"
            talk.snapshot("A")
    assert asked == 2


def test_an_acknowledgement_lists_the_markets_that_are_left() -> None:
    talk = live("A", "B")
    assert stale(talk.next(type="ok", id=3, msg={"market_tickers": ["A"]})) == ["B"]
    assert talk.core.live_markets() == {"A"}
    (again,) = talk.commands()
    assert again["params"] == {"sid": 1, "market_tickers": ["B"], "action": "add_markets"}
    assert talk.next(type="ok", id=again["id"], msg={}) == []
    assert talk.core.state == "recovering"
    talk.wait(5.1)
    (command,) = talk.commands()
    assert command["params"] == {"sid": 1, "market_tickers": ["B"], "action": "get_snapshot"}


def test_a_market_is_followed_and_left_on_the_same_subscription() -> None:
    talk = live("A", "B")
    assert talk.core.follow(["C"], 7, talk.now) == []
    (add,) = talk.commands()
    assert add["params"] == {"sid": 1, "market_tickers": ["C"], "action": "add_markets"}
    assert talk.core.stale_markets() == {"C"}
    talk.next(type="ok", id=add["id"], msg={"market_tickers": ["A", "B", "C"]})
    talk.snapshot("C")
    assert talk.core.state == "live"
    events = talk.core.unfollow(["A"], 7, talk.now)
    assert [(event.market, event.reason) for event in events if isinstance(event, BookStale)] == [("A", "unfollowed")]
    (delete,) = talk.commands()
    assert delete["params"] == {"sid": 1, "market_tickers": ["A"], "action": "delete_markets"}
    assert talk.core.state == "live"
    assert talk.delta("A") == talk.snapshot("A") == []
    assert talk.next(type="ok", id=delete["id"], msg={"market_tickers": ["B", "C"]}) == []
    assert updates(talk.delta("B")) == ["B"]
    assert (talk.core.tally.gaps, talk.commands()) == (0, [])


def test_one_update_of_a_subscription_waits_for_the_answer_to_the_last() -> None:
    talk = live("A")
    talk.core.follow(["B"], 7, talk.now)
    talk.core.follow(["C"], 7, talk.now)
    talk.core.unfollow(["B"], 7, talk.now)
    (add,) = talk.commands()
    assert add["params"]["market_tickers"] == ["B"]
    talk.next(type="ok", id=add["id"], msg={"market_tickers": ["A", "B"]})
    (delete,) = talk.commands()
    assert delete["params"] == {"sid": 1, "market_tickers": ["B"], "action": "delete_markets"}
    talk.next(type="ok", id=delete["id"], msg={"market_tickers": ["A"]})
    (add,) = talk.commands()
    assert add["params"]["market_tickers"] == ["C"]


def test_acknowledgements_that_list_less_than_was_asked_in_between_take_nothing_away() -> None:
    talk = live("A")
    talk.core.follow(["B"], 7, talk.now)
    (add,) = talk.commands()
    talk.snapshot("B")
    assert updates(talk.delta("B")) == ["B"]
    assert talk.next(type="ok", id=add["id"], msg={"market_tickers": ["A", "B"]}) == []
    assert talk.core.state == "live"
    talk.wait(60)
    assert (talk.core.broken, talk.commands()) == ("", [])


def test_markets_that_the_venue_does_not_add_are_refused_and_not_asked_again() -> None:
    talk = live("A")
    talk.core.follow(["B", "C", "D"], 7, talk.now)
    (add,) = talk.commands()
    events = talk.next(type="error", id=add["id"], msg={"code": 11, "msg": "Invalid", "market_tickers": ["B"]})
    assert (kinds(events), talk.core.rejected) == (["error"], {"B"})
    (add,) = talk.commands()
    assert add["params"]["market_tickers"] == ["C", "D"]
    events = talk.next(type="ok", id=add["id"], msg={"market_tickers": ["A", "C"]})
    assert (kinds(events), talk.core.rejected) == (["error"], {"B", "D"})
    talk.snapshot("C")
    assert (talk.core.state, talk.commands()) == ("live", [])
    talk.core.follow(["D"], 7, talk.now)
    (add,) = talk.commands()
    talk.next(type="error", id=add["id"], msg={"code": 26, "msg": "Market limit"})
    assert talk.core.rejected == {"B", "D"}
    assert (talk.core.state, talk.commands()) == ("live", [])


def test_an_update_that_comes_too_soon_for_the_venue_is_made_again_later() -> None:
    talk = live("A", "B")
    talk.core.follow(["C"], 7, talk.now)
    (add,) = talk.commands()
    talk.next(type="error", id=add["id"], msg={"code": 27, "msg": "Too many requests"})
    assert (talk.commands(), talk.core.state) == ([], "recovering")
    talk.wait(5.1)
    (add,) = talk.commands()
    assert add["params"] == {"sid": 1, "market_tickers": ["C"], "action": "add_markets"}


def test_an_update_without_answer_ends_the_connection_and_a_new_one_has_the_full_current_set() -> None:
    talk = live("A", "B")
    talk.core.follow(["C"], 7, talk.now)
    talk.core.unfollow(["A"], 7, talk.now)
    talk.wait(5.1)
    assert talk.core.broken == "a command was not answered"
    talk.core.disconnected("broken", 7)
    talk.core.follow(["D"], 7, talk.now)
    talk.connect()
    (subscribe,) = talk.commands()
    assert subscribe["params"]["market_tickers"] == ["B", "C", "D"]


def test_markets_followed_while_the_subscription_is_made_are_added_to_it() -> None:
    talk = Conversation("A")
    talk.core.follow(["B"], 7, talk.now)
    (subscribe,) = talk.commands()
    talk.get(type="subscribed", id=subscribe["id"], msg={"channel": "orderbook_delta", "sid": 1})
    (add,) = talk.commands()
    assert add["params"] == {"sid": 1, "market_tickers": ["B"], "action": "add_markets"}


def test_without_markets_only_the_channel_of_all_markets_is_subscribed_until_one_is_followed() -> None:
    talk = Conversation(channels=(BOOK, TRADES, LIFECYCLE))
    (lifecycle,) = talk.commands()
    assert lifecycle["params"] == {"channels": ["market_lifecycle_v2"]}
    talk.get(type="subscribed", id=lifecycle["id"], msg={"channel": "market_lifecycle_v2", "sid": 9})
    assert talk.core.state == "live"
    talk.core.follow(["A"], 7, talk.now)
    assert [command["params"]["channels"] for command in talk.commands()] == [["orderbook_delta"], ["trade"]]


def test_the_last_market_left_ends_its_subscription() -> None:
    talk = live("A")
    assert stale(talk.core.unfollow(["A"], 7, talk.now)) == ["A"]
    (command,) = talk.commands()
    assert (command["cmd"], command["params"]) == ("unsubscribe", {"sids": [1]})
    assert talk.delta("A") == []
    talk.next(type="unsubscribed", id=command["id"])
    talk.core.follow(["B"], 7, talk.now)
    (command,) = talk.commands()
    assert (command["cmd"], command["params"]["market_tickers"]) == ("subscribe", ["B"])


def test_a_long_list_of_markets_is_cut_into_several_commands() -> None:
    markets = [f"M{number:04}" for number in range(1_200)]
    talk = Conversation(*markets)
    (first,) = talk.commands()
    assert first["params"]["market_tickers"] == markets[:500]
    talk.get(type="subscribed", id=first["id"], msg={"channel": "orderbook_delta", "sid": 1})
    second, third = talk.commands()
    assert second["params"]["market_tickers"] + third["params"]["market_tickers"] == markets[500:]


def test_silence_is_answered_by_a_question_that_proves_a_book() -> None:
    talk = live("A", "B")
    talk.core.silent(talk.now)
    (command,) = talk.commands()
    assert command["params"] == {"sid": 1, "market_tickers": ["A"], "action": "get_snapshot"}
    assert talk.core.state == "live"
    assert updates(talk.snapshot("A")) == ["A"]
    talk.core.silent(talk.now)
    talk.wait(5.1)
    talk.wait(5.1)
    talk.subscribed(sid=2)
    talk.wait(5.1)
    assert talk.core.broken != ""


def test_a_disconnect_makes_every_book_stale_and_a_new_connection_begins_with_nothing() -> None:
    talk = live("A", "B")
    assert stale(talk.core.disconnected("disconnected", 9)) == ["A", "B"]
    assert talk.core.state == "down"
    talk.core.connected("c2", (), 7, talk.now)
    talk.subscribed(sid=1)
    talk.seq = 0
    assert talk.delta("A") == []
    first = talk.snapshot("A")[0]
    assert isinstance(first, BookUpdate)
    assert first.session == "c2/1.1"
    assert talk.core.tally.gaps == 0


def test_marks_of_the_connection_are_on_everything_and_a_synthetic_market_id_adds_one() -> None:
    talk = Conversation("A")
    talk.core.connected("c", ("demo",), 7, 0)
    talk.subscribed()
    first = talk.snapshot("A")[0]
    assert isinstance(first, BookUpdate)
    assert first.marks == ("demo",)
    talk.snapshot("A", market_id="synthetic-1")
    second = talk.delta("A")[0]
    assert isinstance(second, BookUpdate)
    assert second.marks == ("demo", "synthetic")


def test_only_the_phases_of_ones_own_markets_are_told() -> None:
    talk = live("A")
    mine = talk.get(type="market_lifecycle_v2", sid=3, seq=1, msg={"market_ticker": "A", "event_type": "deactivated"})
    assert [event.phase for event in mine if isinstance(event, MarketStatus)] == ["paused"]
    made = talk.get(type="market_lifecycle_v2", sid=3, seq=2, msg={"market_ticker": "NEW", "event_type": "created"})
    assert [(event.market, event.phase) for event in made if isinstance(event, MarketStatus)] == [("NEW", "paused")]
    other = {"market_ticker": "X", "event_type": "deactivated"}
    assert talk.get(type="market_lifecycle_v2", sid=3, seq=3, msg=other) == []


def test_a_listener_without_channels_learns_subscriptions_from_their_frames() -> None:
    core = KalshiSession("feed", options=SessionOptions(use_yes_price=False, listening=True))
    core.connected("c", (), 7, 0)
    msg = {"market_ticker": "A", "no": [[53, 120]]}
    events = core.receive(json.dumps({"type": "orderbook_snapshot", "sid": 1, "seq": 2, "msg": msg}), 7, 0)
    assert updates(events) == ["A"]
    assert core.state == "live"
    assert core.take_commands() == []


def test_new_ticks_of_a_market_are_told() -> None:
    talk = live("A")
    msg = {
        "market_ticker": "A",
        "event_type": "price_level_structure_updated",
        "price_level_structure": "tapered_deci_cent",
    }
    events = talk.get(type="market_lifecycle_v2", sid=3, seq=1, msg=msg)
    assert [(event.kind, event.detail) for event in events if isinstance(event, Incident)] == [
        ("price_levels", "A: tapered_deci_cent")
    ]


def test_the_venues_own_best_prices_are_tickers_and_never_change_a_book() -> None:
    talk = Conversation("A", channels=(TICKERS,))
    (command,) = talk.commands()
    assert command["params"] == {"channels": ["ticker"], "market_tickers": ["A"]}
    msg = {
        "market_ticker": "A",
        "price_dollars": "0.4800",
        "yes_bid_dollars": "0.4500",
        "yes_ask_dollars": "1.0000",
        "yes_bid_size_fp": "300.00",
        "ts_ms": 5,
    }
    (ticker,) = talk.get(type="ticker", sid=1, msg=msg)
    assert ticker == Ticker("A", 450_000_000, 300 * SECOND, None, None, 480_000_000, "c/1.1", 0, 5_000_000, 7)


def test_the_handshake_and_every_call_are_signed_for_the_path_on_the_host() -> None:
    pem = generate_ed25519_pem()
    core = KalshiSession("feed", credentials=Credentials("key", pem))
    headers = dict(core.handshake(1_700_000_000_123_456_789))
    assert (headers[KEY_HEADER], headers[TIMESTAMP_HEADER]) == ("key", "1700000000123")
    assert verify(public_key_of(pem), headers[SIGNATURE_HEADER], 1_700_000_000_123, "GET", "/trade-api/ws/v2")
    for path in ("/markets", "/trade-api/v2/markets"):
        headers = dict(core.sign(RestCall(purpose="instruments", path=path, query=(("limit", "5"),)), 5_000_000))
        assert verify(public_key_of(pem), headers[SIGNATURE_HEADER], 5, "GET", "/trade-api/v2/markets")


def test_without_a_key_nothing_is_signed_and_a_call_that_needs_one_says_so() -> None:
    core = KalshiSession("feed")
    assert core.handshake(1) == ()
    assert core.sign(RestCall(purpose="instruments", path="/markets"), 1) == ()
    with pytest.raises(ValueError, match="kalshi: balance needs a key"):
        core.sign(RestCall(purpose="balance", path="/portfolio/balance", signed=True), 1)
    with pytest.raises(ValueError, match="no unencrypted PEM key"):
        KalshiSession("feed", credentials=Credentials("key", b"secret"))


def test_a_recording_whose_numbers_begin_again_is_followed_under_a_new_address() -> None:
    core = KalshiSession("feed", options=SessionOptions(listening=True))
    core.connected("c", (), 7, 0)

    def get(seq: int, **frame: Any) -> list[Event]:
        return list(core.receive(json.dumps({"sid": 1, "seq": seq, **frame}), 7, 0))

    snapshot = {"type": "orderbook_snapshot", "msg": {"market_ticker": "A", "yes_dollars_fp": [["0.4", "1"]]}}
    delta = {"market_ticker": "A", "price_dollars": "0.4000", "delta_fp": "1.00", "side": "yes"}
    get(5, **snapshot)
    assert updates(get(6, type="orderbook_delta", msg=delta)) == ["A"]
    again = get(1, **snapshot)
    assert (kinds(again), stale(again), updates(again)) == (["gap"], ["A"], ["A"])
    assert [event.session for event in again if isinstance(event, BookUpdate)] == ["c/1.2"]
    assert updates(get(2, type="orderbook_delta", msg=delta)) == ["A"]
