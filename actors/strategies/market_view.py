"""What a run knows of its markets: volatility, spread, regime, trend and last price, from its own bars and quotes.

* **Volatility**, annualised: `sqrt(sum(r²) / T · 1 year)` with `r` the log returns of the closes in the window and `T`
  the time between them. That is the realised variance per time (Andersen, Bollerslev, Diebold and Labys, "Modeling
  and Forecasting Realized Volatility", 2003): it needs no length of a bar, so bars of trades and markets that close
  are measured the same way. A year is one of 365 days. 0.5 is 50 % a year.
* **Spread**: (ask - bid) / mid of the last quote that is not stale.
* **Efficiency** of the newest `REGIME` returns: |sum of r| / sum of |r| (Kaufman's efficiency ratio, "Trading Systems
  and Methods"), 1 for a straight line, near 0.2 for a random walk of 20 steps.
* **Regime**: `volatile` where the volatility of the newest `REGIME` returns is at least `VOLATILE` times that of all
  before them; else `trending` where their efficiency is at least `TRENDING`; else `other`. Unknown with fewer returns.
* **Trend**: `up` or `down` in a trending regime, `sideways` in others.

What is not known is None, never a default.
"""

from __future__ import annotations

import math
from collections import deque
from collections.abc import Mapping, Sequence
from typing import Final, Literal

import msgspec

from protocols.market import STALE, Bar, Quote, Trade

Regime = Literal["volatile", "trending", "other"]
Trend = Literal["up", "down", "sideways"]

YEAR_NS: Final = 365 * 86_400 * 1_000_000_000
LEAST_RETURNS: Final = 10
"""With fewer a volatility says little."""
REGIME: Final = 20
VOLATILE: Final = 1.5
TRENDING: Final = 0.5
WINDOW: Final = 100


class MarketFacts(msgspec.Struct, frozen=True, gc=False, kw_only=True):
    """What is known of one market now. `last_price` in nanos, of the time `ts_price`; ratios are floats."""

    last_price: int | None = None
    ts_price: int = 0
    volatility: float | None = None
    spread: float | None = None
    regime: Regime | None = None
    trend: Trend | None = None
    bars: int = 0
    """How many bars the window holds."""
    traded_bars: int = 0
    """How many of them had anything happen in them."""


class _Return(msgspec.Struct, frozen=True, gc=False):
    """A log return, its square, and the time that it took, ns."""

    value: float
    square: float
    elapsed: int


class _Market:
    __slots__ = ("bars", "close", "end", "facts", "interval", "price", "returns", "spread", "ts_price")

    def __init__(self, interval: str, window: int) -> None:
        self.interval = interval
        self.returns: deque[_Return] = deque(maxlen=window - 1)
        self.bars: deque[bool] = deque(maxlen=window)
        """Of each bar, whether anything happened."""
        self.close = self.end = 0
        self.facts: MarketFacts | None = None
        """What the bars say; None: a bar has come since it was worked out."""
        self.spread: float | None = None
        self.price: int | None = None
        self.ts_price = 0


class MarketView:
    """The markets of one run. `intervals`: whose bars count, by symbol; of others those of the first that comes.

    `window`: how many bars are looked at.
    """

    def __init__(self, intervals: Mapping[str, str] | None = None, window: int = WINDOW) -> None:
        if window < 2:
            raise ValueError(f"a window holds at least 2 bars, not {window}")
        self._intervals = dict(intervals or {})
        self._window = window
        self._markets: dict[str, _Market] = {}

    def bar(self, bar: Bar) -> None:
        """Take note of a complete bar. One of another interval, or from before the last one, changes nothing."""
        market = self._market(bar.market)
        if not market.interval:
            market.interval = bar.interval
        if bar.interval != market.interval or bar.end <= market.end:
            return
        if market.close > 0 and bar.close > 0:
            value = math.log(bar.close / market.close)
            market.returns.append(_Return(value, value * value, bar.end - market.end))
        elif market.end:
            market.returns.clear()  # a price of 0 or less has no logarithm: nothing leads over it
        market.bars.append(not bar.empty)
        market.facts = None
        market.close, market.end = bar.close, bar.end
        if bar.end >= market.ts_price:
            market.price, market.ts_price = bar.close, bar.end

    def quote(self, quote: Quote) -> None:
        """Take note of the best prices."""
        market = self._market(quote.market)
        market.spread = None
        bid, ask = quote.bid, quote.ask
        if bid is None or ask is None or STALE in quote.marks:
            return
        # With a mid price of 0 or less a share of it says nothing.
        if bid + ask > 0:
            market.spread = max(0, ask - bid) * 2 / (bid + ask)
        self._price(market, (bid + ask) // 2, quote.ts_event or quote.ts_recv)

    def trade(self, trade: Trade) -> None:
        """Take note of a trade's price."""
        self._price(self._market(trade.market), trade.price, trade.ts_event or trade.ts_recv)

    def gap(self, symbol: str) -> None:
        """Inputs were lost: the spread is not known until the next quote."""
        self._market(symbol).spread = None

    def facts(self, symbol: str) -> MarketFacts:
        """What is known of a market."""
        market = self._markets.get(symbol)
        if market is None:
            return MarketFacts()
        if market.facts is None:
            market.facts = self._facts(market)
        return msgspec.structs.replace(
            market.facts, last_price=market.price, ts_price=market.ts_price, spread=market.spread
        )

    def _facts(self, market: _Market) -> MarketFacts:
        """What changes with a bar alone."""
        returns = tuple(market.returns)
        regime = _regime(returns)
        return MarketFacts(
            volatility=realised_volatility(returns) if len(returns) >= LEAST_RETURNS else None,
            regime=regime,
            trend=_trend(returns, regime),
            bars=len(market.bars),
            traded_bars=sum(market.bars),
        )

    def _market(self, symbol: str) -> _Market:
        market = self._markets.get(symbol)
        if market is None:
            market = self._markets[symbol] = _Market(self._intervals.get(symbol, ""), self._window)
        return market

    def _price(self, market: _Market, price: int, ts: int) -> None:
        if ts >= market.ts_price:
            market.price, market.ts_price = price, ts


def realised_volatility(returns: Sequence[_Return]) -> float | None:
    """The annualised volatility of returns; None where no time has passed."""
    elapsed = sum([each.elapsed for each in returns])
    if elapsed <= 0:
        return None
    return math.sqrt(math.fsum([each.square for each in returns]) / elapsed * YEAR_NS)


def efficiency(returns: Sequence[_Return]) -> float:
    """Kaufman's efficiency ratio of returns; 0 where nothing has moved."""
    path = math.fsum([abs(each.value) for each in returns])
    return abs(math.fsum([each.value for each in returns])) / path if path else 0.0


def _regime(returns: Sequence[_Return]) -> Regime | None:
    if len(returns) < REGIME:
        return None
    newest, before = returns[-REGIME:], returns[:-REGIME]
    if len(before) >= REGIME:
        now, usual = realised_volatility(newest), realised_volatility(before)
        if now is not None and usual is not None and now > 0 and now >= VOLATILE * usual:
            return "volatile"
    return "trending" if efficiency(newest) >= TRENDING else "other"


def _trend(returns: Sequence[_Return], regime: Regime | None) -> Trend | None:
    if regime is None:
        return None
    if regime != "trending":
        return "sideways"
    return "up" if math.fsum([each.value for each in returns[-REGIME:]]) > 0 else "down"
