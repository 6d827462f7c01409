"""What is stored of what was told, or found out."""

from __future__ import annotations

import hashlib
from typing import Any
from uuid import uuid4

import msgspec
from msgspec.structs import replace

from actors.thresholds.intake.messages import Found
from actors.thresholds.outcomes import usable
from protocols.control import Refused
from protocols.threshold_outcomes import IntakeRow, ReportTrade
from protocols.thresholds import GatedSignal


def check(request: ReportTrade) -> None:
    """Raise Refused `invalid`, with the field, for what cannot be a trade."""
    if not request.user_id:
        raise Refused("invalid", "user_id: expected text, got an empty one", "user_id")
    if not request.symbol:
        raise Refused("invalid", "symbol: expected text, got an empty one", "symbol")
    if not usable(request.outcome):
        raise Refused("invalid", f"outcome: expected a return as a share, got {request.outcome}", "outcome")
    if request.opened_at and request.closed_at and request.opened_at > request.closed_at:
        raise Refused("invalid", "closed_at: expected a time after opened_at", "closed_at")


def id_of(request: ReportTrade) -> str:
    """An id made of what was told. Without a time two trades may be alike: then it is a new one each time."""
    if not request.closed_at:
        return f"trade-{uuid4().hex}"
    return f"trade-{hashlib.blake2b(msgspec.json.encode(request), digest_size=12).hexdigest()}"


def columns(signal: GatedSignal | None, followed: IntakeRow | None) -> dict[str, Any]:
    """What the rules read, from what was told, or from what was followed."""
    if signal is not None:
        found = {name: getattr(signal, name) for name in ("confidence", "rsi", "macd", "change_percent", "volume")}
        return {"action": signal.action or "", **found}
    if followed is not None:
        names = ("action", "confidence", "rsi", "macd", "change_percent", "volume", "verdict")
        return {name: getattr(followed, name) for name in names}
    return {}


def why_not(request: ReportTrade, row: IntakeRow, done: bool) -> str:
    """Why nothing is learned from a trade. `done`: the outcome of its signal is known."""
    if done:
        return "the outcome of this signal is known already; the trade counts for the performance"
    if request.signal is None and request.signal_id:
        return f"the signal {request.signal_id!r} is not followed, and the trade does not say what it was"
    if request.signal is None:
        return "without the signal that was traded nothing can be learned from the trade; it counts for the performance"
    if row.action not in ("BUY", "SELL"):
        return "signal.action: expected BUY or SELL, so that something can be learned"
    return "the signal has none of the fields that the rules read"


def after(found: Found) -> IntakeRow:
    """The row that ends the following of a signal."""
    row = found.row
    kind = "closed" if found.traded else "resolved"
    return replace(
        row,
        kind=kind,
        source=row.source if found.traded else "market",
        outcome=found.outcome,
        why="traded: its outcome comes as a trade" if found.traded else found.why,
        ts_resolved=0 if found.traded else row.ts_due,
        marks=found.marks or row.marks,
        signal_seq=0,
    )
