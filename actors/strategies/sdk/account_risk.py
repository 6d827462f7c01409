"""The risk of a deployed strategy: `self.risk`, and the history of the account's value that it is worked out from.

Returns are of whole days (UTC; a bar that ends at midnight belongs to the day that it closes), of the account's value
behind the last input of each. Figures of them need `LEAST` returns; until then they are None. Money that is paid in or
out is not taken out of them.

* Sharpe ratio: mean / standard deviation (ddof 1) of the returns, times the root of the days of a year: 252 if no value
  is of a weekend, else 365. Without a riskless rate.
* Value at risk: minus the (1 - confidence) quantile of the returns (linear between two), "historical simulation". The
  conditional one: minus the mean of the returns that are not above that quantile (Rockafellar and Uryasev 2000). Below
  0 where even that is a gain.
* Beta: covariance with the benchmark's returns over the variance of these, both ddof 1.
* Drawdown: 1 - value / the highest value so far.
"""

from __future__ import annotations

import math
from collections import deque
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Final

import numpy as np
from numpy.typing import NDArray

from actors.strategies.sdk.orders import one_of, positive, price_of
from actors.strategies.sdk.trading import NotDeployed, OrderError, RiskCheck, RiskRule, Side

if TYPE_CHECKING:
    from actors.strategies.sdk.account import AccountPortfolio, Rule, Terms

LEAST: Final = 20
MOST_DAYS: Final = 2000
DAY_NS: Final = 86_400_000_000_000
_FIRST_SATURDAY: Final = 2
"""Days since the epoch, which was a Thursday."""
_SIDES: Final = ("buy", "sell")


class History:
    """The account's value over time."""

    def __init__(self) -> None:
        self.day: int | None = None
        """Since the epoch, of the newest input."""
        self.value: float | None = None
        self.peak: float | None = None
        self.max_drawdown: float | None = None
        self._days: deque[tuple[int, float, Mapping[str, float]]] = deque(maxlen=MOST_DAYS)

    def turn(self, day: int, prices: Mapping[str, float]) -> None:
        """Another day begins; `prices` are the last ones of the day before."""
        if self.day is not None and self.value is not None and self.value > 0:
            self._days.append((self.day, self.value, prices))
        self.day = day

    def note(self, value: float) -> None:
        """The value now; NaN says nothing."""
        if value != value:
            return
        self.value = value
        if self.peak is None or value > self.peak:
            self.peak = value
        least = self.max_drawdown
        if least is None:
            self.max_drawdown = least = 0.0
        if value < self.peak and self.peak > 0 and (down := 1.0 - value / self.peak) > least:
            self.max_drawdown = down

    def returns(self) -> NDArray[np.float64] | None:
        """Of the days; None: fewer than LEAST."""
        if len(self._days) <= LEAST:
            return None
        values = np.array([value for _, value, _ in self._days])
        found: NDArray[np.float64] = values[1:] / values[:-1] - 1.0
        return found

    def sharpe(self) -> float | None:
        """See the module."""
        returns = self.returns()
        if returns is None or not (deviation := float(returns.std(ddof=1))):
            return None
        weekends = any((day - _FIRST_SATURDAY) % 7 < 2 for day, _, _ in self._days)
        return float(returns.mean()) / deviation * math.sqrt(365 if weekends else 252)

    def beta(self, benchmark: str) -> float | None:
        """See the module; None, too, where the benchmark had no price on one of the days."""
        if (returns := self.returns()) is None:
            return None
        prices = np.array([prices.get(benchmark, math.nan) for _, _, prices in self._days])
        if not (prices > 0).all():
            return None
        market = prices[1:] / prices[:-1] - 1.0
        if not (variance := float(market.var(ddof=1))):
            return None
        return float(np.cov(returns, market, ddof=1)[0, 1]) / variance


class AccountRisk:
    """`self.risk` of a deployed strategy."""

    def __init__(self, portfolio: AccountPortfolio, terms: Mapping[str, Terms], history: History) -> None:
        self._portfolio = portfolio
        self._terms = terms
        self._history = history

    @property
    def rules(self) -> Sequence[RiskRule]:
        """The limits that are kept."""
        return tuple(
            RiskRule(name=each.name, limit=each.limit, used=each.used, severity=each.severity, enabled=each.enabled)
            for each in self._rules("rules")
        )

    def check(self, symbol: str, quantity: float, side: Side, price: float | None = None) -> RiskCheck:
        """Whether such an order would be let through now; what only makes a position smaller is."""
        rules = [each for each in self._rules("check") if each.enabled and each.symbol in ("", symbol)]
        one_of("symbol", symbol, tuple(self._terms))
        change = positive("quantity", quantity) * (1 if one_of("side", side, _SIDES) == "buy" else -1)
        cost = self._portfolio.price(symbol) if price is None else price_of("price", price)
        held = self._portfolio.quantities().get(symbol, 0.0)
        if abs(held + change) < abs(held) and held * (held + change) >= 0:
            return RiskCheck(allowed=True)
        reasons = []
        for rule in rules:
            used = self._used(rule, symbol, change, cost)
            if used is None and rule.measure != "level":
                reasons.append(f"{rule.name}: there is no price of {symbol} yet")
            elif used is not None and (used >= rule.limit if rule.measure == "level" else used > rule.limit):
                reasons.append(f"{rule.name}: {used:g}, and the limit is {rule.limit:g}")
        return RiskCheck(allowed=not reasons, reasons=tuple(reasons))

    def position_size(self, symbol: str, side: Side, stop_loss: float, risk_share: float = 0.01) -> float:
        """The quantity that loses `risk_share` of the portfolio's value if it is stopped out at `stop_loss`."""
        terms = self._terms[one_of("symbol", symbol, tuple(self._terms))]
        share, stop = positive("risk_share", risk_share), price_of("stop_loss", stop_loss)
        price, value = self._portfolio.price(symbol), self._portfolio.total_value
        if price is None or value != value:
            raise OrderError("symbol", "one whose price is known", symbol)
        distance = price - stop if one_of("side", side, _SIDES) == "buy" else stop - price
        if distance <= 0:
            raise OrderError("stop_loss", f"a price {'below' if side == 'buy' else 'above'} {price:g}", stop)
        quantity = max(value, 0.0) * share / (distance * terms.multiplier)
        # A millionth of a lot is the rounding of the division, not a part of a lot.
        return math.floor(quantity / terms.lot + 1e-6) * terms.lot if terms.lot else quantity

    def value_at_risk(self, confidence: float = 0.95) -> float | None:
        """The loss of a day, as a share, that is not exceeded with this confidence."""
        found = self._tail(confidence)
        return None if found is None else -found[1]

    def conditional_value_at_risk(self, confidence: float = 0.95) -> float | None:
        """The mean of the losses beyond the value at risk, as a share."""
        found = self._tail(confidence)
        if found is None:
            return None
        returns, quantile = found
        return -float(returns[returns <= quantile].mean())

    def sharpe_ratio(self) -> float | None:
        """Mean over standard deviation of the daily returns, annualized."""
        self._expect_account("sharpe_ratio")
        return self._history.sharpe()

    def drawdown(self) -> float | None:
        """How far the value is below its highest, as a share."""
        self._expect_account("drawdown")
        history = self._history
        if history.value is None or not history.peak or history.peak < 0:
            return None
        return 1.0 - history.value / history.peak

    def beta(self, benchmark: str) -> float | None:
        """Covariance with the benchmark's returns over their variance."""
        self._expect_account("beta")
        return self._history.beta(benchmark)

    def _tail(self, confidence: float) -> tuple[NDArray[np.float64], float] | None:
        self._expect_account("value_at_risk")
        level = positive("confidence", confidence)
        if level >= 1:
            raise OrderError("confidence", "a share above 0 and below 1", confidence)
        returns = self._history.returns()
        return None if returns is None else (returns, float(np.quantile(returns, 1.0 - level)))

    def _used(self, rule: Rule, symbol: str, change: float, price: float | None) -> float | None:
        """What a rule would be compared with, behind an order; None: not known."""
        if rule.measure == "level":
            return rule.used
        if rule.measure == "order_size":
            return abs(change)
        quantities = self._portfolio.quantities()
        quantities[symbol] = after = quantities.get(symbol, 0.0) + change
        if rule.measure == "position_size":
            return abs(after)
        if rule.measure == "positions":
            return float(sum(1 for each in quantities.values() if each))
        if rule.measure == "exposure":
            parts = [self._notional(each, held, None) for each, held in quantities.items()]
            return None if None in parts else float(sum(each for each in parts if each is not None))
        return self._notional(symbol, change if rule.measure == "order_notional" else after, price)

    def _notional(self, symbol: str, quantity: float, price: float | None) -> float | None:
        price = self._portfolio.price(symbol) if price is None else price
        terms = self._terms.get(symbol)
        return None if price is None else abs(quantity * price) * (1.0 if terms is None else terms.multiplier)

    def _rules(self, what: str) -> Sequence[Rule]:
        self._expect_account(what)
        return self._portfolio.standing.rules

    def _expect_account(self, what: str) -> None:
        if self._portfolio.closed:
            raise NotDeployed(f"risk.{what}")
