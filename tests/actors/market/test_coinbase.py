"""Coinbase's session: its one sequence over everything, what a hole in it means, and how books recover."""

from __future__ import annotations

import itertools
import json
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

import pytest
import zstandard
from hypothesis import given, settings
from hypothesis import strategies as st

from actors.market.book import Book
from actors.market.session_core import (
    BARS,
    BOOK,
    SECOND,
    TICKERS,
    TRADES,
    Credentials,
    Event,
    Incident,
    SessionOptions,
)
from actors.market.sessions.coinbase import CoinbaseSession
from protocols.market import Bar, BookStale, BookUpdate, LevelChange, Ticker, Trade
from protocols.nanos import NANO
from protocols.venues import coinbase
from protocols.venues.coinbase_signing import Signer, generate_secret, verify
from protocols.venues.errors import WireError
from protocols.venues.rest import RestCall
from protocols.venues.rfc3339 import rfc3339_text

BTC, ETH = "BTC-USD.COINBASE", "ETH-USD.COINBASE"
START = 1_786_309_548 * NANO
TIME = rfc3339_text(START)
LISTENING = SessionOptions(listening=True)


class Venue:
    """A model of the venue's side of one connection: books, one sequence, and snapshots to who subscribes."""

    def __init__(self, products: Iterable[str] = ("BTC-USD", "ETH-USD")) -> None:
        self.books: dict[str, dict[tuple[str, int], int]] = {product: {} for product in products}
        self.number = 0
        self.level2: set[str] = set()
        # The books as they were when a frame had been sent.
        self.past: list[dict[str, dict[tuple[str, int], int]]] = []

    def reconnect(self) -> None:
        self.number = 0
        self.level2.clear()
        self.past.clear()

    def frame(self, kind: type[Any], events: tuple[Any, ...]) -> bytes:
        raw = coinbase.encode(kind(timestamp=TIME, sequence_num=self.number, events=events))
        self.number += 1
        self.past.append({product: dict(book) for product, book in self.books.items()})
        return raw

    def heartbeat(self) -> bytes:
        return self.frame(coinbase.HeartbeatFrame, (coinbase.HeartbeatEvent("now", self.number),))

    def snapshot(self, product: str) -> bytes:
        levels = tuple(
            coinbase.LevelUpdate("bid" if side == "bid" else "offer", TIME, str(price), str(size))
            for (side, price), size in self.books[product].items()
        )
        return self.frame(coinbase.BookFrame, (coinbase.BookEvent("snapshot", product, levels),))

    def change(self, product: str, side: str, price: int, size: int) -> bytes | None:
        """Change a level; None where nobody is subscribed to hear of it."""
        if size:
            self.books[product][side, price] = size
        else:
            self.books[product].pop((side, price), None)
        if product not in self.level2:
            return None
        level = coinbase.LevelUpdate("bid" if side == "bid" else "offer", TIME, str(price), str(size))
        return self.frame(coinbase.BookFrame, (coinbase.BookEvent("update", product, (level,)),))

    def trade(self, *ids: int, kind: coinbase.EventType = "update", product: str = "BTC-USD") -> bytes:
        bodies = tuple(coinbase.TradeBody(product, str(each), "10", "1", TIME, "SELL") for each in ids)
        return self.frame(coinbase.TradeFrame, (coinbase.TradeEvent(kind, bodies),))

    def acknowledge(self) -> bytes:
        listed = {"level2": tuple(sorted(self.level2))} if self.level2 else {}
        return self.frame(coinbase.SubscriptionsFrame, (coinbase.SubscriptionsEvent(listed),))

    def obey(self, commands: Iterable[bytes]) -> Iterator[bytes]:
        """What comes of the commands, frame by frame."""
        for raw in commands:
            command = coinbase.decode_command(raw)
            if command.channel == "level2":
                known = [product for product in command.product_ids if product in self.books]
                if command.type == "subscribe":
                    for product in known:
                        if product not in self.level2:
                            self.level2.add(product)
                            yield self.snapshot(product)
                else:
                    self.level2 -= set(known)
            yield self.acknowledge()


class Played:
    """A session core and the keepers' books behind it. Every frame that comes is checked against the venue's past."""

    def __init__(self, core: CoinbaseSession, venue: Venue) -> None:
        self.core = core
        self.venue = venue
        self.books: dict[str, Book] = {}
        self.events: list[Event] = []
        self.now = 0
        self.connections = 0
        self.newest = -1
        self.seen: set[tuple[str, int]] = set()

    def connect(self) -> None:
        self.connections += 1
        self.newest = -1
        self.venue.reconnect()
        self.core.connected(f"c{self.connections}", (), START + self.now, self.now)

    def serve(self) -> None:
        """Deliver what comes of the core's commands, with no fault."""
        for raw in self.venue.obey(self.core.take_commands()):
            self.deliver(raw)

    def deliver(self, raw: bytes) -> list[Event]:
        number = json.loads(raw)["sequence_num"]
        fresh = number > self.newest
        events = self.core.receive(raw, START + self.now, self.now)
        self.take(events)
        assert fresh or not events, "a late frame says nothing"
        self.newest = max(self.newest, number)
        # Whatever was lost before: a book that is held to be current is the venue's, as of this frame.
        truth = self.venue.past[self.newest]
        for market in self.core.live_markets():
            assert self.levels(market) == truth[self.core.symbol_of(market).removesuffix("C")]
            assert self.books[market].stale == ""
        return events

    def take(self, events: list[Event]) -> None:
        self.events += events
        for event in events:
            if isinstance(event, BookUpdate):
                address = (event.market + event.session, event.seq)
                assert address not in self.seen, "applied twice"
                self.seen.add(address)
                self.books.setdefault(event.market, Book(event.market)).apply(event)
            elif isinstance(event, BookStale):
                self.books[event.market].mark_stale(event.reason)

    def levels(self, market: str) -> dict[tuple[str, int], int]:
        view = self.books[market].view()
        sides = (("bid", view.bids), ("ask", view.asks))
        return {(side, level.price // NANO): level.size // NANO for side, levels in sides for level in levels}

    def pass_time(self, seconds: float) -> list[Event]:
        self.now += round(seconds * SECOND)
        events = self.core.tick(START + self.now, self.now)
        self.take(events)
        return events

    def incidents(self, kind: str) -> list[str]:
        return [event.detail for event in self.events if isinstance(event, Incident) and event.kind == kind]

    def stale(self) -> list[tuple[str, str]]:
        return [(event.market, event.reason) for event in self.events if isinstance(event, BookStale)]


def connected(*markets: str, channels: tuple[str, ...] = (BOOK,), options: SessionOptions | None = None) -> Played:
    """A connection whose books are current."""
    core = CoinbaseSession("cb", markets or (BTC, ETH), channels, options or SessionOptions())
    played = Played(core, Venue())
    for price in (1, 2, 3):
        for product in played.venue.books:
            played.venue.books[product]["bid", price] = price
            played.venue.books[product]["ask", price + 10] = price
    played.connect()
    played.serve()
    return played


def sent(commands: Iterable[bytes]) -> list[tuple[str, str, tuple[str, ...]]]:
    decoded = [coinbase.decode_command(command) for command in commands]
    return [(command.type, command.channel, command.product_ids) for command in decoded]


# -- subscriptions -----------------------------------------------------------------------------------------


def test_heartbeats_come_first_and_each_channel_has_a_message_of_its_own() -> None:
    core = CoinbaseSession("cb", (ETH, BTC), (BOOK, TRADES, TICKERS, BARS))
    core.connected("c1", (), START, 0)
    assert sent(core.take_commands()) == [
        ("subscribe", "heartbeats", ()),
        ("subscribe", "level2", ("BTC-USD", "ETH-USD")),
        ("subscribe", "market_trades", ("BTC-USD", "ETH-USD")),
        ("subscribe", "ticker", ("BTC-USD", "ETH-USD")),
        ("subscribe", "candles", ("BTC-USD", "ETH-USD")),
    ]
    assert core.state == "recovering"
    assert core.stale_markets() == {BTC, ETH}


def test_many_markets_are_asked_for_in_parts() -> None:
    core = CoinbaseSession("cb", [f"A{at}-USD.COINBASE" for at in range(120)], (BOOK,))
    core.connected("c1", (), START, 0)
    assert [len(products) for _, channel, products in sent(core.take_commands()) if channel == "level2"] == [50, 50, 20]


@pytest.mark.parametrize("algorithm", ["ES256", "EdDSA"])
def test_with_a_key_every_command_has_a_token_of_its_own_on_the_venues_clock(algorithm: str) -> None:
    secret = generate_secret(algorithm)
    core = CoinbaseSession("cb", (BTC,), (BOOK, TRADES))
    core.use(Credentials("key", secret))
    behind = 90 * SECOND
    assert core.handshake(START + behind) == ()
    core.connected("c1", (), START, 0)
    core.tick(START + 500 * SECOND, 500 * SECOND)
    tokens = [coinbase.decode_command(command).jwt for command in core.take_commands()]
    assert len(set(tokens)) == len(tokens) > 3
    key = Signer("key", secret).public_key
    assert verify(key, tokens[0], START + behind).nbf == (START + behind) // NANO
    assert verify(key, tokens[-1], START + behind + 500 * SECOND).nbf == (START + behind) // NANO + 500


def test_a_key_that_is_none_is_refused() -> None:
    with pytest.raises(ValueError, match="private key"):
        CoinbaseSession("cb", (BTC,), credentials=Credentials("key", b"nothing"))


def test_signed_calls_name_what_they_are_for() -> None:
    secret = generate_secret()
    core = CoinbaseSession("cb", credentials=Credentials("key", secret))
    call = RestCall(purpose="fees", path="/api/v3/brokerage/transaction_summary", query=(("a", "b"),), signed=True)
    ((name, value),) = core.sign(call, START)
    claims = verify(Signer("key", secret).public_key, value.removeprefix("Bearer "), START)
    assert (name, claims.uri) == ("Authorization", "GET api.coinbase.com/api/v3/brokerage/transaction_summary")
    assert core.sign(RestCall(purpose="x", path="/y"), START) == ()
    with pytest.raises(ValueError, match="needs a key"):
        CoinbaseSession("cb").sign(call, START)


def test_what_the_venue_cannot_do_is_refused() -> None:
    for options in (SessionOptions(depth=10), SessionOptions(bars=("1m",))):
        with pytest.raises(ValueError, match="coinbase sends"):
            CoinbaseSession("cb", options=options)
    with pytest.raises(ValueError, match="offers the channels"):
        CoinbaseSession("cb", channels=("funding",))


# -- the sequence ------------------------------------------------------------------------------------------


def test_acknowledgements_heartbeats_and_unknown_frames_are_counted_and_make_no_gap() -> None:
    played = connected()
    assert played.core.state == "live"
    played.deliver(played.venue.heartbeat())
    other = {"channel": "status", "timestamp": TIME, "sequence_num": played.venue.number, "events": []}
    played.core.receive(json.dumps(other), START, 0)
    played.venue.number += 1
    played.venue.past.append(played.venue.past[-1])
    raw = played.venue.change("BTC-USD", "bid", 3, 9)
    assert raw is not None
    played.deliver(raw)
    assert (played.core.tally.gaps, played.core.state) == (0, "live")
    assert played.stale() == []


def test_a_hole_makes_every_book_stale_at_once_and_asks_for_all_of_them() -> None:
    played = connected()
    played.venue.heartbeat()
    played.pass_time(2)
    played.deliver(played.venue.heartbeat())
    assert played.stale() == [(BTC, "gap"), (ETH, "gap")]
    assert (played.core.tally.gaps, played.core.tally.lost, played.core.state) == (1, 1, "recovering")
    commands = played.core.take_commands()
    assert sent(commands) == [
        ("unsubscribe", "level2", ("BTC-USD", "ETH-USD")),
        ("subscribe", "level2", ("BTC-USD", "ETH-USD")),
    ]
    # What still comes of the old subscription is of books that are not current.
    late = played.venue.change("BTC-USD", "bid", 3, 9)
    assert late is not None
    assert played.deliver(late) == []
    assert played.core.tally.dropped == 1
    for raw in played.venue.obey(commands):
        played.deliver(raw)
    assert played.core.state == "live"
    assert played.incidents("recovered") == ["2 books are current"]
    assert played.levels(BTC)["bid", 3] == 9


def test_one_recovery_is_in_flight_however_many_holes_there_are() -> None:
    played = connected()
    played.pass_time(2)
    for _ in range(5):
        played.venue.heartbeat()
        played.deliver(played.venue.heartbeat())
    assert played.core.tally.gaps == 5
    assert len(played.core.take_commands()) == 2
    assert len(played.stale()) == 2


def test_a_late_frame_says_nothing_and_is_counted() -> None:
    played = connected()
    first = played.venue.change("BTC-USD", "bid", 3, 9)
    assert first is not None
    played.deliver(first)
    assert played.deliver(first) == []
    assert (played.core.tally.repeated, played.core.tally.gaps) == (1, 0)
    assert played.core.state == "live"


def test_a_sequence_that_begins_again_ends_the_connection() -> None:
    played = connected()
    frames = [played.venue.heartbeat() for _ in range(102)]
    played.core.receive(frames[-1], START, 0)
    for raw in frames[:-1]:
        played.core.receive(raw, START, 0)
    assert played.core.broken.startswith("the sequence went back")


def test_a_connection_whose_first_frame_was_lost_has_a_hole() -> None:
    core = CoinbaseSession("cb", (BTC,), (BOOK,))
    core.connected("c1", (), START, 0)
    venue = Venue()
    venue.heartbeat()
    core.receive(venue.heartbeat(), START, 0)
    assert (core.tally.gaps, core.tally.lost) == (1, 1)


def test_what_is_no_frame_is_a_wire_error() -> None:
    with pytest.raises(WireError):
        connected().core.receive(b"garbage", START, 0)
    with pytest.raises(WireError):
        connected().core.receive_decoded(b"garbage", START, 0)


# -- books -------------------------------------------------------------------------------------------------


def test_a_frame_of_several_events_is_one_update_for_each_market() -> None:
    played = connected()
    level = coinbase.LevelUpdate
    events = (
        coinbase.BookEvent("update", "BTC-USD", (level("bid", TIME, "1", "7"),)),
        coinbase.BookEvent("update", "ETH-USD", (level("offer", TIME, "11", "0"),)),
        coinbase.BookEvent("update", "BTC-USD", (level("bid", TIME, "2", "0"),)),
    )
    updates = played.core.receive(played.venue.frame(coinbase.BookFrame, events), START, 0)
    assert [(update.market, update.changes) for update in updates if isinstance(update, BookUpdate)] == [
        (BTC, (LevelChange("bid", NANO, 7 * NANO), LevelChange("bid", 2 * NANO, 0))),
        (ETH, (LevelChange("ask", 11 * NANO, 0),)),
    ]


def test_the_time_of_an_update_is_that_of_its_last_level_or_of_the_frame() -> None:
    played = connected()
    for at, expected in (("2026-08-09T21:05:48.25Z", START + 250_000_000), ("1970-01-01T00:00:00Z", START)):
        event = coinbase.BookEvent("update", "BTC-USD", (coinbase.LevelUpdate("bid", at, "1", "7"),))
        (update,) = played.core.receive(played.venue.frame(coinbase.BookFrame, (event,)), START + 5, 0)
        assert isinstance(update, BookUpdate)
        assert (update.ts_event, update.ts_recv) == (expected, START + 5)


def test_a_pair_in_usdc_is_fed_by_the_one_in_usd() -> None:
    played = connected(BTC, "BTC-USDC.COINBASE")
    raw = played.venue.change("BTC-USD", "bid", 3, 9)
    assert raw is not None
    updates = [event for event in played.core.receive(raw, START, 0) if isinstance(event, BookUpdate)]
    assert [update.market for update in updates] == [BTC, "BTC-USDC.COINBASE"]


def test_a_number_that_is_none_makes_that_book_stale_alone() -> None:
    played = connected()
    played.pass_time(2)
    level = coinbase.LevelUpdate
    events = (
        coinbase.BookEvent("update", "BTC-USD", (level("bid", TIME, "one", "7"),)),
        coinbase.BookEvent("update", "ETH-USD", (level("bid", TIME, "1", "7"),)),
    )
    played.take(played.core.receive(played.venue.frame(coinbase.BookFrame, events), START, played.now))
    assert played.stale() == [(BTC, "malformed")]
    assert played.core.live_markets() == {ETH}
    assert played.core.tally.malformed == 1
    assert sent(played.core.take_commands())[-1] == ("subscribe", "level2", ("BTC-USD",))


def test_a_book_frame_that_does_not_fit_makes_all_books_stale() -> None:
    played = connected()
    bad = {"channel": "l2_data", "timestamp": TIME, "sequence_num": played.venue.number, "events": [{"type": "x"}]}
    played.take(played.core.receive(json.dumps(bad), START, 0))
    assert played.stale() == [(BTC, "malformed"), (ETH, "malformed")]


def test_a_keeper_that_lost_its_way_gets_a_snapshot() -> None:
    played = connected()
    played.pass_time(2)
    played.core.request_snapshot(BTC, played.now)
    assert played.core.stale_markets() == {BTC}
    commands = played.core.take_commands()
    assert sent(commands) == [("unsubscribe", "level2", ("BTC-USD",)), ("subscribe", "level2", ("BTC-USD",))]
    played.core.request_snapshot(BTC, played.now)
    assert played.core.take_commands() == []
    for raw in played.venue.obey(commands):
        played.deliver(raw)
    assert played.core.state == "live"


def test_a_book_that_can_never_be_right_does_not_become_a_storm() -> None:
    played = connected()
    asked = 0
    for _ in range(100):
        played.now += SECOND // 100
        played.core.request_snapshot(BTC, played.now)
        commands = played.core.take_commands()
        asked += len(commands)
        for raw in played.venue.obey(commands):
            played.deliver(raw)
    assert asked <= 2


def test_a_subscription_that_the_venue_ends_is_made_again() -> None:
    played = connected()
    played.pass_time(2)
    played.venue.level2.discard("ETH-USD")
    played.deliver(played.venue.acknowledge())
    assert played.stale() == [(ETH, "unsubscribed")]
    played.serve()
    assert played.core.state == "live"


def test_the_end_of_a_connection_makes_every_book_stale_and_the_next_one_subscribes_all() -> None:
    played = connected()
    first = {update.session for update in played.events if isinstance(update, BookUpdate)}
    played.take(played.core.disconnected("disconnected", START))
    assert played.stale() == [(BTC, "disconnected"), (ETH, "disconnected")]
    assert (played.core.state, played.core.take_commands()) == ("down", [])
    played.events.clear()
    played.connect()
    played.serve()
    assert played.core.state == "live"
    assert first.isdisjoint({update.session for update in played.events if isinstance(update, BookUpdate)})


# -- what is overdue or refused ----------------------------------------------------------------------------


def test_a_snapshot_that_does_not_come_is_asked_for_again_and_then_the_connection_is_no_good() -> None:
    core = CoinbaseSession("cb", (BTC, ETH), (BOOK,), SessionOptions(recovery_s=5))
    core.connected("c1", (), START, 0)
    core.take_commands()
    now = 0
    rounds = 0
    while not core.broken:
        now += SECOND
        core.tick(START + now, now)
        rounds += bool(core.take_commands())
    assert rounds == 2
    assert core.broken.startswith("no snapshot of")
    assert now < 30 * SECOND


def test_a_product_that_the_venue_does_not_know_is_given_up_while_the_others_live() -> None:
    played = connected(BTC, "NO-USD.COINBASE", options=SessionOptions(recovery_s=2))
    for _ in range(20):
        played.pass_time(1)
        played.serve()
    assert played.core.rejected == {"NO-USD.COINBASE"}
    assert (played.core.state, played.core.broken) == ("live", "")
    assert len(played.incidents("rejected")) == 1


def test_a_product_that_an_error_names_is_given_up_at_once_and_the_others_are_asked_for_again() -> None:
    core = CoinbaseSession("cb", (BTC, "NO-USD.COINBASE"), (BOOK,))
    played = Played(core, Venue())
    played.connect()
    core.take_commands()
    played.take(core.receive('{"type":"error","message":"NO-USD is not a valid product"}', START, 0))
    assert core.rejected == {"NO-USD.COINBASE"}
    played.pass_time(1)
    played.serve()
    assert core.state == "live"


def test_a_refused_key_ends_the_connection() -> None:
    played = connected()
    played.take(played.core.receive('{"type":"error","message":"authentication failure"}', START, 0))
    assert played.core.broken == "authentication: authentication failure"


def test_silence_asks_for_a_heartbeat() -> None:
    played = connected()
    played.core.silent(played.now)
    assert sent(played.core.take_commands()) == [("subscribe", "heartbeats", ())]


# -- following ---------------------------------------------------------------------------------------------


def test_a_market_that_is_followed_later_is_subscribed_alone() -> None:
    played = connected(BTC, channels=(BOOK, TRADES))
    played.core.follow([ETH], START, played.now)
    commands = played.core.take_commands()
    assert sent(commands) == [
        ("subscribe", "level2", ("ETH-USD",)),
        ("subscribe", "market_trades", ("ETH-USD",)),
    ]
    assert played.core.state == "recovering"
    for raw in played.venue.obey(commands):
        played.deliver(raw)
    assert played.core.live_markets() == {BTC, ETH}
    assert played.core.follow([ETH], START, played.now) == []
    assert played.core.take_commands() == []


def test_a_market_that_is_followed_no_more_is_stale_and_its_frames_are_not_read() -> None:
    played = connected()
    played.take(played.core.unfollow([ETH], START, played.now))
    assert played.stale() == [(ETH, "unfollowed")]
    assert sent(played.core.take_commands()) == [("unsubscribe", "level2", ("ETH-USD",))]
    raw = played.venue.change("ETH-USD", "bid", 1, 5)
    assert raw is not None
    assert played.core.receive(raw, START, 0) == []
    assert played.core.markets == {BTC}
    assert played.core.state == "live"


def test_markets_can_be_followed_before_there_is_a_connection() -> None:
    core = CoinbaseSession("cb", (), (BOOK,))
    assert core.follow([BTC], START, 0) == []
    assert core.take_commands() == []
    core.connected("c1", (), START, 0)
    assert sent(core.take_commands())[-1] == ("subscribe", "level2", ("BTC-USD",))


# -- trades, tickers, bars ---------------------------------------------------------------------------------


def test_trades_from_before_the_subscription_are_not_new() -> None:
    played = connected(channels=(TRADES,))
    assert played.deliver(played.venue.trade(3, 2, 1, kind="snapshot")) == []
    assert played.core.counts["trades before the subscription"] == 3


def test_trades_come_newest_first_and_leave_oldest_first() -> None:
    played = connected(channels=(TRADES,))
    trades = played.deliver(played.venue.trade(101, 100, 99))
    assert [trade.trade_id for trade in trades if isinstance(trade, Trade)] == ["99", "100", "101"]
    assert {trade.taker for trade in trades if isinstance(trade, Trade)} == {"buy"}


def test_a_ticker_is_handed_on() -> None:
    played = connected(channels=(TICKERS,))
    body = coinbase.TickerBody("BTC-USD", "10", "9", "1", "11", "2")
    event = coinbase.TickerEvent("update", (body,))
    (ticker,) = played.deliver(played.venue.frame(coinbase.TickerFrame, (event,)))
    assert isinstance(ticker, Ticker)
    assert (ticker.market, ticker.bid, ticker.ask, ticker.last) == (BTC, 9 * NANO, 11 * NANO, 10 * NANO)


def test_a_bar_is_handed_on_once_when_it_is_closed() -> None:
    played = connected(channels=(BARS,))
    begin = START // NANO // 300 * 300

    def candle(start: int, close: int, kind: coinbase.EventType = "update") -> list[Event]:
        body = coinbase.CandleBody("BTC-USD", str(start), "5", "9", "4", str(close), "1.5")
        return played.deliver(played.venue.frame(coinbase.CandleFrame, (coinbase.CandleEvent(kind, (body,)),)))

    assert candle(begin - 300, 5, "snapshot") == []
    assert candle(begin, 6, "snapshot") == []
    assert candle(begin, 7) == []
    (bar,) = candle(begin + 300, 8)
    assert isinstance(bar, Bar)
    assert (bar.market, bar.interval, bar.start, bar.close, bar.volume, bar.source) == (
        BTC, "5m", begin * NANO, 7 * NANO, "1.5", "venue",
    )  # fmt: skip
    assert candle(begin, 9) == [], "too late"
    # A quiet market: the heartbeat's time closes the bar.
    raw = coinbase.encode(
        coinbase.HeartbeatFrame(
            timestamp=rfc3339_text((begin + 606) * NANO),
            sequence_num=played.venue.number,
            events=(coinbase.HeartbeatEvent("now", 1),),
        )
    )
    (second,) = played.core.receive(raw, START, 0)
    assert isinstance(second, Bar)
    assert (second.start, second.close) == ((begin + 300) * NANO, 8 * NANO)


# -- listening ---------------------------------------------------------------------------------------------


def test_a_listener_asks_for_nothing_and_learns_markets_from_frames() -> None:
    core = CoinbaseSession("replay", options=LISTENING)
    venue = Venue()
    venue.number = 40
    venue.past = [{}] * 40
    core.connected("c1", ("delayed",), START, 0)
    (update,) = core.receive(venue.snapshot("BTC-USD"), START, 0)
    assert isinstance(update, BookUpdate)
    assert (update.market, update.marks) == (BTC, ("delayed",))
    venue.heartbeat()
    events = core.receive(venue.heartbeat(), START, 0)
    assert BookStale(BTC, "replay", "gap", START) in events
    core.request_snapshot(BTC, 10 * SECOND)
    core.silent(10 * SECOND)
    core.tick(START, 10 * SECOND)
    assert core.take_commands() == []
    assert (core.tally.gaps, core.stale_markets(), core.broken) == (1, {BTC}, "")


# -- everything at once ------------------------------------------------------------------------------------

fates = st.sampled_from(["pass"] * 6 + ["drop", "double", "swap"])
happenings = st.one_of(
    st.tuples(
        st.just("change"),
        st.sampled_from(["BTC-USD", "ETH-USD"]),
        st.sampled_from(["bid", "ask"]),
        st.integers(1, 5),
        st.integers(0, 4),
    ),
    st.just(("heartbeat",)),
    st.just(("trade",)),
    st.just(("time",)),
    st.just(("commands",)),
)


@settings(max_examples=120, deadline=None)
@given(st.lists(st.tuples(happenings, fates), max_size=60), st.data())
def test_books_recover_from_lost_doubled_and_swapped_frames(
    script: list[tuple[tuple[Any, ...], str]], data: st.DataObject
) -> None:
    played = connected(channels=(BOOK, TRADES))
    held: bytes | None = None

    def arrive(raw: bytes, fate: str) -> None:
        nonlocal held
        if fate == "drop":
            return
        if fate == "swap" and held is None:
            held = raw
            return
        played.deliver(raw)
        if fate == "double":
            played.deliver(raw)
        if held is not None:
            late, held = held, None
            played.deliver(late)

    trade = 0
    for (what, *arguments), fate in script:
        if what == "change":
            product, side, price, size = arguments
            # Asks stand above every bid, so that no book of the venue is ever crossed.
            raw = played.venue.change(product, side, price + (10 if side == "ask" else 0), size)
            if raw is not None:
                arrive(raw, fate)
        elif what == "heartbeat":
            arrive(played.venue.heartbeat(), fate)
        elif what == "trade":
            trade += 1
            arrive(played.venue.trade(trade), fate)
        elif what == "time":
            played.pass_time(1)
        else:
            for raw in played.venue.obey(played.core.take_commands()):
                arrive(raw, data.draw(fates))
        if played.core.broken:
            played.take(played.core.disconnected(played.core.broken, START))
            held = None
            played.connect()
    # From here on nothing is lost: the books come back by themselves.
    for _ in range(30):
        if played.core.broken:
            played.take(played.core.disconnected(played.core.broken, START))
            played.connect()
        played.serve()
        played.deliver(played.venue.heartbeat())
        played.pass_time(1)
    assert played.core.state == "live"
    for product, truth in played.venue.books.items():
        assert played.levels(played.core.market_of(product)) == truth


# -- the recording -----------------------------------------------------------------------------------------


def recorded(path: Path) -> Iterator[dict[str, Any]]:
    with zstandard.open(path, "rt", encoding="utf-8") as lines:
        for line in lines:
            yield json.loads(line)


@pytest.mark.recordings
def test_the_recording_has_no_hole_and_agrees_with_its_own_tickers(recordings: Path) -> None:
    core = CoinbaseSession("recording", channels=(BOOK, TRADES, TICKERS, BARS), options=LISTENING)
    books: dict[str, Book] = {}
    trades: list[Trade] = []
    agreed = compared = 0
    for record in recorded(recordings / "cryptofeed-coinbase.jsonl.zst"):
        if record["t"] == "connect":
            core.connected(record["conn"], (), 0, 0)
        if record["t"] != "recv":
            continue
        for event in core.receive(record["data"], round(record["ts"] * NANO), 0):
            assert not isinstance(event, Incident | BookStale)
            if isinstance(event, BookUpdate):
                books.setdefault(event.market, Book(event.market)).apply(event)
            elif isinstance(event, Trade):
                trades.append(event)
            elif isinstance(event, Ticker) and event.market in books:
                view = books[event.market].view(1)
                compared += 1
                agreed += (view.bids[0].price, view.asks[0].price) == (event.bid, event.ask)
    assert core.counts == {
        "l2_data": 775,
        "ticker": 160,
        "market_trades": 59,
        "trades before the subscription": 200,
        "heartbeats": 25,
        "candles": 6,
        "subscriptions": 5,
    }
    tally = core.tally
    assert (tally.frames, tally.updates) == (1030, 775)
    assert (tally.gaps, tally.dropped, tally.repeated, tally.malformed, core.faults.total) == (0, 0, 0, 0, 0)
    assert core.live_markets() == books.keys() == {BTC, ETH}
    # Ids of a market have no hole, and times no step back: they leave in the order in which they were made.
    for market in (BTC, ETH):
        made = [trade for trade in trades if trade.market == market]
        first = int(made[0].trade_id)
        assert [int(trade.trade_id) for trade in made] == list(range(first, first + len(made)))
        assert all(one.ts_event <= other.ts_event for one, other in itertools.pairwise(made))
    # The ticker is of another moment than the book now and then, and no sequence joins them.
    assert compared > 150
    assert agreed / compared > 0.8


@pytest.mark.recordings
def test_a_lost_frame_of_the_recording_is_exactly_one_gap(recordings: Path) -> None:
    frames = [
        record["data"]
        for record in recorded(recordings / "cryptofeed-coinbase.jsonl.zst")
        if record["t"] == "recv" and len(record["data"]) < 100_000
    ]
    core = CoinbaseSession("recording", options=LISTENING)
    core.connected("c", (), 0, 0)
    # The two snapshots are left out, too: they are holes of their own.
    for raw in [*frames[:500], *frames[501:]]:
        core.receive(raw, 0, 0)
    assert (core.tally.gaps, core.tally.lost) == (3, 3)
    assert core.tally.dropped > 700
    assert core.live_markets() == set()
