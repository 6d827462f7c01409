from __future__ import annotations

import math

import msgspec
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from actors.research.metrics import sample as sampling
from actors.research.metrics.metric import Metric
from actors.research.metrics.registry import REGISTRY, by_key, daily_sharpe, evaluate, warnings
from actors.research.results import RunResult, Series
from tests.actors.research.metrics.samples import DAY, MONDAY, random_run, run_of, trip


def metric(result: RunResult, key: str, **how: float) -> Metric:
    return by_key(evaluate(result, **how))[key]  # type: ignore[arg-type]


def test_every_metric_says_what_it_is_and_no_two_share_a_key_or_a_name() -> None:
    found = evaluate(random_run())
    assert len({each.key for each in found}) == len({each.name for each in found}) == len(REGISTRY) == len(found)
    assert all(each.formula and each.group and "{" not in each.name for each in found)


def test_the_period_is_in_the_name() -> None:
    weekdays = MONDAY + DAY * np.array([day for day in range(80) if day % 7 < 5])
    on_weekdays = msgspec.structs.replace(run_of([1.0]), equity=Series.of(weekdays, np.linspace(1, 2, weekdays.size)))
    weekly = run_of(np.linspace(1, 2, 30), step=7 * DAY)
    assert metric(random_run(), "sharpe").name == "Sharpe Ratio (365 days)"
    assert metric(on_weekdays, "sharpe").name == "Sharpe Ratio (252 days)"
    assert metric(weekly, "sharpe").name == "Sharpe Ratio (52 weeks)"
    assert metric(random_run(), "sharpe", periods=252).name == "Sharpe Ratio (252 days)"


def test_a_sharpe_ratio_of_minutes_is_that_of_days() -> None:
    rng = np.random.default_rng(3)
    minutes = 1_000 * np.cumprod(np.concatenate(([1.0], 1 + rng.normal(0, 1e-4, 40 * 1440))))
    by_minute, by_day = run_of(minutes, step=DAY // 1440), run_of(minutes[::1440])
    assert metric(by_minute, "sharpe").value == metric(by_day, "sharpe").value
    assert metric(by_minute, "sharpe").samples == 40
    deep, shallow = metric(by_minute, "max_drawdown").value, metric(by_day, "max_drawdown").value
    assert deep is not None
    assert shallow is not None
    assert deep < shallow


def test_the_first_sample_is_the_base_of_the_first_days_return() -> None:
    times = np.array([MONDAY, MONDAY + DAY // 2, MONDAY + DAY, MONDAY + DAY + 1])
    days, values = sampling.daily(times, np.array([100.0, 90.0, 110.0, 121.0]))
    assert values.tolist() == [100.0, 110.0, 121.0]
    assert np.diff(days).tolist() == [1, 1]
    again = sampling.daily(times[[0, 0, 1, 2, 3]], np.array([100.0, 100.0, 90.0, 110.0, 121.0]))
    assert again[1].tolist() == values.tolist()
    later = sampling.daily(times + DAY // 4, np.array([100.0, 90.0, 110.0, 121.0]))[1]
    assert later.tolist() == [100.0, 90.0, 121.0]


def test_a_capital_that_is_said_twice_before_any_time_passed_makes_no_return() -> None:
    times = MONDAY + DAY * np.array([0, 0, 1, 2])
    assert sampling.daily(times, np.array([100.0, 100.0, 110.0, 121.0]))[1].tolist() == [100.0, 110.0, 121.0]
    assert sampling.daily(times, np.array([100.0, 99.0, 110.0, 121.0]))[1].tolist() == [100.0, 99.0, 110.0, 121.0]


def test_too_few_samples_are_unknown_with_the_number_that_is_needed() -> None:
    found = metric(run_of([100.0, 101.0, 102.0]), "sharpe")
    assert (found.state, found.value) == ("unknown", None)
    assert found.reason == "2 daily returns, needs 20"


def test_equity_that_never_moved_has_no_ratio_and_says_so() -> None:
    found = by_key(evaluate(run_of([100.0] * 40)))
    assert found["sharpe"].reason == "no variance: all values are equal"
    assert found["volatility"].value == 0
    assert found["max_drawdown"].value == 0
    assert found["calmar"].reason == "the equity was never below its peak"
    assert found["win_rate"].reason == "0 trades, needs 1"
    assert found["trades"].value == 0


def test_an_impossible_growth_is_refused() -> None:
    hundredfold = 100.0 * 1.08 ** np.arange(60)
    found = metric(run_of(hundredfold), "cagr")
    assert (found.state, found.value) == ("refused", None)
    assert found.reason.startswith("refused: ")
    assert "is not possible, expected -1 to 100" in found.reason
    beyond_floats = metric(run_of(100.0 * 10.0 ** np.arange(0, 300, 5)), "cagr")
    assert beyond_floats.state == "refused"
    assert any("CAGR" in text for text in warnings(run_of(hundredfold), evaluate(run_of(hundredfold))))


def test_equity_that_was_lost_has_no_returns_after_it() -> None:
    lost = run_of([*np.linspace(100, 1, 30), 0.0, -5.0, 10.0])
    found = by_key(evaluate(lost))
    assert found["sharpe"].reason == "the equity was not positive: what follows has no return"
    assert found["max_drawdown"].value == pytest.approx(-1.05)


def test_a_value_that_is_no_number_is_refused_and_never_shown() -> None:
    found = evaluate(run_of([*np.linspace(100, 110, 40), math.nan]))
    assert all(each.value is None or math.isfinite(each.value) for each in found)


def test_fewer_than_thirty_trades_are_said_beside_each_of_their_figures() -> None:
    few = random_run(round_trips=tuple(trip(float(pnl), n) for n, pnl in enumerate((5, -3, 4, -1, 2, 1))))
    found = by_key(evaluate(few))
    assert "fewer than 30 trades" in found["profit_factor"].warning
    assert not by_key(evaluate(random_run()))["profit_factor"].warning
    assert any("6 trades" in text for text in warnings(few, evaluate(few)))


def test_a_trade_that_made_nothing_is_no_win_and_no_loss() -> None:
    found = by_key(evaluate(random_run(round_trips=(trip(10.0), trip(0.0, 1), trip(-5.0, 2), trip(20.0, 3)))))
    assert found["win_rate"].value == 0.5
    assert found["profit_factor"].value == 6.0
    assert found["expectancy"].value == 6.25


def test_trades_that_all_won_have_no_profit_factor() -> None:
    found = metric(random_run(round_trips=(trip(10.0), trip(20.0, 1))), "profit_factor")
    assert (found.state, found.reason) == ("unknown", "no trade lost")


def test_a_trade_still_open_at_the_end_is_said() -> None:
    found = metric(random_run(round_trips=(trip(10.0), trip(20.0, 1, open=True))), "trades")
    assert "1 of them still open" in found.warning


def test_excursions_are_unknown_where_no_price_was_seen() -> None:
    seen = random_run(round_trips=(trip(1.0, mae=-4.0, mfe=2.0), trip(1.0, 1), trip(1.0, 2, mae=-2.0, mfe=6.0)))
    found = by_key(evaluate(seen))
    assert (found["mae_mean"].value, found["mae_worst"].value, found["mfe_mean"].value) == (-3.0, -4.0, 4.0)
    assert metric(random_run(), "mae_mean").reason == "no price was seen while a trade was open"


def test_turnover_is_traded_money_over_equity_and_time() -> None:
    year = run_of(np.full(366, 1_000.0), round_trips=(trip(0.0, 1, size=10.0), trip(10.0, 2, size=10.0, return_=0.01)))
    traded = 2 * 1_000 + 1_000 * (1 + 110 / 100)
    assert metric(year, "turnover").value == pytest.approx(traded / 2 / 1_000 / (365 / 365.25))


def test_the_benchmark_has_the_same_figures_beside_the_runs() -> None:
    run = random_run()
    assert run.benchmark is not None
    alone = run_of(run.benchmark.array())
    found, other = by_key(evaluate(run)), by_key(evaluate(alone))
    for key in ("total_return", "cagr", "sharpe", "max_drawdown", "ulcer", "var"):
        assert found[key].benchmark == pytest.approx(other[key].value)
    assert found["profit_factor"].benchmark is None


def test_a_run_that_is_its_benchmark_has_beta_one_and_no_alpha() -> None:
    run = random_run()
    same = by_key(evaluate(msgspec.structs.replace(run, benchmark=run.equity)))
    assert same["beta"].value == pytest.approx(1)
    assert same["alpha"].value == pytest.approx(0, abs=1e-12)
    assert same["up_capture"].value == pytest.approx(1)
    assert same["down_capture"].value == pytest.approx(1)
    assert same["information_ratio"].reason == "no variance: all values are equal"
    assert metric(msgspec.structs.replace(run, benchmark=None), "beta").reason == "the run has no benchmark"


def test_the_deflated_sharpe_ratio_needs_the_other_runs_of_the_family() -> None:
    alone, one_of_many = random_run(), random_run(trials=50)
    assert metric(alone, "dsr").value == metric(alone, "psr").value
    assert metric(one_of_many, "dsr").reason == "needs the Sharpe ratios of the family's 50 runs"
    others = np.random.default_rng(0).normal(0, 0.05, 50).tolist()
    deflated = by_key(evaluate(one_of_many, trial_sharpes=[*others, daily_sharpe(one_of_many)[0]]))["dsr"]
    assert deflated.value is not None
    psr = metric(one_of_many, "psr").value
    assert psr is not None
    assert deflated.value < psr


def test_a_risk_free_rate_is_taken_off_every_day() -> None:
    run = random_run(drift=0.001)
    plain, less = metric(run, "sharpe").value, metric(run, "sharpe", risk_free=0.05).value
    assert plain is not None
    assert less is not None
    volatility = metric(run, "volatility").value
    assert plain - less == pytest.approx(0.05 / volatility)  # type: ignore[operator]


def test_periods_below_one_are_an_error() -> None:
    with pytest.raises(ValueError, match="periods: expected 1 or more"):
        evaluate(random_run(), periods=0)


def test_times_that_go_backwards_are_an_error() -> None:
    backwards = msgspec.structs.replace(random_run(), equity=Series.of([3 * DAY, 2 * DAY], [1.0, 1.0]))
    with pytest.raises(ValueError, match="go backwards"):
        evaluate(backwards)


@settings(max_examples=60, deadline=None)
@given(
    st.lists(st.floats(-1e6, 1e6), min_size=0, max_size=60),
    st.lists(st.floats(-1e4, 1e4), min_size=0, max_size=8),
)
def test_any_run_gives_finite_values_or_reasons_and_no_error(equity: list[float], profits: list[float]) -> None:
    trips = tuple(trip(pnl, number) for number, pnl in enumerate(profits))
    for found in evaluate(run_of(equity, round_trips=trips)):
        if found.value is None:
            assert found.state != "value"
            assert found.reason
        else:
            assert math.isfinite(found.value)
            assert not found.reason
