from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.parquet as pq
import pytest

from actors.research.metrics.registry import by_key, evaluate
from actors.research.report import terminal
from actors.research.report.charts import thinned
from actors.research.report.columns import write_parquet
from actors.research.report.document import as_json, plain
from actors.research.report.formatting import figure, money
from actors.research.report.monthly import by_month
from actors.research.results import Series
from actors.research.statistics.comparison import compare
from actors.research.statistics.monte_carlo import run
from actors.research.statistics.walk_forward import assess
from tests.actors.research.metrics.samples import DAY, MONDAY, random_run, run_of, trip
from tests.actors.research.report.stage import HOSTILE, hostile_run
from tests.actors.research.statistics.test_walk_forward import outcome


def test_a_terminal_shows_value_benchmark_and_reason_of_every_metric() -> None:
    result = random_run(marks=("synthetic",))
    metrics = evaluate(result)
    text = terminal.render(result, metrics)
    lines = text.splitlines()
    assert lines[0] == "! data are synthetic"
    assert all(any(each.name in line for line in lines) for each in metrics)
    sharpe = by_key(metrics)["sharpe"]
    line = next(line for line in lines if "Sharpe Ratio (365 days)" in line)
    assert f"{sharpe.value:.3f}" in line.split()
    assert f"{sharpe.benchmark:.3f}" in line.split()
    assert "extrapolated to a year from 300 days" in line
    assert "no price was seen while a trade was open" in text


def test_a_name_cannot_move_the_cursor() -> None:
    result = random_run(strategy="evil\x1b[2J\r\nname", parameters={"a\x07": "b\x1b"})
    text = terminal.render(result, evaluate(result))
    assert all(char.isprintable() or char == "\n" for char in text)
    assert "evil�[2J��name" in text


def test_parts_of_a_bitcoin_are_not_rounded_to_nothing() -> None:
    shown = {value: money(value) for value in (0.0, 0.5, -0.00001234, 1.5, 1234567.891, 1e-12)}
    assert list(shown.values()) == ["0.00", "0.50", "-0.00001234", "1.50", "1,234,567.89", "0.00"]
    assert figure(0.0123, "money", "BTC") == "0.0123 BTC"
    assert figure(0.0123, "share") == "1.23 %"
    assert figure(None, "ratio") == "—"


def test_columns_are_as_wide_as_their_widest_cell() -> None:
    assert terminal.table([("A", "B"), ("a heading that widens nothing",), ("long name", "1")], left={0}) == (
        "A          B\na heading that widens nothing\nlong name  1"
    )


def test_simulations_windows_and_comparisons_have_a_text_too() -> None:
    result = random_run(1)
    simulated = terminal.render_monte_carlo(run(result, simulations=20, seed=5))
    assert "20 simulations, seed 5" in simulated
    assert "the tick of X is not known" in simulated
    walked = terminal.render_walk_forward(assess((outcome(0, 0.02),), capital=1.0, periods=365))
    assert "t-statistic" in walked
    assert "no window with more than 50% of the profit" in walked
    compared = terminal.render_comparison(compare([result, random_run(2)], simulations=20))
    assert "run-1" in compared
    assert "MEAN RANK" in compared


def test_months_multiply_to_the_whole_return() -> None:
    result = random_run(days=500)
    years = by_month(result.equity)
    assert [year.year for year in years] == [2024, 2025]
    total = np.prod([1 + cell for year in years for cell in year.months if cell is not None])
    assert total == pytest.approx(result.equity.array()[-1] / result.equity.array()[0])
    assert years[1].months[5:] == (None,) * 7
    # A sample at midnight ends the day before it: 32 samples from 1 January on are the whole of January.
    assert years[0].months[0] == pytest.approx(result.equity.array()[31] / result.equity.array()[0] - 1)


def test_a_month_without_equity_has_none() -> None:
    times = np.array([MONDAY, MONDAY + DAY, MONDAY + 70 * DAY])
    (year,) = by_month(Series.of(times, [100.0, 110.0, 121.0]))
    assert year.months[:3] == (pytest.approx(0.1), None, pytest.approx(0.1))
    assert year.total == pytest.approx(0.21)
    assert by_month(Series.of([MONDAY], [1.0])) == ()


def strict(text: bytes) -> Any:
    return json.loads(text, parse_constant=lambda name: pytest.fail(name))


def test_json_is_strict_and_holds_all_of_a_run() -> None:
    result = hostile_run()
    found = strict(
        as_json(
            result,
            evaluate(result),
            monte_carlo=run(result, simulations=10),
            walk_forward=assess((outcome(0, 0.02),), capital=1.0, periods=365),
            comparison=compare([result, random_run(3)], simulations=10),
        )
    )
    assert found["run"]["strategy"] == HOSTILE
    assert found["run"]["equity"]["values"] == result.equity.array().tolist()
    assert found["run"]["equity"]["ts"] == result.equity.times().tolist()
    assert found["run"]["round_trips"][0]["return"] == result.round_trips[0].return_
    metrics = {each["key"]: each for each in found["metrics"]}
    assert metrics["sharpe"]["value"] == by_key(evaluate(result))["sharpe"].value
    assert metrics["mae_mean"]["value"] is None
    assert metrics["mae_mean"]["reason"]
    assert found["walk_forward"]["windows"][0]["out_of_sample"]["values"]
    assert found["monte_carlo"]["methods"][0]["method"] == "permutation"


def test_what_is_no_number_is_null_in_json() -> None:
    broken = run_of([100.0, float("nan"), float("inf")])
    assert strict(as_json(broken, evaluate(broken)))["run"]["equity"]["values"] == [100.0, None, None]
    with pytest.raises(TypeError, match="got object"):
        plain(object())


def test_parquet_holds_equity_trades_and_metrics_with_the_runs_identity(tmp_path: Path) -> None:
    result = random_run(
        round_trips=(trip(5.0, mae=-1.0, exit_bar=3), trip(-2.0, 1, open=True)), order_hash="abc", seed=7
    )
    metrics = evaluate(result)
    paths = write_parquet(tmp_path / "run", result, metrics)
    assert [path.name for path in paths] == ["equity.parquet", "trades.parquet", "metrics.parquet"]
    equity, trades, figures = (pq.read_table(path) for path in paths)
    assert equity["ts"].cast("int64").to_numpy().tolist() == result.equity.times().tolist()
    assert equity["equity"].to_numpy().tolist() == result.equity.array().tolist()
    assert equity["benchmark"].null_count == 0
    assert trades["pnl"].to_pylist() == [5.0, -2.0]
    assert trades["mae"].to_pylist() == [-1.0, None]
    assert trades["open"].to_pylist() == [False, True]
    assert trades["exit_bar"].to_pylist() == [3, None]
    values = dict(zip(figures["key"].to_pylist(), figures["value"].to_pylist(), strict=True))
    assert values == {metric.key: metric.value for metric in metrics}
    for path in paths:
        metadata = pq.read_schema(path).metadata
        assert (metadata[b"order_hash"], metadata[b"seed"], metadata[b"data_hashes"]) == (b"abc", b"7", b"ab" * 32)


def test_a_benchmark_that_was_not_there_at_a_sample_is_null_in_parquet(tmp_path: Path) -> None:
    result = run_of([1.0, 2.0, 3.0], benchmark=Series.of([MONDAY + DAY], [7.0]), price=Series.of([], []))
    table = pq.read_table(write_parquet(tmp_path, result, ())[0])
    assert table["benchmark"].to_pylist() == [None, 7.0, None]
    assert table["price"].to_pylist() == [None, None, None]
    assert pq.read_table(tmp_path / "trades.parquet").num_rows == 0


def test_a_thinned_line_keeps_its_ends_and_its_extremes() -> None:
    values = np.random.default_rng(0).normal(size=100_000)
    values[54_321], values[98_765] = 50, -50
    times = np.arange(100_000)
    stamps, kept = thinned(times, values, 1_000)
    assert kept.size <= 1_000
    assert (kept.max(), kept.min()) == (50, -50)
    assert (stamps[0], stamps[-1]) == (0, 99_999)
    assert np.all(np.diff(stamps) > 0)
    assert thinned(times[:10], values[:10])[1] is not None
