"""Strategies to test the runner with: one that signals at every quote, one that crashes when it is told to."""

from __future__ import annotations

from collections.abc import Sequence

import msgspec

from actors.strategies.strategy import Draft, Figure, Strategy
from protocols.market import Bar, Quote, Trade


class EchoParameters(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    validity_s: float = 60.0
    confidence: float = 0.5


class Echo(Strategy[EchoParameters]):
    """A BUY at every quote; a quote whose bid is 13 cents is too much for it."""

    Parameters = EchoParameters
    version = "7"

    def __init__(self, parameters: EchoParameters, markets: tuple[str, ...]) -> None:
        super().__init__(parameters, markets)
        self.gaps: list[str] = []

    def on_quote(self, quote: Quote) -> Sequence[Draft]:
        if quote.bid == 130_000_000:
            raise RuntimeError("thirteen")
        return [self._draft(quote.market)]

    def on_trade(self, trade: Trade) -> Sequence[Draft]:
        return [self._draft(trade.market), self._draft(trade.market)]

    def on_gap(self, market: str) -> None:
        self.gaps.append(market)

    def figures(self) -> tuple[Figure, ...]:
        return (("gaps", len(self.gaps)),)

    def _draft(self, market: str) -> Draft:
        validity_ns = int(self.parameters.validity_s * 1e9)
        return Draft(market=market, action="BUY", confidence=self.parameters.confidence, validity_ns=validity_ns)


class BarEcho(Echo):
    """A BUY at every bar of five minutes, and at nothing else."""

    def __init__(self, parameters: EchoParameters, markets: tuple[str, ...]) -> None:
        super().__init__(parameters, markets)
        self.intervals = ("5m",)

    def on_quote(self, quote: Quote) -> Sequence[Draft]:
        return ()

    def on_trade(self, trade: Trade) -> Sequence[Draft]:
        return ()

    def on_bar(self, bar: Bar) -> Sequence[Draft]:
        return [self._draft(bar.market)]


class NoStrategy:
    pass


class Broken(Echo):
    """It never starts."""

    def __init__(self, parameters: EchoParameters, markets: tuple[str, ...]) -> None:
        raise RuntimeError("broken")
