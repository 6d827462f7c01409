"""One connection to Kalshi as a state machine: frames in, market messages and commands out. No socket, no clock.

Every frame is judged by its subscription's `seq` before anybody looks at what it says; what a hole means and how it
is repaired stands in `kalshi_recovery`.

Times named `now` are monotonic nanoseconds; `ts` and `ts_recv` are wall time.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from typing import ClassVar, Final
from urllib.parse import urlsplit

import msgspec

from actors.market.session_core import (
    BOOK,
    DEFAULT_OPTIONS,
    LIFECYCLE,
    TICKERS,
    TRADES,
    Credentials,
    Event,
    SessionOptions,
    Tally,
)
from actors.market.sessions.kalshi_recovery import KalshiRecovery
from actors.market.sessions.kalshi_subscriptions import NOT_KNOWN, Subscription
from protocols.market import SYNTHETIC
from protocols.venues import kalshi
from protocols.venues.kalshi import (
    DeltaFrame,
    ErrorFrame,
    Frame,
    LifecycleFrame,
    OkBody,
    OkFrame,
    OtherFrame,
    SnapshotFrame,
    SubscribedFrame,
    TickerFrame,
    TradeFrame,
    UnsubscribedFrame,
)
from protocols.venues.kalshi_messages import Codec
from protocols.venues.kalshi_signing import Signer
from protocols.venues.rest import RestCall

_MILLISECOND: Final = 1_000_000


class KalshiSession(KalshiRecovery):
    """One feed's conversation with Kalshi, or with the simulated venue, which speaks its protocol."""

    VENUE = "kalshi"
    SUFFIX = ""
    URL = "wss://external-api-ws.kalshi.com/trade-api/ws/v2"
    REST_URL = "https://external-api.kalshi.com/trade-api/v2"
    REST = "actors.market.rest.kalshi:KalshiRest"
    CHANNELS = (BOOK, TRADES, LIFECYCLE)
    OFFERED: ClassVar[frozenset[str]] = frozenset({BOOK, TRADES, LIFECYCLE, TICKERS})
    NEEDS_KEY = True
    # The Basic tier. Its capacity is about a second's worth; a call costs 10 unless the venue says otherwise. Orders
    # come in bursts: less than the venue's second fits, because the way there is uneven.
    BUDGETS = (("rest", 200.0, 200.0), ("write", 90.0, 95.0))

    def __init__(
        self,
        feed: str,
        markets: Sequence[str] = (),
        channels: Sequence[str] | None = None,
        options: SessionOptions = DEFAULT_OPTIONS,
        credentials: Credentials | None = None,
    ) -> None:
        self._plain_deltas = 0
        super().__init__(feed, markets, channels, options, credentials)
        self.codec = Codec(self.faults)
        self._signer: Signer | None = None
        if credentials is not None:
            self.use(credentials)

    # -- signing -------------------------------------------------------------------------------------------

    def use(self, credentials: Credentials) -> None:
        """Sign with this key from now on. Raises ValueError where it is none."""
        super().use(credentials)
        self._signer = Signer(credentials.key_id, credentials.secret)

    def handshake(self, ts: int) -> tuple[tuple[str, str], ...]:
        """Headers of the opening request; none without a key."""
        return () if self._signer is None else tuple(self._signer.headers(ts // _MILLISECOND))

    def sign(self, call: RestCall, ts: int) -> tuple[tuple[str, str], ...]:
        """Headers of a REST call. With a key every call is signed: without one the venue may answer from a cache."""
        if self._signer is None:
            return super().sign(call, ts)
        path = call.path
        prefix = urlsplit(self.REST_URL).path
        # Signed is the path on the host, whether or not the call names the part that all calls share.
        if not path.startswith(prefix + "/"):
            path = prefix + path
        return tuple(self._signer.headers(ts // _MILLISECOND, call.method, path))

    # -- frames --------------------------------------------------------------------------------------------

    def receive(self, raw: bytes | str, ts_recv: int, now: int) -> list[Event]:
        """What one frame says.

        Raises WireError for what is no frame: the connection cannot be trusted then.
        """
        try:
            frame: Frame = kalshi.decode_known(raw)
        except (msgspec.DecodeError, UnicodeError):
            frame = kalshi.decode(raw)
        sid = frame.sid
        subscription = self._subscriptions.get(sid)
        # Nearly every frame is the next delta of a book that is current; whatever is not goes the long way.
        if (
            type(frame) is DeltaFrame
            and subscription is not None
            and frame.seq == subscription.due
            and frame.msg.market_ticker in subscription.live
        ):
            subscription.due += 1
            subscription.last = raw
            try:
                update = self.codec.delta(frame, subscription.session, ts_recv, self.marks, self.use_yes_price)
            except ValueError as error:
                self._begin(ts_recv, now)
                self.tally.frames += 1
                self.counts["orderbook_delta"] += 1
                self._malformed(frame, subscription, error)
                return self._events
            self._plain_deltas += 1
            return [update]
        self._begin(ts_recv, now)
        self.tally.frames += 1
        if sid:
            if sid in self._ended and not isinstance(frame, UnsubscribedFrame):
                self.counts["of an ended subscription"] += 1
                return self._events
            if subscription is None:
                subscription = self._new(sid)
            seq = frame.seq
            if seq is not None:
                if seq < subscription.due:
                    if not self.listening or raw == subscription.last:
                        self._behind(seq, raw, subscription)
                        return self._events
                    subscription = self._begun_again(seq, subscription)
                elif subscription.due not in (seq, NOT_KNOWN):
                    self._gap(subscription, subscription.due - 1, seq)
                subscription.due = seq + 1
                subscription.last = raw
        try:
            self._handle(frame, subscription)
        except ValueError as error:
            self._malformed(frame, subscription, error)
        return self._events

    def _behind(self, seq: int, raw: bytes | str, subscription: Subscription) -> None:
        """A frame that is behind the others has no say in what they made."""
        self.tally.repeated += 1
        if raw != subscription.last:
            # Late, or numbers that begin again: what else the venue thinks was said is not known.
            self._gap(subscription, subscription.due - 1, seq)

    def _begun_again(self, seq: int, subscription: Subscription) -> Subscription:
        """In a recording nobody can be asked, so its numbers are followed. What they address is new."""
        self._gap(subscription, subscription.due - 1, seq)
        again = self._new(subscription.sid)
        again.channel = subscription.channel
        again.markets = subscription.markets
        return again

    def _malformed(self, frame: Frame, subscription: Subscription | None, error: ValueError) -> None:
        self.tally.malformed += 1
        self._incident("malformed", f"{type(frame).__name__}: {error}")
        if subscription is not None:
            self._lost(subscription, "malformed")

    @property
    def tally(self) -> Tally:
        """Totals over all connections."""
        self._count_plain_deltas()
        return self._tally

    @tally.setter
    def tally(self, tally: Tally) -> None:
        self._tally = tally

    @property
    def counts(self) -> Counter[str]:
        """Frames of each type."""
        self._count_plain_deltas()
        return self._counts

    @counts.setter
    def counts(self, counts: Counter[str]) -> None:
        self._counts = counts

    def _count_plain_deltas(self) -> None:
        # One number while they come; where somebody asks, it becomes the three that it stands for.
        plain, self._plain_deltas = self._plain_deltas, 0
        if plain:
            self._counts["orderbook_delta"] += plain
            self._tally.frames += plain
            self._tally.updates += plain

    def _handle(self, frame: Frame, subscription: Subscription | None) -> None:
        if isinstance(frame, DeltaFrame):
            self.counts["orderbook_delta"] += 1
            if subscription is None or frame.msg.market_ticker not in subscription.live:
                self.tally.dropped += 1
                return
            self.tally.updates += 1
            self._events.append(self.codec.delta(frame, subscription.session, self._ts, self.marks, self.use_yes_price))
            return
        if isinstance(frame, OtherFrame):
            self.counts["malformed" if frame.fault else frame.type] += 1
            if frame.fault:
                raise ValueError(frame.fault)
            return
        self.counts[str(type(frame).__struct_config__.tag)] += 1
        session = self.session if subscription is None else subscription.session
        if isinstance(frame, SnapshotFrame):
            if subscription is None:
                raise ValueError("a snapshot without sid")
            self._snapshot(frame, subscription)
        elif isinstance(frame, TradeFrame):
            self._learn(subscription, kalshi.TRADE)
            trade = self.codec.trade(frame, session, self._ts, self.marks)
            if trade is not None and self._follows(trade.market):
                self._events.append(trade)
        elif isinstance(frame, TickerFrame):
            self._learn(subscription, kalshi.TICKER)
            if self._follows(frame.msg.market_ticker):
                self._events.append(self.codec.ticker(frame, session, self._ts, self.marks))
        elif isinstance(frame, LifecycleFrame):
            self._learn(subscription, kalshi.LIFECYCLE)
            self._lifecycle(frame, session)
        elif isinstance(frame, SubscribedFrame):
            self._subscribed(frame)
        elif isinstance(frame, OkFrame):
            if subscription is not None and isinstance(frame.msg, OkBody):
                self._acknowledged(frame.id, frame.msg, subscription)
        elif isinstance(frame, UnsubscribedFrame):
            self._ended.discard(frame.sid)
            if subscription is not None:
                self._unsubscribed(subscription)
        elif isinstance(frame, ErrorFrame):
            self._error(frame, subscription)

    def _learn(self, subscription: Subscription | None, channel: str) -> None:
        if subscription is not None:
            subscription.channel = channel

    def _snapshot(self, frame: SnapshotFrame, subscription: Subscription) -> None:
        market = frame.msg.market_ticker
        if not self._follows(market):
            self.tally.dropped += 1
            return
        if frame.msg.market_id.startswith(SYNTHETIC) and SYNTHETIC not in self.marks:
            self.marks = tuple(sorted({*self.marks, SYNTHETIC}))
        self._events.append(self.codec.snapshot(frame, subscription.session, self._ts, self.marks, self.use_yes_price))
        self.tally.updates += 1
        self._arrived(market, subscription)

    def _lifecycle(self, frame: LifecycleFrame, session: str) -> None:
        # The channel knows no filter: every market of the venue comes along. A new one is told whoever it is, so
        # that it can be followed; beyond that only our own.
        body = frame.msg
        if body.event_type != "created" and not self._follows(body.market_ticker):
            return
        if body.event_type == "price_level_structure_updated":
            self._incident("price_levels", f"{body.market_ticker}: {body.price_level_structure or 'changed'}", session)
        status = self.codec.status(frame, session, self._ts, self.marks)
        if status is not None:
            self._events.append(status)
