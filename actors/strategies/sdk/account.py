"""The account of a deployed strategy as far as the strategy was told of it: what stands behind `self.portfolio`.

Whoever runs the strategy attaches an `Account` to its session (`Session.deploy`), says how it stands (`stand`), and
after each input that prices may have moved (`observe`). Cash and positions are as they were told; positions are valued
at the prices that the strategy sees itself: `invested` (what went from the cash into it) plus the unrealized profit.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from math import nan
from typing import Final, Literal, Protocol

from actors.strategies.sdk.account_risk import DAY_NS, AccountRisk, History
from actors.strategies.sdk.orders import StrategyOrders
from actors.strategies.sdk.trading import NotDeployed, Order, Performance, Position

Measure = Literal[
    "level", "order_size", "order_notional", "position_size", "position_notional", "positions", "exposure"
]
Severity = Literal["low", "medium", "high", "critical"]


class Prices(Protocol):
    """What the symbols of the run cost."""

    def symbols(self) -> tuple[str, ...]:
        """The symbols that have prices."""
        ...

    def price(self, symbol: str) -> float | None:
        """What the newest input says that it costs."""
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class Terms:
    """Of a market: the step of quantities (0: not known), and what one unit of price is worth for one of quantity."""

    lot: float = 0.0
    multiplier: float = 1.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Holding:
    """A position as it was told. `price`: what it could be closed at then. `realized`: of all that was closed there."""

    quantity: float
    average_price: float
    invested: float = 0.0
    realized: float = 0.0
    price: float | None = None
    opened: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class Rule:
    """A limit as it was told. `symbol` empty: of all."""

    name: str
    limit: float
    used: float | None = None
    measure: Measure = "level"
    severity: Severity = "high"
    enabled: bool = True
    symbol: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Standing:
    """How an account stands. `positions` may hold some of quantity 0, which were closed since the last time."""

    cash: float
    positions: Mapping[str, Holding]
    realized: float = 0.0
    fees: float = 0.0
    initial: float | None = None
    trades: int | None = None
    wins: int | None = None
    rules: Sequence[Rule] = ()


@dataclass(frozen=True, slots=True)
class Change:
    """A position that was opened or closed."""

    kind: Literal["opened", "closed"]
    position: Position


_NOTHING: Final = Standing(cash=0.0, positions={})


class Account:
    """What a session is deployed with: `orders`, `portfolio` and `risk`.

    `terms`: of the markets where it may order. `history`: of an earlier account of the same deployment, whose figures
    go on.
    """

    def __init__(
        self,
        deployment_id: str,
        currency: str,
        terms: Mapping[str, Terms],
        prices: Prices,
        standing: Standing,
        *,
        now: int = 0,
        history: History | None = None,
    ) -> None:
        self.deployment_id = deployment_id
        self.currency = currency
        self.terms = dict(terms)
        self.history = History() if history is None else history
        self.orders = StrategyOrders(deployment_id, tuple(terms), now)
        self.portfolio = AccountPortfolio(self, prices)
        self._day_ends = 0
        self.risk = AccountRisk(self.portfolio, self.terms, self.history)
        self.stand(standing)

    def at(self, now: int) -> None:
        """The time of the next input, before it moves a price."""
        self.orders.now = now
        if now <= self._day_ends:
            return
        day = (now - 1) // DAY_NS
        self._day_ends = (day + 1) * DAY_NS
        if day != self.history.day:
            self.history.turn(day, self.portfolio.prices())

    def stand(self, standing: Standing) -> list[Change]:
        """The account stands like this now. Returns what was opened and closed by it, in the order of the markets."""
        return self.portfolio.stand(standing)

    def observe(self) -> None:
        """The account or prices may have moved: note the value."""
        self.history.note(self.portfolio.value())

    def price_moved(self) -> None:
        """Note the value, if it moves with prices."""
        if self.portfolio.moves:
            self.history.note(self.portfolio.value())

    def order_told(self, order: Order) -> Order | None:
        """An order is like this now; returns how it was before."""
        return self.orders.told(order)

    def close(self) -> None:
        """The deployment is over: whoever still holds on to a part of this is told so."""
        self.orders.closed = self.portfolio.closed = True


class AccountPortfolio:
    """`self.portfolio` of a deployed strategy."""

    def __init__(self, account: Account, prices: Prices) -> None:
        self.closed = False
        self.standing = _NOTHING
        self._account = account
        self._prices = prices
        self._known = frozenset(prices.symbols())
        self._held: dict[str, Holding] = {}
        self._fixed = 0.0
        """The part of the value that does not move with prices."""
        self._moving: list[tuple[str, float, float | None]] = []
        """Symbol, how much the value moves with its price, and the price that was told."""
        self.moves = False
        """Whether the value moves with prices."""
        self._realized_before: dict[str, float] = {}
        """What had been realized in a market when its position was opened."""
        self._trades = self._wins = 0

    # -- what a strategy asks ------------------------------------------------------------------------------

    @property
    def total_value(self) -> float:
        """Cash and positions at market prices; NaN while the price of one is not known."""
        self._expect_account("total_value")
        return self.value()

    @property
    def cash(self) -> float:
        """Money that is in no position."""
        self._expect_account("cash")
        return self.standing.cash

    @property
    def positions(self) -> Mapping[str, Position]:
        """The open positions by symbol."""
        self._expect_account("positions")
        return {symbol: self._position(symbol, held) for symbol, held in self._held.items()}

    def get_position(self, symbol: str) -> Position | None:
        """The position of a symbol; None: there is none."""
        self._expect_account("get_position")
        held = self._held.get(symbol)
        return None if held is None else self._position(symbol, held)

    def close_position(self, symbol: str) -> Order | None:
        """Close it by a market order; None: there is nothing to close."""
        self._expect_account("close_position")
        held = self._held.get(symbol)
        if held is None:
            return None
        side: Literal["buy", "sell"] = "sell" if held.quantity > 0 else "buy"
        return self._account.orders.market_order(symbol, abs(held.quantity), side, reduce_only=True)

    def performance(self) -> Performance:
        """How the account has done since the deployment."""
        standing = self.standing
        value, profits = self.total_value, [self._unrealized(symbol, held) for symbol, held in self._held.items()]
        trades = self._trades if standing.trades is None else standing.trades
        wins = self._wins if standing.trades is None else standing.wins
        return Performance(
            total_return=value / standing.initial - 1.0 if standing.initial and value == value else None,
            realized_pnl=standing.realized,
            unrealized_pnl=sum((each for each in profits if each is not None), 0.0) if None not in profits else None,
            fees=standing.fees,
            trades=trades,
            win_rate=wins / trades if trades and wins is not None else None,
            sharpe_ratio=self._account.history.sharpe(),
            max_drawdown=self._account.history.max_drawdown,
        )

    # -- what its runner and its risk ask ------------------------------------------------------------------

    def stand(self, standing: Standing) -> list[Change]:
        """It stands like this now. Returns what was opened and closed by it."""
        before = self._held
        self._held = {symbol: held for symbol, held in standing.positions.items() if held.quantity}
        self.standing = standing
        self._split()
        if not before and not self._held:
            return []
        changes = []
        for symbol in {**before, **standing.positions}:
            was, now = before.get(symbol), standing.positions.get(symbol)
            same = was is not None and now is not None and was.quantity * now.quantity > 0
            if was is not None and not same:
                closed = self._position(symbol, was, was.realized if now is None else now.realized)
                self._trades += 1
                self._wins += closed.realized_pnl > 0
                changes.append(Change("closed", closed))
            if now is not None and now.quantity and not same:
                self._realized_before[symbol] = now.realized
                changes.append(Change("opened", self._position(symbol, now)))
        return changes

    def value(self) -> float:
        """Cash and positions: `invested` and the unrealized profit of each. NaN: a price is not known."""
        value = self._fixed
        for symbol, exposure, told in self._moving:
            price = self._prices.price(symbol) if symbol in self._known else None
            if price is None and (price := told) is None:
                return nan
            value += exposure * price
        return value

    def _split(self) -> None:
        self._fixed, self._moving = self.standing.cash, []
        for symbol, held in self._held.items():
            exposure = held.quantity * self._multiplier(symbol)
            self._fixed += held.invested - held.average_price * exposure
            self._moving.append((symbol, exposure, held.price))
        self.moves = bool(self._moving)

    def _multiplier(self, symbol: str) -> float:
        terms = self._account.terms.get(symbol)
        return 1.0 if terms is None else terms.multiplier

    def price(self, symbol: str) -> float | None:
        """What a symbol costs: as the strategy sees it, else as the account said."""
        if symbol in self._known and (seen := self._prices.price(symbol)) is not None:
            return seen
        held = self._held.get(symbol)
        return None if held is None else held.price

    def prices(self) -> dict[str, float]:
        """Of the symbols that have one."""
        return {symbol: seen for symbol in self._known if (seen := self._prices.price(symbol)) is not None}

    def quantities(self) -> dict[str, float]:
        """The open positions, signed."""
        return {symbol: held.quantity for symbol, held in self._held.items()}

    def _unrealized(self, symbol: str, held: Holding) -> float | None:
        price = self.price(symbol)
        if price is None:
            return None
        return (price - held.average_price) * held.quantity * self._multiplier(symbol)

    def _position(self, symbol: str, held: Holding, realized: float | None = None) -> Position:
        return Position(
            symbol=symbol,
            quantity=held.quantity,
            average_price=held.average_price,
            market_price=self.price(symbol),
            unrealized_pnl=self._unrealized(symbol, held),
            realized_pnl=(held.realized if realized is None else realized) - self._realized_before.get(symbol, 0.0),
            opened=held.opened,
        )

    def _expect_account(self, what: str) -> None:
        if self.closed:
            raise NotDeployed(f"portfolio.{what}")
