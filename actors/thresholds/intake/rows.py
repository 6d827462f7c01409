"""The rows of the intake: what is stored of a signal that is followed, of a trade, of what a signal came to.

They are made without a place: the log gives it.
"""

from __future__ import annotations

import hashlib
import math
from typing import Any, Final
from uuid import uuid4

import msgspec
from msgspec.structs import replace

from actors.thresholds.intake.history import Executed
from actors.thresholds.intake.marking import Priced
from actors.thresholds.intake.messages import Found
from actors.thresholds.outcomes import usable
from protocols.control import Refused
from protocols.signals import Signal
from protocols.threshold_outcomes import FollowSignal, IntakeRow, ReportTrade
from protocols.thresholds import GatedSignal, Verdict

IN_METADATA: Final = ("rsi", "macd", "change_percent", "volume")
READ: Final = ("confidence", *IN_METADATA)
"""The numbers of a signal that the rules read."""


# Signals that are followed.


def of_hub(signal: Signal, seq: int, user: str, deployment: str, price: Priced, due: int) -> IntakeRow:
    """A signal of the hub, for a user whose deployment takes it."""
    return IntakeRow(
        stream="",
        seq=0,
        ts=0,
        kind="watched",
        source="hub",
        user_id=user,
        symbol=signal.symbol,
        signal_id=signal.signal_id,
        deployment_id=deployment,
        **_gated(signal.action, signal.confidence, signal.metadata),
        ts_signal=signal.ts_created,
        ts_due=due,
        bid=price.quoted.bid,
        ask=price.quoted.ask,
        why=price.why,
        signal_seq=seq,
        marks=tuple(sorted({*signal.marks, *price.marks})),
    )


def of_evaluation(request: FollowSignal, price: Priced, due: int) -> IntakeRow:
    """A signal that was evaluated for somebody outside."""
    return IntakeRow(
        stream="",
        seq=0,
        ts=0,
        kind="watched",
        source="evaluation",
        user_id=request.user_id,
        symbol=request.symbol,
        signal_id=request.signal_id,
        **_said(request.signal),
        verdict=judged(request.verdict),
        ts_signal=request.ts,
        ts_due=due,
        bid=price.quoted.bid,
        ask=price.quoted.ask,
        marks=price.marks,
    )


def judged(verdict: Verdict | None) -> msgspec.Raw:
    """What was said of a signal, for the column of it; None: that is not known."""
    return msgspec.Raw(msgspec.json.encode(verdict))


# What they came to.


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


def of_execution(trade: Executed, user: str, followed: IntakeRow | None, verdict: Verdict | None) -> IntakeRow:
    """A trade of the runtime. `verdict`: of its signal, if that was not followed."""
    return IntakeRow(
        stream="",
        seq=0,
        ts=0,
        kind="resolved",
        source="execution",
        user_id=user,
        symbol=trade.symbol or trade.market,
        signal_id=trade.signal_id,
        trade_id=trade.outcome_id,
        deployment_id=trade.deployment_id,
        **_gated(trade.action or "", trade.confidence, trade.metadata),
        verdict=judged(verdict) if followed is None else followed.verdict,
        acted=True,
        outcome=trade.return_share if usable(trade.return_share) else None,
        ts_signal=trade.ts_created or 0,
        ts_resolved=trade.exit_ts,
        outcome_seq=trade.seq,
        marks=trade.marks,
    )


# Trades that are told.


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


def of_report(request: ReportTrade, trade_id: str, closed: int, followed: IntakeRow | None, done: bool) -> IntakeRow:
    """A trade that was made elsewhere. `followed`: its signal; `done`: whose outcome is known already."""
    return IntakeRow(
        stream="",
        seq=0,
        ts=0,
        kind="trade",
        source="http",
        user_id=request.user_id,
        symbol=request.symbol,
        signal_id=request.signal_id,
        trade_id=trade_id,
        session_id=request.session_id,
        **({} if done else _traded(request, followed)),
        acted=True,
        outcome=request.outcome,
        ts_signal=request.opened_at or (0 if followed is None else followed.ts_signal),
        ts_resolved=closed,
        entry_price=request.entry_price,
        exit_price=request.exit_price,
        quantity=request.quantity,
        pnl=request.pnl,
        fees=request.fees,
    )


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


# The columns of what the rules read.


def _traded(request: ReportTrade, followed: IntakeRow | None) -> dict[str, Any]:
    """From what was told, or from what was followed."""
    if request.signal is not None:
        return _said(request.signal)
    if followed is not None:
        return {name: getattr(followed, name) for name in ("action", *READ, "verdict")}
    return {}


def _said(signal: GatedSignal) -> dict[str, Any]:
    return {"action": signal.action or "", **{name: getattr(signal, name) for name in READ}}


def _gated(action: str, confidence: float | None, metadata: msgspec.Raw) -> dict[str, Any]:
    return {"action": action, "confidence": confidence, **{name: _number(metadata, name) for name in IN_METADATA}}


def _number(metadata: msgspec.Raw, name: str) -> float | None:
    """A number of a signal's metadata; what is none is not known."""
    found = msgspec.json.decode(metadata)
    value = found.get(name) if isinstance(found, dict) else None
    if isinstance(value, bool) or not isinstance(value, int | float):
        return None
    return float(value) if math.isfinite(value) else None
