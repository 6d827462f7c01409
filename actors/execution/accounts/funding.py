"""When funding of perpetuals is paid, and how much: rate x price x quantity; at a positive rate long pays short.

A venue tells the rate of the period over and over; it is paid once, when the period ends (`next_ts`), with what was
told last. Source: Binance, "Introduction to Binance Futures Funding Rates": funding amount = nominal value of positions
x funding rate, nominal value = mark price x size.
"""

from __future__ import annotations

from fractions import Fraction
from typing import Any

import msgspec

from actors.execution.accounts.booking import Books
from actors.execution.accounts.ledger import Posting
from actors.execution.accounts.positions import Position
from actors.execution.accounts.rounding import UNIT, rounded
from actors.execution.accounts.valuation import Marks
from protocols.market import Funding
from protocols.orders import PositionSide


class Told(msgspec.Struct, frozen=True, gc=False):
    """The rate of a market for the period that ends at `next_ts`; the mark price, where the venue said it."""

    market: str
    next_ts: int
    rate: str
    mark_price: int | None


class Owed(msgspec.Struct, frozen=True, gc=False):
    """A payment for which there was no price yet: side, deployment and signed quantity (text) of what was held."""

    told: Told
    held: tuple[tuple[PositionSide, str, str], ...]


class FundingSchedule:
    """What was told, and what of it is paid."""

    __slots__ = ("_next", "_owed", "_paid", "_told")

    def __init__(self) -> None:
        self._told: dict[str, Told] = {}
        self._paid: dict[str, int] = {}
        self._owed: list[Owed] = []
        self._next: int | None = None

    def tell(self, message: Funding) -> None:
        """Take a rate. One for a period that is paid already changes nothing.

        Raises ValueError where the rate is no decimal number.
        """
        Fraction(message.rate)
        if message.next_ts > self._paid.get(message.market, -1):
            told = Told(message.market, message.next_ts, message.rate, message.mark_price)
            self._told[message.market] = told
            self._next = min(each.next_ts for each in self._told.values())

    def due(self) -> int | None:
        """The end of the next period; None: none is known. What waits for a price is not counted."""
        return self._next

    def advance(self, ts: int, books: Books, marks: Marks) -> None:
        """Pay what ended at or before `ts`."""
        if self._next is not None and self._next <= ts:
            ended = sorted((each for each in self._told.values() if each.next_ts <= ts), key=_order)
            for told in ended:
                del self._told[told.market]
                self._paid[told.market] = told.next_ts
                held = tuple(
                    (part.side, part.deployment_id, str(part.quantity))
                    for position in books.positions.of(told.market)
                    for part in books.positions.parts(told.market, position.side)
                    if part.quantity
                )
                if held:
                    self._owed.append(Owed(told, held))
            self._next = min((each.next_ts for each in self._told.values()), default=None)
        if self._owed:
            self._owed = [each for each in self._owed if not _pay(each, ts, books, marks)]

    def state(self) -> dict[str, Any]:
        """For a snapshot."""
        return {"told": list(self._told.values()), "paid": self._paid, "owed": self._owed}

    def load(self, state: dict[str, Any]) -> None:
        """Become what `state` gave."""
        self._told = {each.market: each for each in msgspec.convert(state["told"], list[Told])}
        self._paid = dict(state["paid"])
        self._owed = msgspec.convert(state["owed"], list[Owed])
        self._next = min((each.next_ts for each in self._told.values()), default=None)


def _order(told: Told) -> tuple[int, str]:
    return told.next_ts, told.market


def _pay(owed: Owed, ts: int, books: Books, marks: Marks) -> bool:
    """Whether it could be paid."""
    told = owed.told
    price = told.mark_price
    if price is None:
        mark = marks.get(told.market)
        price = None if mark is None else mark.mid()
        if price is None:
            return False
    rate = Fraction(told.rate)
    for side in dict.fromkeys(side for side, _, _ in owed.held):
        held = [(name, int(quantity)) for each, name, quantity in owed.held if each == side]
        position = books.whole(told.market, side)
        total = payment(position, sum(quantity for _, quantity in held), price, rate)
        currency = position.currency
        left = total
        for place, (name, quantity) in enumerate(held, 1):
            # The parts add up to what is paid: the last one takes what rounding has left.
            amount = left if place == len(held) else payment(position, quantity, price, rate)
            left -= amount
            part = books.positions.ensure_part(position, name)
            part.funding += amount
            books.trips.funded(part, amount)
        position.funding += total
        books.ledger.post(
            ts,
            "funding",
            f"funding:{told.next_ts}",
            (Posting("cash", currency, -total), Posting("funding", currency, total)),
            market=told.market,
            deployment_id=held[0][0] if len(held) == 1 else "",
        )
    return True


def payment(position: Position, quantity: int, price: int, rate: Fraction) -> int:
    """What a holding of `quantity` pays (negative: gets), nanos of the currency."""
    numerator = price * quantity * position.multiplier * rate.numerator
    return rounded(numerator, UNIT * rate.denominator * position.step, position.rule) * position.step
