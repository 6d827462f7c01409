"""Books in a real database: found again at any message and at any time, in sessions that say how they ended."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from pathlib import Path
from random import Random

import msgspec
import pytest

from actors.market.book import Book
from actors.market.migrations import market_0002_books
from actors.market.rebuild import NotStored, book_at, book_at_time
from actors.market.rows import BarRow, InstrumentRow, TradeRow, leg_price
from actors.market.store_core import StoreCore
from actors.storage import schema
from actors.storage.mover import connect
from protocols.control import Row
from protocols.instruments import Instrument, PriceRange
from protocols.market import Bar, BookUpdate, BookView, LevelChange, Trade
from tests.actors.databases import Databases
from tests.actors.market.stored import (
    CENT,
    FOLDERS,
    ONE,
    START,
    RandomFeed,
    Run,
    StoreDatabase,
)


@pytest.fixture(scope="module")
def url(databases: Databases) -> str:
    return databases.new(FOLDERS)


@pytest.fixture
def database(url: str, tmp_path: Path) -> Iterator[StoreDatabase]:
    found = StoreDatabase(url, tmp_path)
    yield found
    found.log.close()


def store(database: StoreDatabase, feed: RandomFeed | None = None, **options: object) -> StoreCore:
    node = str(database.log.log_id)
    now = (lambda: START) if feed is None else (lambda: feed.ts)
    return StoreCore(database.log.append, now, node=node, **options)  # type: ignore[arg-type]


def levels(view: BookView) -> object:
    return view.bids, view.asks, view.session, view.seq, view.ts_event, view.ts_recv, view.marks


def test_a_book_is_found_at_every_message_and_at_every_time_as_it_was(database: StoreDatabase) -> None:
    chance = Random(11)
    feed = RandomFeed(chance, "KX-A", "KX-B", "ETH-USD.COINBASE", feed="fa")
    core = store(database, feed, whole_after=150)
    core.start("killed")
    begin = feed.ts
    for market in feed.markets:
        core.update(feed.snapshot(market))
    for step in range(2_400):
        if step == 1_500:
            feed.connect()
            for market in feed.markets:
                core.stale(market, "disconnected")
                core.update(feed.snapshot(market))
        if step == 800:
            core.overflow(1)
            for market in core.take_wanted():
                core.join(feed.view(market))
        core.update(feed.delta(chance.choice(feed.markets)))
    core.close("stopped")
    database.move()

    messages = chance.sample(sorted(feed.views), 60)
    messages += [max(each for each in feed.views if each[0] == market) for market in feed.markets]
    moments = [(market, chance.randrange(begin + 10_000_000, feed.ts + 1)) for market in feed.markets * 20]

    async def look(run: Run) -> tuple[list[Book], list[Book]]:
        by_message = [await book_at(run, market, session, seq) for market, session, seq in messages]
        return by_message, [await book_at_time(run, market, ts) for market, ts in moments]

    by_message, by_time = database.ask(look)
    for message, book in zip(messages, by_message, strict=True):
        assert levels(book.view()) == levels(feed.views[message])
        assert book.stale == ""
    for (market, ts), book in zip(moments, by_time, strict=True):
        # Several messages can have come at one time: the last of them counts.
        live = [view for view in feed.by_time[market] if view.ts_recv <= ts][-1]
        assert levels(book.view()) == levels(live)

    log = str(database.log.log_id)[:8]
    for market, session, seq in messages[:10]:
        if session != feed.session:
            continue  # the first session goes on under another name
        stored = f"{session}+{log}"
        rows = database.fetch("SELECT side, price, size FROM rl_orderbook_at($1, $2, $3)", market, stored, seq)
        live_view = feed.views[market, session, seq]
        bids = {(side, price): size for side, price, size in rows if side in ("yes", "bid")}
        asks = {(side, leg_price(price, side)): size for side, price, size in rows if side in ("no", "ask")}
        assert sorted(bids.values()) == sorted(level.size for level in live_view.bids)
        assert {price for _, price in bids} == {level.price for level in live_view.bids}
        assert {price: size for (_, price), size in asks.items()} == {a.price: a.size for a in live_view.asks}

    sessions = database.fetch(
        "SELECT session_id, status, error_message, cardinality(market_tickers), deltas_count, messages_received"
        " FROM rl_orderbook_sessions WHERE feed = 'fa' ORDER BY started_at, session_id"
    )
    assert [row[:4] for row in sessions] == [
        (f"fa-1.1-1/7.1+{log}", "closed", "overflow", 3),
        (f"fa-1.1-1/7.1+{log}.1.2", "closed", "disconnected", 3),
        (f"fa-1.1-2/7.1+{log}", "closed", "stopped", 3),
    ]
    counted = database.fetch(
        "SELECT session_id, count(*) FROM rl_orderbook_deltas WHERE session_id LIKE 'fa%' GROUP BY 1 ORDER BY 1"
    )
    assert counted == [(row[0], row[4]) for row in sessions]


def test_a_session_that_a_kill_left_open_is_closed_up_to_its_last_whole_message(database: StoreDatabase) -> None:
    feed = RandomFeed(Random(5), "KX-K", feed="fk")
    core = store(database, feed)
    core.start("killed")
    core.update(feed.snapshot("KX-K"))
    for _ in range(20):
        core.update(feed.delta("KX-K"))
    whole = core.books["KX-K"].seq
    # The kill comes between the rows of one message.
    rows: list[Row] = []
    torn = StoreCore(rows.append, lambda: START, node="x")
    torn.books, torn.sessions = core.books, core.sessions
    many = BookUpdate(
        "KX-K",
        tuple(LevelChange("bid", price * CENT, ONE) for price in (2, 3, 4)),
        "absolute",
        False,
        feed.session,
        feed.seq + 1,
        feed.ts,
        feed.ts,
    )
    torn.update(many)
    database.log.append(rows[0])
    database.log.append(rows[1])
    database.kill()
    core = store(database)
    core.start("killed")
    database.move()

    [session] = database.fetch(
        "SELECT status, error_message, ended_at IS NOT NULL FROM rl_orderbook_sessions WHERE feed = 'fk'"
    )
    assert session == ("closed", "killed", True)
    [stretch] = database.fetch(
        "SELECT last_sequence, reason FROM rl_orderbook_session_markets WHERE market_ticker = 'KX-K'"
    )
    assert stretch == (whole, "killed")

    async def last(run: Run) -> Book:
        return await book_at(run, "KX-K", feed.session, whole)

    async def beyond(run: Run) -> Book:
        return await book_at(run, "KX-K", feed.session, feed.seq + 1)

    async def at_the_end(run: Run) -> Book:
        return await book_at_time(run, "KX-K", feed.ts + 1)

    assert levels(database.ask(last).view()) == levels(feed.view("KX-K"))
    with pytest.raises(NotStored, match="killed"):
        database.ask(beyond)
    book = database.ask(at_the_end)
    assert (book.stale, book.view().bids) == ("killed", feed.view("KX-K").bids)


def test_what_was_never_stored_is_said_to_be_missing(database: StoreDatabase) -> None:
    async def by_message(run: Run) -> Book:
        return await book_at(run, "NOTHING", "s", 1)

    async def by_time(run: Run) -> Book:
        return await book_at_time(run, "NOTHING", START)

    for look in (by_message, by_time):
        with pytest.raises(NotStored):
            database.ask(look)


def test_the_tables_have_the_columns_that_the_old_system_had_and_the_views_whole_cents(
    database: StoreDatabase,
) -> None:
    core = store(database)
    session = "fc-1.1-1/12.1"
    stored = f"{session}+{str(database.log.log_id)[:8]}"
    book = [
        LevelChange("bid", 45 * CENT, 10 * ONE),
        LevelChange("bid", 44 * CENT, ONE),
        LevelChange("ask", 48 * CENT, ONE),
    ]
    core.update(BookUpdate("KX-C", tuple(book), "absolute", True, session, 3, START, START + 7))
    for seq, (price, size) in enumerate(((45 * CENT, 0), (45 * CENT, 5 * ONE), (CENT // 2, ONE), (CENT, ONE // 2)), 4):
        change = (LevelChange("bid", price, size),)
        core.update(BookUpdate("KX-C", change, "absolute", False, session, seq, 0, START + 2_000_000))
    core.update(BookUpdate("KX-C", (LevelChange("ask", 48 * CENT, 3 * ONE),), "absolute", False, session, 9, 0, START))
    core.close("stopped")
    database.move()

    [row] = database.fetch(
        "SELECT market_ticker, timestamp_ms, sequence_number, yes_bids, yes_asks, no_bids, no_asks, yes_spread,"
        " no_spread, yes_mid_price, no_mid_price, total_volume, created_at IS NOT NULL, session_id, sid, ts_recv"
        " FROM rl_orderbook_snapshots WHERE market_ticker = 'KX-C'"
    )
    assert row[:3] == ("KX-C", START // 1_000_000, 3)
    assert [msgspec.json.decode(each[1:] if each[:1] == b"\x01" else each) for each in row[3:7]] == [
        {"450000000": 10 * ONE, "440000000": ONE},
        {"480000000": ONE},
        {"520000000": ONE},
        {"550000000": 10 * ONE, "560000000": ONE},
    ]
    assert row[7:] == (3 * CENT, 3 * CENT, 465_000_000, 535_000_000, 12 * ONE, True, stored, 12, START + 7)
    deltas = database.fetch(
        "SELECT sequence_number, side, action, price, old_size, new_size FROM rl_orderbook_deltas_cents"
        " WHERE market_ticker = 'KX-C' ORDER BY id"
    )
    assert deltas == [
        (4, "yes", "remove", 45, 10, 0),
        (5, "yes", "add", 45, 0, 5),
        (6, "yes", "add", None, 0, 1),
        (7, "yes", "add", 1, 0, None),
        (9, "no", "update", 52, 1, 3),
    ]
    [cents] = database.fetch(
        "SELECT yes_bids, no_bids, yes_spread, yes_mid_price, total_volume FROM rl_orderbook_snapshots_cents"
        " WHERE market_ticker = 'KX-C'"
    )
    texts = [msgspec.json.decode(each[1:] if each[:1] == b"\x01" else each) for each in cents[:2]]
    assert (texts, cents[2:]) == ([{"45": 10, "44": 1}, {"52": 1}], (3, 46.5, 12))
    session_columns = database.fetch(
        "SELECT session_id, market_tickers, status, websocket_url, environment, snapshots_count, deltas_count,"
        " started_at IS NOT NULL, ended_at IS NOT NULL, last_message_at IS NOT NULL, error_message"
        " FROM rl_orderbook_sessions WHERE feed = 'fc'"
    )
    assert session_columns == [(stored, ["KX-C"], "closed", "", "production", 1, 5, True, True, True, "stopped")]


def test_trades_bars_and_instruments_are_stored_exactly(database: StoreDatabase) -> None:
    trade = Trade("T", 450_000_000, 2**63 - 1, "buy", "t1", "f-1.1-1/1", 4, START, START + 1)
    bar = Bar("T", "1m", START, START + 60 * ONE, 1, 4, -1, 2, "123456789012345678901.5", None, None, "trades", START)
    instrument = Instrument(
        market="T",
        symbol="T",
        venue="kalshi",
        kind="prediction",
        currency="USD",
        price_ranges=(PriceRange(CENT, 99 * CENT, CENT),),
        lot=ONE,
        taker_fee="0.07",
        order_types=("limit", "market"),
        valid_from=START,
    )
    later = msgspec.structs.replace(instrument, valid_from=START + ONE, status="halted")
    for row in (TradeRow.of(trade, "f"), BarRow.of(bar, "f"), InstrumentRow.of(instrument, "f")):
        database.log.append(row)
    database.log.append(InstrumentRow.of(later, "f"))
    database.move()
    assert database.fetch("SELECT price, size, taker, feed FROM market_trades WHERE market = 'T'") == [
        (450_000_000, 2**63 - 1, "buy", "f")
    ]
    [(volume, low)] = database.fetch("SELECT volume, low FROM market_bars WHERE market = 'T'")
    assert (str(volume), low) == ("123456789012345678901.5", -1)
    versions = database.fetch(
        "SELECT valid_from, valid_to, status, taker_fee::text, order_types FROM instrument_versions"
        " WHERE market = 'T' ORDER BY valid_from"
    )
    assert versions == [
        (START, START + ONE, "unknown", "0.07", ["limit", "market"]),
        (START + ONE, None, "halted", "0.07", ["limit", "market"]),
    ]


def test_the_migrations_go_down_and_up_again_and_may_be_run_twice(databases: Databases) -> None:
    again = databases.new(FOLDERS)

    async def work() -> tuple[list[str], list[str]]:
        connection = await connect(again)
        try:
            for text in (market_0002_books.FUNCTIONS, market_0002_books.TABLES, market_0002_books.SESSIONS):
                await connection.execute(text)
            await connection.execute(market_0002_books.VIEWS)
            down = await schema.downgrade(connection, FOLDERS, "market_0001")
            left = await connection.fetch("SELECT relname FROM pg_class WHERE relname ~ '^(rl_|market_|orderbook_)'")
            assert left == []
            return down, await schema.upgrade(connection, FOLDERS)
        finally:
            await connection.close()

    assert asyncio.run(work()) == (["market_0003", "market_0002"], ["market_0002", "market_0003"])
