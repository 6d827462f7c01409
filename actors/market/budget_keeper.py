"""The actor that holds a venue account's rate limits."""

from __future__ import annotations

from collections.abc import Sequence

import trio

from actors.market.budget import Budget
from protocols.budget import CloseBudget, Granted, SetBudget, TakeBudget
from protocols.control import Message, Probe, ProbeReport, Refused
from runtime import Actor, Timer, receive

_SECOND = 1e9


class _Turn(Message, frozen=True, gc=False, tag="budget_turn"):
    """Somebody's turn may have come."""


class _Gone(Message, frozen=True, gc=False, tag="budget_gone"):
    ticket: int


class BudgetKeeper(Actor):
    """One for each account of a venue. `limits`: (bucket, tokens, tokens a second)."""

    later_capacity = 4096

    def __init__(self, venue: str, limits: Sequence[Sequence[str | float]]) -> None:
        self.venue = venue
        self.limits = [(str(name), float(tokens), float(tokens_s)) for name, tokens, tokens_s in limits]
        self.waiting: dict[int, trio.Event] = {}
        self.closed = 0
        self._timer: Timer | None = None

    def on_start(self) -> None:
        """Begin with full buckets."""
        self.budget = Budget(self.limits, self._now())

    @receive
    def take(self, request: TakeBudget) -> Granted | None:
        """Grant it now, or when its turn comes."""
        if request.bucket not in self.budget.buckets:
            return Granted(0.0)
        try:
            ticket = self.budget.enter(request.bucket, request.cost, request.priority)
        except ValueError as error:
            raise Refused("invalid", f"{self.venue}: {error}", "cost") from None
        turn = self.waiting[ticket] = trio.Event()
        self._serve()
        if turn.is_set():
            return Granted(0.0)
        try:
            self.answer_later(self._wait, ticket, turn, self._now())
        except Refused:
            self._leave(ticket)
            raise
        return None

    @receive
    def turn(self, message: _Turn) -> None:
        """Serve whose turn it is."""
        self._timer = None
        self._serve()

    @receive
    def gone(self, message: _Gone) -> None:
        """Who waited has given up."""
        self._leave(message.ticket)
        self._serve()

    @receive
    def close(self, message: CloseBudget) -> None:
        """Take the venue's word for it."""
        bucket = self.budget.buckets.get(message.bucket)
        if bucket is not None:
            self.closed += 1
            bucket.close(message.seconds, self._now())
            self.logger.warning("the venue closed a bucket", bucket=message.bucket, seconds=message.seconds)
            self._serve()

    @receive
    def change(self, message: SetBudget) -> None:
        """The account's own limits are known."""
        bucket = self.budget.buckets.get(message.bucket)
        if bucket is not None:
            bucket.change(message.tokens, message.tokens_s)
            self._serve()

    @receive
    def probe(self, request: Probe) -> ProbeReport:
        """How full the buckets are, and who waits."""
        now = self._now()
        figures: list[tuple[str, str | int | float | bool | None]] = [("waiting", len(self.budget))]
        shut = []
        for name, bucket in self.budget.buckets.items():
            figures.append((f"{name}: tokens", round(bucket.level, 3)))
            figures.append((f"{name}: taken", round(bucket.taken, 3)))
            if bucket.closed_until > now:
                shut.append(f"{name} is closed by the venue for {bucket.closed_until - now:.0f} s")
        figures.append(("closed by the venue", self.closed))
        return ProbeReport("degraded" if shut else "ok", "; ".join(shut), figures=tuple(figures))

    async def _wait(self, ticket: int, turn: trio.Event, since: float) -> Granted:
        try:
            await turn.wait()
        finally:
            if not turn.is_set():
                self.ref.tell(_Gone(ticket))
        return Granted(self._now() - since)

    def _leave(self, ticket: int) -> None:
        if self.waiting.pop(ticket, None) is not None:
            self.budget.leave(ticket)

    def _serve(self) -> None:
        for ticket in self.budget.served(self._now()):
            turn = self.waiting.pop(ticket, None)
            if turn is not None:
                turn.set()
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        wait = self.budget.next_s(self._now())
        if wait is not None:
            self._timer = self.after(wait, _Turn())

    def _now(self) -> float:
        return self.clock.monotonic() / _SECOND
