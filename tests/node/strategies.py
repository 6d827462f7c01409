"""A strategy that signals at every quote, and keeps account of what it was shown."""

from __future__ import annotations

from collections.abc import Sequence

import msgspec

from actors.strategies.strategy import Draft, Figure, Strategy
from protocols.market import STALE, Quote
from protocols.nanos import NANO
from protocols.signals import Action, ExecutionParams

VALIDITY_NS = 600_000_000_000


class EveryQuoteParameters(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    signals: int = 1
    """Drafts for every quote."""


class EveryQuote(Strategy[EveryQuoteParameters]):
    """Makes as many signals of every quote as it is told to, however little there is to say."""

    Parameters = EveryQuoteParameters
    version = "1"

    def __init__(self, parameters: EveryQuoteParameters, markets: tuple[str, ...]) -> None:
        super().__init__(parameters, markets)
        self.quotes = self.stale = self.crossed = self.negative = self.gaps = 0

    def on_quote(self, quote: Quote) -> Sequence[Draft]:
        self.quotes += 1
        self.stale += STALE in quote.marks
        self.crossed += quote.bid is not None and quote.ask is not None and quote.bid > quote.ask
        self.negative += quote.bid_size < 0 or quote.ask_size < 0
        draft = Draft(market=quote.market, action="HOLD", confidence=0.5, validity_ns=VALIDITY_NS)
        return (draft,) * self.parameters.signals

    def on_gap(self, market: str) -> None:
        self.gaps += 1

    def figures(self) -> tuple[Figure, ...]:
        return (
            ("quotes", self.quotes),
            ("stale", self.stale),
            ("crossed", self.crossed),
            ("negative", self.negative),
            ("gaps", self.gaps),
        )


class TradeEveryQuote(Strategy[EveryQuoteParameters]):
    """Buys at one quote and sells at the next, now and then by a limit that has to wait."""

    Parameters = EveryQuoteParameters
    version = "1"

    def __init__(self, parameters: EveryQuoteParameters, markets: tuple[str, ...]) -> None:
        super().__init__(parameters, markets)
        self.quotes = 0

    def on_quote(self, quote: Quote) -> Sequence[Draft]:
        if quote.bid is None or quote.ask is None:
            return ()
        self.quotes += 1
        buys = self.quotes % 2 == 0
        params = ExecutionParams(quantity=NANO)
        if self.quotes % 25 == 0:
            price = quote.bid if buys else quote.ask
            params = ExecutionParams(quantity=NANO, order_type="LIMIT", price_target=price)
        action: Action = "BUY" if buys else "SELL"
        draft = Draft(
            market=quote.market, action=action, confidence=0.9, validity_ns=VALIDITY_NS, execution_params=params
        )
        return (draft,) * self.parameters.signals
