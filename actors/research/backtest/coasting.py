"""Bars of one market while nothing works: the account's value follows the closes, and the engine need not see each bar.

Between two orders cash and quantity stand still, so the equity at each close follows from the one before, to the nano.
The engine is told of the next bar that matters: the one at which the strategy speaks, or the first whose close might be
a margin call. Who limits losses, or sizes by volatility, wants every bar to be looked at: then nothing coasts.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Final, NamedTuple

from actors.execution.accounts.rounding import UNIT, money
from actors.execution.engine import Engine
from actors.research.backtest.recorder import Recorder
from actors.research.backtest.spec import BacktestSpec
from protocols.market import Bar

CAUTION: Final = 1e-6
"""So near to a margin call (a share of the price) the engine looks itself."""
_KINDS: Final = frozenset({"equity", "spot", "perpetual", "future"})


class Bounds(NamedTuple):
    """Between these closes there is no margin call."""

    low: float
    high: float


class Coast:
    """What is known at the bar from which on the engine is not told."""

    __slots__ = ("_close", "_equity", "_market", "_multiplier", "_quantity", "_value", "bounds")

    def __init__(self, engine: Engine, market: str, close: int, multiplier: int) -> None:
        equity = engine.account.equity()
        assert equity is not None  # there is a bar
        self._market = market
        self._close = close
        self._multiplier = multiplier
        self._quantity = engine.account.net_position(market)
        self._equity = equity
        self._value = money(close, self._quantity, multiplier)
        self.bounds = self._bounds(engine)

    def _bounds(self, engine: Engine) -> Bounds:
        if not self._quantity:
            return Bounds(-math.inf, math.inf)
        needed = engine.account.maintenance() or 0
        # Equity E + V(p) - V and maintenance M p / c meet at p* = (V - E) c / (V - M).
        steep = self._value - needed
        if not steep:
            return Bounds(math.inf, -math.inf)
        meeting = (self._value - self._equity) * self._close / steep
        if self._quantity > 0:
            low = meeting + abs(meeting) * CAUTION if steep > 0 else math.inf
            return Bounds(low, math.inf)
        return Bounds(-math.inf, meeting - abs(meeting) * CAUTION)

    def record(self, engine: Engine, recorder: Recorder, bars: Sequence[Bar], since: int) -> None:
        """Note the samples of these bars (those from `since` on), and at which prices a trade could have been left."""
        if not bars:
            return
        if self._quantity:
            engine.account.seen(self._market, min(bar.low for bar in bars), max(bar.high for bar in bars))
        quantity, multiplier, base = self._quantity, self._multiplier, self._equity - self._value
        shown = bars if bars[0].end >= since else [bar for bar in bars if bar.end >= since]
        closes = [bar.close for bar in shown]
        whole, rest = divmod(quantity * multiplier, UNIT)
        if rest:
            equity = [base + money(close, quantity, multiplier) for close in closes]
        else:  # nothing is to be rounded
            equity = [base + close * whole for close in closes]
        recorder.sample_closes([bar.ts_recv for bar in shown], equity, closes, exposed=quantity != 0)


def may_coast(spec: BacktestSpec, kind: str) -> bool:
    """Whether no rule of the account wants to look at every bar."""
    limits = spec.limits
    return (
        kind in _KINDS
        and spec.position_mode == "netting"
        and limits.max_daily_loss is None
        and limits.max_drawdown is None
        and not spec.protections
        and spec.sizing.method in ("fixed_percentage", "fixed_amount")
    )
