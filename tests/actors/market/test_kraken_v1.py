"""Kraken's session, version 1, and its recording: all of the venue's checksums."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from zlib import crc32

import pytest
import zstandard

from actors.market.book import Book
from actors.market.session_core import BOOK, SECOND, TICKERS, TRADES, Event, Incident, SessionOptions
from actors.market.sessions.kraken_v1 import KrakenV1Session
from protocols.market import BookStale, BookUpdate, LevelChange, MarketStatus
from protocols.nanos import NANO
from protocols.venues.errors import WireError

XBT = "XBT-USD.KRAKEN"
LISTENING = SessionOptions(listening=True)
SNAPSHOT = (
    '[1,{"as":[["6.0","1.00000000","100.000000"],["7.0","2.00000000","101.000000"]],'
    '"bs":[["5.0","1.00000000","102.500000"]]},"book-10","XBT/USD"]'
)


def update(side: str, price: str, size: str, book: str, pair: str = "XBT/USD") -> str:
    """An update; `book`: what its checksum is made of."""
    return f'[1,{{"{side}":[["{price}","{size}","103.000000"]],"c":"{crc32(book.encode())}"}},"book-10","{pair}"]'


def connected() -> KrakenV1Session:
    core = KrakenV1Session("kr", (XBT,), (BOOK,), SessionOptions(depth=10))
    core.connected("c1", (), 0, 0)
    core.take_commands()
    core.receive(SNAPSHOT, 0, 0)
    return core


def test_channels_are_subscribed_by_pair() -> None:
    core = KrakenV1Session("kr", (XBT,), (BOOK, TRADES, TICKERS), SessionOptions(depth=100))
    core.connected("c1", (), 0, 0)
    assert [json.loads(command) for command in core.take_commands()] == [
        {"event": "subscribe", "pair": ["XBT/USD"], "subscription": {"name": "book", "depth": 100}},
        {"event": "subscribe", "pair": ["XBT/USD"], "subscription": {"name": "trade"}},
        {"event": "subscribe", "pair": ["XBT/USD"], "subscription": {"name": "ticker"}},
    ]


def test_an_update_is_proven_and_handed_on() -> None:
    core = connected()
    assert core.state == "live"
    (event,) = core.receive(update("b", "5.0", "3.00000000", "60100000000702000000005030000000" + "0"), 9, 0)
    assert isinstance(event, BookUpdate)
    assert (event.market, event.changes, event.ts_event) == (
        XBT, (LevelChange("bid", 5 * NANO, 3 * NANO),), 103 * NANO,
    )  # fmt: skip
    assert core.tally.checked == 1


def test_a_wrong_checksum_asks_for_the_book_again() -> None:
    core = connected()
    core.tick(0, 2 * SECOND)
    events = core.receive(update("b", "5.0", "3.00000000", "something else"), 0, 2 * SECOND)
    assert BookStale(XBT, "kr", "checksum", 0) in events
    assert [json.loads(command)["event"] for command in core.take_commands()] == ["unsubscribe", "subscribe"]
    core.receive(SNAPSHOT, 0, 2 * SECOND)
    assert core.state == "live"


def test_what_is_refused_is_given_up_and_what_has_ended_is_asked_for_again() -> None:
    core = KrakenV1Session("kr", (XBT, "NO-USD.KRAKEN"), (BOOK,))
    core.connected("c1", (), 0, 0)
    core.receive(
        '{"errorMessage":"Currency pair not supported NO/USD","event":"subscriptionStatus","pair":"NO/USD",'
        '"status":"error","subscription":{"depth":1000,"name":"book"}}',
        0,
        0,
    )
    assert core.rejected == {"NO-USD.KRAKEN"}
    core.receive(SNAPSHOT, 0, 0)
    assert core.state == "live"
    core.take_commands()
    ended = '{"channelName":"book-1000","event":"subscriptionStatus","pair":"XBT/USD","status":"unsubscribed"}'
    assert BookStale(XBT, "kr", "unsubscribed", 0) in core.receive(ended, 0, 5 * SECOND)
    assert len(core.take_commands()) == 2


def test_frames_that_do_not_fit() -> None:
    core = connected()
    events = core.receive('[1,{"b":[["x","1","2"]],"c":"1"},"book-10","XBT/USD"]', 0, 0)
    assert BookStale(XBT, "kr", "malformed", 0) in events
    core.receive(SNAPSHOT, 0, 0)
    assert BookStale(XBT, "kr", "malformed", 0) in core.receive('[1,{"b":7},"book-10","XBT/USD"]', 0, 0)
    assert core.tally.malformed == 2
    with pytest.raises(WireError):
        core.receive("[]", 0, 0)


def test_a_stop_of_the_trading_engine_and_silence() -> None:
    core = connected()
    events = core.receive('{"event":"systemStatus","status":"maintenance"}', 0, 0)
    assert [event.phase for event in events if isinstance(event, MarketStatus)] == ["paused"]
    core.silent(0)
    assert [json.loads(command) for command in core.take_commands()] == [{"event": "ping"}]


# -- the recording -----------------------------------------------------------------------------------------


def recorded(path: Path) -> Iterator[dict[str, Any]]:
    with zstandard.open(path, "rt", encoding="utf-8") as lines:
        for line in lines:
            yield json.loads(line)


def played(path: Path, lost: int = -1) -> tuple[KrakenV1Session, list[Event], dict[str, Book]]:
    """The recording through the core, without the book frame number `lost`."""
    core = KrakenV1Session("recording", (), (BOOK, TRADES, TICKERS), LISTENING)
    books: dict[str, Book] = {}
    events: list[Event] = []
    frames = 0
    for record in recorded(path):
        if record["t"] == "connect":
            core.connected(record["conn"], (), 0, 0)
        if record["t"] != "recv":
            continue
        frames += '"book-' in record["data"][-30:]
        if frames == lost + 1 and '"book-' in record["data"][-30:]:
            continue
        for event in core.receive(record["data"], round(record["ts"] * NANO), 0):
            events.append(event)
            if isinstance(event, BookUpdate):
                books.setdefault(event.market, Book(event.market)).apply(event)
            elif isinstance(event, BookStale):
                books[event.market].mark_stale(event.reason)
    return core, events, books


@pytest.mark.recordings
def test_every_checksum_of_the_recording_is_right(recordings: Path) -> None:
    core, events, books = played(recordings / "cryptofeed-kraken.jsonl.zst")
    tally = core.tally
    assert (tally.checked, tally.mismatched) == (4269, 0)
    assert (tally.frames, tally.updates, tally.dropped, tally.malformed) == (4430, 4279, 0, 0)
    assert core.counts == {
        "book": 4269,
        "book snapshot": 10,
        "heartbeat": 92,
        "subscriptionStatus": 30,
        "ticker": 18,
        "trade": 8,
        "systemStatus": 3,
    }
    kinds = Counter(type(event).__name__ for event in events)
    assert kinds == {"BookUpdate": 4279, "Ticker": 18, "Trade": 10}
    # One ask of a book of 10^10 does not fit into nanos.
    assert (core.faults.dropped, core.faults.total) == (1, 1)
    assert len(books) == 10
    assert all(book.stale == "" for book in books.values())
    for book in books.values():
        view = book.view()
        assert len(view.bids) <= 1000
        assert len(view.asks) <= 1000


@pytest.mark.recordings
def test_keepers_have_the_levels_that_the_raw_messages_make(recordings: Path) -> None:
    """An independent reconstruction: text digits, sorted and cut anew after each message."""
    core, _, books = played(recordings / "cryptofeed-kraken.jsonl.zst")
    truth: dict[str, dict[str, dict[str, str]]] = {}
    for record in recorded(recordings / "cryptofeed-kraken.jsonl.zst"):
        frame = json.loads(record["data"]) if record["t"] == "recv" else {}
        if not isinstance(frame, list) or not frame[-2].startswith("book"):
            continue
        sides = truth.setdefault(frame[-1], {"a": {}, "b": {}})
        for payload in frame[1:-2]:
            for name in ("as", "bs", "a", "b"):
                for price, size, *_ in payload.get(name, ()):
                    if float(size) == 0:
                        sides[name[0]].pop(price, None)
                    else:
                        sides[name[0]][price] = size
        for side, worst in (("a", max), ("b", min)):
            while len(sides[side]) > 1000:
                del sides[side][worst(sides[side], key=float)]
    for pair, sides in truth.items():
        view = books[core.market_of(pair)].view()
        for levels, expected in ((view.asks, sides["a"]), (view.bids, sides["b"])):
            have = {f"{level.price / NANO:.9f}": f"{level.size / NANO:.8f}" for level in levels}
            want = {f"{float(price):.9f}": f"{float(size):.8f}" for price, size in expected.items()}
            assert have == {price: size for price, size in want.items() if float(price) < 9e9}


@pytest.mark.recordings
def test_a_lost_update_of_the_recording_is_noticed_or_did_no_harm(recordings: Path) -> None:
    path = recordings / "cryptofeed-kraken.jsonl.zst"
    noticed = 0
    for lost in (100, 700, 2500):
        core, events, books = played(path, lost)
        stale = [event for event in events if isinstance(event, BookStale)]
        mismatches = [event for event in events if isinstance(event, Incident) and event.kind == "checksum"]
        assert len(stale) == len(mismatches) == core.tally.mismatched <= 1
        noticed += len(stale)
        assert [market for market, book in books.items() if book.stale] == [event.market for event in stale]
    assert noticed
