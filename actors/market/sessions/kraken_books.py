"""What both versions of Kraken's WebSocket have in common: books without sequence numbers, proven by checksums.

The venue numbers nothing. It sends a CRC32 of the best ten levels a side instead, so the session keeps each book in the
venue's digits, as deep as it was subscribed, and hands an update on only when the sum is right. A wrong sum makes that
one book stale, and it is subscribed anew. What was lost below the tenth level shows when it comes up.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Final

from actors.market.session_core import DEFAULT_OPTIONS, Credentials, SessionOptions
from actors.market.sessions.checked_book import CheckedBook
from actors.market.sessions.subscribed_books import SubscribedBooks
from protocols.market import BookUpdate, LevelChange, MarketPhase, MarketStatus
from protocols.venues.kraken import DEPTHS

Levels = Iterable[tuple[str, str]]
NOT_SUPPORTED: Final = "not supported"
"""In the words with which the venue refuses a pair that it does not know."""


class _Kept:
    """One market's book, from a snapshot on. `stream` and `seq` address its updates."""

    __slots__ = ("book", "seq", "stream")

    def __init__(self, depth: int, stream: str) -> None:
        self.book = CheckedBook(depth)
        self.stream = stream
        self.seq = 0


class KrakenBooks(SubscribedBooks):
    """The part of a session that knows books and not frames."""

    SUFFIX = ".KRAKEN"
    REST_URL = "https://api.kraken.com"
    REST = "actors.market.rest.kraken:KrakenRest"
    # Connections: 150 in ten minutes and IP. REST: one public call a second and IP.
    BUDGETS = (("connect", 20.0, 0.25), ("rest", 1.0, 1.0))
    COMMANDS_PER_S = 10.0
    CHUNK = 50

    def __init__(
        self,
        feed: str,
        markets: Sequence[str] = (),
        channels: Sequence[str] | None = None,
        options: SessionOptions = DEFAULT_OPTIONS,
        credentials: Credentials | None = None,
    ) -> None:
        super().__init__(feed, markets, channels, options, credentials)
        self.depth = DEPTHS[-1] if options.depth is None else options.depth
        if self.depth not in DEPTHS:
            raise ValueError(f"kraken offers a depth of {', '.join(map(str, DEPTHS))}, not {self.depth}")
        self._kept: dict[str, _Kept] = {}
        self._joined = 0
        self._frame = 0
        # As the venue said; a recording may have been made with another depth than is configured.
        self._depths: dict[str, int] = {}
        self._phase: MarketPhase = "active"
        self._markets: dict[str, str] = {}

    @classmethod
    def symbol_of(cls, market: str) -> str:
        """The venue's symbol: the last dash stands for its slash."""
        base, dash, quote = market.removesuffix(cls.SUFFIX).rpartition("-")
        return f"{base}/{quote}" if dash else quote

    def _market(self, symbol: str) -> str:
        market = self._markets.get(symbol)
        if market is None:
            market = self._markets[symbol] = self.market_of(symbol)
        return market

    def _follows(self, market: str) -> bool:
        """Whether frames of this market are read; what comes between an unsubscription and its end is not."""
        if self.options.listening or market in self.markets:
            return True
        self.counts["of a market that is not followed"] += 1
        return False

    # -- books ---------------------------------------------------------------------------------------------

    def _snapshot(self, market: str, bids: Levels, asks: Levels, checksum: int | None, ts_event: int) -> None:
        """The whole book. Raises ValueError for what is no number."""
        if not self._follows(market):
            return
        if self.options.listening:
            self._seen.add(market)
        self._joined += 1
        depth = self._depths.get(market, self.depth)
        kept = _Kept(depth, f"{self.session}/{market.removesuffix(self.SUFFIX)}.{self._joined}")
        changes = kept.book.load(bids, asks, self.faults)
        if self._proven(market, kept, checksum):
            self._kept[market] = kept
            self._hand_on(market, kept, changes, True, ts_event)
            self._arrived(market)

    def _update(self, market: str, bids: Levels, asks: Levels, checksum: int | None, ts_event: int) -> None:
        """Changed levels, in their order. Raises ValueError for what is no number: part of it is applied then."""
        kept = self._kept.get(market)
        if kept is None or market not in self._live:
            if self._follows(market):
                if self.options.listening:
                    self._seen.add(market)
                self.tally.dropped += 1
            return
        book, faults = kept.book, self.faults
        changes: list[LevelChange] = []
        for price, size in bids:
            if (change := book.change("bid", price, size, faults)) is not None:
                changes.append(change)
        for price, size in asks:
            if (change := book.change("ask", price, size, faults)) is not None:
                changes.append(change)
        changes += book.cut()
        if self._proven(market, kept, checksum):
            self._hand_on(market, kept, changes, False, ts_event)

    def _malformed(self, market: str, error: ValueError) -> None:
        """What came for this market is no book: it may be half applied."""
        self.tally.malformed += 1
        self._incident("malformed", f"{market}: {error}")
        self._lost((market,), "malformed")

    def _proven(self, market: str, kept: _Kept, checksum: int | None) -> bool:
        if checksum is None:
            return True
        self.tally.checked += 1
        if kept.book.matches(checksum):
            return True
        self.tally.mismatched += 1
        self._incident("checksum", f"{market}: {kept.book.checksum()} instead of {checksum}", kept.stream)
        self._lost((market,), "checksum")
        return False

    def _hand_on(self, market: str, kept: _Kept, changes: list[LevelChange], snapshot: bool, ts_event: int) -> None:
        kept.seq += 1
        self.tally.updates += 1
        self._events.append(
            BookUpdate(
                market, tuple(changes), "absolute", snapshot, kept.stream, kept.seq, ts_event, self._ts, self.marks
            )
        )

    # -- the trading engine --------------------------------------------------------------------------------

    def _system(self, phase: MarketPhase, word: str) -> None:
        """One state for all markets. In a pause the books stand still and are true."""
        if phase == self._phase:
            return
        self._phase = phase
        self._incident("system", word)
        for market in sorted(self.markets - self.rejected | self._seen):
            self._events.append(MarketStatus(market, phase, self.session, self._ts, self._ts, marks=self.marks))

    def _forget(self) -> None:
        super()._forget()
        self._kept.clear()
        self._depths.clear()
        self._joined = 0
        self._frame = 0
