from __future__ import annotations

from collections.abc import Sequence

import pytest

from actors.market.session_core import (
    BARS,
    BOOK,
    FUNDING,
    LIQUIDATIONS,
    SECOND,
    TICKERS,
    TRADES,
    Credentials,
    Incident,
    SessionOptions,
)
from actors.market.sessions.binance import BinanceCoinmSession, BinanceSpotSession, BinanceUsdmSession
from actors.market.sessions.binance_books import HELD
from actors.market.sessions.binance_core import BinanceSession
from actors.market.venues import session_class
from protocols.market import Bar, BookStale, BookUpdate, Funding, Liquidation, Ticker, Trade
from protocols.nanos import NANO
from protocols.venues.binance import (
    AggregateTrade,
    BookTicker,
    Candle,
    DepthSnapshot,
    KlineEvent,
    ServerShutdown,
    TradeEvent,
)
from protocols.venues.binance_futures import ForcedOrder, ForceOrder, MarkPriceUpdate
from protocols.venues.errors import WireError
from tests.actors.market.binance_kit import TS, Conversation, live, updates

SPOT, USDM, COINM = BinanceSpotSession, BinanceUsdmSession, BinanceCoinmSession
FUTURES = (USDM, COINM)
ALL = (SPOT, USDM, COINM)


def kinds(events: Sequence[object]) -> list[str]:
    return [event.kind if isinstance(event, Incident) else type(event).__name__ for event in events]


# -- names and addresses ----------------------------------------------------------------------------


def test_the_same_symbol_is_another_market_at_each_of_the_three() -> None:
    assert [kind.market_of("btcusdt") for kind in ALL] == [
        "BTCUSDT.BINANCE",
        "BTCUSDT.BINANCE-USDM",
        "BTCUSDT.BINANCE-COINM",
    ]
    assert all(kind.symbol_of(kind.market_of("BTCUSD_PERP")) == "BTCUSD_PERP" for kind in ALL)
    assert [session_class(kind.VENUE) for kind in ALL] == list(ALL)
    assert SPOT.canonical("btcusdt") == SPOT.canonical("BTCUSDT.BINANCE") == "BTCUSDT.BINANCE"


def test_usdm_serves_its_streams_at_two_addresses_and_a_feed_has_one() -> None:
    assert USDM("feed", (), (BOOK, TRADES, TICKERS)).URL.endswith("/public/stream")
    other = USDM("feed", (), (FUNDING, LIQUIDATIONS, BARS), SessionOptions(bars=("1m",)))
    assert other.URL.endswith("/market/stream")
    with pytest.raises(ValueError, match="two addresses"):
        USDM("feed", (), (BOOK, FUNDING))
    # A recording may hold both.
    USDM("feed", (), (BOOK, FUNDING), SessionOptions(listening=True))


def test_what_the_venue_cannot_do_is_said_at_once() -> None:
    for wrong in (
        lambda: SPOT("feed", (), (FUNDING,)),
        lambda: SPOT("feed", (), (BARS,)),
        lambda: SPOT("feed", (), (BARS,), SessionOptions(bars=("7m",))),
        lambda: USDM("feed", (), (BARS,), SessionOptions(bars=("1s",))),
        lambda: SPOT("feed", (), (BOOK,), SessionOptions(depth=5001)),
        lambda: USDM("feed", (), (BOOK,), SessionOptions(depth=0)),
        lambda: SPOT("feed", [f"X{at}.BINANCE" for at in range(513)]),
    ):
        with pytest.raises(ValueError, match="binance"):
            wrong()


def test_a_key_only_names_itself() -> None:
    core = SPOT("feed", ("X.BINANCE",), credentials=Credentials("id", b"secret"))
    talk = Conversation(SPOT, "X")
    talk.acknowledge()
    (call,) = talk.calls()
    assert core.sign(call, TS) == (("X-MBX-APIKEY", "id"),)
    assert talk.core.sign(call, TS) == ()


# -- subscribing ------------------------------------------------------------------------------------


def test_a_connection_subscribes_every_stream_of_every_market_in_chunks() -> None:
    symbols = [f"X{at:03}" for at in range(60)]
    talk = Conversation(SPOT, *symbols, channels=(BOOK, TRADES))
    commands = talk.commands()
    assert [command["method"] for command in commands] == ["SUBSCRIBE", "SUBSCRIBE"]
    assert [len(command["params"]) for command in commands] == [100, 20]
    assert commands[0]["params"][:2] == ["x000@depth@100ms", "x000@trade"]
    assert len({command["id"] for command in commands}) == 2
    assert SPOT.COMMANDS_PER_S <= 5


def test_coinm_subscribes_the_trades_that_its_pages_name() -> None:
    talk = Conversation(
        COINM,
        "BTCUSD_PERP",
        channels=(TRADES, TICKERS, FUNDING, LIQUIDATIONS, BARS),
        options=SessionOptions(bars=("1m",)),
    )
    (command,) = talk.commands()
    assert command["params"] == [
        "btcusd_perp@aggTrade",
        "btcusd_perp@bookTicker",
        "btcusd_perp@markPrice",
        "btcusd_perp@forceOrder",
        "btcusd_perp@kline_1m",
    ]


def test_a_snapshot_is_asked_for_once_the_stream_is_known_to_run() -> None:
    talk = Conversation(SPOT, "A", "B")
    assert talk.calls() == []
    talk.depth("B", 1, 2)
    (call,) = talk.calls()
    assert call.market == "B.BINANCE"
    talk.acknowledge()
    (call,) = talk.calls()
    assert (call.market, call.purpose, call.target) == ("A.BINANCE", "depth", "/api/v3/depth?symbol=A&limit=5000")


@pytest.mark.parametrize(
    ("kind", "depth", "limit", "cost"),
    [
        (SPOT, 100, 100, 5),
        (SPOT, 101, 101, 25),
        (SPOT, 1000, 1000, 50),
        (SPOT, None, 5000, 250),
        (USDM, 20, 20, 2),
        (USDM, 51, 100, 5),
        (USDM, 500, 500, 10),
        (COINM, None, 1000, 20),
    ],
)
def test_a_snapshot_costs_what_the_venue_counts(
    kind: type[BinanceSession], depth: int | None, limit: int, cost: int
) -> None:
    talk = Conversation(kind, "A", options=SessionOptions(depth=depth))
    talk.acknowledge()
    (call,) = talk.calls()
    assert (dict(call.query)["limit"], call.cost) == (str(limit), cost)


def test_only_a_few_snapshots_are_asked_for_at_a_time() -> None:
    talk = Conversation(SPOT, *(f"X{at:02}" for at in range(20)))
    talk.acknowledge()
    first = talk.calls()
    assert len(first) == 8
    talk.wait(10)
    assert talk.calls() == []
    talk.snapshot(first[0], 5)
    assert len(talk.calls()) == 1


def test_a_command_that_is_not_answered_breaks_the_connection() -> None:
    talk = Conversation(SPOT, "A")
    talk.wait(4.9)
    assert not talk.core.broken
    talk.wait(0.1)
    assert "not answered" in talk.core.broken


def test_a_refused_subscription_breaks_the_connection() -> None:
    talk = Conversation(SPOT, "A")
    (command,) = talk.commands()
    assert kinds(talk.get({"code": 2, "msg": "Invalid request", "id": command["id"]})) == ["error"]
    assert "Invalid request" in talk.core.broken


def test_a_refused_symbol_is_found_one_by_one_and_rejected() -> None:
    talk = Conversation(SPOT, "A", "B")
    (command,) = talk.commands()
    talk.get({"error": {"code": -1121, "msg": "Invalid symbol."}, "id": command["id"]})
    first, second = talk.commands()
    assert (first["params"], second["params"]) == (["a@depth@100ms"], ["b@depth@100ms"])
    talk.get({"result": None, "id": first["id"]})
    events = talk.get({"error": {"code": -1121, "msg": "Invalid symbol."}, "id": second["id"]})
    assert kinds(events) == ["error", "rejected", "BookStale"]
    assert talk.core.rejected == {"B.BINANCE"}
    assert not talk.core.broken


# -- joining ----------------------------------------------------------------------------------------


def test_changes_are_held_and_handed_out_behind_the_snapshot_in_one_piece() -> None:
    talk = Conversation(SPOT, "A")
    talk.acknowledge()
    (call,) = talk.calls()
    assert talk.depth("A", 90, 95) == talk.depth("A", 96, 99) == talk.depth("A", 100, 103) == []
    assert talk.depth("A", 104, 104) == []
    assert talk.core.state == "recovering"
    events = talk.snapshot(call, 101)
    assert updates(events) == [(True, 101), (False, 103), (False, 104)]
    assert len({event.session for event in events if isinstance(event, BookUpdate)}) == 1
    assert (talk.core.tally.dropped, talk.core.tally.updates) == (2, 3)
    assert talk.core.live_markets() == {"A.BINANCE"}
    assert talk.core.state == "live"
    assert updates(talk.depth("A", 105, 107)) == [(False, 107)]


def test_a_quiet_market_is_current_with_its_snapshot() -> None:
    talk = live(SPOT, "A", last=100)
    assert talk.depth("A", 99, 100) == []
    assert talk.core.tally.dropped == 1
    assert updates(talk.depth("A", 101, 101)) == [(False, 101)]


def test_the_first_change_after_a_snapshot_may_not_leave_a_hole() -> None:
    talk = live(SPOT, "A", last=100)
    assert kinds(talk.depth("A", 102, 103)) == ["gap", "BookStale"]
    futures = live(USDM, "A", last=100)
    assert kinds(futures.depth("A", 101, 103, previous=101)) == ["gap", "BookStale"]


def test_a_snapshot_that_is_too_old_is_asked_for_again_later() -> None:
    talk = Conversation(SPOT, "A")
    talk.acknowledge()
    talk.depth("A", 200, 203)
    (call,) = talk.calls()
    assert talk.snapshot(call, 198) == []
    assert talk.core.counts["snapshots too old"] == 1
    assert talk.calls() == []
    talk.wait(0.5)
    (again,) = talk.calls()
    # One that ends just before the first change leaves no hole.
    assert updates(talk.snapshot(again, 199)) == [(True, 199), (False, 203)]


def test_spot_goes_on_where_ids_do() -> None:
    talk = live(SPOT, "A", last=100)
    assert updates(talk.depth("A", 101, 105)) == [(False, 105)]
    # It begins before the next id: all that it says is absolute, and newer.
    assert updates(talk.depth("A", 103, 108)) == [(False, 108)]
    assert talk.core.tally.gaps == 0


@pytest.mark.parametrize("kind", FUTURES)
def test_futures_go_on_where_an_event_names_the_one_before(kind: type[BinanceSession]) -> None:
    talk = live(kind, "A", last=100)
    assert updates(talk.depth("A", 95, 105, previous=90)) == [(False, 105)]
    # Ids have holes: those of other symbols.
    assert updates(talk.depth("A", 250, 260, previous=105)) == [(False, 260)]
    assert kinds(talk.depth("A", 261, 270, previous=255)) == ["gap", "BookStale"]


def test_a_futures_snapshot_between_two_events_is_joined_to_the_later_one() -> None:
    talk = Conversation(USDM, "A")
    talk.acknowledge()
    talk.depth("A", 80, 90, previous=70)
    talk.depth("A", 110, 120, previous=90)
    (call,) = talk.calls()
    assert updates(talk.snapshot(call, 100)) == [(True, 100), (False, 120)]


def test_a_futures_event_that_ends_with_the_snapshot_says_nothing_new() -> None:
    talk = Conversation(USDM, "A")
    talk.acknowledge()
    talk.depth("A", 80, 100, previous=70)
    (call,) = talk.calls()
    assert updates(talk.snapshot(call, 100)) == [(True, 100)]
    assert updates(talk.depth("A", 130, 140, previous=100)) == [(False, 140)]


def test_a_futures_event_without_predecessor_cannot_be_joined() -> None:
    talk = live(USDM, "A", last=100)
    assert kinds(talk.depth("A", 101, 102)) == ["gap", "BookStale"]


def test_only_so_many_changes_are_held_and_what_falls_out_is_counted() -> None:
    talk = Conversation(SPOT, "A")
    talk.acknowledge()
    (call,) = talk.calls()
    for at in range(HELD + 5):
        talk.depth("A", at + 1, at + 1)
    assert talk.core.tally.dropped == 5
    # Older than what is left.
    assert talk.snapshot(call, 3) == []
    talk.wait(0.5)
    (again,) = talk.calls()
    assert len(updates(talk.snapshot(again, HELD))) == 1 + 5
    assert talk.core.tally.dropped == HELD


# -- loss -------------------------------------------------------------------------------------------


def test_a_hole_concerns_one_market_and_one_snapshot_repairs_it() -> None:
    talk = live(SPOT, "A", "B", last=100)
    talk.wait(1)
    events = talk.depth("A", 103, 104)
    assert kinds(events) == ["gap", "BookStale"]
    stale = events[-1]
    assert isinstance(stale, BookStale)
    assert (stale.market, stale.reason) == ("A.BINANCE", "gap")
    assert (talk.core.tally.gaps, talk.core.tally.lost) == (1, 2)
    assert updates(talk.depth("B", 101, 101)) == [(False, 101)]
    (call,) = talk.calls()
    assert call.market == "A.BINANCE"
    assert talk.depth("A", 105, 106) == []
    assert talk.calls() == []
    events = talk.snapshot(call, 104)
    assert updates(events) == [(True, 104), (False, 106)]
    assert kinds(events)[-1] == "recovered"
    sessions = {event.session for event in events if isinstance(event, BookUpdate)}
    assert sessions == {"c1/A.2"}


def test_a_hole_in_what_is_held_starts_it_again() -> None:
    talk = Conversation(SPOT, "A")
    talk.acknowledge()
    (call,) = talk.calls()
    talk.depth("A", 1, 5)
    assert kinds(talk.depth("A", 8, 9)) == ["gap"]
    assert talk.core.tally.lost == 2
    # It was taken before the hole.
    assert talk.snapshot(call, 5) == []
    talk.wait(1)
    (again,) = talk.calls()
    assert updates(talk.snapshot(again, 8)) == [(True, 8), (False, 9)]


def test_what_comes_again_is_left_out() -> None:
    talk = live(SPOT, "A", last=100)
    talk.depth("A", 101, 103)
    assert talk.depth("A", 101, 103) == talk.depth("A", 101, 102) == []
    assert talk.core.tally.repeated == 2
    assert talk.core.tally.gaps == 0


def test_recoveries_of_a_market_keep_a_distance() -> None:
    talk = live(SPOT, "A", last=100)
    talk.depth("A", 110, 110)
    assert talk.calls() == []
    talk.wait(0.5)
    assert len(talk.calls()) == 1


def test_a_change_that_cannot_be_read_makes_its_book_stale() -> None:
    talk = live(SPOT, "A", last=100)
    talk.wait(1)
    events = talk.depth("A", 101, 101, bids=(("ten", "1"),))
    assert kinds(events) == ["malformed", "BookStale"]
    assert len(talk.calls()) == 1
    shapeless = live(SPOT, "A", last=100)
    events = shapeless.get({"stream": "a@depth@100ms", "data": {"e": "depthUpdate", "s": "A"}})
    assert kinds(events) == ["malformed", "BookStale"]
    assert shapeless.core.tally.malformed == 1


def test_a_trade_that_cannot_be_read_says_nothing_of_the_book() -> None:
    talk = live(SPOT, "A", channels=(BOOK, TRADES))
    assert kinds(talk.get({"stream": "a@trade", "data": {"e": "trade", "s": "A"}})) == ["malformed"]
    assert talk.core.state == "live"


def test_what_is_no_frame_breaks_the_connection() -> None:
    talk = live(SPOT, "A")
    with pytest.raises(WireError):
        talk.core.receive(b"<html>", TS, talk.now)


def test_a_keeper_that_lost_its_way_gets_one_snapshot() -> None:
    talk = live(SPOT, "A", last=100)
    talk.wait(1)
    talk.core.request_snapshot("A.BINANCE", talk.now)
    talk.core.request_snapshot("A.BINANCE", talk.now)
    talk.core.request_snapshot("UNKNOWN.BINANCE", talk.now)
    (call,) = talk.calls()
    assert talk.depth("A", 101, 102) == []
    assert updates(talk.snapshot(call, 101)) == [(True, 101), (False, 102)]


def test_a_snapshot_older_than_what_was_seen_is_not_taken() -> None:
    talk = live(SPOT, "A", last=100)
    talk.depth("A", 101, 105)
    talk.wait(1)
    talk.core.request_snapshot("A.BINANCE", talk.now)
    (call,) = talk.calls()
    assert talk.snapshot(call, 103) == []
    assert talk.core.counts["snapshots too old"] == 1


# -- answers over REST ------------------------------------------------------------------------------


def asked(kind: type[BinanceSession] = SPOT, *symbols: str) -> Conversation:
    talk = Conversation(kind, *(symbols or ("A", "B")))
    talk.acknowledge()
    return talk


@pytest.mark.parametrize(
    ("status", "code", "least_s"), [(429, -1003, 10), (418, -1003, 120), (403, 0, 120), (400, -1003, 10)]
)
def test_a_limit_holds_all_calls_back(status: int, code: int, least_s: float) -> None:
    talk = asked()
    first, second = talk.calls()
    assert kinds(talk.refuse(first, status, code)) == ["error"]
    talk.refuse(second, status, code)
    talk.wait(least_s * 2 - 1)
    assert talk.calls() == []
    talk.wait(1)
    calls = talk.calls()
    assert len(calls) == 2
    talk.snapshot(calls[0], 5)
    talk.snapshot(calls[1], 5)
    assert talk.core.state == "live"


def test_the_wait_that_the_venue_names_is_kept() -> None:
    talk = asked(SPOT, "A")
    (call,) = talk.calls()
    talk.core.retry_s = 2.0
    talk.refuse(call, 429, -1003)
    talk.wait(1.75)
    assert talk.calls() == []
    talk.wait(0.5)
    assert len(talk.calls()) == 1


def test_an_unwell_server_is_asked_again_later_and_later() -> None:
    talk = asked(SPOT, "A")
    waits = []
    for _ in range(9):
        (call,) = talk.calls()
        talk.refuse(call, 503)
        waited = 0.0
        while not talk.core.needs_attention:
            talk.wait(0.25)
            waited += 0.25
        waits.append(waited)
    assert waits == [0.5, 1, 2, 4, 8, 16, 30, 30, 30]
    (call,) = talk.calls()
    talk.snapshot(call, 5)
    talk.wait(1)
    talk.depth("A", 10, 10)
    assert len(talk.calls()) == 1


def test_no_answer_and_an_answer_that_is_none_are_tried_again() -> None:
    talk = asked(SPOT, "A")
    (call,) = talk.calls()
    assert talk.core.failed(call, "no time", TS, talk.now) == []
    talk.wait(0.5)
    (call,) = talk.calls()
    assert kinds(talk.core.answered(call, 200, b"<html>", TS, talk.now)) == ["malformed"]
    talk.wait(1)
    (call,) = talk.calls()
    assert kinds(talk.snapshot(call, 5, bids=(("x", "1"),))) == ["malformed"]
    assert talk.core.state == "recovering"
    talk.wait(2)
    (call,) = talk.calls()
    assert updates(talk.snapshot(call, 5)) == [(True, 5)]


def test_a_symbol_that_the_venue_does_not_know_is_rejected_and_the_others_go_on() -> None:
    talk = asked()
    first, second = talk.calls()
    events = talk.refuse(first, 400, -1121, "Invalid symbol.")
    assert kinds(events) == ["rejected", "BookStale"]
    (command,) = talk.commands()
    assert (command["method"], command["params"]) == ("UNSUBSCRIBE", ["a@depth@100ms"])
    talk.snapshot(second, 5)
    assert talk.core.state == "live"
    assert talk.core.rejected == {"A.BINANCE"}
    talk.connect()
    (command,) = talk.commands()
    assert command["params"] == ["b@depth@100ms"]


def test_an_answer_to_an_older_connection_is_not_taken() -> None:
    talk = asked(SPOT, "A")
    (old,) = talk.calls()
    talk.core.disconnected("closed", TS)
    talk.connect()
    talk.acknowledge()
    (new,) = talk.calls()
    assert talk.snapshot(old, 90) == []
    assert talk.core.counts["late answers"] == 1
    assert updates(talk.snapshot(new, 100)) == [(True, 100)]
    assert talk.snapshot(new, 100) == []


def test_a_snapshot_of_thousands_of_levels_comes_packed() -> None:
    talk = asked(SPOT, "A")
    (call,) = talk.calls()
    levels = tuple((str(at + 1), "1") for at in range(1500))
    asks = tuple((str(at + 2000), "1") for at in range(1500))
    (update,) = talk.snapshot(call, 5, levels, asks)
    assert isinstance(update, BookUpdate)
    assert update.changes == ()
    assert len(update.packed_bids) == 1500 * 16


# -- the connection ---------------------------------------------------------------------------------


def test_the_end_of_a_connection_makes_every_book_stale_and_drops_what_was_held() -> None:
    talk = live(SPOT, "A", "B", last=100)
    talk.depth("B", 105, 105)
    events = talk.core.disconnected("closed", TS)
    assert [(event.market, event.reason) for event in events if isinstance(event, BookStale)] == [
        ("A.BINANCE", "closed")
    ]
    assert talk.core.tally.dropped == 1
    assert talk.core.state == "down"
    assert not talk.core.needs_attention


def test_a_shutdown_that_is_announced_ends_the_connection() -> None:
    talk = live(SPOT, "A")
    assert kinds(talk.tell(ServerShutdown(event_time=1), "!serverShutdown")) == ["server_shutdown"]
    assert talk.core.broken
    assert talk.core.needs_attention


def test_in_silence_the_venue_is_asked_which_streams_it_sends() -> None:
    talk = live(SPOT, "A", "B")
    talk.core.silent(talk.now)
    (command,) = talk.commands()
    assert command["method"] == "LIST_SUBSCRIPTIONS"
    events = talk.get({"result": ["a@depth@100ms"], "id": command["id"]})
    assert kinds(events) == ["resubscribed"]
    (command,) = talk.commands()
    assert (command["method"], command["params"]) == ("SUBSCRIBE", ["b@depth@100ms"])
    talk.get({"result": None, "id": command["id"]})
    talk.core.silent(talk.now)
    talk.commands()
    talk.wait(5)
    assert talk.core.broken


# -- markets while running --------------------------------------------------------------------------


def test_markets_are_followed_while_connected() -> None:
    talk = live(SPOT, "A", last=100)
    assert talk.core.follow(["B.BINANCE", "A.BINANCE"], TS, talk.now) == []
    (command,) = talk.commands()
    assert (command["method"], command["params"]) == ("SUBSCRIBE", ["b@depth@100ms"])
    assert talk.core.stale_markets() == {"B.BINANCE"}
    talk.get({"result": None, "id": command["id"]})
    (call,) = talk.calls()
    talk.snapshot(call, 7)
    assert talk.core.live_markets() == {"A.BINANCE", "B.BINANCE"}


def test_markets_are_left_while_connected_and_what_still_comes_is_not_read() -> None:
    talk = live(SPOT, "A", "B", last=100)
    events = talk.core.unfollow(["A.BINANCE"], TS, talk.now)
    assert [(event.market, event.reason) for event in events if isinstance(event, BookStale)] == [
        ("A.BINANCE", "unfollowed")
    ]
    (command,) = talk.commands()
    assert (command["method"], command["params"]) == ("UNSUBSCRIBE", ["a@depth@100ms"])
    assert talk.depth("A", 101, 101) == []
    assert talk.core.state == "live"
    talk.connect()
    (command,) = talk.commands()
    assert command["params"] == ["b@depth@100ms"]


def test_markets_are_followed_and_left_without_a_connection() -> None:
    talk = live(SPOT, "A")
    talk.core.disconnected("closed", TS)
    talk.core.follow(["B.BINANCE"], TS, talk.now)
    talk.core.unfollow(["A.BINANCE"], TS, talk.now)
    assert not talk.core.needs_attention
    talk.connect()
    (command,) = talk.commands()
    assert command["params"] == ["b@depth@100ms"]


def test_a_rejected_market_can_be_asked_for_again() -> None:
    talk = asked(SPOT, "A")
    (call,) = talk.calls()
    talk.refuse(call, 400, -1121)
    talk.acknowledge()
    talk.core.follow(["A.BINANCE"], TS, talk.now)
    assert talk.core.rejected == set()
    assert talk.commands()[0]["method"] == "SUBSCRIBE"


def test_a_connection_has_room_for_so_many_markets() -> None:
    talk = Conversation(SPOT, *(f"X{at}" for at in range(1023)))
    events = talk.core.follow(["Y.BINANCE", "Z.BINANCE"], TS, talk.now)
    assert kinds(events) == ["rejected"]
    assert talk.core.rejected == {"Z.BINANCE"}
    assert talk.commands()[-1]["params"] == ["y@depth@100ms"]


# -- beside the book --------------------------------------------------------------------------------


def trade(number: int, symbol: str = "A") -> TradeEvent:
    return TradeEvent(
        event_time=1, trade_time=1, symbol=symbol, trade_id=number, price="5", quantity="1", buyer_is_maker=False
    )


def test_trades_come_once_and_a_missing_one_is_told() -> None:
    talk = live(SPOT, "A", channels=(BOOK, TRADES))
    first, again, hole = (talk.tell(trade(number), "a@trade") for number in (7, 7, 10))
    assert kinds(first) == ["Trade"]
    assert again == []
    assert kinds(hole) == ["gap", "Trade"]
    assert (talk.core.tally.repeated, talk.core.tally.gaps, talk.core.tally.lost) == (1, 1, 2)
    assert talk.core.state == "live"
    message = first[0]
    assert isinstance(message, Trade)
    assert (message.market, message.session, message.taker) == ("A.BINANCE", "c1/A@trade", "buy")


def test_trades_together_are_numbered_by_themselves() -> None:
    talk = live(COINM, "A", channels=(BOOK, TRADES))
    event = AggregateTrade(
        event_time=1, aggregate_id=3, symbol="A", price="5", quantity="1", trade_time=1, buyer_is_maker=True
    )
    talk.tell(trade(900), "a@trade")
    assert kinds(talk.tell(event, "a@aggTrade")) == ["Trade"]
    assert talk.tell(event, "a@aggTrade") == []


def test_the_venues_best_prices_never_touch_the_book() -> None:
    talk = live(SPOT, "A", last=100, channels=(BOOK, TICKERS))
    ticker = BookTicker(update_id=105, symbol="A", bid="9.5", bid_size="1", ask="9.6", ask_size="2")
    (message,) = talk.tell(ticker, "a@bookTicker")
    assert isinstance(message, Ticker)
    assert (message.bid, message.ask, message.seq) == (9_500_000_000, 9_600_000_000, 105)
    assert talk.tell(ticker, "a@bookTicker") == []
    assert updates(talk.depth("A", 101, 104)) == [(False, 104)]


def test_a_bar_is_told_once_and_only_when_it_is_final() -> None:
    talk = Conversation(SPOT, "A", channels=(BARS,), options=SessionOptions(bars=("1m", "1h")))
    (command,) = talk.commands()
    assert command["params"] == ["a@kline_1m", "a@kline_1h"]
    seen = []
    for start, final in ((60_000, False), (60_000, True), (60_000, True), (120_000, True), (60_000, True)):
        candle = Candle(
            start=start,
            end=start + 59_999,
            symbol="A",
            interval="1m",
            open="1",
            close="1",
            high="1",
            low="1",
            volume="1",
            trades=1,
            final=final,
        )
        seen += talk.tell(KlineEvent(event_time=1, symbol="A", candle=candle), "a@kline_1m")
    assert [bar.start for bar in seen if isinstance(bar, Bar)] == [60_000_000_000, 120_000_000_000]
    assert len(seen) == 2
    assert talk.core.tally.repeated == 2
    assert talk.core.state == "live"


def test_futures_tell_funding_and_liquidations() -> None:
    talk = Conversation(USDM, "A", channels=(FUNDING, LIQUIDATIONS))
    mark = MarkPriceUpdate(event_time=1, symbol="A", mark_price="2", index_price="3", rate="0.0001", next_funding=5)
    (funding,) = talk.tell(mark, "a@markPrice")
    assert isinstance(funding, Funding)
    assert (funding.market, funding.rate, funding.mark_price) == ("A.BINANCE-USDM", "0.0001", 2 * NANO)
    forced = ForceOrder(
        event_time=1, order=ForcedOrder(symbol="A", side="BUY", quantity="4", price="2", filled="4", trade_time=1)
    )
    (liquidation,) = talk.tell(forced, "a@forceOrder")
    assert isinstance(liquidation, Liquidation)
    assert (liquidation.side, liquidation.size) == ("buy", 4 * NANO)
    assert talk.tell(forced, "a@forceOrder") == []


def test_a_few_levels_again_and_again_are_no_book() -> None:
    talk = live(SPOT, "A", last=100)
    assert talk.tell(DepthSnapshot(last=200, bids=(("1", "1"),), asks=()), "a@depth5@100ms") == []
    assert updates(talk.depth("A", 101, 101)) == [(False, 101)]


# -- listening --------------------------------------------------------------------------------------


def listening(kind: type[BinanceSession] = SPOT) -> Conversation:
    return Conversation(kind, channels=(BOOK, TRADES), options=SessionOptions(listening=True))


def test_a_replay_learns_its_markets_and_asks_for_nothing() -> None:
    talk = listening()
    talk.depth("A", 1, 2)
    talk.tell(trade(1, "B"), "b@trade")
    talk.core.silent(talk.now)
    talk.wait(100)
    talk.core.request_snapshot("A.BINANCE", talk.now)
    assert talk.core.stale_markets() == {"A.BINANCE"}
    talk.core.take_commands()
    assert talk.calls() == []


def test_a_replay_joins_what_was_recorded() -> None:
    talk = listening()
    talk.depth("A", 1, 2)
    call = asked(SPOT, "A").calls()[0]
    assert updates(talk.snapshot(call, 1)) == [(True, 1), (False, 2)]
    assert talk.snapshot(call, 2) == []
    assert talk.core.state == "live"
    assert talk.core.tally.recoveries == 0


def test_a_replay_without_a_snapshot_stays_stale_and_counts_what_it_drops() -> None:
    talk = listening()
    for at in range(1, 2001):
        assert talk.depth("A", at, at) == []
    assert talk.core.tally.dropped == 1000
    assert talk.core.state == "recovering"
    talk.core.disconnected("end", TS)
    assert talk.core.tally.dropped == 2000
    assert talk.core.tally.updates == 0


def test_time_between_calls_is_measured_by_the_monotonic_clock_alone() -> None:
    talk = asked(SPOT, "A")
    (call,) = talk.calls()
    talk.core.answered(call, 503, b"", 0, talk.now)
    talk.core.tick(0, talk.now + SECOND // 2)
    assert len(talk.calls()) == 1
