"""Cross-validation in time: purged and embargoed k folds, and the combinatorial kind.

López de Prado, "Advances in Financial Machine Learning", 2018, chapters 7 and 12. A sample of the training whose label
overlaps the test knows its outcome (purge); one that begins soon after the test still echoes it (embargo).
"""

from __future__ import annotations

from collections.abc import Iterator
from itertools import combinations, pairwise

import msgspec
import numpy as np
from numpy.typing import NDArray

Times = NDArray[np.int64]


class Split(msgspec.Struct, frozen=True):
    """Indices of one fit and its test, ascending. `folds`: which folds are the test."""

    train: Times
    test: Times
    folds: tuple[int, ...]


class Fold(msgspec.Struct, frozen=True):
    """A fit and its test as times, [start, end) each, ns: for runs over data instead of rows of a table."""

    number: int
    train: tuple[tuple[int, int], ...]
    test: tuple[int, int]


def purged_folds(starts: Times, ends: Times, folds: int, embargo: int = 0) -> Iterator[Split]:
    """k contiguous folds. `starts`, `ends`: when each sample begins and its label is known, ns; `embargo` in ns."""
    yield from combinatorial(starts, ends, folds, 1, embargo)


def combinatorial(starts: Times, ends: Times, folds: int, tests: int, embargo: int = 0) -> Iterator[Split]:
    """Every choice of `tests` of the `folds` as the test: combinatorial purged cross-validation.

    Raises ValueError where samples are not in order, end before they begin, or are fewer than the folds.
    """
    _check(starts, ends, folds, tests, embargo)
    groups = np.array_split(np.arange(starts.size), folds)
    for chosen in combinations(range(folds), tests):
        kept = np.ones(starts.size, dtype=bool)
        for run in _runs(chosen):
            rows = np.concatenate([groups[fold] for fold in run])
            first, last = starts[rows[0]], ends[rows].max()
            kept[rows] = False
            # A label that is known at the moment when the test begins has seen nothing of it.
            kept &= ~((starts < last + embargo) & (ends > first))
        test = np.concatenate([groups[fold] for fold in chosen])
        yield Split(np.flatnonzero(kept), test, chosen)


def paths(folds: int, tests: int) -> tuple[tuple[int, ...], ...]:
    """How the splits of `combinatorial` make whole histories: for each path the split that tests each of the folds.

    There are C(folds, tests) tests / folds of them, and each (split, fold) is in exactly one.
    """
    splits = list(combinations(range(folds), tests))
    having = [[number for number, chosen in enumerate(splits) if fold in chosen] for fold in range(folds)]
    return tuple(zip(*having, strict=True))


def time_folds(first: int, last: int, folds: int, purge: int = 0, embargo: int = 0) -> tuple[Fold, ...]:
    """k equal parts of [first, last], each once the test.

    The training before it ends `purge` earlier, that after it begins `purge + embargo` later, all in ns. Training on
    what comes after a test is no forecast: it shows how much a fit depends on its data.
    """
    if folds < 2 or last + 1 - first < folds:
        raise ValueError(f"folds: expected 2 or more, at most one per ns of data, got {folds}")
    if purge < 0 or embargo < 0:
        raise ValueError(f"folds: expected a purge and an embargo of 0 or more ns, got {purge} and {embargo}")
    end = last + 1
    edges = [first + (end - first) * number // folds for number in range(folds + 1)]
    found = []
    for number, test in enumerate(pairwise(edges)):
        before, after = (first, test[0] - purge), (test[1] + purge + embargo, end)
        train = tuple(part for part in (before, after) if part[0] < part[1])
        if not train:
            raise ValueError(f"folds: purge and embargo leave nothing to train on for fold {number + 1} of {folds}")
        found.append(Fold(number + 1, train, test))
    return tuple(found)


def _runs(chosen: tuple[int, ...]) -> Iterator[list[int]]:
    """Neighbouring folds together: between them is nothing to purge."""
    run = [chosen[0]]
    for fold in chosen[1:]:
        if fold != run[-1] + 1:
            yield run
            run = []
        run.append(fold)
    yield run


def _check(starts: Times, ends: Times, folds: int, tests: int, embargo: int) -> None:
    if starts.shape != ends.shape or starts.ndim != 1:
        raise ValueError(f"samples: expected as many ends as starts, got {ends.shape} and {starts.shape}")
    if np.any(np.diff(starts) < 0) or np.any(ends < starts):
        raise ValueError("samples: expected them in order of their starts, none ending before it begins")
    if not 1 <= tests < folds <= starts.size:
        raise ValueError(f"folds: expected 1 <= tests < folds <= {starts.size} samples, got {tests} of {folds}")
    if embargo < 0:
        raise ValueError(f"embargo: expected 0 ns or more, got {embargo}")
