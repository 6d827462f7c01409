"""What is said about the outcomes that thresholds learn from: trades that others made, signals that are followed.

A *share* is a return after costs as a part of what was at stake (0.01: 1 %). What nobody knows is None, never zero.
Times are integer nanoseconds, UTC.
"""

from __future__ import annotations

from typing import ClassVar, Final, Literal

import msgspec

from protocols.control import Message, Request, Row
from protocols.thresholds import GatedSignal, Verdict

THRESHOLD_INTAKE: Final = "threshold_intake"
THRESHOLD_PROGRESS: Final = "threshold_progress"

IntakeKind = Literal["watched", "closed", "resolved", "trade", "poor", "recovered"]
"""`watched`: a signal whose outcome is to be found out. `closed`: that will come as a trade, or never. `resolved`: its
outcome. `trade`: a trade that somebody outside told. `poor`, `recovered`: how the performance of a user became."""
IntakeSource = Literal["hub", "evaluation", "http", "execution", "market", "keeper"]


class IntakeRow(Row, frozen=True, gc=False, kw_only=True, tag="threshold_intake_row"):
    """One event of the intake. `outcome`: a share; None: unknown, and `why`. `bid`, `ask`: when the signal came.

    `verdict`: what was said of the signal then, as JSON, or null. `ts_due`: when the outcome of a signal that was not
    traded is looked up. `outcome_seq`, `signal_seq`: the place in the stream of outcomes, of signals.
    """

    table: ClassVar[str] = THRESHOLD_INTAKE
    sequenced: ClassVar[bool] = True

    stream: str
    seq: int
    ts: int
    kind: IntakeKind
    source: IntakeSource
    user_id: str
    symbol: str
    signal_id: str = ""
    trade_id: str = ""
    deployment_id: str = ""
    session_id: str = ""
    action: str = ""
    confidence: float | None = None
    rsi: float | None = None
    macd: float | None = None
    change_percent: float | None = None
    volume: float | None = None
    verdict: msgspec.Raw = msgspec.Raw(b"null")
    acted: bool = False
    outcome: float | None = None
    why: str = ""
    ts_signal: int = 0
    ts_due: int = 0
    ts_resolved: int = 0
    bid: float | None = None
    ask: float | None = None
    entry_price: float | None = None
    exit_price: float | None = None
    quantity: float | None = None
    pnl: float | None = None
    fees: float | None = None
    outcome_seq: int = 0
    signal_seq: int = 0
    marks: tuple[str, ...] = ()


class ProgressRow(Row, frozen=True, gc=False, kw_only=True, tag="threshold_progress_row"):
    """How far the keeper of outcomes is: up to where learners were told, outcomes and signals were read."""

    table: ClassVar[str] = THRESHOLD_PROGRESS
    sequenced: ClassVar[bool] = True

    stream: str
    seq: int
    ts: int
    told: int
    outcomes: int
    signals: int


class TradeTaken(Message, frozen=True, gc=False, kw_only=True, tag="threshold_trade_taken"):
    """The trade is in the node's log. `repeated`: it was known; nothing was stored. `teaches`: a learner will be told,
    because the signal behind it is known. `why`: it will not, and why."""

    trade_id: str
    seq: int
    repeated: bool = False
    teaches: bool = False
    why: str = ""


class ReportTrade(Request[TradeTaken], frozen=True, gc=False, kw_only=True, tag="threshold_report_trade"):
    """A trade of a user that was made elsewhere has been closed.

    `trade_id`: a repeat with the same one is the same trade; empty: one is made of the content. `signal`: what was
    traded upon; without it and without a `signal_id` that is followed, the trade counts for the performance and
    teaches nothing. `outcome`: a share. Refused `invalid`.
    """

    user_id: str
    symbol: str
    outcome: float
    trade_id: str = ""
    signal_id: str = ""
    session_id: str = ""
    signal: GatedSignal | None = None
    entry_price: float | None = None
    exit_price: float | None = None
    quantity: float | None = None
    pnl: float | None = None
    fees: float | None = None
    opened_at: int = 0
    closed_at: int = 0


class SignalFollowed(Message, frozen=True, gc=False, kw_only=True, tag="threshold_signal_followed"):
    """The signal is in the node's log; at `due` its outcome is looked up, unless a trade is told before.

    `why`: it is not followed, and why; then `seq` is 0.
    """

    signal_id: str
    seq: int
    due: int
    repeated: bool = False
    why: str = ""


class FollowSignal(Request[SignalFollowed], frozen=True, gc=False, kw_only=True, tag="threshold_follow_signal"):
    """Asks that the outcome of an evaluated signal be found out, whether it is traded or not. Refused `invalid`,
    `overloaded` (too many are followed)."""

    user_id: str
    symbol: str
    signal_id: str
    signal: GatedSignal
    verdict: Verdict | None
    ts: int
    expires: int | None = None


class OutcomeFigures(Message, frozen=True, gc=False, kw_only=True, tag="threshold_outcome_figures"):
    """How the keeper stands, since it started. `open`: signals that are followed. `untold`: outcomes that learners
    still have to be told. `unknown`: outcomes that could not be found out. `recovering`: what is waited for, empty:
    nothing."""

    open: int
    untold: int
    told: int
    resolved: int
    unknown: int
    trades: int
    poor: int
    recovering: str


class GetOutcomeFigures(Request[OutcomeFigures], frozen=True, gc=False, tag="get_threshold_outcome_figures"):
    """Asks the keeper."""
