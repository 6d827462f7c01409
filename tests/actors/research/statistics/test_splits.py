from __future__ import annotations

from math import comb

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from actors.research.statistics.splits import combinatorial, paths, purged_folds, time_folds


def test_a_sample_whose_label_reaches_into_the_test_is_purged() -> None:
    starts = np.arange(10)
    second = list(purged_folds(starts, starts + 2, 5))[1]
    assert second.test.tolist() == [2, 3]
    # 1 is known at 3, in the test; 4 begins before the label of 3 is known at 5.
    assert second.train.tolist() == [0, 5, 6, 7, 8, 9]


def test_what_begins_soon_after_the_test_is_embargoed() -> None:
    starts = np.arange(10)
    second = list(purged_folds(starts, starts + 1, 5, embargo=2))[1]
    assert second.train.tolist() == [0, 1, 6, 7, 8, 9]


@settings(max_examples=50, deadline=None)
@given(
    st.lists(st.integers(0, 50), min_size=8, max_size=40),
    st.integers(2, 6),
    st.integers(0, 10),
    st.integers(0, 10),
    st.integers(1, 2),
)
def test_training_never_overlaps_its_test(
    starts: list[int], folds: int, horizon: int, embargo: int, tests: int
) -> None:
    begins = np.sort(np.array(starts))
    ends = begins + horizon
    seen = []
    for split in combinatorial(begins, ends, folds, min(tests, folds - 1), embargo):
        seen += split.test.tolist()
        assert not set(split.train.tolist()) & set(split.test.tolist())
        for row in split.train:
            for other in split.test:
                assert ends[row] <= begins[other] or begins[row] >= ends[other]
    assert set(seen) == set(range(len(starts)))


def test_the_combinatorial_splits_make_whole_paths() -> None:
    starts = np.arange(60)
    splits = list(combinatorial(starts, starts + 1, 6, 2))
    assert len(splits) == comb(6, 2)
    found = paths(6, 2)
    assert len(found) == comb(6, 2) * 2 // 6
    for path in found:
        assert all(fold in splits[number].folds for fold, number in enumerate(path))
    used = [(number, fold) for path in found for fold, number in enumerate(path)]
    assert len(used) == len(set(used)) == sum(len(split.folds) for split in splits)


def test_folds_of_time_leave_a_gap_around_their_test() -> None:
    found = time_folds(0, 999, 4, purge=10, embargo=5)
    assert [fold.test for fold in found] == [(0, 250), (250, 500), (500, 750), (750, 1000)]
    assert found[0].train == ((265, 1000),)
    assert found[1].train == ((0, 240), (515, 1000))
    assert found[3].train == ((0, 740),)
    with pytest.raises(ValueError, match="nothing to train on"):
        time_folds(0, 99, 2, purge=60)


@pytest.mark.parametrize(
    ("folds", "tests", "message"),
    [(1, 1, "1 <= tests < folds"), (5, 5, "1 <= tests < folds"), (20, 1, "1 <= tests < folds")],
)
def test_folds_that_cannot_be_are_an_error(folds: int, tests: int, message: str) -> None:
    starts = np.arange(10)
    with pytest.raises(ValueError, match=message):
        list(combinatorial(starts, starts, folds, tests))
    with pytest.raises(ValueError, match="in order"):
        list(purged_folds(starts[::-1].copy(), starts, 2))
