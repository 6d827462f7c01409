"""One connection to Kraken's WebSocket, version 1, as a state machine. No socket, no clock."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import ClassVar, Final

from actors.market.session_core import BOOK, TICKERS, TRADES, Event
from actors.market.sessions.kraken_books import NOT_SUPPORTED, KrakenBooks
from protocols.venues import kraken, kraken_v1
from protocols.venues.kraken_v1 import BookFrame, EventFrame, Frame, LevelText, OtherFrame, TickerFrame, TradeFrame

_CHANNELS: Final = {BOOK: kraken_v1.BOOK, TRADES: kraken_v1.TRADE, TICKERS: kraken_v1.TICKER}


class KrakenV1Session(KrakenBooks):
    """One feed's conversation with Kraken, in the form of its older recordings."""

    VENUE = "kraken-v1"
    URL = "wss://ws.kraken.com"
    OFFERED: ClassVar[frozenset[str]] = frozenset(_CHANNELS)

    def _subscription(self, channel: str, markets: Sequence[str], *, subscribe: bool) -> list[bytes]:
        pairs = [self.symbol_of(market) for market in markets]
        depth = self.depth if channel == BOOK else None
        return [kraken_v1.subscription(_CHANNELS[channel], pairs, subscribe=subscribe, depth=depth)]

    def silent(self, now: int) -> None:
        """Nothing came for a while, not even a heartbeat."""
        if not self.options.listening:
            self._commands.append(kraken_v1.ping())

    def receive(self, raw: bytes | str, ts_recv: int, now: int) -> list[Event]:
        """What one frame says.

        Raises WireError for what is no frame: the connection cannot be trusted then.
        """
        frame = kraken_v1.decode(raw)
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
        if isinstance(frame, EventFrame):
            self.counts[frame.event] += 1
            self._event(frame)
            return
        market = self._market(frame.pair)
        if isinstance(frame, BookFrame):
            self.counts["book snapshot" if frame.snapshot else kraken_v1.BOOK] += 1
            if frame.depth is not None:
                self._depths[market] = frame.depth
            take = self._snapshot if frame.snapshot else self._update
            try:
                take(market, _levels(frame.bids), _levels(frame.asks), frame.checksum, frame.ts_event)
            except ValueError as error:
                self._malformed(market, error)
        elif isinstance(frame, TradeFrame):
            self.counts[kraken_v1.TRADE] += 1
            if self._follows(market):
                self._events += kraken_v1.trades(
                    frame, market, self.session, self._frame, self._ts, self.marks, self.faults
                )
        elif isinstance(frame, TickerFrame):
            self.counts[kraken_v1.TICKER] += 1
            if self._follows(market):
                self._events.append(kraken_v1.ticker(frame, market, self.session, self._ts, self.marks, self.faults))
        else:
            self._other(frame, market)

    def _other(self, frame: OtherFrame, market: str) -> None:
        self.counts["malformed" if frame.fault else frame.name] += 1
        if not frame.fault:
            return
        fault = ValueError(f"{frame.name}: {frame.fault}")
        if not frame.name.startswith(kraken_v1.BOOK):
            raise fault
        self._malformed(market, fault)

    def _event(self, frame: EventFrame) -> None:
        if frame.event == "systemStatus":
            self._system(kraken.phase(frame.status), frame.status)
        elif frame.event == "subscriptionStatus":
            market = self._market(frame.pair)
            if frame.status == "subscribed" and frame.channelName.startswith(kraken_v1.BOOK):
                self._acknowledged.add(market)
            elif frame.status == "unsubscribed" and frame.channelName.startswith(kraken_v1.BOOK):
                self._unsubscribed(market)
            elif frame.status == "error" and "unsubscri" not in frame.errorMessage.lower():
                named = {market} & self.markets if NOT_SUPPORTED in frame.errorMessage.lower() else set()
                self._refused(named, f"{frame.pair}: {frame.errorMessage}")
        elif frame.event == "error":
            self._refused((), frame.errorMessage)


def _levels(levels: tuple[LevelText, ...]) -> Iterator[tuple[str, str]]:
    return ((level[0], level[1]) for level in levels)
