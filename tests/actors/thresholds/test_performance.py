from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from actors.research.metrics import drawdowns, returns, trades
from actors.thresholds.performance import (
    DAY_NS,
    ClosedTrade,
    Performance,
    is_poor,
    performance,
    score,
    trend,
    windows,
)

NOW = 1_700_000_000 * 10**9


def closed(values: list[float], step: int = DAY_NS) -> list[ClosedTrade]:
    return [ClosedTrade(NOW + place * step, value) for place, value in enumerate(values)]


def figures(values: list[float]) -> Performance:
    return performance(closed(values), NOW, NOW + 1000 * DAY_NS)


@settings(max_examples=80, deadline=None)
@given(st.lists(st.floats(-0.5, 0.5), min_size=10, max_size=80))
def test_the_figures_are_those_of_the_research_metrics(values: list[float]) -> None:
    found = figures(values)
    array = np.array(values)
    equity = np.concatenate(([1.0], np.cumprod(1 + array)))
    assert found.win_rate == pytest.approx(trades.win_rate(array))
    assert found.max_drawdown == pytest.approx(-100 * drawdowns.maximum(equity), abs=1e-9)
    assert found.total_return == pytest.approx(100 * returns.total_return(equity), abs=1e-9)
    if found.volatility:
        assert found.volatility == pytest.approx(100 * returns.volatility(array, 1), rel=1e-6)
        assert found.sharpe_ratio == pytest.approx(returns.sharpe(array, 1), rel=1e-6, abs=1e-9)
    if any(value < 0 for value in values):
        assert found.profit_factor == pytest.approx(trades.profit_factor(array))
        # Squares of the smallest floats vanish: nothing is left below zero then.
        if found.sortino_ratio is not None:
            assert found.sortino_ratio == pytest.approx(returns.sortino(array, 1), rel=1e-6, abs=1e-9)


def test_too_few_trades_are_unknown_and_not_zero_and_unknown_is_not_poor() -> None:
    found = figures([0.01, -0.02] * 4)
    assert (found.trades, found.minimum) == (8, 10)
    assert found.total_return is found.sharpe_ratio is found.win_rate is found.max_drawdown is None
    assert score(found) is None
    assert not is_poor(found)


def test_losing_trades_are_poor_and_winning_ones_are_not() -> None:
    assert is_poor(figures([-0.02, -0.01, 0.001] * 6))
    assert not is_poor(figures([0.02, 0.01, -0.001] * 6))


def test_the_score_is_the_services_formula() -> None:
    found = figures([0.02, -0.01, 0.03] * 5)
    assert found.total_return is not None
    expected = (
        0.30 * math.tanh(found.total_return / 10)
        + 0.25 * math.tanh(found.sharpe_ratio or 0)
        + 0.20 * (found.win_rate or 0)
        - 0.15 * math.tanh((found.max_drawdown or 0) / 5)
        - 0.10 * math.tanh((found.volatility or 0) / 3)
    )
    assert score(found) == pytest.approx(expected)


def test_what_cannot_be_told_of_enough_trades_is_unknown_too() -> None:
    found = figures([0.01] * 12)
    assert found.win_rate == 1.0
    assert found.sharpe_ratio is found.sortino_ratio is found.profit_factor is found.calmar_ratio is None


def test_a_trade_that_lost_more_than_everything_ends_the_equity_at_zero() -> None:
    found = figures([0.1] * 10 + [-1.5] + [0.1] * 5)
    assert found.total_return == -100.0
    assert found.max_drawdown == 100.0


def test_only_trades_of_the_window_count_its_end_excluded() -> None:
    found = performance(closed([0.01] * 20), NOW + 2 * DAY_NS, NOW + 14 * DAY_NS)
    assert found.trades == 12


def test_a_return_that_is_no_number_is_refused() -> None:
    with pytest.raises(ValueError, match="outcome"):
        figures([math.nan] * 12)


def test_windows_end_a_day_apart_and_the_last_one_now() -> None:
    found = windows(closed([0.01, -0.01] * 30), NOW + 60 * DAY_NS, days=10, length_days=20)
    assert len(found) == 10
    assert found[-1].ts_to == NOW + 60 * DAY_NS
    assert {each.trades for each in found} == {20}


def test_a_trend_is_a_slope_per_day_and_leaves_unknown_points_out() -> None:
    points = [(NOW + day * DAY_NS, None if day == 2 else 1.0 + 0.5 * day) for day in range(6)]
    found = trend(points)
    assert found.trend_slope == pytest.approx(0.5)
    assert (found.latest_value, found.change_from_start, found.data_points) == (3.5, 2.5, 5)


def test_a_trend_of_nothing_is_unknown() -> None:
    assert trend([(NOW, None)]).trend_slope is None
    assert trend([]).data_points == 0
    assert trend([(NOW, 2.0)]).change_from_start is None
