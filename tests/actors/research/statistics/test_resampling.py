from __future__ import annotations

import numpy as np
import pytest

from actors.research.statistics import resampling


def autoregressive(phi: float, seed: int, n: int = 1000) -> np.ndarray:
    noise = np.random.default_rng(seed).normal(size=n)
    values = np.zeros(n)
    for place in range(1, n):
        values[place] = phi * values[place - 1] + noise[place]
    return values


def test_each_use_of_a_seed_has_numbers_of_its_own_that_do_not_change() -> None:
    drawn = resampling.generator(7, "permutation").integers(0, 1_000_000, 4).tolist()
    assert drawn == resampling.generator(7, "permutation").integers(0, 1_000_000, 4).tolist()
    assert drawn != resampling.generator(7, "block_bootstrap").integers(0, 1_000_000, 4).tolist()
    assert drawn != resampling.generator(-7, "permutation").integers(0, 1_000_000, 4).tolist()


def test_stationary_blocks_have_their_mean_length_and_go_round_the_end() -> None:
    rows = resampling.stationary(np.random.default_rng(0), 500, 10, 200)
    follows = (np.diff(rows, axis=1) % 500) == 1
    # A new block begins by chance where the old one would have gone on: once in 500.
    assert 1 / (1 - follows.mean()) == pytest.approx(10, rel=0.03)
    assert np.any((rows[:, :-1] == 499) & (rows[:, 1:] == 0))
    assert rows.min() == 0
    assert rows.max() == 499


def test_moving_blocks_are_whole_and_never_go_round_the_end() -> None:
    rows = resampling.moving_blocks(np.random.default_rng(0), 100, 7, 50)
    assert rows.shape == (50, 100)
    for start in range(0, 98, 7):
        assert np.all(np.diff(rows[:, start : start + 7], axis=1) == 1)
    assert rows.max() <= 99


def test_circular_blocks_are_whole_and_go_round_the_end() -> None:
    rows = resampling.circular_blocks(np.random.default_rng(0), 100, 7, 50)
    assert rows.shape == (50, 98)
    assert np.all(np.diff(rows.reshape(50, 14, 7), axis=2) % 100 == 1)


def test_the_length_of_blocks_grows_with_what_lasts_and_is_one_for_noise() -> None:
    noise = resampling.optimal_blocks(autoregressive(0.0, 0))
    some, much = resampling.optimal_blocks(autoregressive(0.7, 2)), resampling.optimal_blocks(autoregressive(0.95, 3))
    assert noise == (1.0, 1.0)
    assert 5 < some[0] < much[0]
    # arch 8.0.0, arch.bootstrap.optimal_block_length of the same series
    assert much == pytest.approx((45.376216147552924, 51.94280089728231), rel=1e-9)


def test_a_series_without_variance_has_blocks_of_one() -> None:
    assert resampling.optimal_blocks(np.zeros(100)) == (1.0, 1.0)


def test_blocks_that_do_not_fit_are_an_error() -> None:
    for make in (resampling.moving_blocks, resampling.circular_blocks):
        with pytest.raises(ValueError, match="block: expected 1 to 5"):
            make(np.random.default_rng(0), 5, 6, 1)
    with pytest.raises(ValueError, match="block: expected 1 or more"):
        resampling.stationary(np.random.default_rng(0), 5, 0.5, 1)
