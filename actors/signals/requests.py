"""What is said to the hub inside its own capability, and by the hub to itself."""

from __future__ import annotations

import msgspec

from actors.signals.expiry import OpenSignal
from protocols.control import Message, Request
from protocols.signals import Action, SignalUpdated, StoredSignal, StoredUpdate, UpdateSignal


class ApplyUpdate(Request[SignalUpdated], frozen=True, gc=False, tag="apply_update"):
    """An update of a signal that was found in the database, with the last update there."""

    update: UpdateSignal
    known: StoredSignal
    last: StoredUpdate | None


class ExpireDue(Message, frozen=True, gc=False, tag="expire_due"):
    """Signals may have expired."""


class TakeOpen(Message, frozen=True, gc=False, tag="take_open"):
    """Signals that were open before the hub's memory begins, as the database has them with updates up to a place."""

    updates_upto: int
    signals: tuple[OpenSignal, ...]


class SignalOutcome(Message, frozen=True, gc=False, tag="signal_outcome"):
    """A signal and its newest update; None: there is none."""

    stored: StoredSignal
    last: StoredUpdate | None


class GetSignalOutcome(Request[SignalOutcome], frozen=True, gc=False, tag="get_signal_outcome"):
    """Asks the hub for a signal and what became of it. Refused `not_found`, `unavailable`."""

    signal_id: str


class SubmitTestSignal(Request[StoredSignal], frozen=True, gc=False, kw_only=True, tag="submit_test_signal"):
    """Asks the hub to make a signal by itself, marked `synthetic`, and to store it.

    Refused `not_found` unless `signals.test_endpoints` is true, and as SubmitSignal is.
    """

    symbol: str
    exchange: str
    strategy_id: str
    action: Action
    confidence: float
    validity_s: float | None = None
    metadata: msgspec.Raw = msgspec.Raw(b"{}")
