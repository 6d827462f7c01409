"""Real sessions of Kalshi, through the same core and books as a live one.

The independent reconstruction below shares nothing with the code under test: it reads the raw JSON into Decimals, per
leg, and turns NO into YES only at the very end.
"""

from __future__ import annotations

import gzip
import json
from collections import Counter
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest

from actors.market.book import Book
from actors.market.recording import Entry, Recording
from actors.market.session_core import Incident, SessionOptions
from actors.market.sessions.kalshi import KalshiSession
from protocols.market import BookStale, BookUpdate, BookView
from protocols.nanos import NANO
from protocols.venues.kalshi import Codec, decode_orderbook

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
LISTENING = SessionOptions(listening=True, use_yes_price=False)


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


class Played:
    """What came of playing entries through a session core and books; every quote is looked at as it comes."""

    def __init__(self, entries: list[Entry]) -> None:
        self.core = KalshiSession("recording", options=LISTENING)
        self.core.connected("c", (), 0, 0)
        self.books: dict[str, Book] = {}
        self.incidents: Counter[str] = Counter()
        self.stale = 0
        self.quotes = 0
        for entry in entries:
            assert entry.frame is not None
            self.play(entry)

    def play(self, entry: Entry) -> None:
        for event in self.core.receive(entry.frame or b"", entry.ts, entry.ts):
            if isinstance(event, BookUpdate):
                book = self.books.setdefault(event.market, Book(event.market))
                quote = book.apply(event)
                if quote is not None:
                    self.quotes += 1
                    assert quote.bid is None or quote.ask is None or quote.bid <= quote.ask
                    assert quote.bid_size >= 0
                    assert quote.ask_size >= 0
            elif isinstance(event, Incident):
                self.incidents[event.kind] += 1
            elif isinstance(event, BookStale):
                self.stale += 1
                self.books[event.market].mark_stale(event.reason)


def entries_of(path: Path) -> list[Entry]:
    recording = Recording(path)
    entries = list(recording)
    recording.close()
    return entries


@pytest.mark.parametrize("name", FILES)
def test_every_frame_is_accounted_for_and_the_final_book_is_right(recordings: Path, name: str) -> None:
    frames = raw_frames(recordings / name)
    played = Played(entries_of(recordings / name))
    kinds = Counter(frame["type"] for frame in frames)
    assert played.core.tally.frames == len(frames)
    assert played.core.counts == kinds
    assert played.core.tally.updates == kinds["orderbook_snapshot"] + kinds["orderbook_delta"]
    tally = played.core.tally
    assert (tally.gaps, tally.lost, tally.dropped, tally.malformed, played.stale) == (0, 0, 0, 0, 0)
    assert played.core.faults.total == 0
    assert played.quotes > 0
    expected = reconstructed(frames)
    assert played.books.keys() == expected.keys()
    for market, book in played.books.items():
        assert book.stale == ""
        assert in_decimals(book.view()) == expected[market]


def test_the_demo_session_holds_what_its_description_says(recordings: Path) -> None:
    played = Played(entries_of(recordings / SESSION))
    assert played.core.counts == {
        "orderbook_delta": 2885,
        "orderbook_snapshot": 5,
        "ok": 4,
        "subscribed": 2,
        "fill": 2,
    }


def test_rest_order_books_equal_the_snapshots_of_the_same_moment(recordings: Path) -> None:
    core = KalshiSession("recording", options=LISTENING)
    core.connected("c", (), 0, 0)
    snapshots = {
        event.market: set(event.changes)
        for entry in entries_of(recordings / SESSION)
        for event in core.receive(entry.frame or b"", entry.ts, 0)
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
    complete = Played(entries[: cut + 100])
    played = Played([*entries[:cut], *entries[cut + 1 : cut + 100]])
    assert played.incidents["gap"] == 1
    assert (played.core.tally.gaps, played.core.tally.lost) == (1, 1)
    assert played.stale == len(played.books)
    assert all(book.stale == "gap" for book in played.books.values())
    dropped = played.core.tally.dropped
    assert dropped == 99, "every delta behind the hole waits for a snapshot"

    # The venue's answer to get_snapshot: the complete books as they are by now, one number each.
    seq = json.loads(entries[cut + 99].frame or b"")["seq"]
    for market, book in complete.books.items():
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
        played.play(Entry(entries[cut + 99].ts, frame))
    assert played.core.state == "live"
    assert played.core.tally.gaps == 1
    for market, book in played.books.items():
        assert book.stale == ""
        assert in_decimals(book.view()) == in_decimals(complete.books[market].view())
