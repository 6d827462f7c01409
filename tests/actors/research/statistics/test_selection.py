from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from actors.research.statistics import selection

NOISE = np.random.default_rng(7).normal(0, 0.01, (12, 480, 40))


def test_of_pure_noise_the_winner_is_above_the_median_half_of_the_time() -> None:
    found = [selection.pbo(matrix, 10).probability for matrix in NOISE]
    assert float(np.mean(found)) == pytest.approx(0.5, abs=0.1)


def test_a_true_edge_is_found_again_out_of_sample() -> None:
    matrix = NOISE[0].copy()
    matrix[:, 5] += 0.004
    found = selection.pbo(matrix, 16)
    assert found.probability < 0.01
    assert found.loss_probability < 0.01
    assert (found.splits, found.trials, found.dropped) == (12_870, 40, 0)
    assert len(found.logits) == found.splits


def test_the_splits_are_those_of_a_slow_count() -> None:
    from itertools import combinations

    matrix = NOISE[1][:43, :5]
    cut = matrix[3:].reshape(4, 10, 5)
    logits = []
    for chosen in combinations(range(4), 2):
        inside = np.concatenate([cut[block] for block in chosen])
        outside = np.concatenate([cut[block] for block in range(4) if block not in chosen])
        best = int(np.argmax(inside.mean(axis=0) / inside.std(axis=0, ddof=1)))
        sharpes = outside.mean(axis=0) / outside.std(axis=0, ddof=1)
        rank = (1 + int((sharpes < sharpes[best]).sum())) / 6
        logits.append(math.log(rank / (1 - rank)))
    found = selection.pbo(matrix, 4)
    assert found.logits == pytest.approx(logits)
    assert found.dropped == 3
    assert found.probability == sum(logit <= 1e-12 for logit in logits) / 6


def test_trials_that_never_traded_do_not_win_by_having_no_variance() -> None:
    matrix = NOISE[2].copy()
    matrix[:, :39] = 0.0
    matrix[:, 39] = np.abs(matrix[:, 39])
    assert selection.pbo(matrix, 8).probability == 0


@pytest.mark.parametrize(
    ("shape", "blocks", "message"),
    [
        ((100, 1), 16, "2 or more trials"),
        ((100, 4), 15, "an even number from 2 to 20"),
        ((100, 4), 22, "an even number from 2 to 20"),
        ((20, 4), 16, "2 rows or more for each of 16 blocks"),
    ],
)
def test_a_matrix_that_cannot_be_cut_is_an_error(shape: tuple[int, int], blocks: int, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        selection.pbo(np.ones(shape), blocks)


def test_a_matrix_with_holes_is_an_error() -> None:
    with pytest.raises(ValueError, match="finite"):
        selection.pbo([[1.0, math.nan]] * 40, 4)


def test_the_expected_maximum_is_about_that_of_drawn_normals() -> None:
    drawn = np.random.default_rng(1).normal(size=(20_000, 50)).max(axis=1).mean()
    assert selection.expected_maximum(50) == pytest.approx(drawn, rel=0.02)
    assert selection.expected_maximum(1) == 0
    with pytest.raises(ValueError, match="1 or more"):
        selection.expected_maximum(0)


def test_trials_that_do_the_same_are_one_and_independent_ones_are_all() -> None:
    noise = NOISE[3][:, :10]
    same = np.repeat(noise[:, :1], 10, axis=1)
    assert selection.effective_trials(same) == pytest.approx(1)
    assert selection.effective_trials(noise) == pytest.approx(10, abs=0.3)
    assert 1.5 < selection.effective_trials(same + noise) < 7
    assert selection.effective_trials(np.zeros((50, 4))) == 4
    with pytest.raises(ValueError, match="periods x trials"):
        selection.effective_trials([1.0, 2.0])


@settings(max_examples=60, deadline=None)
@given(st.floats(-0.3, 0.3), st.integers(20, 2_000), st.floats(-1, 1), st.floats(3, 12), st.integers(1, 5_000))
def test_more_trials_never_raise_the_deflated_sharpe_ratio(
    sharpe: float, n: int, skew: float, kurtosis: float, trials: int
) -> None:
    fewer = selection.deflated_sharpe(sharpe, n, skew, kurtosis, trials=trials, variance=0.002)
    more = selection.deflated_sharpe(sharpe, n, skew, kurtosis, trials=trials + 1, variance=0.002)
    alone = selection.probabilistic_sharpe(sharpe, n, skew, kurtosis)
    assert 0 <= more <= fewer <= alone <= 1


@settings(max_examples=40, deadline=None)
@given(st.floats(0.02, 0.3), st.floats(-1, 1), st.floats(3, 12))
def test_after_the_minimum_track_record_the_probability_is_the_one_asked_for(
    sharpe: float, skew: float, kurtosis: float
) -> None:
    needed = selection.minimum_track_record(sharpe, skew, kurtosis, 0.01, 0.95)
    enough, less = math.ceil(needed) + 1, max(2, math.floor(needed) - 1)
    assert selection.probabilistic_sharpe(sharpe, enough, skew, kurtosis, 0.01) >= 0.95
    if less < needed:
        assert selection.probabilistic_sharpe(sharpe, less, skew, kurtosis, 0.01) <= 0.95


def test_a_sharpe_ratio_that_is_not_above_the_benchmark_has_no_track_record() -> None:
    with pytest.raises(ValueError, match="expected more than the benchmark"):
        selection.minimum_track_record(0.1, 0, 3, 0.1)
