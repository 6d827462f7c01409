from __future__ import annotations

import subprocess
import sys

import msgspec
import numpy as np
import pytest

from actors.research.metrics.drawdowns import DAY_NS
from actors.research.statistics import synthetic
from actors.research.statistics.distributions import Distribution
from actors.research.statistics.monte_carlo import METHODS, Contract, MethodResult, MonteCarlo, run
from actors.research.statistics.synthetic import Candles
from tests.actors.research.metrics.samples import random_run, run_of, trip


def method(found: MonteCarlo, name: str) -> MethodResult:
    return next(each for each in found.methods if each.method == name)


def figure(found: MonteCarlo, name: str, key: str) -> Distribution:
    return next(each for each in method(found, name).distributions if each.key == key)


def candles(n: int = 200, seed: int = 0) -> Candles:
    rng = np.random.default_rng(seed)
    closes = 100 * np.exp(np.cumsum(rng.normal(0, 0.01, n)))
    opens = closes * np.exp(rng.normal(0, 0.002, n))
    return Candles(
        ts=DAY_NS * np.arange(n),
        open=opens,
        high=np.maximum(opens, closes) * 1.003,
        low=np.minimum(opens, closes) * 0.997,
        close=closes,
        volume=rng.integers(1, 1_000, n).astype(float),
    )


FOUND = run(random_run(5), simulations=400, seed=11, contracts={"X": Contract(0.01)})


def test_the_same_seed_gives_the_same_figures_in_another_process() -> None:
    program = (
        "import msgspec, sys\n"
        "from tests.actors.research.metrics.samples import random_run\n"
        "from actors.research.statistics.monte_carlo import Contract, run\n"
        "found = run(random_run(5), simulations=400, seed=11, contracts={'X': Contract(0.01)})\n"
        "sys.stdout.buffer.write(msgspec.json.encode(found))\n"
    )
    command = [sys.executable, "-c", program]
    other = subprocess.run(command, capture_output=True, check=True, env={"PYTHONPATH": ".", "PYTHONHASHSEED": "99"})
    assert other.stdout == msgspec.json.encode(FOUND)


def test_another_seed_gives_other_figures() -> None:
    other = run(random_run(5), simulations=400, seed=12)
    assert figure(other, "permutation", "max_drawdown") != figure(FOUND, "permutation", "max_drawdown")


def test_a_method_gives_the_same_alone_and_among_others() -> None:
    alone = run(random_run(5), simulations=400, seed=11, methods=["trade_bootstrap"])
    assert alone.methods == (method(FOUND, "trade_bootstrap"),)


def test_permutation_says_nothing_of_the_profit() -> None:
    found = method(FOUND, "permutation")
    assert [each.key for each in found.distributions] == ["max_drawdown", "time_under_water"]
    assert found.fan is None


@pytest.mark.parametrize("compounded", [True, False])
def test_trades_that_lost_first_fell_deeper_than_in_any_other_order(compounded: bool) -> None:
    worst = random_run(round_trips=tuple(trip(pnl, n) for n, pnl in enumerate([-300.0] * 10 + [350.0] * 10)))
    found = run(worst, simulations=300, seed=1, methods=["permutation"], compounded=compounded)
    drawdown = figure(found, "permutation", "max_drawdown")
    assert drawdown.observed == pytest.approx(-0.3)
    assert drawdown.p == 1 / 301
    assert all(drawdown.observed <= quantile <= 0 for quantile in drawdown.quantiles.values())


def test_equal_trades_fall_equally_deep_in_any_order() -> None:
    equal = random_run(round_trips=tuple(trip(-10.0, n) for n in range(20)))
    drawdown = figure(run(equal, simulations=50, methods=["permutation"]), "permutation", "max_drawdown")
    assert drawdown.p == 1


def test_a_bootstrap_brackets_what_was_observed_and_a_true_edge_is_no_chance() -> None:
    strong = run(random_run(2, drift=0.004), simulations=400, seed=3, methods=["stationary_bootstrap"])
    sharpe = figure(strong, "stationary_bootstrap", "sharpe")
    assert sharpe.quantiles["0.05"] < sharpe.observed < sharpe.quantiles["0.95"]
    assert sharpe.p < 0.01
    assert figure(strong, "stationary_bootstrap", "total_return").p < 0.01
    none = run(random_run(2, drift=-0.001), simulations=400, seed=3, methods=["block_bootstrap"])
    assert figure(none, "block_bootstrap", "sharpe").p > 0.3


def test_a_figure_has_its_name_its_unit_and_what_its_p_means() -> None:
    for each in FOUND.methods:
        assert each.keeps
        assert each.reason or each.distributions
        for shown in each.distributions:
            assert shown.name
            assert shown.p_means
            assert 1 / 401 <= shown.p <= 1
    assert method(FOUND, "trade_bootstrap").observations == 40
    assert method(FOUND, "stationary_bootstrap").observations == 300


def test_fans_begin_with_the_capital_and_hold_what_was_observed() -> None:
    fan = method(FOUND, "trade_bootstrap").fan
    assert fan is not None
    assert (fan.position[0], fan.position[-1], fan.axis) == (0, 40, "trades")
    assert all(line[0] == fan.observed[0] == 10_000 for line in fan.quantiles.values())
    assert fan.observed[-1] == pytest.approx(10_000 + sum(each.pnl for each in random_run(5).round_trips))


def test_fills_a_tick_away_move_the_profit_by_ticks() -> None:
    run_ = random_run(round_trips=tuple(trip(10.0, n, size=2.0) for n in range(10)))
    for multiplier in (1.0, 5.0):
        contract = {"X": Contract(0.5, multiplier)}
        found = run(run_, simulations=500, methods=["jittered_fills"], contracts=contract, compounded=False)
        result = figure(found, "jittered_fills", "total_return")
        # Two uniform moves of -1, 0, 1 ticks per trade: variance 4/3; ten trades of size 2.
        deviation = 0.5 * multiplier * 2 * np.sqrt(10 * 4 / 3) / 10_000
        spread = result.quantiles["0.95"] - result.quantiles["0.05"]
        assert spread == pytest.approx(2 * 1.645 * deviation, rel=0.2)
        assert result.mean == pytest.approx(0.01, abs=deviation)


def test_a_market_whose_tick_is_not_known_is_not_jittered() -> None:
    assert method(run(random_run(), simulations=10), "jittered_fills").reason == "the tick of X is not known"


def test_skipping_one_lucky_trade_shows() -> None:
    lucky = random_run(round_trips=(*(trip(-1.0, n) for n in range(30)), trip(1_000.0, 30)))
    found = run(lucky, simulations=500, seed=4, methods=["skipped_trades"], skip=0.5)
    result = figure(found, "skipped_trades", "total_return")
    assert result.quantiles["0.25"] < 0 < result.quantiles["0.75"]


def test_what_a_run_lacks_is_a_reason() -> None:
    found = run(run_of([100.0, 101.0]), simulations=10)
    reasons = {each.method: each.reason for each in found.methods}
    assert set(reasons) == set(METHODS)
    assert reasons["permutation"] == "0 trades, needs 5"
    assert reasons["stationary_bootstrap"] == "1 daily returns, needs 20"
    assert reasons["synthetic_paths"].startswith("needs candles")
    ruined = random_run(round_trips=tuple(trip(-5_000.0, n) for n in range(5)))
    assert "more than the capital" in method(run(ruined, simulations=10), "permutation").reason
    assert not method(run(ruined, simulations=10, compounded=False), "permutation").reason


@pytest.mark.parametrize(
    ("how", "message"),
    [
        ({"methods": ["magic"]}, "methods: expected some of"),
        ({"simulations": 0}, "simulations: expected 1 or more"),
        ({"skip": 1.0}, "skip: expected a share"),
        ({"jitter_ticks": 0}, "jitter_ticks: expected 1 or more"),
    ],
)
def test_what_cannot_be_simulated_is_an_error(how: dict[str, object], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        run(random_run(), **how)  # type: ignore[arg-type]


def test_made_up_candles_are_candles_of_the_same_shapes() -> None:
    true = candles()
    made = synthetic.path(true, seed=1)
    assert np.all(made.low <= np.minimum(made.open, made.close))
    assert np.all(made.high >= np.maximum(made.open, made.close))
    assert set(made.volume.tolist()) <= set(true.volume.tolist())
    bodies = np.sort(np.unique(np.round(true.close / true.open, 9)))
    assert np.isin(np.round(made.close / made.open, 9), bodies).all()
    assert not np.array_equal(made.close, true.close)
    assert np.array_equal(made.close, synthetic.path(true, seed=1).close)
    assert not np.array_equal(made.close, synthetic.path(true, seed=1, number=1).close)


def test_a_strategy_runs_anew_on_each_made_up_path() -> None:
    true = candles()
    found = run(
        random_run(),
        methods=["synthetic_paths"],
        candles=true,
        rerun=lambda path: float(path.close[-1] / path.open[0] - 1),
        path_simulations=30,
    )
    paths = method(found, "synthetic_paths")
    assert (paths.simulations, paths.observations) == (30, 200)
    assert 0 < paths.distributions[0].p <= 1


def test_candles_without_positive_prices_are_a_reason() -> None:
    broken = msgspec.structs.replace(candles(), low=np.zeros(200))
    found = run(random_run(), methods=["synthetic_paths"], candles=broken, rerun=lambda path: 0.0)
    assert found.methods[0].reason == "candles: expected positive prices: ratios need them"
