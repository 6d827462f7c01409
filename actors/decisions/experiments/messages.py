"""What the keeper of experiments says to itself: what its tasks have found out."""

from __future__ import annotations

from typing import Any

from actors.decisions.experiments.history import Trade
from actors.decisions.experiments.ledger import Told
from actors.decisions.experiments.phase import Seen
from protocols.control import Message, Request
from protocols.experiments import AbTestRow, Feedback, FeedbackTaken


class PlansFound(Message, frozen=True, gc=False, tag="ab_plans_found"):
    """The rows of plans that only the database has."""

    rows: tuple[AbTestRow, ...]


class HistoryFound(Message, frozen=True, gc=False, kw_only=True, tag="ab_history_found"):
    """What only the database has of a test: rows of the queries in `history.py`."""

    name: str
    version: int
    exposures: tuple[tuple[str, str, int], ...]
    assignments: tuple[tuple[str, str], ...]
    requests: tuple[tuple[Any, ...], ...]
    before: tuple[tuple[str, int, float], ...]
    outcomes: tuple[tuple[Any, ...], ...]
    pairs: tuple[tuple[Any, ...], ...]


class HistoryEnded(Message, frozen=True, gc=False, tag="ab_history_ended"):
    """The search has ended; `trades` is the place up to which trades were taken, None where it failed (`why`)."""

    trades: int | None
    why: str = ""


class ReadTrades(Message, frozen=True, gc=False, tag="ab_read_trades"):
    """Look whether there are trades that were not taken."""


class TradesFound(Message, frozen=True, gc=False, tag="ab_trades_found"):
    """Executed trades with their decisions, and how far the stream was read; `failed`: it could not be."""

    trades: tuple[Trade, ...]
    upto: int
    failed: str = ""


class TakeFound(Request[FeedbackTaken], frozen=True, gc=False, tag="ab_take_found"):
    """Feedback on a decision that was found in the database, with what is known of its outcome there."""

    feedback: Feedback
    seen: Seen
    told: Told | None


class Refresh(Message, frozen=True, gc=False, tag="ab_refresh"):
    """Measure all tests again, for the metrics."""
