"""Book imbalance: more is bid than offered at the best prices, so the next move of the price is likelier up than down.

Imbalance of a quote: `x = (bid_size - ask_size) / (bid_size + ask_size)`, from -1 to 1. Microprice: the mean of bid and
ask, each weighted with the size on the *other* side (Stoikov, "The micro-price", 2018, its first approximation). What
decides is the mean `I` of the imbalance over event time, in which older time weighs half for every `half_life_s`:
`I <- x + (I - x) * 2^(-dt / half_life_s)` for the `dt` that a quote with imbalance `x` stood.

* **Entry**, BUY or SELL: `|I| >= enter`, not more often than every `cooldown_s` in a market, with enough evidence.
* **Exit**, CLOSE_LONG or CLOSE_SHORT: `I` has come back to within `exit` of zero, or beyond. `exit < enter` is the
  hysteresis: noise about one threshold does not signal again and again.
* **Confidence** is what the market itself has shown. At every move of the mid price it is noted whether the move went
  the way of `I` as it was just before, by bins of `|I|` and over all markets of the strategy (`evidence.py`). So the
  confidence of an entry is `(hits + 1) / (outcomes + 2)` of its bin: the estimated probability that the next move goes
  the signal's way. That of an exit is the estimated probability that the next move does not go the position's way.
  An entry is drafted only from `min_evidence` outcomes and `min_confidence` on.
* **Risk score**: `spread / (spread + m)`, with `m` the mean size of the moves of the mid price in this market: 0 when
  crossing the spread costs nothing, 1/2 when it costs one move, 1 before there was a move.
* `volatility` is `m`, in the unit of the price.
"""

from __future__ import annotations

from collections.abc import Sequence
from decimal import Decimal
from typing import Annotated, Final

import msgspec

from actors.strategies.evidence import Evidence
from actors.strategies.strategy import NO_DRAFTS, Draft, Figure, Strategy, event_time
from protocols.market import STALE, Quote
from protocols.nanos import NANO, decimal_text, exact_nanos
from protocols.signals import Action, ExecutionParams, MarketConditions

BINS: Final = 5

Share = Annotated[float, msgspec.Meta(gt=0, lt=1)]


class ImbalanceParameters(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """Parameters of `book_imbalance`. Durations are seconds of event time."""

    enter: Share = 0.6
    exit: Annotated[float, msgspec.Meta(ge=0, lt=1)] = 0.2
    half_life_s: Annotated[float, msgspec.Meta(gt=0)] = 1.0
    cooldown_s: Annotated[float, msgspec.Meta(ge=0)] = 10.0
    min_evidence: Annotated[int, msgspec.Meta(ge=1)] = 20
    min_confidence: Annotated[float, msgspec.Meta(ge=0, le=1)] = 0.55
    memory: Annotated[int, msgspec.Meta(ge=2)] = 1_000
    """So many outcomes of a bin count; older ones fade."""
    validity_s: Annotated[float, msgspec.Meta(gt=0)] = 60.0
    quantity: Decimal = Decimal(1)
    max_slippage: Decimal = Decimal("0.001")

    def __post_init__(self) -> None:
        if self.exit >= self.enter:
            raise ValueError(f"exit must be below enter ({self.enter}), not {self.exit}")
        if self.memory < self.min_evidence:
            raise ValueError(f"memory must be at least min_evidence ({self.min_evidence}), not {self.memory}")
        for name in ("quantity", "max_slippage"):
            value = getattr(self, name)
            if not value.is_finite() or value < 0 or (name == "quantity" and value == 0):
                raise ValueError(f"{name} must be a number above 0, not {value}")
            exact_nanos(f"{value:f}")


class _Market:
    """What is known of one market."""

    __slots__ = ("at", "entered_at", "imbalance", "mean", "mid", "moves", "position", "typical")

    def __init__(self) -> None:
        self.at = 0
        self.imbalance: float | None = None
        """Of the quote that stands; None: there is none on both sides."""
        self.mean = 0.0
        self.mid: int | None = None
        """Bid plus ask, nanos: twice the mid price, so that it is exact."""
        self.typical = 0.0
        """The mean size of the moves of `mid`."""
        self.moves = 0
        self.position = 0
        """1 after an entry up, -1 after one down, 0 after the exit."""
        self.entered_at: int | None = None


class BookImbalance(Strategy[ImbalanceParameters]):
    """See the module."""

    Parameters = ImbalanceParameters
    version = "1"

    def __init__(self, parameters: ImbalanceParameters, markets: tuple[str, ...]) -> None:
        super().__init__(parameters, markets)
        self.evidence = Evidence(BINS, parameters.memory)
        self._markets: dict[str, _Market] = {}
        self._half_life_ns = parameters.half_life_s * 1e9
        self._cooldown_ns = int(parameters.cooldown_s * 1e9)
        self._validity_ns = int(parameters.validity_s * 1e9)
        self._params = ExecutionParams(
            quantity=exact_nanos(f"{parameters.quantity:f}"),
            max_slippage=exact_nanos(f"{parameters.max_slippage:f}"),
        )

    def on_quote(self, quote: Quote) -> Sequence[Draft]:
        """Bring the mean up to now, learn from a move, and see whether a threshold was crossed."""
        market = self._markets.get(quote.market)
        if market is None:
            market = self._markets[quote.market] = _Market()
        now = max(event_time(quote), market.at)
        if market.imbalance is not None:
            held = market.imbalance
            market.mean = held + (market.mean - held) * 2.0 ** ((market.at - now) / self._half_life_ns)
        market.at = now
        sizes = quote.bid_size + quote.ask_size
        if quote.bid is None or quote.ask is None or sizes <= 0 or STALE in quote.marks:
            market.imbalance = market.mid = None
            return NO_DRAFTS
        self._learn(market, quote.bid + quote.ask)
        imbalance = (quote.bid_size - quote.ask_size) / sizes
        if market.imbalance is None:
            market.mean = imbalance  # what stood before a break says nothing about now
        market.imbalance = imbalance
        return self._decide(market, quote)

    def on_gap(self, market: str) -> None:
        """Forget where the market was; what was learned from it stays true."""
        known = self._markets.get(market)
        if known is not None:
            known.imbalance = known.mid = None

    def figures(self) -> tuple[Figure, ...]:
        """How much evidence there is, and what it says for the strongest imbalance."""
        strongest = self.evidence.tallies[-1]
        return (
            ("outcomes", round(self.evidence.outcomes)),
            ("rate_of_strongest", round(strongest.rate(), 4)),
            ("in_position", sum(1 for market in self._markets.values() if market.position)),
        )

    def _learn(self, market: _Market, mid: int) -> None:
        before, market.mid = market.mid, mid
        if before is None or mid == before:
            return
        market.moves += 1
        size = abs(mid - before)
        market.typical += (size - market.typical) / min(market.moves, self.parameters.memory)
        if market.mean:
            self.evidence.add(abs(market.mean), (mid > before) == (market.mean > 0))

    def _decide(self, market: _Market, quote: Quote) -> Sequence[Draft]:
        mean, parameters = market.mean, self.parameters
        drafts: list[Draft] = []
        if market.position and mean * market.position <= parameters.exit:
            action: Action = "CLOSE_LONG" if market.position > 0 else "CLOSE_SHORT"
            drafts.append(self._draft(market, quote, action, 1.0 - self._probability(mean, market.position)))
            market.position = 0
        if market.position or abs(mean) < parameters.enter:
            return drafts or NO_DRAFTS
        if market.entered_at is not None and market.at < market.entered_at + self._cooldown_ns:
            return drafts
        direction = 1 if mean > 0 else -1
        confidence = self._probability(mean, direction)
        enough = self.evidence.tally(abs(mean)).outcomes >= parameters.min_evidence
        if enough and confidence >= parameters.min_confidence:
            market.position, market.entered_at = direction, market.at
            drafts.append(self._draft(market, quote, "BUY" if direction > 0 else "SELL", confidence))
        return drafts

    def _probability(self, mean: float, direction: int) -> float:
        """The estimated probability that the next move goes in `direction`, at this mean imbalance."""
        if mean == 0:
            return 0.5
        rate = self.evidence.tally(abs(mean)).rate()
        return rate if mean * direction > 0 else 1.0 - rate

    def _draft(self, market: _Market, quote: Quote, action: Action, confidence: float) -> Draft:
        assert quote.bid is not None
        assert quote.ask is not None
        spread = quote.ask - quote.bid
        typical = market.typical / 2.0  # `mid` is twice the price
        micro = (quote.ask * quote.bid_size + quote.bid * quote.ask_size) // (quote.bid_size + quote.ask_size)
        tally = self.evidence.tally(abs(market.mean))
        metadata = {
            "imbalance": round(market.mean, 6),
            "microprice": decimal_text(micro),
            "spread": decimal_text(spread),
            "evidence": {"hits": round(tally.hits, 3), "outcomes": round(tally.outcomes, 3)},
        }
        return Draft(
            market=quote.market,
            action=action,
            confidence=confidence,
            validity_ns=self._validity_ns,
            execution_params=msgspec.structs.replace(self._params, price_target=micro),
            risk_score=spread / (spread + typical) if spread > 0 else 0.0,
            current_price=(quote.bid + quote.ask) // 2,
            market_conditions=MarketConditions(volatility=typical / NANO),
            metadata=msgspec.Raw(msgspec.json.encode(metadata)),
        )
