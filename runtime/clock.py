"""Time as the node's actors see it. It is injected: `self.clock`, never `time.time()`.

Wall time is integer nanoseconds since the Unix epoch, UTC; monotonic time is integer nanoseconds since some
moment of this run. Both only ever go forward within a run, so that what was stamped first never looks
younger. How far a venue's clock is from ours is the venue session's business.

A `VirtualClock` is moved by a replay or a backtest, and by nothing else: asks, links and the database keep
the real deadlines that trio gives them.
"""

from __future__ import annotations

import heapq
import time
from collections.abc import Callable
from itertools import count
from typing import Protocol

import trio

SECOND = 1_000_000_000


class Clock(Protocol):
    """What reads time."""

    def now(self) -> int:
        """Wall time, nanoseconds since the Unix epoch, UTC. Never goes backwards."""

    def monotonic(self) -> int:
        """Nanoseconds since some moment of this run, for durations. Never goes backwards."""

    async def sleep_until(self, moment: int) -> None:
        """Wait until `now()` has reached `moment`. Always a checkpoint."""


class SystemClock:
    """The machine's clock: the wall time of one moment (the anchor), and monotonic time since then.

    A step of the machine's wall clock (an administrator's, a first synchronisation's, a suspended
    machine's) does not show in `now()` until `catch_up` is called, which follows it forwards only. Slewing,
    as NTP does it, shows at once: it bends both clocks.
    """

    __slots__ = ("_monotonic", "_offset", "_wall")

    def __init__(
        self, wall: Callable[[], int] = time.time_ns, monotonic: Callable[[], int] = time.monotonic_ns
    ) -> None:
        self._wall = wall
        self._monotonic = monotonic
        self._offset = wall() - monotonic()

    def now(self) -> int:
        """Wall time, nanoseconds since the Unix epoch, UTC."""
        return self._monotonic() + self._offset

    def monotonic(self) -> int:
        """The machine's monotonic clock, nanoseconds."""
        return self._monotonic()

    def skew(self) -> int:
        """By how many nanoseconds the machine's wall clock is ahead of `now()`; negative when it was set
        back."""
        return self._wall() - self.now()

    def catch_up(self) -> int:
        """Follow the machine's wall clock if it is ahead; returns the nanoseconds skipped. Set back, we
        wait for it."""
        ahead = max(0, self.skew())
        self._offset += ahead
        return ahead

    async def sleep_until(self, moment: int) -> None:
        """Wait until `now()` has reached `moment`, to trio's precision."""
        await trio.sleep(max(0, moment - self.now()) / SECOND)


class Alarm:
    """A callback of a `VirtualClock` that is still to come."""

    __slots__ = ("_call", "moment")

    def __init__(self, moment: int, call: Callable[[], None]) -> None:
        self.moment = moment
        self._call: Callable[[], None] | None = call

    def cancel(self) -> None:
        """It will not ring. Without effect when it has rung."""
        self._call = None

    def _ring(self) -> None:
        call, self._call = self._call, None
        if call is not None:
            call()


class VirtualClock:
    """A clock that stands still until it is moved, and rings what is due on the way, each at its own moment.

    Alarms ring in the order of their moments, those of one moment in the order in which they were set. What
    an alarm raises reaches who moved the clock, which then stands at that alarm's moment; the others are
    kept.
    """

    def __init__(self, start: int = 0) -> None:
        self._start = start
        self._now = start
        self._alarms: list[tuple[int, int, Alarm]] = []
        self._order = count()
        self._moving = False

    def now(self) -> int:
        """Virtual wall time, nanoseconds since the Unix epoch."""
        return self._now

    def monotonic(self) -> int:
        """Nanoseconds since the clock's start."""
        return self._now - self._start

    def set(self, moment: int) -> None:
        """Move to `moment`. Raises `ValueError` if that is in the past."""
        if moment < self._now:
            raise ValueError(f"a clock cannot go back from {self._now} to {moment}")
        self._move(moment)

    def advance(self, nanoseconds: int) -> None:
        """Move on by so much. Raises `ValueError` if it is negative."""
        if nanoseconds < 0:
            raise ValueError(f"a clock cannot go back by {-nanoseconds} ns")
        self._move(self._now + nanoseconds)

    def reach(self, moment: int) -> None:
        """Move to `moment`, or stay if it has passed (events of a recording may be older than their
        predecessors)."""
        if moment > self._now:
            self._move(moment)

    def enter(self, moment: int) -> None:
        """Be at `moment`, if it has not passed, without ringing what is due at it: that rings with the next move.

        What is due before it must have rung. Raises `ValueError` if something has not.
        """
        due = self.next_alarm()
        if due is not None and due < moment:
            raise ValueError(f"an alarm is due at {due}, before {moment}")
        self._now = max(self._now, moment)

    def at(self, moment: int, call: Callable[[], None]) -> Alarm:
        """Have `call` called when the clock gets to `moment`; with the next move if that has passed."""
        alarm = Alarm(moment, call)
        heapq.heappush(self._alarms, (moment, next(self._order), alarm))
        return alarm

    def next_alarm(self) -> int | None:
        """When the next alarm is due, for who moves from event to event."""
        while self._alarms and self._alarms[0][2]._call is None:
            heapq.heappop(self._alarms)
        return self._alarms[0][0] if self._alarms else None

    async def sleep_until(self, moment: int) -> None:
        """Wait until the clock has been moved to `moment`; the sleeper runs once who moved it waits for
        something."""
        if moment <= self._now:
            await trio.lowlevel.checkpoint()
            return
        woken = trio.Event()
        alarm = self.at(moment, woken.set)
        try:
            await woken.wait()
        finally:
            alarm.cancel()

    def _move(self, moment: int) -> None:
        if self._moving:
            raise RuntimeError("an alarm cannot move the clock that rings it")
        self._moving = True
        try:
            while (due := self.next_alarm()) is not None and due <= moment:
                alarm = heapq.heappop(self._alarms)[2]
                self._now = max(self._now, due)
                alarm._ring()
            self._now = moment
        finally:
            self._moving = False
