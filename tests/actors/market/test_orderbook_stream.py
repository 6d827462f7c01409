"""Books over a WebSocket: what a client builds is the keeper's book, whatever is lost on the way."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from random import Random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from trio_websocket import WebSocketConnection, open_websocket_url

from actors.market.orderbook_stream_core import BACKLOG_BYTES, BookFanOut, Client
from protocols.control import Probe
from protocols.market import BookStale, BookUpdate, BookView, GetBook, LevelChange
from protocols.market_data import ORDERBOOK_STREAM
from protocols.nanos import decimal_text, exact_nanos
from protocols.orderbook_stream import (
    DeltaMessage,
    ErrorMessage,
    LaggedMessage,
    PingBooks,
    PongMessage,
    Resync,
    ServerMessage,
    SnapshotMessage,
    StaleMessage,
    SubscribeBooks,
    SubscribedMessage,
    UnsubscribeBooks,
    decode_server,
    encode_client,
)
from runtime import KillChild
from tests.actors.market.routes_kit import FEED, PERPETUAL, SPOT, YES, Api, open_api
from tests.actors.market.stored import RandomFeed

Levels = dict[str, dict[int, int]]


class Mirror:
    """A client's book of one market. Raises AssertionError where a number is missing."""

    def __init__(self) -> None:
        self.seq = 0
        self.levels: Levels = {"bid": {}, "ask": {}}
        self.stale = ""
        self.snapshots = 0
        self.lost = 0

    def take(self, message: ServerMessage) -> None:
        if isinstance(message, SnapshotMessage):
            data = message.data
            sides = {"bid": data.bids, "ask": data.asks}
            self.levels = {
                side: {exact_nanos(level.price): exact_nanos(level.size) for level in levels}
                for side, levels in sides.items()
            }
            self.stale, self.seq = data.stale, message.seq
            self.snapshots += 1
        elif isinstance(message, LaggedMessage):
            assert message.first == self.seq + 1
            assert message.last - message.first + 1 == message.count
            self.lost += message.count
        elif isinstance(message, DeltaMessage):
            assert message.seq == self.seq + 1
            self.seq = message.seq
            for change in message.data.changes:
                side, size = self.levels[change.side], exact_nanos(change.size)
                if size:
                    side[exact_nanos(change.price)] = size
                else:
                    side.pop(exact_nanos(change.price), None)
        elif isinstance(message, StaleMessage):
            assert message.seq == self.seq + 1
            self.seq, self.stale = message.seq, message.data.reason


def levels_of(view: BookView) -> Levels:
    return {
        "bid": {level.price: level.size for level in view.bids},
        "ask": {level.price: level.size for level in view.asks},
    }


# The core, with sinks that read as they are told.


class Pipe:
    """A client's socket: takes what it has room for, and gives it when it is read."""

    def __init__(self, room: int) -> None:
        self.room = room
        self.closed = False
        self.backlog_bytes = 0
        self.waiting: list[bytes] = []

    def offer_now(self, joined: bytes, count: int) -> bool:
        return self.offer_bytes(joined, count) if not self.waiting else False

    def offer_bytes(self, joined: bytes, count: int) -> bool:
        if self.closed or len(self.waiting) >= self.room:
            return False
        self.waiting.append(joined)
        self.backlog_bytes += len(joined)
        return True

    def read(self) -> list[ServerMessage]:
        said, self.waiting, self.backlog_bytes = self.waiting, [], 0
        return [message for joined in said for message in unframed(joined)]


def unframed(joined: bytes) -> list[ServerMessage]:
    found = []
    while joined:
        size, start = joined[1], 2
        if size == 126:
            size, start = int.from_bytes(joined[2:4], "big"), 4
        elif size == 127:
            size, start = int.from_bytes(joined[2:10], "big"), 10
        found.append(decode_server(joined[start : start + size]))
        joined = joined[start + size :]
    return found


@settings(max_examples=40, deadline=None)
@given(seed=st.integers(0, 10_000), room=st.integers(1, 6), steps=st.integers(5, 60))
def test_whoever_reads_slowly_is_told_and_has_the_right_book_in_the_end(seed: int, room: int, steps: int) -> None:
    chance = Random(seed)
    feed = RandomFeed(chance, "A", "B")
    opened: list[str] = []
    fan = BookFanOut(opened.append, lambda market: None)
    slow, quick = Pipe(room), Pipe(1000)
    clients = {
        Client("slow", slow): {"A": Mirror(), "B": Mirror()},
        Client("quick", quick): {"A": Mirror(), "B": Mirror()},
    }
    for market in ("A", "B"):
        feed.snapshot(market)
    for client in clients:
        fan.subscribe(client, ("A", "B"))
    assert opened == ["A", "B"]
    for step in range(steps):
        market = chance.choice(("A", "B"))
        stream = fan.streams[market]
        said = chance.random()
        if said < 0.05:
            wire = stream.stale("gap")
            if wire:
                fan.send(stream, wire)
            update = feed.same(market)
        else:
            update = feed.snapshot(market) if said < 0.1 else feed.delta(market)
        wire = stream.update(update)
        if wire:
            fan.send(stream, wire)
        elif update.snapshot and stream.begun:
            fan.renew(stream)
        if step == steps // 3:
            for each in fan.streams.values():
                assert each.begin(feed.books[each.market].view(), "feed")
                fan.renew(each)
        if chance.random() < 0.3:
            fan.sweep()
        for client, mirrors in clients.items():
            if client.sink is quick or chance.random() < 0.3:
                take(client, mirrors)
    for _ in range(10):
        fan.sweep()
        for client, mirrors in clients.items():
            take(client, mirrors)
    for client, mirrors in clients.items():
        assert not client.losses
        for market, mirror in mirrors.items():
            assert mirror.levels == levels_of(feed.books[market].view())
            assert mirror.seq == fan.streams[market].seq
            assert mirror.stale == fan.streams[market].book.stale
    assert all(
        mirror.lost == 0 for mirror in clients[next(client for client in clients if client.sink is quick)].values()
    )


def take(client: Client, mirrors: dict[str, Mirror]) -> None:
    assert isinstance(client.sink, Pipe)
    for message in client.sink.read():
        assert isinstance(message, SnapshotMessage | DeltaMessage | StaleMessage | LaggedMessage)
        mirrors[message.market].take(message)


def test_a_message_is_encoded_once_for_all_its_clients() -> None:
    feed = RandomFeed(Random(1), "A")
    fan = BookFanOut(lambda market: None, lambda market: None)
    pipes = [Pipe(10) for _ in range(5)]
    for number, pipe in enumerate(pipes):
        fan.subscribe(Client(str(number), pipe), ("A",))
    stream = fan.streams["A"]
    feed.snapshot("A")
    stream.begin(feed.books["A"].view(), "feed")
    fan.renew(stream)
    fan.send(stream, stream.update(feed.delta("A")))
    assert len({id(wire) for pipe in pipes for wire in pipe.waiting}) == 2


def test_updates_that_the_keeper_had_already_are_not_applied_twice() -> None:
    feed = RandomFeed(Random(2), "A")
    fan = BookFanOut(lambda market: None, lambda market: None)
    pipe, mirror = Pipe(10), Mirror()
    client = Client("one", pipe)
    fan.subscribe(client, ("A",))
    stream = fan.streams["A"]
    updates = [feed.snapshot("A"), *(feed.delta("A") for _ in range(1))]
    for update in updates:
        assert stream.update(update) == b""
    view = feed.books["A"].view()
    assert stream.update(feed.delta("A")) == b""
    stream.begin(view, "feed")
    fan.renew(stream)
    take(client, {"A": mirror})
    assert mirror.levels == levels_of(feed.books["A"].view())
    assert not stream.book.stale


def test_a_book_that_crosses_is_told_as_stale_and_nothing_more_until_a_snapshot() -> None:
    feed = RandomFeed(Random(3), "A")
    fan = BookFanOut(lambda market: None, lambda market: None)
    fan.subscribe(Client("one", Pipe(10)), ("A",))
    stream = fan.streams["A"]
    feed.snapshot("A")
    stream.begin(feed.books["A"].view(), "feed")
    crossing = BookUpdate("A", (LevelChange("bid", 10**9, 10**9),), "absolute", False, feed.session, feed.seq + 1, 0, 1)
    (message,) = unframed(stream.update(crossing))
    assert isinstance(message, StaleMessage)
    assert message.data.reason == "crossed"
    assert stream.update(crossing) == b""


def test_who_is_gone_is_forgotten_and_a_market_without_clients_is_closed() -> None:
    closed: list[str] = []
    fan = BookFanOut(lambda market: None, closed.append)
    first, second = Client("1", Pipe(1)), Client("2", Pipe(1))
    fan.subscribe(first, ("A", "B"))
    fan.subscribe(second, ("A",))
    fan.unsubscribe(first, ("B",))
    assert closed == ["B"]
    first.sink.closed = second.sink.closed = True  # type: ignore[misc]
    fan.sweep()
    assert closed == ["B", "A"]
    assert not fan.clients
    assert BACKLOG_BYTES >= 65_536


# Over a real socket.


class Caller:
    """A WebSocket client with its mirrors."""

    def __init__(self, socket: WebSocketConnection) -> None:
        self.socket = socket
        self.books: dict[str, Mirror] = {}

    async def say(self, message: SubscribeBooks | UnsubscribeBooks | Resync | PingBooks) -> None:
        await self.socket.send_message(encode_client(message).decode())

    async def next(self) -> ServerMessage:
        message = decode_server(await self.socket.get_message())
        if isinstance(message, SnapshotMessage | DeltaMessage | StaleMessage | LaggedMessage):
            self.books.setdefault(message.market, Mirror()).take(message)
        return message

    async def until(self, kind: type[ServerMessage]) -> ServerMessage:
        while not isinstance(message := await self.next(), kind):
            pass
        return message

    async def same(self, api: Api, market: str) -> None:
        view = await api.node.ref(f"/market/{FEED}/books/{market}").ask(GetBook())
        while market not in self.books or self.books[market].levels != levels_of(view):
            await self.next()


@asynccontextmanager
async def calling(api: Api, query: str = "") -> AsyncIterator[Caller]:
    url = api.url.replace("http://", "ws://") + "/rl/ws/orderbook" + query
    async with open_websocket_url(url, message_queue_size=1, max_message_size=64 * 1024 * 1024) as socket:
        yield Caller(socket)


async def grow(api: Api, feed: RandomFeed, *markets: str, count: int = 20) -> None:
    for _ in range(count):
        for market in markets:
            await api.say(feed.delta(market))


async def begin(api: Api, feed: RandomFeed) -> None:
    for market in feed.markets:
        await api.say(feed.snapshot(market))


async def test_a_client_has_the_keepers_books_of_several_markets() -> None:
    feed = RandomFeed(Random(5), YES, SPOT, feed=FEED)
    async with open_api() as api:
        await begin(api, feed)
        async with calling(api, f"?market={YES}") as caller:
            told = await caller.next()
            assert told == SubscribedMessage((YES,))
            first = await caller.next()
            assert isinstance(first, SnapshotMessage)
            assert (first.data.source, first.data.stale) == (FEED, "")
            await grow(api, feed, YES)
            await caller.same(api, YES)
            assert caller.books[YES].snapshots == 1
            await caller.say(SubscribeBooks((SPOT,)))
            assert await caller.until(SubscribedMessage) == SubscribedMessage((SPOT, YES))
            await grow(api, feed, YES, SPOT)
            await caller.same(api, SPOT)
            await caller.same(api, YES)
            await caller.say(UnsubscribeBooks((YES,)))
            assert await caller.until(SubscribedMessage) == SubscribedMessage((SPOT,))
            await grow(api, feed, YES, SPOT, count=3)
            await caller.same(api, SPOT)


async def test_resync_sends_a_new_snapshot_and_the_numbers_go_on() -> None:
    feed = RandomFeed(Random(6), YES, feed=FEED)
    async with open_api() as api:
        await begin(api, feed)
        async with calling(api, f"?market={YES}") as caller:
            await caller.until(SnapshotMessage)
            await grow(api, feed, YES, count=5)
            await caller.same(api, YES)
            seq = caller.books[YES].seq
            for message in (Resync(YES), Resync()):
                await caller.say(message)
                again = await caller.until(SnapshotMessage)
                assert isinstance(again, SnapshotMessage)
                assert again.seq == seq
            await grow(api, feed, YES, count=5)
            await caller.same(api, YES)
            assert caller.books[YES].seq == seq + 5


async def test_a_stale_book_is_told_at_once_and_its_next_snapshot_follows() -> None:
    feed = RandomFeed(Random(7), YES, feed=FEED)
    async with open_api() as api:
        await begin(api, feed)
        async with calling(api, f"?market={YES}") as caller:
            await caller.until(SnapshotMessage)
            await api.say(BookStale(YES, FEED, "sequence", 1))
            stale = await caller.until(StaleMessage)
            assert isinstance(stale, StaleMessage)
            assert stale.data.reason == "sequence"
            await begin(api, feed)
            await caller.until(SnapshotMessage)
            assert caller.books[YES].stale == ""
            await caller.same(api, YES)


async def test_a_client_that_does_not_read_is_told_what_it_lost_and_gets_the_book_anew() -> None:
    feed = RandomFeed(Random(8), YES, PERPETUAL, feed=FEED)
    wide = tuple(LevelChange("bid", price, 10**9) for price in range(1, 1900))
    async with open_api() as api:
        await begin(api, feed)
        async with calling(api, f"?market={YES}&market={PERPETUAL}") as caller, calling(api, f"?market={YES}") as quick:
            await caller.until(SnapshotMessage)
            await caller.until(SnapshotMessage)
            await quick.until(SnapshotMessage)
            lost = 0
            while not lost:
                seq = feed.seq = feed.seq + 1
                update = BookUpdate(PERPETUAL, wide, "absolute", False, feed.session, seq, 0, seq)
                feed.books[PERPETUAL].apply(update)
                await api.say(update)
                report = await api.node.ref(ORDERBOOK_STREAM).ask(Probe())
                lost = int(dict(report.figures)["lost"] or 0)
            await grow(api, feed, YES, PERPETUAL, count=10)
            await quick.same(api, YES)
            assert quick.books[YES].lost == 0
            lagged = await caller.until(LaggedMessage)
            assert isinstance(lagged, LaggedMessage)
            await caller.same(api, PERPETUAL)
            await caller.same(api, YES)
            assert caller.books[PERPETUAL].lost > 0
            await grow(api, feed, YES, PERPETUAL, count=5)
            await caller.same(api, PERPETUAL)


async def test_what_the_streams_own_mailbox_lost_is_made_up_by_the_keepers_book() -> None:
    feed = RandomFeed(Random(10), YES, feed=FEED)
    async with open_api() as api:
        await begin(api, feed)
        async with calling(api, f"?market={YES}") as caller:
            await caller.until(SnapshotMessage)
            # Nobody has a turn meanwhile: the keeper loses, too, and is stale until the venue's snapshot.
            for _ in range(17_000):
                api.node.publish(feed.delta(YES))
            while not caller.books[YES].stale:
                await caller.next()
            await begin(api, feed)
            await grow(api, feed, YES, count=5)
            await caller.same(api, YES)
            while caller.books[YES].stale:
                await caller.next()


async def test_a_market_without_a_book_is_said_to_have_none_until_it_has() -> None:
    feed = RandomFeed(Random(11), YES, feed=FEED)
    async with open_api() as api, calling(api, f"?market={YES}") as caller:
        first = await caller.until(SnapshotMessage)
        assert isinstance(first, SnapshotMessage)
        assert (first.data.stale, first.data.bids) == ("no_snapshot", ())
        await begin(api, feed)
        await caller.until(SnapshotMessage)
        await caller.same(api, YES)
        assert caller.books[YES].stale == ""


async def test_a_killed_stream_is_a_new_snapshot_to_its_clients() -> None:
    feed = RandomFeed(Random(9), YES, feed=FEED)
    async with open_api() as api:
        await begin(api, feed)
        async with calling(api, f"?market={YES}") as caller:
            await caller.until(SnapshotMessage)
            await api.node.ref("/market").ask(KillChild("stream"))
            await caller.until(SnapshotMessage)
            await grow(api, feed, YES, count=5)
            await caller.same(api, YES)


@pytest.mark.parametrize(
    ("said", "code", "field"),
    [
        ('{"type":"subscribe","markets":["NOTHING"]}', "not_found", "markets"),
        ('{"type":"resync","market":"KXA"}', "not_found", "market"),
        ('{"type":"subscribe","markets":3}', "invalid", "markets"),
        ('{"type":"dance"}', "invalid", "type"),
        ("no json", "invalid", None),
    ],
)
async def test_what_cannot_be_done_is_said_and_the_connection_stays(said: str, code: str, field: str | None) -> None:
    async with open_api() as api, calling(api) as caller:
        await caller.socket.send_message(said)
        answer = await caller.next()
        assert isinstance(answer, ErrorMessage)
        assert (answer.error.code, answer.error.field) == (code, field)
        await caller.say(PingBooks())
        assert isinstance(await caller.next(), PongMessage)


async def test_a_snapshot_of_very_many_levels_is_whole() -> None:
    count = 20_000
    changes = tuple(LevelChange("bid", price, 10**9 + price) for price in range(1, count))
    async with open_api() as api:
        await api.say(BookUpdate(SPOT, changes, "absolute", True, f"{FEED}-1.1-1/1.1", 1, 5, 6, ("synthetic",)))
        async with calling(api, f"?market={SPOT}") as caller:
            message = await caller.until(SnapshotMessage)
            assert isinstance(message, SnapshotMessage)
            assert message.data.synthetic
            assert len(message.data.bids) == count - 1
            assert message.data.bids[0].price == decimal_text(count - 1, 4)
