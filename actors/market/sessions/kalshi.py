"""One connection to Kalshi as a state machine: frames in, market messages and commands out. No socket, no
clock.

What it knows about losing data, all of it from the venue's rules (`seq` of AsyncAPI 2.0.0 and its error
codes):

* `seq` belongs to a subscription (`sid`) and runs over all of its markets and over every frame that carries
both,
  acknowledgements and errors too. The first frame sets the base; every other one must be the next.
* A hole does not say whose frame was lost, so every book of the sid is stale until its own next snapshot. One
  `get_snapshot` for all of them is in flight at a time; deltas of a stale book are dropped.
* What `get_snapshot` does not repair in time, a new subscription must; what that does not, a new connection.
* Errors 10 and 25 end a subscription: it is made again at once. A new connection begins with nothing.

Times named `now` are monotonic nanoseconds; `ts` and `ts_recv` are wall time.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from typing import Final

from actors.market.sessions.kalshi_subscriptions import Incident, Pending, Recovery, Subscription, Tally
from protocols.market import SYNTHETIC, BookStale, BookUpdate, FeedState, MarketStatus, Trade
from protocols.venues import kalshi, kalshi_commands
from protocols.venues.kalshi import (
    Codec,
    DeltaFrame,
    ErrorFrame,
    Frame,
    LifecycleFrame,
    OkBody,
    OkFrame,
    OtherFrame,
    SnapshotFrame,
    SubscribedFrame,
    TradeFrame,
    UnsubscribedFrame,
)
from protocols.venues.kalshi_commands import TERMINAL, UNFILTERED_CHANNELS, ErrorCode

SECOND: Final = 1_000_000_000
# Between two recoveries of one subscription, so that a book that can never be right costs little.
RECOVERY_SPACING: Final = SECOND // 2
# Asked once more, subscribed again, and after that only a new connection is left.
ASK_AGAIN, RESUBSCRIBE, RECONNECT = 1, 2, 3


Event = BookUpdate | Trade | MarketStatus | BookStale | Incident


class SessionCore:
    """One feed's conversation with the venue.

    After every call: publish what it returned, send what `take_commands` gives, and end the connection if
    `broken` says why. With no `channels` it only listens (a replay): it learns subscriptions from their
    frames.
    """

    def __init__(
        self,
        feed: str,
        markets: Sequence[str] = (),
        channels: Sequence[str] = (),
        *,
        use_yes_price: bool = True,
        recovery_s: float = 5.0,
    ) -> None:
        self.feed = feed
        self.markets = frozenset(markets)
        self.channels = tuple(channels)
        self.use_yes_price = use_yes_price
        self.codec = Codec()
        self.session = ""
        self.marks: tuple[str, ...] = ()
        self.broken = ""
        self.rejected: set[str] = set()
        self.counts: Counter[str] = Counter()
        self.tally = Tally()
        self._recovery_ns = round(recovery_s * SECOND)
        self._subscriptions: dict[int, Subscription] = {}
        self._ended: set[int] = set()
        self._pending: dict[int, Pending] = {}
        self._commands: list[bytes] = []
        self._next_id = 0
        self._made = 0
        # Of the call that is running.
        self._ts = 0
        self._now = 0
        self._events: list[Event] = []

    # -- the connection --------------------------------------------------------------------------------

    def connected(self, session: str, marks: Iterable[str], now: int) -> None:
        """A new connection: forget everything of the last one and subscribe. `session` must be new."""
        self._forget()
        self.session = session
        self.marks = tuple(sorted(set(marks)))
        self._now = now
        for channel in self.channels:
            self._subscribe(channel, self.markets - self.rejected)

    def disconnected(self, reason: str, ts: int) -> list[Event]:
        """The connection has ended: every book that was current is stale."""
        self._begin(ts, self._now)
        for subscription in self._subscriptions.values():
            self._stale(subscription, reason)
        self._forget()
        return self._events

    def take_commands(self) -> list[bytes]:
        """Commands to send now, in order. They are given once."""
        commands, self._commands = self._commands, []
        return commands

    @property
    def needs_attention(self) -> bool:
        """Whether there are commands to send or the connection is broken."""
        return bool(self._commands or self.broken)

    @property
    def state(self) -> FeedState:
        """`down` without a connection, `recovering` while any book that was asked for is not current."""
        if not self.session:
            return "down"
        return "recovering" if self.stale_markets() else "live"

    def live_markets(self) -> set[str]:
        """Markets whose book is current, as far as the connection can tell."""
        return {market for each in self._subscriptions.values() for market in each.live}

    def stale_markets(self) -> set[str]:
        """Markets that were asked for or seen, and whose book is not current."""
        books = {market for each in self._subscriptions.values() if each.has_books for market in each.markets}
        if kalshi.ORDERBOOK in self.channels:
            books |= self.markets - self.rejected
        return books - self.live_markets()

    # -- frames ----------------------------------------------------------------------------------------

    def receive(self, raw: bytes | str, ts_recv: int, now: int) -> list[Event]:
        """What one frame says.

        Raises WireError for what is no frame: the connection cannot be trusted then.
        """
        frame = kalshi.decode(raw)
        self._begin(ts_recv, now)
        self.tally.frames += 1
        sid = frame.sid
        subscription: Subscription | None = None
        if sid:
            if sid in self._ended and not isinstance(frame, UnsubscribedFrame):
                self.counts["of an ended subscription"] += 1
                return self._events
            subscription = self._subscriptions.get(sid) or self._new(sid)
            seq = frame.seq
            if seq is not None:
                last, subscription.seq = subscription.seq, seq
                if last is not None and seq != last + 1:
                    self._gap(subscription, last, seq)
        try:
            self._handle(frame, subscription)
        except ValueError as error:
            self.tally.malformed += 1
            self._incident("malformed", f"{type(frame).__name__}: {error}")
            if subscription is not None:
                self._lost(subscription, "malformed")
        return self._events

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
            if subscription is not None:
                subscription.channel = kalshi.TRADE
            trade = self.codec.trade(frame, session, self._ts, self.marks)
            if trade is not None:
                self._events.append(trade)
        elif isinstance(frame, LifecycleFrame):
            if subscription is not None:
                subscription.channel = kalshi.LIFECYCLE
            # The channel knows no filter: every market of the venue comes along.
            if not self.markets or frame.msg.market_ticker in self.markets:
                status = self.codec.status(frame, session, self._ts, self.marks)
                if status is not None:
                    self._events.append(status)
        elif isinstance(frame, SubscribedFrame):
            self._subscribed(frame)
        elif isinstance(frame, OkFrame):
            if subscription is not None and isinstance(frame.msg, OkBody):
                self._acknowledged(frame.msg, subscription)
        elif isinstance(frame, UnsubscribedFrame):
            self._ended.discard(frame.sid)
            if subscription is not None:
                self._stale(subscription, "unsubscribed")
                del self._subscriptions[frame.sid]
        elif isinstance(frame, ErrorFrame):
            self._error(frame, subscription)

    def _snapshot(self, frame: SnapshotFrame, subscription: Subscription) -> None:
        market = frame.msg.market_ticker
        if frame.msg.market_id.startswith(SYNTHETIC) and SYNTHETIC not in self.marks:
            self.marks = tuple(sorted({*self.marks, SYNTHETIC}))
        self._events.append(self.codec.snapshot(frame, subscription.session, self._ts, self.marks, self.use_yes_price))
        self.tally.updates += 1
        subscription.channel = kalshi.ORDERBOOK
        subscription.markets.add(market)
        subscription.live.add(market)
        recovery = subscription.recovery
        if recovery is None:
            return
        recovery.waiting.discard(market)
        if recovery.waiting:
            return
        subscription.recovery = None
        if recovery.again or subscription.markets - subscription.live:
            self._recover(subscription)
        else:
            subscription.attempts = 0
            if not recovery.proof:
                self._incident("recovered", f"{len(subscription.live)} books are current", subscription)

    def _subscribed(self, frame: SubscribedFrame) -> None:
        sid = frame.msg.sid
        self._ended.discard(sid)
        subscription = self._subscriptions.get(sid) or self._new(sid)
        subscription.channel = frame.msg.channel
        pending = self._pending.pop(frame.id, None)
        if pending is None:
            return
        subscription.markets |= pending.markets
        subscription.attempts = pending.attempts
        waiting = subscription.markets - subscription.live
        if subscription.has_books and waiting:
            subscription.recovery = Recovery(waiting, self._now + self._recovery_ns)

    def _acknowledged(self, body: OkBody, subscription: Subscription) -> None:
        if body.market_tickers is None:
            return
        listed = set(body.market_tickers)
        for market in sorted(subscription.live - listed):
            self._events.append(BookStale(market, self.feed, "unsubscribed", self._ts))
        subscription.live &= listed
        subscription.markets = listed
        if not subscription.has_books:
            return
        # Snapshots of what was added come by themselves; the deadline asks where they do not.
        missing = listed - subscription.live
        if subscription.recovery is None and missing:
            subscription.recovery = Recovery(missing, self._now + self._recovery_ns)
        elif subscription.recovery is not None:
            subscription.recovery.waiting = (subscription.recovery.waiting & listed) | missing
            if not subscription.recovery.waiting:
                subscription.recovery = None

    def _error(self, frame: ErrorFrame, subscription: Subscription | None) -> None:
        body = frame.msg
        self._incident("error", f"{body.code}: {body.msg}", subscription)
        named = set(body.market_tickers or ()) | ({body.market_ticker} if body.market_ticker else set())
        pending = self._pending.pop(frame.id, None)
        if body.code in TERMINAL or body.code == ErrorCode.UNKNOWN_SID:
            if subscription is not None:
                self._resubscribe(subscription, f"error {body.code}")
            else:
                self.broken = f"error {body.code} that names no subscription"
        elif body.code == ErrorCode.AUTHENTICATION_REQUIRED:
            self.broken = "authentication required"
        elif named:
            self._reject(named)
            if pending is not None and pending.markets - named:
                self._subscribe(pending.channel, pending.markets - named)
        elif pending is not None and pending.channel == kalshi.ORDERBOOK:
            self.broken = f"subscription refused: {body.code} {body.msg}"

    # -- loss and recovery -----------------------------------------------------------------------------

    def request_snapshot(self, market: str, now: int) -> None:
        """A book keeper has lost its way: drop its deltas and ask for a snapshot of this market."""
        self._now = now
        for subscription in self._subscriptions.values():
            if subscription.has_books and market in subscription.markets:
                subscription.live.discard(market)
                if subscription.recovery is None:
                    self._recover(subscription)
                elif market not in subscription.recovery.waiting:
                    subscription.recovery.again = True

    def silent(self, now: int) -> None:
        """Nothing came for a while. A ping proves only the socket: ask each subscription for one snapshot."""
        self._now = now
        books = [each for each in self._subscriptions.values() if each.live and each.recovery is None]
        for subscription in books:
            self._get_snapshot(subscription, {min(subscription.live)}, proof=True)
        if not books:
            self._commands.append(kalshi_commands.list_subscriptions(self._id()))

    def tick(self, ts: int, now: int) -> list[Event]:
        """Judge what is overdue. Call it a few times in `recovery_s`."""
        self._begin(ts, now)
        if any(now >= pending.deadline for pending in self._pending.values()):
            self.broken = "a subscribe command was not answered"
        for subscription in list(self._subscriptions.values()):
            recovery = subscription.recovery
            if recovery is None:
                if subscription.has_books and self.channels:
                    self._recover(subscription)
            elif now >= recovery.deadline:
                self._overdue(subscription, recovery)
        return self._events

    def _overdue(self, subscription: Subscription, recovery: Recovery) -> None:
        subscription.attempts += 1
        what = f"no snapshot of {', '.join(sorted(recovery.waiting))}"
        self._incident("overdue", what, subscription)
        if subscription.attempts >= RECONNECT:
            self.broken = what
        elif subscription.attempts >= RESUBSCRIBE:
            self._commands.append(kalshi_commands.unsubscribe(self._id(), (subscription.sid,)))
            self._resubscribe(subscription, what)
        else:
            self._get_snapshot(subscription, (subscription.markets - subscription.live) | recovery.waiting)

    def _gap(self, subscription: Subscription, last: int, seq: int) -> None:
        self.tally.gaps += 1
        self.tally.lost += max(seq - last - 1, 0)
        self._incident("gap", f"seq {seq} after {last}", subscription)
        self._lost(subscription, "gap")

    def _lost(self, subscription: Subscription, reason: str) -> None:
        if not subscription.has_books:
            return
        self._stale(subscription, reason)
        if subscription.recovery is None:
            self._recover(subscription)
        else:
            subscription.recovery.again = True
            subscription.recovery.proof = False

    def _recover(self, subscription: Subscription) -> None:
        missing = subscription.markets - subscription.live - self.rejected
        if missing and self._now >= subscription.not_before:
            subscription.not_before = self._now + RECOVERY_SPACING
            self._get_snapshot(subscription, missing)

    def _get_snapshot(self, subscription: Subscription, markets: set[str], *, proof: bool = False) -> None:
        self.tally.recoveries += not proof
        subscription.recovery = Recovery(set(markets), self._now + self._recovery_ns, proof=proof)
        self._commands.append(kalshi_commands.get_snapshot(self._id(), subscription.sid, sorted(markets)))

    def _resubscribe(self, subscription: Subscription, reason: str) -> None:
        self.tally.resubscribed += 1
        self._stale(subscription, reason)
        del self._subscriptions[subscription.sid]
        self._ended.add(subscription.sid)
        self._incident("resubscribed", reason, subscription)
        if subscription.channel in self.channels:
            self._subscribe(
                subscription.channel, frozenset(subscription.markets) - self.rejected, subscription.attempts
            )

    def _stale(self, subscription: Subscription, reason: str) -> None:
        self._events.extend(BookStale(market, self.feed, reason, self._ts) for market in sorted(subscription.live))
        subscription.live.clear()

    def _reject(self, markets: set[str]) -> None:
        self.rejected |= markets
        for subscription in self._subscriptions.values():
            self._events.extend(
                BookStale(market, self.feed, "rejected", self._ts) for market in sorted(subscription.live & markets)
            )
            subscription.live -= markets
            subscription.markets -= markets
            if subscription.recovery is not None:
                subscription.recovery.waiting -= markets
                if not subscription.recovery.waiting:
                    subscription.recovery = None

    # -- small parts -----------------------------------------------------------------------------------

    def _subscribe(self, channel: str, markets: frozenset[str], attempts: int = 0) -> None:
        id = self._id()
        asked = frozenset[str]() if channel in UNFILTERED_CHANNELS else markets
        self._pending[id] = Pending(channel, asked, self._now + self._recovery_ns, attempts)
        self._commands.append(kalshi_commands.subscribe(id, channel, sorted(asked), use_yes_price=self.use_yes_price))

    def _new(self, sid: int) -> Subscription:
        # A sid may come back within one connection; (session, seq) must stay an address even then.
        self._made += 1
        subscription = Subscription(sid, f"{self.session}/{sid}.{self._made}")
        self._subscriptions[sid] = subscription
        return subscription

    def _id(self) -> int:
        self._next_id += 1
        return self._next_id

    def _incident(self, kind: str, detail: str, subscription: Subscription | None = None) -> None:
        session = self.session if subscription is None else subscription.session
        self._events.append(Incident(kind, session, detail))

    def _begin(self, ts: int, now: int) -> None:
        self._ts = ts
        self._now = now
        self._events = []

    def _forget(self) -> None:
        self.session = ""
        self.broken = ""
        self._subscriptions.clear()
        self._ended.clear()
        self._pending.clear()
        self._commands.clear()
        self._next_id = 0
        self._made = 0
