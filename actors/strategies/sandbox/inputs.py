"""From market messages to what a worker is given: nanos become floats, because a strategy calculates statistics."""

from __future__ import annotations

import math
from typing import Final

from actors.strategies.sandbox.wire import BarInput, QuoteInput, TradeInput
from protocols.market import Bar, Quote, Trade
from protocols.nanos import NANO

_NONE: Final = math.nan


def bar_input(bar: Bar, now: int) -> BarInput:
    """A bar; volume, trades and vwap are NaN where its source has none."""
    return BarInput(
        bar.market,
        bar.interval,
        bar.start,
        bar.end,
        bar.open / NANO,
        bar.high / NANO,
        bar.low / NANO,
        bar.close / NANO,
        float(bar.volume) if bar.volume else _NONE,
        _NONE if bar.trades is None else float(bar.trades),
        _NONE if bar.vwap is None else bar.vwap / NANO,
        now,
    )


def quote_input(quote: Quote, now: int) -> QuoteInput:
    """A quote; a side that nobody quotes is NaN, with size 0."""
    return QuoteInput(
        quote.market,
        _NONE if quote.bid is None else quote.bid / NANO,
        quote.bid_size / NANO,
        _NONE if quote.ask is None else quote.ask / NANO,
        quote.ask_size / NANO,
        quote.ts_event or quote.ts_recv,
        now,
    )


def trade_input(trade: Trade, now: int) -> TradeInput:
    """A public trade."""
    return TradeInput(
        trade.market,
        trade.price / NANO,
        trade.size / NANO,
        trade.taker or "",
        trade.ts_event or trade.ts_recv,
        now,
    )
