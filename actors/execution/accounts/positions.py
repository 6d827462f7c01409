"""What is held of a market: quantity and total cost, the account's and each deployment's.

A position is two integers: a signed quantity (nanos) and what it cost (nanos of money, signed as the notionals are: a
short one cost less than nothing). The average price is never stored. A reduction takes its share of the cost, rounded
once; the rest is what remains, so nothing drifts, and whoever is flat has paid exactly 0. Always

    cost - realised = the sum of the signed notionals of all its trades

**Netting**: one position a market. **Hedging**: a long one and a short one (`side`); an order says which one it means,
and what closes more of it than there is opens the other one.

**Deployments**: each has positions of its own, made of its own fills alone, as if it had the account for itself. The
account's position is made of all fills. So quantities add up to the account's, and cost minus realised does, too,
exactly and always; where each deployment is flat, the realised profits add up. In between, cost and realised profit
need not, each for itself: two deployments that hold opposite positions leave an account that is flat, costs 0 and has
taken the difference as profit, while neither of them has closed anything. A venue sees it as the account does.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, Literal

import msgspec

from actors.execution.accounts.rounding import UNIT, Rounding, rounded, share
from protocols.instruments import Instrument
from protocols.nanos import NANO
from protocols.orders import Leg, NewOrder, PositionSide

Booking = Literal["full", "margin", "prediction"]
"""How its trades move money: paid in full, on margin, or in full with collateral for a short."""


class Position:
    """A holding; read it, and leave changing it to the account.

    `realized`: profit taken, fees and funding not taken off; `fees` (of its own currency) and `funding`: paid so far.
    """

    __slots__ = (
        "booking",
        "cost",
        "currency",
        "deployment_id",
        "fees",
        "funding",
        "market",
        "multiplier",
        "quantity",
        "realized",
        "rule",
        "side",
        "step",
    )

    def __init__(
        self,
        market: str,
        currency: str = "",
        booking: Booking = "full",
        *,
        multiplier: int = NANO,
        step: int = 1,
        rule: Rounding = "half_even",
        side: PositionSide = "",
        deployment_id: str = "",
    ) -> None:
        self.market = market
        self.side = side
        self.deployment_id = deployment_id
        self.currency = currency
        self.booking = booking
        self.multiplier = multiplier
        self.step = step
        self.rule: Rounding = rule
        self.quantity = 0
        self.cost = 0
        self.realized = 0
        self.fees = 0
        self.funding = 0

    def trade(self, quantity: int, notional: int) -> int:
        """Take a trade in; returns the profit that it took. Both are signed: bought is positive (at a positive price).

        A trade beyond flat closes all and opens the other way with exactly the rest of the notional.
        """
        held = self.quantity
        if held == 0 or (held > 0) == (quantity > 0):
            self.quantity = held + quantity
            self.cost += notional
            return 0
        if abs(quantity) < abs(held):
            part = share(self.cost, -quantity, held, self.step, self.rule)
            self.quantity = held + quantity
            self.cost -= part
            profit = -notional - part
        else:
            closing = notional if quantity == -held else share(notional, -held, quantity, self.step, self.rule)
            profit = -closing - self.cost
            self.quantity = held + quantity
            self.cost = notional - closing
        self.realized += profit
        return profit

    def average_price(self) -> int | None:
        """What a unit cost, rounded to a nano, for people; None where nothing is held."""
        if not self.quantity:
            return None
        total, units = self.cost * UNIT, self.quantity * self.multiplier
        return rounded(-total if units < 0 else total, abs(units), "half_even")

    def state(self) -> tuple[Any, ...]:
        """For a snapshot."""
        return (
            self.market,
            self.side,
            self.deployment_id,
            self.currency,
            self.booking,
            str(self.multiplier),
            self.step,
            self.rule,
            *(str(each) for each in (self.quantity, self.cost, self.realized, self.fees, self.funding)),
        )

    @classmethod
    def of(cls, state: list[Any]) -> Position:
        """What `state` came from."""
        market, side, deployment_id, currency, booking, multiplier, step, rule, *numbers = state
        made = cls(
            market,
            currency,
            booking,
            multiplier=int(multiplier),
            step=step,
            rule=rule,
            side=side,
            deployment_id=deployment_id,
        )
        made.quantity, made.cost, made.realized, made.fees, made.funding = map(int, numbers)
        return made


class PositionView(msgspec.Struct, frozen=True, gc=False, kw_only=True):
    """A position for people. Prices in nanos, money in decimal text of `currency`.

    A prediction market's position has a leg: a short one in the YES book is a long one of NO, of `leg_quantity`
    contracts at `leg_price`, the complement to 1.
    """

    market: str
    side: Literal["long", "short", "flat"]
    quantity: int
    average_price: int | None
    cost: str
    realized: str
    fees: str
    funding: str
    unrealized: str | None
    currency: str
    deployment_id: str = ""
    leg: Leg = ""
    leg_quantity: int | None = None
    leg_price: int | None = None


class Positions:
    """All positions of an account, and the parts of them that are deployments'."""

    __slots__ = ("_by_market", "_parts", "hedging")

    def __init__(self, *, hedging: bool) -> None:
        self.hedging = hedging
        self._by_market: dict[str, dict[PositionSide, Position]] = {}
        self._parts: dict[tuple[str, PositionSide], dict[str, Position]] = {}

    def at(self, market: str, side: PositionSide = "") -> Position | None:
        """The account's position; None where there never was one."""
        sides = self._by_market.get(market)
        return None if sides is None else sides.get(side)

    def of(self, market: str) -> tuple[Position, ...]:
        """Those of a market: none, one, or with hedging two."""
        return tuple(self._by_market.get(market, {}).values())

    def __iter__(self) -> Iterator[Position]:
        for sides in self._by_market.values():
            yield from sides.values()

    def part(self, deployment_id: str, market: str, side: PositionSide = "") -> Position | None:
        """A deployment's own; None where there never was one."""
        parts = self._parts.get((market, side))
        return None if parts is None else parts.get(deployment_id)

    def parts(self, market: str, side: PositionSide = "") -> tuple[Position, ...]:
        """What each deployment has of a position, by name."""
        parts = self._parts.get((market, side), {})
        return tuple(parts[name] for name in sorted(parts))

    def all_parts(self) -> Iterator[Position]:
        """Those of all deployments."""
        for parts in self._parts.values():
            yield from parts.values()

    def ensure(self, position: Position) -> Position:
        """The account's position of this name, `position` itself where there is none."""
        return self._by_market.setdefault(position.market, {}).setdefault(position.side, position)

    def ensure_part(self, whole: Position, deployment_id: str) -> Position:
        """The deployment's part of an account's position, made where there is none."""
        parts = self._parts.get((whole.market, whole.side))
        if parts is None:
            parts = self._parts[(whole.market, whole.side)] = {}
        part = parts.get(deployment_id)
        if part is None:
            part = parts[deployment_id] = Position(
                whole.market,
                whole.currency,
                whole.booking,
                multiplier=whole.multiplier,
                step=whole.step,
                rule=whole.rule,
                side=whole.side,
                deployment_id=deployment_id,
            )
        return part

    def slices(self, order: NewOrder, signed: int) -> tuple[tuple[PositionSide, int], ...]:
        """Which positions a trade of `signed` quantity of an order goes to, and how much of it to each."""
        if not self.hedging:
            return (("", signed),)
        side = meant_side(order)
        opens = (signed > 0) == (side == "long")
        if opens:
            return ((side, signed),)
        position = self.at(order.market, side)
        held = 0 if position is None else abs(position.quantity)
        closing = min(held, abs(signed)) * (1 if signed > 0 else -1)
        other: PositionSide = "short" if side == "long" else "long"
        both: tuple[tuple[PositionSide, int], ...] = ((side, closing), (other, signed - closing))
        return tuple(each for each in both if each[1])

    def state(self) -> dict[str, Any]:
        """For a snapshot."""
        return {"whole": [each.state() for each in self], "parts": [each.state() for each in self.all_parts()]}

    def load(self, state: dict[str, Any]) -> None:
        """Become what `state` gave."""
        self._by_market, self._parts = {}, {}
        for position in map(Position.of, state["whole"]):
            self.ensure(position)
        for part in map(Position.of, state["parts"]):
            self._parts.setdefault((part.market, part.side), {})[part.deployment_id] = part


def meant_side(order: NewOrder) -> Literal["long", "short"]:
    """Which position of an account with hedging an order means.

    One that does not say: a buy opens a long one or (reduce_only) reduces a short one; a sell the other way round.
    """
    if order.position_side:
        return order.position_side
    return "long" if (order.side == "buy") != order.reduce_only else "short"


def booking_of(instrument: Instrument, kind: Literal["cash", "margin"]) -> Booking:
    """How trades of an instrument move money. Raises ValueError for an index, which nobody can hold."""
    if instrument.kind == "index":
        raise ValueError(f"{instrument.market}: expected an instrument that can be held, got an index")
    if instrument.kind == "prediction":
        return "prediction"
    return "margin" if kind == "margin" or instrument.kind in ("perpetual", "future") else "full"
