"""The fan-out of order books: numbered messages of each market, made once, and what every client has lost.

A client of a market has every message of it from its last snapshot on, or it is told that it has not (`lagged`) and
gets a new snapshot. A client that reads slowly costs the others nothing.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Final, Protocol

import msgspec

from actors.edge.frames import text_frame
from actors.market.book import Book, Gap
from protocols.market import STALE, SYNTHETIC, BookUpdate, BookView, MarketPhase, Side, level_changes, pack_levels
from protocols.nanos import decimal_text
from protocols.orderbook_stream import (
    BookChange,
    DeltaData,
    DeltaMessage,
    LaggedMessage,
    ServerMessage,
    SnapshotData,
    SnapshotMessage,
    StaleData,
    StaleMessage,
    book_levels,
    encode_server,
)

BACKLOG_BYTES: Final = 262_144
"""What may wait for one client; a single larger message goes to one for whom nothing waits."""
LARGE: Final = 2000
"""Levels of a book whose snapshot is made beside the loop."""
MOST_PENDING: Final = 10_000
"""Updates that wait for a book to begin from."""

_LEGS: Final[tuple[Side, ...]] = ("bid", "ask")


class Sink(Protocol):
    """Where frames go: a WebSocket. Nothing here waits."""

    @property
    def closed(self) -> bool:
        """Whether nothing can be sent any more."""

    @property
    def backlog_bytes(self) -> int:
        """What was taken and not sent yet."""

    def offer_bytes(self, joined: bytes, count: int) -> bool:
        """Take `count` joined frames, all or none."""

    def offer_now(self, joined: bytes, count: int) -> bool:
        """`offer_bytes` if nothing waits to be sent; False, with nothing taken, otherwise."""


class Loss(msgspec.Struct):
    """A market's messages from `first` on were not sent. 0: a snapshot is due, and nothing else is missing."""

    first: int = 0


class Client:
    """One connection, its markets, and for each what it has lost and was not told yet."""

    __slots__ = ("losses", "markets", "name", "sink")

    def __init__(self, name: str, sink: Sink) -> None:
        self.name = name
        self.sink = sink
        self.markets: set[str] = set()
        self.losses: dict[str, Loss] = {}

    def offer(self, wire: bytes, count: int = 1) -> bool:
        """Send whole frames, if there is room for them."""
        sink = self.sink
        if sink.offer_now(wire, count):
            return True
        waiting = sink.backlog_bytes
        return not sink.closed and waiting + len(wire) <= BACKLOG_BYTES and sink.offer_bytes(wire, count)


def frame(message: ServerMessage) -> bytes:
    """A message, encoded and framed."""
    return text_frame(encode_server(message))


class MarketStream:
    """One market: its book as the clients have it, and its messages' numbers.

    It begins without a book: updates wait until `begin` is given the keeper's.
    """

    def __init__(self, market: str) -> None:
        self.market = market
        self.source = ""
        self.seq = 0
        self.begun = False
        self.clients: dict[Client, None] = {}
        self.book = Book(market)
        self._pending: list[BookUpdate] = []
        self._snapshot = b""

    # What happens to the book. Each gives the frame to send, empty for none.

    def begin(self, view: BookView, source: str) -> bool:
        """The keeper's book, and what has come since. False: too much came since, so it has to be asked again."""
        if len(self._pending) > MOST_PENDING:
            self._pending = []
            return False
        self.source = source
        self.begun = True
        update = BookUpdate(
            self.market, (), "absolute", True, view.session, view.seq, view.ts_event, view.ts_recv,
            tuple(mark for mark in view.marks if mark != STALE),
            pack_levels((level.price, level.size) for level in view.bids),
            pack_levels((level.price, level.size) for level in view.asks),
        )  # fmt: skip
        try:
            self.book.apply(update)
        except Gap as gap:
            self.book.mark_stale(gap.reason)
        if view.stale:
            self.book.mark_stale(view.stale)
        pending, self._pending = self._pending, []
        # They came in order, so those up to the last that the keeper had are in its book.
        known = [place for place, each in enumerate(pending, 1) if _is_in(each, view)]
        for each in pending[known[-1] if known else 0 :]:
            self._apply(each)
        self._changed()
        return True

    def update(self, update: BookUpdate) -> bytes:
        """One venue message. After a snapshot (`begun`, and nothing to send) every client needs the whole book."""
        if not self.begun:
            if len(self._pending) <= MOST_PENDING:
                self._pending.append(update)
            return b""
        if self.book.stale and not update.snapshot:
            return b""
        gap = self._apply(update)
        self._changed()
        if gap:
            return frame(StaleMessage(self.market, self.seq, StaleData(reason=gap)))
        return b"" if update.snapshot else self._delta(update)

    def stale(self, reason: str) -> bytes:
        """The book is not to be trusted until the next snapshot."""
        if not self.begun:
            return b""
        self.book.mark_stale(reason)
        self._changed()
        return frame(StaleMessage(self.market, self.seq, StaleData(reason=reason)))

    def set_phase(self, phase: MarketPhase) -> bytes:
        """Trading pauses, goes on or ends; a crossed book is right in a pause alone."""
        try:
            self.book.set_phase(phase)
        except Gap as gap:
            return self.stale(gap.reason)
        return b""

    def restart(self) -> None:
        """Something was lost on the way here: wait for the keeper's book again."""
        self.begun = False
        self._pending = []

    @property
    def costly(self) -> bool:
        """Whether making its snapshot takes longer than a handler may: it is then made on a thread."""
        return not self._snapshot and sum(len(self.book._side(leg).sizes) for leg in _LEGS) > LARGE

    def snapshot(self) -> bytes:
        """The frame of the whole book as it is, made once for each state."""
        if not self._snapshot:
            view = self.book.view()
            self._snapshot = frame(
                SnapshotMessage(
                    self.market,
                    self.seq,
                    SnapshotData(
                        bids=book_levels((level.price, level.size) for level in view.bids),
                        asks=book_levels((level.price, level.size) for level in view.asks),
                        source=self.source,
                        session=view.session,
                        venue_seq=view.seq,
                        ts_event=view.ts_event,
                        ts_recv=view.ts_recv,
                        stale=view.stale,
                        synthetic=SYNTHETIC in view.marks,
                        marks=view.marks,
                    ),
                )
            )
        return self._snapshot

    def _apply(self, update: BookUpdate) -> str:
        try:
            self.book.apply(update)
        except Gap as gap:
            self.book.mark_stale(gap.reason)
            return gap.reason
        return ""

    def _changed(self) -> None:
        self.seq += 1
        self._snapshot = b""

    def _delta(self, update: BookUpdate) -> bytes:
        sides = {"bid": self.book._side("bid").sizes, "ask": self.book._side("ask").sizes}
        touched = dict.fromkeys((change.side, change.price) for change in level_changes(update))
        return frame(
            DeltaMessage(
                self.market,
                self.seq,
                DeltaData(
                    changes=tuple(
                        BookChange(side, decimal_text(price, 4), decimal_text(sides[side].get(price, 0)))
                        for side, price in touched
                    ),
                    session=update.session,
                    venue_seq=update.seq,
                    ts_event=update.ts_event,
                    ts_recv=update.ts_recv,
                    synthetic=SYNTHETIC in update.marks,
                    marks=update.marks,
                ),
            )
        )


def _is_in(update: BookUpdate, view: BookView) -> bool:
    return update.session == view.session and update.seq <= view.seq


class BookFanOut:
    """Who gets which market. `opened`, `closed` are called with a market when its first client comes, its last goes."""

    def __init__(self, opened: Callable[[str], None], closed: Callable[[str], None]) -> None:
        self.streams: dict[str, MarketStream] = {}
        self.clients: dict[Client, None] = {}
        self.sent = 0
        self.lost = 0
        self._opened = opened
        self._closed = closed

    def subscribe(self, client: Client, markets: Iterable[str]) -> None:
        """Send a client these markets, each beginning with a snapshot."""
        self.clients[client] = None
        for market in markets:
            stream = self.streams.get(market)
            if stream is None:
                stream = self.streams[market] = MarketStream(market)
                self._opened(market)
            if client not in stream.clients:
                stream.clients[client] = None
                client.markets.add(market)
                client.losses[market] = Loss()
        self.settle(client)

    def unsubscribe(self, client: Client, markets: Iterable[str]) -> None:
        """Send a client these markets no more."""
        for market in markets:
            client.markets.discard(market)
            client.losses.pop(market, None)
            stream = self.streams.get(market)
            if stream is not None and client in stream.clients:
                del stream.clients[client]
                if not stream.clients:
                    del self.streams[market]
                    self._closed(market)

    def detach(self, client: Client) -> None:
        """Forget a client; it keeps its markets."""
        markets = set(client.markets)
        self.unsubscribe(client, markets)
        client.markets = markets
        self.clients.pop(client, None)

    def resync(self, client: Client, market: str) -> None:
        """Send a new snapshot, of one market or (empty) of all of the client's."""
        for each in (market,) if market else tuple(client.markets):
            client.losses.setdefault(each, Loss())
        self.settle(client)

    def send(self, stream: MarketStream, wire: bytes) -> None:
        """Hand one message of a market to all of its clients."""
        for client in tuple(stream.clients):
            if stream.market in client.losses:
                self.lost += 1
            else:
                self._hand(client, stream, wire)

    def renew(self, stream: MarketStream) -> None:
        """A market has a new book: all of its clients get it."""
        for client in tuple(stream.clients):
            if stream.market in client.losses:
                self.settle(client)
            else:
                self._hand(client, stream, stream.snapshot())

    def sweep(self) -> None:
        """Forget those that are gone, and bring those up that have room again."""
        for client in tuple(self.clients):
            if client.sink.closed:
                self.detach(client)
            elif client.losses:
                self.settle(client)

    def settle(self, client: Client) -> None:
        """Send snapshots of what the client lacks, and tell what it has lost, while it has room."""
        for market, loss in tuple(client.losses.items()):
            stream = self.streams.get(market)
            if stream is None or not stream.begun:
                continue
            wire = stream.snapshot()
            count = 1
            if loss.first:
                wire = frame(LaggedMessage(market, loss.first, stream.seq, stream.seq - loss.first + 1)) + wire
                count = 2
            # One that has lost something waits until it has read all there was, or it would lose again at once.
            if (loss.first and client.sink.backlog_bytes) or not client.offer(wire, count):
                continue
            self.sent += count
            del client.losses[market]

    def _hand(self, client: Client, stream: MarketStream, wire: bytes) -> None:
        if client.offer(wire):
            self.sent += 1
        elif client.sink.closed:
            self.detach(client)
        else:
            client.losses[stream.market] = Loss(stream.seq)
            self.lost += 1
