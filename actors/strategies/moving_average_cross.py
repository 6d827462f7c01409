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
from collections.abc import Callable, Sequence
from decimal import Decimal
from typing import Annotated, Literal

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


Take = Callable[[int], int]
"""The next value, in nanos; 1 or -1 where the sign of fast minus slow has changed to it, from the other one; else 0."""


def _simple(fast: int, slow: int) -> Take:
    """Two means as integer sums."""
    values: deque[int] = deque()
    fast_sum = slow_sum = known = 0
    past = -1 - fast

    def take(value: int) -> int:
        nonlocal fast_sum, slow_sum, known
        values.append(value)
        if len(values) > slow:
            slow_sum += value - values.popleft()
            fast_sum += value - values[past]
        else:
            slow_sum += value
            fast_sum += value
            count = len(values)
            if count > fast:
                fast_sum -= values[past]
            if count < slow:
                return 0
        above, below = fast_sum * slow, slow_sum * fast
        if above > below:
            if known == 1:
                return 0
            sign = 1
        elif above < below:
            if known == -1:
                return 0
            sign = -1
        else:
            return 0
        before, known = known, sign
        return sign if before else 0

    return take


def _exponential(fast: int, slow: int) -> Take:
    """Two exponential averages. State in a closure: this is called for every quote."""
    fast_factor, slow_factor = 2.0 / (fast + 1), 2.0 / (slow + 1)
    fast_mean = slow_mean = 0.0
    seed: list[int] = []
    begun = False
    known = 0

    def take(value: int) -> int:
        nonlocal fast_mean, slow_mean, known
        if begun:
            fast_mean += (value - fast_mean) * fast_factor
            slow_mean += (value - slow_mean) * slow_factor
        elif not begin(value):
            return 0
        if fast_mean > slow_mean:
            if known == 1:
                return 0
            sign = 1
        elif fast_mean < slow_mean:
            if known == -1:
                return 0
            sign = -1
        else:
            return 0
        before, known = known, sign
        return sign if before else 0

    def begin(value: int) -> bool:
        nonlocal fast_mean, slow_mean, begun
        seed.append(value)
        count = len(seed)
        if count == fast:
            fast_mean = sum(seed) / count
        elif count > fast:
            fast_mean += (value - fast_mean) * fast_factor
        if count < slow:
            return False
        slow_mean = sum(seed) / count
        begun = True
        seed.clear()
        return True

    return take


class MovingAverageCross(Strategy[CrossParameters]):
    """See the module."""

    Parameters = CrossParameters
    version = "1"

    def __init__(self, parameters: CrossParameters, markets: tuple[str, ...]) -> None:
        super().__init__(parameters, markets)
        self._on_bars = parameters.on == "bars"
        self._interval = parameters.interval if self._on_bars else ""
        self.intervals = (parameters.interval,) if self._on_bars else ()
        self._takes: dict[str, Take] = {}
        self._crossed: dict[str, int] = {}
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
        take = self._takes.get(quote.market)
        if take is None:
            take = self._begin(quote.market)
        # Twice the middle, so that it is exact.
        sign = take(bid + ask)
        if not sign:
            return NO_DRAFTS
        return (self._draft(quote.market, sign, (bid + ask) // 2),)

    def on_bar(self, bar: Bar) -> Sequence[Draft]:
        """The close of a bar of the interval, where that is what is averaged."""
        if bar.interval != self._interval:
            return NO_DRAFTS
        take = self._takes.get(bar.market)
        if take is None:
            take = self._begin(bar.market)
        sign = take(bar.close)
        return (self._draft(bar.market, sign, bar.close),) if sign else NO_DRAFTS

    def on_gap(self, market: str) -> None:
        """What comes next is not the next value of what was."""
        self._takes.pop(market, None)
        self._crossed.pop(market, None)

    def figures(self) -> tuple[Figure, ...]:
        """How many markets have crossed up last, and how many down."""
        signs = list(self._crossed.values())
        return (("up", signs.count(1)), ("down", signs.count(-1)))

    def _begin(self, market: str) -> Take:
        parameters = self.parameters
        make = _simple if parameters.kind == "sma" else _exponential
        take = self._takes[market] = make(parameters.fast, parameters.slow)
        return take

    def _draft(self, market: str, sign: int, price: int) -> Draft:
        self._crossed[market] = sign
        action: Action = "BUY" if sign > 0 else "SELL" if self.parameters.allow_short else "CLOSE_LONG"
        return Draft(
            market=market,
            action=action,
            confidence=self.parameters.confidence,
            validity_ns=self._validity_ns,
            execution_params=self._params,
            current_price=price,
        )
