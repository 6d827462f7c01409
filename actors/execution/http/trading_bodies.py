"""What the bridge of the RL service asks of a trading backend, and is answered: names in camelCase, as it has them."""

from __future__ import annotations

from typing import Annotated, Any, Literal

import msgspec

from actors.execution.http.numbers import Amount
from protocols.signal_stream import FreeObject, Number

User = Annotated[str, msgspec.Meta(min_length=1, max_length=100)]


class TradingSettings(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True, rename="camel"):
    """How a user's account trades; what is left out stays. Shares: 0.1 is 10 %.

    `strategy_id`: the strategy that trades. `confidence_threshold`: of signals, for deployments that begin from now on.
    """

    strategy_id: str | msgspec.UnsetType = msgspec.UNSET
    source: str | msgspec.UnsetType = msgspec.UNSET
    timeframe: str | msgspec.UnsetType = msgspec.UNSET
    parameters: dict[str, Any] | msgspec.UnsetType = msgspec.UNSET
    initial_capital: Amount | msgspec.UnsetType = msgspec.UNSET
    confidence_threshold: Annotated[float, msgspec.Meta(ge=0, le=1)] | msgspec.UnsetType = msgspec.UNSET
    max_position_size: Amount | msgspec.UnsetType | None = msgspec.UNSET
    max_daily_loss: Amount | msgspec.UnsetType | None = msgspec.UNSET
    max_drawdown: Amount | msgspec.UnsetType | None = msgspec.UNSET
    max_positions: int | msgspec.UnsetType | None = msgspec.UNSET
    max_order_size: Amount | msgspec.UnsetType | None = msgspec.UNSET
    max_leverage: Amount | msgspec.UnsetType | None = msgspec.UNSET
    trading: Literal["active", "reducing", "halted"] | msgspec.UnsetType = msgspec.UNSET


class OneUser(msgspec.Struct, frozen=True):
    """Which user."""

    user: User


class StartTrading(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True, rename="camel"):
    """Let a user's account trade; it is opened on paper if there is none. `watchlist`: the markets."""

    user_id: User
    watchlist: tuple[str, ...] = ()
    settings: TradingSettings = TradingSettings()


class StopTrading(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True, rename="camel"):
    """Stop a user's deployments; `close_positions`: what is held is left, too."""

    user_id: User
    close_positions: bool = False


class SettingsChange(TradingSettings, frozen=True, forbid_unknown_fields=True, kw_only=True, rename="camel"):
    """Other settings of a user's accounts."""

    user: User


class SignalQuery(msgspec.Struct, frozen=True):
    """The newest signals of a user's strategies; `symbol` empty: in any market."""

    user: User
    limit: Annotated[int, msgspec.Meta(ge=1, le=200)] = 10
    symbol: str = ""


class TradingPosition(msgspec.Struct, frozen=True, rename="camel"):
    """A position."""

    symbol: str
    side: str
    quantity: Number
    entry_price: Number | None
    current_price: Number | None
    unrealized_pnl: Number | None


class TradingAccountBody(msgspec.Struct, frozen=True, rename="camel"):
    """One account of a user."""

    account_id: str
    mode: str
    trading: str
    reason: str
    currency: str
    balance: Number
    equity: Number | None
    total_pnl: Number | None
    daily_pnl: Number | None
    open_orders: int
    positions: tuple[TradingPosition, ...]
    deployments: dict[str, str]
    missing: tuple[str, ...]


class TradingStatus(msgspec.Struct, frozen=True, rename="camel"):
    """How a user trades. `is_active`: a deployment of his is active, and its account trades."""

    user_id: str
    is_active: bool
    status: str
    watchlist: tuple[str, ...]
    accounts: tuple[TradingAccountBody, ...]
    timestamp: str


class TradingLimits(msgspec.Struct, frozen=True, rename="camel"):
    """The limits that hold, by account."""

    user_id: str
    limits: dict[str, FreeObject]
    trading: dict[str, str]


class BridgeSignal(msgspec.Struct, frozen=True, rename="camel"):
    """A signal, and what the user's deployment made of it: orders, or the code why none; null: not taken yet."""

    id: str
    symbol: str
    action: str
    confidence: float
    strategy_id: str
    price: Number | None
    timestamp: str
    status: str
    deployment_id: str | None
    orders: tuple[str, ...] | None
    declined: str | None
    marks: tuple[str, ...]


class BridgeSignals(msgspec.Struct, frozen=True, rename="camel"):
    """Signals, the newest first."""

    user_id: str
    signals: tuple[BridgeSignal, ...]
    count: int
