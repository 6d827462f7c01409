"""Risk assessment of a signal: a score, a recommendation and hints for its size, from what is known of its market.

The rules are those of the strategy service:

* **Risk**, 0 to 1: the mean of volatility / 0.5 (annualised), spread · 100 (a share of the mid price), the market's
  hours (open 0.2, closed 0.8) and its regime (volatile 0.8, trending 0.3, other 0.5), each capped at 1. What is not
  known is left out and named in `unknown`; with nothing known there is no score.
* **Confidence**: what the strategy gave, times the quality of the data (the share of the window's bars in which
  anything happened), of the history (bars held / bars wanted), the agreement of indicators and a factor of the regime
  (0.8 in a volatile one, else 1; the factor is ours, the rest is theirs). It serves the recommendation alone: a gate
  judges the confidence that the strategy gave.
* **Recommendation**: `proceed` with confidence > 0.7 and risk < 0.3; `reject` with confidence < 0.3; `defer` with risk
  > 0.7; `proceed_cautious` with confidence > 0.5 and risk < 0.6; else `defer`. An unknown risk is below no limit.

Hints fill in what the strategy left out of an entry: `position_size` = `max_position_size` · (1 - risk), a share of the
capital; `stop_loss` and `take_profit` at the configured percentages from the target price
of the entry or, without one, the last price. Each is named in `derived`.
Where there is no price or no risk there is no hint.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final, Literal

import msgspec

from actors.strategies.gate import ENTRIES, RunSettings
from actors.strategies.market_view import MarketFacts, MarketView, Regime
from actors.strategies.strategy import Draft
from protocols.market import Bar, Quote, Trade
from protocols.nanos import INT64_MAX, NANO
from protocols.signals import MarketConditions

Recommendation = Literal["proceed", "proceed_cautious", "defer", "reject"]

VOLATILITY_OF_RISK_1: Final = 0.5
SPREAD_FACTOR: Final = 100.0
HOURS: Final = {True: 0.2, False: 0.8}
REGIMES: Final[dict[Regime, float]] = {"volatile": 0.8, "trending": 0.3, "other": 0.5}
REGIME_FACTORS: Final[dict[Regime, float]] = {"volatile": 0.8, "trending": 1.0, "other": 1.0}


class Assessment(msgspec.Struct, frozen=True, gc=False):
    """`risk_score` None: nothing is known. `risks` and `factors` are the parts that are known, `unknown` the others."""

    risk_score: float | None
    confidence: float
    recommendation: Recommendation
    risks: tuple[tuple[str, float], ...]
    factors: tuple[tuple[str, float], ...]
    unknown: tuple[str, ...]

    def plain(self) -> dict[str, Any]:
        """As JSON shows it, numbers to six digits."""
        return {
            "risk_score": None if self.risk_score is None else round(self.risk_score, 6),
            "confidence": round(self.confidence, 6),
            "recommendation": self.recommendation,
            "risks": {name: round(value, 6) for name, value in self.risks},
            "factors": {name: round(value, 6) for name, value in self.factors},
            "unknown": list(self.unknown),
        }


def assess(
    confidence: float,
    facts: MarketFacts,
    *,
    wanted_bars: int,
    is_open: bool | None = None,
    agreement: float | None = None,
) -> Assessment:
    """Assess a signal of this confidence. `agreement` of indicators: 0 to 1, where the strategy says it."""
    volatility, spread, regime, bars = facts.volatility, facts.spread, facts.regime, facts.bars
    risks: list[tuple[str, float]] = []
    factors: list[tuple[str, float]] = []
    unknown: list[str] = []
    total = 0.0
    for name, value in (
        ("volatility", None if volatility is None else volatility / VOLATILITY_OF_RISK_1),
        ("spread", None if spread is None else spread * SPREAD_FACTOR),
        ("market_hours", None if is_open is None else HOURS[is_open]),
        ("regime", None if regime is None else REGIMES[regime]),
    ):
        if value is None:
            unknown.append(name)
        else:
            capped = value if value < 1.0 else 1.0
            risks.append((name, capped))
            total += capped
    for name, value in (
        ("data_quality", facts.traded_bars / bars if bars else None),
        ("history_quality", bars / wanted_bars if bars else None),
        ("indicator_agreement", agreement),
        ("regime_factor", None if regime is None else REGIME_FACTORS[regime]),
    ):
        if value is None:
            unknown.append(name)
        else:
            capped = value if value < 1.0 else 1.0
            factors.append((name, capped))
            confidence *= capped
    risk = total / len(risks) if risks else None
    return Assessment(risk, confidence, recommend(confidence, risk), tuple(risks), tuple(factors), tuple(unknown))


def recommend(confidence: float, risk: float | None) -> Recommendation:
    """What to do with a signal of this confidence and risk."""
    if confidence > 0.7 and risk is not None and risk < 0.3:
        return "proceed"
    if confidence < 0.3:
        return "reject"
    if risk is None or risk > 0.7:
        return "defer"
    return "proceed_cautious" if confidence > 0.5 and risk < 0.6 else "defer"


class Assessed(msgspec.Struct, frozen=True, gc=False):
    """A draft with what was found out about it. `risk`: what a gate judges by, None where nothing is known."""

    draft: Draft
    risk: float | None
    assessment: Assessment
    derived: tuple[str, ...]
    """The fields that the strategy had left out and that were filled in."""


class Assessor:
    """Assesses the drafts of one run. `intervals`: whose bars count, by symbol (`MarketView`)."""

    def __init__(self, settings: RunSettings, intervals: Mapping[str, str] | None = None) -> None:
        self.settings = settings
        self.view = MarketView(intervals, settings.lookback_periods)

    def configure(self, settings: RunSettings) -> None:
        """Go on with other settings. The window keeps the length with which it was begun."""
        self.settings = settings

    def bar(self, bar: Bar) -> None:
        """Take note of a complete bar."""
        self.view.bar(bar)

    def quote(self, quote: Quote) -> None:
        """Take note of the best prices."""
        self.view.quote(quote)

    def trade(self, trade: Trade) -> None:
        """Take note of a trade."""
        self.view.trade(trade)

    def gap(self, symbol: str) -> None:
        """Inputs were lost."""
        self.view.gap(symbol)

    def complete(
        self,
        draft: Draft,
        metadata: Mapping[str, Any],
        *,
        risk: float | None = None,
        is_open: bool | None = None,
        agreement: float | None = None,
    ) -> Assessed:
        """Assess a draft and fill in what it left out. `metadata` is the strategy's own, `risk` what it said itself.

        A risk that the strategy names stays in the signal; the gate judges by the higher of the two. In the metadata
        of the result `assessment` and, where a field was filled in, `derived` are the node's.
        """
        facts = self.view.facts(draft.market)
        found = assess(
            draft.confidence,
            facts,
            wanted_bars=self.settings.lookback_periods,
            is_open=is_open,
            agreement=agreement,
        )
        risks = [each for each in (risk, found.risk_score) if each is not None]
        changes: dict[str, Any] = {"risk_score": risk if risk is not None else found.risk_score or 0.0}
        derived = [] if risk is not None or found.risk_score is None else ["risk_score"]
        if draft.current_price is None and facts.last_price is not None:
            changes["current_price"] = facts.last_price
            derived.append("current_price")
        if draft.market_conditions is None and (facts.trend is not None or facts.volatility is not None):
            changes["market_conditions"] = MarketConditions(trend=facts.trend, volatility=facts.volatility)
            derived.append("market_conditions")
        if draft.action in ENTRIES:
            hints = self._hints(draft, max(risks, default=None), facts.last_price)
            derived += hints
            if "position_size" in hints:
                changes["position_size"] = hints.pop("position_size")
            changes["execution_params"] = msgspec.structs.replace(draft.execution_params, **hints)
        own: dict[str, Any] = {"assessment": found.plain()}
        if derived:
            own["derived"] = derived
        changes["metadata"] = msgspec.Raw(msgspec.json.encode({**metadata, **own}))
        return Assessed(msgspec.structs.replace(draft, **changes), max(risks, default=None), found, tuple(derived))

    def _hints(self, draft: Draft, risk: float | None, last_price: int | None) -> dict[str, int]:
        """What the strategy left out, nanos: a share of the capital, and prices."""
        settings = self.settings
        hints: dict[str, int] = {}
        if draft.position_size is None and draft.execution_params.quantity is None and risk is not None:
            hints["position_size"] = round(settings.max_position_size * (1 - risk) * NANO)
        known = (draft.execution_params.price_target, draft.current_price, last_price)
        price = next((each for each in known if each is not None), None)
        if price is None or price <= 0:
            return hints
        side = 1 if draft.action == "BUY" else -1
        for field, share in (
            ("stop_loss", -side * settings.stop_loss_percentage),
            ("take_profit", side * settings.take_profit_percentage),
        ):
            # In integers: a share of a price as a float would not have its digits.
            away = price * round(share * NANO) // NANO
            if share and getattr(draft.execution_params, field) is None and 0 < price + away <= INT64_MAX:
                hints[field] = price + away
        return hints
