"""What a session of Kalshi subscribes, what it has lost, and how it gets that back. No socket, no clock.

The venue's rules (`seq` of AsyncAPI 2.0.0, its error codes) and what a recording of its demo shows:

* `seq` belongs to a subscription (`sid`) and runs over all of its markets and over every frame that carries both,
  acknowledgements and errors too. The first frame sets the base; every other one must be the next.
* A hole does not say whose frame was lost, so every book of the sid is stale until its own next snapshot. One
  `get_snapshot` for all of them is in flight at a time; deltas of a stale book are dropped.
* What `get_snapshot` does not repair in time, a new subscription must; what that does not, a new connection.
* Errors 10 and 25 end a subscription: it is made again at once. A new connection begins with nothing.
* Commands that travel together may be carried out in another order, while the acknowledgements list all markets as
  of their own `seq`. So markets are added or deleted, never both at once, and the next update waits for the answer.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from typing import Final

from actors.market.session_core import (
    BOOK,
    DEFAULT_OPTIONS,
    LIFECYCLE,
    SECOND,
    TICKERS,
    TRADES,
    Credentials,
    Event,
    SessionCore,
    SessionOptions,
)
from actors.market.sessions.kalshi_subscriptions import Pending, Recovery, Subscription
from protocols.market import BookStale
from protocols.venues import kalshi, kalshi_commands
from protocols.venues.kalshi import ErrorFrame, OkBody, SubscribedFrame
from protocols.venues.kalshi_commands import TERMINAL, UNFILTERED_CHANNELS, ErrorCode

CHANNEL_WORDS: Final = {
    BOOK: kalshi.ORDERBOOK,
    TRADES: kalshi.TRADE,
    TICKERS: kalshi.TICKER,
    LIFECYCLE: kalshi.LIFECYCLE,
}
"""Our words for channels, and the venue's."""

# Between two recoveries of one subscription, so that a book that can never be right costs little.
RECOVERY_SPACING: Final = SECOND // 2
# Asked once more, subscribed again, and after that only a new connection is left.
RESUBSCRIBE, RECONNECT = 2, 3
# A command is one frame; a list longer than this is cut into several.
MARKETS_PER_COMMAND: Final = 500
# Errors that say "later", not "no".
_LATER: Final = frozenset({ErrorCode.UNABLE_TO_PROCESS, ErrorCode.COMMAND_TIMEOUT, ErrorCode.TOO_MANY_REQUESTS})


class KalshiSubscriptions(SessionCore):
    """The subscribing half of `KalshiSession`; the other half reads frames."""

    def __init__(
        self,
        feed: str,
        markets: Sequence[str] = (),
        channels: Sequence[str] | None = None,
        options: SessionOptions = DEFAULT_OPTIONS,
        credentials: Credentials | None = None,
    ) -> None:
        super().__init__(feed, markets, channels, options, credentials)
        self.use_yes_price = options.use_yes_price
        self.listening = options.listening
        self._subscriptions: dict[int, Subscription] = {}
        self._ended: set[int] = set()
        self._pending: dict[int, Pending] = {}
        self._next_id = 0
        self._made = 0

    # -- the connection ------------------------------------------------------------------------------------

    def live_markets(self) -> set[str]:
        """Markets whose book is current, as far as the connection can tell."""
        return {market for each in self._subscriptions.values() for market in each.live}

    def stale_markets(self) -> set[str]:
        """Markets that were asked for or seen, and whose book is not current."""
        books = {market for each in self._subscriptions.values() if each.has_books for market in self._theirs(each)}
        if BOOK in self.channels and not self.listening:
            books |= self._wanted()
        return books - self.live_markets()

    def _subscribe_all(self) -> None:
        if not self.listening:
            for channel in self.channels:
                self._subscribe(CHANNEL_WORDS[channel], self._wanted())

    def _forget(self) -> None:
        super()._forget()
        self._subscriptions.clear()
        self._ended.clear()
        self._pending.clear()
        self._next_id = 0
        self._made = 0

    # -- which markets -------------------------------------------------------------------------------------

    def follow(self, markets: Iterable[str], ts: int, now: int) -> list[Event]:
        """Follow these markets, too; connected or not. One that was refused before gets another chance."""
        self._begin(ts, now)
        asked = frozenset(markets)
        self.markets |= asked
        self.rejected -= asked
        self._update_all()
        return self._events

    def unfollow(self, markets: Iterable[str], ts: int, now: int) -> list[Event]:
        """Follow these markets no more: their books are stale (`unfollowed`)."""
        self._begin(ts, now)
        self.markets -= frozenset(markets)
        self._leave(set(markets), "unfollowed")
        self._update_all()
        return self._events

    def _wanted(self) -> frozenset[str]:
        return self.markets - self.rejected

    def _follows(self, market: str) -> bool:
        return self.listening or (market in self.markets and market not in self.rejected)

    def _theirs(self, subscription: Subscription) -> set[str]:
        """The markets of a subscription, without those that are about to be deleted from it."""
        return subscription.markets if self.listening else subscription.markets & self._wanted()

    def _update_all(self) -> None:
        if not self.session or self.listening:
            return
        waiting = {pending.channel for pending in self._pending.values() if not pending.sid}
        known = {subscription.channel for subscription in self._subscriptions.values()}
        for channel in self.channels:
            word = CHANNEL_WORDS[channel]
            if word not in waiting | known | UNFILTERED_CHANNELS:
                self._subscribe(word, self._wanted())
        for subscription in list(self._subscriptions.values()):
            self._update(subscription)

    def _update(self, subscription: Subscription) -> None:
        """Add or delete what the subscription lacks or has too much, if no other update of it is on its way."""
        channel = subscription.channel
        if self.listening or channel not in kalshi_commands.MARKET_CHANNELS or self._now < subscription.update_at:
            return
        if any(pending.sid == subscription.sid for pending in self._pending.values()):
            return
        wanted = self._wanted()
        if not wanted and subscription.markets:
            self._unsubscribe(subscription)
        elif extra := subscription.markets - wanted:
            self._change(subscription, "delete_markets", extra)
            subscription.markets -= extra
        elif missing := wanted - subscription.markets:
            self._change(subscription, "add_markets", missing)
            subscription.markets |= missing
            self._expect(subscription, set(missing))

    def _change(self, subscription: Subscription, action: str, markets: Iterable[str]) -> None:
        command = kalshi_commands.add_markets if action == "add_markets" else kalshi_commands.delete_markets
        for part in _parts(markets):
            id = self._id()
            deadline = self._now + self.recovery_ns
            self._pending[id] = Pending(subscription.channel, frozenset(part), deadline, 0, subscription.sid, action)
            self._commands.append(command(id, subscription.sid, part))

    def _expect(self, subscription: Subscription, markets: set[str]) -> None:
        """Their snapshots come by themselves; the deadline asks where they do not."""
        if not subscription.has_books or not markets:
            return
        if subscription.recovery is None:
            subscription.recovery = Recovery(markets, self._now + self.recovery_ns)
        else:
            subscription.recovery.waiting |= markets

    def _leave(self, markets: set[str], reason: str) -> None:
        """Forget the books of these markets; what their subscription still holds is for `_update` to see."""
        for subscription in self._subscriptions.values():
            self._events.extend(
                BookStale(market, self.feed, reason, self._ts) for market in sorted(subscription.live & markets)
            )
            subscription.live -= markets
            recovery = subscription.recovery
            if recovery is not None:
                recovery.waiting -= markets
                if not recovery.waiting:
                    subscription.recovery = None

    def _reject(self, markets: set[str]) -> None:
        self.rejected |= markets
        self._leave(markets, "rejected")
        for subscription in self._subscriptions.values():
            subscription.markets -= markets

    # -- subscriptions -------------------------------------------------------------------------------------

    def _subscribe(self, channel: str, markets: frozenset[str], attempts: int = 0) -> None:
        if channel in UNFILTERED_CHANNELS:
            markets = frozenset()
        elif not markets:
            # Without a list the venue would send every market that it has.
            return
        # The rest is added once the subscription is there.
        first = next(_parts(markets), [])
        id = self._id()
        self._pending[id] = Pending(channel, frozenset(first), self._now + self.recovery_ns, attempts)
        self._commands.append(kalshi_commands.subscribe(id, channel, first, use_yes_price=self.use_yes_price))

    def _new(self, sid: int) -> Subscription:
        # A sid may come back within one connection; (session, seq) must stay an address even then.
        self._made += 1
        subscription = Subscription(sid, f"{self.session}/{sid}.{self._made}")
        self._subscriptions[sid] = subscription
        return subscription

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
            subscription.recovery = Recovery(waiting, self._now + self.recovery_ns)
        self._update(subscription)

    def _acknowledged(self, id: int, body: OkBody, subscription: Subscription) -> None:
        pending = self._pending.pop(id, None)
        if body.market_tickers is not None:
            listed = set(body.market_tickers)
            if pending is not None and pending.action == "add_markets" and not pending.markets <= listed:
                missing = set(pending.markets - listed)
                self._incident("error", f"not added: {', '.join(sorted(missing))}", subscription.session)
                self._reject(missing)
            self._listed(listed, subscription)
        self._update(subscription)

    def _listed(self, listed: set[str], subscription: Subscription) -> None:
        for market in sorted(subscription.live - listed):
            self._events.append(BookStale(market, self.feed, "unsubscribed", self._ts))
        subscription.live &= listed
        # What is on its way to be added counts as had: another acknowledgement will list it.
        coming = {
            market
            for pending in self._pending.values()
            if pending.sid == subscription.sid and pending.action == "add_markets"
            for market in pending.markets
        }
        subscription.markets = listed | coming
        recovery = subscription.recovery
        if recovery is not None:
            recovery.waiting &= subscription.markets
            if not recovery.waiting:
                subscription.recovery = None
        self._expect(subscription, {market for market in listed - subscription.live if self._follows(market)})

    def _unsubscribed(self, subscription: Subscription) -> None:
        self._stale(subscription, "unsubscribed")
        del self._subscriptions[subscription.sid]

    def _unsubscribe(self, subscription: Subscription) -> None:
        self._commands.append(kalshi_commands.unsubscribe(self._id(), (subscription.sid,)))
        self._drop(subscription)

    def _drop(self, subscription: Subscription) -> None:
        del self._subscriptions[subscription.sid]
        self._ended.add(subscription.sid)
        for id in [id for id, pending in self._pending.items() if pending.sid == subscription.sid]:
            del self._pending[id]

    def _resubscribe(self, subscription: Subscription, reason: str) -> None:
        self.tally.resubscribed += 1
        self._stale(subscription, reason)
        self._drop(subscription)
        self._incident("resubscribed", reason, subscription.session)
        if not self.listening and subscription.channel in {CHANNEL_WORDS[channel] for channel in self.channels}:
            self._subscribe(subscription.channel, self._wanted(), subscription.attempts)

    def _error(self, frame: ErrorFrame, subscription: Subscription | None) -> None:
        body = frame.msg
        session = "" if subscription is None else subscription.session
        self._incident("error", f"{body.code}: {body.msg}", session)
        named = set(body.market_tickers or ()) | ({body.market_ticker} if body.market_ticker else set())
        pending = self._pending.pop(frame.id, None)
        if subscription is None and pending is not None and pending.sid:
            subscription = self._subscriptions.get(pending.sid)
        if body.code in TERMINAL or body.code == ErrorCode.UNKNOWN_SID:
            if subscription is not None:
                self._resubscribe(subscription, f"error {body.code}")
            else:
                self.broken = f"error {body.code} that names no subscription"
        elif body.code == ErrorCode.AUTHENTICATION_REQUIRED:
            self.broken = "authentication required"
        elif named:
            self._reject(named)
            if pending is not None and not pending.sid:
                self._subscribe(pending.channel, self._wanted())
            elif pending is not None and subscription is not None:
                # Whether the venue took the others is unknown: they are asked for again.
                self._taken_back(pending, subscription)
        elif pending is not None and pending.sid:
            self._update_refused(pending, subscription, later=body.code in _LATER)
        elif pending is not None and pending.channel == kalshi.ORDERBOOK:
            self.broken = f"subscription refused: {body.code} {body.msg}"
        if subscription is not None and subscription.sid in self._subscriptions:
            self._update(subscription)

    def _update_refused(self, pending: Pending, subscription: Subscription | None, *, later: bool) -> None:
        if subscription is None:
            return
        self._taken_back(pending, subscription)
        if later or pending.action == "delete_markets":
            subscription.update_at = self._now + self.recovery_ns
        else:
            self._reject(set(pending.markets))

    def _taken_back(self, pending: Pending, subscription: Subscription) -> None:
        if pending.action == "delete_markets":
            subscription.markets |= pending.markets
            return
        subscription.markets -= pending.markets - subscription.live
        if subscription.recovery is not None:
            subscription.recovery.waiting -= pending.markets
            if not subscription.recovery.waiting:
                subscription.recovery = None

    # -- loss and recovery ---------------------------------------------------------------------------------

    def request_snapshot(self, market: str, now: int) -> None:
        """A book keeper has lost its way: drop its deltas and ask for a snapshot of this market."""
        if self.listening:
            return
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
        if self.listening:
            return
        self._now = now
        books = [each for each in self._subscriptions.values() if each.live and each.recovery is None]
        for subscription in books:
            self._get_snapshot(subscription, {min(subscription.live)}, proof=True)
        if not books:
            self._commands.append(kalshi_commands.list_subscriptions(self._id()))

    def tick(self, ts: int, now: int) -> list[Event]:
        """Judge what is overdue. Call it a few times in `recovery_s`."""
        self._begin(ts, now)
        if self.listening:
            return self._events
        if any(now >= pending.deadline for pending in self._pending.values()):
            self.broken = "a command was not answered"
        for subscription in list(self._subscriptions.values()):
            recovery = subscription.recovery
            if recovery is None:
                if subscription.has_books:
                    self._recover(subscription)
            elif now >= recovery.deadline:
                self._overdue(subscription, recovery)
            if subscription.update_at and subscription.sid in self._subscriptions:
                self._update(subscription)
        return self._events

    def _overdue(self, subscription: Subscription, recovery: Recovery) -> None:
        subscription.attempts += 1
        what = f"no snapshot of {', '.join(sorted(recovery.waiting))}"
        self._incident("overdue", what, subscription.session)
        if subscription.attempts >= RECONNECT:
            self.broken = what
        elif subscription.attempts >= RESUBSCRIBE:
            self._commands.append(kalshi_commands.unsubscribe(self._id(), (subscription.sid,)))
            self._resubscribe(subscription, what)
        else:
            self._get_snapshot(subscription, (self._theirs(subscription) - subscription.live) | recovery.waiting)

    def _gap(self, subscription: Subscription, last: int, seq: int) -> None:
        self.tally.gaps += 1
        self.tally.lost += max(seq - last - 1, 0)
        self._incident("gap", f"seq {seq} after {last}", subscription.session)
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
        missing = self._theirs(subscription) - subscription.live
        if missing and self._now >= subscription.not_before:
            subscription.not_before = self._now + RECOVERY_SPACING
            self._get_snapshot(subscription, missing)

    def _get_snapshot(self, subscription: Subscription, markets: set[str], *, proof: bool = False) -> None:
        subscription.recovery = Recovery(set(markets), self._now + self.recovery_ns, proof=proof)
        if self.listening:
            return
        self.tally.recoveries += not proof
        for part in _parts(markets):
            self._commands.append(kalshi_commands.get_snapshot(self._id(), subscription.sid, part))

    def _arrived(self, market: str, subscription: Subscription) -> None:
        """A snapshot of this market has come: its book is current."""
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
        if recovery.again or self._theirs(subscription) - subscription.live:
            self._recover(subscription)
        else:
            subscription.attempts = 0
            if not recovery.proof:
                self._incident("recovered", f"{len(subscription.live)} books are current", subscription.session)

    def _stale(self, subscription: Subscription, reason: str) -> None:
        self._events.extend(BookStale(market, self.feed, reason, self._ts) for market in sorted(subscription.live))
        subscription.live.clear()

    def _id(self) -> int:
        self._next_id += 1
        return self._next_id


def _parts(markets: Iterable[str]) -> Iterator[list[str]]:
    ordered = sorted(markets)
    return iter([ordered[at : at + MARKETS_PER_COMMAND] for at in range(0, len(ordered), MARKETS_PER_COMMAND)])
