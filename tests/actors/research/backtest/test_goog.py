"""Outside numbers: backtesting.py's own test of its statistics (backtesting/test/_test.py, test_compute_stats).

Daily GOOG, means of 10 and 30 closes, reversed at each crossing with all of the equity at the next open, without costs,
10,000 to begin with, closed at the last open.
"""

from __future__ import annotations

from pathlib import Path

import pytest

from actors.research.backtest.opening import Opened
from actors.research.backtest.passes import LocalPasses
from actors.research.backtest.spec import spec_of
from actors.research.metrics.registry import by_key, evaluate
from actors.research.results import RunResult
from tests.actors.research.backtest.kit import goog_csv


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> RunResult:
    path: Path = goog_csv(tmp_path_factory.mktemp("goog"))
    own = spec_of(
        {
            "strategy": {"name": "moving_average_cross", "parameters": {"fast": 10, "slow": 30, "interval": "1d"}},
            "data": [{"path": str(path), "market": "GOOG"}],
            "initial_capital": "10000",
            "market": {"tick": "0.01", "lot": "1"},
            "sizing": {"percentage": 1.0, "max_position_size": 1.0},
            "sized_at": "open",
            "opposite": "flip",
            "entries": None,
            "close_at_end": True,
        }
    )
    with LocalPasses(Opened(own)) as passes:
        return passes.run(own, None, None).result


def test_trades_and_equity_are_those_of_backtesting_py(run: RunResult) -> None:
    assert len(run.round_trips) == 66
    assert run.final_equity == "51422.99"
    assert not any(trade.open for trade in run.round_trips)
    assert (run.denied, run.rejected, run.bars) == (0, 0, 2148)


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("total_return", 4.142299),
        ("cagr", 0.21160245706),
        ("sharpe_compounded", 0.580623224),
        ("sortino_compounded", 1.085343435),
        ("calmar_annualised", 0.441664092),
        ("annualised_return", 0.21191099249),
        ("volatility_compounded", 0.36497160907),
        ("max_drawdown", -0.47980127050),
        ("win_rate", 0.46969696970),
        ("profit_factor_returns", 2.167945974),
        ("sqn", 1.076618736),
        ("kelly", 0.151870513),
    ],
)
def test_each_metric_is_that_of_backtesting_py(run: RunResult, key: str, value: float) -> None:
    found = by_key(evaluate(run, periods=252))[key].value
    assert found == pytest.approx(value, abs=6e-10 if abs(value) < 1 else 6e-9)


def test_the_share_of_bars_in_a_position_is_that_of_backtesting_py(run: RunResult) -> None:
    held: set[int] = set()
    for trade in run.round_trips:
        assert trade.entry_bar is not None
        assert trade.exit_bar is not None
        held.update(range(trade.entry_bar, trade.exit_bar + 1))
    assert len(held) / run.bars == pytest.approx(0.96741154562, abs=6e-11)
