"""Signals on their way to the hub: in order, each until it is accepted, refused for good, or expired.

What to do after an outcome is decided here; waiting and asking is the runner's. After an outcome that nobody knows the
same signal goes again, with the same id, so that the hub recognises it.
"""

from __future__ import annotations

from collections import deque
from typing import Final

import msgspec

from actors.signals.ids import next_id
from protocols.control import Refused, Unknown
from protocols.signals import Signal

FOR_GOOD: Final = frozenset({"invalid", "too_large", "signal_expired", "quarantined", "not_handled"})
"""Refusals that the same signal would meet again."""
FIRST_DELAY_S: Final = 0.05
MOST_DELAY_S: Final = 1.0


class GivenUp(msgspec.Struct, frozen=True):
    """A signal that will not be stored, and why."""

    signal: Signal
    why: str


class Outbox:
    """At most `capacity` waiting signals; one more, and the oldest is given up, which is the next to expire."""

    def __init__(self, capacity: int) -> None:
        self.capacity = capacity
        self.accepted = self.given_up = self.retries = 0
        self._waiting: deque[Signal] = deque()
        self._attempts = 0

    def __len__(self) -> int:
        return len(self._waiting)

    @property
    def head(self) -> Signal:
        """The signal to be submitted now. Raises IndexError if none waits."""
        return self._waiting[0]

    def add(self, signal: Signal) -> GivenUp | None:
        """Queue a signal. Returns the one that had to make room."""
        lost = None
        if len(self._waiting) >= self.capacity:
            lost = self._give_up(f"the hub has not taken {self.capacity} signals")
        self._waiting.append(signal)
        return lost

    def accept(self, signal: Signal) -> None:
        """The hub has stored a signal."""
        if self._waiting and self._waiting[0] is signal:
            self._waiting.popleft()
            self._attempts = 0
        self.accepted += 1

    def reject(self, signal: Signal, outcome: Refused | Unknown, now: int) -> float | GivenUp:
        """The hub has not stored a signal, or nobody knows: how long to wait before the head goes (again), in seconds.

        Or the signal that is given up.
        """
        if not self._waiting or self._waiting[0] is not signal:
            return 0.0  # it made room meanwhile
        if isinstance(outcome, Refused) and outcome.code in FOR_GOOD:
            return self._give_up(f"{outcome.field}: {outcome.message}" if outcome.field else outcome.message)
        if signal.ts_expires is not None and signal.ts_expires <= now:
            return self._give_up(f"it expired before the hub took it ({outcome})")
        self._attempts += 1
        self.retries += 1
        if isinstance(outcome, Refused) and outcome.code == "id_taken":
            again = next_id(signal.signal_id, self._attempts)
            self._waiting[0] = msgspec.structs.replace(signal, signal_id=again)
            return 0.0
        return float(min(MOST_DELAY_S, FIRST_DELAY_S * 2.0 ** min(self._attempts - 1, 16)))

    def _give_up(self, why: str) -> GivenUp:
        self.given_up += 1
        self._attempts = 0
        return GivenUp(self._waiting.popleft(), why)
