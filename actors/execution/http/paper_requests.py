"""What paper trading is asked, in the words of the strategy service, and the answers that are small."""

from __future__ import annotations

from decimal import Decimal
from typing import Annotated, Any, Literal

import msgspec

from actors.execution.http import reading
from actors.execution.http.bodies import DeploymentBody
from actors.execution.http.deploying import RunRequest
from actors.execution.http.numbers import (
    Amount,
)
from actors.execution.http.orders import (
    AmendRequest,
    OrderRequest,
)
from actors.execution.matching.settings import FillSettings
from actors.execution.risk.limits import RiskLimits
from actors.execution.risk.protections import ProtectionSettings
from actors.execution.risk.sizing import Method
from protocols.orders import OrderState, Side
from protocols.signal_stream import Number

Name = Annotated[str, msgspec.Meta(max_length=255)]
Description = Annotated[str, msgspec.Meta(max_length=1000)]
Limit = Annotated[int, msgspec.Meta(ge=1, le=499)]
Before = Annotated[int, msgspec.Meta(ge=1)]


class NewSession(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """A paper session. `strategy_id`: a strategy that is to trade it; then `symbols` may be those of its run.

    `initial_capital`, `limits` null: those of `[execution]`, 100000 and the paper defaults unless it says otherwise.
    `commission_rate`: a share of what is traded, of maker and taker alike; null: the instrument's fees. A market of
    Kalshi keeps its curve.
    `slippage_rate`: what an order that takes loses on bars; on books it walks through what is there.
    `limits`: RiskLimits; `fills`: fields of FillSettings; `protections`: locks.
    """

    strategy_id: str | int | None = None
    name: Name = ""
    description: Description = ""
    user: Name = ""
    initial_capital: Amount | None = None
    currency: Annotated[str, msgspec.Meta(min_length=1, max_length=32)] = "USD"
    commission_rate: Amount | None = Decimal("0.001")
    slippage_rate: Amount = Decimal("0.0001")
    account_kind: Literal["cash", "margin"] = "cash"
    leverage: Amount = Decimal(1)
    position_mode: Literal["netting", "hedging"] = "netting"
    symbols: tuple[str, ...] = ()
    source: str = ""
    timeframe: str = "1h"
    parameters: dict[str, Any] = {}
    configuration: dict[str, Any] = {}
    position_sizing: Method = "fixed_percentage"
    position_sizing_config: dict[str, Any] = {}
    max_position_size: Amount | None = None
    opposite: Literal["close", "flip", "ignore"] = "close"
    limits: RiskLimits | None = None
    fills: FillSettings = FillSettings()
    protections: tuple[ProtectionSettings, ...] = ()
    seed: int = 0


class NewPaperAccount(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """A paper account; its fields are those of a session."""

    account_id: Annotated[str, msgspec.Meta(max_length=64)] = ""
    name: Name = ""
    description: Description = ""
    user: Name = ""
    initial_capital: Amount | None = None
    currency: Annotated[str, msgspec.Meta(min_length=1, max_length=32)] = "USD"
    commission_rate: Amount | None = Decimal("0.001")
    slippage_rate: Amount = Decimal("0.0001")
    account_kind: Literal["cash", "margin"] = "cash"
    leverage: Amount = Decimal(1)
    position_mode: Literal["netting", "hedging"] = "netting"
    symbols: tuple[str, ...] = ()
    limits: RiskLimits | None = None
    fills: FillSettings = FillSettings()
    protections: tuple[ProtectionSettings, ...] = ()
    seed: int = 0


class PaperAccountQuery(msgspec.Struct, frozen=True):
    """Whose paper accounts (empty: everybody's), and which of them, by their ids."""

    user: str = ""
    limit: Annotated[int, msgspec.Meta(ge=1, le=200)] = 50
    offset: Annotated[int, msgspec.Meta(ge=0, le=10_000)] = 0


class OneSession(msgspec.Struct, frozen=True):
    """Which session."""

    session_id: str


class OnePaperAccount(msgspec.Struct, frozen=True):
    """Which account."""

    account_id: str


class SessionQuery(msgspec.Struct, frozen=True):
    """Which sessions; empty: all."""

    status: Literal["", "starting", "active", "reducing", "halted", "stopped"] = ""
    user: str = ""
    strategy_id: str = ""
    limit: Annotated[int, msgspec.Meta(ge=1, le=200)] = 50
    offset: Annotated[int, msgspec.Meta(ge=0, le=10_000)] = 0


class StopSession(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """`close_positions`: what is held is sold, too; else it stays."""

    session_id: str
    close_positions: bool = False


class Deploy(RunRequest, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """Deploy a strategy to paper: onto `account_id` (or `session_id`); without one an account is opened for it."""

    strategy_id: str
    account_id: str = ""
    session_id: str = ""
    initial_capital: Amount | None = None
    commission_rate: Amount | None = Decimal("0.001")
    slippage_rate: Amount = Decimal("0.0001")


class Deployed(msgspec.Struct, frozen=True):
    """The strategy trades on this account."""

    message: str
    deployment_id: str
    account_id: str
    strategy_id: str
    status: str
    deployment: DeploymentBody


class SessionOrder(OrderRequest, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """An order in a session."""

    session_id: str


class OneSessionOrder(msgspec.Struct, frozen=True):
    """Which order of which session."""

    session_id: str
    order_id: str


class SessionAmend(AmendRequest, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """A change of an order."""

    session_id: str


class SessionOrders(msgspec.Struct, frozen=True):
    """Which orders: those before a place, that which changed last first."""

    session_id: str
    status: Literal["", OrderState] = ""
    symbol: str = ""
    limit: Limit = 100
    before: Before = reading.LAST


class HistoryQuery(msgspec.Struct, frozen=True):
    """Which samples: in a span of time (ISO 8601), before a place."""

    session_id: str
    start_date: str = ""
    end_date: str = ""
    limit: Limit = 100
    before: Before = reading.LAST


class AlertQuery(msgspec.Struct, frozen=True):
    """How many alerts, of which severity (empty: any)."""

    session_id: str
    severity: Literal["", "medium", "high", "critical"] = ""
    limit: Annotated[int, msgspec.Meta(ge=1, le=200)] = 50


class PaperPerformanceQuery(msgspec.Struct, frozen=True):
    """Of which account or session; empty: of all paper accounts."""

    account_id: str = ""
    session_id: str = ""


class SizeRequest(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """How much may be traded so that a stop loses `risk_percentage` of the equity (shares: 0.01 is 1 %)."""

    session_id: str
    symbol: str
    side: Side
    risk_percentage: Amount = Decimal("0.01")
    stop_loss_pct: Amount | None = None
    stop_loss_price: Amount | None = None


class SizeAnswer(msgspec.Struct, frozen=True):
    """The recommendation. `unknown`: what it lacks; the quantity is 0 then."""

    session_id: str
    symbol: str
    side: str
    recommended_quantity: Number
    max_quantity: Number | None
    current_price: Number | None
    stop_loss_price: Number | None
    position_value: Number | None
    rationale: str
    unknown: tuple[str, ...]


class OneSymbol(msgspec.Struct, frozen=True):
    """Which market."""

    symbol: str


class PaperMarket(msgspec.Struct, frozen=True):
    """A market now; null: not known. `marks`: what is wrong with its data (`synthetic`, `delayed`, `stale` …)."""

    symbol: str
    bid: Number | None
    bid_size: Number | None
    ask: Number | None
    ask_size: Number | None
    price: Number | None
    status: str
    timestamp: str | None
    source: str
    marks: tuple[str, ...]


class PaperBarsQuery(msgspec.Struct, frozen=True):
    """Which bars of which market."""

    symbol: str
    timeframe: str = "1m"
    limit: Annotated[int, msgspec.Meta(ge=1, le=500)] = 100


class PaperBar(msgspec.Struct, frozen=True):
    """A bar, named by its start."""

    timestamp: str
    open: Number
    high: Number
    low: Number
    close: Number
    volume: Number | None


class PaperBars(msgspec.Struct, frozen=True):
    """Bars that are in memory, the oldest first; older ones are at /api/v1/markets/…/bars."""

    symbol: str
    timeframe: str
    data: tuple[PaperBar, ...]
