"""Kraken's session, version 2: books proven by checksums, cut to their depth, and how they recover."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any
from zlib import crc32

import pytest
import zstandard
from hypothesis import given, settings
from hypothesis import strategies as st

from actors.market.book import Book
from actors.market.session_core import BARS, BOOK, SECOND, TICKERS, TRADES, Event, Incident, SessionOptions
from actors.market.sessions.checked_book import CheckedBook
from actors.market.sessions.kraken import KrakenSession
from protocols.market import Bar, BookStale, BookUpdate, LevelChange, MarketStatus, Ticker, Trade
from protocols.nanos import NANO, NumberFaults
from protocols.venues import kraken, kraken_v1
from protocols.venues.errors import WireError
from tests.protocols.venues.test_kraken import EXAMPLE

BTC, ETH = "BTC-USD.KRAKEN", "ETH-USD.KRAKEN"
START = 1_786_309_548 * NANO
TIME = "2026-08-09T21:05:48.000000Z"
DEPTH = 10
SHALLOW = SessionOptions(depth=DEPTH)
Sides = dict[str, dict[int, int]]


def price_text(price: int) -> str:
    return f"{price}.0"


def size_text(size: int) -> str:
    return f"{size}.00000000"


def expected_checksum(book: Sides) -> int:
    """Computed from scratch, on its own."""
    asks = sorted(book["ask"].items())[:10]
    bids = sorted(book["bid"].items(), reverse=True)[:10]
    text = "".join(f"{price}0{size}00000000" for price, size in asks + bids)
    return crc32(text.encode())


class Venue:
    """A model of the venue's side: books as deep as they are subscribed, and their checksums."""

    def __init__(self, symbols: Iterable[str] = ("BTC/USD", "ETH/USD"), depth: int = DEPTH) -> None:
        self.books: dict[str, Sides] = {symbol: {"bid": {}, "ask": {}} for symbol in symbols}
        self.depth = depth
        self.subscribed: set[str] = set()

    def visible(self, symbol: str) -> Sides:
        book = self.books[symbol]
        return {
            "bid": dict(sorted(book["bid"].items(), reverse=True)[: self.depth]),
            "ask": dict(sorted(book["ask"].items())[: self.depth]),
        }

    def frame(self, kind: str, symbol: str, levels: Sides) -> bytes:
        sides = ",".join(
            f'"{side}s":['
            + ",".join(
                f'{{"price":{price_text(price)},"qty":{size_text(size)}}}' for price, size in levels[side].items()
            )
            + "]"
            for side in ("bid", "ask")
        )
        checksum = expected_checksum(self.visible(symbol))
        body = f'{{"symbol":"{symbol}",{sides},"checksum":{checksum},"timestamp":"{TIME}"}}'
        return f'{{"channel":"book","type":"{kind}","data":[{body}]}}'.encode()

    def snapshot(self, symbol: str) -> bytes:
        return self.frame("snapshot", symbol, self.visible(symbol))

    def change(self, symbol: str, side: str, price: int, size: int) -> bytes | None:
        """Change a level. Of what was beyond the depth and comes into it again, the venue tells in the same message."""
        before = self.visible(symbol)
        if size:
            self.books[symbol][side][price] = size
        else:
            self.books[symbol][side].pop(price, None)
        if symbol not in self.subscribed:
            return None
        after = self.visible(symbol)
        told: Sides = {"bid": {}, "ask": {}}
        if size == 0 and price in before[side]:
            told[side][price] = 0
        for each, level in after[side].items():
            if before[side].get(each) != level:
                told[side][each] = level
        # Of levels that fall out of the depth nothing is said.
        return self.frame("update", symbol, told) if told["bid"] or told["ask"] else None

    def obey(self, commands: Iterable[bytes]) -> Iterator[bytes]:
        for raw in commands:
            command = kraken.decode_command(raw)
            if command.params is None:
                yield b'{"method":"pong"}'
                continue
            for symbol in command.params.symbol:
                head = f'"method":"{command.method}","time_in":"{TIME}","time_out":"{TIME}"'
                if symbol not in self.books:
                    error = f"Currency pair not supported {symbol}"
                    yield f'{{"error":"{error}",{head},"success":false,"symbol":"{symbol}"}}'.encode()
                    continue
                result = f'"result":{{"channel":"{command.params.channel}","symbol":"{symbol}"}}'
                yield f'{{{head},{result},"success":true}}'.encode()
                if command.params.channel == "book":
                    if command.method == "subscribe":
                        self.subscribed.add(symbol)
                        yield self.snapshot(symbol)
                    else:
                        self.subscribed.discard(symbol)


class Played:
    """A session core and the keepers' books behind it."""

    def __init__(self, core: KrakenSession, venue: Venue) -> None:
        self.core = core
        self.venue = venue
        self.books: dict[str, Book] = {}
        self.events: list[Event] = []
        self.now = 0
        self.connections = 0
        self.seen: set[tuple[str, int]] = set()

    def connect(self) -> None:
        self.connections += 1
        self.venue.subscribed.clear()
        self.core.connected(f"c{self.connections}", (), START + self.now, self.now)

    def serve(self) -> None:
        for raw in self.venue.obey(self.core.take_commands()):
            self.deliver(raw)

    def deliver(self, raw: bytes) -> list[Event]:
        events = self.core.receive(raw, START + self.now, self.now)
        self.take(events)
        return events

    def take(self, events: list[Event]) -> None:
        self.events += events
        for event in events:
            if isinstance(event, BookUpdate):
                assert (event.session, event.seq) not in self.seen, "applied twice"
                self.seen.add((event.session, event.seq))
                self.books.setdefault(event.market, Book(event.market)).apply(event)
            elif isinstance(event, BookStale):
                self.books[event.market].mark_stale(event.reason)

    def levels(self, market: str) -> Sides:
        view = self.books[market].view()
        return {
            side: {level.price // NANO: level.size // NANO for level in levels}
            for side, levels in (("bid", view.bids), ("ask", view.asks))
        }

    def pass_time(self, seconds: float) -> list[Event]:
        self.now += round(seconds * SECOND)
        events = self.core.tick(START + self.now, self.now)
        self.take(events)
        return events

    def incidents(self, kind: str) -> list[str]:
        return [event.detail for event in self.events if isinstance(event, Incident) and event.kind == kind]

    def stale(self) -> list[tuple[str, str]]:
        return [(event.market, event.reason) for event in self.events if isinstance(event, BookStale)]


def connected(
    *markets: str, channels: tuple[str, ...] = (BOOK,), options: SessionOptions = SHALLOW, levels: int = 3
) -> Played:
    """A connection whose books are current, `levels` a side."""
    played = Played(KrakenSession("kr", markets or (BTC, ETH), channels, options), Venue())
    for book in played.venue.books.values():
        for at in range(levels):
            book["bid"][50 - at] = at + 1
            book["ask"][51 + at] = at + 1
    played.connect()
    played.serve()
    return played


def sent(commands: Iterable[bytes]) -> list[tuple[str, str, tuple[str, ...]]]:
    decoded = [kraken.decode_command(command) for command in commands]
    return [
        (command.method, command.params.channel, command.params.symbol)
        for command in decoded
        if command.params is not None
    ]


# -- names and options -------------------------------------------------------------------------------------


def test_the_last_dash_of_a_market_is_the_venues_slash() -> None:
    assert KrakenSession.market_of("BTC/USD") == BTC
    assert KrakenSession.symbol_of(BTC) == "BTC/USD"
    assert KrakenSession.symbol_of("A-B-USD.KRAKEN") == "A-B/USD"
    assert KrakenSession.canonical("BTC/USD") == KrakenSession.canonical(BTC) == BTC


def test_what_the_venue_cannot_do_is_refused() -> None:
    with pytest.raises(ValueError, match="offers a depth of 10, 25, 100, 500, 1000, not 50"):
        KrakenSession("kr", options=SessionOptions(depth=50))
    with pytest.raises(ValueError, match="offers bars of"):
        KrakenSession("kr", options=SessionOptions(bars=("2m",)))
    assert KrakenSession("kr").depth == 1000


def test_channels_are_subscribed_as_the_venue_calls_them() -> None:
    options = SessionOptions(depth=25, bars=("1m", "1h"))
    core = KrakenSession("kr", (BTC,), (BOOK, TRADES, TICKERS, BARS), options)
    core.connected("c1", (), START, 0)
    params = [json.loads(command)["params"] for command in core.take_commands()]
    assert params == [
        {"channel": "book", "symbol": ["BTC/USD"], "depth": 25},
        {"channel": "trade", "symbol": ["BTC/USD"], "snapshot": False},
        {"channel": "ticker", "symbol": ["BTC/USD"]},
        {"channel": "ohlc", "symbol": ["BTC/USD"], "interval": 1, "snapshot": False},
        {"channel": "ohlc", "symbol": ["BTC/USD"], "interval": 60, "snapshot": False},
    ]


# -- checksums and depth -----------------------------------------------------------------------------------


def test_the_vendors_example_is_proven_and_handed_on() -> None:
    core = KrakenSession("kr", (BTC,), (BOOK,), SHALLOW)
    core.connected("c1", (), START, 0)
    (update,) = core.receive(EXAMPLE, START, 0)
    assert isinstance(update, BookUpdate)
    assert (core.tally.checked, core.tally.mismatched) == (1, 0)
    assert len(update.changes) == 20
    assert update.changes[0] == LevelChange("bid", 45_283_500_000_000, 100_000_000)
    assert update.ts_event == 1_696_613_755_440_295_000


def test_the_vendors_example_with_another_digit_is_not_handed_on() -> None:
    core = KrakenSession("kr", (BTC,), (BOOK,), SHALLOW)
    core.connected("c1", (), START, 0)
    events = core.receive(EXAMPLE.replace("1.54582015", "1.54582016"), START, 0)
    assert [event.kind for event in events if isinstance(event, Incident)] == ["checksum"]
    assert not any(isinstance(event, BookUpdate) for event in events)
    assert core.tally.mismatched == 1


def test_numbers_that_came_without_their_last_zeros_are_proven_with_them() -> None:
    # The example of docs.kraken.com, page of the channel "book" (WebSocket v2): 0.566 and 18097.1547 among numbers of
    # four and eight decimals.
    bids = "5666 4831.75496356 5665 6658.22734739 5664 18724.91513344 5663 11563.92544914 5662 14006.65365711 "
    bids += "5661 17454.85679807 566 18097.1547 5659 33644.89175666 5658 148.3464 5657 606.70854372"
    asks = "5668 4410.79769741 5669 4655.40412487 567 49844.89424998 5671 24306.41678 5672 29783.25223475 "
    asks += "5673 57234.71239278 5674 45065.04744 5675 5912.76380354 5676 42514.92434778 5677 36304.0847022"
    book = CheckedBook(10)
    sides = []
    for text in (bids, asks):
        words = text.split()
        sides.append([(f"0.{price}", size) for price, size in zip(words[::2], words[1::2], strict=True)])
    book.load(sides[0], sides[1], NumberFaults())
    assert book.matches(2439117997)
    assert not book.matches(2439117998)


def test_levels_that_fall_out_of_the_depth_are_removed_in_so_many_words() -> None:
    # A better bid comes into a book that is full.
    played = connected(BTC, levels=DEPTH)
    del played.venue.books["BTC/USD"]["ask"][51]
    played.connect()
    played.serve()
    raw = played.venue.change("BTC/USD", "bid", 51, 9)
    assert raw is not None
    (update,) = played.deliver(raw)
    assert isinstance(update, BookUpdate)
    assert update.changes == (LevelChange("bid", 51 * NANO, 9 * NANO), LevelChange("bid", 41 * NANO, 0))
    assert played.levels(BTC) == played.venue.visible("BTC/USD")


def test_a_wrong_checksum_makes_that_book_stale_before_anybody_sees_the_update() -> None:
    played = connected()
    played.pass_time(2)
    raw = played.venue.change("BTC/USD", "bid", 50, 9)
    assert raw is not None
    wrong = json.loads(raw)
    wrong["data"][0]["checksum"] ^= 1
    events = played.deliver(json.dumps(wrong).encode())
    assert not any(isinstance(event, BookUpdate) for event in events)
    assert played.stale() == [(BTC, "checksum")]
    assert (played.core.tally.mismatched, played.core.stale_markets()) == (1, {BTC})
    commands = played.core.take_commands()
    assert sent(commands) == [("unsubscribe", "book", ("BTC/USD",)), ("subscribe", "book", ("BTC/USD",))]
    # One recovery is in flight; what comes meanwhile is dropped.
    again = played.venue.change("BTC/USD", "bid", 50, 8)
    assert again is not None
    assert played.deliver(again) == []
    assert (played.core.tally.dropped, played.core.take_commands()) == (1, [])
    for answer in played.venue.obey(commands):
        played.deliver(answer)
    assert played.core.state == "live"
    assert played.levels(BTC) == played.venue.visible("BTC/USD")
    assert len({update.session for update in played.events if isinstance(update, BookUpdate)}) == 3


def test_a_lost_update_shows_in_the_next_checksum() -> None:
    played = connected()
    assert played.venue.change("BTC/USD", "bid", 50, 9) is not None
    raw = played.venue.change("BTC/USD", "ask", 51, 9)
    assert raw is not None
    played.deliver(raw)
    assert played.stale() == [(BTC, "checksum")]


def test_an_update_before_any_snapshot_is_dropped() -> None:
    core = KrakenSession("kr", (BTC,), (BOOK,), SHALLOW)
    core.connected("c1", (), START, 0)
    venue = Venue()
    venue.subscribed.add("BTC/USD")
    raw = venue.change("BTC/USD", "bid", 50, 9)
    assert raw is not None
    assert core.receive(raw, START, 0) == []
    assert core.tally.dropped == 1


def test_a_price_out_of_range_counts_in_the_checksum_and_is_in_no_update() -> None:
    core = KrakenSession("kr", (BTC,), (BOOK,), SHALLOW)
    core.connected("c1", (), START, 0)
    sum_ = crc32(b"100000000000" + b"100000000" + b"10" + b"100000000")
    raw = (
        '{"channel":"book","type":"snapshot","data":[{"symbol":"BTC/USD","bids":[{"price":1.0,"qty":1.00000000}],'
        '"asks":[{"price":10000000000.0,"qty":1.00000000}],"checksum":%d}]}'
    )
    (update,) = core.receive(raw.replace("%d", str(sum_)), START, 0)
    assert isinstance(update, BookUpdate)
    assert update.changes == (LevelChange("bid", NANO, NANO),)
    assert core.faults.dropped == 1


def test_two_prices_that_differ_beyond_nanos_stay_two_for_the_checksum() -> None:
    book, faults = CheckedBook(10), NumberFaults()
    book.load([("0.0000000011", "1.0"), ("0.0000000012", "2.0")], [], faults)
    assert book.checksum() == crc32(b"12" + b"20" + b"11" + b"10")
    assert faults.truncated == 2


def test_a_number_that_is_none_makes_that_book_stale() -> None:
    played = connected()
    raw = '{"channel":"book","type":"update","data":[{"symbol":"BTC/USD","bids":[{"price":"x","qty":1}],"checksum":1}]}'
    played.deliver(raw.encode())
    assert played.stale() == [(BTC, "malformed")]
    assert played.core.live_markets() == {ETH}


def test_a_book_frame_that_does_not_fit_makes_all_books_stale() -> None:
    played = connected()
    played.deliver(b'{"channel":"book","type":"update","data":[{"symbol":7}]}')
    assert played.stale() == [(BTC, "malformed"), (ETH, "malformed")]
    with pytest.raises(WireError):
        played.deliver(b"{")


# -- subscriptions -----------------------------------------------------------------------------------------


def test_a_pair_that_the_venue_does_not_know_is_given_up() -> None:
    played = connected(BTC, "NO-USD.KRAKEN")
    assert played.core.rejected == {"NO-USD.KRAKEN"}
    assert played.incidents("rejected") == ["NO-USD.KRAKEN: NO/USD: Currency pair not supported NO/USD"]
    assert played.core.state == "live"
    for _ in range(20):
        played.pass_time(1)
        played.serve()
    assert (played.core.state, played.core.broken) == ("live", "")


def test_a_snapshot_that_does_not_come_ends_the_connection_in_the_end() -> None:
    core = KrakenSession("kr", (BTC,), (BOOK,), SHALLOW)
    core.connected("c1", (), START, 0)
    now = rounds = 0
    core.take_commands()
    while not core.broken:
        now += SECOND
        core.tick(START, now)
        rounds += bool(core.take_commands())
    assert rounds == 2


def test_a_subscription_that_the_venue_ends_is_made_again() -> None:
    played = connected()
    played.pass_time(2)
    played.venue.subscribed.discard("ETH/USD")
    played.deliver(b'{"method":"unsubscribe","result":{"channel":"book","symbol":"ETH/USD"},"success":true}')
    assert played.stale() == [(ETH, "unsubscribed")]
    played.serve()
    assert played.core.state == "live"


def test_following_and_following_no_more() -> None:
    played = connected(BTC)
    played.core.follow([ETH], START, played.now)
    played.serve()
    assert played.core.live_markets() == {BTC, ETH}
    played.take(played.core.unfollow([BTC], START, played.now))
    assert played.stale() == [(BTC, "unfollowed")]
    assert sent(played.core.take_commands()) == [("unsubscribe", "book", ("BTC/USD",))]
    raw = played.venue.change("BTC/USD", "bid", 50, 9)
    assert raw is not None
    assert played.deliver(raw) == []
    assert played.core.state == "live"


def test_a_keeper_that_lost_its_way_gets_a_snapshot() -> None:
    played = connected()
    played.pass_time(2)
    played.core.request_snapshot(BTC, played.now)
    assert played.core.stale_markets() == {BTC}
    played.serve()
    assert played.core.state == "live"


def test_silence_asks_for_a_pong() -> None:
    played = connected()
    played.core.silent(0)
    assert [json.loads(command) for command in played.core.take_commands()] == [{"method": "ping"}]


# -- the rest ----------------------------------------------------------------------------------------------


def test_a_stop_of_the_trading_engine_pauses_every_market() -> None:
    played = connected()
    status = '{"channel":"status","type":"update","data":[{"system":"%s"}]}'
    assert played.deliver(status.replace("%s", "online").encode()) == []
    stopped = played.deliver(status.replace("%s", "maintenance").encode())
    assert [(event.market, event.phase) for event in stopped if isinstance(event, MarketStatus)] == [
        (BTC, "paused"),
        (ETH, "paused"),
    ]
    assert played.deliver(status.replace("%s", "cancel_only").encode()) == []
    assert [type(event).__name__ for event in played.deliver(status.replace("%s", "online").encode())] == [
        "Incident",
        "MarketStatus",
        "MarketStatus",
    ]


def test_new_trades_are_handed_on_and_those_before_the_subscription_are_not() -> None:
    played = connected(channels=(TRADES,))
    raw = (
        '{"channel":"trade","type":"%s","data":[{"symbol":"BTC/USD","side":"buy","price":5.1,"qty":2.0,'
        f'"ord_type":"limit","trade_id":7,"timestamp":"{TIME}"}}]}}'
    )
    assert played.deliver(raw.replace("%s", "snapshot").encode()) == []
    (trade,) = played.deliver(raw.replace("%s", "update").encode())
    assert isinstance(trade, Trade)
    assert (trade.market, trade.taker, trade.trade_id) == (BTC, "buy", "7")


def test_tickers_are_handed_on() -> None:
    played = connected(channels=(TICKERS,))
    (ticker,) = played.deliver(b'{"channel":"ticker","type":"snapshot","data":[{"symbol":"BTC/USD","bid":5.1}]}')
    assert isinstance(ticker, Ticker)
    assert (ticker.market, ticker.bid, ticker.ask) == (BTC, 5_100_000_000, None)


def test_a_bar_is_handed_on_once_when_the_next_one_begins() -> None:
    played = connected(channels=(BARS,))

    def ohlc(begin: str, close: float) -> list[Event]:
        body = (
            f'{{"symbol":"BTC/USD","open":1.0,"high":9.0,"low":0.5,"close":{close},"trades":3,"volume":2.5,"vwap":1.5,'
            f'"interval_begin":"2026-08-09T21:{begin}:00.000000000Z","interval":1,"timestamp":"{TIME}"}}'
        )
        return played.deliver(f'{{"channel":"ohlc","type":"update","data":[{body}]}}'.encode())

    assert ohlc("00", 2.0) == []
    assert ohlc("00", 3.0) == []
    (bar,) = ohlc("02", 4.0)
    assert isinstance(bar, Bar)
    assert (bar.interval, bar.close, bar.trades, bar.volume) == ("1m", 3 * NANO, 3, "2.5")
    assert ohlc("00", 5.0) == []
    # The clock of other messages closes the last one.
    raw = played.venue.snapshot("BTC/USD").replace(TIME.encode(), b"2026-08-09T21:03:10Z")
    played.core.receive(raw, START, 0)
    assert [type(event).__name__ for event in played.pass_time(1)] == ["Bar"]


def test_a_listener_learns_depth_and_markets_from_frames_and_asks_for_nothing() -> None:
    core = KrakenSession("replay", options=SessionOptions(listening=True))
    core.connected("c1", (), START, 0)
    core.receive(
        '{"method":"subscribe","result":{"channel":"book","depth":10,"symbol":"BTC/USD"},"success":true}', START, 0
    )
    venue = Venue()
    venue.subscribed.add("BTC/USD")
    for at in range(10):
        venue.books["BTC/USD"]["bid"][10 + at] = 1
    (snapshot,) = core.receive(venue.snapshot("BTC/USD"), START, 0)
    assert isinstance(snapshot, BookUpdate)
    raw = venue.change("BTC/USD", "bid", 30, 1)
    assert raw is not None
    (update,) = core.receive(raw, START, 0)
    assert isinstance(update, BookUpdate)
    assert LevelChange("bid", 10 * NANO, 0) in update.changes
    core.request_snapshot(BTC, 10 * SECOND)
    core.silent(10 * SECOND)
    core.tick(START, 10 * SECOND)
    assert core.take_commands() == []
    assert core.stale_markets() == {BTC}


# -- everything at once ------------------------------------------------------------------------------------

fates = st.sampled_from(["pass"] * 6 + ["drop", "double", "swap", "corrupt"])
happenings = st.one_of(
    st.tuples(
        st.just("change"),
        st.sampled_from(["BTC/USD", "ETH/USD"]),
        st.sampled_from(["bid", "ask"]),
        st.integers(1, 16),
        st.integers(0, 4),
    ),
    st.just(("time",)),
    st.just(("commands",)),
)


@settings(max_examples=120, deadline=None)
@given(st.lists(st.tuples(happenings, fates), max_size=60), st.data())
def test_books_recover_from_lost_doubled_swapped_and_corrupted_frames(
    script: list[tuple[tuple[Any, ...], str]], data: st.DataObject
) -> None:
    played = connected(levels=DEPTH)
    # The visible book when a frame was sent; as deep as the checksum, so it proves all of it.
    truths: dict[bytes, tuple[str, Sides]] = {}
    held: bytes | None = None

    def deliver(raw: bytes) -> None:
        played.deliver(raw)
        if raw in truths:
            symbol, truth = truths[raw]
            market = played.core.market_of(symbol)
            if market in played.core.live_markets():
                assert played.levels(market) == truth
                assert played.books[market].stale == ""

    def arrive(raw: bytes, fate: str) -> None:
        nonlocal held
        if fate == "drop":
            return
        if fate == "corrupt":
            raw = raw.replace(b'"checksum":', b'"checksum":1')
        elif fate == "swap" and held is None:
            held = raw
            return
        deliver(raw)
        if fate == "double":
            deliver(raw)
        if held is not None:
            late, held = held, None
            deliver(late)

    def answers() -> Iterator[bytes]:
        for raw in played.venue.obey(played.core.take_commands()):
            symbol = json.loads(raw).get("data", [{}])[0].get("symbol")
            if symbol:
                truths[raw] = (symbol, played.venue.visible(symbol))
            yield raw

    for (what, *arguments), fate in script:
        if what == "change":
            symbol, side, price, size = arguments
            raw = played.venue.change(symbol, side, price + (50 if side == "ask" else 34), size)
            if raw is not None:
                truths[raw] = (symbol, played.venue.visible(symbol))
                arrive(raw, fate)
        elif what == "time":
            played.pass_time(1)
        else:
            for raw in answers():
                arrive(raw, data.draw(fates))
        if played.core.broken:
            played.take(played.core.disconnected(played.core.broken, START))
            held = None
            played.connect()
    # From here on nothing is lost. The venue has no sequence: what was lost last shows with the next update.
    for turn in range(30):
        if played.core.broken:
            played.take(played.core.disconnected(played.core.broken, START))
            played.connect()
        for raw in answers():
            deliver(raw)
        for symbol in played.venue.books:
            for side, price in (("bid", 50), ("ask", 51)):
                raw = played.venue.change(symbol, side, price, 100 + turn)
                if raw is not None:
                    truths[raw] = (symbol, played.venue.visible(symbol))
                    deliver(raw)
        played.pass_time(1)
    assert played.core.state == "live"
    for symbol in played.venue.books:
        assert played.levels(played.core.market_of(symbol)) == played.venue.visible(symbol)


# -- a recording of version 1, in the form of version 2 ----------------------------------------------------


@pytest.mark.recordings
def test_every_checksum_of_the_recording_is_right_when_its_digits_are_json_numbers(recordings: Path) -> None:
    core = KrakenSession("recording", options=SessionOptions(listening=True))
    core.connected("c1", (), 0, 0)

    def side(levels: tuple[tuple[str, ...], ...]) -> str:
        return ",".join(f'{{"price":{price},"qty":{size}}}' for price, size, *_ in levels)

    with zstandard.open(recordings / "cryptofeed-kraken.jsonl.zst", "rt", encoding="utf-8") as lines:
        for record in map(json.loads, lines):
            frame = kraken_v1.decode(record["data"]) if record["t"] == "recv" else None
            if not isinstance(frame, kraken_v1.BookFrame):
                continue
            kind = "snapshot" if frame.snapshot else "update"
            checksum = "" if frame.checksum is None else f',"checksum":{frame.checksum}'
            body = f'{{"symbol":"{frame.pair}","bids":[{side(frame.bids)}],"asks":[{side(frame.asks)}]{checksum}}}'
            core.receive(f'{{"channel":"book","type":"{kind}","data":[{body}]}}', 0, 0)
    assert (core.tally.frames, core.tally.updates) == (4279, 4279)
    assert (core.tally.checked, core.tally.mismatched) == (4269, 0)
