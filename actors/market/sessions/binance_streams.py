"""What Binance's streams say beside the book: trades, best prices, bars, funding, liquidations.

* Trades are numbered without a hole, so a repeated one is left out and a missing one is counted.
* What the venue says of its best prices is a `Ticker`, never part of the book; one that is not newer is left out.
* A bar is handed on once, when it is final.
"""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Callable, Sequence
from typing import Any, ClassVar, Final

from actors.market.session_core import (
    BARS,
    BOOK,
    DEFAULT_OPTIONS,
    FUNDING,
    LIQUIDATIONS,
    TICKERS,
    TRADES,
    Credentials,
    Event,
    SessionCore,
    SessionOptions,
)
from actors.market.sessions.binance_books import DepthBook
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
from protocols.venues.binance_futures import ForceOrder, MarkPriceUpdate
from protocols.venues.binance_messages import Codec

INTERVALS: Final = ("1s", "1m", "3m", "5m", "15m", "30m", "1h", "2h", "4h", "6h", "8h", "12h", "1d", "3d", "1w", "1M")


class Symbol:
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


class BinanceStreams(SessionCore):
    """A session that reads every stream; what it does about books and commands is its subclass's."""

    QUOTED: ClassVar[bool] = True
    """Whether a bar's `quote_volume` is in the currency of the prices."""

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
        self.codec = Codec(self.faults)
        self._symbols: dict[str, Symbol] = {}
        self._handlers: dict[type, Callable[[Any], None]] = {
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

    @classmethod
    def intervals(cls) -> tuple[str, ...]:
        """Intervals of the venue's bars."""
        return INTERVALS

    @classmethod
    def market_of(cls, symbol: str) -> str:
        """The symbol in capitals, and the suffix."""
        return symbol.upper() + cls.SUFFIX

    @classmethod
    def trade_stream(cls, symbol: str) -> str:
        """The stream of trades."""
        return binance_commands.trade_stream(symbol)

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

    @abstractmethod
    def new_book(self, market: str, prefix: str) -> DepthBook:
        """A book under the venue's joining rule."""

    @abstractmethod
    def _depth(self, event: DepthUpdate) -> None:
        """A book has changed."""

    @abstractmethod
    def _reply(self, reply: Reply) -> None:
        """A command was answered."""

    @abstractmethod
    def _refusal(self, reply: ErrorReply) -> None:
        """A command was refused."""

    @abstractmethod
    def _lost(self, symbol: Symbol, reason: str) -> None:
        """A change of this symbol's book could not be read."""

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
            self._handlers[type(data)](data)
        except ValueError as error:
            self._malformed(frame, str(error))
        return events

    def _find(self, name: str) -> Symbol | None:
        """The symbol's state; learnt from the frame when listening, None where it is not followed."""
        symbol = self._symbols.get(name)
        if symbol is not None:
            return symbol
        if not self.options.listening:
            self.counts["not followed"] += 1
            return None
        return self._open(name)

    def _open(self, name: str) -> Symbol:
        market = self.market_of(name)
        symbol = Symbol(name, market, self.session, self.new_book(market, f"{self.session}/{name}"))
        self._symbols[name] = symbol
        return symbol

    def _trade(self, event: TradeEvent) -> None:
        self.counts["trade"] += 1
        symbol = self._find(event.symbol)
        if symbol is not None and self._numbered(symbol, event.trade_id, symbol.trade):
            symbol.trade = event.trade_id
            trade = self.codec.trade(event, symbol.market, symbol.trades, self._ts, self.marks)
            if trade is not None:
                self._events.append(trade)

    def _aggregate(self, event: AggregateTrade) -> None:
        self.counts["aggTrade"] += 1
        symbol = self._find(event.symbol)
        if symbol is not None and self._numbered(symbol, event.aggregate_id, symbol.aggregate):
            symbol.aggregate = event.aggregate_id
            trade = self.codec.aggregate_trade(event, symbol.market, symbol.aggregates, self._ts, self.marks)
            if trade is not None:
                self._events.append(trade)

    def _numbered(self, symbol: Symbol, number: int, before: int) -> bool:
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

    def _ticker(self, event: BookTicker) -> None:
        self.counts["bookTicker"] += 1
        symbol = self._symbols.get(event.symbol) or self._find(event.symbol)
        if symbol is None:
            return
        if event.update_id <= symbol.ticker:
            self.tally.repeated += 1
            return
        symbol.ticker = event.update_id
        self._events.append(self.codec.ticker(event, symbol.market, symbol.tickers, self._ts, self.marks))

    def _kline(self, event: KlineEvent) -> None:
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

    def _liquidation(self, event: ForceOrder) -> None:
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

    def _funding(self, event: MarkPriceUpdate) -> None:
        self.counts["markPriceUpdate"] += 1
        symbol = self._find(event.symbol)
        if symbol is None:
            return
        funding = self.codec.funding(event, symbol.market, self._ts, self.marks)
        if funding is not None:
            self._events.append(funding)

    def _partial(self, book: DepthSnapshot) -> None:
        # The best few levels again and again: they cannot be joined to changes, and no book is made of them.
        self.counts["partial depth"] += 1

    def _shutdown(self, event: ServerShutdown) -> None:
        self.counts["serverShutdown"] += 1
        self._incident("server_shutdown", "the server will close the connection")
        self.broken = "the server shuts down"

    def _other(self, event: Other) -> None:
        self.counts[event.event or "other"] += 1
        if event.fault:
            raise ValueError(event.fault)

    def _malformed(self, frame: Frame[Payload], why: str) -> None:
        data = frame.data
        name = frame.symbol or str(getattr(data, "symbol", ""))
        self.tally.malformed += 1
        self._incident("malformed", f"{frame.stream or name} {type(data).__name__}: {why}".lstrip())
        symbol = self._symbols.get(name)
        if symbol is not None and (isinstance(data, DepthUpdate) or "@depth" in frame.stream):
            self._lost(symbol, "malformed")
