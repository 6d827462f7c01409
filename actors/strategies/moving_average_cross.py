"""Moving averages that cross: the fast one above the slow one is an upward market.

* **Signal**: the difference of the averages changes its sign. Up: BUY. Down: SELL, or CLOSE_LONG where `allow_short`
  is false. Equal averages are no sign of their own: what they come to after that decides.
* **Averages** of the close of bars (`on = "bars"`, of `interval`), or of the middle of bid and ask, one value a quote.
  `sma`: the mean of the last values, in integers, so no error adds up. `ema`: factor 2 / (period + 1), begun with the
  mean of the first `period` values, as TA-Lib does.

The rule says nothing of how sure it is: `confidence` is what its user gives. A gap begins the averages anew.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Sequence
from decimal import Decimal
from typing import Annotated, Literal, Protocol

import msgspec

from actors.market.bars_intervals import parse_interval
from actors.strategies.strategy import NO_DRAFTS, Draft, Figure, Strategy
from protocols.market import STALE, Bar, Quote
from protocols.nanos import exact_nanos
from protocols.signals import Action, ExecutionParams

Period = Annotated[int, msgspec.Meta(ge=1, le=100_000)]


class CrossParameters(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """Parameters of `moving_average_cross`. Periods count values: bars or quotes."""

    fast: Period = 10
    slow: Period = 30
    kind: Literal["sma", "ema"] = "sma"
    on: Literal["bars", "quotes"] = "bars"
    interval: str = "1m"
    allow_short: bool = True
    quantity: Decimal | None = None
    """None: the deployment's sizing decides."""
    confidence: Annotated[float, msgspec.Meta(ge=0, le=1)] = 1.0
    validity_s: Annotated[float, msgspec.Meta(gt=0)] = 86_400.0
    max_slippage: Decimal = Decimal("0.001")

    def __post_init__(self) -> None:
        if self.fast >= self.slow:
            raise ValueError(f"fast must be below slow ({self.slow}), not {self.fast}")
        if self.quantity is not None and not (self.quantity.is_finite() and self.quantity > 0):
            raise ValueError(f"quantity must be a number above 0, not {self.quantity}")
        if not (self.max_slippage.is_finite() and self.max_slippage >= 0):
            raise ValueError(f"max_slippage must be a number from 0 on, not {self.max_slippage}")
        for name in ("quantity", "max_slippage"):
            if (value := getattr(self, name)) is not None:
                exact_nanos(f"{value:f}")
        parse_interval(self.interval)


class _Averages(Protocol):
    sign: int
    """Of fast minus slow, as it was last when they were not equal; 0: not known yet."""

    def take(self, value: int) -> bool:
        """The next value, in nanos; whether the sign has changed, from one known to another."""
        ...


class _Simple:
    """Two means as integer sums."""

    __slots__ = ("_fast", "_fast_sum", "_slow", "_slow_sum", "_values", "sign")

    def __init__(self, fast: int, slow: int) -> None:
        self._fast, self._slow = fast, slow
        self._values: deque[int] = deque()
        self._fast_sum = self._slow_sum = 0
        self.sign = 0

    def take(self, value: int) -> bool:
        """As _Averages."""
        values = self._values
        values.append(value)
        self._slow_sum += value
        self._fast_sum += value
        count = len(values)
        if count > self._fast:
            self._fast_sum -= values[-1 - self._fast]
        if count < self._slow:
            return False
        if count > self._slow:
            self._slow_sum -= values.popleft()
        difference = self._fast_sum * self._slow - self._slow_sum * self._fast
        sign = (difference > 0) - (difference < 0)
        known = self.sign
        if sign in (0, known):
            return False
        self.sign = sign
        return known != 0


class _Exponential:
    """Two exponential averages."""

    __slots__ = ("_fast", "_fast_factor", "_fast_period", "_seed", "_slow", "_slow_factor", "_slow_period", "sign")

    def __init__(self, fast: int, slow: int) -> None:
        self._fast_period, self._slow_period = fast, slow
        self._fast_factor, self._slow_factor = 2.0 / (fast + 1), 2.0 / (slow + 1)
        self._fast = self._slow = 0.0
        self._seed: list[int] | None = []
        """The values so far; None: both averages have begun."""
        self.sign = 0

    def take(self, value: int) -> bool:
        """As _Averages."""
        if self._seed is not None and not self._begin(self._seed, value):
            return False
        if self._seed is not None:
            self._seed = None
        else:
            self._fast += (value - self._fast) * self._fast_factor
            self._slow += (value - self._slow) * self._slow_factor
        sign = self.sign
        if self._fast > self._slow:
            if sign > 0:
                return False
            self.sign = 1
        elif self._fast < self._slow:
            if sign < 0:
                return False
            self.sign = -1
        else:
            return False
        return sign != 0

    def _begin(self, seed: list[int], value: int) -> bool:
        seed.append(value)
        count = len(seed)
        if count == self._fast_period:
            self._fast = sum(seed) / count
        elif count > self._fast_period:
            self._fast += (value - self._fast) * self._fast_factor
        if count < self._slow_period:
            return False
        self._slow = sum(seed) / count
        return True


class MovingAverageCross(Strategy[CrossParameters]):
    """See the module."""

    Parameters = CrossParameters
    version = "1"

    def __init__(self, parameters: CrossParameters, markets: tuple[str, ...]) -> None:
        super().__init__(parameters, markets)
        self._on_bars = parameters.on == "bars"
        self.intervals = (parameters.interval,) if self._on_bars else ()
        self._averages: dict[str, _Averages] = {}
        self._validity_ns = int(parameters.validity_s * 1e9)
        quantity = parameters.quantity
        self._params = ExecutionParams(
            quantity=None if quantity is None else exact_nanos(f"{quantity:f}"),
            max_slippage=exact_nanos(f"{parameters.max_slippage:f}"),
        )

    def on_quote(self, quote: Quote) -> Sequence[Draft]:
        """The middle of bid and ask, where that is what is averaged."""
        if self._on_bars:
            return NO_DRAFTS
        bid, ask = quote.bid, quote.ask
        if bid is None or ask is None or (quote.marks and STALE in quote.marks):
            return NO_DRAFTS
        averages = self._averages.get(quote.market)
        if averages is None:
            averages = self._new(quote.market)
        # Twice the middle, so that it is exact.
        if not averages.take(bid + ask):
            return NO_DRAFTS
        return (self._draft(quote.market, averages.sign, (bid + ask) // 2),)

    def on_bar(self, bar: Bar) -> Sequence[Draft]:
        """The close of a bar of the interval, where that is what is averaged."""
        if not self._on_bars or bar.interval != self.parameters.interval:
            return NO_DRAFTS
        averages = self._averages.get(bar.market)
        if averages is None:
            averages = self._new(bar.market)
        if not averages.take(bar.close):
            return NO_DRAFTS
        return (self._draft(bar.market, averages.sign, bar.close),)

    def on_gap(self, market: str) -> None:
        """What comes next is not the next value of what was."""
        self._averages.pop(market, None)

    def figures(self) -> tuple[Figure, ...]:
        """How many markets are up, how many down."""
        signs = [averages.sign for averages in self._averages.values()]
        return (("up", signs.count(1)), ("down", signs.count(-1)))

    def _new(self, market: str) -> _Averages:
        parameters = self.parameters
        made = _Simple if parameters.kind == "sma" else _Exponential
        averages = self._averages[market] = made(parameters.fast, parameters.slow)
        return averages

    def _draft(self, market: str, sign: int, price: int) -> Draft:
        action: Action = "BUY" if sign > 0 else "SELL" if self.parameters.allow_short else "CLOSE_LONG"
        return Draft(
            market=market,
            action=action,
            confidence=self.parameters.confidence,
            validity_ns=self._validity_ns,
            execution_params=self._params,
            current_price=price,
        )
