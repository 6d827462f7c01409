"""One task per node owns every deadline of an ask and every timer of an actor.

Ask deadlines lie in buckets (a set per rounded time), because nearly all of them are settled long before: adding and
removing one is a set operation. Timers are exact and lie in the same heap of times.
"""

from __future__ import annotations

import heapq
import math
from collections.abc import Callable
from itertools import count
from typing import TYPE_CHECKING

import trio

from protocols.control import Message

if TYPE_CHECKING:
    from runtime.actor_cell import ActorCell
    from runtime.mailbox import Ask

FINE_S = 0.001
COARSE_S = 0.05
"""Ask deadlines are rounded up to these; the coarse one from a quarter of a second on."""


class Timer:
    """A message that an actor will be told, once or periodically. It dies with the actor's incarnation."""

    __slots__ = ("cell", "due", "interval", "live", "message", "pending")

    def __init__(self, cell: ActorCell, message: Message, due: float, interval: float | None) -> None:
        self.cell = cell
        self.message = message
        self.due = due
        self.interval = interval
        self.live = True
        self.pending = False
        """Fired and not yet handled; a periodic timer that fires again meanwhile merges."""

    def cancel(self) -> None:
        """Never fire again; also forgets a firing that has not been handled yet."""
        self.live = False
        self.cell.forget_timer(self)


class Timers:
    """The heap of times, and the task that waits for the earliest."""

    def __init__(self) -> None:
        self._heap: list[tuple[float, int, Timer | set[Ask] | Callable[[], None]]] = []
        self._buckets: dict[float, set[Ask]] = {}
        self._order = count()
        self._scope: trio.CancelScope | None = None
        self._next = math.inf

    def add_ask(self, ask: Ask, timeout: float) -> None:
        """Settle `ask` when its deadline has passed."""
        grain = FINE_S if timeout < 0.25 else COARSE_S
        when = math.ceil(ask.deadline / grain) * grain
        bucket = self._buckets.get(when)
        if bucket is None:
            bucket = self._buckets[when] = set()
            self._push(when, bucket)
        bucket.add(ask)
        ask.bucket = bucket

    def add(self, timer: Timer) -> None:
        """Fire `timer` when it is due."""
        self._push(timer.due, timer)

    def call_at(self, when: float, wake: Callable[[], None]) -> None:
        """Call `wake` (which must not raise) once, at `when` on trio's clock."""
        self._push(when, wake)

    def _push(self, when: float, what: Timer | set[Ask] | Callable[[], None]) -> None:
        heapq.heappush(self._heap, (when, next(self._order), what))
        if when < self._next and self._scope is not None:
            self._next = when
            self._scope.cancel()

    async def run(self) -> None:
        """Wait for the earliest time, fire what is due, for ever."""
        while True:
            now = trio.current_time()
            while self._heap and self._heap[0][0] <= now:
                when, _, what = heapq.heappop(self._heap)
                self._fire(when, what, now)
            self._next = self._heap[0][0] if self._heap else math.inf
            with trio.CancelScope(deadline=self._next) as self._scope:
                await trio.sleep_forever()
            self._scope = None

    def _fire(self, when: float, what: Timer | set[Ask] | Callable[[], None], now: float) -> None:
        if isinstance(what, Timer):
            if what.live:
                what.cell.tick(what)
                if what.interval is None:
                    what.live = False
                else:
                    # Missed beats are not made up for: the next one is the first that lies ahead.
                    missed = math.floor((now - what.due) / what.interval)
                    what.due += (missed + 1) * what.interval
                    self._push(what.due, what)
        elif isinstance(what, set):
            del self._buckets[when]
            for ask in tuple(what):
                ask.expire()
        else:
            what()
