"""Trusted strategies to test backtests with."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from typing import ClassVar

import msgspec

from actors.strategies.strategy import NO_DRAFTS, Draft, Strategy
from protocols.market import STALE, Bar, Quote, Trade
from protocols.signals import ExecutionParams


class Nothing(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """No parameters."""


def draft(market: str, action: str) -> Draft:
    return Draft(market=market, action=action, confidence=1.0, validity_ns=10**18)  # type: ignore[arg-type]


class Told(Strategy[Nothing]):
    """Notes all that it is told, and orders nothing."""

    Parameters = Nothing
    version = "1"
    notes: ClassVar[list[tuple[str, int]]] = []

    def __init__(self, parameters: Nothing, markets: tuple[str, ...]) -> None:
        super().__init__(parameters, markets)
        self.intervals = ("1m", "2m")
        Told.notes = []

    def on_quote(self, quote: Quote) -> Sequence[Draft]:
        Told.notes.append((f"{'stale' if STALE in quote.marks else 'quote'} {quote.market}", quote.ts_recv))
        return NO_DRAFTS

    def on_trade(self, trade: Trade) -> Sequence[Draft]:
        Told.notes.append((f"trade {trade.market}", trade.ts_recv))
        return NO_DRAFTS

    def on_bar(self, bar: Bar) -> Sequence[Draft]:
        Told.notes.append((f"bar {bar.market} {bar.interval} {bar.close}", bar.end))
        return NO_DRAFTS


class Heard(Told):
    """The same without bars."""

    def __init__(self, parameters: Nothing, markets: tuple[str, ...]) -> None:
        super().__init__(parameters, markets)
        self.intervals = ()


class Peeker(Strategy[Nothing]):
    """A cheat: it looks at the bars that are to come, in the frames of whoever calls it."""

    Parameters = Nothing
    version = "1"

    def __init__(self, parameters: Nothing, markets: tuple[str, ...]) -> None:
        super().__init__(parameters, markets)
        self.intervals = ("1m",)
        self.place = 0

    def on_bar(self, bar: Bar) -> Sequence[Draft]:
        self.place += 1
        to_come = sys._getframe(1).f_locals["batch"].messages
        if self.place >= len(to_come):
            return NO_DRAFTS
        rises = to_come[self.place].close > bar.close
        return [draft(bar.market, "BUY" if rises else "CLOSE_LONG")]


class BuyOnce(Strategy[Nothing]):
    """Buys at the first quote or bar, and holds."""

    Parameters = Nothing
    version = "1"

    def __init__(self, parameters: Nothing, markets: tuple[str, ...]) -> None:
        super().__init__(parameters, markets)
        self.intervals = ("1m",)
        self.bought: set[str] = set()

    def on_quote(self, quote: Quote) -> Sequence[Draft]:
        return self._once(quote.market)

    def on_bar(self, bar: Bar) -> Sequence[Draft]:
        return self._once(bar.market)

    def _once(self, market: str) -> Sequence[Draft]:
        if market in self.bought:
            return NO_DRAFTS
        self.bought.add(market)
        return [draft(market, "BUY")]


class DailyPeeker(Peeker):
    """The same cheat, on bars of a day."""

    def __init__(self, parameters: Nothing, markets: tuple[str, ...]) -> None:
        super().__init__(parameters, markets)
        self.intervals = ("1d",)


class BuyMuch(BuyOnce):
    """Buys 15,000 at the first bar, and holds."""

    def _once(self, market: str) -> Sequence[Draft]:
        params = ExecutionParams(quantity=15_000 * 10**9)
        return [msgspec.structs.replace(each, execution_params=params) for each in super()._once(market)]
