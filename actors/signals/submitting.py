"""Submitting signals: in order, each until the hub has stored it, while whoever makes them goes on.

A core: what it wants of its actor is said here, and it knows neither the loop nor the runtime.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Any, Final, Protocol

from actors.signals.outbox import GivenUp, Outbox
from protocols.control import Refused, Unknown
from protocols.nanos import NANO
from protocols.paths import HUB
from protocols.signals import Signal, SubmitSignal

ASK_S: Final = 2.0
OUTBOX: Final = 1_000


class Hub(Protocol):
    """A ref: `ActorRef` has this shape."""

    def ask(self, request: SubmitSignal, timeout: float) -> Awaitable[object]:
        """Ask and wait."""


class Time(Protocol):
    """A clock: the node's has this shape."""

    def now(self) -> int:
        """Wall time, nanoseconds."""

    def sleep_until(self, moment: int) -> Awaitable[None]:
        """Wait until `now()` has reached `moment`."""


class Acting(Protocol):
    """Who submits: `Actor` has this shape."""

    @property
    def clock(self) -> Time:
        """The node's clock."""

    @property
    def logger(self) -> Any:
        """A structlog logger."""

    def lookup(self, path: str) -> Hub:
        """The ref of a path."""

    def spawn(self, function: Callable[[], Awaitable[object]], *, name: str | None = None) -> None:
        """Run an owned task."""


class Submitter:
    """The signals of one actor on their way to the hub. `lost` is told, in words, of each that is given up."""

    def __init__(self, actor: Acting, lost: Callable[[str], None], capacity: int = OUTBOX) -> None:
        self.outbox = Outbox(capacity)
        self._actor = actor
        self._lost = lost
        self._delivering = False
        self._waiting: list[Callable[[], object]] = []

    def submit(self, signal: Signal) -> None:
        """Queue a signal for the hub. Never waits."""
        lost = self.outbox.add(signal)
        if lost is not None:
            self._note(lost)
        if not self._delivering:
            self._delivering = True
            self._actor.spawn(self._deliver, name="outbox")

    def when_empty(self, call: Callable[[], object]) -> None:
        """Call it once no signal waits for the hub, which may be now."""
        if self._delivering:
            self._waiting.append(call)
        else:
            call()

    async def _deliver(self) -> None:
        hub, clock, outbox = self._actor.lookup(HUB), self._actor.clock, self.outbox
        while outbox:
            signal = outbox.head
            try:
                await hub.ask(SubmitSignal(signal), ASK_S)
            except (Refused, Unknown) as outcome:
                step = outbox.reject(signal, outcome, clock.now())
                if isinstance(step, GivenUp):
                    self._note(step)
                elif step:
                    await clock.sleep_until(clock.now() + round(step * NANO))
            else:
                outbox.accept(signal)
        self._delivering = False
        waiting, self._waiting = self._waiting, []
        for call in waiting:
            call()

    def _note(self, lost: GivenUp) -> None:
        self._actor.logger.error("a signal is given up", signal_id=lost.signal.signal_id, why=lost.why)
        self._lost(f"the signal {lost.signal.signal_id} was given up: {lost.why}")
