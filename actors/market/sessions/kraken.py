"""One connection to Kraken's WebSocket, version 2, as a state machine. No socket, no clock."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import ClassVar, Final

from actors.market.session_core import (
    BARS,
    BOOK,
    DEFAULT_OPTIONS,
    TICKERS,
    TRADES,
    Credentials,
    Event,
    SessionOptions,
)
from actors.market.sessions.kraken_books import NOT_SUPPORTED, KrakenBooks
from actors.market.sessions.open_bars import OpenBars
from protocols.venues import kraken
from protocols.venues.kraken import (
    BookFrame,
    Frame,
    HeartbeatFrame,
    Level,
    OhlcFrame,
    OtherFrame,
    StatusFrame,
    TickerFrame,
    TradeFrame,
    digits,
)
from protocols.venues.rfc3339 import rfc3339_nanos

_CHANNELS: Final = {BOOK: kraken.BOOK, TRADES: kraken.TRADE, TICKERS: kraken.TICKER, BARS: kraken.OHLC}


class KrakenSession(KrakenBooks):
    """One feed's conversation with Kraken."""

    VENUE = "kraken"
    URL = "wss://ws.kraken.com/v2"
    OFFERED: ClassVar[frozenset[str]] = frozenset(_CHANNELS)

    def __init__(
        self,
        feed: str,
        markets: Sequence[str] = (),
        channels: Sequence[str] | None = None,
        options: SessionOptions = DEFAULT_OPTIONS,
        credentials: Credentials | None = None,
    ) -> None:
        super().__init__(feed, markets, channels, options, credentials)
        if unknown := set(options.bars) - kraken.INTERVALS.keys():
            offered = ", ".join(kraken.INTERVALS)
            raise ValueError(f"kraken offers bars of {offered}, not {', '.join(sorted(unknown))}")
        self._open_bars = OpenBars()
        # The newest that was seen; it closes bars.
        self._venue_time = 0

    def _subscription(self, channel: str, markets: Sequence[str], *, subscribe: bool) -> list[bytes]:
        symbols = [self.symbol_of(market) for market in markets]
        if channel == BARS:
            return [
                kraken.subscription(
                    kraken.OHLC, symbols, subscribe=subscribe, interval=kraken.INTERVALS[word], snapshot=False
                )
                for word in self.options.bars or ("1m",)
            ]
        if channel == BOOK:
            return [kraken.subscription(kraken.BOOK, symbols, subscribe=subscribe, depth=self.depth)]
        # Of trades a snapshot would be those before the subscription.
        snapshot = False if channel == TRADES else None
        return [kraken.subscription(_CHANNELS[channel], symbols, subscribe=subscribe, snapshot=snapshot)]

    def silent(self, now: int) -> None:
        """Nothing came for a while, not even a heartbeat."""
        if not self.options.listening:
            self._commands.append(kraken.ping())

    def tick(self, ts: int, now: int) -> list[Event]:
        """Judge what is overdue, and hand on the bars that have ended."""
        events = super().tick(ts, now)
        events += self._open_bars.close(self._venue_time)
        return events

    # -- frames --------------------------------------------------------------------------------------------

    def receive(self, raw: bytes | str, ts_recv: int, now: int) -> list[Event]:
        """What one frame says.

        Raises WireError for what is no frame: the connection cannot be trusted then.
        """
        frame = kraken.decode(raw)
        self._begin(ts_recv, now)
        self.tally.frames += 1
        self._frame += 1
        try:
            self._handle(frame)
        except ValueError as error:
            self.tally.malformed += 1
            self._incident("malformed", f"{type(frame).__name__}: {error}")
        return self._events

    def _handle(self, frame: Frame) -> None:
        if isinstance(frame, OtherFrame):
            self._other(frame)
            return
        self.counts[str(type(frame).__struct_config__.tag)] += 1
        if isinstance(frame, BookFrame):
            take = self._snapshot if frame.type == "snapshot" else self._update
            for body in frame.data:
                market = self._market(body.symbol)
                try:
                    ts_event = rfc3339_nanos(body.timestamp) if body.timestamp else 0
                    take(market, _levels(body.bids), _levels(body.asks), body.checksum, ts_event)
                except ValueError as error:
                    self._malformed(market, error)
                else:
                    self._venue_time = max(self._venue_time, ts_event)
        elif isinstance(frame, TradeFrame):
            self._trades(frame)
        elif isinstance(frame, TickerFrame):
            for ticker in frame.data:
                market = self._market(ticker.symbol)
                if self._follows(market):
                    self._events.append(kraken.ticker(ticker, market, self.session, self._ts, self.marks, self.faults))
        elif isinstance(frame, OhlcFrame):
            for ohlc in frame.data:
                market = self._market(ohlc.symbol)
                bar = kraken.bar(ohlc, market, self._ts, self.marks, self.faults)
                if bar is None or not self._follows(market):
                    continue
                if (closed := self._open_bars.take(bar, past=frame.type == "snapshot")) is not None:
                    self._events.append(closed)
        elif isinstance(frame, StatusFrame):
            for status in frame.data:
                self._system(kraken.phase(status.system), status.system)
        else:
            assert isinstance(frame, HeartbeatFrame)

    def _trades(self, frame: TradeFrame) -> None:
        if frame.type == "snapshot":
            self.counts["trades before the subscription"] += len(frame.data)
            return
        for body in frame.data:
            market = self._market(body.symbol)
            if self._follows(market):
                trade = kraken.trade(body, market, self.session, self._frame, self._ts, self.marks, self.faults)
                if trade is not None:
                    self._venue_time = max(self._venue_time, trade.ts_event)
                    self._events.append(trade)

    def _other(self, frame: OtherFrame) -> None:
        if not frame.method:
            self.counts["malformed" if frame.fault else frame.channel] += 1
            if frame.fault:
                if frame.channel == kraken.BOOK:
                    # Nobody can say which book it was about.
                    self._lost(list(self._live), "malformed")
                raise ValueError(frame.fault)
            return
        self.counts[frame.method] += 1
        result = frame.result
        if frame.success is False:
            if frame.method == "unsubscribe":
                # What was to be ended was not there.
                return
            named = {self._market(frame.symbol)} & self.markets if frame.symbol else set()
            refused = named if NOT_SUPPORTED in frame.error.lower() else set()
            self._refused(refused, f"{frame.symbol}: {frame.error}" if frame.symbol else frame.error)
        elif result is not None and result.channel == kraken.BOOK and result.symbol:
            market = self._market(result.symbol)
            if frame.method == "unsubscribe":
                self._unsubscribed(market)
                return
            self._acknowledged.add(market)
            if result.depth is not None:
                self._depths[market] = result.depth

    def _forget(self) -> None:
        super()._forget()
        self._open_bars.forget()
        self._venue_time = 0


def _levels(levels: tuple[Level, ...]) -> Iterator[tuple[str, str]]:
    return ((digits(level.price), digits(level.qty)) for level in levels)
