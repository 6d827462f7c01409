"""Frames dropped, doubled and reordered at random, and the session's own recovery against a little model of the venue.

Whatever happens on the way, no book that the session calls current may differ from the venue's at that place of the
stream, nothing is applied twice, and in the end every book is the venue's.
"""

from __future__ import annotations

import json
from typing import Any

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from actors.market.book import Book, Gap
from actors.market.session_core import BOOK, SECOND, Event, SessionOptions
from actors.market.sessions.kalshi import KalshiSession
from protocols.market import BookStale, BookUpdate

MARKETS = ("A", "B", "C")
STEPS = ("send", "drop", "double", "swap", "tick", "lose_its_way", "error", "silence", "follow", "unfollow", "refuse")


class Venue:
    """Books of hundredths of a contract by cents, and one subscription of them. Prices are YES prices."""

    def __init__(self) -> None:
        self.books: dict[str, dict[tuple[str, int], int]] = {
            market: {("yes", 40): 500, ("no", 60): 500} for market in MARKETS
        }
        self.history: dict[tuple[int, int, str], dict[tuple[str, int], int]] = {}
        self.sid = 0
        self.seq = 0
        self.markets: set[str] = set()
        self.refuse = False

    def frame(self, type: str, msg: Any = None, id: int = 0) -> bytes:
        self.seq += 1
        for market in self.markets:
            self.history[(self.sid, self.seq, market)] = dict(self.books[market])
        frame = {"type": type, "sid": self.sid, "seq": self.seq, "msg": msg}
        return json.dumps({**frame, "id": id} if id else frame).encode()

    def snapshot(self, market: str, id: int = 0) -> bytes:
        levels: dict[str, list[list[str]]] = {"yes": [], "no": []}
        for (side, cents), size in self.books[market].items():
            levels[side].append([f"0.{cents:02}00", f"{size / 100:.2f}"])
        msg = {"market_ticker": market, "yes_dollars_fp": levels["yes"], "no_dollars_fp": levels["no"]}
        return self.frame("orderbook_snapshot", msg, id)

    def trade(self, market: str, cents: int, change: int) -> bytes | None:
        """A change of one level: bids below 50, asks above, so that no change can cross."""
        place = ("yes" if cents < 50 else "no", cents)
        book = self.books[market]
        size = max(book.get(place, 0) + change, 0)
        change = size - book.get(place, 0)
        if not change:
            return None
        book[place] = size
        if not size:
            del book[place]
        if market not in self.markets:
            return None
        msg = {
            "market_ticker": market,
            "price_dollars": f"0.{cents:02}00",
            "delta_fp": f"{change / 100:.2f}",
            "side": place[0],
        }
        return self.frame("orderbook_delta", msg)

    def command(self, raw: bytes) -> list[bytes]:
        command = json.loads(raw)
        params = command.get("params", {})
        if command["cmd"] == "subscribe":
            self.sid, self.seq, self.markets = self.sid + 1, 0, set(params["market_tickers"])
            said = {"channel": "orderbook_delta", "sid": self.sid}
            ack = json.dumps({"type": "subscribed", "id": command["id"], "msg": said}).encode()
            return [ack, *(self.snapshot(market) for market in sorted(self.markets))]
        if command["cmd"] == "unsubscribe" and params["sids"] == [self.sid]:
            self.markets = set()
            return [self.frame("unsubscribed", id=command["id"])]
        if command["cmd"] != "update_subscription" or params["sid"] != self.sid:
            return []
        named = set(params["market_tickers"])
        if self.refuse:
            self.refuse = False
            return [self.frame("error", {"code": 27, "msg": "Too many requests"}, command["id"])]
        if params["action"] == "get_snapshot":
            return [self.snapshot(market, command["id"]) for market in sorted(named & self.markets)]
        if params["action"] == "delete_markets":
            self.markets -= named
            return [self.frame("ok", {"market_tickers": sorted(self.markets)}, command["id"])]
        self.markets |= named
        frames = [self.snapshot(market) for market in sorted(named)]
        # The acknowledgement may come before or after the snapshots.
        frames.insert(self.seq % 2, self.frame("ok", {"market_tickers": sorted(self.markets)}, command["id"]))
        return in_order(frames)


def in_order(frames: list[bytes]) -> list[bytes]:
    """The frames with their numbers in the order in which they go out."""
    parsed = [json.loads(frame) for frame in frames]
    numbers = sorted(frame["seq"] for frame in parsed)
    return [json.dumps({**frame, "seq": seq}).encode() for frame, seq in zip(parsed, numbers, strict=True)]


class Talk:
    """A session, its books, and what travels from the venue to it."""

    def __init__(self) -> None:
        self.venue = Venue()
        self.core = KalshiSession("feed", MARKETS, [BOOK], SessionOptions(recovery_s=1.0))
        self.books = {market: Book(market) for market in MARKETS}
        self.applied: set[tuple[str, str, int]] = set()
        self.now = 0
        self.connections = 0
        self.wire: list[bytes] = []
        self.connect()

    def connect(self) -> None:
        self.connections += 1
        self.wire.clear()
        self.venue.sid = 0
        self.venue.markets = set()
        self.core.connected(f"c{self.connections}", (), 1, self.now)
        self.answer()

    def answer(self) -> None:
        for command in self.core.take_commands():
            self.wire += self.venue.command(command)
        if self.core.broken:
            self.hear(self.core.disconnected("broken", 1))
            self.connect()

    def deliver(self, frame: bytes) -> None:
        self.hear(self.core.receive(frame, 1, self.now))
        self.answer()

    def tick(self, seconds: float) -> None:
        self.now += round(seconds * SECOND)
        self.hear(self.core.tick(1, self.now))
        self.answer()

    def hear(self, events: list[Event]) -> None:
        for event in events:
            if isinstance(event, BookStale):
                self.books[event.market].mark_stale(event.reason)
            elif isinstance(event, BookUpdate):
                place = (event.market, event.session, event.seq)
                assert place not in self.applied, "nothing is applied twice"
                self.applied.add(place)
                book = self.books[event.market]
                try:
                    book.apply(event)
                except Gap:
                    raise AssertionError("the session let a hole through") from None
                if not book.stale:
                    self.check(book)

    def check(self, book: Book) -> None:
        """The book is the venue's, as that was when it sent the frame."""
        sid = int(book.session.partition("/")[2].partition(".")[0])
        if book.session.partition("/")[0] == f"c{self.connections}":
            assert levels_of(book) == self.venue.history[(sid, book.seq, book.market)]


def levels_of(book: Book) -> dict[tuple[str, int], int]:
    view = book.view()
    levels = {("yes", level.price // 10_000_000): level.size // 10_000_000 for level in view.bids}
    return levels | {("no", level.price // 10_000_000): level.size // 10_000_000 for level in view.asks}


changes = st.tuples(st.sampled_from(MARKETS), st.integers(38, 62), st.integers(-700, 700))
steps = st.lists(st.tuples(st.sampled_from(STEPS), changes), max_size=80)


@settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(steps)
def test_no_fault_on_the_way_leaves_a_wrong_book_that_looks_right(
    steps: list[tuple[str, tuple[str, int, int]]],
) -> None:
    talk = Talk()
    for step, change in steps:
        frame = talk.venue.trade(*change)
        if frame is not None:
            talk.wire.append(frame)
        if step == "tick":
            talk.tick(0.4)
        elif step == "lose_its_way":
            talk.books[change[0]].mark_stale("lost")
            talk.core.request_snapshot(change[0], talk.now)
            talk.answer()
        elif step == "silence":
            talk.core.silent(talk.now)
            talk.answer()
        elif step == "follow":
            talk.hear(talk.core.follow([change[0]], 1, talk.now))
            talk.answer()
        elif step == "unfollow":
            talk.hear(talk.core.unfollow([change[0]], 1, talk.now))
            talk.answer()
        elif step == "refuse":
            talk.venue.refuse = True
        elif step == "error" and talk.venue.sid:
            talk.wire.append(talk.venue.frame("error", {"code": 25, "msg": "Subscription buffer overflow"}))
        elif step == "swap" and len(talk.wire) > 1:
            talk.wire[0], talk.wire[1] = talk.wire[1], talk.wire[0]
        elif step == "drop" and talk.wire:
            talk.wire.pop(0)
        elif step == "double" and talk.wire:
            talk.wire.insert(0, talk.wire[0])
        if talk.wire and step != "tick":
            talk.deliver(talk.wire.pop(0))
    # From here on nothing goes wrong any more: recovery needs no person. What was lost at the very end shows when
    # nothing more comes and the session asks for a sign of life.
    talk.venue.refuse = False
    while talk.wire:
        talk.deliver(talk.wire.pop(0))
    talk.core.silent(talk.now)
    talk.answer()
    for turn in range(60):
        while talk.wire:
            talk.deliver(talk.wire.pop(0))
        if talk.core.state == "live" and turn > 5:
            break
        talk.tick(0.6)
    assert talk.core.state == "live"
    assert talk.core.live_markets() == talk.core.markets
    for market, book in talk.books.items():
        assert (book.stale == "") == (market in talk.core.markets)
        if not book.stale:
            assert levels_of(book) == talk.venue.books[market]
