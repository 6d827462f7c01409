"""One connection to Binance as a state machine, in what spot, USD-M and COIN-M have in common.

* Streams are subscribed by commands, in chunks; each command must be answered in time, or the connection is not to be
  trusted. The venue says `null` to any stream name, so a symbol that it does not have shows only in its REST answers.
* A book begins with its stream. Changes are held, and once the stream is known to run, a snapshot is asked for over
  REST and joined to them (`binance_books`). One that is older than what is held is asked for again.
* A hole concerns one symbol: its book is stale, and one call for its snapshot is out at a time. Calls that fail are
  made again later and later; limits (429, 418) hold all calls back. A symbol that the venue does not know is rejected.

Times named `now` are monotonic nanoseconds; `ts` and `ts_recv` are wall time.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from typing import ClassVar, Final

from actors.market.session_core import (
    BOOK,
    DEFAULT_OPTIONS,
    SECOND,
    TRADES,
    Credentials,
    Event,
    SessionOptions,
)
from actors.market.sessions.binance_books import DepthBook, Verdict
from actors.market.sessions.binance_requests import Requests
from actors.market.sessions.binance_streams import BinanceStreams, Symbol
from protocols.market import BookStale
from protocols.venues import binance_commands
from protocols.venues.binance import DepthSnapshot, DepthUpdate, ErrorReply, Reply, symbol_in
from protocols.venues.binance_commands import MAX_STREAMS
from protocols.venues.binance_rest import (
    BANNED,
    FORBIDDEN,
    INVALID_SYMBOL,
    RATE_LIMITED,
    TOO_MANY_REQUESTS,
    UNKNOWN_SYMBOLS,
    decode_depth,
    error_of,
)
from protocols.venues.binance_signing import KEY_HEADER
from protocols.venues.errors import VenueError, WireError
from protocols.venues.rest import RestCall

DEPTH: Final = "depth"
"""The purpose of the calls for snapshots."""
# Calls that are out together: more would only wait for the budget, and time out there.
_CALLS: Final = 8
_SPACING: Final = SECOND // 2
_MOST_BACKOFF: Final = 30 * SECOND


class BinanceSession(BinanceStreams):
    """What the three have in common; see the module. `options.bars` names the intervals of the channel `bars`."""

    CHANNELS = (BOOK, TRADES)
    CONNECTION_S = 24 * 3600.0
    # The venue takes 5 messages a second, and counts the pongs that the socket sends by itself.
    COMMANDS_PER_S = 4.0

    DEPTH_PATH: ClassVar[str]
    DEPTH_WEIGHTS: ClassVar[tuple[tuple[int, int], ...]]
    """(most levels a side, weight) of a snapshot, rising."""

    def __init__(
        self,
        feed: str,
        markets: Sequence[str] = (),
        channels: Sequence[str] | None = None,
        options: SessionOptions = DEFAULT_OPTIONS,
        credentials: Credentials | None = None,
    ) -> None:
        super().__init__(feed, markets, channels, options, credentials)
        self.limit, self.weight = self._limit(options.depth)
        most = MAX_STREAMS // max(len(self._streams("X")), 1)
        if len(self.markets) > most and not options.listening:
            raise ValueError(f"{self.VENUE}: {len(self.markets)} markets on one connection that takes {most}")
        self._requests = Requests(self.recovery_ns, self.COMMANDS_PER_S)
        self._asked: dict[str, RestCall] = {}
        self._calls_from = 0
        self._limited = 0

    def sign(self, call: RestCall, ts: int) -> tuple[tuple[str, str], ...]:
        """The key's id, where there is a key: public calls need none."""
        return () if self.credentials is None else ((KEY_HEADER, self.credentials.key_id),)

    def _limit(self, depth: int | None) -> tuple[int, int]:
        """Levels a side to ask for, and what that costs."""
        exact = self.DEPTH_WEIGHTS[-1][0] if depth is None else depth
        for most, weight in self.DEPTH_WEIGHTS:
            if 1 <= exact <= most:
                return self._levels(exact, most), weight
        raise ValueError(f"{self.VENUE} gives 1 to {self.DEPTH_WEIGHTS[-1][0]} levels, not {depth}")

    def _levels(self, exact: int, most: int) -> int:
        return most

    # -- the book --------------------------------------------------------------------------------------

    def _depth(self, event: DepthUpdate) -> None:
        self.counts["depthUpdate"] += 1
        symbol = self._symbols.get(event.symbol) or self._find(event.symbol)
        if symbol is None:
            return
        book = symbol.book
        was_live = book.live
        verdict = book.take(event)
        if verdict is Verdict.APPLY:
            self.tally.updates += 1
            self._events.append(self.codec.depth(event, book.market, book.session, self._ts, self.marks))
            return
        if verdict is Verdict.REPEATED:
            self.tally.repeated += 1
            return
        if verdict is Verdict.KNOWN:
            self.tally.dropped += 1
            return
        if verdict is Verdict.GAP:
            self.tally.gaps += 1
            self.tally.lost += book.missing(book.gap_after, event)
            detail = f"{book.market}: {event.first} to {event.last} after {book.gap_after}"
            self._incident("gap", detail, book.session)
            if was_live:
                self._events.append(BookStale(book.market, self.feed, "gap", self._ts))
        self.tally.dropped += book.take_overflow()
        book.subscribed = True
        if book.not_before <= self._now and symbol.name not in self._asked:
            self._ask()

    def _lost(self, symbol: Symbol, reason: str) -> None:
        """What an unreadable event would have said of the book is not known."""
        book = symbol.book
        was_live = book.live
        self._distrust(symbol)
        if was_live:
            self._events.append(BookStale(book.market, self.feed, reason, self._ts))
        self._ask()

    def _distrust(self, symbol: Symbol) -> None:
        """Drop what is held; a snapshot that was asked for before proves nothing, either."""
        symbol.book.forget()
        self.tally.dropped += symbol.book.take_overflow()
        self._asked.pop(symbol.name, None)

    # -- answers to commands ---------------------------------------------------------------------------

    def _reply(self, reply: Reply) -> None:
        self.counts["reply"] += 1
        request = self._requests.answered(reply.id)
        if request is None:
            return
        if isinstance(reply.result, tuple):
            wanted = [name for symbol in self._symbols for name in self._streams(symbol)]
            missing = [name for name in wanted if name not in reply.result]
            if missing and not self._requests.subscribing():
                self.tally.resubscribed += 1
                self._incident("resubscribed", f"{len(missing)} streams were not there")
                self._subscribe(missing)
        elif request.method == binance_commands.SUBSCRIBE:
            for name in request.streams:
                symbol = self._symbols.get(symbol_in(name))
                if symbol is not None:
                    symbol.book.subscribed = True
            self._ask()

    def _refusal(self, reply: ErrorReply) -> None:
        self.counts["error"] += 1
        fault = reply.fault
        self._incident("error", f"{fault.code}: {fault.msg}")
        request = self._requests.answered(reply.id)
        if request is None or request.method != binance_commands.SUBSCRIBE:
            return
        if fault.code != INVALID_SYMBOL:
            self.broken = f"subscription refused: {fault.code} {fault.msg}"
            return
        symbols = sorted({symbol_in(name) for name in request.streams})
        if len(symbols) == 1:
            self._reject(self.market_of(symbols[0]), fault.msg)
            return
        # Which one it was is not said: one by one.
        for symbol in symbols:
            self._subscribe([name for name in request.streams if symbol_in(name) == symbol])

    # -- snapshots -------------------------------------------------------------------------------------

    def _waiting(self) -> Iterator[Symbol]:
        """Symbols whose snapshot may be asked for now."""
        for symbol in self._symbols.values():
            book = symbol.book
            if book.subscribed and not book.live and book.not_before <= self._now and symbol.name not in self._asked:
                yield symbol

    def _ask(self) -> None:
        """Make the calls for snapshots that may be made now."""
        if self.options.listening or BOOK not in self.channels or self._now < self._calls_from:
            return
        room = _CALLS - len(self._asked)
        if room <= 0:
            return
        for symbol in sorted(self._waiting(), key=lambda symbol: (symbol.book.attempts, symbol.book.not_before))[:room]:
            call = RestCall(
                purpose=DEPTH,
                path=self.DEPTH_PATH,
                query=(("symbol", symbol.name), ("limit", str(self.limit))),
                cost=self.weight,
                market=symbol.market,
            )
            self._asked[symbol.name] = call
            symbol.book.not_before = self._now + _SPACING
            self.tally.recoveries += 1
            self._calls.append(call)

    def answered(self, call: RestCall, status: int, body: bytes, ts_recv: int, now: int) -> list[Event]:
        """What a REST answer says: a snapshot is joined to what was held, an error is planned around."""
        self._begin(ts_recv, now)
        symbol = self._answers(call)
        if symbol is None:
            return self._events
        book = symbol.book
        try:
            if status != 200:
                raise error_of(status, body)
            snapshot = decode_depth(body)
            self._join(book, snapshot)
        except VenueError as error:
            self._refused(book, error)
        except (WireError, ValueError) as error:
            self.tally.malformed += 1
            self._incident("malformed", f"{book.market} snapshot: {error}", book.session)
            self._later(book)
        self._ask()
        return self._events

    def failed(self, call: RestCall, reason: str, ts: int, now: int) -> list[Event]:
        """No answer: it is asked for again, a little later each time."""
        self._begin(ts, now)
        symbol = self._answers(call)
        if symbol is not None:
            self._later(symbol.book)
            self._ask()
        return self._events

    def _answers(self, call: RestCall) -> Symbol | None:
        """Whose call it was. None: of a connection that has ended, or of a market that is followed no more.

        A snapshot taken before the changes were held could be joined to none and would look current.
        """
        if call.purpose != DEPTH:
            return None
        name = self.symbol_of(call.market)
        if self.options.listening:
            return self._symbols.get(name) or self._open(name)
        symbol = self._symbols.get(name)
        if symbol is None or self._asked.get(name) is not call:
            self.counts["late answers"] += 1
            return None
        del self._asked[name]
        return symbol

    def _join(self, book: DepthBook, snapshot: DepthSnapshot) -> None:
        if book.live:
            # Listening: it was recorded together with a stream that had not lost its way.
            self.counts["snapshots of live books"] += 1
            return
        again = book.made > 0
        kept = book.join(snapshot.last)
        if kept is None:
            self.counts["snapshots too old"] += 1
            self._later(book)
            return
        self.tally.dropped += book.take_overflow()
        depth = self.codec.depth
        try:
            updates = [self.codec.snapshot(snapshot, book.market, book.session, self._ts, self.marks)]
            updates += [depth(event, book.market, book.session, self._ts, self.marks) for event in kept]
        except ValueError:
            book.forget()
            raise
        self.counts["snapshots"] += 1
        self.tally.updates += len(updates)
        book.attempts = 0
        self._limited = 0
        self._events += updates
        if again:
            self._incident("recovered", f"{book.market} is current", book.session)

    def _refused(self, book: DepthBook, error: VenueError) -> None:
        if int(error.code) in UNKNOWN_SYMBOLS:
            self._reject(book.market, error.message)
            return
        self._incident("error", f"{book.market} snapshot: {error}", book.session)
        self._later(book)
        if error.status in (RATE_LIMITED, BANNED, FORBIDDEN) or int(error.code) == TOO_MANY_REQUESTS:
            self._limited += 1
            # What the venue asks for; where it asks for nothing, longer each time.
            told, guessed = self.retry_s, (error.retry_s or 1.0) * min(self._limited, 30)
            wait = round((guessed if told is None else told) * SECOND)
            self._calls_from = self._now + wait

    def _later(self, book: DepthBook) -> None:
        book.not_before = self._now + min(_SPACING << min(book.attempts, 10), _MOST_BACKOFF)
        book.attempts += 1

    def _reject(self, market: str, why: str) -> None:
        self.rejected.add(market)
        self._incident("rejected", f"{market}: {why}")
        self._close(market, "rejected")

    def request_snapshot(self, market: str, now: int) -> None:
        """A book keeper has lost its way: hold what comes for this market, and get a snapshot."""
        self._begin(self._ts, now)
        symbol = self._symbols.get(self.symbol_of(market))
        if symbol is not None and symbol.name not in self._asked:
            self._distrust(symbol)
            self._ask()

    # -- time ------------------------------------------------------------------------------------------

    def silent(self, now: int) -> None:
        """Nothing came for a while: ask for the list of streams, which also shows what is missing."""
        self._now = now
        self._commands.append(self._requests.list(now))

    def tick(self, ts: int, now: int) -> list[Event]:
        """Commands that were not answered end the connection; calls that were put off are made."""
        self._begin(ts, now)
        if self._requests.overdue(now):
            self.broken = "a command was not answered"
        self._ask()
        return self._events

    # -- what is followed ------------------------------------------------------------------------------

    def live_markets(self) -> set[str]:
        """Markets whose book is joined and has lost nothing."""
        return {symbol.market for symbol in self._symbols.values() if symbol.book.live}

    def stale_markets(self) -> set[str]:
        """Markets whose book was asked for (or seen, when listening) and is not current."""
        if BOOK not in self.channels:
            return set()
        asked = set(self.markets) - self.rejected
        if self.options.listening:
            asked |= {symbol.market for symbol in self._symbols.values() if symbol.book.subscribed or symbol.book.made}
        return asked - self.live_markets()

    def follow(self, markets: Iterable[str], ts: int, now: int) -> list[Event]:
        """Follow these markets, too; connected or not. What the connection has no room for is rejected."""
        self._begin(ts, now)
        wanted = set(markets)
        room = MAX_STREAMS // max(len(self._streams("X")), 1) - len(self.markets - self.rejected - wanted)
        self.markets |= wanted
        self.rejected -= wanted
        for market in sorted(wanted)[max(room, 0) :]:
            self.rejected.add(market)
            self._incident("rejected", f"{market}: no room on the connection")
        if self.session and not self.options.listening:
            known = {symbol.market for symbol in self._symbols.values()}
            self._begin_streams(sorted(wanted - self.rejected - known))
        return self._events

    def unfollow(self, markets: Iterable[str], ts: int, now: int) -> list[Event]:
        """Follow these markets no more: their books are stale (`unfollowed`)."""
        self._begin(ts, now)
        for market in sorted(set(markets)):
            self.markets -= {market}
            self.rejected.discard(market)
            self._close(market, "unfollowed")
        self._ask()
        return self._events

    def _close(self, market: str, reason: str) -> None:
        """End a market's streams; its book is stale."""
        symbol = self._symbols.pop(self.symbol_of(market), None)
        if symbol is None:
            return
        if BOOK in self.channels:
            self._events.append(BookStale(market, self.feed, reason, self._ts))
        self._distrust(symbol)
        if not self.options.listening:
            self._commands += self._requests.unsubscribe(self._streams(symbol.name), self._now)

    def _subscribe_all(self) -> None:
        if not self.options.listening:
            self._begin_streams(sorted(self.markets - self.rejected))

    def _begin_streams(self, markets: Iterable[str]) -> None:
        names: list[str] = []
        for market in markets:
            symbol = self._open(self.symbol_of(market))
            names += self._streams(symbol.name)
        self._subscribe(names)

    def _subscribe(self, names: Sequence[str]) -> None:
        self._commands += self._requests.subscribe(names, self._now)

    def disconnected(self, reason: str, ts: int) -> list[Event]:
        """The connection has ended: every book that was current is stale, and what was held is dropped."""
        for symbol in self._symbols.values():
            self.tally.dropped += len(symbol.book.held)
        return super().disconnected(reason, ts)

    def _forget(self) -> None:
        super()._forget()
        self._symbols.clear()
        self._requests.forget()
        self._asked.clear()
