"""A Binance session against a small model of the venue whose frames and answers are lost, doubled and reordered."""

from __future__ import annotations

import json
import random
from bisect import bisect_right

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from actors.market.book import Book
from actors.market.session_core import BOOK, TRADES, Event, SessionOptions
from actors.market.sessions.binance import BinanceSpotSession, BinanceUsdmSession
from actors.market.sessions.binance_core import BinanceSession
from protocols.market import BookStale, BookUpdate, Trade
from protocols.nanos import NANO
from protocols.venues.binance import DepthUpdate, TradeEvent, encode
from protocols.venues.binance_commands import depth_stream, trade_stream
from protocols.venues.rest import RestCall

SYMBOLS = ("A", "B", "C")
TS = 1_723_161_255_000_000_000
Levels = dict[int, int]


class Exchange:
    """Books that change. `history` of a symbol: (update id, bids, asks) after every change."""

    def __init__(self, seed: int, futures: bool) -> None:
        self.random = random.Random(seed)
        self.futures = futures
        self.id = 1000
        self.ids = dict.fromkeys(SYMBOLS, 500)
        self.sent = dict.fromkeys(SYMBOLS, 500)
        self.trades = dict.fromkeys(SYMBOLS, 0)
        self.books: dict[str, tuple[Levels, Levels]] = {name: ({40: 1}, {60: 1}) for name in SYMBOLS}
        self.history: dict[str, list[tuple[int, Levels, Levels]]] = {
            name: [(500, {40: 1}, {60: 1})] for name in SYMBOLS
        }

    def _next_id(self, name: str) -> int:
        if not self.futures:
            return self.ids[name] + 1
        # All symbols count together, and some ids are nobody's.
        self.id += self.random.randint(1, 3)
        return self.id

    def frame(self) -> bytes:
        """Some changes of one symbol, as one event; now and then a trade instead."""
        name = self.random.choice(SYMBOLS)
        if self.random.random() < 0.2:
            self.trades[name] += 1
            trade = TradeEvent(
                event_time=1,
                trade_time=1,
                symbol=name,
                trade_id=self.trades[name],
                price="50",
                quantity="1",
                buyer_is_maker=True,
            )
            return encode(trade, trade_stream(name))
        touched: tuple[Levels, Levels] = ({}, {})
        first = 0
        for _ in range(self.random.randint(1, 3)):
            id = self._next_id(name)
            first = first or id
            self.ids[name] = id
            side = self.random.randint(0, 1)
            price = self.random.randint(30, 49) + side * 20
            size = self.random.choice((0, 0, 1, 2, 3))
            touched[side][price] = size
            if size:
                self.books[name][side][price] = size
            else:
                self.books[name][side].pop(price, None)
            self.history[name].append((id, dict(self.books[name][0]), dict(self.books[name][1])))
        event = DepthUpdate(
            event_time=1,
            symbol=name,
            first=first,
            last=self.ids[name],
            previous=self.sent[name] if self.futures else None,
            bids=tuple((str(price), str(size)) for price, size in touched[0].items()),
            asks=tuple((str(price), str(size)) for price, size in touched[1].items()),
        )
        self.sent[name] = self.ids[name]
        return encode(event, depth_stream(name))

    def snapshot(self, name: str, lag: int) -> bytes:
        """The book as it was `lag` changes ago: answers come from copies that may be behind."""
        past = self.history[name]
        id, bids, asks = past[max(len(past) - 1 - lag, 0)]
        text = {"lastUpdateId": id, "bids": [], "asks": []}
        for side, levels in (("bids", bids), ("asks", asks)):
            text[side] = [[str(price), str(size)] for price, size in levels.items()]
        return json.dumps(text).encode()

    def truth(self, name: str, id: int) -> tuple[Levels, Levels]:
        past = self.history[name]
        _, bids, asks = past[bisect_right(past, id, key=lambda entry: entry[0]) - 1]
        return bids, asks


class Client:
    """A session with its books. Every book that is current must be what the venue had at that update."""

    def __init__(self, kind: type[BinanceSession], exchange: Exchange) -> None:
        self.exchange = exchange
        self.markets = {kind.market_of(name): name for name in SYMBOLS}
        self.core = kind("feed", list(self.markets), (BOOK, TRADES), SessionOptions(recovery_s=5.0))
        self.books = {market: Book(market) for market in self.markets}
        self.trades: list[tuple[str, int]] = []
        self.now = 0
        self.connections = 0
        self.calls: list[RestCall] = []
        self.connect()

    def connect(self) -> None:
        self.connections += 1
        self.calls.clear()
        self.core.connected(f"c{self.connections}", (), TS, self.now)
        for command in self.core.take_commands():
            self.take(self.core.receive(json.dumps({"result": None, "id": json.loads(command)["id"]}), TS, self.now))

    def disconnect(self) -> None:
        self.take(self.core.disconnected("closed", TS))
        assert all(book.stale for book in self.books.values())
        self.connect()

    def receive(self, frame: bytes) -> None:
        self.take(self.core.receive(frame, TS, self.now))

    def answer(self, at: int, how: str, lag: int) -> None:
        if not self.calls:
            return
        call = self.calls.pop(at % len(self.calls))
        if how == "lost":
            self.take(self.core.failed(call, "lost", TS, self.now))
        elif how == "refused":
            self.take(self.core.answered(call, 503, b"", TS, self.now))
        else:
            body = self.exchange.snapshot(self.markets[call.market], lag)
            self.take(self.core.answered(call, 200, body, TS, self.now))

    def wait(self, seconds: float) -> None:
        self.now += round(seconds * NANO)
        self.take(self.core.tick(TS, self.now))

    def take(self, events: list[Event]) -> None:
        for event in events:
            if isinstance(event, BookStale):
                self.books[event.market].mark_stale(event.reason)
            elif isinstance(event, BookUpdate):
                # A sequence that does not rise, or a book that crosses, raises Gap.
                self.books[event.market].apply(event)
                self.check(event.market)
            elif isinstance(event, Trade):
                self.trades.append((event.session, event.seq))
        self.calls += self.core.take_calls()
        for market in self.core.live_markets():
            assert not self.books[market].stale
        for market in self.core.stale_markets():
            assert self.books[market].stale

    def check(self, market: str) -> None:
        book = self.books[market]
        view = book.view()
        bids, asks = self.exchange.truth(self.markets[market], book.seq)
        assert {level.price // NANO: level.size // NANO for level in view.bids} == bids
        assert {level.price // NANO: level.size // NANO for level in view.asks} == asks


# Mostly all goes well: else no book would be current when something is lost.
STEPS = st.lists(
    st.sampled_from(
        [("frame", "deliver")] * 16
        + [("frame", "drop"), ("frame", "double"), ("frame", "delay")]
        + [("answer", "fine")] * 6
        + [("answer", "lost"), ("answer", "refused")]
        + [("wait", "0.1"), ("wait", "0.6"), ("wait", "0.6")]
        + [("disconnect", "")]
    ),
    min_size=100,
    max_size=200,
)


@pytest.mark.parametrize("kind", [BinanceSpotSession, BinanceUsdmSession])
@settings(max_examples=100, deadline=None)
@given(seed=st.integers(0, 10_000), steps=STEPS)
def test_whatever_is_lost_doubled_or_reordered_no_wrong_book_is_current_and_all_recover(
    kind: type[BinanceSession], seed: int, steps: list[tuple[str, str]]
) -> None:
    exchange = Exchange(seed, futures=kind is BinanceUsdmSession)
    chance = random.Random(seed)
    client = Client(kind, exchange)
    delayed: list[bytes] = []
    for step, how in steps:
        if step == "frame":
            frame = exchange.frame()
            if how == "delay":
                delayed.append(frame)
                continue
            for _ in range({"drop": 0, "double": 2}.get(how, 1)):
                client.receive(frame)
            while delayed:
                client.receive(delayed.pop(chance.randrange(len(delayed))))
        elif step == "answer":
            client.answer(chance.randrange(9), how, chance.choice((0, 0, 1, 4)))
        elif step == "wait":
            client.wait(float(how))
        else:
            # What was on its way is lost with the connection.
            delayed.clear()
            client.disconnect()
    assert len(set(client.trades)) == len(client.trades)
    # Nothing more is lost: every market says something, and soon every book is right.
    for _ in range(60):
        client.receive(exchange.frame())
    for _ in range(50):
        client.wait(31)
        while client.calls:
            client.answer(0, "fine", 0)
        if client.core.state == "live":
            break
    assert client.core.state == "live"
    for market, name in client.markets.items():
        client.check(market)
        assert client.books[market].seq == exchange.ids[name]
