from __future__ import annotations

import msgspec
import numpy as np
import pytest

from actors.research.results import RunResult, Series
from actors.research.statistics.alignment import aligned_returns
from actors.research.statistics.comparison import compare, holm, sharpe_difference
from tests.actors.research.metrics.samples import DAY, random_run, run_of


def runs(*drifts: float, days: int = 400) -> list[RunResult]:
    """Runs that share most of their noise."""
    rng = np.random.default_rng(4)
    common = rng.normal(0, 0.01, days)
    found = []
    for number, drift in enumerate(drifts):
        returns = drift + common + rng.normal(0, 0.003, days)
        found.append(run_of(100 * np.cumprod(np.concatenate(([1.0], 1 + returns))), run_id=f"run-{number}"))
    return found


def test_a_clear_difference_is_told_from_none() -> None:
    found = compare(runs(0.0005, 0.0005, 0.004), simulations=500, seed=1)
    verdicts = {(pair.first, pair.second): pair.verdict for pair in found.pairs}
    assert verdicts[("run-0", "run-1")] == "neither is shown to be better"
    assert verdicts[("run-0", "run-2")] == "run-2 has the higher Sharpe ratio"
    for pair in found.pairs:
        assert pair.p is not None
        assert pair.p_holm is not None
        assert pair.low is not None
        assert pair.high is not None
        assert pair.difference is not None
        assert pair.low < pair.difference < pair.high
        assert pair.p <= pair.p_holm <= 1


def test_the_difference_is_that_of_the_annual_sharpe_ratios() -> None:
    found = compare(runs(0.0, 0.001), simulations=50)
    sharpes = [next(each.value for each in run.metrics if each.key == "sharpe") for run in found.runs]
    assert sharpes[0] is not None
    assert sharpes[1] is not None
    # The test divides by n, the metric by n - 1.
    assert found.pairs[0].difference == pytest.approx((sharpes[0] - sharpes[1]) * np.sqrt(400 / 399))


def test_of_equal_strategies_few_are_told_to_differ() -> None:
    rng = np.random.default_rng(9)
    found = [
        sharpe_difference(rng.normal(0.0005, 0.01, (250, 2)), simulations=99, seed=seed, block=3)[3]
        for seed in range(60)
    ]
    assert np.mean(np.array(found) <= 0.05) < 0.15


def test_it_is_repeatable() -> None:
    assert compare(runs(0.0, 0.001), simulations=50, seed=3) == compare(runs(0.0, 0.001), simulations=50, seed=3)


def test_ranks_are_by_what_is_better_and_leave_out_the_unknown() -> None:
    found = compare(runs(0.0005, 0.003, 0.001), simulations=20)
    assert [run.ranks["sharpe"] for run in found.runs] == [3, 1, 2]
    assert found.runs[1].ranks["ulcer"] == 1
    assert "profit_factor" not in found.runs[0].ranks
    assert found.runs[1].mean_rank is not None


def test_a_run_that_equals_another_cannot_be_told_from_it() -> None:
    first = random_run(1)
    found = compare([first, msgspec.structs.replace(first, run_id="again")], simulations=10)
    assert found.pairs[0].reason == "the runs have equal returns on every day"
    assert found.pairs[0].p is None


def test_runs_of_other_days_or_other_data_are_said_to_be() -> None:
    first = random_run(1)
    later = run_of(np.linspace(100, 120, 50), first=first.last + 5_000 * DAY, run_id="later", data_hashes=("ff",))
    found = compare([first, later], simulations=10)
    assert found.pairs[0].reason == "0 days in common, needs 2"
    assert "the runs did not see the same data" in found.warnings
    short = msgspec.structs.replace(
        first, run_id="short", equity=Series.of(first.equity.times()[:30], first.equity.array()[:30])
    )
    assert compare([first, short], simulations=10).pairs[0].reason == "29 common days, needs 60"


def test_two_to_ten_runs_with_ids_of_their_own_can_be_compared() -> None:
    run = random_run()
    for some, message in (
        ([run], "expected 2 to 10"),
        ([msgspec.structs.replace(run, run_id=str(number)) for number in range(11)], "expected 2 to 10"),
        ([run, run], "expected different ids"),
    ):
        with pytest.raises(ValueError, match=message):
            compare(some, simulations=10)


def test_holm_is_that_of_the_textbook() -> None:
    assert holm([0.01, 0.04, 0.03, 0.005]) == pytest.approx((0.03, 0.06, 0.06, 0.02))
    assert holm([]) == ()
    assert holm([0.9, 0.8]) == (1.0, 1.0)


def test_returns_are_aligned_on_common_days() -> None:
    first, second = random_run(1, days=50), random_run(2, days=40)
    days, matrix = aligned_returns([first, second])
    assert matrix.shape == (40, 2)
    assert days.size == 40
    assert matrix[:, 0] == pytest.approx(np.diff(first.equity.array()[:41]) / first.equity.array()[:40])
