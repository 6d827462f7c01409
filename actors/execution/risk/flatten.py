"""The kill switch: stop new orders, cancel, optionally close, stop the actors; in this order, each with a deadline.

    stop_new -> cancel -> close -> stop_actors -> done

A core: it is shown how things stand and says what is to be done now. It is idempotent: it may be asked as often as one
likes, and asks for the same thing again only after `retry_seconds`. A phase ends when nothing is left to do in it or
when its deadline has passed; then the next one begins, and the report says what was left. What was left is still
worked at in the later phases, and what appears late (an order that was on its way) is cancelled, too.

Orders are cancelled by id, never all at once: a venue's cancel-all may kill orders that are sent in the minute after
it, as Kalshi's does, and the closing orders are just those.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Final, Literal

import msgspec

from protocols.nanos import NANO
from protocols.orders import PositionSide, Side

Phase = Literal["stop_new", "cancel", "close", "stop_actors", "done"]
PHASES: Final[tuple[Phase, ...]] = ("stop_new", "cancel", "close", "stop_actors")
Outcome = Literal["running", "done", "deadline", "skipped"]


class FlattenSettings(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """Deadlines of the phases, seconds from each one's beginning. `close`: whether positions are closed at all."""

    close: bool = True
    stop_new_seconds: int = 5
    cancel_seconds: int = 15
    close_seconds: int = 60
    stop_actors_seconds: int = 10
    retry_seconds: int = 5

    def __post_init__(self) -> None:
        for field in self.__struct_fields__[1:]:
            value = getattr(self, field)
            if value < 1:
                raise ValueError(f"{field}: expected at least 1, got {value}")


class WorkingOrder(msgspec.Struct, frozen=True, gc=False):
    """An order that is not final. `closing`: it is one of those that this flatten asked for."""

    client_order_id: str
    market: str
    closing: bool = False


class Standing(msgspec.Struct, frozen=True):
    """How things stand. `stopped`: new orders are refused everywhere. `positions`: market, side (hedging) and signed
    quantity of those that are not flat. `actors`: those that still run."""

    stopped: bool
    orders: tuple[WorkingOrder, ...] = ()
    positions: tuple[tuple[str, PositionSide, int], ...] = ()
    actors: tuple[str, ...] = ()


class Close(msgspec.Struct, frozen=True, gc=False):
    """Send a reduce-only market order of this size. `attempt` 1, 2, 3 … in its market, both legs counted together:
    market and attempt make an id that no other one has."""

    market: str
    side: Side
    size: int
    position_side: PositionSide
    attempt: int


class Step(msgspec.Struct, frozen=True, kw_only=True):
    """What is to be done now; empty where there is only to wait. `due`: when to ask again at the latest."""

    phase: Phase
    stop_new: bool = False
    cancel: tuple[str, ...] = ()
    close: tuple[Close, ...] = ()
    stop_actors: tuple[str, ...] = ()
    due: int | None = None


class PhaseReport(msgspec.Struct, frozen=True, kw_only=True, array_like=True):
    """How a phase went. `left`: what was not done when it ended: orders, "market quantity" or actors."""

    phase: Phase
    began: int
    ended: int | None
    outcome: Outcome
    left: tuple[str, ...] = ()


class _State(msgspec.Struct, frozen=True, array_like=True):
    version: Literal[1]
    settings: FlattenSettings
    reason: str
    phase: Phase
    reports: list[PhaseReport]
    asked: dict[str, int]
    attempts: dict[str, int]


class Flatten:
    """One pull of the switch, at `ts`. `reports`: the phases so far; all times are integer nanoseconds."""

    def __init__(self, settings: FlattenSettings, reason: str, ts: int) -> None:
        self.settings = settings
        self.reason = reason
        self.phase: Phase = "stop_new"
        self.reports: list[PhaseReport] = [PhaseReport(phase="stop_new", began=ts, ended=None, outcome="running")]
        self._asked: dict[str, int] = {}
        """When something was asked for last, by what."""
        self._attempts: dict[str, int] = {}

    @property
    def done(self) -> bool:
        """Whether all phases are over; what they left is in `reports`."""
        return self.phase == "done"

    def deadline(self) -> int | None:
        """When the present phase ends at the latest; None: there is none any more."""
        if self.done:
            return None
        seconds: int = getattr(self.settings, f"{self.phase}_seconds")
        return self.reports[-1].began + seconds * NANO

    def step(self, standing: Standing, ts: int) -> Step:
        """What is to be done now. Phases that are over already are passed through in one go."""
        while not self.done:
            left = self._left(standing)
            deadline = self.deadline()
            late = deadline is not None and ts >= deadline
            if left and not late:
                break
            self._next("deadline" if left else "done", left, ts)
        if self.done:
            return Step(phase="done", cancel=self._cancels(standing, ts))
        began = PHASES.index(self.phase)
        return Step(
            phase=self.phase,
            stop_new=not standing.stopped and self._ask("stop_new", ts),
            cancel=self._cancels(standing, ts) if began >= 1 else (),
            close=self._closes(standing, ts) if began >= 2 and self.settings.close else (),
            stop_actors=tuple(each for each in standing.actors if self._ask(f"actor {each}", ts)) if began >= 3 else (),
            due=min(filter(None, (self.deadline(), ts + self.settings.retry_seconds * NANO))),
        )

    def snapshot(self) -> bytes:
        """All of it, as msgpack."""
        return msgspec.msgpack.encode(
            _State(1, self.settings, self.reason, self.phase, self.reports, self._asked, self._attempts)
        )

    @classmethod
    def restore(cls, data: bytes) -> Flatten:
        """Go on from a snapshot. Raises msgspec.ValidationError."""
        state = msgspec.msgpack.decode(data, type=_State)
        made = cls(state.settings, state.reason, state.reports[0].began)
        made.phase, made.reports = state.phase, state.reports
        made._asked, made._attempts = state.asked, state.attempts
        return made

    def _left(self, standing: Standing) -> tuple[str, ...]:
        """What keeps the present phase from being over."""
        if self.phase == "stop_new":
            return () if standing.stopped else ("new orders",)
        if self.phase == "cancel":
            return tuple(each.client_order_id for each in standing.orders if not each.closing)
        if self.phase == "close":
            return tuple(_name(market, side) for market, side, quantity in standing.positions if quantity)
        return standing.actors

    def _next(self, outcome: Outcome, left: tuple[str, ...], ts: int) -> None:
        last = self.reports[-1]
        self.reports[-1] = msgspec.structs.replace(last, ended=ts, outcome=outcome, left=left)
        index = PHASES.index(self.phase) + 1
        if index < len(PHASES) and PHASES[index] == "close" and not self.settings.close:
            self.reports.append(PhaseReport(phase="close", began=ts, ended=ts, outcome="skipped"))
            index += 1
        if index == len(PHASES):
            self.phase = "done"
            return
        self.phase = PHASES[index]
        self.reports.append(PhaseReport(phase=self.phase, began=ts, ended=None, outcome="running"))

    def _cancels(self, standing: Standing, ts: int) -> tuple[str, ...]:
        return tuple(
            each.client_order_id
            for each in standing.orders
            if not each.closing and self._ask(f"cancel {each.client_order_id}", ts)
        )

    def _closes(self, standing: Standing, ts: int) -> tuple[Close, ...]:
        """An order for each position on which no closing order works. Retried: it may have been filled in part."""
        working = {each.market for each in standing.orders if each.closing}
        found = []
        for market, position_side, quantity in standing.positions:
            name = _name(market, position_side)
            if not quantity or market in working or not self._ask(f"close {name}", ts):
                continue
            attempt = self._attempts[market] = self._attempts.get(market, 0) + 1
            side: Side = "sell" if quantity > 0 else "buy"
            found.append(Close(market, side, abs(quantity), position_side, attempt))
        return tuple(found)

    def _ask(self, what: str, ts: int) -> bool:
        """Whether to ask for it now: it was not asked for lately."""
        last = self._asked.get(what)
        if last is not None and ts < last + self.settings.retry_seconds * NANO:
            return False
        self._asked[what] = ts
        return True


def outcome(reports: Iterable[PhaseReport]) -> tuple[str, ...]:
    """What was left by all phases together, each with the phase's name; empty: everything was done."""
    return tuple(f"{report.phase}: {left}" for report in reports for left in report.left)


def _name(market: str, side: PositionSide) -> str:
    return f"{market} {side}" if side else market
