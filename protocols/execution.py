"""What is said to accounts and deployments: opening, showing, ordering by hand, limits, the kill switch.

Money, prices and sizes in nanos (sums of money as exact decimal text); shares as decimal numbers where settings have
them. Times in ns since the Unix epoch, UTC. Settings travel as JSON objects: their types are those of execution.
"""

from __future__ import annotations

from typing import Final, Literal

import msgspec

from protocols.control import Message, Request, Row
from protocols.deployments import OrdersTaken, PositionShown
from protocols.instruments import Instrument
from protocols.orders import Order, OrderCommand, Side

EXECUTION: Final = "/execution"
ACCOUNTS: Final = "/execution/accounts"
EVENTS: Final = "/execution/events"
EXPOSURE: Final = "/execution/exposure"
"""The path of the actor that hands order events to clients."""
OUTCOMES: Final = "outcomes"
"""The stream of outcomes in the node's log."""

AccountMode = Literal["paper", "live"]
TradingState = Literal["active", "reducing", "halted"]
DeploymentState = Literal["active", "paused", "stopped", "error"]


def account_actor(account: str) -> str:
    """The path of an account's actor."""
    return f"{ACCOUNTS}/{account}/account"


def gateway_actor(account: str) -> str:
    """The path of the gateway of an account that trades at a venue."""
    return f"{ACCOUNTS}/{account}/gateway"


# Accounts.


class OpenAccount(Request["AccountView"], frozen=True, gc=False, kw_only=True, tag="open_account"):
    """Asks the roster for a new account. `engine`: EngineSettings, a JSON object; `deposit`: the first money in it.

    `session`: the paper session that it belongs to, empty for none. Refused `invalid` (with the field), `exists`.
    """

    engine: msgspec.Raw
    mode: AccountMode = "paper"
    session: str = ""
    name: str = ""
    description: str = ""
    markets: tuple[str, ...] = ()


class CloseAccount(Request[None], frozen=True, gc=False, tag="close_account"):
    """Asks the roster to end an account: no new orders, open ones are cancelled, its actor ends; its rows stay."""

    account: str


class LockShown(msgspec.Struct, frozen=True, gc=False):
    """A lock of a protection."""

    market: str
    side: str
    reason: str
    until: int
    deployment_id: str = ""


class AccountView(Message, frozen=True, gc=False, kw_only=True, tag="account_view"):
    """How an account stands. `equity`, `unrealized`, `available`: None where a price is missing (`missing` says of
    which market or currency).

    `day_start`, `peak`: equity. `recovered`: inputs that were replayed at its start, and how long that took, ms.
    """

    account: str
    user: str
    name: str
    mode: AccountMode
    session: str
    currency: str
    state: Literal["recovering", "reconciling", "trading"]
    trading: TradingState
    trading_reason: str
    breaker: str
    cash: str
    equity: str | None
    available: str | None
    margin_used: str | None
    realized: str
    unrealized: str | None
    fees: str
    initial_capital: str
    day_start: str | None
    peak: str | None
    positions: tuple[PositionShown, ...]
    open_orders: int
    orders: int
    fills: int
    inputs: int
    deployments: tuple[str, ...]
    locks: tuple[LockShown, ...]
    missing: tuple[str, ...]
    marks: tuple[str, ...]
    ts: int
    recovered: int = 0
    recovery_ms: float = 0.0


class GetAccount(Request[AccountView], frozen=True, gc=False, tag="get_account"):
    """Asks an account how it stands."""


class AccountList(Message, frozen=True, gc=False, tag="account_list"):
    """Accounts: id, user, mode, session, name, whether it runs."""

    accounts: tuple[tuple[str, str, AccountMode, str, str, bool], ...]


class ListAccounts(Request[AccountList], frozen=True, gc=False, tag="list_accounts"):
    """Asks the roster for all accounts."""


class AccountOpened(Message, frozen=True, gc=False, tag="account_opened"):
    """What an account was opened with: AccountSpec as JSON, and when (ns)."""

    account: str
    settings: msgspec.Raw
    created: int


class GetAccountSettings(Request[AccountOpened], frozen=True, gc=False, tag="get_account_settings"):
    """Asks the roster what an account was opened with. Refused `not_found`."""

    account: str


class PaperDefaults(Message, frozen=True, gc=False, tag="paper_defaults"):
    """What a paper account has that does not say: its first money (decimal text), and how many positions."""

    capital: str
    positions: int


class GetPaperDefaults(Request[PaperDefaults], frozen=True, gc=False, tag="get_paper_defaults"):
    """Asks the roster what paper accounts begin with."""


class MarketShown(Message, frozen=True, gc=False, kw_only=True, tag="market_shown"):
    """A market as an account sees it. None: not known. `rate`: one unit of its currency in the account's, nanos.

    `volatility`: annualised, of the account's own samples. `ts`: of the newest price, ns; 0: there was none.
    """

    instrument: Instrument
    bid: int | None
    bid_size: int
    ask: int | None
    ask_size: int
    last: int | None
    ts: int
    rate: int | None
    volatility: float | None
    is_open: bool | None


class GetMarket(Request[MarketShown], frozen=True, gc=False, tag="get_market"):
    """Asks an account to follow a market, and how it stands; answered when its definition is there.

    Refused `not_found`, `instrument_unknown`.
    """

    market: str


class HoldingShown(msgspec.Struct, frozen=True, gc=False, kw_only=True):
    """A position with what it is worth: `price` at which it could be left, `value` in the account's currency."""

    market: str
    quantity: int
    price: int | None
    value: str | None
    rate: int | None
    instrument: Instrument | None


class RiskShown(Message, frozen=True, gc=False, kw_only=True, tag="risk_shown"):
    """What an account's risk is measured by. Money in nanos as text. `limits`: RiskLimits as JSON.

    `deployments`: the limits of each deployment.
    """

    account: str
    currency: str
    equity: str | None
    day_start: str | None
    peak: str | None
    margin_used: str | None
    open_orders: int
    holdings: tuple[HoldingShown, ...]
    limits: msgspec.Raw
    deployments: tuple[tuple[str, msgspec.Raw], ...]
    denied: tuple[tuple[str, int], ...]
    """How many orders were denied since the last start, by code."""
    ts: int


class GetRisk(Request[RiskShown], frozen=True, gc=False, tag="get_risk"):
    """Asks an account for what its risk is measured by."""


class OrderList(Message, frozen=True, gc=False, tag="order_list"):
    """Orders, the newest first."""

    orders: tuple[Order, ...]


class GetOrders(Request[OrderList], frozen=True, gc=False, kw_only=True, tag="get_orders"):
    """Asks an account for orders that it remembers: all open ones, and the ended ones of late (`ended`)."""

    client_order_id: str = ""
    market: str = ""
    deployment_id: str = ""
    ended: bool = True
    limit: int = 500


class OrderByHand(Request[OrdersTaken], frozen=True, gc=False, kw_only=True, tag="order_by_hand"):
    """Asks an account to do commands of a person: orders of source `manual` of the deployment `manual`.

    Refused `recovering`, `reconciling`, `not_found` (a cancel or an amend of an unknown order), `conflict` (it has
    ended, or the id is taken by another order).
    """

    commands: tuple[OrderCommand, ...]


class CheckOrder(Request["OrderChecked"], frozen=True, gc=False, kw_only=True, tag="check_order"):
    """Asks whether an order would be let through, and how large one may be. Nothing is counted or sent."""

    market: str
    side: Side
    size: int
    price: int | None = None
    deployment_id: str = ""


class OrderChecked(Message, frozen=True, gc=False, kw_only=True, tag="order_checked"):
    """`code` empty: it would pass."""

    code: str
    reason: str
    reference_price: int | None


class SizePosition(Request["PositionSized"], frozen=True, gc=False, kw_only=True, tag="size_position"):
    """Asks how much may be bought or sold so that a stop loses `risk_share` of the equity. Shares in nanos."""

    market: str
    side: Side
    risk_share: int
    stop_share: int | None = None
    stop_price: int | None = None


class PositionSized(Message, frozen=True, gc=False, kw_only=True, tag="position_sized"):
    """The recommendation, nanos. `missing`: what could not be known."""

    quantity: int
    most: int | None
    price: int | None
    stop_price: int | None
    value: str | None
    rationale: str
    missing: tuple[str, ...] = ()


class MoneyIn(Request[None], frozen=True, gc=False, tag="money_in"):
    """Deposit into a paper account, or withdraw (negative), nanos. A repeat is recognised by `reference`."""

    amount: int
    currency: str
    reference: str


class ChangeLimits(Request[None], frozen=True, gc=False, tag="change_limits"):
    """Other limits (RiskLimits as JSON) of an account, or of one of its deployments."""

    limits: msgspec.Raw
    deployment_id: str = ""


class SwitchBreaker(Request[None], frozen=True, gc=False, tag="switch_breaker"):
    """Opens an account's breaker by hand, or closes it. While it is open only what reduces passes."""

    open: bool
    reason: str = ""


class TakeLocksAway(Request[None], frozen=True, gc=False, tag="take_locks_away"):
    """Ends the locks of protections: of a market, or (empty) of all."""

    market: str = ""
    deployment_id: str = ""


class SwitchTrading(Request[None], frozen=True, gc=False, tag="switch_trading"):
    """Lets an account trade again (`active`), only reduce, or not at all."""

    state: TradingState
    reason: str


class FlattenView(Message, frozen=True, gc=False, kw_only=True, tag="flatten_view"):
    """How far the kill switch is. `left`: what its deadlines left behind."""

    account: str
    phase: str
    reason: str
    open_orders: int
    positions: int
    left: tuple[str, ...] = ()


class FlattenAccount(Request[FlattenView], frozen=True, gc=False, kw_only=True, tag="flatten_account"):
    """The kill switch of one account: no new orders, cancel by id, then close if asked to. Answered when it began."""

    reason: str
    close: bool = True
    deployment_id: str = ""


class GetFlatten(Request[FlattenView], frozen=True, gc=False, tag="get_flatten"):
    """Asks how far it is."""


class KillSwitch(Request["KillReport"], frozen=True, gc=False, kw_only=True, tag="kill_switch"):
    """Asks the roster: flatten every account (or one), and then stop their strategies. Answered at the end."""

    reason: str
    account: str = ""
    close: bool = True
    stop_actors: bool = False


class KillReport(Message, frozen=True, gc=False, tag="kill_report"):
    """What became of each account."""

    accounts: tuple[FlattenView, ...]
    stopped: tuple[str, ...]


# Accounts at venues.


class DifferenceShown(msgspec.Struct, frozen=True, gc=False):
    """Something on which the venue and we do not agree; decimal text, empty where there is none."""

    kind: str
    what: str
    ours: str
    theirs: str


class ReconciliationView(Message, frozen=True, gc=False, tag="reconciliation_view"):
    """What the last comparison with the venue found, and when (0: there was none)."""

    account: str
    compared: int
    differences: tuple[DifferenceShown, ...]


class GetReconciliation(Request[ReconciliationView], frozen=True, gc=False, tag="get_reconciliation"):
    """Asks an account what differs from its venue."""


class AlignWithVenue(Request[ReconciliationView], frozen=True, gc=False, tag="align_with_venue"):
    """A person says that the venue is right: its money and positions are taken over, as postings of their own."""

    reference: str


# Deployments.


class DeploymentView(Message, frozen=True, gc=False, kw_only=True, tag="deployment_view"):
    """A deployment: its settings as JSON, its state, and what it has done. Sums of money as decimal text."""

    deployment_id: str
    strategy_id: str
    account: str
    user: str
    name: str
    mode: str
    state: DeploymentState
    reason: str
    settings: msgspec.Raw
    created: int
    signals: int = 0
    declined: int = 0
    orders: int = 0
    fills: int = 0
    realized: str = "0"
    unrealized: str | None = None
    fees: str = "0"
    positions: tuple[PositionShown, ...] = ()


class StartDeployment(Request[DeploymentView], frozen=True, gc=False, kw_only=True, tag="start_deployment"):
    """Asks the roster for a new deployment. `settings`: DeploymentSettings as JSON. Refused `invalid`, `not_found`,
    `exists`, `live_disabled`. `active` False: it is there, and stopped."""

    settings: msgspec.Raw
    active: bool = True


class SwitchDeployment(Request[DeploymentView], frozen=True, gc=False, tag="switch_deployment"):
    """Asks the roster to pause, resume, stop or start a deployment. Stopping cancels its open orders."""

    deployment_id: str
    to: Literal["active", "paused", "stopped"]
    reason: str = ""
    close: bool = False


class ViewDeployment(Request[DeploymentView], frozen=True, gc=False, tag="view_deployment"):
    """Asks the roster for a deployment with its figures. Refused `not_found`."""

    deployment_id: str


class DeploymentList(Message, frozen=True, gc=False, tag="deployment_list"):
    """Deployments, the newest first; without figures."""

    deployments: tuple[DeploymentView, ...]


class ListDeployments(Request[DeploymentList], frozen=True, gc=False, kw_only=True, tag="list_deployments"):
    """Asks the roster for deployments: of an account, a strategy or a state; empty: of any."""

    account: str = ""
    strategy_id: str = ""
    state: str = ""


class Rebalance(Request[DeploymentList], frozen=True, gc=False, tag="rebalance"):
    """Asks the roster for other capital shares of an account's deployments, (id, share) each; the sum is at most 1."""

    account: str
    shares: tuple[tuple[str, float], ...]


class FiguresOf(Request[DeploymentView], frozen=True, gc=False, tag="figures_of"):
    """Asks an account for the figures of one of its deployments; the settings are left empty."""

    deployment_id: str


class ApplyDeployment(Request[None], frozen=True, gc=False, tag="apply_deployment"):
    """From the roster to an account: this deployment is on it, in this state."""

    settings: msgspec.Raw
    state: DeploymentState
    reason: str = ""
    created: int = 0


# What came of trades.


class Outcome(Message, frozen=True, gc=False, kw_only=True, tag="outcome"):
    """A position of a deployment has become flat: what its signal led to, after costs. Money as decimal text."""

    outcome_id: str
    account: str
    deployment_id: str
    strategy_id: str
    signal_id: str
    decision_id: str
    client_order_id: str
    market: str
    side: Literal["long", "short"]
    size: int
    entry_ts: int
    entry_price: int
    exit_ts: int
    exit_price: int
    pnl: str
    fees: str
    return_share: float
    currency: str
    exit_reason: str
    marks: tuple[str, ...] = ()


class OutcomeStored(Message, frozen=True, gc=False, tag="outcome_stored"):
    """Topic: the stream of outcomes has grown to `seq`."""

    seq: int


class OutcomeRow(Row, frozen=True, gc=False, kw_only=True, tag="outcome_row"):
    """One outcome in the node's log and in the database."""

    table = "outcomes"
    sequenced = True

    stream: str
    seq: int
    outcome_id: str
    account: str
    deployment_id: str
    strategy_id: str
    signal_id: str
    decision_id: str
    client_order_id: str
    market: str
    side: str
    size: int
    entry_ts: int
    entry_price: int
    exit_ts: int
    exit_price: int
    pnl: str
    fees: str
    return_share: float
    currency: str
    exit_reason: str
    marks: tuple[str, ...]
