"""What every actor that runs a strategy has: its signals on their way to the hub, and its mishaps."""

from __future__ import annotations

from actors.signals.outbox import Outbox
from actors.signals.submitting import Submitter
from protocols.signals import Signal
from runtime import Actor


class SignalSender(Actor):
    """Sends signals to the hub from a task of its own, so that a strategy goes on while the hub is away.

    `errors` and `last_error` are for the mishaps of a subclass, too.
    """

    def __init__(self) -> None:
        self.submitter = Submitter(self, self.note_error)
        self.errors = 0
        self.last_error = ""

    @property
    def outbox(self) -> Outbox:
        """What waits for the hub, and what became of the others."""
        return self.submitter.outbox

    def send(self, signal: Signal) -> None:
        """Queue a signal for the hub."""
        self.submitter.submit(signal)

    def note_error(self, text: str) -> None:
        """Count an error; the last one is shown in the status."""
        self.errors += 1
        self.last_error = text
