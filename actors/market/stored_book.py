"""A market as it is stored, the session that it is stored in, and what the names of both say."""

from __future__ import annotations

import heapq
from collections.abc import Iterable
from typing import Literal

from actors.market.rows import BookSnapshotRow, SampledBookRow
from actors.market.signals_10s import SignalBucket
from protocols.market import DELAYED, DEMO, SYNTHETIC, BookUpdate, pack_levels, unpack_levels

Levels = dict[int, int]
LARGE = 2_000
"""Levels of a side from which on sorting them in Python holds the loop for a millisecond."""


def is_yes_no(market: str) -> bool:
    """Whether a market is a contract with a YES and a NO side: all whose name does not end with a venue (`.KRAKEN`)."""
    return not venue_of(market)


def venue_of(market: str) -> str:
    """The venue at the end of a market's name, in small letters; empty where there is none."""
    _, dot, tail = market.rpartition(".")
    return tail.lower() if dot and tail[:1].isalpha() else ""


def feed_of(session: str) -> str:
    """The feed of a session, which is named `<feed>-<incarnation>-<connection>/<scope>`."""
    return session.partition("/")[0].rsplit("-", 2)[0]


def sid_of(session: str) -> int | None:
    """The venue's subscription id in a session `…/<sid>.<n>`; None where there is none."""
    number = session.rpartition("/")[2].partition(".")[0] if "/" in session else ""
    return int(number) if number.isdecimal() and len(number) < 10 else None


def environment_of(marks: Iterable[str]) -> str:
    """What kind of venue data with these marks comes from."""
    found = set(marks)
    for mark, environment in ((SYNTHETIC, "simulated"), (DEMO, "demo"), (DELAYED, "replay")):
        if mark in found:
            return environment
    return "production"


class StoredSession:
    """One stored session and what has been counted in it."""

    __slots__ = ("deltas", "feed", "id", "last_recv", "markets", "messages", "reported", "sid", "snapshots", "source")

    def __init__(self, name: str, source: str) -> None:
        self.id = name
        self.source = source
        self.feed = feed_of(source)
        self.sid = sid_of(source)
        self.markets: set[str] = set()
        """Those that are in it now."""
        self.messages = 0
        self.snapshots = 0
        self.deltas = 0
        self.last_recv = 0
        self.reported = 0
        """How many messages the last event row told of."""


class StoredBook:
    """One market: its sizes as they are stored, and the session that it is in."""

    __slots__ = (
        "ask_volume",
        "asked",
        "asks",
        "bid_volume",
        "bids",
        "bucket",
        "day_ends",
        "last",
        "market",
        "marks",
        "seq",
        "session",
        "since_whole",
        "stale",
        "stretch",
        "ts_event",
        "ts_recv",
        "updates",
        "waiting",
        "yes_no",
    )

    def __init__(self, market: str) -> None:
        self.market = market
        self.yes_no = is_yes_no(market)
        self.bids: Levels = {}
        self.asks: Levels = {}
        self.bid_volume = 0
        self.ask_volume = 0
        self.session: StoredSession | None = None
        self.last: StoredSession | None = None
        """The session that it was in last, or is in."""
        self.stretch = 0
        """How many sessions of one source it has had."""
        self.seq = 0
        self.ts_event = 0
        self.ts_recv = 0
        self.marks: tuple[str, ...] = ()
        self.since_whole = 0
        self.day_ends = 0
        self.updates = 0
        self.stale = ""
        """Why a snapshot of the venue is on its way, as the feed says."""
        self.waiting: list[BookUpdate] | None = None
        """What came since its book was asked for, at `asked`."""
        self.asked = 0
        self.bucket: SignalBucket | None = None

    def load(self, bids: Levels, asks: Levels) -> None:
        """Begin with these sizes."""
        self.bids, self.asks = bids, asks
        self.bid_volume, self.ask_volume = sum(bids.values()), sum(asks.values())

    def move(self, update: BookUpdate) -> None:
        """This message was the last."""
        self.seq = update.seq
        self.ts_event = update.ts_event or self.ts_event
        self.ts_recv = update.ts_recv

    def whole_row(
        self, session: StoredSession, kind: Literal["snapshot", "checkpoint"], update: BookUpdate | None = None
    ) -> BookSnapshotRow:
        """The row of the whole book, packed as the snapshot `update` has it already where it has."""
        bids = update.packed_bids if update is not None else b""
        asks = update.packed_asks if update is not None else b""
        return BookSnapshotRow(
            self.market,
            session.id,
            session.sid,
            self.seq,
            self.ts_event,
            self.ts_recv,
            kind,
            self.yes_no,
            bids or packed(self.bids, descending=True),
            asks or packed(self.asks, descending=False),
            self.marks,
        )

    def sample_row(self, session: StoredSession, depth: int) -> SampledBookRow:
        """The row of the best `depth` levels a side."""
        return SampledBookRow(
            self.market,
            session.id,
            session.sid,
            self.seq,
            self.ts_event,
            self.ts_recv,
            self.yes_no,
            pack_levels(heapq.nlargest(depth, self.bids.items())),
            pack_levels(heapq.nsmallest(depth, self.asks.items())),
            str(self.bid_volume + self.ask_volume),
            self.marks,
        )


def levels_of(update: BookUpdate) -> tuple[Levels, Levels]:
    """Bids and asks of a snapshot, packed or not."""
    bids: Levels = {}
    asks: Levels = {}
    for change in update.changes:
        if change.size:
            (bids if change.side == "bid" else asks)[change.price] = change.size
    for packed, sizes in ((update.packed_bids, bids), (update.packed_asks, asks)):
        if packed:
            sizes.update(zip(*unpack_levels(packed), strict=True))
    return bids, asks


def packed(levels: Levels, *, descending: bool) -> bytes:
    """One side of a book as `BookUpdate` packs it, best first: bids are `descending`."""
    if len(levels) < LARGE:
        return pack_levels(sorted(levels.items(), reverse=descending))
    # A tenth of the time for ten thousands of levels, and imported only where there are such books.
    import numpy as np

    prices = np.fromiter(levels.keys(), np.int64, len(levels))
    order = np.argsort(prices)
    if descending:
        order = order[::-1]
    sizes = np.fromiter(levels.values(), np.int64, len(levels))
    return np.column_stack((prices[order], sizes[order])).astype("<i8").tobytes()
