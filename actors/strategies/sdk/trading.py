"""Orders, the portfolio and risk as a strategy sees them, once it is deployed to an account.

These are the types alone. Who runs a deployed strategy gives its session objects that have these methods
(`Session.deploy`, `account.py`); until then `UNDEPLOYED` stands in their place, and each use of it raises NotDeployed.
A strategy that has no account can still say what it would do: by signals (`self.buy(...)`, `self.signal(...)`), which
are no orders.

The account is the authority: a command leaves when the input has been handled, and what has become of it is told by
later inputs. An order that was just given is `pending`.

Quantities are in units of the instrument, prices and money in its currency, times nanoseconds since the epoch.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final, Literal, NoReturn, Protocol, cast

from actors.strategies.sdk.signal import TimeInForce, shown

Side = Literal["buy", "sell"]
Kind = Literal["market", "limit", "stop", "stop_limit", "trailing_stop"]
OrderState = Literal["pending", "submitted", "partially_filled", "filled", "cancelled", "rejected", "expired"]
FINAL: Final = frozenset({"filled", "cancelled", "rejected", "expired"})


class NotDeployed(RuntimeError):
    """The strategy has no account: it can give signals, and neither trade nor ask for a position."""

    def __init__(self, what: str) -> None:
        super().__init__(
            f"{what}: this strategy has no account. Deploy the strategy: start it with a paper or a live account; "
            f"until then it gives signals (self.buy, self.sell, self.signal)"
        )


class OrderError(ValueError):
    """A command that cannot be one: the argument, what was expected, what came."""

    def __init__(self, field: str, expected: str, got: object) -> None:
        super().__init__(field, expected, got)
        self.field = field
        self.expected = expected
        self.got = got

    def __str__(self) -> str:
        return f"{self.field}: expected {self.expected}, got {shown(self.got)}"


@dataclass(frozen=True, slots=True, kw_only=True)
class Order:
    """An order as it stands. `price` of a limit, `stop_price` of a stop, `trail` of a trailing stop."""

    order_id: str
    symbol: str
    side: Side
    kind: Kind
    quantity: float
    state: OrderState
    filled: float = 0.0
    average_price: float | None = None
    price: float | None = None
    stop_price: float | None = None
    trail: float | None = None
    time_in_force: TimeInForce = "DAY"
    reason: str = ""
    """Why it was rejected or cancelled."""
    timestamp: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class Fill:
    """A part of an order, or all of it, that was traded. `order` is as it stands behind it."""

    order: Order
    quantity: float
    price: float
    fee: float
    timestamp: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Position:
    """What the account holds of a symbol; `quantity` is negative for a short position."""

    symbol: str
    quantity: float
    average_price: float
    market_price: float | None
    unrealized_pnl: float | None
    realized_pnl: float
    opened: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Performance:
    """Figures of the account since the deployment. Shares are fractions; None: too little is known."""

    total_return: float | None
    realized_pnl: float
    unrealized_pnl: float | None
    fees: float
    trades: int
    win_rate: float | None
    sharpe_ratio: float | None
    max_drawdown: float | None


@dataclass(frozen=True, slots=True, kw_only=True)
class RiskRule:
    """A limit that the account keeps, and how much of it is used. `used` None: not known."""

    name: str
    limit: float
    used: float | None
    severity: Literal["low", "medium", "high", "critical"]
    enabled: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class RiskCheck:
    """Whether an order would be let through, and which rules speak against it."""

    allowed: bool
    reasons: tuple[str, ...] = ()


class Orders(Protocol):
    """Orders of the account.

    Each command returns at once with the order, which is `pending`; it leaves behind the input. A price or a quantity
    that is no multiple of the instrument's step is never rounded: the order comes back rejected. `client_order_id`: a
    name of your own (letters, digits, `.`, `_`, `-`); the same one again is the same order. `reduce_only`: only as far
    as it makes a position smaller. Commands beyond 64 of one input are rejected. Raises OrderError for what no order
    can be.
    """

    def market_order(
        self,
        symbol: str,
        quantity: float,
        side: Side,
        *,
        time_in_force: TimeInForce = "DAY",
        reduce_only: bool = False,
        client_order_id: str = "",
    ) -> Order:
        """Trade at once, at the best prices there are."""
        ...

    def limit_order(
        self,
        symbol: str,
        quantity: float,
        side: Side,
        price: float,
        *,
        time_in_force: TimeInForce = "DAY",
        post_only: bool = False,
        reduce_only: bool = False,
        client_order_id: str = "",
    ) -> Order:
        """Trade at `price` or better. `post_only`: never at once; it is cancelled where it would be."""
        ...

    def stop_order(
        self,
        symbol: str,
        quantity: float,
        side: Side,
        stop_price: float,
        *,
        time_in_force: TimeInForce = "DAY",
        reduce_only: bool = False,
        client_order_id: str = "",
    ) -> Order:
        """Become a market order when the price reaches `stop_price`."""
        ...

    def stop_limit_order(
        self,
        symbol: str,
        quantity: float,
        side: Side,
        stop_price: float,
        price: float,
        *,
        time_in_force: TimeInForce = "DAY",
        reduce_only: bool = False,
        client_order_id: str = "",
    ) -> Order:
        """Become a limit order at `price` when the price reaches `stop_price`."""
        ...

    def trailing_stop_order(
        self,
        symbol: str,
        quantity: float,
        side: Side,
        *,
        trail_amount: float | None = None,
        trail_percent: float | None = None,
        time_in_force: TimeInForce = "DAY",
        reduce_only: bool = False,
        client_order_id: str = "",
    ) -> Order:
        """A stop that follows the price at a distance: an amount, or percent of the price; one of the two."""
        ...

    def modify_order(
        self,
        order_id: str,
        *,
        quantity: float | None = None,
        price: float | None = None,
        stop_price: float | None = None,
    ) -> Order:
        """Change an order that is still open. `quantity` is the new total, what is filled included; None: as it is."""
        ...

    def cancel_order(self, order_id: str) -> Order:
        """Cancel an order that is still open. Returns the order as it stands."""
        ...

    def cancel_all_orders(self, symbol: str | None = None) -> Sequence[Order]:
        """Cancel all open orders, of one symbol or of all. Returns those that were open."""
        ...

    def get_order(self, order_id: str) -> Order | None:
        """One order; None: there is none of this id."""
        ...

    def get_orders(self, symbol: str | None = None, state: OrderState | None = None) -> Sequence[Order]:
        """Orders of the deployment, the newest first: the open ones, and the last 1000 of the others."""
        ...


class Portfolio(Protocol):
    """What the account holds."""

    @property
    def total_value(self) -> float:
        """Cash and positions at market prices; NaN while the price of one is not known."""
        ...

    @property
    def cash(self) -> float:
        """Money that is in no position."""
        ...

    @property
    def positions(self) -> Mapping[str, Position]:
        """The open positions by symbol."""
        ...

    def get_position(self, symbol: str) -> Position | None:
        """The position of a symbol; None: there is none."""
        ...

    def close_position(self, symbol: str) -> Order | None:
        """Close it by a market order; None: there is nothing to close."""
        ...

    def performance(self) -> Performance:
        """How the account has done since the deployment."""
        ...


class Risk(Protocol):
    """The limits of the account, and figures of its risk. None: too little is known."""

    @property
    def rules(self) -> Sequence[RiskRule]:
        """The limits that are kept."""
        ...

    def check(self, symbol: str, quantity: float, side: Side, price: float | None = None) -> RiskCheck:
        """Whether such an order would be let through now, as far as the rules are known here; the account judges."""
        ...

    def position_size(self, symbol: str, side: Side, stop_loss: float, risk_share: float = 0.01) -> float:
        """The quantity that loses `risk_share` of the portfolio's value if it is stopped out at `stop_loss`.

        In whole lots, rounded down; 0 where not even one fits. Raises OrderError for a stop on the wrong side of the
        price, or where the price is not known.
        """
        ...

    def value_at_risk(self, confidence: float = 0.95) -> float | None:
        """The loss of a day, as a share, that is not exceeded with this confidence: a quantile of the days so far."""
        ...

    def conditional_value_at_risk(self, confidence: float = 0.95) -> float | None:
        """The mean of the losses beyond the value at risk, as a share."""
        ...

    def sharpe_ratio(self) -> float | None:
        """Mean over standard deviation of the daily returns, annualized: 252 days a year, 365 if some are weekends."""
        ...

    def drawdown(self) -> float | None:
        """How far the value is below its highest, as a share."""
        ...

    def beta(self, benchmark: str) -> float | None:
        """Covariance of the daily returns with a symbol's over the variance of these."""
        ...


class Execution(Protocol):
    """What an execution engine attaches to a session."""

    @property
    def orders(self) -> Orders:
        """See Orders."""
        ...

    @property
    def portfolio(self) -> Portfolio:
        """See Portfolio."""
        ...

    @property
    def risk(self) -> Risk:
        """See Risk."""
        ...


class _Undeployed:
    """Whatever is asked of it, it says why there is nothing."""

    def __init__(self, name: str) -> None:
        self._name = name

    def __getattr__(self, attribute: str) -> NoReturn:
        if attribute.startswith("__"):
            raise AttributeError(attribute)
        raise NotDeployed(f"{self._name}.{attribute}")

    def __repr__(self) -> str:
        return f"<{self._name} of a strategy that is not deployed>"


class _NoExecution:
    def __init__(self) -> None:
        self.orders = cast(Orders, _Undeployed("orders"))
        self.portfolio = cast(Portfolio, _Undeployed("portfolio"))
        self.risk = cast(Risk, _Undeployed("risk"))


UNDEPLOYED: Final[Execution] = _NoExecution()


def is_deployed(execution: Any) -> bool:
    """Whether it is more than UNDEPLOYED."""
    return execution is not UNDEPLOYED
