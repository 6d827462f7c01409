"""What live execution is asked and answers, in the words of the strategy service: numbers with exact digits."""

from __future__ import annotations

from decimal import Decimal
from typing import Annotated, Any, Literal

import msgspec

from actors.execution.deployments import DeploymentSettings
from actors.execution.http.bodies import PositionBody, position_body
from actors.execution.http.numbers import Amount, known_plain, moment, number, plain
from actors.execution.risk.limits import RiskLimits
from actors.execution.risk.sizing import Method
from protocols.execution import AccountView, DeploymentState, DeploymentView
from protocols.nanos import NANO, exact_nanos
from protocols.signal_stream import FreeObject, Number

Limit = Annotated[int, msgspec.Meta(ge=1, le=200)]
Offset = Annotated[int, msgspec.Meta(ge=0, le=10_000)]
DeploymentType = Literal["paper_trading", "live_trading", "simulation"]
SignalType = Literal["entry_long", "entry_short", "exit_long", "exit_short", "position_adjust", "risk_management"]


class DeploymentRequest(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """A strategy to be deployed. `environment_id`: the account it trades on; on paper without one an account of
    `allocated_capital` is opened. Live needs an account of the configuration.

    `capital_share`: of the account; null: `allocated_capital` over what the account began with, at most 1; without
    that all of it. `execution_config`: `opposite`, `min_confidence`, `allow_short`, `entries`, `source`,
    `parameters`, `configuration`, `decisions`, `gate`. `monitoring_config` must be empty: limits and alerts are those
    of the account.
    """

    strategy_id: str | int
    environment_id: str | int | None = None
    deployment_name: Annotated[str, msgspec.Meta(max_length=255)] = ""
    deployment_type: DeploymentType = "paper_trading"
    allocated_capital: Amount | None = None
    capital_share: Annotated[float, msgspec.Meta(gt=0, le=1)] | None = None
    symbols: tuple[str, ...] = ()
    timeframes: Annotated[tuple[str, ...], msgspec.Meta(min_length=1)] = ("1h",)
    position_sizing_method: Method = "fixed_percentage"
    position_size_config: dict[str, Any] = {}
    risk_limits: RiskLimits | None = None
    execution_config: dict[str, Any] = {}
    monitoring_config: dict[str, Any] = {}
    user: str = ""
    auto_start: bool = True


class LiveDeployment(msgspec.Struct, frozen=True):
    """A deployment, which is also its execution. `status`: active, paused, stopped or error."""

    deployment_id: str
    execution_id: str
    strategy_id: str
    environment_id: str
    deployment_name: str
    deployment_type: str
    status: str
    status_reason: str
    user: str
    allocated_capital: Number | None
    capital_share: float
    symbols: tuple[str, ...]
    position_sizing_method: str
    realized_pnl: Number | None
    unrealized_pnl: Number | None
    total_commission: Number | None
    signals_received: int | None
    signals_declined: int | None
    orders_placed: int | None
    orders_filled: int | None
    positions: tuple[PositionBody, ...]
    created_at: str | None
    settings: FreeObject
    decisions: str = ""
    """The decision server that is asked about its signals; empty: none is."""
    gate: str = ""
    """`thresholds`, where they are asked instead."""


class ExecutionPage(msgspec.Struct, frozen=True):
    """Deployments, the newest first; figures are shown of one alone."""

    deployments: tuple[LiveDeployment, ...]
    total_count: int
    limit: int
    offset: int


class ExecutionList(msgspec.Struct, frozen=True):
    """Executions, the newest first; figures are shown of one alone."""

    executions: tuple[LiveDeployment, ...]
    total_count: int
    limit: int
    offset: int


class ListQuery(msgspec.Struct, frozen=True):
    """Which deployments; empty: all."""

    strategy_id: str = ""
    environment_id: str = ""
    status: Literal["", DeploymentState] = ""
    limit: Limit = 50
    offset: Offset = 0


class OneDeployment(msgspec.Struct, frozen=True):
    """Which deployment."""

    deployment_id: str


class OneExecution(msgspec.Struct, frozen=True):
    """Which execution: the id of its deployment."""

    execution_id: str


class StopRequest(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """Which deployment; `close_positions`: what it holds is left, too."""

    deployment_id: str
    reason: str = ""
    close_positions: bool = False


class StopExecution(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """Which execution; `close_positions`: what it holds is left, too."""

    execution_id: str
    reason: str = ""
    close_positions: bool = False


class SignalRequest(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """A signal for a deployment. Entries and exits follow from `signal_type`, and `action` says the same or hold,
    which never orders; the other types do what `action` says.

    `price`: of a limit order; null: at the market, at most `max_slippage` (a share) away. Of `features` the assessment
    takes `volatility` (annualised) and `regime` (volatile, trending, other) where the node does not know them.
    An entry with a confidence below 0.5 is not taken. `processing_mode`: only real_time is done.
    """

    strategy_execution_id: str | int
    signal_type: SignalType
    symbol: str
    timeframe: str = "1h"
    action: Literal["buy", "sell", "hold"]
    quantity: Amount | None = None
    price: Amount | None = None
    confidence: Annotated[float, msgspec.Meta(ge=0, le=1)] = 0.5
    stop_loss: Amount | None = None
    take_profit: Amount | None = None
    max_slippage: Amount = Decimal("0.001")
    indicators: dict[str, Any] = {}
    features: dict[str, Any] = {}
    model_output: dict[str, Any] | None = None
    priority: Literal["low", "medium", "high", "critical"] = "medium"
    processing_mode: Literal["real_time", "batch", "scheduled"] = "real_time"
    signal_id: Annotated[str, msgspec.Meta(max_length=100)] = ""
    validity_s: Annotated[float, msgspec.Meta(gt=0, le=86_400)] = 60.0


class SignalAnswer(msgspec.Struct, frozen=True):
    """What became of it. `signal_accepted`: it is stored, and the deployment acts on it; else `reason` says why not.

    `risk_score` null: nothing is known of the market. `processing_latency_ms`: from the request to its being stored.
    """

    signal_accepted: bool
    signal_id: str | None
    seq: int | None
    processing_latency_ms: float
    confidence_score: float
    risk_score: float | None
    execution_recommendation: str
    action: str
    reason: str
    unknown: tuple[str, ...]


class OrchestratedStrategy(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """One strategy of an orchestration and its share of the capital."""

    strategy_id: str | int
    weight: Annotated[float, msgspec.Meta(gt=0, le=1)]
    symbols: tuple[str, ...] = ()
    timeframe: str = "1h"
    source: str = ""
    parameters: dict[str, Any] = {}
    position_sizing_method: Method = "fixed_percentage"
    position_size_config: dict[str, Any] = {}
    opposite: Literal["close", "flip", "ignore"] = "close"
    risk_limits: RiskLimits | None = None


class OrchestrationRequest(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """Several strategies on one account, with shares that are at most 1 in all. Without `environment_id` a paper
    account of `total_capital` is opened."""

    name: Annotated[str, msgspec.Meta(max_length=255)] = ""
    environment_id: str | int | None = None
    total_capital: Amount | None = None
    strategies: Annotated[tuple[OrchestratedStrategy, ...], msgspec.Meta(min_length=1, max_length=50)]
    user: str = ""


class OrchestrationBody(msgspec.Struct, frozen=True):
    """The deployments of one account and their shares. Its id is the account's."""

    orchestration_id: str
    environment_id: str
    name: str
    status: str
    currency: str
    total_capital: Number
    current_value: Number | None
    weights: dict[str, float]
    unallocated: float
    deployments: tuple[LiveDeployment, ...]


class OrchestrationPage(msgspec.Struct, frozen=True):
    """Accounts with deployments."""

    orchestrations: tuple[OrchestrationBody, ...]
    total_count: int


class OneOrchestration(msgspec.Struct, frozen=True):
    """Which orchestration: the id of its account."""

    orchestration_id: str


class RebalanceRequest(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """Other shares, by deployment; null: equal ones for all that are active or paused."""

    orchestration_id: str
    weights: dict[str, float] | None = None


class BrokerQuery(msgspec.Struct, frozen=True):
    """Which account; it may be left out where there is only one."""

    account_id: str = ""


class BrokerBody(msgspec.Struct, frozen=True):
    """Where an account's orders go, and whether it can trade now."""

    account_id: str
    broker: str
    mode: str
    connected: bool
    state: str
    trading: str
    reason: str
    reconciled_at: str | None
    differences: int | None


class BrokerPage(msgspec.Struct, frozen=True):
    """All accounts. `live_allowed`: whether any account may trade at a venue."""

    brokers: tuple[BrokerBody, ...]
    live_accounts: int


class BrokerAccount(msgspec.Struct, frozen=True):
    """The money of an account."""

    account_id: str
    currency: str
    cash: Number
    equity: Number | None
    buying_power: Number | None
    margin_used: Number | None
    realized_pnl: Number
    unrealized_pnl: Number | None
    missing: tuple[str, ...]
    updated_at: str | None


class BrokerPositions(msgspec.Struct, frozen=True):
    """What an account holds."""

    account_id: str
    positions: tuple[PositionBody, ...]


TYPES = {"paper": "paper_trading", "live": "live_trading", "replay": "simulation", "backtest": "simulation"}


def execution_body(view: DeploymentView, account: AccountView | None, *, figures: bool) -> LiveDeployment:
    """A deployment. `figures` False: they were not asked for."""
    settings = msgspec.json.decode(view.settings, type=DeploymentSettings)
    capital = None
    if account is not None:
        capital = exact_nanos(account.initial_capital) * round(settings.capital_share * NANO) // NANO
    return LiveDeployment(
        deployment_id=view.deployment_id,
        execution_id=view.deployment_id,
        strategy_id=view.strategy_id,
        environment_id=view.account,
        deployment_name=view.name,
        deployment_type=TYPES[view.mode],
        status=view.state,
        status_reason=view.reason,
        user=view.user,
        allocated_capital=number(capital),
        capital_share=settings.capital_share,
        symbols=settings.markets,
        position_sizing_method=settings.sizing.method,
        realized_pnl=known_plain(view.realized) if figures else None,
        unrealized_pnl=plain(view.unrealized) if figures else None,
        total_commission=known_plain(view.fees) if figures else None,
        signals_received=view.signals if figures else None,
        signals_declined=view.declined if figures else None,
        orders_placed=view.orders if figures else None,
        orders_filled=view.fills if figures else None,
        positions=tuple(map(position_body, view.positions)),
        created_at=moment(view.created),
        settings=view.settings,
        decisions=settings.decisions,
        gate=settings.gate,
    )


def broker_account(view: AccountView) -> BrokerAccount:
    """The money of an account."""
    return BrokerAccount(
        account_id=view.account,
        currency=view.currency,
        cash=known_plain(view.cash),
        equity=plain(view.equity),
        buying_power=plain(view.available),
        margin_used=plain(view.margin_used),
        realized_pnl=known_plain(view.realized),
        unrealized_pnl=plain(view.unrealized),
        missing=view.missing,
        updated_at=moment(view.ts),
    )
