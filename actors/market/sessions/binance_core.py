"""One connection to Binance as a state machine, in what spot, USD-M and COIN-M have in common.

* Streams are subscribed by commands, in chunks; each command must be answered in time, or the connection is not to be
  trusted. The venue says `null` to any stream name, so a symbol that it does not have shows only in its REST answers.
* A book begins with its stream. Changes are held, and once the stream is known to run, a snapshot is asked for over
  REST and joined to them (`binance_books`). One that is older than what is held is asked for again.
* A hole concerns one symbol: its book is stale, and one call for its snapshot is out at a time. Calls that fail are
  made again later and later; limits (429, 418) hold all calls back. A symbol that the venue does not know is rejected.
* Trades are numbered without a hole, so a repeated one is left out and a missing one is counted.
* What the venue says of its best prices is a `Ticker`, never part of the book.

Times named `now` are monotonic nanoseconds; `ts` and `ts_recv` are wall time.
"""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import Any, ClassVar, Final

import msgspec

from actors.market.session_core import (
    BARS,
    BOOK,
    DEFAULT_OPTIONS,
    FUNDING,
    LIQUIDATIONS,
    SECOND,
    TICKERS,
    TRADES,
    Credentials,
    Event,
    SessionCore,
    SessionOptions,
)
from actors.market.sessions.binance_books import DepthBook, Verdict
from protocols.market import BookStale
from protocols.venues import binance, binance_commands
from protocols.venues.binance import (
    AggregateTrade,
    BookTicker,
    DepthSnapshot,
    DepthUpdate,
    ErrorReply,
    Frame,
    KlineEvent,
    Other,
    Payload,
    Reply,
    ServerShutdown,
    TradeEvent,
)
from protocols.venues.binance_commands import MAX_PARAMS, MAX_STREAMS
from protocols.venues.binance_futures import ForceOrder, MarkPriceUpdate
from protocols.venues.binance_messages import Codec
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
INTERVALS: Final = ("1s", "1m", "3m", "5m", "15m", "30m", "1h", "2h", "4h", "6h", "8h", "12h", "1d", "3d", "1w", "1M")
# Calls that are out together: more would only wait for the budget, and time out there.
_CALLS: Final = 8
_SPACING: Final = SECOND // 2
_MOST_BACKOFF: Final = 30 * SECOND


class _Symbol:
    """One symbol's streams: the numbers that came last, and the names under which they are addressed."""

    __slots__ = (
        "aggregate",
        "aggregates",
        "bars",
        "book",
        "liquidation",
        "market",
        "name",
        "ticker",
        "tickers",
        "trade",
        "trades",
    )

    def __init__(self, name: str, market: str, session: str, book: DepthBook) -> None:
        self.name = name
        self.market = market
        self.book = book
        self.trades = f"{session}/{name}@trade"
        self.trade = 0
        self.aggregates = f"{session}/{name}@aggTrade"
        self.aggregate = 0
        self.tickers = f"{session}/{name}@bookTicker"
        self.ticker = 0
        self.bars: dict[str, int] = {}
        self.liquidation: ForceOrder | None = None


class _Pending(msgspec.Struct, gc=False):
    """A command that was not answered yet."""

    method: str
    streams: tuple[str, ...]
    deadline: int


class BinanceSession(SessionCore):
    """What the three have in common; see the module. `options.bars` names the intervals of the channel `bars`."""

    CHANNELS = (BOOK, TRADES)
    CONNECTION_S = 24 * 3600.0
    # The venue takes 5 messages a second, and counts the pongs that the socket sends by itself.
    COMMANDS_PER_S = 4.0

    DEPTH_PATH: ClassVar[str]
    DEPTH_WEIGHTS: ClassVar[tuple[tuple[int, int], ...]]
    """(most levels a side, weight) of a snapshot, rising."""
    QUOTED: ClassVar[bool] = True
    """Whether `quote_volume` is in the currency of the prices."""

    def __init__(
        self,
        feed: str,
        markets: Sequence[str] = (),
        channels: Sequence[str] | None = None,
        options: SessionOptions = DEFAULT_OPTIONS,
        credentials: Credentials | None = None,
    ) -> None:
        super().__init__(feed, markets, channels, options, credentials)
        if unknown := set(options.bars) - set(self.intervals()):
            raise ValueError(f"{self.VENUE} has no bars of {', '.join(sorted(unknown))}")
        if BARS in self.channels and not options.bars:
            raise ValueError(f"{self.VENUE}: the channel {BARS} needs intervals")
        self.limit, self.weight = self._limit(options.depth)
        self.codec = Codec(self.faults)
        most = MAX_STREAMS // max(len(self._streams("X")), 1)
        if len(self.markets) > most:
            raise ValueError(f"{self.VENUE}: {len(self.markets)} markets on one connection that takes {most}")
        self._symbols: dict[str, _Symbol] = {}
        self._pending: dict[int, _Pending] = {}
        self._next_id = 0
        self._calls_from = 0
        self._limited = 0
        self._handlers: dict[type, Callable[[Any, str], None]] = {
            DepthUpdate: self._depth,
            TradeEvent: self._trade,
            AggregateTrade: self._aggregate,
            BookTicker: self._ticker,
            KlineEvent: self._kline,
            ForceOrder: self._liquidation,
            MarkPriceUpdate: self._funding,
            DepthSnapshot: self._partial,
            ServerShutdown: self._shutdown,
            Reply: self._reply,
            ErrorReply: self._refusal,
            Other: self._other,
        }

    # -- for each of the three -------------------------------------------------------------------------

    @abstractmethod
    def new_book(self, market: str, prefix: str) -> DepthBook:
        """A book under the venue's joining rule."""

    @classmethod
    def intervals(cls) -> tuple[str, ...]:
        """Intervals of the venue's bars."""
        return INTERVALS

    @classmethod
    def trade_stream(cls, symbol: str) -> str:
        """The stream of trades."""
        return binance_commands.trade_stream(symbol)

    @classmethod
    def market_of(cls, symbol: str) -> str:
        """The symbol in capitals, and the suffix."""
        return symbol.upper() + cls.SUFFIX

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

    # -- frames ----------------------------------------------------------------------------------------

    def receive(self, raw: bytes | str, ts_recv: int, now: int) -> list[Event]:
        """What one frame says.

        Raises WireError for what is no frame: the connection cannot be trusted then.
        """
        frame: Frame[Payload] = binance.decode(raw)
        self._ts = ts_recv
        self._now = now
        events: list[Event] = []
        self._events = events
        self.tally.frames += 1
        data = frame.data
        try:
            self._handlers[type(data)](data, frame.stream)
        except ValueError as error:
            self._malformed(frame.symbol or getattr(data, "symbol", ""), f"{type(data).__name__}: {error}")
        return events

    def _find(self, name: str) -> _Symbol | None:
        """The symbol's state; learnt from the frame when listening, None where it is not followed."""
        symbol = self._symbols.get(name)
        if symbol is not None:
            return symbol
        if not self.options.listening:
            self.counts["not followed"] += 1
            return None
        return self._open(name)

    def _open(self, name: str) -> _Symbol:
        market = self.market_of(name)
        symbol = _Symbol(name, market, self.session, self.new_book(market, f"{self.session}/{name}"))
        self._symbols[name] = symbol
        return symbol

    def _depth(self, event: DepthUpdate, stream: str) -> None:
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
        if verdict is Verdict.GAP:
            self.tally.gaps += 1
            self.tally.lost += book.missing(book.gap_after, event)
            detail = f"{book.market}: {event.first} to {event.last} after {book.gap_after}"
            self._incident("gap", detail, book.session)
            if was_live:
                self._events.append(BookStale(book.market, self.feed, "gap", self._ts))
        self.tally.dropped += book.take_overflow()
        book.subscribed = True
        self._ask()

    def _trade(self, event: TradeEvent, stream: str) -> None:
        self.counts["trade"] += 1
        symbol = self._find(event.symbol)
        if symbol is not None and self._numbered(symbol, event.trade_id, symbol.trade):
            symbol.trade = event.trade_id
            trade = self.codec.trade(event, symbol.market, symbol.trades, self._ts, self.marks)
            if trade is not None:
                self._events.append(trade)

    def _aggregate(self, event: AggregateTrade, stream: str) -> None:
        self.counts["aggTrade"] += 1
        symbol = self._find(event.symbol)
        if symbol is not None and self._numbered(symbol, event.aggregate_id, symbol.aggregate):
            symbol.aggregate = event.aggregate_id
            trade = self.codec.aggregate_trade(event, symbol.market, symbol.aggregates, self._ts, self.marks)
            if trade is not None:
                self._events.append(trade)

    def _numbered(self, symbol: _Symbol, number: int, before: int) -> bool:
        """Whether a trade is new. A hole before it is told."""
        if before:
            if number <= before:
                self.tally.repeated += 1
                return False
            if number != before + 1:
                self.tally.gaps += 1
                self.tally.lost += number - before - 1
                self._incident("gap", f"{symbol.market}: trade {number} after {before}")
        return True

    def _ticker(self, event: BookTicker, stream: str) -> None:
        self.counts["bookTicker"] += 1
        symbol = self._symbols.get(event.symbol) or self._find(event.symbol)
        if symbol is None:
            return
        if event.update_id <= symbol.ticker:
            self.tally.repeated += 1
            return
        symbol.ticker = event.update_id
        self._events.append(self.codec.ticker(event, symbol.market, symbol.tickers, self._ts, self.marks))

    def _kline(self, event: KlineEvent, stream: str) -> None:
        self.counts["kline"] += 1
        symbol = self._find(event.symbol)
        candle = event.candle
        if symbol is None or not candle.final:
            return
        if candle.start <= symbol.bars.get(candle.interval, -1):
            self.tally.repeated += 1
            return
        symbol.bars[candle.interval] = candle.start
        bar = self.codec.bar(candle, symbol.market, self._ts, self.marks, quoted=self.QUOTED)
        if bar is not None:
            self._events.append(bar)

    def _liquidation(self, event: ForceOrder, stream: str) -> None:
        self.counts["forceOrder"] += 1
        symbol = self._find(event.order.symbol)
        if symbol is None:
            return
        if event == symbol.liquidation:
            self.tally.repeated += 1
            return
        symbol.liquidation = event
        liquidation = self.codec.liquidation(event, symbol.market, self._ts, self.marks)
        if liquidation is not None:
            self._events.append(liquidation)

    def _funding(self, event: MarkPriceUpdate, stream: str) -> None:
        self.counts["markPriceUpdate"] += 1
        symbol = self._find(event.symbol)
        if symbol is None:
            return
        funding = self.codec.funding(event, symbol.market, self._ts, self.marks)
        if funding is not None:
            self._events.append(funding)

    def _partial(self, book: DepthSnapshot, stream: str) -> None:
        # The best few levels again and again: they cannot be joined to changes, and no book is made of them.
        self.counts["partial depth"] += 1

    def _shutdown(self, event: ServerShutdown, stream: str) -> None:
        self.counts["serverShutdown"] += 1
        self._incident("server_shutdown", "the server will close the connection")
        self.broken = "the server shuts down"

    def _other(self, event: Other, stream: str) -> None:
        self.counts[event.event or "other"] += 1
        if event.fault:
            raise ValueError(event.fault)

    def _malformed(self, name: str, detail: str) -> None:
        self.tally.malformed += 1
        self._incident("malformed", f"{name} {detail}".strip())
        symbol = self._symbols.get(name)
        if symbol is not None and BOOK in self.channels:
            # What it would have said of the book is not known.
            self._distrust(symbol.book, "malformed")

    # -- answers to commands ---------------------------------------------------------------------------

    def _reply(self, reply: Reply, stream: str) -> None:
        self.counts["reply"] += 1
        pending = self._pending.pop(reply.id, None) if isinstance(reply.id, int) else None
        if pending is None:
            return
        if isinstance(reply.result, tuple):
            missing = [name for name in self._all_streams() if name not in reply.result]
            if missing and not any(each.method == binance_commands.SUBSCRIBE for each in self._pending.values()):
                self._incident("resubscribed", f"{len(missing)} streams were not there")
                self.tally.resubscribed += 1
                self._subscribe(missing)
        elif pending.method == binance_commands.SUBSCRIBE:
            for name in pending.streams:
                symbol = self._symbols.get(name.partition("@")[0].upper())
                if symbol is not None:
                    symbol.book.subscribed = True
            self._ask()

    def _refusal(self, reply: ErrorReply, stream: str) -> None:
        self.counts["error"] += 1
        fault = reply.fault
        self._incident("error", f"{fault.code}: {fault.msg}")
        pending = self._pending.pop(reply.id, None) if isinstance(reply.id, int) else None
        if pending is None or pending.method != binance_commands.SUBSCRIBE:
            return
        if fault.code != INVALID_SYMBOL:
            self.broken = f"subscription refused: {fault.code} {fault.msg}"
            return
        names = {name.partition("@")[0] for name in pending.streams}
        if len(names) == 1:
            self._reject(self.market_of(names.pop()), fault.msg)
            return
        # Which one it was is not said: one by one.
        for name in sorted(names):
            self._subscribe([each for each in pending.streams if each.partition("@")[0] == name])

    # -- snapshots -------------------------------------------------------------------------------------

    def _waiting(self) -> Iterator[DepthBook]:
        """Books that a snapshot may be asked for now."""
        for symbol in self._symbols.values():
            book = symbol.book
            if book.subscribed and not book.live and book.call is None and book.not_before <= self._now:
                yield book

    def _ask(self) -> None:
        """Make the calls for snapshots that may be made now."""
        if self.options.listening or BOOK not in self.channels or self._now < self._calls_from:
            return
        room = _CALLS - sum(symbol.book.call is not None for symbol in self._symbols.values())
        if room <= 0:
            return
        for book in sorted(self._waiting(), key=lambda book: (book.attempts, book.not_before))[:room]:
            book.call = RestCall(
                purpose=DEPTH,
                path=self.DEPTH_PATH,
                query=(("symbol", self.symbol_of(book.market)), ("limit", str(self.limit))),
                cost=self.weight,
                market=book.market,
            )
            book.not_before = self._now + _SPACING
            self.tally.recoveries += 1
            self._calls.append(book.call)

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

    def _answers(self, call: RestCall) -> _Symbol | None:
        """Whose call it was. None: of a connection that has ended, or of a market that is followed no more.

        A snapshot taken before the changes were held could be joined to none and would look current.
        """
        if call.purpose != DEPTH:
            return None
        name = self.symbol_of(call.market)
        if self.options.listening:
            return self._symbols.get(name) or self._open(name)
        symbol = self._symbols.get(name)
        if symbol is None or symbol.book.call is not call:
            self.counts["late answers"] += 1
            return None
        symbol.book.call = None
        return symbol

    def _join(self, book: DepthBook, snapshot: DepthSnapshot) -> None:
        update = self.codec.snapshot(snapshot, book.market, "", self._ts, self.marks)
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
        self.counts["snapshots"] += 1
        self.tally.dropped += book.take_overflow()
        book.attempts = 0
        self._limited = 0
        self._events.append(msgspec.structs.replace(update, session=book.session))
        self._events.extend(self.codec.depth(event, book.market, book.session, self._ts, self.marks) for event in kept)
        self.tally.updates += 1 + len(kept)
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
            wait = round((error.retry_s or 1.0) * SECOND) * min(self._limited, 30)
            self._calls_from = self._now + wait

    def _later(self, book: DepthBook) -> None:
        book.not_before = self._now + min(_SPACING << min(book.attempts, 10), _MOST_BACKOFF)
        book.attempts += 1

    def _distrust(self, book: DepthBook, reason: str) -> None:
        was_live = book.live
        book.forget()
        self.tally.dropped += book.take_overflow()
        if was_live:
            self._events.append(BookStale(book.market, self.feed, reason, self._ts))
        self._ask()

    def _reject(self, market: str, why: str) -> None:
        self.rejected.add(market)
        self._incident("rejected", f"{market}: {why}")
        self._close(market, "rejected")

    def request_snapshot(self, market: str, now: int) -> None:
        """A book keeper has lost its way: hold what comes for this market, and get a snapshot."""
        self._begin(self._ts, now)
        symbol = self._symbols.get(self.symbol_of(market))
        if symbol is not None:
            symbol.book.forget()
            self.tally.dropped += symbol.book.take_overflow()
            self._ask()

    # -- time ------------------------------------------------------------------------------------------

    def silent(self, now: int) -> None:
        """Nothing came for a while: ask for the list of streams, which also shows what is missing."""
        self._now = now
        self._command(binance_commands.LIST_SUBSCRIPTIONS, ())

    def tick(self, ts: int, now: int) -> list[Event]:
        """Commands that were not answered end the connection; calls that were put off are made."""
        self._begin(ts, now)
        if any(now >= pending.deadline for pending in self._pending.values()):
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
            asked |= {symbol.market for symbol in self._symbols.values() if symbol.book.held or symbol.book.made}
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
        symbol.book.forget()
        self.tally.dropped += symbol.book.take_overflow()
        if not self.options.listening:
            self._command(binance_commands.UNSUBSCRIBE, tuple(self._streams(symbol.name)))

    def _streams(self, symbol: str) -> list[str]:
        """The streams of one symbol, its book's first."""
        makers: dict[str, Callable[[str], str]] = {
            BOOK: binance_commands.depth_stream,
            TRADES: self.trade_stream,
            TICKERS: binance_commands.book_ticker_stream,
            FUNDING: binance_commands.mark_price_stream,
            LIQUIDATIONS: binance_commands.force_order_stream,
        }
        names = [maker(symbol) for channel, maker in makers.items() if channel in self.channels]
        if BARS in self.channels:
            names += [binance_commands.kline_stream(symbol, interval) for interval in self.options.bars]
        return names

    def _all_streams(self) -> list[str]:
        return [name for symbol in self._symbols for name in self._streams(symbol)]

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
        for at in range(0, len(names), MAX_PARAMS):
            self._command(binance_commands.SUBSCRIBE, tuple(names[at : at + MAX_PARAMS]))

    def _command(self, method: str, streams: tuple[str, ...]) -> None:
        self._next_id += 1
        id = self._next_id
        # Commands wait for each other, as the venue takes few a second.
        queued = round(len(self._pending) * SECOND / self.COMMANDS_PER_S)
        self._pending[id] = _Pending(method, streams, self._now + self.recovery_ns + queued)
        if method == binance_commands.SUBSCRIBE:
            self._commands.append(binance_commands.subscribe(id, streams))
        elif method == binance_commands.UNSUBSCRIBE:
            self._commands.append(binance_commands.unsubscribe(id, streams))
        else:
            self._commands.append(binance_commands.list_subscriptions(id))

    def disconnected(self, reason: str, ts: int) -> list[Event]:
        """The connection has ended: every book that was current is stale, and what was held is dropped."""
        for symbol in self._symbols.values():
            self.tally.dropped += len(symbol.book.held)
        return super().disconnected(reason, ts)

    def _forget(self) -> None:
        super()._forget()
        self._symbols.clear()
        self._pending.clear()
        self._next_id = 0
