"""Figures that other programs and papers publish, to the digits that they give."""

from __future__ import annotations

import math

import numpy as np
import pytest

from actors.research.metrics import drawdowns, relative, returns, trades
from actors.research.metrics.registry import by_key, evaluate
from actors.research.statistics import selection
from tests.actors.research.metrics.goog import bars, crossing_means


def test_goog_gives_the_figures_of_backtesting_py() -> None:
    # backtesting.py, backtesting/test/_test.py, test_compute_stats
    result = crossing_means()
    figures = {key: metric.value for key, metric in by_key(evaluate(result)).items()}
    assert len(result.round_trips) == figures["trades"] == 66
    assert result.final_equity == "51422.99"
    expected = {
        "total_return": 4.142298999999996,
        "annualised_return": 0.21191099249053224,
        "volatility_compounded": 0.36497160907023889,
        "cagr": 0.21160245705962623,
        "sharpe_compounded": 0.5806232244485349,
        "sortino_compounded": 1.0853434352488662,
        "calmar_annualised": 0.44166409202994605,
        "max_drawdown": -0.47980127050075889,
        "mean_drawdown": -0.05925851581948801,
        "drawdown_duration": 584,
        "trade_duration_max": 183,
        "win_rate": 0.46969696969696970,
        "best_trade": 0.5359595229490424,
        "worst_trade": -0.18398873538354812,
        "trade_return": 0.032748078066748834,
        "trade_return_geometric": 0.02531715975158555,
        "profit_factor_returns": 2.167945974262033,
        "sqn": 1.0766187356697705,
        "kelly": 0.1518705127029717,
        "exposure": 0.9674115456238361,
    }
    assert {key: figures[key] for key in expected} == pytest.approx(expected, rel=1e-9)
    found = figures["trade_duration"]
    assert found is not None
    assert math.ceil(found) == 46
    assert math.ceil(np.mean(drawdowns.durations(result.equity.array(), result.equity.times()))) == 41
    assert result.equity.array().max() == pytest.approx(75787.44, rel=1e-12)
    # Its beta is of logarithms, its alpha of whole returns, with the price from the first day that has both means.
    closes = bars()[2]
    beta = relative.beta(np.diff(np.log(result.equity.array())), np.diff(np.log(closes)))
    assert beta == pytest.approx(0.03803390709192, rel=1e-9)
    assert 100 * (4.142298999999996 - beta * (closes[-1] / closes[29] - 1)) == pytest.approx(394.37391142027462)


NONE, *DAILY = np.array([0, 1, 10, -4, 2, 3, 2, 1, -10]) / 100
EMPYRICAL = np.array(DAILY)
COUNTED = np.array([NONE, *DAILY])
"""empyrical counts the row without a value as one of the periods of growth."""


def test_nine_days_give_the_figures_of_empyrical() -> None:
    # empyrical, empyrical/tests/test_stats.py: mixed_returns
    assert returns.sharpe(EMPYRICAL, 252) == pytest.approx(1.7238613961706866, rel=1e-14)
    assert returns.volatility(EMPYRICAL, 252) == pytest.approx(0.9136465399704637, rel=1e-14)
    assert returns.downside_deviation(EMPYRICAL, 252) == pytest.approx(0.60448325038829653, rel=1e-14)
    assert returns.sortino(EMPYRICAL, 252) == pytest.approx(2.605531251673693, rel=1e-14)
    assert returns.sortino(COUNTED, 52) == pytest.approx(1.1158901056866439, rel=1e-14)
    depth = drawdowns.maximum(np.cumprod(np.concatenate(([1.0], 1 + EMPYRICAL))))
    growth = returns.annualised_return(COUNTED, 252)
    assert depth == pytest.approx(-0.1, rel=1e-14)
    assert growth == pytest.approx(1.9135925373194231, rel=1e-14)
    assert growth / -depth == pytest.approx(19.135925373194233, rel=1e-14)


def test_five_days_give_the_figures_of_nautilus_trader() -> None:
    # nautilus_trader, crates/analysis/src/statistics: sharpe_ratio.rs, sortino_ratio.rs, profit_factor.rs
    rising, falling = np.array([0.01, -0.02, 0.015, -0.005, 0.025]), np.array([-0.01, 0.02, -0.015, 0.005, -0.02])
    assert returns.sharpe(rising, 252) == pytest.approx(4.48998886412873, rel=1e-14)
    assert returns.sortino(falling, 252) == pytest.approx(-5.273224492824493, rel=1e-14)
    assert trades.profit_factor(np.array([10.0, -20.0, 30.0, -40.0])) == pytest.approx(0.6666666666666666, rel=1e-15)


def test_growth_is_that_of_freqtrade_on_a_year_of_365_days() -> None:
    # freqtrade, tests/data/test_btanalysis.py, test_calculate_cagr
    assert returns.growth_rate(64_900, 176_000, 3 * 365, 365) == pytest.approx(0.3945, abs=5e-5)
    assert returns.growth_rate(64_900, 176_000, 365, 365) == pytest.approx(1.7119, abs=5e-5)


LEAN = np.array([-0.009025132, 0.003653969, 0.0, 0.0])


def test_four_days_give_leans_variance_and_its_probability_only_with_the_excess_kurtosis() -> None:
    # LEAN, Tests/Common/Statistics/PortfolioStatisticsTests.cs; its benchmark is a Sharpe ratio of 1 a year, its
    # moments are corrected for the bias of a sample.
    assert returns.volatility(LEAN, 252) ** 2 == pytest.approx(0.00735774052248839, rel=1e-13)
    assert returns.volatility(LEAN, 252) == pytest.approx(0.0857772727620108, rel=1e-13)
    shape = returns.skewness(LEAN, corrected=True), returns.kurtosis(LEAN, corrected=True)
    estimate = returns.sharpe(LEAN, 1), LEAN.size
    right = selection.probabilistic_sharpe(*estimate, *shape, 1 / math.sqrt(252))
    slipped = selection.probabilistic_sharpe(*estimate, shape[0], shape[1] - 3, 1 / math.sqrt(252))
    assert right == pytest.approx(0.263967459939, abs=5e-13)
    assert slipped == pytest.approx(0.257146306116665, rel=1e-12)


def test_the_track_record_of_the_paper_on_the_sharpe_ratio_efficient_frontier() -> None:
    # Bailey and López de Prado, J. Risk 15(2), 2012
    monthly = 1.585 / math.sqrt(12)
    assert selection.probabilistic_sharpe(monthly, 24, 0, 3) == pytest.approx(0.982, abs=5e-4)
    assert selection.probabilistic_sharpe(monthly, 24, -2.448, 10.164) == pytest.approx(0.913, abs=5e-4)
    for periods, years in ((252, 2.73), (52, 2.83), (12, 3.24)):
        needed = selection.minimum_track_record(2 / math.sqrt(periods), 0, 3, 1 / math.sqrt(periods), 0.95)
        assert needed / periods == pytest.approx(years, abs=5e-3)


def test_the_example_of_the_paper_on_the_deflated_sharpe_ratio() -> None:
    # Bailey and López de Prado, J. Portfolio Management 40(5), 2014: SR 2.5 a year over 1,250 days, 100 trials with
    # a variance of 1/2 a year, skewness -3, kurtosis 10
    found = selection.deflated_sharpe(2.5 / math.sqrt(250), 1250, -3, 10, trials=100, variance=0.5 / 250)
    assert found == pytest.approx(0.9004, abs=5e-5)
