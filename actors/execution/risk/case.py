"""One order before the limits of one scope (the account, or a deployment), and what they judge it by, looked up once.

The projected state is the worst case: positions, all open orders and this order filled, where that hurts most. Every
market is valued at the higher of its two best prices, and the order's own at its limit where that is worse.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import cached_property
from typing import Final

from actors.execution.risk.limits import AccountKind, Bounds, Denial
from actors.execution.risk.notional import order_prices, worth
from actors.execution.risk.order_rate import OrderRate
from actors.execution.risk.projection import Key, Reach, as_open, only_reduces, project, reach, reduces_leg
from actors.execution.risk.view import OpenOrder, RiskView
from protocols.instruments import Instrument
from protocols.nanos import decimal_text
from protocols.orders import NewOrder

RISK_EXITS: Final = frozenset({"flatten", "liquidation"})
"""Sources that the engine alone sets: what they reduce passes the limits of sizes, collars and rates, too."""


class Case:
    """An order, its scope and its surroundings. `pending`: orders let through together with it, just before."""

    def __init__(
        self,
        order: NewOrder,
        view: RiskView,
        ts: int,
        *,
        instrument: Instrument,
        reference: int | None,
        scope: str,
        bounds: Bounds,
        rate: OrderRate,
        account_kind: AccountKind,
        pending: Sequence[OpenOrder] = (),
    ) -> None:
        self.order = order
        self.view = view
        self.ts = ts
        self.instrument = instrument
        self.reference = reference
        self.scope = scope
        self.bounds = bounds
        self.rate = rate
        self.account_kind = account_kind
        self.pending = [each for each in pending if not scope or each.deployment_id == scope]
        self.unknown: list[str] = []
        """Markets whose value is not known, as they were come upon."""
        self._values: dict[str, int | None] = {}

    def deny(self, code: str, reason: str, field: str, limit: str, value: str) -> Denial:
        """A denial of this scope."""
        return Denial(code, reason, field, limit, value, self.scope)

    def over(self, code: str, field: str, limit: int, value: int, what: str) -> Denial:
        """A denial of a figure in nanos that is over its limit."""
        shown, most = decimal_text(value), decimal_text(limit)
        return self.deny(code, f"{what} would be {shown}, {most} is allowed", field, most, shown)

    @cached_property
    def position(self) -> int:
        """Signed quantity in the order's market and leg, now."""
        return self.view.position(self.order.market, self.scope, self.order.position_side)

    @cached_property
    def others(self) -> list[OpenOrder]:
        """Open orders of the market and leg but this one (an amendment is there already)."""
        order = self.order
        found = [*self.view.open_orders(order.market, self.scope), *self.pending]
        return [
            each
            for each in found
            if each.market == order.market
            and each.position_side == order.position_side
            and each.client_order_id != order.client_order_id
        ]

    @cached_property
    def raises(self) -> bool:
        """Whether it may make a position larger, or a new one."""
        order, position = self.order, self.position
        against = position > 0 if order.side == "sell" else position < 0
        # Without a position to reduce nobody has to look at the other orders, and there may be thousands.
        if not against and not reduces_leg(order):
            return True
        return not only_reduces(order, position, self.others)

    @cached_property
    def exits(self) -> bool:
        """Whether it takes risk away by order of the engine itself."""
        return self.order.source in RISK_EXITS and not self.raises

    @cached_property
    def reached(self) -> Reach:
        """Highest and lowest quantity of the market and leg with this order."""
        return reach(self.position, [*self.others, as_open(self.order)])

    @cached_property
    def projected(self) -> dict[Key, Reach]:
        """Highest and lowest quantity of everything in the scope."""
        own = self.order.client_order_id
        orders = [each for each in self.view.open_orders("", self.scope) if each.client_order_id != own]
        return project(self.view.positions(self.scope), [*orders, *self.pending, as_open(self.order)])

    @cached_property
    def prices(self) -> tuple[int, int] | None:
        """The lowest and the highest price of the order."""
        return order_prices(self.order, self.reference)

    @cached_property
    def judged_price(self) -> int | None:
        """The price at which the order takes most money."""
        if self.prices is None:
            return None
        return self.prices[0] if self._has_collateral() else self.prices[1]

    @cached_property
    def notional(self) -> int | None:
        """Money of the order itself; None where no price or no rate of its currency is known."""
        rate = self.view.rate(self.instrument.currency)
        if self.judged_price is None or rate is None:
            return None
        sign = -1 if self._has_collateral() else 1
        return worth(self.instrument, sign * self.order.size, self.judged_price, rate)

    @cached_property
    def equity(self) -> int | None:
        """Of the scope."""
        return self.view.equity(self.scope)

    @cached_property
    def gross(self) -> int | None:
        """Money in all projected positions; None where a price is missing, which `unknown` then names."""
        values = [self.value(market) for market in {market: None for market, _ in self.projected}]
        return None if None in values else sum(each for each in values if each is not None)

    def value(self, market: str) -> int | None:
        """Money in the projected position of a market, both legs; None where a price is missing."""
        if market not in self._values:
            found = self._valued(market)
            if found is None:
                self.unknown.append(market)
            self._values[market] = found
        return self._values[market]

    def _valued(self, market: str) -> int | None:
        legs = [reached for (name, _), reached in self.projected.items() if name == market]
        instrument = self.view.instrument(market)
        rate = None if instrument is None else self.view.rate(instrument.currency)
        known = [self.view.reference_price(market, "buy"), self.view.reference_price(market, "sell")]
        if market == self.order.market and self.prices is not None:
            known += self.prices
        prices = [each for each in known if each is not None]
        if instrument is None or rate is None or not prices:
            return None
        highest, lowest = max(prices, key=abs), min(prices)
        total = 0
        for most, least in legs:
            long = worth(instrument, max(most, 0), highest, rate)
            short_price = lowest if instrument.kind == "prediction" else highest
            total += max(long, worth(instrument, min(least, 0), short_price, rate))
        return total

    def _has_collateral(self) -> bool:
        return self.instrument.kind == "prediction" and self.order.side == "sell" and self.raises
