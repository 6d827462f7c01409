"""One connection to Coinbase Advanced Trade as a state machine. No socket, no clock.

`sequence_num` counts every frame of the connection, acknowledgements and heartbeats too, from 0. A hole does not say
whose frame was lost, so every book of the connection is stale and subscribed anew; a number that was seen before is a
late frame and says nothing. The heartbeats, once a second, show a loss even where all markets are quiet.

A pair in USDC trades in the book of the one in USD, and its frames come under that product's name.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import ClassVar, Final, cast

import msgspec

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
from actors.market.sessions.open_bars import OpenBars
from actors.market.sessions.subscribed_books import SubscribedBooks
from protocols.market import BookUpdate, LevelChange
from protocols.venues import coinbase
from protocols.venues.coinbase import (
    BookFrame,
    CandleFrame,
    Codec,
    ErrorFrame,
    Frame,
    HeartbeatFrame,
    OtherFrame,
    SubscriptionsFrame,
    TickerFrame,
    TradeBody,
    TradeFrame,
    event_time,
)
from protocols.venues.coinbase_large import PackedBook, book_time, by_product, packed, read_packed
from protocols.venues.coinbase_signing import Signer
from protocols.venues.errors import WireError
from protocols.venues.rest import RestCall

# From so many levels on a book travels packed.
_MANY_LEVELS: Final = 2_000
# So many late frames in a row mean that the venue counts from the start again.
_MOST_LATE: Final = 100
_CHANNELS: Final = {
    BOOK: coinbase.LEVEL2,
    TRADES: coinbase.MARKET_TRADES,
    TICKERS: coinbase.TICKER,
    BARS: coinbase.CANDLES,
}
_PRODUCT: Final = re.compile(r"[A-Z0-9]+(?:-[A-Z0-9]+)+")


class CoinbaseSession(SubscribedBooks):
    """One feed's conversation with Coinbase."""

    VENUE = "coinbase"
    SUFFIX = ".COINBASE"
    URL = "wss://advanced-trade-ws.coinbase.com"
    REST_URL = "https://api.coinbase.com"
    REST = "actors.market.rest.coinbase:CoinbaseRest"
    OFFERED: ClassVar[frozenset[str]] = frozenset(_CHANNELS)
    # Messages a second and IP without a key ("Advanced Trade WebSocket rate limits").
    COMMANDS_PER_S = 8.0
    # Connections a second and IP; REST calls a second and IP to public endpoints.
    BUDGETS = (("connect", 8.0, 8.0), ("rest", 10.0, 10.0))
    CHUNK = 50
    LARGE: ClassVar[str] = "protocols.venues.coinbase_large:decode_large"

    def __init__(
        self,
        feed: str,
        markets: Sequence[str] = (),
        channels: Sequence[str] | None = None,
        options: SessionOptions = DEFAULT_OPTIONS,
        credentials: Credentials | None = None,
    ) -> None:
        super().__init__(feed, markets, channels, options, credentials)
        if options.depth is not None:
            raise ValueError("coinbase sends whole books: depth cannot be chosen")
        if set(options.bars) - {"5m"}:
            raise ValueError(f"coinbase sends bars of 5m, not {', '.join(options.bars)}")
        self.codec = Codec(self.faults)
        self._signer: Signer | None = None
        if credentials is not None:
            self.use(credentials)
        # From our clock to the venue's, as the handshake was told.
        self._handshake_ts = 0
        self._offset = 0
        self._stream = ""
        self._last: int | None = None
        self._late = 0
        self._open_bars = OpenBars()
        # The venue's name of a product to the markets that are fed from it.
        self._names: dict[str, tuple[str, ...]] = {}
        self._changed()

    # -- signing -------------------------------------------------------------------------------------------

    def use(self, credentials: Credentials) -> None:
        """Sign with this key from now on. Raises ValueError where it is none."""
        super().use(credentials)
        self._signer = Signer(credentials.key_id, credentials.secret)

    def handshake(self, ts: int) -> tuple[tuple[str, str], ...]:
        """No headers: subscriptions are signed, one by one. It tells the venue's time."""
        self._handshake_ts = ts
        return ()

    def sign(self, call: RestCall, ts: int) -> tuple[tuple[str, str], ...]:
        """Headers of a REST call; none where it needs no key."""
        if not call.signed or self._signer is None:
            return super().sign(call, ts)
        host = self.REST_URL.removeprefix("https://")
        return (("Authorization", f"Bearer {self._signer.token(ts, f'{call.method} {host}{call.path}')}"),)

    # -- subscriptions -------------------------------------------------------------------------------------

    def _begin_stream(self) -> None:
        # The time that the connection took is in it, too: a token that begins a little early is valid all the same.
        self._offset = self._handshake_ts - self._ts if self._handshake_ts else 0
        self._commands.append(coinbase.subscribe(coinbase.HEARTBEATS, jwt=self._token()))

    def _subscription(self, channel: str, markets: Sequence[str], *, subscribe: bool) -> list[bytes]:
        command = coinbase.subscribe if subscribe else coinbase.unsubscribe
        return [command(_CHANNELS[channel], [self.symbol_of(market) for market in markets], self._token())]

    def _token(self) -> str:
        return "" if self._signer is None else self._signer.token(self._ts + self._offset)

    def silent(self, now: int) -> None:
        """Nothing came for a while, not even a heartbeat: ask for them again, which is acknowledged."""
        self._begin(self._ts + max(0, now - self._now), now)
        if not self.options.listening:
            self._commands.append(coinbase.subscribe(coinbase.HEARTBEATS, jwt=self._token()))

    def _changed(self) -> None:
        names: dict[str, list[str]] = {}
        for market in sorted(self.markets - self.rejected):
            symbol = self.symbol_of(market)
            names.setdefault(symbol, []).append(market)
            if symbol.endswith("-USDC"):
                names.setdefault(symbol.removesuffix("C"), []).append(market)
        self._names = {name: tuple(markets) for name, markets in names.items()}

    def _markets_of(self, product: str) -> tuple[str, ...]:
        markets = self._names.get(product)
        if markets is None:
            if not self.options.listening:
                self.counts["of a product that is not followed"] += 1
                return ()
            markets = self._names[product] = (self.market_of(product),)
        return markets

    # -- frames --------------------------------------------------------------------------------------------

    def receive(self, raw: bytes | str, ts_recv: int, now: int) -> list[Event]:
        """What one frame says.

        Raises WireError for what is no frame: the connection cannot be trusted then.
        """
        frame = coinbase.decode(raw)
        self._begin(ts_recv, now)
        self.tally.frames += 1
        if isinstance(frame, ErrorFrame):
            self.counts["error"] += 1
            self._error(frame.message)
            return self._events
        if frame.sequence_num is not None and not self._in_sequence(frame.sequence_num):
            return self._events
        try:
            self._handle(frame)
        except ValueError as error:
            self.tally.malformed += 1
            self._incident("malformed", f"{type(frame).__name__}: {error}")
        return self._events

    def receive_decoded(self, packed_frame: bytes, ts_recv: int, now: int) -> list[Event]:
        """What a frame says that `LARGE` has decoded elsewhere. Raises WireError as `receive`."""
        try:
            frame = read_packed(packed_frame)
        except (msgspec.DecodeError, UnicodeError) as error:
            raise WireError(str(error)) from None
        if frame.raw:
            return self.receive(frame.raw, ts_recv, now)
        self._begin(ts_recv, now)
        self.tally.frames += 1
        self.faults.truncated += frame.truncated
        self.faults.clamped += frame.clamped
        self.faults.dropped += frame.dropped
        if self._in_sequence(frame.sequence_num):
            self.counts[coinbase.L2_DATA] += 1
            for book in frame.books:
                self._packed(book, frame.sequence_num)
        return self._events

    def _in_sequence(self, number: int) -> bool:
        """Whether this frame is to be read. A hole before it has been dealt with then."""
        last = self._last
        if last is not None and number <= last:
            self.tally.repeated += 1
            self._late += 1
            if self._late > _MOST_LATE:
                self.broken = f"the sequence went back to {number} after {last}"
            return False
        self._late = 0
        self._last = number
        # A recording may begin anywhere.
        expected = last + 1 if last is not None else number if self.options.listening else 0
        if number != expected:
            self.tally.gaps += 1
            self.tally.lost += number - expected
            self._incident("gap", f"sequence_num {number} instead of {expected}")
            self._lost(list(self._live), "gap")
        return True

    def _handle(self, frame: Frame) -> None:
        if isinstance(frame, BookFrame):
            self.counts[coinbase.L2_DATA] += 1
            self._books(frame)
        elif isinstance(frame, OtherFrame):
            self.counts["malformed" if frame.fault else frame.channel] += 1
            if frame.fault:
                if frame.channel == coinbase.L2_DATA:
                    # Nobody can say which books it was about.
                    self._lost(list(self._live), "malformed")
                raise ValueError(frame.fault)
        elif not isinstance(frame, ErrorFrame):
            self.counts[str(type(frame).__struct_config__.tag)] += 1
            if isinstance(frame, TradeFrame):
                self._trades(frame)
            elif isinstance(frame, TickerFrame):
                self._tickers(frame)
            elif isinstance(frame, CandleFrame):
                self._bars_of(frame)
            elif isinstance(frame, SubscriptionsFrame):
                products = frame.products(coinbase.LEVEL2)
                listed = {market for name in products for market in self._names.get(name, ())}
                for market in sorted(self._acknowledged - listed):
                    self._unsubscribed(market)
                self._acknowledged = listed
            elif isinstance(frame, HeartbeatFrame):
                self._events += self._open_bars.close(event_time(frame.timestamp))

    # -- books ---------------------------------------------------------------------------------------------

    def _books(self, frame: BookFrame) -> None:
        events = frame.events
        if len(events) == 1:
            event = events[0]
            books = {event.product_id: (event.type == "snapshot", cast("list[coinbase.LevelUpdate]", event.updates))}
        else:
            books = by_product(events)
        for product, (snapshot, updates) in books.items():
            if snapshot and len(updates) >= _MANY_LEVELS:
                self._packed(packed(product, snapshot, updates, self.faults, frame.timestamp), frame.sequence_num)
                continue
            markets = self._markets_of(product)
            try:
                changes = tuple(self.codec.changes(updates, snapshot=snapshot))
                ts_event = book_time(updates, frame.timestamp)
            except ValueError as error:
                self._malformed(product, markets, str(error))
                continue
            for market in markets:
                self._update(market, changes, snapshot, frame.sequence_num, ts_event)

    def _malformed(self, product: str, markets: tuple[str, ...], fault: str) -> None:
        self.tally.malformed += 1
        self._incident("malformed", f"{product}: {fault}")
        self._lost(markets, "malformed")

    def _packed(self, book: PackedBook, number: int) -> None:
        markets = self._markets_of(book.product_id)
        if book.fault:
            self._malformed(book.product_id, markets, book.fault)
        elif book.snapshot:
            for market in markets:
                self._update(market, (), True, number, book.ts_event, book.bids, book.asks)
        else:
            for market in markets:
                self._update(market, book.changes, False, number, book.ts_event)

    def _update(
        self,
        market: str,
        changes: tuple[LevelChange, ...],
        snapshot: bool,
        number: int,
        ts_event: int,
        bids: bytes = b"",
        asks: bytes = b"",
    ) -> None:
        if self.options.listening:
            self._seen.add(market)
        if market not in self._live and not snapshot:
            self.tally.dropped += 1
            return
        self.tally.updates += 1
        self._events.append(
            BookUpdate(
                market, changes, "absolute", snapshot, self._stream, number, ts_event, self._ts, self.marks, bids, asks
            )
        )
        if snapshot:
            self._arrived(market)

    # -- trades, tickers, bars -----------------------------------------------------------------------------

    def _trades(self, frame: TradeFrame) -> None:
        for event in frame.events:
            if event.type == "snapshot":
                # What was traded before the subscription is not new.
                self.counts["trades before the subscription"] += len(event.trades)
                continue
            # They come newest first.
            for body in sorted(event.trades, key=_by_id):
                for market in self._markets_of(body.product_id):
                    trade = self.codec.trade(body, market, self._stream, frame.sequence_num, self._ts, self.marks)
                    if trade is not None:
                        self._events.append(trade)

    def _tickers(self, frame: TickerFrame) -> None:
        for event in frame.events:
            for body in event.tickers:
                for market in self._markets_of(body.product_id):
                    self._events.append(
                        self.codec.ticker(body, market, self._stream, frame.timestamp, self._ts, self.marks)
                    )

    def _bars_of(self, frame: CandleFrame) -> None:
        for event in frame.events:
            for body in event.candles:
                for market in self._markets_of(body.product_id):
                    bar = self.codec.bar(body, market, self._ts, self.marks)
                    if bar is not None and (closed := self._open_bars.take(bar, past=event.type == "snapshot")):
                        self._events.append(closed)

    # -- the rest ------------------------------------------------------------------------------------------

    def _error(self, message: str) -> None:
        named = {market for name in _PRODUCT.findall(message) for market in self._names.get(name, ())}
        self._refused(named & set(self.markets), message)
        if "auth" in message.lower() and not self.options.listening:
            self.broken = f"authentication: {message}"

    def _forget(self) -> None:
        super()._forget()
        self._stream = ""
        self._last = None
        self._late = 0
        self._open_bars.forget()
        if self.options.listening:
            self._changed()

    def _subscribe_all(self) -> None:
        self._stream = f"{self.session}/all.1"
        super()._subscribe_all()


def _by_id(body: TradeBody) -> tuple[str, int, str]:
    """Trade ids of a product rise; they are decimal numbers."""
    return body.product_id, len(body.trade_id), body.trade_id
