"""What an engine holds, and what risk and sizing may see of it."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Final, Literal, NamedTuple

import msgspec

from actors.execution.accounts.account import Account
from actors.execution.accounts.settings import AccountSettings
from actors.execution.blotter import Blotter
from actors.execution.deployments import Deployment
from actors.execution.matching.settings import FillSettings
from actors.execution.matching.venue import SimulatedVenue
from actors.execution.risk.gate import RiskGate
from actors.execution.risk.limits import RiskLimits
from actors.execution.risk.protections import ProtectionSettings
from protocols.instruments import Instrument
from protocols.nanos import NANO
from protocols.orders import Side

NEVER: Final = 2**63 - 1
DAY_NS: Final = 86_400 * NANO


class EngineSettings(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """One account's engine. `sample_s`: how often equity is looked at, seconds of event time.

    `venue`: "simulated": fills are made here; "external": a gateway makes them. `native`: the order kinds that an
    external venue has; the others, and contingencies, are held here until they are due.
    """

    account: AccountSettings
    fills: FillSettings = FillSettings()
    limits: RiskLimits = RiskLimits()
    protections: tuple[ProtectionSettings, ...] = ()
    self_trade: Literal["deny_new", "cancel_resting", "decrease"] = "deny_new"
    venue: Literal["simulated", "external"] = "simulated"
    native: tuple[str, ...] = ("market", "limit")
    accepts_marks: tuple[str, ...] = ("synthetic", "delayed", "stale", "demo")
    """Marks of data that orders of this account may come from; a live account: none."""
    seed: int = 0
    sample_s: int = 60


class EquitySample(NamedTuple):
    """Equity of the account at a moment; money in nanos. `equity` None: a price is missing."""

    ts: int
    equity: int | None
    cash: int


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
        self.gate = RiskGate(settings.limits, {})
        self.deployments: dict[str, Deployment] = {}
        self.instruments: dict[str, Instrument] = {}
        self.trading: Literal["active", "reducing", "halted"] = "active"
        self.trading_reason = ""
        self.day = -1
        self.day_start: int | None = None
        self.peak: int | None = None

    # -- what risk may see -------------------------------------------------------------------------------------

    def equity(self) -> int | None:
        """Of the account, nanos of its currency; None: a price is missing."""
        return self.account.equity()

    def day_start_equity(self) -> int | None:
        """The first equity of the day (UTC)."""
        return self.day_start

    def peak_equity(self) -> int | None:
        """The highest equity so far."""
        return self.peak

    def cash(self) -> int:
        """Money in the account's currency, nanos."""
        return self.account.cash()

    def position(self, market: str, deployment_id: str = "") -> int:
        """Signed quantity in nanos: the account's, or a deployment's part of it."""
        if deployment_id:
            return self.account.deployment_position(deployment_id, market)
        return self.account.net_position(market)

    def positions(self) -> Mapping[str, int]:
        """Signed quantity by market, open ones only."""
        return self.account.net_positions()

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

    def margin_available(self) -> int | None:
        """What may still be bound as initial margin, nanos."""
        return self.account.available()

    def deployment_equity(self, deployment: Deployment) -> int | None:
        """The deployment's share of the account's equity, nanos."""
        equity = self.account.equity()
        share = deployment.settings.capital_share
        if equity is None or share == 1.0:
            return equity
        return equity * round(share * NANO) // NANO

    def open_markets(self) -> Iterator[str]:
        """Markets with open orders."""
        return iter({working.order.market for working in self.blotter})
