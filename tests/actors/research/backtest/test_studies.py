from __future__ import annotations

import hashlib
import json
import multiprocessing
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from actors.research.backtest.family_ledger import FileLedger, MemoryLedger, Trial, distinct, sharpes
from actors.research.backtest.methodologies import FITTED_HERE, NOTHING_FITTED, Found, Study
from actors.research.backtest.optimise import NothingFound, combinations
from actors.research.backtest.passes import LocalPasses
from actors.research.backtest.report import decode, encode
from actors.research.backtest.spec import MethodSpec, SpecError
from actors.research.datasets.table import Table
from actors.research.metrics.registry import by_key, evaluate
from tests.actors.research.backtest.kit import MINUTE, Shelf, bars, on_bars, spec

DAY = 1440 * MINUTE
GRID = {"fast": [2, 4, 30], "slow": [8, 16]}


def trial(number: int, family: str = "f", **fields: Any) -> Trial:
    return Trial(family=family, trial_id=f"t{number}", ts=number, strategy="s", **fields)


def days(count: int, seed: int = 3) -> Table:
    return bars(count, seed=seed, interval="1d", length=DAY, begin=19_000 * DAY)


def study(own: Any, table: Table, ledger: MemoryLedger | None = None) -> Found:
    shelf = Shelf(own, [table])
    with LocalPasses(shelf) as passes:
        return Study(own, shelf, passes, ledger or MemoryLedger(), now=lambda: 5).run()


def fitted(method: str = "standard", **fields: Any) -> Any:
    own = {"methodology": method, "grid": GRID, "objective": "total_return", **fields}
    return spec(strategy=on_bars(interval="1d"), method=own, opposite="flip")


# -- the ledger ------------------------------------------------------------------------------------------------


def test_a_trial_that_is_run_again_counts_once_and_families_are_apart(tmp_path: Path) -> None:
    for ledger in (MemoryLedger(), FileLedger(tmp_path)):
        ledger.add([trial(1, sharpe=0.1), trial(2), trial(1, sharpe=9.0), trial(1, family="g")])
        ledger.add([trial(2), trial(3, sharpe=0.3)])
        found = ledger.trials("f")
        assert [each.trial_id for each in found] == ["t1", "t2", "t3"]
        assert sharpes(found, 0) == [0.1, 0.3]
        assert len(ledger.trials("g")) == 1
        assert ledger.trials("h") == []
    assert distinct([trial(1), trial(1)]) == [trial(1)]


def test_ratios_of_short_and_of_long_spans_say_the_same_of_luck() -> None:
    draw = np.random.default_rng(4)
    for returns in (21, 63, 2_501):
        lucky = [draw.normal(0, 0.01, returns) for _ in range(4_000)]
        tried = [
            trial(number, sharpe=float(np.mean(each) / np.std(each, ddof=1)), returns=returns)
            for number, each in enumerate(lucky)
        ]
        # Whatever the span of the trials: without an edge the ratio of 253 returns has a variance of 1 / 252.
        assert np.var(sharpes(tried, 253)) * 252 == pytest.approx(1, rel=0.12)
    assert sharpes([trial(1, sharpe=0.2), trial(2)], 253) == [0.2], "of an unknown span, as it is"


def test_the_fits_of_a_walk_forward_do_not_raise_the_bar_for_its_whole_curve() -> None:
    own = fitted("walk_forward", walk_forward="2/1/1")
    ledger = MemoryLedger()
    found = study(own, days(700), ledger).report
    fits = [each for each in ledger.trials("moving_average_cross") if each.sharpe is not None]
    assert found.family.variance is not None
    assert 0 < min(each.returns for each in fits) <= max(each.returns for each in fits) < 70
    plain = float(np.var([each.sharpe for each in fits], ddof=1))
    assert found.family.variance == pytest.approx(plain / 10, rel=0.5), "the curve has about ten times their returns"


def test_what_was_torn_in_the_file_is_left_out_and_counted_and_nothing_behind_it_is_lost(tmp_path: Path) -> None:
    ledger = FileLedger(tmp_path)
    ledger.add([trial(1)])
    with ledger.path.open("ab") as file:
        file.write(b'{"family":"f","tri')
    assert [each.trial_id for each in ledger.trials("f")] == ["t1"]
    ledger.add([trial(2)])
    assert [each.trial_id for each in ledger.trials("f")] == ["t1", "t2"]
    assert ledger.damaged == 1


def write_forty(folder: Path, number: int) -> None:
    for count in range(40):
        FileLedger(folder).add([trial(1000 * number + count)])


def test_processes_that_write_at_once_lose_nothing(tmp_path: Path) -> None:
    context = multiprocessing.get_context("fork")
    running = [context.Process(target=write_forty, args=(tmp_path, number)) for number in (1, 2)]
    for each in running:
        each.start()
    for each in running:
        each.join()
    assert len(FileLedger(tmp_path).trials("f")) == 80


# -- the search ------------------------------------------------------------------------------------------------


@settings(max_examples=50)
@given(st.lists(st.integers(1, 4), min_size=1, max_size=3), st.integers(0, 70), st.integers(0, 5))
def test_drawn_combinations_are_different_ones_of_the_grid_and_the_same_for_the_same_seed(
    sizes: list[int], count: int, seed: int
) -> None:
    grid = {f"p{place}": tuple(range(size)) for place, size in enumerate(sizes)}
    every = combinations(MethodSpec(grid=grid), seed)
    assert len(every) == len({tuple(each.items()) for each in every}) == int(np.prod(sizes))
    drawn = combinations(MethodSpec(grid=grid, random_trials=count), seed)
    assert len(drawn) == (min(count, len(every)) if count else len(every))
    assert all(each in every for each in drawn)
    assert drawn == combinations(MethodSpec(grid=grid, random_trials=count), seed)


def test_the_best_combination_is_run_every_one_that_ran_is_a_trial_and_wrong_ones_are_none() -> None:
    ledger = MemoryLedger()
    table = days(300)
    found = study(fitted(), table, ledger).report
    assert found.search is not None
    values = {}
    for fast in GRID["fast"]:
        for slow in GRID["slow"]:
            if fast < slow:
                own = spec(strategy=on_bars(interval="1d", fast=fast, slow=slow), opposite="flip")
                run = study(own, table).report.run
                values[fast, slow] = by_key(evaluate(run))["total_return"].value
    best = max(values, key=lambda key: values[key])
    assert (found.run.parameters["fast"], found.run.parameters["slow"]) == best
    assert found.search.value == values[best]
    assert found.search.trials == len(values) == 4
    assert {reason for _, value, reason in found.search.rows if value is None} != {""}
    # The one that is shown is one of the four.
    assert found.run.trials == len(ledger.trials("moving_average_cross")) == 4
    assert FITTED_HERE in found.run.warnings
    dsr = by_key(found.metrics)["dsr"]
    assert dsr.value is None or dsr.value <= by_key(found.metrics)["psr"].value
    back = decode(encode(found))
    assert (back.run.equity, back.run.round_trips, back.metrics) == (
        found.run.equity,
        found.run.round_trips,
        found.metrics,
    )


def test_two_processes_find_what_one_finds() -> None:
    table = days(200)
    one, two = study(fitted(), table).report, study(fitted(processes=2), table).report
    assert one.search == two.search
    assert one.run.order_hash == two.run.order_hash


def test_a_search_without_a_value_and_a_wrong_objective_are_refused() -> None:
    with pytest.raises(NothingFound, match="fast must be below slow"):
        study(fitted(grid={"fast": [30], "slow": [8]}), days(100))
    with pytest.raises(SpecError, match="expected one of"):
        study(fitted(objective="beauty"), days(50))


# -- methodologies ---------------------------------------------------------------------------------------------


def test_walk_forward_fits_each_window_on_its_training_alone() -> None:
    own = fitted("walk_forward", walk_forward="3/2/2", warm_up_s=20 * 86_400)
    table = days(400)
    found = study(own, table).report
    shown = found.walk_forward
    assert shown is not None
    assert len(shown.windows) >= 3
    assert len({tuple(each.parameters.items()) for each in shown.windows}) > 1
    first = shown.windows[0]
    # Whatever comes after the first training, what was chosen in it stays.
    changed = dict(table.columns)
    behind = table.columns["ts"] >= first.window.train_end
    for name in ("open", "high", "low", "close"):
        changed[name] = np.where(behind, table.columns[name][::-1], table.columns[name])
    for name, pick in (("high", np.maximum), ("low", np.minimum)):
        changed[name] = pick.reduce([changed[each] for each in ("open", "high", "low", "close")])
    other = study(own, msgspec.structs.replace(table, columns=changed)).report.walk_forward
    assert other is not None
    assert other.windows[0].parameters == first.parameters
    assert other.windows[0].in_sample == first.in_sample
    assert other.windows[0].out_of_sample != first.out_of_sample


def test_the_stitched_curve_is_the_first_step_of_each_test_and_the_run_shows_it() -> None:
    own = fitted("walk_forward", walk_forward="3/2/1", warm_up_s=20 * 86_400)
    found, log = (whole := study(own, days(330))).report, whole.log
    shown = found.walk_forward
    assert shown is not None
    assert found.run.equity == shown.stitched
    times = shown.stitched.times()
    assert np.all(np.diff(times) >= 0)
    assert times[0] >= shown.windows[0].window.test_start
    assert times[-1] <= shown.windows[-1].window.stitch_end
    assert all(trade.exit_ts <= shown.windows[-1].window.stitch_end for trade in found.run.round_trips)
    # Nothing of what is told is of the part of a test that is not shown, and every day of the rest is.
    assert found.run.last == times[-1] == shown.windows[-1].window.stitch_end
    assert float(found.run.final_equity) == pytest.approx(shown.stitched.array()[-1])
    assert found.run.benchmark is not None
    assert found.run.benchmark.times()[-1] == times[-1]
    assert set(np.diff(times)) <= {0, DAY}
    fills = [event for event in map(json.loads, log.splitlines()) if event.get("fill")]
    assert len(fills) == found.run.fills
    paid = sum(float(event["fill"]["fee"]) for event in fills) / 1e9
    assert paid == pytest.approx(float(found.run.fees))
    assert found.run.methodology == "walk_forward"
    assert found.family.trials >= shown.trials


def test_each_fold_of_a_cross_validation_is_judged_with_what_the_others_chose() -> None:
    own = fitted("cross_validation", folds=3, purge_s=86_400, embargo_s=2 * 86_400)
    found = study(own, days(240)).report
    assert [fold.fold.number for fold in found.folds] == [1, 2, 3]
    middle = found.folds[1].fold
    assert middle.train[0][1] == middle.test[0] - DAY
    assert middle.train[1][0] == middle.test[1] + 3 * DAY
    assert all(fold.trials == 4 for fold in found.folds)
    times = found.run.equity.times()
    assert times[-1] - times[0] > 200 * DAY


def test_without_a_grid_nothing_is_fitted_and_it_says_so() -> None:
    own = fitted("walk_forward", grid={}, walk_forward="3/2/2")
    found = study(own, days(250)).report
    assert NOTHING_FITTED in found.run.warnings
    with pytest.raises(SpecError, match="expected data of"):
        study(fitted("walk_forward", walk_forward="12/3/3"), days(100))


def test_monte_carlo_runs_the_strategy_on_made_up_bars_and_brackets_enclose() -> None:
    own = fitted("monte_carlo", grid={}, simulations=100, stress_methods=["permutation", "synthetic_paths"])
    own = msgspec.structs.replace(own, method=msgspec.structs.replace(own.method, both_brackets=True))
    found = study(own, days(60)).report
    assert found.monte_carlo is not None
    methods = {each.method: each for each in found.monte_carlo.methods}
    assert set(methods) == {"permutation", "synthetic_paths"}
    assert methods["synthetic_paths"].distributions, methods["synthetic_paths"].reason
    names = [each.bracket for each in found.brackets]
    assert names == ["optimistic", "as set", "pessimistic"]
    returns = [each.total_return for each in found.brackets]
    assert None not in returns
    assert found.run.order_hash == found.brackets[1].order_hash


@pytest.mark.parametrize("method", ["standard", "walk_forward", "cross_validation"])
def test_the_middle_of_the_brackets_is_what_is_shown(method: str) -> None:
    own = fitted(method, walk_forward="2/1/1", folds=3, both_brackets=True, warm_up_s=20 * 86_400)
    table = days(200)
    since = int(table.columns["ts"][30])
    found = study(msgspec.structs.replace(own, since=since), table).report
    middle = found.brackets[1]
    assert middle.order_hash == found.run.order_hash
    assert middle.total_return == pytest.approx(by_key(found.metrics)["total_return"].value)
    assert (middle.fills, middle.trades) == (found.run.fills, len(found.run.round_trips))


def test_parameters_of_a_walk_forward_are_those_of_all_its_windows() -> None:
    found = study(fitted("walk_forward", walk_forward="3/2/2"), days(400)).report
    assert found.walk_forward is not None
    chosen = [each.parameters for each in found.walk_forward.windows]
    assert len({each["fast"] for each in chosen}) > 1
    assert "fast" not in found.run.parameters
    assert found.run.parameters["interval"] == "1d"


@pytest.mark.parametrize("method", ["standard", "walk_forward", "cross_validation"])
def test_the_log_of_a_study_is_that_of_its_run(method: str) -> None:
    found = study(fitted(method, grid={}, walk_forward="2/1/1", folds=3), days(150))
    lines = found.log.splitlines()
    assert len(lines) > 10
    assert {json.loads(line)["account"] for line in lines} == {"backtest"}

    assert hashlib.sha256(found.log).hexdigest() == found.report.run.order_hash
