"""What a session of Kalshi has lost, and how it gets that back. No socket, no clock.

The venue's rules (`seq` of AsyncAPI 2.0.0, its error codes):

* `seq` belongs to a subscription (`sid`) and runs over all of its markets and over every frame that carries both,
  acknowledgements and errors too. The first frame sets the base; every other one must be the next.
* A hole does not say whose frame was lost, so every book of the sid is stale until its own next snapshot. One
  `get_snapshot` for all of them is in flight at a time; deltas of a stale book are dropped.
* What `get_snapshot` does not repair in time, a new subscription must; what that does not, a new connection.
* Errors 10 and 25 end a subscription: it is made again at once. A new connection begins with nothing.
"""

from __future__ import annotations

from typing import Final

from actors.market.session_core import SECOND, Event
from actors.market.sessions.kalshi_markets import KalshiMarkets, parts
from actors.market.sessions.kalshi_subscriptions import Pending, Recovery, Subscription
from protocols.venues import kalshi, kalshi_commands
from protocols.venues.kalshi import ErrorFrame
from protocols.venues.kalshi_commands import TERMINAL, ErrorCode

# Between two recoveries of one subscription, so that a book that can never be right costs little.
RECOVERY_SPACING: Final = SECOND // 2
# Asked once more, subscribed again, and after that only a new connection is left.
RESUBSCRIBE, RECONNECT = 2, 3
# Errors that say "later", not "no".
_LATER: Final = frozenset({ErrorCode.UNABLE_TO_PROCESS, ErrorCode.COMMAND_TIMEOUT, ErrorCode.TOO_MANY_REQUESTS})
_REMEMBERED: Final = 256
"""Of how many questions for snapshots it is known to whom they went."""


class KalshiRecovery(KalshiMarkets):
    """The part of `KalshiSession` that judges errors and holes."""

    # -- errors --------------------------------------------------------------------------------------------

    def _error(self, frame: ErrorFrame, subscription: Subscription | None) -> None:
        body = frame.msg
        session = "" if subscription is None else subscription.session
        self._incident("error", f"{body.code}: {body.msg}", session)
        named = set(body.market_tickers or ()) | ({body.market_ticker} if body.market_ticker else set())
        pending = self._pending.pop(frame.id, None)
        if subscription is None and pending is not None and pending.sid:
            subscription = self._subscriptions.get(pending.sid)
        asked = self._asked.get(frame.id)
        if subscription is None and asked is not None:
            subscription = self._subscriptions.get(asked)
            if subscription is None and body.code == ErrorCode.UNKNOWN_SID:
                return  # a question to a subscription that has ended meanwhile
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
        for part in parts(markets):
            id = self._id()
            self._asked[id] = subscription.sid
            if len(self._asked) > _REMEMBERED:
                del self._asked[next(iter(self._asked))]
            self._commands.append(kalshi_commands.get_snapshot(id, subscription.sid, part))

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
