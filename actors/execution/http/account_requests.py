"""What is asked of accounts under `/api/v1`, and the pages that they answer."""

from __future__ import annotations

from typing import Annotated, Any, Literal

import msgspec

from actors.execution.http import reading
from actors.execution.http.bodies import (
    DeploymentBody,
    EquityBody,
    FillBody,
    FlattenBody,
    OrderBody,
    PositionBody,
    PostingBody,
    RoundTripBody,
    VerdictBody,
)
from actors.execution.http.numbers import Amount
from actors.execution.http.orders import (
    AmendRequest,
    OrderRequest,
)
from actors.execution.risk.limits import RiskLimits
from protocols.execution import AccountMode, DeploymentState
from protocols.orders import OrderState
from protocols.signal_stream import FreeObject

Limit = Annotated[int, msgspec.Meta(ge=1, le=499)]
Before = Annotated[int, msgspec.Meta(ge=1)]


class OneAccount(msgspec.Struct, frozen=True):
    """Which account."""

    account_id: str


class AccountQuery(msgspec.Struct, frozen=True):
    """Whose accounts; empty: everybody's."""

    user: str = ""
    mode: Literal["", AccountMode] = ""


class AccountLine(msgspec.Struct, frozen=True):
    """An account as lists have it."""

    account_id: str
    user: str
    mode: str
    session_id: str
    name: str
    up: bool


class AccountLines(msgspec.Struct, frozen=True):
    """Accounts, by their ids."""

    accounts: tuple[AccountLine, ...]


class NewAccount(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """An account to be opened. `account`: fields of AccountSettings; `engine`: the other fields of EngineSettings
    (fills, limits, breaker, protections …). `symbols`: markets that it follows from the start."""

    account: dict[str, Any]
    engine: dict[str, Any] = {}
    name: str = ""
    description: str = ""
    symbols: tuple[str, ...] = ()


class AccountSettingsBody(msgspec.Struct, frozen=True):
    """What an account was opened with, and the limits that hold now."""

    account_id: str
    created_at: str | None
    settings: FreeObject
    limits: FreeObject
    deployment_limits: dict[str, FreeObject]
    denied: dict[str, int]


class Closed(msgspec.Struct, frozen=True):
    """The account does not run any more; what is stored of it stays."""

    message: str
    account_id: str


class Money(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """Money in or out. A repeat with the same `reference` moves nothing."""

    account_id: str
    amount: Amount
    currency: str = ""
    reference: Annotated[str, msgspec.Meta(max_length=200)] = ""


class NewLimits(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """Limits (RiskLimits) in the place of those that hold, of the account or of a deployment."""

    account_id: str
    limits: RiskLimits
    deployment_id: str = ""


class TradingState(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """Trade (`active`), only reduce, or neither."""

    account_id: str
    state: Literal["active", "reducing", "halted"]
    reason: str = "by hand"


class Breaker(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """Open the breaker (only what reduces passes), or close it."""

    account_id: str
    open: bool
    reason: Annotated[str, msgspec.Meta(max_length=500)] = "by hand"


class SomeOfAccount(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Of which market and deployment; empty: of all."""

    account_id: str
    symbol: str = ""
    deployment_id: str = ""


class Cancelling(msgspec.Struct, frozen=True):
    """How many orders of the account are open still: others, and those whose cancel is under way."""

    account_id: str
    open_orders: int


class StoredQuery(msgspec.Struct, frozen=True):
    """Which rows: those before a place (the `next` of the page before), the newest first; filters may be empty."""

    account_id: str
    before: Before = reading.LAST
    limit: Limit = 100
    symbol: str = ""
    deployment_id: str = ""


class OrdersQuery(msgspec.Struct, frozen=True):
    """As StoredQuery; `state`: only orders in it."""

    account_id: str
    before: Before = reading.LAST
    limit: Limit = 100
    symbol: str = ""
    deployment_id: str = ""
    state: Literal["", OrderState] = ""


class FillsQuery(msgspec.Struct, frozen=True):
    """As StoredQuery; `client_order_id`: of one order."""

    account_id: str
    before: Before = reading.LAST
    limit: Limit = 100
    symbol: str = ""
    deployment_id: str = ""
    client_order_id: str = ""


class LedgerQuery(msgspec.Struct, frozen=True):
    """As StoredQuery; `reference`: of one fill, funding, settlement or transfer."""

    account_id: str
    before: Before = reading.LAST
    limit: Limit = 100
    symbol: str = ""
    reference: str = ""


class VerdictQuery(msgspec.Struct, frozen=True):
    """As StoredQuery; `signal_id`: of one signal."""

    account_id: str
    before: Before = reading.LAST
    limit: Limit = 100
    deployment_id: str = ""
    signal_id: str = ""


class OrderPage(msgspec.Struct, frozen=True):
    """Orders as they stand, that which changed last first. `behind`: rows that the database has not got yet."""

    orders: tuple[OrderBody, ...]
    next: int | None
    behind: int


class FillPage(msgspec.Struct, frozen=True):
    """Fills, the newest first."""

    fills: tuple[FillBody, ...]
    next: int | None
    behind: int


class LedgerPage(msgspec.Struct, frozen=True):
    """Postings, the newest first."""

    postings: tuple[PostingBody, ...]
    next: int | None
    behind: int


class EquityPage(msgspec.Struct, frozen=True):
    """Samples of equity, the newest first."""

    samples: tuple[EquityBody, ...]
    next: int | None
    behind: int


class TradePage(msgspec.Struct, frozen=True):
    """Round trips, the newest first."""

    trades: tuple[RoundTripBody, ...]
    next: int | None
    behind: int


class VerdictPage(msgspec.Struct, frozen=True):
    """What deployments made of signals, the newest first."""

    verdicts: tuple[VerdictBody, ...]
    next: int | None
    behind: int


class AccountOrder(OrderRequest, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """An order for an account."""

    account_id: str


class OneOrder(msgspec.Struct, frozen=True):
    """Which order of which account."""

    account_id: str
    order_id: str


class AccountAmend(AmendRequest, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """A change of an order."""

    account_id: str


class Ordered(msgspec.Struct, frozen=True):
    """The order as it stands, and those of its bracket. `denied` is a state: `reason_code` says by which limit."""

    order: OrderBody
    bracket: tuple[OrderBody, ...]


class OrderId(msgspec.Struct, frozen=True):
    """Which order; `account_id` where several accounts have one of this id."""

    client_order_id: str
    account_id: str = ""


class Kill(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """The kill switch: of one account or (empty) of all. `close`: positions, too; `stop_strategies`: their runs end."""

    reason: Annotated[str, msgspec.Meta(min_length=1, max_length=500)]
    account_id: str = ""
    close: bool = True
    stop_strategies: bool = False


class Killed(msgspec.Struct, frozen=True):
    """What became of each account, and which strategies were stopped."""

    accounts: tuple[FlattenBody, ...]
    stopped_strategies: tuple[str, ...]


class ExposureQuery(msgspec.Struct, frozen=True):
    """In which currency, and (optionally) limits to hold it against, decimal text."""

    currency: str = "USD"
    max_gross: str | None = None
    max_net: str | None = None
    max_market_gross: str | None = None
    max_market_net: str | None = None
    max_currency_gross: str | None = None


class DeploymentQuery(msgspec.Struct, frozen=True):
    """Which deployments; empty: all."""

    account_id: str = ""
    strategy_id: str = ""
    state: Literal["", DeploymentState] = ""


class DeploymentPage(msgspec.Struct, frozen=True):
    """Deployments, the newest first; figures are shown of one alone."""

    deployments: tuple[DeploymentBody, ...]


class DifferenceBody(msgspec.Struct, frozen=True):
    """Something on which the venue and we do not agree."""

    kind: str
    what: str
    ours: str
    theirs: str


class ReconciliationBody(msgspec.Struct, frozen=True):
    """What the last comparison with the venue found; null: there was none."""

    account_id: str
    compared_at: str | None
    differences: tuple[DifferenceBody, ...]


class Positions(msgspec.Struct, frozen=True):
    """Positions of an account."""

    positions: tuple[PositionBody, ...]
