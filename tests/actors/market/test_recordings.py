"""Every recording of real venues, through the same core and books as a live feed: counts, sequences, oracles.

What the table says comes from the description that the files came with. The independent reconstruction of Kalshi's
books below shares nothing with the code under test: it reads the raw JSON into Decimals, per leg, and turns NO into YES
only at the very end.
"""

from __future__ import annotations

import gzip
import json
from collections import Counter
from decimal import Decimal
from itertools import pairwise
from pathlib import Path
from typing import Any, NamedTuple

import pytest

from actors.market.importers import sequences
from actors.market.importers.dbn import read_orders
from actors.market.importers.opening import open_recording, recorded_markets
from actors.market.recordings.entries import Answer, Begin, Entry, Received
from actors.market.replay_core import Output, ReplayCore
from actors.market.replay_run import ReplayRun
from actors.market.session_core import Incident
from protocols.market import (
    BookStale,
    BookUpdate,
    BookView,
    LevelChange,
    OrderUpdate,
    Quote,
    Ticker,
    Trade,
    level_changes,
)
from protocols.nanos import NANO
from protocols.venues.kalshi_messages import Codec, decode_orderbook

pytestmark = pytest.mark.recordings

SESSION = "kalshi-demo-session-20260701.jsonl.gz"
REST = "kalshi-demo-rest-orderbooks-20260701.jsonl.gz"
FILES = [
    SESSION,
    "kalshi-btcmaxy-20251104-0110.jsonl.gz",
    "kalshi-btcmaxy-20251104-0252.jsonl.gz",
    "kalshi-btcmaxy-20251105-0048.jsonl.gz",
    "kalshi-btcmaxy-20251130-1702.jsonl.gz",
    "kalshi-btcmaxy-20251201-0152.jsonl.gz",
]
Levels = dict[Decimal, Decimal]


class Described(NamedTuple):
    """What a file holds: its format and venue, frames by kind (those that are told), answers to REST calls.

    `dropped`: deltas from before their snapshot, -1 where the description does not tell. `checked`: checksums.
    `faults`: numbers that no int64 of nanos holds (an ask of 10¹⁰). `stale`: books that never had a snapshot.
    """

    name: str
    format: str
    venue: str
    frames: int
    kinds: dict[str, int]
    answers: int = 0
    dropped: int = 0
    checked: int = 0
    faults: int = 0
    stale: tuple[str, ...] = ()


def btcmaxy(name: str, deltas: int) -> Described:
    kinds = {"orderbook_snapshot": 1, "orderbook_delta": deltas}
    return Described(f"kalshi-btcmaxy-{name}.jsonl.gz", "kalshi-lines", "kalshi", 1 + deltas, kinds)


def binance(name: str, venue: str, depth: int, ticker: int, trades: int, dropped: int, answers: int = 1) -> Described:
    kinds = {"depthUpdate": depth, "bookTicker": ticker, "trade": trades}
    stale = () if answers else ("BTCUSDT.BINANCE",)
    return Described(
        f"binance-{name}.txt.gz", "hftbacktest", venue, sum(kinds.values()), kinds, answers, dropped, stale=stale
    )


WITH_SESSION = [
    Described(
        SESSION,
        "kalshi-lines",
        "kalshi",
        2898,
        {"orderbook_snapshot": 5, "orderbook_delta": 2885, "ok": 4, "subscribed": 2, "fill": 2},
    ),
    btcmaxy("20251104-0110", 533),
    btcmaxy("20251104-0252", 1032),
    btcmaxy("20251105-0048", 6061),
    btcmaxy("20251130-1702", 2253),
    btcmaxy("20251201-0152", 3235),
    binance("usdm-btcusdt-20240808", "binance-usdm", 6551, 66089, 21313, dropped=4),
    binance("spot-btcusdt-20240808", "binance", 3451, 28040, 9757, dropped=2),
    binance("spot-btcusdt-20240809", "binance", 3044, 45134, 10147, dropped=-1, answers=0),
    binance("coinm-btcusd-perp-20240808", "binance-coinm", 26847, 19136, 2286, dropped=23),
    Described("cryptofeed-binance.jsonl.zst", "cryptofeed", "binance", 265, {}, answers=5, dropped=-1),
    Described("cryptofeed-binance-futures.jsonl.zst", "cryptofeed", "binance-usdm", 1535, {}, answers=5, dropped=-1),
    Described("cryptofeed-coinbase.jsonl.zst", "cryptofeed", "coinbase", 1030, {}, answers=1),
    Described(
        "cryptofeed-kraken.jsonl.zst", "cryptofeed", "kraken-v1", 4430, {"book": 4269}, 1, checked=4269, faults=1
    ),
]
WITHOUT_SESSION = [
    # (file, venue and its rule, frames, answers)
    ("cryptofeed-bybit.jsonl.zst", "bybit", 3227, 2),
    ("cryptofeed-deribit.jsonl.zst", "deribit", 136, 4),
    ("cryptofeed-gateio.jsonl.zst", "gateio", 239, 11),
    ("cryptofeed-bitstamp.jsonl.zst", "bitstamp", 747, 11),
    ("cryptofeed-gemini.jsonl.zst", "gemini", 563, 348),
    ("cryptofeed-upbit.jsonl.zst", "upbit", 449, 1),
]
MBO = "databento-glbx-mbo-20240508-2s.dbn.zst"


def entries_of(path: Path) -> list[Entry]:
    recording = open_recording(path)
    entries = list(recording)
    recording.close()
    return entries


class Played:
    """What came of playing entries; every quote is looked at as it comes."""

    def __init__(self, path: Path, entries: list[Entry] | None = None) -> None:
        recording = open_recording(path)
        self.format = recording.format
        self.replay = ReplayCore(recording.header)
        self.incidents: Counter[str] = Counter()
        self.stale: Counter[str] = Counter()
        self.quotes = 0
        self.tickers = 0
        self.trades = 0
        for entry in recording if entries is None else entries:
            self.play(entry)
        recording.close()

    def play(self, entry: Entry) -> list[Output]:
        outputs = self.replay.play(entry)
        for output in outputs:
            if isinstance(output, Quote):
                self.quotes += 1
                assert output.bid is None or output.ask is None or output.bid <= output.ask
                assert output.bid_size >= 0
                assert output.ask_size >= 0
            elif isinstance(output, Ticker):
                self.tickers += 1
            elif isinstance(output, Trade):
                self.trades += 1
            elif isinstance(output, Incident):
                self.incidents[output.kind] += 1
            elif isinstance(output, BookStale):
                self.stale[output.reason] += 1
        return outputs


# -- all files -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("described", WITH_SESSION, ids=lambda described: described.name.partition(".")[0])
def test_a_recording_is_what_its_description_says_and_has_no_gap(recordings: Path, described: Described) -> None:
    played = Played(recordings / described.name)
    replay, tally = played.replay, played.replay.tally()
    assert (played.format, replay.header.venue) == (described.format, described.venue)
    assert (replay.frames, tally.frames) == (described.frames, described.frames)
    counts = replay.counts()
    assert {kind: counts.get(kind) for kind in described.kinds} == described.kinds
    assert replay.answers == described.answers
    assert (tally.gaps, tally.lost, tally.repeated, tally.malformed, replay.unreadable) == (0, 0, 0, 0, 0)
    assert (tally.checked, tally.mismatched) == (described.checked, 0)
    if described.dropped >= 0:
        assert tally.dropped == described.dropped
    # Neither the core nor a book found anything wrong, not once.
    assert played.stale == {}
    assert not played.incidents.keys() & {"gap", "book_gap", "malformed", "checksum"}
    assert replay.stale_markets() == set(described.stale)
    assert sum(core.faults.total for core in replay.cores.values()) == described.faults
    assert played.quotes > 0 or described.stale
    if "trade" in described.kinds and described.format == "hftbacktest":
        assert (played.trades, played.tickers) == (described.kinds["trade"], described.kinds["bookTicker"])


@pytest.mark.parametrize(("name", "venue", "frames", "answers"), WITHOUT_SESSION, ids=lambda value: str(value)[:20])
def test_a_recording_of_a_venue_without_a_session_is_checked_by_its_rule(
    recordings: Path, name: str, venue: str, frames: int, answers: int
) -> None:
    entries = entries_of(recordings / name)
    received = [(entry.connection, entry.raw) for entry in entries if isinstance(entry, Received)]
    checked = sequences.check(sequences.RULES[venue], received)
    assert open_recording(recordings / name).header.venue == venue
    assert (checked.frames, checked.gaps, checked.unreadable) == (frames, 0, 0)
    assert sum(isinstance(entry, Answer) for entry in entries) == answers
    if venue in ("bybit", "deribit", "gateio"):
        assert checked.followed > 30
    # Counted and played all the same.
    replay = ReplayCore(open_recording(recordings / name).header)
    assert [replay.play(entry) for entry in entries] == [[]] * len(entries)
    assert (replay.frames, replay.knows_venue) == (frames, False)
    assert recorded_markets(recordings / name) == ()


def test_the_streams_of_two_connections_are_not_one(recordings: Path) -> None:
    frames = [entry for entry in entries_of(recordings / "cryptofeed-bybit.jsonl.zst") if isinstance(entry, Received)]
    assert {entry.connection for entry in frames} == {0, 1}
    one = sequences.check(sequences.bybit, [(0, entry.raw) for entry in frames])
    assert one.gaps > 0, "spot and linear have topics of the same names"


@pytest.mark.parametrize("name", ["cryptofeed-bybit", "cryptofeed-deribit", "cryptofeed-gateio"])
def test_a_frame_that_is_missing_is_found_by_the_rule(recordings: Path, name: str) -> None:
    rule = sequences.RULES[name.removeprefix("cryptofeed-")]
    frames = [
        (entry.connection, entry.raw)
        for entry in entries_of(recordings / f"{name}.jsonl.zst")
        if isinstance(entry, Received)
    ]
    # One that another follows: without it there is a gap.
    found = 0
    for number in range(len(frames)):
        without = sequences.check(rule, [*frames[:number], *frames[number + 1 :]])
        assert without.gaps <= 1
        found += without.gaps
        if found:
            return
    raise AssertionError("no frame was missed")


def test_market_by_order_is_what_its_description_says(recordings: Path) -> None:
    orders = list(read_orders(recordings / MBO))
    assert len(orders) == 13_796
    assert Counter(order.action for order in orders) == {
        "clear": 1,
        "add": 13_678,
        "cancel": 80,
        "modify": 27,
        "trade": 5,
        "fill": 5,
    }
    assert {order.market for order in orders} == {"ESM4"}
    assert sum(b.seq < a.seq for a, b in pairwise(orders)) == 660
    assert [order.ts_recv for order in orders] == sorted(order.ts_recv for order in orders)
    assert isinstance(orders[0], OrderUpdate)
    assert (orders[0].action, orders[1].price, orders[1].size) == ("clear", 5155_500_000_000, 5 * NANO)
    run = ReplayRun()
    summary = run.play_orders(recordings / MBO)
    assert (summary.frames, summary.gaps, summary.stale, summary.markets) == (13_796, 0, (), ("ESM4",))
    assert summary.outputs["quote"] > 100


@pytest.mark.parametrize("described", WITH_SESSION, ids=lambda described: described.name.partition(".")[0])
def test_time_never_goes_back_within_a_connection(recordings: Path, described: Described) -> None:
    latest: dict[int, int] = {}
    begun: set[int] = set()
    for entry in open_recording(recordings / described.name):
        assert entry.ts >= latest.get(entry.connection, 0) > -1
        latest[entry.connection] = entry.ts
        assert isinstance(entry, Begin) != (entry.connection in begun)
        begun.add(entry.connection)


# -- Kalshi --------------------------------------------------------------------------------------------------------


def raw_frames(path: Path) -> list[dict[str, Any]]:
    with gzip.open(path, "rt") as lines:
        parsed = [json.loads(line, parse_float=Decimal) for line in lines]
    return [line.get("frame", line) for line in parsed]


def reconstructed(frames: list[dict[str, Any]]) -> dict[str, tuple[Levels, Levels]]:
    legs: dict[tuple[str, str], Levels] = {}
    for frame in frames:
        msg = frame.get("msg")
        if frame["type"] == "orderbook_snapshot":
            assert isinstance(msg, dict)
            for leg in ("yes", "no"):
                levels = {Decimal(price): Decimal(size) for price, size in msg.get(f"{leg}_dollars_fp", [])}
                levels |= {Decimal(price) / 100: Decimal(size) for price, size in msg.get(leg, [])}
                legs[(msg["market_ticker"], leg)] = levels
        elif frame["type"] == "orderbook_delta":
            assert isinstance(msg, dict)
            price = Decimal(msg["price_dollars"]) if "price_dollars" in msg else Decimal(msg["price"]) / 100
            size = Decimal(msg["delta_fp"]) if "delta_fp" in msg else Decimal(msg["delta"])
            levels = legs[(msg["market_ticker"], msg["side"])]
            levels[price] = levels.get(price, Decimal(0)) + size
            if levels[price] == 0:
                del levels[price]
    return {
        market: (legs[(market, "yes")], {1 - price: size for price, size in legs[(market, "no")].items()})
        for market in {market for market, _ in legs}
    }


def in_decimals(view: BookView) -> tuple[Levels, Levels]:
    bids, asks = (
        {Decimal(level.price) / NANO: Decimal(level.size) / NANO for level in side} for side in (view.bids, view.asks)
    )
    return bids, asks


def crossed_or_negative(view: BookView) -> bool:
    crossed = bool(view.bids and view.asks) and view.bids[0].price >= view.asks[0].price
    return crossed or any(level.size <= 0 for level in (*view.bids, *view.asks))


@pytest.mark.parametrize("name", FILES)
def test_the_final_book_is_that_of_an_independent_reconstruction(recordings: Path, name: str) -> None:
    frames = raw_frames(recordings / name)
    played = Played(recordings / name)
    assert played.replay.counts() == Counter(frame["type"] for frame in frames)
    expected = reconstructed(frames)
    assert played.replay.books.keys() == expected.keys()
    for market, book in played.replay.books.items():
        assert book.stale == ""
        assert in_decimals(book.view()) == expected[market]


@pytest.mark.parametrize("name", FILES)
def test_no_delta_leaves_a_negative_size_or_a_crossed_book(recordings: Path, name: str) -> None:
    recording = open_recording(recordings / name)
    replay = ReplayCore(recording.header)
    deltas = 0
    for entry in recording:
        for output in replay.play(entry):
            if isinstance(output, BookUpdate):
                deltas += not output.snapshot
                assert not crossed_or_negative(replay.books[output.market].view(1)), (output.session, output.seq)
    assert deltas > 500
    assert not any(crossed_or_negative(book.view()) for book in replay.books.values())


def test_rest_order_books_equal_the_snapshots_of_the_same_moment(recordings: Path) -> None:
    recording = open_recording(recordings / SESSION)
    replay = ReplayCore(recording.header)
    snapshots: dict[str, set[LevelChange]] = {
        event.market: set(level_changes(event))
        for entry in recording
        for event in replay.play(entry)
        if isinstance(event, BookUpdate) and event.snapshot
    }
    answers = raw_frames(recordings / REST)
    assert len(answers) == len(snapshots) == 5
    for answer in answers:
        market = answer["url"].split("/markets/")[1].split("/")[0]
        assert set(decode_orderbook(answer["response_body"], Codec())) == snapshots.pop(market)


@pytest.mark.parametrize("name", FILES)
def test_a_dropped_line_is_exactly_one_gap_and_a_snapshot_repairs_it(recordings: Path, name: str) -> None:
    entries = entries_of(recordings / name)
    cut = len(entries) // 2
    complete = Played(recordings / name, entries[: cut + 100])
    played = Played(recordings / name, [*entries[:cut], *entries[cut + 1 : cut + 100]])
    tally = played.replay.tally()
    assert played.incidents["gap"] == 1
    assert (tally.gaps, tally.lost) == (1, 1)
    assert played.stale == {"gap": len(played.replay.books)}
    assert all(book.stale == "gap" for book in played.replay.books.values())
    assert tally.dropped == 99, "every delta behind the hole waits for a snapshot"

    # The venue's answer to get_snapshot: the complete books as they are by now, one number each.
    last = entries[cut + 99]
    assert isinstance(last, Received)
    seq = json.loads(last.raw)["seq"]
    for market, book in complete.replay.books.items():
        seq += 1
        view = book.view()
        msg = {
            "market_ticker": market,
            "yes_dollars_fp": [[str(Decimal(each.price) / NANO), str(Decimal(each.size) / NANO)] for each in view.bids],
            "no_dollars_fp": [
                [str(1 - Decimal(each.price) / NANO), str(Decimal(each.size) / NANO)] for each in view.asks
            ],
        }
        frame = json.dumps({"type": "orderbook_snapshot", "id": 1, "sid": 1, "seq": seq, "msg": msg}).encode()
        played.play(Received(last.ts, frame))
    assert played.replay.stale_markets() == set()
    assert played.replay.tally().gaps == 1
    for market, book in played.replay.books.items():
        assert book.stale == ""
        assert in_decimals(book.view()) == in_decimals(complete.replay.books[market].view())
