"""What a session of Kalshi subscribes: which channels, which markets, and what the venue says to that. No socket.

Commands that travel together may be carried out in another order (a recording of the venue's demo shows it), while the
acknowledgements list all markets as of their own `seq`. So markets are added or deleted, never both at once, and the
next update of a subscription waits for the answer to the last.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from typing import Final

from actors.market.session_core import (
    BOOK,
    DEFAULT_OPTIONS,
    LIFECYCLE,
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
from protocols.venues.kalshi import OkBody, SubscribedFrame
from protocols.venues.kalshi_commands import UNFILTERED_CHANNELS

CHANNEL_WORDS: Final = {
    BOOK: kalshi.ORDERBOOK,
    TRADES: kalshi.TRADE,
    TICKERS: kalshi.TICKER,
    LIFECYCLE: kalshi.LIFECYCLE,
}
"""Our words for channels, and the venue's."""

# A command is one frame; a list longer than this is cut into several.
MARKETS_PER_COMMAND: Final = 500


class KalshiMarkets(SessionCore):
    """The part of `KalshiSession` that subscribes; `KalshiRecovery` gets lost books back, and the rest reads frames."""

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
        # Which subscription a `get_snapshot` was for; its error does not say.
        self._asked: dict[int, int] = {}
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
        self._asked.clear()
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
        for part in parts(markets):
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
        first = next(parts(markets), [])
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

    def _stale(self, subscription: Subscription, reason: str) -> None:
        self._events.extend(BookStale(market, self.feed, reason, self._ts) for market in sorted(subscription.live))
        subscription.live.clear()

    def _id(self) -> int:
        self._next_id += 1
        return self._next_id


def parts(markets: Iterable[str]) -> Iterator[list[str]]:
    """The markets in lists that a command can take."""
    ordered = sorted(markets)
    return iter([ordered[at : at + MARKETS_PER_COMMAND] for at in range(0, len(ordered), MARKETS_PER_COMMAND)])
