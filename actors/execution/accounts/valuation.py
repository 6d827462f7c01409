"""What positions and balances are worth now: at the side at which they could be left. A missing price is no zero."""

from __future__ import annotations

from collections.abc import Mapping
from fractions import Fraction
from typing import Protocol

from actors.execution.accounts.positions import Position, PositionView
from actors.execution.accounts.rounding import money, rounded
from protocols.nanos import NANO, decimal_text
from protocols.orders import Leg


class MarkLike(Protocol):
    """The last prices of a market, in nanos; None where there is none."""

    def mid(self) -> int | None:
        """Between the best prices."""
        ...

    def exit(self, quantity: int, /) -> int | None:
        """At which a holding of this signed quantity could be left."""
        ...


Marks = Mapping[str, MarkLike]


def exit_value(position: Position, marks: Marks) -> int | None:
    """What leaving the position would bring (a short one: cost, negative), in nanos of its currency."""
    quantity = position.quantity
    if not quantity:
        return 0
    mark = marks.get(position.market)
    price = None if mark is None else mark.exit(quantity)
    return None if price is None else money(price, quantity, position.multiplier)


def unrealized(position: Position, marks: Marks) -> int | None:
    """Profit that leaving the position would take, before fees."""
    value = exit_value(position, marks)
    return None if value is None else value - position.cost


def magnitude(position: Position, marks: Marks) -> int | None:
    """The absolute value of the position, in nanos of its currency."""
    value = exit_value(position, marks)
    return None if value is None else abs(value)


def shown(position: Position, marks: Marks) -> PositionView:
    """A position for people, with its leg in a prediction market."""
    quantity, average = position.quantity, position.average_price()
    profit = unrealized(position, marks)
    leg: Leg = ""
    leg_quantity = leg_price = None
    if position.booking == "prediction" and average is not None:
        leg = "YES" if quantity > 0 else "NO"
        leg_quantity = abs(quantity)
        leg_price = average if quantity > 0 else NANO - average
    return PositionView(
        market=position.market,
        deployment_id=position.deployment_id,
        side="long" if quantity > 0 else "short" if quantity < 0 else "flat",
        quantity=quantity,
        average_price=average,
        cost=decimal_text(position.cost),
        realized=decimal_text(position.realized),
        fees=decimal_text(position.fees),
        funding=decimal_text(position.funding),
        unrealized=None if profit is None else decimal_text(profit),
        currency=position.currency,
        leg=leg,
        leg_quantity=leg_quantity,
        leg_price=leg_price,
    )


def in_own(amounts: Mapping[str, int], own: str, conversions: Mapping[str, str], marks: Marks) -> int | None:
    """The sum of amounts by currency, in the account's own. None: one of them has no rate."""
    total = 0
    for currency, amount in amounts.items():
        worth = amount if currency == own else converted(amount, conversions.get(currency), marks)
        if worth is None:
            return None
        total += worth
    return total


def converted(amount: int, named: str | None, marks: Marks) -> int | None:
    """An amount of a foreign currency in the account's: at a market's exit side, or at a fixed rate (decimal text).

    None where no rate is named or the market has no price.
    """
    if not amount:
        return 0
    if named is None:
        return None
    mark = marks.get(named)
    if mark is not None:
        price = mark.exit(amount)
        return None if price is None else money(price, amount, NANO)
    try:
        rate = Fraction(named)
    except ValueError:
        return None
    return rounded(amount * rate.numerator, rate.denominator, "half_even")
