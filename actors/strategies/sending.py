"""What every actor that runs a strategy does with its signals: in order, each until the hub has stored it."""

from __future__ import annotations

from typing import Final

import trio

from actors.strategies.outbox import GivenUp, Outbox
from protocols.control import Refused, Unknown
from protocols.paths import HUB
from protocols.signals import Signal, SubmitSignal
from runtime import Actor

ASK_S: Final = 2.0
OUTBOX: Final = 1_000


class SignalSender(Actor):
    """Sends signals to the hub from a task of its own, so that a strategy goes on while the hub is away.

    A subclass calls `begin_sending` in its `on_start`. `errors` and `last_error` are for its own mishaps, too.
    """

    def __init__(self) -> None:
        self.outbox = Outbox(OUTBOX)
        self.errors = 0
        self.last_error = ""

    def begin_sending(self) -> None:
        """Send from now on what `send` is given."""
        self._waiting = trio.Event()
        self._emptied = trio.Event()
        self.spawn(self._deliver, name="outbox")

    async def until_sent(self) -> None:
        """Wait until no signal waits for the hub."""
        while self.outbox:
            if self._emptied.is_set():
                self._emptied = trio.Event()
            await self._emptied.wait()

    def send(self, signal: Signal) -> None:
        """Queue a signal for the hub."""
        lost = self.outbox.add(signal)
        if lost is not None:
            self._note_loss(lost)
        self._waiting.set()

    def note_error(self, text: str) -> None:
        """Count an error; the last one is shown in the status."""
        self.errors += 1
        self.last_error = text

    async def _deliver(self) -> None:
        hub, outbox = self.lookup(HUB), self.outbox
        while True:
            if not outbox:
                self._emptied.set()
                self._waiting = trio.Event()
                await self._waiting.wait()
                continue
            signal = outbox.head
            try:
                await hub.ask(SubmitSignal(signal), ASK_S)
            except (Refused, Unknown) as outcome:
                step = outbox.reject(signal, outcome, self.clock.now())
                if isinstance(step, GivenUp):
                    self._note_loss(step)
                elif step:
                    await trio.sleep(step)
            else:
                outbox.accept(signal)

    def _note_loss(self, lost: GivenUp) -> None:
        self.logger.error("a signal is given up", signal_id=lost.signal.signal_id, why=lost.why)
        self.note_error(f"the signal {lost.signal.signal_id} was given up: {lost.why}")
