"""The core of a channel: what is read next, what is sent next, and how far everything has been delivered.

The hub's two streams are the outbox; a channel keeps only its place in each. It goes through them in rounds: the ends
of both streams are noted at one moment, then comes what is left of the signals up to that end, then what is left of
the updates. An update is stored after its signal, so at its turn its signal has been delivered, whatever the clock did.

The place moves when the target has confirmed, never before, so after any end the same is sent again: at least once,
in the order of the streams and so in order per symbol.

    while (step := outbox.next(ends)) is not None:
        a Read:    ask the hub, and `take` the page
        a tuple:   send these, and say `delivered`, `rejected` or `failed`

What a target refuses for good is looked for by halving the batch. Alone, it is tried `REJECTIONS` times, and then left
out: it is told (`Undelivered`), and the channel goes on.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from typing import Final

import msgspec

from protocols.signals import (
    SIGNAL_UPDATES,
    SIGNALS,
    SignalPage,
    SignalUpdatePage,
    StoredSignal,
    StoredUpdate,
)

REJECTIONS: Final = 3
"""So often a message has to be refused for good, sent alone, before it is left out."""

Item = StoredSignal | StoredUpdate


class Position(msgspec.Struct, frozen=True):
    """Places in both streams: everything up to them."""

    signals: int = 0
    updates: int = 0


class Read(msgspec.Struct, frozen=True):
    """Ask the hub for this part of a stream."""

    stream: str
    from_seq: int
    limit: int


class Undelivered(msgspec.Struct, frozen=True):
    """A message that was left out, why, and when (ns)."""

    stream: str
    seq: int
    signal_id: str
    symbol: str
    reason: str
    ts: int


class Delays(msgspec.Struct, frozen=True):
    """The wait after a failure in seconds: `first_s`, doubled each time up to `most_s`, shortened by up to a half at
    random, so that many senders do not come back together."""

    first_s: float = 0.2
    most_s: float = 30.0

    def after(self, failures: int, chance: float) -> float:
        """The wait after so many failures in a row (from 1); `chance` is random in [0, 1)."""
        whole = min(self.most_s, self.first_s * 2.0 ** min(failures - 1, 40))
        return whole * (1 - chance / 2)


class Outbox:
    """A channel's way through the streams. Holds at most `batch` messages that have not been delivered.

    `chance` gives random numbers in [0, 1).
    """

    def __init__(self, position: Position, *, batch: int, delays: Delays, chance: Callable[[], float]) -> None:
        self.position = position
        """Everything up to here is delivered, left out or stored nowhere any more."""
        self.batch = batch
        self.limit = batch
        """How many are sent together now."""
        self.delivered_count = self.left_out = self.missing = 0
        self.failures = 0
        """Failures in a row."""
        self.rejections = 0
        """How often the first message was refused for good, alone."""
        self._delays = delays
        self._chance = chance
        self._waiting: deque[Item] = deque()
        self._read = position
        self._round = position

    def __len__(self) -> int:
        return len(self._waiting)

    def behind(self, ends: Position) -> int:
        """How many places of both streams are still to come."""
        return ends.signals - self.position.signals + ends.updates - self.position.updates

    def next(self, ends: Position) -> Read | tuple[Item, ...] | None:
        """What to do, while the streams end at `ends`: read, send these, or (None) wait for more."""
        if not self._waiting and self._read == self._round:
            if ends == self._round:
                return None
            self._round = ends
        room = self.limit - len(self._waiting)
        if room > 0:
            if self._read.signals < self._round.signals:
                return Read(SIGNALS, self._read.signals + 1, min(room, self._round.signals - self._read.signals))
            if self._read.updates < self._round.updates:
                return Read(SIGNAL_UPDATES, self._read.updates + 1, min(room, self._round.updates - self._read.updates))
        return tuple(self._waiting)[: self.limit]

    def take(self, page: SignalPage | SignalUpdatePage) -> bool:
        """Take what the hub answered to a Read. False: the page says nothing of the place that was asked for."""
        of_signals = isinstance(page, SignalPage)
        before = self._read.signals if of_signals else self._read.updates
        if page.next_seq <= before + 1:
            return False
        items: tuple[Item, ...] = page.signals if isinstance(page, SignalPage) else page.updates
        self._waiting.extend(item for item in items if before < item.seq < page.next_seq)
        self.missing += sum(span.last - max(span.first, before + 1) + 1 for span in page.missing)
        if of_signals:
            self._read = Position(page.next_seq - 1, self._read.updates)
        else:
            self._read = Position(self._read.signals, page.next_seq - 1)
        self._move(())
        return True

    def delivered(self, count: int) -> None:
        """The target has confirmed the first `count` messages."""
        done = tuple(self._waiting.popleft() for _ in range(count))
        self.delivered_count += count
        self.failures = self.rejections = 0
        self.limit = min(self.batch, self.limit * 2)
        self._move(done)

    def failed(self) -> float:
        """Nobody knows whether the target has them: how long to wait, in seconds."""
        self.failures += 1
        return self._delays.after(self.failures, self._chance())

    def rejected(self, count: int, reason: str, now: int) -> float | Undelivered:
        """The target refuses these messages for good: how long to wait before the next attempt, or what is left out."""
        if count > 1:
            self.limit = count // 2
            return 0.0
        self.rejections += 1
        if self.rejections < REJECTIONS:
            return self._delays.after(self.rejections, self._chance())
        item = self._waiting.popleft()
        self.left_out += 1
        self.failures = self.rejections = 0
        self._move((item,))
        if isinstance(item, StoredSignal):
            return Undelivered(SIGNALS, item.seq, item.signal.signal_id, item.signal.symbol, reason, now)
        return Undelivered(SIGNAL_UPDATES, item.seq, item.update.signal_id, item.symbol, reason, now)

    def rewind(self, position: Position) -> None:
        """The target has lost what came after `position`: go on from there."""
        self._waiting.clear()
        self.position = self._read = self._round = Position(
            min(position.signals, self.position.signals), min(position.updates, self.position.updates)
        )
        self.rejections = 0

    def _move(self, done: tuple[Item, ...]) -> None:
        """Move the position over what is done, and over what is missing behind it."""
        signals, updates = self.position.signals, self.position.updates
        for item in done:
            if isinstance(item, StoredSignal):
                signals = item.seq
            else:
                updates = item.seq
        # Signals wait in front of updates.
        if not self._waiting or isinstance(self._waiting[0], StoredUpdate):
            signals = self._read.signals
        if not self._waiting or isinstance(self._waiting[-1], StoredSignal):
            updates = self._read.updates
        self.position = Position(signals, updates)
