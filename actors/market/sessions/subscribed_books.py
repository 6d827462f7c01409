"""Sessions of venues that answer a subscription with a snapshot: what was asked for, what came, what is overdue.

A market's book is *live* from its snapshot on until something is lost, *asked* while a subscription waits for its
snapshot, and else *missing*: it will be asked for as soon as it may be. There is one request for a market at a time,
and some time between two of them, so that a book that can never be right does not become a storm of subscriptions.

What is overdue is asked for again, in smaller and smaller commands so that one bad symbol does not spoil the others.
After the last attempt a market that the venue never acknowledged, while it was saying no or serving others, is
rejected; anything else means that the connection is no good.
"""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Collection, Iterable, Sequence
from typing import ClassVar, Final

import msgspec

from actors.market.session_core import (
    BOOK,
    DEFAULT_OPTIONS,
    SECOND,
    Credentials,
    Event,
    SessionCore,
    SessionOptions,
)
from protocols.market import BookStale

SPACING: Final = SECOND
"""Between two requests for the snapshot of one market."""
MOST_ATTEMPTS: Final = 3
_MOST_NAMED: Final = 10


class _Asked(msgspec.Struct, gc=False):
    deadline: int
    attempts: int


class SubscribedBooks(SessionCore):
    """Keeps account of the books. A venue's session says how to ask (`_subscription`) and what has come."""

    CHUNK: ClassVar[int] = 100
    """Markets in one command."""

    def __init__(
        self,
        feed: str,
        markets: Sequence[str] = (),
        channels: Sequence[str] | None = None,
        options: SessionOptions = DEFAULT_OPTIONS,
        credentials: Credentials | None = None,
    ) -> None:
        super().__init__(feed, markets, channels, options, credentials)
        self._live: set[str] = set()
        # Learnt from frames, when listening.
        self._seen: set[str] = set()
        self._asked: dict[str, _Asked] = {}
        self._asked_at: dict[str, int] = {}
        self._acknowledged: set[str] = set()
        self._refusals = 0
        self._losing = False

    @abstractmethod
    def _subscription(self, channel: str, markets: Sequence[str], *, subscribe: bool) -> list[bytes]:
        """The commands that begin or end a subscription of these markets; `channel` is one of our words."""

    def _begin_stream(self) -> None:
        """Queue what a new connection needs beside the feed's own channels."""

    # -- what is asked -------------------------------------------------------------------------------------

    def live_markets(self) -> set[str]:
        """Markets whose book is current, as far as the connection can tell."""
        return set(self._live)

    def stale_markets(self) -> set[str]:
        """Markets whose book was asked for (or seen, when listening) and is not current."""
        return self._wanted() - self._live

    def _wanted(self) -> set[str]:
        books = set(self._seen)
        if BOOK in self.channels:
            books |= self.markets - self.rejected
        return books

    def _subscribe_all(self) -> None:
        if self.options.listening:
            return
        self._begin_stream()
        self._subscribe(sorted(self.markets - self.rejected))

    def _subscribe(self, markets: list[str]) -> None:
        for channel in self.channels:
            if channel == BOOK:
                self._ask(markets, 1, again=False)
            else:
                for chunk in _chunks(markets, self.CHUNK):
                    self._commands += self._subscription(channel, chunk, subscribe=True)

    def _ask(self, markets: list[str], attempts: int, *, again: bool) -> None:
        """Subscribe to books; `again`: end the subscription that may still be there, or no snapshot would come."""
        size = max(1, min(self.CHUNK, -(-len(markets) // 8) if attempts > 1 else self.CHUNK))
        for chunk in _chunks(markets, 1 if attempts == MOST_ATTEMPTS else size):
            if again:
                self._commands += self._subscription(BOOK, chunk, subscribe=False)
            self._commands += self._subscription(BOOK, chunk, subscribe=True)
        # The shell sends no faster than the venue allows, and rather slower.
        paced = round(1.5 * len(self._commands) / self.COMMANDS_PER_S * SECOND)
        for market in markets:
            self._asked[market] = _Asked(self._now + self.recovery_ns + paced, attempts)
            self._asked_at[market] = self._now

    def _recover(self) -> None:
        """Ask for every book that is missing, as far as it may be asked for by now."""
        if self.options.listening or not self.session or BOOK not in self.channels:
            return
        due = [
            market
            for market in sorted(self._wanted() - self._live - self._asked.keys())
            if self._now - self._asked_at.get(market, -SPACING) >= SPACING
        ]
        if due:
            self.tally.recoveries += 1
            self._ask(due, 1, again=True)

    # -- what comes ----------------------------------------------------------------------------------------

    def _arrived(self, market: str) -> None:
        """A good snapshot of this market is here."""
        self._asked.pop(market, None)
        self._live.add(market)
        if self._losing and not self.stale_markets():
            self._losing = False
            self._incident("recovered", f"{len(self._live)} books are current")

    def _lost(self, markets: Collection[str], reason: str) -> None:
        """These books are not current any more, and are asked for."""
        self._stale(markets, reason)
        self._losing = True
        self._recover()

    def _unsubscribed(self, market: str) -> None:
        """The venue says that this subscription has ended. Of one that we ended to begin anew, that is no news."""
        self._acknowledged.discard(market)
        if market in self._live:
            self._lost((market,), "unsubscribed")

    def _stale(self, markets: Collection[str], reason: str) -> None:
        gone = self._live.intersection(markets)
        self._events.extend(BookStale(market, self.feed, reason, self._ts) for market in sorted(gone))
        self._live -= gone

    def _refused(self, markets: Collection[str], why: str) -> None:
        """The venue said no to a command, naming these markets or none."""
        self._refusals += 1
        self._incident("error", why)
        if markets:
            self._reject(markets, why)

    def _reject(self, markets: Collection[str], why: str) -> None:
        self.rejected |= set(markets)
        self._incident("rejected", f"{_named(sorted(markets))}: {why}")
        self._stale(markets, "rejected")
        for market in markets:
            self._asked.pop(market, None)
        self._changed()
        # The command that named them may have been refused as a whole. That was not the others' fault.
        for asked in self._asked.values():
            asked.deadline = min(asked.deadline, self._now)
            asked.attempts = 0

    def _changed(self) -> None:
        """The set of markets that are followed has changed."""

    # -- the shell's other calls -----------------------------------------------------------------------------

    def request_snapshot(self, market: str, now: int) -> None:
        """A book keeper has lost its way: drop what comes for this market and get a snapshot."""
        # No wall time comes with the call; that of the last one has gone on since.
        self._begin(self._ts + max(0, now - self._now), now)
        self._live.discard(market)
        self._losing = True
        self._recover()

    def tick(self, ts: int, now: int) -> list[Event]:
        """Judge what is overdue. Called a few times in `recovery_s`."""
        self._begin(ts, now)
        if self.session and not self.options.listening:
            self._judge()
            self._recover()
        return self._events

    def _judge(self) -> None:
        overdue = sorted(market for market, asked in self._asked.items() if self._now >= asked.deadline)
        if not overdue:
            return
        self._incident("overdue", f"no snapshot of {_named(overdue)}")
        ended = [market for market in overdue if self._asked[market].attempts >= MOST_ATTEMPTS]
        serving = bool(self._live or self._refusals)
        refused = {market for market in ended if market not in self._acknowledged and serving}
        if refused:
            self._reject(refused, "no snapshot came, and the venue did not acknowledge it")
        if given_up := sorted(set(ended) - refused):
            self.broken = f"no snapshot of {_named(given_up)}"
            return
        again: dict[int, list[str]] = {}
        for market in overdue:
            if market in self._asked:
                again.setdefault(self._asked[market].attempts + 1, []).append(market)
        for attempt, markets in again.items():
            self.tally.resubscribed += 1
            self._ask(markets, attempt, again=True)

    def follow(self, markets: Iterable[str], ts: int, now: int) -> list[Event]:
        """Follow these markets, too; connected or not."""
        self._begin(ts, now)
        wanted = set(markets)
        added = sorted(wanted - self.markets | wanted & self.rejected)
        self.rejected -= wanted
        self.markets |= wanted
        self._changed()
        if self.session and not self.options.listening and added:
            self._subscribe(added)
        return self._events

    def unfollow(self, markets: Iterable[str], ts: int, now: int) -> list[Event]:
        """Follow these markets no more: their books are stale (`unfollowed`)."""
        self._begin(ts, now)
        gone = set(markets) & self.markets
        if self.session and not self.options.listening:
            for channel in self.channels:
                for chunk in _chunks(sorted(gone - self.rejected), self.CHUNK):
                    self._commands += self._subscription(channel, chunk, subscribe=False)
        self._stale(gone, "unfollowed")
        self.markets -= gone
        self.rejected -= gone
        self._seen -= gone
        for market in gone:
            self._asked.pop(market, None)
            self._asked_at.pop(market, None)
        self._changed()
        return self._events

    def _forget(self) -> None:
        super()._forget()
        self._live.clear()
        self._seen.clear()
        self._asked.clear()
        self._asked_at.clear()
        self._acknowledged.clear()
        self._refusals = 0
        self._losing = False


def _named(markets: Sequence[str]) -> str:
    """Their names, as many as somebody would read."""
    more = f" and {len(markets) - _MOST_NAMED} more" if len(markets) > _MOST_NAMED else ""
    return ", ".join(markets[:_MOST_NAMED]) + more


def _chunks(markets: Sequence[str], size: int) -> list[Sequence[str]]:
    return [markets[at : at + size] for at in range(0, len(markets), size)]
