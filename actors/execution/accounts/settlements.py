"""Settlement: what is held is closed at a value, and can be as it was again.

A prediction market pays a value in [0, 1] for each YES contract: 1 or 0, a part of it where the event is void or its
outcome a number, another one where it is amended. Every settlement remembers what it closed.
"""

from __future__ import annotations

from typing import Any

import msgspec

from actors.execution.accounts.booking import Books
from actors.execution.accounts.ledger import Posting
from actors.execution.accounts.positions import Position
from actors.execution.accounts.rounding import money
from actors.execution.accounts.trips import Cause
from protocols.nanos import NANO, decimal_text
from protocols.orders import PositionSide

SETTLED = Cause("settlement")
REVERSED = Cause("settlement_reversed")


class Closed(msgspec.Struct, frozen=True, gc=False):
    """What a settlement closed of a position, or of a deployment's part. Integers as text, as they may be large."""

    side: PositionSide
    deployment_id: str | None
    quantity: str
    cost: str
    profit: str
    trip: Any = None
    """The round trip of the part, as it was."""
    trade: int = 0
    """The `trade_id` with which that was closed."""


class Settlement(msgspec.Struct, frozen=True, gc=False):
    """A market that has been settled."""

    reference: str
    value: int
    closed: tuple[Closed, ...]


class Settlements:
    """The settlements of an account that stand."""

    __slots__ = ("_standing",)

    def __init__(self) -> None:
        self._standing: dict[str, Settlement] = {}

    def standing(self, market: str) -> Settlement | None:
        """The settlement of a market."""
        return self._standing.get(market)

    def settle(self, books: Books, market: str, value: int, ts: int, reference: str) -> None:
        """Close all that is held of a market at `value`. Raises ValueError for a value that there cannot be."""
        instrument = books.instrument(market)
        if instrument.kind == "prediction" and not 0 <= value <= NANO:
            raise ValueError(f"value of {market}: expected 0 to 1, got {decimal_text(value)}")
        before = self._standing.get(market)
        if before is not None and before.value != value:
            self.unsettle(books, market, before.reference, ts)
            before = None
        closed: list[Closed] = []
        for position in books.positions.of(market):
            closed += _close(books, position, value, ts, reference)
        if before is not None:
            # Fills that were told after the settlement: they are settled with the rest.
            reference = before.reference
            closed = [*before.closed, *closed]
        if closed:
            self._standing[market] = Settlement(reference, value, tuple(closed))

    def unsettle(self, books: Books, market: str, reference: str, ts: int) -> None:
        """Reverse a settlement. Raises ValueError where there is none of this name."""
        settlement = self._standing.get(market)
        if settlement is None or settlement.reference != reference:
            standing = None if settlement is None else settlement.reference
            raise ValueError(
                f"reference of {market}: expected the settlement that stands, {standing!r}, got {reference!r}"
            )
        del self._standing[market]
        for closed in settlement.closed:
            _reopen(books, market, closed, ts, reference)

    def state(self) -> dict[str, Settlement]:
        """For a snapshot."""
        return self._standing

    def load(self, state: dict[str, Any]) -> None:
        """Become what `state` gave."""
        self._standing = msgspec.convert(state, dict[str, Settlement])


def _close(books: Books, position: Position, value: int, ts: int, reference: str) -> list[Closed]:
    """Close a position and its parts. The parts are paid what the position is: the last takes what rounding left."""
    notional = _value(position, -position.quantity, value)
    closed = []
    parts = [part for part in books.positions.parts(position.market, position.side) if part.quantity]
    left = notional
    for place, part in enumerate(parts, 1):
        paid = left if place == len(parts) else _value(position, -part.quantity, value)
        left -= paid
        quantity, cost, realized, trip = part.quantity, part.cost, part.realized, books.trips.held(part)
        books.trade_part(position, part.deployment_id, -quantity, paid, ts, SETTLED)
        profit, number = str(part.realized - realized), books.trips.count
        closed.append(Closed(position.side, part.deployment_id, str(quantity), str(cost), profit, trip, number))
    if position.quantity:
        quantity, cost = position.quantity, position.cost
        postings: list[Posting] = []
        gained = books.trade(postings, position, -quantity, notional, "settlement")
        owner = parts[0].deployment_id if len(parts) == 1 else ""
        books.ledger.post(ts, "settlement", reference, postings, market=position.market, deployment_id=owner)
        closed.append(Closed(position.side, None, str(quantity), str(cost), str(gained)))
    return closed


def _reopen(books: Books, market: str, closed: Closed, ts: int, reference: str) -> None:
    """Hold what was closed again, next to whatever is held by now."""
    quantity, cost, profit = int(closed.quantity), int(closed.cost), int(closed.profit)
    position = books.whole(market, closed.side)
    if closed.deployment_id is None:
        postings: list[Posting] = []
        books.trade(postings, position, quantity, cost, "realised")
        position.realized -= profit
        postings.append(Posting("cash", position.currency, -profit))
        postings.append(Posting("settlement", position.currency, profit))
        books.ledger.post(ts, "settlement_reversed", reference, postings, market=market)
        return
    part = books.positions.ensure_part(position, closed.deployment_id)
    if part.quantity:
        # It was traded again since: what comes back joins the round trip that is open now.
        books.trips.recall(part, closed.trade, closed.trip, ts)
        books.trade_part(position, closed.deployment_id, quantity, cost, ts, REVERSED)
    else:
        part.trade(quantity, cost)
        books.trips.reopen(part, closed.trade, closed.trip, ts)
    part.realized -= profit


def _value(position: Position, quantity: int, value: int) -> int:
    return money(value, quantity, position.multiplier, position.step, position.rule)
