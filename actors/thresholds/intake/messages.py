"""What the keeper of outcomes tells itself: what its tasks have found."""

from __future__ import annotations

import msgspec

from actors.thresholds.intake.history import Executed, Recalled
from actors.thresholds.intake.marking import Priced
from actors.thresholds.performance import Performance
from protocols.control import Message, Request
from protocols.threshold_outcomes import FollowSignal, IntakeRow, SignalFollowed


class Recovered(Message, frozen=True, gc=False, tag="threshold_outcomes_recovered"):
    """What lives before have left; `remark`: rows that the database did not get."""

    recalled: Recalled
    remark: str = ""


class Look(Message, frozen=True, gc=False, tag="threshold_outcomes_look"):
    """Look what is due, and what there is to read and to tell."""


class SignalsFound(Message, frozen=True, gc=False, tag="threshold_signals_found"):
    """Signals that are to be followed (rows without a place), and up to where the stream was read; None: it was not."""

    rows: tuple[IntakeRow, ...]
    upto: int | None
    more: bool = False


class TradesFound(Message, frozen=True, gc=False, tag="threshold_trades_found"):
    """Trades of the runtime that have ended; None: they could not be read."""

    trades: tuple[Executed, ...] | None


class Found(msgspec.Struct, frozen=True, gc=False, kw_only=True):
    """What a followed signal came to. `traded`: it was, its outcome comes as a trade. `retry`: nobody can say yet."""

    row: IntakeRow
    outcome: float | None = None
    why: str = ""
    marks: tuple[str, ...] = ()
    traded: bool = False
    retry: bool = False


class OutcomesFound(Message, frozen=True, gc=False, tag="threshold_outcomes_found"):
    """What became of signals that were due."""

    found: tuple[Found, ...]


class Told(Message, frozen=True, gc=False, tag="threshold_outcomes_told"):
    """Rows that learners have, or are not to have; `failed`: some could not be told."""

    rows: tuple[IntakeRow, ...]
    failed: str = ""


class Judged(Message, frozen=True, gc=False, tag="threshold_performance_judged"):
    """How users do: user, symbol, the newest place that is in it; those that could not be asked about are left out."""

    found: tuple[tuple[str, str, int, Performance], ...]


class FollowPriced(Request[SignalFollowed], frozen=True, gc=False, tag="threshold_follow_priced"):
    """The prices at which a signal that is to be followed would have been opened."""

    follow: FollowSignal
    price: Priced
