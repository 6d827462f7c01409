"""When a change of a Binance book may be applied: the joining rules of spot and of futures.

Changes are held back until a snapshot has come that they can be joined to, and then judged one by one. The two rules
look alike and are not:

* Spot (`web-socket-streams.md`, "How to manage a local order book correctly"). Update ids count one symbol without a
  hole. A snapshot with `lastUpdateId` L joins an event if `U <= L + 1 <= u`; each event after that begins at or before
  the id that follows the last one, and so `U > id + 1` is a gap.
* Futures ("How to manage a local order book correctly" of USDⓈ-M and COIN-M). Ids are shared by many symbols, so one
  symbol's have holes, and each event names its predecessor: `pu` must be the `u` of the event before. The venue's
  words for the join are `U <= L <= u`. It is put as `pu <= L <= u` here, which says the same of an event that spans L
  and also joins the first event after a snapshot that was taken between two (nothing happened in `pu < id < U`).

An event at or below the book's id says nothing new, as quantities are absolute: it is left out.
"""

from __future__ import annotations

import enum
from abc import ABC, abstractmethod
from collections import deque
from typing import Final

from protocols.venues.binance import DepthUpdate

HELD: Final = 1_000
"""Events that are held for a snapshot, of each book: 100 s at ten a second. A snapshot answers within seconds."""


class Verdict(enum.Enum):
    """What is to be done with an event. A gap is held, too: it may be the first one after the next snapshot.

    `KNOWN`: the snapshot, which came before it, has it already.
    """

    APPLY = "apply"
    HOLD = "hold"
    KNOWN = "known"
    REPEATED = "repeated"
    GAP = "gap"


class DepthBook(ABC):
    """What is known of one symbol's book: how far it is, what is held for it, and how its snapshot is being got.

    `last`: the update id that the book has reached. `joined`: whether an event has been joined to the snapshot.
    `seen`: the highest id of an event that is no longer known. `gap_after`: where the last hole began.
    """

    __slots__ = (
        "attempts",
        "gap_after",
        "held",
        "joined",
        "last",
        "live",
        "made",
        "market",
        "not_before",
        "overflowed",
        "prefix",
        "seen",
        "session",
        "subscribed",
    )

    def __init__(self, market: str, prefix: str) -> None:
        self.market = market
        self.prefix = prefix
        self.session = f"{prefix}.0"
        self.made = 0
        self.live = False
        self.joined = False
        self.last = 0
        self.seen = 0
        self.held: deque[DepthUpdate] = deque(maxlen=HELD)
        self.overflowed = 0
        self.gap_after = 0
        self.subscribed = False
        self.not_before = 0
        self.attempts = 0

    @abstractmethod
    def follows(self, last: int, event: DepthUpdate) -> bool:
        """Whether the event goes on where the event that ended at `last` had ended."""

    @abstractmethod
    def joins(self, last: int, event: DepthUpdate) -> bool:
        """Whether an event that ends after `last` can be the first after a snapshot of `last`."""

    @abstractmethod
    def missing(self, last: int, event: DepthUpdate) -> int:
        """How many updates are known to be lost between them; at least 1."""

    def take(self, event: DepthUpdate) -> Verdict:
        """Judge an event. After GAP the book is no longer live."""
        if not self.live:
            return self._hold(event)
        if event.last <= self.last:
            return Verdict.REPEATED if self.joined else Verdict.KNOWN
        if self.joined:
            if not self.follows(self.last, event):
                return self._lose(event, self.last)
        elif not self.joins(self.last, event):
            return self._lose(event, self.last)
        self.joined = True
        self.last = event.last
        return Verdict.APPLY

    def _hold(self, event: DepthUpdate) -> Verdict:
        held = self.held
        if held:
            before = held[-1].last
            if event.last <= before:
                return Verdict.REPEATED
            if not self.follows(before, event):
                return self._lose(event, before)
            if len(held) == HELD:
                # The oldest goes: a snapshot that still needs it would be older than all that is held.
                self.overflowed += 1
        held.append(event)
        return Verdict.HOLD

    def _lose(self, event: DepthUpdate, after: int) -> Verdict:
        self.gap_after = after
        self.live = False
        self.overflowed += len(self.held)
        self.held.clear()
        self.held.append(event)
        return Verdict.GAP

    def join(self, last: int) -> list[DepthUpdate] | None:
        """The events to apply after a snapshot of `last`; the book is live then. None: it is older than what is held.

        What the snapshot already has is dropped; it is counted in `overflowed` with what fell out before.
        """
        held = self.held
        if max(last, held[-1].last if held else 0) < self.seen:
            return None
        if held and held[0].last > last and not self.joins(last, held[0]):
            return None
        kept = [event for event in held if event.last > last]
        self.overflowed += len(held) - len(kept)
        held.clear()
        self.made += 1
        self.session = f"{self.prefix}.{self.made}"
        self.live = True
        self.joined = bool(kept)
        self.last = kept[-1].last if kept else last
        return kept

    def forget(self) -> None:
        """Be stale, and hold nothing."""
        self.live = False
        self.seen = max(self.seen, self.last, self.held[-1].last if self.held else 0)
        self.overflowed += len(self.held)
        self.held.clear()

    def take_overflow(self) -> int:
        """Events that were dropped since this was last asked."""
        count, self.overflowed = self.overflowed, 0
        return count


class SpotBook(DepthBook):
    """The rule of spot."""

    __slots__ = ()

    def follows(self, last: int, event: DepthUpdate) -> bool:
        """It may begin before the next id, never after it."""
        return event.first <= last + 1

    def joins(self, last: int, event: DepthUpdate) -> bool:
        """It spans the id after the snapshot's."""
        return event.first <= last + 1

    def missing(self, last: int, event: DepthUpdate) -> int:
        """Ids count one by one."""
        return max(event.first - last - 1, 1)


class FuturesBook(DepthBook):
    """The rule of USD-M and COIN-M futures."""

    __slots__ = ()

    def follows(self, last: int, event: DepthUpdate) -> bool:
        """It names the event before."""
        return event.previous == last

    def joins(self, last: int, event: DepthUpdate) -> bool:
        """Nothing lies between the snapshot and it."""
        return event.previous is not None and event.previous <= last

    def missing(self, last: int, event: DepthUpdate) -> int:
        """Ids have holes: how many events there were cannot be known."""
        return 1
