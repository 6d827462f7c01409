"""Which rows the books become, and where stored sessions begin and end."""

from __future__ import annotations

from random import Random

from hypothesis import given, settings
from hypothesis import strategies as st

from actors.market.rebuild import rebuilt
from actors.market.rows import (
    BookDeltaRow,
    BookSessionEventRow,
    BookSnapshotRow,
    OrderbookSignalRow,
    SampledBookRow,
)
from actors.market.store_core import StoreCore
from actors.market.stored_book import environment_of, feed_of, is_yes_no, sid_of, venue_of
from actors.market.stored_messages import DeltaRecord, SnapshotRecord, delta_updates, snapshot_update
from protocols.control import Refused, Row
from protocols.market import (
    STALE,
    SYNTHETIC,
    BookUpdate,
    BookView,
    Level,
    LevelChange,
    Quote,
    pack_levels,
    unpack_levels,
)
from tests.actors.market.stored import CENT, ONE, START, RandomFeed, chains, events


class Log:
    """Takes rows, unless it is full."""

    def __init__(self) -> None:
        self.rows: list[Row] = []
        self.room: int | None = None

    def append(self, row: Row) -> None:
        if self.room is not None:
            if self.room == 0:
                raise Refused("log_full", "the log is full")
            self.room -= 1
        self.rows.append(row)


def store(log: Log, **options: object) -> StoreCore:
    return StoreCore(log.append, lambda: START, node="n", **options)  # type: ignore[arg-type]


def snapshot(market: str = "M", session: str = "k-1.1-1/7.1", seq: int = 1, **levels: dict[int, int]) -> BookUpdate:
    changes = [
        LevelChange("bid" if side == "bids" else "ask", price * CENT, size * ONE)
        for side, each in levels.items()
        for price, size in each.items()
    ]
    return BookUpdate(market, tuple(changes), "absolute", True, session, seq, START, START)


def delta(
    seq: int, *changes: tuple[str, int, int], market: str = "M", session: str = "k-1.1-1/7.1", ts: int = START
) -> BookUpdate:
    made = tuple(LevelChange(side, price * CENT, size * ONE) for side, price, size in changes)  # type: ignore[arg-type]
    return BookUpdate(market, made, "signed", False, session, seq, ts, ts)


def rows_of(log: Log, kind: type[Row]) -> list[Row]:
    return [row for row in log.rows if type(row) is kind]


def test_a_session_begins_with_a_whole_book_and_every_change_follows() -> None:
    log = Log()
    core = store(log)
    core.update(snapshot(bids={45: 10}, asks={55: 20}))
    core.update(delta(2, ("bid", 45, 5), ("bid", 44, 1)))
    core.update(delta(4, ("ask", 55, -20)))
    [whole] = rows_of(log, BookSnapshotRow)
    assert isinstance(whole, BookSnapshotRow)
    assert (whole.session_id, whole.sid, whole.kind, whole.yes_no) == ("k-1.1-1/7.1+n", 7, "snapshot", True)
    assert whole.packed_bids == pack_levels([(45 * CENT, 10 * ONE)])
    changes = [
        (row.side, row.price // CENT, row.old_size // ONE, row.new_size // ONE, row.sequence_number, row.remaining)
        for row in log.rows
        if isinstance(row, BookDeltaRow)
    ]
    assert changes == [("yes", 45, 10, 15, 2, 1), ("yes", 44, 0, 1, 2, 0), ("no", 45, 20, 0, 4, 0)]
    assert events(log.rows) == [("opened", "k-1.1-1/7.1+n", "M", "")]


def test_a_market_of_another_venue_has_bids_and_asks_instead_of_legs() -> None:
    log = Log()
    core = store(log)
    core.update(snapshot("BTC-USD.COINBASE", bids={45: 10}, asks={55: 20}))
    core.update(delta(2, ("bid", 45, 1), ("ask", 55, 1), market="BTC-USD.COINBASE"))
    assert [(row.side, row.price) for row in log.rows if isinstance(row, BookDeltaRow)] == [
        ("bid", 45 * CENT),
        ("ask", 55 * CENT),
    ]
    assert [row.yes_no for row in log.rows if isinstance(row, BookSnapshotRow)] == [False]


def test_a_break_of_one_market_leaves_the_others_in_their_session() -> None:
    log = Log()
    core = store(log)
    for market in ("A", "B"):
        core.update(snapshot(market, bids={45: 10}))
    core.stale("A", "gap")
    core.update(delta(5, ("bid", 45, 1), market="A"))
    core.update(delta(6, ("bid", 45, 1), market="B"))
    core.update(snapshot("A", seq=7, bids={44: 1}))
    core.update(delta(8, ("bid", 44, 1), market="A"))
    assert events(log.rows) == [
        ("opened", "k-1.1-1/7.1+n", "A", ""),
        ("opened", "k-1.1-1/7.1+n", "B", ""),
        ("ended", "k-1.1-1/7.1+n", "A", "gap"),
        ("opened", "k-1.1-1/7.1+n.1.2", "A", ""),
    ]
    stored = [(row.session_id, row.sequence_number) for row in log.rows if isinstance(row, BookDeltaRow)]
    assert stored == [("k-1.1-1/7.1+n", 6), ("k-1.1-1/7.1+n.1.2", 8)]
    assert core.skipped == 1


def test_a_new_session_of_the_feed_closes_the_old_one() -> None:
    log = Log()
    core = store(log)
    core.update(snapshot(bids={45: 10}))
    core.update(snapshot(session="k-1.1-2/7.1", bids={45: 10}))
    assert [each[::3] for each in events(log.rows)] == [
        ("opened", ""),
        ("ended", "replaced"),
        ("closed", "replaced"),
        ("opened", ""),
    ]


def test_a_snapshot_that_equals_the_book_proves_the_session_and_one_that_does_not_ends_it() -> None:
    log = Log()
    core = store(log)
    core.update(snapshot(bids={45: 10}))
    core.update(snapshot(seq=2, bids={45: 10}))
    assert [each[0] for each in events(log.rows)] == ["opened"]
    core.update(snapshot(seq=3, bids={45: 11}))
    assert [each[1] for each in events(log.rows) if each[0] == "opened"] == ["k-1.1-1/7.1+n", "k-1.1-1/7.1+n.1.2"]


def test_a_drop_closes_the_session_and_the_next_begins_with_the_keepers_book() -> None:
    log = Log()
    core = store(log)
    core.update(snapshot(bids={45: 10}))
    core.overflow(3)
    assert events(log.rows)[1:] == [
        ("ended", "k-1.1-1/7.1+n", "M", "overflow"),
        ("closed", "k-1.1-1/7.1+n", "", "overflow"),
    ]
    assert (core.dropped, core.overflows, core.take_wanted()) == (3, 1, ["M"])
    # The keeper is ahead of the first of these and behind the second.
    core.update(delta(5, ("bid", 45, 1)))
    core.update(delta(6, ("bid", 45, 1)))
    view = BookView("M", (Level(45 * CENT, 14 * ONE),), (), "k-1.1-1/7.1", 5, START, START)
    assert core.join(view)
    [_, whole] = rows_of(log, BookSnapshotRow)
    assert isinstance(whole, BookSnapshotRow)
    assert (whole.session_id, whole.kind, whole.sequence_number) == ("k-1.1-1/7.1+n.1.2", "checkpoint", 5)
    [change] = rows_of(log, BookDeltaRow)
    assert isinstance(change, BookDeltaRow)
    assert (change.sequence_number, change.old_size, change.new_size) == (6, 14 * ONE, 15 * ONE)


def test_a_stale_book_of_a_keeper_begins_no_session() -> None:
    core = store(Log())
    core.want(["M"])
    assert core.take_wanted() == ["M"]
    assert not core.join(BookView("M", (), (), "", 0, 0, 0, "no_snapshot"))
    core.update(snapshot(bids={45: 1}))
    assert core.books["M"].session is not None


def test_a_full_log_ends_the_sessions_and_says_so_once_it_has_room() -> None:
    log = Log()
    core = store(log)
    core.update(snapshot(bids={45: 10}))
    log.room = 1
    core.update(delta(2, ("bid", 45, 1), ("bid", 44, 1)))
    assert core.blocked
    core.update(delta(3, ("bid", 45, 1)))
    assert not core.retry()
    log.room = None
    assert core.retry()
    assert events(log.rows)[1:] == [
        ("ended", "k-1.1-1/7.1+n", "M", "overflow"),
        ("closed", "k-1.1-1/7.1+n", "", "overflow"),
    ]
    [ended] = [row for row in log.rows if isinstance(row, BookSessionEventRow) and row.event == "ended"]
    assert ended.sequence_number == 1
    assert core.take_wanted() == ["M"]


def test_a_life_after_the_first_names_its_sessions_itself() -> None:
    log = Log()
    core = store(log, life=3)
    core.start("restarted")
    core.update(snapshot(bids={45: 10}))
    core.close("stopped")
    core.update(snapshot(seq=2, bids={45: 10}))
    assert events(log.rows) == [
        ("started", "", "", "restarted"),
        ("opened", "k-1.1-1/7.1+n.3.1", "M", ""),
        ("ended", "k-1.1-1/7.1+n.3.1", "M", "stopped"),
        ("closed", "k-1.1-1/7.1+n.3.1", "", "stopped"),
        ("opened", "k-1.1-1/7.1+n.3.2", "M", ""),
    ]


def test_a_book_is_stored_whole_again_after_so_many_changes_and_at_midnight() -> None:
    log = Log()
    core = store(log, whole_after=3)
    core.update(snapshot(bids={45: 10}))
    for seq in range(2, 6):
        core.update(delta(seq, ("bid", 45, 1)))
    day = 86_400 * 10**9
    core.update(delta(6, ("bid", 45, 1), ts=START - START % day + day))
    wholes = [(row.kind, row.sequence_number) for row in log.rows if isinstance(row, BookSnapshotRow)]
    assert wholes == [("snapshot", 1), ("checkpoint", 4), ("checkpoint", 6)]


def test_a_snapshot_of_thousands_of_levels_is_stored_as_it_was_packed() -> None:
    bids = [(price * CENT, price) for price in range(30_000, 10_000, -1)]
    asks = [(price * CENT, price) for price in range(30_001, 50_000)]
    log = Log()
    core = store(log)
    whole = BookUpdate("M", (), "absolute", True, "k-1.1-1/7.1", 1, 0, START, (), pack_levels(bids), pack_levels(asks))
    core.update(whole)
    core.update(delta(2, ("bid", 30_000, 1), ("ask", 30_001, 1), ts=START + 86_400 * 10**9))
    [first, second] = [row for row in log.rows if isinstance(row, BookSnapshotRow)]
    assert (first.packed_bids, first.packed_asks) == (whole.packed_bids, whole.packed_asks)
    bids[0] = (bids[0][0], bids[0][1] + ONE)
    asks[0] = (asks[0][0], asks[0][1] + ONE)
    assert (second.packed_bids, second.packed_asks) == (pack_levels(bids), pack_levels(asks))


def test_a_quiet_book_is_stored_whole_again_on_another_day() -> None:
    log = Log()
    now = START
    core = StoreCore(log.append, lambda: now, node="n")
    for market in ("A", "B", "C"):
        core.update(snapshot(market, bids={45: 10}))
    core.store_old(2)
    assert len(rows_of(log, BookSnapshotRow)) == 3
    now += 86_400 * 10**9
    core.stale("C", "gap")
    core.store_old(1)
    core.store_old(10)
    core.store_old(10)
    wholes = [(row.market_ticker, row.kind) for row in log.rows if isinstance(row, BookSnapshotRow)][3:]
    assert wholes == [("A", "checkpoint"), ("B", "checkpoint")]


def test_sessions_tell_how_far_they_are_and_are_forgotten_when_nobody_is_in_them() -> None:
    log = Log()
    core = store(log)
    core.update(snapshot(bids={45: 10}))
    core.update(delta(2, ("bid", 45, 1)))
    core.tick()
    core.tick()
    progress = [row for row in log.rows if isinstance(row, BookSessionEventRow) and row.event == "progress"]
    assert [(row.messages_received, row.snapshots_count, row.deltas_count) for row in progress] == [(2, 1, 1)]
    core.update(snapshot(session="k-1.1-2/7.1", bids={45: 10}))
    core.tick()
    assert list(core.sessions) == ["k-1.1-2/7.1+n"]


def test_samples_are_beside_the_log_and_not_instead_of_it() -> None:
    log = Log()
    core = store(log, sample_every=2, sample_depth=1)
    core.update(snapshot(bids={45: 10, 44: 1}, asks={55: 1}))
    for seq in range(2, 6):
        core.update(delta(seq, ("bid", 45, 1)))
    assert len(rows_of(log, BookDeltaRow)) == 4
    samples = [row for row in log.rows if isinstance(row, SampledBookRow)]
    assert [row.sequence_number for row in samples] == [3, 5]
    assert unpack_levels(samples[0].packed_bids)[0].tolist() == [45 * CENT]
    assert samples[0].total_volume == str(14 * ONE)


def test_signals_hold_the_spread_the_mean_volume_and_the_top_sizes_of_ten_seconds() -> None:
    log = Log()
    core = store(log)
    second = 10**9
    begin = START - START % (10 * second)
    core.update(snapshot(bids={45: 10}, asks={55: 20}))
    core.update(delta(2, ("bid", 45, 10), ts=begin))

    def quote(bid: int, ask: int, size: int, ts: int, *marks: str) -> Quote:
        return Quote("M", bid * CENT, size * ONE, ask * CENT, ONE, "k-1.1-1/7.1", 2, ts, ts, marks)

    core.quote(quote(45, 55, 20, begin))
    core.quote(quote(40, 55, 30, begin + second))
    core.quote(quote(1, 99, 99, begin + second, STALE))
    core.quote(quote(46, 55, 5, begin + 9 * second))
    core.update(delta(3, ("bid", 45, -20), ts=begin + 5 * second))
    core.update(delta(4, ("ask", 55, 1), ts=begin + 12 * second))
    [row] = rows_of(log, OrderbookSignalRow)
    assert isinstance(row, OrderbookSignalRow)
    assert (row.bucket_start, row.bucket_end) == (begin, begin + 10 * second)
    spreads = (row.yes_spread_open, row.yes_spread_high, row.yes_spread_low, row.yes_spread_close)
    assert spreads == (10 * CENT, 15 * CENT, 9 * CENT, 9 * CENT)
    # 20 for half of the time, and then nothing.
    assert (row.bid_volume_mean, row.ask_volume_mean) == (str(10 * ONE), str(20 * ONE))
    assert (row.bid_top_size, row.bid_top_size_max) == (5 * ONE, 30 * ONE)
    assert row.quotes == 3


def test_what_names_say() -> None:
    assert [is_yes_no(name) for name in ("KXBTCMAXY-25-DEC31-129999.99", "SIM-A", "BTC-USD.KRAKEN")] == [
        True,
        True,
        False,
    ]
    assert venue_of("BTCUSDT.BINANCE-USDM") == "binance-usdm"
    assert feed_of("my-feed-3.1-12/7.2") == "my-feed"
    assert [sid_of(name) for name in ("f-1.1-1/7.2", "f-1.1-1/BTC-USD.1", "f-1.1-1")] == [7, None, None]
    assert (environment_of((SYNTHETIC,)), environment_of(())) == ("simulated", "production")


def check_chains(log: Log, feed: RandomFeed) -> int:
    """Every stored chain is unbroken, and every book in it is the live one. Returns how many books were compared."""
    compared = 0
    for (session_id, market), records in chains(log.rows).items():
        assert isinstance(records[0], SnapshotRecord), (session_id, market)
        seqs: list[int] = []
        updates: list[BookUpdate] = []
        waiting: list[DeltaRecord] = []
        for record in records:
            if isinstance(record, SnapshotRecord):
                if updates:
                    book = rebuilt(market, updates)
                    assert rebuilt(market, [snapshot_update(record)]).view().bids == book.view().bids
                updates = [snapshot_update(record)]
                seqs.append(record.sequence_number)
                continue
            waiting.append(record)
            if record.remaining == 0:
                assert record.sequence_number >= seqs[-1]
                seqs.append(record.sequence_number)
                updates += delta_updates(waiting)
                waiting.clear()
                live = feed.views[market, session_id.partition("+")[0], record.sequence_number]
                view = rebuilt(market, updates).view()
                assert (view.bids, view.asks, view.seq, view.ts_recv) == (live.bids, live.asks, live.seq, live.ts_recv)
                compared += 1
    return compared


@settings(deadline=None, max_examples=60)
@given(st.integers(0, 2**32), st.lists(st.sampled_from("dddddddddddSsclfrwn"), max_size=60))
def test_whatever_is_lost_every_stored_chain_is_whole_and_its_books_are_the_live_ones(
    seed: int, steps: list[str]
) -> None:
    chance = Random(seed)
    feed = RandomFeed(chance, "A", "B")
    log = Log()
    core = store(log, whole_after=7)
    for market in feed.markets:
        core.update(feed.snapshot(market))
    for step in [*steps, "n", "w", "d", "d"]:
        market = chance.choice(feed.markets)
        if step == "d":
            core.update(feed.delta(market))
        elif step == "S":
            core.update(feed.snapshot(market))
        elif step == "s":
            core.update(feed.same(market))
        elif step == "c":
            feed.connect()
            for each in feed.markets:
                core.stale(each, "disconnected")
                core.update(feed.snapshot(each))
        elif step == "l":
            feed.delta(market)
            core.overflow(1)
        elif step == "f":
            log.room = chance.randrange(3)
        elif step == "r":
            core.stale(market, "gap")
        elif step == "n":
            log.room = None
            if core.blocked:
                core.retry()
        elif step == "w":
            core.want_lost()
            for wanted in core.take_wanted():
                if chance.random() < 0.5:
                    core.update(feed.delta(wanted))
                view = feed.view(wanted)
                if chance.random() < 0.5:
                    core.update(feed.delta(wanted))
                core.join(view)
    check_chains(log, feed)
    assert not core.blocked


def test_buckets_of_quiet_books_are_closed_a_share_at_a_time() -> None:
    log = Log()
    now = START
    core = StoreCore(log.append, lambda: now, node="n", life=1, signals=True)
    for market in "ABCD":
        core.update(snapshot(market, bids={45: 10}, asks={55: 1}))
        core.update(delta(2, ("bid", 45, 1), market=market))
    now += 60 * 10**9
    closed = []
    for _ in range(8):
        core.close_buckets(0.25)
        closed.append(sum(isinstance(row, OrderbookSignalRow) for row in log.rows))
    # The first look at each sees that it was touched, the second that it was not.
    assert closed == [0, 0, 0, 0, 1, 2, 3, 4]
