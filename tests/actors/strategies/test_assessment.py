from __future__ import annotations

import math
from itertools import pairwise
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from actors.strategies.assessment import Assessor, assess, recommend
from actors.strategies.gate import RunSettings
from actors.strategies.market_view import YEAR_NS, MarketFacts, MarketView
from actors.strategies.strategy import Draft
from protocols.market import Bar, Quote
from protocols.nanos import NANO
from protocols.signals import ExecutionParams, MarketConditions

NOW = 1_750_000_000_000_000_000
MINUTE = 60 * NANO


def bar(index: int, close: float, interval: str = "1m", **changes: Any) -> Bar:
    price = round(close * NANO)
    start = NOW + index * MINUTE
    fields: dict[str, Any] = {"trades": 1, "vwap": None, "source": "trades", "ts_recv": start + MINUTE}
    return Bar("A", interval, start, start + MINUTE, price, price, price, price, "1", **{**fields, **changes})


def quote(bid: float | None, ask: float | None, **changes: Any) -> Quote:
    prices = [None if each is None else round(each * NANO) for each in (bid, ask)]
    return Quote("A", prices[0], NANO, prices[1], NANO, "s", 1, NOW, NOW, **changes)


def view(closes: list[float]) -> MarketView:
    made = MarketView(window=200)
    for index, close in enumerate(closes):
        made.bar(bar(index, close))
    return made


def draft(**changes: Any) -> Draft:
    return Draft(**{"market": "A", "action": "BUY", "confidence": 0.8, "validity_ns": 60 * NANO, **changes})


# The view.


@given(st.lists(st.floats(0.5, 2.0), min_size=12, max_size=150))
def test_volatility_is_the_realised_variance_of_a_year(closes: list[float]) -> None:
    exact = [round(close * NANO) / NANO for close in closes]
    returns = [math.log(after / before) for before, after in pairwise(exact)]
    expected = math.sqrt(sum(each**2 for each in returns) * YEAR_NS / (len(returns) * MINUTE))
    found = view(closes).facts("A").volatility
    assert found == pytest.approx(expected, rel=1e-6, abs=1e-9)


def test_a_hole_in_time_counts_with_its_length() -> None:
    closes = [1.0 + 0.01 * (index % 2) for index in range(40)]
    dense, sparse = MarketView(), MarketView()
    for index, close in enumerate(closes):
        dense.bar(bar(index, close))
        sparse.bar(bar(index * 4, close))
    known, halved = dense.facts("A").volatility, sparse.facts("A").volatility
    assert known is not None
    assert halved == pytest.approx(known / 2)


def test_little_is_said_of_a_market_that_is_hardly_known() -> None:
    assert MarketView().facts("A") == MarketFacts()
    few = view([1.0, 1.1, 1.2]).facts("A")
    assert (few.volatility, few.regime, few.trend, few.bars) == (None, None, None, 3)
    assert few.last_price == 1_200_000_000


def test_a_price_without_logarithm_ends_what_was_known() -> None:
    known = view([1.0 + 0.01 * index for index in range(40)] + [-0.5, 1.0, 1.1]).facts("A")
    assert (known.volatility, known.regime) == (None, None)
    assert known.last_price == 1_100_000_000


def test_the_regime_follows_the_documented_rule() -> None:
    noise = [1.0 + 0.001 * (-1) ** index for index in range(60)]
    assert view(noise).facts("A").regime == "other"
    assert view(noise).facts("A").trend == "sideways"
    line = [1.0 + 0.001 * index for index in range(60)]
    assert (view(line).facts("A").regime, view(line).facts("A").trend) == ("trending", "up")
    assert view(line[::-1]).facts("A").trend == "down"
    wild = noise + [1.0 + 0.05 * (-1) ** index for index in range(20)]
    assert view(wild).facts("A").regime == "volatile"
    assert view([1.0] * 60).facts("A").regime == "other"


def test_only_bars_of_one_interval_and_in_their_order_count() -> None:
    made = MarketView({"A": "1m"})
    made.bar(bar(0, 1.0, "5m"))
    assert made.facts("A").bars == 0
    made.bar(bar(1, 1.0))
    made.bar(bar(1, 9.0))
    made.bar(bar(0, 9.0))
    assert (made.facts("A").bars, made.facts("A").last_price) == (1, NANO)
    made.bar(bar(2, 1.0, empty=True))
    assert (made.facts("A").bars, made.facts("A").traded_bars) == (2, 1)


def test_the_spread_is_a_share_of_the_mid_price_and_known_only_while_it_is_true() -> None:
    made = MarketView()
    made.quote(quote(0.99, 1.01))
    assert made.facts("A").spread == pytest.approx(0.02)
    assert made.facts("A").last_price == NANO
    made.gap("A")
    assert made.facts("A").spread is None
    for unknown in (quote(None, 1.0), quote(0.9, 1.0, marks=("stale",)), quote(-1.0, 0.5)):
        made.quote(quote(0.99, 1.01))
        made.quote(unknown)
        assert made.facts("A").spread is None


# The assessment.


def test_the_risk_is_the_mean_of_what_is_known_and_the_rest_is_named() -> None:
    facts = MarketFacts(volatility=0.25, spread=0.002, regime="trending", bars=50, traded_bars=40)
    found = assess(0.9, facts, wanted_bars=100, is_open=True)
    assert found.risk_score == pytest.approx((0.5 + 0.2 + 0.2 + 0.3) / 4)
    assert found.confidence == pytest.approx(0.9 * 0.8 * 0.5 * 1.0)
    assert found.unknown == ("indicator_agreement",)
    assert found.recommendation == "defer"
    nothing = assess(0.9, MarketFacts(), wanted_bars=100)
    assert (nothing.risk_score, nothing.confidence, nothing.recommendation) == (None, 0.9, "defer")
    assert len(nothing.unknown) == 8
    closed = assess(0.9, MarketFacts(volatility=40.0, spread=0.5, regime="volatile"), wanted_bars=1, is_open=False)
    assert closed.risk_score == pytest.approx((1 + 1 + 0.8 + 0.8) / 4)
    assert closed.recommendation == "defer"


@pytest.mark.parametrize(
    ("confidence", "risk", "expected"),
    [
        (0.71, 0.29, "proceed"),
        (0.7, 0.29, "proceed_cautious"),
        (0.71, 0.3, "proceed_cautious"),
        (0.29, 0.1, "reject"),
        (0.29, 0.9, "reject"),
        (0.9, 0.71, "defer"),
        (0.51, 0.59, "proceed_cautious"),
        (0.5, 0.59, "defer"),
        (0.9, 0.6, "defer"),
        (0.9, None, "defer"),
        (0.1, None, "reject"),
    ],
)
def test_the_recommendation_follows_the_thresholds(confidence: float, risk: float | None, expected: str) -> None:
    assert recommend(confidence, risk) == expected


parts = st.none() | st.floats(0, 5)


@given(st.floats(0, 1), parts, parts, st.none() | st.booleans(), st.integers(0, 200), st.integers(1, 200))
def test_scores_are_shares_and_nothing_makes_a_signal_surer_than_it_was(
    confidence: float, volatility: float | None, spread: float | None, is_open: bool | None, bars: int, wanted: int
) -> None:
    facts = MarketFacts(volatility=volatility, spread=spread, bars=bars, traded_bars=bars // 2)
    found = assess(confidence, facts, wanted_bars=wanted, is_open=is_open)
    assert found.risk_score is None or 0 <= found.risk_score <= 1
    assert found.confidence <= confidence
    assert {name for name, _ in (*found.risks, *found.factors)}.isdisjoint(found.unknown)
    assert len(found.risks) + len(found.factors) + len(found.unknown) == 8


def test_hints_fill_in_what_an_entry_leaves_out_and_say_so() -> None:
    assessor = Assessor(RunSettings())
    assessor.quote(quote(0.999, 1.001))
    done = assessor.complete(draft(), {"why": "x"})
    assert done.risk == pytest.approx(0.2)
    assert done.derived == ("risk_score", "current_price", "position_size", "stop_loss", "take_profit")
    assert done.draft.position_size == 80_000_000
    assert done.draft.execution_params.stop_loss == 980_000_000
    assert done.draft.execution_params.take_profit == 1_040_000_000
    metadata = msgspec.json.decode(done.draft.metadata)
    assert metadata["why"] == "x"
    assert metadata["derived"] == list(done.derived)
    assert metadata["assessment"]["risks"] == {"spread": 0.2}
    assert metadata["assessment"]["recommendation"] == "proceed"
    sold = assessor.complete(draft(action="SELL", execution_params=ExecutionParams(price_target=2 * NANO)), {})
    assert sold.draft.execution_params.stop_loss == 2_040_000_000
    assert sold.draft.execution_params.take_profit == 1_920_000_000


def test_what_the_strategy_says_stays() -> None:
    assessor = Assessor(RunSettings())
    assessor.quote(quote(0.999, 1.001))
    given_params = ExecutionParams(quantity=NANO, stop_loss=5, take_profit=6)
    said = draft(
        execution_params=given_params, current_price=7, market_conditions=MarketConditions(trend="odd"), action="SELL"
    )
    done = assessor.complete(said, {}, risk=0.9)
    assert msgspec.structs.replace(done.draft, metadata=said.metadata, risk_score=0.0) == said
    assert (done.draft.risk_score, done.risk, done.derived) == (0.9, 0.9, ())
    assert assessor.complete(said, {}, risk=0.1).risk == pytest.approx(0.2)


def test_where_nothing_is_known_nothing_is_invented() -> None:
    done = Assessor(RunSettings()).complete(draft(), {})
    assert (done.risk, done.derived, done.draft.position_size) == (None, (), None)
    assert done.draft.execution_params == ExecutionParams()
    assert "derived" not in msgspec.json.decode(done.draft.metadata)


def test_an_exit_gets_no_hints_and_a_percentage_of_0_is_none() -> None:
    assessor = Assessor(RunSettings(stop_loss_percentage=0, take_profit_percentage=0))
    assessor.quote(quote(0.999, 1.001))
    assert assessor.complete(draft(), {}).derived == ("risk_score", "current_price", "position_size")
    assert assessor.complete(draft(action="CLOSE_LONG"), {}).draft.position_size is None
