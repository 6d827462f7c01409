"""What an engine holds, and what risk and sizing may see of it."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Final, Literal

import msgspec

from actors.execution.accounts.account import Account
from actors.execution.accounts.settings import AccountSettings
from actors.execution.accounts.valuation import converted, unrealized
from actors.execution.blotter import Blotter
from actors.execution.deployments import Deployment
from actors.execution.matching.settings import FillSettings
from actors.execution.matching.venue import SimulatedVenue
from actors.execution.risk.breaker import BreakerSettings
from actors.execution.risk.case import RISK_EXITS
from actors.execution.risk.flatten import FlattenSettings
from actors.execution.risk.gate import RiskGate
from actors.execution.risk.limits import RiskLimits
from actors.execution.risk.protections import ProtectionSettings
from actors.execution.risk.self_trade import SelfTradeMode
from actors.execution.risk.view import OpenOrder
from actors.execution.volatility import Volatility
from protocols.gateways import NativeKinds
from protocols.instruments import Instrument
from protocols.market import MarketPhase
from protocols.nanos import NANO
from protocols.orders import NewOrder, PositionSide, Side

NEVER: Final = 2**63 - 1
ALL_NATIVE: Final = NativeKinds(
    kinds=("market", "limit"),
    times_in_force=("GTC", "IOC", "FOK", "DAY", "GTD"),
    post_only=True,
    reduce_only=("GTC", "IOC", "FOK", "DAY", "GTD"),
    iceberg=True,
    amend_price=True,
    amend_size="any",
)
"""A venue with all plain orders and none that wait for a price."""


class EngineSettings(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """One account's engine. `sample_s`: how often equity is looked at, seconds of event time.

    `venue`: "simulated": fills are made here; "external": a gateway makes them. `native`: what an external venue
    takes; other orders are put in its terms (`venue_form`), or held here until they are due (`held`).
    """

    account: AccountSettings
    fills: FillSettings = FillSettings()
    limits: RiskLimits = RiskLimits()
    breaker: BreakerSettings = BreakerSettings()
    protections: tuple[ProtectionSettings, ...] = ()
    flatten: FlattenSettings = FlattenSettings()
    self_trade: SelfTradeMode = "deny_new"
    venue: Literal["simulated", "external"] = "simulated"
    native: NativeKinds = ALL_NATIVE
    accepts_marks: tuple[str, ...] = ("synthetic", "delayed", "stale", "demo")
    """Marks of data that orders of this account may come from; a live account: none."""
    seed: int = 0
    sample_s: int = 60


class EngineState:
    """The parts of an engine, and the questions that risk asks (`RiskView`)."""

    def __init__(self, settings: EngineSettings) -> None:
        self.settings = settings
        name = settings.account.account_id
        self.now = 0
        self.blotter = Blotter(name)
        self.venue = SimulatedVenue(settings.fills, seed=settings.seed)
        self.marks = self.venue.marks
        self.account = Account(settings.account, self.marks)
        self.gate = RiskGate(
            settings.limits,
            account_kind=settings.account.kind,
            breaker=settings.breaker,
            protections=settings.protections,
        )
        self.deployments: dict[str, Deployment] = {}
        self.instruments: dict[str, Instrument] = {}
        self.phases: dict[str, MarketPhase] = {}
        self.trading: Literal["active", "reducing", "halted"] = "active"
        self.trading_reason = ""
        self.moves: dict[str, Volatility] = {}
        self.opened: dict[tuple[str, str], int] = {}
        """Since when each position is open, by deployment (empty: of the account) and market."""
        self.seen_marks: set[str] = set()
        """Marks of the data that orders came from."""

    def volatility(self, market: str) -> float | None:
        """Annualised, of the samples so far; None: too few."""
        moves = self.moves.get(market)
        return None if moves is None else moves.annual()

    def volatilities(self, markets: Iterable[str]) -> dict[str, float]:
        """Of those markets whose volatility is known."""
        found = {market: self.volatility(market) for market in markets}
        return {market: value for market, value in found.items() if value is not None}

    # -- what risk may see (`risk.view.RiskView`) --------------------------------------------------------------

    def equity(self, deployment_id: str = "") -> int | None:
        """Of the account at exit prices, nanos of its currency; of a deployment, its capital and what came of it."""
        if not deployment_id:
            return self.account.equity()
        deployment = self.deployments.get(deployment_id)
        if deployment is None or deployment.capital is None:
            return self.account.equity()
        made = self.profit_of(deployment_id)
        return None if made is None else deployment.capital + made

    def profit_of(self, deployment_id: str) -> int | None:
        """What a deployment has made, open positions at exit prices, costs off. None: a price is missing."""
        total = 0
        for position in self.account.deployment_positions(deployment_id):
            open_profit = unrealized(position, self.marks)
            if open_profit is None:
                return None
            total += position.realized + open_profit - position.fees - position.funding
        return total

    def day_start_equity(self, deployment_id: str = "") -> int | None:
        """What the day began with."""
        if deployment_id and (deployment := self.deployments.get(deployment_id)) is not None:
            return deployment.day_start
        return self.account.curve.day_start

    def peak_equity(self, deployment_id: str = "") -> int | None:
        """The highest equity so far."""
        if deployment_id and (deployment := self.deployments.get(deployment_id)) is not None:
            return deployment.peak
        return self.account.curve.peak

    def position(self, market: str, deployment_id: str = "", position_side: PositionSide = "") -> int:
        """Signed quantity in nanos: the account's, a deployment's part of it, or of one side (hedging)."""
        if position_side:
            quantity = abs(self.account.position(market, position_side).quantity)
            return quantity if position_side == "long" else -quantity
        if deployment_id:
            return self.account.deployment_position(deployment_id, market)
        return self.account.net_position(market)

    def coming(
        self, market: str, deployment_id: str, position_side: PositionSide = "", *, source: str = "", but: str = ""
    ) -> tuple[int, int]:
        """What a deployment's orders are about to trade at once, signed; and how many of them are entries that have not
        begun to fill. `source`: only of orders from there; `but`: without this order."""
        quantity = entries = 0
        for name, working in self.blotter.open.items():
            order = working.order
            if order.market != market or order.deployment_id != deployment_id or order.position_side != position_side:
                continue
            at_once = order.kind == "market" or order.time_in_force in ("IOC", "FOK")
            if at_once and not order.parent and name != but and source in ("", order.source):
                quantity += working.leaves if order.side == "buy" else -working.leaves
                entries += not order.reduce_only and not working.filled
        return quantity, entries

    def reducible(self, order: NewOrder) -> int:
        """How much of the position of who orders it this order would reduce; what is about to be traded counts."""
        position = self.position(order.market, order.deployment_id, order.position_side)
        if order.source not in RISK_EXITS:
            # An exit by the engine itself goes by what is there: what is on its way may fail.
            position += self.coming(order.market, order.deployment_id, order.position_side, but=order.client_order_id)[
                0
            ]
        return max(0, -position if order.side == "buy" else position)

    def positions(self, deployment_id: str = "") -> Iterable[tuple[str, PositionSide, int]]:
        """Market, side and signed quantity of all that are not flat."""
        found = self.account.deployment_positions(deployment_id) if deployment_id else self.account.positions()
        return [(each.market, each.side, each.quantity) for each in found if each.quantity]

    def reference_price(self, market: str, side: Side) -> int | None:
        """What an order of this side would meet: the opposite best price, else the last one."""
        mark = self.marks.get(market)
        if mark is None:
            return None
        best = mark.ask if side == "buy" else mark.bid
        return mark.last if best is None else best

    def instrument(self, market: str) -> Instrument | None:
        """Its definition, if it is known."""
        return self.instruments.get(market)

    def is_open(self, market: str) -> bool | None:
        """Whether the market takes orders, by its last status; None: nothing was said."""
        phase = self.phases.get(market)
        return None if phase is None else phase == "active"

    def rate(self, currency: str) -> int | None:
        """One unit of a currency in the account's, nanos."""
        if currency == self.settings.account.currency:
            return NANO
        return converted(NANO, self.settings.account.conversions.get(currency), self.marks)

    def margin_available(self) -> int | None:
        """What may be used for new orders: that of open orders is off, what is being closed at any price is free."""
        available, bound = self.account.available(), self.margin_of_orders()
        if available is None or bound is None:
            return None
        for market, quantity in self._leaving().items():
            freed, rate = self.account.freed(market, quantity), self.rate(self.instruments[market].currency)
            if freed is None or rate is None:
                return None
            available += freed * rate // NANO
        return available - bound

    def _leaving(self) -> dict[str, int]:
        """How much of each market's position is being closed by market orders that only reduce it."""
        found: dict[str, int] = {}
        for working in self.blotter.open.values():
            order = working.order
            if order.reduce_only and order.kind == "market" and not order.parent:
                found[order.market] = found.get(order.market, 0) + order.size - working.filled
        return found

    def margin_used(self) -> int | None:
        """What positions and open orders use."""
        used, bound = self.account.margin_used(), self.margin_of_orders()
        return None if used is None or bound is None else used + bound

    def margin_of_orders(self) -> int | None:
        """What open orders bind: those of a market and a side together, since one position offsets all of them."""
        sums: dict[tuple[str, Side], list[int]] = {}
        for working in self.blotter.open.values():
            order = working.order
            if order.reduce_only:
                continue
            price = order.price
            if price is None:
                price = self.reference_price(order.market, order.side)
                if price is None:
                    return None
            leaves = order.size - working.filled
            sized = sums.get((order.market, order.side))
            if sized is None:
                sums[order.market, order.side] = [leaves, leaves * price]
            else:
                sized[0] += leaves
                sized[1] += leaves * price
        total = 0
        for (market, side), (size, notional) in sums.items():
            if size <= 0:
                continue
            bound = self._bound(market, side, size, -(-notional // size), False)
            if bound is None:
                return None
            total += bound
        return total

    def margin_required(self, order: NewOrder, price: int) -> int | None:
        """What an order would use at a price, in the account's currency."""
        return self._bound(order.market, order.side, order.size, price, order.reduce_only)

    def _bound(self, market: str, side: Side, size: int, price: int | None, reduce_only: bool) -> int | None:
        if reduce_only or not size:
            return 0
        instrument = self.instruments.get(market)
        if price is None:
            price = self.reference_price(market, side)
        if instrument is None or price is None:
            return None
        rate = self.rate(instrument.currency)
        if rate is None:
            return None
        leaving = self._leaving().get(market, 0)
        return self.account.initial_margin(market, side, size, price, leaving=leaving) * rate // NANO

    def open_orders(self, market: str = "", deployment_id: str = "") -> Iterable[OpenOrder]:
        """Open orders, of one market or of all, of one deployment or of all."""
        for working in self.blotter:
            order = working.order
            if (not market or order.market == market) and (not deployment_id or order.deployment_id == deployment_id):
                yield OpenOrder(
                    client_order_id=order.client_order_id,
                    deployment_id=order.deployment_id,
                    market=order.market,
                    side=order.side,
                    leaves=working.leaves,
                    price=order.price,
                    reduce_only=order.reduce_only,
                    position_side=order.position_side,
                    parent=order.parent,
                    oco=order.oco,
                )
