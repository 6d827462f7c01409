"""Sizings against numbers by hand and from the literature."""

from __future__ import annotations

import math
from typing import Any

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from actors.execution.risk.notional import worth
from actors.execution.risk.sizing import METHODS, SizingInputs, SizingSettings, size, size_for_risk
from actors.execution.risk.weights import (
    equal_risk,
    inverse_volatility,
    kelly,
    kelly_of,
    optimal_f,
    risk_contributions,
    terminal_wealth,
)
from protocols.nanos import NANO
from tests.actors.execution.risk.desk import instrument, n, yes

VINCE = [9.0, 18.0, 7.0, 1.0, 10.0, -5.0, -3.0, -17.0, -7.0]


def covariance(volatilities: list[float], correlations: list[list[float]]) -> list[list[float]]:
    size_ = range(len(volatilities))
    return [[volatilities[i] * volatilities[j] * correlations[i][j] for j in size_] for i in size_]


def inputs(**changes: Any) -> SizingInputs:
    """An equity of 10 000 and a price of 100, lots of 0.001."""
    fields: dict[str, Any] = {"equity": n(10_000), "price": n(100), "instrument": instrument(), "side": "buy"}
    return SizingInputs(**{**fields, **changes})


def free(**changes: Any) -> SizingSettings:
    """No cap."""
    return SizingSettings(**{"max_position_size": 1.0, **changes})


# The mathematics.


@pytest.mark.parametrize(
    ("win_rate", "payoff", "fraction"), [(0.6, 1, 0.2), (0.5, 2, 0.25), (0.5, 1, 0), (0.4, 1, -0.2)]
)
def test_kellys_fraction_is_that_of_the_classic_bets(win_rate: float, payoff: float, fraction: float) -> None:
    assert kelly(win_rate, payoff) == pytest.approx(fraction, abs=1e-12)


def test_kellys_fraction_of_a_record_takes_its_win_rate_and_payoff() -> None:
    # 3 of 5 won, 4 % on average; 2 % lost on average: 0.6 - 0.4 / 2.
    assert kelly_of([0.02, 0.04, 0.06, -0.01, -0.03]) == pytest.approx(0.4)
    assert kelly_of([0.02, 0.04]) is None
    assert kelly_of([-0.02]) is None


def test_the_optimal_f_of_a_coin_that_pays_two_to_one_is_a_quarter() -> None:
    assert optimal_f([2, -1]) == pytest.approx(0.25, abs=1e-9)
    assert terminal_wealth([2, -1], 0.25) == pytest.approx(1.125)
    # For two outcomes it is Kelly's fraction.
    assert optimal_f([2, -1]) == pytest.approx(kelly(0.5, 2), abs=1e-9)


def test_the_optimal_f_of_vinces_nine_trades_is_24_percent() -> None:
    found = optimal_f(VINCE)
    assert found is not None
    assert round(found, 2) == 0.24
    assert terminal_wealth(VINCE, 0.24) == pytest.approx(1.0957, abs=5e-5)
    assert terminal_wealth(VINCE, found) >= terminal_wealth(VINCE, 0.24)


def test_without_a_loss_there_is_no_optimal_f_and_without_profit_it_is_nothing() -> None:
    assert optimal_f([]) is None
    assert optimal_f([1, 2]) is None
    assert optimal_f([1, -1]) == 0
    assert optimal_f([1, -2]) == 0


@given(st.lists(st.floats(-10, 10).map(lambda each: round(each, 2)), min_size=2, max_size=12))
@settings(max_examples=60, deadline=None)
def test_no_share_on_a_grid_beats_the_optimal_f(results: list[float]) -> None:
    found = optimal_f(results)
    if found is not None:
        best = max(terminal_wealth(results, step / 50) for step in range(50))
        assert terminal_wealth(results, found) >= best * (1 - 1e-9)


def test_inverse_volatility_weighs_by_one_over_sigma() -> None:
    assert inverse_volatility([0.1, 0.2, 0.4]) == pytest.approx([4 / 7, 2 / 7, 1 / 7])
    for each in (0.0, -1.0, math.nan, math.inf):
        with pytest.raises(ValueError, match="volatility: expected above 0"):
            inverse_volatility([0.1, each])


@pytest.mark.parametrize("correlation", [-0.9, 0.0, 0.5, 0.99])
def test_two_assets_of_equal_risk_are_weighed_by_volatility_whatever_their_correlation(correlation: float) -> None:
    found = equal_risk(covariance([0.1, 0.3], [[1, correlation], [correlation, 1]]))
    assert found == pytest.approx([0.75, 0.25], abs=1e-9)


def test_three_assets_that_are_correlated_alike_are_weighed_by_volatility() -> None:
    alike = [[1, 0.4, 0.4], [0.4, 1, 0.4], [0.4, 0.4, 1]]
    assert equal_risk(covariance([0.1, 0.2, 0.4], alike)) == pytest.approx([4 / 7, 2 / 7, 1 / 7], abs=1e-9)


def test_three_assets_of_which_two_move_together_share_their_part_of_the_risk() -> None:
    # Of equal volatility, two correlated by r: w3 = w1·√(1 + r), from w1²(1 + r) = w3².
    found = equal_risk(covariance([0.2] * 3, [[1, 0.44, 0], [0.44, 1, 0], [0, 0, 1]]))
    assert found == pytest.approx([1 / 3.2, 1 / 3.2, 1.2 / 3.2], abs=1e-9)


def test_the_four_assets_of_maillard_roncalli_and_teiletche_have_their_weights() -> None:
    correlations = [[1, 0.8, 0, 0], [0.8, 1, 0, 0], [0, 0, 1, -0.5], [0, 0, -0.5, 1]]
    matrix = covariance([0.1, 0.2, 0.3, 0.4], correlations)
    found = equal_risk(matrix)
    assert [round(100 * each, 1) for each in found] == [38.4, 19.2, 24.3, 18.2]
    assert risk_contributions(found, matrix) == pytest.approx([0.25] * 4, abs=1e-9)


@given(st.lists(st.lists(st.floats(-1, 1), min_size=4, max_size=4), min_size=3, max_size=4))
@settings(max_examples=40, deadline=None)
def test_every_asset_contributes_the_same_risk(factors: list[list[float]]) -> None:
    count = len(factors)
    matrix = [
        [sum(a * b for a, b in zip(factors[i], factors[j], strict=True)) + (0.1 if i == j else 0) for j in range(count)]
        for i in range(count)
    ]
    weights = equal_risk(matrix)
    assert sum(weights) == pytest.approx(1)
    assert risk_contributions(weights, matrix) == pytest.approx([1 / count] * count, abs=1e-6)


def test_assets_that_move_as_one_share_the_risk_of_one() -> None:
    assert equal_risk(covariance([0.1, 0.3], [[1, 1], [1, 1]])) == pytest.approx([0.75, 0.25], abs=1e-9)


@pytest.mark.parametrize(
    "matrix",
    [
        [[1.0, 0.0]],
        [[0.0]],
        [[math.inf]],
        [[1.0, 0.5], [0.4, 1.0]],
        [[1.0, 2.0], [2.0, 1.0]],
        covariance([1.0] * 3, [[1, 0.9, -0.9], [0.9, 1, 0.9], [-0.9, 0.9, 1]]),
        covariance([0.1, 0.3], [[1, -1], [-1, 1]]),
    ],
)
def test_what_is_no_covariance_is_refused(matrix: list[list[float]]) -> None:
    with pytest.raises(ValueError, match="covariance: expected"):
        equal_risk(matrix)


# The six sizings.


def test_a_fixed_percentage_is_of_the_equity() -> None:
    found = size(free(percentage=0.05), inputs())
    assert (found.quantity, found.used, found.rationale) == (n(5), "fixed_percentage", "5.00% of the equity")


def test_three_tenths_are_three_tenths_although_a_float_of_them_is_less() -> None:
    assert size(free(percentage=0.3), inputs(instrument=instrument(lot=n(30)))).quantity == n(30)


def test_a_fixed_amount_does_not_depend_on_the_equity() -> None:
    settings_ = free(method="fixed_amount", amount="1234.5")
    assert size(settings_, inputs()).quantity == n("12.345")
    assert size(settings_, inputs(equity=n(2000))).quantity == n("12.345")
    assert size(settings_, inputs(equity=0)).quantity == 0


def test_kelly_takes_its_fraction_of_the_fraction_up_to_its_cap() -> None:
    record = [0.02, 0.04, 0.06, -0.01, -0.03] * 6
    settings_ = free(method="kelly_criterion", kelly_fraction=0.5, kelly_cap=0.25)
    # 0.4 by the record, half of it: 20 % of 10 000 at 100.
    assert size(settings_, inputs(returns=record)).quantity == n(20)
    capped = msgspec.structs.replace(settings_, kelly_cap=0.1)
    assert size(capped, inputs(returns=record)).quantity == n(10)


def test_kelly_sizes_nothing_where_there_is_no_edge() -> None:
    found = size(free(method="kelly_criterion"), inputs(returns=[0.01, -0.02] * 20))
    assert (found.quantity, found.used, found.missing) == (0, "kelly_criterion", ())
    assert "no edge in 40 trades" in found.rationale


def test_risk_parity_gives_each_market_the_same_risk() -> None:
    settings_ = free(method="risk_parity", percentage=0.1)
    volatilities = {"BTC": 0.6, "ETH": 0.3}
    # Weights 1/3 and 2/3 of two times 10 %.
    assert size(settings_, inputs(volatilities=volatilities)).quantity == n("6.666")
    other = inputs(volatilities=volatilities, instrument=instrument("ETH"))
    assert size(settings_, other).quantity == n("13.333")


def test_risk_parity_with_a_covariance_is_exact() -> None:
    matrix = covariance([0.2] * 3, [[1, 0.44, 0], [0.44, 1, 0], [0, 0, 1]])
    volatilities = {"A": 0.2, "B": 0.2, "BTC": 0.2}
    found = size(free(method="risk_parity", percentage=0.1), inputs(volatilities=volatilities, covariance=matrix))
    # 1.2 / 3.2 of three times 10 %.
    assert found.quantity == n("11.25")
    assert "equal risk contributions" in found.rationale


def test_a_market_twice_as_volatile_gets_half_as_much() -> None:
    settings_ = free(method="volatility_adjusted", percentage=0.05, target_volatility=0.15)
    assert size(settings_, inputs(volatility=0.15)).quantity == n(5)
    assert size(settings_, inputs(volatility=0.3)).quantity == n("2.5")


def test_optimal_f_risks_its_share_on_the_worst_loss() -> None:
    record = [0.02, -0.01] * 15
    # f 0.25, the worst lost 1 %: 25 times the equity, without a cap.
    settings_ = SizingSettings(method="optimal_f", max_position_size=0.5)
    found = size(settings_, inputs(returns=record))
    assert (found.quantity, found.most) == (n(50), n(50))
    assert "optimal f 0.2500" in found.rationale
    wide = size(free(method="optimal_f"), inputs(returns=[0.2, -0.5, 0.9] * 10))
    best = optimal_f([0.2, -0.5, 0.9])
    assert best is not None
    assert wide.quantity == pytest.approx(n(100) * min(1, best / 0.5), abs=n("0.001"))


@pytest.mark.parametrize(
    ("method", "given", "missing"),
    [
        ("kelly_criterion", {}, "closed trades"),
        ("kelly_criterion", {"returns": [0.01, -0.01] * 14 + [0.1]}, "closed trades"),
        ("kelly_criterion", {"returns": [0.01] * 30}, "a win and a loss"),
        ("optimal_f", {}, "closed trades"),
        ("optimal_f", {"returns": [0.01] * 30}, "a loss"),
        ("risk_parity", {}, "volatilities"),
        ("risk_parity", {"volatilities": {"BTC": 0.0}}, "volatilities"),
        ("risk_parity", {"volatilities": {"BTC": 0.1}, "covariance": [[1.0, 2.0], [2.0, 1.0]]}, "covariance"),
        ("risk_parity", {"volatilities": {"BTC": 0.1}, "covariance": [[1.0, 0.0], [0.0, 1.0]]}, "covariance"),
        ("volatility_adjusted", {}, "volatility"),
        ("volatility_adjusted", {"volatility": 0.0}, "volatility"),
        ("volatility_adjusted", {"volatility": math.nan}, "volatility"),
    ],
)
def test_what_a_sizing_lacks_is_named_and_the_fallback_is_said(
    method: Any, given: dict[str, Any], missing: str
) -> None:
    found = size(free(method=method, fallback_percentage=0.01), inputs(**given))
    assert (found.quantity, found.used, found.missing) == (n(1), "fallback", (missing,))
    assert found.rationale.startswith(f"{method} lacks {missing}")
    assert size(free(method=method, fallback_percentage=0), inputs(**given)).quantity == 0


def test_with_exactly_the_least_number_of_trades_a_record_counts() -> None:
    record = [0.02, -0.01] * 15
    assert size(free(method="kelly_criterion", min_trades=30), inputs(returns=record)).missing == ()
    assert size(free(method="kelly_criterion", min_trades=31), inputs(returns=record)).missing != ()


def test_a_volatility_or_a_loss_next_to_nothing_is_capped_like_any_other() -> None:
    settings_ = SizingSettings(method="volatility_adjusted", max_position_size=0.5)
    assert size(settings_, inputs(volatility=5e-324)).quantity == n(50)
    nothing = [9.0, -5e-324] * 15
    found = size(SizingSettings(method="optimal_f", max_position_size=0.5), inputs(returns=nothing))
    assert (found.used, found.missing) == ("fallback", ("a loss",))
    small = size(SizingSettings(method="optimal_f", max_position_size=0.5), inputs(returns=[0.25, -1e-300] * 15))
    assert (small.used, small.quantity) == ("optimal_f", n(50))


# Caps and floors.


def test_what_is_held_already_counts_for_the_largest_position() -> None:
    settings_ = SizingSettings(percentage=0.05, max_position_size=0.08)
    assert size(settings_, inputs(held=n(2))).quantity == n(5)
    found = size(settings_, inputs(held=n(5)))
    assert (found.quantity, found.rationale) == (n(3), "5.00% of the equity; capped at 8.00% of the equity")
    assert size(settings_, inputs(held=n(9))).quantity == 0


def test_a_stop_limits_what_is_lost_at_it() -> None:
    settings_ = free(percentage=0.5, max_portfolio_risk=0.02)
    # 2 % of 10 000 over 10 a unit.
    assert size(settings_, inputs(stop=n(90))).quantity == n(20)
    assert size(settings_, inputs(stop=n(99))).quantity == n(50)
    assert size(settings_, inputs(stop=n(110))).quantity == n(50)
    assert size(settings_, inputs()).quantity == n(50)


def test_a_short_in_a_prediction_market_costs_its_collateral() -> None:
    settings_ = free(percentage=0.1)
    assert size(settings_, inputs(instrument=yes(), price=n("0.3"), side="buy")).quantity == n(3333)
    assert size(settings_, inputs(instrument=yes(), price=n("0.3"), side="sell")).quantity == n(1428)


def test_multiplier_and_rate_count() -> None:
    future = instrument(multiplier=n(5), lot=NANO)
    assert size(free(percentage=0.1), inputs(instrument=future)).quantity == n(2)
    assert size(free(percentage=0.1), inputs(instrument=future, rate=n(2))).quantity == n(1)


def test_less_than_the_venue_takes_is_nothing_and_says_so() -> None:
    small = instrument(minimum_size=n("0.5"))
    found = size(free(percentage=0.0049), inputs(instrument=small))
    assert (found.quantity, found.rationale) == (0, "0.49% of the equity; 0.49 is less than the venue's least, 0.5")
    assert size(free(percentage=0.005), inputs(instrument=small)).quantity == n("0.5")
    poor = instrument(minimum_notional=n(50))
    assert size(free(percentage=0.0049), inputs(instrument=poor)).quantity == 0
    assert size(free(percentage=0.005), inputs(instrument=poor)).quantity == n("0.5")
    assert size(free(percentage=1.0), inputs(instrument=instrument(maximum_size=n(7)))).quantity == n(7)


def test_an_equity_that_is_gone_buys_nothing() -> None:
    for method in METHODS:
        assert size(SizingSettings(method=method, amount="10"), inputs(equity=-n(5))).quantity == 0


def test_a_price_that_costs_nothing_cannot_be_sized() -> None:
    with pytest.raises(ValueError, match="price: expected one that costs something, got 0"):
        size(free(), inputs(price=0))


@given(
    st.sampled_from(METHODS),
    st.integers(0, 10**14),
    st.integers(1, 10**13),
    st.sampled_from([1, 10**6, 10**9, 7 * 10**8]),
    st.floats(0, 1),
    st.sampled_from(["buy", "sell"]),
    st.lists(st.floats(-0.5, 0.9), min_size=0, max_size=8),
    st.integers(0, 10**10),
)
@settings(max_examples=100, deadline=None)
def test_no_sizing_exceeds_the_largest_position_or_leaves_the_lots(
    method: Any, equity: int, price: int, lot: int, cap: float, side: Any, returns: list[float], held: int
) -> None:
    settings_ = SizingSettings(method=method, max_position_size=cap, amount="500", percentage=0.9, min_trades=2)
    one = instrument(lot=lot)
    found = size(
        settings_,
        inputs(equity=equity, price=price, instrument=one, side=side, returns=returns, held=held, volatility=0.01,
               volatilities={"BTC": 0.2}),
    )  # fmt: skip
    assert found.quantity % lot == 0
    assert 0 <= found.quantity <= found.most or found.quantity == 0
    if found.quantity:
        # A share is known to a nano; worth is rounded up by one.
        assert worth(one, found.quantity + held, price) <= equity * round(cap * NANO) // NANO + 1


# The size for a risk.


def test_the_size_for_a_risk_loses_just_that_at_the_stop() -> None:
    # 1 % of 100 000 over 2.50 a share: 400 shares.
    found = size_for_risk(n(100_000), 0.01, n(50), n("47.5"), instrument(lot=NANO))
    assert (found.quantity, found.used) == (n(400), "risk")
    assert found.rationale == "1.00% of 100000 at risk, 2.5 a unit to the stop"
    short = size_for_risk(n(100_000), 0.01, n(50), n("52.5"), instrument(lot=NANO))
    assert short.quantity == n(400)


def test_the_size_for_a_risk_is_capped_and_floored() -> None:
    found = size_for_risk(n(100_000), 0.01, n(50), n("49.9"), instrument(lot=NANO), max_position_size=0.1)
    assert (found.quantity, found.most) == (n(200), n(200))
    assert "capped at 10.00% of the equity" in found.rationale
    assert size_for_risk(n(100), 0.01, n(50), n("47.5"), instrument(lot=NANO)).quantity == 0
    assert size_for_risk(n(100_000), 0.01, n(50), n("47.5"), instrument(lot=n(3))).quantity == n(399)


def test_the_size_for_a_risk_of_a_short_in_a_prediction_market_is_capped_by_its_collateral() -> None:
    # 1 % of 1000 over 0.1 a contract would be 100; 5 % of 1000 is the collateral 0.8 of 62.
    found = size_for_risk(n(1000), 0.01, n("0.2"), n("0.3"), yes(), max_position_size=0.05)
    assert (found.quantity, found.most) == (n(62), n(62))
    exactly = size_for_risk(n(1000), 0.01, n("0.2"), n("0.3"), yes(), max_position_size=0.08)
    assert (exactly.quantity, "capped" in exactly.rationale) == (n(100), False)


@pytest.mark.parametrize(
    ("changes", "said"),
    [({"stop": n(50)}, "stop: expected another price"), ({"risk_share": 1.5}, "risk_share: expected from 0 to 1")],
)
def test_a_risk_that_makes_no_sense_is_refused(changes: dict[str, Any], said: str) -> None:
    given = {"equity": n(1000), "risk_share": 0.01, "entry": n(50), "stop": n(49), "instrument": instrument()}
    with pytest.raises(ValueError, match=said):
        size_for_risk(**{**given, **changes})


@pytest.mark.parametrize("given", [{"amount": "-1"}, {"amount": "x"}, {"percentage": 1.5}, {"min_trades": 1}])
def test_sizing_settings_name_what_is_out_of_their_bounds(given: dict[str, Any]) -> None:
    with pytest.raises(msgspec.ValidationError, match=next(iter(given))):
        msgspec.convert(given, SizingSettings)
